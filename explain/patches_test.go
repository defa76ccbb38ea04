package explain_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/vision"
)

// TestTopPatches compares with sorting all pictures, whatever the batch.
func TestTopPatches(t *testing.T) {
	names, grey, colour := make([]string, 40), make([]*vision.Picture, 40), make([]*vision.Picture, 40)
	for i := range names {
		names[i], grey[i] = fmt.Sprint(i), clothes(t, i%35) // five twice, whose values are equal
		colour[i] = vision.NewPicture(40, 30, 3)
		r := rand.New(rand.NewPCG(uint64(i%35), 0))
		for j := range colour[i].Pix {
			colour[i].Pix[j] = uint8(r.Uint32())
		}
	}
	testTopPatches(t, open(t, "tinyvgg", 7), names, grey, "relu2_2", 7)
	// whose recipe scales to more than it cuts out
	testTopPatches(t, random(t, "16x16x3:4,M,8/3"), names, colour, "relu2_1", 2)
}

func testTopPatches(t *testing.T, m *vggo.Model, names []string, pictures []*vision.Picture, layer string,
	channel int) {
	all := func(yield func(string, *vision.Picture) bool) {
		for i := range pictures {
			if !yield(names[i], pictures[i]) {
				return
			}
		}
	}
	batch, err := m.Prepare(t.Context(), pictures)
	if err != nil {
		t.Fatal(err)
	}
	maps, err := m.Features(t.Context(), layer, batch)
	if err != nil {
		t.Fatal(err)
	}
	order := make([]int, len(pictures))
	value := func(i int) float32 {
		return slices.Max(maps.Images(i, i+1).Data[channel*maps.H*maps.W:][:maps.H*maps.W])
	}
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case value(a) > value(b):
			return -1
		case value(a) < value(b):
			return 1
		}
		return 0
	})
	for _, n := range []int{1, 9, 40, 100} {
		got, err := explain.TopPatches(t.Context(), m, all, layer, channel, n)
		if err != nil || len(got) != min(n, 40) {
			t.Fatal(len(got), err)
		}
		for k, p := range got {
			i := order[k]
			if p.Name != names[i] || p.Value != value(i) || p.Value != maps.At(i, channel, p.Y, p.X) {
				t.Errorf("%d of %d is %s with %v at (%d, %d), want %s with %v", k, n, p.Name, p.Value, p.X, p.Y, names[i], value(i))
			}
			if box, err := explain.Field(m, layer, p.X, p.Y); err != nil || box != p.Box {
				t.Errorf("%d of %d sees %v, not %v", k, n, box, p.Box)
			}
			if p.Picture.W != p.Box.Dx() || p.Picture.H != p.Box.Dy() {
				t.Fatalf("%d of %d: %dx%d of %v", k, n, p.Picture.W, p.Picture.H, p.Box)
			}
			seen, err := m.Preprocess.Fit(pictures[i])
			if err != nil {
				t.Fatal(err)
			}
			row := p.Picture.W * seen.Channels
			for y := range p.Picture.H {
				if !slices.Equal(p.Picture.Pix[y*row:][:row], seen.Pix[((p.Box.Min.Y+y)*seen.W+p.Box.Min.X)*seen.Channels:][:row]) {
					t.Fatalf("%d of %d: row %d is another part", k, n, y)
				}
			}
		}
	}
}
