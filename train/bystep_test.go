package train_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/train"
)

// TestStep: steps taken one at a time come to the bits of Run, and each tells what it learned from, also where the
// first layers are frozen, where they thaw and where they end to learn, which then have no gradient.
func TestStep(t *testing.T) {
	freeze, from := true, 1.0
	for name, rules := range map[string][]train.Rule{
		"all": nil, "frozen": {{Params: "conv1*/*", Freeze: &freeze}}, "thawing": {{Params: "conv1*/*", From: &from}},
		"ending": {{Params: "conv1*/*", Until: &from}, {Params: "bn1*/*", Until: &from}},
	} {
		t.Run(name, func(t *testing.T) {
			recipe := tiny()
			recipe.HoldOut, recipe.Schedule, recipe.Average = 0, train.Schedule{Kind: "cosine"}, train.Average{}
			recipe.Smoothing, recipe.Rules = 0, rules
			o := train.Options{Recipe: recipe, Train: tinySet, Threads: 2}
			trainers := [2]*train.Trainer{}
			for i := range trainers {
				var err error
				if trainers[i], err = train.New(o); err != nil {
					t.Fatal(err)
				}
				defer trainers[i].Close()
			}
			whole, byStep := trainers[0], trainers[1]
			if _, err := whole.Run(context.Background()); err != nil {
				t.Fatal(err)
			}
			steps := 0
			for !byStep.Finished() {
				taken, err := byStep.Step()
				if err != nil {
					t.Fatal(err)
				}
				if steps++; taken.Step != steps || taken.Images.N != 8 || len(taken.Labels) != 8 {
					t.Fatalf("step %d is told as %d, of %d images", steps, taken.Step, taken.Images.N)
				}
				gradient := byStep.Params().Get("conv1_1/w").Grad
				learns := slices.ContainsFunc(gradient, func(v float32) bool { return v != 0 })
				if after := steps > tinySet.Len()/recipe.Batch; name == "ending" && learns == after {
					t.Errorf("step %d: the first layer has a gradient: %v", steps, learns)
				}
				// the logits' gradient is that of the labels
				want := slices.Clone(taken.Gradient.Data)
				if _, err := nn.CrossEntropy(taken.Logits, taken.Labels, taken.Gradient); err != nil {
					t.Fatal(err)
				}
				for i, g := range taken.Gradient.Data {
					if math.Abs(float64(g-want[i])) > 1e-7 {
						t.Fatalf("step %d: gradient %d is %v, of its logits and labels %v", steps, i, want[i], g)
					}
				}
			}
			if _, err := byStep.Step(); !errors.Is(err, train.ErrFinished) {
				t.Errorf("after the last step: %v", err)
			}
			for i, p := range whole.Params().List {
				if !slices.Equal(p.Data, byStep.Params().List[i].Data) {
					t.Errorf("%s ends otherwise", p.Name)
				}
			}
		})
	}
}
