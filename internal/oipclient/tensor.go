package oipclient

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strconv"
)

// Datatype is a tensor's element type, by the name that the protocol gives it (Tensor Data Types).
type Datatype string

const (
	Bool   Datatype = "BOOL"
	Uint8  Datatype = "UINT8"
	Uint16 Datatype = "UINT16"
	Uint32 Datatype = "UINT32"
	Uint64 Datatype = "UINT64"
	Int8   Datatype = "INT8"
	Int16  Datatype = "INT16"
	Int32  Datatype = "INT32"
	Int64  Datatype = "INT64"
	FP16   Datatype = "FP16"
	BF16   Datatype = "BF16" // of KServe's table, not OIP's
	FP32   Datatype = "FP32"
	FP64   Datatype = "FP64"
	Bytes  Datatype = "BYTES"
)

// sizes are the bytes of an element; BYTES has none of its own.
var sizes = map[Datatype]int{
	Bool: 1, Uint8: 1, Uint16: 2, Uint32: 4, Uint64: 8, Int8: 1, Int16: 2, Int32: 4, Int64: 8,
	FP16: 2, BF16: 2, FP32: 4, FP64: 8, Bytes: 0,
}

// maxRank bounds a shape. The protocol has no bound; this one is far beyond any network's.
const maxRank = 32

// Tensor is an input or an output. However it travels, Data holds it as binary data has it (Binary Tensor Request): row-major,
// little-endian, each element of BYTES after its length in four bytes.
type Tensor struct {
	Name     string
	Datatype Datatype
	Shape    []int
	Data     []byte
	// Parameters are strings, float64s and bools, by name. Those that the binary extension defines are not among them.
	Parameters map[string]any
}

// Element is what a Tensor's elements are in Go. FP16 and BF16 have no such type: their Data is at hand.
type Element interface {
	bool | uint8 | uint16 | uint32 | uint64 | int8 | int16 | int32 | int64 | float32 | float64 | string
}

func datatypeOf[T Element]() Datatype {
	switch any(*new(T)).(type) {
	case bool:
		return Bool
	case uint8:
		return Uint8
	case uint16:
		return Uint16
	case uint32:
		return Uint32
	case uint64:
		return Uint64
	case int8:
		return Int8
	case int16:
		return Int16
	case int32:
		return Int32
	case int64:
		return Int64
	case float32:
		return FP32
	case float64:
		return FP64
	}
	return Bytes
}

// TensorOf makes a tensor of values in row-major order. Client.Infer compares their number with the shape.
func TensorOf[T Element](name string, shape []int, values []T) Tensor {
	t := Tensor{Name: name, Datatype: datatypeOf[T](), Shape: shape}
	if texts, ok := any(values).([]string); ok {
		for _, s := range texts {
			t.Data = appendBytes(t.Data, s)
		}
		return t
	}
	var b bytes.Buffer
	b.Grow(binary.Size(values))
	_ = binary.Write(&b, binary.LittleEndian, values) // a slice of fixed-size values into memory: cannot fail
	t.Data = b.Bytes()
	return t
}

// Values are a tensor's elements in row-major order. Another datatype than T's is an error.
func Values[T Element](t *Tensor) ([]T, error) {
	if want := datatypeOf[T](); t.Datatype != want {
		return nil, fmt.Errorf("tensor %q is %s, not %s", t.Name, t.Datatype, want)
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	count, _ := product(t.Shape) // check has seen to it
	values := make([]T, count)
	if texts, ok := any(values).([]string); ok {
		rest := t.Data
		for i := range texts {
			n := binary.LittleEndian.Uint32(rest)
			texts[i] = string(rest[4 : 4+n])
			rest = rest[4+n:]
		}
		return values, nil
	}
	return values, binary.Read(bytes.NewReader(t.Data), binary.LittleEndian, values)
}

// appendBytes appends an element of BYTES.
func appendBytes(data []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(data, uint32(len(s))), s...)
}

// product is the number of elements; ok is false where an int does not hold it.
func product(shape []int) (n int, ok bool) {
	n = 1
	for _, d := range shape {
		if d < 0 {
			return 0, false
		}
		hi, lo := bits.Mul64(uint64(n), uint64(d))
		if hi != 0 || lo > math.MaxInt {
			return 0, false
		}
		n = int(lo)
	}
	return n, true
}

// check holds Data against datatype and shape.
func (t *Tensor) check() error {
	size, ok := sizes[t.Datatype]
	if !ok {
		return dataTypes.violated("tensor %q: %q is no datatype", t.Name, t.Datatype)
	}
	if len(t.Shape) > maxRank {
		return fmt.Errorf("tensor %q has %d dimensions, more than this client's %d", t.Name, len(t.Shape), maxRank)
	}
	count, ok := product(t.Shape)
	if !ok {
		return responseOutput.violated("tensor %q: shape %v has no number of elements", t.Name, t.Shape)
	}
	switch {
	case t.Datatype == Bytes:
		return t.checkBytes(count)
	case len(t.Data)%size != 0 || len(t.Data)/size != count:
		return binaryData.violated("tensor %q: %d bytes of data, where %d elements of %s are %d bytes each",
			t.Name, len(t.Data), count, t.Datatype, size)
	case t.Datatype == Bool:
		for i, b := range t.Data {
			if b > 1 {
				return binaryData.violated("tensor %q: element %d of BOOL is the byte %d, not 0 or 1", t.Name, i, b)
			}
		}
	}
	return nil
}

func (t *Tensor) checkBytes(count int) error {
	rest := t.Data
	for i := range count {
		if len(rest) < 4 || uint64(binary.LittleEndian.Uint32(rest)) > uint64(len(rest)-4) {
			return binaryData.violated("tensor %q: the data ends within element %d of %d", t.Name, i, count)
		}
		rest = rest[4+binary.LittleEndian.Uint32(rest):]
	}
	if len(rest) != 0 {
		return binaryData.violated("tensor %q: %d bytes of data are left after its %d elements", t.Name, len(rest), count)
	}
	return nil
}

// parseData reads "data" in JSON, flat or nested as the shape is, into Data.
func (t *Tensor) parseData(text []byte) error {
	c := cursor{text: text}
	if !c.take('[') {
		return tensorData.violated("tensor %q: data is %s, not an array", t.Name, short(text))
	}
	if t.Datatype == FP16 || t.Datatype == BF16 {
		return tensorData.violated("tensor %q: %s in JSON has no agreed form", t.Name, t.Datatype)
	}
	count, ok := product(t.Shape)
	if !ok || count > len(text)/2 { // an element and its comma or bracket take two bytes at least
		return tensorData.violated("tensor %q: shape %v holds more than the data in %d bytes of JSON", t.Name, t.Shape, len(text))
	}
	t.Data = make([]byte, 0, count*max(4, sizes[t.Datatype]))
	shape := []int{count}
	if c.next() == '[' {
		shape = t.Shape
	}
	c.at = 0
	return t.parseNested(&c, shape)
}

func (t *Tensor) parseNested(c *cursor, shape []int) error {
	if len(shape) == 0 {
		return t.parseElement(c.value())
	}
	if !c.take('[') {
		return tensorData.violated("tensor %q: data is neither flat nor nested as the shape %v", t.Name, t.Shape)
	}
	for i := range shape[0] {
		if i > 0 && !c.take(',') || c.next() == ']' {
			return tensorData.violated("tensor %q: data has %d elements where the shape %v wants %d", t.Name, i, t.Shape, shape[0])
		}
		if err := t.parseNested(c, shape[1:]); err != nil {
			return err
		}
	}
	if !c.take(']') {
		return tensorData.violated("tensor %q: data has more than the %d elements that the shape %v wants", t.Name, shape[0], t.Shape)
	}
	return nil
}

// parseElement appends one element's bytes to Data.
func (t *Tensor) parseElement(text []byte) error {
	wrong := func() error {
		return tensorData.violated("tensor %q: data holds %s, which is no %s", t.Name, short(text), t.Datatype)
	}
	order := binary.LittleEndian
	size := sizes[t.Datatype]
	switch t.Datatype {
	case Bool:
		switch string(text) {
		case "true":
			t.Data = append(t.Data, 1)
		case "false":
			t.Data = append(t.Data, 0)
		default:
			return wrong()
		}
		return nil
	case Bytes:
		s, ok := parseString(text)
		if !ok {
			return wrong()
		}
		t.Data = appendBytes(t.Data, s)
		return nil
	case FP32, FP64:
		v, err := strconv.ParseFloat(string(text), 8*size) // the text is JSON: no NaN, no underscores
		if err != nil || !isNumber(text) {
			return wrong()
		}
		if t.Datatype == FP32 {
			t.Data = order.AppendUint32(t.Data, math.Float32bits(float32(v)))
		} else {
			t.Data = order.AppendUint64(t.Data, math.Float64bits(v))
		}
		return nil
	}
	var bits uint64
	var err error
	if t.Datatype[0] == 'U' {
		bits, err = strconv.ParseUint(string(text), 10, 8*size)
	} else {
		var v int64
		v, err = strconv.ParseInt(string(text), 10, 8*size)
		bits = uint64(v)
	}
	if err != nil || !isNumber(text) {
		return wrong()
	}
	for range size {
		t.Data = append(t.Data, byte(bits))
		bits >>= 8
	}
	return nil
}

// isNumber tells a number from the other JSON values.
func isNumber(text []byte) bool {
	return len(text) > 0 && (text[0] == '-' || '0' <= text[0] && text[0] <= '9')
}
