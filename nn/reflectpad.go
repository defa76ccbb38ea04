package nn

import (
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
)

// reflectPad widens maps by their mirror image (arch.ReflectPad). Rows are mirrored whole, then each row's ends.
type reflectPad struct {
	local
	op         arch.ReflectPad
	rows, cols []int // the place of the input that each row and column of the output stands for
}

func newReflectPad(p *Plan, op arch.ReflectPad, in, out *values) step {
	r := &reflectPad{op: op, rows: reflected(op.Top, in.shape.H, op.Bottom),
		cols: reflected(op.Left, in.shape.W, op.Right)}
	return newLocal(p, r, in, out, in.eachBlock)
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
