// Package torch7 reads what Lua's Torch wrote with torch.save in its binary form (torch7/File.lua): tables, tensors,
// modules. Objects of every class are their fields, functions are passed over; nothing is run.
//
// A file is hostile until read. It has at most maxObjects values, which lie at most maxDepth deep, so that it takes
// some 150 MB beside its tensors, whose values stay where they lie.
package torch7

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/vggo/vggo/weights/internal/format"
)

const (
	maxObjects = 1 << 20
	maxDepth   = 4096 // a graph's nodes hold each other in a row
)

// The kinds of values (File.lua).
const (
	typeNil           = 0
	typeNumber        = 1
	typeString        = 2
	typeTable         = 3
	typeTorch         = 4
	typeBoolean       = 5
	typeFunction      = 6
	typeOldClosure    = 7
	typeClosure       = 8
	luaDump, luaBytes = "\x1bLJ", "\x1bLua"
)

// Table is a table of Lua's, in the file's order. Values are nil, float64, string, bool, *Table, *Object, *Tensor and
// *Storage; functions are nil.
type Table struct{ Keys, Values []any }

// Get is the value under a key.
func (t *Table) Get(key any) any {
	if t == nil {
		return nil
	}
	for i, k := range t.Keys {
		if k == key {
			return t.Values[i]
		}
	}
	return nil
}

// Object is one of a class of Torch's or of anybody's, by what was written of it.
type Object struct {
	Class  string
	Fields any // mostly a *Table
}

// Storage is a run of numbers.
type Storage struct {
	Type format.DType
	Raw  []byte
}

// Tensor is a view of a storage, nil for an empty one.
type Tensor struct {
	format.View
	storage *Storage
}

var types = map[string]format.DType{"Float": "F32", "Double": "F64", "Half": "F16", "Byte": "U8", "Char": "I8",
	"Short": "I16", "Int": "I32", "Long": "I64", "Cuda": "F32", "CudaDouble": "F64", "CudaHalf": "F16", "CudaByte": "U8",
	"CudaChar": "I8", "CudaShort": "I16", "CudaInt": "I32", "CudaLong": "I64"}

// is knows a file by its first value: an object with its version, a table that begins with a value, or a function.
func is(data []byte) bool {
	if len(data) < 16 || binary.LittleEndian.Uint32(data[4:]) != 1 {
		return false
	}
	switch binary.LittleEndian.Uint32(data) {
	case typeTorch:
		return bytes.HasPrefix(data[8:], []byte("\x03\x00\x00\x00V "))
	case typeTable:
		return binary.LittleEndian.Uint32(data[8:]) < maxObjects && binary.LittleEndian.Uint32(data[12:]) <= typeClosure
	case typeClosure:
		return bytes.HasPrefix(data[12:], []byte(luaDump)) || bytes.HasPrefix(data[12:], []byte(luaBytes))
	}
	return false
}

// parse reads a file's value.
func parse(data []byte) (any, error) {
	r := &reader{Cursor: format.Cursor{Data: data}, objects: map[int32]any{}}
	v := r.value(0)
	if r.Err != nil {
		return nil, r.Err
	}
	return v, nil
}

// reader reads values one after another.
type reader struct {
	format.Cursor
	objects map[int32]any // by their numbers, for what holds them again
	values  int
}

func (r *reader) int() int32 { return int32(r.Number(4)) }
func (r *reader) long() int  { return r.Int(8) }

func (r *reader) text() string { return string(r.Bytes(int(r.int()))) }

// value reads the next one.
func (r *reader) value(depth int) any {
	if r.values++; r.values > maxObjects || depth > maxDepth {
		r.Fail("more than %d values, or values more than %d deep", maxObjects, maxDepth)
	}
	kind := r.int()
	if r.Err != nil {
		return nil
	}
	switch kind {
	case typeNil:
		return nil
	case typeNumber:
		return math.Float64frombits(r.Number(8))
	case typeString:
		return r.text()
	case typeBoolean:
		return r.int() == 1
	case typeFunction:
		r.function(depth)
		return nil
	case typeTable, typeTorch, typeClosure, typeOldClosure:
	default:
		r.Fail("a value of type %d", kind)
		return nil
	}
	number := r.int()
	if known, ok := r.objects[number]; ok {
		return known
	}
	switch kind {
	case typeTable:
		t := &Table{}
		r.objects[number] = t
		r.fill(t, int(r.int()), depth)
		return t
	case typeTorch:
		return r.object(number, depth)
	}
	r.objects[number] = nil
	r.function(depth)
	return nil
}

// function passes over a function and what it holds.
func (r *reader) function(depth int) {
	r.Bytes(int(r.int()))
	r.value(depth + 1)
}

// fill reads a table's pairs.
func (r *reader) fill(t *Table, pairs, depth int) {
	for i := 0; i < pairs && r.Err == nil; i++ {
		t.Keys = append(t.Keys, r.value(depth+1))
		t.Values = append(t.Values, r.value(depth+1))
	}
}

// object reads one of a class.
func (r *reader) object(number int32, depth int) any {
	class := r.text()
	if len(class) > 2 && class[:2] == "V " { // a version, which came in later
		class = r.text()
	}
	of, kind := classOf(class)
	switch {
	case of != "" && kind == "Tensor":
		t := &Tensor{View: format.View{DType: of}}
		r.objects[number] = t
		r.tensor(t, depth)
		return t
	case of != "" && kind == "Storage":
		s := &Storage{Type: of}
		r.objects[number] = s
		n := r.long()
		if n < 0 || n > (len(r.Data)-r.At)/of.Size() {
			r.Fail("a storage of %d values, for which the file is too short", n)
			return s
		}
		s.Raw = r.Bytes(n * of.Size())
		return s
	}
	o := &Object{Class: class}
	r.objects[number] = o
	switch class {
	case "tds.Hash":
		t := &Table{}
		o.Fields = t
		r.fill(t, r.long(), depth)
	case "tds.Vec":
		t := &Table{}
		o.Fields = t
		for i, n := 1, r.long(); i <= n && r.Err == nil; i++ {
			t.Keys, t.Values = append(t.Keys, float64(i)), append(t.Values, r.value(depth+1))
		}
	default:
		o.Fields = r.value(depth + 1)
	}
	return o
}

// classOf parts torch.FloatTensor into the type of its values and what it is.
func classOf(class string) (format.DType, string) {
	for _, kind := range []string{"Tensor", "Storage"} {
		if len(class) > len("torch.")+len(kind) && class[:6] == "torch." && class[len(class)-len(kind):] == kind {
			return types[class[6:len(class)-len(kind)]], kind
		}
	}
	return "", ""
}

// tensor reads a view and its storage, and checks the one against the other.
func (r *reader) tensor(t *Tensor, depth int) {
	rank := int(r.int())
	if rank < 0 || rank > format.MaxRank {
		r.Fail("a tensor of %d dimensions", rank)
		return
	}
	read := func() int { // a number that is not negative
		n := r.long()
		if n < 0 {
			r.Fail("a tensor with a size, a stride or an offset of %d", n)
		}
		return n
	}
	for range rank {
		t.Size = append(t.Size, read())
	}
	for range rank {
		t.Stride = append(t.Stride, read())
	}
	t.Offset = read() - 1
	at := r.At
	s, _ := r.value(depth + 1).(*Storage)
	if r.Err != nil {
		return
	}
	if rank == 0 || slices.Contains(t.Size, 0) {
		t.Size, t.Stride = []int{0}, []int{1}
		return
	}
	err := errors.New("a tensor without a storage of its type")
	if t.storage = s; s != nil && s.Type == t.DType && t.Offset >= 0 {
		err = t.Check(len(s.Raw) / t.DType.Size())
	}
	if err != nil {
		r.At = at
		r.Fail("%v", err)
	}
}

// entry is the tensor as a file lists it.
func (t *Tensor) entry(name string) format.Tensor {
	e := format.Tensor{Shape: t.Size, DType: t.DType}
	if t.storage != nil {
		e = t.View.Tensor(t.storage.Raw, nil)
	}
	e.Name = name
	return e
}

// longs are the numbers of a storage of them: few, as a shape has.
func (s *Storage) longs() (list []int) {
	if s == nil || s.Type != "I64" || len(s.Raw) > 8*format.MaxRank {
		return nil
	}
	for v := range slices.Chunk(s.Raw, 8) {
		n := int64(binary.LittleEndian.Uint64(v))
		if int64(int(n)) != n {
			return nil
		}
		list = append(list, int(n))
	}
	return list
}
