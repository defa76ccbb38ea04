package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// graph makes a model of nodes "Op name input,input output" on an input x of 1x2x6x6 and weights w: 3x2x3x3.
func graph(nodes ...string) *wire.Model {
	side := func(sizes ...int64) (dims []wire.Dim) {
		for _, s := range sizes {
			dims = append(dims, wire.Dim{Size: s})
		}
		return dims
	}
	m := &wire.Model{Opsets: []wire.Opset{{Version: 13}}}
	m.Graph.Inputs = []wire.Value{{Name: "x", Type: wire.FLOAT, Shaped: true, Dims: side(1, 2, 6, 6)}}
	for name, dims := range map[string][]int{"w": {3, 2, 3, 3}, "v": {4, 72}, "m": {72, 4}, "one": {1}, "three": {3},
		"four": {4}, "column": {1, 3, 1, 1}} {
		raw := make([]byte, 4*format.Product(dims))
		m.Graph.Initializers = append(m.Graph.Initializers, *wire.NewTensor(name, wire.FLOAT, dims, raw))
	}
	for _, t := range []*wire.Tensor{
		wire.NewTensor("scale", wire.FLOAT, nil, []byte{0, 0, 0, 0x3f}), // 0.5
		wire.NewTensor("quarter", wire.FLOAT, nil, []byte{0, 0, 0x80, 0x3e}),
		wire.NewTensor("scale3", wire.FLOAT, []int{3}, bytes.Repeat([]byte{0, 0, 0, 0x3f}, 3)),
		wire.NewTensor("zp", wire.UINT8, nil, []byte{0}), wire.NewTensor("mid", wire.UINT8, nil, []byte{3}),
		wire.NewTensor("top", wire.UINT8, nil, []byte{255}), wire.NewTensor("zp3", wire.INT8, []int{3}, make([]byte, 3)),
		wire.NewTensor("q8", wire.INT8, []int{3, 2, 3, 3}, make([]byte, 54)),
	} {
		m.Graph.Initializers = append(m.Graph.Initializers, *t)
	}
	for name, ints := range map[string][]int64{"flat": {1, -1}, "other": {5, -1}, "nine": {9}, "two": {-1, -1},
		"turn": {-1, 1, 0}, "twice": {2, 2, 0}} {
		var raw []byte
		for _, v := range ints {
			for i := range 8 {
				raw = append(raw, byte(v>>(8*i)))
			}
		}
		m.Graph.Initializers = append(m.Graph.Initializers, *wire.NewTensor(name, wire.INT64, []int{len(ints)}, raw))
	}
	out := "x"
	for _, n := range nodes {
		f := strings.Fields(n)
		node := wire.Node{Op: f[0], Name: f[1], Inputs: strings.Split(f[2], ","), Outputs: strings.Split(f[3], ",")}
		for _, a := range f[4:] {
			name, value, _ := strings.Cut(a, "=")
			x := wire.Attribute{Name: name, Kind: wire.Text, Text: value}
			var v int64
			if _, err := fmt.Sscan(value, &v); err == nil {
				x = wire.Attribute{Name: name, Kind: wire.Int, Int: v}
			}
			if strings.HasPrefix(value, "[") {
				x = wire.Attribute{Name: name, Kind: wire.Ints}
				for _, s := range strings.Split(strings.Trim(value, "[]"), ",") {
					fmt.Sscan(s, &v)
					x.Ints = append(x.Ints, v)
				}
			}
			node.Attributes = append(node.Attributes, x)
		}
		m.Graph.Nodes = append(m.Graph.Nodes, node)
		out = node.Outputs[0]
	}
	m.Graph.Outputs = []wire.Value{{Name: out, Type: wire.FLOAT}}
	return m
}

// ofColours gives a graph's pictures three channels and three rows.
func ofColours(m *wire.Model) *wire.Model {
	m.Graph.Inputs[0].Dims[1].Size, m.Graph.Inputs[0].Dims[2].Size = 3, 3
	return m
}

// ofBytes makes a graph's pictures bytes.
func ofBytes(m *wire.Model) *wire.Model {
	m.Graph.Inputs[0].Type = wire.UINT8
	return m
}

// TestGraphs follows graphs that are chains, and says of others why they are none.
func TestGraphs(t *testing.T) {
	for _, c := range []struct {
		what, want string // the layers, or what the error says
		model      *wire.Model
	}{
		{"pad taken in", "conv 3x3/2 pad 1,1,0,0 no bias", graph("Pad p x,pads y mode=constant",
			"Conv c y,w z strides=[2,2]")},
		{"pad into average", "avgpool 3x3 pad 1,1,0,0", graph("Pad p x,pads y", "AveragePool a y z kernel_shape=[3,3]")},
		{"pad and relu", `Relu r: it follows Pad p, which only a convolution or average pooling`,
			graph("Pad p x,pads y", "Relu r y z")},
		{"pad at the end", "Pad p: no convolution or average pooling takes it in", graph("Relu r x y", "Pad p y,pads z")},
		{"reflected", "relu, reflectpad 1,1,0,0, conv 3x3 no bias", graph("Relu r x y", "Pad p y,pads z mode=reflect",
			"Conv c z,w a")},
		{"pads in PyTorch's order", "reflectpad 1,0,1,0, conv 3x3 no bias", graph("Reshape r pads,pairs t",
			"Slice s t,minus,far,zeros,minus u", "Transpose v u w2 perm=[1,0]", "Reshape q w2,minus p", "Cast c p o to=7",
			"Pad d x,o y mode=reflect", "Conv e y,w z")},
		{"in triples", "Reshape r: only a list to pairs, and back", graph("Reshape r pads,places t", "Reshape q x,t y")},
		{"rows for a list", "rows of integers where a list is expected", graph("Reshape r pads,pairs t",
			"Pad d x,t y mode=reflect")},
		{"some rows", "Slice s: only all rows backwards", graph("Reshape r pads,pairs t",
			"Slice s t,minus,minus,zeros,minus u", "Pad d x,u y mode=reflect")},
		{"its edge repeated", "mode edge: zeros and reflection alone", graph("Pad p x,pads y mode=edge")},
		{"same lower", "maxpool 2x2 pad 1,1,0,0", graph("MaxPool p x y kernel_shape=[2,2] auto_pad=SAME_LOWER")},
		{"same upper", "maxpool 2x2 same", graph("MaxPool p x y kernel_shape=[2,2] auto_pad=SAME_UPPER")},
		{"global max", "maxpool 6x6", graph("GlobalMaxPool p x y")},
		{"idle average", "flatten", graph("AveragePool p x y kernel_shape=[1,1]")},
		{"flattened late", "relu, flatten, relu, linear no bias", graph("Relu r x y", "Flatten f y a", "Relu r a b",
			"Gemm g b,v c transB=1")},
		{"bias on its own", "conv 3x3, relu, batchnorm", graph("Conv c x,w,three y", "Relu r y z",
			"Unsqueeze u three b axes=[1,2]", "Add a z,one d")},
		{"matmul and add", "flatten, linear", graph("Flatten f x y", "MatMul m y,m z", "Add a z,four b")},
		{"shape", "flatten, linear no bias", graph("Shape s x s", "Gather g s,zero n", "Unsqueeze u n l axes=[0]",
			"Concat c l,minus t axis=0", "Reshape r x,t y", "Gemm g y,v z transB=1")},
		{"dead branch", "relu", graph("Elu s x a", "Relu r x y")},
		{"squeezed", "globalavgpool, relu", graph("GlobalAveragePool p x y", "Squeeze s y z axes=[2,3]", "Relu r z a")},
		{"softmax over maps", "softmax", graph("Softmax s x y axis=1")},
		{"sigmoid", "relu, sigmoid", graph("Relu r x y", "Sigmoid s y z")},
		{"logarithms of a softmax", "globalavgpool, softmax", graph("GlobalAveragePool p x y", "Flatten f y z",
			"LogSoftmax s z a")},
		{"regrouped behind it", "globalavgpool, softmax", graph("GlobalAveragePool p x y", "LogSoftmax s y z axis=1",
			"Flatten f z a")},
		{"mean of rows and columns", "relu, globalavgpool, relu",
			graph("Relu q x y", "ReduceMean p y z axes=[2,3] keepdims=1", "Relu r z a")},
		{"mean, sides gone", "relu, globalavgpool, relu", graph("Relu q x y", "ReduceMean p y z axes=[-1,-2] keepdims=0",
			"Relu r z a")},
		{"mean of flattened places", "conv 3x3 no bias, globalavgpool", graph("Conv c x,w y", "Reshape r y,places z",
			"ReduceMean p z a axes=[2]")},
		{"largest of all places", "maxpool 6x6", graph("ReduceMax p x y axes=[2,3]")},
		{"scale and shift", "conv 3x3, relu", graph("Conv c x,w,three y", "Mul m y,column z", "Add a z,column s",
			"Relu r s t")},
		{"scale the other way round", "conv 3x3 no bias", graph("Conv c x,w y", "Mul m column,y z")},
		{"away from a constant", "conv 3x3 no bias, batchnorm", graph("Conv c x,w y", "Sub m one,y z")},
		{"shift and scale", "batchnorm, conv 3x3 no bias", graph("Sub s x,one y", "Div d y,one z", "Conv c z,w a")},
		{"cut off below", "relu", graph("Clip c x,one y")},
		{"quantised", "conv 3x3 no bias, relu, maxpool 2x2", graph("QuantizeLinear q x,scale,zp y",
			"DequantizeLinear d y,scale,zp z", "DequantizeLinear e q8,scale3,zp3 k axis=0", "Conv c z,k a",
			"QuantizeLinear r a,scale,zp b", "MaxPool m b o kernel_shape=[2,2]", "DequantizeLinear f o,scale,zp p")},
		{"quantised behind a ReLU", "relu, maxpool 2x2", graph("Relu r x y", "MaxPool m y z kernel_shape=[2,2]",
			"QuantizeLinear q z,scale,zp a", "DequantizeLinear d a,scale,zp b")},
		{"quantised around zero", "maxpool 2x2", graph("MaxPool m x z kernel_shape=[2,2]", "QuantizeLinear q z,scale,mid a",
			"DequantizeLinear d a,scale,mid b")},
		{"quantised padding", "conv 3x3 pad 1,1,0,0 no bias", graph("Pad p x,pads a", "QuantizeLinear q a,scale,mid y",
			"DequantizeLinear d y,scale,mid z", "Conv c z,w b")},
		{"read by another scale", "DequantizeLinear d: it reads by a scale of 0.25 and a zero of 0 what was written by 0.5",
			graph("QuantizeLinear q x,scale,zp y", "DequantizeLinear d y,quarter,zp z")},
		{"read by another zero", "a zero of 3 what was written by 0.5 and 0",
			graph("QuantizeLinear q x,scale,zp y", "DequantizeLinear d y,scale,mid z")},
		{"bytes", "conv 3x3 no bias", ofBytes(graph("Transpose t x y perm=[0,1,2,3]", "Cast k y z to=1", "Conv c z,w a"))},
		{"computed with bytes", "Sub s: it computes with the pictures' bytes", ofBytes(graph("Sub s x,one y"))},
		{"bytes at the end", "its output is the pictures' bytes", ofBytes(graph("Flatten f x y"))},
		{"left quantised", "a DequantizeLinear is missing", graph("QuantizeLinear q x,scale,zp y")},
		{"computed with", "Relu r: it computes with quantised integers",
			graph("QuantizeLinear q x,scale,zp y", "Relu r y z")},
		{"never quantised", "DequantizeLinear d: its input is not quantised", graph("DequantizeLinear d x,scale,zp y")},
		{"scales of channels", "3 scales and 3 zeros", graph("QuantizeLinear q x,scale3,zp3 y")},
		{"a scale of 0", "a scale of 0", graph("QuantizeLinear q x,one,zp y")},
		{"scales of blocks", "block_size 2", graph("DequantizeLinear e q8,scale3,zp3 k axis=0 block_size=2", "Conv c x,k a")},
		{"scales of another axis", "3 scales and 3 zeros of a tensor of shape 3x2x3x3",
			graph("DequantizeLinear e q8,scale3,zp3 k axis=1", "Conv c x,k a")},
		{"nothing above 0", "its integers stand for nothing above 0", graph("QuantizeLinear q x,scale,top y",
			"DequantizeLinear d y,scale,top z")},
		{"in 4 bits", "integers of ONNX's type 22", graph("QuantizeLinear q x,scale y output_dtype=22")},
		{"integers of a convolution", "conv 3x3 no bias, relu", graph("QuantizeLinear q x,scale,zp y",
			"QLinearConv c y,scale,zp,q8,scale3,zp3,scale,zp z", "DequantizeLinear d z,scale,zp a")},
		{"a convolution of numbers", "QLinearConv c: its input is not quantised",
			graph("QLinearConv c x,scale,zp,q8,scale3,zp3,scale,zp z")},
		{"a convolution by nothing", "QLinearConv c: its scale is no tensor of the file",
			graph("QuantizeLinear q x,scale,zp y", "QLinearConv c y z")},
		{"computed sizes", "flatten, linear no bias", graph("Shape s x s", "Gather g s,zero n axis=0", "Add i n,minus o",
			"Sub j o,minus p", "Div k p,minus q", "Mul m q,minus r", "Concat c r,minus t axis=0", "Reshape e x,t y",
			"Gemm f y,v z transB=1")},
		{"divided by 0", "Div d: Div of numbers that are open, too large or 0", graph("Shape s x s",
			"Gather g s,zero n axis=0", "Div d n,zeros o", "Reshape r x,o y")},
		{"padding of named axes", "conv 3x3 pad 1,1,0,0 no bias", graph("Pad p x,short,,sides y", "Conv c y,w z")},
		{"types", "relu", graph("Cast c x y to=10", "Relu r y z")},

		{"picked from single pixels", "globalavgpool, relu", graph("GlobalAveragePool p x y", "Gather g y,zero z axis=3",
			"Gather h z,zero a axis=2", "Relu r a b")},
		{"picked from several", "Gather g: it picks from its input", graph("Gather g x,zero y axis=1")},
		{"a channel twice", "Gather g: it picks from its input: the three channels of a picture",
			ofColours(graph("Gather g x,twice y axis=1"))},
		{"rows in another order", "the three channels of a picture", ofColours(graph("Gather g x,turn y axis=2"))},
		{"channels turned", "conv 1x1 no bias, relu", ofColours(graph("Gather g x,turn y axis=1", "Relu r y z"))},
		{"bytes turned", "conv 1x1 no bias, relu", ofBytes(ofColours(graph("Gather g x,turn y axis=1", "Cast c y z to=1",
			"Relu r z a")))},
		{"channels by a table", "Gather g: it picks from its input, or", func() *wire.Model {
			m := ofColours(graph("Gather g x,table y axis=1"))
			table := wire.NewInts("table", -1, 1, 0)
			table.Dims = []int{1, 3}
			m.Graph.Initializers = append(m.Graph.Initializers, *table)
			return m
		}()},
		{"a part", "Slice s: it takes a part of its input", graph("Slice s x,minus,minus y")},

		{"mean of channels", "ReduceMean p: it is over other axes than rows and columns",
			graph("Relu q x y", "ReduceMean p y z axes=[1]")},
		{"mean of rows", "ReduceMean p: it is over other axes than rows and columns",
			graph("Conv c x,w y", "ReduceMean p y z axes=[2]")},
		{"mean of all", "ReduceMean p: it is over all axes", graph("ReduceMean p x y")},
		{"by a constant", "Div d: it divides a constant by its input", graph("Relu r x y", "Div d one,y z")},
		{"behind logarithms", "Relu r: it follows LogSoftmax s, whose logarithms are read at a network's end alone",
			graph("LogSoftmax s x y axis=1", "Relu r y z")},
		{"types of integers", "Cast c: it makes ONNX's type 6 of its input", graph("Cast c x y to=6")},
		{"an attribute that nobody reads", "no layer computes: Conv, since its attribute activation is not understood (c)",
			graph("Conv c x,w y activation=Relu")},
		{"two unsupported", "nodes that no layer computes: Elu (s); HardSwish (c)", graph("Elu s x y", "HardSwish c y z")},
		{"limits, and an unsupported one", "no layer computes: Clip, since it cuts off at 0: only what is below 0 is cut " +
			"off, by a ReLU (c, d); Elu (e)",
			graph("Clip c x,one,one y", "Elu e y z", "Clip d z,one,one a")},
		{"unsupported, of constants", "Sqrt (s): they compute with constants alone", graph("Sqrt s one a", "Mul m x,a y")},
		{"two of a kind", "no layer computes: Elu (s, t)", graph("Elu s x y", "Elu t y z")},
		{"branch", "Add a: it combines two values", graph("Relu r x y", "Add a y,y z")},
		{"skip", "Add a: it reads x, which another node has read before: the graph branches",
			graph("Relu r x y", "Add a y,x z")},
		{"unknown value", "Relu r: it reads q, which nothing makes", graph("Relu r q y")},
		{"twice", "two nodes make y", graph("Relu r x y", "Relu s y y")},
		{"weights first", "its weights are the first factor", graph("MatMul m v,x y")},
		{"weights computed", "its weights are not in the file", graph("Shape s x s", "Conv c x,s y")},
		{"too few channels", "its input has 3", graph("Conv c x,w y", "Conv d y,w z")},
		{"no flatten", "its rows are not the images", graph("Conv c x,w,three y", "MatMul m y,m b")},
		{"rows before channels", "an order other than C,H,W and H,W,C",
			graph("Conv c x,w y", "Transpose t y z perm=[0,2,1,3]", "Reshape r z,flat a", "Gemm g a,v b transB=1")},
		{"sides that do not divide", "do not divide the 48 values", graph("Conv c x,w y", "Reshape r y,other z")},
		{"softmax over rows", "over other axes than the channels", graph("Conv c x,w y", "Softmax s y z axis=2")},
		{"even lrn", "an even size of 4", graph("LRN l x y size=4")},
		{"indices", "its further output i is used", graph("MaxPool p x y,i kernel_shape=[2,2]", "Relu r i z")},
		{"1-D kernel", "kernel_shape of 1 dimensions", graph("MaxPool p x y kernel_shape=[2]")},
		{"kernel of zero", "kernel 0x0 must lie between", graph("MaxPool p x y kernel_shape=[0,0]")},
		{"negative pad", "pads of -1", graph("MaxPool p x y kernel_shape=[2,2] pads=[-1,0,0,0]")},
		{"huge stride", "strides of 99999999999", graph("MaxPool p x y kernel_shape=[2,2] strides=[99999999999,1]")},
		{"attribute of another kind", "attribute strides is of another type",
			graph("MaxPool p x y kernel_shape=[2,2] strides=1")},
		{"flat ends", "axis 5 of 4", graph("Flatten f x y axis=5")},
		{"no permutation", "is no permutation", graph("Transpose t x y perm=[0,0,1,2]")},
		{"squeeze of more", "axis 1 has more than one value", graph("Squeeze s x y axes=[1]")},
		{"a foreign domain", "com.microsoft.Relu (r)", func() *wire.Model {
			m := graph("Relu r x y")
			m.Graph.Nodes[0].Domain = "com.microsoft"
			return m
		}()},
	} {
		t.Run(c.what, func(t *testing.T) {
			ints := map[string][]int64{"pads": {0, 0, 1, 1, 0, 0, 0, 0}, "places": {0, 3, -1}, "minus": {-1}, "zero": nil,
				"pairs": {-1, 2}, "far": {math.MinInt64 + 1}, "zeros": {0}, "short": {1, 1, 0, 0}, "sides": {2, -1}}
			for name, list := range ints {
				dims, raw := []int{len(list)}, []byte{}
				if list == nil {
					dims, list = nil, []int64{0}
				}
				for _, v := range list {
					for i := range 8 {
						raw = append(raw, byte(v>>(8*i)))
					}
				}
				c.model.Graph.Initializers = append(c.model.Graph.Initializers, *wire.NewTensor(name, wire.INT64, dims, raw))
			}
			chain, err := follow(c.model, nil, arch.Shape{})
			if err != nil {
				if !strings.Contains(err.Error(), c.want) || !errors.As(err, new(*format.UnrunnableError)) {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			net := chain.network("ONNX")
			if _, err := net.Place(net.Input); err != nil {
				t.Fatal(err)
			}
			var ops []string
			for _, l := range net.Layers {
				ops = append(ops, arch.Describe(l.Op))
			}
			if got := strings.Join(ops, ", "); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// TestInputs: what the graph's input may be.
func TestInputs(t *testing.T) {
	dims := func(sizes ...int64) (list []wire.Dim) {
		for _, s := range sizes {
			list = append(list, wire.Dim{Size: s})
		}
		return list
	}
	for _, c := range []struct {
		what, want string
		change     func(m *wire.Model)
	}{
		{"any batch", "", func(m *wire.Model) { m.Graph.Inputs[0].Dims = dims(-1, 2, 6, 6) }},
		{"any size", "does not say the shape", func(m *wire.Model) { m.Graph.Inputs[0].Dims = dims(-1, 2, -1, -1) }},
		{"listed weights", "", func(m *wire.Model) {
			m.Graph.Inputs = append(m.Graph.Inputs, wire.Value{Name: "w", Type: wire.FLOAT, Shaped: true,
				Dims: dims(3, 2, 3, 3)})
		}},
		{"any channels", "does not say how many channels", func(m *wire.Model) {
			m.Graph.Inputs[0].Dims = dims(-1,
				-1, 6, 6)
		}},
		{"no shape", "does not say the shape", func(m *wire.Model) { m.Graph.Inputs[0].Shaped = false }},
		{"a side of zero", "a side of 0", func(m *wire.Model) { m.Graph.Inputs[0].Dims = dims(1, 2, 0, 6) }},
		{"too large", "is too large", func(m *wire.Model) { m.Graph.Inputs[0].Dims = dims(1, 2, 1<<24, 1<<24) }},
		{"integers", "of ONNX's type 7", func(m *wire.Model) { m.Graph.Inputs[0].Type = wire.INT64 }},
		{"two", "inputs x and z", func(m *wire.Model) {
			m.Graph.Inputs = append(m.Graph.Inputs, wire.Value{Name: "z", Type: wire.FLOAT})
		}},
		{"none", "the graph has no input", func(m *wire.Model) { m.Graph.Inputs = nil }},
		{"no output", "the graph has no output", func(m *wire.Model) { m.Graph.Outputs = nil }},
		{"old", "opset 6 is older than 7", func(m *wire.Model) { m.Opsets[0].Version = 6 }},
		{"new", "opset 99 is newer than 26", func(m *wire.Model) { m.Opsets[0].Version = 99 }},
		{"no opset", "opset 0 is older", func(m *wire.Model) { m.Opsets[0].Domain = "ai.onnx.ml" }},
		{"sparse", "sparse initializers", func(m *wire.Model) { m.Graph.Sparse = true }},
		{"constant output", "output w does not depend on its input", func(m *wire.Model) { m.Graph.Outputs[0].Name = "w" }},
	} {
		m := graph("Conv c x,w y", "Relu r y z")
		c.change(m)
		_, err := follow(m, nil, arch.Shape{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}

// An error says what to do about it only where that would help.
func TestRemedied(t *testing.T) {
	for _, c := range []struct {
		model *wire.Model
		want  bool
	}{
		{graph("Sqrt s one a", "Mul m x,a y"), true},
		{graph("Sqrt s one a", "Mul m x,a y", "Elu e y z"), false},
		{graph("BatchNormalization b x,one,one,one,one y training_mode=1"), true},
		{graph("Elu e x y"), false},
	} {
		_, err := follow(c.model, nil, arch.Shape{})
		if err == nil || errors.As(err, new(format.Remedied)) != c.want {
			t.Errorf("%v: a remedy %v is wanted", err, c.want)
		}
	}
}
