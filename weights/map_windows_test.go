package weights

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestMappedFileStays: what an open file holds is not replaced, which says why, and is once it is closed.
func TestMappedFileStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weights.safetensors")
	store := func(value float32) error {
		return Write(path, []Tensor{{Name: "w", Shape: []int{1}, Data: []float32{value}}}, nil)
	}
	if err := store(1); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := f.Tensor("w")
	if err != nil {
		t.Fatal(err)
	}
	if err := store(2); err == nil || !strings.Contains(err.Error(), "write under another name") {
		t.Errorf("written while it is open: %v", err)
	}
	if w.Data[0] != 1 {
		t.Errorf("the open file holds %v", w.Data[0])
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := store(3); err != nil {
		t.Errorf("written once it is closed: %v", err)
	}
}
