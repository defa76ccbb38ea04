package vggo

import (
	"context"
	"fmt"
	"image"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// maxElongation bounds the longer side of a picture that is looked at whole, in shorter sides.
const maxElongation = 8

// densePlans are kept at once, each for one size of pictures.
const densePlans = 4

// dense is the model's network with its fully connected layers as convolutions.
type dense struct {
	placed *arch.Placement
	params *nn.Params
	plans  recent[denseSize]
}

// denseSize is what a plan of whole pictures is for.
type denseSize struct {
	input arch.Shape
	batch int
}

// ClassifyDense is the VGG paper's dense evaluation (Simonyan & Zisserman 2015, section 3.2): the picture, its shorter
// side scaled to each of the given lengths, goes whole through the network as a fully convolutional one, whose class
// scores are averaged over the map; the probabilities are averaged over the scales and, with flip, over the picture and
// its mirror image.
func (m *Model) ClassifyDense(ctx context.Context, picture *vision.Picture, scales []int, flip bool) ([]Class, error) {
	if err := m.incomplete(); err != nil {
		return nil, err
	}
	if len(scales) == 0 {
		return nil, fmt.Errorf("dense evaluation without a scale")
	}
	if m.options.Half != nn.HalfNone {
		return nil, fmt.Errorf("%s: dense evaluation makes convolutions of fully connected layers, whose weights must be in "+
			"float32", m.Network.Name)
	}
	inputs := make([]*tensor.Tensor, len(scales))
	for i, scale := range scales {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var err error
		if inputs[i], err = m.prepareDense(picture, scale, flip); err != nil {
			return nil, err
		}
	}
	if _, err := m.Ending(); err != nil {
		return nil, err
	}
	select {
	case <-m.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { m.turn <- struct{}{} }()
	var sum *tensor.Tensor
	for _, input := range inputs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		plan, err := m.densePlan(arch.Shape{C: input.C, H: input.H, W: input.W}, input.N)
		if err != nil {
			return nil, err
		}
		if err := m.intact(plan.ForwardContext(ctx, input)); err != nil {
			return nil, err
		}
		p := plan.Probabilities()
		if sum == nil {
			sum = tensor.New(1, p.C, 1, 1)
		}
		for i, v := range p.Data {
			sum.Data[i%p.C] += v / float32(input.N*len(inputs))
		}
	}
	return m.rank(sum)
}

// prepareDense scales a picture's shorter side, and puts its mirror image beside it.
func (m *Model) prepareDense(picture *vision.Picture, scale int, flip bool) (*tensor.Tensor, error) {
	if shortest := min(m.Input.H, m.Input.W); scale < shortest {
		return nil, fmt.Errorf("a shorter side of %d pixels is less than the %d that %s takes", scale, shortest,
			m.Network.Name)
	}
	w, h := picture.W, picture.H
	if w < 1 || h < 1 || max(w, h) > maxElongation*min(w, h) {
		return nil, fmt.Errorf("a picture of %dx%d pixels is too narrow to be looked at whole", h, w)
	}
	size := image.Pt(scale, scale*h/w)
	if w > h {
		size = image.Pt(scale*w/h, scale)
	}
	preprocess := m.Preprocess.Preprocess
	preprocess.Resize, preprocess.Crop = size, size
	n := 1
	if flip {
		n = 2
	}
	batch := tensor.New(n, m.Input.C, size.Y, size.X)
	if err := preprocess.Put(batch, 0, picture); err != nil {
		return nil, err
	}
	if flip {
		from, to := batch.Images(0, 1).Data, batch.Images(1, 2).Data
		for row := 0; row < len(from); row += size.X {
			for x := range size.X {
				to[row+x] = from[row+size.X-1-x]
			}
		}
	}
	return batch, nil
}

// densePlan returns the plan for pictures of a size. The caller has the turn.
func (m *Model) densePlan(input arch.Shape, batch int) (*nn.Plan, error) {
	if m.dense == nil {
		placed, err := m.Placed.WithHead(arch.HeadDense)
		if err != nil {
			return nil, err
		}
		params := nn.NewParams(placed)
		if err := params.Load(func(p arch.Param) ([]float32, error) { return m.params.Get(p.Name).Data, nil }); err != nil {
			return nil, err
		}
		m.dense = &dense{placed, params, recent[denseSize]{most: densePlans}}
	}
	d := m.dense
	return d.plans.get(denseSize{input, batch}, func() (*nn.Plan, error) {
		placed, err := d.placed.WithInput(input)
		if err != nil {
			return nil, err
		}
		options := m.options
		options.Batch = batch
		plan, err := nn.Compile(placed, d.params, options)
		return plan, m.intact(err)
	})
}
