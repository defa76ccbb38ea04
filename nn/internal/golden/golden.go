// Package golden holds, for tests, the networks that scripts/gen_goldens.py computed with PyTorch, as arch describes
// them, and reads what it stored.
package golden

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn/reference"
	"github.com/vggo/vggo/weights"
)

// Batch is how many images each golden has.
const Batch = 3

// Golden is a network and its file of values.
type Golden struct {
	Network   arch.Network
	BatchNorm bool // there are statistics (stat/…) and an evaluation pass (eval/…)
	L2        bool // the loss is the article's, not cross-entropy

	file *weights.File
}

// Open reads all goldens from a directory.
func Open(t testing.TB, dir string) []*Golden {
	t.Helper()
	goldens := []*Golden{
		{Network: plain},
		{Network: bn, BatchNorm: true},
		{Network: zoo},
		{Network: article, L2: true},
		{Network: normalised},
	}
	for _, g := range goldens {
		file, err := weights.Open(filepath.Join(dir, g.Network.Name+".safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		g.file = file
	}
	return goldens
}

// Float32 returns a stored tensor's values; the test fails if there is none of that name.
func (g *Golden) Float32(t testing.TB, name string) []float32 {
	t.Helper()
	tensor, err := g.file.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	return tensor.Data
}

// Values is Float32 in float64.
func (g *Golden) Values(t testing.TB, name string) []float64 {
	t.Helper()
	return Widen(g.Float32(t, name))
}

// Scalar returns a tensor's only value.
func (g *Golden) Scalar(t testing.TB, name string) float64 {
	t.Helper()
	return g.Values(t, name)[0]
}

// Labels are the batch's classes.
func (g *Golden) Labels(t testing.TB) []int {
	t.Helper()
	var labels []int
	for _, v := range g.Float32(t, "labels") {
		labels = append(labels, int(v))
	}
	return labels
}

// Reference is the float64 reference of the network with the stored parameters.
func (g *Golden) Reference(t testing.TB) *reference.Net {
	t.Helper()
	placed, err := g.Network.Place(g.Network.Input)
	if err != nil {
		t.Fatal(err)
	}
	params := make(map[string][]float64)
	masks := make(map[string][]float64)
	for _, l := range placed.Layers {
		for _, p := range l.Params {
			params[p.Name] = g.Values(t, p.Name)
		}
		if _, ok := l.Op.(arch.Dropout); ok {
			masks[l.Name] = make([]float64, Batch*l.In.C*l.In.H*l.In.W)
			for i := range masks[l.Name] {
				masks[l.Name][i] = 1
			}
		}
	}
	net, err := reference.NewNet(placed, params)
	if err != nil {
		t.Fatal(err)
	}
	net.Masks = masks
	return net
}

// Loss is the network's loss in float64 and its gradient.
func (g *Golden) Loss(t testing.TB, logits []float64) (float64, []float64) {
	t.Helper()
	if g.L2 {
		return reference.L2(logits)
	}
	return reference.CrossEntropy(logits, g.Labels(t))
}

// Error is the relative error ‖got − want‖ / ‖want‖ (Euclidean) against a stored tensor, where want Cancels
// against the same tensor of the layer's weights.
func (g *Golden) Error(t testing.TB, name string, got []float64) float64 {
	t.Helper()
	want := g.Values(t, name)
	scale := Norm(want)
	if Cancels(&g.Network, name) {
		scale = Norm(g.Values(t, strings.TrimSuffix(name, "/b")+"/w"))
	}
	return Distance(got, want) / scale
}

// Cancels reports whether a tensor (grad/conv1_1/b) belongs to a bias ahead of batch norm. In training its gradient is
// 0, since the mean takes the bias away again: what a computation finds there is rounding, to be judged by the size of
// the terms that cancelled.
func Cancels(network *arch.Network, name string) bool {
	for i, l := range network.Layers[1:] {
		if _, ok := l.Op.(arch.BatchNorm); ok && strings.HasSuffix(name, "/"+network.Layers[i].Name+"/b") {
			return true
		}
	}
	return false
}

// RelativeError is ‖got − want‖ / ‖want‖ in the Euclidean norm; NaN if either holds one.
func RelativeError(got, want []float64) float64 { return Distance(got, want) / Norm(want) }

// Distance is ‖a − b‖, and infinite for different lengths.
func Distance(a, b []float64) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	difference := make([]float64, len(a))
	for i := range a {
		difference[i] = a[i] - b[i]
	}
	return Norm(difference)
}

// Norm is the Euclidean norm.
func Norm(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}

// Widen converts to float64.
func Widen(v []float32) []float64 {
	wide := make([]float64, len(v))
	for i := range v {
		wide[i] = float64(v[i])
	}
	return wide
}
