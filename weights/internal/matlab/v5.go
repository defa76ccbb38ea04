package matlab

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/weights/internal/format"
)

// Elements of a MATLAB 5 file ("MAT-File Format", table 1-1) and classes of its arrays (table 1-3).
const (
	miInt32, miUint32, miMatrix, miCompressed, miUTF16 = 5, 6, 14, 15, 17

	mxCell, mxStruct, mxChar, mxFunction = 1, 2, 4, 16

	headerSize = 128
)

var (
	stored = map[uint32]format.DType{1: "I8", 2: "U8", 3: "I16", 4: "U16", 5: "I32", 6: "U32", 7: "F32", 9: "F64",
		12: "I64", 13: "U64"}
	classes = map[byte]format.DType{6: "F64", 7: "F32", 8: "I8", 9: "U8", 10: "I16", 11: "U16", 12: "I32", 13: "U32",
		14: "I64", 15: "U64"}
)

func isV5(head []byte) bool {
	return len(head) >= headerSize && bytes.HasPrefix(head, []byte("MATLAB 5.0"))
}

// v5 reads elements one after another.
type v5 struct {
	data   []byte
	values *int // read so far
}

func readV5(data []byte) ([]variable, error) {
	if string(data[124:headerSize]) != "\x00\x01IM" {
		return nil, errors.New("of another version than 1, or of a big-endian machine; no remedy was tried, but " +
			"save(path, '-v7', …) in MATLAB may write another")
	}
	r := &v5{data[headerSize:], new(int)}
	var list []variable
	left := int(min(int64(maxInflated), math.MaxInt)) // an int may have 32 bits
	for len(r.data) > 0 {
		at := len(data) - len(r.data)
		kind, body, err := r.element()
		if err == nil && kind == miCompressed {
			var one []byte
			if one, err = inflate(body, left); err == nil {
				left -= len(one)
				kind, body, err = (&v5{one, r.values}).element()
			}
		}
		if err == nil && kind == miMatrix {
			var v variable
			v.name, v.value, err = (&v5{body, r.values}).matrix(0)
			list = append(list, v)
		}
		if err != nil {
			return nil, fmt.Errorf("the variable at byte %d: %w", at, err)
		}
	}
	return list, nil
}

// inflate is the one element that zlib compressed, whose tag tells its size.
func inflate(body []byte, most int) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	tag := make([]byte, 8)
	if _, err := io.ReadFull(z, tag); err != nil {
		return nil, fmt.Errorf("compressed: %w", err)
	}
	const ratio = 1032 // 258 bytes to 2 bits, the most that deflate can shrink
	size := 8 + int64(binary.LittleEndian.Uint32(tag[4:]))
	if size > int64(most) || size/ratio > int64(len(body)) {
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
	kind = binary.LittleEndian.Uint32(r.data)
	if small := kind >> 16; small != 0 {
		if small > 4 {
			return 0, nil, fmt.Errorf("a small element of %d bytes", small)
		}
		body, r.data = r.data[4:4+small:4+small], r.data[8:]
		return kind & 0xffff, body, nil
	}
	size := uint64(binary.LittleEndian.Uint32(r.data[4:]))
	if size > uint64(len(r.data)-8) {
		return 0, nil, fmt.Errorf("an element of %d bytes where %d are left", size, len(r.data)-8)
	}
	body = r.data[8 : 8+size : 8+size]
	end := 8 + size
	if kind != miCompressed {
		end = min((end+7)&^7, uint64(len(r.data)))
	}
	r.data = r.data[end:]
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
func (r *v5) matrix(depth int) (name string, v *value, err error) {
	if *r.values++; depth > maxDepth || *r.values > maxValues {
		return "", nil, errDeep
	}
	v = &value{}
	if len(r.data) == 0 { // MATLAB's way to write an empty array in a cell
		v.class, v.dims, v.numbers.DType = number, []int{0, 0}, format.F64
		return "", v, nil
	}
	flags, err := r.want(miUint32, "an array's flags")
	if err != nil {
		return "", nil, err
	}
	if len(flags) != 8 {
		return "", nil, fmt.Errorf("flags of %d bytes", len(flags))
	}
	if flags[0] > mxFunction { // objects, which have no dimensions
		return "", v, nil
	}
	sides, err := r.want(miInt32, "an array's dimensions")
	if err != nil {
		return "", nil, err
	}
	for side := range slices.Chunk(sides[:len(sides)&^3], 4) {
		v.dims = append(v.dims, int(int32(binary.LittleEndian.Uint32(side))))
	}
	_, label, err := r.element()
	if err != nil {
		return "", nil, err
	}
	const isComplex = 8
	switch kind := flags[0]; {
	case kind == mxCell:
		v.class = cell
		err = r.cells(v, 1, depth)
	case kind == mxStruct:
		v.class = structure
		if v.fields, err = r.fields(); err == nil {
			err = r.cells(v, len(v.fields), depth)
		}
	case kind == mxChar:
		v.class = char
		err = r.chars(v)
	case classes[kind] != "" && flags[1]&isComplex == 0:
		v.class, v.numbers.DType = number, classes[kind]
		err = r.numbers(v)
	}
	return string(label), v, err
}

// numbers takes an array's, which MATLAB writes as a shorter type where they fit one.
func (r *v5) numbers(v *value) error {
	kind, body, err := r.element()
	if err != nil {
		return err
	}
	from, as := stored[kind], v.numbers.DType
	width := from.Size()
	if width == 0 {
		return fmt.Errorf("numbers of type %d", kind)
	}
	if size, ok := format.Size(v.dims, width, len(body)); !ok || size != len(body) {
		return fmt.Errorf("%s numbers in %d bytes", printable.Shape(v.dims), len(body))
	}
	if from == as {
		v.numbers.Raw = body
		return nil
	}
	v.numbers.Fetch = func() ([]byte, error) {
		out := make([]byte, 0, len(body)/width*as.Size())
		for one := range slices.Chunk(body, width) {
			out = encode(out, decode(one, from), as)
		}
		return out, nil
	}
	return nil
}

// chars takes a text, which is of 16-bit units, UTF-8 or ASCII.
func (r *v5) chars(v *value) error {
	kind, body, err := r.element()
	if kind == miUTF16 || stored[kind] == "U16" {
		v.text = utf16Text(body)
	} else {
		v.text = strings.ToValidUTF8(string(body), "�")
	}
	return err
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
	if len(size) != 4 || int32(binary.LittleEndian.Uint32(size)) < 1 {
		return nil, errors.New("fields' names without a length")
	}
	var list []string
	for name := range slices.Chunk(names, int(binary.LittleEndian.Uint32(size))) {
		name, _, _ = bytes.Cut(name, []byte{0})
		list = append(list, string(name))
	}
	return list, nil
}

// cells takes the arrays in an array, so many for each of its elements.
func (r *v5) cells(v *value, each, depth int) error {
	if each == 0 {
		return nil
	}
	if _, ok := format.Size(v.dims, 8*each, len(r.data)); !ok {
		return fmt.Errorf("an array of %s elements, for which the file is too short", printable.Shape(v.dims))
	}
	for range v.count() * each {
		body, err := r.want(miMatrix, "an array in an array")
		if err != nil {
			return err
		}
		_, inner, err := (&v5{body, r.values}).matrix(depth + 1)
		if err != nil {
			return err
		}
		v.cells = append(v.cells, inner)
	}
	return nil
}
