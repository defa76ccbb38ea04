package nn_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/nn/internal/golden"
	"github.com/vggo/vggo/tensor"
)

// everyGolden runs a test for every golden network, kernel set and algorithm, with layers fused and not.
func everyGolden(t *testing.T, test func(t *testing.T, g *golden.Golden, tr *trial)) {
	for _, g := range golden.Open(t, "testdata") {
		for _, set := range sets() {
			for _, algo := range nn.Algos() {
				for _, noFuse := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s/set=%s/algo=%s/nofuse=%v", g.Network.Name, set, algo, noFuse), func(t *testing.T) {
						tr := goldenTrial(t, g, set)
						tr.algo, tr.noFuse = algo, noFuse
						test(t, g, tr)
					})
				}
			}
		}
	}
}

// agree is the check that all golden tests make: against PyTorch, whose stored values are rounded once more.
func agree(t testing.TB, g *golden.Golden, name string, got []float64, bound float64) error {
	t.Helper()
	if e := g.Error(t, name, got); !(e <= bound+unitRoundoff) {
		return fmt.Errorf("%s: relative error %.3g, want at most %.3g", name, e, bound)
	}
	return nil
}

func TestGoldens(t *testing.T) {
	everyGolden(t, func(t *testing.T, g *golden.Golden, tr *trial) {
		plan, params := tr.plan(t)
		got, bounds := tr.run(t, plan, params), tr.bounds(t)
		for name, values := range got {
			if err := agree(t, g, name, values, bounds[name]); err != nil {
				t.Error(err)
			}
		}
		tr.check(t)
		if !g.BatchNorm {
			return
		}
		tr.training = false
		plan, params = tr.plan(t)
		bounds = tr.bounds(t)
		for name, values := range tr.run(t, plan, params) {
			if layer, ok := strings.CutPrefix(name, "act/"); ok {
				if err := agree(t, g, "eval/"+layer, values, bounds[name]); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// TestOneTileOffIsCaught proves that agree can fail: one 4x4 tile of one channel of one image, 1 % too large, in any
// layer's output or in any gradient; and a layer run with the weights of one block of output channels 1 % too large.
func TestOneTileOffIsCaught(t *testing.T) {
	everyGolden(t, func(t *testing.T, g *golden.Golden, tr *trial) {
		plan, params := tr.plan(t)
		got, bounds := tr.run(t, plan, params), tr.bounds(t)
		layers := tr.layers(t)
		shapes := map[string]arch.Shape{"grad/input": tr.input}
		for _, l := range layers {
			shapes["act/"+l.Name] = l.Out
		}
		for name, values := range got {
			if golden.Cancels(&g.Network, name) {
				continue // rounding and nothing else: 1 % of it is no error
			}
			shape, ok := shapes[name]
			if !ok {
				shape = arch.Shape{C: len(values), H: 1, W: 1}
			}
			off := slices.Clone(values)
			for _, i := range middlingTile(values, shape) {
				off[i] *= 1.01
			}
			if agree(t, g, name, off, bounds[name]) == nil {
				t.Errorf("%s: a tile 1 %% off goes unnoticed", name)
			}
		}
		for i, l := range layers {
			w := params.Get(l.Name + "/w")
			if w == nil {
				continue
			}
			right := slices.Clone(w.Data)
			for j := range w.Data[:min(l.Out.C, kernel.Block)*w.Count()/l.Out.C] {
				w.Data[j] *= 1.01
			}
			if err := plan.Refresh(); err != nil {
				t.Fatal(err)
			}
			got := tr.forward(t, plan)
			for got["act/"+layers[i].Name] == nil {
				i++ // fused into the next
			}
			if name := "act/" + layers[i].Name; agree(t, g, name, got[name], bounds[name]) == nil {
				t.Errorf("%s: a block of weights 1 %% off goes unnoticed", l.Name)
			}
			copy(w.Data, right)
		}
	})
}

// middlingTile returns the places of the 4x4 tile of median norm among those that are not all zero (16 values in a row
// where there is no map).
func middlingTile(values []float64, shape arch.Shape) []int {
	height, width := shape.H, shape.W
	tileH, tileW := 4, 4
	if height*width == 1 {
		height, width, tileH, tileW = 1, len(values), 1, 16
	}
	var tiles [][]int
	for plane := 0; plane < len(values); plane += height * width {
		for y := 0; y < height; y += tileH {
			for x := 0; x < width; x += tileW {
				var tile []int
				for i := y; i < min(y+tileH, height); i++ {
					for j := x; j < min(x+tileW, width); j++ {
						tile = append(tile, plane+i*width+j)
					}
				}
				if norm(values, tile) > 0 {
					tiles = append(tiles, tile)
				}
			}
		}
	}
	slices.SortFunc(tiles, func(a, b []int) int {
		if norm(values, a) < norm(values, b) {
			return -1
		}
		return 1
	})
	return tiles[len(tiles)/2]
}

func norm(values []float64, places []int) float64 {
	sum := 0.0
	for _, i := range places {
		sum += values[i] * values[i]
	}
	return math.Sqrt(sum)
}

// TestGoldenDescent takes the ten steps of SGD with momentum that PyTorch took. How far rounding may carry them off
// cannot be told from the layers alone: each step builds on the last. So the float64 reference takes them twice, once
// with noise as large as the bounds in its gradients, and the Plan may end up at most twice as far away as that,
// besides what rounding the parameters after each step does.
func TestGoldenDescent(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short: TestGoldens has each gradient, and the reference takes half a minute under the race detector")
	}
	for _, g := range golden.Open(t, "testdata") {
		noisy := descend(t, g, noisyReference(t, g))
		for _, set := range sets() {
			t.Run(g.Network.Name+"/set="+set.Name, func(t *testing.T) {
				for name, values := range descend(t, g, planStepper(t, goldenTrial(t, g, set))) {
					allowed := 2*g.Error(t, name, noisy[name]) + bound(len(noisy["sgd/losses"]))
					if err := agree(t, g, name, values, allowed); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
}

// stepper computes the loss and the gradients by name at these parameters, and moves batch norm's statistics in them.
type stepper func(params results) (loss float64, grads results)

// descend is SGD with momentum as PyTorch has it: v = momentum·v + grad, w = w − rate·v. It returns sgd/losses and
// every parameter sgd/<name> at the end.
func descend(t testing.TB, g *golden.Golden, step stepper) results {
	t.Helper()
	rate, momentum := g.Scalar(t, "sgd/rate"), g.Scalar(t, "sgd/momentum")
	params, velocity, end := make(results), make(results), make(results)
	for _, l := range goldenTrial(t, g, nil).layers(t) {
		for _, p := range l.Params {
			params[p.Name] = g.Values(t, p.Name)
			velocity[p.Name] = make([]float64, p.Count())
		}
	}
	for range g.Values(t, "sgd/losses") {
		loss, grads := step(params)
		end["sgd/losses"] = append(end["sgd/losses"], loss)
		for name, grad := range grads {
			for i, v := range velocity[name] {
				velocity[name][i] = momentum*v + grad[i]
				params[name][i] -= rate * velocity[name][i]
			}
		}
	}
	for name, values := range params {
		end["sgd/"+name] = values
	}
	return end
}

func planStepper(t testing.TB, tr *trial) stepper {
	plan, params := tr.plan(t)
	x := &tensor.Tensor{N: tr.n, C: tr.input.C, H: tr.input.H, W: tr.input.W, Data: tr.x}
	return func(at results) (loss float64, grads results) {
		for _, p := range params.List {
			copy(p.Data, narrow(at[p.Name]))
		}
		if err := plan.Refresh(); err != nil {
			t.Fatal(err)
		}
		if err := plan.Forward(x); err != nil {
			t.Fatal(err)
		}
		logits := plan.Logits()
		dlogits := tensor.New(logits.N, logits.C, logits.H, logits.W)
		if tr.labels == nil {
			loss = nn.L2(logits, dlogits)
		} else {
			var err error
			if loss, err = nn.CrossEntropy(logits, tr.labels, dlogits); err != nil {
				t.Fatal(err)
			}
		}
		if err := plan.Backward(dlogits); err != nil {
			t.Fatal(err)
		}
		grads = make(results)
		for _, p := range params.List {
			if p.Trainable {
				grads[p.Name] = golden.Widen(p.Grad)
			} else {
				at[p.Name] = golden.Widen(p.Data)
			}
		}
		return loss, grads
	}
}

// noisyReference adds to each gradient noise of the size of its bound, and to each loss of the bound of the logits.
func noisyReference(t testing.TB, g *golden.Golden) stepper {
	net, bounds := g.Reference(t), goldenTrial(t, g, nil).bounds(t)
	x := g.Values(t, "input")
	rng := rand.New(rand.NewPCG(1, 1))
	disturb := func(v []float64, scale float64) {
		for i := range v {
			v[i] += scale / math.Sqrt(float64(len(v))) * rng.NormFloat64()
		}
	}
	return func(at results) (float64, results) {
		net.Params = at
		if err := net.Forward(x, golden.Batch, true); err != nil {
			t.Fatal(err)
		}
		logits := net.Logits().Data
		disturb(logits, bounds["logits"]*golden.Norm(logits))
		loss, dlogits := g.Loss(t, logits)
		grads, _, err := net.Backward(dlogits)
		if err != nil {
			t.Fatal(err)
		}
		for name, grad := range grads {
			scale := golden.Norm(grad)
			if golden.Cancels(&g.Network, "grad/"+name) {
				scale = golden.Norm(grads[strings.TrimSuffix(name, "/b")+"/w"])
			}
			disturb(grad, bounds["grad/"+name]*scale)
		}
		return loss, grads
	}
}
