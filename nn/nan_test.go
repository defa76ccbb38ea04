package nn_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
)

// TestNotANumber puts one NaN into the middle of the images: it must reach every value that depends on it, and no other. A
// blocked layer must not let it into channels that only share its block. Two layers differ from PyTorch. Groups that fill no
// whole blocks run as one convolution with zero weights between them, and 0·NaN is NaN: there it may reach other groups'
// outputs. And what dropout drops is 0, whatever it was.
func TestNotANumber(t *testing.T) {
	for i, tt := range layerTests {
		for _, set := range kernel.Sets() {
			t.Run(fmt.Sprintf("%s/set=%s", tt.name, set), func(t *testing.T) {
				tr := newTrial(t, uint64(i+1), tt.input, 3, tt.ops...)
				tr.set = set
				tr.x[len(tr.x)/2] = float32(math.NaN())
				grouped, dropping := false, false
				for _, op := range tt.ops {
					conv, _ := op.(arch.Conv)
					grouped = grouped || conv.Groups > 1
					_, drop := op.(arch.Dropout)
					dropping = dropping || drop
				}
				plan, params := tr.plan(t)
				got := tr.run(t, plan, params)
				want := tr.reference(t, got)
				for name := range got {
					missing, stray := 0, 0
					for j, v := range got[name] {
						switch nan := math.IsNaN(want[name][j]); {
						case nan && !math.IsNaN(v) && !dropping:
							missing++
						case !nan && math.IsNaN(v) && !grouped:
							stray++
						}
					}
					if missing+stray > 0 {
						t.Errorf("%s: of %d values %d should be NaN and are not, %d should not", name, len(got[name]), missing, stray)
					}
				}
			})
		}
	}
}

// TestMaxPoolTies: of equal values the first, row by row, gets the gradient. Few different values make many ties.
func TestMaxPoolTies(t *testing.T) {
	for _, w := range []arch.Window{
		window(2, 2, 2, 1, arch.Pad(0)),
		ceil(window(3, 3, 2, 1, arch.Pad(1))),
		window(2, 3, 1, 2, arch.Padding{Top: 1, Bottom: 2, Left: 3}),
	} {
		for _, set := range kernel.Sets() {
			tr := newTrial(t, 1, arch.Shape{C: 19, H: 9, W: 8}, 3, arch.MaxPool{Window: w})
			tr.set = set
			rng := rand.New(rand.NewPCG(5, 5))
			for i := range tr.x {
				tr.x[i] = float32(rng.IntN(3)) - 1
			}
			tr.check(t)
		}
	}
}
