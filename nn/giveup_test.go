package nn

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/tensor"
)

// doneAfter is a context that is done once it has been asked so often.
type doneAfter struct {
	context.Context
	left int
}

func (c *doneAfter) Err() error {
	if c.left--; c.left < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// TestForwardGivenUp: a pass ends between any two layers, has no logits then, and the next one is as if nothing had
// happened.
func TestForwardGivenUp(t *testing.T) {
	placed, err := arch.Open("32x32x3:8,8,M,16,16,M/24,10")
	if err != nil {
		t.Fatal(err)
	}
	params := NewParams(placed)
	params.Init(He, 1)
	plan, err := Compile(placed, params, Options{Batch: 40, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	x := tensor.New(40, 3, 32, 32)
	for i := range x.Data {
		x.Data[i] = float32(i%251) / 251
	}
	if err := plan.Forward(x); err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(plan.Logits().Data)
	asked := 0
	for ; ; asked++ {
		err := plan.ForwardContext(&doneAfter{t.Context(), asked}, x)
		if err == nil {
			break
		}
		if !errors.Is(err, context.DeadlineExceeded) || plan.Logits().N != 0 {
			t.Fatalf("given up after %d layers: %v, %d logits", asked, err, plan.Logits().N)
		}
	}
	if asked < len(plan.Groups()) {
		t.Errorf("the context is asked %d times for %d layers", asked, len(plan.Groups()))
	}
	if !slices.Equal(plan.Logits().Data, want) {
		t.Error("after passes that were given up the logits are others")
	}
}
