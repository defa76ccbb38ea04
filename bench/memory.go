package bench

import (
	"fmt"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
)

// slack is what the process takes beyond the network: the program, its stacks, the garbage collector.
const slack = 100 << 20

// MemoryError is a batch that does not fit.
type MemoryError struct {
	Network         string
	Mode            Mode
	Batch           int
	Need, Available int64 // bytes
	Fits            int   // the largest batch that would fit; 0 if none does
}

func (e *MemoryError) Error() string {
	images := "one image"
	if e.Batch > 1 {
		images = fmt.Sprintf("%d images", e.Batch)
	}
	return fmt.Sprintf("%s: %s of %s needs about %s of memory, and %s are available", e.Network, e.Mode, images, arch.Bytes(e.Need), arch.Bytes(e.Available))
}

// CheckMemory is a *MemoryError if one mode of a network will not fit into what the system has left; nil where the system
// does not tell.
func CheckMemory(r *arch.Report, mode Mode) error {
	available := availableMemory()
	fixed, images := footprint(r, mode)
	if need := fixed + images + slack; available > 0 && need > float64(available) {
		fits := max((float64(available)-slack-fixed)/images*float64(r.Batch), 0)
		return &MemoryError{r.Network, mode, r.Batch, int64(need), available, int(fits)}
	}
	return nil
}

// footprint estimates a Plan's memory before there is one to ask, in bytes, rather too high than too low: arch's figures
// with the channels of every map padded to blocks, and beside them the weights of every convolution as Winograd's
// F(4x4,3x3) takes them, 36 values for 9, once for each direction. images is the part that grows with the batch.
func footprint(r *arch.Report, mode Mode) (fixed, images float64) {
	maps := func(channels int, s arch.Shape) float64 {
		return 4 * float64(channels) * float64(s.H) * float64(s.W) * float64(r.Batch)
	}
	blocked := func(s arch.Shape) float64 { return maps(kernel.Blocks(s.C)*kernel.Block, s) }
	isConv := func(l arch.LayerReport) bool { return l.Kind == (arch.Conv{}).Kind() }
	var arena, kept, transformed float64
	if !isConv(r.Layers[0]) { // a convolution reads the images where they are
		kept = blocked(r.Input)
	}
	for _, l := range r.Layers {
		if !l.InPlace {
			arena = max(arena, blocked(l.In)+blocked(l.Out))
			kept += blocked(l.Out)
		}
		if isConv(l) {
			transformed += 4 * 36 / 9 * float64(l.Weights)
		}
	}
	fixed = float64(r.Memory.Parameters) + transformed
	images = maps(r.Input.C, r.Input) + arena
	if mode == ForwardBackward {
		fixed += float64(r.Memory.ParameterGradients) + transformed
		images += kept
	}
	return fixed, images
}
