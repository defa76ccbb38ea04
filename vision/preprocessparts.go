package vision

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/vggo/vggo/internal/plainfile"
)

// PreprocessParts are parts of a Preprocess as people give them, on a command line, in YAML or in JSON. What is left
// out stays as it is in the Preprocess that they are laid over.
type PreprocessParts struct {
	Name string `yaml:"name,omitempty" json:"name,omitempty"` // what the result is called
	// Base is a named Preprocess that the others are laid over.
	Base string `yaml:"base,omitempty" json:"base,omitempty"`
	// Order is rgb or bgr. Given without Mean or Std, those of the base go with their colours.
	Order string `yaml:"channel_order,omitempty" json:"channel_order,omitempty"`
	// Scale divides samples of 0 to 255: 255 makes 0 to 1, 1 leaves them; 0 is left out.
	Scale float32 `yaml:"scale,omitempty" json:"scale,omitempty"`
	// Mean and Std are of scaled samples, one number for each channel in the input's order, or one for all.
	Mean Numbers `yaml:"mean,omitempty,flow" json:"mean,omitempty"`
	Std  Numbers `yaml:"std,omitempty,flow" json:"std,omitempty"`
	// Resize is 256 (the shorter side; the proportions stay), 256x256 (both sides, wide x high; the proportions go) or
	// "cover 300x256" (the least that covers it; the proportions stay).
	Resize string `yaml:"resize,omitempty" json:"resize,omitempty"`
	// 224 or 224x224, cut out of the centre: the network's input
	Crop   string `yaml:"crop,omitempty" json:"crop,omitempty"`
	Filter string `yaml:"filter,omitempty" json:"filter,omitempty"`
}

// Numbers are several, or one, which then stands for every channel.
type Numbers []float32

func (n *Numbers) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		var one float32
		err := node.Decode(&one)
		*n = Numbers{one}
		return err
	}
	return node.Decode((*[]float32)(n))
}

// IsZero reports whether no part is given.
func (p PreprocessParts) IsZero() bool { return reflect.ValueOf(p).IsZero() }

// Over is p with what it leaves out taken from below, whose mean and deviation go with their colours if p says another
// order.
func (p PreprocessParts) Over(below PreprocessParts) PreprocessParts {
	if p.IsZero() {
		return below
	}
	below.Name = "" // which it no longer is
	if p.Order != "" && !strings.EqualFold(p.Order, cmp.Or(below.Order, RGB.String())) {
		below.Mean, below.Std = slices.Clone(below.Mean), slices.Clone(below.Std)
		slices.Reverse(below.Mean)
		slices.Reverse(below.Std)
	}
	upper, lower := reflect.ValueOf(&p).Elem(), reflect.ValueOf(below)
	for i := range upper.NumField() {
		if upper.Field(i).IsZero() {
			upper.Field(i).Set(lower.Field(i))
		}
	}
	return p
}

// maxParts bounds a file of parts in bytes.
const maxParts = 64 << 10

// ReadPreprocess returns the parts that a text stands for: a named Preprocess, a file of parts, which ends in .yaml,
// .yml or .json, or parts themselves between braces: "{scale: 255, mean: 0.5, std: 0.5}".
func ReadPreprocess(text string) (PreprocessParts, error) {
	if strings.HasPrefix(text, "{") {
		return decodePreprocess(strings.NewReader(text))
	}
	for _, ending := range []string{".yaml", ".yml", ".json"} {
		if strings.HasSuffix(strings.ToLower(text), ending) {
			return plainfile.Read(text, decodePreprocess)
		}
	}
	return PreprocessParts{Base: text}, nil
}

// decodePreprocess reads parts as YAML or JSON, at most 64 KiB. A key that is none of theirs is an error.
func decodePreprocess(in io.Reader) (PreprocessParts, error) {
	var parts PreprocessParts
	text, err := io.ReadAll(io.LimitReader(in, maxParts+1))
	if err != nil {
		return parts, err
	}
	if len(text) > maxParts {
		return parts, fmt.Errorf("a preprocess is at most %d bytes", maxParts)
	}
	if err := yaml.Unmarshal(text, &parts); err != nil {
		return parts, errors.New(strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " "))
	}
	if parts.IsZero() {
		return parts, errors.New("the preprocess is empty")
	}
	return parts, nil
}

// UnmarshalYAML takes a name, which replaces all, or parts, which replace those that there are.
func (p *PreprocessParts) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*p = PreprocessParts{}
		return node.Decode(&p.Base)
	}
	if node.Kind != yaml.MappingNode {
		return errors.New("a preprocess is a name or a list of its parts, each with its key")
	}
	var known []string
	for field := range reflect.TypeFor[PreprocessParts]().Fields() {
		key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		known = append(known, key)
	}
	for i := 0; i < len(node.Content); i += 2 {
		if key := node.Content[i].Value; !slices.Contains(known, key) {
			return fmt.Errorf("line %d: a preprocess has no %q: want %s", node.Content[i].Line, key, strings.Join(known, ", "))
		}
	}
	type plain PreprocessParts
	return node.Decode((*plain)(p))
}

// MarshalYAML writes a name alone where there is nothing else.
func (p PreprocessParts) MarshalYAML() (any, error) {
	type plain PreprocessParts
	if base := p.Base; reflect.DeepEqual(p, PreprocessParts{Base: base}) {
		return base, nil
	}
	return plain(p), nil
}

// Apply lays parts over a Preprocess. Base, if given, takes its place first.
func (p PreprocessParts) Apply(to Preprocess) (Preprocess, error) {
	if p.Base != "" {
		var err error
		if to, err = PreprocessByName(p.Base, to.Crop.X, to.Crop.Y, to.Channels); err != nil {
			return to, err
		}
	}
	base := to.Name
	for _, part := range []struct {
		what  string
		given bool
		apply func(*Preprocess) error
	}{
		{"channel order", p.Order != "", p.applyOrder},
		{"scale", p.Scale != 0, p.applyScale},
		{"mean", p.Mean != nil, p.applyMean},
		{"std", p.Std != nil, p.applyStd},
		{"crop", p.Crop != "", p.applyCrop},
		{"resize", p.Resize != "", p.applyResize},
		{"filter", p.Filter != "", p.applyFilter},
	} {
		if !part.given {
			continue
		}
		if err := part.apply(&to); err != nil {
			return to, fmt.Errorf("%s: %w", part.what, err)
		}
		if to.Name == base {
			to.Name += " with own "
		} else {
			to.Name += ", "
		}
		to.Name += part.what
	}
	if p.Name != "" {
		to.Name = p.Name
	}
	return to, p.checkUnits(to)
}

func (p PreprocessParts) applyOrder(to *Preprocess) error {
	order := RGB
	switch strings.ToLower(p.Order) {
	case "rgb":
	case "bgr":
		order = BGR
	default:
		return fmt.Errorf("%q: want rgb or bgr", p.Order)
	}
	if to.Channels != 3 {
		return errors.New("the network's pictures are grey")
	}
	*to = to.Reordered(order)
	return nil
}

func (p PreprocessParts) applyScale(to *Preprocess) error {
	if !(p.Scale >= 1 && p.Scale <= 1<<16) {
		return fmt.Errorf("%v: samples are divided by it, so that 255 makes 0 to 1 and 1 leaves 0 to 255", p.Scale)
	}
	to.Scale = p.Scale
	return nil
}

func (p PreprocessParts) applyMean(to *Preprocess) (err error) {
	to.Mean, err = p.Mean.forChannels(to.Channels)
	return err
}

func (p PreprocessParts) applyStd(to *Preprocess) (err error) {
	if to.Std, err = p.Std.forChannels(to.Channels); err == nil && slices.Min(to.Std) <= 0 {
		err = fmt.Errorf("%v must be above 0", slices.Min(to.Std))
	}
	return err
}

// forChannels is a number for each channel.
func (n Numbers) forChannels(channels int) ([]float32, error) {
	for _, v := range n {
		if math.IsNaN(float64(v)) || math.Abs(float64(v)) > 1<<16 {
			return nil, fmt.Errorf("%v is no sample's", v)
		}
	}
	switch len(n) {
	case channels:
		return slices.Clone(n), nil
	case 1:
		return slices.Repeat(n, channels), nil
	}
	return nil, fmt.Errorf("%d numbers for %d channels: want one for each, or one for all", len(n), channels)
}

// checkUnits refuses a mean or a deviation that was given in other units than the scale makes of samples: 123.68 of
// samples from 0 to 1, or 0.485 of samples from 0 to 255.
func (p PreprocessParts) checkUnits(to Preprocess) error {
	if p.Mean == nil && p.Std == nil && p.Scale == 0 {
		return nil
	}
	most := 255 / to.Scale
	largest := max(slices.Max(to.Mean), -slices.Min(to.Mean))
	switch {
	case largest > 2*most || slices.Max(to.Std) > 2*most && slices.Max(to.Std) > 1:
		return fmt.Errorf("a mean of %v and a deviation of %v are not of samples from 0 to %v, which scale %v makes: scale "+
			"1 leaves 0 to 255",
			largest, slices.Max(to.Std), most, to.Scale)
	case most > 2 && (largest > 0 && largest <= 1 || slices.Max(to.Std) < 1):
		return fmt.Errorf("a mean of %v and a deviation of %v are not of samples from 0 to %v, which scale %v leaves: scale "+
			"255 makes 0 to 1",
			largest, slices.Max(to.Std), most, to.Scale)
	}
	return nil
}

func (p PreprocessParts) applyCrop(to *Preprocess) error {
	size, err := parseSize(p.Crop)
	if err == nil && size != to.Crop {
		err = fmt.Errorf("%s is not the %s that the network takes", sizeText(size), sizeText(to.Crop))
	}
	return err
}

func (p PreprocessParts) applyResize(to *Preprocess) error {
	text, cover := strings.CutPrefix(p.Resize, "cover ")
	size, err := parseSize(text)
	if err != nil {
		return err
	}
	to.Resize, to.Stretch = size, !cover && strings.Contains(text, "x")
	if size.X < to.Crop.X || size.Y < to.Crop.Y {
		return fmt.Errorf("the network's %s cannot be cut out of %s", sizeText(to.Crop), p.Resize)
	}
	return nil
}

func (p PreprocessParts) applyFilter(to *Preprocess) error {
	for _, f := range []Filter{Bilinear, Bicubic} {
		if f.String() == strings.ToLower(p.Filter) {
			to.Filter = f
			return nil
		}
	}
	return fmt.Errorf("%q: want %v or %v", p.Filter, Bilinear, Bicubic)
}

// maxSide bounds the sides that a picture is resized to.
const maxSide = 1 << 14

// parseSize reads 256, which stands for both sides, or 256x300, high x wide.
func parseSize(text string) (image.Point, error) {
	h, w, two := strings.Cut(strings.TrimSpace(text), "x")
	if !two {
		w = h
	}
	x, errX := strconv.Atoi(w)
	y, errY := strconv.Atoi(h)
	if errX != nil || errY != nil || x < 1 || y < 1 || x > maxSide || y > maxSide {
		return image.Point{}, fmt.Errorf("%q: want pixels, such as 256 or 256x320, height first, at most %d", text, maxSide)
	}
	return image.Pt(x, y), nil
}

func sizeText(size image.Point) string { return fmt.Sprintf("%dx%d", size.Y, size.X) }

// Parts are all parts of a Preprocess, for whoever writes it down.
func (r Preprocess) Parts() PreprocessParts {
	p := PreprocessParts{
		Name: r.Name, Scale: r.Scale, Mean: r.Mean, Std: r.Std,
		Resize: "cover " + sizeText(r.Resize), Crop: sizeText(r.Crop), Filter: r.Filter.String(),
	}
	switch {
	case r.Stretch:
		p.Resize = sizeText(r.Resize)
	case r.Resize.X == r.Resize.Y:
		p.Resize = strconv.Itoa(r.Resize.X)
	}
	if r.Channels == 3 {
		p.Order = r.Order.String()
	}
	return p
}

// ForInput is the same parts for an input of w by h pixels: if they crop to another size, Resize keeps its margin
// around it.
func (p PreprocessParts) ForInput(w, h int) (PreprocessParts, error) {
	if p.Crop == "" {
		return p, nil
	}
	crop, err := parseSize(p.Crop)
	if err != nil || crop == image.Pt(w, h) {
		return p, err
	}
	p.Crop = sizeText(image.Pt(w, h))
	text, cover := strings.CutPrefix(p.Resize, "cover ")
	size, err := parseSize(text)
	if err != nil {
		return p, err
	}
	size = image.Pt(max(w, (size.X*w+crop.X/2)/crop.X), max(h, (size.Y*h+crop.Y/2)/crop.Y))
	p.Resize = sizeText(size)
	if cover || !strings.Contains(text, "x") {
		p.Resize = "cover " + p.Resize
	}
	return p, nil
}

// Describe tells a Preprocess in a line: "RGB, shorter side 256, centre 224x224, (0..1 - 0.485 0.456 0.406) / 0.229
// 0.224 0.225".
func (r Preprocess) Describe() string {
	text := "grey"
	if r.Channels == 3 {
		text = strings.ToUpper(r.Order.String())
	}
	switch {
	case r.Stretch:
		text += ", stretched to " + sizeText(r.Resize)
	case r.Resize.X == r.Resize.Y:
		text += fmt.Sprintf(", shorter side %d", r.Resize.X)
	default:
		text += ", scaled to cover " + sizeText(r.Resize)
	}
	if r.Resize != r.Crop || !r.Stretch {
		text += ", centre " + sizeText(r.Crop)
	}
	samples := fmt.Sprintf("0..%v", 255/r.Scale)
	if slices.Max(r.Mean) != 0 || slices.Min(r.Mean) != 0 {
		samples += " less " + numbersText(r.Mean)
	}
	if slices.Max(r.Std) != 1 || slices.Min(r.Std) != 1 {
		samples = samples + ", divided by " + numbersText(r.Std)
	}
	return text + ", samples " + samples
}

// numbersText is one number where all are the same.
func numbersText(list []float32) string {
	if slices.Min(list) == slices.Max(list) {
		list = list[:1]
	}
	return strings.Trim(fmt.Sprint(list), "[]")
}
