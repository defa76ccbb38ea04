package nn

import (
	"math"

	"github.com/vggo/vggo/internal/kernel"
)

// l2Pool is y = √(Σ g·x² + 1e-12) over 3x3 windows of stride 2 (arch.L2Pool). The weights are powers of two: only
// sums and roots round.
//
// Forward takes whole rows: the squares of three, weighed, give one, whose sums of three pixels are taken by moving it.
// Every other sum is kept: all of them by vectors are quicker than those alone one by one (docs/kernels.md).
type l2Pool struct{ local }

func newL2Pool(p *Plan, in, out *values) step {
	p.needScratch(in.shape.W*kernel.Block + (in.shape.W+2)*kernel.Block)
	return newLocal(p, &l2Pool{}, in, out, in.eachBlock)
}

// hann is a row or a column of a window's weights.
var hann = [3]float32{0.25, 0.5, 0.25}

// taps calls do for the pixels of a window that are on the map, with their weights.
func (l *l2Pool) taps(oy, ox int, do func(at int, weight float32)) {
	for ky, row := range hann {
		y := 2*oy + ky - 1
		if y < 0 || y >= l.in.shape.H {
			continue
		}
		for kx, col := range hann {
			if x := 2*ox + kx - 1; x >= 0 && x < l.in.shape.W {
				do((y*l.in.shape.W+x)*kernel.Block, row*col)
			}
		}
	}
}

func (l *l2Pool) forwardTask(worker, task int) {
	blocks, set := kernel.Blocks(l.in.shape.C), l.engine.set
	x, y := l.in.block(l.in.data, task/blocks, task%blocks), l.out.block(l.out.data, task/blocks, task%blocks)
	lanes := min(kernel.Block, l.in.shape.C-task%blocks*kernel.Block) // those beyond stay zero, not √1e-12
	width := l.in.shape.W * kernel.Block
	row, padded := l.engine.scratch[worker][:width], l.engine.scratch[worker][width:][:width+2*kernel.Block]
	for oy := range l.out.shape.H {
		clear(padded)
		for ky, weight := range hann {
			if iy := 2*oy + ky - 1; iy >= 0 && iy < l.in.shape.H {
				clear(row)
				set.MulAdd(row, x[iy*width:][:width], x[iy*width:][:width])
				set.Axpy(padded[kernel.Block:][:width], row, weight)
			}
		}
		clear(row)
		for kx, weight := range hann {
			set.Axpy(row, padded[kx*kernel.Block:][:width], weight)
		}
		for ox := range l.out.shape.W {
			out := y[(oy*l.out.shape.W+ox)*kernel.Block:][:kernel.Block]
			clear(out)
			for i, sum := range row[2*ox*kernel.Block:][:lanes] {
				out[i] = float32(math.Sqrt(float64(sum + 1e-12)))
			}
		}
	}
}

// backwardTask: dx += dy·g·x/y.
func (l *l2Pool) backwardTask(_, task int) {
	blocks := kernel.Blocks(l.in.shape.C)
	n, cb := task/blocks, task%blocks
	x, dx := l.in.block(l.in.data, n, cb), l.in.block(l.in.grad, n, cb)
	y, dy := l.out.block(l.out.data, n, cb), l.out.block(l.out.grad, n, cb)
	lanes := min(kernel.Block, l.in.shape.C-cb*kernel.Block)
	clear(dx)
	for oy := range l.out.shape.H {
		for ox := range l.out.shape.W {
			at := (oy*l.out.shape.W + ox) * kernel.Block
			var share [kernel.Block]float32
			for i := range lanes {
				share[i] = dy[at+i] / y[at+i]
			}
			l.taps(oy, ox, func(at int, weight float32) {
				from, to := (*[kernel.Block]float32)(x[at:]), (*[kernel.Block]float32)(dx[at:])
				for i, s := range share {
					to[i] += float32(float32(s*weight) * from[i])
				}
			})
		}
	}
}
