package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
)

// kerasModel is a model's description (Model.to_json): in Keras 1 a Sequential's config is the list of its layers.
type kerasModel struct {
	Class  string          `json:"class_name"`
	Config json.RawMessage `json:"config"`
}

type kerasConfig struct {
	Name   string            `json:"name"`
	Layers []kerasConfigItem `json:"layers"`
}

type kerasConfigItem struct {
	Class  string         `json:"class_name"`
	Config map[string]any `json:"config"`
	Nodes  any            `json:"inbound_nodes"`
}

// maxKerasLayers bounds a description, ten times the deepest VGG's.
const maxKerasLayers = 1000

// kerasNetwork turns a model's description into a network. All layers that cannot be are named in one error. recipe is the pictures'
// where the model scales them itself.
func kerasNetwork(text string) (net *arch.Network, recipe string, err error) {
	var model kerasModel
	if err := json.Unmarshal([]byte(text), &model); err != nil {
		return nil, "", fmt.Errorf("the model's description is not JSON: %w", err)
	}
	if !slices.Contains([]string{"Sequential", "Functional", "Model"}, model.Class) {
		return nil, "", fmt.Errorf("a model of class %q: Sequential and Functional are read", clipText(model.Class))
	}
	var config kerasConfig
	if err := json.Unmarshal(model.Config, &config); err != nil {
		if err := json.Unmarshal(model.Config, &config.Layers); err != nil {
			return nil, "", fmt.Errorf("the model's description: %w", err)
		}
	}
	if len(config.Layers) > maxKerasLayers {
		return nil, "", fmt.Errorf("%d layers: the most is %d", len(config.Layers), maxKerasLayers)
	}
	b := kerasBuilder{net: &arch.Network{Name: "keras", Title: "read from a Keras model"}}
	for i, item := range config.Layers {
		b.add(item, config.Layers[:i])
	}
	switch {
	case len(b.faults) > 0:
		return nil, "", fmt.Errorf("this model cannot be run: %s", strings.Join(b.faults, "; "))
	case b.net.Input == (arch.Shape{}):
		return nil, "", errors.New("the model's description does not tell the size of its input")
	case b.pad != nil:
		return nil, "", errors.New("this model cannot be run: its last ZeroPadding2D pads nothing")
	}
	return b.net, b.recipe, nil
}

// kerasBuilder collects layers.
type kerasBuilder struct {
	net    *arch.Network
	recipe string
	pad    *arch.Padding // of a ZeroPadding2D that the next convolution takes over
	flat   bool          // a map was flattened in H,W,C order, and no linear layer has read it yet
	faults []string
}

// settings reads a layer's configuration under its names in Keras 2 and 3, then Keras 1. A field of another type counts as missing.
type settings map[string]any

func (s settings) value(names ...string) any {
	for _, name := range names {
		if v, ok := s[name]; ok && v != nil {
			return v
		}
	}
	return nil
}

func (s settings) text(otherwise string, names ...string) string {
	if v, ok := s.value(names...).(string); ok {
		return v
	}
	return otherwise
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
func (s settings) size(names ...string) arch.Size {
	switch v := s.value(names...).(type) {
	case float64:
		return arch.Square(whole(v))
	case []any:
		if len(v) == 2 {
			return arch.Size{H: whole(v[0]), W: whole(v[1])}
		}
	}
	return arch.Size{}
}

// channelsFirst reports the order of a map's axes; Keras 1 calls Theano's th.
func (s settings) channelsFirst() bool {
	order := s.text("channels_last", "data_format", "dim_ordering")
	return order == "channels_first" || order == "th"
}

func (b *kerasBuilder) fault(item kerasConfigItem, format string, args ...any) {
	name, _ := item.Config["name"].(string)
	b.faults = append(b.faults, fmt.Sprintf("%s (%s) %s", clipText(name), clipText(item.Class), fmt.Sprintf(format, args...)))
}

// push adds a layer under its own name, what belongs to it under that and a suffix.
func (b *kerasBuilder) push(item kerasConfigItem, suffix string, op arch.Op) {
	name, _ := item.Config["name"].(string)
	if name == "" {
		name = fmt.Sprintf("%s%d", op.Kind(), len(b.net.Layers)+1)
	}
	b.net.Layers = append(b.net.Layers, arch.Layer{Name: strings.ReplaceAll(name, "/", ".") + suffix, Op: op})
}

// add adds one layer of the description. before are those that came before it.
func (b *kerasBuilder) add(item kerasConfigItem, before []kerasConfigItem) {
	s := settings(item.Config)
	if !follows(item, before) {
		b.fault(item, "does not follow the layer before it: only plain chains run")
		return
	}
	if b.net.Input == (arch.Shape{}) {
		b.input(item, s)
	}
	if b.pad != nil && item.Class != "Conv2D" && item.Class != "Convolution2D" {
		b.fault(item, "after a ZeroPadding2D: only a convolution can take its padding over")
		b.pad = nil
	}
	switch item.Class {
	case "InputLayer":
	case "Conv2D", "Convolution2D":
		b.conv(item, s)
	case "ZeroPadding2D":
		if pad, ok := s.padding(); ok {
			b.pad = &pad
		} else {
			b.fault(item, "pads by something else than numbers")
		}
	case "MaxPooling2D", "AveragePooling2D":
		w := arch.Window{Kernel: s.size("pool_size"), Stride: s.size("strides")}
		if w.Stride == (arch.Size{}) {
			w.Stride = w.Kernel
		}
		w.Pad.Mode = padMode(s)
		if item.Class == "MaxPooling2D" {
			b.push(item, "", arch.MaxPool{Window: w})
		} else {
			b.push(item, "", arch.AvgPool{Window: w})
		}
	case "GlobalAveragePooling2D":
		b.push(item, "", arch.GlobalAvgPool{})
	case "BatchNormalization":
		if b.flat {
			b.fault(item, "between Flatten and Dense: the order of its channels would be another")
		}
		b.push(item, "", arch.BatchNorm{Eps: s.number(1e-3, "epsilon"), Momentum: 1 - s.number(0.99, "momentum")})
	case "Flatten":
		b.flat = !s.channelsFirst()
		b.push(item, "", arch.Flatten{})
	case "Dense":
		b.flat = false
		b.push(item, "", arch.Linear{Out: s.int("units", "output_dim"), NoBias: !s.truth(true, "use_bias", "bias")})
		b.activation(item, s)
	case "Dropout":
		if rate := s.number(0, "rate", "p"); rate > 0 {
			b.push(item, "", arch.Dropout{Keep: 1 - rate})
		}
	case "Activation", "ReLU", "Softmax":
		b.activate(item, s)
	case "Rescaling":
		if len(b.net.Layers) > 0 || s.number(0, "scale") != 1.0/255 || s.number(0, "offset") != 0 {
			b.fault(item, "is read as the first layer and by 1/255 alone")
		}
		b.recipe = "unit"
	default:
		b.fault(item, "is not a layer that vggo runs")
	}
}

// follows reports whether a layer takes the output of the one before it and nothing else, as far as its description says.
func follows(item kerasConfigItem, before []kerasConfigItem) bool {
	if item.Nodes == nil || len(before) == 0 {
		return true
	}
	names := map[string]bool{}
	for _, b := range before {
		if name, ok := b.Config["name"].(string); ok {
			names[name] = true
		}
	}
	var inputs []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, w := range v {
				walk(w)
			}
		case map[string]any:
			for _, w := range v {
				walk(w)
			}
		case string:
			if names[v] {
				inputs = append(inputs, v)
			}
		}
	}
	walk(item.Nodes)
	last, _ := before[len(before)-1].Config["name"].(string)
	return len(inputs) == 1 && inputs[0] == last
}

// input reads the size of the pictures, which the first layer tells. Where a network takes any size it is ImageNet's.
func (b *kerasBuilder) input(item kerasConfigItem, s settings) {
	dims, ok := s.value("batch_shape", "batch_input_shape").([]any)
	if !ok || len(dims) != 4 {
		return
	}
	h, w, c := dims[1], dims[2], dims[3]
	if s.channelsFirst() || whole(dims[1]) != 0 && whole(dims[1]) <= 4 && whole(dims[3]) > 4 {
		c, h, w = dims[1], dims[2], dims[3]
	}
	side := func(v any) int {
		if v == nil {
			return arch.ImageNetInput.H
		}
		return whole(v)
	}
	b.net.Input = arch.Shape{C: whole(c), H: side(h), W: side(w)}
}

func (b *kerasBuilder) conv(item kerasConfigItem, s settings) {
	w := arch.Window{Kernel: s.size("kernel_size"), Stride: s.size("strides", "subsample"), Dilation: s.size("dilation_rate")}
	if w.Kernel == (arch.Size{}) {
		w.Kernel = arch.Size{H: s.int("nb_row"), W: s.int("nb_col")}
	}
	w.Pad.Mode = padMode(s)
	if b.pad != nil {
		if w.Pad.Mode == arch.Same {
			b.fault(item, `pads by "same" what a ZeroPadding2D has padded`)
		}
		w.Pad, b.pad = *b.pad, nil
	}
	groups := 1
	if s.value("groups") != nil {
		groups = s.int("groups")
	}
	b.push(item, "", arch.Conv{Out: s.int("filters", "nb_filter"), Window: w, Groups: groups, NoBias: !s.truth(true, "use_bias", "bias")})
	b.activation(item, s)
}

func padMode(s settings) arch.PadMode {
	if s.text("valid", "padding", "border_mode") == "same" {
		return arch.Same
	}
	return arch.Valid
}

// padding is a ZeroPadding2D's: one number, one for each direction, or two.
func (s settings) padding() (arch.Padding, bool) {
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
	return arch.Padding{Top: top, Bottom: bottom, Left: left, Right: right}, ok1 && ok2
}

// activation adds what a layer ends with.
func (b *kerasBuilder) activation(item kerasConfigItem, s settings) {
	switch name := s.text("linear", "activation"); name {
	case "linear":
	case "relu":
		b.push(item, "_relu", arch.ReLU{})
	case "softmax":
		b.push(item, "_softmax", arch.Softmax{})
	default:
		b.fault(item, "ends with activation %q: relu, softmax and linear are known", clipText(name))
	}
}

// activate adds a layer that is an activation itself.
func (b *kerasBuilder) activate(item kerasConfigItem, s settings) {
	name := strings.ToLower(item.Class)
	if item.Class == "Activation" {
		name = s.text("linear", "activation")
	}
	switch {
	case name == "linear":
	case name == "softmax":
		b.push(item, "", arch.Softmax{})
	case name == "relu" && s.value("max_value") == nil && s.number(0, "negative_slope") == 0 && s.number(0, "threshold") == 0:
		b.push(item, "", arch.ReLU{})
	default:
		b.fault(item, "is activation %q: plain relu, softmax and linear are known", clipText(name))
	}
}
