package weights_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights"
)

// TestGiveBack: pages that were read leave memory, and come again with the same values.
func TestGiveBack(t *testing.T) {
	placed, err := arch.Open("64x64x3:M/256,10") // fc's weights take 3 MB
	if err != nil {
		t.Fatal(err)
	}
	var tensors []weights.Tensor
	for _, layer := range placed.Layers {
		for _, p := range layer.Params {
			data := make([]float32, p.Count())
			for i := range data {
				data[i] = float32(i)
			}
			tensors = append(tensors, weights.Tensor{Name: p.Name, Shape: p.Shape, Data: data})
		}
	}
	path := filepath.Join(t.TempDir(), "w.safetensors")
	if err := weights.Write(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
	file, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	matched, err := weights.Match(file, placed.Layers)
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range placed.Layers {
		for _, p := range layer.Params {
			values, err := matched.Param(p)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				for i, x := range values {
					if x != float32(i) {
						t.Fatalf("%s[%d] is %v", p.Name, i, x)
					}
				}
				before := resident(t, path)
				matched.GiveBack(p)
				if gone := before - resident(t, path); 4*p.Count() > 1<<20 && gone < 4*p.Count()*9/10 {
					t.Errorf("%s: %d bytes given back, of %d", p.Name, gone, 4*p.Count())
				}
			}
		}
	}
}

// resident is the bytes of a mapped file in this process's memory.
func resident(t *testing.T, path string) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(maps), path+"\n")
	_, rest, _ = strings.Cut(rest, "\nRss:")
	line, _, _ := strings.Cut(rest, " kB")
	kilobytes, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}
