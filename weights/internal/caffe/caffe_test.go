package caffe

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/format/formattest"
)

func TestHostile(t *testing.T) {
	formattest.Hostile(t, Reader, formattest.File(t, "caffe-v1.caffemodel"))
	formattest.Hostile(t, Reader, formattest.File(t, "caffe-v2.caffemodel"))
	formattest.Hostile(t, texts, formattest.File(t, "caffe.prototxt"))
}

func FuzzCaffe(f *testing.F) {
	formattest.Fuzz(f, Reader, "caffe-v1.caffemodel", "caffe-v2.caffemodel")
}

func FuzzPrototxt(f *testing.F) { formattest.Fuzz(f, texts, "caffe.prototxt") }

// texts reads a .prototxt as if it were a file of weights.
var texts = format.Reader{
	Knows: func(in *format.Input) bool { return isPrototxt(in.Data) },
	Read:  func(in *format.Input) (*format.Contents, error) { return readText(in.Data) },
}

func TestLayers(t *testing.T) {
	const head = `input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8 `
	layer := func(kind, settings string) string {
		return head + `layer { name: "x" type: "` + kind + `" bottom: "data" top: "x" ` + settings + " }"
	}
	for _, c := range []struct{ text, want string }{
		{layer("PReLU", ""), `of type "PReLU"`},
		{layer("ReLU", "relu_param { negative_slope: 0.1 }"), "negative slope of 0.1"},
		{layer("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 }"), `pooling by "STOCHASTIC"`},
		{layer("Pooling", "pooling_param { pool: MAX global_pooling: true }"), "maximum of whole maps"},
		{layer("Pooling", "pooling_param { kernel_size: 1 stride: 3 }"), "beyond the map"},
		{layer("LRN", "lrn_param { norm_region: WITHIN_CHANNEL }"), "within a channel"},
		{layer("Softmax", "softmax_param { axis: 2 }"), "another axis"},
		{layer("Scale", ""), "not a batch norm's"},
		{layer("InnerProduct", "inner_product_param { num_output: 2 axis: 2 }"), "other axes"},
		{layer("Convolution", "convolution_param { num_output: 0 kernel_size: 3 }"), "x"},
		{layer("ReLU", "") + `layer { name: "y" type: "ReLU" bottom: "data" top: "y" }`, `reads "data"`},
		{head + `layer { name: "x" type: "ReLU" }`, "reads nothing"},
	} {
		contents, err := readText([]byte(c.text))
		if err != nil || contents.Unrunnable == nil || !strings.Contains(contents.Unrunnable.Error(), c.want) {
			t.Errorf("%s: %v, %+v, want %q", c.text, err, contents, c.want)
		}
	}
}

// A network as it is trained: labels are split, and beside the loss may stand what ends the network when it is run.
func TestTrained(t *testing.T) {
	const body = `layer { name: "data" type: "Data" top: "data" top: "label"
			memory_data_param { channels: 3 height: 8 width: 8 } }
		layer { name: "labels" type: "Split" bottom: "label" top: "label_0" top: "label_1" }
		layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }
		layer { name: "fcs" type: "Split" bottom: "fc" top: "fc_0" top: "fc_1" }
		layer { name: "accuracy" type: "Accuracy" bottom: "fc_1" bottom: "label_1" top: "accuracy" }
		layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc_0" bottom: "label_0" top: "loss" }`
	for text, want := range map[string]string{
		body: "flatten fc loss",
		body + `layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }`: "flatten fc prob",
	} {
		contents, err := readText([]byte(text))
		if err != nil || contents.Network == nil {
			t.Fatal(err, contents)
		}
		var names []string
		for _, layer := range contents.Network.Network.Layers {
			names = append(names, layer.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}

// Pictures are prepared as for a test, wherever the layer for training stands.
func TestPhases(t *testing.T) {
	data := func(phase, scale string) string {
		return `layer { name: "` + phase + `" type: "Data" top: "data" include { phase: ` + phase + ` }
			transform_param { scale: ` + scale + ` } memory_data_param { channels: 3 height: 8 width: 8 } } `
	}
	const fc = `layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }`
	train, test := data("TRAIN", "0.5"), data("TEST", "0.25")
	for text, want := range map[string]float32{train + test + fc: 4, test + train + fc: 4, train + fc: 2} {
		contents, err := readText([]byte(text))
		if err != nil || contents.Pictures == nil || contents.Pictures.Std[0] != want {
			t.Errorf("%s: %v, %+v, want a deviation of %v", text, err, contents.Pictures, want)
		}
	}
}

func TestText(t *testing.T) {
	for _, broken := range []string{"layer", "layer {", "layer { name }", `layer { name: "x }`, "layer: [", "layer: [1",
		"a: }",
		": 1", "layer { name: 'x\n' }", strings.Repeat("a {", 1000), "a: [{}", "}"} {
		if _, err := parse([]byte(broken)); err == nil {
			t.Errorf("%q: no error", broken)
		}
	}
	m, err := parse([]byte("a: 1 a: -2.5e1, b < c: true > d: [X, Y]; e: 'it\\'s' # layer {\n f: [] "))
	if err == nil {
		t.Error("an empty list is none of text format's values:", m)
	}
	m, err = parse([]byte("a: 1 a: -2.5e1, b < c: true > d: [X, Y]; e: 'it' # layer {\n"))
	if err != nil || m.Number("a", 0) != -25 || len(m["a"]) != 2 || m.Message("b").Number("c", 0) != 1 ||
		strings.Join(m.Texts("d"), " ") != "X Y" || m.Text("e") != "it" {
		t.Error(m, err)
	}
}

// field is one of bytes.
func field(number protowire.Number, parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), all)
}

func varint(number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), v)
}

func TestLies(t *testing.T) {
	model := func(blob ...[]byte) []byte {
		return field(100, field(1, []byte("x")), field(2, []byte("InnerProduct")), field(7, blob...))
	}
	values := field(5, make([]byte, 16))
	shape := func(dims ...uint64) []byte {
		var list []byte
		for _, d := range dims {
			list = append(list, varint(1, d)...)
		}
		return field(7, list)
	}
	for name, data := range map[string][]byte{
		"a shape that overflows": model(shape(1<<40, 1<<40), values),
		"more than its values":   model(shape(5), values),
		"fewer than its values":  model(shape(3), values),
		"a negative side":        model(shape(1<<64-4, 1<<64-1), values),
		"values that are unpacked": model(shape(1), protowire.AppendFixed32(protowire.AppendTag(nil, 5,
			protowire.Fixed32Type), 0)),
		"a text for a message": field(100, field(1, []byte("x")), field(2, []byte("ReLU")), varint(7, 1)),
		"names twice":          append(model(shape(4), values), model(shape(4), values)...),
	} {
		in := formattest.Bytes("x.caffemodel", data)
		if !Reader.Knows(in) {
			t.Errorf("%s: it is not known", name)
		}
		if _, err := Reader.Read(in); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A text beside a model counts only if it has the model's layers.
func TestBeside(t *testing.T) {
	in := formattest.File(t, "caffe-v1.caffemodel")
	files := in.Beside
	in.Beside = func(name string) ([]byte, error) {
		if name == "caffe-v1.prototxt" {
			return []byte(`layer { name: "other" type: "Convolution" }`), nil
		}
		if name == "deploy.prototxt" {
			return files("caffe.prototxt")
		}
		return files(name)
	}
	c, err := Reader.Read(in)
	if err != nil || c.Network == nil || c.Network.Network.Input.H != 9 {
		t.Fatal(c, err)
	}
	in.Beside = formattest.Bytes("", nil).Beside // else the size follows from what fc1 reads: the smallest that fits
	if c, err = Reader.Read(in); err != nil || c.Sized == nil || c.Network == nil {
		t.Fatal(c, err)
	}
	guessed := c.Network.Network.Input
	asked := arch.Shape{C: guessed.C, H: guessed.H + 1, W: guessed.W + 1} // which whoever trained it may know
	if net, err := c.Sized(asked); err != nil || net.Network.Input != asked {
		t.Error(net, err)
	}
}
