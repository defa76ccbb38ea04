package page

import "fmt"

// Pixel is one pixel of the picture and the numbers that the network is given for it.
type Pixel struct {
	Y       int      `json:"y"`
	X       int      `json:"x"`
	Samples []Sample `json:"samples"` // one for each channel of the input, in the input's order
}

// Sample is how a byte of the picture becomes a number of the input: (Byte/Scale - Mean) / Std.
type Sample struct {
	Colour string  `json:"colour"` // "red", "green", "blue" or "grey"
	Byte   uint8   `json:"byte"`
	Scale  float32 `json:"scale"`
	Mean   float32 `json:"mean"`
	Std    float32 `json:"std"`
	Result float64 `json:"result"` // worked out in float64
	Value  float64 `json:"value"`  // what the network was given, a float32
}

// Pixel works out what became of the pixel in row y and column x of the picture as the network sees it.
func (v *Visit) Pixel(y, x int) (*Pixel, error) {
	p, r := v.Picture, v.Model.Preprocess.Preprocess
	if y < 0 || y >= p.H || x < 0 || x >= p.W {
		return nil, &AskError{fmt.Sprintf("the picture has no pixel %d,%d: it is %dx%d", y, x, p.H, p.W)}
	}
	pixel := &Pixel{Y: y, X: x}
	for c := range p.Channels {
		colour := "grey"
		if p.Channels == 3 {
			colour = []string{"red", "green", "blue"}[r.Sample(c)]
		}
		s := Sample{Colour: colour, Byte: p.Pix[(y*p.W+x)*p.Channels+r.Sample(c)], Scale: r.Scale, Mean: r.Mean[c],
			Std: r.Std[c], Value: float64(v.Image.At(0, c, y, x))}
		s.Result = (float64(s.Byte)/float64(s.Scale) - float64(s.Mean)) / float64(s.Std)
		pixel.Samples = append(pixel.Samples, s)
	}
	return pixel, nil
}
