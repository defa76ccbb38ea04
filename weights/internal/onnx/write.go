package onnx

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// What WriteONNX asks of its readers: versions of 2020, which everything still in use reads. An opset after 17 or an IR
// after 8 would shut out ONNX Runtime before 1.12.
const (
	writtenOpset = 13
	writtenIR    = 7
)

// Model is a network as ONNX says it, for the input that it is placed on: input "images" of shape N,C,H,W, output
// "logits" or "probabilities". What opset 13 cannot say is an error that names the layer.
func Model(placed *arch.Placement, notes map[string]string) (*Export, error) {
	net, input := placed.Network, placed.Input
	w := writer{head: "images"}
	for _, layer := range placed.Layers {
		if err := w.layer(layer); err != nil {
			return nil, fmt.Errorf("%s: layer %s: %w", net.Name, layer.Name, err)
		}
	}
	last := placed.Layers[len(placed.Layers)-1]
	out := "logits"
	if ending, _ := placed.Ending(); ending != arch.EndsInLogits {
		out = "probabilities"
	}
	if len(w.nodes) == 0 {
		w.node("identity", "Identity", nil)
	}
	w.nodes[len(w.nodes)-1].Outputs[0] = out
	model := &wire.Model{IR: writtenIR, Producer: "vggo", Opsets: []wire.Opset{{Version: writtenOpset}},
		Graph: wire.Graph{Name: net.Name, Nodes: w.nodes}}
	for _, key := range slices.Sorted(maps.Keys(notes)) {
		model.Metadata = append(model.Metadata, wire.Note{Key: key, Value: notes[key]})
	}
	value := func(name string, s arch.Shape, vector bool) []wire.Value {
		dims := []wire.Dim{{Size: -1, Param: "N"}, {Size: int64(s.C)}, {Size: int64(s.H)}, {Size: int64(s.W)}}
		if vector {
			dims = dims[:2]
		}
		return []wire.Value{{Name: name, Type: wire.FLOAT, Shaped: true, Dims: dims}}
	}
	model.Graph.Inputs = value("images", input, false)
	model.Graph.Outputs = value(out, last.Out, w.vector)
	var params []arch.Param
	for _, layer := range placed.Layers {
		for _, p := range layer.Params {
			params = append(params, p)
			model.Graph.Initializers = append(model.Graph.Initializers, wire.Tensor{Name: p.Name, Type: wire.FLOAT,
				Dims: p.Shape})
		}
	}
	for _, t := range w.shapes {
		model.Graph.Initializers = append(model.Graph.Initializers, *t)
	}
	return &Export{model, params}, nil
}

// Export is a network ready to be written.
type Export struct {
	model  *wire.Model
	params []arch.Param
}

// Write writes it, with the values that find returns for each parameter.
func (e *Export) Write(to io.Writer, find func(arch.Param) ([]float32, error)) error {
	return wire.Encode(to, e.model, func(to io.Writer, i int) error {
		p := e.params[i]
		data, err := find(p)
		if err != nil {
			return err
		}
		if len(data) != p.Count() {
			return fmt.Errorf("parameter %s has %d values, the network needs %d", p.Name, len(data), p.Count())
		}
		return format.WriteFloats(to, data)
	})
}

// writer makes nodes of layers.
type writer struct {
	nodes  []wire.Node
	head   string // the value that the next layer reads
	vector bool   // it has the sides N,C; else N,C,H,W
	shapes []*wire.Tensor
}

// node adds a node that reads the head and the given values.
func (w *writer) node(name, op string, inputs []string, attributes ...wire.Attribute) {
	w.nodes = append(w.nodes, wire.Node{Name: name, Op: op, Inputs: append([]string{w.head}, inputs...),
		Outputs: []string{name + "/y"}, Attributes: attributes})
	w.head = name + "/y"
}

// list is the name of an initializer of integers.
func (w *writer) list(name string, values ...int) string {
	if !slices.ContainsFunc(w.shapes, func(t *wire.Tensor) bool { return t.Name == name }) {
		w.shapes = append(w.shapes, wire.NewInts(name, values...))
	}
	return name
}

// layer adds a layer's node. Dropout has none, nor has what changes nothing.
func (w *writer) layer(layer arch.Placed) error {
	switch layer.Op.(type) {
	case arch.Flatten, arch.Linear:
		if !w.vector {
			name := layer.Name
			if _, ok := layer.Op.(arch.Linear); ok {
				name += "/flatten"
			}
			w.node(name, "Flatten", nil, wire.IntOf("axis", 1))
			w.vector = true
		}
	case arch.Conv, arch.ReflectPad, arch.MaxPool, arch.AvgPool, arch.AdaptiveAvgPool, arch.GlobalAvgPool, arch.LRN:
		if w.vector { // of maps of 1x1 again
			w.node(layer.Name+"/map", "Unsqueeze", []string{w.list("rows and columns", 2, 3)})
			w.vector = false
		}
	}
	var params []string
	for _, p := range layer.Params {
		params = append(params, p.Name)
	}
	g := layer.Geometry
	ceil := false
	if over := overhang(g); g.Ceil && over != (arch.Size{}) {
		if ceil = ceiled(g) == g.Out; !ceil {
			// Rounding up drops a last window that would lie in the padding alone; before opset 19 readers disagree about it.
			// Where padding does not count, what hangs over is padding like any.
			if op, ok := layer.Op.(arch.AvgPool); ok && op.CountPad {
				return fmt.Errorf("its output rounded up leaves a window out, while padding counts: readers disagree about that " +
					"before opset 19")
			}
			g.Bottom += over.H
			g.Right += over.W
		}
	}
	window := []wire.Attribute{
		wire.IntsOf("kernel_shape", g.Kernel.H, g.Kernel.W), wire.IntsOf("strides", g.Stride.H, g.Stride.W),
		wire.IntsOf("pads", g.Top, g.Left, g.Bottom, g.Right),
	}
	if ceil {
		window = append(window, wire.IntOf("ceil_mode", 1))
	}
	dilations := wire.IntsOf("dilations", g.Dilation.H, g.Dilation.W)
	switch op := layer.Op.(type) {
	case arch.Conv:
		w.node(layer.Name, "Conv", params, append(window, dilations, wire.IntOf("group", max(op.Groups, 1)))...)
	case arch.ReflectPad:
		pads := w.list(layer.Name+"/pads", 0, 0, op.Top, op.Left, 0, 0, op.Bottom, op.Right)
		w.node(layer.Name, "Pad", []string{pads}, wire.TextOf("mode", "reflect"))
	case arch.ReLU:
		w.node(layer.Name, "Relu", nil)
	case arch.MaxPool:
		w.node(layer.Name, "MaxPool", nil, append(window, dilations)...)
	case arch.AvgPool:
		if g.Dilation != arch.Square(1) {
			return fmt.Errorf("average pooling with dilation needs opset 19: write the weights as safetensors")
		}
		count := 0
		if op.CountPad {
			count = 1
		}
		w.node(layer.Name, "AveragePool", nil, append(window, wire.IntOf("count_include_pad", count))...)
	case arch.GlobalAvgPool:
		w.node(layer.Name, "GlobalAveragePool", nil)
	case arch.AdaptiveAvgPool:
		if layer.In.H%layer.Out.H != 0 || layer.In.W%layer.Out.W != 0 {
			return fmt.Errorf("adaptive pooling from %dx%d to %dx%d has windows of several sizes, which ONNX cannot say: "+
				"choose an input size that %dx%d divides",
				layer.In.H, layer.In.W, layer.Out.H, layer.Out.W, layer.Out.H, layer.Out.W)
		}
		if h, v := layer.In.H/layer.Out.H, layer.In.W/layer.Out.W; h > 1 || v > 1 {
			w.node(layer.Name, "AveragePool", nil, wire.IntsOf("kernel_shape", h, v), wire.IntsOf("strides", h, v))
		}
	case arch.LRN:
		if op.Size%2 == 0 {
			return fmt.Errorf("normalisation over %d channels: ONNX places an even window one channel further up: choose an "+
				"odd size", op.Size)
		}
		w.node(layer.Name, "LRN", nil, wire.IntOf("size", op.Size), wire.FloatOf("alpha", op.Alpha),
			wire.FloatOf("beta", op.Beta), wire.FloatOf("bias", op.K))
	case arch.BatchNorm:
		w.node(layer.Name, "BatchNormalization", params, wire.FloatOf("epsilon", op.Epsilon()),
			wire.FloatOf("momentum", 1-op.Rate()))
	case arch.Linear:
		w.node(layer.Name, "Gemm", params, wire.IntOf("transB", 1))
	case arch.Softmax:
		w.node(layer.Name, "Softmax", nil, wire.IntOf("axis", 1))
	case arch.Sigmoid:
		w.node(layer.Name, "Sigmoid", nil)
	case arch.Flatten, arch.Dropout:
	default:
		return fmt.Errorf("ONNX has no operator for %s", op.Kind())
	}
	return nil
}

// overhang is how far the last windows reach beyond the padding.
func overhang(g arch.Geometry) arch.Size {
	e := g.Extent()
	return arch.Size{H: max(0, (g.Out.H-1)*g.Stride.H+e.H-g.In.H-g.Top-g.Bottom),
		W: max(0, (g.Out.W-1)*g.Stride.W+e.W-g.In.W-g.Left-g.Right)}
}

// ceiled is the output of a window by ONNX's formula for ceil_mode, which drops none.
func ceiled(g arch.Geometry) arch.Size {
	e := g.Extent()
	up := func(span, stride int) int { return (span+stride-1)/stride + 1 }
	return arch.Size{H: up(g.In.H+g.Top+g.Bottom-e.H, g.Stride.H), W: up(g.In.W+g.Left+g.Right-e.W, g.Stride.W)}
}
