// Package mxnet reads MXNet's .params (src/ndarray/ndarray.cc, NDArray::Save of a list): a number that tells the file,
// arrays of three forms, the oldest of which has its rank where the newer have a number of their own, and their names.
// It knows tensors by name and no more: the network stands in a JSON file beside it, and values are not to be turned
// unasked, whatever tool made the file of another library's.
package mxnet

import (
	"encoding/binary"
	"math"
	"strings"

	"github.com/vggo/vggo/weights/internal/format"
)

const (
	listNumber = 0x112
	arrayV1    = 0xf993fac8
	arrayV2    = 0xf993fac9
	arrayV3    = 0xf993faca // with NumPy's shapes
)

// types are mshadow's kinds of numbers.
var types = []format.DType{"F32", "F64", "F16", "U8", "I32", "I8", "I64", "BOOL", "I16", "U16", "U32", "U64", "BF16"}

// Reader reads them.
var Reader = format.Reader{
	Name: "MXNet",
	Knows: func(in *format.Input) bool {
		return len(in.Data) >= 24 && binary.LittleEndian.Uint64(in.Data) == listNumber &&
			binary.LittleEndian.Uint64(in.Data[8:]) == 0
	},
	Read: read,
}

func read(in *format.Input) (*format.Contents, error) {
	r := &reader{format.Cursor{Data: in.Data, At: 16}}
	count := r.Number(8)
	if count > format.MaxTensors {
		return nil, format.Fail(16, "%d arrays: the most is %d", count, format.MaxTensors)
	}
	var arrays []format.Tensor
	for range count {
		arrays = append(arrays, r.array())
		if r.Err != nil {
			return nil, r.Err
		}
	}
	if names := r.Number(8); r.Err == nil && names != count {
		return nil, format.Fail(int64(r.At), "%d names for %d arrays", names, count)
	}
	var list format.List
	for _, t := range arrays {
		name := string(r.Bytes(int(min(r.Number(8), math.MaxInt32))))
		for _, kind := range []string{"arg:", "aux:"} { // parameters, and the statistics of batch norms
			name = strings.TrimPrefix(name, kind)
		}
		if t.Name = name; r.Err != nil {
			return nil, r.Err
		}
		if err := list.Add(t); err != nil {
			return nil, err
		}
	}
	if r.At != len(in.Data) {
		return nil, format.Fail(int64(r.At), "%d bytes behind the last name", len(in.Data)-r.At)
	}
	return &format.Contents{Tensors: list.Tensors}, nil
}

// reader reads numbers one after another.
type reader struct{ format.Cursor }

// array reads one: its shape, where it lay (a device), its type and its values.
func (r *reader) array() format.Tensor {
	side, rank := 8, r.Number(4)
	switch rank {
	case arrayV2, arrayV3:
		if kind := r.Number(4); kind != 0 {
			r.Fail("a sparse array, which holds no layer's weights")
		}
		rank = r.Number(4)
	case arrayV1:
		rank = r.Number(4)
	default:
		side = 4
	}
	t := format.Tensor{Shape: []int{}}
	if rank > format.MaxRank {
		r.Fail("an array of %d dimensions", rank)
	}
	if r.Err != nil || rank == 0 { // an array that was never made has no more
		t.DType = format.F32
		t.Shape = []int{0}
		return t
	}
	for range rank {
		t.Shape = append(t.Shape, r.Int(side))
	}
	r.Number(8) // the device's kind and number
	kind := r.Number(4)
	if kind >= uint64(len(types)) {
		r.Fail("an array of type %d", kind)
		return t
	}
	t.DType = types[kind]
	size, ok := format.Size(t.Shape, t.DType.Size(), len(r.Data))
	if !ok {
		r.Fail("an array of %v values, for which the file is too short", t.Shape)
	}
	t.Raw = r.Bytes(size)
	return t
}
