package perceptual

import (
	"slices"

	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// DISTS (dingkeyan93/DISTS 1267d8c, DISTS_pt.py) compares, in each channel of the picture and of five layers, the means
// μ and μ', the variances v and v' and the covariance r:
//
//	S1 = (2μμ' + 1e-6)/(μ² + μ'² + 1e-6)   texture
//	S2 = (2r + 1e-6)/(v + v' + 1e-6)       structure
//	d = Σ [α(1 − S1) + β(1 − S2)] / Σ (α + β)
//
// Its own program takes r = E[xy] − μμ' but v = E[(x − μ)²], so that a picture is 1e-7 away from itself, and 1
// less Σ(αS1 + βS2). Here r = E[(x − μ)(y − μ')] has v's formula, and a picture is exactly 0 away.

// stabilise is DISTS' c1 and c2.
const stabilise = 1e-6

// moments is a layer's statistics by channel.
type moments struct {
	pixels   float64
	channels []channel
}

// channel is one channel's of both pictures.
type channel struct {
	mean, variance [2]float64
	covariance     float64
	alpha, beta    float64 // shares of their sum over the picture and all layers
}

// similar are S1 and S2. Products are rounded by themselves: fused with the next addition μ·μ + μ·μ would not be
// 2μ·μ on some processors.
func (c *channel) similar() (texture, structure float64) {
	product := float64(c.mean[0] * c.mean[1])
	squares := float64(c.mean[0]*c.mean[0]) + float64(c.mean[1]*c.mean[1])
	return (2*product + stabilise) / (squares + stabilise),
		(2*c.covariance + stabilise) / (c.variance[0] + c.variance[1] + stabilise)
}

// distance is the channel's part.
func (c *channel) distance() float64 {
	texture, structure := c.similar()
	return float64(c.alpha*(1-texture)) + float64(c.beta*(1-structure))
}

// slope is how the distance changes with a pixel of one of the pictures: by/pixels for its mean, and of its distance
// from the mean and the other's from the other mean.
func (c *channel) slope(image int) (mean, own, other float64) {
	texture, structure := c.similar()
	squares := float64(c.mean[0]*c.mean[0]) + float64(c.mean[1]*c.mean[1]) + stabilise
	spread := c.variance[0] + c.variance[1] + stabilise
	mean = -c.alpha * 2 * (c.mean[1-image] - float64(texture*c.mean[image])) / squares
	return mean, c.beta * 2 * structure / spread, -c.beta * 2 / spread
}

func (c *comparison) dists() error {
	total := 0.0
	for i := range c.alpha {
		for j := range c.alpha[i] {
			total += float64(c.alpha[i][j]) + float64(c.beta[i][j])
		}
	}
	picture := pictureMoments(c.a, c.b)
	c.moments = []*moments{picture}
	for _, layer := range c.layers {
		m, err := c.plan.Tap(layer)
		if err != nil {
			return err
		}
		s := &moments{float64(m.Shape.H * m.Shape.W), make([]channel, m.Shape.C)}
		c.each(m.Blocks(), func(block int) { s.measure(c.set, m, block) })
		c.moments = append(c.moments, s)
	}
	for i, s := range c.moments {
		name := "picture"
		if i > 0 {
			name = c.layers[i-1]
		}
		sum := 0.0
		for j := range s.channels {
			ch := &s.channels[j]
			ch.alpha, ch.beta = float64(c.alpha[i][j])/total, float64(c.beta[i][j])/total
			sum += ch.distance()
		}
		c.result.Layers = append(c.result.Layers, Layer{name, sum})
	}
	return nil
}

// measure works out the statistics of a block of channels: sums within a row in float32, across rows in float64.
func (s *moments) measure(set *kernel.Set, m nn.Map, block int) {
	var mean [2][nn.Lanes]float64
	for y := range m.Shape.H {
		for image := range mean {
			var sum [nn.Lanes]float32
			set.SumLanes(&sum, m.Row(image, block, y))
			for i, v := range sum {
				mean[image][i] += float64(v) / s.pixels
			}
		}
	}
	var one, shift [2][nn.Lanes]float32
	for image := range mean {
		for i, v := range mean[image] {
			one[image][i], shift[image][i] = 1, float32(-v)
		}
	}
	var variance [2][nn.Lanes]float64
	var covariance [nn.Lanes]float64
	apart := [2][]float32{make([]float32, m.Shape.W*nn.Lanes), make([]float32, m.Shape.W*nn.Lanes)}
	add := func(to *[nn.Lanes]float64, a, b []float32) {
		var sum [nn.Lanes]float32
		set.DotLanes(&sum, a, b)
		for i, v := range sum {
			to[i] += float64(v) / s.pixels
		}
	}
	for y := range m.Shape.H {
		for image := range apart {
			set.ScaleShift(apart[image], m.Row(image, block, y), &one[image], &shift[image], false)
			add(&variance[image], apart[image], apart[image])
		}
		add(&covariance, apart[0], apart[1])
	}
	for i := range lanes(m, block) {
		s.channels[block*nn.Lanes+i] = channel{mean: [2]float64{mean[0][i], mean[1][i]},
			variance: [2]float64{variance[0][i], variance[1][i]}, covariance: covariance[i]}
	}
}

// pictureMoments is those of the pictures themselves, black 0 and white 1.
func pictureMoments(a, b *vision.Picture) *moments {
	s := &moments{float64(a.W * a.H), make([]channel, 3)}
	at := func(p *vision.Picture, i, c int) float64 { return float64(p.Pix[3*i+c]) / 255 }
	for c := range s.channels {
		ch := &s.channels[c]
		for i := range a.W * a.H {
			ch.mean[0] += at(a, i, c)
			ch.mean[1] += at(b, i, c)
		}
		ch.mean[0] /= s.pixels
		ch.mean[1] /= s.pixels
		for i := range a.W * a.H {
			da, db := at(a, i, c)-ch.mean[0], at(b, i, c)-ch.mean[1]
			ch.variance[0] += float64(da * da)
			ch.variance[1] += float64(db * db)
			ch.covariance += float64(da * db)
		}
		ch.variance[0] /= s.pixels
		ch.variance[1] /= s.pixels
		ch.covariance /= s.pixels
	}
	return s
}

func (c *comparison) distsBack(layer string, output, gradient nn.Map) {
	s := c.moments[1+slices.Index(c.layers, layer)]
	c.each(output.Blocks(), func(block int) {
		for i := range lanes(output, block) {
			ch := &s.channels[block*nn.Lanes+i]
			for image := range 2 {
				mean, own, other := ch.slope(image)
				for y := range output.Shape.H {
					x, xOther := output.Row(image, block, y), output.Row(1-image, block, y)
					to := gradient.Row(image, block, y)
					for at := i; at < len(to); at += nn.Lanes {
						to[at] += float32((mean + float64(own*(float64(x[at])-ch.mean[image])) +
							float64(other*(float64(xOther[at])-ch.mean[1-image]))) / s.pixels)
					}
				}
			}
		}
	})
}

// backToPictures adds the part of the pictures' own statistics to their gradients.
func (c *comparison) backToPictures() {
	s := c.moments[0]
	pictures, to := [2]*vision.Picture{c.a, c.b}, [2]*tensor.Tensor{c.result.A, c.result.B}
	pixels := c.a.W * c.a.H
	for channel := range s.channels {
		ch := &s.channels[channel]
		for image := range 2 {
			mean, own, other := ch.slope(image)
			plane := to[image].Data[channel*pixels:][:pixels]
			for i := range plane {
				x, xOther := float64(pictures[image].Pix[3*i+channel])/255, float64(pictures[1-image].Pix[3*i+channel])/255
				plane[i] += float32((mean + float64(own*(x-ch.mean[image])) +
					float64(other*(xOther-ch.mean[1-image]))) / s.pixels)
			}
		}
	}
}
