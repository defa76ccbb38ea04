package bench

import (
	"math"
	"testing"
	"time"

	"github.com/vggo/vggo/train"
)

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
}
