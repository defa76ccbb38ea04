package style

import "math"

// Colours are kept by painting luminance alone (Gatys, Bethge, Hertzmann & Shechtman, "Preserving Color in Neural
// Artistic Style Transfer", 2016, section 4): content and styles go grey, and what was painted takes the place of the
// content's Y in YIQ. Since R, G and B each are Y and something of I and Q, that is to add how Y changes to all three.

// luminance is Y of each pixel.
func (s samples) luminance() []float64 {
	pixels := s.X * s.Y
	y := make([]float64, pixels)
	for i := range y {
		y[i] = float64(0.299*s.data[i]) + float64(0.587*s.data[pixels+i]) + float64(0.114*s.data[2*pixels+i])
	}
	return y
}

// grey is the luminance in all three channels.
func (s samples) grey() samples {
	y := s.luminance()
	return samples{s.Point, append(append(append(make([]float64, 0, 3*len(y)), y...), y...), y...)}
}

// moments are mean and standard deviation of all samples.
func (s samples) moments() (mean, deviation float64) {
	for _, v := range s.data {
		mean += v
	}
	mean /= float64(len(s.data))
	for _, v := range s.data {
		deviation += float64((v - mean) * (v - mean))
	}
	return mean, math.Sqrt(deviation / float64(len(s.data)))
}

// like brings samples to the mean and the deviation of others (equation 10): a dark style does not darken a picture.
func (s samples) like(other samples) samples {
	mean, deviation := s.moments()
	want, wide := other.moments()
	scale := 1.0
	if deviation > 0 {
		scale = wide / deviation
	}
	to := samples{s.Point, make([]float64, len(s.data))}
	for i, v := range s.data {
		to.data[i] = want + float64(scale*(v-mean))
	}
	return to
}

// lit is s in the luminance of another of its size.
func (s samples) lit(other samples) samples {
	from, to, pixels := s.luminance(), other.luminance(), s.X*s.Y
	lit := samples{s.Point, make([]float64, len(s.data))}
	for i, v := range s.data {
		lit.data[i] = v + to[i%pixels] - from[i%pixels]
	}
	return lit
}
