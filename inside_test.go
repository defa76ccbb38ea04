package vggo

import (
	"math"
	"testing"

	"github.com/vggo/vggo/tensor"
)

// TestInside: what a look inside keeps of each layer is what Features answers, little memory or not, and its size is
// told.
func TestInside(t *testing.T) {
	for name, options := range map[string]Options{
		"plain":         {Seed: 3, Batch: 4, Threads: 2},
		"little memory": {Seed: 3, Batch: 4, Threads: 2, LowMemory: true},
		"a budget":      {Seed: 3, Threads: 2, Memory: 500_000},
	} {
		m, err := New("20x18x3:8,8b,M,16,A/24,10", options)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer m.Close()
		image := tensor.New(1, 3, 20, 18)
		for i := range image.Data {
			image.Data[i] = float32(math.Sin(float64(i)))
		}
		in, err := m.Inside(t.Context(), image)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		same := func(what string, got, want []float32) {
			t.Helper()
			for i := range want {
				if math.Abs(float64(got[i]-want[i])) > 1e-4*max(1, math.Abs(float64(want[i]))) {
					t.Fatalf("%s: %s: value %d is %v, want %v", name, what, i, got[i], want[i])
				}
			}
		}
		for _, s := range in.Groups {
			last := s.Layers[len(s.Layers)-1]
			want, err := m.Features(t.Context(), last, image)
			if err != nil {
				t.Fatal(err)
			}
			same(last, s.Out.Data, want.Data)
		}
		logits, err := m.Forward(t.Context(), image)
		if err != nil {
			t.Fatal(err)
		}
		same("logits", in.Logits.Data, logits.Data)
		if i, ok := in.Group("bn1_2"); !ok || in.Groups[i].Layers[0] != "conv1_2" {
			t.Errorf("%s: the batch norm is computed with %v", name, in.Groups[i].Layers)
		}
		if _, ok := in.Group("softmax"); ok {
			t.Errorf("%s: the softmax has a group", name)
		}
		if bytes, err := m.InsideMemory(); err != nil || bytes <= 0 || in.Bytes() < 4*int64(len(image.Data)) {
			t.Errorf("%s: %d bytes are foreseen for the plan (%v), %d are kept", name, bytes, err, in.Bytes())
		}
		if _, err := m.Inside(t.Context(), tensor.New(2, 3, 20, 18)); err == nil {
			t.Errorf("%s: two images at once", name)
		}
		if _, err := m.Values("conv1_1/w", 0, 217); err == nil {
			t.Errorf("%s: there are 216 weights", name)
		}
	}
}
