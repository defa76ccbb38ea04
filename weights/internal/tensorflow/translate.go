package tensorflow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// Package onnx knows how a graph becomes a network: which axes are rows, what folds into what, what branches. So a
// graph of TensorFlow's is said in ONNX's words, each node between two transpositions where the words want channels
// first.

// translation is a graph on its way to ONNX's.
type translation struct {
	library *library
	file    *format.List // the constants and variables by their names
	steps   int
	graph   wire.Graph
	made    map[place]string // the names of values; empty: being made
	first   map[string]string
	taken   map[string]bool // names of values
	own     map[string]bool // initializers that are the file's own
	spent   int             // bytes of constants that a few values are repeated to
}

// types are ONNX's.
var types = map[format.DType]wire.Type{format.F32: wire.FLOAT, format.F64: wire.DOUBLE, format.F16: wire.FLOAT16,
	format.BF16: wire.BFLOAT16, "BOOL": wire.BOOL, "U8": wire.UINT8, "I8": wire.INT8, "U16": wire.UINT16,
	"I16": wire.INT16, "U32": wire.UINT32, "I32": wire.INT32, "U64": wire.UINT64, "I64": wire.INT64, "C64": wire.COMPLEX64}

// translate says in ONNX's words how outputs come from the pictures. outputs that are the same are one.
func translate(l *library, file *format.List, outputs []string) (*wire.Model, error) {
	t := &translation{library: l, file: file, made: map[place]string{}, first: map[string]string{},
		taken: map[string]bool{}, own: map[string]bool{}}
	for _, v := range file.Tensors {
		t.taken[v.Name] = true
	}
	var ends []string
	for _, output := range outputs {
		p, err := t.answer(output)
		if err != nil {
			return nil, err
		}
		name, err := t.value(value{p.in, fmt.Sprintf("%s:%d", p.node.name, p.index)})
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ends, name) {
			ends = append(ends, name)
		}
	}
	if len(ends) == 0 {
		return nil, fmt.Errorf("nothing depends on pictures: the graph has no Placeholder that tells their shape")
	}
	if len(ends) != 1 {
		return nil, fmt.Errorf("the graph has %d outputs (%s): networks here have one", len(ends),
			format.Clip(strings.Join(ends, ", ")))
	}
	t.graph.Outputs = []wire.Value{{Name: ends[0]}}
	return &wire.Model{Opsets: []wire.Opset{{Version: 13}}, Graph: t.graph}, nil
}

// answer is an output but for what picks classes of it.
func (t *translation) answer(output string) (place, error) {
	v := value{t.library.top, output}
	for {
		p, err := t.resolve(v)
		if err != nil || !slices.Contains([]string{"ArgMax", "TopK", "TopKV2"}, p.node.op) {
			return p, err
		}
		v = value{p.in, p.node.input(0)}
	}
}

// value is the name under which a value is in ONNX's graph, which it comes into if it is not there yet.
func (t *translation) value(v value) (string, error) {
	p, err := t.resolve(v)
	if err != nil {
		return "", err
	}
	if name, ok := t.made[p]; ok {
		if name == "" {
			return "", fmt.Errorf("%s: it depends on itself", p.node.label())
		}
		return name, nil
	}
	t.made[p] = ""
	name, err := t.node(p)
	if err != nil {
		return "", err
	}
	t.made[p] = name
	return name, nil
}

// fresh is a name that no value has yet.
func (t *translation) fresh(name string) string {
	free := name
	for n := 2; t.taken[free]; n++ {
		free = fmt.Sprintf("%s_%d", name, n)
	}
	t.taken[free] = true
	return free
}

// emit adds a node of ONNX's and returns its output's name.
func (t *translation) emit(of *node, op string, attributes []wire.Attribute, inputs ...string) string {
	out := t.fresh(of.name)
	t.graph.Nodes = append(t.graph.Nodes, wire.Node{Name: of.name, Op: op, Inputs: inputs, Outputs: []string{out},
		Attributes: attributes})
	return out
}

// constant adds numbers of the translation's own.
func (t *translation) constant(name string, typ wire.Type, dims []int, data []byte) string {
	return t.initializer(wire.NewTensor(name, typ, dims, data))
}

func (t *translation) initializer(of *wire.Tensor) string {
	of.Name = t.fresh(of.Name)
	t.graph.Initializers = append(t.graph.Initializers, *of)
	return of.Name
}

func (t *translation) ints(of *node, list ...int64) string {
	return t.initializer(wire.NewInts(of.name+" numbers", list...))
}

// channelsFirst is a value of N,H,W,C with its axes in ONNX's order.
func (t *translation) channelsFirst(of *node, name string) string {
	if was := t.first[name]; was != "" {
		return was
	}
	return t.emit(of, "Transpose", []wire.Attribute{wire.IntsOf("perm", 0, 3, 1, 2)}, name)
}

func (t *translation) channelsLast(of *node, name string) string {
	out := t.emit(of, "Transpose", []wire.Attribute{wire.IntsOf("perm", 0, 2, 3, 1)}, name)
	t.first[out] = name
	return out
}

// maps calls make with a node's first input, channels first, and returns what it makes in the node's own order.
func (t *translation) maps(p place, x string, make func(x string) (string, error)) (string, error) {
	switch order := p.node.attr("data_format").Text("s"); order {
	case "", "NHWC":
		y, err := make(t.channelsFirst(p.node, x))
		if err != nil {
			return "", err
		}
		return t.channelsLast(p.node, y), nil
	case "NCHW":
		return make(x)
	default:
		return "", fmt.Errorf("data_format %q: NHWC and NCHW are known", format.Clip(order))
	}
}

// list is the integers that an input is, where it is a constant.
func (t *translation) list(p place, i int) ([]int64, error) {
	of, err := t.resolve(value{p.in, p.node.input(i)})
	if err != nil {
		return nil, err
	}
	if of.node.op != "Const" {
		return nil, fmt.Errorf("its input %d is no constant", i)
	}
	k, err := t.held(of)
	if err != nil {
		return nil, err
	}
	data, err := t.bytes(k)
	if err != nil {
		return nil, err
	}
	return wire.NewTensor(k.Name, types[k.DType], k.Shape, data).Int64s(maxList)
}

// held is a Const's tensor, which the file may have apart from the graph.
func (t *translation) held(p place) (format.Tensor, error) {
	if k, ok := t.file.Get(p.node.name); ok && p.in == t.library.top {
		return k, nil
	}
	return constantOf(p.node.name, p.node.attr("value").Message("tensor"))
}

// bytes are a constant's values. Of repeated ones there is a limit for all of a graph.
func (t *translation) bytes(k format.Tensor) ([]byte, error) {
	if k.Fetch != nil {
		if t.spent += k.DType.Size() * format.Product(k.Shape); t.spent > maxSpent {
			return nil, fmt.Errorf("constants of repeated values take more than %d MB", maxSpent>>20)
		}
	}
	return k.Bytes()
}

const maxSpent = 8 << 20

// maxList bounds lists of sides and axes.
const maxList = 256

// variable is a tensor of the file, by its name.
func (t *translation) variable(name string) (string, error) {
	v, ok := t.file.Get(name)
	if !ok {
		return "", fmt.Errorf("variable %q is not among the values", format.Clip(name))
	}
	if t.own[name] {
		return name, nil
	}
	t.own[name] = true
	data := v.Raw // which lists and numbers are read from: those of a graph, no checkpoint's
	if v.Fetch != nil && format.Product(v.Shape) <= maxList {
		var err error
		if data, err = v.Bytes(); err != nil {
			return "", err
		}
	}
	t.graph.Initializers = append(t.graph.Initializers, *wire.NewTensor(name, types[v.DType], v.Shape, data))
	return name, nil
}

// picture is the graph's input, which must be one.
func (t *translation) picture(n *node) (string, error) {
	if len(t.graph.Inputs) > 0 {
		return "", fmt.Errorf("the graph has inputs %s and %s: networks here have one", format.Clip(t.graph.Inputs[0].Name),
			format.Clip(n.name))
	}
	dtype := dtypes[n.attr("dtype").Number("type", 0)]
	if !dtype.HoldsWeights() && dtype != "U8" {
		return "", fmt.Errorf("pictures of TensorFlow's type %v", n.attr("dtype").Number("type", 0))
	}
	in := wire.Value{Name: t.fresh(n.name), Type: types[dtype]}
	for _, side := range shapeOf(n.attr("shape").Message("shape")) {
		in.Dims = append(in.Dims, wire.Dim{Size: int64(side)})
		in.Shaped = true // none is what a program says that does not say any
	}
	t.graph.Inputs = append(t.graph.Inputs, in)
	return in.Name, nil
}
