package keras

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/weights/internal/format"
)

// model is a network as Keras describes it, and where its weights are in Keras' files.
type model struct {
	Network *arch.Network // without a name
	// Rescaled: it scales samples of 0 to 255 itself. To 0 to 1 the Network leaves to whoever prepares pictures; what it
	// does beyond is its first layer, a batch norm.
	Rescaled bool
	// Open: the description does not tell the size of its pictures. The sides that it leaves open are 0 in the Network's
	// Input.
	Open   bool
	Placed *arch.Placement // the Network on its input; nil as long as that is Open
	Layers []place

	whole []int // layers of the Network that pool maps whole, and take their windows from the input
}

// place is one of the layers with parameters, in the Network's order.
type place struct {
	Name  string   // its group in files of Keras 1 and 2
	Model string   // in these the group of the outermost model in the model that it is of; else empty
	Path  string   // its group in files of Keras 3, which counts classes: layers/conv2d_1
	Roles []string // of its arrays, as Param.Role says them, in the order in which Keras 3 numbers them
	OIHW  bool     // the kernels of Keras 1 with Theano's order of dimensions are O,I,H,W; all others H,W,I,O
	HWC   bool     // a fully connected layer reads a map that was flattened in the order H,W,C
	// Normalises: its statistics are those of pictures as they come, whose samples go to 255 where a mean is above
	// format.BytesFrom.
	Normalises bool
	// Fixed are values that the description states, by role: one for each channel, or one for all. There are no arrays of
	// these.
	Fixed map[string][]float32
}

// modelJSON is the description's outermost layer (keras/src/models/model.py, to_json); in Keras 1 a Sequential's
// config is the list of its layers.
type modelJSON struct {
	Class  string         `json:"class_name"`
	Config jsontext.Value `json:"config"`
	Build  struct {
		Input []any `json:"input_shape"`
	} `json:"build_config"`
}

type configJSON struct {
	Layers  []item `json:"layers"`
	Build   []any  `json:"build_input_shape"`
	Outputs any    `json:"output_layers"`
}

type item struct {
	Class  string         `json:"class_name"`
	Config jsontext.Value `json:"config"`
	Nodes  any            `json:"inbound_nodes"`

	settings settings
	name     string
}

// containers are the classes of models.
var containers = []string{"Sequential", "Functional", "Model"}

// maxNested is how deep models may lie in each other.
const maxNested = 8

// decode reads a model's description by Keras 1, 2 or 3: what Model.to_json writes, of at most 1 MiB. It must be a
// plain chain, Sequential or Functional, which may hold other such models. All layers that vggo cannot run are named in
// one error.
func decode(data []byte) (*model, error) {
	if len(data) > maxConfig {
		return nil, fmt.Errorf("a network's description is at most %d bytes", maxConfig)
	}
	var text modelJSON
	if err := strict.Unmarshal(data, &text); err != nil {
		return nil, fmt.Errorf("the model's description is not JSON: %w", err)
	}
	b := builder{net: &arch.Network{Title: "read from a Keras model"}, counts: map[string]int{}}
	if err := b.model(text.Class, text.Config, text.Build.Input, "", 0); err != nil {
		return nil, err
	}
	switch {
	case b.pad != nil:
		b.faults = append(b.faults, "a ZeroPadding2D at the end pads nothing")
	case len(b.net.Layers) > arch.MaxLayers:
		return nil, fmt.Errorf("%d layers are more than %d", len(b.net.Layers), arch.MaxLayers)
	}
	switch {
	case len(b.faults) > 0:
		return nil, fmt.Errorf("this model cannot be run: %s", strings.Join(b.faults, "; "))
	case len(b.net.Layers) == 0:
		return nil, errors.New("the model has no layers that compute")
	}
	in := b.net.Input
	read := &model{Network: b.net, Rescaled: b.rescaled, Layers: b.weighted, whole: b.whole, Open: in.C == 0 ||
		in.H == 0 || in.W == 0}
	if read.Open {
		return read, nil
	}
	return read, read.Place(in)
}

// Place gives the Network an input, and sets Placed. A network that is not possible on it is an error.
func (m *model) Place(in arch.Shape) (err error) {
	m.Network.Input = in
	for _, i := range m.whole {
		before := *m.Network
		before.Layers = before.Layers[:i]
		size := in
		if placed, err := before.Place(in); err == nil && i > 0 { // else placing all says what is wrong
			size = placed.Output()
		}
		m.Network.Layers[i].Op = arch.MaxPool{Window: arch.Window{Kernel: arch.Size{H: size.H, W: size.W}}}
	}
	m.Placed, err = m.Network.Place(in)
	var impossible *arch.ShapeError
	if errors.As(err, &impossible) {
		impossible.Network = "the model"
	}
	return err
}

// Description reads what Keras' Model.to_json writes, alone or in TensorFlow.js' model.json. A network whose pictures'
// size is open is for ImageNet's.
var Description = format.Description{Knows: isModel, Read: func(data []byte) (*arch.Placement, error) {
	if isTFJS(data) {
		_, t, err := readManifest(data)
		switch {
		case err != nil:
			return nil, err
		case t.Nodes != nil:
			return nil, ErrGraph
		}
		data = t.Model
	}
	m, err := decode(data)
	if err != nil {
		return nil, err
	}
	if m.Placed != nil {
		return m.Placed, nil
	}
	in := m.Network.Input
	if in.C == 0 {
		return nil, errors.New("the model's description does not tell the size of its input")
	}
	in.H, in.W = cmp.Or(in.H, arch.ImageNetInput.H), cmp.Or(in.W, arch.ImageNetInput.W)
	err = m.Place(in)
	return m.Placed, err
}}

// isModel reports whether a description is Keras', or in a model.json.
func isModel(data []byte) bool {
	var model struct {
		Class *string `json:"class_name"`
	}
	return isTFJS(data) || strict.Unmarshal(data, &model) == nil && model.Class != nil
}

// builder collects layers.
type builder struct {
	net      *arch.Network
	rescaled bool
	weighted []place
	pad      *arch.Padding // of a ZeroPadding2D that the next convolution takes over
	first    bool          // maps are C,H,W
	vector   bool          // behind Flatten or global pooling
	outer    string        // the outermost model in the model that layers are read of; else empty
	hwc      bool          // a map was flattened in H,W,C order, and no fully connected layer has read it yet
	whole    []int         // layers that pool maps whole, of whatever size these are
	items    int
	faults   []string
	counts   map[string]int // layers of a class in a container so far, by path
}

// model adds a model's layers. path is its own in Keras 3's files.
func (b *builder) model(class string, text jsontext.Value, input []any, path string, depth int) error {
	if !slices.Contains(containers, class) {
		return fmt.Errorf("a model of class %q: Sequential and Functional are read", format.Clip(class))
	}
	if depth > maxNested {
		return fmt.Errorf("models lie more than %d deep in each other", maxNested)
	}
	var config configJSON
	if err := strict.Unmarshal(text, &config); err != nil {
		if strict.Unmarshal(text, &config.Layers) != nil {
			return fmt.Errorf("the model's description: %w", err)
		}
	}
	if b.items += len(config.Layers); b.items > arch.MaxLayers {
		return fmt.Errorf("%d layers are more than %d", b.items, arch.MaxLayers)
	}
	list := config.Layers
	known := false // the order of a map's axes, before the first layer that is asked for it
	for i := range list {
		item := &list[i]
		if strict.Unmarshal(item.Config, &item.settings) != nil {
			return fmt.Errorf("the model's description: layer %d has no settings", i+1)
		}
		item.name = item.settings.text("", "name")
		if order := item.settings.order(); order != "" && !known && b.net.Input == (arch.Shape{}) {
			b.first, known = order == channelsFirst, true
		}
	}
	if names := references(config.Outputs, list); len(list) > 0 && len(names) > 0 &&
		!slices.Equal(names, []string{list[len(list)-1].name}) {
		b.faults = append(b.faults, fmt.Sprintf("outputs %s: one at the chain's end is read",
			format.Clip(strings.Join(names, ", "))))
	}
	if b.net.Input == (arch.Shape{}) {
		b.input(config.Build)
		b.input(input)
	}
	for i, item := range list {
		if i > 0 && item.Nodes != nil && !slices.Equal(references(item.Nodes, list), []string{list[i-1].name}) {
			b.fault(item, "does not follow the layer before it, and it alone: only plain chains run")
			continue
		}
		if b.net.Input == (arch.Shape{}) {
			b.input(item.settings.list("batch_shape", "batch_input_shape"))
		}
		at := path + "layers/" + snakeCase(item.Class)
		b.counts[at]++
		if n := b.counts[at]; n > 1 {
			at += fmt.Sprintf("_%d", n-1)
		}
		if slices.Contains(containers, item.Class) {
			outer := b.outer
			b.outer = cmp.Or(outer, item.name)
			if err := b.model(item.Class, item.Config, nil, at+"/", depth+1); err != nil {
				return err
			}
			b.outer = outer
			continue
		}
		b.add(item, at)
	}
	return nil
}

// snakeCase is Keras' to_snake_case (keras/src/utils/naming.py) for the classes whose layers have arrays.
func snakeCase(class string) string {
	if class == "BatchNormalization" {
		return "batch_normalization"
	}
	return strings.ToLower(class)
}

// references finds the layers that a list of inputs or outputs speaks of, in whichever nesting each version of Keras
// has.
func references(v any, layers []item) []string {
	known := make(map[string]bool, len(layers))
	for _, l := range layers {
		known[l.name] = true
	}
	var names []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, w := range v {
				walk(w)
			}
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				walk(v[key])
			}
		case string:
			if known[v] {
				names = append(names, v)
			}
		}
	}
	walk(v)
	return names
}

func (b *builder) fault(item item, text string, args ...any) {
	b.faults = append(b.faults, fmt.Sprintf("%s (%s) %s", format.Clip(item.name), format.Clip(item.Class),
		fmt.Sprintf(text, args...)))
}

// push adds a layer under its own name, what belongs to it under that and a suffix.
func (b *builder) push(item item, suffix string, op arch.Op) {
	name := item.name
	if name == "" {
		name = fmt.Sprintf("%s%d", op.Kind(), len(b.net.Layers)+1)
	}
	b.net.Layers = append(b.net.Layers, arch.Layer{Name: b.net.FreeName(arch.FitName(name, op.Kind()) + suffix), Op: op})
}

// idle are layers that do something in training alone.
var idle = []string{"InputLayer", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "ActivityRegularization",
	"RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness"}

// add adds one layer of the description. path is where Keras 3 keeps its arrays.
func (b *builder) add(item item, path string) {
	s := item.settings
	if slices.Contains(idle, item.Class) {
		return
	}
	if b.pad != nil && item.Class != "Conv2D" && item.Class != "Convolution2D" {
		b.fault(item, "after a ZeroPadding2D: only a convolution can take its padding over")
		b.pad = nil
	}
	if order := s.order(); order != "" && item.Class != "Flatten" {
		if first := order == channelsFirst; first != b.first {
			b.fault(item, "has its axes in another order than the layers before it")
		}
	}
	switch item.Class {
	case "Conv2D", "Convolution2D":
		b.conv(item, path)
	case "ZeroPadding2D":
		if pad, ok := s.padding(); ok {
			b.pad = &pad
		} else {
			b.fault(item, "pads by something else than numbers")
		}
	case "MaxPooling2D", "AveragePooling2D":
		b.sized(item, "pool_size", "strides")
		w := arch.Window{Kernel: arch.Square(2), Stride: s.size("strides")}
		if s.value("pool_size") != nil {
			w.Kernel = s.size("pool_size")
		}
		if w.Stride == (arch.Size{}) {
			w.Stride = w.Kernel
		}
		w.Pad.Mode = b.padMode(item)
		if item.Class == "MaxPooling2D" {
			b.push(item, "", arch.MaxPool{Window: w})
		} else {
			b.push(item, "", arch.AvgPool{Window: w})
		}
	case "GlobalAveragePooling2D":
		b.vector = !s.truth(false, "keepdims")
		b.push(item, "", arch.GlobalAvgPool{})
	case "GlobalMaxPooling2D":
		b.vector = !s.truth(false, "keepdims")
		b.whole = append(b.whole, len(b.net.Layers))
		b.push(item, "", arch.MaxPool{})
	case "BatchNormalization":
		b.batchNorm(item, path)
	case "Flatten":
		// Flatten moves the channels to the end itself where it is told that they come first.
		if s.order() == channelsFirst && !b.first {
			b.fault(item, "takes the axes of its map in another order than the layers before it")
		}
		b.hwc = b.hwc || !b.vector && (!b.first || s.order() == channelsFirst) // a second one changes nothing
		b.vector = true
		b.push(item, "", arch.Flatten{})
	case "Dense":
		if !b.vector && len(b.faults) == 0 { // behind an unknown layer nobody knows
			b.fault(item, "reads a map: it needs a Flatten or a GlobalAveragePooling2D before it")
		}
		op := arch.Linear{Out: s.int("units", "output_dim"), NoBias: !s.truth(true, "use_bias", "bias")}
		b.weigh(place{Path: path, HWC: b.hwc}, item, op.NoBias)
		b.hwc = false
		b.push(item, "", op)
		b.activation(item)
	case "Dropout":
		if rate := s.number(0, "rate", "p"); rate > 0 {
			b.push(item, "", arch.Dropout{Keep: 1 - rate})
		}
	case "Activation", "ReLU", "Softmax":
		b.activate(item)
	case "Rescaling":
		b.rescale(item)
	case "Normalization":
		b.normalise(item, path)
	default:
		b.fault(item, "is not a layer that vggo runs")
	}
}

func (b *builder) conv(item item, path string) {
	s := item.settings
	b.sized(item, "strides", "subsample", "dilation_rate")
	w := arch.Window{Kernel: s.size("kernel_size"), Stride: s.size("strides", "subsample"),
		Dilation: s.size("dilation_rate")}
	if w.Kernel == (arch.Size{}) {
		w.Kernel = arch.Size{H: s.int("nb_row"), W: s.int("nb_col")}
	}
	w.Pad.Mode = b.padMode(item)
	if b.pad != nil {
		if w.Pad.Mode == arch.Same {
			b.fault(item, `pads by "same" what a ZeroPadding2D has padded`)
		}
		w.Pad, b.pad = *b.pad, nil
	}
	op := arch.Conv{Out: s.int("filters", "nb_filter"), Window: w, Groups: 1, NoBias: !s.truth(true, "use_bias", "bias")}
	if s.value("groups") != nil {
		op.Groups = s.int("groups")
	}
	if b.vector {
		b.fault(item, "reads a vector")
	}
	if w.Kernel.H == 0 || w.Kernel.W == 0 || op.Groups == 0 {
		b.fault(item, "has no kernel or groups of a known size")
	}
	b.weigh(place{Path: path, OIHW: item.Class == "Convolution2D" && b.first}, item, op.NoBias)
	b.push(item, "", op)
	b.activation(item)
}

// weigh notes where a layer's weights are, and its biases if it has some.
func (b *builder) weigh(at place, item item, noBias bool) {
	at.Name, at.Model, at.Roles = item.name, b.outer, []string{"w", "b"}
	if noBias {
		at.Roles = at.Roles[:1]
	}
	b.weighted = append(b.weighted, at)
}

// rescale takes in x*scale + offset as the first layer. A scale that brings 255 to a few units is of samples of 0 to
// 255; pictures are then prepared as 0 to 1, and what is left of the two is a batch norm.
func (b *builder) rescale(item item) {
	scale, ok := item.settings.numbers("scale")
	offset, ok2 := item.settings.numbers("offset")
	if item.settings.value("offset") == nil {
		offset, ok2 = []float64{0}, true
	}
	if !ok || !ok2 || len(b.net.Layers) > 0 || b.rescaled {
		b.fault(item, "is read as the first layer alone, by numbers")
		return
	}
	if largest := slices.Max(scale); largest > 0 && largest <= 1.0/16 {
		b.rescaled = true
		for i := range scale {
			scale[i] *= 255
		}
	}
	if len(scale) == 1 && math.Abs(scale[0]-1) < 1e-9 && len(offset) == 1 && offset[0] == 0 {
		return
	}
	b.affine(item, map[string][]float32{"gamma": narrow(scale), "beta": narrow(offset), "mean": {0}, "var": {1}})
}

// normalise takes in (x-mean)/max(sqrt(variance), 1e-7) as one of the first layers, by the description's figures or
// those that it has learnt.
func (b *builder) normalise(item item, path string) {
	s := item.settings
	if !b.overChannels(s) || s.truth(false, "invert") || len(b.weighted) > 1 || b.vector {
		b.fault(item, "is read as one of the first layers, over channels and not inverted")
		return
	}
	if s.value("mean") == nil && s.value("variance") == nil {
		b.weighted = append(b.weighted, place{Name: item.name, Model: b.outer, Path: path,
			Roles: []string{"mean", "var"}, Normalises: !b.rescaled})
		b.push(item, "", arch.Constants())
		return
	}
	mean, ok := s.numbers("mean")
	variance, ok2 := s.numbers("variance")
	if !ok || !ok2 || slices.Min(variance) <= 0 {
		b.fault(item, "has a mean and a variance that are no numbers, or not above 0")
		return
	}
	if !b.rescaled && slices.Max(mean) > format.BytesFrom {
		b.rescaled = true
		for i := range mean {
			mean[i] /= 255
		}
		for i := range variance {
			variance[i] /= 255 * 255
		}
	}
	b.affine(item, map[string][]float32{"gamma": {1}, "beta": {0}, "mean": narrow(mean), "var": narrow(variance)})
}

// affine adds a batch norm whose values the description states.
func (b *builder) affine(item item, values map[string][]float32) {
	b.weighted = append(b.weighted, place{Name: item.name, Fixed: values})
	b.push(item, "", arch.Constants())
}

func narrow(values []float64) []float32 {
	list := make([]float32, len(values))
	for i, v := range values {
		list[i] = float32(v)
	}
	return list
}

func (b *builder) batchNorm(item item, path string) {
	s := item.settings
	if s.value("axis") != nil && !b.overChannels(s) || !s.plain(0, "mode") {
		b.fault(item, "normalises by something else than channels")
	}
	if b.hwc {
		b.fault(item, "stands between Flatten and Dense: the order of its channels would be another")
	}
	layer := place{Name: item.name, Model: b.outer, Path: path}
	if s.truth(true, "scale") {
		layer.Roles = append(layer.Roles, "gamma")
	}
	if s.truth(true, "center") {
		layer.Roles = append(layer.Roles, "beta")
	}
	layer.Roles = append(layer.Roles, "mean", "var")
	b.weighted = append(b.weighted, layer)
	b.push(item, "", arch.BatchNorm{Eps: s.number(1e-3, "epsilon"), Momentum: 1 - s.number(0.99, "momentum")})
}

// input reads the size of the pictures from a batch's shape. A side that a network leaves open is 0.
func (b *builder) input(dims []any) {
	if len(dims) != 4 || b.net.Input != (arch.Shape{}) {
		return
	}
	h, w, c := dims[1], dims[2], dims[3]
	if b.first {
		c, h, w = dims[1], dims[2], dims[3]
	}
	b.net.Input = arch.Shape{C: whole(c), H: whole(h), W: whole(w)}
}

// sized refuses settings that are there and are no size.
func (b *builder) sized(item item, names ...string) {
	for _, name := range names {
		if size := item.settings.size(name); item.settings.value(name) != nil && (size.H == 0 || size.W == 0) {
			b.fault(item, "has %s that are no numbers above 0", name)
		}
	}
}

func (b *builder) padMode(item item) arch.PadMode {
	switch mode := item.settings.text("valid", "padding", "border_mode"); mode {
	case "same":
		return arch.Same
	case "valid":
	default:
		b.fault(item, "pads by %q: same and valid are known", format.Clip(mode))
	}
	return arch.Valid
}

// activation adds what a layer ends with.
func (b *builder) activation(item item) {
	switch name := item.settings.activation(); {
	case name == "linear":
	case name == "relu":
		b.push(item, "_relu", arch.ReLU{})
	case name == "sigmoid":
		b.push(item, "_sigmoid", arch.Sigmoid{})
	case name == "softmax" && (b.vector || !b.first):
		b.push(item, "_softmax", arch.Softmax{})
	default:
		b.fault(item, "ends with activation %q: relu, softmax, sigmoid and linear are known", format.Clip(name))
	}
}

// overChannels reports whether a layer's axis is that of the channels.
func (b *builder) overChannels(s settings) bool {
	axis, ok := s.axis(-1)
	switch {
	case !ok:
		return false
	case b.vector:
		return axis == -1 || axis == 1
	case b.first:
		return axis == 1 || axis == -3
	}
	return axis == -1 || axis == 3
}

// activate adds a layer that is an activation itself.
func (b *builder) activate(item item) {
	s := item.settings
	name := strings.ToLower(item.Class)
	if item.Class == "Activation" {
		name = s.activation()
	}
	switch {
	case name == "linear":
	case name == "softmax" && b.overChannels(s):
		b.push(item, "", arch.Softmax{})
	case name == "sigmoid":
		b.push(item, "", arch.Sigmoid{})
	case name == "relu" && s.value("max_value") == nil && s.plain(0, "negative_slope") && s.plain(0, "threshold"):
		b.push(item, "", arch.ReLU{})
	default:
		b.fault(item, "is activation %q: plain relu, softmax over channels, sigmoid and linear are known", format.Clip(name))
	}
}
