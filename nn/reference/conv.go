package reference

import "github.com/vggo/vggo/arch"

// Conv is a convolution (cross-correlation, as every framework has it) with zero padding:
//
//	y[n,o,i,j] = b[o] + Σ_{c,p,q} w[o,c,p,q] · x[n, first(o)+c, i·s−top+p·d, j·s−left+q·d]
//
// Output channel o belongs to group o/(O/G) and sees that group's C/G input channels, beginning with first(o).
// w is O x C/G x kh x kw; b may be nil.
func Conv(l arch.Placed, x Tensor, w, b []float64) Tensor {
	k := newKernel(l)
	y := New(x.N, l.Out)
	for at := range y.indices() {
		sum := 0.0
		if b != nil {
			sum = b[at.c]
		}
		for t := range window(l.Geometry, at.i, at.j) {
			for c := range k.in {
				sum += w[k.index(at.c, c, t)] * *x.at(at.n, k.first(at.c)+c, t.y, t.x)
			}
		}
		*y.at(at.n, at.c, at.i, at.j) = sum
	}
	return y
}

// ConvBackward sends each dy[n,o,i,j] back along the terms of the sum above:
//
//	dx[n, first(o)+c, …] += w[o,c,p,q] · dy[n,o,i,j]
//	dw[o,c,p,q]          += x[n, first(o)+c, …] · dy[n,o,i,j]
//	db[o]                += dy[n,o,i,j]
func ConvBackward(l arch.Placed, x Tensor, w []float64, dy Tensor) (dx Tensor, dw, db []float64) {
	k := newKernel(l)
	dx, dw, db = New(x.N, l.In), make([]float64, len(w)), make([]float64, l.Out.C)
	for at := range dy.indices() {
		d := *dy.at(at.n, at.c, at.i, at.j)
		for t := range window(l.Geometry, at.i, at.j) {
			for c := range k.in {
				*dx.at(at.n, k.first(at.c)+c, t.y, t.x) += w[k.index(at.c, c, t)] * d
				dw[k.index(at.c, c, t)] += *x.at(at.n, k.first(at.c)+c, t.y, t.x) * d
			}
		}
		db[at.c] += d
	}
	return dx, dw, db
}

// kernel finds its way in a convolution's weights.
type kernel struct{ in, out, h, w int } // channels in and out per group, height and width

func newKernel(l arch.Placed) kernel {
	groups := max(l.Op.(arch.Conv).Groups, 1)
	return kernel{l.In.C / groups, l.Out.C / groups, l.Geometry.Kernel.H, l.Geometry.Kernel.W}
}

// first is the first input channel that output channel o sees.
func (k kernel) first(o int) int { return o / k.out * k.in }

func (k kernel) index(o, c int, t tap) int { return ((o*k.in+c)*k.h+t.p)*k.w + t.q }
