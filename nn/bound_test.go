package nn_test

import (
	"math"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/winograd"
	"github.com/vggo/vggo/nn"
)

// unitRoundoff is u: rounding to float32 moves a number by at most u of itself.
const unitRoundoff = 1.0 / (1 << 24)

// bound is how far a float32 tensor may be from the exact one, ‖y − y₆₄‖/‖y₆₄‖, when each value comes
// out of a chain of k roundings: √k·u.
//
// Take a sum of k products of independent terms of mean 0 and deviation σ. Its partial sum after i terms is √i·σ
// in size, and rounding it is off by a random amount of deviation at most u/√3 of that. The k errors add in squares:
//
//	√(Σᵢ i·σ²·u²/3) = k·σ·u/√6, relative to the sum's own √k·σ:  √(k/6)·u
//
// For terms of one sign σ and mean μ ≫ σ, partial sums are i·μ, and the same argument gives √(k/9)·u. A layer
// passes the relative error of its input on, neither more nor less in the mean: a random linear map stretches signal
// and error alike, ReLU and max pooling choose. So errors along a path of layers add in squares too, and k adds up.
// What √k·u allows beyond √(k/6)·u, a factor of 2.4, is for layers that do magnify (a softmax, by the size of its
// logits; a mean that batch norm takes away) and for the luck of small tensors.
func bound(k int) float64 { return math.Sqrt(float64(k)) * unitRoundoff }

// chain counts the roundings that one layer adds: to its output, to its input's gradient and to its parameters'
// gradients. Layers that only choose or copy add none and have to be exact.
func chain(l arch.Placed, n int, training bool, algo nn.Algo) (output, input, params int) {
	g := l.Geometry
	switch op := l.Op.(type) {
	case arch.Conv:
		area, groups := g.Kernel.H*g.Kernel.W, max(op.Groups, 1)
		if m := algo.Tile(); m > 0 && g.Kernel == arch.Square(3) && g.Stride == arch.Square(1) &&
			g.Dilation == arch.Square(1) && (groups == 1 || l.In.C/groups%16 == 0 && l.Out.C/groups%16 == 0) {
			a := winograd.F(m)
			output, gradient := winogradGrowth(a)
			// Each plane's chain begins with transformed values and ends in the last transform, two passes of sums each, and
			// the coefficients of the weights' transform, such as 1/6, are rounded themselves.
			transforms := 2 * (a.Side + winograd.Taps + 1 + a.Side)
			tiles := n * ((l.Out.H + m - 1) / m) * ((l.Out.W + m - 1) / m)
			return output * (l.In.C/groups + transforms), output * (l.Out.C/groups + transforms), gradient * (tiles + transforms)
		}
		return area*l.In.C/groups + 1, area * l.Out.C / groups, n * l.Out.H * l.Out.W
	case arch.Linear:
		return l.In.C + 1, l.Out.C, n
	case arch.BatchNorm:
		if !training { // x·scale + shift, each of them rounded
			return 4, 4, n * l.Out.H * l.Out.W
		}
		m := n * l.Out.H * l.Out.W
		return m + 4, m + 4, m + 4
	case arch.ReflectPad: // a pixel stands in a corner and in its mirror images, nine times at most
		return 0, 8, 0
	case arch.MaxPool: // the gradient adds up where windows overlap
		return 0, g.Kernel.H*g.Kernel.W - 1, 0
	case arch.AvgPool:
		return g.Kernel.H*g.Kernel.W + 1, g.Kernel.H*g.Kernel.W + 1, 0
	case arch.L2Pool: // nine squares and their sum, a root; the gradient adds up where windows overlap
		return 12, 16, 0
	case arch.AdaptiveAvgPool, arch.GlobalAvgPool:
		wide := (l.In.H/l.Out.H + 2) * (l.In.W/l.Out.W + 2)
		deep := (l.Out.H/l.In.H + 2) * (l.Out.W/l.In.W + 2)
		return wide + 1, deep + 1, 0
	case arch.LRN:
		// squares and their sum, two of d, two roots, product and quotient; the gradient's sum has d twice and is one of Size
		return op.Size + 6, 3*op.Size + 12, 0
	case arch.Dropout: // x·(1/keep), both rounded
		return 2, 2, 0
	case arch.Softmax:
		return l.In.C + 1, l.In.C + 1, 0
	case arch.Sigmoid: // its output is rounded once; 1-y has that error again, and two products follow
		return 1, 4, 0
	default:
		return 0, 0, 0
	}
}

// winogradGrowth is by how much F(m×m,3×3), and F(3×3,m×m) for the gradient, make squared errors grow. A result is
// the sum over all planes of products of transformed values, which are larger than what they cancel to. With
// independent inputs and weights of variance 1 the variance of plane p's products, as a result o weighs them, is along
// one axis
//
//	Aₒₚ² · Σⱼ Bₚⱼ² · Σⱼ Gₚⱼ²
//
// for each channel (or tile), where the definition has 3 (or m). Its sum over p, in the mean over o, squared for both
// axes, is the variance of what is rounded, in units of the result's own: 116 for F(4×4,3×3), whose errors grow by
// 10.8. A plane's chain has one rounding for a channel where the definition's has 9, so against the definition they
// grow by 3.6.
func winogradGrowth(a *winograd.Algorithm) (output, gradient int) {
	growth := func(last, first [][]float64) int {
		sum := 0.0
		for _, row := range last {
			for p, x := range row {
				sum += x * x * squares(a.Input[p]) * squares(first[p])
			}
		}
		terms := float64(len(last) * len(first[0])) // along one axis, of all results
		return int(math.Ceil(sum * sum / (terms * terms)))
	}
	return growth(a.Output, a.Weight), growth(a.WeightGrad, a.Grad)
}

func squares(row []float64) (sum float64) {
	for _, x := range row {
		sum += x * x
	}
	return sum
}

// bounds gives every result's bound: roundings on the way to a layer for its output; for gradients all the way forward
// and back to the layer.
func (tr *trial) bounds(t testing.TB) map[string]float64 {
	t.Helper()
	layers := tr.layers(t)
	depth := logitsDepth(layers)
	bounds := make(map[string]float64)
	k := 0
	for i, l := range layers {
		output, _, _ := chain(l, tr.n, tr.training, tr.algo)
		k += output
		bounds["act/"+l.Name] = bound(k)
		if i+1 == depth {
			bounds["logits"] = bound(k)
		}
		for _, p := range l.Params {
			bounds["stat/"+p.Name] = bound(k)
		}
	}
	for i := depth - 1; i >= 0; i-- {
		_, input, params := chain(layers[i], tr.n, tr.training, tr.algo)
		for _, p := range layers[i].Params {
			bounds["grad/"+p.Name] = bound(k + params)
		}
		k += input
	}
	bounds["grad/input"] = bound(k)
	return bounds
}
