package perceptual

import (
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/parallel"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/vision"
)

// comparison is a pair on its way.
type comparison struct {
	*Meter
	set     *kernel.Set
	plan    *nn.Plan
	a, b    *vision.Picture
	result  *Gradient
	moments []*moments // DISTS: of the picture and each layer
}

// compare fills in the distance from the taps of a plan that has seen both pictures.
func (c *comparison) compare() error {
	if c.Metric == DISTS {
		return c.dists()
	}
	return c.lpips()
}

// back adds a layer's part of the distance to the gradient of its output.
func (c *comparison) back(layer string, output, gradient nn.Map) error {
	if c.Metric == DISTS {
		c.distsBack(layer, output, gradient)
	} else {
		c.lpipsBack(layer, output, gradient)
	}
	return nil
}

// each calls do for all i below n, side by side.
func (c *comparison) each(n int, do func(i int)) { parallel.Each(c.plan.Threads, n, do) }

// lanes are the channels of a block.
func lanes(m nn.Map, block int) int { return min(nn.Lanes, m.Shape.C-block*nn.Lanes) }
