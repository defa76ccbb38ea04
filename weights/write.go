package weights

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"github.com/vggo/vggo/internal/durable"
	"github.com/vggo/vggo/internal/fault"
	"github.com/vggo/vggo/internal/printable"
)

// Write writes tensors to a safetensors file as F32, in the order given, with notes that may be nil. The file appears
// under its name complete or not at all; one that was there before is replaced, and may be open and mapped meanwhile.
//
// sources are the open files whose Data the tensors have. One that was shortened meanwhile, of which zeros may have
// been written (see File.Check), is an error, and then no file appears.
func Write(path string, tensors []Tensor, notes map[string]string, sources ...*File) error {
	return WriteContext(context.Background(), path, tensors, notes, sources...)
}

// WriteContext is Write that is given up when ctx ends: its cause is the error then, and no file appears.
func WriteContext(ctx context.Context, path string, tensors []Tensor, notes map[string]string, sources ...*File) error {
	header, err := safetensorsHeader(tensors, notes)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return writeFrom(ctx, path, sources, func(w io.Writer) error { return encode(w, header, tensors) })
}

// Encode writes the bytes that a file of Write holds.
func Encode(w io.Writer, tensors []Tensor, notes map[string]string) error {
	header, err := safetensorsHeader(tensors, notes)
	if err != nil {
		return err
	}
	return encode(w, header, tensors)
}

func encode(w io.Writer, header []byte, tensors []Tensor) error {
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, t := range tensors {
		if err := writeFloats(w, t.Data); err != nil {
			return err
		}
	}
	return nil
}

// safetensorsHeader is the length and the JSON, padded to a multiple of 8 bytes so that a mapped reader finds its
// floats aligned.
func safetensorsHeader(tensors []Tensor, notes map[string]string) ([]byte, error) {
	if max(len(tensors), len(notes)) > maxTensors {
		return nil, fmt.Errorf("%d tensors and %d notes: a file has at most %d of each", len(tensors), len(notes), maxTensors)
	}
	type field struct {
		DType   DType  `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	var buf bytes.Buffer
	buf.Write(make([]byte, 8))
	buf.WriteByte('{')
	put := func(name string, value any) error {
		if buf.Len() > 9 {
			buf.WriteByte(',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		buf.Write(key)
		buf.WriteByte(':')
		buf.Write(text)
		return nil
	}
	if len(notes) > 0 {
		if err := put(metadata, notes); err != nil {
			return nil, err
		}
	}
	seen := make(map[string]bool, len(tensors))
	at := 0
	for _, t := range tensors {
		if err := checkName(t.Name); err != nil {
			return nil, err
		}
		switch {
		case t.Name == metadata:
			return nil, fmt.Errorf("%q names a file's notes, not a tensor", t.Name)
		case seen[t.Name]:
			return nil, fmt.Errorf("two tensors cannot both be named %q", t.Name)
		}
		seen[t.Name] = true
		if count := product(t.Shape); count != len(t.Data) {
			return nil, fmt.Errorf("tensor %q: shape %s holds %d values, not %d", t.Name, printable.Shape(t.Shape), count,
				len(t.Data))
		}
		end := at + 4*len(t.Data)
		if err := put(t.Name, field{F32, append([]int{}, t.Shape...), [2]int{at, end}}); err != nil {
			return nil, err
		}
		at = end
	}
	buf.WriteByte('}')
	for buf.Len()%8 != 0 {
		buf.WriteByte(' ')
	}
	n := buf.Len() - 8
	if n > maxHeader {
		return nil, fmt.Errorf("a header of %d bytes is longer than the format's limit of %d", n, maxHeader)
	}
	binary.LittleEndian.PutUint64(buf.Bytes(), uint64(n))
	return buf.Bytes(), nil
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// writeFrom writes a file whole, asking in the end whether the files that its values come from were whole all the
// while.
func writeFrom(ctx context.Context, path string, sources []*File, write func(io.Writer) error) error {
	return durable.WriteContext(ctx, path, func(w io.Writer) error {
		if err := write(w); err != nil {
			return err
		}
		for _, source := range sources {
			if err := source.Check(); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeFloats writes values as little-endian float32.
func writeFloats(w io.Writer, data []float32) error {
	return fault.Catch(func() error { // data may be mapped from another file
		var block [1 << 14]byte
		for len(data) > 0 {
			n := min(len(data), len(block)/4)
			bytes, err := binary.Append(block[:0], binary.LittleEndian, data[:n])
			if err != nil {
				return err
			}
			if _, err := w.Write(bytes); err != nil {
				return err
			}
			data = data[n:]
		}
		return nil
	})
}
