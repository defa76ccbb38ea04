package weights

import (
	"math"
	"slices"

	"github.com/vggo/vggo/arch"
)

// Ancestor is the published network that a first layer's weights are, or began as. Names tell who wrote a file; its
// first layer tells whose weights they are and how their pictures come, whatever the container.
type Ancestor struct {
	Name       string // "VGG-16 of the paper's authors"
	Preprocess string // of its pictures as it was published, by package vision's name: caffe or imagenet
	Turned     bool   // the channels are in the other order than they were published in
	// of what is known of the first filter, in shares of its length: 0 is the published weights themselves
	Distance float64
}

// Exact reports whether the first layer is the published one itself, but for rounding to half precision.
func (a Ancestor) Exact() bool { return a.Distance < 0.005 }

// firstFilter is what is known of the first filter of a published network: planes of 3x3 in the network's own order of
// channels, of which some values may be unknown (NaN), and the first biases.
type firstFilter struct {
	name       string
	preprocess string
	planes     [3][9]float32
	biases     []float32
}

var unknown = float32(math.NaN())

// publishedFilters are those of the two networks that the paper's authors published with Caffe, blue first (Simonyan &
// Zisserman, CC-BY-4.0, robots.ox.ac.uk/~vgg/research/very_deep), and those that torchvision trained anew.
var publishedFilters = []firstFilter{
	{
		"VGG-16 of the paper's authors", "caffe",
		[3][9]float32{
			{.42947057, .373467, -.061360113, .27476987, .038680777, -.36722335, -.05746817, -.26224968, -.35009676},
			{unknown, unknown, unknown, unknown, unknown, unknown, unknown, unknown, unknown},
			{.4800154, unknown, unknown, unknown, unknown, unknown, unknown, unknown, unknown},
		},
		[]float32{.73429835, .093403675},
	},
	{
		"VGG-19 of the paper's authors", "caffe",
		[3][9]float32{
			{.34119523, .33999205, -.04484424, .23215917, .08978214, -.30331427, -.07260918, -.246675, -.33683276},
			{.46418372, .41810837, -.04806903, .30511212, .10385381, -.37314063, -.07646758, -.3107071, -.46453714},
			{.39416704, .37740308, -.04594866, .2671299, .09986369, -.34100872, -.07573577, -.2803425, -.41602272},
		},
		[]float32{.7301776, .06493629},
	},
	{
		"VGG-16 of torchvision", "imagenet",
		[3][9]float32{
			{-.55373, .14270, .52896, -.58312, .35655, .76566, -.69022, -.048019, .48409},
			{.17548, .009863, -.081413, .044089, -.070323, -.26035, .13239, -.17279, -.13226},
			{.31303, -.16591, -.42752, .47519, -.082677, -.48700, .63203, .019308, -.27753},
		},
		nil,
	},
	{
		"VGG-19 of torchvision", "imagenet",
		[3][9]float32{
			{-.053474, -.049257, -.067942, .015314, .045068, .0021444, .036226, .019999, .019864},
			{.017015, .055403, -.0062293, .14165, .22705, .13758, .12000, .20030, .092114},
			{-.044885, .012680, -.014497, .059742, .13955, .054102, -.00096141, .058304, -.029663},
		},
		nil,
	},
}

// farthest is the distance beyond which a first layer is nobody's: independent weights are at 1 or more, and half of it
// still tells one order of channels from the other.
const farthest = 0.25

// AncestorOf looks for the published network whose first filter is nearest to a first convolution's: weights O,3,3,3 in
// our order of axes, biases, which may be nil. ok is false where none is near.
func AncestorOf(w, b []float32, shape []int) (nearest Ancestor, ok bool) {
	if !slices.Equal(shape, []int{64, 3, 3, 3}) || len(w) < 27 {
		return Ancestor{}, false
	}
	nearest.Distance = math.Inf(1)
	for _, f := range publishedFilters {
		for _, turned := range []bool{false, true} {
			if d := f.distance(w, b, turned); d < nearest.Distance {
				nearest = Ancestor{f.name, f.preprocess, turned, d}
			}
		}
	}
	return nearest, nearest.Distance <= farthest
}

// distance is how far a filter is from the published one, turned or not, over what is known of it.
func (f firstFilter) distance(w, b []float32, turned bool) float64 {
	apart, length := 0.0, 0.0
	add := func(got, want float32) {
		if want == want {
			apart += float64(got-want) * float64(got-want)
			length += float64(want) * float64(want)
		}
	}
	for c, plane := range f.planes {
		at := c
		if turned {
			at = 2 - c
		}
		for i, want := range plane {
			add(w[9*at+i], want)
		}
	}
	for i, want := range f.biases {
		if i < len(b) {
			add(b[i], want)
		}
	}
	return math.Sqrt(apart / length)
}

// TurnedAffine is what a first convolution, O,I,H,W, with its biases, does to each channel of a picture, where it is of
// 1x1 and does no more than scale, shift and put in order, as vgg_normalised.pth and graphs begin; nil for any other,
// and for one that only puts in order.
func TurnedAffine(w, b []float32, shape []int) *Affine {
	if !slices.Equal(shape, []int{3, 3, 1, 1}) || len(w) != 9 {
		return nil
	}
	a := &Affine{make([]float64, 3), make([]float64, 3)}
	some := func(v float32) bool { return v != 0 }
	for o := range 3 {
		row := w[3*o : 3*o+3]
		i := slices.IndexFunc(row, some)
		if i < 0 || a.Scale[i] != 0 || slices.ContainsFunc(row[i+1:], some) {
			return nil
		}
		if a.Scale[i] = float64(row[i]); o < len(b) {
			a.Shift[i] = float64(b[o])
		}
	}
	if a.idle() {
		return nil
	}
	return a
}

// meanOfImageNet is the authors' mean of samples of 0 to 255, blue first.
var meanOfImageNet = []float64{103.939, 116.779, 123.68}

// Small reports whether a first convolution's filters are so small that only samples of 0 to 255 make anything of them:
// the longest is shorter than 0.15. Initialised for samples of about 1, as He and PyTorch do it, a filter of 3x3x3 is
// 0.5 to 1.4 long, trained ones are hardly shorter (0.4 is the shortest of the authors' VGG-19); for samples of 0 to
// 255 it is a hundredth of that. The authors' own networks are the exception that AncestorOf knows.
func Small(w []float32, filters int) bool {
	const short = 0.15
	for filter := range slices.Chunk(w, max(len(w)/max(filters, 1), 1)) {
		length := 0.0
		for _, v := range filter {
			length += float64(v) * float64(v)
		}
		if !(length < short*short) {
			return false
		}
	}
	return len(w) > 0
}

// FirstConvolution is a network's first convolution, if pictures reach it as they are. scaled is false where batch norm
// behind it makes the size of its weights mean nothing.
func FirstConvolution(placed []arch.Placed) (conv arch.Placed, scaled, ok bool) {
	for i, layer := range placed {
		switch layer.Op.(type) {
		case arch.Dropout:
			continue
		case arch.Conv:
			scaled = true
			if i+1 < len(placed) {
				_, norm := placed[i+1].Op.(arch.BatchNorm)
				scaled = !norm
			}
			return layer, scaled, true
		}
		return arch.Placed{}, false, false
	}
	return arch.Placed{}, false, false
}
