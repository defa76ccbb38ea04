package vision

import (
	"image"
	"math"
)

// Filter says how Resize weighs the pixels around a point. The zero value is Bilinear.
type Filter int

const (
	Bilinear Filter = iota // a triangle that reaches one pixel to either side
	Bicubic                // Keys' cubic with a = -1/2, two pixels to either side, which overshoots at edges
)

func (f Filter) String() string {
	if f == Bicubic {
		return "bicubic"
	}
	return "bilinear"
}

// reach is how far the filter is not zero.
func (f Filter) reach() float64 {
	if f == Bicubic {
		return 2
	}
	return 1
}

// weight is the filter at a distance of x >= 0. Products are converted to float64 where Go could otherwise fuse them
// with the next addition and round differently on some machines.
func (f Filter) weight(x float64) float64 {
	const a = -0.5
	switch {
	case f == Bilinear:
		return max(1-x, 0)
	case x < 1:
		return float64(float64((float64((a+2)*x)-(a+3))*x)*x) + 1
	case x < 2:
		return (float64((float64((x-5)*x)+8)*x) - 4) * a
	}
	return 0
}

// Resize scales a picture to w by h pixels, at least 1 by 1, as Pillow's Image.resize with BILINEAR or BICUBIC does:
// the filter is widened by the factor when scaling down so that every pixel counts (antialiasing), and goes first along
// rows, then along columns, rounded to 8 bits after each.
func (p *Picture) Resize(w, h int, f Filter) *Picture {
	return p.resize(w, h, f, image.Rect(0, 0, w, h))
}

// ResizeWindow is the given window of the picture scaled to w by h, bilinearly: what lies outside is not computed.
func (p *Picture) ResizeWindow(w, h int, window image.Rectangle) *Picture {
	return p.resize(w, h, Bilinear, window)
}

// resize computes only a window of the picture scaled to w by h. A crop of a picture 1 pixel wide and 60,000 high,
// scaled to 256 wide, so never takes the 4 gigapixels in between.
func (p *Picture) resize(w, h int, f Filter, window image.Rectangle) *Picture {
	columns := f.taps(p.W, w, window.Min.X, window.Max.X)
	rows := f.taps(p.H, h, window.Min.Y, window.Max.Y)
	top, end := rows[0].first, 0
	for _, tap := range rows {
		end = max(end, tap.first+len(tap.weights))
	}
	c := p.Channels

	across := NewPicture(len(columns), end-top, c)
	stride := across.W * c
	for y := range across.H {
		from, to := p.Pix[(top+y)*p.W*c:][:p.W*c], across.Pix[y*stride:][:stride]
		if c == 3 {
			for i, tap := range columns {
				tap.applyRGB(to[3*i:3*i+3], from)
			}
		} else {
			for i, tap := range columns {
				to[i] = tap.applyGrey(from)
			}
		}
	}

	out := NewPicture(len(columns), len(rows), c)
	sums := make([]int32, stride)
	for y, tap := range rows {
		tap.applyRows(out.Pix[y*stride:][:stride], across.Pix[(tap.first-top)*stride:], sums)
	}
	return out
}

// tap is what one output sample takes: consecutive input samples from first, weighted in fixed point.
type tap struct {
	first   int
	weights []int32
}

// fraction is Pillow's PRECISION_BITS: 32 bits less 8 of the sample and 2 for the sign and overshoot. Sums are 32 bits
// wide.
const fraction = 22

const half = 1 << (fraction - 1)

// applyRGB sums pixels of a row.
func (t tap) applyRGB(to, row []uint8) {
	r, g, b := int32(half), int32(half), int32(half)
	from := row[3*t.first:][:3*len(t.weights)]
	for _, w := range t.weights {
		pixel := from[:3:3]
		from = from[3:]
		r += w * int32(pixel[0])
		g += w * int32(pixel[1])
		b += w * int32(pixel[2])
	}
	to[0], to[1], to[2] = clamp(r>>fraction), clamp(g>>fraction), clamp(b>>fraction)
}

// applyGrey does so for one channel.
func (t tap) applyGrey(row []uint8) uint8 {
	sum := int32(half)
	from := row[t.first:][:len(t.weights)]
	for i, w := range t.weights {
		sum += w * int32(from[i])
	}
	return clamp(sum >> fraction)
}

// applyRows sums whole rows, of which from holds as many as there are weights, in sums.
func (t tap) applyRows(to, from []uint8, sums []int32) {
	for i := range sums {
		sums[i] = half
	}
	for _, w := range t.weights {
		row := from[:len(sums)]
		from = from[len(sums):]
		for i, v := range row {
			sums[i] += w * int32(v)
		}
	}
	for i, sum := range sums {
		to[i] = clamp(sum >> fraction)
	}
}

// taps works out the taps of output samples from to to-1 when in samples become out: Pillow's precompute_coeffs and
// normalize_coeffs_8bpc (src/libImaging/Resample.c).
func (f Filter) taps(in, out, from, to int) []tap {
	scale := float64(in) / float64(out)
	stretch := max(scale, 1)
	support := float64(f.reach() * stretch)
	shrink := 1 / stretch
	taps := make([]tap, 0, to-from)
	var weights []float64
	for i := from; i < to; i++ {
		center := float64((float64(i) + 0.5) * scale)
		first := max(int(center-support+0.5), 0)
		end := min(int(center+support+0.5), in)
		weights = weights[:0]
		sum := 0.0
		for j := first; j < end; j++ {
			w := f.weight(math.Abs(float64((float64(j) - center + 0.5) * shrink)))
			weights = append(weights, w)
			sum += w
		}
		t := tap{first, make([]int32, len(weights))}
		for j, w := range weights {
			t.weights[j] = int32(math.Copysign(0.5, w) + float64(w/sum*(1<<fraction)))
		}
		taps = append(taps, t)
	}
	return taps
}
