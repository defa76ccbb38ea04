package weights

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// asPublished is a first layer of 64 random filters, the first of which is a published one.
func asPublished(f firstFilter, turned bool, noise float64) (w, b []float32, shape []int) {
	r := rand.New(rand.NewPCG(1, 2))
	w, b = make([]float32, 64*27), make([]float32, 64)
	for i := range w {
		w[i] = float32(r.NormFloat64()) * 0.3
	}
	length := 0.0
	for c, plane := range f.planes {
		if turned {
			c = 2 - c
		}
		for i, v := range plane {
			if v == v {
				w[9*c+i] = v
				length += float64(v) * float64(v)
			}
		}
	}
	copy(b, f.biases)
	for i := range 27 {
		w[i] += float32(noise * math.Sqrt(length/27) * r.NormFloat64())
	}
	return w, b, []int{64, 3, 3, 3}
}

// TestAncestor knows each published first filter, its order of channels, and its descendants by how near they are.
func TestAncestor(t *testing.T) {
	for _, f := range publishedFilters {
		for _, turned := range []bool{false, true} {
			for _, noise := range []float64{0, 0.03, 0.06} {
				a, ok := AncestorOf(asPublished(f, turned, noise))
				if !ok || a.Name != f.name || a.Turned != turned || a.Preprocess != f.preprocess {
					t.Errorf("%s, turned %v, noise %v: %+v, %v", f.name, turned, noise, a, ok)
				}
				if exact := noise == 0; a.Exact() != exact || a.Distance > 3*noise+1e-6 {
					t.Errorf("%s, turned %v, noise %v: %v away", f.name, turned, noise, a.Distance)
				}
			}
		}
	}
	w, b, shape := asPublished(publishedFilters[0], false, 0)
	for i := range w[:27] {
		w[i] = -w[i]
	}
	if a, ok := AncestorOf(w, b, shape); ok {
		t.Errorf("weights of another sign: %+v", a)
	}
	if a, ok := AncestorOf(w, b, []int{32, 6, 3, 3}); ok {
		t.Errorf("a layer of another shape: %+v", a)
	}
	if _, ok := AncestorOf(nil, nil, nil); ok {
		t.Error("nothing is somebody's")
	}
	w, b, shape = asPublished(publishedFilters[2], false, 0)
	w[3] = float32(math.NaN())
	if a, ok := AncestorOf(w, b, shape); ok {
		t.Errorf("NaN is %+v", a)
	}
}

// TestSmall: the size of the first layer's weights tells samples of 0 to 255 from others.
func TestSmall(t *testing.T) {
	for _, c := range []struct {
		w       []float32
		filters int
		want    bool
	}{
		{[]float32{0.01, 0.02, 0.01, -0.1}, 2, true},
		{[]float32{0.01, 0.02, 0.01, -0.2}, 2, false},
		{[]float32{0.09, 0.09, 0.09, 0.09}, 1, false},
		{[]float32{0.01, float32(math.NaN())}, 2, false},
		{nil, 0, false},
	} {
		if got := Small(c.w, c.filters); got != c.want {
			t.Errorf("%v: %v", c.w, got)
		}
	}
}

// TestTurnedAffine: one value of each channel, in any order, is scaled and shifted; a mixture of channels is none.
func TestTurnedAffine(t *testing.T) {
	for _, c := range []struct {
		what  string
		w, b  []float32
		scale []float64 // nil: no affine
		shift []float64
	}{
		{"as vgg_normalised", []float32{0, 0, 255, 0, 255, 0, 255, 0, 0}, []float32{-103, -116, -123},
			[]float64{255, 255, 255}, []float64{-123, -116, -103}},
		{"no biases", []float32{2, 0, 0, 0, 3, 0, 0, 0, 4}, nil, []float64{2, 3, 4}, []float64{0, 0, 0}},
		{"order alone", []float32{0, 0, 1, 0, 1, 0, 1, 0, 0}, []float32{0, 0, 0}, nil, nil},
		{"two channels in one", []float32{.5, .5, 0, 0, 0, 1, 0, 0, 0}, []float32{1, 1, 1}, nil, nil},
		{"a channel twice", []float32{2, 0, 0, 2, 0, 0, 0, 0, 2}, nil, nil, nil},
		{"a channel that is lost", []float32{2, 0, 0, 0, 2, 0, 0, 0, 0}, nil, nil, nil},
	} {
		a := TurnedAffine(c.w, c.b, []int{3, 3, 1, 1})
		if (a == nil) != (c.scale == nil) || a != nil && !(slices.Equal(a.Scale, c.scale) && slices.Equal(a.Shift, c.shift)) {
			t.Errorf("%s: %+v", c.what, a)
		}
	}
}
