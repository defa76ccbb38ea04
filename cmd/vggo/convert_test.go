package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights"
)

// TestConvertCutFile cuts a few bytes off the file once all its parameters have been looked up. What is left of its
// last page reads as zeros then, in which no write sees anything wrong: nothing may appear in the place of what was
// there.
func TestConvertCutFile(t *testing.T) {
	if !slices.Contains([]string{"linux", "darwin"}, runtime.GOOS) {
		t.Skip("files are not mapped here, or cannot be shortened while they are")
	}
	whole, err := os.ReadFile("../../weights/testdata/tinyvgg-fashionmnist.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for ending, write := range weightWriters {
		t.Run(ending, func(t *testing.T) {
			dir := t.TempDir()
			in, out := filepath.Join(dir, "in.safetensors"), filepath.Join(dir, "out"+ending)
			there := out
			if ending == ".ckpt" {
				there += ".data-00000-of-00001"
			}
			for path, content := range map[string][]byte{in: whole, there: []byte("before")} {
				if err := os.WriteFile(path, content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			file, err := weights.Open(in)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			placed, err := file.Network()
			if err != nil {
				t.Fatal(err)
			}
			matched, err := weights.Match(file, placed.Layers)
			if err != nil {
				t.Fatal(err)
			}
			left := 0
			for _, layer := range placed.Layers {
				left += len(layer.Params)
			}
			err = write(&conversion{t.Context(), out, placed, file, func(p arch.Param) ([]float32, error) {
				data, err := matched.Param(p)
				if left--; left == 0 {
					err = errors.Join(err, os.Truncate(in, int64(len(whole)-40)))
				}
				return data, err
			}, nil, false})
			if err == nil || !strings.Contains(err.Error(), in+": the file was shortened while it was open") {
				t.Errorf("error %v", err)
			}
			if content, err := os.ReadFile(there); err != nil || string(content) != "before" {
				t.Errorf("%d bytes in the place of what was there (%v)", len(content), err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
				return strings.Contains(e.Name(),
					"partial")
			}) {
				t.Errorf("left behind: %v (%v)", entries, err)
			}
		})
	}
}
