package vision

import (
	"fmt"
	"image"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/vggo/vggo/tensor"
)

// Order is the order in which a network's input has the channels of a colour picture.
type Order int

const (
	RGB Order = iota // red first, as torchvision has it
	BGR              // blue first, as OpenCV and Caffe have it
)

func (o Order) String() string {
	if o == BGR {
		return "bgr"
	}
	return "rgb"
}

// Preprocess is how a picture becomes a network's input. It is scaled, keeping its proportions, until it just covers
// Resize (so for a square, until its shorter side has that length); with Stretch it is scaled to just that size. The
// centre is cut out to Crop. Each 8-bit sample v of channel c, in the input's order, becomes (v/Scale - Mean[c]) /
// Std[c].
type Preprocess struct {
	Name      string
	Channels  int   // 1 or 3; a picture of the other kind is converted
	Order     Order // of three channels
	Filter    Filter
	Resize    image.Point // X wide, Y high; at least Crop
	Stretch   bool
	Crop      image.Point
	Scale     float32
	Mean, Std []float32 // one for each channel, in the input's order
}

// ImageNet is torchvision's way for its VGG and AlexNet weights (torchvision.transforms.Resize(256), bilinear, then
// CenterCrop(224) and Normalize), and timm's for the same. For an input of another size the margin of 256 to 224 is
// kept.
func ImageNet(w, h int) Preprocess {
	return Preprocess{
		Name: "imagenet", Channels: 3, Resize: image.Pt(margin(w), margin(h)), Crop: image.Pt(w, h), Scale: 255,
		Mean: []float32{0.485, 0.456, 0.406}, Std: []float32{0.229, 0.224, 0.225},
	}
}

// Caffe is the way of the article's own VGG weights and of what was converted from them, Keras' among them: blue first,
// samples from 0 to 255 less the mean of ImageNet's, not scaled (Keras' preprocess_input in mode "caffe").
//
// preprocess_input says nothing of size. The picture is scaled until its shorter side is 256 and its centre of 224 cut
// out: the article's test at one scale (section 3.2, with Q = 256). Keras' own examples squeeze the whole picture into
// 224 by 224 by taking the nearest pixels (load_img's default), which is not followed: it distorts and aliases.
func Caffe(w, h int) Preprocess {
	return Preprocess{
		Name: "caffe", Channels: 3, Order: BGR, Resize: image.Pt(margin(w), margin(h)), Crop: image.Pt(w, h), Scale: 1,
		Mean: []float32{103.939, 116.779, 123.68}, Std: []float32{1, 1, 1},
	}
}

// CaffeRGB is Caffe for weights whose first layer was turned to red first: MatConvNet's and TF-slim's conversions do
// so.
func CaffeRGB(w, h int) Preprocess {
	p := Caffe(w, h).Reordered(RGB)
	p.Name = "caffe-rgb"
	return p
}

// margin is what 256 is to a crop of 224.
func margin(crop int) int { return int(math.Round(float64(crop) * 256 / 224)) }

// Unit is the plain way: the whole shorter side, samples from 0 to 1 (torchvision's ToTensor).
func Unit(w, h, channels int) Preprocess {
	p := Preprocess{Name: "unit", Channels: channels, Resize: image.Pt(w, h), Crop: image.Pt(w, h), Scale: 255}
	for range channels {
		p.Mean, p.Std = append(p.Mean, 0), append(p.Std, 1)
	}
	return p
}

// CIFAR10 is Unit with each channel's mean taken away and divided by its deviation, over CIFAR-10's 50,000 training
// pictures.
func CIFAR10(w, h, channels int) Preprocess {
	p := Unit(w, h, channels)
	p.Name, p.Mean, p.Std = "cifar10", []float32{0.4914, 0.4822, 0.4465}, []float32{0.2470, 0.2435, 0.2616}
	return p
}

// FashionMNIST is the same of Fashion-MNIST's 60,000.
func FashionMNIST(w, h, channels int) Preprocess {
	p := Unit(w, h, channels)
	p.Name, p.Mean, p.Std = "fashion-mnist", []float32{0.2860}, []float32{0.3530}
	return p
}

// named are the ways that have a name.
var named = []struct {
	name, about string
	channels    int // that it is for; 0 for any
	make        func(w, h, channels int) Preprocess
}{
	{"imagenet", "torchvision's: RGB, shorter side 256, centre 224, ImageNet's mean and deviation", 3,
		func(w, h, _ int) Preprocess { return ImageNet(w, h) }},
	{"caffe", "the article's and Keras': BGR, shorter side 256, centre 224, 0..255 less ImageNet's mean", 3,
		func(w, h, _ int) Preprocess { return Caffe(w, h) }},
	{"caffe-rgb", "the same in RGB, for weights turned to it, as TF-slim's and MatConvNet's", 3,
		func(w, h, _ int) Preprocess { return CaffeRGB(w, h) }},
	{"cifar10", "RGB, shorter side and centre of the input's size, mean and deviation of CIFAR-10's training set",
		3, CIFAR10},
	{"fashion-mnist", "grey, the same with Fashion-MNIST's", 1, FashionMNIST},
	{"unit", "RGB or grey, shorter side and centre of the input's size, samples from 0 to 1", 0, Unit},
}

// Preprocesses yields the names that PreprocessByName knows, and what each does.
func Preprocesses() iter.Seq2[string, string] {
	return func(yield func(name, about string) bool) {
		for _, n := range named {
			if !yield(n.name, n.about) {
				return
			}
		}
	}
}

// PreprocessByName makes a named Preprocess for a network's input of w by h pixels and 1 or 3 channels.
func PreprocessByName(name string, w, h, channels int) (Preprocess, error) {
	if channels != 1 && channels != 3 {
		return Preprocess{}, fmt.Errorf("a picture has 1 channel or 3, not %d", channels)
	}
	var names []string
	for _, n := range named {
		if n.name == name {
			if n.channels != 0 && n.channels != channels {
				is, not := "colour", "grey"
				if n.channels == 1 {
					is, not = not, is
				}
				return Preprocess{}, fmt.Errorf("preprocess %s is for %s, not for %s pictures: take unit", name, is, not)
			}
			return n.make(w, h, channels), nil
		}
		names = append(names, n.name)
	}
	return Preprocess{}, fmt.Errorf("unknown preprocess %q: want one of %s, or a file ending in .yaml", name,
		strings.Join(names, ", "))
}

// Reordered is the same for an input of another order: mean and deviation go with their channels.
func (r Preprocess) Reordered(o Order) Preprocess {
	if r.Order == o || r.Channels != 3 {
		return r
	}
	r.Order, r.Mean, r.Std = o, slices.Clone(r.Mean), slices.Clone(r.Std)
	slices.Reverse(r.Mean)
	slices.Reverse(r.Std)
	return r
}

// Sample is which of a picture's samples, in the order red, green, blue, channel c of the input takes.
func (r Preprocess) Sample(c int) int {
	if r.Order == BGR {
		return r.Channels - 1 - c
	}
	return c
}

// Fit returns a picture as Put sees it before it normalises: Channels channels, scaled and cropped to Crop. It may be p
// itself.
func (r Preprocess) Fit(p *Picture) (*Picture, error) {
	switch {
	case r.Channels != 1 && r.Channels != 3:
		return nil, fmt.Errorf("preprocess %s: a picture has 1 channel or 3, not %d", r.Name, r.Channels)
	case r.Crop.X < 1 || r.Crop.Y < 1 || r.Resize.X < r.Crop.X || r.Resize.Y < r.Crop.Y:
		return nil, fmt.Errorf("preprocess %s: %s cannot be cut out of %s", r.Name, sizeText(r.Crop), sizeText(r.Resize))
	case p.W < 1 || p.H < 1:
		return nil, fmt.Errorf("a picture of %dx%d pixels is empty", p.H, p.W)
	}
	if r.Channels == 1 {
		p = p.Grey()
	} else {
		p = p.RGB()
	}
	size, kept, err := r.window(p.W, p.H)
	if err != nil {
		return nil, err
	}
	if size == r.Crop && size == image.Pt(p.W, p.H) {
		return p, nil
	}
	return p.resize(size.X, size.Y, r.Filter, kept), nil
}

// Values are what becomes of each value of a sample that channel c takes.
func (r Preprocess) Values(c int) (values [256]float32) {
	for v := range values {
		values[v] = (float32(v)/r.Scale - r.Mean[c]) / r.Std[c]
	}
	return values
}

// Line is how channel c of the input depends on the sample that it takes, as a share v of white: slope·v + offset.
func (r Preprocess) Line(c int) (slope, offset float64) {
	return 255 / (float64(r.Scale) * float64(r.Std[c])), -float64(r.Mean[c]) / float64(r.Std[c])
}

// PutSamples writes samples of a picture, Channels x H x W, red first, white being 1, to image n of a batch of N x
// Channels x H x W as they are, neither resized nor rounded.
func (r Preprocess) PutSamples(batch *tensor.Tensor, n int, samples []float64) {
	to, pixels := batch.Images(n, n+1).Data, batch.H*batch.W
	for c := range batch.C {
		slope, offset := r.Line(c)
		plane := to[c*pixels:][:pixels]
		for i, v := range samples[r.Sample(c)*pixels:][:pixels] {
			plane[i] = float32(float64(slope*v) + offset) // rounded before it is added, on every processor
		}
	}
}

// SampleGradient turns the gradient by image n of a batch of N x Channels x H x W into that by the picture's samples,
// 1 x Channels x H x W, red first, white being 1.
func (r Preprocess) SampleGradient(batch *tensor.Tensor, n int) *tensor.Tensor {
	to, from := tensor.New(1, batch.C, batch.H, batch.W), batch.Images(n, n+1)
	pixels := batch.H * batch.W
	for c := range batch.C {
		slope, _ := r.Line(c)
		plane := to.Data[r.Sample(c)*pixels:][:pixels]
		for i, d := range from.Data[c*pixels:][:pixels] {
			plane[i] = float32(float64(d) * slope)
		}
	}
	return to
}

// Put writes a picture to image n of a batch, whose shape must be N x Channels x Crop.Y x Crop.X.
func (r Preprocess) Put(batch *tensor.Tensor, n int, p *Picture) error {
	switch {
	case len(r.Mean) != r.Channels || len(r.Std) != r.Channels:
		return fmt.Errorf("preprocess %s: %d means and %d deviations for %d channels", r.Name, len(r.Mean), len(r.Std),
			r.Channels)
	case batch.C != r.Channels || batch.H != r.Crop.Y || batch.W != r.Crop.X || n < 0 || n >= batch.N:
		return fmt.Errorf("preprocess %s makes %dx%dx%d: it does not fit image %d of %s", r.Name, r.Channels, r.Crop.Y,
			r.Crop.X, n, batch.Shape())
	}
	p, err := r.Fit(p)
	if err != nil {
		return err
	}
	to := batch.Images(n, n+1).Data
	for c := range r.Channels {
		value, sample := r.Values(c), r.Sample(c)
		plane := to[c*p.W*p.H:][:p.W*p.H]
		for i := range plane {
			plane[i] = value[p.Pix[i*r.Channels+sample]]
		}
	}
	return nil
}

// cover scales size, keeping its proportions, to the smallest that covers need; the longer side is rounded down, as in
// torchvision's Resize.
func cover(size, need image.Point) (image.Point, error) {
	w, h := int64(size.X), int64(size.Y)
	coverW, coverH := int64(need.X), int64(need.Y)
	if w*coverH <= h*coverW {
		coverH = coverW * h / w
	} else {
		coverW = coverH * w / h
	}
	if max(coverW, coverH) > math.MaxInt32 {
		return image.Point{}, fmt.Errorf("a picture of %dx%d pixels is too narrow to be scaled to %s", h, w, sizeText(need))
	}
	return image.Pt(int(coverW), int(coverH)), nil
}

// centre is where a centred stretch of crop begins in one of size: half the rest, a half rounded to even (Python's
// round, in torchvision's center_crop).
func centre(size, crop int) int { return int(math.RoundToEven(float64(size-crop) / 2)) }
