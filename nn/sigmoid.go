package nn

import (
	"math"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/tensor"
)

// Probabilities stores in dst what a network that ends so makes of its logits x, N,C,H,W. Of scores that nothing is
// said about they are a softmax. dst may be x.
func Probabilities(dst, x *tensor.Tensor, ending arch.Ending) {
	switch ending {
	case arch.EndsInSigmoid:
		for i, v := range x.Data {
			dst.Data[i] = sigmoidOf(v)
		}
	case arch.EndsInProbabilities:
		copy(dst.Data, x.Data)
	default:
		Softmax(dst, x)
	}
}

// sigmoidOf is 1/(1+exp(-x)). An exponential that overflows is an infinity, which makes 0.
func sigmoidOf(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) }

// sigmoid in the middle of a network. At its end the Plan stops at the logits and applies Probabilities when asked.
type sigmoid struct{ local }

func (s *sigmoid) forwardTask(_, n int) {
	y := s.out.image(n)
	for i, x := range s.in.image(n) {
		y[i] = sigmoidOf(x)
	}
	s.out.clearPadding(y) // the sigmoid of 0 is a half
}

// backwardTask: dx = dy * y * (1-y).
func (s *sigmoid) backwardTask(_, n int) {
	y, dy, dx := s.out.image(n), s.out.imageGrad(n), s.in.imageGrad(n)
	for i, v := range y {
		dx[i] = dy[i] * v * (1 - v)
	}
}
