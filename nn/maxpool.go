package nn

import (
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
)

// maxPool takes the largest of each window; padding never wins, NaN does. In the backward pass the gradient goes to the
// first largest in scan order, found again from input and output: no index is stored.
type maxPool struct {
	local
	segments [][]segment // by output row
}

// segment is a stretch of an output row whose windows are clipped alike.
type segment struct {
	from int // first output column
	at   int // offset in the input block of the first window's first pixel, in floats
	pool *kernel.Pool
}

func newMaxPool(p *Plan, layer arch.Placed, in, out *values) step {
	m := &maxPool{}
	g := layer.Geometry
	type clip struct{ y0, y1, x0, x1, n int }
	pools := map[clip]*kernel.Pool{} // most rows share theirs
	for oy := range g.Out.H {
		y, y0, y1 := clipTaps(oy, g.Kernel.H, g.Stride.H, g.Dilation.H, g.Top, g.In.H)
		var row []segment
		for ox := 0; ox < g.Out.W; {
			x, x0, x1 := clipTaps(ox, g.Kernel.W, g.Stride.W, g.Dilation.W, g.Left, g.In.W)
			n := 1
			for ox+n < g.Out.W {
				if _, a, b := clipTaps(ox+n, g.Kernel.W, g.Stride.W, g.Dilation.W, g.Left, g.In.W); a != x0 || b != x1 {
					break
				}
				n++
			}
			key := clip{y0, y1, x0, x1, n}
			if pools[key] == nil {
				var taps []int
				for ky := y0; ky < y1; ky++ {
					for kx := x0; kx < x1; kx++ {
						taps = append(taps, ((ky-y0)*g.Dilation.H*g.In.W+(kx-x0)*g.Dilation.W)*kernel.Block)
					}
				}
				pools[key] = kernel.NewPool(n, g.Stride.W*kernel.Block, taps)
			}
			at := ((y+y0*g.Dilation.H)*g.In.W + x + x0*g.Dilation.W) * kernel.Block
			row = append(row, segment{ox, at, pools[key]})
			ox += n
		}
		m.segments = append(m.segments, row)
	}
	return newLocal(p, m, in, out, in.eachBlock)
}

// clipTaps returns where a window starts along one axis (it may be negative) and its taps [from, to) that meet real
// pixels.
func clipTaps(out, kernel, stride, dilation, before, in int) (start, from, to int) {
	start = out*stride - before
	for from < kernel && start+from*dilation < 0 {
		from++
	}
	to = kernel
	for to > from && start+(to-1)*dilation >= in {
		to--
	}
	return start, from, to
}

func (m *maxPool) forwardTask(_, task int) {
	blocks := kernel.Blocks(m.in.shape.C)
	x, y := m.in.block(m.in.data, task/blocks, task%blocks), m.out.block(m.out.data, task/blocks, task%blocks)
	for oy, row := range m.segments {
		for _, s := range row {
			m.engine.set.MaxPool(s.pool, y[(oy*m.out.shape.W+s.from)*kernel.Block:], x[s.at:])
		}
	}
}

func (m *maxPool) backwardTask(_, task int) {
	blocks := kernel.Blocks(m.in.shape.C)
	n, cb := task/blocks, task%blocks
	x, dx := m.in.block(m.in.data, n, cb), m.in.block(m.in.grad, n, cb)
	y, dy := m.out.block(m.out.data, n, cb), m.out.block(m.out.grad, n, cb)
	clear(dx)
	for oy, row := range m.segments {
		for _, s := range row {
			at := (oy*m.out.shape.W + s.from) * kernel.Block
			m.engine.set.MaxPoolGrad(s.pool, dx[s.at:], x[s.at:], y[at:], dy[at:])
		}
	}
}
