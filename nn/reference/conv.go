package reference

import "github.com/vggo/vggo/arch"

// Conv is a convolution (cross-correlation, as every framework has it) with zero padding:
//
//	y[n,o,i,j] = b[o] + Σ_{c,p,q} w[o,c,p,q] · x[n, first(o)+c, i·s−top+p·d, j·s−left+q·d]
//
// Output channel o belongs to group o/(O/G) and sees that group's C/G input channels, beginning with first(o).
// w is O x C/G x kh x kw; b may be nil.
func Conv(l arch.Placed, x Tensor, w, b []float64) Tensor {
	k := kernelOf(l)
	y := New(x.N, l.Out)
	Each(y.N*y.C, func(plane int) {
		n, o := plane/y.C, plane%y.C
		for i := range y.H {
			for j := range y.W {
				sum := 0.0
				if b != nil {
					sum = b[o]
				}
				rows, cols := l.Taps(i, j) // those in the padding multiply zeros and are left out
				for c := range k.in {
					for p := rows.First; p < rows.Last; p++ {
						row, _ := rows.At(p)
						for q := cols.First; q < cols.Last; q++ {
							col, _ := cols.At(q)
							sum += w[k.index(o, c, p, q)] * *x.at(n, k.first(o)+c, row, col)
						}
					}
				}
				*y.at(n, o, i, j) = sum
			}
		}
	})
	return y
}

// ConvBackward sends each dy[n,o,i,j] back along the terms of the sum above:
//
//	dx[n, first(o)+c, …] += w[o,c,p,q] · dy[n,o,i,j]
//	dw[o,c,p,q]          += x[n, first(o)+c, …] · dy[n,o,i,j]
//	db[o]                += dy[n,o,i,j]
func ConvBackward(l arch.Placed, x Tensor, w []float64, dy Tensor) (dx Tensor, dw, db []float64) {
	k := kernelOf(l)
	dx, dw, db = New(x.N, l.In), make([]float64, len(w)), make([]float64, l.Out.C)
	Each(dx.N*dx.C, func(plane int) {
		n, channel := plane/dx.C, plane%dx.C
		group, c := channel/k.in, channel%k.in
		for o := group * k.out; o < (group+1)*k.out; o++ {
			for i := range dy.H {
				for j := range dy.W {
					for t := range window(&l, i, j) {
						*dx.at(n, channel, t.y, t.x) += w[k.index(o, c, t.p, t.q)] * *dy.at(n, o, i, j)
					}
				}
			}
		}
	})
	Each(dy.C, func(o int) {
		for n := range dy.N {
			for i := range dy.H {
				for j := range dy.W {
					d := *dy.at(n, o, i, j)
					db[o] += d
					for c := range k.in {
						for t := range window(&l, i, j) {
							dw[k.index(o, c, t.p, t.q)] += *x.at(n, k.first(o)+c, t.y, t.x) * d
						}
					}
				}
			}
		}
	})
	return dx, dw, db
}

// kernel finds its way in a convolution's weights.
type kernel struct{ in, out, h, w int } // channels in and out per group, height and width

func kernelOf(l arch.Placed) kernel {
	groups := max(l.Op.(arch.Conv).Groups, 1)
	return kernel{l.In.C / groups, l.Out.C / groups, l.Geometry.Kernel.H, l.Geometry.Kernel.W}
}

// first is the first input channel that output channel o sees.
func (k kernel) first(o int) int { return o / k.out * k.in }

func (k kernel) index(o, c, p, q int) int { return ((o*k.in+c)*k.h+p)*k.w + q }
