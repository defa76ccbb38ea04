package nn

import (
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/tensor"
)

// values is what flows between two steps, for up to the Plan's batch of images, and its gradient.
type values struct {
	shape arch.Shape
	// flat values are rows of C floats (after flatten); the others are blocked: [C/16][H][W][16] per image.
	flat bool
	// size is the number of floats of one image.
	size int
	data []float32
	grad []float32
}

func newValues(shape arch.Shape, flat bool) *values {
	v := &values{shape: shape, flat: flat, size: shape.C}
	if !flat {
		v.size = kernel.Blocks(shape.C) * shape.H * shape.W * kernel.Block
	}
	return v
}

// floats is the length of a buffer for n images, in whole blocks.
func (v *values) floats(n int) int { return kernel.Blocks(n*v.size) * kernel.Block }

func (v *values) image(n int) []float32     { return v.data[n*v.size : (n+1)*v.size] }
func (v *values) imageGrad(n int) []float32 { return v.grad[n*v.size : (n+1)*v.size] }

// blockSize is the number of floats of one block of channels of an image.
func (v *values) blockSize() int { return v.shape.H * v.shape.W * kernel.Block }

// block is channel block cb of image n in a buffer of the shape of v (data or grad).
func (v *values) block(buffer []float32, n, cb int) []float32 {
	size := v.blockSize()
	at := n*v.size + cb*size
	return buffer[at : at+size]
}

// export copies n images of a buffer of the shape of v to an NCHW tensor.
func (v *values) export(dst *tensor.Tensor, buffer []float32, n int) {
	pixels := v.shape.H * v.shape.W
	for i := range n {
		out := dst.Data[i*v.shape.C*pixels : (i+1)*v.shape.C*pixels]
		in := buffer[i*v.size : (i+1)*v.size]
		if v.flat {
			copy(out, in)
			continue
		}
		for c := range v.shape.C {
			src := in[c/kernel.Block*v.blockSize()+c%kernel.Block:]
			for p := range pixels {
				out[c*pixels+p] = src[p*kernel.Block]
			}
		}
	}
}

// load copies an NCHW tensor to a buffer of the shape of v; channels beyond the last become zero.
func (v *values) load(buffer []float32, src *tensor.Tensor) {
	pixels := v.shape.H * v.shape.W
	for i := range src.N {
		in := src.Data[i*v.shape.C*pixels : (i+1)*v.shape.C*pixels]
		out := buffer[i*v.size : (i+1)*v.size]
		if v.flat {
			copy(out, in)
			continue
		}
		for c := range v.size / pixels {
			dst := out[c/kernel.Block*v.blockSize()+c%kernel.Block:]
			for p := range pixels {
				var x float32
				if c < v.shape.C {
					x = in[c*pixels+p]
				}
				dst[p*kernel.Block] = x
			}
		}
	}
}

// clear sets a buffer to zero.
func zero(s []float32) { clear(s) }
