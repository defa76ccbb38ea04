package wire

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vggo/vggo/weights/internal/format"
)

// maxModel bounds what a Model takes beside its tensors' values, which stay where they are in the file: the bytes of
// names, and for each element of a list what its Go value takes, roughly. It is far beyond any network's.
const maxModel = 64 << 20

// maxRank bounds the dimensions of a tensor or value.
const maxRank = 16

// decoder keeps account of maxModel.
type decoder struct{ left int }

// message is the bytes of one message, which begin at byte `at` of the file.
type message struct {
	what string // for errors: "the graph"
	data []byte
	at   int
}

func (m message) fail(at int, text string, args ...any) error {
	return format.Fail(int64(at), "%s: %s", m.what, fmt.Sprintf(text, args...))
}

// field is one field of a message with its value, in number or bytes.
type field struct {
	in     message
	num    protowire.Number
	typ    protowire.Type
	number uint64
	bytes  []byte
	at     int // of the value
}

// each calls do for every field in order.
func (m message) each(do func(f field) error) error {
	for at := 0; at < len(m.data); {
		num, typ, n := protowire.ConsumeTag(m.data[at:])
		if n < 0 {
			return m.fail(m.at+at, "not protocol buffers: %v", protowire.ParseError(n))
		}
		at += n
		f := field{in: m, num: num, typ: typ, at: m.at + at}
		if typ == protowire.BytesType {
			f.bytes, n = protowire.ConsumeBytes(m.data[at:])
			f.at += n - len(f.bytes)
		} else {
			f.number, n = consume(m.data[at:], typ)
		}
		switch {
		case n == 0: // groups, which ONNX never had
			return m.fail(m.at+at, "field %d is of wire type %d", num, typ)
		case n < 0:
			return m.fail(m.at+at, "truncated or broken: field %d: %v", num, protowire.ParseError(n))
		}
		at += n
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}

// consume takes a number of a wire type off; n is 0 for a type that is none of numbers, negative for an error.
func consume(b []byte, typ protowire.Type) (v uint64, n int) {
	switch typ {
	case protowire.VarintType:
		return protowire.ConsumeVarint(b)
	case protowire.Fixed32Type:
		w, n := protowire.ConsumeFixed32(b)
		return uint64(w), n
	case protowire.Fixed64Type:
		return protowire.ConsumeFixed64(b)
	}
	return 0, 0
}

func (f field) fail(format string, args ...any) error { return f.in.fail(f.at, format, args...) }

// want checks the wire type.
func (f field) want(typ protowire.Type) error {
	if f.typ != typ {
		return f.fail("field %d is of wire type %d, not %d", f.num, f.typ, typ)
	}
	return nil
}

// message is an embedded message.
func (f field) message(what string) (message, error) {
	return message{what, f.bytes, f.at}, f.want(protowire.BytesType)
}

// eachNumber calls do for each of a field's numbers, packed or not.
func (f field) eachNumber(typ protowire.Type, do func(v uint64) error) error {
	if f.typ == typ {
		return do(f.number)
	}
	m, err := f.message(f.in.what)
	if err != nil {
		return err
	}
	for at := 0; at < len(m.data); {
		v, n := consume(m.data[at:], typ)
		if n < 0 {
			return m.fail(m.at+at, "broken numbers: %v", protowire.ParseError(n))
		}
		if err := do(v); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// take counts n bytes of memory.
func (d *decoder) take(f field, n int) error {
	if d.left -= n; d.left < 0 {
		return f.fail("more than %d MB of names and attributes", maxModel>>20)
	}
	return nil
}

// reading takes a field into a value.
type reading[T any] func(d *decoder, f field, to *T) error

// schema is what is done with the fields of a message by their numbers. Others are passed over. It is made once, and
// not for each message, of which a hostile file has millions.
type schema[T any] map[protowire.Number]reading[T]

func (s schema[T]) read(d *decoder, m message, to *T) error {
	return m.each(func(f field) error {
		if do := s[f.num]; do != nil {
			return do(d, f, to)
		}
		return nil
	})
}

// within reads a message of which what s reads is kept alone.
func (s schema[T]) within(what string) reading[T] {
	return func(d *decoder, f field, to *T) error {
		m, err := f.message(what)
		if err != nil {
			return err
		}
		return s.read(d, m, to)
	}
}

// list appends messages to a list, each of which is kept as a value of so many bytes.
func list[T, E any](what string, bytes int, of func(*T) *[]E, s schema[E]) reading[T] {
	return func(d *decoder, f field, to *T) error {
		m, err := f.message(what)
		if err != nil {
			return err
		}
		if err := d.take(f, bytes); err != nil {
			return err
		}
		return s.read(d, m, grown(of(to)))
	}
}

// grown is a new last element of a list, which is filled where it lies.
func grown[E any](list *[]E) *E {
	*list = append(*list, *new(E))
	return &(*list)[len(*list)-1]
}

func integer[T any, N ~int64](of func(*T) *N) reading[T] {
	return func(_ *decoder, f field, to *T) error {
		*of(to) = N(f.number)
		return f.want(protowire.VarintType)
	}
}

func text[T any](of func(*T) *string) reading[T] {
	return func(d *decoder, f field, to *T) (err error) {
		*of(to), err = d.text(f)
		return err
	}
}

func texts[T any](of func(*T) *[]string) reading[T] {
	return func(d *decoder, f field, to *T) error {
		s, err := d.text(f)
		*of(to) = append(*of(to), s)
		return err
	}
}

func (d *decoder) text(f field) (string, error) {
	if err := f.want(protowire.BytesType); err != nil {
		return "", err
	}
	if err := d.take(f, 16+len(f.bytes)); err != nil {
		return "", err
	}
	if !utf8.Valid(f.bytes) {
		return "", f.fail("a text that is not UTF-8")
	}
	return string(f.bytes), nil
}

// numbers appends repeated numbers, packed or not.
func numbers[T, N any](of func(*T) *[]N, typ protowire.Type, value func(uint64) N) reading[T] {
	return func(d *decoder, f field, to *T) error {
		return f.eachNumber(typ, func(v uint64) error {
			*of(to) = append(*of(to), value(v))
			return d.take(f, 16)
		})
	}
}

func asInt(v uint64) int64     { return int64(v) }
func asFloat(v uint64) float32 { return math.Float32frombits(uint32(v)) }

// IsModel reports whether a file begins as a ModelProto does: with an ir_version and another of its fields.
func IsModel(head []byte) bool {
	if len(head) < 3 || head[0] != 1<<3|byte(protowire.VarintType) || head[1] < 3 || head[1] > 30 {
		return false
	}
	num, typ, n := protowire.ConsumeTag(head[2:])
	return n > 0 && (num == 5 && typ == protowire.VarintType || typ == protowire.BytesType &&
		strings.ContainsRune("\x02\x03\x04\x06\x07\x08\x0e\x14\x19", rune(num)))
}

// Decode reads a ModelProto. The tensors keep data. An error is a *format.Error.
func Decode(data []byte) (*Model, error) {
	m := &decoded{}
	err := modelProto.read(&decoder{left: maxModel}, message{"the model", data, 0}, m)
	if err == nil && m.graphs == 0 {
		err = format.Fail(int64(len(data)), "the model has no graph: is it truncated?")
	}
	if err != nil {
		return nil, err
	}
	return &m.Model, nil
}

// decoded is a Model as it is read.
type decoded struct {
	Model
	graphs int
}

var modelProto = schema[decoded]{
	1: integer(func(m *decoded) *int64 { return &m.IR }),
	2: text(func(m *decoded) *string { return &m.Producer }),
	7: func(d *decoder, f field, m *decoded) error {
		if m.graphs++; m.graphs > 1 {
			return f.fail("a second graph")
		}
		return inGraph(d, f, &m.Graph)
	},
	8: list("an operator set", 32, func(m *decoded) *[]Opset { return &m.Opsets }, schema[Opset]{
		1: text(func(o *Opset) *string { return &o.Domain }),
		2: integer(func(o *Opset) *int64 { return &o.Version }),
	}),
	14: list("a note", 32, func(m *decoded) *[]Note { return &m.Metadata }, noteProto),
}

var noteProto = schema[Note]{
	1: text(func(n *Note) *string { return &n.Key }),
	2: text(func(n *Note) *string { return &n.Value }),
}

var inGraph = schema[Graph]{
	1:  list("a node", 256, func(g *Graph) *[]Node { return &g.Nodes }, nodeProto), // a Node, and room for it to grow in
	2:  text(func(g *Graph) *string { return &g.Name }),
	5:  func(d *decoder, f field, g *Graph) error { return d.tensor(f, grown(&g.Initializers)) },
	11: list("an input or output", 96, func(g *Graph) *[]Value { return &g.Inputs }, valueProto),
	12: list("an input or output", 96, func(g *Graph) *[]Value { return &g.Outputs }, valueProto),
	15: func(_ *decoder, _ field, g *Graph) error { g.Sparse = true; return nil },
}.within("the graph")

var nodeProto = schema[Node]{
	1: texts(func(n *Node) *[]string { return &n.Inputs }),
	2: texts(func(n *Node) *[]string { return &n.Outputs }),
	3: text(func(n *Node) *string { return &n.Name }),
	4: text(func(n *Node) *string { return &n.Op }),
	5: list("an attribute", 256, func(n *Node) *[]Attribute { return &n.Attributes }, attributeProto),
	7: text(func(n *Node) *string { return &n.Domain }),
}

var attributeProto = schema[Attribute]{
	1: text(func(a *Attribute) *string { return &a.Name }),
	2: func(_ *decoder, f field, a *Attribute) error {
		a.Float = asFloat(f.number)
		return f.want(protowire.Fixed32Type)
	},
	3: integer(func(a *Attribute) *int64 { return &a.Int }),
	4: func(d *decoder, f field, a *Attribute) error { // bytes, but what we look at is text
		if err := d.take(f, len(f.bytes)); err != nil {
			return err
		}
		a.Text = string(f.bytes)
		return f.want(protowire.BytesType)
	},
	5: func(d *decoder, f field, a *Attribute) error {
		a.Tensor = &Tensor{}
		return d.tensor(f, a.Tensor)
	},
	7:  numbers(func(a *Attribute) *[]float32 { return &a.Floats }, protowire.Fixed32Type, asFloat),
	8:  numbers(func(a *Attribute) *[]int64 { return &a.Ints }, protowire.VarintType, asInt),
	20: integer(func(a *Attribute) *Kind { return &a.Kind }),
}

// valueProto is a ValueInfoProto's as far as it is of a tensor, and no sequence, map or optional value.
var valueProto = schema[Value]{
	1: text(func(v *Value) *string { return &v.Name }),
	2: schema[Value]{1: schema[Value]{
		1: integer(func(v *Value) *Type { return &v.Type }),
		2: func(d *decoder, f field, v *Value) error {
			v.Shaped = true
			return inShape(d, f, v)
		},
	}.within("a tensor's type")}.within("a value's type"),
}

var inShape = schema[Value]{1: func(d *decoder, f field, v *Value) error {
	if len(v.Dims) == maxRank {
		return f.fail("more than %d dimensions", maxRank)
	}
	dim := grown(&v.Dims)
	dim.Size = -1
	return inDim(d, f, dim)
}}.within("a shape")

var inDim = schema[Dim]{
	1: integer(func(d *Dim) *int64 { return &d.Size }),
	2: text(func(d *Dim) *string { return &d.Param }),
}.within("a dimension")
