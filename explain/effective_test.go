package explain_test

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/tensor"
)

// TestEffectiveField: each pixel's heat is the difference that a little more of it makes to the unit, and nothing lies
// outside the field that arch tells.
func TestEffectiveField(t *testing.T) {
	m := open(t, "tinyvgg", 1)
	batch := tensor.New(1, 1, 28, 28)
	if err := m.Preprocess.Put(batch, 0, clothes(t, 0)); err != nil {
		t.Fatal(err)
	}
	unit := func(layer string, x, y int) (sum float64) {
		t.Helper()
		out, err := m.Features(t.Context(), layer, batch)
		if err != nil {
			t.Fatal(err)
		}
		for k := range out.C {
			sum += float64(out.At(0, k, y, x))
		}
		return sum
	}
	r := rand.New(rand.NewPCG(2, 3))
	for layer, at := range map[string]image.Point{"conv1_1": {5, 9}, "conv1_2": {0, 27}, "conv2_1": {7, 6},
		"relu2_2": {6, 7}} {
		heat, err := explain.EffectiveField(t.Context(), m, batch, layer, at.X, at.Y)
		if err != nil {
			t.Fatal(err)
		}
		box, err := explain.Field(m, layer, at.X, at.Y)
		if err != nil {
			t.Fatal(err)
		}
		most := float64(heat.Most())
		for i, v := range heat.Values {
			if pixel := image.Pt(i%28, i/28); !pixel.In(box) && v != 0 {
				t.Errorf("%s: pixel %v outside %v has %v", layer, pixel, box, v)
			}
		}
		for range 12 {
			i := (box.Min.Y+r.IntN(box.Dy()))*28 + box.Min.X + r.IntN(box.Dx())
			before := batch.Data[i]
			const little = 1e-3
			batch.Data[i] = before + little
			more := unit(layer, at.X, at.Y)
			batch.Data[i] = before - little
			less := unit(layer, at.X, at.Y)
			batch.Data[i] = before
			// A ReLU or a maximum that changes its mind within the step is what the tolerance is for.
			if got, want := float64(heat.Values[i]), math.Abs(more-less)/(2*little); math.Abs(got-want) > 0.1*most {
				t.Errorf("%s: pixel %d: gradient %v, difference %v, of %v at most", layer, i, got, want, most)
			}
		}
	}
	for layer, at := range map[string]image.Point{"fc3": {}, "none": {}, "conv1_1": {28, 0}} {
		if _, err := explain.EffectiveField(t.Context(), m, batch, layer, at.X, at.Y); err == nil {
			t.Errorf("%s %v is no error", layer, at)
		}
	}
	macs, bytes, err := m.UnitGradientCost("conv1_1")
	if err != nil || macs != 2*70560 || bytes <= 0 {
		t.Errorf("conv1_1 costs %d and %d bytes: %v", macs, bytes, err)
	}
}

// TestEffectiveFieldIsSmaller: of a deep stack of random kernels the middle counts most (Luo et al. 2016, section 2.1).
func TestEffectiveFieldIsSmaller(t *testing.T) {
	m, err := vggo.New("41x41x3:16,16,16,16,16,16,16,16/5", vggo.Options{Seed: 3, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	batch := tensor.New(1, 3, 41, 41)
	r := rand.New(rand.NewPCG(1, 4))
	for i := range batch.Data {
		batch.Data[i] = float32(r.NormFloat64())
	}
	heat, err := explain.EffectiveField(t.Context(), m, batch, "conv1_8", 20, 20)
	if err != nil {
		t.Fatal(err)
	}
	if side := heat.Inner(0.5, 20.5, 20.5); side < 3 || side > 11 { // of 17
		t.Errorf("half of the field is %d pixels wide", side)
	}
	if side := heat.Inner(1, 20.5, 20.5); side < 15 || side > 18 {
		t.Errorf("all of the field is %d pixels wide", side)
	}
	if side := (&explain.Map{Width: 2, Height: 2, Values: make([]float32, 4)}).Inner(0.5, 1, 1); side != 0 {
		t.Errorf("of nothing the half is %d pixels wide", side)
	}
}
