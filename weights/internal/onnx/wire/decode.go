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

// schema is what is done with the fields of a message by their numbers. Others are passed over.
type schema map[protowire.Number]reading

type reading func(f field) error

func (m message) read(s schema) error {
	return m.each(func(f field) error {
		if do := s[f.num]; do != nil {
			return do(f)
		}
		return nil
	})
}

// within reads a message of which what s reads is kept alone.
func within(what string, s schema) reading {
	return func(f field) error {
		m, err := f.message(what)
		if err != nil {
			return err
		}
		return m.read(s)
	}
}

// list appends messages to a list, each of which is kept as a value of so many bytes.
func list[T any](d *decoder, what string, bytes int, to *[]T, of func(*T) schema) reading {
	return func(f field) error {
		m, err := f.message(what)
		if err != nil {
			return err
		}
		if err := d.take(f, bytes); err != nil {
			return err
		}
		var v T
		err = m.read(of(&v))
		*to = append(*to, v)
		return err
	}
}

func integer[T ~int64](to *T) reading {
	return func(f field) error {
		*to = T(f.number)
		return f.want(protowire.VarintType)
	}
}

func (d *decoder) text(to *string) reading {
	return func(f field) error {
		if err := f.want(protowire.BytesType); err != nil {
			return err
		}
		if err := d.take(f, 16+len(f.bytes)); err != nil {
			return err
		}
		if !utf8.Valid(f.bytes) {
			return f.fail("a text that is not UTF-8")
		}
		*to = string(f.bytes)
		return nil
	}
}

func (d *decoder) texts(to *[]string) reading {
	return func(f field) error {
		var s string
		err := d.text(&s)(f)
		*to = append(*to, s)
		return err
	}
}

// numbers appends repeated numbers, packed or not.
func numbers[T any](d *decoder, to *[]T, typ protowire.Type, value func(uint64) T) reading {
	return func(f field) error {
		return f.eachNumber(typ, func(v uint64) error {
			*to = append(*to, value(v))
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
	d := &decoder{left: maxModel}
	m := &Model{}
	graphs := 0
	err := message{"the model", data, 0}.read(schema{
		1: integer(&m.IR),
		2: d.text(&m.Producer),
		7: func(f field) error {
			if graphs++; graphs > 1 {
				return f.fail("a second graph")
			}
			return within("the graph", d.graph(&m.Graph))(f)
		},
		8:  list(d, "an operator set", 32, &m.Opsets, d.opset),
		14: list(d, "a note", 32, &m.Metadata, d.note),
	})
	if err == nil && graphs == 0 {
		err = format.Fail(int64(len(data)), "the model has no graph: is it truncated?")
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (d *decoder) opset(o *Opset) schema { return schema{1: d.text(&o.Domain), 2: integer(&o.Version)} }

func (d *decoder) note(n *Note) schema { return schema{1: d.text(&n.Key), 2: d.text(&n.Value)} }

func (d *decoder) graph(g *Graph) schema {
	return schema{
		1: list(d, "a node", 256, &g.Nodes, d.node), // a Node, and room for it to grow in
		2: d.text(&g.Name),
		5: func(f field) error {
			var t Tensor
			err := d.tensor(f, &t)
			g.Initializers = append(g.Initializers, t)
			return err
		},
		11: list(d, "an input or output", 96, &g.Inputs, d.value),
		12: list(d, "an input or output", 96, &g.Outputs, d.value),
		15: func(field) error { g.Sparse = true; return nil },
	}
}

func (d *decoder) node(n *Node) schema {
	return schema{1: d.texts(&n.Inputs), 2: d.texts(&n.Outputs), 3: d.text(&n.Name), 4: d.text(&n.Op),
		5: list(d, "an attribute", 256, &n.Attributes, d.attribute), 7: d.text(&n.Domain)}
}

func (d *decoder) attribute(a *Attribute) schema {
	return schema{
		1: d.text(&a.Name),
		2: func(f field) error {
			a.Float = asFloat(f.number)
			return f.want(protowire.Fixed32Type)
		},
		3: integer(&a.Int),
		4: func(f field) error { // bytes, but what we look at is text
			if err := d.take(f, len(f.bytes)); err != nil {
				return err
			}
			a.Text = string(f.bytes)
			return f.want(protowire.BytesType)
		},
		5: func(f field) error {
			a.Tensor = &Tensor{}
			return d.tensor(f, a.Tensor)
		},
		7:  numbers(d, &a.Floats, protowire.Fixed32Type, asFloat),
		8:  numbers(d, &a.Ints, protowire.VarintType, asInt),
		20: integer(&a.Kind),
	}
}

// value is of a ValueInfoProto as far as it is of a tensor, and no sequence, map or optional value.
func (d *decoder) value(v *Value) schema {
	dimension := func(f field) error {
		if len(v.Dims) == maxRank {
			return f.fail("more than %d dimensions", maxRank)
		}
		dim := Dim{Size: -1}
		err := within("a dimension", schema{1: integer(&dim.Size), 2: d.text(&dim.Param)})(f)
		v.Dims = append(v.Dims, dim)
		return err
	}
	shape := func(f field) error {
		v.Shaped = true
		return within("a shape", schema{1: dimension})(f)
	}
	tensor := within("a tensor's type", schema{1: integer(&v.Type), 2: shape})
	return schema{1: d.text(&v.Name), 2: within("a value's type", schema{1: tensor})}
}
