package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/vision"
)

// readNPY takes a float32 array apart, by the format's definition.
func readNPY(t *testing.T, path string) (header string, values []float32) {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(file, []byte("\x93NUMPY\x01\x00")) {
		t.Fatalf("%s begins %q", path, file[:10])
	}
	n := 10 + int(binary.LittleEndian.Uint16(file[8:]))
	if n%64 != 0 || file[n-1] != '\n' {
		t.Fatalf("a header of %d bytes that ends %q", n, file[n-1])
	}
	for b := file[n:]; len(b) > 0; b = b[4:] {
		values = append(values, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return strings.TrimSpace(string(file[10:n])), values
}

// TestFeatures interrupts a run after every possible number of batches, spoils its end as a power failure might, and
// expects the array of a run in one go.
func TestFeatures(t *testing.T) {
	files := clothes(t, 7)
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole.npy")
	broken := filepath.Join(filepath.Dir(files[0]), "broken.png")
	if err := os.WriteFile(broken, []byte("\x89PNG\r\n\x1a\nnothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"features", filepath.Dir(files[0]), "--weights", tinyWeights, "--layer", "relu2_2", "--batch", "2"}
	code, stdout, stderr := vggo(t.Context(), append(args, "-o", whole)...)
	if code != 1 || !strings.Contains(stderr, broken) ||
		!strings.HasSuffix(stderr, "vggo: 1 of 8 pictures could not be read\n") {
		t.Fatalf("exit %d, %s%s", code, stdout, stderr)
	}
	header, values := readNPY(t, whole)
	if want := "{'descr': '<f4', 'fortran_order': False, 'shape': (7, 10, 14, 14), }"; header != want {
		t.Errorf("header %s, want %s", header, want)
	}
	names, err := os.ReadFile(filepath.Join(dir, "whole.txt"))
	if err != nil || string(names) != strings.Join(files, "\n")+"\n" {
		t.Errorf("names %q (%v)", names, err)
	}

	m, err := root.Open(tinyWeights, root.Options{Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i, file := range files {
		picture, err := vision.DecodeFile(file, vision.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		batch, err := m.Prepare(t.Context(), []*vision.Picture{picture})
		if err != nil {
			t.Fatal(err)
		}
		want, err := m.Features(t.Context(), "relu2_2", batch)
		if err != nil {
			t.Fatal(err)
		}
		for j, v := range want.Data {
			if got := values[i*len(want.Data)+j]; got != v {
				t.Fatalf("picture %d, value %d: %v, want %v", i, j, got, v)
			}
		}
	}

	expected, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	for after := range 4 {
		path := filepath.Join(dir, fmt.Sprintf("resumed%d.npy", after))
		ctx := &countedContext{Context: t.Context(), left: after}
		code, _, stderr := vggo(ctx, append(args, "-o", path)...)
		if code == 0 || !strings.Contains(stderr, "hint: the same command goes on from there") {
			t.Fatalf("after %d looks: exit %d, %s", after, code, stderr)
		}
		for _, part := range []string{".partial", ".partial.names"} {
			f, err := os.OpenFile(path+part, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o666) // gone where no row was done
			if err != nil {
				t.Fatal(err)
			}
			f.WriteString("half a row")
			f.Close()
		}
		if _, _, stderr := vggo(t.Context(), append(args, "-o", path)...); !strings.Contains(stderr, "1 of ") {
			t.Fatalf("going on: %s", stderr)
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, expected) {
			t.Errorf("interrupted after %d looks: another array (%v)", after, err)
		}
	}
}

// countedContext is cancelled after Err has been looked at a number of times.
type countedContext struct {
	context.Context
	left int
}

func (c *countedContext) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestFeaturesNormalised(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.npy")
	args := append([]string{"features", "--weights", tinyWeights, "--layer", "fc3", "--l2", "-o", path}, clothes(t, 3)...)
	if code, _, stderr := vggo(t.Context(), args...); code != 0 {
		t.Fatal(stderr)
	}
	header, values := readNPY(t, path)
	if !strings.Contains(header, "'shape': (3, 10), ") || len(values) != 30 {
		t.Fatalf("%s with %d values", header, len(values))
	}
	for row := range 3 {
		sum := 0.0
		for _, v := range values[10*row : 10*row+10] {
			sum += float64(v) * float64(v)
		}
		if math.Abs(sum-1) > 1e-6 {
			t.Errorf("row %d has length %v", row, math.Sqrt(sum))
		}
	}
}
