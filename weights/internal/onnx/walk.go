package onnx

import (
	"fmt"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// The walk along a graph: which nodes lie between its pictures and its outputs, and what each of them adds to the
// chain.

// follow goes along the graph from its input to its outputs. given are values for inputs that the file leaves open,
// other than the pictures; size is that of pictures where the file leaves it open.
func follow(model *wire.Model, given map[string]*wire.Tensor, size arch.Shape) (*chain, error) {
	refuse := func(text string, args ...any) (*chain, error) {
		return nil, &format.UnrunnableError{Err: fmt.Errorf(text, args...)}
	}
	g := &model.Graph
	c := &chain{constants: map[string]*constant{}, sides: map[string][]int64{}, masks: map[string]bool{}}
	for _, o := range model.Opsets {
		if o.Domain == "" || o.Domain == "ai.onnx" {
			c.opset = o.Version
		}
	}
	switch {
	case c.opset < minOpset:
		return nil, fmt.Errorf("opset %d is older than %d: convert the model with onnx.version_converter", c.opset, minOpset)
	case c.opset > maxOpset:
		return nil, fmt.Errorf("opset %d is newer than %d, the last that is understood: export the model for an older one",
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
			return refuse("two initializers are called %q", format.Clip(t.Name))
		}
		c.constants[t.Name] = &constant{tensor: t}
	}
	for name, t := range given {
		c.constants[name] = &constant{tensor: t}
	}
	if err := c.start(g, size); err != nil {
		return refuse("%w", err)
	}
	if err := checkNodes(g); err != nil {
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
		if err := c.step(n, wanted); err != nil {
			return refuse("%s: %w", label(n), err)
		}
	}
	if c.bytes {
		return refuse("its output is the pictures' bytes: a Cast to floating point is missing")
	}
	if c.grid != nil {
		return refuse("its output is quantised: a DequantizeLinear is missing")
	}
	if c.pad != nil {
		return refuse("%s: no convolution or average pooling takes it in", label(c.pad))
	}
	for _, v := range g.Outputs {
		if _, ours := c.sides[v.Name]; !ours && !c.masks[v.Name] {
			return refuse("its output %s does not depend on its input", format.Clip(v.Name))
		}
	}
	if err := c.bindAnyhow(); err != nil {
		return refuse("%w", err)
	}
	if len(c.layers) == 0 { // a network has a layer: one that changes no value
		c.layers = append(c.layers, &layer{op: arch.Flatten{}, node: &wire.Node{Name: "flatten"}})
		c.image = [4]axes{c.image[0], concat(c.image[1:]...), nil, nil}
	}
	return c, nil
}

// checkNodes names all nodes that no layer computes.
func checkNodes(g *wire.Graph) error {
	var strange []node
	constants := map[string]*constant{}
	fixed := map[string]bool{"": true} // values that do not depend on the pictures; an input that is left out is none
	for i := range g.Initializers {
		constants[g.Initializers[i].Name] = &constant{tensor: &g.Initializers[i]}
		fixed[g.Initializers[i].Name] = true
	}
	foldable := true
	for _, n := range needed(g) {
		op := operator(n)
		depends := len(n.Inputs) == 0 && n.Op != "Constant" || // of random numbers
			slices.ContainsFunc(n.Inputs, func(name string) bool { return !fixed[name] })
		for _, name := range n.Outputs {
			fixed[name] = !depends
		}
		var why error
		switch {
		case n.Op == "Constant" && len(n.Outputs) > 0:
			constants[n.Outputs[0]], _ = constantOf(n) // whose fault shows on the way
		case operators[n.Op] == nil:
		case n.Op == "Clip":
			var in []*constant
			for _, name := range n.Inputs {
				in = append(in, constants[name])
			}
			why = new(chain).clip(&arguments{node: n}, in)
			fallthrough
		default:
			if why == nil {
				why = checkAttributes(n)
			}
		}
		if why != nil {
			op += fmt.Sprintf(", since %v", why)
		}
		foreign := n.Domain != "" && n.Domain != "ai.onnx" &&
			!(n.Domain == "com.microsoft" && slices.Contains(microsoft, n.Op))
		_, folds := folded[n.Op]
		if foreign || why != nil || operators[n.Op] == nil && !folds && n.Op != "Constant" && n.Op != "Shape" {
			name := n.Name
			if name == "" && len(n.Outputs) > 0 {
				name = n.Outputs[0]
			}
			strange = append(strange, node{format.Clip(name), op})
			foldable = foldable && !depends
		}
	}
	if strange != nil && foldable {
		return &format.UnrunnableError{Err: format.Remedy("%w: they compute with constants alone, which onnxsim or, of "+
			"TensorFlow's graphs, tf2onnx folds", unsupported(strange))}
	}
	if strange != nil {
		return &format.UnrunnableError{Err: unsupported(strange)}
	}
	return nil
}

// opensSize reports whether a graph's input is of pictures with a side that the file leaves open, and tells their
// channels.
func opensSize(g *wire.Graph) (channels int, open bool) {
	for _, v := range inputsOf(g) {
		if len(v.Dims) != 4 {
			continue
		}
		at := pictureSides(v.Dims)
		if c := v.Dims[at[0]].Size; c > 0 && c <= arch.MaxElements && (v.Dims[at[1]].Size < 0 || v.Dims[at[2]].Size < 0) {
			return int(c), true
		}
	}
	return 0, false
}

// inputsOf are a graph's inputs but for those that the file has values for.
func inputsOf(g *wire.Graph) []wire.Value {
	given := map[string]bool{}
	for i := range g.Initializers {
		given[g.Initializers[i].Name] = true
	}
	return slices.DeleteFunc(slices.Clone(g.Inputs), func(v wire.Value) bool { return given[v.Name] })
}

// pictureSides are the places of channels, rows and columns among an input's sides.
func pictureSides(dims []wire.Dim) [3]int {
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
func (c *chain) start(g *wire.Graph, size arch.Shape) error {
	var data *wire.Value
	for i := range g.Inputs {
		v := &g.Inputs[i]
		if c.constants[v.Name] != nil {
			continue
		}
		if data != nil {
			return fmt.Errorf("the graph has inputs %s and %s: networks here have one", format.Clip(data.Name),
				format.Clip(v.Name))
		}
		data = v
	}
	switch {
	case data == nil:
		return fmt.Errorf("the graph has no input")
	case !dtypes[data.Type].HoldsWeights() && data.Type != wire.UINT8:
		return fmt.Errorf("its input %s is of ONNX's type %d: pictures of floating point or bytes are understood",
			format.Clip(data.Name), data.Type)
	case !data.Shaped:
		return fmt.Errorf("the file does not say the shape of its input %s", format.Clip(data.Name))
	}
	given := map[int]int{} // sizes of sides
	if len(data.Dims) == 4 && size != (arch.Shape{}) {
		at := pictureSides(data.Dims)
		given[at[1]], given[at[2]] = size.H, size.W
		for _, side := range at[1:] {
			if told := data.Dims[side].Size; told >= 0 && told != int64(given[side]) {
				return fmt.Errorf("pictures of %v: its input %s has a side of %d", size, format.Clip(data.Name), told)
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
			return fmt.Errorf("the file does not say how many channels its input %s has", format.Clip(data.Name))
		default:
			return fmt.Errorf("the file does not say the shape of its input %s", format.Clip(data.Name))
		}
		if size == 0 || i == 0 && size > maxBatch || size > arch.MaxElements {
			return fmt.Errorf("its input %s has a side of %d", format.Clip(data.Name), size)
		}
		side := newAxes(int(size))
		if size != anyBatch {
			if total > arch.MaxElements/int(size) {
				return fmt.Errorf("its input %s is too large", format.Clip(data.Name))
			}
			total *= int(size)
		}
		c.dims = append(c.dims, side)
	}
	c.first = slices.Clone(c.dims)
	c.input = concat(c.dims...)
	c.head, c.bytes = data.Name, data.Type == wire.UINT8
	c.sides[c.head] = c.sizes()
	return nil
}

// needed lists the nodes that the outputs depend on, in their order.
func needed(g *wire.Graph) []*wire.Node {
	wanted := map[string]bool{}
	for _, v := range g.Outputs {
		wanted[v.Name] = true
	}
	var list []*wire.Node
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

// step takes one node in.
func (c *chain) step(n *wire.Node, wanted map[string]bool) error {
	if len(n.Outputs) == 0 || n.Outputs[0] == "" {
		return fmt.Errorf("it has no output")
	}
	out := n.Outputs[0]
	if _, twice := c.sides[out]; twice || c.constants[out] != nil {
		return fmt.Errorf("two nodes make %s", format.Clip(out))
	}
	for _, name := range n.Outputs[1:] {
		if name != "" && wanted[name] && n.Op != "Dropout" {
			return fmt.Errorf("its further output %s is used: layers have one", format.Clip(name))
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
				"plain chains", format.Clip(name))
		default:
			return fmt.Errorf("it reads %s, which nothing makes", format.Clip(name))
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
	case c.bytes && !regroups[n.Op] && n.Op != "Gather" && n.Op != "Slice":
		return fmt.Errorf("it computes with the pictures' bytes: a Cast to floating point must come before")
	case c.grid != nil && !slices.Contains(ofIntegers, n.Op):
		return fmt.Errorf("it computes with quantised integers: only a DequantizeLinear makes values of them")
	case c.pad != nil && !takePads[n.Op]:
		return fmt.Errorf("it follows %s, which only a convolution or average pooling can take in", label(c.pad))
	case c.log != nil && !regroups[n.Op]:
		return fmt.Errorf("it follows %s, whose logarithms are read at a network's end alone", label(c.log))
	case len(in) > 1 && in[0] != nil && !pairs[n.Op]:
		return fmt.Errorf("its first input is a constant")
	case len(in) != 2 && pairs[n.Op]:
		return fmt.Errorf("it has %d inputs, not 2", len(in))
	}
	if err := operators[n.Op](c, &arguments{node: n}, in); err != nil {
		return err
	}
	if len(c.dims) > format.MaxRank {
		return fmt.Errorf("%d dimensions: the most is %d", len(c.dims), format.MaxRank)
	}
	c.head = out
	c.sides[out] = c.sizes()
	return nil
}

// pairs are operators of two inputs, of which one is the chain's head.
var pairs = map[string]bool{"Add": true, "Sub": true, "Mul": true, "Div": true, "MatMul": true}

// takePads are operators that take in the padding before them, or pass it on.
var takePads = map[string]bool{"Conv": true, "AveragePool": true, "QLinearConv": true, "QuantizeLinear": true,
	"DequantizeLinear": true}

// regroups are operators that change no value.
var regroups = map[string]bool{"Identity": true, "Flatten": true, "Reshape": true, "Squeeze": true, "Unsqueeze": true,
	"Transpose": true, "Dropout": true, "Cast": true}

// compute makes a constant of constants.
func (c *chain) compute(n *wire.Node, in []*constant) (*constant, error) {
	switch n.Op {
	case "Constant":
		return constantOf(n)
	case "QuantizeLinear":
		return quantised(n, in)
	case "DequantizeLinear":
		return dequantisedNode(n, in)
	}
	if len(in) == 1 && in[0] != nil {
		switch t := in[0].tensor; {
		case n.Op == "Identity": // PyTorch writes equal weights once
			return in[0], nil
		case n.Op == "Cast" && t != nil && dtypes[t.Type].HoldsWeights(): // of weights in 16 bits
			return in[0], new(chain).cast(&arguments{node: n}, in)
		}
	}
	if k := transposed(n, in); k != nil {
		return k, nil
	}
	do, ok := folded[n.Op]
	if !ok {
		return nil, format.Remedy("it computes with constants: simplify the model (onnxsim) before")
	}
	return do.of(n, in)
}
