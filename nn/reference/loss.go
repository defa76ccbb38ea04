package reference

import (
	"math"

	"github.com/vggo/vggo/arch"
)

// CrossEntropy is the mean over the batch of −log softmax(logits)[label], and its gradient, for logits N x classes.
func CrossEntropy(logits []float64, labels []int) (loss float64, dlogits []float64) {
	return SmoothedCrossEntropy(logits, labels, 0)
}

// SmoothedCrossEntropy is the mean over the batch of −Σ t[n,c] log softmax(logits[n])[c] with the targets
//
//	t[n,c] = (1−s) [c = labels[n]] + s/classes
//
// for smoothing s and logits N x classes, and its gradient
//
//	dlogits[n,c] = (softmax(logits[n])[c] − t[n,c]) / N
func SmoothedCrossEntropy(logits []float64, labels []int, smoothing float64) (loss float64, dlogits []float64) {
	n := len(labels)
	classes := len(logits) / n
	p := Softmax(Tensor{n, arch.Shape{C: classes, H: 1, W: 1}, logits})
	for i, label := range labels {
		for c := range classes {
			target := smoothing / float64(classes)
			if c == label {
				target += 1 - smoothing
			}
			at := p.at(i, c, 0, 0)
			if target > 0 { // 0·log 0 is 0
				loss -= target * math.Log(*at) / float64(n)
			}
			*at = (*at - target) / float64(n)
		}
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
