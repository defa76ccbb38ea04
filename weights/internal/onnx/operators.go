package onnx

import (
	"fmt"
	"math"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// operation is what a node that reads the chain's head does. in has the constants among the node's inputs, nil where it
// reads the head or an input is left out. What the operators mean: github.com/onnx/onnx, docs/Operators.md.
type operation func(c *chain, a *arguments, in []*constant) error

var operators map[string]operation

func init() { // a literal would refer to itself by way of the functions
	operators = map[string]operation{
		"Conv":        ofMaps((*chain).conv),
		"Relu":        alike(arch.ReLU{}),
		"MaxPool":     ofMaps((*chain).maxPool),
		"AveragePool": ofMaps((*chain).averagePool),
		"GlobalAveragePool": ofMaps(func(c *chain, a *arguments, _ []*constant) error {
			return c.pushMaps(a, arch.GlobalAvgPool{}, nil)
		}),
		"GlobalMaxPool": ofMaps(func(c *chain, a *arguments, _ []*constant) error {
			return c.pushMaps(a, c.wholeMaximum(), nil)
		}),
		"LRN":                (*chain).lrn,
		"BatchNormalization": (*chain).batchNorm,
		"Dropout":            (*chain).dropout,
		"Identity":           func(*chain, *arguments, []*constant) error { return nil },
		"Flatten":            (*chain).flattenNode,
		"Reshape":            (*chain).reshapeNode,
		"Squeeze":            (*chain).squeeze,
		"Gather":             (*chain).gather,
		"Slice":              (*chain).slice,
		"Unsqueeze":          (*chain).unsqueeze,
		"Transpose":          (*chain).transpose,
		"Gemm":               (*chain).gemm,
		"MatMul":             (*chain).matMul,
		"Add":                (*chain).add,
		"Sub":                (*chain).subtract,
		"Mul":                (*chain).multiply,
		"Div":                (*chain).divide,
		"Clip":               (*chain).clip,
		"Cast":               (*chain).cast,
		"ReduceMean":         (*chain).reduce,
		"ReduceMax":          (*chain).reduce,
		"Softmax":            (*chain).softmax,
		"LogSoftmax":         (*chain).softmax,
		"Sigmoid":            alike(arch.Sigmoid{}),
		"Pad":                (*chain).padNode,
		"QuantizeLinear": func(c *chain, a *arguments, in []*constant) error {
			return c.quantise(a, input(in, 1), input(in, 2))
		},
		"DequantizeLinear": func(c *chain, _ *arguments, in []*constant) error {
			return c.dequantise(input(in, 1), input(in, 2))
		},
		"QLinearConv": func(c *chain, a *arguments, in []*constant) error {
			return c.onIntegers(a, in, 0, ofMaps((*chain).conv))
		},
		"QLinearMatMul": func(c *chain, a *arguments, in []*constant) error {
			return c.onIntegers(a, in, 1, (*chain).matMul)
		},
		"QGemm": (*chain).integerGemm,
	}
}

// ofMaps is an operation that wants head to be maps in N,C,H,W order.
func ofMaps(do operation) operation {
	return func(c *chain, a *arguments, in []*constant) error {
		if err := c.maps(); err != nil {
			return err
		}
		return do(c, a, in)
	}
}

// alike is a layer without parameters that leaves the axes as they are.
func alike(op arch.Op) operation {
	return func(c *chain, a *arguments, _ []*constant) error { return c.pushAlike(a, op, nil) }
}

// wholeMaximum is the largest value of each map.
func (c *chain) wholeMaximum() arch.MaxPool {
	s := c.mapShape()
	return arch.MaxPool{Window: arch.Window{Kernel: arch.Size{H: s.H, W: s.W}}}
}

// arguments are a node's attributes, and the first thing that is wrong with them: no layer is added then.
type arguments struct {
	node *wire.Node
	err  error
}

func (a *arguments) get(name string, kind wire.Kind) *wire.Attribute {
	x := a.node.Attribute(name)
	if x != nil && x.Kind != kind {
		a.fail("attribute %s is of another type", name)
		return nil
	}
	return x
}

func (a *arguments) fail(text string, args ...any) {
	if a.err == nil {
		a.err = fmt.Errorf(text, args...)
	}
}

func (a *arguments) int(name string, otherwise int64) int64 {
	if x := a.get(name, wire.Int); x != nil {
		return x.Int
	}
	return otherwise
}

func (a *arguments) float(name string, otherwise float64) float64 {
	if x := a.get(name, wire.Float); x != nil {
		return format.Shortest(x.Float)
	}
	return otherwise
}

func (a *arguments) ints(name string) []int64 {
	if x := a.get(name, wire.Ints); x != nil {
		return x.Ints
	}
	return nil
}

func (a *arguments) text(name, otherwise string) string {
	if x := a.get(name, wire.Text); x != nil {
		return x.Text
	}
	return otherwise
}

// pair reads two numbers from 0 to what arch allows at the most.
func (a *arguments) pair(name string, otherwise int) arch.Size {
	list := a.ints(name)
	if list == nil {
		return arch.Square(otherwise)
	}
	if len(list) != 2 {
		a.fail("%s of %d dimensions: vggo's maps have two", name, len(list))
		return arch.Size{}
	}
	return arch.Size{H: a.small(name, list[0]), W: a.small(name, list[1])}
}

func (a *arguments) small(name string, v int64) int {
	if v < 0 || v > math.MaxInt32 {
		a.fail("%s of %d", name, v)
		return 0
	}
	return int(v)
}

// window reads how a kernel slides. kernel is the weights', zero for pooling, which says its own.
func (c *chain) window(a *arguments, kernel arch.Size) arch.Window {
	w := arch.Window{Kernel: a.pair("kernel_shape", 0), Stride: a.pair("strides", 1), Dilation: a.pair("dilations", 1),
		Ceil: a.int("ceil_mode", 0) != 0}
	if kernel != (arch.Size{}) {
		if w.Kernel != kernel && a.node.Attribute("kernel_shape") != nil {
			a.fail("a kernel of %v with weights of %v", w.Kernel, kernel)
		}
		w.Kernel = kernel
	}
	mode := a.text("auto_pad", "NOTSET")
	switch mode {
	case "NOTSET", "":
		if pads := a.ints("pads"); pads != nil {
			if len(pads) != 4 {
				a.fail("%d pads, not 4", len(pads))
				return w
			}
			w.Pad = arch.Padding{Top: a.small("pads", pads[0]), Left: a.small("pads", pads[1]), Bottom: a.small("pads", pads[2]),
				Right: a.small("pads", pads[3])}
		}
	case "VALID":
	case "SAME_UPPER", "SAME_LOWER":
		w.Pad.Mode, w.Ceil = arch.Same, false
	default:
		a.fail("auto_pad %s is unknown", format.Clip(mode))
	}
	if c.pad != nil {
		if w.Pad.Mode == arch.Same {
			a.fail("padding of its own after %s", label(c.pad))
		}
		w.Pad.Top += c.pads[0]
		w.Pad.Left += c.pads[1]
		w.Pad.Bottom += c.pads[2]
		w.Pad.Right += c.pads[3]
		c.pad = nil
	}
	if mode == "SAME_LOWER" && a.err == nil { // the odd pixel goes before; arch's Same has it behind
		one := arch.Network{Layers: []arch.Layer{{Name: "pool", Op: arch.Conv{Out: 1, Window: w}}}}
		s := c.mapShape()
		placed, err := one.Place(arch.Shape{C: 1, H: s.H, W: s.W})
		if err != nil {
			a.fail("%s", err.(*arch.ShapeError).Rule)
			return w
		}
		g := placed.Layers[0].Geometry
		w.Pad = arch.Padding{Top: g.Bottom, Left: g.Right, Bottom: g.Top, Right: g.Left}
	}
	return w
}

// weightOf is a parameter that a tensor of the file is.
func weightOf(k *constant, rank int) (*param, []int, error) {
	if k == nil || k.tensor == nil {
		return nil, nil, fmt.Errorf("its weights are not in the file")
	}
	if len(k.tensor.Dims) != rank {
		return nil, nil, fmt.Errorf("weights of %d dimensions, not %d", len(k.tensor.Dims), rank)
	}
	if !dtypes[k.tensor.Type].HoldsWeights() {
		return nil, nil, fmt.Errorf("weights of ONNX's type %d: FLOAT, FLOAT16, BFLOAT16 and DOUBLE are read", k.tensor.Type)
	}
	if k.axes == nil {
		return &param{tensor: k.tensor}, k.tensor.Dims, nil
	}
	if rank != 4 {
		return nil, nil, fmt.Errorf("weights that are transposed")
	}
	dims := make([]int, rank)
	for i, axis := range k.axes {
		dims[i] = k.tensor.Dims[axis]
	}
	return &param{tensor: k.tensor, layout: format.Layout{Axes: k.axes}}, dims, nil
}

// input is an input's constant, nil if it is left out.
func input(in []*constant, i int) *constant {
	if i < len(in) {
		return in[i]
	}
	return nil
}

func (c *chain) conv(a *arguments, in []*constant) error {
	weight, dims, err := weightOf(input(in, 1), 4)
	if err != nil {
		return err
	}
	op := arch.Conv{Out: dims[0], Window: c.window(a, arch.Size{H: dims[2], W: dims[3]}), Groups: a.small("group",
		a.int("group", 1)), NoBias: input(in, 2) == nil}
	if op.Groups == 0 {
		a.fail("no groups")
	}
	if a.err != nil {
		return a.err
	}
	if got, want := dims[1], c.mapShape().C/op.Groups; got != want {
		return fmt.Errorf("weights for %d channels in each of %d groups, its input has %d", got, op.Groups, c.mapShape().C)
	}
	params := map[string]*param{"w": weight}
	if !op.NoBias {
		bias, dims, err := weightOf(in[2], 1)
		if err != nil {
			return err
		}
		if dims[0] != op.Out {
			return fmt.Errorf("%d biases for %d channels", dims[0], op.Out)
		}
		params["b"] = bias
	}
	return c.pushMaps(a, op, params)
}

func (c *chain) maxPool(a *arguments, _ []*constant) error {
	return c.pushMaps(a, arch.MaxPool{Window: c.window(a, arch.Size{})}, nil)
}

func (c *chain) averagePool(a *arguments, _ []*constant) error {
	padded := c.pad
	op := arch.AvgPool{Window: c.window(a, arch.Size{}), CountPad: a.int("count_include_pad", 0) != 0}
	if padded != nil {
		if !op.CountPad && slices.ContainsFunc(a.ints("pads"), func(p int64) bool { return p != 0 }) {
			a.fail("padding that counts, of %s, and padding that does not", label(padded))
		}
		op.CountPad = true
	}
	if a.err == nil && op.Kernel == arch.Square(1) && op.Stride == arch.Square(1) && op.Pad == (arch.Padding{}) {
		return nil // PyTorch writes an adaptive pooling that has nothing to do so
	}
	return c.pushMaps(a, op, nil)
}

func (c *chain) lrn(a *arguments, _ []*constant) error {
	if err := c.channels(); err != nil {
		return err
	}
	op := arch.LRN{Size: a.small("size", a.int("size", 0)), Alpha: a.float("alpha", 1e-4), Beta: a.float("beta", 0.75),
		K: a.float("bias", 1)}
	if op.Size%2 == 0 && op.Size > 0 {
		a.fail("an even size of %d, whose window ONNX places one channel further up than PyTorch", op.Size)
	}
	return c.pushAlike(a, op, nil)
}

var errTraining = format.Remedy("it is exported for training: export it for inference")

func (c *chain) batchNorm(a *arguments, in []*constant) error {
	if err := c.channels(); err != nil {
		return err
	}
	op := arch.BatchNorm{Eps: a.float("epsilon", 1e-5), Momentum: format.Shortest(float32(1 - a.float("momentum", 0.9)))}
	if a.int("training_mode", 0) != 0 {
		a.fail("%w", errTraining)
	}
	if a.int("spatial", 1) != 1 { // opset 8 and before
		a.fail("statistics of every pixel")
	}
	if op.Eps == 0 {
		op.Eps = math.SmallestNonzeroFloat64 // arch's 0 is the default
	}
	if a.err != nil {
		return a.err
	}
	params := map[string]*param{}
	for i, role := range []string{"gamma", "beta", "mean", "var"} {
		p, dims, err := weightOf(input(in, i+1), 1)
		if err != nil {
			return err
		}
		if dims[0] != c.mapShape().C {
			return fmt.Errorf("%d channels, its input has %d", dims[0], c.mapShape().C)
		}
		params[role] = p
	}
	return c.pushAlike(a, op, params)
}

func (c *chain) dropout(a *arguments, in []*constant) error {
	ratio := a.float("ratio", 0.5)
	if k := input(in, 1); k != nil {
		var err error
		if ratio, err = k.number(); err != nil {
			return err
		}
	}
	if k := input(in, 2); k != nil {
		training, err := k.truth()
		if err != nil {
			return err
		}
		if training {
			a.fail("%w", errTraining)
		}
	}
	if !(ratio >= 0 && ratio < 1) {
		a.fail("a ratio of %v", ratio)
	}
	if len(a.node.Outputs) > 1 && a.node.Outputs[1] != "" {
		c.masks[a.node.Outputs[1]] = true
	}
	return c.pushAlike(a, arch.Dropout{Keep: format.Shortest(float32(1 - ratio))}, nil)
}

func (c *chain) softmax(a *arguments, _ []*constant) error {
	otherwise := int64(-1)
	if c.opset < 13 {
		otherwise = 1
	}
	at := a.side(a.int("axis", otherwise), len(c.dims), c.opset < 13)
	if a.err != nil {
		return a.err
	}
	end := at + 1
	if c.opset < 13 { // all axes from this one on are one
		end = len(c.dims)
	}
	over := concat(c.dims[at:end]...)
	rest := concat(c.dims[end:]...)
	if !c.bound {
		h, w := rest, axes(nil)
		if end < len(c.dims) {
			h, w = c.dims[end], concat(c.dims[end+1:]...)
		}
		if err := c.bind(concat(c.dims[:at]...), over, h, w); err != nil {
			return err
		}
	}
	switch {
	case slices.Equal(over, c.image[1]) && concat(c.dims[:at]...).within(concat(c.image[0], c.image[2], c.image[3])):
	case slices.Equal(over, concat(c.image[1:]...)):
		c.flatten(a)
	default:
		return fmt.Errorf("it is over other axes than the channels")
	}
	if a.node.Op == "LogSoftmax" {
		c.log = a.node
	}
	return c.pushAlike(a, arch.Softmax{}, nil)
}

// clip is a ReLU where it cuts off what is below 0 and nothing else.
func (c *chain) clip(a *arguments, in []*constant) error {
	least, most := a.float("min", math.Inf(-1)), a.float("max", math.Inf(1))
	for i, v := range []*float64{&least, &most} { // from opset 11
		if k := input(in, i+1); k != nil {
			var err error
			if *v, err = k.number(); err != nil {
				return err
			}
		}
	}
	const none = math.MaxFloat32 // the default before opset 11
	switch {
	case a.err != nil:
		return a.err
	case most < none:
		return fmt.Errorf("it cuts off at %g: only what is below 0 is cut off, by a ReLU", most)
	case least <= -none:
		return nil
	case least != 0:
		return fmt.Errorf("it cuts off below %g: a ReLU does below 0", least)
	}
	return c.pushAlike(a, arch.ReLU{}, nil)
}

// cast changes nothing between types of floating point, nor of a picture's bytes: networks compute in float32.
func (c *chain) cast(a *arguments, _ []*constant) error {
	to := wire.Type(a.int("to", 0))
	if a.err == nil && !dtypes[to].HoldsWeights() {
		return fmt.Errorf("it makes ONNX's type %d of its input: networks compute in float32", to)
	}
	c.bytes = false
	return a.err
}

func (c *chain) padNode(a *arguments, in []*constant) error {
	mode := a.text("mode", "constant")
	if mode != "constant" && mode != "reflect" {
		a.fail("mode %s: zeros and reflection alone are understood", format.Clip(mode))
	}
	pads, value := a.ints("pads"), a.float("value", 0)
	if k := input(in, 1); k != nil { // from opset 11
		var err error
		if pads, err = k.list(); err != nil {
			return err
		}
	}
	if k := input(in, 2); k != nil {
		var err error
		if value, err = k.number(); err != nil {
			return err
		}
	}
	if k := input(in, 3); k != nil { // from opset 18: those of the axes that are named alone
		list, err := k.list()
		if err != nil {
			return err
		}
		if len(pads) != 2*len(list) {
			return fmt.Errorf("%d pads of %d axes", len(pads), len(list))
		}
		rank := len(c.dims)
		all := make([]int64, 2*rank)
		for i, v := range list {
			at := a.side(v, rank, false)
			all[at], all[rank+at] = pads[i], pads[len(list)+i]
		}
		pads = all
	}
	if value != 0 && mode == "constant" {
		a.fail("padding of %v: only zeros are understood", value)
	}
	if a.err != nil {
		return a.err
	}
	if !slices.ContainsFunc(pads, func(p int64) bool { return p != 0 }) {
		return nil
	}
	if err := c.maps(); err != nil {
		return err
	}
	if len(pads) != 8 || pads[0] != 0 || pads[1] != 0 || pads[4] != 0 || pads[5] != 0 {
		return fmt.Errorf("pads %s: rows and columns alone are padded", printable.And(pads))
	}
	var sides [4]int
	for i, v := range []int64{pads[2], pads[3], pads[6], pads[7]} {
		sides[i] = a.small("pads", v)
	}
	if mode == "reflect" && a.err == nil {
		return c.pushMaps(a, arch.ReflectPad{Top: sides[0], Left: sides[1], Bottom: sides[2], Right: sides[3]}, nil)
	}
	c.pad, c.pads = a.node, sides
	return a.err
}
