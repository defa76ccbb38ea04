package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeNoise writes a picture that no two seeds agree about; of the seed 0 a corner is clear.
func writeNoise(t *testing.T, path string, seed uint64, w, h int) string {
	t.Helper()
	m, r := image.NewNRGBA(image.Rect(0, 0, w, h)), rand.New(rand.NewPCG(seed, 1))
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, color.NRGBA{uint8(r.Uint32()), uint8(r.Uint32()), uint8(r.Uint32()), 255})
		}
	}
	if seed == 0 {
		m.SetNRGBA(0, 0, color.NRGBA{})
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(png.Encode(file, m), file.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCompare(t *testing.T) {
	t.Setenv("VGGO_CACHE", t.TempDir())
	model, err := filepath.Abs("../../perceptual/testdata/alexnet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	writeNoise(t, "a.png", 1, 64, 48)
	writeNoise(t, "b.png", 2, 64, 48)
	writeNoise(t, "wide.png", 3, 80, 48)
	writeNoise(t, "low.png", 4, 64, 30)
	writeNoise(t, "clear.png", 0, 64, 48)
	for i, name := range []string{"1.png", "x/2.png", "3.png"} {
		writeNoise(t, filepath.Join("left", name), uint64(i+1), 40, 40)
		writeNoise(t, filepath.Join("right", name), uint64(i+2), 40, 40)
	}
	writeNoise(t, "more/1.png", 1, 40, 40)
	writeNoise(t, "more/4.png", 1, 40, 40)
	compare := func(args string) (int, string, string) {
		return vggo(t.Context(), strings.Fields("compare --random-weights --model "+model+" "+args)...)
	}

	code, stdout, stderr := compare("a.png b.png --by-layer --json --map heat.png")
	var told compared
	if err := json.Unmarshal([]byte(stdout), &told); err != nil || code != 0 || len(told.Pairs) != 1 {
		t.Fatalf("exit %d, %s%s", code, stdout, stderr)
	}
	p := told.Pairs[0]
	sum := 0.0
	for _, l := range p.Layers {
		sum += l.Value
	}
	if p.A != "a.png" || p.B != "b.png" || p.Metric != "lpips" || p.Version != "0.1" ||
		p.Network != "alexnet-torchvision" || p.Weights != "random weights, seed 1" || p.Calibrated || p.Height != 48 ||
		p.Width != 64 || !(p.Distance > 0) ||
		len(p.Layers) != 5 || sum != p.Distance {
		t.Errorf("%+v", p)
	}
	if !strings.Contains(stderr, "not recognised as those of torchvision") {
		t.Errorf("no warning: %s", stderr)
	}
	heat, err := os.Open("heat.png")
	if err != nil {
		t.Fatal(err)
	}
	defer heat.Close()
	if drawn, err := png.DecodeConfig(heat); err != nil || drawn.Width != 64 || drawn.Height != 48 {
		t.Errorf("the map is of %dx%d, %v", drawn.Height, drawn.Width, err)
	}

	// Swapped, as a table: the same figure.
	_, table, _ := compare("b.png a.png")
	if !strings.Contains(table, fmt.Sprintf("%.6f", p.Distance)) {
		t.Errorf("%s tells no %.6f", table, p.Distance)
	}

	code, stdout, _ = compare("left right --csv")
	rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
	if err != nil || code != 0 || len(rows) != 4 || rows[1][0] != filepath.Join("left", "1.png") ||
		rows[3][1] != filepath.Join("right", "x", "2.png") || rows[0][9] != "distance" || rows[1][6] != "false" {
		t.Errorf("exit %d, %v, %v", code, err, rows)
	}
	if code, stdout, _ = compare("--all left --csv"); code != 0 || strings.Count(stdout, "\n") != 1+3 {
		t.Errorf("--all: exit %d, %s", code, stdout)
	}
	if code, stdout, _ = compare("wide.png a.png --resize --json"); code != 0 || !strings.Contains(stdout, `"width": 64`) {
		t.Errorf("--resize: exit %d, %s", code, stdout)
	}
	if code, _, stderr = compare("a.png a.png --max 0"); code != 0 {
		t.Errorf("--max 0 of the same picture: exit %d, %s", code, stderr)
	}

	for _, c := range []struct {
		args       string
		code       int
		want, hint string
	}{
		{"a.png b.png --max 1e-9", 3, "is beyond --max 1e-09", ""},
		{"left right --max 1e-9", 3, "3 of 3 distances are beyond --max 1e-09", ""},
		{"a.png wide.png", 1, "different sizes: 48x64 and 48x80", "--resize scales the larger"},
		{"low.png low.png", 1, "30x64 pixels are too small for alexnet-torchvision: the shorter side must have 31",
			"enlarge"},
		{"a.png clear.png", 1, "the second picture has transparent parts", "save it on the background"},
		{"a.png none.png", 1, "none.png", ""},
		{"a.png b.png --strict", 1, "not recognised as those of torchvision", "vggo pull"},
		{"left more", 1, "3 pictures have no counterpart", ""},
		{"left right/x", 1, "no picture of one has the name of one of the other", "paired by their paths"},
		{"left a.png", 2, "a file and a folder", "two folders"},
		{"--all a.png", 2, "--all is of a folder", ""},
		{"a.png", 2, "1 pictures or folders named, and not 2", "vggo compare A B"},
		{"a.png b.png --metric ssim", 2, `unknown metric "ssim": want lpips or dists`, ""},
		{"a.png b.png --metric dists", 1, "dists was fitted to vgg16, not to alexnet-convolutions", "--model vgg16"},
		{"a.png b.png --metric dists --map x.png", 2, "--map is of lpips", ""},
		{"a.png b.png --map x.jpg", 2, "its ending must be .png", ""},
		{"left right --map x.png", 2, "--map is of one pair", ""},
		{"a.png b.png --max -1", 2, "--max must be at least 0", ""},
		{"a.png b.png --json --csv", 2, "--csv and --json exclude each other", ""},
	} {
		code, _, stderr := compare(c.args)
		if code != c.code || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, c.hint) {
			t.Errorf("%s: exit %d, want %d, %q and %q:\n%s", c.args, code, c.code, c.want, c.hint, stderr)
		}
	}
	code, _, stderr = vggo(t.Context(), "compare", "a.png", "b.png")
	if code != 1 || !strings.Contains(stderr, "vgg16 is not in the cache") ||
		!strings.Contains(stderr, "vggo pull vgg16") {
		t.Errorf("without weights: exit %d, %s", code, stderr)
	}
}
