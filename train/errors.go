package train

import (
	"errors"
	"fmt"

	"github.com/vggo/vggo/arch"
)

// ErrNoValidation is a recipe whose schedule follows the validation, and no data for one.
var ErrNoValidation = errors.New("schedule: plateau needs validation: give a set for it, or hold_out")

// ErrNoPatience is a recipe that ends a run early by its validations, and no data for one.
var ErrNoPatience = errors.New("patience needs validation: give a set for it, or hold_out")

// InterruptedError is a run that was told to stop, and has saved its state.
type InterruptedError struct {
	Step, Steps int
	Saved       string // path; empty where nothing is kept
	Err         error  // the context's
}

func (e *InterruptedError) Error() string {
	return fmt.Sprintf("interrupted after step %d of %d", e.Step, e.Steps)
}

func (e *InterruptedError) Unwrap() error { return e.Err }

// DivergedError is a run whose numbers are no numbers any more.
type DivergedError struct {
	Step  int
	What  string // "the loss is NaN"
	Saved string // the last checkpoint from before; empty where there is none
}

func (e *DivergedError) Error() string {
	kept := "no checkpoint was kept"
	if e.Saved != "" {
		kept = "the last good checkpoint is " + e.Saved
	}
	return fmt.Sprintf("step %d: %s: training has diverged; %s", e.Step, e.What, kept)
}

// EndingError is a network that training by the cross-entropy of a softmax does not suit.
type EndingError struct {
	Network string
	Ending  arch.Ending
}

func (e *EndingError) Error() string {
	return fmt.Sprintf("%s ends in %s: training is by the cross-entropy of a softmax, with an output for each class",
		e.Network, e.Ending)
}
