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
		if t, ok := winner(&l, x, at); ok {
			*y.at(at.n, at.c, at.i, at.j) = *x.at(at.n, at.c, t.y, t.x)
		}
	}
	return y
}

// MaxPoolBackward gives all of dy to the pixel that won.
func MaxPoolBackward(l arch.Placed, x, dy Tensor) Tensor {
	dx := New(x.N, l.In)
	for at := range dy.indices() {
		if t, ok := winner(&l, x, at); ok {
			*dx.at(at.n, at.c, t.y, t.x) += *dy.at(at.n, at.c, at.i, at.j)
		}
	}
	return dx
}

// winner is the first maximum of a window, row by row; of several NaN the last, as in PyTorch's comparison
// (value > max || isnan(value)).
func winner(l *arch.Placed, x Tensor, at index) (best tap, ok bool) {
	for t := range window(l, at.i, at.j) {
		v := *x.at(at.n, at.c, t.y, t.x)
		if !ok || v > *x.at(at.n, at.c, best.y, best.x) || math.IsNaN(v) {
			best, ok = t, true
		}
	}
	return best, ok
}

// AvgPool is the mean of each window: the sum of its real pixels over the divisor, which counts the real pixels, or
// with CountPad those and the padding, and never what a rounded-up output size makes the last window hang over.
func AvgPool(l arch.Placed, x Tensor) Tensor { return average(l, x) }

// AvgPoolBackward gives every real pixel of a window its equal share of dy.
func AvgPoolBackward(l arch.Placed, dy Tensor) Tensor { return averageBackward(l, dy) }

// AdaptiveAvgPool averages to a fixed output: y[n,c,i,j] is the mean of rows ⌊iH/h⌋ … ⌈(i+1)H/h⌉−1 and the
// same of columns. Neighbouring spans overlap where h does not divide H.
func AdaptiveAvgPool(l arch.Placed, x Tensor) Tensor { return average(l, x) }

// AdaptiveAvgPoolBackward gives every pixel of a span its equal share of dy.
func AdaptiveAvgPoolBackward(l arch.Placed, dy Tensor) Tensor { return averageBackward(l, dy) }

func average(l arch.Placed, x Tensor) Tensor {
	y := New(x.N, l.Out)
	for at := range y.indices() {
		for t := range window(&l, at.i, at.j) {
			*y.at(at.n, at.c, at.i, at.j) += *x.at(at.n, at.c, t.y, t.x) / divisor(&l, at)
		}
	}
	return y
}

func averageBackward(l arch.Placed, dy Tensor) Tensor {
	dx := New(dy.N, l.In)
	for at := range dy.indices() {
		for t := range window(&l, at.i, at.j) {
			*dx.at(at.n, at.c, t.y, t.x) += *dy.at(at.n, at.c, at.i, at.j) / divisor(&l, at)
		}
	}
	return dx
}

func divisor(l *arch.Placed, at index) float64 {
	rows, cols := l.Taps(at.i, at.j)
	return float64(rows.Divisor * cols.Divisor)
}

// L2Pool is y[n,c,i,j] = √(Σ_pq g[p]·g[q]·x[n,c,y,x]² + 1e-12) with g = (1 2 1)/4; padding is zero.
func L2Pool(l arch.Placed, x Tensor) Tensor {
	y := New(x.N, l.Out)
	for at := range y.indices() {
		sum := 1e-12
		for t := range window(&l, at.i, at.j) {
			v := *x.at(at.n, at.c, t.y, t.x)
			sum += hann[t.p] * hann[t.q] * v * v
		}
		*y.at(at.n, at.c, at.i, at.j) = math.Sqrt(sum)
	}
	return y
}

// L2PoolBackward: dx[n,c,y,x] += dy · g[p]·g[q]·x / y.
func L2PoolBackward(l arch.Placed, x, y, dy Tensor) Tensor {
	dx := New(x.N, l.In)
	for at := range dy.indices() {
		share := *dy.at(at.n, at.c, at.i, at.j) / *y.at(at.n, at.c, at.i, at.j)
		for t := range window(&l, at.i, at.j) {
			*dx.at(at.n, at.c, t.y, t.x) += share * hann[t.p] * hann[t.q] * *x.at(at.n, at.c, t.y, t.x)
		}
	}
	return dx
}

var hann = [3]float64{0.25, 0.5, 0.25}
