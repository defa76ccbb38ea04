package golden

import (
	"math/rand/v2"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn/reference"
)

// TestConv holds the quick convolution against the definition. Two sums of the same n terms in another order differ by
// at most 2·n·2⁻⁵³ times the sum of the terms' magnitudes; no sum here has more than 400 terms, each below 1.
func TestConv(t *testing.T) {
	const bound = 2 * 400 * 400.0 / (1 << 53)
	random := rand.New(rand.NewPCG(1, 2))
	fill := func(v []float64) {
		for i := range v {
			v[i] = 2*random.Float64() - 1
		}
	}
	for range 60 {
		side := func() arch.Size { return arch.Size{H: 1 + random.IntN(3), W: 1 + random.IntN(3)} }
		pad := func() int { return random.IntN(3) }
		groups := 1 + random.IntN(3)
		input := arch.Shape{C: groups * (1 + random.IntN(6)), H: 7 + random.IntN(3), W: 7 + random.IntN(3)}
		op := arch.Conv{Out: groups * (1 + random.IntN(6)), Groups: groups, Window: arch.Window{Kernel: side(),
			Stride: side(), Dilation: side(),
			Pad: arch.Padding{Top: pad(), Left: pad(), Bottom: pad(), Right: pad()}}}
		network := &arch.Network{Name: "conv", Input: input, Layers: []arch.Layer{{Name: "conv", Op: op}}}
		placed, err := network.Place(input)
		if err != nil {
			t.Fatal(err)
		}
		l, n := placed.Layers[0], 2
		x, dy := reference.New(n, l.In), reference.New(n, l.Out)
		w, b := make([]float64, l.Params[0].Count()), make([]float64, op.Out)
		for _, v := range [][]float64{x.Data, dy.Data, w, b} {
			fill(v)
		}
		dx, dw, db := ConvBackward(l, x, w, dy)
		wantDX, wantDW, wantDB := reference.ConvBackward(l, x, w, dy)
		for _, c := range []struct {
			name      string
			got, want []float64
		}{
			{"forward", Conv(l, x, w, b).Data, reference.Conv(l, x, w, b).Data}, {"dx", dx.Data, wantDX.Data},
			{"dw", dw, wantDW}, {"db", db, wantDB},
		} {
			for i := range c.want {
				if d := c.got[i] - c.want[i]; !(d <= bound && d >= -bound) {
					t.Fatalf("%+v on %v, %s: %v at %d, want %v", op, input, c.name, c.got[i], i, c.want[i])
				}
			}
		}
	}
}
