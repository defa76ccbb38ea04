// Package onnx reads ONNX models, whose graph must be a plain chain of layers, and writes them.
package onnx

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// Opsets that are understood: before 7 operators broadcast by other rules; those after the last may mean something else
// again.
const (
	minOpset = 7
	maxOpset = 26
)

// maxNodes and maxBatch bound what the sides of a graph's input and the number of its nodes can lead to.
const (
	maxNodes = 1 << 14
	maxBatch = 1 << 20
)

// Reader reads ONNX models.
var Reader = format.Reader{
	Name:  "ONNX",
	Knows: func(in *format.Input) bool { return wire.IsModel(in.Data) },
	Read:  read,
}

// answers are a graph's outputs; of one that picks classes, what it picks from.
func answers(g *wire.Graph) (list []wire.Value) {
	made := map[string]*wire.Node{}
	for i := range g.Nodes {
		for _, name := range g.Nodes[i].Outputs {
			made[name] = &g.Nodes[i]
		}
	}
	seen := map[string]bool{}
	for _, v := range g.Outputs {
		n := made[v.Name]
		if n != nil && (n.Op == "ArgMax" || n.Op == "TopK") && len(n.Inputs) > 0 && made[n.Inputs[0]] != nil {
			v = wire.Value{Name: n.Inputs[0]}
		}
		if !seen[v.Name] {
			seen[v.Name] = true
			list = append(list, v)
		}
	}
	return list
}

// unsupported is the nodes that no layer computes, by their operators.
func unsupported(nodes []node) error {
	var ops []string
	names := map[string][]string{}
	for _, n := range nodes {
		if names[n.op] == nil {
			ops = append(ops, n.op)
		}
		names[n.op] = append(names[n.op], n.name)
	}
	var list []string
	left := 100 // names in all: the message stays readable
	for _, op := range ops {
		shown := names[op][:min(left, len(names[op]))]
		left -= len(shown)
		text := op + " (" + strings.Join(shown, ", ")
		if n := len(names[op]) - len(shown); n > 0 {
			text += fmt.Sprintf(" and %d more", n)
		}
		list = append(list, text+")")
	}
	return fmt.Errorf("the graph has nodes that no layer computes: %s", strings.Join(list, "; "))
}

type node struct{ name, op string }

// read makes the initializers tensors, and the graph the network that they are the weights of.
func read(in *format.Input) (*format.Contents, error) {
	model, err := wire.Decode(in.Data)
	if err != nil {
		return nil, err
	}
	if len(model.Metadata) > format.MaxTensors {
		return nil, format.Fail(0, "more than %d notes", format.MaxTensors)
	}
	c := &format.Contents{Metadata: make(map[string]string, len(model.Metadata))}
	for _, n := range model.Metadata {
		c.Metadata[n.Key] = n.Value
	}
	if err := fetchExternal(in, model); err != nil {
		return nil, err
	}
	model.Graph.Outputs = answers(&model.Graph)
	if err := checkNodes(&model.Graph); err != nil {
		return nil, err
	}
	var file format.List
	for i := range model.Graph.Initializers {
		if err := add(&file, &model.Graph.Initializers[i]); err != nil {
			return nil, err
		}
	}
	c.Tensors = file.Tensors
	return c, Describe(c, model, &file, "ONNX")
}

// Describe puts the network of a graph into what a reader found, under a library's name. The graph's constants are
// those of file by their names, or are made of their own bytes. An error is one of the whole file; a network that
// cannot be run may be one.
func Describe(c *format.Contents, model *wire.Model, file *format.List, family string) (err error) {
	take := func(input arch.Shape) (*format.Network, error) {
		chain, err := follow(model, nil, input)
		if err != nil {
			return nil, err
		}
		if !chain.takesImages() {
			return nil, &format.UnrunnableError{
				Err: errors.New("the graph's input is no batch of pictures, N,C,H,W or N,H,W,C")}
		}
		return (&sources{file: file, family: family}).describe(chain)
	}
	for _, v := range inputsOf(&model.Graph) {
		if v.Type == wire.UINT8 {
			c.Pictures = &format.Pictures{Mean: []float32{0}, Bytes: true,
				Told: "its input " + format.Clip(v.Name) + " is of bytes"}
		}
	}
	channels, open := opensSize(&model.Graph)
	if !open {
		c.Network, err = take(arch.Shape{})
		return err
	}
	c.Channels = channels
	c.Sized = func(input arch.Shape) (*format.Network, error) {
		if input.C != channels {
			return nil, fmt.Errorf("pictures of %d channels: the file's have %d", input.C, channels)
		}
		return take(input)
	}
	return nil
}

// add takes in a tensor as it is in the file.
func add(list *format.List, t *wire.Tensor) error {
	dtype, known := dtypes[t.Type]
	if !known { // texts, and numbers of fewer than 8 bits: no layer has them
		return nil
	}
	e := format.Tensor{Name: t.Name, Shape: t.Dims, DType: dtype}
	if view, ok := t.View(); ok {
		e.Raw = view
	} else {
		e.Fetch = t.Bytes
	}
	return list.Add(e)
}

// sources finds parameters among a file's tensors, and makes those that are not there as they are wanted.
type sources struct {
	file    *format.List
	derived format.List
	family  string
}

// describe says of a chain what network it is and where its parameters are.
func (s *sources) describe(chain *chain) (*format.Network, error) {
	net := chain.network(s.family)
	source := map[string]format.Source{}
	for i, layer := range chain.layers {
		fold, err := s.folding(layer, net.Layers[i].Name)
		if err != nil {
			return nil, err
		}
		for _, role := range slices.Sorted(maps.Keys(layer.params)) {
			name := net.Layers[i].Name + "/" + role
			src, err := s.source(layer.params[role], name)
			if err != nil {
				return nil, err
			}
			src.Fold = fold
			source[name] = src
		}
	}
	placed, err := net.Place(net.Input)
	if err != nil { // which no node alone has shown
		return nil, &format.UnrunnableError{Err: err}
	}
	return &format.Network{
		Network:  net,
		Placed:   placed,
		Naming:   format.Naming{Family: s.family, Source: source, Bookkeeping: func(string) bool { return true }},
		Derived:  s.derived.Tensors,
		Prepares: chain.layers[0].stretch != noStretch && !chain.layers[0].folds(),
	}, nil
}

// folding says where the constants are that are folded into a layer.
func (s *sources) folding(layer *layer, name string) (*format.Folding, error) {
	if layer.fold == nil {
		return nil, nil
	}
	fold := &format.Folding{}
	for _, r := range []struct {
		role string
		to   **format.Source
	}{{"mean", &fold.Mean}, {"gamma", &fold.Gamma}, {"beta", &fold.Beta}} {
		p := layer.fold[r.role]
		if p == nil {
			continue
		}
		src, err := s.source(p, name+"/"+r.role)
		if err != nil {
			return nil, err
		}
		*r.to = &src
	}
	return fold, nil
}

// source says where a parameter is: a tensor of the file, or one made of it under a name of its own.
func (s *sources) source(p *param, name string) (format.Source, error) {
	if p.tensor == nil {
		return format.Source{Fill: p.fill}, nil
	}
	t, ok := s.file.Get(p.tensor.Name)
	if !ok || p.tensor.Make != nil {
		t, ok = s.derived.Get(p.tensor.Name)
	}
	if !ok { // of a Constant node
		if err := add(&s.derived, p.tensor); err != nil {
			return format.Source{}, err
		}
		t, _ = s.derived.Get(p.tensor.Name)
	}
	if p.picks == nil && !p.invert {
		return format.Source{Name: t.Name, Layout: p.layout}, nil
	}
	made := format.Tensor{Name: t.Name + " as " + name, Shape: []int{format.Product(t.Shape)}, DType: t.DType}
	if p.picks != nil {
		made.Shape[0] = format.Product(p.picks.Size)
	}
	if p.invert {
		made.DType = format.F32
	}
	made.Fetch = func() ([]byte, error) {
		raw, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		if p.picks != nil {
			raw = p.picks.Gather(raw)
		}
		if p.invert {
			values := slices.Clone(t.DType.Floats(raw))
			for i, v := range values {
				values[i] = float32(1 / float64(v))
			}
			return format.FloatBytes(values), nil
		}
		return raw, nil
	}
	return format.Source{Name: made.Name, Layout: p.layout}, s.derived.Add(made)
}
