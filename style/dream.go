package style

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/internal/machine"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/vision"
)

// Dream is a picture that grows until it excites one channel of a layer as much as it can. It follows the gradient of
// the channel's mean over its map upward: of a class's score (Simonyan, Vedaldi & Zisserman 2014, arXiv 1312.6034,
// section 2), or of any other channel, from noise or from a photograph (Mordvintsev, Olah & Tyka, "Inceptionism",
// 2015). It is as large as the network's input.
//
// As in Mordvintsev's program each step is equally large whatever the gradient, and the picture is looked at with its
// edges wrapped round by a few pixels, others each time, so that the strides of poolings leave no pattern. In place of
// its octaves the gradient is smoothed, since a network's gradient is mostly noise to the eye. Samples are kept between
// black and white.
type Dream struct {
	// Layer is any up to the one before softmax or sigmoid, whose channels are the classes' scores. A convolution's own
	// output has a gradient everywhere; behind its ReLU a channel that is 0 all over has none.
	Layer      string
	Channel    int             // from 0
	From       *vision.Picture // as Model.Preprocess.Fit makes it; nil: noise round the middle grey
	Seed       uint64          // of noise, and of how the picture is wrapped
	Iterations int
	Algo       nn.Algo // of convolutions; the direct one takes least memory
}

// Grown is what an iteration came to; iteration 0 is the picture that it began with.
type Grown struct {
	Iteration int
	Mean      float64 // of the channel; but for the first and the last iteration, of the picture wrapped round
	// Picture makes the picture so far.
	Picture func() *vision.Picture
}

// ErrFlat is a picture at which the channel has no gradient: it stays as it is whichever way a pixel goes.
var ErrFlat = errors.New("no pixel changes it")

const (
	stride    = 0.02 // root mean square of a step, of white
	smoothing = 2    // passes of the filter over a gradient
	wraps     = 16   // the picture is wrapped round by up to this part of its side
)

// canvas is what a dream grows on.
func (d *Dream) canvas(m *vggo.Model) (*canvas, error) {
	until, err := m.Placed.Until(d.Layer)
	if err != nil {
		return nil, err
	}
	in, recipe := m.Input, m.Preprocess.Preprocess
	_, logits := until.Ending()
	switch last := until.Layers[len(until.Layers)-1]; {
	case last.Index >= logits:
		return nil, fmt.Errorf("the channels of %s are probabilities: name %s, whose channels are the scores that they are "+
			"made of", d.Layer, m.Placed.Layers[max(logits-1, 0)].Name)
	case d.Channel < 0 || d.Channel >= last.Out.C:
		return nil, fmt.Errorf("%s of %s has %d channels, numbered from 0: there is no channel %d", d.Layer, m.Network.Name,
			last.Out.C, d.Channel)
	case d.Iterations < 1:
		return nil, fmt.Errorf("a picture grows in at least 1 iteration, not %d", d.Iterations)
	case len(recipe.Mean) != in.C || len(recipe.Std) != in.C:
		return nil, fmt.Errorf("%s takes %v, and its preparation makes %d channels", m.Network.Name, in, recipe.Channels)
	case d.From != nil && (d.From.W != in.W || d.From.H != in.H || d.From.Channels != in.C):
		return nil, fmt.Errorf("the picture to begin with is %dx%dx%d, and %s takes %v", d.From.H, d.From.W, d.From.Channels,
			m.Network.Name, in)
	}
	return newCanvas(m, until, []string{d.Layer}, image.Pt(in.W, in.H), d.Algo, true)
}

// Cost is what Grow takes: multiply-accumulates of each iteration, of which there is one more for the picture that it
// begins with, and about how many bytes at once beside the model's. Where the system has less it is an
// *nn.MemoryError.
func (d *Dream) Cost(m *vggo.Model) (macs, bytes int64, err error) {
	c, err := d.canvas(m)
	if err != nil {
		return 0, 0, err
	}
	report, err := c.taps.Placed.Analyze(1)
	if err != nil {
		return 0, 0, err
	}
	if bytes, err = m.TapMemory(c.taps); err != nil {
		return 0, 0, err
	}
	const samples = 8 * 6 // places, the gradient and what smooths it
	bytes += samples * int64(m.Input.C) * int64(m.Input.H) * int64(m.Input.W)
	if available := machine.AvailableMemory(); available > 0 && bytes > available {
		return 0, 0, &nn.MemoryError{Network: m.Network.Name, Training: true, Batch: 1, Need: bytes, Available: available}
	}
	return 2 * report.Total.MACs, bytes, nil // the gradient of a layer's input takes as many as its output
}

// Grow grows the picture. The network takes one iteration at a time, and others have their turn between them. After
// each it calls each, if that is not nil, whose error ends it. Where it ends early, by that, by ctx, by ErrFlat or by a
// *NaNError, the picture of the last good iteration comes with the error, if there is one yet.
func (d *Dream) Grow(ctx context.Context, m *vggo.Model, each func(Grown) error) (*vision.Picture, error) {
	c, err := d.canvas(m)
	if err != nil {
		return nil, err
	}
	defer m.Release(c.taps)
	now := noise(image.Pt(m.Input.W, m.Input.H), m.Input.C, d.Seed).smoothed(smoothing)
	if d.From != nil {
		now = samplesOf(d.From)
	}
	now.bound()
	targets := []target{{d.Layer, 1, channelTerm(d.Channel)}}
	r := rand.New(rand.NewPCG(d.Seed, 1))
	var good *vision.Picture
	for i := range d.Iterations + 1 {
		by := image.Pt(r.IntN(2*(now.X/wraps)+1)-now.X/wraps, r.IntN(2*(now.Y/wraps)+1)-now.Y/wraps)
		if i == 0 || i == d.Iterations {
			by = image.Point{} // what is told of these is of the picture itself
		}
		means, gradient, err := c.evaluate(ctx, now.wrapped(by), targets)
		switch {
		case err != nil:
			return good, err
		case !finite(means[0]):
			return good, &NaNError{i}
		}
		at := now
		good = at.picture()
		if each != nil {
			if err := each(Grown{i, means[0], at.picture}); err != nil {
				return good, err
			}
		}
		if i == d.Iterations {
			break
		}
		up := samples{now.Point, make([]float64, len(gradient))}
		for i, g := range gradient {
			up.data[i] = float64(g)
		}
		up = up.smoothed(smoothing).wrapped(image.Pt(-by.X, -by.Y))
		length := up.rootMeanSquare()
		if length == 0 {
			return good, fmt.Errorf("channel %d of %s: %w", d.Channel, d.Layer, ErrFlat)
		}
		now = samples{now.Point, make([]float64, len(at.data))}
		for i, g := range up.data {
			now.data[i] = at.data[i] + float64(stride/length*g)
		}
		now.bound()
	}
	return good, nil
}

// bound brings samples between black and white.
func (s samples) bound() {
	for i, v := range s.data {
		s.data[i] = min(max(v, 0), 1)
	}
}

// wrapped moves samples to the right and down; what leaves by one edge comes in by the other.
func (s samples) wrapped(by image.Point) samples {
	to := samples{s.Point, make([]float64, len(s.data))}
	for i, v := range s.data {
		x, y, channel := i%s.X, i/s.X%s.Y, i/(s.X*s.Y)
		x, y = (x+by.X+s.X)%s.X, (y+by.Y+s.Y)%s.Y
		to.data[(channel*s.Y+y)*s.X+x] = v
	}
	return to
}

// smoothed goes over each channel so many times by the binomial filter 1/4, 1/2, 1/4 along rows and columns, its edges
// wrapped round. The filter weakens fine waves most and turns none round, so that a smoothed gradient leads upward too.
func (s samples) smoothed(times int) samples {
	for range times {
		for _, by := range []image.Point{{X: 1}, {Y: 1}} {
			before, after := s.wrapped(by), s.wrapped(image.Pt(-by.X, -by.Y))
			to := samples{s.Point, make([]float64, len(s.data))}
			for i, v := range s.data {
				to.data[i] = float64(v/2) + float64((before.data[i]+after.data[i])/4)
			}
			s = to
		}
	}
	return s
}

func (s samples) rootMeanSquare() float64 {
	sum := 0.0
	for _, v := range s.data {
		sum += float64(v * v)
	}
	return math.Sqrt(sum / float64(len(s.data)))
}

// channelTerm is the mean of a channel over its map.
type channelTerm int

func (t channelTerm) loss(_ worker, output nn.Map) float64 {
	sum := 0.0
	for y := range output.Shape.H {
		row := output.Row(0, int(t)/nn.Lanes, y)
		for x := int(t) % nn.Lanes; x < len(row); x += nn.Lanes {
			sum += float64(row[x])
		}
	}
	return sum / float64(output.Shape.H*output.Shape.W)
}

func (t channelTerm) back(_ worker, weight float64, output, gradient nn.Map) {
	each := float32(weight / float64(output.Shape.H*output.Shape.W))
	for y := range output.Shape.H {
		row := gradient.Row(0, int(t)/nn.Lanes, y)
		for x := int(t) % nn.Lanes; x < len(row); x += nn.Lanes {
			row[x] += each
		}
	}
}
