package nn

import (
	"math"

	"github.com/vggo/vggo/tensor"
)

// Softmax stores exp(x_c - max x)/sum over channels in dst, for every pixel of an N,C,H,W tensor. dst may be x.
func Softmax(dst, x *tensor.Tensor) {
	pixels := x.H * x.W
	row := make([]float64, x.C)
	for n := range x.N {
		for p := range pixels {
			at := n*x.C*pixels + p
			for c := range row {
				row[c] = float64(x.Data[at+c*pixels])
			}
			softmaxRow(row)
			for c, y := range row {
				dst.Data[at+c*pixels] = float32(y)
			}
		}
	}
}

// softmaxRow subtracts the maximum first, so that no exponential overflows.
func softmaxRow(x []float64) {
	top, sum := math.Inf(-1), 0.0
	for _, v := range x {
		top = math.Max(top, v)
	}
	for c, v := range x {
		x[c] = math.Exp(v - top)
		sum += x[c]
	}
	for c := range x {
		x[c] /= sum
	}
}

// softmax in the middle of a network. At its end the Plan stops at the logits and applies Probabilities when asked.
type softmax struct {
	local
	y, dy [][]float64 // by worker: one pixel's channels
}

func (s *softmax) forwardTask(worker, n int) {
	y := s.y[worker]
	s.out.clearPadding(s.out.image(n))
	for p := range s.in.shape.H * s.in.shape.W {
		s.in.channels(y, s.in.image(n), p)
		softmaxRow(y)
		s.out.setChannels(s.out.image(n), y, p)
	}
}

// backwardTask: dx_c = y_c * (dy_c - sum over k of dy_k*y_k).
func (s *softmax) backwardTask(worker, n int) {
	y, dy := s.y[worker], s.dy[worker]
	clear(s.in.imageGrad(n))
	for p := range s.in.shape.H * s.in.shape.W {
		s.out.channels(y, s.out.image(n), p)
		s.out.channels(dy, s.out.imageGrad(n), p)
		dot := 0.0
		for c := range y {
			dot += float64(y[c] * dy[c])
		}
		for c := range y {
			y[c] *= dy[c] - dot
		}
		s.in.setChannels(s.in.imageGrad(n), y, p)
	}
}
