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

// chance is nil for a run whose last losses are below that of guessing, or are not known. It is nil too where the last
// state, scored on pictures that it did not learn from, is better than guessing: then dropout and augmentation make the
// batches' loss what it is. held is nil where it was not scored.
func chance(losses []float64, classes int, held *Score) *Chance {
	if len(losses) == 0 {
		return nil
	}
	c := &Chance{Guess: math.Log(float64(classes)), Classes: classes}
	for _, loss := range losses {
		c.Loss += loss / float64(len(losses))
	}
	learned := held != nil && held.Loss < c.Guess && held.Accuracy > 1/float64(classes)
	if c.Loss <= c.Guess || learned {
		return nil
	}
	return c
}
