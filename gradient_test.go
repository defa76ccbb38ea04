package vggo_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// TestGradient: where only a fully connected layer is behind, a class's gradient is its row of weights; and further
// down it is what the logit does when the image is moved a little along it.
func TestGradient(t *testing.T) {
	m := openTiny(t, vggo.Options{Batch: 3})
	x, err := m.Prepare(t.Context(), []*vision.Picture{vision.FromImage(noise(1, 28, 28))})
	if err != nil {
		t.Fatal(err)
	}
	_, w, err := m.Parameter("fc3/w")
	if err != nil {
		t.Fatal(err)
	}
	g, err := m.Gradient(t.Context(), "pool2", 4, x)
	if err != nil {
		t.Fatal(err)
	}
	if g.Output.Shape() != "1x10x7x7" || g.Gradient.Shape() != "1x10x7x7" || g.Class.Index != 4 {
		t.Fatalf("%s, %s, %+v", g.Output.Shape(), g.Gradient.Shape(), g.Class)
	}
	for i, v := range g.Gradient.Data {
		if v != w[4*490+i] {
			t.Fatalf("gradient %d is %g, the weight %g", i, v, w[4*490+i])
		}
	}
	features, err := m.Features(t.Context(), "pool2", x)
	if err != nil || tensorsDiffer(features, g.Output) {
		t.Error("the output is not Features'", err)
	}

	top, err := m.Gradient(t.Context(), "conv1_1", -1, x)
	if err != nil {
		t.Fatal(err)
	}
	ranked, err := m.ClassifyAll(t.Context(), []*vision.Picture{vision.FromImage(noise(1, 28, 28))})
	if err != nil || top.Class.Index != ranked[0][0].Index ||
		math.Abs(top.Class.Probability-ranked[0][0].Probability) > 1e-5 {
		t.Errorf("%+v, %+v, %v", top.Class, ranked[0][0], err)
	}
	rest, err := m.Placed.After("conv1_1")
	if err != nil {
		t.Fatal(err)
	}
	report, err := arch.Analyze(m.Network, m.Input, 1)
	if err != nil {
		t.Fatal(err)
	}
	macs, bytes, err := m.GradientCost("conv1_1")
	if kept := int64(4 * 28 * 28 * 10 * 3); err != nil || macs != 2*report.Total.MACs-report.Layers[0].MACs ||
		bytes < kept || bytes > 4<<20 {
		t.Errorf("%d multiply-accumulates of %d, %d bytes, %v, behind %v", macs, report.Total.MACs, bytes, err, rest.Input)
	}
}

func tensorsDiffer(a, b *tensor.Tensor) bool {
	for i, v := range a.Data {
		if v != b.Data[i] {
			return true
		}
	}
	return a.Shape() != b.Shape()
}

// TestGradientMemory: a limit that has no room for a gradient is an error that says so; little memory as such is not.
func TestGradientMemory(t *testing.T) {
	const network = "32x32x3:64,M,64,M/10"
	x := tensor.New(1, 3, 32, 32)
	placed, err := arch.Open(network)
	if err != nil {
		t.Fatal(err)
	}
	forward, _, err := nn.Predict(placed, nn.Options{Batch: 1, Threads: 1, Algo: nn.Direct})
	if err != nil {
		t.Fatal(err)
	}
	narrow, err := vggo.New(network, vggo.Options{Memory: forward.Total(), Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer narrow.Close()
	_, err = narrow.Gradient(t.Context(), "conv1_1", 0, x)
	var short *nn.MemoryError
	if !errors.As(err, &short) || !short.Budget || short.Need <= short.Available {
		t.Errorf("%v", err)
	}
}

// TestGradientOfMaps: where the logits are a map, the gradient is of their mean.
func TestGradientOfMaps(t *testing.T) {
	m, err := vggo.New("explain/testdata/convonly.yaml", vggo.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	x := tensor.New(1, 3, 8, 8)
	for i := range x.Data {
		x.Data[i] = float32(i%7) - 3
	}
	g, err := m.Gradient(t.Context(), "pool1", 2, x)
	if err != nil {
		t.Fatal(err)
	}
	_, w, err := m.Parameter("conv2_1/w")
	if err != nil {
		t.Fatal(err)
	}
	// An inner pixel is seen through each of the nine taps once, of 16 pixels.
	for c := range 4 {
		want := 0.0
		for _, v := range w[(2*4+c)*9:][:9] {
			want += float64(v) / 16
		}
		if got := float64(g.Gradient.At(0, c, 1, 2)); math.Abs(got-want) > 1e-6 {
			t.Errorf("channel %d: %g, want %g", c, got, want)
		}
	}
}

func TestParameter(t *testing.T) {
	m := openTiny(t, vggo.Options{})
	p, values, err := m.Parameter("conv1_1/w")
	if err != nil || len(values) != 90 || len(p.Shape) != 4 {
		t.Fatal(p, len(values), err)
	}
	values[0] = 7 // a copy: the file is mapped read-only
	if _, again, err := m.Parameter("conv1_1/w"); err != nil || again[0] == 7 {
		t.Error("the copy is shared", err)
	}
	if _, _, err := m.Parameter("conv9/w"); err == nil ||
		!strings.Contains(err.Error(), `tinyvgg has no parameter "conv9/w"`) {
		t.Error(err)
	}
}
