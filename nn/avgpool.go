package nn

import (
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
)

// averagePool is the mean of each window: average pooling, adaptive and global average pooling differ only in where the
// windows lie and what they are divided by.
type averagePool struct {
	local
	rows, cols []span
}

// span is a window along one axis: every step-th of the real pixels [from, to), and its share of the divisor.
type span struct{ from, to, step, divisor int }

func newAveragePool(p *Plan, layer arch.Placed, in, out *values) step {
	a := &averagePool{}
	a.rows, a.cols = averageSpans(layer)
	return newLocal(p, a, in, out, in.eachBlock)
}

func averageSpans(layer arch.Placed) (rows, cols []span) {
	op, windowed := layer.Op.(arch.AvgPool)
	if !windowed {
		return adaptiveSpans(layer.In.H, layer.Out.H), adaptiveSpans(layer.In.W, layer.Out.W)
	}
	g := layer.Geometry
	return windowSpans(g.In.H, g.Out.H, g.Kernel.H, g.Stride.H, g.Dilation.H, g.Top, g.Bottom, op.CountPad),
		windowSpans(g.In.W, g.Out.W, g.Kernel.W, g.Stride.W, g.Dilation.W, g.Left, g.Right, op.CountPad)
}

// adaptiveSpans: output i averages pixels floor(i*in/out) to ceil((i+1)*in/out) - 1, as PyTorch's.
func adaptiveSpans(in, out int) []span {
	spans := make([]span, out)
	for i := range spans {
		from, to := i*in/out, ((i+1)*in+out-1)/out
		spans[i] = span{from, to, 1, to - from}
	}
	return spans
}

// windowSpans: the divisor counts real pixels, and padding if countPad, but never what a rounded-up size hangs over.
func windowSpans(in, out, kernel, stride, dilation, before, after int, countPad bool) []span {
	spans := make([]span, out)
	for i := range spans {
		start, first, last := clipTaps(i, kernel, stride, dilation, before, in)
		s := span{start + first*dilation, start + (last-1)*dilation + 1, dilation, last - first}
		if countPad {
			s.divisor = min(kernel, (in+after-start+dilation-1)/dilation)
		}
		spans[i] = s
	}
	return spans
}

func (a *averagePool) forwardTask(_, task int) {
	blocks := kernel.Blocks(a.in.shape.C)
	x, y := a.in.block(a.in.data, task/blocks, task%blocks), a.out.block(a.out.data, task/blocks, task%blocks)
	for oy, r := range a.rows {
		for ox, c := range a.cols {
			var sum [kernel.Block]float32
			for iy := r.from; iy < r.to; iy += r.step {
				row := x[(iy*a.in.shape.W+c.from)*kernel.Block : (iy*a.in.shape.W+c.to)*kernel.Block]
				if c.step == 1 {
					a.engine.set.SumLanes(&sum, row)
					continue
				}
				for at := 0; at < len(row); at += c.step * kernel.Block {
					a.engine.set.SumLanes(&sum, row[at:at+kernel.Block])
				}
			}
			divisor := float32(r.divisor * c.divisor)
			out := y[(oy*len(a.cols)+ox)*kernel.Block:][:kernel.Block]
			for l, s := range sum {
				out[l] = s / divisor
			}
		}
	}
}

func (a *averagePool) backwardTask(_, task int) {
	blocks := kernel.Blocks(a.in.shape.C)
	dx, dy := a.in.block(a.in.grad, task/blocks, task%blocks), a.out.block(a.out.grad, task/blocks, task%blocks)
	clear(dx)
	for oy, r := range a.rows {
		for ox, c := range a.cols {
			divisor := float32(r.divisor * c.divisor)
			grad := dy[(oy*len(a.cols)+ox)*kernel.Block:][:kernel.Block]
			for iy := r.from; iy < r.to; iy += r.step {
				for ix := c.from; ix < c.to; ix += c.step {
					pixel := dx[(iy*a.in.shape.W+ix)*kernel.Block:][:kernel.Block]
					for l, d := range grad {
						pixel[l] += d / divisor
					}
				}
			}
		}
	}
}
