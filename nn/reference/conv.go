package reference

import "github.com/vggo/vggo/arch"

// Conv is a convolution (cross-correlation, as every framework has it) with zero padding:
//
//	y[n,o,i,j] = b[o] + Σ_{c,p,q} w[o,c,p,q] · x[n, first(o)+c, i·s−top+p·d, j·s−left+q·d]
//
// Output channel o belongs to group o/(O/G) and sees that group's C/G input channels, beginning with first(o).
// w is O x C/G x kh x kw; b may be nil.
func Conv(l arch.Placed, x Tensor, w, b []float64) Tensor {
	k, lines, s := newKernel(l), newLines(l.Geometry), l.Geometry.Stride.W
	y := New(x.N, l.Out)
	each(y.N*y.C, func(plane int) {
		n, o := plane/y.C, plane%y.C
		if b != nil {
			for i := range y.H {
				for j := range y.row(n, o, i) {
					*y.at(n, o, i, j) = b[o]
				}
			}
		}
		for c := range k.in {
			for _, t := range lines {
				weight := w[k.index(o, c, t)]
				out, in := y.row(n, o, t.i)[t.from:t.to], x.row(n, k.first(o)+c, t.y)[t.x:]
				for j := range out {
					out[j] += weight * in[j*s]
				}
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
	k, lines, s := newKernel(l), newLines(l.Geometry), l.Geometry.Stride.W
	dx, dw, db = New(x.N, l.In), make([]float64, len(w)), make([]float64, l.Out.C)
	each(dx.N*dx.C, func(plane int) {
		n, channel := plane/dx.C, plane%dx.C
		for o := range dy.C {
			c := channel - k.first(o)
			if c < 0 || c >= k.in {
				continue // of another group
			}
			for _, t := range lines {
				weight := w[k.index(o, c, t)]
				in, out := dx.row(n, channel, t.y)[t.x:], dy.row(n, o, t.i)[t.from:t.to]
				for j := range out {
					in[j*s] += weight * out[j]
				}
			}
		}
	})
	each(dy.C, func(o int) {
		for n := range dy.N {
			for c := range k.in {
				for _, t := range lines {
					sum := 0.0
					in, out := x.row(n, k.first(o)+c, t.y)[t.x:], dy.row(n, o, t.i)[t.from:t.to]
					for j := range out {
						sum += in[j*s] * out[j]
					}
					dw[k.index(o, c, t)] += sum
				}
			}
			for i := range dy.H {
				for _, d := range dy.row(n, o, i) {
					db[o] += d
				}
			}
		}
	})
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

func (k kernel) index(o, c int, t line) int { return ((o*k.in+c)*k.h+t.p)*k.w + t.q }

// line is what kernel element (p, q) reads for row i of an output: places from … to−1 of the row see the input pixels (y, x),
// (y, x+stride), … The other places see padding there.
type line struct{ p, q, i, from, to, y, x int }

// newLines lists all of a map's.
func newLines(g arch.Geometry) (lines []line) {
	for i := range g.Out.H {
		for p := range g.Kernel.H {
			for q := range g.Kernel.W {
				t := line{p: p, q: q, i: i, y: i*g.Stride.H - g.Top + p*g.Dilation.H}
				for j := g.Out.W - 1; j >= 0; j-- {
					if x := j*g.Stride.W - g.Left + q*g.Dilation.W; 0 <= x && x < g.In.W {
						t.from, t.to, t.x = j, max(t.to, j+1), x
					}
				}
				if 0 <= t.y && t.y < g.In.H && t.from < t.to {
					lines = append(lines, t)
				}
			}
		}
	}
	return lines
}
