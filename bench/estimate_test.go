package bench

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/train"
)

// TestEstimate: the prices that were measured on a processor predict the steps that were measured there, on 2 threads
// with AVX-512 (the README's figures); whatever kernels are here.
func TestEstimate(t *testing.T) {
	for _, c := range []struct {
		mode  Mode
		batch int
		want  float64 // seconds for a step
	}{{Forward, 32, 1.358}, {ForwardBackward, 32, 4.274}, {Forward, 1, 0.0581}} {
		if strconv.IntSize == 32 && c.mode == ForwardBackward {
			continue // whose maps are more than an int of 32 bits counts
		}
		b := estimating(t, "vgg16-article", c.batch)
		got, err := b.Estimate([]Mode{c.mode})
		if err != nil {
			t.Fatal(err)
		}
		if step := got.Seconds() / 11; math.Abs(step/c.want-1) > 0.2 {
			t.Errorf("%s of %d images: %.4f s a step, measured %.4f", c.mode, c.batch, step, c.want)
		}
	}
}

// TestEstimateAddsUp: twice the threads halve it, modes add up, training counts the steps that are taken apart.
func TestEstimateAddsUp(t *testing.T) {
	b := estimating(t, "tinyvgg", 8)
	estimate := func(modes ...Mode) time.Duration {
		d, err := b.Estimate(modes)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	forward, both := estimate(Forward), estimate(Forward, ForwardBackward)
	if forward <= 0 || (both-forward-estimate(ForwardBackward)).Abs() > 1 || both < 3*forward {
		t.Errorf("forward %v, both %v", forward, both)
	}
	recipe, err := train.OpenRecipe("plain")
	if err != nil {
		t.Fatal(err)
	}
	recipe.Batch, recipe.Accumulate = 8, 2
	b.Recipe = &recipe
	if training, half := estimate(Training), 2*estimate(ForwardBackward); (training - half).Abs() > half/10 {
		t.Errorf("training %v, forward-backward twice %v", training, half)
	}
	b.Threads *= 2
	if got := estimate(Forward); (2*got - forward).Abs() > 2 {
		t.Errorf("on twice the threads %v, not half of %v", got, forward)
	}
	b.Steps = math.MaxInt
	if got := estimate(Forward); got < 0 {
		t.Errorf("%v for more steps than time", got)
	}
}

// TestFirst: one image's time, and how it stands to what was predicted, leaves the bench as it was.
func TestFirst(t *testing.T) {
	b := estimating(t, "tinyvgg", 8)
	took, pace, err := b.First(t.Context())
	if err != nil || took <= 0 || pace <= 0 || b.Batch != 8 || b.Steps != 10 {
		t.Errorf("%v, %v, %v", took, pace, err)
	}
}

// estimating is a Bench of 1 and 10 steps on 2 threads, at AVX-512's prices.
func estimating(t *testing.T, model string, batch int) *Bench {
	t.Helper()
	placed, err := arch.Open(model)
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Config{Placed: placed, Batch: batch, Steps: 10, BurnIn: 1, Threads: 2, KeepProb: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	b.Costs = nn.CostTable{b.Set: nn.DefaultCosts()["avx512"]}
	return b
}
