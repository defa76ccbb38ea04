package vggo

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/fault"
	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// Preparation is how pictures become a network's input, and how that is known.
type Preparation struct {
	vision.Preprocess
	Reason string // a clause: "the file notes it"
	Guess  bool   // nothing states it
	Blind  bool   // a guess by nothing but the size of the input
}

// PreparationTold is a Preparation as JSON tells it, and weights.PreprocessNote.
type PreparationTold struct {
	vision.PreprocessParts
	Reason string `json:"reason"`
	Guess  bool   `json:"guess"`
}

// Told is the preparation for JSON.
func (p Preparation) Told() PreparationTold { return PreparationTold{p.Parts(), p.Reason, p.Guess} }

// String names the preparation and why it is this one: "imagenet (a guess: the names are torchvision's)".
func (p Preparation) String() string {
	if p.Guess {
		return fmt.Sprintf("%s (a guess: %s)", p.Name, p.Reason)
	}
	return fmt.Sprintf("%s (%s)", p.Name, p.Reason)
}

// faces is how many people VGG-Face knows (Parkhi et al., 2015). Its mean is that of vgg_face_dag.py, red first.
const faces = 2622

// largeInput is the shorter side from which on a network of colour pictures is thought to be ImageNet's kind. Smaller
// ones mostly learn from pictures of just their size, samples from 0 to 1.
const largeInput = 128

// Prepare decides how pictures become the input of a network whose weights a file has. What is asked for comes first;
// parts of it are laid over what is decided without them. Then come, in this order: what the file notes, what its first
// layer tells (weights.AncestorOf, weights.Small), whose names its layers have, the size of the input. file and matched
// are nil for random weights.
func Prepare(asked vision.PreprocessParts, placed *arch.Placement, file *weights.File,
	matched *weights.Matched) (Preparation, error) {
	if placed.Input.C != 1 && placed.Input.C != 3 {
		return Preparation{}, fmt.Errorf("%s takes %d channels: a picture has 1 or 3", placed.Network.Name, placed.Input.C)
	}
	if file == nil {
		p, err := byInput(placed.Input)
		if err != nil || asked.IsZero() {
			return p, err
		}
		return p.changed(asked)
	}
	first, err := firstLayerOf(placed, matched)
	if err != nil {
		return Preparation{}, err
	}
	p, err := noted(placed.Network, file)
	if err == nil && p.Reason == "" {
		p, err = told(placed, matched, first)
	}
	if err != nil || asked.IsZero() {
		return p, err
	}
	decided := p
	if p, err = p.changed(asked); err != nil {
		return p, err
	}
	if asked.Base != "" && !decided.Guess && p.Describe() != decided.Describe() {
		p.Reason = fmt.Sprintf("asked for; otherwise it would be %s, since %s", decided.Name, decided.Reason)
	}
	if a, near := first.ancestor(); near && asked.Base == "caffe" && asked.Order == "" && a.Preprocess == "caffe" &&
		a.Turned {
		// The authors' way, in the order that their weights have in this file.
		p.Preprocess = p.Reordered(vision.RGB)
		p.Name, p.Reason = strings.Replace(p.Name, "caffe", "caffe-rgb", 1), "asked for, red first since "+ancestorText(a)
	}
	return p, nil
}

// changed is the preparation with what is asked for laid over it.
func (p Preparation) changed(asked vision.PreprocessParts) (Preparation, error) {
	of, err := asked.Apply(p.Preprocess)
	if err != nil {
		return Preparation{}, err
	}
	if asked.Base != "" {
		return Preparation{Preprocess: of, Reason: "asked for"}, nil
	}
	return Preparation{of, "as asked, and else " + p.Reason, p.Guess, false}, nil
}

// noted is what the file says of its pictures in a note of vggo's, without a reason where it has none.
func noted(net *arch.Network, file *weights.File) (Preparation, error) {
	const reason = "the file notes it"
	p, err := byInput(net.Input)
	if err != nil {
		return p, err
	}
	if note := file.Metadata[weights.PreprocessNote]; note != "" {
		var told PreparationTold
		err := strict.Unmarshal([]byte(note), &told)
		if err == nil {
			told.PreprocessParts, err = told.ForInput(net.Input.W, net.Input.H)
		}
		if err == nil {
			p.Preprocess, err = told.Apply(p.Preprocess)
		}
		if err != nil {
			return p, fmt.Errorf("%s: note %s: %w", file.Path, weights.PreprocessNote, err)
		}
		if told.Guess {
			return Preparation{p.Preprocess, told.Reason, true, false}, nil
		}
		return Preparation{Preprocess: p.Preprocess, Reason: reason}, nil
	}
	name := file.Metadata[weights.RecipeNote]
	if name == "" {
		return Preparation{}, nil
	}
	if name == "caffe" { // whoever wrote that note had turned the weights
		name = "caffe-rgb"
	}
	of, err := vision.PreprocessByName(name, net.Input.W, net.Input.H, net.Input.C)
	if err != nil {
		return p, fmt.Errorf("%s: note %s: %w", file.Path, weights.RecipeNote, err)
	}
	return Preparation{Preprocess: of, Reason: reason}, nil
}

// told is what the weights themselves tell.
func told(placed *arch.Placement, matched *weights.Matched, first firstLayer) (Preparation, error) {
	named := func(name, reason string) (Preparation, error) {
		p, err := vision.PreprocessByName(name, placed.Input.W, placed.Input.H, placed.Input.C)
		return Preparation{p, reason, true, false}, err
	}
	stated := matched.Pictures()
	own, err := matched.Prepares(placed)
	if err != nil {
		return Preparation{}, err
	}
	if own == nil && (stated == nil || stated.Order == "" && stated.Std == nil) { // else it comes after what is stated
		own = weights.TurnedAffine(first.w, first.b, first.shape)
	}
	hints := orderHints{grey: placed.Input.C != 3}
	if own != nil { // otherwise than the published weights' pictures, whose order then tells nothing
		figures := own
		if len(own.Scale) == 0 { // samples of 0 to 1, whatever its first layer makes of them
			if figures, err = matched.FirstAffine(placed.Layers); err != nil {
				return Preparation{}, err
			}
		}
		if figures != nil {
			hints.means = figures.Order()
		}
		if matched.Family == "Keras" && hints.means == "" { // which loads pictures so
			hints.stated = "RGB"
		}
		return preparedInside(own, stated, hints, placed.Input)
	}
	var published Preparation
	a, near := first.ancestor()
	if near {
		if published, err = named(a.Preprocess, ancestorText(a)); err != nil {
			return published, err
		}
		if a.Turned {
			published.Preprocess = published.Reordered(1 - published.Order)
			published.Name = a.Preprocess + "-" + published.Order.String()
		}
		published.Guess = !a.Exact()
	}
	if stated != nil {
		hints.stated = stated.Order
		if near {
			hints.published = &published
		}
		return statedPictures(stated, hints, placed.Input)
	}
	stats, err := matched.PixelStats()
	if err != nil {
		return Preparation{}, err
	}
	if stats != nil {
		if p, err := keptStats(stats, placed.Input); err == nil { // else they are none of this network's pictures
			return p, nil
		}
	}
	if near {
		return published, nil
	}
	names := "the names of the layers are " + matched.Family + "'s"
	small := first.scaled && weights.Small(first.w, first.filters)
	switch name := matched.Preprocess; {
	case placed.Input.C == 1:
		return byInput(placed.Input)
	case matched.Family == "PyTorch" && placed.Output().C == faces && first.filters == 64:
		parts := vision.PreprocessParts{Base: "caffe-rgb", Name: "vgg-face", Mean: vision.Numbers{129.1863, 104.7624, 93.594}}
		p, err := byInput(placed.Input)
		if err != nil {
			return p, err
		}
		p.Preprocess, err = parts.Apply(p.Preprocess)
		return Preparation{p.Preprocess, fmt.Sprintf("%d classes are VGG-Face's, whose mean is its own", faces), true, false},
			err
	case name == "caffe-rgb", name == "caffe" && (small || first.filters == 64):
		return named(name, names+", for the weights of the paper's authors")
	case small && matched.Family == "Darknet": // which decodes red first
		return named("caffe-rgb", "the first layer's weights are small, so that samples of 0 to 255 must come, in Darknet's "+
			"order of channels")
	case small:
		return named("caffe", "the first layer's weights are small, so that samples of 0 to 255 must come, in Caffe's order "+
			"of channels")
	case name == "caffe": // Keras' own VGG in another width: its authors' weights it has not
		return named("unit", names+", for another network than the published")
	case name == "imagenet" && min(placed.Input.W, placed.Input.H) >= largeInput, name == "unit":
		return named(name, names)
	}
	return byInput(placed.Input)
}

// orderHints tell the order of channels.
type orderHints struct {
	stated, means string       // "RGB", "BGR" or empty: by the file's own words, by what is taken from each channel
	published     *Preparation // of the weights that the first layer is or is near; nil for none
	grey          bool         // there is but one
}

// order is PreprocessParts' of the channels, empty for red first. why is what follows the reason, with its punctuation;
// guess is whether the order is not sure.
func (h *orderHints) order() (order, why string, guess bool) {
	blue := false
	switch {
	case h.grey:
	case h.stated != "":
		blue = h.stated == "BGR"
	case h.published != nil:
		blue, why, guess = h.published.Order == vision.BGR, "; "+h.published.Reason, h.published.Guess
	case h.means != "":
		if blue = h.means == "BGR"; blue {
			why, guess = ", with the mean of blue first", true
		}
	default:
		why, guess = "; nothing tells the order of the channels", true
	}
	if blue {
		order = vision.BGR.String()
	}
	return order, why, guess
}

// preparedInside is for a network that scales and shifts its pictures itself: they come as samples of 0 to 1, or of 0
// to 255. stated is what the file says of them besides, or nil.
func preparedInside(own *weights.Affine, stated *weights.Pictures, hints orderHints, input arch.Shape) (Preparation,
	error) {
	order, why, guess := hints.order()
	parts := vision.PreprocessParts{Base: "unit", Order: order}
	reason := "the file's network scales and shifts its pictures itself"
	switch bytes, sure := own.Bytes(); {
	case stated != nil && stated.Bytes:
		parts.Scale = 1
		reason += "; " + stated.Told
	case bytes:
		guess = guess || !sure
		parts.Scale = 1
		reason += ", by figures for samples of 0 to 255"
	}
	p, err := byInput(input)
	if err != nil {
		return p, err
	}
	p.Preprocess, err = parts.Apply(p.Preprocess)
	return Preparation{Preprocess: p.Preprocess, Reason: reason + why, Guess: guess}, err
}

// statedPictures is for a file that states how its pictures come.
func statedPictures(s *weights.Pictures, hints orderHints, input arch.Shape) (Preparation, error) {
	order, why, guess := hints.order()
	parts := vision.PreprocessParts{Name: "as the file states", Mean: s.Mean, Std: s.Std, Order: order, Scale: 255}
	if s.Bytes {
		parts.Scale = 1
	}
	if parts.Std == nil {
		parts.Std = vision.Numbers{1}
	}
	p, err := byInput(input)
	if err != nil {
		return p, err
	}
	of, err := parts.Apply(p.Preprocess)
	for _, name := range []string{"caffe", "caffe-rgb"} { // which have a name
		if known, unknown := vision.PreprocessByName(name, input.W, input.H, input.C); unknown == nil &&
			known.Describe() == of.Describe() {
			of.Name = name
		}
	}
	reason := s.Told + why
	if !guess {
		reason = "the file states it: " + reason
	}
	return Preparation{Preprocess: of, Reason: reason, Guess: guess}, err
}

// keptStats is for a file that keeps the mean and the deviation of its pictures: what they are of, their size tells.
func keptStats(stats *weights.PixelStats, input arch.Shape) (Preparation, error) {
	p, err := byInput(input)
	if err != nil {
		return p, err
	}
	parts := vision.PreprocessParts{Mean: stats.Mean, Std: stats.Std}
	own := stats.Affine()
	if bytes, _ := own.Bytes(); bytes {
		parts.Scale = 1
		if own.Order() == "BGR" {
			parts.Order = vision.BGR.String()
		}
	}
	p.Preprocess, err = parts.Apply(p.Preprocess)
	p.Reason, p.Guess, p.Blind = fmt.Sprintf("the file keeps their mean and deviation as %s and %s", stats.MeanName,
		stats.StdName), true, false
	return p, err
}

// byInput is the guess where nothing tells anything but the size of the input.
func byInput(input arch.Shape) (Preparation, error) {
	name, reason := "unit", fmt.Sprintf("nothing tells, and pictures of %dx%d mostly come so", input.H, input.W)
	switch {
	case input.C == 1:
		reason = "nothing tells, and grey pictures mostly come so"
	case min(input.W, input.H) >= largeInput:
		name = "imagenet"
	}
	p, err := vision.PreprocessByName(name, input.W, input.H, input.C)
	return Preparation{p, reason, true, true}, err
}

func ancestorText(a weights.Ancestor) string {
	order := "as published"
	if a.Turned {
		order = "its channels turned"
	}
	if a.Exact() {
		return fmt.Sprintf("the first layer is that of %s, %s", a.Name, order)
	}
	return fmt.Sprintf("the first layer is %.1f %% away from that of %s, %s", 100*a.Distance, a.Name, order)
}

// firstLayer is what a network's first convolution looks at a colour picture with; empty where there is no such layer.
type firstLayer struct {
	w, b    []float32
	filters int
	shape   []int
	scaled  bool // the size of its weights means something
}

// firstLayerOf copies it: a mapped file may be shortened at any time.
func firstLayerOf(placed *arch.Placement, matched *weights.Matched) (first firstLayer, err error) {
	conv, scaled, ok := weights.FirstConvolution(placed.Layers)
	if !ok || placed.Input.C != 3 {
		return first, nil
	}
	first.scaled, first.filters = scaled, conv.Out.C
	err = fault.Catch(func() error {
		for _, p := range conv.Params {
			data, err := matched.Param(p)
			if err != nil {
				return err
			}
			if p.Role() == "w" {
				first.w, first.shape = slices.Clone(data), p.Shape
			} else {
				first.b = slices.Clone(data)
			}
		}
		return nil
	})
	return first, err
}

func (f firstLayer) ancestor() (weights.Ancestor, bool) { return weights.AncestorOf(f.w, f.b, f.shape) }
