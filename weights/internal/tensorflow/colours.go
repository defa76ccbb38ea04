package tensorflow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// Graphs turn red first into blue first in several ways: tensorflow-vgg (machrisaa, ry) splits the channels, takes each
// one's mean away and puts them together in the other order; Keras' preprocess_input reverses the axis.

// colours says a node that puts three channels into another order, or in the same after taking means away. ok is false
// for one that does not.
func (t *translation) colours(p place) (name string, ok bool, err error) {
	var x value
	var order []int64
	var shift []float32
	switch p.node.op {
	case "ReverseV2":
		axes, err := t.list(p, 1)
		if err != nil || len(axes) != 1 || axes[0] != -1 && axes[0] != 3 {
			return "", false, err
		}
		x, order = value{p.in, p.node.input(0)}, []int64{2, 1, 0}
	case "GatherV2":
		list, err := t.list(p, 1)
		if err != nil {
			return "", false, nil
		}
		axis, err := t.list(p, 2)
		if err != nil || len(axis) != 1 || axis[0] != -1 && axis[0] != 3 || len(list) != 3 {
			return "", false, nil
		}
		x = value{p.in, p.node.input(0)}
		order = list
	case "StridedSlice":
		if !t.reverses(p) {
			return "", false, nil
		}
		x, order = value{p.in, p.node.input(0)}, []int64{2, 1, 0}
	default:
		if x, order, shift, ok = t.apart(p); !ok {
			return "", false, nil
		}
	}
	name, err = t.value(x)
	if err != nil {
		return "", true, err
	}
	n := p.node
	if shift != nil {
		name = t.emit(n, "Add", nil, name, t.constant(n.name+" shift", wire.FLOAT, []int{3}, format.FloatBytes(shift)))
	}
	if slices.Equal(order, []int64{0, 1, 2}) {
		return name, true, nil
	}
	return t.emit(n, "Gather", []wire.Attribute{wire.IntOf("axis", 3)}, name, t.ints(n, order...)), true, nil
}

// reverses knows x[..., ::-1] and x[:, :, :, ::-1].
func (t *translation) reverses(p place) bool {
	strides, err := t.list(p, 3)
	last := len(strides) - 1
	if err != nil || last < 1 || strides[last] != -1 {
		return false
	}
	mask := func(name string) int { return int(p.node.attr(name).Number("i", 0)) }
	for i, stride := range strides {
		whole := mask("begin_mask")&mask("end_mask")>>i&1 == 1 || mask("ellipsis_mask")>>i&1 == 1
		if !whole || i < last && stride != 1 {
			return false
		}
	}
	ellipsis := mask("ellipsis_mask")
	return mask("new_axis_mask") == 0 && mask("shrink_axis_mask") == 0 && (ellipsis == 1 && last == 1 || ellipsis == 0 &&
		last == 3)
}

// apart is what the channels that a concatenation joins are of, their order there and what is added to each.
func (t *translation) apart(p place) (x value, order []int64, shift []float32, ok bool) {
	inputs, axis := p.node.inputs, len(p.node.inputs)-1
	if p.node.op == "Concat" {
		axis = 0
	}
	along, err := t.list(p, axis)
	if err != nil || len(inputs) != 4 || len(along) != 1 || along[0] != -1 && along[0] != 3 {
		return x, nil, nil, false
	}
	shifts := make([]float32, 3)
	var split *place
	for _, ref := range slices.Delete(slices.Clone(inputs), axis, axis+1) {
		of, err := t.resolve(value{p.in, ref})
		if err != nil {
			return x, nil, nil, false
		}
		by := float32(0)
		if sign, shifting := map[string]float32{"Sub": -1, "Add": 1, "AddV2": 1}[of.node.op]; shifting {
			v, err := t.number(of, 1)
			if err != nil {
				return x, nil, nil, false
			}
			if of, err = t.resolve(value{of.in, of.node.input(0)}); err != nil {
				return x, nil, nil, false
			}
			by = sign * v
		}
		if of.node.op != "Split" || split != nil && (split.in != of.in || split.node != of.node) || of.index > 2 ||
			of.node.attr("num_split").Number("i", 0) != 3 {
			return x, nil, nil, false
		}
		if by != 0 {
			shift = shifts
		}
		split, order, shifts[of.index] = &of, append(order, int64(of.index)), by
	}
	axes, err := t.list(*split, 0)
	return value{split.in, split.node.input(1)}, order, shift, err == nil && len(axes) == 1 && (axes[0] == -1 ||
		axes[0] == 3)
}

// number is an input that is a constant of one value.
func (t *translation) number(p place, i int) (float32, error) {
	of, err := t.resolve(value{p.in, p.node.input(i)})
	if err != nil {
		return 0, err
	}
	k, err := t.held(of)
	if err != nil || of.node.op != "Const" || !k.DType.HoldsWeights() || format.Product(k.Shape) != 1 {
		return 0, fmt.Errorf("its input %d is no number", i)
	}
	data, err := k.Floats()
	if err != nil {
		return 0, err
	}
	return data[0], nil
}

// dropout says the nodes that tf.nn.dropout is made of: x / keep * mask, with a mask of random numbers, whose rate is a
// half where it comes from outside.
func (t *translation) dropout(p place) (name string, ok bool, err error) {
	for i := range min(len(p.node.inputs), 2) {
		mask, err := t.resolve(value{p.in, p.node.inputs[i]})
		if err != nil || mask.node.op != "Floor" && mask.node.op != "Cast" || !t.isRandom(mask, 0) {
			continue
		}
		scaled, err := t.resolve(value{p.in, p.node.input(1 - i)})
		if err != nil {
			return "", true, err
		}
		keep := float32(0.5)
		switch v, err := t.number(scaled, 1); scaled.node.op {
		case "RealDiv", "Div":
			if err == nil {
				keep = v
			}
		case "Mul":
			if err == nil {
				keep = 1 / v
			}
		default:
			return "", true, fmt.Errorf("a random mask that is no dropout's")
		}
		if name, err = t.value(value{scaled.in, scaled.node.input(0)}); err != nil {
			return "", true, err
		}
		ratio := t.constant(p.node.name+" ratio", wire.FLOAT, nil, format.FloatBytes([]float32{1 - keep}))
		return t.emit(p.node, "Dropout", nil, name, ratio), true, nil
	}
	return "", false, nil
}

// isRandom knows what is made of random numbers, a few nodes before.
func (t *translation) isRandom(p place, depth int) bool {
	return strings.HasPrefix(p.node.op, "RandomUniform") || depth < 8 && slices.ContainsFunc(p.node.inputs,
		func(ref string) bool {
			before, err := t.resolve(value{p.in, ref})
			return err == nil && t.isRandom(before, depth+1)
		})
}
