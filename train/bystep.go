package train

import (
	"errors"

	"github.com/vggo/vggo/tensor"
)

// A run whose steps are taken one at a time, by somebody who looks at each.

// Taken is a step that has been taken. Its tensors are the Trainer's own and hold until the next step.
type Taken struct {
	Step       int // its number, from 1
	Rate, Loss float64
	Images     *tensor.Tensor // that it learned from, as the network saw them; where layers are frozen their outputs
	Labels     []int          // of the images
	Logits     *tensor.Tensor
	Gradient   *tensor.Tensor // of the loss by the logits
}

// ErrFinished is a step that was asked of a run which has taken all of its own.
var ErrFinished = errors.New("all steps of the run are taken")

// Step takes the next step, in place of Run, which must not be called beside it: the batch is made before it, nothing
// is validated or saved, and with the recipe's Accumulate the images are those of the last pass. The parameters'
// gradients are the step's until the next one, zero where first layers learn no more. A loss that is no longer finite
// is a *DivergedError.
func (t *Trainer) Step() (Taken, error) {
	if t.Finished() {
		return Taken{}, ErrFinished
	}
	if !t.byStep {
		t.byStep, t.feed.serial = true, true
		if err := t.learnFrom(); err != nil {
			return Taken{}, err
		}
	}
	if err := t.unfreeze(); err != nil {
		return Taken{}, err
	}
	if err := t.step(); err != nil {
		return Taken{}, err
	}
	images := t.batch.images
	if t.frozen != nil {
		images = t.batch.features
	}
	return Taken{t.state.Step, t.state.Rate, t.loss, images, t.batch.labels, t.plan.Logits(), t.grad}, nil
}
