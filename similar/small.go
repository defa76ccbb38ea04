package similar

import (
	"math"

	"github.com/vggo/vggo/vision"
)

// Side is that of a Small, in samples.
const Side = 32

// Small is a picture brought to one small size: Side rows of Side grey samples. Each is the mean of the pixels in its
// cell, those at the edges by the share that lies in it; so a picture of fewer pixels than cells repeats them.
type Small [Side * Side]uint8

// Shrink makes a picture's Small. Its proportions go: a picture and its copy of another size have the same cells.
func Shrink(p *vision.Picture) *Small {
	grey := p.Grey()
	across, down := cells(grey.W, 0, float64(grey.W), Side), cells(grey.H, 0, float64(grey.H), Side)
	var sums [Side * Side]float64
	var row [Side]float64
	had := -1 // the row that row is of: of few rows each belongs to several cells
	for y, cell := range down {
		for i, share := range cell.shares {
			if r := cell.first + i; r != had {
				mean8(row[:], grey.Pix[r*grey.W:(r+1)*grey.W], across)
				had = r
			}
			for x, v := range row {
				sums[y*Side+x] += float64(v * share)
			}
		}
	}
	s := new(Small)
	for i, v := range sums {
		s[i] = uint8(min(math.Round(v), 255))
	}
	return s
}

// mean8 writes the means of a row's cells.
func mean8(to []float64, row []uint8, across []cell) {
	for x, c := range across {
		sum := 0.0
		for i, share := range c.shares {
			sum += float64(float64(row[c.first+i]) * share)
		}
		to[x] = sum
	}
}

// cell is what one of several equal lengths covers of unit pixels: shares of the pixels from first on, whose sum is 1.
type cell struct {
	first  int
	shares []float64
}

// cells divides the length from begin to end, within n pixels, into m.
func cells(n int, begin, end float64, m int) []cell {
	all := make([]cell, m)
	for i := range all {
		from := begin + float64((end-begin)*float64(i))/float64(m)
		to := begin + float64((end-begin)*float64(i+1))/float64(m)
		first, last := min(int(from), n-1), min(int(math.Ceil(to)), n)
		all[i].first = first
		for p := first; p < max(last, first+1); p++ {
			all[i].shares = append(all[i].shares, (min(to, float64(p+1))-max(from, float64(p)))/(to-from))
		}
	}
	return all
}

const (
	coarse = 16              // samples of a side that are compared: what JPEG and scaling do to finer ones differs
	points = coarse * coarse // of a view
	spans  = 4               // of each axis
	views  = spans * spans   // the first is the whole picture
	kept   = 0.95            // of an axis that is cropped
	flat   = float64(points) // least sum of squares about the mean: a deviation of one grey level
)

// LeastPixels is the correlation that the wholes of two pictures must have for their views to be looked at.
const LeastPixels = 0.65

// span is a stretch of an axis of Side samples, brought to coarse ones: sample i is the sum of three by their shares.
type span struct {
	first [coarse]int
	share [coarse][3]float64
}

// spansOf are an axis' spans: the whole, and 95 % of it at the beginning, in the middle and at the end.
var spansOf = func() (all [spans]span) {
	const rest = Side - kept*Side
	for i := range all {
		begin, end := 0.0, float64(Side)
		if i > 0 {
			begin = float64(rest * float64(i-1) / 2)
			end = begin + kept*Side
		}
		for j, c := range cells(Side, begin, end, coarse) {
			first := min(c.first, Side-3)
			all[i].first[j] = first
			copy(all[i].share[j][c.first-first:], c.shares)
		}
	}
	return all
}()

// view is a picture or a part of it at coarse by coarse samples, less their mean and scaled to length 1, so that the
// product of two is their correlation: brightness and contrast do not count. Of a flat one all are 0.
type view [points]float64

// whole is the view of all of a picture.
func (s *Small) whole() *view {
	v := &view{}
	var half halved
	half.across(s, &spansOf[0])
	v.down(&half, &spansOf[0])
	return v
}

// all are a picture's views, the whole first: each axis by each of its spans.
func (s *Small) all() *[views]view {
	var v [views]view
	var half halved
	for x := range spansOf {
		half.across(s, &spansOf[x])
		for y := range spansOf {
			v[y*spans+x].down(&half, &spansOf[y])
		}
	}
	return &v
}

// halved is a picture whose rows are brought to coarse samples.
type halved [Side][coarse]float64

func (h *halved) across(s *Small, by *span) {
	for y := range h {
		row := (*[Side]uint8)(s[y*Side:])
		for x, first := range by.first {
			from, share := row[first:first+3], &by.share[x]
			h[y][x] = float64(float64(from[0])*share[0]) + float64(float64(from[1])*share[1]) +
				float64(float64(from[2])*share[2])
		}
	}
}

// down brings columns to coarse samples, and normalises them all.
func (v *view) down(h *halved, by *span) {
	mean := 0.0
	for y, first := range by.first {
		a, b, c, share := &h[first], &h[first+1], &h[first+2], &by.share[y]
		row := (*[coarse]float64)(v[y*coarse:])
		for x := range row {
			sample := float64(a[x]*share[0]) + float64(b[x]*share[1]) + float64(c[x]*share[2])
			row[x] = sample
			mean += sample
		}
	}
	mean = float64(mean / points)
	square := 0.0
	for i := range v {
		v[i] -= mean
		square += float64(v[i] * v[i])
	}
	if square < flat {
		*v = view{}
		return
	}
	scale := 1 / math.Sqrt(square)
	for i := range v {
		v[i] *= scale
	}
}

func (v *view) correlation(w *view) float64 {
	sum := 0.0
	for i, x := range v {
		sum += float64(x * w[i])
	}
	return sum
}

// Correlation tells by pixels how alike two pictures are: the largest correlation, 1 at most, of the whole of one with
// the whole of the other or any of its views, both at 16 by 16 grey samples. Views keep 95 % of the width, the height
// or both, at the beginning, in the middle or at the end; they find crops. Where the whole pictures correlate by less
// than LeastPixels theirs is the answer, and where one of them is flat (its samples deviate by less than one of 255
// levels), 0.
func Correlation(a, b *Small) float64 {
	v, w := a.whole(), b.whole()
	if whole := v.correlation(w); whole < LeastPixels {
		return whole
	}
	return best(a.all(), b.all())
}

// best is the largest correlation of one picture's whole view with any of the other's.
func best(a, b *[views]view) float64 {
	most := a[0].correlation(&b[0])
	for i := 1; i < views; i++ {
		most = max(most, a[i].correlation(&b[0]), b[i].correlation(&a[0]))
	}
	return min(most, 1)
}
