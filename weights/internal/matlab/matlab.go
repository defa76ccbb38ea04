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
)

const (
	maxDepth    = 32
	maxValues   = 1 << 18
	maxRank     = 16
	maxInflated = 4 << 30 // seven times VGG-19
)

// Class is what a value's elements are.
type Class int

const (
	Other  Class = iota // a function, an object, a sparse matrix: not read
	Number              // of a type by its name in safetensors
	Char
	Cell
	Struct
)

// Value is one of MATLAB's arrays.
type Value struct {
	Class  Class
	Dims   []int    // rows, columns and so on: the first changes fastest
	Type   string   // of numbers: "F32"
	Fields []string // of structs
	// of a cell array its values, the first index changing fastest; of structs the fields of the first, then of the next
	Cells []*Value

	raw   func() ([]byte, error) // little-endian numbers of that type, or a text's units
	plain []byte                 // the same where they lie in the file so
	text  string
}

// Variable is a value by its name.
type Variable struct {
	Name string
	*Value
}

// Is reports whether a file begins as MATLAB's do.
func Is(head []byte) bool { return isV5(head) || isV73(head) }

// Read reads a file's variables. Values stay in data where they lie there as they are.
func Read(data []byte) ([]Variable, error) {
	if isV73(data) {
		return readV73(data)
	}
	return readV5(data)
}

// Count is the number of elements.
func (v *Value) Count() int {
	n := 1
	for _, d := range v.Dims {
		n *= d
	}
	return n
}

// Field is a field of a single struct, nil where there is none.
func (v *Value) Field(name string) *Value {
	if v == nil || v.Class != Struct || len(v.Cells) != len(v.Fields) {
		return nil
	}
	if i := slices.Index(v.Fields, name); i >= 0 {
		return v.Cells[i]
	}
	return nil
}

// Structs are the structs of an array of them, or of a cell array of single ones.
func (v *Value) Structs() []*Value {
	switch {
	case v == nil:
		return nil
	case v.Class == Cell:
		return v.Cells
	case v.Class != Struct || len(v.Fields) == 0:
		return nil
	}
	var list []*Value
	for fields := range slices.Chunk(v.Cells, len(v.Fields)) {
		list = append(list, &Value{Class: Struct, Dims: []int{1, 1}, Fields: v.Fields, Cells: fields})
	}
	return list
}

// Text is a line of text; empty for anything else.
func (v *Value) Text() string {
	if v == nil || v.Class != Char {
		return ""
	}
	return v.text
}

// Texts are those of a cell array of lines.
func (v *Value) Texts() []string {
	if v == nil || v.Class != Cell {
		return nil
	}
	var list []string
	for _, c := range v.Cells {
		list = append(list, c.Text())
	}
	return list
}

// Raw are the numbers in MATLAB's order, little-endian. Those of a file that holds them so are the file's own.
func (v *Value) Raw() ([]byte, error) {
	if v.plain != nil || v.raw == nil {
		return v.plain, nil
	}
	return v.raw()
}

// Plain are the numbers where they need no work; else nil.
func (v *Value) Plain() []byte { return v.plain }

// Numbers are few numbers: settings. More than limit are an error.
func (v *Value) Numbers(limit int) ([]float64, error) {
	if v == nil {
		return nil, nil
	}
	if v.Class != Number || v.Count() > limit {
		return nil, fmt.Errorf("%d numbers at most are expected", limit)
	}
	raw, err := v.Raw()
	if err != nil {
		return nil, err
	}
	list := make([]float64, 0, v.Count())
	for one := range slices.Chunk(raw, typeSizes[v.Type]) {
		list = append(list, number(one, v.Type))
	}
	return list, nil
}

// typeSizes are the bytes of the types of numbers that MATLAB has.
var typeSizes = map[string]int{"F64": 8, "F32": 4, "I8": 1, "U8": 1, "I16": 2, "U16": 2, "I32": 4, "U32": 4, "I64": 8,
	"U64": 8}

// number is a little-endian number of a type.
func number(b []byte, of string) float64 {
	var full [8]byte
	copy(full[:], b)
	bits := binary.LittleEndian.Uint64(full[:])
	shift := 64 - 8*len(b)
	switch {
	case of == "F32":
		return float64(math.Float32frombits(uint32(bits)))
	case of == "F64":
		return math.Float64frombits(bits)
	case of[0] == 'I':
		return float64(int64(bits<<shift) >> shift)
	}
	return float64(bits)
}

// put appends a number as a type, little-endian.
func put(b []byte, x float64, as string) []byte {
	var full [8]byte
	switch {
	case as == "F32":
		binary.LittleEndian.PutUint32(full[:], math.Float32bits(float32(x)))
	case as == "F64":
		binary.LittleEndian.PutUint64(full[:], math.Float64bits(x))
	default:
		binary.LittleEndian.PutUint64(full[:], uint64(int64(x)))
	}
	return append(b, full[:typeSizes[as]]...)
}

// shape checks dimensions and counts the elements, each of which takes some bytes of what is there.
func shape(dims []int, each, there int) error {
	if len(dims) > maxRank {
		return fmt.Errorf("%d dimensions: the most is %d", len(dims), maxRank)
	}
	if slices.Contains(dims, 0) {
		return nil
	}
	n := each
	for _, d := range dims {
		if d < 0 || d > 0 && n > there/d {
			return fmt.Errorf("an array of %v elements, for which the file is too short", dims)
		}
		n *= d
	}
	return nil
}

// utf16Text is text of 16-bit units, little-endian.
func utf16Text(b []byte) string {
	units := make([]uint16, 0, len(b)/2)
	for u := range slices.Chunk(b[:len(b)&^1], 2) {
		units = append(units, binary.LittleEndian.Uint16(u))
	}
	return strings.ToValidUTF8(string(utf16.Decode(units)), "�")
}

var errDeep = errors.New("values lie too deep in each other: the file may run in circles")
