package explain

import (
	"image"
	"math"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/vision"
)

// Map is a value for each cell of a grid that lies evenly over the picture, row by row.
type Map struct {
	Width, Height int
	Values        []float32
}

// Heat is a Map of what speaks for a class: large where the picture does.
type Heat struct {
	Map
	Layer string     // that the map is of; empty for Occlusion
	Class vggo.Class // and its probability for the whole picture
}

// Most is the largest value.
func (m *Map) Most() float32 {
	most := float32(math.Inf(-1))
	for _, v := range m.Values {
		most = max(most, v)
	}
	return most
}

// Resize interpolates the map bilinearly between its cells' centres, and repeats it beyond the outermost (PyTorch's
// interpolate with mode="bilinear", align_corners=False).
func (m *Map) Resize(w, h int) *Map {
	to := &Map{Width: w, Height: h, Values: make([]float32, w*h)}
	type tap struct {
		a, b   int
		weight float64 // of b
	}
	taps := func(out, in int) []tap {
		all := make([]tap, out)
		for i := range all {
			at := max((float64(i)+0.5)*float64(in)/float64(out)-0.5, 0)
			a := min(int(at), in-1)
			all[i] = tap{a, min(a+1, in-1), at - float64(a)}
		}
		return all
	}
	columns := taps(w, m.Width)
	for y, row := range taps(h, m.Height) {
		above, below := m.Values[row.a*m.Width:][:m.Width], m.Values[row.b*m.Width:][:m.Width]
		for x, c := range columns {
			a := float64(above[c.a])*(1-c.weight) + float64(above[c.b])*c.weight
			b := float64(below[c.a])*(1-c.weight) + float64(below[c.b])*c.weight
			to.Values[y*w+x] = float32(a*(1-row.weight) + b*row.weight)
		}
	}
	return to
}

// Seen is what a pre-processing shows a network of a picture, larger: so that its longer side has at least so many
// pixels, each pixel of the network's is k by k of Seen's. A map or a box times k lies on it as on what the network
// sees, to half a pixel of the network's, which pre-processings round.
func Seen(r vision.Preprocess, picture *vision.Picture, side int) (seen *vision.Picture, k int, err error) {
	k = 1
	if longer := max(r.Crop.X, r.Crop.Y); longer > 0 {
		k = max(1, (side+longer-1)/longer)
	}
	r.Resize, r.Crop = r.Resize.Mul(k), r.Crop.Mul(k)
	seen, err = r.Fit(picture)
	return seen, k, err
}

// Overlay lays a map in viridis' colours over a picture: share of it, 0 to 1, and the picture for the rest. The scale
// goes from 0 to the map's largest value; what is below 0 speaks against the class and counts as 0.
func Overlay(picture *vision.Picture, m *Map, share float64) *image.NRGBA {
	share = min(max(share, 0), 1)
	most, values := m.Most(), m.Resize(picture.W, picture.H).Values
	out := picture.RGB().Image().(*image.NRGBA)
	for i, v := range values {
		at := 0.0
		if most > 0 && v > 0 {
			at = float64(v / most)
		}
		c := Viridis(at)
		for k, heat := range [3]uint8{c.R, c.G, c.B} {
			p := &out.Pix[4*i+k]
			*p = uint8(math.Round((1-share)*float64(*p) + share*float64(heat)))
		}
	}
	return out
}
