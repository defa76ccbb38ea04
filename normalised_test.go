package vggo

import (
	"path/filepath"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// TestNormalised: AdaIN's encoder, by names and shapes alone and as a file that describes it, makes of a picture what
// PyTorch does, in each of its layers that are used. How the picture comes is found by itself.
func TestNormalised(t *testing.T) {
	folder := "weights/testdata/normalised"
	size := arch.Shape{C: 3, H: 29, W: 21}
	want, err := weights.Open(filepath.Join(folder, "expected.npz"))
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	picture, err := vision.DecodeFile(filepath.Join(folder, "picture.png"), vision.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"vgg_normalised.pth", "module.pth", "script.pt", "normalised.onnx"} {
		t.Run(file, func(t *testing.T) {
			m, err := Open(filepath.Join(folder, file), Options{Input: size})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if p := m.Preprocess; p.Guess || p.Name != "unit" {
				t.Errorf("prepared by %v, %s", p, p.Describe())
			}
			input, err := m.Prepare(t.Context(), []*vision.Picture{picture})
			if err != nil {
				t.Fatal(err)
			}
			var relus []string // of 16
			for _, l := range m.Placed.Layers {
				if _, ok := l.Op.(arch.ReLU); ok {
					relus = append(relus, l.Name)
				}
			}
			for name, at := range map[string]int{"relu1_1": 0, "relu2_1": 2, "relu3_1": 4, "relu4_1": 8, "relu5_4": 15} {
				if file == "vgg_normalised.pth" && relus[at] != name {
					t.Errorf("layer %s is called %s", name, relus[at])
				}
				got, err := m.Features(t.Context(), relus[at], input)
				if err != nil {
					t.Fatal(err)
				}
				expected, err := want.Tensor(name)
				if err != nil {
					t.Fatal(err)
				}
				most := 1e-5
				if at > 8 { // behind relu4_1, the last that is used (pytorch-AdaIN, net.py), errors of 16 layers add up
					most = 2e-5
				}
				if d := distance(got.Data, expected.Data); !(d <= most) {
					t.Errorf("%s differs by %v of the largest value, want %v", name, d, most)
				}
			}
		})
	}
}
