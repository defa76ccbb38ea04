package darknet

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/chain"
	"github.com/vggo/vggo/weights/internal/format"
)

// Limits of a .cfg; the longest of Darknet's own has 2000 lines, and notes may name some 100,000 classes.
const (
	maxConfig   = 1 << 22
	maxLine     = 1 << 12
	maxSections = 1 << 12
)

// section is a layer's settings, or the network's.
type section struct {
	name     string
	line     int
	settings map[string]string
	known    map[string]bool // settings that were asked for
	err      error
}

// sections reads a .cfg (option_list.c): [name], then key=value, comments after # or ;.
func sections(data []byte) ([]section, error) {
	if len(data) > maxConfig {
		return nil, format.Fail(0, "a text of %d bytes: the most is %d", len(data), maxConfig)
	}
	var list []section
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.ReplaceAll(strings.ReplaceAll(strings.TrimSpace(line), " ", ""), "\t", "")
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[' && line[len(line)-1] == ']':
			if len(list) == maxSections {
				return nil, format.Fail(0, "more than %d sections", maxSections)
			}
			list = append(list, section{name: line[1 : len(line)-1], line: number, settings: map[string]string{},
				known: map[string]bool{}})
		default:
			key, value, ok := strings.Cut(line, "=")
			if !ok || len(list) == 0 {
				return nil, format.Fail(0, "line %d: %q is neither a section nor a setting", number, format.Clip(line))
			}
			list[len(list)-1].settings[key] = value
		}
	}
	if len(list) == 0 || list[0].name != "net" && list[0].name != "network" {
		return nil, format.Fail(0, "no section [net] at the beginning")
	}
	return list, nil
}

// ownNote begins a comment that is a note of vggo's.
const ownNote = "# vggo."

// notes are those of a .cfg, whose limits sections has checked.
func notes(data []byte) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(string(data)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && strings.HasPrefix(name, ownNote) {
			found[strings.TrimPrefix(name, "# ")] = value
		}
	}
	return found
}

func (s *section) number(key string, otherwise float64) float64 {
	text, ok := s.text(key)
	if !ok {
		return otherwise
	}
	v, err := strconv.ParseFloat(text, 64)
	if (err != nil || math.Abs(v) > math.MaxInt32) && s.err == nil {
		s.err = fmt.Errorf("%s=%s is no number", format.Clip(key), format.Clip(text))
	}
	return v
}

// text is a setting, and whether there is one.
func (s *section) text(key string) (string, bool) {
	s.known[key] = true
	text, ok := s.settings[key]
	return text, ok
}

// training are settings of layers that change nothing when a network is run.
var training = strings.Fields("learning_rate stopbackward onlyforward flip angle saturation exposure hue")

// unknown is a setting that nobody has asked for, and that may change what the layer computes; empty where there is
// none.
func (s *section) unknown() string {
	for _, key := range slices.Sorted(maps.Keys(s.settings)) {
		if !s.known[key] && s.settings[key] != "0" && !slices.Contains(training, key) {
			return key
		}
	}
	return ""
}

func (s *section) int(key string, otherwise int) int { return int(s.number(key, float64(otherwise))) }

// config is a .cfg as a network.
type config struct {
	network *format.Network
	layers  []arch.Placed
}

// describe puts a .cfg's network into what the reader found; nil where it is none that vggo runs, or of open size.
func describe(data []byte, contents *format.Contents) (*config, error) {
	list, err := sections(data)
	if err != nil {
		return nil, err
	}
	contents.Metadata = notes(data)
	var c chain.Chain
	c.Naming = format.Naming{Family: "Darknet", Preprocess: "unit",
		Bookkeeping: func(name string) bool { return strings.HasSuffix(name, "rolling_variance") }} // see variance
	input := arch.Shape{C: list[0].int("channels", 0), H: list[0].int("height", 0), W: list[0].int("width", 0)}
	for i := range list[1:] {
		s := &list[i+1]
		err := layer(&c, s, i, &input, contents)
		if err == nil {
			err = s.err
		}
		if key := s.unknown(); err == nil && key != "" {
			err = fmt.Errorf("setting %s is not known", format.Clip(key))
		}
		if err != nil {
			contents.Unrunnable = fmt.Errorf("line %d: [%s]: %w", s.line, format.Clip(s.name), err)
			return nil, nil
		}
	}
	c.Describe(contents, "read from a .cfg of Darknet's", input)
	if contents.Network == nil {
		return nil, nil
	}
	placed, err := contents.Network.Network.Place(input)
	if err != nil {
		return nil, err
	}
	return &config{contents.Network, placed.Layers}, nil
}

// layer appends what a section computes. Layers are counted from 0, as Darknet prints them.
func layer(c *chain.Chain, s *section, i int, input *arch.Shape, contents *format.Contents) error {
	name := func(word string) string { return fmt.Sprint(word, i) }
	switch s.name {
	case "convolutional", "conv":
		if s.int("binary", 0)+s.int("xnor", 0) > 0 {
			return fmt.Errorf("binary weights are not computed")
		}
		size, pad := s.int("size", 1), s.int("padding", 0)
		if s.int("pad", 0) != 0 {
			pad = size / 2
		}
		return weighted(c, s, i, arch.Conv{Out: s.int("filters", 1), Groups: s.int("groups", 1),
			NoBias: s.int("batch_normalize", 0) != 0, Window: arch.Window{Kernel: arch.Square(size),
				Stride: arch.Square(s.int("stride", 1)), Dilation: arch.Square(s.int("dilation", 1)), Pad: arch.Pad(pad)}})
	case "connected", "conn":
		return weighted(c, s, i, arch.Linear{Out: s.int("output", 1), NoBias: s.int("batch_normalize", 0) != 0})
	case "maxpool", "max":
		stride := s.int("stride", 1)
		size := s.int("size", stride)
		pad := s.int("padding", size-1) // of both sides together; the odd one comes last (maxpool_layer.c)
		c.Add(name("pool"), arch.MaxPool{Window: arch.Window{Kernel: arch.Square(size), Stride: arch.Square(stride),
			Pad: arch.Padding{Top: pad / 2, Left: pad / 2, Bottom: pad - pad/2, Right: pad - pad/2}}}, nil)
	case "avgpool", "avg":
		c.Add(name("avgpool"), arch.GlobalAvgPool{}, nil)
	case "dropout":
		c.Add(name("dropout"), arch.Dropout{Keep: 1 - s.number("probability", 0.5)}, nil)
	case "softmax", "soft":
		if s.int("groups", 1) != 1 || s.number("temperature", 1) != 1 || s.settings["tree"] != "" {
			return fmt.Errorf("a softmax of groups, of a tree or of another temperature than 1 is not computed")
		}
		c.Add(name("softmax"), arch.Softmax{}, nil)
	case "normalization", "lrn":
		size := s.int("size", 5)
		if size%2 == 0 {
			return fmt.Errorf("an even number of channels is not computed")
		}
		c.Add(name("lrn"), arch.LRN{Size: size, Alpha: s.number("alpha", 1e-4) * float64(size),
			Beta: s.number("beta", 0.75), K: s.number("kappa", 1)}, nil)
	case "crop": // the middle of a larger picture, samples of 0 to 1 made ones of -1 to 1
		if c.Len() > 0 {
			return fmt.Errorf("a map is cropped")
		}
		input.H, input.W = s.int("crop_height", 1), s.int("crop_width", 1)
		if s.int("noadjust", 0) == 0 {
			contents.Pictures = &format.Pictures{Mean: []float32{.5, .5, .5}, Std: []float32{.5, .5, .5}, Order: "RGB",
				Told: "[crop] of the .cfg"}
		}
	case "activation":
		return activate(c, s, i)
	case "cost":
		clear(s.settings) // of training alone
	default:
		return fmt.Errorf("it is none that vggo computes")
	}
	return nil
}

// weighted appends a layer with weights, its batch norm and its activation.
func weighted(c *chain.Chain, s *section, i int, op arch.Op) error {
	word := map[string]string{"conv": "conv", "linear": "fc"}[op.Kind()]
	c.Add(fmt.Sprint(word, i), op, nil)
	if s.int("batch_normalize", 0) != 0 {
		c.Add(fmt.Sprint("norm", i), arch.BatchNorm{Eps: math.SmallestNonzeroFloat64}, nil) // see variance
	}
	return activate(c, s, i)
}

// activate appends a section's activation.
func activate(c *chain.Chain, s *section, i int) error {
	activation, ok := s.text("activation")
	if !ok {
		activation = "logistic"
		if s.name == "activation" {
			activation = "linear"
		}
	}
	switch activation {
	case "linear":
	case "relu":
		c.Add(fmt.Sprint("relu", i), arch.ReLU{}, nil)
	case "logistic":
		c.Add(fmt.Sprint("sigmoid", i), arch.Sigmoid{}, nil)
	default:
		return fmt.Errorf("activation=%s is none that vggo computes", format.Clip(activation))
	}
	return nil
}
