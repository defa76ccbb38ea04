package reference

import (
	"math"

	"github.com/vggo/vggo/arch"
)

// LRN is local response normalisation over Size neighbouring channels, the absent ones beyond either end counting as 0:
//
//	y[c] = x[c] · d[c]^−β,   d[c] = k + α/Size · Σ_{c' = c−⌊Size/2⌋}^{c+⌊(Size−1)/2⌋} x[c']²
//
// at every pixel (torch.nn.LocalResponseNorm; an even Size looks one channel further down than up).
func LRN(l arch.Placed, x Tensor) Tensor {
	op := l.Op.(arch.LRN)
	y := New(x.N, x.Shape)
	for at := range x.indices() {
		*y.at(at.n, at.c, at.i, at.j) = *x.at(at.n, at.c, at.i, at.j) * math.Pow(denominator(op, x, at), -op.Beta)
	}
	return y
}

// LRNBackward: y[c] depends on x[c] itself and, through d[c], on every neighbour c' in its window:
//
//	dx[c]  += dy[c] · d[c]^−β
//	dx[c'] −= dy[c] · x[c] · β · d[c]^(−β−1) · 2α/Size · x[c']
func LRNBackward(l arch.Placed, x, dy Tensor) Tensor {
	op := l.Op.(arch.LRN)
	dx := New(x.N, x.Shape)
	for at := range x.indices() {
		d := denominator(op, x, at)
		g := *dy.at(at.n, at.c, at.i, at.j)
		*dx.at(at.n, at.c, at.i, at.j) += g * math.Pow(d, -op.Beta)
		shared := g * *x.at(at.n, at.c, at.i, at.j) * op.Beta * math.Pow(d, -op.Beta-1) * 2 * op.Alpha / float64(op.Size)
		for c, last := op.Neighbours(at.c, x.C); c <= last; c++ {
			*dx.at(at.n, c, at.i, at.j) -= shared * *x.at(at.n, c, at.i, at.j)
		}
	}
	return dx
}

func denominator(op arch.LRN, x Tensor, at index) float64 {
	sum := 0.0
	for c, last := op.Neighbours(at.c, x.C); c <= last; c++ {
		v := *x.at(at.n, c, at.i, at.j)
		sum += v * v
	}
	return op.K + op.Alpha/float64(op.Size)*sum
}
