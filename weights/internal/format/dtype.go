package format

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/vggo/vggo/internal/kernel"
)

// DType is a stored number's type, by its name in safetensors.
type DType string

// The types that weights are stored in: Floats knows them.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"  // IEEE 754 half precision
	BF16 DType = "BF16" // the upper half of a float32
)

// sizes holds the bytes of one value of every type that may stand in a file, weights or not (PyTorch's batch norm keeps
// an I64 counter).
var sizes = map[DType]int{
	F64: 8, F32: 4, F16: 2, BF16: 2,
	"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1,
	"U16": 2, "I16": 2, "U32": 4, "I32": 4, "U64": 8, "I64": 8, "C64": 8,
}

// Size is the bytes of one value; 0 for a type that is not known.
func (d DType) Size() int { return sizes[d] }

// HoldsWeights reports whether Floats knows the type.
func (d DType) HoldsWeights() bool { return d == F64 || d == F32 || d == F16 || d == BF16 }

// Floats turns little-endian bytes of a type that HoldsWeights into float32, sharing their memory where it can.
func (d DType) Floats(b []byte) []float32 {
	if d == F32 {
		if view, ok := kernel.Float32s(b); ok {
			return view
		}
	}
	var at func(b []byte) float32
	switch d {
	case F64:
		at = func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) }
	case F32:
		at = func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }
	case F16:
		at = func(b []byte) float32 { return kernel.Float16(binary.LittleEndian.Uint16(b)) }
	case BF16:
		at = func(b []byte) float32 { return kernel.BFloat16(binary.LittleEndian.Uint16(b)) }
	default:
		panic("format: no values of type " + string(d))
	}
	size := sizes[d]
	out := make([]float32, len(b)/size)
	for i := range out {
		out[i] = at(b[i*size:])
	}
	return out
}

// Shortest is the shortest decimal that rounds to a float32: files say 0.1 and 1e-5 in float32, networks in float64.
func Shortest(v float32) float64 {
	x, _ := strconv.ParseFloat(strconv.FormatFloat(float64(v), 'g', -1, 32), 64)
	return x
}
