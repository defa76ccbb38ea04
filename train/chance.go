package train

import (
	"fmt"
	"math"
)

// Chance says of a finished run that its loss ended above that of guessing: it has learned nothing, and mostly
// unlearned what it began with.
type Chance struct {
	Loss    float64 `json:"loss"`    // the mean of the last steps, ten at most
	Guess   float64 `json:"guess"`   // the natural logarithm of the number of classes
	Classes int     `json:"classes"` // that the network tells apart
}

func (c *Chance) String() string {
	return fmt.Sprintf("the loss ends at %.4g, above the %.4g of guessing one of %d classes: the network has "+
		"learned nothing", c.Loss, c.Guess, c.Classes)
}

// chance is nil for a run whose loss has ended below that of guessing, or is not known.
func (t *Trainer) chance() *Chance {
	if len(t.state.Losses) == 0 {
		return nil
	}
	c := &Chance{Classes: t.placed.Output().C}
	for _, loss := range t.state.Losses {
		c.Loss += loss / float64(len(t.state.Losses))
	}
	if c.Guess = math.Log(float64(c.Classes)); c.Loss <= c.Guess {
		return nil
	}
	return c
}
