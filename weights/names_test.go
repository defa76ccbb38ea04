package weights

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
)

// TestTorchvisionNames holds the map against the names and shapes that torchvision itself gives its models.
func TestTorchvisionNames(t *testing.T) {
	text, err := os.ReadFile("testdata/torchvision.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Models map[string]map[string][]int
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Models) != 9 {
		t.Errorf("%d models, want 9", len(golden.Models))
	}
	for model, state := range golden.Models {
		placed, err := arch.Open(model)
		if err != nil {
			t.Fatal(err)
		}
		f := &File{Path: model}
		for name, shape := range state {
			if err := f.list.Add(format.Tensor{Name: name, Shape: shape, DType: F32}); err != nil {
				t.Fatal(err)
			}
		}
		m, err := Match(f, placed.Layers)
		if err != nil {
			t.Errorf("%s: %v", model, err)
		} else if m.Family != "torchvision" {
			t.Errorf("%s: family %q", model, m.Family)
		}
	}
}
