package nn

import (
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
)

// Lanes is how many channels of a pixel lie side by side in a Map.
const Lanes = kernel.Block

// Map is what a tapped layer made of the images of the last Forward, or the gradient of it, where the Plan has it:
// each image is blocks of Lanes channels, a block is rows, a row is pixels of Lanes values. Lanes beyond the last
// channel are zero, and have to stay so. It holds until the Plan's next Forward.
type Map struct {
	Images int
	Shape  arch.Shape // of one image
	data   []float32
	size   int // of one image
}

// Row is row y of a block of channels of an image: W x Lanes values.
func (m Map) Row(image, block, y int) []float32 {
	length := m.Shape.W * Lanes
	return m.data[image*m.size+(block*m.Shape.H+y)*length:][:length:length]
}

// Image is all of an image: its blocks one after the other, each H x W x Lanes values.
func (m Map) Image(image int) []float32 { return m.data[image*m.size:][:m.size:m.size] }

// Blocks is how many blocks of channels there are.
func (m Map) Blocks() int { return kernel.Blocks(m.Shape.C) }

// tapped reports whether a layer's output is asked for, so that no other may be fused into it.
func (o *Options) tapped(layer arch.Placed) bool { return slices.Contains(o.Taps, layer.Name) }

// checkTaps is an error for a tap that no layer up to the logits has the name of.
func (o *Options) checkTaps(placed *arch.Placement) error {
	_, logits := placed.Ending()
	for _, tap := range o.Taps {
		layer, ok := placed.Layer(tap)
		if !ok {
			_, err := placed.Until(tap)
			return fmt.Errorf("nn: a tap: %w", err)
		}
		if layer.Index >= logits {
			return fmt.Errorf("nn: %s: a plan ends at the logits: there is no output of %s to tap", placed.Network.Name, tap)
		}
	}
	return nil
}

// tap marks what the taps are the output of.
func (p *Plan) tap() {
	for _, layer := range p.Taps {
		p.outputs[layer].tapped = true
	}
}

// keepTapped gives each tapped feature map room of its own for the whole batch, where maps take turns in an arena, and
// returns the floats of all, as arch counts them and as they are.
func (p *Plan) keepTapped(maps []*values) (plain, taken int) {
	for _, v := range maps {
		if v.tapped {
			plain += p.Batch * v.plainSize()
			taken += p.Batch * v.size
			p.later = append(p.later, func() { v.kept = kernel.Alloc(p.Batch * v.size) })
		}
	}
	return plain, taken
}

// untapped are the runs of feature maps without room of their own: the arena's tenants.
func untapped(maps []*values) (runs [][]*values) {
	for len(maps) > 0 {
		n := slices.IndexFunc(maps, func(v *values) bool { return v.tapped })
		if n < 0 {
			return append(runs, maps)
		}
		runs, maps = append(runs, maps[:n]), maps[n+1:]
	}
	return runs
}

// aim lets a stage that begins with an image of the batch read and write its tapped maps where that image's lie.
func (p *Plan) aim(maps []*values, image int) {
	for _, v := range maps {
		if v.kept != nil {
			v.data = v.kept[image*v.size:]
		}
	}
}

// whole is a tapped feature map of all images.
func (v *values) whole() []float32 {
	if v.kept != nil {
		return v.kept
	}
	return v.data // every map is kept
}

func (p *Plan) mapOf(v *values, data []float32) Map {
	return Map{p.input.N, v.shape, data[:p.input.N*v.size], v.size}
}

// Tap is the output of one of Options.Taps for the images of the last Forward.
func (p *Plan) Tap(layer string) (Map, error) {
	switch {
	case !slices.Contains(p.Taps, layer):
		return Map{}, fmt.Errorf("nn: %s: %s is not tapped: name it in Options.Taps", p.placed.Network.Name, layer)
	case p.input == nil:
		return Map{}, fmt.Errorf("nn: %s: the output of %s before forward", p.placed.Network.Name, layer)
	}
	v := p.outputs[layer].values
	return p.mapOf(v, v.whole()), nil
}

// BackwardFrom computes what Backward does, from the gradients of the taps in place of the logits'. For each tap, the
// last layer of the network first, add is given its output and the gradient of it that comes from the taps behind, to
// which it adds that of its own. An error of add ends it. What lies behind the last tap is not computed: its
// parameters' gradients are zero.
func (p *Plan) BackwardFrom(add func(layer string, output, gradient Map) error) (err error) {
	switch {
	case !p.backs():
		return fmt.Errorf("nn: %s: this plan is not for training", p.placed.Network.Name)
	case p.input == nil:
		return fmt.Errorf("nn: %s: backward before forward", p.placed.Network.Name)
	case len(p.Taps) == 0:
		return fmt.Errorf("nn: %s: there is no tap to go back from: name one in Options.Taps", p.placed.Network.Name)
	}
	defer p.caught(&err, debug.SetPanicOnFault(true))
	last := len(p.steps)
	for last > 0 && !p.writes[last-1].tapped {
		last--
		for _, layer := range p.groups[last].Layers {
			for _, q := range layer.Params {
				clear(p.params.Get(q.Name).Grad)
			}
		}
	}
	deepest := p.chain[0]
	if last > 0 {
		deepest = p.writes[last-1]
	}
	if deepest.grad == nil { // the images', which nobody asked for
		return nil
	}
	clear(deepest.grad[:p.input.N*deepest.size])
	p.start()
	return p.back(last, add)
}

// back takes the last so many steps' gradients back to the images'. add, if not nil, adds those of taps.
func (p *Plan) back(steps int, add func(layer string, output, gradient Map) error) error {
	for i := steps; ; i-- {
		v := p.chain[0]
		if i > 0 {
			v = p.writes[i-1]
		}
		// dropout may overwrite a map, which is then the later step's
		if add != nil && v.tapped && v.grad != nil && (i == steps || v != p.writes[i]) {
			if err := p.addTo(v, add); err != nil {
				return err
			}
		}
		if i <= max(p.fixed, p.rest) {
			break
		}
		p.current = i - 1
		p.last = p.rest > 0 && i-1 == p.rest
		p.summed = false
		p.steps[i-1].backward(p.input.N)
		if p.ended != nil {
			return p.ended
		}
		p.lap(BackwardPass)
		if p.Share.Ready != nil {
			for _, q := range p.gradients[i-1] {
				p.Share.Ready(q, p.summed)
			}
		}
	}
	p.report(len(p.steps))
	return nil
}

// addTo lets add add to a feature map's gradient, once for each tap that it is the output of.
func (p *Plan) addTo(v *values, add func(layer string, output, gradient Map) error) error {
	for _, layer := range p.Taps {
		if p.outputs[layer].values == v {
			if err := add(layer, p.mapOf(v, v.whole()), p.mapOf(v, v.grad)); err != nil {
				return err
			}
		}
	}
	return nil
}
