package nn_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch/archtest"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
)

// TestPredictIsCompile: what Predict says of a Plan is what Compile makes, with a budget too.
func TestPredictIsCompile(t *testing.T) {
	for _, name := range []string{"tinyvgg", "vgg11-cifar", "64x64x1:M,8b,L,8,A/20,5"} {
		for _, training := range []bool{false, true} {
			placed, err := arch.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			net := placed.Network
			opt := nn.Options{Batch: 5, Threads: 2, Training: training}
			unbounded, _, err := nn.Predict(placed, opt)
			if err != nil {
				t.Fatal(err)
			}
			for _, opt.Budget = range []int64{0, unbounded.Total() - 1} {
				t.Run(fmt.Sprintf("%s/training=%v/budget=%d", name, training, opt.Budget), func(t *testing.T) {
					memory, groups, err := nn.Predict(placed, opt)
					var short *nn.MemoryError
					if errors.As(err, &short) {
						t.Skip("no algorithm takes less")
					}
					if err != nil {
						t.Fatal(err)
					}
					plan := compile(t, net, newParams(t, net, nn.He), opt)
					if memory != plan.Memory() || !reflect.DeepEqual(groups, plan.Groups()) {
						t.Errorf("%+v, %+v; the plan has %+v, %+v", memory, groups, plan.Memory(), plan.Groups())
					}
				})
			}
		}
	}
}

// TestPredictRefuses: sizes that would wrap around are beyond memory, not small.
func TestPredictRefuses(t *testing.T) {
	net, err := arch.Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := nn.Predict(archtest.Place(t, net), nn.Options{Batch: math.MaxInt / 1000}); err == nil ||
		!strings.Contains(err.Error(), "beyond any memory") {
		t.Errorf("%v, want that it is beyond any memory", err)
	}
}

// TestChoices: under each set's committed prices, big maps of VGG-16 do not go by the definition, and every choice is
// the quickest of its candidates. Choices depend on no clock and not on the number of threads.
func TestChoices(t *testing.T) {
	net, err := arch.Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range kernel.Sets() {
		opt := nn.Options{Batch: 16, Threads: 1, Set: set.Name, Training: true} // 32 are too many for an int of 32 bits
		_, groups, err := nn.Predict(archtest.Place(t, net), opt)
		if err != nil {
			t.Fatal(err)
		}
		opt.Threads = 7
		if _, again, err := nn.Predict(archtest.Place(t, net), opt); err != nil || !reflect.DeepEqual(again, groups) {
			t.Errorf("%s: other choices for other threads (%v)", set, err)
		}
		choices := nn.Choices(groups)
		if len(choices) != 3*13-1 {
			t.Fatalf("%s: %d choices for 13 convolutions, whose first has no data gradient", set, len(choices))
		}
		for _, c := range choices {
			if c.Layer == "conv1_1" {
				if c.Algo != nn.Direct || len(c.Candidates) != 1 {
					t.Errorf("%s: conv1_1 reads plain images: %+v", set, c)
				}
				continue
			}
			quickest := slices.MinFunc(c.Candidates,
				func(a, b nn.Candidate) int { return int(math.Copysign(1, a.Seconds-b.Seconds)) })
			if c.Algo != quickest.Algo || c.Algo == nn.Direct || len(c.Candidates) != len(nn.Algos()) {
				t.Errorf("%s: %+v", set, c)
			}
		}
	}
}

// TestPredictedSecondsAreOfTheBatch: conv1 runs image by image, conv5 with all: seconds are of the whole batch for
// both.
func TestPredictedSecondsAreOfTheBatch(t *testing.T) {
	net, err := arch.Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	set := kernel.Sets()[0]
	_, one, err := nn.Predict(archtest.Place(t, net), nn.Options{Batch: 1, Set: set.Name})
	if err != nil {
		t.Fatal(err)
	}
	_, many, err := nn.Predict(archtest.Place(t, net), nn.Options{Batch: 32, Set: set.Name})
	if err != nil {
		t.Fatal(err)
	}
	of32 := nn.Choices(many)
	for i, c := range nn.Choices(one) {
		if a, b := 32*c.Candidates[0].Seconds, of32[i].Candidates[0].Seconds; b > a*(1+1e-9) || b < a/2 {
			t.Errorf("%s: %v s for 32 images, %v s for one", c.Layer, b, a/32)
		}
	}
}
