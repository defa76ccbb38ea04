// Package wire reads and writes ONNX's protocol buffers (github.com/onnx/onnx, onnx/onnx.proto): the messages and
// fields that a network for inference needs. What the nodes mean is package onnx's business.
package wire

// Model is a ModelProto.
type Model struct {
	IR       int64
	Producer string
	Opsets   []Opset
	Graph    Graph
	Metadata []Note // metadata_props
}

// Opset is an OperatorSetIdProto: the version of a domain's operators, the empty domain being ONNX's own.
type Opset struct {
	Domain  string
	Version int64
}

// Note is a StringStringEntryProto.
type Note struct{ Key, Value string }

// Graph is a GraphProto. Its nodes stand in an order in which each comes after those that it reads.
type Graph struct {
	Name         string
	Nodes        []Node
	Initializers []Tensor
	Inputs       []Value // before IR 4 the initializers too
	Outputs      []Value
	Sparse       bool // it has sparse initializers, which are not read
}

// Node is a NodeProto. An input or output that is left out has the empty name.
type Node struct {
	Name, Op, Domain string
	Inputs, Outputs  []string
	Attributes       []Attribute
}

// Attribute is an AttributeProto; Kind says which of the fields holds its value. Others than these, subgraphs among
// them, are not read.
type Attribute struct {
	Name   string
	Kind   Kind
	Float  float32
	Int    int64
	Text   string
	Ints   []int64
	Floats []float32
	Tensor *Tensor
}

// Kind is AttributeProto's type.
type Kind int64

// The kinds that are read.
const (
	Float      Kind = 1
	Int        Kind = 2
	Text       Kind = 3
	TensorKind Kind = 4
	Floats     Kind = 6
	Ints       Kind = 7
)

// IntOf makes an attribute of a number, FloatOf of one with a fraction, IntsOf of a list and TextOf of a text.
func IntOf[N int | int64](name string, v N) Attribute {
	return Attribute{Name: name, Kind: Int, Int: int64(v)}
}

func FloatOf(name string, v float64) Attribute {
	return Attribute{Name: name, Kind: Float, Float: float32(v)}
}

func IntsOf[N int | int64](name string, list ...N) Attribute {
	a := Attribute{Name: name, Kind: Ints}
	for _, v := range list {
		a.Ints = append(a.Ints, int64(v))
	}
	return a
}

func TextOf(name, text string) Attribute { return Attribute{Name: name, Kind: Text, Text: text} }

// Value is a ValueInfoProto of a tensor: an input or an output of a graph.
type Value struct {
	Name string
	Type Type // 0: not a tensor
	Dims []Dim
	// Shaped tells a scalar from a value whose shape is not said.
	Shaped bool
}

// Dim is a side of a Value: a number, or else a name, which may be empty.
type Dim struct {
	Size  int64 // -1 where it is not a number
	Param string
}

// Type is TensorProto's data_type.
type Type int64

// The types of numbers in tensors.
const (
	FLOAT Type = 1 + iota
	UINT8
	INT8
	UINT16
	INT16
	INT32
	INT64
	STRING
	BOOL
	FLOAT16
	DOUBLE
	UINT32
	UINT64
	COMPLEX64
	COMPLEX128
	BFLOAT16
)

// Attribute returns a node's attribute, nil if it has none of that name.
func (n *Node) Attribute(name string) *Attribute {
	for i := range n.Attributes {
		if n.Attributes[i].Name == name {
			return &n.Attributes[i]
		}
	}
	return nil
}
