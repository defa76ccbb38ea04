package nn_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/nn/internal/golden"
	"github.com/vggo/vggo/nn/reference"
	"github.com/vggo/vggo/tensor"
)

// TestCrossEntropy: nn computes in float64 as the reference does, so that only rounding the gradient to float32 is
// between them.
func TestCrossEntropy(t *testing.T) {
	labels := []int{3, 0, 4, 3}
	r := rand.New(rand.NewPCG(1, 2))
	logits := tensor.New(len(labels), 5, 1, 1)
	for i := range logits.Data {
		logits.Data[i] = float32(4 * r.NormFloat64())
	}
	for _, smoothing := range []float64{0, 0.1, 0.5, 1} {
		grad := tensor.New(logits.N, logits.C, 1, 1)
		loss, err := nn.SmoothedCrossEntropy(logits, labels, smoothing, grad)
		if err != nil {
			t.Fatal(err)
		}
		want, gradient := reference.SmoothedCrossEntropy(golden.Widen(logits.Data), labels, smoothing)
		if math.Abs(loss-want) > 1e-14*want {
			t.Errorf("smoothing %v: loss %v, want %v", smoothing, loss, want)
		}
		if e := golden.RelativeError(golden.Widen(grad.Data), gradient); !(e <= unitRoundoff) {
			t.Errorf("smoothing %v: the gradient's relative error is %.2g", smoothing, e)
		}
	}
	for _, smoothing := range []float64{-0.1, 1.1, math.NaN()} {
		if _, err := nn.SmoothedCrossEntropy(logits, labels, smoothing, nil); err == nil {
			t.Errorf("smoothing %v passes", smoothing)
		}
	}
}

// TestWeightedCrossEntropy: loss and gradient are the sum of each image's by itself, times its class's weight.
func TestWeightedCrossEntropy(t *testing.T) {
	labels, weights := []int{3, 0, 4, 3}, []float64{2, 1, 1, 0.25, 0}
	logits := tensor.New(len(labels), 5, 1, 1)
	r := rand.New(rand.NewPCG(1, 3))
	for i := range logits.Data {
		logits.Data[i] = float32(4 * r.NormFloat64())
	}
	grad := tensor.New(logits.N, logits.C, 1, 1)
	loss, err := nn.WeightedCrossEntropy(logits, labels, 0.1, weights, grad)
	if err != nil {
		t.Fatal(err)
	}
	want, gradient := 0.0, []float64{}
	for n, label := range labels {
		one, g := reference.SmoothedCrossEntropy(golden.Widen(logits.Images(n, n+1).Data), []int{label}, 0.1)
		share := weights[label] / float64(len(labels))
		want += share * one
		for _, v := range g {
			gradient = append(gradient, share*v)
		}
	}
	if math.Abs(loss-want) > 1e-14*want {
		t.Errorf("loss %v, want %v", loss, want)
	}
	if e := golden.RelativeError(golden.Widen(grad.Data), gradient); !(e <= unitRoundoff) {
		t.Errorf("the gradient's relative error is %.2g", e)
	}
	if _, err := nn.WeightedCrossEntropy(logits, labels, 0, weights[:4], nil); err == nil {
		t.Error("four weights of five classes pass")
	}
}

// TestSkipForwards: a Plan that skips the passes of another draws the masks that follow.
func TestSkipForwards(t *testing.T) {
	net := everything()
	opt := nn.Options{Batch: 2, Training: true, Seed: 3}
	x := tensor.New(2, net.Input.C, net.Input.H, net.Input.W)
	for i := range x.Data {
		x.Data[i] = float32(i%7) - 3
	}
	pass := func(p *nn.Plan) []float32 {
		t.Helper()
		if err := p.Forward(x); err != nil {
			t.Fatal(err)
		}
		return slices.Clone(p.Logits().Data)
	}
	first := compile(t, net, newParams(t, net, nn.He), opt)
	pass(first)
	one, two := pass(first), pass(first)
	second := compile(t, net, newParams(t, net, nn.He), opt)
	second.SkipForwards(2)
	if got := pass(second); !slices.Equal(got, two) || slices.Equal(got, one) {
		t.Error("after two skipped passes the third is another's")
	}
}
