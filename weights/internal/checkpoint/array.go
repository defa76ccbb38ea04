package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vggo/vggo/internal/pickle"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/weights/internal/format"
)

// Types are the types of numbers by NumPy's letters.
var Types = map[string]format.DType{
	"f8": format.F64, "f4": format.F32, "f2": format.F16, "b1": "BOOL", "u1": "U8", "i1": "I8", "u2": "U16", "i2": "I16",
	"u4": "U32",
	"i4": "I32", "u8": "U64", "i8": "I64",
	"c8": "C64",
}

// Order is how the values of an array lie.
type Order struct {
	DType     format.DType
	Shape     []int
	BigEndian bool
	Fortran   bool // column-major
}

// Plain puts values into little-endian row-major order.
func (a Order) Plain(data []byte) []byte {
	if a.Fortran && len(a.Shape) > 1 {
		v := format.View{DType: a.DType, Size: a.Shape}
		for i := range a.Shape {
			v.Stride = append(v.Stride, format.Product(a.Shape[:i]))
		}
		data = v.Gather(data)
	}
	if a.BigEndian {
		data = slices.Clone(data)
		for v := range slices.Chunk(data, a.DType.Size()) {
			slices.Reverse(v)
		}
	}
	return data
}

// IsPlain reports whether values lie in this order already.
func (a Order) IsPlain() bool { return !a.BigEndian && (!a.Fortran || len(a.Shape) < 2) }

// arrayTensor is an array of NumPy's as a file lists it.
func arrayTensor(a *pickle.Array) (format.Tensor, error) {
	dtype, ok := Types[a.Type]
	if !ok {
		ok = strings.HasPrefix(a.Type, "S") || strings.HasPrefix(a.Type, "U") || strings.HasPrefix(a.Type, "V") ||
			a.Type == "c16" || a.Type == "M8"
		if !ok {
			return format.Tensor{}, fmt.Errorf("an array of type %q", format.Clip(a.Type))
		}
		// text, and what else is no number: no weights
		return format.Tensor{Shape: []int{len(a.Values)}, DType: "U8", Raw: a.Values}, nil
	}
	o := Order{DType: dtype, BigEndian: a.BigEndian, Fortran: a.Fortran}
	size := int64(dtype.Size())
	for _, side := range a.Shape {
		if len(o.Shape) == format.MaxRank || side > 0 && size > int64(len(a.Values))/side {
			return format.Tensor{}, errors.New("an array whose shape is not that of its values")
		}
		size *= side
		o.Shape = append(o.Shape, int(side))
	}
	if size != int64(len(a.Values)) {
		return format.Tensor{}, fmt.Errorf("an array of shape %s with %d bytes", printable.Shape(o.Shape), len(a.Values))
	}
	t := format.Tensor{Shape: o.Shape, DType: dtype, Raw: a.Values}
	if !o.IsPlain() {
		t.Raw, t.Fetch = nil, func() ([]byte, error) { return o.Plain(a.Values), nil }
	}
	return t, nil
}
