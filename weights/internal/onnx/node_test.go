package onnx

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// notRun lists the ONNX project's node tests that no network of ours computes, by the beginning of their names, with
// the reason and what the import says to it. All others are run.
var notRun = map[string]struct{ reason, says string }{
	"test_add_int16":                       {"integers: networks compute in float32", "of ONNX's type 5"},
	"test_add_int8":                        {"integers: networks compute in float32", "of ONNX's type 3"},
	"test_argmax_":                         {"ArgMax is no layer", "no layer computes: ArgMax"},
	"test_averagepool_1d_":                 {"1-D: maps are 2-D", "3 dimensions: vggo's are 2-D"},
	"test_averagepool_3d_":                 {"3-D: maps are 2-D", "5 dimensions: vggo's are 2-D"},
	"test_batchnorm_epsilon_training_mode": {"training: an import is for inference", "further output output_mean is used"},
	"test_batchnorm_example_training_mode": {"training: an import is for inference", "further output output_mean is used"},
	"test_clip$":                           {"a layer cuts off what is below 0 and nothing else", "it cuts off at 1"},
	"test_clip_default_max":                {"a layer cuts off what is below 0 and nothing else", "it cuts off at 0"},
	"test_clip_example":                    {"a layer cuts off what is below 0 and nothing else", "it cuts off at 1"},
	"test_clip_inbounds":                   {"a layer cuts off what is below 0 and nothing else", "it cuts off at 5"},
	"test_clip_min_greater_than_max":       {"a layer cuts off what is below 0 and nothing else", "it cuts off at 1"},
	"test_clip_outbounds":                  {"a layer cuts off what is below 0 and nothing else", "it cuts off at 5"},
	"test_clip_splitbounds":                {"a layer cuts off what is below 0 and nothing else", "it cuts off at 5"},
	"test_clip_default_int8_":              {"integers: networks compute in float32", "of ONNX's type 3"},
	"test_identity_opt":                    {"an optional sequence, no tensor", "of ONNX's type 0"},
	"test_identity_sequence":               {"a sequence, no tensor", "of ONNX's type 0"},
	"test_maxpool_1d_":                     {"1-D: maps are 2-D", "3 dimensions: vggo's are 2-D"},
	"test_maxpool_2d_uint8":                {"integers: networks compute in float32", "with the pictures' bytes"},
	"test_maxpool_3d_":                     {"3-D: maps are 2-D", "5 dimensions: vggo's are 2-D"},
	"test_maxpool_with_argmax_": {"its second output is where the maxima are: a layer has one output",
		"further output z is used"},
	"test_reshape_allowzero_reordered": {"an empty tensor: there is nothing to compute", "a side of 0"},
	"test_training_dropout":            {"training: an import is for inference", "exported for training"},
}

// roughly are the tests whose expected output is written to four digits.
var roughly = []string{"test_averagepool_2d_ceil_last_window_starts_on_pad"}

// TestNodes runs the ONNX project's node tests from their own files: imported, planned, and compared.
func TestNodes(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: ONNX's node tests are not run")
	}
	folders, err := filepath.Glob(filepath.Join(root, "onnx", "test_*"))
	if err != nil || len(folders) == 0 {
		t.Fatalf("no tests in %s: %v", root, err)
	}
	used := map[string]bool{}
	run := 0
	for _, folder := range folders {
		name := filepath.Base(folder)
		entry := ""
		for prefix := range notRun {
			if strings.HasPrefix(name+"$", prefix) && len(prefix) > len(entry) { // $ ends a whole name
				entry = prefix
			}
		}
		used[entry] = true
		t.Run(name, func(t *testing.T) {
			model, given := readNode(t, folder)
			if entry == "" {
				run++
				runNode(t, folder, model, given)
				return
			}
			_, err := follow(model, given, arch.Shape{})
			if err == nil || !strings.Contains(err.Error(), notRun[entry].says) {
				t.Errorf("not run because of %q, but the import says %v", notRun[entry].reason, err)
			}
			if entry == "test_maxpool_with_argmax_" { // the maxima themselves are computed
				model.Graph.Outputs = model.Graph.Outputs[:1]
				runNode(t, folder, model, given)
			}
		})
	}
	for prefix := range notRun {
		if !used[prefix] {
			t.Errorf("no test begins with %s", prefix)
		}
	}
	t.Logf("%d of %d tests run", run, len(folders))
}

// readNode reads a test's model, and its inputs other than the first: weights, most of them.
func readNode(t *testing.T, folder string) (*wire.Model, map[string]*wire.Tensor) {
	data, err := os.ReadFile(filepath.Join(folder, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	model, err := wire.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]*wire.Tensor{}
	for i, v := range model.Graph.Inputs {
		if i > 0 && v.Type != 0 {
			x := readTensor(t, folder, "input", i)
			x.Name = v.Name
			given[v.Name] = x
		}
	}
	return model, given
}

func readTensor(t *testing.T, folder, kind string, i int) *wire.Tensor {
	data, err := os.ReadFile(filepath.Join(folder, "test_data_set_0", fmt.Sprintf("%s_%d.pb", kind, i)))
	if err != nil {
		t.Fatal(err)
	}
	in := func(field protowire.Number, message []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), message)
	}
	model, err := wire.Decode(in(7, in(5, data))) // a graph's initializer
	if err != nil {
		t.Fatal(err)
	}
	return &model.Graph.Initializers[0]
}

func runNode(t *testing.T, folder string, model *wire.Model, given map[string]*wire.Tensor) {
	chain, err := follow(model, given, arch.Shape{})
	if err != nil {
		t.Fatal(err)
	}
	described, err := (&sources{file: &format.List{}}).describe(chain)
	if err != nil {
		t.Fatal(err)
	}
	var list format.List
	for _, tensor := range described.Derived {
		if err := list.Add(tensor); err != nil {
			t.Fatal(err)
		}
	}
	net := described.Network
	placed := archtest.Place(t, net)
	params := nn.NewParams(placed)
	err = params.Load(func(p arch.Param) ([]float32, error) {
		return described.Naming.Source[p.Name].Read(p, func(name string) ([]float32, error) {
			tensor, _ := list.Get(name)
			return tensor.Floats()
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	in := readTensor(t, folder, "input", 0)
	x := floats(t, in)
	batch := chain.placed[0].size()
	plan, err := nn.Compile(archtest.Place(t, net), params, nn.Options{Batch: batch, Algo: nn.Direct})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	images := tensor.New(batch, net.Input.C, net.Input.H, net.Input.W)
	reorder(images.Data, x, concat(chain.placed[:]...), chain.input)
	if err := plan.Forward(images); err != nil {
		t.Fatal(err)
	}
	logits := plan.Logits()
	if ending, _ := placed.Ending(); ending != arch.EndsInLogits {
		logits = plan.Probabilities()
	}
	if chain.log != nil { // the same softmax, of which the graph takes logarithms
		for i, p := range logits.Data {
			logits.Data[i] = float32(math.Log(float64(p)))
		}
	}
	want := readTensor(t, folder, "output", 0)
	got := make([]float32, len(logits.Data))
	reorder(got, logits.Data, concat(chain.dims...), concat(chain.image[:]...))
	for i, side := range chain.sizes() {
		if len(chain.dims) != len(want.Dims) || int(side) != want.Dims[i] {
			t.Fatalf("sides %v, want %v", chain.sizes(), want.Dims)
		}
	}
	expected := floats(t, want)
	if len(expected) != len(got) {
		t.Fatalf("%d values, want %d", len(got), len(expected))
	}
	relative := 1e-5
	if slices.Contains(roughly, filepath.Base(folder)) {
		relative = 1e-3 // what ONNX's own runner allows everywhere
	}
	for i, y := range got {
		if d := math.Abs(float64(y - expected[i])); !(d <= 1e-6+relative*math.Abs(float64(expected[i]))) {
			t.Fatalf("value %d is %v, want %v", i, y, expected[i])
		}
	}
	for i, v := range model.Graph.Outputs[1:] {
		mask := readTensor(t, folder, "output", i+1)
		if all, err := mask.Bytes(); !chain.masks[v.Name] || err != nil || mask.Type != wire.BOOL || slices.Contains(all, 0) {
			t.Errorf("output %s is no mask that is true everywhere", v.Name)
		}
	}
}

func floats(t *testing.T, x *wire.Tensor) []float32 {
	b, err := x.Bytes()
	if err != nil || x.Type != wire.FLOAT {
		t.Fatalf("no float32 tensor: type %d, %v", x.Type, err)
	}
	list := make([]float32, len(b)/4)
	for i := range list {
		list[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return list
}

// reorder copies values that lie in the order of the axes `from` to the order of `to`.
func reorder(dst, src []float32, to, from axes) {
	strides := map[*axis]int{}
	n := 1
	for i := len(from) - 1; i >= 0; i-- {
		strides[from[i]] = n
		n *= from[i].size
	}
	p := &format.View{DType: format.F32}
	for _, x := range to {
		p.Size, p.Stride = append(p.Size, x.size), append(p.Stride, strides[x])
	}
	raw := make([]byte, 0, 4*len(src))
	for _, v := range src {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	for i, at := 0, p.Gather(raw); i < len(dst); i++ {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(at[4*i:]))
	}
}
