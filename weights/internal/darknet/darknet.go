// Package darknet reads and writes Darknet's networks: a .cfg, which describes one in sections of settings, and
// .weights, which are numbers without names or shapes in the order of its layers (parser.c, load_weights_upto). So
// weights need their .cfg, which is looked for beside them under their name, or a network by other means.
package darknet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"regexp"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/chain"
	"github.com/vggo/vggo/weights/internal/format"
)

// Reader reads them.
var Reader = format.Reader{
	Name:  "Darknet",
	Knows: func(in *format.Input) bool { return isWeights(in.Data) || isConfig(in.Data) },
	Read:  read,
}

// Description reads a .cfg.
var Description = format.Description{Knows: isConfig, Read: func(data []byte) (*arch.Placement, error) {
	contents := &format.Contents{}
	_, err := describe(data, contents)
	return chain.Description(contents, err)
}}

// isWeights knows the version, 0.1 to 0.5 of revisions 0 to 9, and whole numbers behind it.
func isWeights(data []byte) bool {
	return len(data) >= 16 && len(data)%4 == 0 && binary.LittleEndian.Uint32(data) == 0 && data[4] >= 1 && data[4] <= 5 &&
		binary.LittleEndian.Uint32(data[4:]) < 256 && binary.LittleEndian.Uint32(data[8:]) < 10
}

// beneathOf is what the Darknet that wrote a file adds to a variance and to its root (normalize_cpu in blas.c): the
// author's writes revision 0, AlexeyAB's 5.
func beneathOf(data []byte) (variance, deviation float64) {
	if data[8] != 0 {
		return 1e-5, 0
	}
	return 0, beneath
}

// values are the numbers behind the header, which counts the pictures seen in 32 bits, since version 0.2 in 64.
func values(data []byte) []byte {
	if data[4] >= 2 && len(data) >= 20 {
		return data[20:]
	}
	return data[16:]
}

// trained is what training adds to the name of its .cfg.
var trained = regexp.MustCompile(`(_final|_last|_best|_\d+)?\.(weights|backup)$`)

func read(in *format.Input) (*format.Contents, error) {
	if !isWeights(in.Data) {
		return nil, format.Fail(0, "a network's description without weights: --model takes it")
	}
	contents := &format.Contents{}
	raw := values(in.Data)
	config, err := in.Beside(trained.ReplaceAllString(in.Name, "") + ".cfg")
	if errors.Is(err, fs.ErrNotExist) {
		config, err = in.Beside(strings.TrimSuffix(in.Name, ".weights") + ".cfg")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		contents.Unknown = "Darknet's weights are numbers without names: it takes their .cfg beside them, under the same " +
			"name, or --model"
		contents.Naming = func(placed []arch.Placed) format.Naming { return unnamed(placed, in.Data) }
		contents.Tensors = []format.Tensor{{Name: whole, Shape: []int{len(raw) / 4}, DType: format.F32, Raw: raw}}
		return contents, nil
	}
	net, err := describe(config, contents)
	if err != nil || net == nil {
		return contents, err
	}
	tensors, err := lay(net.layers, in.Data)
	if err != nil {
		return nil, err
	}
	var list format.List
	for _, t := range tensors {
		if t.Derived {
			net.network.Derived = append(net.network.Derived, t.Tensor)
		} else if err := list.Add(t.Tensor); err != nil {
			return nil, err
		}
		if t.parameter != "" {
			net.network.Naming.Source[t.parameter] = format.Source{Name: t.Name}
		}
	}
	contents.Tensors = list.Tensors
	return contents, nil
}

// whole is the name of all of a file's numbers where nothing tells their layers.
const whole = "weights"

// unnamed gives a network's parameters their values.
func unnamed(placed []arch.Placed, data []byte) format.Naming {
	n := format.Naming{Family: "Darknet", Preprocess: "unit", Source: map[string]format.Source{},
		Bookkeeping: func(name string) bool { return name == whole }}
	tensors, err := lay(placed, data)
	if err != nil {
		return n // without a source, which is a network that the file does not fit
	}
	for _, t := range tensors {
		if t.parameter == "" {
			continue
		}
		values, err := t.Floats()
		if err != nil {
			return format.Naming{}
		}
		n.Source[t.parameter] = format.Source{Values: values}
	}
	return n
}

// laid is a tensor of a file without names, with the parameter that it is.
type laid struct {
	format.Tensor
	parameter string
	Derived   bool
}

// lay deals a file's numbers out to layers. A layer's biases come first, then its batch norm's scales, means and
// variances, then its weights.
func lay(placed []arch.Placed, data []byte) ([]laid, error) {
	var list []laid
	raw := values(data)
	at := 0
	take := func(layer arch.Placed, name string, p arch.Param) {
		t := laid{parameter: p.Name}
		t.Name, t.Shape, t.DType = layer.Name+"."+name, p.Shape, format.F32
		end := at + 4*p.Count()
		if end <= len(raw) {
			t.Raw = raw[at:end:end]
		}
		at = end
		list = append(list, t)
	}
	param := func(layer arch.Placed, role string) (arch.Param, bool) {
		for _, p := range layer.Params {
			if p.Role() == role {
				return p, true
			}
		}
		return arch.Param{}, false
	}
	for i, layer := range placed {
		w, weighted := param(layer, "w")
		if !weighted {
			if len(layer.Params) > 0 && !follows(placed, i) {
				return nil, format.Fail(0, "layer %s: Darknet has a batch norm in a layer with weights alone", layer.Name)
			}
			continue
		}
		_, linear := layer.Op.(arch.Linear)
		norm := i+1 < len(placed) && follows(placed, i+1)
		b, hasBias := param(layer, "b")
		if hasBias == norm {
			return nil, format.Fail(0, "layer %s: Darknet has either biases or a batch norm", layer.Name)
		}
		if norm {
			b, _ = param(placed[i+1], "beta")
		}
		take(layer, "biases", b)
		if linear { // whose batch norm comes after its weights
			take(layer, "weights", w)
		}
		if norm {
			for _, of := range [][2]string{{"gamma", "scales"}, {"mean", "rolling_mean"}, {"var", "rolling_variance"}} {
				p, _ := param(placed[i+1], of[0])
				take(layer, of[1], p)
			}
			list = append(list, variance(&list[len(list)-1], placed[i+1].Op.(arch.BatchNorm), data))
		}
		if !linear {
			take(layer, "weights", w)
		}
	}
	if at != len(raw) {
		return nil, format.Fail(0, "%d numbers, of which the network has %d", len(raw)/4, at/4)
	}
	return list, nil
}

// follows reports whether a layer is the batch norm of a layer with weights before it.
func follows(placed []arch.Placed, i int) bool {
	if _, ok := placed[i].Op.(arch.BatchNorm); !ok || i == 0 {
		return false
	}
	switch placed[i-1].Op.(type) {
	case arch.Conv, arch.Linear:
		return true
	}
	return false
}

// beneath is what the Darknet that is written for adds to a deviation, where others add it to the variance.
const beneath = 1e-6

// variance is the one that makes Darknet's deviation of what a batch norm adds to it.
func variance(stored *laid, norm arch.BatchNorm, data []byte) laid {
	from := stored.Tensor
	made := laid{Tensor: from, parameter: stored.parameter, Derived: true}
	stored.parameter = ""
	made.Name, made.Raw = strings.TrimSuffix(from.Name, "rolling_variance")+"variance", nil
	toVariance, toDeviation := beneathOf(data)
	made.Fetch = func() ([]byte, error) {
		values, err := from.Floats()
		if err != nil {
			return nil, err
		}
		return format.FloatBytes(combine(values, func(_ int, v float64) float64 {
			deviation := math.Sqrt(v+toVariance) + toDeviation
			return deviation*deviation - norm.Epsilon()
		})), nil
	}
	return made
}

// isConfig knows a text whose first section is the network's.
func isConfig(data []byte) bool {
	for line := range bytes.Lines(data[:min(len(data), maxLine)]) {
		switch line = bytes.TrimSpace(line); {
		case len(line) == 0 || line[0] == '#' || line[0] == ';':
		default:
			return string(line) == "[net]" || string(line) == "[network]"
		}
	}
	return false
}
