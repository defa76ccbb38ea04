package arch

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// KerasModel is a network as Keras describes it, and where its weights are in Keras' files.
type KerasModel struct {
	Network  *Network // without a name
	Rescaled bool     // it begins by scaling samples of 0 to 255 to 0 to 1, which the Network leaves to whoever prepares pictures
	Layers   []KerasLayer
}

// KerasLayer is one of the layers with parameters, in the Network's order.
type KerasLayer struct {
	Name  string   // its group in files of Keras 1 and 2
	Path  string   // its group in files of Keras 3, which counts classes: layers/conv2d_1
	Roles []string // of its arrays, as Param.Role says them, in the order in which Keras 3 numbers them
	OIHW  bool     // the kernels of Keras 1 with Theano's order of dimensions are O,I,H,W; all others H,W,I,O
	HWC   bool     // a fully connected layer reads a map that was flattened in the order H,W,C
}

// kerasModel is the description's outermost layer (keras/src/models/model.py, to_json); in Keras 1 a Sequential's config is the list of its
// layers.
type kerasModel struct {
	Class  string          `json:"class_name"`
	Config json.RawMessage `json:"config"`
	Build  struct {
		Input []any `json:"input_shape"`
	} `json:"build_config"`
}

type kerasConfig struct {
	Layers  []kerasItem `json:"layers"`
	Build   []any       `json:"build_input_shape"`
	Outputs any         `json:"output_layers"`
}

type kerasItem struct {
	Class  string          `json:"class_name"`
	Config json.RawMessage `json:"config"`
	Nodes  any             `json:"inbound_nodes"`

	settings settings
	name     string
}

// kerasContainers are the classes of models.
var kerasContainers = []string{"Sequential", "Functional", "Model"}

// maxKerasDepth is how deep models may lie in each other.
const maxKerasDepth = 8

// DecodeKeras reads a model's description by Keras 1, 2 or 3: what Model.to_json writes, of at most 1 MiB. It must be a plain chain, Sequential or
// Functional, which may hold other such models. All layers that vggo cannot run are named in one error.
func DecodeKeras(data []byte) (*KerasModel, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("a network's description is at most %d bytes", maxFile)
	}
	var model kerasModel
	if err := json.Unmarshal(data, &model); err != nil {
		return nil, fmt.Errorf("the model's description is not JSON: %w", err)
	}
	b := kerasBuilder{net: &Network{Title: "read from a Keras model"}, counts: map[string]int{}}
	if err := b.model(model.Class, model.Config, model.Build.Input, "", 0); err != nil {
		return nil, err
	}
	switch {
	case b.pad != nil:
		b.faults = append(b.faults, "a ZeroPadding2D at the end pads nothing")
	case len(b.net.Layers) > maxLayers:
		return nil, fmt.Errorf("%d layers are more than %d", len(b.net.Layers), maxLayers)
	}
	switch {
	case len(b.faults) > 0:
		return nil, fmt.Errorf("this model cannot be run: %s", strings.Join(b.faults, "; "))
	case b.net.Input == (Shape{}):
		return nil, errors.New("the model's description does not tell the size of its input")
	}
	if _, err := b.net.Place(b.net.Input); err != nil {
		var impossible *ShapeError
		if errors.As(err, &impossible) {
			impossible.Network = "the model"
		}
		return nil, err
	}
	return &KerasModel{Network: b.net, Rescaled: b.rescaled, Layers: b.weighted}, nil
}

// isKeras reports whether a description is Keras'.
func isKeras(data []byte) bool {
	var model struct {
		Class *string `json:"class_name"`
	}
	return json.Unmarshal(data, &model) == nil && model.Class != nil
}

// kerasBuilder collects layers.
type kerasBuilder struct {
	net      *Network
	rescaled bool
	weighted []KerasLayer
	pad      *Padding // of a ZeroPadding2D that the next convolution takes over
	first    bool     // maps are C,H,W
	vector   bool     // behind Flatten or global pooling
	hwc      bool     // a map was flattened in H,W,C order, and no fully connected layer has read it yet
	items    int
	faults   []string
	counts   map[string]int // layers of a class in a container so far, by path
}

// model adds a model's layers. path is its own in Keras 3's files.
func (b *kerasBuilder) model(class string, text json.RawMessage, input []any, path string, depth int) error {
	if !slices.Contains(kerasContainers, class) {
		return fmt.Errorf("a model of class %q: Sequential and Functional are read", clip(class))
	}
	if depth > maxKerasDepth {
		return fmt.Errorf("models lie more than %d deep in each other", maxKerasDepth)
	}
	var config kerasConfig
	if err := json.Unmarshal(text, &config); err != nil {
		if json.Unmarshal(text, &config.Layers) != nil {
			return fmt.Errorf("the model's description: %w", err)
		}
	}
	if b.items += len(config.Layers); b.items > maxLayers {
		return fmt.Errorf("%d layers are more than %d", b.items, maxLayers)
	}
	list := config.Layers
	known := false // the order of a map's axes, before the first layer that is asked for it
	for i := range list {
		item := &list[i]
		if json.Unmarshal(item.Config, &item.settings) != nil {
			return fmt.Errorf("the model's description: layer %d has no settings", i+1)
		}
		item.name = item.settings.text("", "name")
		if order := item.settings.order(); order != "" && !known && b.net.Input == (Shape{}) {
			b.first, known = order == channelsFirst, true
		}
	}
	if names := kerasNames(config.Outputs, list); len(list) > 0 && len(names) > 0 && !slices.Equal(names, []string{list[len(list)-1].name}) {
		b.faults = append(b.faults, fmt.Sprintf("outputs %s: one at the chain's end is read", clip(strings.Join(names, ", "))))
	}
	if b.net.Input == (Shape{}) {
		b.input(config.Build)
		b.input(input)
	}
	for i, item := range list {
		if i > 0 && item.Nodes != nil && !slices.Equal(kerasNames(item.Nodes, list[:i]), []string{list[i-1].name}) {
			b.fault(item, "does not follow the layer before it: only plain chains run")
			continue
		}
		if b.net.Input == (Shape{}) {
			b.input(item.settings.list("batch_shape", "batch_input_shape"))
		}
		at := path + "layers/" + snakeCase(item.Class)
		b.counts[at]++
		if n := b.counts[at]; n > 1 {
			at += fmt.Sprintf("_%d", n-1)
		}
		if slices.Contains(kerasContainers, item.Class) {
			if err := b.model(item.Class, item.Config, nil, at+"/", depth+1); err != nil {
				return err
			}
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

// kerasNames finds the layers that a list of inputs or outputs speaks of, in whichever nesting each version of Keras has.
func kerasNames(v any, layers []kerasItem) []string {
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

func (b *kerasBuilder) fault(item kerasItem, format string, args ...any) {
	b.faults = append(b.faults, fmt.Sprintf("%s (%s) %s", clip(item.name), clip(item.Class), fmt.Sprintf(format, args...)))
}

// push adds a layer under its own name, what belongs to it under that and a suffix.
func (b *kerasBuilder) push(item kerasItem, suffix string, op Op) {
	name := item.name
	if name == "" {
		name = fmt.Sprintf("%s%d", op.Kind(), len(b.net.Layers)+1)
	}
	b.net.Layers = append(b.net.Layers, Layer{Name: strings.ReplaceAll(name, "/", ".") + suffix, Op: op})
}

// idle are layers that do something in training alone.
var idle = []string{"InputLayer", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "ActivityRegularization",
	"RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness"}

// add adds one layer of the description. path is where Keras 3 keeps its arrays.
func (b *kerasBuilder) add(item kerasItem, path string) {
	s := item.settings
	if slices.Contains(idle, item.Class) {
		return
	}
	if b.pad != nil && item.Class != "Conv2D" && item.Class != "Convolution2D" {
		b.fault(item, "after a ZeroPadding2D: only a convolution can take its padding over")
		b.pad = nil
	}
	if order := s.order(); order != "" && item.Class != "Flatten" {
		if first := order == channelsFirst; first != b.first && item.Class != "GlobalAveragePooling2D" {
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
		w := Window{Kernel: Square(2), Stride: s.size("strides")}
		if s.value("pool_size") != nil {
			w.Kernel = s.size("pool_size")
		}
		if w.Stride == (Size{}) {
			w.Stride = w.Kernel
		}
		w.Pad.Mode = b.padMode(item)
		if item.Class == "MaxPooling2D" {
			b.push(item, "", MaxPool{Window: w})
		} else {
			b.push(item, "", AvgPool{Window: w})
		}
	case "GlobalAveragePooling2D":
		b.vector = true
		b.push(item, "", GlobalAvgPool{})
	case "BatchNormalization":
		b.batchNorm(item, path)
	case "Flatten":
		// Flatten moves the channels to the end itself where it is told that they come first.
		if s.order() == channelsFirst && !b.first {
			b.fault(item, "takes the axes of its map in another order than the layers before it")
		}
		b.hwc = !b.vector && (!b.first || s.order() == channelsFirst)
		b.vector = true
		b.push(item, "", Flatten{})
	case "Dense":
		if !b.vector && len(b.faults) == 0 { // behind an unknown layer nobody knows
			b.fault(item, "reads a map: it needs a Flatten or a GlobalAveragePooling2D before it")
		}
		layer := KerasLayer{Name: item.name, Path: path, Roles: []string{"w", "b"}, HWC: b.hwc}
		op := Linear{Out: s.int("units", "output_dim"), NoBias: !s.truth(true, "use_bias", "bias")}
		if op.NoBias {
			layer.Roles = layer.Roles[:1]
		}
		b.hwc = false
		b.weighted = append(b.weighted, layer)
		b.push(item, "", op)
		b.activation(item)
	case "Dropout":
		if rate := s.number(0, "rate", "p"); rate > 0 {
			b.push(item, "", Dropout{Keep: 1 - rate})
		}
	case "Activation", "ReLU", "Softmax":
		b.activate(item)
	case "Rescaling":
		if len(b.net.Layers) > 0 || b.rescaled || s.number(0, "scale") != 1.0/255 || s.number(0, "offset") != 0 {
			b.fault(item, "is read as the first layer and by 1/255 alone")
		}
		b.rescaled = true
	default:
		b.fault(item, "is not a layer that vggo runs")
	}
}

func (b *kerasBuilder) conv(item kerasItem, path string) {
	s := item.settings
	w := Window{Kernel: s.size("kernel_size"), Stride: s.size("strides", "subsample"), Dilation: s.size("dilation_rate")}
	if w.Kernel == (Size{}) {
		w.Kernel = Size{H: s.int("nb_row"), W: s.int("nb_col")}
	}
	w.Pad.Mode = b.padMode(item)
	if b.pad != nil {
		if w.Pad.Mode == Same {
			b.fault(item, `pads by "same" what a ZeroPadding2D has padded`)
		}
		w.Pad, b.pad = *b.pad, nil
	}
	op := Conv{Out: s.int("filters", "nb_filter"), Window: w, Groups: 1, NoBias: !s.truth(true, "use_bias", "bias")}
	if s.value("groups") != nil {
		op.Groups = s.int("groups")
	}
	layer := KerasLayer{Name: item.name, Path: path, Roles: []string{"w", "b"}, OIHW: item.Class == "Convolution2D" && b.first}
	if op.NoBias {
		layer.Roles = layer.Roles[:1]
	}
	if b.vector {
		b.fault(item, "reads a vector")
	}
	if w.Kernel.H == 0 || w.Kernel.W == 0 || op.Groups == 0 {
		b.fault(item, "has no kernel or groups of a known size")
	}
	b.weighted = append(b.weighted, layer)
	b.push(item, "", op)
	b.activation(item)
}

func (b *kerasBuilder) batchNorm(item kerasItem, path string) {
	s := item.settings
	axis, ok := s.value("axis").(float64)
	if list, isList := s.value("axis").([]any); isList && len(list) == 1 {
		axis, ok = list[0].(float64)
	}
	channels := axis == 3 || axis == -1
	if b.first {
		channels = axis == 1
	}
	if b.vector {
		channels = axis == 1 || axis == -1
	}
	if ok && !channels || s.number(0, "mode") != 0 {
		b.fault(item, "normalises by something else than channels")
	}
	if b.hwc {
		b.fault(item, "stands between Flatten and Dense: the order of its channels would be another")
	}
	layer := KerasLayer{Name: item.name, Path: path}
	if s.truth(true, "scale") {
		layer.Roles = append(layer.Roles, "gamma")
	}
	if s.truth(true, "center") {
		layer.Roles = append(layer.Roles, "beta")
	}
	layer.Roles = append(layer.Roles, "mean", "var")
	b.weighted = append(b.weighted, layer)
	b.push(item, "", BatchNorm{Eps: s.number(1e-3, "epsilon"), Momentum: 1 - s.number(0.99, "momentum")})
}

// input reads the size of the pictures from a batch's shape. A side that a network leaves open is ImageNet's.
func (b *kerasBuilder) input(dims []any) {
	if len(dims) != 4 || b.net.Input != (Shape{}) {
		return
	}
	h, w, c := dims[1], dims[2], dims[3]
	if b.first {
		c, h, w = dims[1], dims[2], dims[3]
	}
	side := func(v any) int {
		if v == nil {
			return ImageNetInput.H
		}
		return whole(v)
	}
	b.net.Input = Shape{C: whole(c), H: side(h), W: side(w)}
}

func (b *kerasBuilder) padMode(item kerasItem) PadMode {
	switch mode := item.settings.text("valid", "padding", "border_mode"); mode {
	case "same":
		return Same
	case "valid":
	default:
		b.fault(item, "pads by %q: same and valid are known", clip(mode))
	}
	return Valid
}

// activation adds what a layer ends with.
func (b *kerasBuilder) activation(item kerasItem) {
	switch name := item.settings.activation(); {
	case name == "linear":
	case name == "relu":
		b.push(item, "_relu", ReLU{})
	case name == "softmax" && (b.vector || !b.first):
		b.push(item, "_softmax", Softmax{})
	default:
		b.fault(item, "ends with activation %q: relu, softmax and linear are known", clip(name))
	}
}

// activate adds a layer that is an activation itself.
func (b *kerasBuilder) activate(item kerasItem) {
	s := item.settings
	name := strings.ToLower(item.Class)
	if item.Class == "Activation" {
		name = s.activation()
	}
	switch {
	case name == "linear":
	case name == "softmax" && s.number(-1, "axis") == -1 && (b.vector || !b.first):
		b.push(item, "", Softmax{})
	case name == "relu" && s.value("max_value") == nil && s.number(0, "negative_slope") == 0 && s.number(0, "threshold") == 0:
		b.push(item, "", ReLU{})
	default:
		b.fault(item, "is activation %q: plain relu, softmax and linear are known", clip(name))
	}
}

// settings are a layer's, under their names in Keras 2 and 3, then Keras 1.
type settings map[string]any

func (s settings) value(names ...string) any {
	for _, name := range names {
		if v, ok := s[name]; ok && v != nil {
			return v
		}
	}
	return nil
}

// text is a setting that must be text: another type is no known word.
func (s settings) text(otherwise string, names ...string) string {
	switch v := s.value(names...).(type) {
	case nil:
		return otherwise
	case string:
		return v
	default:
		return "(no text)"
	}
}

func (s settings) activation() string {
	if v, ok := s.value("activation").(map[string]any); ok { // an object of Keras 3, whose config is a function's name
		return settings(v).text("", "config")
	}
	return s.text("linear", "activation")
}

func (s settings) truth(otherwise bool, names ...string) bool {
	if v, ok := s.value(names...).(bool); ok {
		return v
	}
	return otherwise
}

func (s settings) number(otherwise float64, names ...string) float64 {
	if v, ok := s.value(names...).(float64); ok {
		return v
	}
	return otherwise
}

func (s settings) list(names ...string) []any {
	v, _ := s.value(names...).([]any)
	return v
}

func (s settings) int(names ...string) int { return whole(s.value(names...)) }

// whole is a JSON number that is a positive integer, else 0.
func whole(v any) int {
	f, ok := v.(float64)
	if !ok || f < 1 || f > 1<<30 || f != float64(int(f)) {
		return 0
	}
	return int(f)
}

// size is a pair of numbers, or one for both; the zero Size where there is neither.
func (s settings) size(names ...string) Size {
	switch v := s.value(names...).(type) {
	case float64:
		return Square(whole(v))
	case []any:
		if len(v) == 2 {
			return Size{H: whole(v[0]), W: whole(v[1])}
		}
	}
	return Size{}
}

const channelsFirst = "channels_first"

// order is that of a map's axes in a layer that is told it; Keras 1 has Theano's and TensorFlow's.
func (s settings) order() string {
	switch order := s.text("", "data_format", "dim_ordering"); order {
	case "th":
		return channelsFirst
	default:
		return order
	}
}

// padding is a ZeroPadding2D's: one number, one for each direction, or two.
func (s settings) padding() (Padding, bool) {
	side := func(v any) (int, bool) {
		f, ok := v.(float64)
		return int(f), ok && f >= 0 && f <= 1<<20 && f == float64(int(f))
	}
	pair := func(v any) (from, to int, ok bool) {
		if list, isList := v.([]any); isList {
			if len(list) != 2 {
				return 0, 0, false
			}
			from, ok1 := side(list[0])
			to, ok2 := side(list[1])
			return from, to, ok1 && ok2
		}
		n, ok := side(v)
		return n, n, ok
	}
	v := s.value("padding")
	rows, columns := v, v
	if list, ok := v.([]any); ok && len(list) == 2 {
		rows, columns = list[0], list[1]
	}
	top, bottom, ok1 := pair(rows)
	left, right, ok2 := pair(columns)
	return Padding{Top: top, Bottom: bottom, Left: left, Right: right}, ok1 && ok2
}
