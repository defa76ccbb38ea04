// Package matlab reads MATLAB's files of variables as plain values: those of MATLAB 5 ("MAT-File Format", MathWorks),
// which save writes by default, and those of 7.3, which are HDF5 behind a block of text. On top of them it knows the
// networks of MatConvNet. Functions and objects of classes are passed over; nothing is run.
//
// A file is hostile until read. Sizes are checked against the bytes there are before memory is taken; what zlib
// compressed grows at most 1032 times and to maxInflated in all; values lie at most maxDepth deep, and an HDF5 file, in
// which one may lie in itself, has at most maxValues.
package matlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/vggo/vggo/weights/internal/format"
)

const (
	maxDepth    = 32
	maxValues   = 1 << 18
	maxInflated = 4 << 30 // seven times VGG-19
)

// class is what a value's elements are.
type class int

const (
	other class = iota // a function, an object, a sparse matrix: not read
	number
	char
	cell
	structure
)

// value is one of MATLAB's arrays.
type value struct {
	class   class
	dims    []int         // rows, columns and so on: the first changes fastest
	numbers format.Tensor // in MATLAB's order, without name and shape
	text    string
	fields  []string // of structs
	// of a cell array its values, the first index changing fastest; of structs the fields of the first, then of the next
	cells []*value
}

// variable is a value by its name.
type variable struct {
	name string
	*value
}

var errDeep = errors.New("values lie too deep in each other: the file may run in circles")

// count is the number of elements.
func (v *value) count() int { return format.Product(v.dims) }

// field is a field of a single struct, nil where there is none.
func (v *value) field(name string) *value {
	if v == nil || v.class != structure || len(v.cells) != len(v.fields) {
		return nil
	}
	if i := slices.Index(v.fields, name); i >= 0 {
		return v.cells[i]
	}
	return nil
}

// structs are the structs of an array of them, or of a cell array of single ones.
func (v *value) structs() (list []*value) {
	switch {
	case v == nil:
	case v.class == cell:
		return v.cells
	case v.class == structure && len(v.fields) > 0:
		for cells := range slices.Chunk(v.cells, len(v.fields)) {
			list = append(list, &value{class: structure, fields: v.fields, cells: cells})
		}
	}
	return list
}

// line is a line of text; empty for anything else.
func (v *value) line() string {
	if v == nil {
		return ""
	}
	return v.text
}

// lines are those of a cell array.
func (v *value) lines() (list []string) {
	if v == nil {
		return nil
	}
	for _, c := range v.cells {
		list = append(list, c.line())
	}
	return list
}

// few are numbers of a setting; none where there is no such field. More than limit are an error.
func (v *value) few(limit int) ([]float64, error) {
	if v == nil {
		return nil, nil
	}
	if v.class != number || v.count() > limit {
		return nil, fmt.Errorf("%d numbers at most are expected", limit)
	}
	raw, err := v.numbers.Bytes()
	if err != nil {
		return nil, err
	}
	list := make([]float64, 0, v.count())
	for one := range slices.Chunk(raw, v.numbers.DType.Size()) {
		list = append(list, decode(one, v.numbers.DType))
	}
	return list, nil
}

// decode is a little-endian number of a type.
func decode(b []byte, of format.DType) float64 {
	var full [8]byte
	copy(full[:], b)
	bits := binary.LittleEndian.Uint64(full[:])
	shift := 64 - 8*len(b)
	switch {
	case of == format.F32:
		return float64(math.Float32frombits(uint32(bits)))
	case of == format.F64:
		return math.Float64frombits(bits)
	case of[0] == 'I':
		return float64(int64(bits<<shift) >> shift)
	}
	return float64(bits)
}

// encode appends a number as a type, little-endian.
func encode(b []byte, x float64, as format.DType) []byte {
	bits := uint64(int64(x))
	switch as {
	case format.F32:
		bits = uint64(math.Float32bits(float32(x)))
	case format.F64:
		bits = math.Float64bits(x)
	}
	return append(b, binary.LittleEndian.AppendUint64(nil, bits)[:as.Size()]...)
}

// utf16Text is text of 16-bit units, little-endian.
func utf16Text(b []byte) string {
	units := make([]uint16, 0, len(b)/2)
	for u := range slices.Chunk(b[:len(b)&^1], 2) {
		units = append(units, binary.LittleEndian.Uint16(u))
	}
	return strings.ToValidUTF8(string(utf16.Decode(units)), "�")
}
