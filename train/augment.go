package train

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"

	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/vision"
)

// Augment says how a picture is varied each time that a network learns from it. The zero value does not.
type Augment struct {
	// Crop is empty for the picture as validation sees it; pad for that, cut out at random after padding; jitter for a
	// random scale and then a random cut (the VGG paper, section 3.1); resized for a random part, scaled (Szegedy et al.
	// 2015; torchvision's RandomResizedCrop).
	Crop string `yaml:"crop"`

	Pad  int    `yaml:"pad,omitempty"`  // pad: pixels on each side
	Edge string `yaml:"edge,omitempty"` // of padding: zero, which is black, or reflect, without repeating the edge

	// jitter: the least and the greatest length of the shorter side; 0: 256/224 and 512/224 of the input's
	Side Lengths `yaml:"side,flow,omitempty"`

	Area  Span `yaml:"area,flow,omitempty"`  // resized: the part's share of the area; 0: 0.08 to 1
	Ratio Span `yaml:"ratio,flow,omitempty"` // and width to height; 0: 3/4 to 4/3

	// Flip is empty, random, or alternating: at random in the first epoch, then the other way round in each (airbench).
	Flip string `yaml:"flip"`
	// deviation of the shift along the colours' principal components; AlexNet's 0.1
	Colour float64 `yaml:"colour,omitempty"`
	// side of a square at a random place that is made the mean colour (DeVries & Taylor 2017)
	Cutout int `yaml:"cutout,omitempty"`
}

// Lengths are a least and a greatest one, in pixels.
type Lengths [2]int

// Span is a least and a greatest value.
type Span [2]float64

// IsZero lets yaml leave out what is not set.
func (l Lengths) IsZero() bool { return l == Lengths{} }

// IsZero lets yaml leave out what is not set.
func (s Span) IsZero() bool { return s == Span{} }

func (a *Augment) check(input image.Point, channels int) error {
	within := func(s Span) bool { return s.IsZero() || s[0] > 0 && s[0] <= s[1] && s[1] < math.Inf(1) }
	side := a.sides(input)
	switch {
	case a.Crop != "" && a.Crop != "pad" && a.Crop != "jitter" && a.Crop != "resized":
		return fmt.Errorf("crop: %q is none of pad, jitter and resized", a.Crop)
	case a.Crop != "pad" && (a.Pad != 0 || a.Edge != ""), a.Crop == "pad" && a.Pad < 1:
		return fmt.Errorf("pad and edge are for crop: pad, which needs a pad of at least 1")
	case a.Edge != "" && a.Edge != "zero" && a.Edge != "reflect":
		return fmt.Errorf("edge: %q is neither zero nor reflect", a.Edge)
	case a.Pad >= min(input.X, input.Y):
		return fmt.Errorf("a pad of %d needs an input larger than %dx%d", a.Pad, input.Y, input.X)
	case a.Crop != "jitter" && !a.Side.IsZero():
		return fmt.Errorf("side is for crop: jitter")
	case a.Crop == "jitter" && (side[0] < max(input.X, input.Y) || side[1] < side[0] || side[1] > maxSide):
		return fmt.Errorf("side: %s: want the least and the greatest length of the shorter side, at least the input's %d",
			printable.And(side[:]), max(input.X, input.Y))
	case a.Crop != "resized" && (!a.Area.IsZero() || !a.Ratio.IsZero()):
		return fmt.Errorf("area and ratio are for crop: resized")
	case !within(a.Area) || a.Area[1] > 1 || !within(a.Ratio):
		return fmt.Errorf("area and ratio are a least and a greatest value above 0, area's at most 1")
	case a.Flip != "" && a.Flip != "random" && a.Flip != "alternating":
		return fmt.Errorf("flip: %q is neither random nor alternating", a.Flip)
	case !(a.Colour >= 0 && a.Colour < math.Inf(1)):
		return fmt.Errorf("colour must be at least 0, not %v", a.Colour)
	case a.Colour > 0 && channels != 3:
		return fmt.Errorf("colour is for pictures with three channels")
	case a.Cutout < 0:
		return fmt.Errorf("cutout must be at least 0, not %d", a.Cutout)
	}
	return nil
}

// maxSide bounds the scaled pictures, of which only the cut is computed.
const maxSide = 1 << 14

func (a *Augment) sides(input image.Point) Lengths {
	if !a.Side.IsZero() {
		return a.Side
	}
	long := max(input.X, input.Y)
	return Lengths{int(math.Round(float64(long) * 256 / 224)), int(math.Round(float64(long) * 512 / 224))}
}

// components are the principal components of the colours of ImageNet's pictures, from 0 to 1: the eigenvectors of their
// covariance, each times its eigenvalue (Krizhevsky et al. 2012, section 4.1; the numbers are fb.resnet.torch's).
var components = [3][3]float64{
	{0.2175 * -0.5675, 0.2175 * -0.5808, 0.2175 * -0.5836},
	{0.0188 * 0.7192, 0.0188 * -0.0045, 0.0188 * -0.6948},
	{0.0045 * 0.4009, 0.0045 * -0.8140, 0.0045 * 0.4203},
}

// augmenter makes pictures a network's input.
type augmenter struct {
	Augment
	preprocess vision.Preprocess
	seed       uint64
	channels   int
	w, h       int            // of what it makes
	at         image.Point    // where in the input that begins
	values     [][256]float32 // by channel
	fit        bool           // pictures come scaled and cropped
}

func newAugmenter(a Augment, preprocess vision.Preprocess, seed uint64) *augmenter {
	p := &augmenter{Augment: a, preprocess: preprocess, seed: seed, channels: preprocess.Channels, w: preprocess.Crop.X,
		h: preprocess.Crop.Y}
	for c := range p.channels {
		p.values = append(p.values, preprocess.Values(c))
	}
	p.fit = a.Crop == "" || a.Crop == "pad"
	return p
}

// middle makes of each picture the square in the middle of what a makes of it.
func (a *augmenter) middle(side int) *augmenter {
	m := *a
	m.at, m.w, m.h = image.Pt((a.w-side)/2, (a.h-side)/2), side, side
	return &m
}

// prepare does what is the same each time.
func (a *augmenter) prepare(p *vision.Picture) (*vision.Picture, error) {
	switch {
	case a.fit:
		return a.preprocess.Fit(p)
	case p.W < 1 || p.H < 1:
		return nil, fmt.Errorf("a picture of %dx%d pixels is empty", p.H, p.W)
	case a.channels == 1:
		return p.Grey(), nil
	}
	return p.RGB(), nil
}

// randomFor is the source of everything that is drawn for a sample in an epoch.
func randomFor(seed uint64, epoch, sample int) *rand.Rand {
	// The finaliser of SplitMix64 (Steele, Lea & Flood 2014): neighbours get sources that have nothing in common.
	x := uint64(epoch)<<32 + uint64(sample) + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return rand.New(rand.NewPCG(seed, x^x>>31))
}

// put writes a sample, prepared, as the network sees it in an epoch.
func (a *augmenter) put(dst []float32, p *vision.Picture, epoch, sample int) {
	r := randomFor(a.seed, epoch, sample)
	flip := a.flips(r, epoch, sample)
	switch a.Crop {
	case "pad":
		x, y := r.IntN(2*a.Pad+1)-a.Pad, r.IntN(2*a.Pad+1)-a.Pad
		a.write(dst, p, x, y, flip, a.Edge == "reflect")
	case "jitter":
		a.write(dst, a.jitter(p, r), 0, 0, flip, false)
	case "resized":
		a.write(dst, a.resized(p, r), 0, 0, flip, false)
	default:
		a.write(dst, p, 0, 0, flip, false)
	}
	if a.Colour > 0 {
		a.shift(dst, r)
	}
	if a.Cutout > 0 {
		a.cut(dst, r)
	}
}

// flips reports whether a sample is mirrored in an epoch, by the first number of its source.
func (a *augmenter) flips(r *rand.Rand, epoch, sample int) bool {
	switch a.Flip {
	case "random":
		return r.Uint64()>>63 == 1
	case "alternating":
		return randomFor(a.seed, -1, sample).Uint64()>>63 == 1 != (epoch%2 == 1)
	}
	return false
}

// unrepeatable says why a picture looks otherwise in every epoch; empty where it is as it is or mirrored.
func (a *Augment) unrepeatable() string {
	switch {
	case a.Crop != "":
		return "crop: " + a.Crop + " cuts each picture otherwise"
	case a.Colour > 0:
		return "colour shifts each picture otherwise"
	case a.Cutout > 0:
		return "cutout clears another square of each picture"
	}
	return ""
}

// jitter scales the shorter side to a random length and cuts out the input's size at random.
func (a *augmenter) jitter(p *vision.Picture, r *rand.Rand) *vision.Picture {
	input := a.preprocess.Crop
	sides := a.sides(input)
	side := sides[0] + r.IntN(sides[1]-sides[0]+1)
	w, h := side, side
	if p.W <= p.H {
		h = min(side*p.H/p.W, math.MaxInt32)
	} else {
		w = min(side*p.W/p.H, math.MaxInt32)
	}
	at := image.Pt(r.IntN(w-input.X+1), r.IntN(h-input.Y+1))
	return p.ResizeWindow(w, h, image.Rectangle{Min: at, Max: at.Add(input)})
}

// resized scales a random part to the input's size. After ten parts that do not fit it takes the centre, as torchvision
// does.
func (a *augmenter) resized(p *vision.Picture, r *rand.Rand) *vision.Picture {
	input, area, ratio := a.preprocess.Crop, a.Area, a.Ratio
	if area.IsZero() {
		area = Span{0.08, 1}
	}
	if ratio.IsZero() {
		ratio = Span{3. / 4, 4. / 3}
	}
	uniform := func(from, to float64) float64 { return from + float64(r.Float64()*(to-from)) }
	scale := func(at image.Point, w, h int) *vision.Picture {
		return part(p, at, w, h).ResizeWindow(input.X, input.Y, image.Rectangle{Max: input})
	}
	for range 10 {
		size := float64(p.W) * float64(p.H) * uniform(area[0], area[1])
		aspect := math.Exp(uniform(math.Log(ratio[0]), math.Log(ratio[1])))
		w, h := int(math.Round(math.Sqrt(size*aspect))), int(math.Round(math.Sqrt(size/aspect)))
		if w > 0 && h > 0 && w <= p.W && h <= p.H {
			return scale(image.Pt(r.IntN(p.W-w+1), r.IntN(p.H-h+1)), w, h)
		}
	}
	w, h := p.W, p.H
	if aspect := float64(w) / float64(h); aspect < ratio[0] {
		h = max(1, int(math.Round(float64(w)/ratio[0])))
	} else if aspect > ratio[1] {
		w = max(1, int(math.Round(float64(h)*ratio[1])))
	}
	return scale(image.Pt((p.W-w)/2, (p.H-h)/2), w, h)
}

// part copies w by h pixels of a picture.
func part(p *vision.Picture, at image.Point, w, h int) *vision.Picture {
	out := vision.NewPicture(w, h, p.Channels)
	stride := w * p.Channels
	for y := range h {
		copy(out.Pix[y*stride:][:stride], p.Pix[((at.Y+y)*p.W+at.X)*p.Channels:])
	}
	return out
}

// write normalises what a makes of the input whose pixels begin at (x0,y0), which may lie up to the picture's size
// outside: there it is reflected, or black.
func (a *augmenter) write(dst []float32, p *vision.Picture, x0, y0 int, flip, reflect bool) {
	columns := make([]int, a.w) // of samples, −1 outside
	for x := range columns {
		from := x
		if flip {
			from = a.w - 1 - x
		}
		if columns[x] = inside(from+a.at.X+x0, p.W, reflect); columns[x] > 0 {
			columns[x] *= p.Channels
		}
	}
	for y := range a.h {
		line := inside(y+a.at.Y+y0, p.H, reflect)
		for c := range a.channels {
			values := &a.values[c]
			to := dst[(c*a.h+y)*a.w:][:a.w]
			if line < 0 {
				for x := range to {
					to[x] = values[0]
				}
				continue
			}
			row := p.Pix[line*p.W*p.Channels+a.preprocess.Sample(c):]
			for x, from := range columns {
				v := uint8(0)
				if from >= 0 {
					v = row[from]
				}
				to[x] = values[v]
			}
		}
	}
}

// inside is a place of so many, −1 for one outside that is not reflected.
func inside(at, n int, reflect bool) int {
	switch {
	case at >= 0 && at < n:
		return at
	case !reflect:
		return -1
	case at < 0:
		return -at
	}
	return 2*(n-1) - at
}

// shift adds one colour to all pixels.
func (a *augmenter) shift(dst []float32, r *rand.Rand) {
	var colour [3]float64
	for _, component := range components {
		along := a.Colour * r.NormFloat64()
		for c := range colour {
			colour[c] += float64(along * component[c])
		}
	}
	for c, by := range colour {
		c = a.preprocess.Sample(c) // and back: the channel that takes this colour
		by := float32(by * 255 / float64(a.preprocess.Scale) / float64(a.preprocess.Std[c]))
		plane := dst[c*a.w*a.h:][:a.w*a.h]
		for i := range plane {
			plane[i] += by
		}
	}
}

// cut makes a square, as much of it as lies within the picture, 0: the mean.
func (a *augmenter) cut(dst []float32, r *rand.Rand) {
	left, top := r.IntN(a.w)-a.Cutout/2, r.IntN(a.h)-a.Cutout/2
	for c := range a.channels {
		for y := max(top, 0); y < min(top+a.Cutout, a.h); y++ {
			row := dst[(c*a.h+y)*a.w:][:a.w]
			clear(row[max(left, 0):min(left+a.Cutout, a.w)])
		}
	}
}
