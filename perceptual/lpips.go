package perceptual

import (
	"math"
	"slices"
	"sync"

	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/nn"
)

// LPIPS (richzhang/PerceptualSimilarity 082bb24, lpips.py), with f and f' what a layer makes of the two pictures:
//
//	u = f / (√Σ_c f² + 1e-10)   at each pixel
//	d = Σ over layers of the mean over pixels of Σ_c w_c (u_c − u'_c)²
//
// The input is what the imagenet preparation makes of samples: its means and deviations are those of LPIPS' scaling
// layer, ((2v − 1) + 0.030)/0.458 = (v − 0.485)/0.229.

// epsilon keeps the length of a pixel without any feature from being divided by.
const epsilon = 1e-10

// stretch is so many pixels of a row at a time: what is worked out of them stays in the L1 cache.
const stretch = 64

// sums is what a goroutine works with. Sums over channels are taken for all pixels of a stretch side by side: in
// float32 over the channels that have the same place in their blocks, in float64 over the places.
type sums struct {
	total, a, b   [stretch * nn.Lanes]float32
	inverse       [2][stretch * nn.Lanes]float32 // of both pictures, a pixel's at each of its places
	weights, zero [nn.Lanes]float32
}

var someSums = sync.Pool{New: func() any { return new(sums) }}

// over adds up what add makes of each block of channels, for each of the pixels.
func (s *sums) over(m nn.Map, pixels int, add func(block int, total []float32), do func(pixel int, sum float64)) {
	total := s.total[:pixels*nn.Lanes]
	clear(total)
	for block := range m.Blocks() {
		add(block, total)
	}
	for x := range pixels {
		sum := 0.0
		for _, v := range total[x*nn.Lanes:][:nn.Lanes] {
			sum += float64(v)
		}
		do(x, sum)
	}
}

// lengths are n = √Σ_c f² of each pixel of a row, and 1/(n + 1e-10); NaN where squares are beyond float32, so that
// nothing is told of such features.
func (c *comparison) lengths(s *sums, m nn.Map, image, y int) (n, inverse []float64) {
	n, inverse = make([]float64, m.Shape.W), make([]float64, m.Shape.W)
	for from := 0; from < len(n); from += stretch {
		pixels := min(stretch, len(n)-from)
		s.over(m, pixels, func(block int, total []float32) {
			f := m.Row(image, block, y)[from*nn.Lanes:][:pixels*nn.Lanes]
			c.set.MulAdd(total, f, f)
		}, func(x int, sum float64) {
			if math.IsInf(sum, 1) {
				sum = math.NaN()
			}
			n[from+x] = math.Sqrt(sum)
			inverse[from+x] = 1 / (n[from+x] + epsilon)
		})
	}
	return n, inverse
}

func (c *comparison) lpips() error {
	if c.wantsMap {
		size := c.result.Size
		c.result.Map = &explain.Map{Width: size.X, Height: size.Y, Values: make([]float32, size.X*size.Y)}
	}
	for i, layer := range c.layers {
		m, err := c.plan.Tap(layer)
		if err != nil {
			return err
		}
		cells := &explain.Map{Width: m.Shape.W, Height: m.Shape.H}
		if c.wantsMap {
			cells.Values = make([]float32, m.Shape.W*m.Shape.H)
		}
		rows := make([]float64, m.Shape.H)
		c.each(m.Shape.H, func(y int) {
			for x, d := range c.differences(m, c.weigh[i], y) {
				rows[y] += d
				if c.wantsMap {
					cells.Values[y*m.Shape.W+x] = float32(d)
				}
			}
		})
		sum := 0.0
		for _, row := range rows {
			sum += row
		}
		c.result.Layers = append(c.result.Layers, Layer{layer, sum / float64(m.Shape.H*m.Shape.W)})
		if c.wantsMap {
			for at, v := range cells.Resize(c.result.Map.Width, c.result.Map.Height).Values {
				c.result.Map.Values[at] += v
			}
		}
	}
	return nil
}

// differences are Σ_c w_c (u_c − u'_c)² of each pixel of a row. Both products are rounded before they are
// subtracted, so that equal features differ by exactly 0, and by the same in either order.
func (c *comparison) differences(m nn.Map, weights []float32, y int) []float64 {
	s := someSums.Get().(*sums)
	defer someSums.Put(s)
	var inverse [2][]float64
	for image := range inverse {
		_, inverse[image] = c.lengths(s, m, image, y)
	}
	all := make([]float64, m.Shape.W)
	for from := 0; from < len(all); from += stretch {
		pixels := min(stretch, len(all)-from)
		n := pixels * nn.Lanes
		for image := range inverse {
			for x, v := range inverse[image][from:][:pixels] {
				places := s.inverse[image][x*nn.Lanes:][:nn.Lanes]
				for i := range places {
					places[i] = float32(v)
				}
			}
		}
		a, b := s.a[:n], s.b[:n]
		s.over(m, pixels, func(block int, total []float32) {
			clear(a)
			clear(b)
			c.set.MulAdd(a, m.Row(0, block, y)[from*nn.Lanes:][:n], s.inverse[0][:n])
			c.set.MulAdd(b, m.Row(1, block, y)[from*nn.Lanes:][:n], s.inverse[1][:n])
			c.set.Axpy(a, b, -1)
			copy(s.weights[:], weights[block*nn.Lanes:])
			c.set.ScaleShift(b, a, &s.weights, &s.zero, false)
			c.set.MulAdd(total, a, b)
		}, func(x int, sum float64) { all[from+x] = sum })
	}
	return all
}

// lpipsBack: with g_c = 2 w_c (u_c − u'_c)/pixels for ∂d/∂u_c and n = √Σ f²,
//
//	∂d/∂f_c = g_c/(n + 1e-10) − f_c · Σ_j g_j f_j / (n (n + 1e-10)²)
//
// and 0 where n is. For f' it is the same with g negative.
func (c *comparison) lpipsBack(layer string, output, gradient nn.Map) {
	weights := c.weigh[slices.Index(c.layers, layer)]
	share := 2 / float64(output.Shape.H*output.Shape.W)
	c.each(output.Shape.H, func(y int) {
		s := someSums.Get().(*sums)
		defer someSums.Put(s)
		var n, inverse [2][]float64
		for image := range n {
			n[image], inverse[image] = c.lengths(s, output, image, y)
		}
		along := [2][]float64{make([]float64, output.Shape.W), make([]float64, output.Shape.W)} // Σ_j g_j f_j
		slope := func(block, x, i int) (g float64, f [2]float64) {
			at := x*nn.Lanes + i
			f = [2]float64{float64(output.Row(0, block, y)[at]), float64(output.Row(1, block, y)[at])}
			return share * float64(weights[block*nn.Lanes+i]) * (float64(f[0]*inverse[0][x]) - float64(f[1]*inverse[1][x])), f
		}
		for block := range output.Blocks() {
			for x := range output.Shape.W {
				for i := range nn.Lanes {
					g, f := slope(block, x, i)
					along[0][x] += float64(g * f[0])
					along[1][x] -= float64(g * f[1])
				}
			}
		}
		for block := range output.Blocks() {
			to := [2][]float32{gradient.Row(0, block, y), gradient.Row(1, block, y)}
			for x := range output.Shape.W {
				for i := range nn.Lanes {
					g, f := slope(block, x, i)
					for image, g := range [2]float64{g, -g} {
						if n, r := n[image][x], inverse[image][x]; n > 0 {
							to[image][x*nn.Lanes+i] += float32(float64(g*r) - float64(f[image]*along[image][x]*r*r/n))
						}
					}
				}
			}
		}
	})
}
