package format

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/vggo/vggo/internal/printable"
)

// View is a tensor of some values of a storage, as PyTorch and Torch7 have them: Size and Stride by axes and Offset
// count values, none of them negative.
type View struct {
	DType        DType
	Offset       int
	Size, Stride []int
}

// Check sees that the view lies in a storage of so many values, and takes no more values than it has: one that repeats
// some, as expand makes, could be of any size.
func (v *View) Check(storage int) error {
	count, last := uint64(1), uint64(v.Offset)
	for i, n := range v.Size {
		hi, lo := bits.Mul64(count, uint64(n))
		if hi != 0 || lo > uint64(storage) {
			return fmt.Errorf("a tensor of size %s in a storage of %d values", printable.Shape(v.Size), storage)
		}
		count = lo
		if n > 0 {
			hi, lo = bits.Mul64(uint64(n-1), uint64(v.Stride[i]))
			if last += lo; hi != 0 || last > math.MaxInt/2 {
				return fmt.Errorf("a tensor of strides %s", printable.And(v.Stride))
			}
		}
	}
	if count > 0 && last >= uint64(storage) {
		return fmt.Errorf("a tensor that ends at value %d of a storage of %d", last+1, storage)
	}
	return nil
}

// Tensor is a checked view as a file lists it. raw is the storage; where that is nil, fetch makes it.
func (v *View) Tensor(raw []byte, fetch func() ([]byte, error)) Tensor {
	t := Tensor{Shape: v.Size, DType: v.DType}
	width, count := v.DType.Size(), Product(v.Size)
	contiguous, n := true, 1
	for i := len(v.Size) - 1; i >= 0; i-- {
		contiguous = contiguous && (v.Size[i] == 1 || v.Stride[i] == n)
		n *= v.Size[i]
	}
	run := func(from []byte) []byte {
		if count == 0 {
			return nil
		}
		return from[v.Offset*width : (v.Offset+count)*width : (v.Offset+count)*width]
	}
	if contiguous && raw != nil {
		t.Raw = run(raw)
		return t
	}
	t.Fetch = func() ([]byte, error) {
		from, err := raw, error(nil)
		if from == nil {
			from, err = fetch()
		}
		if err != nil || contiguous {
			return run(from), err
		}
		return v.Gather(from), nil
	}
	return t
}

// Gather takes the view's values out of a storage's bytes, in row-major order.
func (v *View) Gather(from []byte) []byte {
	width, count := v.DType.Size(), Product(v.Size)
	out := make([]byte, 0, count*width)
	var walk func(axis, at int)
	walk = func(axis, at int) {
		if axis == len(v.Size) {
			out = append(out, from[at*width:(at+1)*width]...)
			return
		}
		for i := range v.Size[axis] {
			walk(axis+1, at+i*v.Stride[axis])
		}
	}
	if count > 0 {
		walk(0, v.Offset)
	}
	return out
}
