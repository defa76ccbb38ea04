package matlab

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/weights/internal/chain"
	"github.com/vggo/vggo/weights/internal/format"
)

// Reader reads them. A file with a network of MatConvNet (vl_simplenn.m) has the variable layers, in the struct net or
// by itself, a cell array of structs: name, type, stride, pad, and the weights as a cell array of filters and biases
// or, until 2015, as fields of these names. Filters are H,W,in,out in MATLAB's order, pictures RGB from 0 to 255 less
// the average image, which stands in meta.normalization or, until 2015, in normalization. Any other file is its arrays.
var Reader = format.Reader{
	Name:  "MATLAB",
	Knows: func(in *format.Input) bool { return isV5(in.Data) || isV73(in.Data) },
	Read:  read,
}

func read(in *format.Input) (*format.Contents, error) {
	read := readV5
	if isV73(in.Data) {
		read = readV73
	}
	variables, err := read(in.Data)
	if err != nil {
		return nil, err
	}
	n := &network{contents: &format.Contents{}}
	top := &value{class: structure}
	for _, v := range variables {
		top.fields, top.cells = append(top.fields, v.name), append(top.cells, v.value)
	}
	of := top
	if net := top.field("net"); net.field("layers") != nil {
		of = net
	}
	layers := of.field("layers").structs()
	if layers == nil || slices.ContainsFunc(layers, func(l *value) bool { return l.field("type").line() == "" }) {
		return n.contents, n.arrays(top, "")
	}
	n.contents.Format = "MatConvNet"
	n.chain.Naming = format.Naming{Family: "MatConvNet", Preprocess: "caffe-rgb",
		Bookkeeping: func(name string) bool { return strings.HasSuffix(name, ".moments") }} // see moments
	if of.field("params") != nil || layers[0].field("block") != nil {
		n.contents.Unrunnable = fmt.Errorf("a graph (MatConvNet's DagNN), not a chain of layers")
		for _, p := range of.field("params").structs() {
			if err := n.arrays(p.field("value"), p.field("name").line()); err != nil {
				return nil, err
			}
		}
		return n.contents, nil
	}
	meta := of.field("meta")
	if meta == nil {
		meta = of
	}
	if err := n.pictures(meta.field("normalization")); err != nil {
		return nil, err
	}
	classes := meta.field("classes")
	n.contents.Classes, n.contents.Synsets = classes.field("description").lines(), classes.field("name").lines()
	n.channels = n.input.C
	for i, layer := range layers {
		if err := n.layer(layer, i, len(layers)); err != nil {
			return nil, fmt.Errorf("layer %d of %d: %w", i+1, len(layers), err)
		}
	}
	if n.contents.Unrunnable == nil {
		n.chain.Describe(n.contents, "read from a file of MatConvNet's", n.input)
	}
	return n.contents, nil
}

// network is a file as it becomes a network.
type network struct {
	contents *format.Contents
	tensors  format.List
	chain    chain.Chain
	input    arch.Shape
	channels int // of the map that the next layer reads; 0: not known
}

// tensor lists an array of numbers, whose axes come the other way round as rows of memory: filters of H,W,in,out, of
// which MATLAB leaves out last axes of one, are out,in,W,H.
func (n *network) tensor(name string, v *value, filters bool) (format.Tensor, error) {
	shape := slices.Clone(v.dims)
	for filters && len(shape) < 4 {
		shape = append(shape, 1)
	}
	slices.Reverse(shape)
	t := v.numbers
	t.Name, t.Shape = name, shape
	if filters {
		w, h := shape[2], shape[3]
		shape[2], shape[3] = h, w
		if w > 1 && h > 1 {
			t.Raw, t.Fetch = nil, func() ([]byte, error) { return transposed(v, h, w) }
		}
	}
	err := n.tensors.Add(t)
	n.contents.Tensors = n.tensors.Tensors
	return t, err
}

// transposed are filters whose kernels are rows of h by w, and not columns.
func transposed(v *value, h, w int) ([]byte, error) {
	raw, err := v.numbers.Bytes()
	if err != nil {
		return nil, err
	}
	size := v.numbers.DType.Size()
	out := make([]byte, 0, len(raw))
	for plane := range slices.Chunk(raw, h*w*size) {
		for y := range h {
			for x := range w {
				at := (x*h + y) * size
				out = append(out, plane[at:at+size]...)
			}
		}
	}
	return out, nil
}

// arrays lists a file's arrays of numbers by their way from the top.
func (n *network) arrays(v *value, path string) error {
	if v == nil {
		return nil
	}
	switch {
	case v.class == number && path != "":
		_, err := n.tensor(path, v, false)
		return err
	case v.class != cell && v.class != structure:
		return nil
	}
	for i, c := range v.cells {
		name := strconv.Itoa(i)
		if v.class == structure {
			name = v.fields[i%len(v.fields)]
			if one := i / len(v.fields); len(v.cells) > len(v.fields) {
				name = strconv.Itoa(one) + "." + name
			}
		}
		if err := n.arrays(c, format.Join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

// pictures takes over what the file says of its network's.
func (n *network) pictures(normalization *value) error {
	size, err := normalization.field("imageSize").few(4)
	if err != nil {
		return fmt.Errorf("imageSize: %w", err)
	}
	if len(size) >= 2 {
		n.input = arch.Shape{C: 3, H: int(size[0]), W: int(size[1])}
		if len(size) > 2 {
			n.input.C = int(size[2])
		}
	}
	const most = 3 << 20 // a picture of a thousand by a thousand
	image := normalization.field("averageImage")
	if image == nil || image.count() == 0 {
		return nil
	}
	values, err := image.few(most)
	channels := max(n.input.C, 1)
	if err != nil || len(values)%channels != 0 {
		return fmt.Errorf("averageImage of %s values for %d channels", printable.Shape(image.dims), channels)
	}
	p := &format.Pictures{Bytes: true, Order: "RGB", Told: "averageImage"}
	even := true
	for plane := range slices.Chunk(values, len(values)/channels) {
		sum := 0.0
		for _, v := range plane {
			sum += v
			even = even && v == plane[0]
		}
		mean := sum / float64(len(plane))
		if even {
			mean = plane[0]
		}
		p.Mean = append(p.Mean, float32(mean))
	}
	if !even {
		p.Told = "the mean of averageImage over its pixels"
	}
	n.contents.Pictures = p
	return nil
}

// layer takes the next one.
func (n *network) layer(l *value, i, of int) error {
	s := settings{layer: l}
	kind := l.field("type").line()
	name := l.field("name").line()
	name = cmp.Or(name, kind+strconv.Itoa(i+1))
	weights := l.field("weights")
	var arrays []*value
	if weights != nil && weights.class == cell {
		arrays = weights.cells
	} else if filters := l.field("filters"); filters != nil {
		arrays = []*value{filters, l.field("biases")}
	}
	var params map[string]format.Source
	var op arch.Op
	switch kind {
	case "conv":
		if len(arrays) == 0 || arrays[0] == nil || arrays[0].class != number || len(arrays[0].dims) > 4 {
			return fmt.Errorf("%q is a convolution without filters", name)
		}
		filters, err := n.tensor(name+".filters", arrays[0], true)
		if err != nil {
			return err
		}
		params = map[string]format.Source{"w": {Name: filters.Name}}
		outs, ins := filters.Shape[0], filters.Shape[1]
		conv := arch.Conv{Out: outs, Groups: 1, Window: s.window(arch.Size{H: filters.Shape[2], W: filters.Shape[3]})}
		if n.channels > 0 && ins > 0 && n.channels%ins == 0 {
			conv.Groups = n.channels / ins
		}
		if n.channels == 0 {
			n.input.C = ins
		}
		n.channels = outs
		if len(arrays) > 1 && arrays[1] != nil && arrays[1].count() > 0 {
			err = n.vector(params, "b", name+".biases", arrays[1])
		} else {
			conv.NoBias = true
		}
		if err != nil {
			return err
		}
		op = conv
	case "bnorm":
		if len(arrays) != 3 || slices.ContainsFunc(arrays, func(v *value) bool { return v == nil || v.class != number }) {
			break // of early versions, which have no moments: each batch was its own norm
		}
		params = map[string]format.Source{}
		if err := n.vector(params, "gamma", name+".gain", arrays[0]); err != nil {
			return err
		}
		if err := n.vector(params, "beta", name+".bias", arrays[1]); err != nil {
			return err
		}
		if err := n.moments(params, name, arrays[2]); err != nil {
			return err
		}
		op = arch.BatchNorm{Eps: math.SmallestNonzeroFloat64} // which the deviation has in it
	case "relu":
		if s.number("leak", 0) == 0 {
			op = arch.ReLU{}
		}
	case "sigmoid":
		op = arch.Sigmoid{}
	case "dropout":
		op = arch.Dropout{Keep: 1 - s.number("rate", 0.5)}
	case "softmax", "softmaxloss":
		op = arch.Softmax{}
	case "normalize", "lrn": // of size, kappa, alpha and beta; MatConvNet does not divide alpha by the size
		if p := s.numbers("param", 4); len(p) == 4 && p[0] >= 1 {
			op = arch.LRN{Size: int(p[0]), K: p[1], Alpha: p[2] * p[0], Beta: p[3]}
		}
	case "pool":
		window := s.window(s.size("pool", 1))
		switch l.field("method").line() {
		case "max", "":
			op = arch.MaxPool{Window: window}
		case "avg":
			op = arch.AvgPool{Window: window}
		}
	case "loss":
		if i == of-1 {
			return nil
		}
	}
	if s.err != nil {
		return fmt.Errorf("%q: %w", name, s.err)
	}
	if !s.plain() {
		op = nil
	}
	if op == nil && n.contents.Unrunnable == nil {
		n.contents.Unrunnable = fmt.Errorf("layer %q of type %q, as it is set, is none that vggo computes",
			format.Clip(name), format.Clip(kind))
	}
	if op == nil {
		if params == nil {
			return n.arrays(l.field("weights"), name)
		}
		return nil
	}
	n.chain.Add(name, op, params)
	return nil
}

// vector lists a parameter of one number for each channel, which MATLAB has as a row or a column.
func (n *network) vector(params map[string]format.Source, role, name string, v *value) error {
	if v.class != number {
		return fmt.Errorf("%q holds no numbers", name)
	}
	t, err := n.tensor(name, &value{dims: []int{v.count()}, numbers: v.numbers}, false)
	params[role] = format.Source{Name: t.Name}
	return err
}

// moments are the mean of each channel, then the deviation of each (vl_nnbnorm.m), from which the variance is made.
func (n *network) moments(params map[string]format.Source, name string, v *value) error {
	t, err := n.tensor(name+".moments", v, false)
	if err != nil {
		return err
	}
	if len(t.Shape) != 2 || t.Shape[0] != 2 {
		return fmt.Errorf("%q: moments of %s", name, printable.Shape(v.dims))
	}
	outs := t.Shape[1]
	for i, role := range []string{"mean", "var"} {
		made := format.Tensor{Name: name + "." + role, Shape: []int{outs}, DType: format.F32}
		made.Fetch = func() ([]byte, error) {
			values, err := t.Floats()
			if err != nil {
				return nil, err
			}
			out := make([]byte, 0, 4*outs)
			for _, x := range values[i*outs:][:outs] {
				if i == 1 {
					x *= x
				}
				out = encode(out, float64(x), format.F32)
			}
			return out, nil
		}
		n.chain.Derived = append(n.chain.Derived, made)
		params[role] = format.Source{Name: made.Name}
	}
	return nil
}

// settings reads a layer's fields; the first error stays.
type settings struct {
	layer *value
	err   error
}

func (s *settings) numbers(name string, most int) []float64 {
	v := s.layer.field(name)
	if v == nil || v.count() == 0 {
		return nil
	}
	list, err := v.few(most)
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("%s: %w", name, err)
	}
	return list
}

func (s *settings) number(name string, otherwise float64) float64 {
	if list := s.numbers(name, 1); len(list) == 1 {
		return list[0]
	}
	return otherwise
}

// plain reports whether a layer has no options beside its fields but those that change no figure.
func (s *settings) plain() bool {
	for _, option := range s.layer.field("opts").lines() {
		if option != "" && !strings.EqualFold(option, "CudnnWorkspaceLimit") {
			return false
		}
	}
	return true
}

// size is rows and columns, or one number for both.
func (s *settings) size(name string, otherwise int) arch.Size {
	switch list := s.numbers(name, 2); len(list) {
	case 1:
		return arch.Square(int(list[0]))
	case 2:
		return arch.Size{H: int(list[0]), W: int(list[1])}
	}
	return arch.Square(otherwise)
}

func (s *settings) window(kernel arch.Size) arch.Window {
	w := arch.Window{Kernel: kernel, Stride: s.size("stride", 1), Dilation: s.size("dilate", 1)}
	switch p := s.numbers("pad", 4); len(p) {
	case 1:
		w.Pad = arch.Pad(int(p[0]))
	case 4: // top, bottom, left, right
		w.Pad = arch.Padding{Top: int(p[0]), Bottom: int(p[1]), Left: int(p[2]), Right: int(p[3])}
	case 0:
	default:
		s.err = fmt.Errorf("pad of %d numbers", len(p))
	}
	return w
}
