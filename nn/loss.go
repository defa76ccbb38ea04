package nn

import (
	"fmt"
	"math"

	"github.com/vggo/vggo/tensor"
)

// CrossEntropy is the mean over the batch of -log softmax(logits)[label]. It stores the gradient, (softmax - onehot)/N,
// in grad, which may be nil. A label outside the classes is an error.
func CrossEntropy(logits *tensor.Tensor, labels []int, grad *tensor.Tensor) (float64, error) {
	return SmoothedCrossEntropy(logits, labels, 0, grad)
}

// SmoothedCrossEntropy is CrossEntropy against targets that give the label 1-smoothing and share smoothing, 0 to 1,
// among all classes, the label too (Szegedy et al. 2016, section 7; PyTorch's label_smoothing).
func SmoothedCrossEntropy(logits *tensor.Tensor, labels []int, smoothing float64, grad *tensor.Tensor) (float64,
	error) {
	return WeightedCrossEntropy(logits, labels, smoothing, nil, grad)
}

// WeightedCrossEntropy is SmoothedCrossEntropy that counts each image by the weight of its label, one for each class;
// nil: all count as 1. The mean is over the images, not over their weights: what a batch happens to hold does not
// change what one image counts.
func WeightedCrossEntropy(logits *tensor.Tensor, labels []int, smoothing float64, weights []float64,
	grad *tensor.Tensor) (float64, error) {
	if weights != nil && len(weights) != logits.C {
		return 0, fmt.Errorf("nn: %d weights of %d classes", len(weights), logits.C)
	}
	if !(smoothing >= 0 && smoothing <= 1) { // NaN too
		return 0, fmt.Errorf("nn: label smoothing must lie in [0, 1], not %v", smoothing)
	}
	if len(labels) != logits.N || logits.H != 1 || logits.W != 1 {
		return 0, fmt.Errorf("nn: cross-entropy of %d labels and logits %s", len(labels), logits.Shape())
	}
	loss := 0.0
	row := make([]float64, logits.C)
	for n, label := range labels {
		if label < 0 || label >= logits.C {
			return 0, fmt.Errorf("nn: label %d of image %d is not one of %d classes", label, n, logits.C)
		}
		for c := range row {
			row[c] = float64(logits.Data[n*logits.C+c])
		}
		x := row[label]
		top, sum, mean := math.Inf(-1), 0.0, 0.0
		for _, v := range row {
			top = math.Max(top, v)
		}
		for _, v := range row {
			sum += math.Exp(v - top)
			mean += v / float64(len(row))
		}
		if smoothing > 0 { // without it, a logit of -Inf elsewhere is no business of the loss
			x = float64((1-smoothing)*x) + float64(smoothing*mean)
		}
		weight := 1.0
		if weights != nil {
			weight = weights[label]
		}
		loss += float64(weight * (top + math.Log(sum) - x))
		if grad == nil {
			continue
		}
		softmaxRow(row)
		row[label] -= 1 - smoothing
		for c, g := range row {
			grad.Data[n*logits.C+c] = float32(weight * (g - smoothing/float64(len(row))) / float64(logits.N))
		}
	}
	return loss / float64(logits.N), nil
}

// L2 is the article's objective, TensorFlow's l2_loss: sum(x²)/2 over the whole batch. Its gradient is x, stored in
// grad, which may be nil.
func L2(x, grad *tensor.Tensor) float64 {
	sum := 0.0
	for _, v := range x.Data {
		sum += float64(float64(v) * float64(v))
	}
	if grad != nil {
		copy(grad.Data, x.Data)
	}
	return sum / 2
}
