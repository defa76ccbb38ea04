package weights

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/weights/internal/format"
)

// formatGolden is testdata/formats/golden.json: what the network of the other files answers.
type formatGolden struct {
	Picture []float32
	Logits  []float64
}

func readGolden(t *testing.T) (golden formatGolden) {
	t.Helper()
	text, err := os.ReadFile("testdata/formats/golden.json")
	if err == nil {
		err = json.Unmarshal(text, &golden)
	}
	if err != nil {
		t.Fatal(err)
	}
	return golden
}

// answerOf are the logits of a file's network for a picture.
func answerOf(t *testing.T, f *File, picture []float32) []float32 {
	t.Helper()
	placed, err := f.Resolve(Asked{Input: arch.Shape{C: 3, H: 9, W: 9}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Match(f, placed.Layers)
	if err != nil {
		t.Fatal(err)
	}
	params := nn.NewParams(placed)
	if err := params.Load(m.Param); err != nil {
		t.Fatal(err)
	}
	in := tensor.New(1, 3, 9, 9)
	copy(in.Data, picture)
	plan, err := nn.Compile(placed, params, nn.Options{Batch: 1, Algo: nn.Direct})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	if err := plan.Forward(in); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(plan.Logits().Data)
}

// TestForeignFormats: the network that each library's file describes, with its weights, answers as PyTorch does.
func TestForeignFormats(t *testing.T) {
	golden := readGolden(t)
	for _, c := range []struct{ file, format string }{
		{"matconvnet.mat", "MatConvNet"}, {"matconvnet-old.mat", "MatConvNet"}, {"matconvnet-7.3.mat", "MatConvNet"},
		{"caffe-v1.caffemodel", "Caffe"}, {"caffe-v2.caffemodel", "Caffe"}, {"torch7.t7", "Torch7"},
		{"darknet.weights", "Darknet"}, {"tf-frozen.pb", "TensorFlow"}, {"tf-saved", "TensorFlow"},
	} {
		t.Run(c.file, func(t *testing.T) {
			f := open(t, filepath.Join("testdata/formats", c.file))
			if f.Format != c.format {
				t.Errorf("format %s, want %s", f.Format, c.format)
			}
			got := answerOf(t, f, golden.Picture)
			for i, want := range golden.Logits {
				if !(math.Abs(float64(got[i])-want) < 1e-5) {
					t.Fatalf("logits %v, want %v", got, golden.Logits)
				}
			}
		})
	}
}

// realFolder is where the real files of other libraries are.
func realFolder(t *testing.T) string {
	t.Helper()
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: no real files of other libraries are opened")
	}
	return filepath.Join(root, "formats/real")
}

// TestRealFilesOpen: every file of the formats opens, but for those that hold no weights.
func TestRealFilesOpen(t *testing.T) {
	refused := map[string]string{
		"det1.prototxt":    "a network's description without weights",
		"det1-symbol.json": "no weights but JSON",
		"LICENSE":          "no format that vggo reads",
	}
	opened := 0
	for _, folder := range []string{"caffe-cifar10", "mat", "mxnet-caffe", "npy", "t7", "tf-v1"} {
		files, err := os.ReadDir(filepath.Join(realFolder(t), folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			f, err := Open(filepath.Join(realFolder(t), folder, file.Name()))
			if why := refused[file.Name()]; why != "" {
				if err == nil || !strings.Contains(err.Error(), why) {
					t.Errorf("%s: %v, want %q", file.Name(), err, why)
				}
				continue
			}
			if err != nil {
				t.Error(err)
				continue
			}
			opened++
			for _, name := range f.Names() {
				if tensor, err := f.Tensor(name); err != nil && tensor.DType.HoldsWeights() {
					t.Error(err)
				}
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if opened != 25 {
		t.Errorf("%d files opened, want 25", opened)
	}
}

// TestOneNetworkOfThree: MTCNN's first network as caffe-tensorflow, Caffe and MXNet have it. The first two hold the
// same numbers; who converted the third swapped rows and columns and turned the first layer, which is left as it is.
func TestOneNetworkOfThree(t *testing.T) {
	array := open(t, filepath.Join(realFolder(t), "npy/det1.npy"))
	model := open(t, filepath.Join(realFolder(t), "mxnet-caffe/det1.caffemodel"))
	params := open(t, filepath.Join(realFolder(t), "mxnet-caffe/det1-0001.params"))
	get := func(f *File, name string) Tensor {
		v, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, layer := range []string{"conv1", "conv2", "conv3", "conv4-1", "conv4-2"} {
		w := get(model, layer+".weight") // O,I,H,W
		hwio := get(array, layer+".weights")
		mxnet := get(params, strings.ReplaceAll(layer, "-", "_")+"_weight")
		if !slices.Equal(mxnet.Shape, w.Shape) {
			t.Fatalf("%s: %v, not %v", layer, mxnet.Shape, w.Shape)
		}
		o, i, h, wide := w.Shape[0], w.Shape[1], w.Shape[2], w.Shape[3]
		for n, v := range w.Data {
			x, y, in, out := n%wide, n/wide%h, n/wide/h%i, n/wide/h/i
			if got := hwio.Data[((y*wide+x)*i+in)*o+out]; got != v {
				t.Fatalf("%s: NumPy's is %v, Caffe's %v", layer, got, v)
			}
			if layer == "conv1" {
				in = i - 1 - in
			}
			if got := mxnet.Data[((out*i+in)*wide+x)*h+y]; got != v {
				t.Fatalf("%s: MXNet's is %v, Caffe's %v", layer, got, v)
			}
		}
		b := get(model, layer+".bias")
		if !slices.Equal(b.Data, get(array, layer+".biases").Data) ||
			!slices.Equal(b.Data, get(params, strings.ReplaceAll(layer, "-", "_")+"_bias").Data) {
			t.Errorf("%s: the biases differ", layer)
		}
	}
	var unreadable *UnreadableError
	if _, err := model.Network(); !errors.As(err, &unreadable) || !strings.Contains(err.Error(), "PReLU1") {
		t.Errorf("%v", err)
	}
}

// TestForeignPictures: what files state of their pictures and classes.
func TestForeignPictures(t *testing.T) {
	names := `["one","two","three","four","five"]`
	for _, c := range []struct {
		file, order, classes string
		mean                 []float32
	}{
		{"matconvnet.mat", "RGB", names, []float32{1, 2, 3}}, {"matconvnet-old.mat", "RGB", names, []float32{1, 2, 3}},
		{"matconvnet-7.3.mat", "RGB", names, []float32{1, 2, 3}}, {"caffe-v2.caffemodel", "BGR", "", []float32{1, 2, 3}},
	} {
		f := open(t, filepath.Join("testdata/formats", c.file))
		p := f.contents.Pictures
		if p == nil || !p.Bytes || p.Order != c.order || !slices.Equal(p.Mean, c.mean) ||
			f.Metadata[ClassesNote] != c.classes {
			t.Errorf("%s: %+v, classes %s", c.file, p, f.Metadata[ClassesNote])
		}
	}
}

// TestUntrained: a description without numbers is no network's weights, and not zeros.
func TestUntrained(t *testing.T) {
	for _, file := range []string{"darknet.cfg", "caffe.prototxt"} {
		if _, err := Open(filepath.Join("testdata/formats", file)); err == nil ||
			!strings.Contains(err.Error(), "--model takes it") {
			t.Errorf("%s: %v", file, err)
		}
		net, err := OpenNetwork(filepath.Join("testdata/formats", file))
		if err != nil || net.Input.H != 9 {
			t.Errorf("%s: %v, %v", file, net, err)
		}
	}
	f := open(t, "testdata/formats/caffe-untrained.caffemodel")
	net, err := f.Network()
	if err != nil {
		t.Fatal(err)
	}
	var fault *MatchError
	if _, err := Match(f, net.Layers); !errors.As(err, &fault) || len(fault.Missing) == 0 {
		t.Errorf("%v", err)
	}
}

// TestKernelsThatBecomeRows: a convolution over a whole map is a fully connected layer of the published VGG, but not
// with a layout of four axes, which a row of inputs does not have.
func TestKernelsThatBecomeRows(t *testing.T) {
	place := func(op ...arch.Layer) []arch.Placed {
		return archtest.Place(t, &arch.Network{Name: "net", Input: arch.Shape{C: 3, H: 4, W: 4}, Layers: op}).Layers
	}
	conv := place(arch.Layer{Name: "fc", Op: arch.Conv{Out: 2, Window: arch.Window{Kernel: arch.Square(4)}}})
	linear := place(arch.Layer{Name: "flatten", Op: arch.Flatten{}}, arch.Layer{Name: "fc", Op: arch.Linear{Out: 2}})
	for _, c := range []struct {
		layout format.Layout
		ok     bool
	}{{format.Layout{}, true}, {format.HWIO, false}} {
		n := format.Naming{Source: map[string]format.Source{conv[0].Params[0].Name: {Name: "w", Layout: c.layout},
			conv[0].Params[1].Name: {Name: "b"}}}
		if _, ok := renamed(n, conv, linear); ok != c.ok {
			t.Errorf("axes %v: %t", c.layout.Axes, ok)
		}
	}
}

// TestGraphModels: graph-models of TensorFlow.js answer as TensorFlow.js itself does, quantised ones too.
func TestGraphModels(t *testing.T) {
	const folder = "testdata/formats/tfjs-graph/"
	var answers map[string]struct{ Logits []float64 }
	if err := json.Unmarshal(readFile(t, folder+"answers.json"), &answers); err != nil || len(answers) != 4 {
		t.Fatal(err, answers)
	}
	for name, want := range answers {
		f := open(t, folder+name+".json")
		got := answerOf(t, f, readGolden(t).Picture)
		if f.Format != "TensorFlow.js" || len(got) != len(want.Logits) {
			t.Fatalf("%s: format %s, logits %v", name, f.Format, got)
		}
		for i, w := range want.Logits {
			if !(math.Abs(float64(got[i])-w) < 1e-5) {
				t.Errorf("%s: logits %v, want %v", name, got, want.Logits)
				break
			}
		}
	}
}
