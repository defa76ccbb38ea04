package train

import (
	"math"

	"github.com/vggo/vggo/internal/parallel"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// learn computes the gradients of one pass, and their mean after the last.
func (t *Trainer) learn(b *batch) error {
	passes := t.recipe.accumulate()
	images := b.images
	if t.frozen != nil {
		if err := t.thaw(b); err != nil {
			return err
		}
		images = b.features
	}
	if err := t.plan.Forward(images); err != nil {
		return err
	}
	logits := t.plan.Logits()
	if t.grad == nil {
		t.grad = tensor.New(logits.N, logits.C, logits.H, logits.W)
	}
	mine := learned{faults: len(b.faults)}
	var err error
	t.part(LossPart, func() { mine.loss, err = t.lossOf(logits, b.labels) })
	if err != nil {
		return err
	}
	for n, label := range b.labels {
		if rank(logits.Data[n*logits.C:][:logits.C], label) == 0 {
			mine.right++
		}
	}
	if t.ranks.Size() == 1 && (math.IsNaN(mine.loss) || math.IsInf(mine.loss, 0)) { // of several, when all know
		return t.diverged("the loss is %v", mine.loss)
	}
	if err := t.plan.Backward(t.grad); err != nil {
		return err
	}
	all, err := t.learnedByAll(mine)
	if err != nil {
		return err
	}
	if err := t.countFaults(b.faults, all.faults); err != nil {
		return err
	}
	if math.IsNaN(all.loss) || math.IsInf(all.loss, 0) {
		return t.ranks.Agreed(t.diverged("the loss is %v", all.loss))
	}
	t.loss += all.loss / float64(passes)
	samples := len(b.labels) * t.ranks.Size()
	t.state.Since.Loss += float64(all.loss * float64(samples))
	t.state.Since.Samples += samples
	t.state.Since.Right += all.right
	if err := t.settleSums(); err != nil {
		return err
	}
	if passes > 1 && !t.addsFirst() {
		for _, s := range t.optimiser.slots {
			if s.Grad != nil { // it is in the part that learns
				t.accumulate(s)
			}
		}
	}
	return nil
}

// lossOf is the loss of this rank's pictures: the sum over its parts of each one's mean. It leaves the gradient of the
// whole pass's mean in grad.
func (t *Trainer) lossOf(logits *tensor.Tensor, labels []int) (float64, error) {
	parts := max(t.ranks.parts/t.ranks.Size(), 1)
	losses, images := make([]float64, parts), logits.N/parts
	for part := range losses {
		from, to := part*images, (part+1)*images
		var err error
		losses[part], err = nn.WeightedCrossEntropy(logits.Images(from, to), labels[from:to], t.recipe.Smoothing,
			t.classWeights, t.grad.Images(from, to))
		if err != nil {
			return 0, err
		}
	}
	if n := max(t.ranks.parts, t.ranks.Size()); n > 1 {
		share := float32(1 / float64(n))
		for i := range t.grad.Data {
			t.grad.Data[i] *= share
		}
	}
	return tree(losses), nil
}

// accumulate adds a parameter's gradient to the sum of the passes before, which becomes the gradient with the last.
func (t *Trainer) accumulate(s *slot) {
	last := t.recipe.accumulate() - 1
	share := float32(1 / float64(last+1))
	parallel.Each(t.threads, (s.Count()+pieceFloats-1)/pieceFloats, func(i int) {
		from, to := i*pieceFloats, min((i+1)*pieceFloats, s.Count())
		grad, sum := s.Grad[from:to], t.sums[s.index][from:to]
		for i, g := range grad {
			if t.passed == 0 {
				sum[i] = g * share
			} else {
				sum[i] += float32(g * share)
			}
		}
		if t.passed == last {
			copy(grad, sum)
		}
	})
}
