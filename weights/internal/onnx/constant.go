package onnx

import (
	"fmt"
	"math"
	"slices"

	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// constant is a value of a graph that does not depend on its input: a tensor as it is in the file, or a list of
// integers made of one, and of the sides of other values. Such lists are the shapes that PyTorch's exporter computes on
// the way to a Reshape.
type constant struct {
	tensor *wire.Tensor // nil for what has been computed
	// of a tensor that lies in the file in another order: its axis i is the file's axes[i]
	axes   []int
	ints   []int64
	scalar bool // of ints: no list
	// of ints: they are rows of so many; 0 for a list. Such is what PyTorch turns its order of padding into ONNX's by.
	columns int
}

// openSide stands in a list of integers for a side that the batch leaves open.
const openSide = math.MinInt64

// maxInts bounds the lists: far beyond the rank of any tensor.
const maxInts = 256

// list returns a constant's integers.
func (k *constant) list() ([]int64, error) {
	switch {
	case k.axes != nil:
		return nil, fmt.Errorf("a list of integers expected")
	case k.tensor != nil:
		return k.tensor.Int64s(maxInts)
	case k.columns > 0:
		return nil, fmt.Errorf("rows of integers where a list is expected")
	}
	return k.ints, nil
}

func (k *constant) isScalar() bool {
	if k.tensor == nil {
		return k.scalar
	}
	return len(k.tensor.Dims) == 0
}

// number is a float constant of one value.
func (k *constant) number() (float64, error) {
	if k.tensor == nil {
		return 0, fmt.Errorf("a number expected")
	}
	b, err := k.tensor.Bytes()
	dtype := dtypes[k.tensor.Type]
	if err != nil || !dtype.HoldsWeights() || len(b) != dtype.Size() {
		return 0, fmt.Errorf("a number expected")
	}
	return format.Shortest(dtype.Floats(b)[0]), nil
}

// truth is a boolean constant of one value.
func (k *constant) truth() (bool, error) {
	if k.tensor == nil || k.tensor.Type != wire.BOOL {
		return false, fmt.Errorf("a truth value expected")
	}
	b, err := k.tensor.Bytes()
	if err != nil || len(b) != 1 {
		return false, fmt.Errorf("a truth value expected")
	}
	return b[0] != 0, nil
}

// dtypes are the tensors' types by the names that this package uses.
var dtypes = map[wire.Type]format.DType{
	wire.FLOAT: format.F32, wire.DOUBLE: format.F64, wire.FLOAT16: format.F16, wire.BFLOAT16: format.BF16,
	wire.BOOL: "BOOL", wire.UINT8: "U8", wire.INT8: "I8", wire.UINT16: "U16", wire.INT16: "I16",
	wire.UINT32: "U32", wire.INT32: "I32", wire.UINT64: "U64", wire.INT64: "I64", wire.COMPLEX64: "C64",
}

// folding is an operator that makes integers of integers: lists are those of its inputs, of which there must be want
// (-1: at least one).
type folding struct {
	want int
	do   func(n *wire.Node, in []*constant, lists [][]int64) (*constant, error)
}

var folded = map[string]folding{
	"Gather": {2, func(_ *wire.Node, in []*constant, lists [][]int64) (*constant, error) {
		out := &constant{scalar: in[1].isScalar()}
		for _, i := range lists[1] {
			if i < 0 {
				i += int64(len(lists[0]))
			}
			if i < 0 || i >= int64(len(lists[0])) {
				return nil, fmt.Errorf("index %d of %d integers", i, len(lists[0]))
			}
			out.ints = append(out.ints, lists[0][i])
		}
		return out, nil
	}},
	"Slice": {-1, func(n *wire.Node, in []*constant, lists [][]int64) (*constant, error) {
		if in[0].columns > 0 {
			return backwards(in[0], lists)
		}
		from, to := n.Attribute("starts"), n.Attribute("ends")
		if from != nil && to != nil { // opset 9 and before
			lists = append(lists[:1], from.Ints, to.Ints)
		}
		if len(lists) < 3 || len(lists[1]) != 1 || len(lists[2]) != 1 || len(lists) == 5 &&
			!slices.Equal(lists[4], []int64{1}) {
			return nil, fmt.Errorf("only a stretch of a list is understood")
		}
		length := int64(len(lists[0]))
		place := func(i int64) int64 {
			if i < 0 {
				i += length
			}
			return min(max(i, 0), length)
		}
		a := place(lists[1][0])
		return &constant{ints: lists[0][a:max(a, place(lists[2][0]))]}, nil
	}},
	"Concat": {-1, func(_ *wire.Node, _ []*constant, lists [][]int64) (*constant, error) {
		out := &constant{ints: slices.Concat(lists...)}
		if len(out.ints) > maxInts {
			return nil, fmt.Errorf("more than %d integers", maxInts)
		}
		return out, nil
	}},
	"Unsqueeze": {-1, func(_ *wire.Node, in []*constant, lists [][]int64) (*constant, error) { // a number to a list of it
		if !in[0].isScalar() {
			return nil, fmt.Errorf("only a number is made a list")
		}
		return &constant{ints: lists[0]}, nil
	}},
	"Squeeze": {-1, func(_ *wire.Node, _ []*constant, lists [][]int64) (*constant, error) {
		if len(lists[0]) != 1 {
			return nil, fmt.Errorf("only a list of one becomes a number")
		}
		return &constant{ints: lists[0], scalar: true}, nil
	}},
	"ConstantOfShape": {1, func(n *wire.Node, _ []*constant, lists [][]int64) (*constant, error) {
		value := n.Attribute("value")
		if value == nil || value.Tensor == nil || len(lists[0]) != 1 || lists[0][0] < 0 || lists[0][0] > maxInts {
			return nil, fmt.Errorf("only a list of at most %d integers", maxInts)
		}
		one, err := value.Tensor.Int64s(1)
		if err != nil || len(one) != 1 {
			return nil, fmt.Errorf("only integers")
		}
		return &constant{ints: slices.Repeat(one, int(lists[0][0]))}, nil
	}},
	"Reshape": {2, func(_ *wire.Node, _ []*constant, lists [][]int64) (*constant, error) {
		switch target := lists[1]; {
		case slices.Equal(target, []int64{-1}):
			return &constant{ints: lists[0]}, nil
		case slices.Equal(target, []int64{-1, 2}) && len(lists[0])%2 == 0:
			return &constant{ints: lists[0], columns: 2}, nil
		}
		return nil, fmt.Errorf("only a list to pairs, and back")
	}},
	"Transpose": {1, func(n *wire.Node, in []*constant, lists [][]int64) (*constant, error) {
		perm, columns := n.Attribute("perm"), in[0].columns
		if columns == 0 || len(lists[0]) == 0 || perm != nil && !slices.Equal(perm.Ints, []int64{1, 0}) {
			return nil, fmt.Errorf("only rows become columns")
		}
		out := &constant{columns: len(lists[0]) / columns}
		for c := range columns {
			for at := c; at < len(lists[0]); at += columns {
				out.ints = append(out.ints, lists[0][at])
			}
		}
		return out, nil
	}},
	"Cast": {1, func(n *wire.Node, in []*constant, lists [][]int64) (*constant, error) {
		to := n.Attribute("to")
		if to == nil || wire.Type(to.Int) != wire.INT64 && wire.Type(to.Int) != wire.INT32 {
			return nil, fmt.Errorf("only integers to integers")
		}
		return &constant{ints: lists[0], scalar: in[0].isScalar()}, nil
	}},
	"Add": arithmetic(func(a, b int64) int64 { return a + b }),
	"Sub": arithmetic(func(a, b int64) int64 { return a - b }),
	"Mul": arithmetic(func(a, b int64) int64 { return a * b }),
	"Div": arithmetic(func(a, b int64) int64 { return a / b }),
}

// arithmetic computes with two integers. Of an open side only products are known: they are open too.
func arithmetic(do func(a, b int64) int64) folding {
	return folding{2, func(n *wire.Node, in []*constant, lists [][]int64) (*constant, error) {
		if len(lists[0]) != 1 || len(lists[1]) != 1 {
			return nil, fmt.Errorf("only a number and a number")
		}
		a, b := lists[0][0], lists[1][0]
		value := int64(openSide)
		switch open := a == openSide || b == openSide; {
		case open && n.Op == "Mul":
		case open || max(a, -a, b, -b) > math.MaxInt32 || b == 0 && n.Op == "Div":
			return nil, fmt.Errorf("%s of numbers that are open, too large or 0", n.Op)
		default:
			value = do(a, b)
		}
		return &constant{ints: []int64{value}, scalar: in[0].isScalar() && in[1].isScalar()}, nil
	}}
}

// backwards is a Slice of rows from the last to the first: starts, ends, axes and steps are -1, far before the first, 0
// and -1.
func backwards(k *constant, lists [][]int64) (*constant, error) {
	plain := len(lists) == 5 && slices.Equal(lists[1], []int64{-1}) && len(lists[2]) == 1 &&
		lists[2][0] < -int64(len(k.ints)) && slices.Equal(lists[3], []int64{0}) && slices.Equal(lists[4], []int64{-1})
	if !plain {
		return nil, fmt.Errorf("only all rows backwards")
	}
	out := &constant{columns: k.columns}
	for at := len(k.ints) - k.columns; at >= 0; at -= k.columns {
		out.ints = append(out.ints, k.ints[at:at+k.columns]...)
	}
	return out, nil
}

// ofRows are the operators that take rows of integers as their first input.
var ofRows = []string{"Reshape", "Slice", "Transpose"}

// of is what a node makes of its inputs.
func (f folding) of(n *wire.Node, in []*constant) (*constant, error) {
	if f.want >= 0 && len(in) != f.want || len(in) == 0 {
		return nil, fmt.Errorf("%d inputs", len(in))
	}
	if a := n.Attribute("axis"); a != nil && a.Int != 0 && a.Int != -1 {
		return nil, fmt.Errorf("axis %d of a list", a.Int)
	}
	var lists [][]int64
	total := 0
	for _, k := range in {
		if k == nil {
			return nil, fmt.Errorf("an input is left out")
		}
		list, err := k.ints, error(nil)
		if k.columns == 0 || len(lists) > 0 || !slices.Contains(ofRows, n.Op) {
			list, err = k.list()
		}
		if err != nil {
			return nil, err
		}
		if lists = append(lists, list); len(list)+total > 2*maxInts {
			return nil, fmt.Errorf("more than %d integers", maxInts)
		}
		total += len(list)
	}
	return f.do(n, in, lists)
}

// transposed is a tensor of the file with its axes in another order; nil for any other node.
func transposed(n *wire.Node, in []*constant) *constant {
	if n.Op != "Transpose" || len(in) != 1 || in[0] == nil || in[0].tensor == nil || in[0].axes != nil {
		return nil
	}
	a := arguments{node: n}
	if axes := a.perm(len(in[0].tensor.Dims)); a.err == nil {
		return &constant{tensor: in[0].tensor, axes: axes}
	}
	return nil
}

// constantOf reads a Constant node.
func constantOf(n *wire.Node) (*constant, error) {
	for _, a := range n.Attributes {
		switch {
		case a.Name == "value" && a.Tensor != nil && a.Tensor.External == nil:
			t := *a.Tensor
			t.Name = n.Outputs[0]
			return &constant{tensor: &t}, nil
		case a.Name == "value_int":
			return &constant{ints: []int64{a.Int}, scalar: true}, nil
		case a.Name == "value_ints":
			if len(a.Ints) > maxInts {
				return nil, fmt.Errorf("more than %d integers", maxInts)
			}
			return &constant{ints: a.Ints}, nil
		case a.Name == "value_float":
			raw := format.FloatBytes([]float32{a.Float})
			return &constant{tensor: wire.NewTensor(n.Outputs[0], wire.FLOAT, nil, raw)}, nil
		case a.Name == "value_floats":
			raw := format.FloatBytes(a.Floats)
			return &constant{tensor: wire.NewTensor(n.Outputs[0], wire.FLOAT, []int{len(a.Floats)}, raw)}, nil
		}
	}
	return nil, fmt.Errorf("a constant without a value that vggo reads")
}
