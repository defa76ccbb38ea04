package nn_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
)

// TestNotANumber puts one NaN into the middle of the images: it must reach every value that depends on it, and no
// other. A blocked layer must not let it into channels that only share its block. Two layers differ from PyTorch.
// Groups that fill no whole blocks run as one convolution with zero weights between them, and 0·NaN is NaN: there it
// may reach other groups' outputs. And what dropout drops is 0, whatever it was.
func TestNotANumber(t *testing.T) {
	for i, tt := range layerTests {
		for _, set := range sets() {
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

// TestInfinity holds direct convolutions and batch norm to IEEE 754: with infinities of both signs or of one in the
// images, and then in the gradient, and weights that are 0, every result is infinite, or NaN, or finite, as in the
// reference. Padding is zeros that are multiplied, where the reference leaves them out: a weight's gradient is NaN if
// one meets an infinite gradient. As in TestNotANumber, 0·∞ crosses groups.
func TestInfinity(t *testing.T) {
	for i, tt := range layerTests {
		if !slices.ContainsFunc(tt.ops, isUngroupedConv) && !slices.ContainsFunc(tt.ops, isBatchNorm) {
			continue
		}
		for _, set := range sets() {
			for _, from := range []string{"images", "gradient"} {
				for _, signs := range [][]int{{1, -1}, {1}, {-1}} {
					t.Run(fmt.Sprintf("%s/set=%s/from=%s/signs=%v", tt.name, set, from, signs), func(t *testing.T) {
						tr := newTrial(t, uint64(i+1), tt.input, 3, tt.ops...)
						tr.set = set
						v := tr.x
						if from == "gradient" {
							v = tr.dlogits
						}
						for j, sign := range signs {
							v[len(v)/2+j] = float32(math.Inf(sign))
						}
						for name, w := range tr.params {
							for j := 0; strings.HasSuffix(name, "/w") && j < len(w); j += 5 {
								w[j] = 0
							}
						}
						plan, params := tr.plan(t)
						got := tr.run(t, plan, params)
						want := tr.reference(t, got)
						for name := range got {
							meetsPadding := from == "gradient" && strings.HasSuffix(name, "/w")
							wrong, first := 0, 0
							for j, v := range got[name] {
								switch w := want[name][j]; {
								case finite(v) && finite(w), v == w, math.IsNaN(v) && math.IsNaN(w), math.IsNaN(v) && meetsPadding:
								default:
									if wrong++; wrong == 1 {
										first = j
									}
								}
							}
							if wrong > 0 {
								t.Errorf("%s: %d of %d values are not infinite, NaN or finite as they should be: [%d] is %v, want %v", name,
									wrong, len(got[name]), first, got[name][first], want[name][first])
							}
						}
					})
				}
			}
		}
	}
}

func isUngroupedConv(op arch.Op) bool {
	conv, ok := op.(arch.Conv)
	return ok && conv.Groups <= 1
}

func isBatchNorm(op arch.Op) bool {
	_, ok := op.(arch.BatchNorm)
	return ok
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// TestInfinityFillsTiles: by Winograd's algorithm an infinity in the input reaches, beyond the 3x3 outputs that depend
// on it, others of the same tile, since it enters the sums that a whole tile is taken from: all of them, except that a
// pixel on the rim of a patch enters those of the outermost outputs alone. They are NaN, or infinite where no second
// infinity comes to cancel the first. Tiles whose patch does not hold it keep their bits.
func TestInfinityFillsTiles(t *testing.T) {
	conv := arch.Conv{Out: 18, Window: window(3, 3, 1, 1, arch.Pad(1))}
	shape := arch.Shape{C: 17, H: 13, W: 18}
	for _, a := range nn.Algos() {
		for _, set := range sets() {
			t.Run(setAndAlgo{set, a}.String(), func(t *testing.T) {
				// Pooling single pixels changes nothing; behind it a convolution reads blocks, as inside a network.
				tr := newTrial(t, 1, shape, 1, arch.MaxPool{Window: window(1, 1, 1, 1, arch.Pad(0))}, conv)
				tr.training, tr.set, tr.algo = false, set, a
				plan, _ := tr.plan(t)
				clean := tr.forward(t, plan)["logits"]
				for at := range shape.H * shape.W {
					channel := at % shape.C * shape.H * shape.W
					was := tr.x[channel+at]
					tr.x[channel+at] = float32(math.Inf(1))
					got := tr.forward(t, plan)["logits"]
					tr.x[channel+at] = was
					y, x := at/shape.W, at%shape.W
					for o, v := range got {
						i, j := o/shape.W%shape.H, o%shape.W
						depends := abs(i-y) <= 1 && abs(j-x) <= 1
						// The pixel's place in the patch of this output's tile, which begins one pixel before the tile.
						row, column := y-(i/side(a)*side(a)-1), x-(j/side(a)*side(a)-1)
						inPatch := row >= 0 && row < side(a)+2 && column >= 0 && column < side(a)+2
						inside := row > 0 && row <= side(a) && column > 0 && column <= side(a)
						switch {
						case (depends || inside) && finite(v):
							t.Fatalf("infinity at (%d, %d): the output at (%d, %d) is %v", y, x, i, j, v)
						case !inPatch && v != clean[o]:
							t.Fatalf("infinity at (%d, %d): the output at (%d, %d) changes from %v to %v", y, x, i, j, clean[o], v)
						}
					}
				}
			})
		}
	}
}

func abs(i int) int { return max(i, -i) }

// TestMaxPoolTies: of equal values the first, row by row, gets the gradient. Few different values make many ties.
func TestMaxPoolTies(t *testing.T) {
	for _, w := range []arch.Window{
		window(2, 2, 2, 1, arch.Pad(0)),
		ceil(window(3, 3, 2, 1, arch.Pad(1))),
		window(2, 3, 1, 2, arch.Padding{Top: 1, Bottom: 2, Left: 3}),
	} {
		for _, set := range sets() {
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
