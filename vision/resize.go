package vision

import (
	"image"
	"math"
)

// Filter weighs the pixels that make one of a scaled picture.
type Filter struct {
	Name   string
	reach  float64 // to either side, in pixels of the larger picture
	weight func(distance float64) float64
}

var (
	// Bilinear is a triangle: Pillow's BILINEAR.
	Bilinear = &Filter{"bilinear", 1, func(x float64) float64 { return max(1-x, 0) }}
	// Bicubic is Keys' cubic convolution (1981) with a = -1/2: Pillow's BICUBIC.
	Bicubic = &Filter{"bicubic", 2, func(x float64) float64 {
		const a = -0.5
		switch {
		case x < 1:
			return float64(float64((a+2)*x)-(a+3))*x*x + 1
		case x < 2:
			return float64(float64(float64(float64(x-5)*x)+8)*x-4) * a
		}
		return 0
	}}
)

// Resize scales a picture to w by h pixels, at least 1 by 1, as Pillow's Image.resize does: the filter is widened by the factor
// when scaling down so that every pixel counts (antialiasing), and goes first along rows, then along columns, rounded to 8 bits
// after each.
func (p *Picture) Resize(w, h int, f *Filter) *Picture {
	return p.resize(w, h, f, image.Rect(0, 0, w, h))
}

// ResizeWindow is the given window of the picture scaled to w by h, bilinearly: what lies outside is not computed.
func (p *Picture) ResizeWindow(w, h int, window image.Rectangle) *Picture {
	return p.resize(w, h, Bilinear, window)
}

// resize computes only a window of the picture scaled to w by h. A crop of a picture 1 pixel wide and 60,000 high, scaled
// to 256 wide, so never takes the 4 gigapixels in between.
func (p *Picture) resize(w, h int, f *Filter, window image.Rectangle) *Picture {
	columns := f.taps(p.W, w, window.Min.X, window.Max.X)
	rows := f.taps(p.H, h, window.Min.Y, window.Max.Y)
	top, last := rows[0].first, rows[len(rows)-1]
	c := p.Channels

	across := NewPicture(len(columns), last.first+len(last.weights)-top, c)
	to := across.Pix
	for y := range across.H {
		row := p.Pix[(top+y)*p.W*c:][:p.W*c]
		for _, tap := range columns {
			for ch := range c {
				to[ch] = tap.apply(row[tap.first*c+ch:], c)
			}
			to = to[c:]
		}
	}

	out := NewPicture(len(columns), len(rows), c)
	to = out.Pix
	stride := across.W * c
	for _, tap := range rows {
		for x := range stride {
			to[x] = tap.apply(across.Pix[(tap.first-top)*stride+x:], stride)
		}
		to = to[stride:]
	}
	return out
}

// tap is what one output sample takes: consecutive input samples from first, weighted in fixed point.
type tap struct {
	first   int
	weights []int32
}

// fraction is Pillow's PRECISION_BITS: 32 bits less 8 of the sample and 2 for the sign and overshoot.
const fraction = 22

// apply sums samples a stride apart. Its arithmetic is 32 bits wide, as Pillow's.
func (t tap) apply(samples []uint8, stride int) uint8 {
	sum := int32(1) << (fraction - 1)
	for i, w := range t.weights {
		sum += w * int32(samples[i*stride])
	}
	return uint8(min(max(sum>>fraction, 0), 255))
}

// taps works out the taps of output samples from to to-1 when in samples become out: Pillow's precompute_coeffs and
// normalize_coeffs_8bpc (src/libImaging/Resample.c). Products are converted to float64 where
// Go could otherwise fuse them with the next addition and round differently on some machines.
func (f *Filter) taps(in, out, from, to int) []tap {
	scale := float64(in) / float64(out)
	stretch := max(scale, 1)
	support := f.reach * stretch
	shrink := 1 / stretch
	taps := make([]tap, 0, to-from)
	for i := from; i < to; i++ {
		center := float64((float64(i) + 0.5) * scale)
		first := max(int(center-support+0.5), 0)
		end := min(int(center+support+0.5), in)
		weights := make([]float64, end-first)
		sum := 0.0
		for j := range weights {
			distance := math.Abs(float64((float64(j+first) - center + 0.5) * shrink))
			weights[j] = f.weight(distance)
			sum += weights[j]
		}
		t := tap{first, make([]int32, len(weights))}
		for j, w := range weights {
			t.weights[j] = int32(math.Round(w / sum * (1 << fraction)))
		}
		taps = append(taps, t)
	}
	return taps
}
