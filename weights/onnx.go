package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/onnx"
)

// Opsets that are understood: before 7 operators broadcast by other rules; those after the last may mean something else
// again.
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

// readONNX fills f from the bytes of an ONNX file, which it keeps: the initializers as tensors, the graph as the
// network that they are the weights of.
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
	if err := checkNodes(f.Path, &model.Graph); err != nil {
		return err
	}
	for i := range model.Graph.Initializers {
		if err := f.addONNX(&model.Graph.Initializers[i]); err != nil {
			return err
		}
	}
	take := func(input arch.Shape) error {
		chain, err := followONNX(f.Path, model, nil, input)
		if err != nil {
			return err
		}
		if !chain.takesImages() {
			return &UnreadableError{Path: f.Path,
				Err: errors.New("the graph's input is no batch of pictures, N,C,H,W or N,H,W,C")}
		}
		return f.describe(chain)
	}
	channels, open := opensSize(&model.Graph)
	if !open {
		return take(arch.Shape{})
	}
	f.channels = channels
	f.leavesOpen = func(input arch.Shape) error {
		if input.C != channels {
			return fmt.Errorf("%s: pictures of %d channels: the file's have %d", f.Path, input.C, channels)
		}
		err := take(input)
		if err == nil {
			f.leavesOpen = nil
		}
		return err
	}
	return nil
}

// describe takes the chain over as the file's network.
func (f *File) describe(chain *onnxChain) error {
	placed, names, err := chain.network(f)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	d := &described{placed: placed, naming: naming{family: "ONNX", source: map[string]source{},
		bookkeeping: func(string) bool { return true }}}
	for i, layer := range chain.weighted() {
		fold, err := f.foldingOf(layer, names[i])
		if err != nil {
			return err
		}
		for _, role := range slices.Sorted(maps.Keys(layer.params)) {
			name := names[i] + "/" + role
			src, err := f.onnxSource(layer.params[role], name)
			if err != nil {
				return err
			}
			src.fold = fold
			d.naming.source[name] = src
		}
	}
	d.prepares = len(chain.layers) > 0 && chain.layers[0].stretch != noStretch && !chain.layers[0].folds()
	f.described = d
	return nil
}

// foldingOf says where the constants are that are folded into a layer.
func (f *File) foldingOf(layer *onnxLayer, name string) (*folding, error) {
	if layer.fold == nil {
		return nil, nil
	}
	fold := &folding{}
	for _, r := range []struct {
		role string
		to   **source
	}{{"mean", &fold.mean}, {"gamma", &fold.gamma}, {"beta", &fold.beta}} {
		p := layer.fold[r.role]
		if p == nil {
			continue
		}
		src, err := f.onnxSource(p, name+"/"+r.role)
		if err != nil {
			return nil, err
		}
		*r.to = &src
	}
	return fold, nil
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
	if p.picks == nil && !p.invert {
		return source{name: p.tensor.Name, layout: p.layout}, nil
	}
	e := f.entries[f.index[p.tensor.Name]]
	derived := entry{name: p.tensor.Name + " as " + name, shape: []int{product(p.tensor.Dims)}, dtype: e.dtype}
	if p.picks != nil {
		derived.shape[0] = p.picks.count()
	}
	if p.invert {
		derived.dtype = F32
	}
	derived.fetch = func() ([]byte, error) {
		raw, err := e.raw, error(nil)
		if e.fetch != nil {
			raw, err = e.fetch()
		}
		if err != nil {
			return nil, err
		}
		if p.picks != nil {
			raw = p.picks.gather(raw, sizes[e.dtype])
		}
		if p.invert {
			return inverses(e.dtype.decode(raw)), nil
		}
		return raw, nil
	}
	if err := f.add(derived); err != nil {
		return source{}, fmt.Errorf("%s: %w", f.Path, err)
	}
	return source{name: derived.name, layout: p.layout}, nil
}

// inverses are the bytes of 1/v as float32.
func inverses(values []float32) []byte {
	raw := make([]byte, 0, 4*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(1/float64(v))))
	}
	return raw
}

// followONNX goes along the graph from its input to its outputs. given are values for inputs that the file leaves open,
// other than the pictures; size is that of pictures where the file leaves it open.
func followONNX(path string, model *onnx.Model, given map[string]*onnx.Tensor, size arch.Shape) (*onnxChain, error) {
	refuse := func(format string, args ...any) (*onnxChain, error) {
		return nil, &UnreadableError{Path: path, Err: fmt.Errorf(format, args...)}
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
		return nil, fmt.Errorf("%s: opset %d is older than %d: convert the model with onnx.version_converter", path,
			c.opset, minOpset)
	case c.opset > maxOpset:
		return nil,
			fmt.Errorf("%s: opset %d is newer than %d, the last that is understood: export the model for an older one", path,
				c.opset, maxOpset)
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
	if err := c.start(g, size); err != nil {
		return refuse("%w", err)
	}
	if err := checkNodes(path, g); err != nil {
		return nil, err
	}
	nodes := needed(g)
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

// checkNodes names all nodes that no layer computes.
func checkNodes(path string, g *onnx.Graph) error {
	var unsupported []UnsupportedNode
	constants := map[string]*constant{}
	for i := range g.Initializers {
		constants[g.Initializers[i].Name] = &constant{tensor: &g.Initializers[i]}
	}
	for _, n := range needed(g) {
		op := operator(n)
		clipped := error(nil)
		switch {
		case n.Op == "Constant" && len(n.Outputs) > 0:
			constants[n.Outputs[0]], _ = constantOf(n) // whose fault shows on the way
		case n.Op == "Clip":
			var in []*constant
			for _, name := range n.Inputs {
				in = append(in, constants[name])
			}
			if clipped = new(onnxChain).clip(n, in); clipped != nil {
				op += fmt.Sprintf(", since %v", clipped)
			}
		}
		foreign := n.Domain != "" && n.Domain != "ai.onnx"
		_, folds := folded[n.Op]
		if foreign || clipped != nil || operators[n.Op] == nil && !folds && n.Op != "Constant" && n.Op != "Shape" {
			name := n.Name
			if name == "" && len(n.Outputs) > 0 {
				name = n.Outputs[0]
			}
			unsupported = append(unsupported, UnsupportedNode{clipText(name), op})
		}
	}
	if unsupported != nil {
		return &UnsupportedError{path, unsupported}
	}
	return nil
}

// opensSize reports whether a graph's input is of pictures with a side that the file leaves open, and tells their
// channels.
func opensSize(g *onnx.Graph) (channels int, open bool) {
	weights := map[string]bool{}
	for i := range g.Initializers {
		weights[g.Initializers[i].Name] = true
	}
	for _, v := range g.Inputs {
		if weights[v.Name] || len(v.Dims) != 4 {
			continue
		}
		at := pictureSides(v.Dims)
		if c := v.Dims[at[0]].Size; c > 0 && c <= arch.MaxElements && (v.Dims[at[1]].Size < 0 || v.Dims[at[2]].Size < 0) {
			return int(c), true
		}
	}
	return 0, false
}

// pictureSides are the places of channels, rows and columns among an input's sides.
func pictureSides(dims []onnx.Dim) [3]int {
	var sides []int64
	for _, d := range dims {
		sides = append(sides, d.Size)
	}
	if channelsLast(sides) {
		return [3]int{3, 1, 2}
	}
	return [3]int{1, 2, 3}
}

// start finds the input, which must be one.
func (c *onnxChain) start(g *onnx.Graph, size arch.Shape) error {
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
		return fmt.Errorf("its input %s is of ONNX's type %d: floating-point pictures are understood", clipText(data.Name),
			data.Type)
	case !data.Shaped:
		return fmt.Errorf("the file does not say the shape of its input %s", clipText(data.Name))
	}
	given := map[int]int{} // sizes of sides
	if len(data.Dims) == 4 && size != (arch.Shape{}) {
		at := pictureSides(data.Dims)
		given[at[1]], given[at[2]] = size.H, size.W
		for _, side := range at[1:] {
			if told := data.Dims[side].Size; told >= 0 && told != int64(given[side]) {
				return fmt.Errorf("pictures of %v: its input %s has a side of %d", size, clipText(data.Name), told)
			}
		}
	}
	total := 1
	for i, d := range data.Dims {
		size := d.Size
		switch {
		case size >= 0:
		case i == 0:
			size = anyBatch
		case given[i] > 0:
			size = int64(given[i])
		case len(data.Dims) == 4 && i == pictureSides(data.Dims)[0]:
			return fmt.Errorf("the file does not say how many channels its input %s has", clipText(data.Name))
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
			return fmt.Errorf("it reads %s, which another node has read before: the graph branches, networks here are "+
				"plain chains", clipText(name))
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
		return fmt.Errorf("no layer computes it of pictures or maps")
	case c.pad != nil && n.Op != "Conv" && n.Op != "AveragePool":
		return fmt.Errorf("it follows %s, which only a convolution or average pooling can take in", label(c.pad))
	case c.log != nil && !regroups[n.Op]:
		return fmt.Errorf("it follows %s, whose logarithms are read at a network's end alone", label(c.log))
	case len(in) > 1 && in[0] != nil && !pairs[n.Op]:
		return fmt.Errorf("its first input is a constant")
	case len(in) != 2 && pairs[n.Op]:
		return fmt.Errorf("it has %d inputs, not 2", len(in))
	}
	if err := checkAttributes(n); err != nil {
		return err
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

// pairs are operators of two inputs, of which one is the chain's head.
var pairs = map[string]bool{"Add": true, "Sub": true, "Mul": true, "Div": true, "MatMul": true}

// regroups are operators that change no value.
var regroups = map[string]bool{"Identity": true, "Flatten": true, "Reshape": true, "Squeeze": true, "Unsqueeze": true,
	"Transpose": true, "Dropout": true, "Cast": true}

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
