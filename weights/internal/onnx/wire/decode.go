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
		switch typ {
		case protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(m.data[at:])
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(m.data[at:])
			f.number = uint64(v)
		case protowire.Fixed64Type:
			f.number, n = protowire.ConsumeFixed64(m.data[at:])
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(m.data[at:])
			f.at += n - len(f.bytes)
		default: // groups, which ONNX never had
			return m.fail(m.at+at, "field %d is of wire type %d", num, typ)
		}
		if n < 0 {
			return m.fail(m.at+at, "truncated or broken: field %d: %v", num, protowire.ParseError(n))
		}
		at += n
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
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

func (f field) int(v *int64) error {
	*v = int64(f.number)
	return f.want(protowire.VarintType)
}

// take counts n bytes of memory.
func (d *decoder) take(f field, n int) error {
	if d.left -= n; d.left < 0 {
		return f.fail("more than %d MB of names and attributes", maxModel>>20)
	}
	return nil
}

// counted goes through a message that is kept as a value of so many bytes.
func (d *decoder) counted(f field, what string, bytes int, do func(f field) error) error {
	m, err := f.message(what)
	if err != nil {
		return err
	}
	if err := d.take(f, bytes); err != nil {
		return err
	}
	return m.each(do)
}

func (d *decoder) text(f field, s *string) error {
	if err := f.want(protowire.BytesType); err != nil {
		return err
	}
	if err := d.take(f, 16+len(f.bytes)); err != nil {
		return err
	}
	if !utf8.Valid(f.bytes) {
		return f.fail("a text that is not UTF-8")
	}
	*s = string(f.bytes)
	return nil
}

// numbers appends a field of repeated numbers, packed or not.
func numbers[T any](d *decoder, f field, list *[]T, typ protowire.Type, value func(uint64) T) error {
	return f.eachNumber(typ, func(v uint64) error {
		*list = append(*list, value(v))
		return d.take(f, 16)
	})
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
		v, n, err := m.packed(at, typ)
		if err == nil {
			err = do(v)
		}
		if err != nil {
			return err
		}
		at += n
	}
	return nil
}

// packed reads one of a field's packed numbers and its length.
func (m message) packed(at int, typ protowire.Type) (v uint64, n int, err error) {
	switch typ {
	case protowire.VarintType:
		v, n = protowire.ConsumeVarint(m.data[at:])
	case protowire.Fixed32Type:
		var w uint32
		w, n = protowire.ConsumeFixed32(m.data[at:])
		v = uint64(w)
	case protowire.Fixed64Type:
		v, n = protowire.ConsumeFixed64(m.data[at:])
	}
	if n < 0 {
		return 0, 0, m.fail(m.at+at, "broken numbers: %v", protowire.ParseError(n))
	}
	return v, n, nil
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
	d := decoder{left: maxModel}
	model := &Model{}
	graphs := 0
	err := message{"the model", data, 0}.each(func(f field) error {
		switch f.num {
		case 1:
			return f.int(&model.IR)
		case 2:
			return d.text(f, &model.Producer)
		case 7:
			m, err := f.message("the graph")
			if err != nil {
				return err
			}
			if graphs++; graphs > 1 {
				return f.fail("a second graph")
			}
			return d.graph(m, &model.Graph)
		case 8:
			var o Opset
			if err := d.opset(f, &o); err != nil {
				return err
			}
			model.Opsets = append(model.Opsets, o)
		case 14:
			var n Note
			if err := d.note(f, &n); err != nil {
				return err
			}
			model.Metadata = append(model.Metadata, n)
		}
		return nil
	})
	if err == nil && graphs == 0 {
		err = format.Fail(int64(len(data)), "the model has no graph: is it truncated?")
	}
	if err != nil {
		return nil, err
	}
	return model, nil
}

func (d *decoder) opset(f field, o *Opset) error {
	return d.counted(f, "an operator set", 32, func(f field) error {
		switch f.num {
		case 1:
			return d.text(f, &o.Domain)
		case 2:
			return f.int(&o.Version)
		}
		return nil
	})
}

func (d *decoder) note(f field, n *Note) error {
	return d.counted(f, "a note", 32, func(f field) error {
		switch f.num {
		case 1:
			return d.text(f, &n.Key)
		case 2:
			return d.text(f, &n.Value)
		}
		return nil
	})
}

func (d *decoder) graph(m message, g *Graph) error {
	return m.each(func(f field) error {
		switch f.num {
		case 1:
			var n Node
			err := d.node(f, &n)
			g.Nodes = append(g.Nodes, n)
			return err
		case 2:
			return d.text(f, &g.Name)
		case 5:
			var t Tensor
			err := d.tensor(f, &t)
			g.Initializers = append(g.Initializers, t)
			return err
		case 11, 12:
			var v Value
			if err := d.value(f, &v); err != nil {
				return err
			}
			if f.num == 11 {
				g.Inputs = append(g.Inputs, v)
			} else {
				g.Outputs = append(g.Outputs, v)
			}
		case 15:
			g.Sparse = true
		}
		return nil
	})
}

func (d *decoder) node(f field, n *Node) error {
	return d.counted(f, "a node", 256, func(f field) error { // a Node, and room for it to grow in
		switch f.num {
		case 1, 2:
			var s string
			err := d.text(f, &s)
			if f.num == 1 {
				n.Inputs = append(n.Inputs, s)
			} else {
				n.Outputs = append(n.Outputs, s)
			}
			return err
		case 3:
			return d.text(f, &n.Name)
		case 4:
			return d.text(f, &n.Op)
		case 5:
			var a Attribute
			err := d.attribute(f, &a)
			n.Attributes = append(n.Attributes, a)
			return err
		case 7:
			return d.text(f, &n.Domain)
		}
		return nil
	})
}

func (d *decoder) attribute(f field, a *Attribute) error {
	return d.counted(f, "an attribute", 256, func(f field) error {
		switch f.num {
		case 1:
			return d.text(f, &a.Name)
		case 2:
			a.Float = asFloat(f.number)
			return f.want(protowire.Fixed32Type)
		case 3:
			return f.int(&a.Int)
		case 4: // bytes, but what we look at is text
			if err := d.take(f, len(f.bytes)); err != nil {
				return err
			}
			a.Text = string(f.bytes)
			return f.want(protowire.BytesType)
		case 5:
			a.Tensor = &Tensor{}
			return d.tensor(f, a.Tensor)
		case 7:
			return numbers(d, f, &a.Floats, protowire.Fixed32Type, asFloat)
		case 8:
			return numbers(d, f, &a.Ints, protowire.VarintType, asInt)
		case 20:
			return f.int((*int64)(&a.Kind))
		}
		return nil
	})
}

// value reads a ValueInfoProto as far as it is of a tensor: type, then tensor_type, then elem_type and shape.
func (d *decoder) value(f field, v *Value) error {
	return d.counted(f, "an input or output", 96, func(f field) error {
		switch f.num {
		case 1:
			return d.text(f, &v.Name)
		case 2:
			m, err := f.message("a value's type")
			if err != nil {
				return err
			}
			return m.each(func(f field) error {
				if f.num != 1 { // sequences, maps and optional values
					return nil
				}
				m, err := f.message("a tensor's type")
				if err != nil {
					return err
				}
				return d.tensorType(m, v)
			})
		}
		return nil
	})
}

func (d *decoder) tensorType(m message, v *Value) error {
	return m.each(func(f field) error {
		switch f.num {
		case 1:
			return f.int((*int64)(&v.Type))
		case 2:
			m, err := f.message("a shape")
			if err != nil {
				return err
			}
			v.Shaped = true
			return m.each(func(f field) error {
				if f.num != 1 {
					return nil
				}
				if len(v.Dims) == maxRank {
					return f.fail("more than %d dimensions", maxRank)
				}
				m, err := f.message("a dimension")
				if err != nil {
					return err
				}
				dim := Dim{Size: -1}
				err = m.each(func(f field) error {
					switch f.num {
					case 1:
						return f.int(&dim.Size)
					case 2:
						return d.text(f, &dim.Param)
					}
					return nil
				})
				v.Dims = append(v.Dims, dim)
				return err
			})
		}
		return nil
	})
}
