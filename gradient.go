package vggo

import (
	"context"
	"fmt"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// Gradient is what a layer makes of an image, and how a class's logit depends on it.
type Gradient struct {
	Class    Class
	Output   *tensor.Tensor // of the layer, 1 x C x H x W
	Gradient *tensor.Tensor // of the class's logit with respect to Output
}

// Gradient returns the output of a layer for one prepared image, and the gradient with respect to it of a class's logit
// (where the logits are maps of classes, of their mean over the map; of the first of two classes that one output tells
// apart, the output's negative). A class of -1 is the most probable one. The network is as Forward runs it: batch norm
// by its running statistics, no dropout. Only what is behind the layer is computed backward.
func (m *Model) Gradient(ctx context.Context, layer string, class int, picture *tensor.Tensor) (*Gradient, error) {
	if err := m.incomplete(); err != nil {
		return nil, err
	}
	if picture.N != 1 {
		return nil, fmt.Errorf("a gradient is of one image, not of %d", picture.N)
	}
	if n := m.ClassCount(); class < -1 || class >= n {
		return nil, fmt.Errorf("%s has %d classes, numbered from 0: there is no class %d", m.Network.Name, n, class)
	}
	rest, options, err := m.behind(layer)
	if err != nil {
		return nil, err
	}
	if options.Budget == 0 {
		if err := nn.CheckMemory(rest, options); err != nil {
			return nil, err
		}
	}
	output, err := m.Features(ctx, layer, picture)
	if err != nil {
		return nil, err
	}
	select {
	case <-m.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { m.turn <- struct{}{} }()
	plan, err := nn.Compile(rest, m.params, options)
	if err != nil {
		return nil, m.intact(err)
	}
	defer plan.Close()
	if err := m.intact(plan.ForwardContext(ctx, output)); err != nil {
		return nil, err
	}
	logits := plan.Logits()
	ranked, err := m.Rank(logits)
	if err != nil {
		return nil, err
	}
	g := &Gradient{Class: ranked[0], Output: output}
	if class >= 0 {
		g.Class = ranked[slices.IndexFunc(ranked, func(c Class) bool { return c.Index == class })]
	}
	if err := m.intact(plan.Backward(m.seed(logits, g.Class.Index))); err != nil {
		return nil, err
	}
	g.Gradient, err = plan.ImageGrad()
	return g, err
}

// seed is the gradient, with respect to the logits of one image, of a class's logit as Gradient has it.
func (m *Model) seed(logits *tensor.Tensor, class int) *tensor.Tensor {
	seed := tensor.New(1, logits.C, logits.H, logits.W)
	pixels := logits.H * logits.W
	at, sign := m.logit(class)
	for i := range pixels {
		seed.Data[at*pixels+i] = sign / float32(pixels)
	}
	return seed
}

// ImageGradients are how the logits of some classes depend on one image.
type ImageGradients struct {
	Answer    Class          // the most probable of all classes
	Logits    []float64      // of the classes asked for, each as Gradient has it
	Gradients *tensor.Tensor // of these logits with respect to the image: classes x C x H x W
}

// ImageGradients takes one prepared image forward, and backward once for each of some classes: multiply-accumulates of
// one pass and as many more. The network is as Gradient runs it.
func (m *Model) ImageGradients(ctx context.Context, image *tensor.Tensor, classes []int) (*ImageGradients, error) {
	if err := m.incomplete(); err != nil {
		return nil, err
	}
	if image.N != 1 {
		return nil, fmt.Errorf("gradients are of one image, not of %d", image.N)
	}
	for _, class := range classes {
		if n := m.ClassCount(); class < 0 || class >= n {
			return nil, fmt.Errorf("%s has %d classes, numbered from 0: there is no class %d", m.Network.Name, n, class)
		}
	}
	g := &ImageGradients{Gradients: tensor.New(len(classes), image.C, image.H, image.W)}
	err := m.Tap(ctx, m.withImage(), image, func(plan *nn.Plan) error {
		logits := plan.Logits()
		ranked, err := m.Rank(logits)
		if err != nil {
			return err
		}
		g.Answer = ranked[0]
		for n, class := range classes {
			seed := m.seed(logits, class)
			sum := 0.0
			for i, s := range seed.Data {
				sum += float64(float64(s) * float64(logits.Data[i])) // rounded before it is added, on every processor
			}
			g.Logits = append(g.Logits, sum)
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := plan.Backward(seed); err != nil {
				return err
			}
			gradient, err := plan.ImageGrad()
			if err != nil {
				return err
			}
			copy(g.Gradients.Images(n, n+1).Data, gradient.Data)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// ImageGradientsMemory is the most bytes that ImageGradients takes for so many classes beside what Memory tells.
func (m *Model) ImageGradientsMemory(classes int) (int64, error) {
	bytes, err := m.TapMemory(m.withImage())
	return bytes + int64(classes+1)*4*int64(m.Input.C*m.Input.H*m.Input.W), err
}

// withImage is the whole network, for the gradient of its image: by the definition, which packs weights into a fraction
// of the memory that Winograd's algorithm does, and sooner.
func (m *Model) withImage() *Taps {
	return &Taps{Placed: m.Placed, Once: true, Options: nn.Options{Batch: 1, InputGrad: true, Algo: nn.Direct}}
}

// GradientCost tells what Gradient will do for a layer, before it does: multiply-accumulates, and the most bytes that
// it takes meanwhile beside what Memory tells.
func (m *Model) GradientCost(layer string) (macs, bytes int64, err error) {
	rest, options, err := m.behind(layer)
	if err != nil {
		return 0, 0, err
	}
	memory, _, err := nn.Predict(rest, options)
	if err != nil {
		return 0, 0, err
	}
	whole, err := m.Placed.Analyze(1)
	if err != nil {
		return 0, 0, err
	}
	back, err := rest.Analyze(1)
	if err != nil {
		return 0, 0, err
	}
	// The gradient of a layer's input takes as many multiplications as its output.
	return whole.Total.MACs + back.Total.MACs, memory.Total() - memory.Weights, nil
}

// behind is the network behind a layer, and the options of a plan for the gradient of its input.
func (m *Model) behind(layer string) (*arch.Placement, nn.Options, error) {
	rest, err := m.Placed.After(layer)
	options := m.options
	options.Batch, options.InputGrad = 1, true
	if err == nil && m.lowMemory {
		options, _, err = sufficient(rest, options)
	}
	return rest, options, err
}

// UnitGradient returns the gradient, with respect to one prepared image, of what unit (x, y) of a layer's maps is over
// all of its channels together. It goes by the definition, so that outside what the unit sees it is 0.
func (m *Model) UnitGradient(ctx context.Context, layer string, x, y int, image *tensor.Tensor) (*tensor.Tensor,
	error) {
	if err := m.incomplete(); err != nil {
		return nil, err
	}
	taps, err := m.until(layer)
	if err != nil {
		return nil, err
	}
	if out := taps.Placed.Output(); x < 0 || x >= out.W || y < 0 || y >= out.H {
		return nil, fmt.Errorf("%s has no unit %d,%d: its maps are %dx%d", layer, y, x, out.H, out.W)
	}
	var gradient *tensor.Tensor
	err = m.Tap(ctx, taps, image, func(plan *nn.Plan) error {
		err := plan.BackwardFrom(func(_ string, output, gradient nn.Map) error {
			for block := range output.Blocks() {
				unit := gradient.Row(0, block, y)[x*nn.Lanes:][:nn.Lanes]
				for lane := range min(nn.Lanes, output.Shape.C-block*nn.Lanes) {
					unit[lane] = 1
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		gradient, err = plan.ImageGrad()
		return err
	})
	return gradient, err
}

// UnitGradientCost tells what UnitGradient will do for a layer, before it does: multiply-accumulates, and the most
// bytes that it takes meanwhile beside what Memory tells.
func (m *Model) UnitGradientCost(layer string) (macs, bytes int64, err error) {
	taps, err := m.until(layer)
	if err != nil {
		return 0, 0, err
	}
	report, err := taps.Placed.Analyze(1)
	if err != nil {
		return 0, 0, err
	}
	bytes, err = m.TapMemory(taps)
	return 2 * report.Total.MACs, bytes, err // the gradient of a layer's input takes as many as its output
}

// until is the network up to a layer, for the gradient of its image.
func (m *Model) until(layer string) (*Taps, error) {
	placed, err := m.Placed.Until(layer)
	if err != nil {
		return nil, err
	}
	return &Taps{Placed: placed, Once: true,
		Options: nn.Options{Batch: 1, InputGrad: true, Taps: []string{layer}, Algo: nn.Direct}}, nil
}

// Parameter copies a parameter's values, "conv1_1/w" for one, out of the file of weights. Their order is row-major:
// O,I,H,W for a convolution.
func (m *Model) Parameter(name string) (arch.Param, []float32, error) {
	p := m.params.Get(name)
	if p == nil {
		return arch.Param{}, nil, fmt.Errorf("%s has no parameter %q", m.Network.Name, name)
	}
	values, err := m.Values(name, 0, p.Count())
	return p.Param, values, err
}
