package vision

import (
	"image"
	"math"
	"testing"
)

// TestPart holds the part that is said to be seen against what is seen: in a picture whose samples tell their column,
// and in one whose samples tell their row, the outermost pixels of the network's input are those of the part's edges.
func TestPart(t *testing.T) {
	stretched := ImageNet(224, 224)
	stretched.Stretch = true
	for _, c := range []struct {
		w, h int
		r    Preprocess
		want image.Rectangle
	}{
		{224, 224, ImageNet(224, 224), image.Rect(14, 14, 210, 210)},
		{256, 256, ImageNet(224, 224), image.Rect(16, 16, 240, 240)},
		{240, 180, Unit(32, 32, 3), image.Rect(29, 0, 211, 180)},
		{100, 250, Unit(32, 32, 1), image.Rect(0, 75, 100, 175)},
		{28, 28, Unit(28, 28, 1), image.Rect(0, 0, 28, 28)},
		{20, 10, Unit(40, 20, 1), image.Rect(0, 0, 20, 10)},
		{128, 256, stretched, image.Rect(8, 16, 120, 240)},
		{200, 100, Unit(30, 60, 1), image.Rect(75, 0, 125, 100)},
	} {
		part, err := c.r.Part(c.w, c.h)
		if err != nil || part != c.want {
			t.Errorf("%dx%d by %s: %v %v, want %v", c.w, c.h, c.r.Name, part, err, c.want)
			continue
		}
		columns, rows := NewPicture(c.w, c.h, 1), NewPicture(c.w, c.h, 1)
		for y := range c.h {
			for x := range c.w {
				columns.Pix[y*c.w+x], rows.Pix[y*c.w+x] = uint8(x), uint8(y)
			}
		}
		for axis, p := range map[string]*Picture{"x": columns, "y": rows} {
			seen, err := c.r.Fit(p)
			if err != nil {
				t.Fatal(err)
			}
			first, last := float64(seen.Pix[0]), float64(seen.Pix[len(seen.Pix)-1])
			from, to, n := float64(part.Min.X), float64(part.Max.X), float64(seen.W)
			if axis == "y" {
				from, to, n = float64(part.Min.Y), float64(part.Max.Y), float64(seen.H)
			}
			// The middles of the outermost pixels, of which each is (to-from)/n of the picture's.
			half := (to - from) / n / 2
			if math.Abs(first-(from+half-0.5)) > half+1 || math.Abs(last-(to-half-0.5)) > half+1 {
				t.Errorf("%dx%d by %s: along %s %v is seen from %v to %v", c.w, c.h, c.r.Name, axis, part, first, last)
			}
		}
	}
}
