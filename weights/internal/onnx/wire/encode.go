package wire

import (
	"fmt"
	"io"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vggo/vggo/internal/printable"
)

// maxFile is protobuf's limit: readers count bytes in an int32.
const maxFile = math.MaxInt32

// Encode writes a ModelProto. values writes the raw values of initializer i, as many bytes as its shape and type say,
// which begin at a multiple of 4 bytes of the file, so that a mapped reader finds floats aligned; a tensor with Raw of
// its own is written from that. A model beyond protobuf's limit of 2 GB is refused before anything is written.
func Encode(w io.Writer, m *Model, values func(w io.Writer, i int) error) error {
	var nodes, tail []byte
	for i := range m.Graph.Nodes {
		nodes = appendMessage(nodes, 1, m.Graph.Nodes[i].encode())
	}
	nodes = appendText(nodes, 2, m.Graph.Name)
	for _, v := range m.Graph.Inputs {
		tail = appendMessage(tail, 11, v.encode())
	}
	for _, v := range m.Graph.Outputs {
		tail = appendMessage(tail, 12, v.encode())
	}

	var head []byte
	head = appendInt(head, 1, m.IR)
	head = appendText(head, 2, m.Producer)
	var foot []byte
	for _, o := range m.Opsets {
		foot = appendMessage(foot, 8, appendInt(appendText(nil, 1, o.Domain), 2, o.Version))
	}
	for _, n := range m.Metadata {
		foot = appendMessage(foot, 14, n.encode())
	}

	// The padding depends on where a tensor lies, and so on the length of the graph's own length, which depends on the
	// padding: hence the length is written in five bytes, as protobuf allows.
	const lengthBytes = 5
	head = protowire.AppendTag(head, 7, protowire.BytesType)
	at := len(head) + lengthBytes + len(nodes)
	start := at - len(nodes)
	heads := make([][]byte, len(m.Graph.Initializers))
	for i := range m.Graph.Initializers {
		t := &m.Graph.Initializers[i]
		n, ok := t.Size()
		if !ok || n > maxFile {
			return fmt.Errorf("tensor %q of shape %s is beyond protobuf's limit of 2 GB", t.Name, printable.Shape(t.Dims))
		}
		heads[i] = t.head(at, n)
		if n > maxFile-at-len(heads[i]) {
			return fmt.Errorf("the model is beyond protobuf's limit of 2 GB")
		}
		at += len(heads[i]) + n
	}
	graph := at + len(tail) - start
	if len(tail)+len(foot) > maxFile-at {
		return fmt.Errorf("the model is beyond protobuf's limit of 2 GB")
	}
	head = appendLong(head, graph, lengthBytes)
	if _, err := w.Write(append(head, nodes...)); err != nil {
		return err
	}
	for i := range m.Graph.Initializers {
		if _, err := w.Write(heads[i]); err != nil {
			return err
		}
		if raw := m.Graph.Initializers[i].Raw; raw != nil {
			if _, err := w.Write(raw); err != nil {
				return err
			}
		} else if err := values(w, i); err != nil {
			return err
		}
	}
	_, err := w.Write(append(tail, foot...))
	return err
}

// appendLong writes a number in a given number of bytes.
func appendLong(b []byte, v, bytes int) []byte {
	for range bytes - 1 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

// head is a tensor's field of the graph up to its n raw bytes, for a field that begins at byte `at` of the file. A
// doc_string of blanks aligns them.
func (t *Tensor) head(at, n int) []byte {
	var fields []byte
	for _, d := range t.Dims {
		fields = appendInt(fields, 1, int64(d))
	}
	fields = appendInt(fields, 2, int64(t.Type))
	fields = appendText(fields, 8, t.Name)
	for blanks := 0; ; blanks++ {
		body := fields
		if blanks > 0 {
			body = appendText(fields[:len(fields):len(fields)], 12, strings.Repeat(" ", blanks-1))
		}
		body = protowire.AppendTag(body[:len(body):len(body)], 9, protowire.BytesType)
		body = protowire.AppendVarint(body, uint64(n))
		head := protowire.AppendTag(nil, 5, protowire.BytesType)
		head = protowire.AppendVarint(head, uint64(len(body)+n))
		head = append(head, body...)
		if (at+len(head))%4 == 0 {
			return head
		}
	}
}

func (n *Node) encode() []byte {
	var b []byte
	for _, s := range n.Inputs {
		b = appendText(b, 1, s)
	}
	for _, s := range n.Outputs {
		b = appendText(b, 2, s)
	}
	b = appendText(b, 3, n.Name)
	b = appendText(b, 4, n.Op)
	for _, a := range n.Attributes {
		b = appendMessage(b, 5, a.encode())
	}
	return b
}

func (a *Attribute) encode() []byte {
	b := appendText(nil, 1, a.Name)
	switch a.Kind {
	case Float:
		b = protowire.AppendTag(b, 2, protowire.Fixed32Type)
		b = protowire.AppendFixed32(b, math.Float32bits(a.Float))
	case Int:
		b = appendInt(b, 3, a.Int)
	case Text:
		b = appendText(b, 4, a.Text)
	case Ints:
		for _, v := range a.Ints {
			b = appendInt(b, 8, v)
		}
	}
	return appendInt(b, 20, int64(a.Kind))
}

func (v *Value) encode() []byte {
	var dims []byte
	for _, d := range v.Dims {
		if d.Size >= 0 {
			dims = appendMessage(dims, 1, appendInt(nil, 1, d.Size))
		} else {
			dims = appendMessage(dims, 1, appendText(nil, 2, d.Param))
		}
	}
	tensor := appendMessage(appendInt(nil, 1, int64(v.Type)), 2, dims)
	return appendMessage(appendText(nil, 1, v.Name), 2, appendMessage(nil, 1, tensor))
}

func (n *Note) encode() []byte { return appendText(appendText(nil, 1, n.Key), 2, n.Value) }

func appendMessage(b []byte, num protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), m)
}

func appendText(b []byte, num protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func appendInt(b []byte, num protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
}
