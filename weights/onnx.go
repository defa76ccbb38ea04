package weights

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/onnx"
)

// Opsets that are understood: before 7 operators broadcast by other rules; those after the last may mean something else again.
const (
	minOpset = 7
	maxOpset = 26
)

// maxNodes and maxONNXInput bound what the sides of a graph's input and the number of its nodes can lead to.
const (
	maxNodes     = 1 << 14
	maxONNXBatch = 1 << 20
)

// UnsupportedError is an ONNX graph with operators that no layer computes.
type UnsupportedError struct {
	Path  string
	Nodes []UnsupportedNode
}

// UnsupportedNode is one of them.
type UnsupportedNode struct{ Name, Op string }

func (e *UnsupportedError) Error() string {
	var ops []string
	names := map[string][]string{}
	for _, n := range e.Nodes {
		if names[n.Op] == nil {
			ops = append(ops, n.Op)
		}
		names[n.Op] = append(names[n.Op], n.Name)
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
	return fmt.Sprintf("%s: the graph has nodes that no layer computes: %s", e.Path, strings.Join(list, "; "))
}

// readONNX fills f from the bytes of an ONNX file, which it keeps: the initializers as tensors, the graph as the network that
// they are the weights of.
func readONNX(f *File, data []byte) error {
	model, err := onnx.Decode(data)
	var fault *onnx.Error
	if errors.As(err, &fault) {
		return &FormatError{f.Path, int64(fault.Offset), fault.Reason}
	}
	if err != nil {
		return err
	}
	if len(model.Metadata) > maxTensors {
		return &FormatError{f.Path, 0, fmt.Sprintf("more than %d notes", maxTensors)}
	}
	f.Metadata = make(map[string]string, len(model.Metadata))
	for _, n := range model.Metadata {
		f.Metadata[n.Key] = n.Value
	}
	if err := f.fetchExternal(model); err != nil {
		return err
	}
	chain, err := followONNX(f.Path, model, nil)
	if err != nil {
		return err
	}
	if !chain.takesImages() {
		return fmt.Errorf("%s: the graph's input is no batch of pictures, N,C,H,W or N,H,W,C", f.Path)
	}
	for i := range model.Graph.Initializers {
		if err := f.addONNX(&model.Graph.Initializers[i]); err != nil {
			return err
		}
	}
	return f.describe(chain)
}

// describe takes the chain over as the file's network.
func (f *File) describe(chain *onnxChain) error {
	net, names, err := chain.network(f)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	d := &described{net: net, naming: naming{family: "ONNX", source: map[string]source{}, bookkeeping: func(string) bool { return true }}}
	for i, layer := range chain.weighted() {
		for _, role := range slices.Sorted(maps.Keys(layer.params)) {
			name := names[i] + "/" + role
			src, err := f.onnxSource(layer.params[role], name)
			if err != nil {
				return err
			}
			d.naming.source[name] = src
		}
	}
	f.described = d
	return nil
}

// addONNX adds a tensor as it is in the file.
func (f *File) addONNX(t *onnx.Tensor) error {
	dtype, known := onnxTypes[t.Type]
	if !known { // texts, and numbers of fewer than 8 bits: no layer has them
		return nil
	}
	e := entry{name: t.Name, shape: t.Dims, dtype: dtype}
	if view, ok := t.View(); ok {
		e.raw = view
	} else {
		e.fetch = t.Bytes
	}
	if err := f.add(e); err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	return nil
}

// onnxSource says where a parameter is: a tensor of the file, or one made of it and added under a name of its own.
func (f *File) onnxSource(p *onnxParam, name string) (source, error) {
	if p.tensor == nil {
		return source{fill: p.fill}, nil
	}
	if _, ok := f.index[p.tensor.Name]; !ok { // of a Constant node
		if err := f.addONNX(p.tensor); err != nil {
			return source{}, err
		}
	}
	if p.picks == nil {
		return source{name: p.tensor.Name, layout: p.layout}, nil
	}
	e := f.entries[f.index[p.tensor.Name]]
	derived := entry{name: p.tensor.Name + " as " + name, shape: []int{p.picks.count()}, dtype: e.dtype}
	derived.fetch = func() ([]byte, error) {
		raw, err := e.raw, error(nil)
		if e.fetch != nil {
			raw, err = e.fetch()
		}
		if err != nil {
			return nil, err
		}
		return p.picks.gather(raw, sizes[e.dtype]), nil
	}
	if err := f.add(derived); err != nil {
		return source{}, fmt.Errorf("%s: %w", f.Path, err)
	}
	return source{name: derived.name, layout: p.layout}, nil
}

// followONNX goes along the graph from its input to its outputs. given are values for inputs that the file leaves open, other
// than the pictures.
func followONNX(path string, model *onnx.Model, given map[string]*onnx.Tensor) (*onnxChain, error) {
	refuse := func(format string, args ...any) (*onnxChain, error) {
		return nil, fmt.Errorf("%s: "+format, append([]any{path}, args...)...)
	}
	g := &model.Graph
	c := &onnxChain{constants: map[string]*constant{}, sides: map[string][]int64{}, masks: map[string]bool{}}
	for _, o := range model.Opsets {
		if o.Domain == "" || o.Domain == "ai.onnx" {
			c.opset = o.Version
		}
	}
	switch {
	case c.opset < minOpset:
		return refuse("opset %d is older than %d: convert the model with onnx.version_converter", c.opset, minOpset)
	case c.opset > maxOpset:
		return refuse("opset %d is newer than %d, the last that is understood: export the model for an older one", c.opset, maxOpset)
	case len(g.Nodes) > maxNodes:
		return refuse("a graph of %d nodes: the most is %d", len(g.Nodes), maxNodes)
	case g.Sparse:
		return refuse("sparse initializers are not read")
	case len(g.Outputs) == 0:
		return refuse("the graph has no output")
	}
	for i := range g.Initializers {
		t := &g.Initializers[i]
		if c.constants[t.Name] != nil {
			return refuse("two initializers are called %q", clipText(t.Name))
		}
		c.constants[t.Name] = &constant{tensor: t}
	}
	for name, t := range given {
		c.constants[name] = &constant{tensor: t}
	}
	if err := c.start(g); err != nil {
		return refuse("%w", err)
	}
	nodes := needed(g)
	var unsupported []UnsupportedNode
	for _, n := range nodes {
		foreign := n.Domain != "" && n.Domain != "ai.onnx"
		_, folds := folded[n.Op]
		if foreign || operators[n.Op] == nil && !folds && n.Op != "Constant" && n.Op != "Shape" {
			name := n.Name
			if name == "" && len(n.Outputs) > 0 {
				name = n.Outputs[0]
			}
			unsupported = append(unsupported, UnsupportedNode{clipText(name), operator(n)})
		}
	}
	if unsupported != nil {
		return nil, &UnsupportedError{path, unsupported}
	}
	wanted := map[string]bool{}
	for _, n := range nodes {
		for _, name := range n.Inputs {
			wanted[name] = true
		}
	}
	for _, v := range g.Outputs {
		wanted[v.Name] = true
	}
	for _, n := range nodes {
		if err := c.follow(n, wanted); err != nil {
			return refuse("%s: %w", label(n), err)
		}
	}
	if c.pad != nil {
		return refuse("%s: no convolution or average pooling takes it in", label(c.pad))
	}
	for _, v := range g.Outputs {
		if _, ours := c.sides[v.Name]; !ours && !c.masks[v.Name] {
			return refuse("its output %s does not depend on its input", clipText(v.Name))
		}
	}
	if err := c.bindAnyhow(); err != nil {
		return refuse("%w", err)
	}
	if len(c.layers) == 0 { // a network has a layer: one that changes no value
		c.layers = append(c.layers, &onnxLayer{op: arch.Flatten{}, node: &onnx.Node{Name: "flatten"}})
		c.image = [4]axes{c.image[0], concat(c.image[1:]...), nil, nil}
	}
	return c, nil
}

// start finds the input, which must be one.
func (c *onnxChain) start(g *onnx.Graph) error {
	var data *onnx.Value
	for i := range g.Inputs {
		v := &g.Inputs[i]
		if c.constants[v.Name] != nil {
			continue
		}
		if data != nil {
			return fmt.Errorf("the graph has inputs %s and %s: networks here have one", clipText(data.Name), clipText(v.Name))
		}
		data = v
	}
	switch {
	case data == nil:
		return fmt.Errorf("the graph has no input")
	case !holdsWeights(onnxTypes[data.Type]):
		return fmt.Errorf("its input %s is of ONNX's type %d: floating-point pictures are understood", clipText(data.Name), data.Type)
	case !data.Shaped:
		return fmt.Errorf("the file does not say the shape of its input %s", clipText(data.Name))
	}
	total := 1
	for i, d := range data.Dims {
		size := d.Size
		switch {
		case size >= 0:
		case i == 0:
			size = anyBatch
		case len(data.Dims) == 4 && i == 1:
			return fmt.Errorf("the file does not say how many channels its input %s has", clipText(data.Name))
		case len(data.Dims) == 4: // a network for pictures of any size: for those that ImageNet's are made for
			size = int64(arch.ImageNetInput.H)
		default:
			return fmt.Errorf("the file does not say the shape of its input %s", clipText(data.Name))
		}
		if size == 0 || i == 0 && size > maxONNXBatch || size > arch.MaxElements {
			return fmt.Errorf("its input %s has a side of %d", clipText(data.Name), size)
		}
		side := newAxes(int(size))
		if size != anyBatch {
			if total > arch.MaxElements/int(size) {
				return fmt.Errorf("its input %s is too large", clipText(data.Name))
			}
			total *= int(size)
		}
		c.dims = append(c.dims, side)
	}
	c.first = slices.Clone(c.dims)
	c.input = concat(c.dims...)
	c.head = data.Name
	c.sides[c.head] = c.sizes()
	return nil
}

// needed lists the nodes that the outputs depend on, in their order.
func needed(g *onnx.Graph) []*onnx.Node {
	wanted := map[string]bool{}
	for _, v := range g.Outputs {
		wanted[v.Name] = true
	}
	var list []*onnx.Node
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		n := &g.Nodes[i]
		if !slices.ContainsFunc(n.Outputs, func(name string) bool { return name != "" && wanted[name] }) {
			continue
		}
		for _, name := range n.Inputs {
			wanted[name] = true
		}
		list = append(list, n)
	}
	slices.Reverse(list)
	return list
}

// follow takes one node in.
func (c *onnxChain) follow(n *onnx.Node, wanted map[string]bool) error {
	if len(n.Outputs) == 0 || n.Outputs[0] == "" {
		return fmt.Errorf("it has no output")
	}
	out := n.Outputs[0]
	if _, twice := c.sides[out]; twice || c.constants[out] != nil {
		return fmt.Errorf("two nodes make %s", clipText(out))
	}
	for _, name := range n.Outputs[1:] {
		if name != "" && wanted[name] && n.Op != "Dropout" {
			return fmt.Errorf("its further output %s is used: layers have one", clipText(name))
		}
	}
	in := make([]*constant, len(n.Inputs))
	heads := 0
	for i, name := range n.Inputs {
		if name == "" {
			continue
		}
		if in[i] = c.constants[name]; in[i] != nil {
			continue
		}
		sides, known := c.sides[name]
		switch {
		case n.Op == "Shape" && known:
			from, to := 0, len(sides)
			a := arguments{node: n}
			if x := n.Attribute("start"); x != nil {
				from = a.side(x.Int, len(sides), true)
			}
			if x := n.Attribute("end"); x != nil {
				to = max(from, a.side(min(x.Int, int64(len(sides))), len(sides), true))
			}
			if a.err != nil {
				return a.err
			}
			shape := &constant{ints: slices.Clone(sides[from:to])}
			for j, side := range shape.ints {
				if side == anyBatch {
					shape.ints[j] = openSide
				}
			}
			c.constants[out] = shape
			return nil
		case name == c.head:
			heads++
		case c.masks[name]:
			return fmt.Errorf("it reads a dropout's mask")
		case known:
			return fmt.Errorf("it reads %s, which another node has read before: the graph branches, networks here are plain chains", clipText(name))
		default:
			return fmt.Errorf("it reads %s, which nothing makes", clipText(name))
		}
	}
	switch {
	case heads == 0:
		k, err := c.compute(n, in)
		if err != nil {
			return err
		}
		c.constants[out] = k
		return nil
	case heads > 1:
		return fmt.Errorf("it combines two values of the graph: networks here are plain chains")
	case operators[n.Op] == nil:
		return fmt.Errorf("it depends on the input's values")
	case c.pad != nil && n.Op != "Conv" && n.Op != "AveragePool":
		return fmt.Errorf("it follows %s, which only a convolution or average pooling can take in", label(c.pad))
	case len(in) > 1 && in[0] != nil && n.Op != "Add" && n.Op != "MatMul":
		return fmt.Errorf("its first input is a constant")
	}
	if len(in) == 1 && (n.Op == "Add" || n.Op == "MatMul") {
		return fmt.Errorf("it has one input")
	}
	if err := operators[n.Op](c, n, in); err != nil {
		return err
	}
	if len(c.dims) > maxRank {
		return fmt.Errorf("%d dimensions: the most is %d", len(c.dims), maxRank)
	}
	c.head = out
	c.sides[out] = c.sizes()
	return nil
}

// compute makes a constant of constants.
func (c *onnxChain) compute(n *onnx.Node, in []*constant) (*constant, error) {
	if n.Op == "Constant" {
		return constantOf(n)
	}
	if n.Op == "Identity" && len(in) == 1 && in[0] != nil { // PyTorch writes equal weights once
		return in[0], nil
	}
	do := folded[n.Op]
	if do == nil {
		return nil, fmt.Errorf("it computes with constants: simplify the model (onnxsim) before")
	}
	return do(n, in)
}
