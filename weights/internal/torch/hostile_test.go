package torch

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vggo/vggo/internal/pickle"
	"github.com/vggo/vggo/weights/internal/format"
)

// TestHostilePickles: most files made to run code are refused by their opening bytes, before they get here. The machine
// behind refuses them too.
func TestHostilePickles(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: no hostile files are unpickled")
	}
	paths, err := filepath.Glob(filepath.Join(root, "hostile", "*"))
	if err != nil || len(paths) < 50 {
		t.Fatalf("%d files (%v)", len(paths), err)
	}
	opens := []string{"LICENSE", "pytorch_model.bin", "int_arrays.npz"}
	unpickled := 0
	for _, path := range paths {
		name := filepath.Base(path)
		if slices.Contains(opens, name) {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		loader := loader(func(dtype format.DType, _ string, count int) (*storage, error) {
			return &storage{dtype: dtype, count: count}, nil
		})
		if _, _, err := loader.Load(data); err == nil && name != "benign0_v3.pkl" {
			t.Errorf("%s is unpickled", name)
		} else if errors.As(err, new(*pickle.RefusedError)) {
			unpickled++
		}
	}
	if unpickled < 30 {
		t.Errorf("%d of the hostile pickles are refused for what they call, want 30", unpickled)
	}
}
