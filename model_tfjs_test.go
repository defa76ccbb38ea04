package vggo

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// tfjsFolder is where the real files of TensorFlow.js are.
func tfjsFolder(t *testing.T) string {
	t.Helper()
	return filepath.Join(filepath.Dir(layoutsFolder(t)), "real")
}

// readJSON reads a file into what v points to.
func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestTensorFlowJS: CNN Explainer's network, as its page loads it and quantised in three ways, answers to all of its
// pictures as TensorFlow.js does.
func TestTensorFlowJS(t *testing.T) {
	folder := tfjsFolder(t)
	var plain struct{ Answers map[string][]float64 }
	readJSON(t, filepath.Join(folder, "tinyvgg-cnn-explainer/tfjs-answers.json"), &plain)
	var answers map[string]map[string][]float64
	readJSON(t, filepath.Join(folder, "tinyvgg-quantised/tfjs-answers.json"), &answers)
	answers["plain"] = plain.Answers
	for _, c := range []struct{ name, file string }{
		{"plain", "tinyvgg-cnn-explainer"}, {"plain", "tinyvgg-cnn-explainer/model.json"},
		{"uint8", "tinyvgg-quantised/uint8.json"}, {"uint16", "tinyvgg-quantised/uint16.json"},
		{"float16", "tinyvgg-quantised/float16.json"},
	} {
		m, err := Open(filepath.Join(folder, c.file), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if m.Preprocess.Name != "unit" || !m.Preprocess.Guess {
			t.Errorf("%s: prepared by %+v", c.file, m.Preprocess)
		}
		if len(answers[c.name]) != 21 {
			t.Fatalf("%s: answers to %d pictures, want 21", c.name, len(answers[c.name]))
		}
		var pictures []*vision.Picture
		names := slices.Sorted(maps.Keys(answers[c.name]))
		for _, name := range names {
			p, err := vision.DecodeFile(filepath.Join(folder, "tinyvgg-cnn-explainer/img", name), vision.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			pictures = append(pictures, p)
		}
		got, err := m.ClassifyAll(t.Context(), pictures)
		if err != nil {
			t.Fatal(err)
		}
		most := 0.0
		for i, classes := range got {
			for _, class := range classes {
				most = max(most, math.Abs(class.Probability-answers[c.name][names[i]][class.Index]))
			}
		}
		t.Logf("%s: probabilities within %.1g of TensorFlow.js'", c.file, most)
		if !(most < 1e-5) {
			t.Errorf("%s: a probability differs by %v", c.file, most)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConvolutionalHeads: a file without a network whose fully connected layers are convolutions, as those of VGG-Face
// for Keras are, opens as a network that has them connected.
func TestConvolutionalHeads(t *testing.T) {
	file, err := weights.Open(filepath.Join(layoutsFolder(t), "vgg16-tensorflow-vgg-bgr.npy"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	heads := map[string][]int{"fc6.0": {7, 7, 32, 48}, "fc7.0": {1, 1, 48, 48}, "fc8.0": {1, 1, 48, 10}}
	var specs []map[string]any
	var shard []byte
	names := file.Names()
	slices.Sort(names)
	for i, name := range names { // conv1_1.0, its kernel, and conv1_1.1, its bias
		v, err := file.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		if shape := heads[name]; shape != nil {
			v.Shape = shape
		}
		role := map[string]string{"0": "kernel", "1": "bias"}[name[len(name)-1:]]
		specs = append(specs, map[string]any{"name": fmt.Sprintf("conv2d_%d/%s", i/2+1, role), "shape": v.Shape,
			"dtype": "float32"})
		if shard, err = binary.Append(shard, binary.LittleEndian, v.Data); err != nil {
			t.Fatal(err)
		}
	}
	folder := t.TempDir()
	text, err := json.Marshal(map[string]any{"weightsManifest": []any{map[string]any{"paths": []string{"a"},
		"weights": specs}}})
	if err = errors.Join(err, os.WriteFile(filepath.Join(folder, "model.json"), text, 0o600),
		os.WriteFile(filepath.Join(folder, "a"), shard, 0o600)); err != nil {
		t.Fatal(err)
	}
	m, err := Open(folder, Options{Network: oneVGG})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	got, err := m.Forward(t.Context(), owl(t, true))
	if err != nil {
		t.Fatal(err)
	}
	if d := distance(got.Data, expected(t, "logits")); !(d <= 1e-5) {
		t.Errorf("logits differ by %v of the largest", d)
	}
}

// TestTensorFlowJSVGG19: the blocks that the real VGG-19 has whole are the safetensors' to the bit. Of its groups the
// first that is not there is named.
func TestTensorFlowJSVGG19(t *testing.T) {
	real := tfjsFolder(t)
	_, err := Open(filepath.Join(real, "vgg19-tfjs"), Options{})
	if err == nil || !strings.Contains(err.Error(), "group9-shard1of2 is not beside it") {
		t.Errorf("%v", err)
	}
	whole := map[string]any{}
	readJSON(t, filepath.Join(real, "vgg19-tfjs/model.json"), &whole)
	whole["weightsManifest"] = whole["weightsManifest"].([]any)[:8]
	text, err := json.Marshal(whole)
	folder := t.TempDir()
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "model.json"), text, 0o600)
	}
	for i := 1; i <= 8 && err == nil; i++ {
		var shard []byte
		name := fmt.Sprintf("group%d-shard1of1", i)
		if shard, err = os.ReadFile(filepath.Join(real, "vgg19-tfjs", name)); err == nil {
			err = os.WriteFile(filepath.Join(folder, name), shard, 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(folder, Options{Until: "pool3"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Preprocess.Name != "caffe" {
		t.Errorf("prepared by %+v", m.Preprocess)
	}
	file, err := weights.Open(filepath.Join(real, "vgg19-block1-3-oihw-rgb.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if len(file.Names()) != 16 {
		t.Fatalf("tensors %v", file.Names())
	}
	for _, name := range file.Names() {
		want, err := file.Tensor(name) // conv1_1.weight, red first
		if err != nil {
			t.Fatal(err)
		}
		p, got, err := m.Parameter(strings.NewReplacer(".weight", "/w", ".bias", "/b").Replace(name))
		if err != nil {
			t.Fatal(err)
		}
		values := slices.Clone(want.Data)
		if name == "conv1_1.weight" {
			for out := range slices.Chunk(values, 27) {
				copy(out, slices.Concat(out[18:], out[9:18], out[:9]))
			}
		}
		if !slices.Equal(p.Shape, want.Shape) || !slices.Equal(got, values) {
			t.Errorf("%s is not %s", p.Name, name)
		}
	}
}
