package nn_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch/archtest"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/nn/internal/golden"
	"github.com/vggo/vggo/tensor"
)

// trial is one forward and backward pass of a network over given numbers, for a Plan and for the float64 reference.
type trial struct {
	network  *arch.Network
	input    arch.Shape
	n        int
	capacity int  // of the Plan, if more than n
	training bool // with a backward pass; else as batch norm and dropout are in use
	gradient bool // of the images, when in use; else forward only
	noFuse   bool
	set      *kernel.Set
	algo     nn.Algo
	budget   int64

	params     map[string][]float32
	x, dlogits []float32
	labels     []int // of a golden whose loss is cross-entropy

	exact [2]results // of the reference, by training: it is slow, and one trial may serve many Plans of the same gradient
}

// results are what a trial computes, by name: act/<layer> for every layer, logits; with a backward pass also
// grad/input, and in training grad/<parameter> and, for batch norm, stat/<statistic>.
type results map[string][]float64

// newTrial draws everything from a normal distribution: weights by fan-in, so that values keep their scale from layer
// to layer, biases and statistics so that each shows.
func newTrial(t testing.TB, seed uint64, input arch.Shape, n int, ops ...arch.Op) *trial {
	t.Helper()
	network := &arch.Network{Name: "trial", Input: input}
	for i, op := range ops {
		network.Layers = append(network.Layers, arch.Layer{Name: fmt.Sprintf("%s%d", op.Kind(), i+1), Op: op})
	}
	tr := &trial{network: network, input: input, n: n, training: true, set: kernel.Sets()[0], algo: nn.Direct,
		params: make(map[string][]float32)}
	rng := rand.New(rand.NewPCG(seed, seed))
	normal := func(count int, mean, deviation float64) []float32 {
		v := make([]float32, count)
		for i := range v {
			v[i] = float32(mean + deviation*rng.NormFloat64())
		}
		return v
	}
	layers := tr.layers(t)
	for _, l := range layers {
		for _, p := range l.Params {
			switch p.Role() {
			case "w":
				tr.params[p.Name] = normal(p.Count(), 0, 1/math.Sqrt(float64(p.FanIn)))
			case "var":
				tr.params[p.Name] = make([]float32, p.Count())
				for i := range tr.params[p.Name] {
					tr.params[p.Name][i] = 0.5 + rng.Float32()
				}
			default:
				tr.params[p.Name] = normal(p.Count(), 0.1, 0.5)
			}
		}
	}
	out := layers[logitsDepth(layers)-1].Out
	tr.x = normal(n*input.C*input.H*input.W, 0, 1)
	tr.dlogits = normal(n*out.C*out.H*out.W, 0, 1)
	return tr
}

// goldenTrial is the trial that PyTorch computed. The gradient starts from the reference's logits, so that what is
// measured is the backward pass and not how the loss magnifies the forward pass's rounding.
func goldenTrial(t testing.TB, g *golden.Golden, set *kernel.Set) *trial {
	t.Helper()
	tr := &trial{network: &g.Network, input: g.Network.Input, n: golden.Batch, training: true, set: set, algo: nn.Direct,
		params: make(map[string][]float32)}
	for _, l := range tr.layers(t) {
		for _, p := range l.Params {
			tr.params[p.Name] = g.Float32(t, p.Name)
		}
	}
	tr.x = g.Float32(t, "input")
	if !g.L2 {
		tr.labels = g.Labels(t)
	}
	_, dlogits := g.Loss(t, g.Values(t, "logits"))
	tr.dlogits = narrow(dlogits)
	return tr
}

func (tr *trial) layers(t testing.TB) []arch.Placed {
	t.Helper()
	return archtest.PlaceOn(t, tr.network, tr.input).Layers
}

// logitsDepth counts the layers up to the logits.
func logitsDepth(layers []arch.Placed) int {
	_, depth := (&arch.Placement{Layers: layers}).Ending()
	return depth
}

// plan compiles the trial's network for its own copy of the parameters.
func (tr *trial) plan(t testing.TB) (*nn.Plan, *nn.Params) {
	t.Helper()
	params := nn.NewParams(archtest.PlaceOn(t, tr.network, tr.input))
	for _, p := range params.List {
		copy(p.Data, tr.params[p.Name])
	}
	plan, err := nn.Compile(archtest.PlaceOn(t, tr.network, tr.input), params, nn.Options{
		Batch: max(tr.n, tr.capacity), Training: tr.training, InputGrad: tr.training || tr.gradient, Keep: true,
		NoFuse: tr.noFuse, Set: tr.set.Name, Algo: tr.algo, Threads: 2, Budget: tr.budget,
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan, params
}

// run takes a Plan through the trial.
func (tr *trial) run(t testing.TB, plan *nn.Plan, params *nn.Params) results {
	t.Helper()
	got := tr.forward(t, plan)
	if !tr.training && !tr.gradient {
		return got
	}
	logits := plan.Logits()
	if err := plan.Backward(&tensor.Tensor{N: tr.n, C: logits.C, H: logits.H, W: logits.W, Data: tr.dlogits}); err != nil {
		t.Fatal(err)
	}
	images, err := plan.ImageGrad()
	if err != nil {
		t.Fatal(err)
	}
	got["grad/input"] = golden.Widen(images.Data)
	for _, p := range params.List {
		if !tr.training {
			if p.Grad != nil {
				t.Errorf("%s got a gradient from a Plan that is not for training", p.Name)
			}
		} else if p.Trainable {
			got["grad/"+p.Name] = golden.Widen(p.Grad)
		} else {
			got["stat/"+p.Name] = golden.Widen(p.Data)
		}
	}
	return got
}

// forward is the forward half of run. The output of a layer that others are fused into is missing.
func (tr *trial) forward(t testing.TB, plan *nn.Plan) results {
	t.Helper()
	got := make(results)
	layers := tr.layers(t)
	x := &tensor.Tensor{N: tr.n, C: tr.input.C, H: tr.input.H, W: tr.input.W, Data: tr.x}
	if err := plan.Forward(x); err != nil {
		t.Fatal(err)
	}
	for i, l := range layers {
		if i == logitsDepth(layers) {
			got["act/"+l.Name] = golden.Widen(plan.Probabilities().Data)
			continue
		}
		y, err := plan.Activation(l.Name)
		if err != nil {
			if tr.noFuse || !fusible(layers[i+1:]) {
				t.Fatal(err)
			}
			continue
		}
		got["act/"+l.Name] = golden.Widen(y.Data)
	}
	got["logits"] = golden.Widen(plan.Logits().Data)
	return got
}

// fusible reports whether the layer before these may lose its output to the first of them.
func fusible(after []arch.Placed) bool {
	if len(after) == 0 {
		return false
	}
	switch after[0].Op.(type) {
	case arch.ReLU, arch.BatchNorm, arch.Dropout:
		return true
	}
	return false
}

// reference takes the float64 reference through the trial. Dropout's masks are read off what the Plan let through.
func (tr *trial) reference(t testing.TB, got results) results {
	t.Helper()
	params := make(map[string][]float64)
	for name, v := range tr.params {
		params[name] = golden.Widen(v)
	}
	net, err := golden.NewReference(archtest.PlaceOn(t, tr.network, tr.input), params)
	if err != nil {
		t.Fatal(err)
	}
	net.Masks = make(map[string][]float64)
	for _, l := range net.Layers {
		if _, ok := l.Op.(arch.Dropout); ok {
			for _, v := range got["act/"+l.Name] {
				mask := 0.0
				if v != 0 {
					mask = 1
				}
				net.Masks[l.Name] = append(net.Masks[l.Name], mask)
			}
		}
	}
	if err := net.Forward(golden.Widen(tr.x), tr.n, tr.training); err != nil {
		t.Fatal(err)
	}
	want := results{"logits": net.Logits().Data}
	for i, l := range net.Layers {
		want["act/"+l.Name] = net.Activations[i+1].Data
	}
	if !tr.training && !tr.gradient {
		return want
	}
	grads, dx, err := net.Backward(golden.Widen(tr.dlogits))
	if err != nil {
		t.Fatal(err)
	}
	want["grad/input"] = dx
	if !tr.training {
		return want
	}
	for _, l := range net.Layers {
		for _, p := range l.Params {
			if p.Trainable {
				want["grad/"+p.Name] = grads[p.Name]
			} else {
				want["stat/"+p.Name] = net.Params[p.Name]
			}
		}
	}
	return want
}

// check compares a Plan's results with the reference's: errors relative to the results' own norms.
func (tr *trial) check(t testing.TB) {
	t.Helper()
	plan, params := tr.plan(t)
	got := tr.run(t, plan, params)
	exact := &tr.exact[0]
	if tr.training {
		exact = &tr.exact[1]
	}
	if *exact == nil {
		*exact = tr.reference(t, got)
	}
	tr.compare(t, got, *exact, *exact)
}

// checkTerms is check with errors relative to sums of absolute terms, Σ|w|·|x|. Looser by up to √k, it holds
// however the terms of a result happen to cancel, which those of a tensor of a few values may do altogether.
func (tr *trial) checkTerms(t testing.TB) {
	t.Helper()
	plan, params := tr.plan(t)
	got := tr.run(t, plan, params)
	terms := *tr
	terms.x, terms.dlogits, terms.params = absolute(tr.x), absolute(tr.dlogits), make(map[string][]float32)
	for name, v := range tr.params {
		terms.params[name] = absolute(v)
	}
	tr.compare(t, got, tr.reference(t, got), terms.reference(t, got))
}

// compare allows each result to be off by its bound of bound_test.go, times its norm in scales.
func (tr *trial) compare(t testing.TB, got, want, scales results) {
	t.Helper()
	bounds := tr.bounds(t)
	for name := range got {
		scale := golden.Norm(scales[name])
		if golden.Cancels(tr.network, name) {
			scale = golden.Norm(scales[strings.TrimSuffix(name, "/b")+"/w"])
		}
		distance := golden.Distance(got[name], want[name])
		if !(distance <= bounds[name]*scale) {
			t.Errorf("set=%s training=%v nofuse=%v: %s: off by %.3g of %.3g, allowed %.3g of it",
				tr.set, tr.training, tr.noFuse, name, distance, scale, bounds[name])
		}
	}
}

func absolute(v []float32) []float32 {
	a := make([]float32, len(v))
	for i, x := range v {
		a[i] = max(x, -x)
	}
	return a
}

func narrow(v []float64) []float32 {
	short := make([]float32, len(v))
	for i := range v {
		short[i] = float32(v[i])
	}
	return short
}
