package train

import (
	"fmt"
	"math"
	"strings"

	"github.com/vggo/vggo/arch"
)

// Wide says how the fully connected layers of many inputs begin and learn in a head of several, such as VGG's of 25,088 and 4,096.
//
// A step moves a layer's outputs by the rate times the squared length of its inputs, which grows with their number, and each
// further layer multiplies it. For few classes the loss bends sharply, about as 1 over their number: a rate which suits the
// convolutions, or a thousand classes, throws such a head from one side of the valley to the other (docs/training.md tells what
// was measured).
type Wide struct {
	Inputs int     `yaml:"inputs,omitempty"` // of a layer that counts as wide, at least; 0: none does
	Scale  float64 `yaml:"scale,omitempty"`  // times its first weights; 0: by 1
	Rate   float64 `yaml:"rate,omitempty"`   // its weights' rate is multiplied by this times classes/inputs, by 1 at most; 0: by 1
}

func (w Wide) check() error {
	switch {
	case w.Inputs < 0:
		return fmt.Errorf("inputs must be at least 0, not %d", w.Inputs)
	case !(w.Scale >= 0 && w.Scale < math.Inf(1)) || !(w.Rate >= 0 && w.Rate < math.Inf(1)):
		return fmt.Errorf("scale and rate must be at least 0, not %v and %v", w.Scale, w.Rate)
	}
	return nil
}

// literal has path.Match take a layer's name as it is.
var literal = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

// rules are what it makes of a network's layers. The recipe's own come after them.
func (w Wide) rules(placed []arch.Placed) (list []Rule) {
	classes, head := float64(placed[len(placed)-1].Out.C), 0
	for _, layer := range placed {
		if _, ok := layer.Op.(arch.Linear); !ok {
			continue
		}
		head++
		for _, p := range layer.Params {
			if p.Role() != "w" || w.Inputs == 0 || p.FanIn < w.Inputs {
				continue
			}
			rule := Rule{Params: literal.Replace(p.Name)}
			if w.Scale > 0 {
				rule.Scale = &w.Scale
			}
			if w.Rate > 0 {
				rate := min(1, w.Rate*classes/float64(p.FanIn))
				rule.Rate = &rate
			}
			list = append(list, rule)
		}
	}
	if head < 2 {
		return nil
	}
	return list
}
