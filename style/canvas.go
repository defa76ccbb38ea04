package style

import (
	"context"
	"image"
	"math"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// samples are a picture as it is painted: channels x H x W, red first, white is 1. Values may lie beyond.
type samples struct {
	image.Point
	data []float64
}

func samplesOf(p *vision.Picture) samples {
	s := samples{image.Pt(p.W, p.H), make([]float64, p.Channels*p.W*p.H)}
	for i, v := range p.Pix {
		s.data[i%p.Channels*p.W*p.H+i/p.Channels] = float64(v) / 255
	}
	return s
}

// picture rounds to what can be shown.
func (s samples) picture() *vision.Picture {
	p := vision.NewPicture(s.X, s.Y, len(s.data)/(s.X*s.Y))
	for i := range p.Pix {
		v := s.data[i%p.Channels*s.X*s.Y+i/p.Channels]
		p.Pix[i] = uint8(math.Round(255 * min(max(v, 0), 1)))
	}
	return p
}

// target is a term of a loss at a layer.
type target struct {
	layer  string
	weight float64
	term   term
}

// canvas is a network up to the last layer that is looked at, for pictures of one size.
type canvas struct {
	model  *vggo.Model
	recipe vision.Preprocess
	taps   *vggo.Taps
	worker
}

// newCanvas is the part of a network for a size; with gradient it computes that of its images, too.
func newCanvas(model *vggo.Model, placed *arch.Placement, layers []string, size image.Point, algo nn.Algo,
	gradient bool) (*canvas, error) {
	placed, err := placed.WithInput(arch.Shape{C: placed.Input.C, H: size.Y, W: size.X})
	if err != nil {
		return nil, err
	}
	return &canvas{model: model, recipe: model.Preprocess.Preprocess, taps: &vggo.Taps{Placed: placed, Once: !gradient,
		Options: nn.Options{Batch: 1, InputGrad: gradient, Taps: layers, Algo: algo}}}, nil
}

// see takes samples through the network.
func (c *canvas) see(ctx context.Context, s samples, look func(*nn.Plan) error) error {
	images := tensor.New(1, c.taps.Placed.Input.C, s.Y, s.X)
	c.recipe.PutSamples(images, 0, s.data)
	return c.model.Tap(ctx, c.taps, images, func(plan *nn.Plan) error {
		set, err := kernel.Lookup(plan.Set)
		if err != nil {
			return err
		}
		c.worker = worker{set, plan.Threads}
		return look(plan)
	})
}

// evaluate returns each target's loss, not weighted, and the gradient of their weighted sum by the samples.
func (c *canvas) evaluate(ctx context.Context, s samples, targets []target) (losses []float64, gradient []float32,
	err error) {
	err = c.see(ctx, s, func(plan *nn.Plan) error {
		for _, t := range targets {
			output, err := plan.Tap(t.layer)
			if err != nil {
				return err
			}
			losses = append(losses, t.term.loss(c.worker, output))
		}
		err := plan.BackwardFrom(func(layer string, output, gradient nn.Map) error {
			for _, t := range targets {
				if t.layer == layer {
					t.term.back(c.worker, t.weight, output, gradient)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		dx, err := plan.ImageGrad()
		if err != nil {
			return err
		}
		gradient = c.recipe.SampleGradient(dx, 0).Data
		return nil
	})
	return losses, gradient, err
}
