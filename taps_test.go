package vggo

import (
	"testing"

	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// TestRelease: a plan that Tap keeps is gone once it is released, and laid out again when it is asked for.
func TestRelease(t *testing.T) {
	m, err := New("8x8x3:16,M,8/2", Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	placed, err := m.Placed.Until("conv1_1")
	if err != nil {
		t.Fatal(err)
	}
	taps := &Taps{Placed: placed, Options: nn.Options{Batch: 1, Taps: []string{"conv1_1"}}}
	for range 2 {
		looked := false
		err := m.Tap(t.Context(), taps, tensor.New(1, 3, 8, 8), func(*nn.Plan) error { looked = true; return nil })
		if err != nil || !looked || len(m.tapped.plans) != 1 {
			t.Fatalf("%v: %d plans are kept, want 1", err, len(m.tapped.plans))
		}
		m.Release(taps)
		m.Release(taps)
		if len(m.tapped.plans) != 0 {
			t.Fatal("a released plan is kept")
		}
	}
}
