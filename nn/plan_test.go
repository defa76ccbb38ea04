package nn_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch/archtest"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// everything is a small network with every kind of layer, awkward in every size.
func everything() *arch.Network {
	window := func(kernel, stride, pad int) arch.Window {
		return arch.Window{Kernel: arch.Square(kernel), Stride: arch.Square(stride), Pad: arch.Pad(pad)}
	}
	return &arch.Network{Name: "everything", Input: arch.Shape{C: 3, H: 21, W: 26}, Layers: []arch.Layer{
		{Name: "conv1_1", Op: arch.Conv{Out: 19, Window: window(3, 1, 1)}},
		{Name: "bn1_1", Op: arch.BatchNorm{}},
		{Name: "relu1_1", Op: arch.ReLU{}},
		{Name: "conv1_2", Op: arch.Conv{Out: 18, Window: window(3, 1, 1)}},
		{Name: "relu1_2", Op: arch.ReLU{}},
		{Name: "lrn1", Op: arch.LRN{Size: 5, Alpha: 1e-2, Beta: 0.75, K: 2}},
		{Name: "pool1", Op: arch.MaxPool{Window: window(3, 2, 1)}},
		{Name: "conv2_1", Op: arch.Conv{Out: 34, Window: window(5, 2, 2)}},
		{Name: "relu2_1", Op: arch.ReLU{}},
		{Name: "pool2", Op: arch.AvgPool{Window: window(2, 1, 0)}},
		{Name: "flatten", Op: arch.Flatten{}},
		{Name: "fc3", Op: arch.Linear{Out: 77}},
		{Name: "relu3", Op: arch.ReLU{}},
		{Name: "drop3", Op: arch.Dropout{Keep: 0.5}},
		{Name: "fc4", Op: arch.Linear{Out: 11}},
		{Name: "softmax", Op: arch.Softmax{}},
	}}
}

// setAndAlgo is one way to compute.
type setAndAlgo struct {
	set  *kernel.Set
	algo nn.Algo
}

func (c setAndAlgo) String() string { return fmt.Sprintf("set=%s/algo=%s", c.set, c.algo) }

// sets are the kernel sets to test with. The race detector, which knows nothing of assembly and slows the portable set
// twentyfold, sees the same Go around all of them: with it the quickest will do.
func sets() []*kernel.Set {
	all := kernel.Sets()
	if raceEnabled {
		all = all[:1]
	}
	return all
}

func setsAndAlgos() (all []setAndAlgo) {
	for _, set := range sets() {
		for _, algo := range nn.Algos() {
			all = append(all, setAndAlgo{set, algo})
		}
	}
	return all
}

func newParams(t testing.TB, net *arch.Network, init nn.Initialiser) *nn.Params {
	t.Helper()
	params := nn.NewParams(archtest.Place(t, net))
	params.Init(init, 7)
	return params
}

func compile(t testing.TB, net *arch.Network, params *nn.Params, opt nn.Options) *nn.Plan {
	t.Helper()
	plan, err := nn.Compile(archtest.Place(t, net), params, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plan.Close)
	return plan
}

func noise(seed uint64, n int, s arch.Shape) *tensor.Tensor {
	x := tensor.New(n, s.C, s.H, s.W)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range x.Data {
		x.Data[i] = float32(r.NormFloat64())
	}
	return x
}

func forward(t testing.TB, plan *nn.Plan, x *tensor.Tensor) []float32 {
	t.Helper()
	if err := plan.Forward(x); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(plan.Logits().Data)
}

// train runs one step and returns everything it computed.
func train(t testing.TB, plan *nn.Plan, params *nn.Params, x *tensor.Tensor) []float32 {
	t.Helper()
	got := forward(t, plan, x)
	grad := tensor.New(x.N, plan.Logits().C, 1, 1)
	nn.L2(plan.Logits(), grad)
	if err := plan.Backward(grad); err != nil {
		t.Fatal(err)
	}
	for _, p := range params.List {
		got = append(got, p.Grad...)
	}
	return got
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// threadCounts are fewer than, as many as and more than a test machine's processors and a network's tasks.
func threadCounts() []int {
	if testing.Short() {
		return []int{1, 3}
	}
	return []int{1, 2, 3, 8}
}

// runs is how often a Plan must give the same bits: 20 times, and with portable kernels, which take ten times as long,
// with any number of threads.
func runs(set *kernel.Set) int {
	switch {
	case testing.Short():
		return 2
	case set.Name == "generic":
		return 20 / len(threadCounts())
	}
	return 20
}

// Results do not depend on the number of threads, nor change from run to run: of one Plan that drops nothing, and of
// Plans of one seed that do.
func TestSameBitsForAnyThreads(t *testing.T) {
	for _, c := range setsAndAlgos() {
		t.Run(c.String(), func(t *testing.T) {
			net := everything()
			x := noise(1, 3, net.Input)
			var kept, dropped []float32
			for _, threads := range threadCounts() {
				same := func(want *[]float32, steps int, keep float64) {
					params := newParams(t, net, nn.He)
					plan := compile(t, net, params, nn.Options{Batch: 3, Training: true, Threads: threads,
						Set: c.set.Name, Algo: c.algo, Seed: 5, KeepProb: keep})
					for step := range steps {
						got := train(t, plan, params, x)
						if *want == nil {
							*want = got
						}
						if !sameBits(got, *want) {
							t.Fatalf("%d threads, step %d: other bits than the first step of 1 thread", threads, step)
						}
					}
				}
				same(&kept, runs(c.set), 1)
				same(&dropped, 1, 0)
			}
		})
	}
}

// An image's logits do not depend on what else is in the batch, on its place, nor on how many images there are.
func TestSameBitsForAnyBatch(t *testing.T) {
	for _, c := range setsAndAlgos() {
		for _, batch := range []int{1, 3, 5, 8} {
			t.Run(fmt.Sprintf("%s/batch=%d", c, batch), func(t *testing.T) {
				net := everything()
				plan := compile(t, net, newParams(t, net, nn.He), nn.Options{Batch: batch, Threads: 2,
					Set: c.set.Name, Algo: c.algo})
				x := noise(2, batch, net.Input)
				all := forward(t, plan, x)
				classes := len(all) / batch
				for i := range batch {
					alone := forward(t, plan, x.Images(i, i+1))
					if !sameBits(alone, all[i*classes:(i+1)*classes]) {
						t.Errorf("image %d alone gives other logits than in a batch of %d", i, batch)
					}
				}
				if n := batch / 2; n > 0 && !sameBits(forward(t, plan, x.Images(0, n)), all[:n*classes]) {
					t.Errorf("%d images give other logits than as part of %d", n, batch)
				}
			})
		}
	}
}

func TestStepAllocatesNothing(t *testing.T) {
	for _, c := range setsAndAlgos() {
		for _, training := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/training=%v", c, training), func(t *testing.T) {
				net := everything()
				plan := compile(t, net, newParams(t, net, nn.He), nn.Options{Batch: 2, Training: training, Threads: 2,
					Set:  c.set.Name,
					Algo: c.algo})
				x := noise(3, 2, net.Input)
				grad := tensor.New(2, 11, 1, 1)
				step := func() {
					if err := plan.Forward(x); err != nil {
						t.Fatal(err)
					}
					nn.L2(plan.Logits(), grad)
					plan.Predictions()
					if training {
						if err := plan.Backward(grad); err != nil {
							t.Fatal(err)
						}
					}
				}
				step()
				if allocs := testing.AllocsPerRun(5, step); allocs != 0 {
					t.Errorf("a step allocates %v times", allocs)
				}
			})
		}
	}
}

// A plan that keeps every map works in the memory that arch predicts; packing and workspace come on top and are told
// apart. Inference takes less: conv1 one image at a time, conv2 two, conv3 eight, and the pooling that is fused needs
// no map before it, nor does it while training.
func TestPlanMemoryIsArchs(t *testing.T) {
	net, err := arch.Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	params := nn.NewParams(archtest.Place(t, net))
	for batch, staged := range map[int]int64{
		1:  224*224*64 + 112*112*64, // conv1_1 and pool1, the widest pair
		32: 1*224*224*64 + 2*112*112*(64+128) + 8*56*56*(256+256) + 32*28*28*(512+512),
	} {
		report, err := arch.Analyze(net, net.Input, batch)
		if err != nil {
			t.Fatal(err)
		}
		m := report.Memory
		infer := compile(t, net, params, nn.Options{Batch: batch}).Memory()
		if infer.Weights != m.Parameters || infer.Activations != 4*staged || infer.Activations > m.Arena ||
			infer.Gradients != 0 {
			t.Errorf("batch %d: plan %+v, want activations of %d bytes, arch %+v", batch, infer, 4*staged, m)
		}
		if strconv.IntSize == 32 && batch > 1 {
			continue // its maps take 3.7 GB
		}
		train := compile(t, net, params, nn.Options{Batch: batch, Training: true}).Memory()
		// A plan stops at the logits: the softmax that arch keeps is made when asked for.
		softmax := int64(batch * 1000 * 4)
		// The maps before its poolings are not kept, and the widest pair of gradients is that of conv1_1 and pool1.
		pooled := 4 * int64(batch) * (224*224*64 + 112*112*128 + 56*56*256 + 28*28*512 + 14*14*512)
		widest := 4 * int64(batch) * (224*224*64 + 112*112*64)
		if train.Weights != m.Parameters || train.Activations != m.Kept-softmax-pooled ||
			train.Gradients != m.ParameterGradients+widest {
			t.Errorf("batch %d: plan %+v, arch %+v", batch, train, m)
		}
		apart, _, err := nn.Predict(archtest.Place(t, net), nn.Options{Batch: batch, Training: true, Algo: nn.Direct})
		if err != nil || apart.Activations != m.Kept-softmax ||
			apart.Gradients != m.ParameterGradients+m.ActivationGradients {
			t.Errorf("batch %d: plan by the definition %+v, %v, arch %+v", batch, apart, err, m)
		}
		// Of the images' gradient alone; the images are narrower than conv1_1 and conv1_2, the widest pair.
		look, _, err := nn.Predict(archtest.Place(t, net), nn.Options{Batch: batch, InputGrad: true})
		if err != nil || look.Activations != m.Kept-softmax || look.Gradients != m.ActivationGradients {
			t.Errorf("batch %d: plan for the images' gradient %+v, %v, arch %+v", batch, look, err, m)
		}
		if infer.Total() != infer.Weights+infer.Activations+infer.Packing+infer.Workspace {
			t.Errorf("batch %d: total %d is not the sum of %+v", batch, infer.Total(), infer)
		}
	}
}

func TestWrongUse(t *testing.T) {
	net := everything()
	params := newParams(t, net, nn.He)
	infer := compile(t, net, params, nn.Options{Batch: 2})
	training := compile(t, net, params, nn.Options{Batch: 2, Training: true})
	other := &arch.Network{Name: "other", Input: net.Input,
		Layers: []arch.Layer{{Name: "conv9_9", Op: arch.Conv{Out: 2, Window: arch.Window{Kernel: arch.Square(3)}}}}}
	for _, c := range []struct {
		name string
		do   func() error
		want string
	}{
		{"batch", func() error { _, err := nn.Compile(archtest.Place(t, net), params, nn.Options{}); return err },
			"batch of at least 1"},
		{"threads", func() error {
			_, err := nn.Compile(archtest.Place(t, net), params, nn.Options{Batch: 1, Threads: 1 << 20})
			return err
		}, "the most is 1024"},
		{"another plan's options with no such kernels", func() error {
			opt := infer.Options
			opt.Set = "none"
			_, err := nn.Compile(archtest.Place(t, net), params, opt)
			return err
		}, `"none"`},
		{"keep probability", func() error {
			_, err := nn.Compile(archtest.Place(t, net), params, nn.Options{Batch: 1, KeepProb: math.NaN()})
			return err
		}, "must lie in (0, 1]"},
		{"another network's parameters", func() error {
			_, err := nn.Compile(archtest.Place(t, other), params,
				nn.Options{Batch: 1})
			return err
		}, "no parameter conv9_9/w"},
		{"another input size", func() error {
			_, err := nn.Compile(archtest.PlaceOn(t, net, arch.Shape{C: 3, H: 40, W: 40}), params, nn.Options{Batch: 1})
			return err
		}, "parameter fc3/w has shape"},
		{"image size", func() error { return infer.Forward(tensor.New(1, 3, 20, 26)) }, "the plan is for 21x26x3"},
		{"too many images", func() error { return infer.Forward(tensor.New(3, 3, 21, 26)) }, "1 to 2"},
		{"no images", func() error { return infer.Forward(tensor.New(0, 3, 21, 26)) }, "1 to 2"},
		{"short data", func() error {
			x := tensor.New(1, 3, 21, 26)
			x.Data = x.Data[1:]
			return infer.Forward(x)
		}, "with 1637 values"},
		{"backward of inference", func() error { return infer.Backward(tensor.New(1, 11, 1, 1)) }, "not for training"},
		{"backward first", func() error { return training.Backward(tensor.New(1, 11, 1, 1)) }, "before forward"},
		{"no such layer", func() error { _, err := training.Activation("conv7_7"); return err }, "no layer conv7_7"},
		{"fused", func() error { _, err := training.Activation("bn1_1"); return err }, "fused with relu1_1"},
		{"not kept", func() error { _, err := infer.Activation("pool1"); return err }, "was not kept"},
		{"no image gradient", func() error { _, err := training.ImageGrad(); return err }, "use InputGrad"},
		{"missing weights", func() error {
			return params.Load(func(p arch.Param) ([]float32, error) { return make([]float32, 3), nil })
		}, "conv1_1/w has 3 values"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.do()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
		})
	}
}

// Initialisers: bounds or variance as published, the article's biases, the same for the same seed.
func TestInitialisers(t *testing.T) {
	net := everything()
	for _, c := range []struct {
		init       nn.Initialiser
		bias       float32
		deviation  func(p *nn.Param) float64
		mostInDevs float64 // the largest value over the deviation; 0 for none
	}{
		{nn.Xavier, 0.1, func(p *nn.Param) float64 { return math.Sqrt(2 / float64(p.FanIn+p.FanOut)) }, math.Sqrt(3)},
		{nn.He, 0, func(p *nn.Param) float64 { return math.Sqrt(2 / float64(p.FanIn)) }, 0},
		{nn.Paper, 0, func(*nn.Param) float64 { return 0.1 }, 0},
	} {
		t.Run(c.init.Name, func(t *testing.T) {
			params, again := newParams(t, net, c.init), newParams(t, net, c.init)
			for i, p := range params.List {
				if !sameBits(p.Data, again.List[i].Data) {
					t.Errorf("%s differs for the same seed", p.Name)
				}
				if p.Role() != "w" {
					continue
				}
				sum, squares, most := 0.0, 0.0, 0.0
				for _, v := range p.Data {
					sum += float64(v)
					squares += float64(v) * float64(v)
					most = math.Max(most, math.Abs(float64(v)))
				}
				n := float64(len(p.Data))
				want := c.deviation(p)
				// Five standard errors: of the mean, s/sqrt(n); of a normal deviation, s/sqrt(2n).
				if mean := sum / n; math.Abs(mean) > 5*want/math.Sqrt(n) {
					t.Errorf("%s: mean %g", p.Name, mean)
				}
				if got := math.Sqrt(squares / n); math.Abs(got-want) > 5*want/math.Sqrt(2*n) {
					t.Errorf("%s: deviation %g, want %g", p.Name, got, want)
				}
				if c.mostInDevs > 0 && most > want*c.mostInDevs*(1+1e-6) {
					t.Errorf("%s: %g lies outside ±%g", p.Name, most, want*c.mostInDevs)
				}
			}
			for name, want := range map[string]float32{"conv1_1/b": 0, "fc3/b": c.bias, "bn1_1/gamma": 1, "bn1_1/beta": 0,
				"bn1_1/mean": 0, "bn1_1/var": 1} {
				for _, v := range params.Get(name).Data {
					if v != want {
						t.Fatalf("%s = %v, want %v", name, v, want)
					}
				}
			}
		})
	}
}

// Dropout keeps about its share, scales what it keeps, draws afresh each step, and not at all with keep probability 1.
func TestDropout(t *testing.T) {
	net := &arch.Network{Name: "dropout", Input: arch.Shape{C: 1000, H: 1, W: 1}, Layers: []arch.Layer{
		{Name: "flatten", Op: arch.Flatten{}}, {Name: "drop", Op: arch.Dropout{Keep: 0.8}},
	}}
	params := newParams(t, net, nn.He)
	x := tensor.New(4, 1000, 1, 1)
	for i := range x.Data {
		x.Data[i] = 1
	}
	plan := compile(t, net, params, nn.Options{Batch: 4, Training: true, Seed: 1, InputGrad: true})
	first := forward(t, plan, x)
	kept := 0
	for _, v := range first {
		switch v {
		case 1 / float32(0.8):
			kept++
		case 0:
		default:
			t.Fatalf("dropout of 1 gives %v", v)
		}
	}
	if math.Abs(float64(kept)-3200) > 5*math.Sqrt(4000*0.8*0.2) {
		t.Errorf("%d of 4000 kept, want about 3200", kept)
	}
	if slices.Equal(first[:1000], first[1000:2000]) {
		t.Error("two images have the same mask")
	}
	if err := plan.Backward(x); err != nil {
		t.Fatal(err)
	}
	grad, err := plan.ImageGrad()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(grad.Data, first) {
		t.Error("the gradient of 1 does not go where the 1 went")
	}
	if slices.Equal(forward(t, plan, x), first) {
		t.Error("two steps have the same mask")
	}
	if again := compile(t, net, params, nn.Options{Batch: 4, Training: true, Seed: 1}); !slices.Equal(forward(t, again, x),
		first) {
		t.Error("the same seed gives another mask")
	}
	for _, opt := range []nn.Options{{Batch: 4}, {Batch: 4, Training: true, KeepProb: 1}} {
		if got := forward(t, compile(t, net, params, opt), x); !slices.Equal(got, x.Data) {
			t.Errorf("%+v changes values", opt)
		}
	}
}

// What Load is given may be mapped read-only: training, which moves batch norm's statistics, must not write to it.
func TestTrainingLeavesLoadedParametersAlone(t *testing.T) {
	net := everything()
	params := newParams(t, net, nn.He)
	loaded, before := map[string][]float32{}, map[string][]float32{}
	if err := params.Load(func(p arch.Param) ([]float32, error) {
		loaded[p.Name], before[p.Name] = slices.Clone(params.Get(p.Name).Data), slices.Clone(params.Get(p.Name).Data)
		return loaded[p.Name], nil
	}); err != nil {
		t.Fatal(err)
	}
	plan := compile(t, net, params, nn.Options{Batch: 3, Training: true})
	train(t, plan, params, noise(4, 3, net.Input))
	for name := range loaded {
		if !sameBits(loaded[name], before[name]) {
			t.Errorf("a training step wrote to the loaded %s", name)
		}
	}
	if sameBits(params.Get("bn1_1/mean").Data, before["bn1_1/mean"]) {
		t.Error("the running mean did not move")
	}
}

// TestBackTo: a plan that goes back to a layer gives that layer's gradients and those behind it the bits that a plan
// for all gives them, leaves those before it alone, and takes less memory, which Predict tells.
func TestBackTo(t *testing.T) {
	net := everything()
	x := noise(1, 3, net.Input)
	for _, c := range setsAndAlgos() {
		params := newParams(t, net, nn.He)
		options := nn.Options{Batch: 3, Training: true, Threads: 2, Set: c.set.Name, Algo: c.algo, Seed: 1}
		whole := compile(t, net, params, options)
		logits := slices.Clone(train(t, whole, params, x)[:len(whole.Logits().Data)])
		want := map[string][]float32{}
		for _, p := range params.List {
			want[p.Name] = slices.Clone(p.Grad)
		}
		// gradients of layers before are what they were
		gradientsFrom := func(params *nn.Params, layer string, before float32) {
			learns := false
			for _, p := range params.List {
				if learns = learns || p.Layer() == layer; !p.Trainable {
					continue
				}
				if learns && !sameBits(p.Grad, want[p.Name]) {
					t.Errorf("%v, to %s: the gradient of %s has other bits", c, layer, p.Name)
				}
				if !learns && slices.ContainsFunc(p.Grad, func(v float32) bool { return v != before }) {
					t.Errorf("%v, to %s: there is a gradient of %s", c, layer, p.Name)
				}
			}
		}
		least := whole.Memory().Total()
		for _, layer := range []string{"conv1_1", "bn1_1", "conv1_2", "conv2_1", "fc3", "fc4"} {
			options.BackTo = layer
			params := newParams(t, net, nn.He)
			plan := compile(t, net, params, options)
			for _, p := range params.List {
				for i := range p.Grad {
					p.Grad[i] = 42
				}
			}
			if got := train(t, plan, params, x)[:len(logits)]; !sameBits(got, logits) {
				t.Errorf("%v, to %s: other logits", c, layer)
			}
			gradientsFrom(params, layer, 42)
			memory, _, err := nn.Predict(archtest.Place(t, net), options)
			if err != nil || memory != plan.Memory() {
				t.Errorf("%v, to %s: predicted %+v, %v, the plan takes %+v", c, layer, memory, err, plan.Memory())
			}
			if total := memory.Total(); total > least || layer == "fc4" && total == whole.Memory().Total() {
				t.Errorf("%v, to %s: %d bytes, %d for a layer before", c, layer, total, least)
			} else {
				least = total
			}
		}
		options.BackTo = ""
		var plan *nn.Plan
		for _, layer := range []string{"conv1_1", "bn1_1", "conv1_2", "conv2_1", "fc3", "fc4"} {
			params = newParams(t, net, nn.He)
			plan = compile(t, net, params, options)
			for _, layer := range []string{"fc4", layer} { // it may begin again with an earlier one
				if err := plan.EndBackward(layer); err != nil {
					t.Fatal(err)
				}
			}
			train(t, plan, params, x)
			gradientsFrom(params, layer, 0)
		}
		for _, layer := range []string{"relu3", "fc9", ""} {
			if err := plan.EndBackward(layer); err == nil {
				t.Errorf("a backward pass ends with %q", layer)
			}
		}
	}
	for _, wrong := range []nn.Options{
		{Batch: 1, BackTo: "fc3"}, {Batch: 1, Training: true, InputGrad: true, BackTo: "fc3"},
		{Batch: 1, Training: true, BackTo: "relu3"}, {Batch: 1, Training: true, BackTo: "fc9"},
	} {
		if _, _, err := nn.Predict(archtest.Place(t, net), wrong); err == nil {
			t.Errorf("%+v is not refused", wrong)
		}
	}
}
