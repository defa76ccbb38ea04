package weights_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// TestTinyVGG runs a trained network on real images, from file to prediction, against PyTorch.
func TestTinyVGG(t *testing.T) {
	var golden struct {
		Logits       [][]float32
		Top1, Labels []int
	}
	text, err := os.ReadFile("testdata/tinyvgg-fashionmnist.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	images, err := vision.ReadIDXFile("testdata/fashion-mnist-100.idx.gz")
	if err != nil {
		t.Fatal(err)
	}
	n := images.Len()
	if n != 100 || len(golden.Logits) != n || len(golden.Top1) != n || len(golden.Labels) != n {
		t.Fatalf("%d images, %d rows of logits", n, len(golden.Logits))
	}

	placed, err := arch.Open("tinyvgg")
	if err != nil {
		t.Fatal(err)
	}
	file, err := weights.Open("testdata/tinyvgg-fashionmnist.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	matched, err := weights.Match(file, placed.Layers)
	if err != nil {
		t.Fatal(err)
	}
	params := nn.NewParams(placed)
	if err := params.Load(matched.Param); err != nil {
		t.Fatal(err)
	}
	plan, err := nn.Compile(placed, params, nn.Options{Batch: n})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()

	batch := tensor.New(n, 1, 28, 28)
	recipe := vision.Unit(28, 28, 1)
	for i := range n {
		picture, err := images.Picture(i)
		if err != nil {
			t.Fatal(err)
		}
		if err := recipe.Put(batch, i, picture); err != nil {
			t.Fatal(err)
		}
	}
	if err := plan.Forward(batch); err != nil {
		t.Fatal(err)
	}

	logits, predictions := plan.Logits(), plan.Predictions()
	right := 0
	for i, row := range golden.Logits {
		if predictions[i] != golden.Top1[i] {
			t.Errorf("image %d: class %d, PyTorch's %d", i, predictions[i], golden.Top1[i])
		}
		for c, want := range row {
			if got := logits.At(i, c, 0, 0); !(math.Abs(float64(got-want)) <= 2e-5) { // 20 roundings of a logit of 10
				t.Errorf("image %d, class %d: logit %v, PyTorch's %v", i, c, got, want)
			}
		}
		if predictions[i] == golden.Labels[i] {
			right++
		}
	}
	if right != 88 {
		t.Errorf("%d of 100 images right, want PyTorch's 88", right)
	}
}
