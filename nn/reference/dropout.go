package reference

import "github.com/vggo/vggo/arch"

// Dropout is y = x · mask / keep, mask holding 1 for a value that is kept and 0 for one that is not. It is its own
// backward: dx = dy · mask / keep.
func Dropout(l arch.Placed, x Tensor, mask []float64) Tensor {
	y := New(x.N, x.Shape)
	for i, v := range x.Data {
		y.Data[i] = v * mask[i] / l.Op.(arch.Dropout).Keep
	}
	return y
}
