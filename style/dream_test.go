package style

import (
	"context"
	"errors"
	"image"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/nn/reference"
	"github.com/vggo/vggo/vision"
)

// meanOf is a dream's objective by the definition: the mean in float64 of a channel of a layer, of a picture's samples.
func meanOf(t *testing.T, m *vggo.Model, d Dream) func(samples) float64 {
	t.Helper()
	placed, err := m.Placed.Until(d.Layer)
	if err != nil {
		t.Fatal(err)
	}
	net, err := reference.NewNet(placed, archtest.Values(t, placed.Layers, m.Parameter))
	if err != nil {
		t.Fatal(err)
	}
	recipe := m.Preprocess.Preprocess
	return func(s samples) float64 {
		pixels := s.X * s.Y
		input := make([]float64, len(s.data))
		for i := range input {
			slope, offset := recipe.Line(i / pixels)
			input[i] = slope*s.data[recipe.Sample(i/pixels)*pixels+i%pixels] + offset
		}
		if err := net.Forward(input, 1, false); err != nil {
			t.Fatal(err)
		}
		out := net.Activations[len(net.Activations)-1]
		sum, each := 0.0, out.H*out.W
		for _, v := range out.Data[d.Channel*each:][:each] {
			sum += v
		}
		return sum / float64(each)
	}
}

// TestDreamGradient holds a dream's mean and its gradient to float64: the mean to 1e-5 of the largest that the picture
// could move it, the gradient within 1e-5 of its length by differences, of a channel beyond the first block, of a grey
// network, of Caffe's BGR, and of a class's score.
func TestDreamGradient(t *testing.T) {
	caffe := func(m *vggo.Model) { m.Preprocess.Preprocess = vision.Caffe(m.Input.W, m.Input.H) }
	for _, c := range []struct {
		network string
		dream   Dream
		change  func(*vggo.Model)
	}{
		{"10x11x3:18,M,20/5", Dream{Layer: "conv2_1", Channel: 17}, caffe},
		{"12x10x1:8,M,8/5", Dream{Layer: "relu2_1", Channel: 3}, nil},
		{"10x10x3:8,M,8/7", Dream{Layer: "fc3", Channel: 6}, nil},
		{"10x10x3:8,M,8/7", Dream{Layer: "pool1", Channel: 1}, nil},
	} {
		m := random(t, c.network, 2)
		if c.change != nil {
			c.change(m)
		}
		c.dream.Iterations = 1
		on, err := c.dream.canvas(m)
		if err != nil {
			t.Fatal(err)
		}
		x := noise(image.Pt(m.Input.W, m.Input.H), m.Input.C, 3)
		means, gradient, err := on.evaluate(t.Context(), x, []target{{c.dream.Layer, 1, channelTerm(c.dream.Channel)}})
		if err != nil {
			t.Fatal(err)
		}
		mean := meanOf(t, m, c.dream)
		apart, length := 0.0, 0.0
		for i, v := range x.data {
			const h = 1e-6
			x.data[i] = v + h
			above := mean(x)
			x.data[i] = v - h
			slope := (above - mean(x)) / (2 * h)
			x.data[i] = v
			apart += math.Pow(float64(gradient[i])-slope, 2)
			length += slope * slope
		}
		off, wide := math.Sqrt(apart/length), math.Sqrt(length*float64(len(x.data)))
		t.Logf("%s, %+v: mean %v, in float64 %v; the gradient is off by %.2g", c.network, c.dream, means[0], mean(x), off)
		if !(length > 0 && off < 1e-5 && math.Abs(means[0]-mean(x)) < 1e-5*wide) {
			t.Errorf("%s, %+v: mean %v, in float64 %v; the gradient is off by %.2g of %v", c.network, c.dream, means[0],
				mean(x), off, math.Sqrt(length))
		}
	}
}

// TestDreamRises: the mean grows, from noise and from a picture, in the picture that is returned as well as it says;
// and one thread and four grow the same.
func TestDreamRises(t *testing.T) {
	for _, c := range []struct {
		network string
		dream   Dream
	}{
		{"40x36x3:16,20,M,33/10", Dream{Layer: "conv2_1", Channel: 32, Seed: 5}},
		{"40x36x3:16,20,M,33/10", Dream{Layer: "conv2_1", Channel: 32, From: pattern(1, 36, 40)}},
		{"40x36x1:16,M,16/10", Dream{Layer: "relu2_1", Channel: 2, Seed: 1}},
		{"32x32x3:16,M,16,M/10", Dream{Layer: "fc3", Channel: 9, Seed: 2}},
	} {
		c.dream.Iterations = 20
		var first *vision.Picture
		for _, threads := range []int{1, 4} {
			m := random(t, c.network, threads)
			var means []float64
			p, err := c.dream.Grow(t.Context(), m, func(g Grown) error {
				if g.Iteration != len(means) {
					t.Errorf("iteration %d comes after %d", g.Iteration, len(means)-1)
				}
				means = append(means, g.Mean)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = p
			}
			if !slices.Equal(p.Pix, first.Pix) || p.W != m.Input.W || p.H != m.Input.H || p.Channels != m.Input.C {
				t.Errorf("%s, %+v: %d threads grow another picture than 1", c.network, c.dream, threads)
			}
			mean := meanOf(t, m, c.dream)
			begin, end := means[0], mean(samplesOf(p))
			if len(means) != 21 || !(end > begin && means[10] > begin && means[20] > means[10]) {
				t.Errorf("%s, %+v: from %v over %v to %v; the picture has %v", c.network, c.dream, begin, means[10], means[20],
					end)
			}
			if c.dream.From != nil && math.Abs(begin-mean(samplesOf(c.dream.From))) > 1e-3*(end-begin) {
				t.Errorf("%s: it begins at %v, the picture is at %v", c.network, begin, mean(samplesOf(c.dream.From)))
			}
			// rounded to 8 bits
			if math.Abs(end-means[20]) > 0.02*(end-begin) {
				t.Errorf("%s, %+v: it says %v, and the picture has %v", c.network, c.dream, means[20], end)
			}
		}
	}
}

// TestSmoothed: the filter keeps what is even, weakens the finest waves to nothing, and leads upward still.
func TestSmoothed(t *testing.T) {
	even, fine := samples{image.Pt(6, 4), make([]float64, 48)}, samples{image.Pt(6, 4), make([]float64, 48)}
	for i := range even.data {
		even.data[i], fine.data[i] = 3, float64(i%2*2-1)
	}
	for i := range even.data {
		if got := even.smoothed(2).data[i]; got != 3 {
			t.Fatalf("sample %d of an even picture is %v", i, got)
		}
		if got := fine.smoothed(1).data[i]; got != 0 {
			t.Fatalf("sample %d of a fine wave is %v", i, got)
		}
	}
	rough, along := noise(image.Pt(6, 4), 2, 1), 0.0
	for i, v := range rough.smoothed(2).data {
		along += v * rough.data[i]
	}
	if !(along > 0) {
		t.Errorf("a smoothed gradient leads down: %v", along)
	}
	there := rough.wrapped(image.Pt(2, -3))
	if there.data[1*6+2] != rough.data[0] || !slices.Equal(there.wrapped(image.Pt(-2, 3)).data, rough.data) {
		t.Error("what is wrapped round does not come back")
	}
}

// TestDreamEnds: what is grown comes with the error.
func TestDreamEnds(t *testing.T) {
	m := random(t, "32x32x3:16,M,20/10", 1)
	d := Dream{Layer: "conv2_1", Iterations: 50}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last *vision.Picture
	got, err := d.Grow(ctx, m, func(g Grown) error {
		if g.Iteration == 3 {
			last = g.Picture()
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || got == nil || !slices.Equal(got.Pix, last.Pix) {
		t.Errorf("interrupted: %v, %v", got, err)
	}
	enough := errors.New("enough")
	if got, err := d.Grow(t.Context(), m, func(Grown) error { return enough }); err != enough || got == nil {
		t.Errorf("each's error: %v, %v", got, err)
	}
	// Of black a convolution has its biases alone, which are 0, and its ReLU no slope there.
	flat := Dream{Layer: "relu1_1", From: vision.NewPicture(32, 32, 3), Iterations: 5}
	m.Preprocess.Mean, m.Preprocess.Std = []float32{0, 0, 0}, []float32{1, 1, 1}
	if got, err := flat.Grow(t.Context(), m, nil); !errors.Is(err, ErrFlat) || got == nil ||
		!strings.Contains(err.Error(), "channel 0 of relu1_1") {
		t.Errorf("without a gradient: %v, %v", got, err)
	}
	m.Preprocess.Std[1] = 1e-38 // beyond float32
	var nan *NaNError
	if got, err := d.Grow(t.Context(), m, nil); !errors.As(err, &nan) || nan.Iteration != 0 || got != nil {
		t.Errorf("a preparation beyond float32: %v, %v", got, err)
	}
	// A picture whose next step is beyond it: the one before is kept.
	small := random(t, "8x8x3:8/10", 1)
	lost := Dream{Layer: "conv1_1", Iterations: 9}
	if got, err := lost.Grow(t.Context(), small, func(g Grown) error {
		if g.Iteration == 2 {
			small.Preprocess.Std[0] = 0
		}
		return nil
	}); !errors.As(err, &nan) || nan.Iteration != 3 || got == nil {
		t.Errorf("lost on the way: %v, %v", got, err)
	}
}

func TestDreamWrongUse(t *testing.T) {
	m := random(t, "16x16x3:8,M,8/10", 1)
	for _, c := range []struct {
		dream Dream
		want  string
	}{
		{Dream{Layer: "conv2_1", Iterations: 1}, ""},
		{Dream{Layer: "conv9_1", Iterations: 1}, `no layer "conv9_1"`},
		{Dream{Layer: "softmax", Iterations: 1}, "name fc3, whose channels are the scores"},
		{Dream{Layer: "conv2_1", Channel: 8, Iterations: 1}, "conv2_1 of 16x16x3:8,M,8/10 has 8 channels, numbered from 0"},
		{Dream{Layer: "conv2_1", Channel: -1, Iterations: 1}, "there is no channel -1"},
		{Dream{Layer: "conv2_1"}, "at least 1 iteration, not 0"},
		{Dream{Layer: "conv2_1", From: pattern(1, 8, 16), Iterations: 1}, "begin with is 16x8x3"},
	} {
		macs, bytes, err := c.dream.Cost(m)
		if _, grown := c.dream.Grow(t.Context(), m, nil); (err == nil) != (grown == nil) {
			t.Errorf("%+v: Cost says %v, Grow %v", c.dream, err, grown)
		}
		if c.want == "" && (err != nil || macs != 2*(16*16*3*8*9+8*8*8*8*9) || bytes < 16*16*3*48) {
			t.Errorf("%+v: %d, %d, %v", c.dream, macs, bytes, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: error %v, want one that says %q", c.dream, err, c.want)
		}
	}
}
