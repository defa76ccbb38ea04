package nn

import (
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/tensor"
)

// values is what flows between two steps, for up to the Plan's batch of images, and its gradient. Lanes
// beyond the last channel are zero in both: every layer keeps them so.
type values struct {
	shape  arch.Shape
	size   int  // floats of one image, [C/16][H][W][16]; a vector is a row of C, padded to a block
	images int  // that data and grad hold: those of the stage that reads them
	copy   bool // the same values as the ones before in another order: flattened
	data   []float32
	grad   []float32
	// of 2x2 maxima that a convolution stores in place of its output: which pixel of its window each value is of, as
	// kernel.Winners tells; nil where no gradient is wanted
	winners []uint8
	fixed   bool // nobody needs the gradient: nothing before it learns
	tapped  bool
	kept    []float32 // of all images, where it is tapped and others take turns; data is then a part of it
}

func newValues(shape arch.Shape) *values {
	return &values{shape: shape, size: kernel.Blocks(shape.C) * shape.H * shape.W * kernel.Block}
}

// plainSize is the number of floats of one image as arch counts them: without padding, and none for a mere copy.
func (v *values) plainSize() int {
	if v.copy {
		return 0
	}
	return v.shape.C * v.shape.H * v.shape.W
}

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
		for c := range v.shape.C {
			src := in[c/kernel.Block*v.blockSize()+c%kernel.Block:]
			for p := range pixels {
				out[c*pixels+p] = src[p*kernel.Block]
			}
		}
	}
}

// load copies n images of an NCHW tensor, from one of them on, to a buffer of the shape of v; channels beyond the last
// become zero.
func (v *values) load(buffer []float32, src *tensor.Tensor, from, n int) {
	pixels := v.shape.H * v.shape.W
	for i := range n {
		in := src.Data[(from+i)*v.shape.C*pixels : (from+i+1)*v.shape.C*pixels]
		out := buffer[i*v.size : (i+1)*v.size]
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

// channels copies the channels of pixel p of one image to dst.
func (v *values) channels(dst []float64, image []float32, p int) {
	for c := range dst {
		dst[c] = float64(image[v.offset(c, p)])
	}
}

// setChannels is the reverse of channels.
func (v *values) setChannels(image []float32, src []float64, p int) {
	for c, x := range src {
		image[v.offset(c, p)] = float32(x)
	}
}

// offset is where channel c of pixel p lies within an image.
func (v *values) offset(c, p int) int {
	return c/kernel.Block*v.blockSize() + p*kernel.Block + c%kernel.Block
}

// clearPadding zeroes the lanes beyond the last channel of one image of a buffer of the shape of v.
func (v *values) clearPadding(image []float32) {
	if v.shape.C%kernel.Block == 0 {
		return
	}
	last := image[len(image)-v.blockSize():]
	for at := 0; at < len(last); at += kernel.Block {
		clear(last[at+v.shape.C%kernel.Block : at+kernel.Block])
	}
}

// clearAllPadding does so for n images after a convolution: it gives those lanes zero weights, and 0·Inf is NaN.
func (v *values) clearAllPadding(buffer []float32, n int) {
	for i := range n {
		v.clearPadding(buffer[i*v.size : (i+1)*v.size])
	}
}

// chunkFloats is the share of an element-wise task: 256 KiB.
const chunkFloats = 64 << 10

// chunks is how many such tasks n images make.
func (v *values) chunks(n int) int { return (n*v.size + chunkFloats - 1) / chunkFloats }

// chunk is the floats of one of them.
func (v *values) chunk(n, task int) (from, to int) {
	return task * chunkFloats, min((task+1)*chunkFloats, n*v.size)
}
