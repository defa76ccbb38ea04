package onnx

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// Quantised integers q stand for (q - zero) * scale (docs/Operators.md, DequantizeLinear). Parameters come out as that,
// in float32 and to the bit. Values between layers are neither rounded to integers nor cut off where these end, but for
// a range that begins at 0, which stands for a ReLU. Where sums of float32 are rounded, a value that comes out on
// the other side of a half makes further ones do so: of a VGG-16 (TestQuantised) ONNX Runtime is 2.2 steps from the
// definition with exact sums, this 1.1. To be exact takes sums of integers: a layer that rounds, and convolutions by
// the definition.

// ranges are the integers of the types that are read.
var ranges = map[wire.Type][2]int64{wire.UINT8: {0, math.MaxUint8}, wire.INT8: {math.MinInt8, math.MaxInt8},
	wire.UINT16: {0, math.MaxUint16}, wire.INT16: {math.MinInt16, math.MaxInt16},
	wire.INT32: {math.MinInt32, math.MaxInt32}}

// integersOf are a tensor's, of one of the ranges.
func integersOf(t *wire.Tensor) ([]int32, error) {
	raw, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	list := make([]int32, len(raw)/t.Type.Size())
	for i := range list {
		switch t.Type {
		case wire.UINT8:
			list[i] = int32(raw[i])
		case wire.INT8:
			list[i] = int32(int8(raw[i]))
		case wire.UINT16:
			list[i] = int32(binary.LittleEndian.Uint16(raw[2*i:]))
		case wire.INT16:
			list[i] = int32(int16(binary.LittleEndian.Uint16(raw[2*i:])))
		case wire.INT32:
			list[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	}
	return list, nil
}

func real32(t *wire.Tensor) ([]float32, error) {
	raw, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	return dtypes[t.Type].Floats(raw), nil
}

// grid is how a constant's values are quantised: by one scale and zero, or one for each place of an axis.
type grid struct {
	typ    wire.Type // of the integers
	scales []float32
	zeros  []int32
	inner  int // values of a place
}

func (g *grid) at(i int) (scale float32, zero int32) {
	i = i / g.inner % len(g.scales)
	return g.scales[i], g.zeros[i]
}

// gridOf reads the scales and zeros of a tensor of a shape. typ is its integers', 0 where the zeros tell.
func gridOf(dims []int, typ wire.Type, scale, zero *constant, axis int) (*grid, error) {
	if scale == nil || scale.tensor == nil || !dtypes[scale.tensor.Type].HoldsWeights() {
		return nil, fmt.Errorf("its scale is no tensor of the file")
	}
	g := &grid{typ: typ, inner: 1}
	var err error
	if g.scales, err = real32(scale.tensor); err != nil {
		return nil, err
	}
	switch {
	case zero == nil:
		g.zeros = make([]int32, len(g.scales))
		g.typ = cmp.Or(g.typ, wire.UINT8)
	case zero.tensor == nil || ranges[zero.tensor.Type] == [2]int64{} || typ != 0 && typ != zero.tensor.Type:
		return nil, fmt.Errorf("its zero is no integer of its values' type")
	default:
		g.typ = zero.tensor.Type
		if g.zeros, err = integersOf(zero.tensor); err != nil {
			return nil, err
		}
	}
	if ranges[g.typ] == [2]int64{} {
		return nil, fmt.Errorf("integers of ONNX's type %d: 8 and 16 bits are read", g.typ)
	}
	for _, s := range g.scales {
		if !(s > 0) || math.IsInf(float64(s), 0) {
			return nil, fmt.Errorf("a scale of %v", s)
		}
	}
	if n := len(g.scales); n != 1 && (len(scale.tensor.Dims) != 1 || axis >= len(dims) || n != dims[axis]) ||
		len(g.zeros) != n {
		return nil, fmt.Errorf("%d scales and %d zeros of a tensor of shape %s", n, len(g.zeros), printable.Shape(dims))
	}
	if len(g.scales) > 1 {
		g.inner = max(format.Product(dims[axis+1:]), 1)
	}
	return g, nil
}

// dequantised is what a tensor of integers stands for.
func dequantised(name string, q, scale, zero *constant, axis int) (*constant, error) {
	if q == nil || q.tensor == nil || ranges[q.tensor.Type] == [2]int64{} {
		return nil, fmt.Errorf("integers of 8, 16 or 32 bits are read")
	}
	g, err := gridOf(q.tensor.Dims, q.tensor.Type, scale, zero, axis)
	if err != nil {
		return nil, err
	}
	t := wire.NewTensor(name, wire.FLOAT, q.tensor.Dims, nil)
	t.Make = func() ([]byte, error) {
		list, err := integersOf(q.tensor)
		raw := make([]byte, 0, 4*len(list)) // no second copy: they are a network's weights
		for i, v := range list {
			scale, zero := g.at(i)
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(int64(v)-int64(zero))*scale))
		}
		return raw, err
	}
	return &constant{tensor: t}, nil
}

// quantised are the integers of a tensor of numbers, which whoever trained with them left to the graph.
func quantised(n *wire.Node, in []*constant) (*constant, error) {
	x := input(in, 0)
	if x == nil || x.tensor == nil || !dtypes[x.tensor.Type].HoldsWeights() {
		return nil, fmt.Errorf("numbers of floating point are quantised")
	}
	axis, typ, err := spread(n, len(x.tensor.Dims))
	if err != nil {
		return nil, err
	}
	g, err := gridOf(x.tensor.Dims, typ, input(in, 1), input(in, 2), axis)
	if err != nil {
		return nil, err
	}
	if g.typ == wire.INT32 {
		return nil, fmt.Errorf("numbers are quantised to 8 or 16 bits")
	}
	t := wire.NewTensor(n.Outputs[0], g.typ, x.tensor.Dims, nil)
	t.Make = func() ([]byte, error) {
		list, err := real32(x.tensor)
		ends, wide := ranges[g.typ], g.typ.Size() == 2
		raw := make([]byte, 0, len(list)*g.typ.Size())
		for i, v := range list {
			scale, zero := g.at(i)
			q := math.RoundToEven(float64(v/scale)) + float64(zero)
			n := int64(min(max(q, float64(ends[0])), float64(ends[1])))
			if raw = append(raw, byte(n)); wide {
				raw = append(raw, byte(n>>8))
			}
		}
		return raw, err
	}
	return &constant{tensor: t}, nil
}

// spread is the axis that scales are along, and the integers' type where the node says it. Scales of blocks are not
// read.
func spread(n *wire.Node, rank int) (axis int, typ wire.Type, err error) {
	a := arguments{node: n}
	for _, name := range []string{"block_size", "precision"} {
		if v := a.int(name, 0); v != 0 {
			a.fail("%s %d", name, v)
		}
	}
	if rank > 1 { // the default of 1 is beyond the axis of a list
		axis = a.side(a.int("axis", 1), rank, false)
	}
	if n.Op == "QuantizeLinear" {
		typ = wire.Type(a.int("output_dtype", 0))
	}
	return axis, typ, a.err
}

// dequantisedNode is that of a DequantizeLinear.
func dequantisedNode(n *wire.Node, in []*constant) (*constant, error) {
	q := input(in, 0)
	if q == nil || q.tensor == nil {
		return nil, fmt.Errorf("it reads no tensor of the file")
	}
	axis, _, err := spread(n, len(q.tensor.Dims))
	if err != nil {
		return nil, err
	}
	return dequantised(n.Outputs[0], q, input(in, 1), input(in, 2), axis)
}

// ofIntegers are the operators that may read the chain while its values are quantised.
var ofIntegers = []string{"DequantizeLinear", "QLinearConv", "QLinearMatMul", "QGemm", "MaxPool", "Identity",
	"Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Dropout"}

// quantise makes integers of the chain's values, all by one scale.
func (c *chain) quantise(a *arguments, scale, zero *constant) error {
	_, typ, err := spread(a.node, 0)
	if err != nil {
		return err
	}
	g, err := gridOf(nil, typ, scale, zero, 0)
	if err != nil {
		return err
	}
	switch first := int64(g.zeros[0]); {
	case first == ranges[g.typ][1]:
		return fmt.Errorf("its integers stand for nothing above 0, which no layer cuts off")
	case first == ranges[g.typ][0] && !c.positive():
		err = c.pushAlike(a, arch.ReLU{}, nil)
	}
	c.grid, c.rounds = g, true
	return err
}

// dequantise makes values of them again, which must be by the scale and zero that they were made with.
func (c *chain) dequantise(scale, zero *constant) error {
	g, err := gridOf(nil, 0, scale, zero, 0)
	switch {
	case err != nil:
		return err
	case c.grid == nil:
		return fmt.Errorf("its input is not quantised")
	case g.scales[0] != c.grid.scales[0] || g.zeros[0] != c.grid.zeros[0]:
		return fmt.Errorf("it reads by a scale of %v and a zero of %v what was written by %v and %v", g.scales[0],
			g.zeros[0], c.grid.scales[0], c.grid.zeros[0])
	}
	c.grid = nil
	return nil
}

// positive reports whether the values cannot be below 0, or are the pictures, which are whatever they are.
func (c *chain) positive() bool {
	for _, l := range slices.Backward(c.layers) {
		switch l.op.(type) {
		case arch.MaxPool, arch.AvgPool, arch.GlobalAvgPool, arch.Flatten, arch.Dropout:
		case arch.ReLU, arch.Sigmoid, arch.Softmax:
			return true
		default:
			return false
		}
	}
	return true
}

// onIntegers is an operator on integers: what do makes of the weights that they stand for, and of the biases, whose
// scale is the input's by the weights'. Its inputs are the chain's, weights and output, each with its scale and zero,
// and biases.
func (c *chain) onIntegers(a *arguments, in []*constant, axis int,
	do operation) error {
	if err := c.dequantise(input(in, 1), input(in, 2)); err != nil {
		return err
	}
	parameter := func(what string, q, scale, zero *constant, axis int) (*constant, error) {
		name := a.node.Outputs[0] + " " + what
		if c.constants[name] != nil {
			return nil, fmt.Errorf("two values are called %s", format.Clip(name))
		}
		k, err := dequantised(name, q, scale, zero, axis)
		c.constants[name] = k
		return k, err
	}
	weight, err := parameter("weights", input(in, 3), input(in, 4), input(in, 5), axis)
	if err != nil {
		return err
	}
	list := []*constant{nil, weight}
	if b := input(in, 8); b != nil {
		x, err := real32(in[1].tensor)
		if err != nil {
			return err
		}
		w, err := real32(in[4].tensor)
		if err != nil {
			return err
		}
		scales := make([]float32, len(w))
		for i, s := range w {
			scales[i] = x[0] * s
		}
		product := &constant{tensor: wire.NewTensor("", wire.FLOAT, []int{len(w)}, format.FloatBytes(scales))}
		bias, err := parameter("biases", b, product, nil, 0)
		if err != nil {
			return err
		}
		list = append(list, bias)
	}
	if err := do(c, a, list); err != nil || a.node.Op == "QGemm" && input(in, 6) == nil { // whose output are numbers
		return err
	}
	return c.quantise(a, input(in, 6), input(in, 7))
}

// integerGemm has its biases before its output's scale and zero.
func (c *chain) integerGemm(a *arguments, in []*constant) error {
	axis := 1
	if a.int("transB", 0) != 0 {
		axis = 0
	}
	if alpha := a.float("alpha", 1); alpha != 1 {
		a.fail("an alpha of %v", alpha)
	}
	if a.err != nil {
		return a.err
	}
	in = slices.Concat(in, make([]*constant, 9))[:9]
	return c.onIntegers(a, slices.Concat(in[:6], in[7:], in[6:7]), axis, (*chain).gemm)
}
