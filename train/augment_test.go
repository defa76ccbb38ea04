package train_test

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

func noise(w, h, channels int) *vision.Picture {
	r := rand.New(rand.NewPCG(1, 2))
	p := vision.NewPicture(w, h, channels)
	for i := range p.Pix {
		p.Pix[i] = uint8(r.Uint32())
	}
	return p
}

func painted(t *testing.T, a train.Augment, recipe vision.Preprocess, p *vision.Picture, epoch, sample int) []float32 {
	t.Helper()
	values, err := train.Painted(a, recipe, p, epoch, sample, 0)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// TestPlainPicturesAreRecipes: without augmentation the network is shown what vision.Preprocess makes, to the bit.
func TestPlainPicturesAreRecipes(t *testing.T) {
	for _, name := range []string{"imagenet", "caffe", "unit"} {
		for _, size := range []image.Point{{X: 12, Y: 10}, {X: 31, Y: 40}, {X: 5, Y: 90}} {
			for _, channels := range []int{1, 3} {
				recipe, err := vision.PreprocessByName(name, 12, 10, 3)
				if err != nil {
					t.Fatal(err)
				}
				p := noise(size.X, size.Y, channels)
				want := tensor.New(1, 3, 10, 12)
				if err := recipe.Put(want, 0, p); err != nil {
					t.Fatal(err)
				}
				if got := painted(t, train.Augment{}, recipe, p, 3, 5); !slices.Equal(got, want.Data) {
					t.Errorf("%s, %v, %d channels: the network sees another picture", name, size, channels)
				}
			}
		}
	}
}

// TestPadAndFlip: each outcome is the picture moved and mirrored, all moves occur, and alternating flips alternate.
func TestPadAndFlip(t *testing.T) {
	const w, h, pad = 7, 6, 2
	recipe := vision.Unit(w, h, 3)
	p := noise(w, h, 3)
	at := func(x, y, c int, reflect bool) float32 {
		if reflect {
			if x = max(x, -x); x >= w {
				x = 2*(w-1) - x
			}
			if y = max(y, -y); y >= h {
				y = 2*(h-1) - y
			}
		}
		if x < 0 || y < 0 || x >= w || y >= h {
			return 0
		}
		return float32(p.Pix[(y*w+x)*3+c]) / 255
	}
	moved := func(dx, dy int, flip, reflect bool) []float32 {
		var values []float32
		for c := range 3 {
			for y := range h {
				for x := range w {
					if flip {
						x = w - 1 - x
					}
					values = append(values, at(x+dx, y+dy, c, reflect))
				}
			}
		}
		return values
	}
	for _, edge := range []string{"zero", "reflect"} {
		for _, flip := range []string{"", "random", "alternating"} {
			a := train.Augment{Crop: "pad", Pad: pad, Edge: edge, Flip: flip}
			seen := map[string]int{}
			for sample := range 400 {
				flips := make([]bool, 4)
				for epoch := range 4 {
					got, found := painted(t, a, recipe, p, epoch, sample), 0
					if !slices.Equal(got, painted(t, a, recipe, p, epoch, sample)) {
						t.Fatal("the same sample in the same epoch differs")
					}
					for dy := -pad; dy <= pad; dy++ {
						for dx := -pad; dx <= pad; dx++ {
							for _, mirrored := range []bool{false, true} {
								if slices.Equal(got, moved(dx, dy, mirrored, edge == "reflect")) {
									found++
									flips[epoch] = mirrored
									seen[fmt.Sprint(dx, dy, mirrored)]++
								}
							}
						}
					}
					if found != 1 {
						t.Fatalf("%s, %q: sample %d is %d of the moved pictures", edge, flip, sample, found)
					}
				}
				alternate := flips[0] != flips[1] && flips[1] != flips[2] && flips[2] != flips[3]
				if flip == "alternating" && !alternate || flip == "" && slices.Contains(flips, true) {
					t.Fatalf("%q: sample %d is mirrored in epochs %v", flip, sample, flips)
				}
			}
			want := (2*pad + 1) * (2*pad + 1)
			if flip != "" {
				want *= 2
			}
			// 1600 draws of 50: each is met 32 times, with a deviation of less than 6.
			least := math.MaxInt
			for _, n := range seen {
				least = min(least, n)
			}
			if len(seen) != want || least < 8 {
				t.Errorf("%s, %q: %d outcomes, the rarest %d times, want %d", edge, flip, len(seen), least, want)
			}
		}
	}
}

// TestScales: on a picture whose samples tell their place, random crops have the scales and places asked for.
func TestScales(t *testing.T) {
	const side = 240
	ramp := vision.NewPicture(side, side, 3)
	for y := range side {
		for x := range side {
			copy(ramp.Pix[(y*side+x)*3:], []uint8{uint8(x), uint8(y), 0})
		}
	}
	recipe := vision.Unit(16, 16, 3)
	recipe.Scale = 1
	for _, c := range []struct {
		name        string
		augment     train.Augment
		least, most float64 // of the part's area, in shares
	}{
		{"jitter", train.Augment{Crop: "jitter", Side: [2]int{20, 48}}, 16. * 16 / 48 / 48, 16. * 16 / 20 / 20},
		{"usual jitter", train.Augment{Crop: "jitter"}, 16. * 16 / 37 / 37, 16. * 16 / 18 / 18},
		{"resized", train.Augment{Crop: "resized"}, 0.08, 1},
		{"resized, half", train.Augment{Crop: "resized", Area: [2]float64{0.4, 0.5}, Ratio: [2]float64{1, 2}}, 0.4, 0.5},
	} {
		least, most, left, right := math.Inf(1), 0.0, math.Inf(1), 0.0
		for sample := range 500 {
			v := painted(t, c.augment, recipe, ramp, 0, sample)
			plane := func(c, y, x int) float64 { return float64(v[(c*16+y)*16+x]) }
			// From the second pixel to the last but one, so that no edge is in it.
			w, h := (plane(0, 8, 14)-plane(0, 8, 1))*16/13, (plane(1, 14, 8)-plane(1, 1, 8))*16/13
			area := w * h / side / side
			least, most = min(least, area), max(most, area)
			left, right = min(left, plane(0, 8, 1)), max(right, plane(0, 8, 14))
		}
		const rounding = 0.08
		if least < c.least*(1-rounding) || least > c.least*1.3 || most > c.most*(1+rounding) || most < c.most*0.7 {
			t.Errorf("%s: parts of %.3f to %.3f of the area, want %.3f to %.3f", c.name, least, most, c.least, c.most)
		}
		if left > 20 || right < side-20 {
			t.Errorf("%s: parts reach from %v to %v of %d", c.name, left, right, side)
		}
	}
	// No part of a thin picture has such a ratio: the centre is taken.
	thin := noise(1, 40, 1)
	painted(t, train.Augment{Crop: "resized"}, recipe, thin, 0, 0)
	painted(t, train.Augment{Crop: "jitter"}, recipe, thin, 0, 0)
}

// TestColourAndCutout: a shift is one colour with the spread asked for, a cut one square.
// TestMiddle: small pictures are the middles of the whole ones, however these are made.
func TestMiddle(t *testing.T) {
	const w, h, side = 14, 12, 6
	recipe, p := vision.Unit(w, h, 3), noise(20, 17, 3)
	for _, a := range []train.Augment{{}, {Crop: "pad", Pad: 4, Edge: "reflect", Flip: "random"}, {Crop: "pad", Pad: 3},
		{Crop: "jitter", Flip: "alternating"}, {Crop: "resized", Flip: "random", Colour: 0.1}} {
		for sample := range 20 {
			whole := painted(t, a, recipe, p, 1, sample)
			got, err := train.Painted(a, recipe, p, 1, sample, side)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range got {
				c, y, x := i/side/side, i/side%side+(h-side)/2, i%side+(w-side)/2
				if want := whole[(c*h+y)*w+x]; v != want {
					t.Fatalf("%+v: pixel %d of sample %d is %v, want %v", a, i, sample, v, want)
				}
			}
		}
	}
}

func TestColourAndCutout(t *testing.T) {
	recipe := vision.ImageNet(10, 10)
	p := noise(11, 11, 3)
	plain := painted(t, train.Augment{}, recipe, p, 0, 0)
	const draws = 2000
	squares := 0.0
	for sample := range draws {
		got := painted(t, train.Augment{Colour: 0.1}, recipe, p, 0, sample)
		for c := range 3 {
			by := got[c*100] - plain[c*100]
			for i := range 100 {
				if d := got[c*100+i] - plain[c*100+i] - by; math.Abs(float64(d)) > 1e-6 {
					t.Fatalf("channel %d is not shifted evenly", c)
				}
			}
			shift := float64(by * recipe.Std[c])
			squares += shift * shift
		}
	}
	// The components are at right angles: the squares' mean is the sum of (0.1·eigenvalue)².
	if want := 0.01 * (0.2175*0.2175 + 0.0188*0.0188 + 0.0045*0.0045); math.Abs(squares/draws/want-1) > 0.15 {
		t.Errorf("the shift's mean square is %.3g, want %.3g", squares/draws, want)
	}
	most := 0
	for sample := range 300 {
		got, cut := painted(t, train.Augment{Cutout: 4}, recipe, p, 0, sample), 0
		for i, v := range got[:100] {
			if v == 0 && plain[i] != 0 {
				cut++
				if got[100+i] != 0 || got[200+i] != 0 {
					t.Fatal("channels are cut at different places")
				}
			} else if v != plain[i] {
				t.Fatal("a value outside the square has changed")
			}
		}
		if cut < 2*2 || cut > 4*4 {
			t.Errorf("%d pixels are cut", cut)
		}
		most = max(most, cut)
	}
	if most != 16 {
		t.Errorf("at most %d pixels are cut, want 16", most)
	}
}

func TestAugmentRefusals(t *testing.T) {
	grey, colour := vision.Unit(8, 8, 1), vision.Unit(8, 8, 3)
	for want, a := range map[string]train.Augment{
		`crop: "centre" is none of`:             {Crop: "centre"},
		"which needs a pad of at least 1":       {Crop: "pad"},
		"pad and edge are for crop: pad":        {Edge: "zero"},
		`edge: "wrap" is neither`:               {Crop: "pad", Pad: 2, Edge: "wrap"},
		"a pad of 8 needs an input larger":      {Crop: "pad", Pad: 8},
		"side: 7 and 9: want":                   {Crop: "jitter", Side: [2]int{7, 9}},
		"side is for crop: jitter":              {Side: [2]int{8, 9}},
		"area and ratio are for crop: resized":  {Area: [2]float64{0.1, 1}},
		"area and ratio are a least and a grea": {Crop: "resized", Area: [2]float64{0.5, 0.4}},
		`flip: "both" is neither`:               {Flip: "both"},
		"colour must be at least 0":             {Colour: math.NaN()},
		"cutout must be at least 0":             {Cutout: -1},
	} {
		if _, err := train.Painted(a, colour, noise(8, 8, 3), 0, 0, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", a, err, want)
		}
	}
	if _, err := train.Painted(train.Augment{Colour: 1}, grey, noise(8, 8, 1), 0, 0, 0); err == nil {
		t.Error("a grey picture's colour is shifted")
	}
}

// TestEigen: vectors of length 1 at right angles, the matrix being the sum of their outer products.
func TestEigen(t *testing.T) {
	const n = 12
	r := rand.New(rand.NewPCG(1, 2))
	m := make([][]float64, n)
	for i := range m {
		m[i] = make([]float64, n)
		for j := range i + 1 {
			m[i][j] = r.NormFloat64()
			m[j][i] = m[i][j]
		}
	}
	work := make([][]float64, n)
	for i := range m {
		work[i] = slices.Clone(m[i])
	}
	values, vectors := train.Eigen(work)
	if !slices.IsSortedFunc(values, func(a, b float64) int { return int(math.Copysign(1, b-a)) }) {
		t.Errorf("values %v are not sorted", values)
	}
	for i := range n {
		for j := range n {
			dot, sum, want := 0.0, 0.0, 0.0
			for k := range n {
				dot += vectors[i][k] * vectors[j][k]
				sum += values[k] * vectors[k][i] * vectors[k][j]
			}
			if i == j {
				want = 1
			}
			if math.Abs(dot-want) > 1e-13 || math.Abs(sum-m[i][j]) > 1e-12 {
				t.Fatalf("vectors %d and %d: product %v; the matrix's element %v, want %v", i, j, dot, sum, m[i][j])
			}
		}
	}
}
