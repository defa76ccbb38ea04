package nn

import (
	"math"

	"github.com/vggo/vggo/arch"
)

// lrn is local response normalisation (Krizhevsky et al. 2012, section 3.3), in PyTorch's convention:
//
//	y_c = x_c / d_c^beta,  d_c = k + alpha/size * sum of x_j² over the size channels around c
type lrn struct {
	local
	op      arch.LRN
	x, d, t [][]float64 // by worker: one pixel's channels
}

// denominators fills d with k + alpha/size * sum of squares.
func (l *lrn) denominators(d, x []float64) {
	for c := range x {
		sum := 0.0
		from, to := l.window(c, len(x))
		for j := from; j < to; j++ {
			sum += float64(x[j] * x[j])
		}
		d[c] = l.op.K + float64(l.op.Alpha/float64(l.op.Size)*sum)
	}
}

// window is the channels [from, to) around c: size/2 before, the rest from c on.
func (l *lrn) window(c, channels int) (from, to int) {
	from = c - l.op.Size/2
	return max(0, from), min(channels, from+l.op.Size)
}

func (l *lrn) forward(n int) {
	for i := range n {
		l.out.clearPadding(l.out.image(i))
	}
	l.local.forward(n)
}

func (l *lrn) forwardTask(worker, task int) {
	n, y := task/l.in.shape.H, task%l.in.shape.H
	x, d := l.x[worker], l.d[worker]
	for p := y * l.in.shape.W; p < (y+1)*l.in.shape.W; p++ {
		l.in.channels(x, l.in.image(n), p)
		l.denominators(d, x)
		for c := range x {
			x[c] *= math.Pow(d[c], -l.op.Beta)
		}
		l.out.setChannels(l.out.image(n), x, p)
	}
}

func (l *lrn) backward(n int) {
	if l.in.grad != nil {
		clear(l.in.grad[:n*l.in.size])
		l.local.backward(n)
	}
}

// backwardTask: dx_j = dy_j*d_j^-beta - 2*alpha*beta/size * x_j * sum of dy_c*x_c*d_c^(-beta-1) over the c whose window
// holds j.
func (l *lrn) backwardTask(worker, task int) {
	n, y := task/l.in.shape.H, task%l.in.shape.H
	x, d, t := l.x[worker], l.d[worker], l.t[worker]
	scale := 2 * l.op.Alpha * l.op.Beta / float64(l.op.Size)
	for p := y * l.in.shape.W; p < (y+1)*l.in.shape.W; p++ {
		l.in.channels(x, l.in.image(n), p)
		l.denominators(d, x)
		l.out.channels(t, l.out.imageGrad(n), p)
		dx := l.in.imageGrad(n)
		for c := range t {
			power := math.Pow(d[c], -l.op.Beta)
			d[c], t[c] = t[c]*power, t[c]*x[c]*power/d[c]
		}
		for j := range x {
			sum := 0.0
			// c holds j exactly where c - size/2 <= j < c - size/2 + size.
			for c := max(0, j+l.op.Size/2-l.op.Size+1); c <= min(len(x)-1, j+l.op.Size/2); c++ {
				sum += t[c]
			}
			dx[l.in.offset(j, p)] = float32(d[j] - float64(scale*x[j]*sum))
		}
	}
}
