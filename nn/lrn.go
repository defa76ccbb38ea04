package nn

import (
	"math"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
)

// lrn is local response normalisation (Krizhevsky et al. 2012, section 3.3), in PyTorch's convention:
//
//	y_c = x_c / d_c^beta,  d_c = k + alpha/size * sum of x_j² over the size channels around c
//
// Maps keep 16 channels together, so a window spans blocks. A task therefore copies some pixels of a row, each pixel's
// channels in one stretch with zeros around it. The sum of a window is then a sum of the stretch moved by each of the
// window's places, which the kernel set adds many channels at a time.
type lrn struct {
	local
	op             arch.LRN
	before, behind int // channels of a window before c and behind it, as far as there are any
	pad, stride    int // zeros around a pixel's channels; from one pixel to the next
	pixels         int // copied at a time
}

// lrnFloats is about what a stretch of pixels takes: three of them fit the L1 cache.
const lrnFloats = 2048

func newLRN(p *Plan, op arch.LRN, in, out *values) step {
	l := &lrn{op: op, before: min(op.Size/2, in.shape.C), behind: min(op.Size-1-op.Size/2, in.shape.C)}
	l.pad = kernel.Blocks(max(l.before, l.behind, 1)) * kernel.Block
	l.stride = kernel.Blocks(in.shape.C)*kernel.Block + l.pad
	l.pixels = min(max(1, lrnFloats/l.stride), in.shape.W)
	stretches := 3
	if p.wantsGrad(in) {
		stretches = 4
	}
	p.needScratch(stretches * (l.pixels*l.stride + 2*l.pad))
	return newLocal(p, l, in, out, in.eachRow)
}

// stretch is the n-th of a worker's.
func (l *lrn) stretch(worker, n int) []float32 {
	size := l.pixels*l.stride + 2*l.pad
	return l.engine.scratch[worker][n*size : (n+1)*size]
}

// each calls do for each block of channels of some pixels from one on: where it lies in a stretch and in a map.
func (l *lrn) each(pixel, pixels int, do func(at, from, lanes int)) {
	for cb := range kernel.Blocks(l.in.shape.C) {
		lanes := min(kernel.Block, l.in.shape.C-cb*kernel.Block)
		for p := range pixels {
			do(l.pad+p*l.stride+cb*kernel.Block, cb*l.in.blockSize()+(pixel+p)*kernel.Block, lanes)
		}
	}
}

// windows fills s with the sums of v over the channels from so many before each to so many behind it.
func (l *lrn) windows(s, v []float32, before, behind int) {
	n := len(v) - 2*l.pad
	s = s[l.pad:][:n]
	copy(s, v[l.pad-before:])
	for j := 1 - before; j <= behind; j++ {
		l.engine.set.Axpy(s, v[l.pad+j:][:n], 1)
	}
}

// denominators copies pixels of an image to x and fills d with their k + alpha/size * sum of squares.
func (l *lrn) denominators(x, squares, d, image []float32, pixel, pixels int) {
	clear(x)
	l.each(pixel, pixels, func(at, from, lanes int) { copy(x[at:][:lanes], image[from:]) })
	for i, v := range x {
		squares[i] = v * v
	}
	l.windows(d, squares, l.before, l.behind)
	k, scale := float32(l.op.K), float32(l.op.Alpha/float64(l.op.Size))
	for i, sum := range d {
		d[i] = k + float32(scale*sum)
	}
}

// power is d^beta. The paper's exponent takes two roots, which are ten times as quick as any other.
func (l *lrn) power(d float32) float32 {
	if l.op.Beta == 0.75 {
		root := float32(math.Sqrt(float64(d)))
		return root * float32(math.Sqrt(float64(root)))
	}
	return float32(math.Pow(float64(d), l.op.Beta))
}

func (l *lrn) forward(n int) {
	for i := range n {
		l.out.clearPadding(l.out.image(i))
	}
	l.local.forward(n)
}

func (l *lrn) forwardTask(worker, task int) {
	n, row, width := task/l.in.shape.H, task%l.in.shape.H, l.in.shape.W
	x, squares, d, y := l.stretch(worker, 0), l.stretch(worker, 1), l.stretch(worker, 2), l.out.image(n)
	for col := 0; col < width; col += l.pixels {
		pixel, pixels := row*width+col, min(l.pixels, width-col)
		l.denominators(x, squares, d, l.in.image(n), pixel, pixels)
		l.each(pixel, pixels, func(at, to, lanes int) {
			x, d, y := x[at:][:lanes], d[at:][:lanes], y[to:][:lanes]
			for c, v := range x {
				y[c] = v / l.power(d[c])
			}
		})
	}
}

func (l *lrn) backward(n int) {
	if l.in.grad != nil {
		clear(l.in.grad[:n*l.in.size])
		l.local.backward(n)
	}
}

// backwardTask: dx_j = dy_j*d_j^-beta - 2*alpha*beta/size * x_j * sum of dy_c*x_c*d_c^(-beta-1) over the c whose window
// holds j: those from behind before j to before behind it.
func (l *lrn) backwardTask(worker, task int) {
	n, row, width := task/l.in.shape.H, task%l.in.shape.H, l.in.shape.W
	x, t, d, sums := l.stretch(worker, 0), l.stretch(worker, 1), l.stretch(worker, 2), l.stretch(worker, 3)
	scale := float32(2 * l.op.Alpha * l.op.Beta / float64(l.op.Size))
	dx, dy := l.in.imageGrad(n), l.out.imageGrad(n)
	for col := 0; col < width; col += l.pixels {
		pixel, pixels := row*width+col, min(l.pixels, width-col)
		l.denominators(x, t, d, l.in.image(n), pixel, pixels)
		clear(t)
		l.each(pixel, pixels, func(at, from, lanes int) {
			x, d, t, dx, dy := x[at:][:lanes], d[at:][:lanes], t[at:][:lanes], dx[from:][:lanes], dy[from:][:lanes]
			for c, g := range dy {
				power := l.power(d[c])
				dx[c] = g / power
				t[c] = dx[c] * x[c] / d[c]
			}
		})
		l.windows(sums, t, l.behind, l.before)
		l.each(pixel, pixels, func(at, to, lanes int) {
			x, sums, dx := x[at:][:lanes], sums[at:][:lanes], dx[to:][:lanes]
			for c, v := range x {
				dx[c] -= float32(float32(scale*v) * sums[c])
			}
		})
	}
}
