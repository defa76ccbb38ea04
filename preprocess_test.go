package vggo_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// colourNet is a small network of colour pictures whose first layer is as wide as VGG's.
const colourNet = "%s:64,M/4"

// written makes a file of random weights for a network whose first layer the caller may change.
func written(t *testing.T, input string, notes map[string]string, change func(w, b []float32)) string {
	t.Helper()
	return writtenBeside(t, input, notes, change, nil)
}

// writtenBeside is written with other tensors beside the network's.
func writtenBeside(t *testing.T, input string, notes map[string]string, change func(w, b []float32),
	beside []weights.Tensor) string {
	t.Helper()
	placed, err := arch.Open(strings.Replace(colourNet, "%s", input, 1))
	if err != nil {
		t.Fatal(err)
	}
	net := placed.Network
	r := rand.New(rand.NewPCG(7, 8))
	var tensors []weights.Tensor
	var first [2][]float32
	for _, layer := range placed.Layers {
		for i, p := range layer.Params {
			data := make([]float32, p.Count())
			for j := range data {
				data[j] = 0.2 * float32(r.NormFloat64())
			}
			if first[i] == nil {
				first[i] = data
			}
			tensors = append(tensors, weights.Tensor{Name: p.Name, Shape: p.Shape, Data: data})
		}
	}
	if change != nil {
		change(first[0], first[1])
	}
	var description bytes.Buffer
	if err := net.EncodeJSON(&description); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{weights.NetworkNote: description.String()}
	for k, v := range notes {
		all[k] = v
	}
	path := filepath.Join(t.TempDir(), "net.safetensors")
	if err := weights.Write(path, append(tensors, beside...), all); err != nil {
		t.Fatal(err)
	}
	return path
}

// authors16 puts what is known of the authors' VGG-16 into a first layer, blue first or red first.
func authors16(red bool) func(w, b []float32) {
	return func(w, b []float32) {
		blue, first := 0, 18
		if red {
			blue, first = 18, 0
		}
		copy(w[blue:], []float32{.42947057, .373467, -.061360113, .27476987, .038680777, -.36722335, -.05746817, -.26224968,
			-.35009676})
		w[first] = .4800154
		copy(b, []float32{.73429835, .093403675})
	}
}

// TestPreparation: what decides how pictures become the input, in its order, with its reason.
func TestPreparation(t *testing.T) {
	note := func(p vision.Preprocess, guess bool) map[string]string {
		text, err := json.Marshal(vggo.Preparation{Preprocess: p, Reason: "somebody said so", Guess: guess}.Told())
		if err != nil {
			t.Fatal(err)
		}
		return map[string]string{weights.PreprocessNote: string(text)}
	}
	for _, c := range []struct {
		what   string
		input  string
		notes  map[string]string
		first  func(w, b []float32)
		asked  vision.PreprocessParts
		name   string
		order  vision.Order
		reason string // a part
		guess  bool
	}{
		{what: "nothing, small", input: "32x32x3", name: "unit", reason: "nothing tells", guess: true},
		{what: "nothing, large", input: "128x128x3", name: "imagenet", reason: "nothing tells", guess: true},
		{what: "nothing, grey", input: "128x128x1", name: "unit", reason: "grey", guess: true},
		{what: "a note", input: "32x32x3", notes: note(vision.CIFAR10(32, 32, 3), false), name: "cifar10",
			reason: "notes it"},
		{what: "a note of a grey network", input: "28x28x1", notes: note(vision.FashionMNIST(28, 28, 1), false),
			name: "fashion-mnist", reason: "notes it"},
		{what: "an old note of a grey network", input: "28x28x1",
			notes: map[string]string{weights.RecipeNote: "fashion-mnist"}, name: "fashion-mnist", reason: "notes it"},
		{what: "a note of a guess", input: "32x32x3", notes: note(vision.CIFAR10(32, 32, 3), true), name: "cifar10",
			reason: "somebody", guess: true},
		{what: "an old note of turned weights", input: "32x32x3", notes: map[string]string{weights.RecipeNote: "caffe"},
			name: "caffe-rgb", order: vision.RGB, reason: "notes it"},
		{what: "the authors' first layer", input: "32x32x3", first: authors16(false), name: "caffe", order: vision.BGR,
			reason: "the first layer is that of VGG-16 of the paper's authors, as published"},
		{what: "the authors' first layer, turned", input: "32x32x3", first: authors16(true), name: "caffe-rgb",
			reason: "its channels turned"},
		{what: "a descendant", input: "32x32x3", first: func(w, b []float32) { authors16(false)(w, b); w[0] += 0.1 },
			name: "caffe", order: vision.BGR, reason: "% away from that of VGG-16", guess: true},
		{what: "a note before the first layer", input: "32x32x3", notes: note(vision.Unit(32, 32, 3), false),
			first: authors16(false), name: "unit", reason: "notes it"},
		{what: "small weights", input: "32x32x3", first: func(w, b []float32) { scale(w, 0.01) }, name: "caffe",
			order: vision.BGR, reason: "samples of 0 to 255", guess: true},
		{what: "asked for", input: "32x32x3", first: authors16(false), asked: vision.PreprocessParts{Base: "unit"},
			name: "unit", reason: "asked for"},
		{what: "asked for caffe, turned", input: "32x32x3", first: authors16(true),
			asked: vision.PreprocessParts{Base: "caffe"}, name: "caffe-rgb", reason: "red first since"},
		{what: "asked for caffe in BGR, turned", input: "32x32x3", first: authors16(true),
			asked: vision.PreprocessParts{Base: "caffe", Order: "bgr"}, name: "caffe with own channel order", order: vision.BGR,
			reason: "asked for"},
		{what: "a part asked for", input: "32x32x3", first: authors16(true), asked: vision.PreprocessParts{Order: "bgr"},
			name: "caffe-rgb with own channel order", order: vision.BGR, reason: "as asked, and else the first layer"},
	} {
		m, err := vggo.Open(written(t, c.input, c.notes, c.first), vggo.Options{Preprocess: c.asked})
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		p := m.Preprocess
		if p.Name != c.name || p.Order != c.order || !strings.Contains(p.Reason, c.reason) || p.Guess != c.guess {
			t.Errorf("%s: %v, order %v", c.what, p, p.Order)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	kept := func(mean, std float32) []weights.Tensor {
		return []weights.Tensor{{Name: "norm.mean", Shape: []int{1, 3, 1, 1}, Data: []float32{mean, mean, mean}},
			{Name: "norm.std", Shape: []int{3, 1, 1}, Data: []float32{std, std, std}}}
	}
	for _, c := range []struct {
		what   string
		beside []weights.Tensor
		want   string
	}{
		{"of samples of 0 to 1", kept(.5, .25), "samples 0..1 less 0.5, divided by 0.25"},
		{"of samples of 0 to 255", kept(120, 60), "samples 0..255 less 120, divided by 60"},
		{"in Caffe's order", []weights.Tensor{{Name: "pixel_mean", Shape: []int{3}, Data: []float32{103.53, 116.28, 123.675}},
			{Name: "pixel_std", Shape: []int{3}, Data: []float32{1, 1, 1}}},
			"BGR, shorter side 32, centre 32x32, samples 0..255 less 103.53 116.28 123.675"},
		{"that cannot be", kept(.5, 0), "samples 0..1"},
	} {
		m, err := vggo.Open(writtenBeside(t, "32x32x3", nil, nil, c.beside), vggo.Options{})
		if err != nil {
			t.Errorf("a mean and deviation %s: %v", c.what, err)
			continue
		}
		if got := m.Preprocess.Describe(); !strings.HasSuffix(got, c.want) || !m.Preprocess.Guess {
			t.Errorf("a mean and deviation %s: %s, want %s", c.what, got, c.want)
		}
		m.Close()
	}
	for _, c := range []struct {
		notes map[string]string
		want  string
	}{
		{map[string]string{weights.PreprocessNote: "{"}, "note vggo.preprocess: unexpected EOF"},
		{map[string]string{weights.PreprocessNote: `{"scale": -1}`}, "note vggo.preprocess: scale: -1"},
		{map[string]string{weights.RecipeNote: "best"}, `note vggo.recipe: unknown preprocess "best"`},
	} {
		if m, err := vggo.Open(written(t, "32x32x3", c.notes, nil), vggo.Options{}); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, %v", c.notes, m, err)
		}
	}
}

func scale(w []float32, by float32) {
	for i := range w {
		w[i] *= by
	}
}

// TestRealVGG19 knows the real trained first blocks of VGG-19, which were turned to red first, and turned back to blue
// first.
func TestRealVGG19(t *testing.T) {
	data := os.Getenv("VGGO_TESTDATA")
	if data == "" {
		t.Skip("VGGO_TESTDATA names no folder of real files")
	}
	path := filepath.Join(data, "formats/real/vgg19-block1-3-oihw-rgb.safetensors")
	const blocks = "224x224x3:64,64,M,128,128,M,256,256,256,256,M"
	m, err := vggo.Open(path, vggo.Options{Network: blocks})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if p := m.Preprocess; p.Name != "caffe-rgb" || p.Order != vision.RGB || p.Guess ||
		!strings.Contains(p.Reason, "VGG-19 of the paper's authors, its channels turned") {
		t.Errorf("%v", p)
	}
	for _, asked := range []string{"caffe", "caffe-rgb"} { // whoever knows their name means the same
		same, err := vggo.Open(path, vggo.Options{Network: blocks, Preprocess: vision.PreprocessParts{Base: asked}})
		if err != nil {
			t.Fatal(err)
		}
		if same.Preprocess.Order != vision.RGB || same.Preprocess.Describe() != m.Preprocess.Describe() {
			t.Errorf("%s: %v", asked, same.Preprocess)
		}
		same.Close()
	}
}

// TestPreparationOfLayouts answers with one narrow VGG-16 in other libraries' layouts as PyTorch does, with the
// preparation found by itself.
func TestPreparationOfLayouts(t *testing.T) {
	data := os.Getenv("VGGO_TESTDATA")
	if data == "" {
		t.Skip("VGGO_TESTDATA names no folder of real files")
	}
	folder := filepath.Join(data, "formats/layouts")
	want := readNPZ(t, filepath.Join(folder, "expected.npz"))
	owl, err := vision.DecodeFile(filepath.Join(folder, "owl256.png"), vision.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	const net = "224x224x3:8,8,M,16,16,M,24,24,24,M,32,32,32,M,32,32,32,M"
	for _, c := range []struct {
		file     string
		headless bool
		order    vision.Order
	}{
		{"torchvision-names-bgr.pth", false, vision.BGR},
		{"jcjohnson-classifier-1-4-6-bgr.pth", false, vision.BGR},
		{"pytorch-examples-imagenet.pth.tar", false, vision.BGR},
		{"vgg_conv-bgr.pth", true, vision.BGR},
		{"vgg16-tensorflow-vgg-bgr.npy", false, vision.BGR},
		{"vgg16_weights-frossard-rgb.npz", false, vision.RGB},
		{"vgg16_weights-keras0-th-bgr.h5", false, vision.BGR},
		{"oxford-bgr.onnx", false, vision.BGR},
	} {
		t.Run(c.file, func(t *testing.T) {
			options := vggo.Options{Network: net}
			if !c.headless {
				options.Network += "/48,48,10"
			}
			m, err := vggo.Open(filepath.Join(folder, c.file), options)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			p := m.Preprocess
			if p.Order != c.order || p.Scale != 1 || !p.Guess {
				t.Errorf("prepared by %v, %s", p, p.Describe())
			}
			input, err := m.Prepare(t.Context(), []*vision.Picture{owl})
			if err != nil {
				t.Fatal(err)
			}
			var got *tensor.Tensor
			expected := want["logits"]
			if c.headless {
				expected = want["pool5"]
				got, err = m.Features(t.Context(), "pool5", input)
			} else {
				got, err = m.Forward(t.Context(), input)
			}
			if err != nil {
				t.Fatal(err)
			}
			largest, off := float64(max(slices.Max(expected), -slices.Min(expected))), 0.0
			for i, v := range got.Data {
				off = max(off, math.Abs(float64(v)-float64(expected[i])))
			}
			if off > 1e-5*largest {
				t.Errorf("%.2g of the largest value off", off/largest)
			}
			t.Logf("%v: %.2g off", p, off/largest)
		})
	}
}

func readNPZ(t *testing.T, path string) map[string][]float32 {
	t.Helper()
	f, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	arrays := map[string][]float32{}
	for _, name := range f.Names() {
		array, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		arrays[name] = slices.Clone(array.Data)
	}
	return arrays
}

// TestGraphsPrepare: a graph that begins with a picture's bytes takes samples of 0 to 255, whatever its own figures
// are, and so does one that turns the channels and takes means away that samples of 0 to 1 do not reach. Constants that
// change nothing say nothing.
func TestGraphsPrepare(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		scale        float32
		guess        bool
	}{
		{"bytes", "its input x is of bytes; nothing tells the order of the channels", 1, true},
		{"bytes-prepared", "its input x is of bytes; nothing tells the order of the channels", 1, true},
		{"turned-prepared", "by figures for samples of 0 to 255", 1, false}, {"turned", "nothing tells", 255, true},
		{"idle-preparation", "nothing tells", 255, true},
	} {
		name := c.name
		m, err := vggo.Open("weights/testdata/onnx/ends/"+name+".onnx", vggo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		p := m.Preprocess
		if p.Scale != c.scale || p.Order != vision.RGB || len(p.Mean) > 0 && p.Mean[0] != 0 ||
			len(p.Std) > 0 && p.Std[0] != 1 || p.Guess != c.guess || !strings.Contains(p.Reason, c.reason) {
			t.Errorf("%s: prepared as %s: %s", name, p, p.Describe())
		}
	}
}

// TestStatedBeforeTurned: what a file states of its pictures holds although its first layer scales them further.
func TestStatedBeforeTurned(t *testing.T) {
	net := &arch.Network{Name: "turned", Input: arch.Shape{C: 3, H: 8, W: 8}, Layers: []arch.Layer{
		{Name: "turn", Op: arch.Conv{Out: 3, Window: arch.Window{Kernel: arch.Square(1)}}},
		{Name: "pool", Op: arch.GlobalAvgPool{}}, {Name: "prob", Op: arch.Softmax{}}}}
	path := filepath.Join(t.TempDir(), "turned.weights")
	err := weights.WriteDarknet(t.Context(), path, archtest.Place(t, net), func(p arch.Param) ([]float32, error) {
		if p.Role() == "w" {
			return []float32{0, 0, 2, 0, 2, 0, 2, 0, 0}, nil
		}
		return []float32{-1, -1, -1}, nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	config := strings.TrimSuffix(path, ".weights") + ".cfg"
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	for crop, want := range map[string]string{"": "scales and shifts its pictures itself",
		"[crop]\ncrop_height=8\ncrop_width=8\n": "the file states it: [crop]"} {
		before, after, _ := strings.Cut(string(text), "[convolutional]")
		if err := os.WriteFile(config, []byte(before+crop+"[convolutional]"+after), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := vggo.Open(path, vggo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		p := m.Preprocess
		if p.Guess != (crop == "") || !strings.Contains(p.Reason, want) || (crop == "") != (p.Mean[0] == 0) {
			t.Errorf("with %q: %s: %s", crop, p, p.Describe())
		}
		m.Close()
	}
}

// TestBytesOfPublishedWeights: a graph of bytes takes them in the order that published weights tell. Of one that scales
// them first, otherwise than those weights' own pictures, they tell nothing: whoever fine-tuned it may have turned
// them.
func TestBytesOfPublishedWeights(t *testing.T) {
	for _, c := range []struct {
		first func(w, b []float32)
		order vision.Order
		guess bool
		told  string
	}{
		{nil, vision.RGB, true, "its input x is of bytes; nothing tells the order of the channels"},
		{authors16(false), vision.BGR, false, "its input x is of bytes; the first layer is that of VGG-16"},
		{authors16(true), vision.RGB, false, "its channels turned"},
		{func(w, b []float32) { authors16(false)(w, b); w[0] += 0.1 }, vision.BGR, true, "% away from that of VGG-16"},
	} {
		r := rand.New(rand.NewPCG(7, 8))
		w, b := make([]float32, 64*27), make([]float32, 64)
		for i := range w {
			w[i] = 0.2 * float32(r.NormFloat64())
		}
		if c.first != nil {
			c.first(w, b)
		}
		var raw []byte
		for at := range 27 { // rows, columns, in, out
			for o := range 64 {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(w[27*o+9*(at%3)+at/3]))
			}
		}
		for _, v := range b {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
		}
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(1./128))
		scaling := strings.NewReplacer(`["cast", "w"`, `["scaled", "w"`,
			`{"name": "conv"`, `{"name": "scaled", "op": "Mul", "input": ["cast", "s"]}, {"name": "conv"`)
		for _, graph := range []string{bytesGraph, scaling.Replace(bytesGraph)} {
			dir := t.TempDir()
			path := filepath.Join(dir, "model.json")
			for name, data := range map[string][]byte{path: []byte(graph), filepath.Join(dir, "all.bin"): raw} {
				if err := os.WriteFile(name, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			m, err := vggo.Open(path, vggo.Options{})
			if err != nil {
				t.Fatal(err)
			}
			p := m.Preprocess
			if graph != bytesGraph {
				c.order, c.guess, c.told = vision.RGB, true, "its input x is of bytes; nothing tells the order of the channels"
			}
			if p.Order != c.order || p.Guess != c.guess || p.Scale != 1 || slices.Max(p.Mean) != 0 ||
				!strings.Contains(p.Reason, c.told) || (graph != bytesGraph) != strings.Contains(p.Reason, "scales") {
				t.Errorf("%s: %s, a guess: %v", p, p.Describe(), p.Guess)
			}
			m.Close()
		}
	}
}

// bytesGraph is a graph-model of TensorFlow.js whose pictures are bytes.
const bytesGraph = `{"format": "graph-model", "modelTopology": {"node": [
{"name": "x", "op": "Placeholder", "attr": {"dtype": {"type": "DT_UINT8"}, "shape": {"shape": {"dim": [
  {"size": "-1"}, {"size": "8"}, {"size": "8"}, {"size": "3"}]}}}},
{"name": "cast", "op": "Cast", "input": ["x"], "attr": {"SrcT": {"type": "DT_UINT8"}, "DstT": {"type": "DT_FLOAT"}}},
{"name": "w", "op": "Const"}, {"name": "b", "op": "Const"}, {"name": "s", "op": "Const"},
{"name": "conv", "op": "_FusedConv2D", "input": ["cast", "w", "b"], "attr": {"padding": {"s": "U0FNRQ=="},
  "strides": {"list": {"i": ["1", "1", "1", "1"]}}, "fused_ops": {"list": {"s": ["Qmlhc0FkZA==", "UmVsdQ=="]}}}}]},
"weightsManifest": [{"paths": ["all.bin"], "weights": [{"name": "w", "shape": [3, 3, 3, 64], "dtype": "float32"},
  {"name": "b", "shape": [64], "dtype": "float32"}, {"name": "s", "shape": [], "dtype": "float32"}]}]}`
