package reference

import (
	"math"

	"github.com/vggo/vggo/arch"
)

// CrossEntropy is the mean over the batch of −log softmax(logits)[label], and its gradient
//
//	dlogits[n,c] = (softmax(logits[n])[c] − [c = labels[n]]) / N
//
// for logits N x classes.
func CrossEntropy(logits []float64, labels []int) (loss float64, dlogits []float64) {
	n := len(labels)
	p := Softmax(Tensor{n, arch.Shape{C: len(logits) / n, H: 1, W: 1}, logits})
	for i, label := range labels {
		loss -= math.Log(*p.at(i, label, 0, 0)) / float64(n)
		*p.at(i, label, 0, 0)--
	}
	for i := range p.Data {
		p.Data[i] /= float64(n)
	}
	return loss, p.Data
}

// L2 is the article's loss, tf.nn.l2_loss: Σ x²/2 over all values of the whole batch. Its gradient is x itself.
func L2(x []float64) (loss float64, dx []float64) {
	for _, v := range x {
		loss += v * v / 2
	}
	return loss, append([]float64(nil), x...)
}
