package vggo

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// TestForeignLayouts: a file that describes its network needs no other word. Pictures are prepared as it states, or by
// a guess that is said to be one. What it is converted to answers to the same bits.
func TestForeignLayouts(t *testing.T) {
	folder := layoutsFolder(t)
	want := expected(t, "logits")
	picture, err := vision.DecodeFile(filepath.Join(folder, "owl256.png"), vision.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file, preprocess string
		guess            bool
	}{
		{"matconvnet-old-rgb.mat", "caffe-rgb", false}, {"v1.caffemodel", "caffe", true}, {"vgg16-bgr.t7", "caffe", true},
		{"darknet.weights", "caffe-rgb", true},
		// whose networks follow from the order of their layers
		{"vgg16-lasagne-bgr.pkl", "caffe", false}, {"vgg16_weights-keras0-th-bgr.h5", "caffe", true},
	} {
		t.Run(c.file, func(t *testing.T) {
			m, err := Open(filepath.Join(folder, c.file), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if m.Preprocess.Name != c.preprocess || m.Preprocess.Guess != c.guess {
				t.Errorf("prepared by %v, want %s", m.Preprocess, c.preprocess)
			}
			in, err := m.Prepare(t.Context(), []*vision.Picture{picture})
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Forward(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if d := distance(got.Data, want); !(d <= 1e-5) {
				t.Errorf("logits differ by %v of the largest, want 1e-5", d)
			}
			for _, path := range converted(t, m) {
				again, err := Open(path, Options{})
				if err != nil {
					t.Fatal(err)
				}
				same, err := again.Forward(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(same.Data, got.Data) {
					t.Errorf("%s answers %v, not %v", filepath.Ext(path), same.Data, got.Data)
				}
				if err := again.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// converted writes a model as safetensors and as Darknet's files.
func converted(t *testing.T, m *Model) []string {
	t.Helper()
	folder := t.TempDir()
	var tensors []weights.Tensor
	for _, layer := range m.Placed.Layers {
		for _, p := range layer.Params {
			tensors = append(tensors, weights.Tensor{Name: p.Name, Shape: p.Shape, Data: m.params.Get(p.Name).Data})
		}
	}
	var net strings.Builder
	if err := m.Placed.Network.EncodeJSON(&net); err != nil {
		t.Fatal(err)
	}
	paths := []string{filepath.Join(folder, "a.safetensors"), filepath.Join(folder, "a.weights")}
	if err := weights.Write(paths[0], tensors, map[string]string{weights.NetworkNote: net.String()}); err != nil {
		t.Fatal(err)
	}
	err := weights.WriteDarknet(t.Context(), paths[1], m.Placed, func(p arch.Param) ([]float32, error) {
		return m.params.Get(p.Name).Data, nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// TestRealFormats: real files of MatConvNet's and Caffe's, and VGG-19's first blocks, answer as PyTorch does with
// weights that h5py and readers of another hand took out of them.
func TestRealFormats(t *testing.T) {
	real := filepath.Join(filepath.Dir(layoutsFolder(t)), "real")
	text, err := os.ReadFile("weights/testdata/formats/real.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ DnCNN, Quick, VGG19 []float32 }
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file, network string
		input         arch.Shape
		want          []float32
	}{
		{"mat/dncnn-sigma25.mat", "", arch.Shape{C: 1, H: 12, W: 12}, want.DnCNN},
		{"caffe-cifar10/cifar10_quick_iter_5000.caffemodel", "", arch.Shape{C: 3, H: 32, W: 32}, want.Quick},
		{"vgg19-block1-3-oihw-rgb.safetensors", "8x8x3:64,64,M,128,128,M,256,256,256,256",
			arch.Shape{C: 3, H: 8, W: 8}, want.VGG19},
	} {
		m, err := Open(filepath.Join(real, c.file), Options{Network: c.network, Input: c.input})
		if err != nil {
			t.Fatal(err)
		}
		in := tensor.New(1, c.input.C, c.input.H, c.input.W)
		for i := range in.Data {
			in.Data[i] = float32(math.Sin(float64(i)))
		}
		layers := m.Placed.Layers
		last := layers[len(layers)-1].Name
		if ending, _ := m.Placed.Ending(); ending != arch.EndsInLogits {
			last = layers[len(layers)-2].Name
		}
		got, err := m.Features(t.Context(), last, in)
		if err != nil {
			t.Fatal(err)
		}
		if d := distance(got.Data, c.want); !(d <= 1e-5) {
			t.Errorf("%s differs by %v of the largest value, want 1e-5", c.file, d)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
