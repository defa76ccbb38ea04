package format

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
	"strings"
	"unicode"

	"github.com/vggo/vggo/internal/fault"
	"github.com/vggo/vggo/internal/printable"
)

// Limits of what any file may have, far beyond any network's.
const (
	MaxTensors = 1 << 16 // and as many notes
	MaxName    = 512     // bytes of a tensor's name
	MaxRank    = 16
)

// Tensor is one that is not yet read. Shape and DType must be those of its values: whoever makes a Tensor checks Raw's
// length, and Fetch's before it takes memory.
type Tensor struct {
	Name  string
	Shape []int
	DType DType
	Raw   []byte // little-endian values, row-major, as long as Shape and DType say
	// Fetch makes Raw where the file does not hold it in one piece: compressed, in chunks, transposed. Reading the file
	// has bounded its size already. Several goroutines may call it.
	Fetch func() ([]byte, error)
}

// IsWeight knows what may be a layer's weights, and is no count, bias or statistic.
func (t Tensor) IsWeight() bool { return len(t.Shape) >= 2 && t.DType.HoldsWeights() }

// Weights are those of some tensors that may be a layer's weights.
func Weights(tensors []Tensor) []Tensor {
	return slices.DeleteFunc(slices.Clone(tensors), func(t Tensor) bool { return !t.IsWeight() })
}

// Bytes are the values, from Raw or Fetch.
func (t Tensor) Bytes() ([]byte, error) {
	if t.Fetch != nil {
		return t.Fetch()
	}
	return t.Raw, nil
}

// Floats are the values of a tensor that HoldsWeights. They share the file's memory where they can.
func (t Tensor) Floats() (values []float32, err error) {
	err = fault.Catch(func() error {
		raw, err := t.Bytes()
		if err == nil {
			values = t.DType.Floats(raw)
		}
		return err
	})
	return values, err
}

// List is tensors under names of which none occurs twice.
type List struct {
	Tensors []Tensor
	index   map[string]int
}

// Add takes a tensor in. It refuses what no network has: a name twice or unprintable, a size beyond the address space.
func (l *List) Add(t Tensor) error {
	if len(l.Tensors) == MaxTensors {
		return fmt.Errorf("more than %d tensors", MaxTensors)
	}
	if err := CheckName(t.Name); err != nil {
		return err
	}
	if _, twice := l.index[t.Name]; twice {
		return fmt.Errorf("%q occurs twice", t.Name)
	}
	if len(t.Shape) > MaxRank {
		return fmt.Errorf("tensor %q has %d dimensions: the most is %d", t.Name, len(t.Shape), MaxRank)
	}
	bytes := uint64(t.DType.Size())
	for _, d := range t.Shape {
		hi, lo := bits.Mul64(bytes, uint64(d))
		if d < 0 || hi != 0 || lo > math.MaxInt {
			return fmt.Errorf("tensor %q: shape %s overflows", t.Name, printable.Shape(t.Shape))
		}
		bytes = lo
	}
	if l.index == nil {
		l.index = make(map[string]int)
	}
	l.index[t.Name] = len(l.Tensors)
	l.Tensors = append(l.Tensors, t)
	return nil
}

// Names are those of the tensors, in their order.
func (l *List) Names() []string {
	names := make([]string, len(l.Tensors))
	for i, t := range l.Tensors {
		names[i] = t.Name
	}
	return names
}

// Get returns the tensor of a name.
func (l *List) Get(name string) (Tensor, bool) {
	i, ok := l.index[name]
	if !ok {
		return Tensor{}, false
	}
	return l.Tensors[i], true
}

// Join is the name of what lies under a key of what has a name, which may be empty.
func Join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// CheckName refuses tensor names that no message or listing should have to print.
func CheckName(name string) error {
	if len(name) > MaxName || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("a tensor's name is at most %d bytes without control characters, not %q", MaxName, name)
	}
	return nil
}

// Product is the number of values of a shape that Add has checked.
func Product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Size is the bytes of a shape's values of so many bytes each. ok is false where there are not as many, for a negative
// side and for more than MaxRank sides.
func Size(shape []int, each, there int) (bytes int, ok bool) {
	if len(shape) > MaxRank || slices.ContainsFunc(shape, func(d int) bool { return d < 0 }) {
		return 0, false
	}
	if slices.Contains(shape, 0) {
		return 0, true
	}
	for _, d := range shape {
		if each > there/d {
			return 0, false
		}
		each *= d
	}
	return each, each <= there
}

// FloatBytes are values as little-endian float32.
func FloatBytes(values []float32) []byte {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return raw
}

// WriteFloats writes values as little-endian float32.
func WriteFloats(w io.Writer, data []float32) error {
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

// Natural compares names with the numbers in them as numbers: features.2 before features.10.
func Natural(a, b string) int {
	for a != "" && b != "" {
		na, nb := leadingDigits(a), leadingDigits(b)
		if na > 0 && nb > 0 {
			x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
				return c
			}
			a, b = a[na:], b[nb:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// leadingDigits is the length of the number that a text begins with.
func leadingDigits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}
