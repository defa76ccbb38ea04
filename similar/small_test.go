package similar

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vggo/vggo/vision"
)

// TestShrink: each sample is the mean over its cell's area, by a sum over every pixel.
func TestShrink(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, size := range [][2]int{{1, 1}, {3, 5}, {31, 33}, {32, 32}, {64, 16}, {100, 37}} {
		p := vision.NewPicture(size[0], size[1], 1)
		for i := range p.Pix {
			p.Pix[i] = uint8(r.Uint32())
		}
		overlap := func(i, n, pixel int) float64 { // of cell i of Side, in pixels
			from, to := float64(i)*float64(n)/Side, float64(i+1)*float64(n)/Side
			return max(min(to, float64(pixel+1))-max(from, float64(pixel)), 0) / (to - from)
		}
		got := Shrink(p)
		for y := range Side {
			for x := range Side {
				want := 0.0
				for py := range p.H {
					for px := range p.W {
						want += overlap(y, p.H, py) * overlap(x, p.W, px) * float64(p.Pix[py*p.W+px])
					}
				}
				if d := math.Abs(float64(got[y*Side+x]) - want); d > 0.5+1e-9 {
					t.Fatalf("%dx%d: sample %d,%d is %d, want %.3f", p.H, p.W, y, x, got[y*Side+x], want)
				}
			}
		}
	}
}

// TestCorrelation: what the rule does not mind, and what it does.
func TestCorrelation(t *testing.T) {
	x := &Index{Smalls: make([]Small, 4)}
	copied(x, 8)
	a := &x.Smalls[0]
	change := func(by func(y, x int) float64) *Small {
		s := new(Small)
		for y := range Side {
			for x := range Side {
				s[y*Side+x] = uint8(min(max(math.Round(by(y, x)), 0), 255))
			}
		}
		return s
	}
	at := func(y, x int) float64 { return float64(a[min(y, Side-1)*Side+min(x, Side-1)]) }
	// the last 95 % of the width, all of the height
	cropped := change(func(y, x int) float64 {
		from := float64(x)*kept + (1-kept)*Side
		i, f := int(from), from-math.Floor(from)
		return (1-f)*at(y, i) + f*at(y, i+1)
	})
	for _, c := range []struct {
		name        string
		b           *Small
		least, most float64
	}{
		{"itself", a, 1 - 1e-12, 1},
		{"half as bright and with less contrast", change(func(y, x int) float64 { return 40 + at(y, x)/2 }), 0.9999, 1},
		{"cropped", cropped, 0.995, 1},
		{"another", &x.Smalls[1], -1, LeastPixels},
		{"mirrored", change(func(y, x int) float64 { return at(y, Side-1-x) }), -1, 0.9},
		{"negative", change(func(y, x int) float64 { return 255 - at(y, x) }), -1, -0.999},
		{"flat", change(func(y, x int) float64 { return 100 + float64((x+y)%2) }), 0, 0},
	} {
		got, turned := Correlation(a, c.b), Correlation(c.b, a)
		if got != turned || !(got >= c.least && got <= c.most) {
			t.Errorf("%s: %v and %v, want %v to %v", c.name, got, turned, c.least, c.most)
		}
	}
	if whole := a.whole().correlation(cropped.whole()); whole > 0.99 {
		t.Errorf("the wholes of a picture and its crop correlate by %v: the views are not needed", whole)
	}
	all := a.all()
	if all[0] != *a.whole() {
		t.Error("the first view is not the whole picture")
	}
}
