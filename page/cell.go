package page

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/tensor"
)

// Cell is one number of a map and what it was made of, worked out by the definition in float64. Value is what the map holds: it
// differs in its last digits, more after Winograd's algorithm.
type Cell struct {
	Layer   string   `json:"layer"`
	Layers  []string `json:"layers"` // computed together
	Kind    string   `json:"kind"`
	From    string   `json:"from"` // the layer whose output it reads; empty: the picture
	Channel int      `json:"channel"`
	Y       int      `json:"y"`
	X       int      `json:"x"`

	Window *Window `json:"window,omitempty"` // of a convolution or a pooling
	// Convolutions and fully connected layers.
	Inputs  int         `json:"inputs"`         // channels that are read: those of the group
	FirstIn int         `json:"first_in"`       // the first of them
	Sums    []float64   `json:"sums,omitempty"` // of a convolution: what each input channel adds
	In      int         `json:"in"`             // the input channel shown by Patch and Weights
	Weights [][]float32 `json:"weights,omitempty"`
	Terms   []Term      `json:"terms,omitempty"` // of a fully connected layer: the largest products
	Rest    float64     `json:"rest"`            // the sum of all others
	Bias    *float32    `json:"bias,omitempty"`
	Sum     float64     `json:"sum"` // with the bias
	Norm    *Norm       `json:"norm,omitempty"`
	ReLU    bool        `json:"relu"`
	// Patch is the part of the input that the window covers, of channel In or for pooling of Channel; nil where there is padding.
	Patch [][]*float32 `json:"patch,omitempty"`

	Result float64 `json:"result"`
	Value  float32 `json:"value"`
}

// Window is where a kernel lies on its input: its first row and column may be padding.
type Window struct {
	Top      int       `json:"top"`
	Left     int       `json:"left"`
	Kernel   arch.Size `json:"kernel"`
	Stride   arch.Size `json:"stride"`
	Dilation arch.Size `json:"dilation"`
}

// Term is one product of a fully connected layer.
type Term struct {
	Index  int     `json:"index"`
	Input  float32 `json:"input"`
	Weight float32 `json:"weight"`
}

// Norm is batch norm, folded into a convolution.
type Norm struct {
	Gamma    float32 `json:"gamma"`
	Beta     float32 `json:"beta"`
	Mean     float32 `json:"mean"`
	Variance float32 `json:"variance"`
	Epsilon  float64 `json:"epsilon"`
	Out      float64 `json:"out"`
}

// terms are the products of a fully connected layer that are told one by one.
const terms = 12

// Cell works one number out: row y and column x of a channel of a layer's output. in is the input channel whose window is told.
func (v *Visit) Cell(layer string, channel, y, x, in int) (*Cell, error) {
	out, err := v.out(layer)
	if err != nil {
		return nil, err
	}
	if channel < 0 || channel >= out.C || y < 0 || y >= out.H || x < 0 || x >= out.W {
		return nil, &AskError{fmt.Sprintf("%s has no cell %d,%d of map %d: it is %dx%dx%d", layer, y, x, channel, out.H, out.W, out.C)}
	}
	i, _ := v.Stage(layer)
	stage := v.Stages[i]
	first, err := v.layer(stage.Layers[0])
	if err != nil {
		return nil, err
	}
	c := &Cell{Layer: first.Name, Layers: stage.Layers, Kind: first.Op.Kind(), Channel: channel, Y: y, X: x, Value: out.At(0, channel, y, x)}
	input := v.Image
	if i > 0 {
		input = v.Stages[i-1].Out
		c.From = v.Stages[i-1].Layers[0]
	}
	switch op := first.Op.(type) {
	case arch.Conv:
		err = v.conv(c, first, op, input, in)
	case arch.Linear:
		err = v.linear(c, first, input)
	case arch.MaxPool:
		c.window(first.Geometry, input, channel)
		c.Result = math.Inf(-1)
		c.each(func(x float64) { c.Result = max(c.Result, x) })
	case arch.AvgPool:
		c.window(first.Geometry, input, channel)
		n, sum := 0.0, 0.0
		c.each(func(x float64) { sum += x; n++ })
		if op.CountPad {
			n = float64(c.Window.Kernel.H * c.Window.Kernel.W)
		}
		c.Result = sum / n
	default: // whatever else there is, is told without its working
		c.Result = float64(c.Value)
		return c, c.check()
	}
	if err != nil {
		return nil, err
	}
	if err := v.finish(c, stage.Layers[1:]); err != nil {
		return nil, err
	}
	return c, c.check()
}

// window sets the window's place and what it covers of a channel of the input.
func (c *Cell) window(g arch.Geometry, input *tensor.Tensor, channel int) {
	w := &Window{c.Y*g.Stride.H - g.Top, c.X*g.Stride.W - g.Left, g.Kernel, g.Stride, g.Dilation}
	c.Window = w
	for r := range g.Kernel.H {
		var row []*float32
		for q := range g.Kernel.W {
			row = append(row, w.at(input, channel, r, q))
		}
		c.Patch = append(c.Patch, row)
	}
}

// at is the input under one tap of the window; nil in the padding.
func (w *Window) at(input *tensor.Tensor, channel, r, q int) *float32 {
	y, x := w.Top+r*w.Dilation.H, w.Left+q*w.Dilation.W
	if y < 0 || y >= input.H || x < 0 || x >= input.W {
		return nil
	}
	return &input.Data[(channel*input.H+y)*input.W+x]
}

// each calls do for every input that the window covers.
func (c *Cell) each(do func(float64)) {
	for _, row := range c.Patch {
		for _, x := range row {
			if x != nil {
				do(float64(*x))
			}
		}
	}
}

// conv adds up a convolution: the sum over input channels and taps of weight times input, and the bias.
func (v *Visit) conv(c *Cell, p *arch.Placed, op arch.Conv, input *tensor.Tensor, in int) error {
	groups := max(op.Groups, 1)
	c.Inputs = p.In.C / groups
	c.FirstIn = c.Channel / (p.Out.C / groups) * c.Inputs
	if c.In = in; in < c.FirstIn || in >= c.FirstIn+c.Inputs {
		c.In = c.FirstIn
	}
	k := p.Geometry.Kernel
	filter, err := Weights(v.Model, v.Placed, p.Name, c.Channel, 1)
	if err != nil {
		return err
	}
	c.window(p.Geometry, input, c.In)
	for i := range c.Inputs {
		sum := 0.0
		for r := range k.H {
			row := filter.Data[(i*k.H+r)*k.W:][:k.W]
			if c.FirstIn+i == c.In {
				c.Weights = append(c.Weights, row)
			}
			for q, w := range row {
				if x := c.Window.at(input, c.FirstIn+i, r, q); x != nil {
					sum += float64(w) * float64(*x)
				}
			}
		}
		c.Sums = append(c.Sums, sum)
		c.Sum += sum
	}
	c.addBias(filter)
	return nil
}

func (c *Cell) addBias(f *Filters) {
	if f.Bias != nil {
		c.Bias = &f.Bias[0]
		c.Sum += float64(f.Bias[0])
	}
	c.Result = c.Sum
}

// linear adds up a fully connected layer, and tells its largest products.
func (v *Visit) linear(c *Cell, p *arch.Placed, input *tensor.Tensor) error {
	filter, err := Weights(v.Model, v.Placed, p.Name, c.Channel, 1)
	if err != nil {
		return err
	}
	c.Inputs = len(filter.Data)
	all := make([]Term, len(filter.Data))
	for i, w := range filter.Data {
		all[i] = Term{i, input.Data[i], w}
		c.Sum += float64(w) * float64(input.Data[i])
	}
	size := func(t Term) float64 { return math.Abs(float64(t.Input) * float64(t.Weight)) }
	slices.SortStableFunc(all, func(a, b Term) int { return cmp.Compare(size(b), size(a)) })
	c.Terms = all[:min(terms, len(all))]
	c.Rest = c.Sum
	for _, t := range c.Terms {
		c.Rest -= float64(t.Input) * float64(t.Weight)
	}
	c.addBias(filter)
	return nil
}

// finish goes on with what is computed together with the layer: batch norm and ReLU.
func (v *Visit) finish(c *Cell, layers []string) error {
	for _, name := range layers {
		p, err := v.layer(name)
		if err != nil {
			return err
		}
		switch op := p.Op.(type) {
		case arch.BatchNorm:
			var value [4]float32
			for i, role := range []string{"gamma", "beta", "mean", "var"} {
				one, err := v.Model.Values(name+"/"+role, c.Channel, c.Channel+1)
				if err != nil {
					return err
				}
				value[i] = one[0]
			}
			c.Norm = &Norm{Gamma: value[0], Beta: value[1], Mean: value[2], Variance: value[3], Epsilon: op.Epsilon()}
			c.Norm.Out = float64(value[0])*(c.Result-float64(value[2]))/math.Sqrt(float64(value[3])+op.Epsilon()) + float64(value[1])
			c.Result = c.Norm.Out
		case arch.ReLU:
			c.ReLU = true
			c.Result = max(c.Result, 0)
		}
	}
	return nil
}

// check refuses what JSON cannot hold.
func (c *Cell) check() error {
	good := finite(c.Value) && finite(float32(c.Result)) && finite(float32(c.Sum))
	c.each(func(x float64) { good = good && x-x == 0 })
	if !good {
		return &AskError{fmt.Sprintf("%s: this cell, or what it reads, is not a finite number", c.Layer)}
	}
	return nil
}
