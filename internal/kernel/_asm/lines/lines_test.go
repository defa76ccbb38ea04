package lines

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vggo/vggo/internal/winograd"
)

// calculator is a Machine that computes at once. Its registers are numbers that instructions overwrite.
type calculator struct{}

type operand struct {
	register *float64
	spare    bool
}

func (calculator) Operand(v *float64, last bool) operand  { return operand{v, last} }
func (calculator) Spare(x operand) (*float64, bool)       { return x.register, x.spare }
func (c calculator) Plus(x, y operand) *float64           { return c.TimesPlus(1, x, y) }
func (c calculator) Minus(x, y operand) *float64          { return c.TimesPlus(-1, x, y) }
func (calculator) Times(k float64, x operand) *float64    { v := k * *x.register; return &v }
func (calculator) Add(k float64, x operand, acc *float64) { *acc += k * *x.register }
func (calculator) TimesPlus(k float64, x, y operand) *float64 {
	v := k**x.register + *y.register
	return &v
}

func (calculator) Own(x operand) *float64 {
	if x.spare {
		return x.register
	}
	v := *x.register
	return &v
}

// TestCompute: the sums that each of Winograd's matrices compiles into are its products with a line, each once, and
// leave the line as it was.
func TestCompute(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, tile := range winograd.Tiles {
		a := winograd.F(tile)
		for name, m := range map[string][][]float64{
			"input": a.Input, "output": a.Output, "weight": a.Weight, "gradient": a.Grad, "weight gradient": a.WeightGrad,
		} {
			line := make([]float64, len(m[0]))
			for i := range line {
				line[i] = random.NormFloat64()
			}
			before, got := append([]float64(nil), line...), map[int]float64{}
			for _, g := range Groups(m) {
				Compute(calculator{}, g, len(line), func(i int) operand { return operand{register: &line[i]} },
					func(i int, v *float64) {
						if _, twice := got[i]; twice {
							t.Errorf("F(%d) %s: output %d comes twice", tile, name, i)
						}
						got[i] = *v
					})
			}
			for i, row := range m {
				want := 0.0
				for j, c := range row {
					want += c * before[j]
				}
				if v, ok := got[i]; !ok || math.Abs(v-want) > 1e-12 {
					t.Errorf("F(%d) %s: output %d is %v, %v, want %v", tile, name, i, v, ok, want)
				}
			}
			for i := range line {
				if line[i] != before[i] {
					t.Errorf("F(%d) %s: input %d was overwritten", tile, name, i)
				}
			}
		}
	}
}
