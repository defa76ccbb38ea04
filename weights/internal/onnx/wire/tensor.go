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
}

// stored is the bytes of a value, and the field of TensorProto that holds such values when they are not raw, and how.
type stored struct {
	size int
	list protowire.Number
	as   protowire.Type
}

var storage = map[Type]stored{
	FLOAT: {4, 4, protowire.Fixed32Type}, COMPLEX64: {8, 4, protowire.Fixed32Type},
	UINT8: {1, 5, protowire.VarintType}, INT8: {1, 5, protowire.VarintType}, BOOL: {1, 5, protowire.VarintType},
	UINT16: {2, 5, protowire.VarintType}, INT16: {2, 5, protowire.VarintType}, FLOAT16: {2, 5, protowire.VarintType},
	BFLOAT16: {2, 5, protowire.VarintType}, INT32: {4, 5, protowire.VarintType},
	INT64:  {8, 7, protowire.VarintType},
	DOUBLE: {8, 10, protowire.Fixed64Type}, COMPLEX128: {16, 10, protowire.Fixed64Type},
	UINT32: {4, 11, protowire.VarintType}, UINT64: {8, 11, protowire.VarintType},
}

// Size is the number of bytes of one value, 0 for types that have no fixed one or are not known.
func (t Type) Size() int { return storage[t].size }

// maxFields bounds the fields of a tensor that hold no number: name, type, sides, notes.
const maxFields = 100

// partial is a Tensor as it is read, before it is checked.
type partial struct {
	*Tensor
	dims     []int64
	location int64
	counts   map[protowire.Number]int // of its typed lists' numbers
}

var tensorProto = schema[partial]{
	1: numbers(func(t *partial) *[]int64 { return &t.dims }, protowire.VarintType, asInt),
	2: integer(func(t *partial) *Type { return &t.Type }),
	3: func(_ *decoder, f field, _ *partial) error {
		return f.fail("a tensor in segments, which no library writes")
	},
	4: countList, 5: countList, 6: countList, 7: countList, 10: countList, 11: countList,
	8: text(func(t *partial) *string { return &t.Name }),
	9: func(_ *decoder, f field, t *partial) error {
		if t.hasRaw {
			return f.fail("raw_data twice")
		}
		t.Raw, t.hasRaw = f.bytes, true
		return f.want(protowire.BytesType)
	},
	13: list("a note", 32, func(t *partial) *[]Note { return &t.External }, noteProto),
	14: integer(func(t *partial) *int64 { return &t.location }),
}

func countList(_ *decoder, f field, t *partial) error {
	n, err := f.count(listTypes[f.num])
	t.counts[f.num] += n
	return err
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
	read := &partial{Tensor: t, counts: map[protowire.Number]int{}}
	fields := 0
	err = m.each(func(f field) error {
		if fields++; tensorProto[f.num] == nil {
			return nil
		}
		return tensorProto[f.num](d, f, read)
	})
	if err != nil {
		return err
	}
	dims, counts := read.dims, read.counts
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
	switch read.location {
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
	return m.fail(m.at, "unknown data_location %d", read.location)
}

// listTypes are how the typed lists hold their numbers. Texts, which no network has, are one by one.
var listTypes = map[protowire.Number]protowire.Type{4: protowire.Fixed32Type, 5: protowire.VarintType,
	6: protowire.BytesType, 7: protowire.VarintType, 10: protowire.Fixed64Type, 11: protowire.VarintType}

// count is how many numbers of a typed list a field holds.
func (f field) count(typ protowire.Type) (n int, err error) {
	if f.typ == typ {
		return 1, nil
	}
	if err := f.want(protowire.BytesType); err != nil || typ == protowire.BytesType {
		return 0, err
	}
	if typ == protowire.VarintType { // each ends with a byte below 128
		for _, b := range f.bytes {
			if b < 0x80 {
				n++
			}
		}
		return n, nil
	}
	size := fixedSize(typ)
	if len(f.bytes)%size != 0 {
		return 0, f.fail("%d bytes are no numbers of %d bytes", len(f.bytes), size)
	}
	return len(f.bytes) / size, nil
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
	n, ok := t.Size()
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
	in := storage[t.Type]
	listed := counts[in.list]
	delete(counts, in.list)
	if len(counts) > 0 {
		return m.fail(m.at, "values in the list of another type than %d", t.Type)
	}
	each := size
	if in.as != protowire.VarintType {
		each = fixedSize(in.as) // a complex number is two
	}
	if listed != n/each {
		return m.fail(m.at, "shape %s holds %d numbers, but there are %d", printable.Shape(t.Dims), n/each, listed)
	}
	return nil
}

// Size is the bytes of the values. ok is false where an int cannot count them.
func (t *Tensor) Size() (bytes int, ok bool) {
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
		if f.num == storage[t.Type].list {
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
	in := storage[t.Type]
	n, _ := t.Size()
	out := make([]byte, 0, n)
	put := func(v uint64) error {
		switch {
		case in.as == protowire.Fixed32Type || in.as == protowire.VarintType && size == 4:
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
		if f.num != in.list {
			return nil
		}
		return f.eachNumber(in.as, put)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Int64s are the values of an integer tensor, of which there may be at most limit.
func (t *Tensor) Int64s(limit int) ([]int64, error) {
	n, ok := t.Size()
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

// NewInts makes a list of integers.
func NewInts[N int | int64](name string, list ...N) *Tensor {
	var raw []byte
	for _, v := range list {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return NewTensor(name, INT64, []int{len(list)}, raw)
}

// NewTensor makes a tensor of raw values, as many bytes as type and dims say.
func NewTensor(name string, t Type, dims []int, raw []byte) *Tensor {
	return &Tensor{Name: name, Type: t, Dims: dims, Raw: raw, hasRaw: true}
}
