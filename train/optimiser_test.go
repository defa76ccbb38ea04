package train_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/weights"
)

// network is that of scripts/gen_train_goldens.py.
func network() *arch.Network {
	conv := func(out int) arch.Conv {
		return arch.Conv{Out: out, NoBias: true, Window: arch.Window{Kernel: arch.Square(3), Pad: arch.Pad(1)}}
	}
	halve := arch.MaxPool{Window: arch.Window{Kernel: arch.Square(2), Stride: arch.Square(2)}}
	return &arch.Network{Name: "descent", Input: arch.Shape{C: 3, H: 12, W: 10}, Layers: []arch.Layer{
		{Name: "conv1_1", Op: conv(8)}, {Name: "bn1_1", Op: arch.BatchNorm{}}, {Name: "relu1_1", Op: arch.ReLU{}},
		{Name: "conv1_2", Op: conv(9)}, {Name: "bn1_2", Op: arch.BatchNorm{}}, {Name: "relu1_2", Op: arch.ReLU{}},
		{Name: "pool1", Op: halve},
		{Name: "conv2_1", Op: conv(17)}, {Name: "bn2_1", Op: arch.BatchNorm{}}, {Name: "relu2_1", Op: arch.ReLU{}},
		{Name: "pool2", Op: halve},
		{Name: "flatten", Op: arch.Flatten{}}, {Name: "fc3", Op: arch.Linear{Out: 7}}, {Name: "softmax", Op: arch.Softmax{}},
	}}
}

// goldens finds the values of a file by their names.
func goldens(t *testing.T, path string) func(name string) []float32 {
	t.Helper()
	file, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return func(name string) []float32 {
		t.Helper()
		tensor, err := file.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		return tensor.Data
	}
}

// TestPyTorchDescent takes the ten steps that PyTorch's optimisers took. Losses and final parameters may be off by
// 1e-4, in the Euclidean norm; a rule that is slightly another one is noticed.
func TestPyTorchDescent(t *testing.T) {
	values := goldens(t, "testdata/descent.safetensors")
	zero, four := 0.0, 4.0
	rules := []train.Rule{
		{Params: "*/b", Rate: &four, Decay: &zero},
		{Params: "*/beta", Rate: &four, Decay: &zero},
		{Params: "*/gamma", Decay: &zero},
	}
	sgd := train.Optimise{Kind: "sgd", Rate: 0.05, Decay: 5e-3}
	momentum := sgd
	momentum.Momentum = 0.9
	nesterov := momentum
	nesterov.Nesterov = true
	decoupled := momentum
	decoupled.Decoupled = true
	adamw := train.Optimise{Kind: "adamw", Rate: 2e-3, Decay: 0.05, Momentum: 0.9, Beta2: 0.99}
	slower := adamw
	slower.Beta2 = 0.999
	for _, c := range []struct {
		golden   string
		optimise train.Optimise
		rules    []train.Rule
		clip     float64
		right    bool
	}{
		{"sgd", momentum, rules, 0, true},
		{"nesterov", nesterov, rules, 0, true},
		{"adamw", adamw, nil, 0, true},
		{"clipped", sgd, rules, 0.5, true},

		{"sgd", nesterov, rules, 0, false},
		{"sgd", decoupled, rules, 0, false},
		{"sgd", momentum, rules[:2], 0, false},
		{"sgd", momentum, rules[1:], 0, false},
		{"adamw", slower, nil, 0, false},
		{"clipped", sgd, rules, 0.51, false},
	} {
		name := fmt.Sprintf("%s/%s,nesterov=%v,decoupled=%v,beta2=%v,rules=%d,clip=%v", c.golden, c.optimise.Kind,
			c.optimise.Nesterov,
			c.optimise.Decoupled, c.optimise.Beta2, len(c.rules), c.clip)
		t.Run(name, func(t *testing.T) {
			worst := descend(t, network(), values, c.golden, c.optimise, c.rules, c.clip)
			if (worst <= 1e-4) != c.right {
				t.Errorf("off by %.2g: that is within 1e-4: %v, want %v", worst, !c.right, c.right)
			}
		})
	}
}

// descend takes ten steps from a golden file's values and tells by how much losses and parameters miss what PyTorch has
// then.
func descend(t *testing.T, net *arch.Network, values func(string) []float32, golden string, optimise train.Optimise,
	rules []train.Rule, clip float64) float64 {
	params := nn.NewParams(archtest.Place(t, net))
	for _, p := range params.List {
		copy(p.Data, values(p.Name))
	}
	var labels []int
	for _, v := range values("labels") {
		labels = append(labels, int(v))
	}
	x := &tensor.Tensor{N: len(labels), C: net.Input.C, H: net.Input.H, W: net.Input.W, Data: values("input")}
	plan, err := nn.Compile(archtest.Place(t, net), params, nn.Options{Batch: x.N, Training: true})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	optimiser, err := train.NewOptimiser(optimise, rules, params, 2)
	if err != nil {
		t.Fatal(err)
	}
	var losses []float32
	for range 10 {
		plan.Refresh()
		if err := plan.Forward(x); err != nil {
			t.Fatal(err)
		}
		grad := tensor.New(x.N, 7, 1, 1)
		loss, err := nn.SmoothedCrossEntropy(plan.Logits(), labels, 0.1, grad)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, float32(loss))
		if err := plan.Backward(grad); err != nil {
			t.Fatal(err)
		}
		if clip > 0 {
			optimiser.Clip(clip)
		}
		optimiser.Step(optimise.Rate, 1, 0)
	}
	worst := offBy(losses, values(golden+"/losses"))
	for _, p := range params.List {
		e := offBy(p.Data, values(golden+"/"+p.Name))
		t.Logf("%s: %.2g", p.Name, e)
		worst = max(worst, e)
	}
	t.Logf("the worst is %.2g", worst)
	return worst
}

// offBy is ‖got − want‖/‖want‖, and infinite where either is not a number.
func offBy(got, want []float32) float64 {
	distance, scale := 0.0, 0.0
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		distance += d * d
		scale += float64(w) * float64(w)
	}
	if e := math.Sqrt(distance / scale); e == e {
		return e
	}
	return math.Inf(1)
}

// TestOptimiserThreads: the bits of a step and of a norm do not depend on the threads that take it.
func TestOptimiserThreads(t *testing.T) {
	run := func(o train.Optimise, units, threads int) (all []float32, norm float64) {
		placed, err := arch.Open(fmt.Sprintf("8x8x3:64,128,M/%d,10", units))
		if err != nil {
			t.Fatal(err)
		}
		params := nn.NewParams(placed)
		params.Init(nn.He, 1)
		for i, p := range params.List {
			p.Grad = make([]float32, p.Count())
			for j := range p.Grad {
				p.Grad[j] = float32(math.Sin(float64(i + 3*j)))
			}
		}
		optimiser, err := train.NewOptimiser(o, nil, params, threads)
		if err != nil {
			t.Fatal(err)
		}
		norm = optimiser.Clip(1)
		optimiser.Step(0.1, 1, 0)
		optimiser.Step(0.1, 1, 0)
		for _, p := range params.List {
			all = append(all, p.Data...)
		}
		return all, norm
	}
	for _, c := range []struct {
		optimise train.Optimise
		units    int
	}{
		{train.Optimise{Kind: "sgd", Rate: 1, Decay: 0.1, Momentum: 0.9, Nesterov: true, Decoupled: true}, 700},
		{train.Optimise{Kind: "adamw", Rate: 1, Decay: 0.1, Momentum: 0.9}, 700},
		{train.Optimise{Kind: "muon", Rate: 1, Momentum: 0.6, Nesterov: true}, 90}, // by portable kernels in seconds
	} {
		want, norm := run(c.optimise, c.units, 1)
		for _, threads := range []int{2, 3, 8} {
			if got, n := run(c.optimise, c.units, threads); n != norm || !slices.Equal(got, want) {
				t.Errorf("%s: %d threads compute other bits than 1", c.optimise.Kind, threads)
			}
		}
	}
}

// TestShare: of a step's gradients and decay no more than its share moves the parameters, then or later by momentum.
func TestShare(t *testing.T) {
	net, err := arch.Open("4x4x1:1/1")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		optimise train.Optimise
		want     float32 // of 8: steps with shares 1/4 and 1, gradients 4 and 2
	}{
		{train.Optimise{Kind: "sgd", Rate: 1}, 8 - 1 - 2},
		{train.Optimise{Kind: "sgd", Rate: 1, Momentum: 0.5}, 8 - 1 - (0.5 + 2)},
		{train.Optimise{Kind: "sgd", Rate: 1, Momentum: 0.5, Nesterov: true}, 8 - 1.5 - (2 + 0.5*2.5)},
		{train.Optimise{Kind: "sgd", Rate: 1, Decay: 0.5}, 8 - 2 - (2 + 3)},
	} {
		params := nn.NewParams(net)
		optimiser, err := train.NewOptimiser(c.optimise, nil, params, 1)
		if err != nil {
			t.Fatal(err)
		}
		w := params.List[0]
		w.Grad = make([]float32, w.Count())
		w.Data[0] = 8
		for step, gradient := range []float32{4, 2} {
			w.Grad[0] = gradient
			for _, p := range params.List[1:] {
				p.Grad = make([]float32, p.Count())
			}
			optimiser.Step(1, []float64{0.25, 1}[step], 0)
		}
		if got := w.Data[0]; got != c.want {
			t.Errorf("%+v: 8 becomes %v, want %v", c.optimise, got, c.want)
		}
	}
}

// TestPolyakWithoutGradients: where nothing is left to learn the bound is none, not a number that is none.
func TestPolyakWithoutGradients(t *testing.T) {
	params := nn.NewParams(archtest.Place(t, network()))
	for _, p := range params.List {
		p.Grad = make([]float32, p.Count())
	}
	optimiser, err := train.NewOptimiser(train.Optimise{Kind: "sgd", Rate: 1}, nil, params, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := optimiser.Polyak(0); !math.IsInf(got, 1) {
		t.Errorf("the bound is %v", got)
	}
}

// TestRules: patterns, overriding, freezing, and the end of a parameter's training.
func TestRules(t *testing.T) {
	net := network()
	params := nn.NewParams(archtest.Place(t, net))
	for _, p := range params.List {
		p.Grad = make([]float32, p.Count())
		for i := range p.Grad {
			p.Grad[i] = 1
		}
	}
	half, two, one, yes, no := 0.5, 2.0, 1.0, true, false
	optimiser, err := train.NewOptimiser(train.Optimise{Kind: "sgd", Rate: 1}, []train.Rule{
		{Params: "conv[12]_1", Freeze: &yes},
		{Params: "conv2_1/w", Freeze: &no}, // a later rule frees it again
		{Params: "bn*/*", Rate: &half},
		{Params: "*/gamma", Rate: &two},
		{Params: "fc3/b", Until: &one},
	}, params, 1)
	if err != nil {
		t.Fatal(err)
	}
	optimiser.Step(0.25, 1, 0.9)
	optimiser.Step(0.25, 1, 1)
	for name, want := range map[string]float32{
		"conv1_1/w": 0, "conv1_2/w": -0.5, "conv2_1/w": -0.5, "bn1_1/beta": -0.25, "bn1_1/gamma": -1, "fc3/b": -0.25,
		"fc3/w": -0.5, "bn1_1/mean": 0,
	} {
		if got := params.Get(name).Data[0]; got != want {
			t.Errorf("%s moved by %v, want %v", name, got, want)
		}
	}
	learning := 0
	for _, p := range params.List {
		if p.Trainable && p.Layer() != "conv1_1" && p.Name != "conv2_1/b" && p.Name != "fc3/b" {
			learning += p.Count()
		}
	}
	if norm, want := optimiser.Clip(math.Inf(1)), math.Sqrt(float64(learning)); math.Abs(norm-want) > 1e-9 {
		t.Errorf("the gradients of what learns have a norm of %v, want %v", norm, want)
	}
	for _, c := range []struct {
		rule train.Rule
		want string
	}{
		{train.Rule{Params: "conv9_*"}, `"conv9_*" names no parameter of descent`},
		{train.Rule{Params: "conv1/*"}, `"conv1/*" names no parameter`},
		{train.Rule{Params: "conv[/w"}, `"conv[/w" is no pattern`},
		{train.Rule{}, `"" is no pattern`},
	} {
		if _, err := train.NewOptimiser(train.Optimise{Kind: "sgd", Rate: 1}, []train.Rule{c.rule}, params, 1); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("rule %q: %v, want %q", c.rule.Params, err, c.want)
		}
	}
}
