package nn

import "github.com/vggo/vggo/internal/kernel"

// filters is a convolution's weights in the order that a pass packs them: from O,I,H,W for the forward pass; flipped,
// and with inputs for outputs, for the data gradient.
type filters struct {
	w       []float32
	in, out int // channels of the whole convolution
	area    int // taps
	groups  int
	parts   int       // groups that run apart
	scale   []float32 // by output channel, of the batch norm folded in; nil: 1
	data    bool      // for the data gradient
}

// gather stores the weights of one block of a part's outputs as [input channel][tap][16], for so many input channels;
// channels that do not exist and those of other groups have zeros. For the data gradient inputs and outputs change
// places.
func (f *filters) gather(dst []float32, channels, part, block int) {
	clear(dst[:channels*f.area*kernel.Block])
	if f.data {
		f.gatherData(dst, part, block)
		return
	}
	partOut, perIn, perOut := f.out/f.parts, f.in/f.groups, f.out/f.groups
	for lane := range min(kernel.Block, partOut-block*kernel.Block) {
		o := part*partOut + block*kernel.Block + lane
		scale := float32(1)
		if f.scale != nil {
			scale = f.scale[o]
		}
		first := o/perOut*perIn - part*(f.in/f.parts) // of the group's inputs, within the part
		to := dst[first*f.area*kernel.Block+lane:]
		for i, x := range f.w[o*perIn*f.area : (o+1)*perIn*f.area] {
			to[i*kernel.Block] = scale * x
		}
	}
}

func (f *filters) gatherData(dst []float32, part, block int) {
	partIn, perIn, perOut := f.in/f.parts, f.in/f.groups, f.out/f.groups
	for lane := range min(kernel.Block, partIn-block*kernel.Block) {
		i := part*partIn + block*kernel.Block + lane
		group := i / perIn
		for o := group * perOut; o < (group+1)*perOut; o++ {
			to := dst[(o-part*(f.out/f.parts))*f.area*kernel.Block+lane:]
			scale := float32(1)
			if f.scale != nil {
				scale = f.scale[o]
			}
			for tap, x := range f.w[(o*perIn+i%perIn)*f.area:][:f.area] {
				to[(f.area-1-tap)*kernel.Block] = scale * x
			}
		}
	}
}
