package vggo

import (
	"testing"

	"github.com/vggo/vggo/arch/archtest"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
)

// TestLowMemory holds what a plan takes beside the parameters to the limit, where that can be, and else to the least.
func TestLowMemory(t *testing.T) {
	for _, c := range []struct {
		batch int
		fits  bool
	}{{1, true}, {2, true}, {32, false}} {
		net, err := arch.Builtin("vgg16")
		if err != nil {
			t.Fatal(err)
		}
		m, err := newModel(archtest.Place(t, net), Options{LowMemory: true, Batch: c.batch})
		if err != nil {
			t.Fatal(err)
		}
		low, _, err := nn.Predict(archtest.Place(t, net), m.options)
		if err != nil {
			t.Fatal(err)
		}
		free := m.options
		free.Budget = 0
		usual, _, err := nn.Predict(archtest.Place(t, net), free)
		if err != nil {
			t.Fatal(err)
		}
		if fits := low.Total()-low.Weights <= LowMemoryLimit; fits != c.fits || low.Total() >= usual.Total() {
			t.Errorf("batch %d: %d bytes beside the parameters, usually %d", c.batch, low.Total()-low.Weights,
				usual.Total()-usual.Weights)
		}
	}
}
