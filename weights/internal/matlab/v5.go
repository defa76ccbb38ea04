package matlab

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Elements of a MATLAB 5 file ("MAT-File Format", table 1-1) and classes of its arrays (table 1-3).
const (
	miUTF8, miUTF16 = 16, 17
	miInt32         = 5
	miUint32        = 6
	miMatrix        = 14
	miCompressed    = 15

	mxCell, mxStruct, mxObject, mxChar, mxSparse = 1, 2, 3, 4, 5

	headerSize = 128
)

var (
	stored = map[uint32]string{1: "I8", 2: "U8", 3: "I16", 4: "U16", 5: "I32", 6: "U32", 7: "F32", 9: "F64", 12: "I64",
		13: "U64"}
	classes = map[byte]string{6: "F64", 7: "F32", 8: "I8", 9: "U8", 10: "I16", 11: "U16", 12: "I32", 13: "U32", 14: "I64",
		15: "U64"}
)

func isV5(head []byte) bool {
	return len(head) >= headerSize && bytes.HasPrefix(head, []byte("MATLAB 5.0")) &&
		(string(head[124:128]) == "\x00\x01IM" || string(head[124:128]) == "\x01\x00MI")
}

// v5 reads elements one after another.
type v5 struct {
	data   []byte
	order  binary.ByteOrder
	values *int // read so far
}

func readV5(data []byte) ([]Variable, error) {
	if !isV5(data) {
		return nil, errors.New("no MATLAB file")
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if string(data[126:128]) == "MI" {
		order = binary.BigEndian
	}
	r := &v5{data[headerSize:], order, new(int)}
	var list []Variable
	inflated := 0
	for len(r.data) > 0 {
		at := len(data) - len(r.data)
		kind, body, err := r.element()
		if err == nil && kind == miCompressed {
			var one []byte
			if one, err = inflate(body, order, maxInflated-inflated); err == nil {
				inflated += len(one)
				kind, body, err = (&v5{one, order, r.values}).element()
			}
		}
		if err == nil && kind == miMatrix {
			var v Variable
			v.Name, v.Value, err = (&v5{body, order, r.values}).matrix(0)
			list = append(list, v)
		}
		if err != nil {
			return nil, fmt.Errorf("the variable at byte %d: %w", at, err)
		}
	}
	return list, nil
}

// inflate is the one element that zlib compressed, whose tag tells its size.
func inflate(body []byte, order binary.ByteOrder, most int) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	tag := make([]byte, 8)
	if _, err := io.ReadFull(z, tag); err != nil {
		return nil, fmt.Errorf("compressed: %w", err)
	}
	const ratio = 1032 // 258 bytes to 2 bits, the most that deflate can shrink
	size := 8 + int(order.Uint32(tag[4:]))
	if size > most || size/ratio > len(body) {
		return nil, fmt.Errorf("%d compressed bytes cannot hold %d, or %d are left to be taken", len(body), size, most)
	}
	one := make([]byte, size)
	copy(one, tag)
	if _, err := io.ReadFull(z, one[8:]); err != nil {
		return nil, fmt.Errorf("compressed: %w", err)
	}
	if n, err := io.Copy(io.Discard, io.LimitReader(z, 1)); n > 0 || err != nil { // where the checksum is looked at
		return nil, fmt.Errorf("compressed: longer than it says, or broken: %v", err)
	}
	return one, nil
}

// element takes the next one: its type, or a small one's, and its bytes.
func (r *v5) element() (kind uint32, body []byte, err error) {
	if len(r.data) < 8 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	kind = r.order.Uint32(r.data)
	if small := kind >> 16; small != 0 {
		if small > 4 {
			return 0, nil, fmt.Errorf("a small element of %d bytes", small)
		}
		body, r.data = r.data[4:4+small:4+small], r.data[8:]
		return kind & 0xffff, body, nil
	}
	size := uint64(r.order.Uint32(r.data[4:]))
	if size > uint64(len(r.data)-8) {
		return 0, nil, fmt.Errorf("an element of %d bytes where %d are left", size, len(r.data)-8)
	}
	body = r.data[8 : 8+size : 8+size]
	padded := 8 + size
	if kind != miCompressed {
		padded = min((padded+7)&^7, uint64(len(r.data)))
	}
	r.data = r.data[padded:]
	return kind, body, nil
}

// want takes the next element, which must be of a type.
func (r *v5) want(kind uint32, what string) ([]byte, error) {
	got, body, err := r.element()
	if err == nil && got != kind {
		err = fmt.Errorf("%s of type %d, not %d", what, got, kind)
	}
	return body, err
}

// matrix reads an array and its name.
func (r *v5) matrix(depth int) (name string, v *Value, err error) {
	if *r.values++; depth > maxDepth || *r.values > maxValues {
		return "", nil, errDeep
	}
	if len(r.data) == 0 { // MATLAB's way to write an empty array in a cell
		return "", &Value{Class: Number, Type: "F64", Dims: []int{0, 0}}, nil
	}
	flags, err := r.want(miUint32, "an array's flags")
	if err != nil {
		return "", nil, err
	}
	if len(flags) != 8 {
		return "", nil, fmt.Errorf("flags of %d bytes", len(flags))
	}
	class := byte(r.order.Uint32(flags))
	isComplex := r.order.Uint32(flags)&0x800 != 0
	if class > 16 { // opaque objects, which have no dimensions
		return "", &Value{Class: Other}, nil
	}
	sides, err := r.want(miInt32, "an array's dimensions")
	if err != nil {
		return "", nil, err
	}
	v = &Value{}
	for side := range slices.Chunk(sides[:len(sides)&^3], 4) {
		v.Dims = append(v.Dims, int(int32(r.order.Uint32(side))))
	}
	_, label, err := r.element()
	if err != nil {
		return "", nil, err
	}
	name = string(label)
	of, isNumber := classes[class]
	switch {
	case isNumber && !isComplex:
		v.Class, v.Type = Number, of
		err = r.numbers(v)
	case class == mxChar:
		v.Class = Char
		err = r.chars(v)
	case class == mxCell:
		v.Class = Cell
		err = r.cells(v, 1, depth)
	case class == mxStruct || class == mxObject:
		v.Class = Struct
		if class == mxObject {
			if _, _, err := r.element(); err != nil { // the class's name
				return "", nil, err
			}
		}
		if v.Fields, err = r.fields(); err == nil {
			err = r.cells(v, len(v.Fields), depth)
		}
	default:
		v.Class = Other
	}
	return name, v, err
}

// numbers takes an array's, which MATLAB writes as a shorter type where they fit one.
func (r *v5) numbers(v *Value) error {
	kind, body, err := r.element()
	if err != nil {
		return err
	}
	from, ok := stored[kind]
	if !ok {
		return fmt.Errorf("numbers of type %d", kind)
	}
	width := typeSizes[from]
	if err := shape(v.Dims, width, len(body)); err != nil {
		return err
	}
	if v.Count()*width != len(body) {
		return fmt.Errorf("%d numbers in %d bytes", v.Count(), len(body))
	}
	little := r.order == binary.ByteOrder(binary.LittleEndian)
	if little && from == v.Type {
		v.plain = body
		return nil
	}
	as := v.Type
	v.raw = func() ([]byte, error) {
		out := make([]byte, 0, len(body)/width*typeSizes[as])
		for one := range slices.Chunk(body, width) {
			if !little {
				one = slices.Clone(one)
				slices.Reverse(one)
			}
			if from == as {
				out = append(out, one...)
				continue
			}
			out = put(out, number(one, from), as)
		}
		return out, nil
	}
	return nil
}

// chars takes a text.
func (r *v5) chars(v *Value) error {
	kind, body, err := r.element()
	if err != nil {
		return err
	}
	switch {
	case kind == miUTF16 || stored[kind] == "U16":
		units := slices.Clone(body)
		if r.order == binary.ByteOrder(binary.BigEndian) {
			for u := range slices.Chunk(units[:len(units)&^1], 2) {
				slices.Reverse(u)
			}
		}
		v.text = utf16Text(units)
	default: // UTF-8, or ASCII as int8
		v.text = strings.ToValidUTF8(string(body), "�")
	}
	return nil
}

// fields takes the names of structs' fields.
func (r *v5) fields() ([]string, error) {
	size, err := r.want(miInt32, "the length of fields' names")
	if err != nil {
		return nil, err
	}
	_, names, err := r.element()
	if err != nil || len(names) == 0 {
		return nil, err
	}
	if len(size) != 4 || int32(r.order.Uint32(size)) < 1 {
		return nil, errors.New("fields' names without a length")
	}
	var list []string
	for name := range slices.Chunk(names, int(r.order.Uint32(size))) {
		name, _, _ = bytes.Cut(name, []byte{0})
		list = append(list, string(name))
	}
	return list, nil
}

// cells takes the arrays in an array, so many for each of its elements.
func (r *v5) cells(v *Value, each, depth int) error {
	if each == 0 {
		return nil
	}
	if err := shape(v.Dims, 8*each, len(r.data)); err != nil {
		return err
	}
	for range v.Count() * each {
		body, err := r.want(miMatrix, "an array in an array")
		if err != nil {
			return err
		}
		_, inner, err := (&v5{body, r.order, r.values}).matrix(depth + 1)
		if err != nil {
			return err
		}
		v.Cells = append(v.Cells, inner)
	}
	return nil
}
