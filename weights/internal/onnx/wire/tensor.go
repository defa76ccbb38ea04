package wire

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vggo/vggo/internal/printable"
)

// Tensor is a TensorProto: its values are read when asked for.
type Tensor struct {
	Name string
	Dims []int
	Type Type
	// External is where the values are if they are in a file of their own: location, offset, length. nil: they are here.
	External []Note
	// Make makes the values in place of those of a file; nil for what is in one.
	Make func() ([]byte, error)

	Raw    []byte // raw_data: little-endian values, row-major
	hasRaw bool
	body   message // where values in a typed list are found again
	listed int     // the number of them
	list   protowire.Number
}

// typedList is the field of TensorProto that holds a type's values when they are not raw, and how.
func (t Type) typedList() (num protowire.Number, typ protowire.Type) {
	switch t {
	case FLOAT, COMPLEX64:
		return 4, protowire.Fixed32Type
	case INT32, INT16, INT8, UINT16, UINT8, BOOL, FLOAT16, BFLOAT16:
		return 5, protowire.VarintType
	case INT64:
		return 7, protowire.VarintType
	case DOUBLE, COMPLEX128:
		return 10, protowire.Fixed64Type
	case UINT32, UINT64:
		return 11, protowire.VarintType
	}
	return 0, 0
}

// Size is the number of bytes of one value, 0 for types that have no fixed one or are not known.
func (t Type) Size() int {
	switch t {
	case UINT8, INT8, BOOL:
		return 1
	case UINT16, INT16, FLOAT16, BFLOAT16:
		return 2
	case FLOAT, INT32, UINT32:
		return 4
	case INT64, DOUBLE, UINT64, COMPLEX64:
		return 8
	case COMPLEX128:
		return 16
	}
	return 0
}

// maxFields bounds the fields of a tensor that hold no number: name, type, sides, notes.
const maxFields = 100

// DecodeTensor reads a TensorProto that is a file of its own.
func DecodeTensor(data []byte) (*Tensor, error) {
	d := decoder{left: maxModel}
	t := &Tensor{}
	return t, d.tensor(field{typ: protowire.BytesType, bytes: data}, t)
}

func (d *decoder) tensor(f field, t *Tensor) error {
	m, err := f.message("a tensor")
	if err != nil {
		return err
	}
	if err := d.take(f, 512); err != nil {
		return err
	}
	t.body = m
	var dims []int64
	var location int64
	counts := map[protowire.Number]int{}
	fields := 0
	err = m.each(func(f field) error {
		fields++
		switch f.num {
		case 1:
			return numbers(d, f, &dims, protowire.VarintType, asInt)
		case 2:
			return f.int((*int64)(&t.Type))
		case 3:
			return f.fail("a tensor in segments, which no library writes")
		case 4:
			return count(f, protowire.Fixed32Type, counts)
		case 5, 7, 11:
			return count(f, protowire.VarintType, counts)
		case 6: // texts: no network's
			counts[6]++
			return f.want(protowire.BytesType)
		case 8:
			return d.text(f, &t.Name)
		case 9:
			if t.hasRaw {
				return f.fail("raw_data twice")
			}
			t.Raw, t.hasRaw = f.bytes, true
			return f.want(protowire.BytesType)
		case 10:
			return count(f, protowire.Fixed64Type, counts)
		case 13:
			var n Note
			err := d.note(f, &n)
			t.External = append(t.External, n)
			return err
		case 14:
			return f.int(&location)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(t.Name) <= 100 {
		m.what = fmt.Sprintf("tensor %q", t.Name)
	}
	for _, n := range counts {
		fields -= n
	}
	if fields > maxFields { // each look at the values walks over them
		return m.fail(m.at, "%d fields beside its numbers", fields)
	}
	if len(dims) > maxRank {
		return m.fail(m.at, "%d dimensions: the most is %d", len(dims), maxRank)
	}
	for _, dim := range dims {
		if dim < 0 || int64(int(dim)) != dim {
			return m.fail(m.at, "a dimension of %d", dim)
		}
		t.Dims = append(t.Dims, int(dim))
	}
	switch location {
	case 0:
		t.External = nil
		return t.check(m, counts)
	case 1:
		if t.hasRaw || len(counts) > 0 {
			return m.fail(m.at, "values both here and in another file")
		}
		if t.External == nil {
			return m.fail(m.at, "external data without a location")
		}
		return nil
	}
	return m.fail(m.at, "unknown data_location %d", location)
}

// count adds the numbers of a typed list up.
func count(f field, typ protowire.Type, counts map[protowire.Number]int) error {
	if f.typ == typ {
		counts[f.num]++
		return nil
	}
	if err := f.want(protowire.BytesType); err != nil {
		return err
	}
	if typ == protowire.VarintType { // each ends with a byte below 128
		for _, b := range f.bytes {
			if b < 0x80 {
				counts[f.num]++
			}
		}
		return nil
	}
	size := fixedSize(typ)
	if len(f.bytes)%size != 0 {
		return f.fail("%d bytes are no numbers of %d bytes", len(f.bytes), size)
	}
	counts[f.num] += len(f.bytes) / size
	return nil
}

func fixedSize(typ protowire.Type) int {
	if typ == protowire.Fixed32Type {
		return 4
	}
	return 8
}

// check holds the values against shape and type: after it, Bytes gives as many as they say.
func (t *Tensor) check(m message, counts map[protowire.Number]int) error {
	size := t.Type.Size()
	if size == 0 { // texts and types yet to come: nothing that Bytes could give
		return nil
	}
	n, ok := t.bytes()
	if !ok {
		return m.fail(m.at, "shape %s overflows", printable.Shape(t.Dims))
	}
	if t.hasRaw {
		if len(counts) > 0 {
			return m.fail(m.at, "values both raw and in a list")
		}
		if len(t.Raw) != n {
			return m.fail(m.at, "shape %s takes %d bytes, but there are %d", printable.Shape(t.Dims), n, len(t.Raw))
		}
		return nil
	}
	var typ protowire.Type
	t.list, typ = t.Type.typedList()
	t.listed = counts[t.list]
	delete(counts, t.list)
	if len(counts) > 0 {
		return m.fail(m.at, "values in the list of another type than %d", t.Type)
	}
	each := size
	if typ != protowire.VarintType {
		each = fixedSize(typ) // a complex number is two
	}
	if t.listed != n/each {
		return m.fail(m.at, "shape %s holds %d numbers, but there are %d", printable.Shape(t.Dims), n/each, t.listed)
	}
	return nil
}

// bytes is the size of the values.
func (t *Tensor) bytes() (int, bool) {
	n := uint64(t.Type.Size())
	for _, dim := range t.Dims {
		hi, lo := bits.Mul64(n, uint64(dim))
		if hi != 0 || int(lo) < 0 || uint64(int(lo)) != lo {
			return 0, false
		}
		n = lo
	}
	return int(n), true
}

// View is the values' bytes where the file holds them in one piece.
func (t *Tensor) View() ([]byte, bool) {
	if t.External != nil || t.Make != nil || t.Type.Size() == 0 {
		return nil, false
	}
	if t.hasRaw {
		return t.Raw, true
	}
	if t.Type != FLOAT && t.Type != DOUBLE {
		return nil, false
	}
	var piece []byte
	pieces := 0
	_ = t.body.each(func(f field) error { // it has been walked before
		if f.num == t.list {
			piece, pieces = f.bytes, pieces+1
			if f.typ != protowire.BytesType {
				pieces = 2
			}
		}
		return nil
	})
	return piece, pieces == 1
}

// Bytes makes the values' bytes, little-endian and row-major, whatever field holds them; at most twice as many as the
// file's for 16-bit types, and eight times for integers.
func (t *Tensor) Bytes() ([]byte, error) {
	if view, ok := t.View(); ok {
		return view, nil
	}
	if t.Make != nil {
		return t.Make()
	}
	size := t.Type.Size()
	if size == 0 || t.External != nil {
		return nil, fmt.Errorf("tensor %q: no values of type %d here", t.Name, t.Type)
	}
	_, typ := t.Type.typedList()
	n, _ := t.bytes()
	out := make([]byte, 0, n)
	put := func(v uint64) error {
		switch {
		case typ == protowire.Fixed32Type || typ == protowire.VarintType && size == 4:
			out = binary.LittleEndian.AppendUint32(out, uint32(v))
		case size == 1:
			out = append(out, byte(v))
		case size == 2:
			out = binary.LittleEndian.AppendUint16(out, uint16(v))
		default:
			out = binary.LittleEndian.AppendUint64(out, v)
		}
		return nil
	}
	err := t.body.each(func(f field) error {
		if f.num != t.list {
			return nil
		}
		return f.eachNumber(typ, put)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Int64s are the values of an integer tensor, of which there may be at most limit.
func (t *Tensor) Int64s(limit int) ([]int64, error) {
	n, ok := t.bytes()
	size := t.Type.Size()
	if t.Type != INT64 && t.Type != INT32 {
		return nil, fmt.Errorf("tensor %q is of type %d, not of integers", t.Name, t.Type)
	}
	if !ok || n/size > limit {
		return nil, fmt.Errorf("tensor %q: more than %d integers", t.Name, limit)
	}
	b, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	list := make([]int64, 0, n/size)
	for at := 0; at < len(b); at += size {
		if t.Type == INT32 {
			list = append(list, int64(int32(binary.LittleEndian.Uint32(b[at:]))))
		} else {
			list = append(list, int64(binary.LittleEndian.Uint64(b[at:])))
		}
	}
	return list, nil
}

// NewTensor makes a tensor of raw values, as many bytes as type and dims say.
func NewTensor(name string, t Type, dims []int, raw []byte) *Tensor {
	return &Tensor{Name: name, Type: t, Dims: dims, Raw: raw, hasRaw: true}
}
