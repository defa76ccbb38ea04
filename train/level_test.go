package train_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

// TestLevel: each layer with weights begins with outputs of mean 0 in every channel and deviation 1, the last with 0.1,
// whatever pictures come; layers before a batch norm, and those whose values are given, begin as they are.
func TestLevel(t *testing.T) {
	for _, c := range []struct {
		name, model, preprocess string
		given                   string
	}{
		{"measured", "12x12x3:8,8,M,16/20,4", train.Measured, ""},
		{"0 to 255", "12x12x3:8,M,16,16/20,4", "caffe", ""},
		{"batch norm", "12x12x3:8b,M,16b/20,4", train.Measured, ""},
		{"given", "12x12x3:8,M,16/20,4", train.Measured, "conv1_1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := train.Default()
			r.Model, r.Batch, r.Epochs, r.Preprocess = c.model, 16, 1, vision.PreprocessParts{Base: c.preprocess}
			o := train.Options{Recipe: r, Train: stripes{n: 48, side: 12, channels: 3}}
			o.Start = func(p arch.Param) ([]float32, error) {
				if c.given != "" && strings.HasPrefix(p.Name, c.given+"/") {
					return slices.Repeat([]float32{0.5}, p.Count()), nil
				}
				return nil, nil
			}
			trainer, err := train.New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer trainer.Close()
			pictures, err := train.Some(trainer)
			if err != nil {
				t.Fatal(err)
			}
			net, params := trainer.Placement().Network, trainer.Params()
			last := net.Layers[len(net.Layers)-2].Name // before the softmax
			for i, layer := range net.Layers {
				w := params.Get(layer.Name + "/w")
				if w == nil {
					continue
				}
				if layer.Name == c.given {
					if w.Data[0] != 0.5 {
						t.Errorf("%s was given and begins otherwise", layer.Name)
					}
					continue
				}
				if _, norm := net.Layers[i+1].Op.(arch.BatchNorm); norm {
					if want := math.Sqrt(2 / float64(w.FanIn)); math.Abs(deviationOf(w.Data)/want-1) > 0.2 {
						t.Errorf("%s, before a batch norm: its weights deviate by %v, by He's start %v", layer.Name, deviationOf(w.Data),
							want)
					}
					continue
				}
				if strings.Contains(c.model, "b") {
					continue // what comes in is level only by the batch's own statistics
				}
				means, deviation := outputs(t, net, params, layer.Name, pictures)
				want := 1.0
				if layer.Name == last {
					want = 0.1
				}
				if slices.Max(means) > 1e-3*want || slices.Min(means) < -1e-3*want || math.Abs(deviation/want-1) > 1e-3 {
					t.Errorf("%s: means %.4f, deviation %.4f, want 0 and %v", layer.Name, means, deviation, want)
				}
			}
		})
	}
}

// outputs are the mean of each channel of a layer's outputs and their deviation from these.
func outputs(t *testing.T, net *arch.Network, params *nn.Params, layer string, in *tensor.Tensor) (means []float64,
	deviation float64) {
	t.Helper()
	part, err := net.Until(layer)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := nn.Compile(archtest.Place(t, part), params, nn.Options{Batch: in.N})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	if err := plan.Forward(in); err != nil {
		t.Fatal(err)
	}
	out := plan.Logits()
	channels := make([][]float64, out.C)
	for n := range out.N {
		for c := range out.C {
			for i := range out.H * out.W {
				channels[c] = append(channels[c], float64(out.Data[(n*out.C+c)*out.H*out.W+i]))
			}
		}
	}
	for _, values := range channels {
		m := mean(values)
		means = append(means, m)
		for _, v := range values {
			deviation += (v - m) * (v - m) / float64(len(out.Data))
		}
	}
	return means, math.Sqrt(deviation)
}

func deviationOf(list []float32) float64 {
	sum := 0.0
	for _, v := range list {
		sum += float64(v) * float64(v) / float64(len(list))
	}
	return math.Sqrt(sum)
}

// TestPolyak: a step is bounded by the loss over the gradients' squared length, each parameter's by its share of the
// rate.
func TestPolyak(t *testing.T) {
	placed, err := arch.Decode(strings.NewReader("name: n\ninput: 1x1x2\nlayers:\n- {name: f, op: flatten}\n- " +
		"{name: fc, " +
		"op: linear, out: 1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	params := nn.NewParams(placed)
	for i, p := range params.List {
		p.Grad = slices.Repeat([]float32{float32(i + 3)}, p.Count()) // w: 3 3, b: 4
	}
	half := 0.5
	o, err := train.NewOptimiser(train.Optimise{Kind: "sgd", Rate: 1}, []train.Rule{{Params: "*/b", Rate: &half}}, params,
		2)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := o.Polyak(13), 13.0/(9+9+16*half); got != want {
		t.Errorf("a rate of %v, want %v", got, want)
	}
}

// TestMeasured: mean and deviation are the training set's, in the units of the scale and in the order of the channels;
// what the recipe says goes before them, and no other preprocess is touched.
func TestMeasured(t *testing.T) {
	halves := set{{0, 100, 200}, {200, 100, 100}} // of one colour each
	for _, c := range []struct {
		parts     vision.PreprocessParts
		model     string
		mean, std []float32
	}{
		{vision.PreprocessParts{Base: train.Measured}, "4x4x3:4/2", []float32{0.3922, 0.3922, 0.5882},
			[]float32{0.3922, 0.0039, 0.1961}},
		{vision.PreprocessParts{Base: train.Measured, Scale: 1}, "4x4x3:4/2", []float32{100, 100, 150},
			[]float32{100, 1, 50}},
		{vision.PreprocessParts{Base: train.Measured, Order: "bgr"}, "4x4x3:4/2", []float32{0.5882, 0.3922, 0.3922},
			[]float32{0.1961, 0.0039, 0.3922}},
		{vision.PreprocessParts{Base: train.Measured, Mean: vision.Numbers{0.5}}, "4x4x3:4/2", []float32{0.5, 0.5, 0.5},
			[]float32{0.3922, 0.0039, 0.1961}},
		{vision.PreprocessParts{Base: train.Measured, Mean: vision.Numbers{0.5}, Std: vision.Numbers{0.25}}, "4x4x3:4/2",
			[]float32{0.5, 0.5, 0.5}, []float32{0.25, 0.25, 0.25}},
		{vision.PreprocessParts{Base: "unit"}, "4x4x3:4/2", []float32{0, 0, 0}, []float32{1, 1, 1}},
		{vision.PreprocessParts{Base: train.Measured}, "4x4x1:4/2", []float32{0.4157}, []float32{0.0941}},
	} {
		r := train.Default()
		r.Model, r.Batch, r.Epochs, r.Preprocess = c.model, 2, 1, c.parts
		trainer, err := train.New(train.Options{Recipe: r, Train: halves})
		if err != nil {
			t.Errorf("%+v: %v", c.parts, err)
			continue
		}
		defer trainer.Close()
		of := trainer.Preprocess()
		near := func(got, want []float32) bool {
			return slices.EqualFunc(got, want, func(g, w float32) bool { return math.Abs(float64(g-w)) < 1e-4 })
		}
		if !near(of.Mean, c.mean) || !near(of.Std, c.std) {
			t.Errorf("%+v, %s: mean %v and deviation %v, want %v and %v", c.parts, c.model, of.Mean, of.Std, c.mean, c.std)
		}
	}
}

// set is pictures of one colour, each of a class of its own.
type set [][3]uint8

func (s set) Len() int        { return len(s) }
func (s set) Label(i int) int { return i }

func (s set) Picture(i int) (*vision.Picture, error) {
	p := vision.NewPicture(4, 4, 3)
	for at := range p.Pix {
		p.Pix[at] = s[i][at%3]
	}
	return p, nil
}

// TestLevelWithinBudget: what looking at pictures takes counts: fewer are looked at where it does not fit beside the
// plan, and a run that has no room for four says what it needs.
func TestLevelWithinBudget(t *testing.T) {
	r := train.Default()
	r.Model, r.Batch, r.Epochs = "32x32x3:16,16,M/20,4", 1, 1
	trainer, err := train.New(train.Options{Recipe: r, Train: stripes{n: 48, side: 32, channels: 3}})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	all, need, plan, err := train.Levelled(trainer, 0)
	if err != nil || all != 16 {
		t.Fatalf("%d pictures (%v)", all, err)
	}
	if maps := int64(16 * 2 * 16 * 32 * 32 * 4); need < maps { // conv1_2's input and output
		t.Errorf("16 pictures take %d bytes, their maps alone %d", need, maps)
	}
	for _, c := range []struct {
		budget int64
		want   int
	}{{plan + need, 16}, {plan + need - 1, 8}, {plan, 0}} {
		got, fits, _, err := train.Levelled(trainer, c.budget)
		var memory *nn.MemoryError
		switch {
		case c.want == 0:
			if !errors.As(err, &memory) || memory.Need <= c.budget || !memory.Budget {
				t.Errorf("a budget of %d: %d pictures, %v", c.budget, got, err)
			}
		case err != nil || got != c.want || plan+fits > c.budget:
			t.Errorf("a budget of %d: %d pictures in %d bytes, want %d (%v)", c.budget, got, plan+fits, c.want, err)
		}
	}
}
