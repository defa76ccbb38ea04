package vggo

import (
	"context"
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// oneVGG is the network of the files in formats/layouts: a VGG-16 of few channels, as other programs save it.
const oneVGG = "224x224x3:8,8,M,16,16,M,24,24,24,M,32,32,32,M,32,32,32,M/48,48,10"

// layouts are those files, and the order of colours that their first layer reads.
var layouts = []struct {
	file  string
	bgr   bool
	layer string // whose output is compared: of a file without a classifier the last that it has; empty: the logits
	told  bool   // the file tells its network, which is not asked for
}{
	{file: "jcjohnson-classifier-1-4-6-bgr.pth", bgr: true},
	{file: "pytorch-examples-imagenet.pth.tar", bgr: true},
	{file: "torchvision-names-bgr.pth", bgr: true},
	{file: "vgg_conv-bgr.pth", bgr: true, layer: "pool5"},
	{file: "vgg16-tensorflow-vgg-bgr.npy", bgr: true},
	{file: "vgg16_weights-frossard-rgb.npz"},
	{file: "vgg16-lasagne-bgr.pkl", bgr: true},
	{file: "vgg16-paddle-hapi.pdparams", bgr: true},
	{file: "vgg16_weights-keras0-th-bgr.h5", bgr: true},
	{file: "oxford-bgr.onnx", bgr: true},
	{file: "oxford-bgr.onnx", bgr: true, told: true},
	{file: "tf-slim-v1-rgb.ckpt"},
	{file: "tf-slim-v1-rgb.ckpt", told: true},
	{file: "frozen-bgr.pb", bgr: true},
	{file: "frozen-bgr.pb", bgr: true, told: true},
}

// layoutsFolder is where the files are.
func layoutsFolder(t *testing.T) string {
	t.Helper()
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: no files of other programs are opened")
	}
	return filepath.Join(root, "formats/layouts")
}

// expected is what PyTorch makes of the picture: "logits", or the output of a layer.
func expected(t *testing.T, name string) []float32 {
	t.Helper()
	file, err := weights.Open(filepath.Join(layoutsFolder(t), "expected.npz"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	values, err := file.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	return values.Data
}

// owl is the picture in the middle of owl256.png, 0 to 255 less the mean of ImageNet, in either order of colours.
func owl(t *testing.T, bgr bool) *tensor.Tensor {
	t.Helper()
	p, err := vision.DecodeFile(filepath.Join(layoutsFolder(t), "owl256.png"), vision.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	in := tensor.New(1, 3, 224, 224)
	mean := []float32{123.68, 116.779, 103.939}
	at := image.Pt((p.W-224)/2, (p.H-224)/2)
	for c := range 3 {
		plane := c
		if bgr {
			plane = 2 - c
		}
		for y := range 224 {
			for x := range 224 {
				in.Data[(plane*224+y)*224+x] = float32(p.Pix[((at.Y+y)*p.W+at.X+x)*3+c]) - mean[c]
			}
		}
	}
	return in
}

// TestLayouts: every file answers as PyTorch does with its network, given pictures in the file's own order of colours.
// Which order that is is told here; that it is found is another test's business.
func TestLayouts(t *testing.T) {
	folder := layoutsFolder(t)
	for _, c := range layouts {
		t.Run(c.file, func(t *testing.T) {
			options := Options{Network: oneVGG, Until: c.layer}
			if c.told {
				options.Network = ""
			}
			m, err := Open(filepath.Join(folder, c.file), options)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			name, answer := "logits", m.Forward
			if c.layer != "" {
				name = c.layer
				answer = func(ctx context.Context, in *tensor.Tensor) (*tensor.Tensor, error) {
					return m.Features(ctx, c.layer, in)
				}
			}
			got, err := answer(t.Context(), owl(t, c.bgr))
			if err != nil {
				t.Fatal(err)
			}
			if d := distance(got.Data, expected(t, name)); !(d <= 1e-5) {
				t.Errorf("%s differ by %v of the largest value, want 1e-5", name, d)
			}
		})
	}
}

// exactLogits are what the definition of QuantizeLinear gives with all sums exact, in integers or in float64. So does
// ONNX Runtime 1.30 with session.x64quantprecision, to the last digit of float32.
var exactLogits = []float32{-1.5150005, -4.2061305, -3.4999006, 2.2875013, -0.8296255, 1.1605425, 2.8839846, 4.8162694,
	-2.0752175, -1.0162523}

// TestQuantised: the integers' network answers within 1.1 of a step of what its logits are quantised by, where all sums
// are exact. ONNX Runtime is farther from that, so no arithmetic of ours comes within a step of it. Without that option
// its sums are of float32: of conv1_1's 401,408 values one comes out on the other side of a half, 786 of 75,264 by the
// end of the third block, 970 of 6,272 of the fifth: 2.2 steps of the logits. With the graph fused, AVX2's vpmaddubsw
// besides cuts off pairs of products at 32,767: 3.7 steps.
func TestQuantised(t *testing.T) {
	folder := layoutsFolder(t)
	file, err := weights.Open(filepath.Join(folder, "vgg16-qdq-int8-bgr.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	step, err := file.Tensor("fc8_s")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(file.Path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	got, err := m.Forward(t.Context(), owl(t, true))
	if err != nil {
		t.Fatal(err)
	}
	var answers map[string][]float32
	readJSON(t, filepath.Join(folder, "onnx-int8-logits-by-onnxruntime.json"), &answers)
	steps := func(a, b []float32) (most float32) {
		for i := range b {
			most = max(most, a[i]-b[i], b[i]-a[i])
		}
		return most / step.Data[0]
	}
	plain, fused := answers["qdq-disabled"], answers["qdq-all"]
	d, spread := steps(got.Data, plain), steps(fused, plain)
	exact := steps(got.Data, exactLogits)
	t.Logf("%.2f steps from exact sums, %.2f from ONNX Runtime, %.2f from what it computes with integers; these differ "+
		"by %.2f, and are %.2f and %.2f from exact sums", exact, d, steps(got.Data, fused), spread, steps(plain, exactLogits),
		steps(fused, exactLogits))
	if !(exact < 1.1 && d < 2 && steps(plain, exactLogits) > 2) {
		t.Errorf("logits differ by %v steps from exact sums, by %v from ONNX Runtime's", exact, d)
	}
}

// distance is the largest difference of two rows of numbers, as part of the largest number.
func distance(got, want []float32) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	most, largest := 0.0, 0.0
	for i := range want {
		most = max(most, math.Abs(float64(got[i]-want[i])))
		largest = max(largest, math.Abs(float64(want[i])))
	}
	return most / largest
}

// TestUntil: weights without a classifier open for a layer before it, and whatever needs the rest says what is missing.
func TestUntil(t *testing.T) {
	path := filepath.Join(layoutsFolder(t), "vgg_conv-bgr.pth")
	const missing = "6 missing (fc6.weight, fc6.bias, fc7.weight and 3 more)"
	for _, until := range []string{"", "fc6", "softmax", "none"} {
		if m, err := Open(path, Options{Network: oneVGG, Until: until}); err == nil ||
			!strings.Contains(err.Error(), "missing (fc6.weight") {
			t.Errorf("until %q: %v", until, err)
			if err == nil {
				m.Close()
			}
		}
	}
	m, err := Open(path, Options{Network: oneVGG, Until: "pool5"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ctx, in := t.Context(), owl(t, true)
	if _, err := m.Features(ctx, "conv1_1", in); err != nil {
		t.Error(err)
	}
	picture := vision.FromImage(image.NewRGBA(image.Rect(0, 0, 224, 224)))
	for what, try := range map[string]func() error{
		"Forward":       func() error { _, err := m.Forward(ctx, in); return err },
		"Features":      func() error { _, err := m.Features(ctx, "fc6", in); return err },
		"Classify":      func() error { _, err := m.Classify(ctx, image.NewRGBA(image.Rect(0, 0, 224, 224))); return err },
		"ClassifyDense": func() error { _, err := m.ClassifyDense(ctx, picture, []int{256}, false); return err },
		"Inside":        func() error { _, err := m.Inside(ctx, in); return err },
		"Gradient":      func() error { _, err := m.Gradient(ctx, "conv5_3", -1, in); return err },
	} {
		if err := try(); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("%s: %v, want %q", what, err, missing)
		}
	}
	if _, err := m.Memory(); err != nil {
		t.Error(err)
	}
	if whole, err := Open(filepath.Join(layoutsFolder(t), "torchvision-names-bgr.pth"), Options{Network: oneVGG,
		Until: "pool5"}); err != nil {
		t.Error(err)
	} else {
		defer whole.Close()
		if _, err := whole.Forward(ctx, in); err != nil { // it has the rest
			t.Error(err)
		}
	}
}

// TestPartOfModel: a Model tells which of a file's networks it is.
func TestPartOfModel(t *testing.T) {
	const path, network = "weights/testdata/checkpoints/average.pth", "8x8x3:2,M,2,M/3,2"
	for _, c := range []struct{ ask, part, other string }{{"", "model", "model_ema"}, {"model_ema", "model_ema",
		"model"}} {
		m, err := Open(path, Options{Network: network, Part: c.ask})
		if err != nil {
			t.Fatal(err)
		}
		if m.Part != c.part || len(m.Others) != 1 || m.Others[0].Name != c.other || m.Guess {
			t.Errorf("part %q, others %v", m.Part, m.Others)
		}
		values, err := m.Values("conv1_1/w", 0, 3)
		if err != nil || slices.Equal(values, []float32{0, 1, 2}) != (c.part == "model") {
			t.Errorf("%s: %v (%v)", c.part, values, err)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if m, err = Read("average", data, Options{Network: network, Part: c.ask}); err != nil || m.Part != c.part {
			t.Errorf("%s from bytes: %v", c.part, err)
		}
		m.Close()
	}
	m, err := Open("weights/testdata/checkpoints/words.pth", Options{Network: network})
	if err != nil || !m.Guess || m.Family != "" {
		t.Fatalf("a guess is not told (%v)", err)
	}
	m.Close()
}
