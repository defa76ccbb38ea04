package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/vggo/vggo/internal/plainfile"
)

// maxFile bounds a description's size in bytes.
const maxFile = 1 << 20

// fileText is a description as written:
//
//	name: little
//	title: one line, if you like
//	input: 32x32x3            # height x width x channels
//	layers:
//	- {name: conv1, op: conv, out: 16, kernel: 3, pad: 1}
//	- {name: relu1, op: relu}
//	- {name: pool1, op: maxpool, kernel: 2, stride: 2}
//	- {name: flatten, op: flatten}
//	- {name: fc2, op: linear, out: 10}
//	- {name: softmax, op: softmax}
//
// JSON has the same fields.
type fileText struct {
	Name   string      `yaml:"name" json:"name"`
	Title  string      `yaml:"title,omitempty" json:"title,omitempty"`
	Input  string      `yaml:"input" json:"input"`
	Layers []yaml.Node `yaml:"layers" json:"-"`
}

// layerText is one layer as written. Which fields an operation takes is layerFields' to say.
type layerText struct {
	Name     string   `yaml:"name" json:"name"`
	Op       string   `yaml:"op" json:"op"`
	Out      int      `yaml:"out,omitempty" json:"out,omitempty"`
	Kernel   sizeText `yaml:"kernel,omitempty" json:"kernel,omitzero"`
	Stride   sizeText `yaml:"stride,omitempty" json:"stride,omitzero"`
	Pad      padText  `yaml:"pad,omitempty" json:"pad,omitzero"`
	Dilation sizeText `yaml:"dilation,omitempty" json:"dilation,omitzero"`
	Groups   int      `yaml:"groups,omitempty" json:"groups,omitempty"`
	Bias     *bool    `yaml:"bias,omitempty" json:"bias,omitempty"`
	Ceil     bool     `yaml:"ceil,omitempty" json:"ceil,omitempty"`
	CountPad *bool    `yaml:"count_pad,omitempty" json:"count_pad,omitempty"`
	To       sizeText `yaml:"to,omitempty" json:"to,omitzero"`
	Size     *int     `yaml:"size,omitempty" json:"size,omitempty"`
	Alpha    *float64 `yaml:"alpha,omitempty" json:"alpha,omitempty"`
	Beta     *float64 `yaml:"beta,omitempty" json:"beta,omitempty"`
	K        *float64 `yaml:"k,omitempty" json:"k,omitempty"`
	Eps      float64  `yaml:"eps,omitempty" json:"eps,omitempty"`
	Momentum float64  `yaml:"momentum,omitempty" json:"momentum,omitempty"`
	Keep     *float64 `yaml:"keep,omitempty" json:"keep,omitempty"`
}

// layerFields are the fields of each operation beside name and op.
var layerFields = map[string]string{
	"conv":            "out kernel stride pad dilation groups bias",
	"reflectpad":      "pad",
	"relu":            "",
	"maxpool":         "kernel stride pad dilation ceil",
	"avgpool":         "kernel stride pad dilation ceil count_pad",
	"l2pool":          "",
	"adaptiveavgpool": "to",
	"globalavgpool":   "",
	"lrn":             "size alpha beta k",
	"batchnorm":       "eps momentum",
	"flatten":         "",
	"linear":          "out bias",
	"dropout":         "keep",
	"softmax":         "",
	"sigmoid":         "",
}

// Decoder reads descriptions in another library's format. known is false for any other text. Package weights has them:
// see weights.OpenNetwork.
type Decoder func(data []byte) (placed *Placement, known bool, err error)

// ReadFile is Decode for a file. A network without a name gets the file's.
func ReadFile(path string, others ...Decoder) (*Placement, error) {
	placed, err := plainfile.Read(path, func(r io.Reader) (*Placement, error) { return Decode(r, others...) })
	if err != nil {
		return nil, err
	}
	if n := placed.Network; n.Name == "" {
		base := filepath.Base(path)
		n.Name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	return placed, nil
}

// Decode reads a network's description, YAML or JSON or what others know, of at most 1 MiB, and places the network on
// its own input. A field it does not know is an error, as is a network that is not possible; errors name the line.
func Decode(r io.Reader, others ...Decoder) (*Placement, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("a network's description is at most %d bytes", maxFile)
	}
	for _, decode := range others {
		if placed, known, err := decode(data); known {
			return placed, err
		}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data)) // JSON is YAML too, and YAML's errors have lines
	dec.KnownFields(true)
	var text fileText
	if err := dec.Decode(&text); errors.Is(err, io.EOF) {
		return nil, errors.New("the description is empty")
	} else if err != nil {
		return nil, yamlError(err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one document")
	}
	if !prints(text.Name) || !prints(text.Title) {
		return nil, fmt.Errorf("name and title are one line of printable characters, not %q", clip(text.Name+" "+text.Title))
	}
	n := &Network{Name: text.Name, Title: text.Title}
	if text.Input == "" {
		return nil, errors.New("input is missing: add a line such as input: 224x224x3")
	}
	if n.Input, err = ParseShape(text.Input); err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	if len(text.Layers) > MaxLayers {
		return nil, fmt.Errorf("%d layers are more than %d", len(text.Layers), MaxLayers)
	}
	for _, node := range text.Layers {
		layer, err := decodeLayer(&node)
		if err != nil {
			return nil, err
		}
		n.Layers = append(n.Layers, layer)
	}
	placed, err := n.Place(n.Input)
	if impossible := (*ShapeError)(nil); errors.As(err, &impossible) {
		impossible.Network = "the network" // the file's name stands before it already
		for i, layer := range n.Layers {
			if layer.Name == impossible.Layer {
				return nil, fmt.Errorf("line %d: %w", text.Layers[i].Line, err)
			}
		}
	}
	return placed, err
}

func decodeLayer(node *yaml.Node) (Layer, error) {
	fail := func(at *yaml.Node, format string, args ...any) (Layer, error) {
		return Layer{}, fmt.Errorf("line %d: %s", at.Line, fmt.Sprintf(format, args...))
	}
	if node.Kind != yaml.MappingNode {
		return fail(node, "a layer is written {name: conv1_1, op: conv, …}")
	}
	var t layerText
	if err := node.Decode(&t); err != nil {
		return Layer{}, yamlError(err)
	}
	allowed, ok := layerFields[t.Op]
	switch {
	case t.Name == "":
		return fail(node, "the layer has no name")
	case t.Op == "":
		return fail(node, "layer %s: no operation, such as op: conv", clip(t.Name))
	case !ok:
		return fail(node, "layer %s: unknown operation %q: want one of %s", clip(t.Name), clip(t.Op),
			strings.Join(slices.Sorted(maps.Keys(layerFields)), ", "))
	}
	given := map[string]bool{}
	for i := 0; i < len(node.Content); i += 2 {
		key := node.Content[i]
		if key.Value != "name" && key.Value != "op" && !slices.Contains(strings.Fields(allowed), key.Value) {
			takes := "takes no fields"
			if allowed != "" {
				takes = "takes " + strings.Join(strings.Fields(allowed), ", ")
			}
			return fail(key, "layer %s: unknown field %q: %s %s", clip(t.Name), clip(key.Value), t.Op, takes)
		}
		given[key.Value] = true
	}
	for _, field := range requiredFields[t.Op] {
		if !given[field] {
			return fail(node, "layer %s: %s needs the field %s", clip(t.Name), t.Op, field)
		}
	}
	if t.Op == (ReflectPad{}).Kind() && t.Pad.Mode != Explicit {
		return fail(node, "layer %s: reflectpad needs numbers of pixels for its pad", clip(t.Name))
	}
	return Layer{t.Name, t.op()}, nil
}

// requiredFields are those that have no default.
var requiredFields = map[string][]string{
	"conv":            {"out", "kernel"},
	"maxpool":         {"kernel"},
	"avgpool":         {"kernel"},
	"adaptiveavgpool": {"to"},
	"linear":          {"out"},
}

// op is the operation with the defaults: stride and dilation 1, or for pooling the kernel as stride; AlexNet's
// constants for lrn; keep one half for dropout.
func (t layerText) op() Op {
	window := Window{Kernel: Size(t.Kernel), Stride: Size(t.Stride), Dilation: Size(t.Dilation), Pad: Padding(t.Pad),
		Ceil: t.Ceil}
	pooling := window
	if t.Stride == (sizeText{}) {
		pooling.Stride = window.Kernel
	}
	switch t.Op {
	case "conv":
		return Conv{Out: t.Out, Window: window, Groups: t.Groups, NoBias: !or(t.Bias, true)}
	case "reflectpad":
		return ReflectPad{t.Pad.Top, t.Pad.Left, t.Pad.Bottom, t.Pad.Right}
	case "relu":
		return ReLU{}
	case "maxpool":
		return MaxPool{pooling}
	case "avgpool":
		return AvgPool{Window: pooling, CountPad: or(t.CountPad, true)}
	case "l2pool":
		return L2Pool{}
	case "adaptiveavgpool":
		return AdaptiveAvgPool{Out: Size(t.To)}
	case "globalavgpool":
		return GlobalAvgPool{}
	case "lrn":
		return LRN{Size: or(t.Size, alexNetLRN.Size), Alpha: or(t.Alpha, alexNetLRN.Alpha), Beta: or(t.Beta, alexNetLRN.Beta),
			K: or(t.K, alexNetLRN.K)}
	case "batchnorm":
		return BatchNorm{Eps: t.Eps, Momentum: t.Momentum}
	case "flatten":
		return Flatten{}
	case "linear":
		return Linear{Out: t.Out, NoBias: !or(t.Bias, true)}
	case "dropout":
		return Dropout{Keep: or(t.Keep, 0.5)}
	case "sigmoid":
		return Sigmoid{}
	default: // softmax: decodeLayer lets no other through
		return Softmax{}
	}
}

// text is op's inverse.
func (l Layer) text() layerText {
	t := layerText{Name: l.Name, Op: l.Op.Kind()}
	setWindow := func(w Window) {
		t.Kernel, t.Stride, t.Pad, t.Dilation, t.Ceil = sizeText(w.Kernel), sizeText(w.Stride), padText(w.Pad),
			sizeText(w.Dilation), w.Ceil
		if w.Dilation == Square(1) {
			t.Dilation = sizeText{}
		}
	}
	no := false
	switch op := canonical(l.Op).(type) {
	case Conv:
		setWindow(op.Window)
		t.Out = op.Out
		if op.Stride == Square(1) {
			t.Stride = sizeText{}
		}
		if op.Groups > 1 {
			t.Groups = op.Groups
		}
		if op.NoBias {
			t.Bias = &no
		}
	case ReflectPad:
		t.Pad = padText(op.padding())
	case MaxPool:
		setWindow(op.Window)
	case AvgPool:
		setWindow(op.Window)
		if !op.CountPad {
			t.CountPad = &no
		}
	case AdaptiveAvgPool:
		t.To = sizeText(op.Out)
	case LRN:
		t.Size, t.Alpha, t.Beta, t.K = &op.Size, &op.Alpha, &op.Beta, &op.K
	case BatchNorm:
		t.Eps, t.Momentum = op.Eps, op.Momentum
	case Linear:
		t.Out = op.Out
		if op.NoBias {
			t.Bias = &no
		}
	case Dropout:
		t.Keep = &op.Keep
	}
	return t
}

// EncodeYAML writes the description that Decode reads, a layer on each line.
func (n *Network) EncodeYAML(w io.Writer) error {
	doc := fileText{Name: n.Name, Title: n.Title, Input: n.Input.String()}
	for _, layer := range n.Layers {
		var node yaml.Node
		if err := node.Encode(layer.text()); err != nil {
			return fmt.Errorf("layer %s: %w", layer.Name, err)
		}
		node.Style = yaml.FlowStyle
		doc.Layers = append(doc.Layers, node)
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		return err
	}
	return enc.Close()
}

// EncodeJSON writes the same as JSON.
func (n *Network) EncodeJSON(w io.Writer) error {
	doc := struct {
		fileText
		Layers []layerText `json:"layers"`
	}{fileText: fileText{Name: n.Name, Title: n.Title, Input: n.Input.String()}}
	for _, layer := range n.Layers {
		doc.Layers = append(doc.Layers, layer.text())
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}

// sizeText is a size written 3 or, height first, 3x5.
type sizeText Size

func (s *sizeText) UnmarshalYAML(node *yaml.Node) error {
	n := 1
	if strings.Contains(node.Value, "x") {
		n = 2
	}
	dims, err := parseDims(node.Value, n)
	if node.Kind != yaml.ScalarNode || err != nil {
		return fmt.Errorf("line %d: %q is no size: want a number, or height x width as 3x5", node.Line, clip(node.Value))
	}
	*s = sizeText{dims[0], dims[n-1]}
	return nil
}

func (s sizeText) value() any {
	if s.H == s.W {
		return s.H
	}
	return Size(s).String()
}

func (s sizeText) MarshalYAML() (any, error)    { return s.value(), nil }
func (s sizeText) MarshalJSON() ([]byte, error) { return json.Marshal(s.value()) }

// padText is padding written as a number for all sides, same, valid, or [top, left, bottom, right].
type padText Padding

func (p *padText) UnmarshalYAML(node *yaml.Node) error {
	var sides [4]int
	switch {
	case node.Value == "same":
		*p = padText{Mode: Same}
		return nil
	case node.Value == "valid":
		*p = padText{Mode: Valid}
		return nil
	case node.Kind == yaml.ScalarNode:
		n, err := strconv.ParseInt(node.Value, 10, 32)
		if err == nil {
			*p = padText(Pad(int(n)))
			return nil
		}
	case node.Kind == yaml.SequenceNode && len(node.Content) == 4 && node.Decode(&sides) == nil:
		*p = padText{Top: sides[0], Left: sides[1], Bottom: sides[2], Right: sides[3]}
		return nil
	}
	return fmt.Errorf("line %d: pad is a number, same, valid, or [top, left, bottom, right]", node.Line)
}

func (p padText) value() any {
	switch {
	case p.Mode == Same:
		return "same"
	case p.Mode == Valid:
		return "valid"
	case p == padText(Pad(p.Top)):
		return p.Top
	}
	return []int{p.Top, p.Left, p.Bottom, p.Right}
}

func (p padText) MarshalYAML() (any, error)    { return p.value(), nil }
func (p padText) MarshalJSON() ([]byte, error) { return json.Marshal(p.value()) }

// yamlError drops the library's prefixes and Go's words from its first complaint.
func yamlError(err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	var wrongType *yaml.TypeError
	if errors.As(err, &wrongType) && len(wrongType.Errors) > 0 {
		msg = wrongType.Errors[0]
	}
	msg, _, _ = strings.Cut(msg, " in type ")
	return errors.New(yamlWords.Replace(msg))
}

var yamlWords = strings.NewReplacer("cannot unmarshal !!", "cannot read ", " into ", " as ", "arch.fileText",
	"a description", "arch.layerText", "a layer")

// or is what the pointer points at, or a default.
func or[T any](p *T, def T) T {
	if p == nil {
		return def
	}
	return *p
}
