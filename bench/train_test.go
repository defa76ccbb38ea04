package bench

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/train"
)

// TestFLOPs: each layer with weights counts once, again where it learns, and again where one before it does.
func TestFLOPs(t *testing.T) {
	net, err := arch.Compact("net", "8x8x3:4b,M,8/20,10", arch.Shape{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Config{Placed: archtest.Place(t, net), Batch: 3, Steps: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	conv1, conv2, fc3, fc4 := int64(8*8*4*27), int64(4*4*8*36), int64(20*128), int64(10*20)
	for _, c := range []struct {
		mode   Mode
		backTo string
		want   int64 // multiply-accumulates of an image
	}{
		{Forward, "", conv1 + conv2 + fc3 + fc4},
		{ForwardBackward, "", 2*conv1 + 3*(conv2+fc3+fc4)},
		{Training, "conv1_1", 2*conv1 + 3*(conv2+fc3+fc4)},
		{Training, "bn1_1", conv1 + 3*(conv2+fc3+fc4)},
		{Training, "fc3", conv1 + conv2 + 2*fc3 + 3*fc4},
	} {
		if got := b.flops(c.mode, c.backTo); got != 2*3*c.want {
			t.Errorf("%s, back to %q: %d FLOP, want %d", c.mode, c.backTo, got, 2*3*c.want)
		}
	}
}

// TestTraining: whole steps are told of as they end, and every part of one has its share.
func TestTraining(t *testing.T) {
	recipe := train.Default()
	recipe.Model, recipe.Batch, recipe.Clip = "12x12x3:8b,M,16,M/20,4", 16, 1
	recipe.Average = train.Average{Kind: "ema", Decay: 0.9}
	net, err := recipe.Network()
	if err != nil {
		t.Fatal(err)
	}
	placed, err := net.Place(net.Input)
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Config{Placed: placed, Batch: recipe.Batch, Steps: 3, BurnIn: 2, Threads: 2, Seed: 1, Layers: true,
		Recipe: &recipe})
	if err != nil {
		t.Fatal(err)
	}
	var steps []int
	r, err := b.Run(t.Context(), Training, func(_ Mode, step int, took time.Duration) {
		steps = append(steps, step)
		if took <= 0 {
			t.Errorf("step %d took %v", step, took)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) != 5 || steps[0] != -2 || r.Steps != 3 || !(r.Median > 0) {
		t.Errorf("steps %v, result %+v", steps, r)
	}
	sum, kinds := 0.0, map[string]bool{}
	for _, p := range r.Parts {
		sum += p.Percent
		kinds[p.Kind] = p.Seconds > 0
	}
	for _, kind := range []string{"convolution", "matrix products", "batch norm", "pooling", "ReLU and bias gradients",
		"data", "loss", "optimiser", "average", "packing"} {
		if !kinds[kind] {
			t.Errorf("no time for %s in %+v", kind, r.Parts)
		}
	}
	if math.Abs(sum-100) > 1e-9 || !(r.Beside() > 0 && r.Beside() < 100) {
		t.Errorf("the parts are %v %%, %v %% beside the work", sum, r.Beside())
	}
	if len(r.Layers) == 0 {
		t.Error("no layers")
	}
	if kinds["muon"] {
		t.Error("SGD takes time for muon")
	}
	recipe.Rates = map[string]float64{"block1": 0}
	frozen, err := b.Run(t.Context(), Training, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{"optimiser.kind=muon", "polyak=0"} {
		if err := recipe.Set(change); err != nil {
			t.Fatal(err)
		}
	}
	muon, err := b.Run(t.Context(), Training, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(muon.Parts, func(p PartTime) bool { return p.Kind == "muon" && p.Seconds > 0 }) ||
		muon.PredictedBytes <= frozen.PredictedBytes {
		t.Errorf("muon has no time in %+v, or takes no memory: %d bytes, SGD %d", muon.Parts, muon.PredictedBytes,
			frozen.PredictedBytes)
	}
	passes := map[string]int{}
	for _, l := range frozen.Layers {
		passes[l.Layers[0]]++
	}
	if passes["conv1_1"] != 1 || passes["conv2_1"] < 2 || frozen.PredictedBytes >= r.PredictedBytes {
		t.Errorf("with a frozen block: %v passes, %d bytes, without %d", passes, frozen.PredictedBytes, r.PredictedBytes)
	}
}
