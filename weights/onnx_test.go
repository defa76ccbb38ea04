package weights

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/onnx"
	"github.com/vggo/vggo/tensor"
)

// TestONNXOfTorch reads a small VGG with batch norm as several exporters write it, and holds its logits to PyTorch's.
func TestONNXOfTorch(t *testing.T) {
	var golden struct{ Logits, Half [][]float32 }
	if err := json.Unmarshal(readFile(t, "testdata/onnx/logits.json"), &golden); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/onnx/*.onnx")
	if err != nil || len(files) != 10 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	images := tensor.New(len(golden.Logits), 3, 16, 12)
	for i := range images.Data {
		images.Data[i] = float32(float64(i*7919%2003)/1001 - 1)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			net, params := fromFile(t, open(t, file))
			want := golden.Logits
			if filepath.Base(file) == "half.onnx" {
				want = golden.Half
			}
			got := outputOf(t, net, params, images)
			for n, row := range want {
				for c, w := range row {
					if g := got.At(n, c, 0, 0); !(math.Abs(float64(g-w)) <= 1e-5) {
						t.Errorf("image %d, class %d: %v, PyTorch's %v", n, c, g, w)
					}
				}
			}
		})
	}
}

// TestONNXNames: layers are called as the file calls them, each operation is the one that the file means.
func TestONNXNames(t *testing.T) {
	for file, want := range map[string]string{
		"batchnorm.onnx": "features.0 conv 3x3 pad 1, features.1 batchnorm, features.2 relu, features.3 conv 3x3 pad 1, " +
			"features.4 batchnorm, " +
			"features.5 relu, features.6 maxpool 2x2/2, features.7 conv 3x3 pad 1, features.8 batchnorm, features.9 relu, " +
			"features.10 maxpool 2x2/2, Flatten flatten, classifier.0 linear, classifier.1 relu, classifier.3 linear",
		"fused.onnx": "features.0 conv 3x3 pad 1, features.2 relu, features.3 conv 3x3 pad 1, features.5 relu, features.6 " +
			"maxpool 2x2/2, " +
			"features.7 conv 3x3 pad 1, features.9 relu, features.10 maxpool 2x2/2, Flatten flatten, classifier.0 linear, " +
			"classifier.1 relu, classifier.3 linear",
		"nhwc.onnx": "Conv_1 conv 3x3 same, BatchNormalization_2 batchnorm, Relu_3 relu, Conv_4 conv 3x3 same, " +
			"BatchNormalization_5 batchnorm, Relu_6 relu, " +
			"MaxPool_7 maxpool 2x2/2, Conv_8 conv 3x3 same, BatchNormalization_9 batchnorm, Relu_10 relu, MaxPool_11 maxpool " +
			"2x2/2, flatten flatten, " +
			"MatMul_14 linear, Relu_16 relu, MatMul_17 linear",
	} {
		net, err := open(t, "testdata/onnx/"+file).Network()
		if err != nil {
			t.Fatal(err)
		}
		var layers []string
		for _, l := range net.Layers {
			layers = append(layers, l.Name+" "+arch.Describe(l.Op))
		}
		if got := strings.Join(layers, ", "); got != want || net.Input != (arch.Shape{C: 3, H: 16, W: 12}) {
			t.Errorf("%s, for %v:\n%s, want\n%s", file, net.Input, got, want)
		}
	}
}

// TestONNXIsBuiltin: a graph that computes what a built-in network does is that network, whatever its nodes are called,
// with dropout or without.
func TestONNXIsBuiltin(t *testing.T) {
	for _, name := range []string{"tinyvgg", "tinyvgg-food", "vgg11-cifar-bn", "vgg11-cifar"} {
		net, err := arch.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		anonymous := *net
		anonymous.Layers = nil
		for i, layer := range net.Layers {
			if layer.Op == (arch.Softmax{}) {
				continue
			}
			layer.Name = fmt.Sprint("l", i)
			if linear, ok := layer.Op.(arch.Linear); ok {
				linear.Out += 3
				layer.Op, net.Layers[i].Op = linear, linear
			}
			anonymous.Layers = append(anonymous.Layers, layer)
		}
		e := export(t, name, &anonymous)
		g := &File{Path: e.path}
		if err := g.read(bytes.Replace(readFile(t, e.path), []byte(NetworkNote), []byte("vggo.nothing"), 1)); err != nil {
			t.Fatal(err)
		}
		back, params := fromFile(t, g)
		if !reflect.DeepEqual(back, net) {
			t.Errorf("%s came back as\n%s", name, describe(t, back))
		}
		got := outputOf(t, &arch.Network{Name: "logits", Input: back.Input, Layers: back.Layers[:len(back.Layers)-1]},
			params, e.images)
		if !slices.Equal(got.Data, e.output.Data) {
			t.Errorf("%s: other bits", name)
		}
	}
}

// graph makes a model of nodes "Op name input,input output" on an input x of 1x2x6x6 and weights w: 3x2x3x3.
func graph(nodes ...string) *onnx.Model {
	side := func(sizes ...int64) (dims []onnx.Dim) {
		for _, s := range sizes {
			dims = append(dims, onnx.Dim{Size: s})
		}
		return dims
	}
	m := &onnx.Model{Opsets: []onnx.Opset{{Version: 13}}}
	m.Graph.Inputs = []onnx.Value{{Name: "x", Type: onnx.FLOAT, Shaped: true, Dims: side(1, 2, 6, 6)}}
	for name, dims := range map[string][]int{"w": {3, 2, 3, 3}, "v": {4, 72}, "m": {72, 4}, "one": {1}, "three": {3},
		"four": {4}, "column": {1, 3, 1, 1}} {
		raw := make([]byte, 4*product(dims))
		m.Graph.Initializers = append(m.Graph.Initializers, *onnx.NewTensor(name, onnx.FLOAT, dims, raw))
	}
	for name, ints := range map[string][]int64{"flat": {1, -1}, "other": {5, -1}, "nine": {9}, "two": {-1, -1}} {
		var raw []byte
		for _, v := range ints {
			for i := range 8 {
				raw = append(raw, byte(v>>(8*i)))
			}
		}
		m.Graph.Initializers = append(m.Graph.Initializers, *onnx.NewTensor(name, onnx.INT64, []int{len(ints)}, raw))
	}
	out := "x"
	for _, n := range nodes {
		f := strings.Fields(n)
		node := onnx.Node{Op: f[0], Name: f[1], Inputs: strings.Split(f[2], ","), Outputs: strings.Split(f[3], ",")}
		for _, a := range f[4:] {
			name, value, _ := strings.Cut(a, "=")
			x := onnx.Attribute{Name: name, Kind: onnx.Text, Text: value}
			var v int64
			if _, err := fmt.Sscan(value, &v); err == nil {
				x = onnx.Attribute{Name: name, Kind: onnx.Int, Int: v}
			}
			if strings.HasPrefix(value, "[") {
				x = onnx.Attribute{Name: name, Kind: onnx.Ints}
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
	m.Graph.Outputs = []onnx.Value{{Name: out, Type: onnx.FLOAT}}
	return m
}

// TestONNXGraphs follows graphs that are chains, and says of others why they are none.
func TestONNXGraphs(t *testing.T) {
	for _, c := range []struct {
		what, want string // the layers, or what the error says
		model      *onnx.Model
	}{
		{"pad taken in", "conv 3x3/2 pad 1,1,0,0 no bias", graph("Pad p x,pads y mode=constant",
			"Conv c y,w z strides=[2,2]")},
		{"pad into average", "avgpool 3x3 pad 1,1,0,0", graph("Pad p x,pads y", "AveragePool a y z kernel_shape=[3,3]")},
		{"pad and relu", `Relu r: it follows Pad p, which only a convolution or average pooling`,
			graph("Pad p x,pads y", "Relu r y z")},
		{"pad at the end", "Pad p: no convolution or average pooling takes it in", graph("Relu r x y", "Pad p y,pads z")},
		{"reflected", "mode reflect: only zeros", graph("Pad p x,pads y mode=reflect")},
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
		{"types", "relu", graph("Cast c x y to=10", "Relu r y z")},

		{"picked from single pixels", "globalavgpool, relu", graph("GlobalAveragePool p x y", "Gather g y,zero z axis=3",
			"Gather h z,zero a axis=2", "Relu r a b")},
		{"picked from several", "Gather g: it picks from its input", graph("Gather g x,zero y axis=1")},
		{"turned", "Slice s: no layer computes it of pictures or maps", graph("Slice s x,minus,minus y")},

		{"mean of channels", "ReduceMean p: it is over other axes than rows and columns",
			graph("Relu q x y", "ReduceMean p y z axes=[1]")},
		{"mean of rows", "ReduceMean p: it is over other axes than rows and columns",
			graph("Conv c x,w y", "ReduceMean p y z axes=[2]")},
		{"mean of all", "ReduceMean p: it is over all axes", graph("ReduceMean p x y")},
		{"by a constant", "Div d: it divides a constant by its input", graph("Relu r x y", "Div d one,y z")},
		{"behind logarithms", "Relu r: it follows LogSoftmax s, whose logarithms are read at a network's end alone",
			graph("LogSoftmax s x y axis=1", "Relu r y z")},
		{"types of integers", "Cast c: it makes ONNX's type 6 of its input", graph("Cast c x y to=6")},
		{"an attribute that nobody reads", "Conv c: its attribute activation is not understood",
			graph("Conv c x,w y activation=Relu")},
		{"two unsupported", "nodes that no layer computes: Elu (s); HardSwish (c)", graph("Elu s x y", "HardSwish c y z")},
		{"limits, and an unsupported one", "no layer computes: Clip, since it cuts off at 0: only what is below 0 is cut " +
			"off, by a ReLU (c, d); Elu (e)",
			graph("Clip c x,one,one y", "Elu e y z", "Clip d z,one,one a")},
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
		{"a foreign domain", "com.microsoft.Relu (r)", func() *onnx.Model {
			m := graph("Relu r x y")
			m.Graph.Nodes[0].Domain = "com.microsoft"
			return m
		}()},
	} {
		t.Run(c.what, func(t *testing.T) {
			ints := map[string][]int64{"pads": {0, 0, 1, 1, 0, 0, 0, 0}, "places": {0, 3, -1}, "minus": {-1}, "zero": nil}
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
				c.model.Graph.Initializers = append(c.model.Graph.Initializers, *onnx.NewTensor(name, onnx.INT64, dims, raw))
			}
			chain, err := followONNX("model.onnx", c.model, nil, arch.Shape{})
			if err != nil {
				if !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "model.onnx: ") {
					t.Errorf("%v, want %q", err, c.want)
				}
				return
			}
			net := chain.plain()
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

// TestONNXInputs: what the graph's input may be.
func TestONNXInputs(t *testing.T) {
	dims := func(sizes ...int64) (list []onnx.Dim) {
		for _, s := range sizes {
			list = append(list, onnx.Dim{Size: s})
		}
		return list
	}
	for _, c := range []struct {
		what, want string
		change     func(m *onnx.Model)
	}{
		{"any batch", "", func(m *onnx.Model) { m.Graph.Inputs[0].Dims = dims(-1, 2, 6, 6) }},
		{"any size", "does not say the shape", func(m *onnx.Model) { m.Graph.Inputs[0].Dims = dims(-1, 2, -1, -1) }},
		{"listed weights", "", func(m *onnx.Model) {
			m.Graph.Inputs = append(m.Graph.Inputs, onnx.Value{Name: "w", Type: onnx.FLOAT, Shaped: true,
				Dims: dims(3, 2, 3, 3)})
		}},
		{"any channels", "does not say how many channels", func(m *onnx.Model) {
			m.Graph.Inputs[0].Dims = dims(-1,
				-1, 6, 6)
		}},
		{"no shape", "does not say the shape", func(m *onnx.Model) { m.Graph.Inputs[0].Shaped = false }},
		{"a side of zero", "a side of 0", func(m *onnx.Model) { m.Graph.Inputs[0].Dims = dims(1, 2, 0, 6) }},
		{"too large", "is too large", func(m *onnx.Model) { m.Graph.Inputs[0].Dims = dims(1, 2, 1<<24, 1<<24) }},
		{"integers", "of ONNX's type 7", func(m *onnx.Model) { m.Graph.Inputs[0].Type = onnx.INT64 }},
		{"two", "inputs x and z", func(m *onnx.Model) {
			m.Graph.Inputs = append(m.Graph.Inputs, onnx.Value{Name: "z", Type: onnx.FLOAT})
		}},
		{"none", "the graph has no input", func(m *onnx.Model) { m.Graph.Inputs = nil }},
		{"no output", "the graph has no output", func(m *onnx.Model) { m.Graph.Outputs = nil }},
		{"old", "opset 6 is older than 7", func(m *onnx.Model) { m.Opsets[0].Version = 6 }},
		{"new", "opset 99 is newer than 26", func(m *onnx.Model) { m.Opsets[0].Version = 99 }},
		{"no opset", "opset 0 is older", func(m *onnx.Model) { m.Opsets[0].Domain = "ai.onnx.ml" }},
		{"sparse", "sparse initializers", func(m *onnx.Model) { m.Graph.Sparse = true }},
		{"constant output", "output w does not depend on its input", func(m *onnx.Model) { m.Graph.Outputs[0].Name = "w" }},
	} {
		m := graph("Conv c x,w y", "Relu r y z")
		c.change(m)
		_, err := followONNX("model.onnx", m, nil, arch.Shape{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}

// TestONNXExternalData: values beside the model are read, files elsewhere are not.
func TestONNXExternalData(t *testing.T) {
	model, values := readFile(t, "testdata/onnx/external.onnx"), readFile(t, "testdata/onnx/external.bin")
	good := []byte("external.bin")
	_, err := os.Stat(filepath.Join(t.TempDir(), "missing"))
	missing := err.(*fs.PathError).Err.Error() // in the system's words
	for _, c := range []struct {
		what, location, want string
		prepare              func(t *testing.T, folder string)
	}{
		{"good", "external.bin", "", nil},
		{"a folder down", "external/bin", "", nil},
		{"a folder up", "../ternal.bi", "no path within the model's folder", nil},
		{"up from below", "a/../../bi.x", "no path within the model's folder", nil},
		{"absolute", "/etc/passwd\x20", "no path within the model's folder", nil},
		{"by a backslash", "a\\ternal.bin", "no path within the model's folder", nil},
		{"none", "another0.bin", missing, func(t *testing.T, folder string) {}},
		{"cut", "external.bin", "the tensor's end at", func(t *testing.T, folder string) {
			write(t, filepath.Join(folder, "external.bin"), values[:len(values)-1])
		}},
		{"a link out of the folder", "external.bin", "escapes", func(t *testing.T, folder string) {
			outside := filepath.Join(t.TempDir(), "values")
			write(t, outside, values)
			link := filepath.Join(folder, "external.bin")
			if err := os.Symlink(outside, link); err != nil {
				t.Skip(err)
			}
			if _, err := os.Stat(link); err != nil {
				t.Skip("this system makes links that it does not follow:", err)
			}
		}},
		{"a folder", "external.bin", "not a plain file", func(t *testing.T, folder string) {
			if err := os.Mkdir(filepath.Join(folder, "external.bin"), 0o755); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			folder := t.TempDir()
			if c.prepare != nil {
				c.prepare(t, folder)
			} else if filepath.IsLocal(c.location) {
				write(t, filepath.Join(folder, filepath.FromSlash(c.location)), values)
			}
			path := filepath.Join(folder, "model.onnx")
			write(t, path, bytes.ReplaceAll(model, good, []byte(c.location)))
			f, err := Open(path)
			if err == nil {
				defer f.Close()
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestONNXTruncated cuts a good file at every byte: no cut may open.
func TestONNXTruncated(t *testing.T) {
	whole := readFile(t, "testdata/onnx/batchnorm.onnx")
	for n := range whole {
		f := &File{Path: "cut.onnx"}
		err := f.read(whole[:n])
		if err == nil {
			t.Fatalf("a file cut at byte %d of %d opened", n, len(whole))
		}
		var fault *FormatError
		if errors.As(err, &fault) && (fault.Offset < 0 || fault.Offset > int64(n)) {
			t.Errorf("cut at byte %d: %v is not within the file", n, err)
		}
	}
}

// TestONNXMemory: files made to take memory are refused before they take more than a few times 64 MB.
func TestONNXMemory(t *testing.T) {
	// repeated is a model whose graph is one field again and again.
	repeated := func(field []byte, n int) []byte {
		body := bytes.Repeat(field, n)
		head := []byte{0x08, 7, 0x3a}
		for v := len(body); ; v >>= 7 {
			if v < 0x80 {
				return slices.Concat(head, []byte{byte(v)}, body)
			}
			head = append(head, byte(v)|0x80)
		}
	}
	for what, data := range map[string][]byte{
		"empty nodes":        repeated([]byte{0x0a, 0}, 8<<20),
		"empty tensors":      repeated([]byte{0x2a, 0}, 8<<20),
		"empty inputs":       repeated([]byte{0x5a, 0}, 8<<20),
		"nodes of no inputs": repeated([]byte{0x0a, 4, 0x0a, 0, 0x0a, 0}, 4<<20),
		"empty attributes":   repeated([]byte{0x0a, 4, 0x2a, 0, 0x2a, 0}, 4<<20),
		// packed
		"an attribute of numbers": repeated(slices.Concat([]byte{0x0a, 0x84, 0x80, 0x80, 0x01, 0x2a, 0x80, 0x80, 0x80, 0x01,
			0x42, 0xfc, 0xff, 0x7f},
			make([]byte, 2<<20-4)), 16),
	} {
		f := &File{Path: "large.onnx"}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := f.read(data)
		runtime.ReadMemStats(&after)
		var fault *FormatError
		if !errors.As(err, &fault) {
			t.Errorf("%s: %v", what, err)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 256 {
			t.Errorf("%s: %d MB were taken", what, took)
		}
	}
}

// FuzzONNX: whatever a file is, it is refused or it is a network with all its parameters.
func FuzzONNX(f *testing.F) {
	files, err := filepath.Glob("testdata/onnx/small/*.onnx")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !onnx.IsModel(data) {
			t.Skip()
		}
		f := &File{Path: "testdata/onnx/small/fuzz.onnx"}
		err := f.read(data)
		defer f.Close()
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 20000 {
				t.Errorf("%q", err)
			}
			return
		}
		net, err := f.Network()
		if err != nil {
			t.Fatal(err)
		}
		placed, err := net.Place(net.Input)
		if err != nil {
			t.Fatal(err)
		}
		matched, err := Match(f, placed.Layers)
		if err != nil {
			t.Fatal(err)
		}
		for _, layer := range placed.Layers {
			for _, p := range layer.Params {
				values, err := matched.Param(p)
				if err == nil && len(values) != p.Count() {
					t.Fatalf("%s has %d values, not %d", p.Name, len(values), p.Count())
				}
				if p.Count() > maxRepeated && p.Count() > 8*len(data) {
					t.Fatalf("%d values of %d bytes", p.Count(), len(data))
				}
			}
		}
	})
}
