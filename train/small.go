package train

import (
	"fmt"
	"math"
	"slices"

	"github.com/vggo/vggo/arch"
)

// Small has a run's first epochs learn from the middle of what Augment makes of each picture, where a step is quicker.
// A convolution's weights are the same for any size, so what they have learned there holds for whole pictures; the last
// epochs fit them, and batch norm's statistics, to these. The zero value does not.
type Small struct {
	Side  int     `yaml:"side"`  // of the middle, which is a square, in pixels
	Until float64 `yaml:"until"` // so many epochs
}

func (s *Small) check(input arch.Shape) error {
	switch {
	case *s == Small{}:
		return nil
	case s.Side < 1 || s.Side > min(input.H, input.W):
		return fmt.Errorf("side must lie between 1 and %d, the input's, not %d", min(input.H, input.W), s.Side)
	case !(s.Until > 0 && s.Until <= most):
		return fmt.Errorf("until must be above 0 and at most %d, not %v", most, s.Until)
	}
	return nil
}

// place is the network on the middles of its pictures. Its parameters must be those that it has on the whole ones.
func (s *Small) place(whole *arch.Placement) (*arch.Placement, error) {
	net := *whole.Network
	net.Input.H, net.Input.W = s.Side, s.Side
	small, err := net.Place(net.Input)
	if err != nil {
		return nil, fmt.Errorf("recipe: small: %w", err)
	}
	for i, layer := range small.Layers {
		for j, p := range layer.Params {
			if is, want := p.Shape, whole.Layers[i].Params[j].Shape; !slices.Equal(is, want) {
				return nil, fmt.Errorf("recipe: small: %s has %v weights for pictures of %d pixels, %v for whole ones: want a "+
					"side from which its input is as large", layer.Name, is, s.Side, want)
			}
		}
	}
	return small, nil
}

// sized is the network, and what makes pictures its input, for the step after so many.
func (t *Trainer) sized(step int) (*arch.Placement, *augmenter) {
	if t.small != nil && float64(step)/float64(t.perEpoch) < t.recipe.Small.Until {
		return t.small, t.augmenter.middle(t.recipe.Small.Side)
	}
	return t.placed, t.augmenter
}

// work is what so many steps take, in steps on whole pictures: those on middles count by their pixels.
func (t *Trainer) work(steps int) float64 {
	if t.small == nil {
		return float64(steps)
	}
	pixels := func(p *arch.Placement) float64 { return float64(p.Input.H * p.Input.W) }
	first := min(float64(steps), math.Ceil(t.recipe.Small.Until*float64(t.perEpoch)))
	return float64(steps) - first*(1-pixels(t.small)/pixels(t.placed))
}
