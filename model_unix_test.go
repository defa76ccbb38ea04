//go:build unix

package vggo_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// TestShortenedFile cuts a file off while a model has it mapped: in the fully connected weights, which the kernels read
// where they lie, before the first use, when convolutions are packed, and by so little that its last page still reads,
// as zeros. Each is an error that names the file; whole again, the file is used.
func TestShortenedFile(t *testing.T) {
	const spec = "32x32x3:16,16,M,32,M/512,256,10"
	placed, err := arch.Open(spec)
	if err != nil {
		t.Fatal(err)
	}
	params := nn.NewParams(placed)
	params.Init(nn.He, 1)
	var tensors []weights.Tensor
	for _, p := range params.List {
		tensors = append(tensors, weights.Tensor{Name: p.Name, Shape: p.Shape, Data: p.Data})
	}
	ctx := context.Background()
	for _, threads := range []int{1, 3} {
		path := filepath.Join(t.TempDir(), "w.safetensors")
		if err := weights.Write(path, tensors, nil); err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		open := func() *vggo.Model {
			t.Helper()
			m, err := vggo.Open(path, vggo.Options{Network: spec, Threads: threads})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { m.Close() })
			return m
		}
		ask := func(m *vggo.Model) error {
			_, err := m.ClassifyAll(ctx, []*vision.Picture{vision.FromImage(noise(1, 32, 32))})
			return err
		}
		expect := func(what string, err error) {
			t.Helper()
			if err == nil || !strings.HasPrefix(err.Error(), path+": the file was shortened") {
				t.Errorf("%d threads: %s: %v, want an error that names the file", threads, what, err)
			}
		}
		used, unused := open(), open()
		if err := ask(used); err != nil {
			t.Fatal(err)
		}
		for _, left := range []int{len(whole) - 1, 8192, 0} {
			if err := os.Truncate(path, int64(left)); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				expect("a model in use", ask(used))
			}
			expect("a model's first use", ask(unused))
		}
		if err := os.WriteFile(path, whole, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, m := range []*vggo.Model{used, unused} {
			if err := ask(m); err != nil {
				t.Errorf("%d threads: the file is whole again: %v", threads, err)
			}
		}
	}
}
