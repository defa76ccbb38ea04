// Package perceptual measures how different two pictures look to people, by what VGG or AlexNet makes of them: LPIPS
// 0.1 (Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018) and DISTS (Ding
// et al., "Image Quality Assessment: Unifying Structure and Texture Similarity", 2020), and the gradients of both.
//
// Pictures come in, not tensors: nobody can get their range wrong. A distance of a picture from itself is exactly 0,
// that of two does not depend on their order, and it has the same bits for any number of threads.
package perceptual

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"image"
	"slices"
	"strings"
	"sync"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// Metric is a way to measure.
type Metric string

const (
	// LPIPS compares five layers pixel by pixel: where two pictures differ, and how much. By vgg16 or alexnet-torchvision.
	LPIPS Metric = "lpips"
	// DISTS compares means and variances of the picture and of five layers: another piece of the same grass is near. By
	// vgg16, with its max poolings replaced (arch.L2Pool). Pictures whose shorter side is over 256 are shrunk to that.
	DISTS Metric = "dists"
)

// Metrics lists them.
func Metrics() []Metric { return []Metric{LPIPS, DISTS} }

// Version is which of its publications a metric follows: of LPIPS the 0.1 of its package, of DISTS its only one.
func (m Metric) Version() string {
	if m == LPIPS {
		return "0.1"
	}
	return "2020"
}

// Options say what a Meter measures. The zero value is LPIPS without a map.
type Options struct {
	Metric Metric // empty: LPIPS
	Map    bool   // LPIPS: tell where the pictures differ, too
	Once   bool   // keep no memory between two pairs; the next of the same size takes a little longer
}

// Meter measures with one metric by one network. Its methods may be called from several goroutines: the network takes
// one pair at a time, on all its threads.
type Meter struct {
	Metric  Metric
	Network string // "vgg16" or "alexnet-torchvision"

	model        *vggo.Model
	wantsMap     bool
	once         bool
	uncalibrated string
	placed       *arch.Placement // up to the last layer that is looked at
	layers       []string
	smallest     int         // side of a picture
	weigh        [][]float32 // LPIPS: by layer and channel
	alpha, beta  [][]float32 // DISTS: by layer and channel, of the picture itself first

	mu   sync.Mutex
	taps map[key]*vggo.Taps // of the last size, with gradients and without
}

type key struct {
	input    arch.Shape
	gradient bool
}

// network is one whose layers heads were fitted to.
type network struct {
	name     string
	layers   []string
	smallest int    // side that leaves a pixel of the last layer
	head     string // of LPIPS
	// the first digits of the SHA-256 of the files that hold the weights which the heads were fitted to: torchvision's,
	// and timm's copy of them
	files []string
}

var networks = []network{
	{"vgg16", []string{"relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"}, 16, "vgg",
		[]string{"397923af", "57b026918159a6bf9faf8405c3a551903768e7138989d9c6224a14227203fad8"}},
	{"alexnet-torchvision", []string{"relu1", "relu2", "relu3", "relu4", "relu5"}, 31, "alex", []string{"7be5be79"}},
}

// NetworkError is a model of a network that a metric has no weights for.
type NetworkError struct {
	Metric Metric
	Model  string
	Have   []string // networks that it has
	Differ string   // what a network of that name has otherwise; may be empty
}

func (e *NetworkError) Error() string {
	text := fmt.Sprintf("%s was fitted to %s, not to %s", e.Metric, strings.Join(e.Have, " and "), e.Model)
	if e.Differ != "" {
		text += ": " + e.Differ
	}
	return text
}

// New makes a Meter of a model, which must be open as long as the Meter is used: vgg16, of which the convolutions are
// enough (vggo.Options.Until: "relu5_3"), or alexnet-torchvision ("relu5"). Any other is a *NetworkError.
func New(model *vggo.Model, options Options) (*Meter, error) {
	m := &Meter{Metric: options.Metric, model: model, wantsMap: options.Map, once: options.Once,
		taps: map[key]*vggo.Taps{}}
	m.Metric = cmp.Or(m.Metric, LPIPS)
	if !slices.Contains(Metrics(), m.Metric) {
		return nil, fmt.Errorf("unknown metric %q: want lpips or dists", m.Metric)
	}
	if m.Metric == DISTS && m.wantsMap {
		return nil, fmt.Errorf("dists has no map: it compares statistics of whole pictures, which lpips does not")
	}
	fault := &NetworkError{Metric: m.Metric, Model: model.Network.Name}
	for _, n := range networks {
		if m.Metric == DISTS && n.head != "vgg" {
			continue
		}
		fault.Have = append(fault.Have, n.name)
		placed, differ := n.in(model)
		if placed == nil {
			if model.Network.Name == n.name {
				fault.Differ = differ
			}
			continue
		}
		m.Network, m.layers, m.smallest, m.placed = n.name, n.layers, n.smallest, placed
		m.uncalibrated = n.uncalibrated(model)
		return m, m.load(n)
	}
	return nil, fault
}

// load reads the metric's own weights and makes the network that it looks at.
func (m *Meter) load(n network) (err error) {
	if m.Metric == LPIPS {
		m.weigh, err = lpipsHead(n.head, m.placed, m.layers)
		return err
	}
	if m.alpha, m.beta, err = distsHead(m.placed, m.layers); err != nil {
		return err
	}
	net := *m.placed.Network
	net.Layers = slices.Clone(net.Layers)
	for i, l := range net.Layers {
		if _, ok := l.Op.(arch.MaxPool); ok {
			net.Layers[i].Op = arch.L2Pool{}
		}
	}
	m.placed, err = net.Place(m.placed.Input)
	return err
}

// in is the beginning of the model's network that is n's, or what differs.
func (n network) in(model *vggo.Model) (placed *arch.Placement, differ string) {
	last := n.layers[len(n.layers)-1]
	placed, err := model.Placed.Until(last)
	if err != nil {
		return nil, "it has no layer " + last
	}
	whole, err := arch.Builtin(n.name)
	if err != nil {
		return nil, err.Error()
	}
	want, err := whole.Place(placed.Input)
	if err != nil {
		return nil, err.Error()
	}
	for i, l := range placed.Layers {
		w := want.Layers[i]
		if l.Name != w.Name || arch.Describe(l.Op) != arch.Describe(w.Op) || l.Out != w.Out {
			return nil, fmt.Sprintf("layer %s is %s to %v, in place of %s, %s to %v", l.Name, arch.Describe(l.Op), l.Out,
				w.Name, arch.Describe(w.Op), w.Out)
		}
	}
	return placed, ""
}

// uncalibrated says why the metric's weights do not belong to the model's, empty where they do.
func (n network) uncalibrated(model *vggo.Model) string {
	sum, ok := model.SHA256()
	digits := hex.EncodeToString(sum[:])
	if !ok || !slices.ContainsFunc(n.files, func(file string) bool { return strings.HasPrefix(digits, file) }) {
		return "the weights are not recognised as those of torchvision, which the metric was fitted to"
	}
	p, want := model.Preprocess.Preprocess, vision.ImageNet(1, 1)
	if p.Order != want.Order || p.Scale != want.Scale || !slices.Equal(p.Mean, want.Mean) ||
		!slices.Equal(p.Std, want.Std) {
		return "pictures are prepared in another way than for torchvision's weights, which the metric was fitted to"
	}
	return ""
}

// Uncalibrated says why the distances are not those of the published metric: other weights than the ones that it was
// fitted to, which are recognised by their file's checksum. They can be compared with one another all the same. Empty:
// they are the published metric's.
func (m *Meter) Uncalibrated() string { return m.uncalibrated }

// Layer is a layer's part of a distance.
type Layer struct {
	Name  string  `json:"name"` // of the network; "picture" is the picture itself
	Value float64 `json:"value"`
}

// Distance is how different two pictures look.
type Distance struct {
	Value  float64 // the sum of the layers'; 0 of the same picture
	Layers []Layer
	Size   image.Point // at which they were compared
	// Map tells where they differ, one value a pixel, if Options asked for it: the layers' values interpolated, as lpips'
	// spatial=True. Its mean is near Value.
	Map *explain.Map
}

// Told is a distance and what it was measured by, as JSON has them.
type Told struct {
	Metric     Metric  `json:"metric"`
	Version    string  `json:"version"`
	Network    string  `json:"network"`
	Calibrated bool    `json:"calibrated"` // the weights are those that the metric was fitted to
	Height     int     `json:"height"`     // at which the pictures were compared
	Width      int     `json:"width"`
	Distance   float64 `json:"distance"`
	Layers     []Layer `json:"layers,omitempty"`
}

// Tell is for who passes a distance on.
func (m *Meter) Tell(d *Distance) *Told {
	return &Told{m.Metric, m.Metric.Version(), m.Network, m.uncalibrated == "", d.Size.Y, d.Size.X, d.Value, d.Layers}
}

// Gradient is a distance, and how it changes with each sample of the two pictures.
type Gradient struct {
	Distance
	// A and B are 1 x 3 x H x W, red first, by a sample's share of its range: white is 1. H and W are Size. Where all
	// channels of a layer's pixel are 0, which has no gradient, it is 0.
	A, B *tensor.Tensor
}

// SizesError is of two pictures of different sizes.
type SizesError struct{ A, B image.Point }

func (e *SizesError) Error() string {
	return fmt.Sprintf("the pictures have different sizes: %dx%d and %dx%d", e.A.Y, e.A.X, e.B.Y, e.B.X)
}

// TransparentError is of a picture with transparency, whose look depends on what is behind it.
type TransparentError struct{ Second bool } // whether it is the second picture

func (e *TransparentError) Error() string {
	return fmt.Sprintf("the %s picture has transparent parts: how it looks depends on what is behind it",
		map[bool]string{false: "first", true: "second"}[e.Second])
}

// SmallError is of pictures that leave nothing of the last layer.
type SmallError struct {
	Size    image.Point
	Network string
	Least   int // of the shorter side
}

func (e *SmallError) Error() string {
	return fmt.Sprintf("pictures of %dx%d pixels are too small for %s: the shorter side must have %d", e.Size.Y, e.Size.X,
		e.Network, e.Least)
}

// Distance measures. Errors are a *SizesError, a *TransparentError, a *SmallError, an *nn.MemoryError or the model's;
// ctx is looked at between two layers.
func (m *Meter) Distance(ctx context.Context, a, b *vision.Picture) (*Distance, error) {
	g, err := m.measure(ctx, a, b, false)
	if err != nil {
		return nil, err
	}
	return &g.Distance, nil
}

// Gradient measures and takes the distance back to both pictures. It needs the memory of all maps. Errors are those of
// Distance.
func (m *Meter) Gradient(ctx context.Context, a, b *vision.Picture) (*Gradient, error) {
	return m.measure(ctx, a, b, true)
}

// fit makes two pictures what the network sees.
func (m *Meter) fit(a, b *vision.Picture) (*vision.Picture, *vision.Picture, error) {
	for i, p := range []*vision.Picture{a, b} {
		if p.Transparent {
			return nil, nil, &TransparentError{i == 1}
		}
	}
	if a.W != b.W || a.H != b.H {
		return nil, nil, &SizesError{image.Pt(a.W, a.H), image.Pt(b.W, b.H)}
	}
	size, err := m.size(image.Pt(a.W, a.H))
	if err != nil {
		return nil, nil, err
	}
	a, b = a.RGB(), b.RGB()
	if size != image.Pt(a.W, a.H) {
		a, b = a.Resize(size.X, size.Y, vision.Bilinear), b.Resize(size.X, size.Y, vision.Bilinear)
	}
	return a, b, nil
}

// size is that at which pictures are compared.
func (m *Meter) size(p image.Point) (image.Point, error) {
	if min(p.X, p.Y) < m.smallest {
		return p, &SmallError{p, m.Network, m.smallest}
	}
	const side = 256 // of DISTS: torchvision's resize(256), whose longer side is rounded down
	if m.Metric == DISTS && min(p.X, p.Y) > side {
		if p.X < p.Y {
			return image.Pt(side, side*p.Y/p.X), nil
		}
		return image.Pt(side*p.X/p.Y, side), nil
	}
	return p, nil
}

// tap is the part of the network for pictures of a size. Those of another size are let go.
func (m *Meter) tap(size image.Point, gradient bool) (*vggo.Taps, error) {
	input := arch.Shape{C: 3, H: size.Y, W: size.X}
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.taps[key{input, gradient}]; t != nil {
		return t, nil
	}
	placed, err := m.placed.WithInput(input)
	if err != nil {
		return nil, err
	}
	for k := range m.taps {
		if k.input != input {
			delete(m.taps, k)
		}
	}
	algo := nn.Auto
	if gradient {
		// A gradient is of differences, which are small where the pictures are near, and rounding does not shrink with
		// them. Of all algorithms this one rounds least.
		algo = nn.Winograd2
	}
	t := &vggo.Taps{Placed: placed, Options: nn.Options{Batch: 2, InputGrad: gradient, Taps: m.layers, Algo: algo},
		Once: m.once}
	m.taps[key{input, gradient}] = t
	return t, nil
}

// Cost tells what Distance will do for pictures of a size before it does: multiply-accumulates, and the most bytes that
// it takes beside the model's. Errors are those of Distance.
func (m *Meter) Cost(size image.Point) (macs, bytes int64, err error) {
	if size, err = m.size(size); err != nil {
		return 0, 0, err
	}
	t, err := m.tap(size, false)
	if err != nil {
		return 0, 0, err
	}
	report, err := t.Placed.Analyze(2)
	if err != nil {
		return 0, 0, err
	}
	if bytes, err = m.model.TapMemory(t); err != nil {
		return 0, 0, err
	}
	pixels := int64(size.X) * int64(size.Y)
	bytes += pixels * (2*3*4 + 2*3) // prepared, and shrunk
	if m.wantsMap {
		bytes += pixels * 3 * 4
	}
	return 2 * report.Total.MACs, bytes, nil
}

func (m *Meter) measure(ctx context.Context, a, b *vision.Picture, gradient bool) (*Gradient, error) {
	a, b, err := m.fit(a, b)
	if err != nil {
		return nil, err
	}
	size := image.Pt(a.W, a.H)
	taps, err := m.tap(size, gradient)
	if err != nil {
		return nil, err
	}
	recipe := m.model.Preprocess.Preprocess
	recipe.Crop, recipe.Resize, recipe.Stretch = size, size, false
	images := tensor.New(2, 3, a.H, a.W)
	for i, p := range []*vision.Picture{a, b} {
		if err := recipe.Put(images, i, p); err != nil {
			return nil, err
		}
	}
	g := &Gradient{Distance: Distance{Size: size}}
	err = m.model.Tap(ctx, taps, images, func(plan *nn.Plan) error {
		set, err := kernel.Active()
		if err != nil {
			return err
		}
		c := &comparison{Meter: m, set: set, plan: plan, a: a, b: b, result: g}
		if err := c.compare(); err != nil || !gradient {
			return err
		}
		if err := plan.BackwardFrom(c.back); err != nil {
			return err
		}
		dx, err := plan.ImageGrad()
		if err != nil {
			return err
		}
		g.A, g.B = recipe.SampleGradient(dx, 0), recipe.SampleGradient(dx, 1)
		if m.Metric == DISTS {
			c.backToPictures()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, l := range g.Layers {
		g.Value += l.Value
	}
	return g, nil
}
