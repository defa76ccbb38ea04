package nn_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
)

// TestPooledWhileTraining: a convolution that stores maxima of its output and reads their gradients spread has the bits
// of one that stores it all, whatever the tiles, the maps' sides, the threads and the parts of a batch.
func TestPooledWhileTraining(t *testing.T) {
	pool := arch.MaxPool{Window: window(2, 2, 2, 1, arch.Pad(0))}
	conv := func(out int, bias bool, groups int) arch.Conv {
		return arch.Conv{Out: out, Window: window(3, 3, 1, 1, arch.Pad(1)), NoBias: !bias, Groups: groups}
	}
	sides := []arch.Size{{H: 7, W: 15}, {H: 8, W: 8}, {H: 13, W: 6}}
	algos := []nn.Algo{nn.Winograd4, nn.Winograd2, nn.Winograd6}
	if testing.Short() {
		sides, algos = sides[:1], algos[:1]
	}
	for _, c := range []struct {
		name  string
		ops   []arch.Op
		fused int // poolings that are
	}{
		{"bias, ReLU", []arch.Op{conv(40, true, 1), arch.ReLU{}, pool, conv(19, true, 1), arch.ReLU{}, pool}, 2},
		{"neither", []arch.Op{conv(32, false, 1), pool, conv(16, false, 1), pool}, 2},
		{"bias, batch norm behind", []arch.Op{conv(33, true, 1), pool, arch.BatchNorm{}, arch.ReLU{}, conv(16, false, 1)}, 1},
		{"groups", []arch.Op{conv(32, false, 2), arch.ReLU{}, pool, conv(64, true, 2), pool, arch.ReLU{}}, 2},
		{"dropout in place", []arch.Op{conv(32, true, 1), arch.ReLU{}, pool, arch.Dropout{Keep: 0.5}, conv(32, true, 1)}, 1},
		{"without padding", []arch.Op{arch.Conv{Out: 24, Window: window(3, 3, 1, 1, arch.Pad(0))}, pool}, 1},
		{"of the definition", []arch.Op{arch.Conv{Out: 24, Window: window(5, 5, 1, 1, arch.Pad(2))}, arch.ReLU{}, pool}, 0},
	} {
		for _, side := range sides {
			ops := append([]arch.Op{arch.ReLU{}}, c.ops...)
			net := named("pooled", arch.Shape{C: 32, H: side.H, W: side.W}, append(ops, arch.Flatten{}, arch.Linear{Out: 5})...)
			x := noise(3, 4, net.Input)
			for i := range x.Data {
				x.Data[i] = float32(math.Round(float64(x.Data[i]))) // ties
			}
			for _, set := range kernel.Sets() {
				for _, algo := range algos {
					for _, parts := range []int{0, 2} {
						name := fmt.Sprintf("%s/%dx%d/%s/%s/%d", c.name, side.H, side.W, set, algo, parts)
						params := newParams(t, net, nn.He)
						o := nn.Options{Batch: 4, Training: true, InputGrad: true, Set: set.Name, Algo: algo, Threads: 1,
							Share: nn.Share{Parts: parts}}
						o.NoFuse = true
						apart := compile(t, net, params, o)
						gradients := func(plan *nn.Plan) []float32 {
							all := train(t, plan, params, x)
							images, err := plan.ImageGrad()
							if err != nil {
								t.Fatal(err)
							}
							return append(all, images.Data...)
						}
						want := gradients(apart)
						o.NoFuse = false
						for _, threads := range []int{1, 3} {
							o.Threads = threads
							plan := compile(t, net, params, o)
							fused := 0
							for _, g := range plan.Groups() {
								if g.Layers[0].Op.Kind() == "conv" && slices.ContainsFunc(g.Layers, func(l arch.Placed) bool {
									return l.Op.Kind() == "maxpool"
								}) {
									fused++
								}
							}
							if fused != c.fused {
								t.Fatalf("%s: %d poolings are fused, want %d", name, fused, c.fused)
							}
							if !sameBits(gradients(plan), want) {
								t.Fatalf("%s, %d threads: other bits", name, threads)
							}
							more, less := apart.Memory(), plan.Memory()
							if fused > 0 && (less.Activations >= more.Activations || less.Gradients > more.Gradients) {
								t.Errorf("%s: fusing takes %+v in place of %+v", name, less, more)
							}
						}
					}
				}
			}
		}
	}
}
