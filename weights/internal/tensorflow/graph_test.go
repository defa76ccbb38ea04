package tensorflow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/format/formattest"
	"github.com/vggo/vggo/weights/internal/proto"
)

// attr is one of a node's attributes.
type attr struct {
	name  string
	value []byte
}

func said(name, v string) attr    { return attr{name, message(2, []byte(v))} }
func yes(name string) attr        { return attr{name, integer(5, 1)} }
func no(name string) attr         { return attr{name, integer(5, 0)} }
func inFunction(of string) attr   { return attr{"f", message(10, message(1, []byte(of)))} }
func counts(n string, i int) attr { return attr{n, integer(3, i)} }

func list(name string, values ...int) attr {
	var packed []byte
	for _, v := range values {
		packed = protowire.AppendVarint(packed, uint64(v))
	}
	return attr{name, message(1, message(3, packed))}
}

// made is a NodeDef.
func made(name, op, inputs string, attrs ...attr) []byte {
	out := append(message(1, []byte(name)), message(2, []byte(op))...)
	for _, input := range strings.Fields(inputs) {
		out = append(out, message(3, []byte(input))...)
	}
	for _, a := range attrs {
		out = append(out, message(5, append(message(1, []byte(a.name)), message(2, a.value)...))...)
	}
	return out
}

func sides(dims ...int) (shape []byte) {
	for _, d := range dims {
		shape = append(shape, message(2, integer(1, d))...)
	}
	return shape
}

// filled is a constant of some shape whose values are all the same.
func filled(name string, v float32, dims ...int) []byte {
	return made(name, "Const", "", attr{"value", message(8, slices.Concat(integer(1, 1), message(2, sides(dims...)),
		message(5, format.FloatBytes([]float32{v}))))})
}

// numbers is a constant of a few integers of 32 bits; of none a shape is given by dims.
func numbers(name string, dims []int, v ...int) []byte {
	var packed []byte
	for _, n := range v {
		packed = protowire.AppendVarint(packed, uint64(n))
	}
	return made(name, "Const", "", attr{"value", message(8, slices.Concat(integer(1, 3), message(2, sides(dims...)),
		message(7, packed)))})
}

func pictures(name string, dims ...int) []byte {
	return made(name, "Placeholder", "", attr{"dtype", integer(6, 1)}, attr{"shape", message(7, sides(dims...))})
}

// called is a FunctionDef of one input and one output.
func called(name, returns string, nodes ...[]byte) []byte {
	out := message(1, slices.Concat(message(1, []byte(name)), message(2, message(1, []byte("x"))),
		message(3, message(1, []byte("y")))))
	for _, n := range nodes {
		out = append(out, message(3, n)...)
	}
	return append(out, message(4, append(message(1, []byte("y")), message(2, []byte(returns))...))...)
}

type functions [][]byte

func graphOf(f functions, nodes ...[]byte) []byte {
	var out, library []byte
	for _, n := range nodes {
		out = append(out, message(1, n)...)
	}
	for _, fn := range f {
		library = append(library, message(1, fn)...)
	}
	return append(out, message(2, library)...)
}

// TestGraphs: what a graph comes to, layer by layer, or why it is none that vggo runs.
func TestGraphs(t *testing.T) {
	x := pictures("x", -1, 8, 8, 3)
	w := filled("c/w", 0.5, 3, 3, 3, 4)
	conv := func(in string, attrs ...attr) []byte {
		return made("c", "Conv2D", in+" c/w", append(attrs, list("strides", 1, 1, 1, 1))...)
	}
	same := said("padding", "SAME")
	valid := said("padding", "VALID")
	calls := func(name, in, of string) []byte { return made(name, "StatefulPartitionedCall", in, inFunction(of)) }
	var doubling functions
	for i := range maxCalls {
		doubling = append(doubling, called(fmt.Sprint("f", i), "b:output:0", calls("a", "x", fmt.Sprint("f", i+1)),
			calls("b", "a:output:0", fmt.Sprint("f", i+1))))
	}
	doubling = append(doubling, called(fmt.Sprint("f", maxCalls), "r:activations:0", made("r", "Relu", "x")))
	for name, c := range map[string]struct {
		graph []byte
		want  string // its layers, or a part of the reason
	}{
		"a convolution": {graphOf(nil, x, w, conv("x", same)), "conv"},
		"in any order":  {graphOf(nil, conv("x", same), w, x), "conv"},
		"with rows padded before": {
			graphOf(nil, x, w, numbers("p", []int{4, 2}, 0, 0, 1, 1, 1, 1, 0, 0),
				made("pad", "Pad", "x p"), conv("pad", valid)), "conv"},
		"reflected": {graphOf(nil, x, w, numbers("p", []int{4, 2}, 0, 0, 1, 1, 1, 1, 0, 0),
			made("pad", "MirrorPad", "x p", said("mode", "REFLECT")), conv("pad", valid)), "reflectpad conv"},
		"padded by numbers": {graphOf(nil, x, w, conv("x", said("padding", "EXPLICIT"),
			list("explicit_paddings", 0, 0, 1, 2, 3, 4, 0, 0))), "conv"},
		"channels first": {graphOf(nil, pictures("x", -1, 3, 8, 8), w, filled("b", 1, 4), made("c", "Conv2D", "x c/w",
			list("strides", 1, 1, 2, 2), same, said("data_format", "NCHW")), made("a", "BiasAdd", "c b",
			said("data_format", "NCHW")), made("p", "AvgPool", "a", list("ksize", 1, 1, 2, 2), list("strides", 1, 1, 2, 2),
			valid, said("data_format", "NCHW"))), "conv avgpool"},
		"lrn": {graphOf(nil, x, made("n", "LRN", "x")), "lrn"},
		"flattened by its own shape": {graphOf(nil, x, numbers("i0", []int{1}, 0), numbers("i1", []int{1}, 1),
			numbers("rest", nil, -1), made("s", "Shape", "x"), made("n", "StridedSlice", "s i0 i1 i1",
				counts("shrink_axis_mask", 1)), made("to", "Pack", "n rest"), made("flat", "Reshape", "x to"),
			filled("w", 1, 192, 2), made("fc", "MatMul", "flat w")), "flatten linear"},
		"weights turned": {graphOf(nil, pictures("x", -1, 5), filled("w", 1, 2, 5), made("fc", "MatMul", "x w",
			yes("transpose_b"))), "linear"},
		"dropout in pieces": {graphOf(nil, pictures("x", -1, 5), filled("w", 1, 5, 2), made("keep", "Placeholder", "",
			attr{"dtype", integer(6, 1)}), made("s", "Shape", "x"), made("r", "RandomUniform", "s"),
			made("a", "Add", "keep r"), made("f", "Floor", "a"), made("d", "RealDiv", "x keep"),
			made("m", "Mul", "d f"), made("fc", "MatMul", "m w")), "dropout linear"},
		"batch norm": {graphOf(nil, x, filled("one", 1, 3), made("n", "FusedBatchNorm", "x one one one one",
			no("is_training"))), "batchnorm"},
		"functions": {graphOf(functions{called("f", "r:activations:0", made("r", "Relu", "x"))}, x, calls("a", "x", "f"),
			calls("b", "a", "f")), "relu relu"},
		"a function by its name": {graphOf(functions{called("f", "r:activations:0", made("r", "Relu", "x"))}, x,
			made("a", "f", "x")), "relu"},
		"who only looks on": {graphOf(nil, x, made("r", "Relu", "x"), made("h", "HistogramSummary", "r"),
			made("best", "ArgMax", "r")), "relu"},
		"samples of bytes": {graphOf(nil, made("x", "Placeholder", "", attr{"dtype", integer(6, 4)}, attr{"shape",
			message(7, sides(-1, 8, 8, 3))}), made("cast", "Cast", "x", attr{"SrcT", integer(6, 4)}, attr{"DstT",
			integer(6, 1)}), made("r", "Relu", "cast")), "relu"},

		"a function that calls itself": {graphOf(functions{called("f", "a:output:0", calls("a", "x", "f"))}, x,
			calls("a", "x", "f")), `"f" calls itself`},
		"two that call each other": {graphOf(functions{called("f", "a:output:0", calls("a", "x", "g")), called("g",
			"a:output:0", calls("a", "x", "f"))}, x, calls("a", "x", "f")), `"f" calls itself`},
		"functions that double": {graphOf(doubling, x, calls("a", "x", "f0")), "functions deep"},
		"no such function":      {graphOf(nil, x, calls("a", "x", "f")), "no function of the file"},
		"a circle": {
			graphOf(nil, x, made("a", "Add", "x b"), made("b", "Relu", "a"), made("c", "Relu", "b")), "depends on itself"},
		"hands itself on": {
			graphOf(nil, x, made("a", "Identity", "b"), made("b", "Identity", "a"), made("c", "Add", "x a")), "in a circle"},
		"from nowhere": {graphOf(nil, x, made("a", "Add", "x nothing")), "which nothing makes"},
		"two inputs":   {graphOf(nil, x, pictures("y", -1, 8, 8, 3), made("a", "Add", "x y")), "inputs x and y"},
		"two outputs":  {graphOf(nil, x, made("a", "Relu", "x"), made("b", "Sigmoid", "x")), "2 outputs (a, b)"},
		"no output":    {graphOf(nil, w), "no Placeholder that tells their shape"},
		"branches":     {graphOf(nil, x, made("a", "Relu", "x"), made("b", "Add", "a x")), "branches"},
		"what no layer computes": {graphOf(nil, x, made("a", "Elu", "x"), made("b", "Relu6", "a"), made("c", "Elu", "b")),
			"tensorflow.Elu (a, c); tensorflow.Relu6 (b)"},
		"padding of another kind": {graphOf(nil, x, w, conv("x", said("padding", "FULL"))), `Conv2D c: padding "FULL"`},
		"another order": {
			graphOf(nil, x, w, conv("x", same, said("data_format", "NHCW"))), "NHWC and NCHW are known"},
		"strides over channels": {graphOf(nil, x, w, made("c", "Conv2D", "x c/w", list("strides", 1, 1, 1, 2), same)),
			"over pictures or channels"},
		"not frozen": {
			graphOf(nil, x, made("c/w", "VariableV2", ""), conv("x", same)),
			`variable "c/w" is not among the values`},
		"in training": {graphOf(nil, x, filled("one", 1, 3), made("n", "FusedBatchNormV3", "x one one one one")),
			"as in training"},
		"no shape":        {graphOf(nil, pictures("x"), w, conv("x", same)), "no Placeholder that tells their shape"},
		"too many values": {graphOf(nil, x, filled("w", 1, 1<<20, 1<<20), made("a", "Add", "x w")), "bytes of values"},
		"texts": {
			graphOf(nil, x, made("w", "Const", "", attr{"value", message(8, integer(1, 7))}), made("a", "Add", "x w")),
			"TensorFlow's type 7"},
		"channels in no order": {graphOf(nil, x, numbers("i", []int{3}, 0, 0, 1), numbers("axis", nil, 3),
			made("g", "GatherV2", "x i axis")), "the three channels of a picture are put in order"},
		"statistics of a batch": {graphOf(nil, x, filled("one", 1, 3), made("n", "FusedBatchNorm", "x one one one one",
			no("is_training")), made("a", "Add", "n:1 n:1")), "its output 1 is used"},
	} {
		in := formattest.Bytes("x.pb", c.graph)
		if !Reader.Knows(in) {
			t.Errorf("%s: it is not known", name)
			continue
		}
		contents, err := Reader.Read(in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if contents.Network == nil {
			if contents.Unrunnable == nil || !strings.Contains(contents.Unrunnable.Error(), c.want) {
				t.Errorf("%s: %v, want %q", name, contents.Unrunnable, c.want)
			}
			continue
		}
		var kinds []string
		for _, layer := range contents.Network.Network.Layers {
			kinds = append(kinds, layer.Op.Kind())
		}
		if got := strings.Join(kinds, " "); got != c.want {
			t.Errorf("%s: %s, want %q", name, got, c.want)
		}
		if p := contents.Pictures; (p != nil && p.Bytes) != (name == "samples of bytes") {
			t.Errorf("%s: pictures are %+v", name, p)
		}
		if err := formattest.Use(t, Reader, in); err != nil {
			t.Error(err)
		}
	}
}

// TestSavedModels: which graph, which signature and which variables are taken, and what is missing is named.
func TestSavedModels(t *testing.T) {
	whole := saved(t)
	files := whole.Beside
	for name, c := range map[string]struct {
		beside func(name string) ([]byte, error)
		want   string
	}{
		"no values": {func(name string) ([]byte, error) {
			if strings.Contains(name, ".data-") {
				return formattest.Bytes("", nil).Beside(name)
			}
			return files(name)
		}, "variables.data-00000-of-00001"},
		"an index cut off": {func(name string) ([]byte, error) {
			data, err := files(name)
			return data[:len(data)-1], err
		}, "no table, or truncated"},
	} {
		in := *whole
		in.Beside = c.beside
		if _, err := Reader.Read(&in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	in := *whole
	in.Beside = formattest.Bytes("", nil).Beside
	contents, err := Reader.Read(&in)
	if err != nil || contents.Unrunnable == nil || !strings.Contains(contents.Unrunnable.Error(), "not among the values") {
		t.Errorf("no variables: %v, %v", contents, err)
	}
}

// Floats of 16 bits lie in a field of their own, half_val, as their bits; the last stands for those that are left out.
func TestHalfConstants(t *testing.T) {
	for name, c := range map[string]struct {
		dtype int
		bits  []uint64
		want  []float32
	}{
		"half, each":     {19, []uint64{0x3c00, 0xc000, 0x3800}, []float32{1, -2, 0.5}},
		"half, the same": {19, []uint64{0x3800}, []float32{0.5, 0.5, 0.5}},
		"bfloat16":       {14, []uint64{0x3f80, 0xc000}, []float32{1, -2, -2}},
	} {
		var packed []byte
		for _, bits := range c.bits {
			packed = protowire.AppendVarint(packed, bits)
		}
		m, err := proto.Decode(slices.Concat(integer(1, c.dtype), message(2, sides(3)), message(13, packed)), 0, values)
		if err != nil {
			t.Fatal(err)
		}
		k, err := constantOf("k", m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Floats(); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, not %v: %v", name, got, c.want, err)
		}
	}
}

// A batch norm of training has a remedy, which the error says.
func TestRemedied(t *testing.T) {
	graph := graphOf(nil, pictures("x", -1, 8, 8, 3), filled("one", 1, 3),
		made("n", "FusedBatchNorm", "x one one one one"))
	contents, err := Reader.Read(formattest.Bytes("x.pb", graph))
	if err != nil || !errors.As(contents.Unrunnable, new(format.Remedied)) {
		t.Error(err, contents.Unrunnable)
	}
}
