package nn

import (
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
)

// reflectPad widens maps by their mirror image (arch.ReflectPad). Rows are mirrored whole, then each row's ends.
type reflectPad struct {
	engine     *engine
	op         arch.ReflectPad
	in, out    *values
	rows, cols []int // the place of the input that each row and column of the output stands for

	forwardJob, backwardJob func(worker, task int)
}

func newReflectPad(p *Plan, op arch.ReflectPad, in, out *values) *reflectPad {
	r := &reflectPad{engine: &p.engine, op: op, in: in, out: out, rows: reflected(op.Top, in.shape.H, op.Bottom),
		cols: reflected(op.Left, in.shape.W, op.Right)}
	r.forwardJob, r.backwardJob = r.forwardTask, r.backwardTask
	return r
}

// reflected lists the places before..1, 0..n-1, n-2..n-1-after.
func reflected(before, n, after int) []int {
	places := make([]int, 0, before+n+after)
	for i := before; i > 0; i-- {
		places = append(places, i)
	}
	for i := range n {
		places = append(places, i)
	}
	for i := range after {
		places = append(places, n-2-i)
	}
	return places
}

func (r *reflectPad) refresh() {}

func (r *reflectPad) forward(n int) {
	r.engine.team.run(n*kernel.Blocks(r.in.shape.C), r.forwardJob)
}

func (r *reflectPad) forwardTask(_, task int) {
	blocks, width := kernel.Blocks(r.in.shape.C), r.in.shape.W*kernel.Block
	x, y := r.in.block(r.in.data, task/blocks, task%blocks), r.out.block(r.out.data, task/blocks, task%blocks)
	for _, from := range r.rows {
		row := x[from*width:][:width]
		for _, at := range r.cols[:r.op.Left] {
			copy(y, row[at*kernel.Block:][:kernel.Block])
			y = y[kernel.Block:]
		}
		copy(y, row)
		y = y[width:]
		for _, at := range r.cols[r.op.Left+r.in.shape.W:] {
			copy(y, row[at*kernel.Block:][:kernel.Block])
			y = y[kernel.Block:]
		}
	}
}

func (r *reflectPad) backward(n int) {
	if r.in.grad != nil {
		r.engine.team.run(n*kernel.Blocks(r.in.shape.C), r.backwardJob)
	}
}

// backwardTask adds up the gradients of all places where a pixel stands, row by row.
func (r *reflectPad) backwardTask(_, task int) {
	blocks, width := kernel.Blocks(r.in.shape.C), r.in.shape.W*kernel.Block
	dx, dy := r.in.block(r.in.grad, task/blocks, task%blocks), r.out.block(r.out.grad, task/blocks, task%blocks)
	clear(dx)
	for _, to := range r.rows {
		row := dx[to*width:][:width]
		for _, at := range r.cols {
			pixel := row[at*kernel.Block:][:kernel.Block]
			for l, d := range dy[:kernel.Block] {
				pixel[l] += d
			}
			dy = dy[kernel.Block:]
		}
	}
}
