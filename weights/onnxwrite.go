package weights

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/durable"
	"github.com/vggo/vggo/internal/onnx"
)

// What WriteONNX asks of its readers: versions of 2020, which everything still in use reads. An opset after 17 or an IR
// after 8 would shut out ONNX Runtime before 1.12.
const (
	writtenOpset = 13
	writtenIR    = 7
)

// WriteONNX writes a network, for the input that it is placed on, as an ONNX model (opset 13, IR 7) for batches of any
// size: input "images", of shape N,C,H,W, output "logits", or "probabilities" where the network ends with a softmax or
// a sigmoid. find returns a parameter's values, as nn's Params or a Matched have them; they are asked for one by one.
// notes, which may be nil, become metadata, and the network is noted beside them, so that Open gives back its names and
// its dropout, which an ONNX model for inference lacks.
//
// Layers that ONNX cannot say in opset 13 are an error that names the layer: adaptive pooling whose output does not
// divide its input, average pooling with dilation, local response normalisation over an even number of channels. So are
// models beyond protobuf's 2 GB. The file appears complete or not at all. sources are the open files that find reads,
// as for Write.
func WriteONNX(path string, placed *arch.Placement, find func(arch.Param) ([]float32, error), notes map[string]string,
	sources ...*File) error {
	return WriteONNXContext(context.Background(), path, placed, find, notes, sources...)
}

// WriteONNXContext is WriteONNX that is given up when ctx ends, as WriteContext is.
func WriteONNXContext(ctx context.Context, path string, placed *arch.Placement, find func(arch.Param) ([]float32,
	error), notes map[string]string, sources ...*File) error {
	net, input := placed.Network, placed.Input
	w := onnxWriter{head: "images"}
	for _, layer := range placed.Layers {
		if err := w.layer(layer); err != nil {
			return fmt.Errorf("%s: layer %s: %w", net.Name, layer.Name, err)
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

	noted := maps.Clone(notes)
	if noted == nil {
		noted = map[string]string{}
	}
	described := *net
	described.Input = input
	var text strings.Builder
	if err := described.EncodeJSON(&text); err != nil {
		return err
	}
	noted[NetworkNote] = text.String()
	model := &onnx.Model{IR: writtenIR, Producer: "vggo", Opsets: []onnx.Opset{{Version: writtenOpset}},
		Graph: onnx.Graph{Name: net.Name, Nodes: w.nodes}}
	for _, key := range slices.Sorted(maps.Keys(noted)) {
		model.Metadata = append(model.Metadata, onnx.Note{Key: key, Value: noted[key]})
	}
	value := func(name string, s arch.Shape, vector bool) []onnx.Value {
		dims := []onnx.Dim{{Size: -1, Param: "N"}, {Size: int64(s.C)}, {Size: int64(s.H)}, {Size: int64(s.W)}}
		if vector {
			dims = dims[:2]
		}
		return []onnx.Value{{Name: name, Type: onnx.FLOAT, Shaped: true, Dims: dims}}
	}
	model.Graph.Inputs = value("images", input, false)
	model.Graph.Outputs = value(out, last.Out, w.vector)
	var params []arch.Param
	for _, layer := range placed.Layers {
		for _, p := range layer.Params {
			params = append(params, p)
			model.Graph.Initializers = append(model.Graph.Initializers, onnx.Tensor{Name: p.Name, Type: onnx.FLOAT,
				Dims: p.Shape})
		}
	}
	for _, t := range w.shapes {
		model.Graph.Initializers = append(model.Graph.Initializers, *t)
	}
	err := writeFrom(ctx, path, sources, func(to io.Writer) error {
		return onnx.Encode(to, model, func(to io.Writer, i int) error {
			data, err := find(params[i])
			if err != nil {
				return err
			}
			if len(data) != params[i].Count() {
				return fmt.Errorf("parameter %s has %d values, the network needs %d", params[i].Name, len(data), params[i].Count())
			}
			return writeFloats(to, data)
		})
	})
	if err != nil && !errors.As(err, new(*durable.Error)) { // which names the file
		err = fmt.Errorf("%s: %w", path, err)
	}
	return err
}

// onnxWriter makes nodes of layers.
type onnxWriter struct {
	nodes  []onnx.Node
	head   string // the value that the next layer reads
	vector bool   // it has the sides N,C; else N,C,H,W
	shapes []*onnx.Tensor
}

// node adds a node that reads the head and the given values.
func (w *onnxWriter) node(name, op string, inputs []string, attributes ...onnx.Attribute) {
	w.nodes = append(w.nodes, onnx.Node{Name: name, Op: op, Inputs: append([]string{w.head}, inputs...),
		Outputs: []string{name + "/y"}, Attributes: attributes})
	w.head = name + "/y"
}

func onnxInt(name string, v int) onnx.Attribute {
	return onnx.Attribute{Name: name, Kind: onnx.Int, Int: int64(v)}
}

func onnxFloat(name string, v float64) onnx.Attribute {
	return onnx.Attribute{Name: name, Kind: onnx.Float, Float: float32(v)}
}

func onnxInts(name string, v ...int) onnx.Attribute {
	a := onnx.Attribute{Name: name, Kind: onnx.Ints}
	for _, x := range v {
		a.Ints = append(a.Ints, int64(x))
	}
	return a
}

// layer adds a layer's node. Dropout has none, nor has what changes nothing.
func (w *onnxWriter) layer(layer arch.Placed) error {
	switch layer.Op.(type) {
	case arch.Flatten, arch.Linear:
		if !w.vector {
			name := layer.Name
			if _, ok := layer.Op.(arch.Linear); ok {
				name += "/flatten"
			}
			w.node(name, "Flatten", nil, onnxInt("axis", 1))
			w.vector = true
		}
	case arch.Conv, arch.MaxPool, arch.AvgPool, arch.AdaptiveAvgPool, arch.GlobalAvgPool, arch.LRN:
		if w.vector { // of maps of 1x1 again
			if len(w.shapes) == 0 {
				raw := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 2), 3)
				w.shapes = append(w.shapes, onnx.NewTensor("rows and columns", onnx.INT64, []int{2}, raw))
			}
			w.node(layer.Name+"/map", "Unsqueeze", []string{w.shapes[0].Name})
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
	window := []onnx.Attribute{
		onnxInts("kernel_shape", g.Kernel.H, g.Kernel.W), onnxInts("strides", g.Stride.H, g.Stride.W),
		onnxInts("pads", g.Top, g.Left, g.Bottom, g.Right),
	}
	if ceil {
		window = append(window, onnxInt("ceil_mode", 1))
	}
	dilations := onnxInts("dilations", g.Dilation.H, g.Dilation.W)
	switch op := layer.Op.(type) {
	case arch.Conv:
		w.node(layer.Name, "Conv", params, append(window, dilations, onnxInt("group", max(op.Groups, 1)))...)
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
		w.node(layer.Name, "AveragePool", nil, append(window, onnxInt("count_include_pad", count))...)
	case arch.GlobalAvgPool:
		w.node(layer.Name, "GlobalAveragePool", nil)
	case arch.AdaptiveAvgPool:
		if layer.In.H%layer.Out.H != 0 || layer.In.W%layer.Out.W != 0 {
			return fmt.Errorf("adaptive pooling from %dx%d to %dx%d has windows of several sizes, which ONNX cannot say: "+
				"choose an input size that %dx%d divides",
				layer.In.H, layer.In.W, layer.Out.H, layer.Out.W, layer.Out.H, layer.Out.W)
		}
		if g := evenPooling(layer); g.Kernel != arch.Square(1) {
			w.node(layer.Name, "AveragePool", nil, onnxInts("kernel_shape", g.Kernel.H, g.Kernel.W),
				onnxInts("strides", g.Stride.H, g.Stride.W))
		}
	case arch.LRN:
		if op.Size%2 == 0 {
			return fmt.Errorf("normalisation over %d channels: ONNX places an even window one channel further up: choose an "+
				"odd size", op.Size)
		}
		w.node(layer.Name, "LRN", nil, onnxInt("size", op.Size), onnxFloat("alpha", op.Alpha), onnxFloat("beta", op.Beta),
			onnxFloat("bias", op.K))
	case arch.BatchNorm:
		w.node(layer.Name, "BatchNormalization", params, onnxFloat("epsilon", op.Epsilon()),
			onnxFloat("momentum", 1-op.Rate()))
	case arch.Linear:
		w.node(layer.Name, "Gemm", params, onnxInt("transB", 1))
	case arch.Softmax:
		w.node(layer.Name, "Softmax", nil, onnxInt("axis", 1))
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
