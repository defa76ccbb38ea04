package reference

import (
	"math"

	"github.com/vggo/vggo/arch"
)

// MaxPool is the largest real pixel of each window; padding never wins and NaN always does. A window with no real
// pixel (a dilated kernel can straddle a map smaller than its gaps) is −∞.
func MaxPool(l arch.Placed, x Tensor) Tensor {
	y := New(x.N, l.Out)
	for at := range y.indices() {
		*y.at(at.n, at.c, at.i, at.j) = math.Inf(-1)
		if t, ok := winner(l.Geometry, x, at); ok {
			*y.at(at.n, at.c, at.i, at.j) = *x.at(at.n, at.c, t.y, t.x)
		}
	}
	return y
}

// MaxPoolBackward gives all of dy to the pixel that won.
func MaxPoolBackward(l arch.Placed, x, dy Tensor) Tensor {
	dx := New(x.N, l.In)
	for at := range dy.indices() {
		if t, ok := winner(l.Geometry, x, at); ok {
			*dx.at(at.n, at.c, t.y, t.x) += *dy.at(at.n, at.c, at.i, at.j)
		}
	}
	return dx
}

// winner is the first maximum of a window, row by row; of several NaN the last, as in PyTorch's comparison
// (value > max || isnan(value)).
func winner(g arch.Geometry, x Tensor, at index) (best tap, ok bool) {
	for t := range window(g, at.i, at.j) {
		v := *x.at(at.n, at.c, t.y, t.x)
		if !ok || v > *x.at(at.n, at.c, best.y, best.x) || math.IsNaN(v) {
			best, ok = t, true
		}
	}
	return best, ok
}

// AvgPool is the mean of each window: the sum of its real pixels over divisor.
func AvgPool(l arch.Placed, x Tensor) Tensor {
	y := New(x.N, l.Out)
	for at := range y.indices() {
		for t := range window(l.Geometry, at.i, at.j) {
			*y.at(at.n, at.c, at.i, at.j) += *x.at(at.n, at.c, t.y, t.x) / divisor(l, at)
		}
	}
	return y
}

// AvgPoolBackward gives every real pixel of a window its equal share of dy.
func AvgPoolBackward(l arch.Placed, dy Tensor) Tensor {
	dx := New(dy.N, l.In)
	for at := range dy.indices() {
		for t := range window(l.Geometry, at.i, at.j) {
			*dx.at(at.n, at.c, t.y, t.x) += *dy.at(at.n, at.c, at.i, at.j) / divisor(l, at)
		}
	}
	return dx
}

// divisor counts the real pixels of a window, or with CountPad those and the padding. What a rounded-up output size
// makes the last window hang over the padding never counts.
func divisor(l arch.Placed, at index) float64 {
	g := l.Geometry
	if l.Op.(arch.AvgPool).CountPad { // the padding is as real as the pixels
		g.In.H += g.Top + g.Bottom
		g.In.W += g.Left + g.Right
		g.Top, g.Left = 0, 0
	}
	count := 0.0
	for range window(g, at.i, at.j) {
		count++
	}
	return count
}

// AdaptiveAvgPool averages to a fixed output: y[n,c,i,j] is the mean of rows ⌊iH/h⌋ … ⌈(i+1)H/h⌉−1 and the same of
// columns. Neighbouring spans overlap where h does not divide H.
func AdaptiveAvgPool(l arch.Placed, x Tensor) Tensor {
	y := New(x.N, l.Out)
	for at := range y.indices() {
		top, bottom := span(at.i, l.In.H, l.Out.H)
		left, right := span(at.j, l.In.W, l.Out.W)
		for r := top; r < bottom; r++ {
			for s := left; s < right; s++ {
				*y.at(at.n, at.c, at.i, at.j) += *x.at(at.n, at.c, r, s) / float64((bottom-top)*(right-left))
			}
		}
	}
	return y
}

// AdaptiveAvgPoolBackward gives every pixel of a span its equal share of dy.
func AdaptiveAvgPoolBackward(l arch.Placed, dy Tensor) Tensor {
	dx := New(dy.N, l.In)
	for at := range dy.indices() {
		top, bottom := span(at.i, l.In.H, l.Out.H)
		left, right := span(at.j, l.In.W, l.Out.W)
		for r := top; r < bottom; r++ {
			for s := left; s < right; s++ {
				*dx.at(at.n, at.c, r, s) += *dy.at(at.n, at.c, at.i, at.j) / float64((bottom-top)*(right-left))
			}
		}
	}
	return dx
}

func span(i, in, out int) (from, to int) { return i * in / out, ((i+1)*in + out - 1) / out }
