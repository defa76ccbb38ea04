package weights

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
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

// TestForeignFormats: the network that each library's file describes, with its weights, answers as PyTorch does.
func TestForeignFormats(t *testing.T) {
	golden := readGolden(t)
	for _, c := range []struct{ file, format string }{
		{"matconvnet.mat", "MatConvNet"}, {"matconvnet-old.mat", "MatConvNet"}, {"matconvnet-7.3.mat", "MatConvNet"},
		{"caffe-v1.caffemodel", "Caffe"}, {"caffe-v2.caffemodel", "Caffe"}, {"torch7.t7", "Torch7"},
		{"darknet.weights", "Darknet"},
	} {
		t.Run(c.file, func(t *testing.T) {
			f := open(t, filepath.Join("testdata/formats", c.file))
			if f.Format != c.format {
				t.Errorf("format %s, want %s", f.Format, c.format)
			}
			net, err := f.Resolve(Asked{Input: arch.Shape{C: 3, H: 9, W: 9}})
			if err != nil {
				t.Fatal(err)
			}
			placed := archtest.Place(t, net)
			m, err := Match(f, placed.Layers)
			if err != nil {
				t.Fatal(err)
			}
			params := nn.NewParams(placed)
			if err := params.Load(m.Param); err != nil {
				t.Fatal(err)
			}
			in := tensor.New(1, 3, 9, 9)
			copy(in.Data, golden.Picture)
			plan, err := nn.Compile(placed, params, nn.Options{Batch: 1, Algo: nn.Direct})
			if err != nil {
				t.Fatal(err)
			}
			defer plan.Close()
			if err := plan.Forward(in); err != nil {
				t.Fatal(err)
			}
			got := plan.Logits().Data
			for i, want := range golden.Logits {
				if !(math.Abs(float64(got[i])-want) < 1e-5) {
					t.Fatalf("logits %v, want %v", got, golden.Logits)
				}
			}
		})
	}
}
