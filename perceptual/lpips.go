package perceptual

import (
	"math"
	"slices"

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

// square rounds by itself, on processors too that could fuse it with a sum.
func square(v float64) float64 { return float64(v * v) }

// lengths are n = √Σ_c f² of each pixel of a row, and 1/(n + 1e-10). Four sums at a time, since an addition waits
// for the one before.
func lengths(m nn.Map, image, y int) (n, inverse []float64) {
	n, inverse = make([]float64, m.Shape.W), make([]float64, m.Shape.W)
	for block := range m.Blocks() {
		row := m.Row(image, block, y)
		for x := range n {
			f := (*[nn.Lanes]float32)(row[x*nn.Lanes:])
			var s0, s1, s2, s3 float64
			for i := 0; i < nn.Lanes; i += 4 {
				s0 += square(float64(f[i]))
				s1 += square(float64(f[i+1]))
				s2 += square(float64(f[i+2]))
				s3 += square(float64(f[i+3]))
			}
			n[x] += s0 + s1 + s2 + s3
		}
	}
	for x, sum := range n {
		n[x] = math.Sqrt(sum)
		inverse[x] = 1 / (n[x] + epsilon)
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
			for x, d := range differences(m, c.weigh[i], y) {
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

// differences are Σ_c w_c (u_c − u'_c)² of each pixel of a row.
func differences(m nn.Map, weights []float32, y int) []float64 {
	_, inverseA := lengths(m, 0, y)
	_, inverseB := lengths(m, 1, y)
	sums := make([]float64, m.Shape.W)
	for block := range m.Blocks() {
		a, b := m.Row(0, block, y), m.Row(1, block, y)
		w := (*[nn.Lanes]float32)(weights[block*nn.Lanes:])
		for x := range sums {
			pa, pb := (*[nn.Lanes]float32)(a[x*nn.Lanes:]), (*[nn.Lanes]float32)(b[x*nn.Lanes:])
			ra, rb := inverseA[x], inverseB[x]
			part := func(i int) float64 {
				return float64(float64(w[i]) * square(float64(float64(pa[i])*ra)-float64(float64(pb[i])*rb)))
			}
			var s0, s1, s2, s3 float64
			for i := 0; i < nn.Lanes; i += 4 {
				s0 += part(i)
				s1 += part(i + 1)
				s2 += part(i + 2)
				s3 += part(i + 3)
			}
			sums[x] += s0 + s1 + s2 + s3
		}
	}
	return sums
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
		var n, inverse [2][]float64
		for image := range n {
			n[image], inverse[image] = lengths(output, image, y)
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
