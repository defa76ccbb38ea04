package tensorflow

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// renamed are operations that ONNX has too, with the same inputs in the same order (tensorflow/core/api_def/base_api).
var renamed = map[string]string{"Relu": "Relu", "Sigmoid": "Sigmoid", "Softmax": "Softmax", "LogSoftmax": "LogSoftmax",
	"Add": "Add", "AddV2": "Add", "Sub": "Sub", "Mul": "Mul", "RealDiv": "Div", "Div": "Div", "Reshape": "Reshape",
	"Shape": "Shape"}

// node says one node.
func (t *translation) node(p place) (string, error) {
	out, err := t.operation(p)
	if _, told := err.(nodeError); err != nil && !told {
		err = nodeError{fmt.Errorf("%s: %w", p.node.label(), err)}
	}
	return out, err
}

// nodeError is an error that names the node at fault.
type nodeError struct{ error }

func (e nodeError) Unwrap() error { return e.error }

func (t *translation) operation(p place) (string, error) {
	n := p.node
	switch n.op {
	case "Const":
		if _, ok := t.file.Get(n.name); ok && p.in == t.library.top {
			return t.variable(n.name)
		}
		k, err := constantOf(n.name, n.attr("value").Message("tensor"))
		if err != nil {
			return "", err
		}
		data, err := t.bytes(k)
		return t.constant(n.name, types[k.DType], k.Shape, data), err
	case "VariableV2", "Variable", "AutoReloadVariable":
		return t.variable(n.name)
	case "VarHandleOp":
		name := n.attr("shared_name").Text("s")
		if _, ok := t.file.Get(name); !ok {
			name = n.name
		}
		return t.variable(name)
	case "Placeholder":
		return t.picture(n)
	case "ConcatV2", "Concat", "ReverseV2", "StridedSlice", "GatherV2":
		if out, ok, err := t.colours(p); ok || err != nil {
			return out, err
		}
	case "Mul":
		if out, ok, err := t.dropout(p); ok || err != nil {
			return out, err
		}
	}
	if p.index > 0 {
		return "", fmt.Errorf("its output %d is used: layers have one", p.index)
	}
	inputs, err := t.inputs(p)
	if err != nil {
		return "", err
	}
	if op := renamed[n.op]; op != "" {
		return t.emit(n, op, nil, inputs...), nil
	}
	needs := map[string]int{"Conv2D": 2, "MatMul": 2, "FusedBatchNorm": 5, "FusedBatchNormV2": 5, "FusedBatchNormV3": 5,
		"BiasAdd": 2}[n.op]
	if len(inputs) < max(needs, 1) {
		return "", fmt.Errorf("%d inputs", len(inputs))
	}
	switch x := inputs[0]; n.op {
	case "Conv2D":
		return t.maps(p, x, func(x string) (string, error) {
			window, err := t.window(p, "")
			weights := t.emit(n, "Transpose", []wire.Attribute{wire.IntsOf("perm", 3, 2, 0, 1)}, inputs[1])
			return t.emit(n, "Conv", window, x, weights), err
		})
	case "MaxPool", "AvgPool":
		return t.maps(p, x, func(x string) (string, error) {
			window, err := t.window(p, "ksize")
			return t.emit(n, map[string]string{"MaxPool": "MaxPool", "AvgPool": "AveragePool"}[n.op], window, x), err
		})
	case "LRN":
		return t.maps(p, x, func(x string) (string, error) {
			size := 2*n.attr("depth_radius").Number("i", 5) + 1 // ONNX divides by it
			return t.emit(n, "LRN", []wire.Attribute{wire.IntOf("size", int64(size)),
				wire.FloatOf("alpha", size*n.attr("alpha").Number("f", 1)), wire.FloatOf("beta", n.attr("beta").Number("f", 0.5)),
				wire.FloatOf("bias", n.attr("bias").Number("f", 1))}, x), nil
		})
	case "FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3":
		if n.attr("is_training").Number("b", 1) != 0 {
			return "", format.Remedy("it takes the batch's own statistics, as in training: save the graph for inference")
		}
		return t.maps(p, x, func(x string) (string, error) {
			epsilon := wire.FloatOf("epsilon", n.attr("epsilon").Number("f", 1e-4))
			return t.emit(n, "BatchNormalization", []wire.Attribute{epsilon}, append([]string{x}, inputs[1:5]...)...), nil
		})
	case "BiasAdd":
		if n.attr("data_format").Text("s") == "NCHW" {
			y := t.emit(n, "Add", nil, t.channelsLast(n, x), inputs[1])
			return t.channelsFirst(n, y), nil
		}
		return t.emit(n, "Add", nil, x, inputs[1]), nil
	case "MatMul":
		switch {
		case n.attr("transpose_a").Number("b", 0) != 0:
			return "", fmt.Errorf("its first factor is transposed")
		case n.attr("transpose_b").Number("b", 0) != 0:
			return t.emit(n, "Gemm", []wire.Attribute{wire.IntOf("transB", 1)}, x, inputs[1]), nil
		}
		return t.emit(n, "MatMul", nil, x, inputs[1]), nil
	case "Cast":
		to := types[dtypes[n.attr("DstT").Number("type", 0)]]
		return t.emit(n, "Cast", []wire.Attribute{wire.IntOf("to", int64(to))}, x), nil
	case "Squeeze":
		axes := inputs[:1]
		if list := append(n.numbers("squeeze_dims"), n.numbers("axis")...); len(list) > 0 {
			axes = append(axes[:1:1], t.ints(n, whole(list)...))
		}
		return t.emit(n, "Squeeze", nil, axes...), nil
	case "ExpandDims":
		axes, err := t.list(p, 1)
		return t.emit(n, "Unsqueeze", nil, x, t.ints(n, axes...)), err
	case "Mean", "Max":
		axes, err := t.list(p, 1)
		keep := wire.IntOf("keepdims", int64(n.attr("keep_dims").Number("b", 0)))
		return t.emit(n, "Reduce"+n.op, []wire.Attribute{wire.IntsOf("axes", axes...), keep}, x), err
	case "Transpose":
		perm, err := t.list(p, 1)
		return t.emit(n, "Transpose", []wire.Attribute{wire.IntsOf("perm", perm...)}, x), err
	case "Pad", "PadV2", "MirrorPad":
		return t.pad(p, inputs)
	case "Pack": // of sides, for a Reshape
		for i, side := range inputs {
			inputs[i] = t.emit(n, "Unsqueeze", nil, side, t.ints(n, 0))
		}
		return t.emit(n, "Concat", []wire.Attribute{wire.IntOf("axis", int64(n.attr("axis").Number("i", 0)))}, inputs...), nil
	case "ConcatV2":
		return t.emit(n, "Concat", []wire.Attribute{wire.IntOf("axis", 0)}, inputs[:len(inputs)-1]...), nil
	case "StridedSlice":
		return t.strided(p, x)
	}
	t.graph.Nodes = append(t.graph.Nodes, wire.Node{Name: n.name, Op: n.op, Domain: "tensorflow", Inputs: inputs,
		Outputs: []string{t.fresh(n.name)}})
	return t.graph.Nodes[len(t.graph.Nodes)-1].Outputs[0], nil
}

func (t *translation) inputs(p place) (list []string, err error) {
	for _, ref := range p.node.inputs {
		name, err := t.value(value{p.in, ref})
		if err != nil {
			return nil, err
		}
		list = append(list, name)
	}
	return list, nil
}

func whole(list []float64) (ints []int64) {
	for _, v := range list {
		ints = append(ints, int64(v))
	}
	return ints
}

// window is how a kernel slides; the attribute of a pooling's own size is named.
func (t *translation) window(p place, size string) ([]wire.Attribute, error) {
	n := p.node
	first := n.attr("data_format").Text("s") == "NCHW"
	var list []wire.Attribute
	for _, a := range []struct{ of, to string }{{"strides", "strides"}, {"dilations", "dilations"},
		{size, "kernel_shape"}} {
		v := whole(n.numbers(a.of))
		if len(v) == 0 {
			continue
		}
		if len(v) != 4 {
			return nil, fmt.Errorf("%s of %d axes", a.of, len(v))
		}
		others, sides := []int64{v[0], v[3]}, v[1:3]
		if first {
			others, sides = v[:2], v[2:]
		}
		if others[0] != 1 || others[1] != 1 {
			return nil, fmt.Errorf("%s over pictures or channels", a.of)
		}
		list = append(list, wire.IntsOf(a.to, sides...))
	}
	switch padding := n.attr("padding").Text("s"); padding {
	case "SAME": // the odd pixel goes behind
		list = append(list, wire.TextOf("auto_pad", "SAME_UPPER"))
	case "VALID":
	case "EXPLICIT":
		v := whole(n.numbers("explicit_paddings"))
		if len(v) != 8 {
			return nil, fmt.Errorf("explicit_paddings of %d numbers", len(v))
		}
		if first {
			v = append(v[:2:2], append(v[4:8:8], v[2:4]...)...)
		}
		if slices.ContainsFunc(append(v[:2:2], v[6:]...), func(p int64) bool { return p != 0 }) {
			return nil, fmt.Errorf("padding of pictures or channels")
		}
		list = append(list, wire.IntsOf("pads", v[2], v[4], v[3], v[5]))
	default:
		return nil, fmt.Errorf("padding %q: SAME, VALID and EXPLICIT are known", format.Clip(padding))
	}
	return list, nil
}

// pad is padding by itself, of zeros or by reflection.
func (t *translation) pad(p place, inputs []string) (string, error) {
	n := p.node
	pads, err := t.list(p, 1)
	if err != nil {
		return "", err
	}
	if len(pads) != 8 || slices.ContainsFunc(append(pads[:2:2], pads[6:]...), func(p int64) bool { return p != 0 }) {
		return "", fmt.Errorf("paddings of other axes than rows and columns")
	}
	mode := wire.TextOf("mode", "constant")
	if n.op == "MirrorPad" {
		if mode.Text = "reflect"; n.attr("mode").Text("s") != "REFLECT" {
			return "", fmt.Errorf("mode %s: reflection alone is known", format.Clip(n.attr("mode").Text("s")))
		}
	}
	in := []string{t.channelsFirst(n, inputs[0]), t.ints(n, 0, 0, pads[2], pads[4], 0, 0, pads[3], pads[5])}
	if n.op == "PadV2" && len(inputs) > 2 {
		in = append(in, inputs[2])
	}
	return t.channelsLast(n, t.emit(n, "Pad", []wire.Attribute{mode}, in...)), nil
}

// strided is one of a list's numbers, or a stretch of them.
func (t *translation) strided(p place, x string) (string, error) {
	var at [3][]int64
	for i := range at {
		var err error
		if at[i], err = t.list(p, i+1); err != nil {
			return "", err
		}
		if len(at[i]) != 1 {
			return "", fmt.Errorf("a part of its input, which no layer takes")
		}
	}
	mask := func(name string) bool { return p.node.attr(name).Number("i", 0) != 0 }
	begin, end := at[0][0], at[1][0]
	if mask("begin_mask") {
		begin = 0
	}
	if mask("end_mask") {
		end = maxList
	}
	if at[2][0] != 1 || mask("ellipsis_mask") || mask("new_axis_mask") {
		return "", fmt.Errorf("a part of its input, which no layer takes")
	}
	if mask("shrink_axis_mask") {
		index := t.constant(p.node.name+" index", wire.INT64, nil, binary.LittleEndian.AppendUint64(nil, uint64(begin)))
		return t.emit(p.node, "Gather", nil, x, index), nil
	}
	return t.emit(p.node, "Slice", nil, x, t.ints(p.node, begin), t.ints(p.node, end)), nil
}
