// Package proto reads protocol buffers whose schema a package beside it has as data: Caffe's and TensorFlow's. What a
// schema does not name is passed over.
package proto

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vggo/vggo/weights/internal/format"
)

// Message is one as far as its fields are in a Schema: by their names, which the binary form has as numbers and a text
// as words. A nil one has no fields.
type Message map[string][]Value

// Value is a field's: a number (1 for true), a word or text, a message, or bytes as they lie in the file.
type Value struct {
	Number  float64
	Text    string
	Message Message
	Bytes   []byte
}

// Field is one that a Schema knows: its name, and what it is of: the Schema of a message, the Words of an enumeration,
// a Kind.
type Field [2]any

func (f Field) name() string { return f[0].(string) }
func (f Field) of() any      { return f[1] }

type (
	// Schema is a message's fields by their numbers.
	Schema map[protowire.Number]Field
	// Words are an enumeration's, from 0 on.
	Words []string
	// Kind is what else a field holds.
	Kind int
)

// The kinds of fields.
const (
	Number Kind = iota // any integer but one of 64 fixed bits
	Text
	Float // of 32 bits
	Bytes // such as packed floats, which stay in the file
)

// Has reports whether there is a field of a name.
func (m Message) Has(name string) bool { return len(m[name]) > 0 }

// Number is the last of a name.
func (m Message) Number(name string, otherwise float64) float64 {
	if list := m[name]; len(list) > 0 {
		return list[len(list)-1].Number
	}
	return otherwise
}

// Text is the last of a name; empty where there is none.
func (m Message) Text(name string) string {
	if list := m[name]; len(list) > 0 {
		return list[len(list)-1].Text
	}
	return ""
}

// Texts are those of a name.
func (m Message) Texts(name string) (list []string) {
	for _, v := range m[name] {
		list = append(list, v.Text)
	}
	return list
}

// Numbers are those of a name.
func (m Message) Numbers(name string) (list []float64) {
	for _, v := range m[name] {
		list = append(list, v.Number)
	}
	return list
}

// Message is the last of a name; one without fields where there is none.
func (m Message) Message(name string) Message {
	if list := m[name]; len(list) > 0 {
		return list[len(list)-1].Message
	}
	return nil
}

// maxValues bounds the values that a file's messages are made of, each of which takes about a hundred bytes: 100 MB.
// The largest networks have some ten thousand.
const maxValues = 1 << 20

// MaxNesting bounds how deep messages lie in each other.
const MaxNesting = 16

// Decode reads the binary form, which begins at byte `at` of the file. It keeps data where a field is of Bytes.
func Decode(data []byte, at int64, s Schema) (Message, error) {
	return new(decoder).message(data, at, s, 0)
}

type decoder struct{ values int }

func (d *decoder) message(data []byte, at int64, s Schema, depth int) (Message, error) {
	if depth > MaxNesting {
		return nil, format.Fail(at, "messages lie more than %d deep in each other", MaxNesting)
	}
	m := Message{}
	for rest := data; len(rest) > 0; {
		here := at + int64(len(data)-len(rest))
		num, typ, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return nil, format.Fail(here, "not protocol buffers: %v", protowire.ParseError(n))
		}
		body := rest[n:]
		size := protowire.ConsumeFieldValue(num, typ, body)
		if size < 0 {
			return nil, format.Fail(here, "truncated or broken: field %d: %v", num, protowire.ParseError(size))
		}
		body, rest = body[:size], body[size:]
		f, known := s[num]
		if !known {
			continue
		}
		if err := d.field(m, f, typ, body, here+int64(n), depth); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// field adds a field's value, or its values where numbers are packed.
func (d *decoder) field(m Message, f Field, typ protowire.Type, body []byte, at int64, depth int) error {
	if typ == protowire.BytesType {
		b, _ := protowire.ConsumeBytes(body)
		at += int64(len(body) - len(b))
		switch of := f.of().(type) {
		case Schema:
			inner, err := d.message(b, at, of, depth+1)
			if err != nil {
				return err
			}
			return d.add(m, f, Value{Message: inner}, at)
		case Kind:
			switch of {
			case Text:
				return d.add(m, f, Value{Text: string(b)}, at)
			case Bytes:
				return d.add(m, f, Value{Bytes: b[:len(b):len(b)]}, at)
			case Float:
				if len(b)%4 != 0 {
					return format.Fail(at, "%s: %d bytes of floats", f.name(), len(b))
				}
				for ; len(b) > 0; b = b[4:] {
					v, _ := protowire.ConsumeFixed32(b)
					if err := d.add(m, f, Value{Number: decimal(v)}, at); err != nil {
						return err
					}
				}
				return nil
			}
		}
		for len(b) > 0 {
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return format.Fail(at, "%s: broken numbers", f.name())
			}
			if err := d.add(m, f, plain(f, v), at); err != nil {
				return err
			}
			b = b[n:]
		}
		return nil
	}
	switch v, _ := protowire.ConsumeVarint(body); {
	case typ == protowire.VarintType && (f.of() == Number || isWords(f.of())):
		return d.add(m, f, plain(f, v), at)
	case typ == protowire.Fixed32Type && (f.of() == Float || f.of() == Number):
		bits, _ := protowire.ConsumeFixed32(body)
		if f.of() == Number {
			return d.add(m, f, Value{Number: float64(bits)}, at)
		}
		return d.add(m, f, Value{Number: decimal(bits)}, at)
	}
	return format.Fail(at, "%s: wire type %d", f.name(), typ)
}

// decimal is the number that somebody wrote, of which the file has the nearest float: 0.0001.
func decimal(bits uint32) float64 { return format.Shortest(math.Float32frombits(bits)) }

func isWords(of any) bool {
	_, ok := of.(Words)
	return ok
}

// plain is a number, or the word that an enumeration has for it.
func plain(f Field, v uint64) Value {
	if list, ok := f.of().(Words); ok {
		if v < uint64(len(list)) {
			return Value{Text: list[v]}
		}
		return Value{Text: fmt.Sprint(v)}
	}
	return Value{Number: float64(int64(v))}
}

func (d *decoder) add(m Message, f Field, v Value, at int64) error {
	if d.values++; d.values > maxValues {
		return format.Fail(at, "more than %d values beside weights", maxValues)
	}
	m[f.name()] = append(m[f.name()], v)
	return nil
}
