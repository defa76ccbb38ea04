package caffe

import (
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vggo/vggo/weights/internal/format"
)

// message is one of caffe.proto's, as far as its fields are known here: by their names, which the binary form has as
// numbers and the text as words.
type message map[string][]value

// value is a field's: a number (1 for true), a word or text, a message, or the bytes of packed floats.
type value struct {
	number  float64
	text    string
	message message
	floats  []byte
}

// field is one that is known of a binary message.
type field struct {
	name string
	of   any // schema of a message, words of an enumeration, a kind
}

type (
	schema map[protowire.Number]field
	words  []string
	kind   int
)

const (
	number kind = iota
	text
	float  // of 32 bits
	floats // packed, which stay in the file
	doubles
)

func (m message) has(name string) bool { return len(m[name]) > 0 }

func (m message) number(name string, otherwise float64) float64 {
	if list := m[name]; len(list) > 0 {
		return list[len(list)-1].number
	}
	return otherwise
}

func (m message) text(name string) string {
	if list := m[name]; len(list) > 0 {
		return list[len(list)-1].text
	}
	return ""
}

func (m message) texts(name string) (list []string) {
	for _, v := range m[name] {
		list = append(list, v.text)
	}
	return list
}

func (m message) numbers(name string) (list []float64) {
	for _, v := range m[name] {
		list = append(list, v.number)
	}
	return list
}

// message is the one under a name; an empty one where there is none.
func (m message) message(name string) message {
	if list := m[name]; len(list) > 0 {
		return list[len(list)-1].message
	}
	return nil
}

// maxValues bounds the values that a file's messages are made of, each of which takes about a hundred bytes: 100 MB.
// The largest of Caffe's networks have some ten thousand.
const maxValues = 1 << 20

const maxNesting = 16

// decoder reads the binary form, which begins at byte `at` of the file.
type decoder struct{ values int }

func (d *decoder) message(data []byte, at int64, s schema, depth int) (message, error) {
	if depth > maxNesting {
		return nil, format.Fail(at, "messages lie more than %d deep in each other", maxNesting)
	}
	m := message{}
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
func (d *decoder) field(m message, f field, typ protowire.Type, body []byte, at int64, depth int) error {
	if typ == protowire.BytesType {
		b, _ := protowire.ConsumeBytes(body)
		at += int64(len(body) - len(b))
		switch of := f.of.(type) {
		case schema:
			inner, err := d.message(b, at, of, depth+1)
			if err != nil {
				return err
			}
			return d.add(m, f, value{message: inner}, at)
		case kind:
			switch of {
			case text:
				return d.add(m, f, value{text: string(b)}, at)
			case floats, doubles:
				return d.add(m, f, value{floats: b}, at)
			case float:
				if len(b)%4 != 0 {
					return format.Fail(at, "%s: %d bytes of floats", f.name, len(b))
				}
				for ; len(b) > 0; b = b[4:] {
					v, _ := protowire.ConsumeFixed32(b)
					if err := d.add(m, f, value{number: decimal(v)}, at); err != nil {
						return err
					}
				}
				return nil
			}
		}
		for len(b) > 0 {
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return format.Fail(at, "%s: broken numbers", f.name)
			}
			if err := d.add(m, f, plain(f, v), at); err != nil {
				return err
			}
			b = b[n:]
		}
		return nil
	}
	switch v, _ := protowire.ConsumeVarint(body); {
	case typ == protowire.VarintType && (f.of == number || isWords(f.of)):
		return d.add(m, f, plain(f, v), at)
	case typ == protowire.Fixed32Type && f.of == float:
		bits, _ := protowire.ConsumeFixed32(body)
		return d.add(m, f, value{number: decimal(bits)}, at)
	}
	return format.Fail(at, "%s: wire type %d", f.name, typ)
}

// decimal is the number that somebody wrote, of which the file has the nearest float: 0.0001.
func decimal(bits uint32) float64 {
	v := float64(math.Float32frombits(bits))
	if short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', -1, 32), 64); err == nil {
		return short
	}
	return v
}

func isWords(of any) bool {
	_, ok := of.(words)
	return ok
}

// plain is a number, or the word that an enumeration has for it.
func plain(f field, v uint64) value {
	if list, ok := f.of.(words); ok {
		if v < uint64(len(list)) {
			return value{text: list[v]}
		}
		return value{text: fmt.Sprint(v)}
	}
	return value{number: float64(int64(v))}
}

func (d *decoder) add(m message, f field, v value, at int64) error {
	if d.values++; d.values > maxValues {
		return format.Fail(at, "more than %d values beside weights", maxValues)
	}
	m[f.name] = append(m[f.name], v)
	return nil
}
