package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggo/vggo/vision"
)

// TestSimilar: from pictures to an index, what is near, what are copies, sheets and exports.
func TestSimilar(t *testing.T) {
	examples, err := filepath.Abs("../../page/static/examples")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if err := os.CopyFS("photos", os.DirFS(examples)); err != nil {
		t.Fatal(err)
	}
	cat, err := vision.DecodeFile("photos/cat.jpg", vision.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	half := cat.Resize(cat.W/2, cat.H/2, vision.Bilinear)
	if err := errors.Join(jpeg.Encode(&file, half.Image(), &jpeg.Options{Quality: 50}),
		os.WriteFile("photos/kitten.jpg", file.Bytes(), 0o666)); err != nil {
		t.Fatal(err)
	}
	try := func(args string, want int) (stdout, stderr string) {
		t.Helper()
		code, stdout, stderr := vggo(t.Context(), append([]string{"similar"}, strings.Fields(args)...)...)
		if code != want {
			t.Fatalf("%s: exit %d, not %d\n%s%s", args, code, want, stdout, stderr)
		}
		return stdout, stderr
	}
	const index = "index photos -o x"
	for _, want := range []string{"relu4_2 of 5 pictures in x, 256 float32 each: decoded 5, unchanged 0",
		"decoded 0, unchanged 5"} {
		if out, _ := try(index, 0); !strings.Contains(out, want) || !strings.Contains(out, "cifar10") {
			t.Errorf("it says %q, not %q", out, want)
		}
	}
	before, err := os.ReadFile("x")
	if err != nil {
		t.Fatal(err)
	}

	var near nearest
	out, _ := try("find x photos/cat.jpg photos/owl.jpg -n 2 --json --sheet near.png", 0)
	if err := json.Unmarshal([]byte(out), &near); err != nil || len(near.Pictures) != 2 {
		t.Fatalf("%v: %s", err, out)
	}
	for i, want := range []string{"cat", "owl"} {
		p := near.Pictures[i]
		if want = filepath.Join("photos", want+".jpg"); len(p.Found) != 2 || p.Found[0].Path != want ||
			p.Found[0].Cosine < 1-1e-6 || p.Found[1].Cosine > p.Found[0].Cosine {
			t.Errorf("near %s are %+v", want, p.Found)
		}
	}
	if m := decodeSheet(t, "near.png"); m.Bounds().Dx() < 300 {
		t.Errorf("the sheet is %v", m.Bounds())
	}
	if out, _ := try("find x photos/cat.jpg", 0); strings.Count(out, "\n") != 7 {
		t.Errorf("a table of\n%s", out)
	}
	out, _ = try("find x photos/cat.jpg --csv", 0)
	if rows, err := csv.NewReader(strings.NewReader(out)).ReadAll(); err != nil || len(rows) != 6 {
		t.Errorf("%v: %s", err, out)
	}
	if _, stderr := try("find x photos/cat.jpg missing.jpg", 1); !strings.Contains(stderr, "missing.jpg") ||
		!strings.Contains(stderr, "1 of 2 pictures could not be read") {
		t.Errorf("of a missing picture it says %s", stderr)
	}

	var found duplicates
	out, _ = try("duplicates x --json --sheet copies.html", 0)
	if err := json.Unmarshal([]byte(out), &found); err != nil || len(found.Pairs) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	if p := found.Pairs[0]; p.A != filepath.Join("photos", "cat.jpg") || p.B != filepath.Join("photos", "kitten.jpg") ||
		p.Correlation < 0.97 || p.Same {
		t.Errorf("the copies are %+v", p)
	}
	if page, err := os.ReadFile("copies.html"); err != nil || bytes.Count(page, []byte("<img")) != 2 {
		t.Errorf("the page shows %d pictures: %v", bytes.Count(page, []byte("<img")), err)
	}
	if out, _ := try("duplicates x --confirm bytes", 0); out != "no two of 5 pictures are taken for the same\n" {
		t.Errorf("of the same bytes: %s", out)
	}
	if out, _ := try("duplicates x --confirm none --cosine -1 --csv", 0); strings.Count(out, "\n") != 11 {
		t.Errorf("all pairs are\n%s", out)
	}
	for _, args := range []string{"duplicates x", "duplicates x --pixels 1"} {
		try(args+" --sheet "+strings.Fields(args)[0]+".png", 0)
		decodeSheet(t, "duplicates.png")
	}

	try("x --export npy -o v.npy", 0)
	array, err := os.ReadFile("v.npy")
	if err != nil || !bytes.HasPrefix(before, array) || len(array) != 128+5*256*4 {
		t.Errorf("the array of %d bytes is not the index' beginning: %v", len(array), err)
	}
	if names, err := os.ReadFile("v.txt"); err != nil || strings.Count(string(names), "\n") != 5 {
		t.Errorf("the names are %q: %v", names, err)
	}
	out, _ = try("x --export csv", 0)
	if rows, err := csv.NewReader(strings.NewReader(out)).ReadAll(); err != nil || len(rows) != 6 || len(rows[5]) != 258 {
		t.Errorf("as CSV: %v, %d rows", err, len(rows))
	}
	out, _ = try("x --export jsonl", 0)
	for line := range strings.Lines(out) {
		var row struct {
			Path   string
			Vector []float32
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.Path == "" || len(row.Vector) != 256 {
			t.Errorf("%v: %.80s", err, line)
		}
	}

	if err := errors.Join(os.WriteFile("cut", before[:len(before)-1], 0o666), os.WriteFile("text", []byte("text"),
		0o666)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args       string
		code       int
		want, hint string
	}{
		{"index photos", 2, "no file named", "-o photos.index"},
		{"index", 2, "no picture named", "vggo similar index DIR"},
		{"index photos -o x --layer pool3", 1, "x: it is of another layer: relu4_2, not pool3", "--restart"},
		{"index photos -o x --layer nosuch", 1, "nosuch", "vggo arch"},
		{"index photos -o x --preprocess unit", 1, "x: it is of another preparation: {", "--restart"},
		{"index photos -o x --random-weights --model 32x32x3:8,M/10", 1, "another network", "--weights embedded"},
		{"index photos -o cut", 1, "cut is damaged: ", "--restart makes it anew"},
		{"index photos -o text", 1, "text is no index of pictures", "name another file with -o"},
		{"index photos -o no/such/x", 1, "no/such/x", ""},
		{"find x", 2, "no picture named", "vggo similar find"},
		{"find", 2, "no index named", "vggo similar find"},
		{"find missing photos/cat.jpg", 1, "missing", ""},
		{"find cut photos/cat.jpg", 1, "cut is damaged: ", "--restart"},
		{"find x photos/cat.jpg --preprocess unit", 1, "x: it is of another preparation: {", "the flags"},
		{"find x photos/cat.jpg -n 0", 2, "-n must be at least 1", ""},
		{"find x photos/cat.jpg --sheet x.pdf", 2, "must be .png or .html", ""},
		{"duplicates", 2, "no index named", "vggo similar duplicates"},
		{"duplicates x x", 2, "one index is enough", ""},
		{"duplicates v.npy", 1, "v.npy is no index of pictures: it is an array alone", "vggo similar index"},
		{"duplicates x --confirm lpips", 2, "want pixels, bytes or none", ""},
		{"duplicates x --pixels 0.5", 2, "--pixels must lie between 0.65 and 1", ""},
		{"duplicates x --cosine 2", 2, "--cosine must lie between -1 and 1", ""},
		{"x", 2, `"x" is nothing that vggo similar does`, "--export"},
		{"x --export xml", 2, `unknown format "xml"`, "csv, jsonl or npy"},
		{"x --export npy", 2, "no file named", "-o out.npy"},
		{"x --export npy -o v.csv", 2, "is no NumPy file", ""},
	} {
		_, stderr := try(c.args, c.code)
		message, hint, _ := strings.Cut(stderr, "\nhint: ")
		if !strings.Contains(message, c.want) || !strings.Contains(hint, c.hint) {
			t.Errorf("%s: %s", c.args, stderr)
		}
	}
	if after, err := os.ReadFile("x"); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the index is not what it was: %v", err)
	}
}

func decodeSheet(t *testing.T, path string) image.Image {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	m, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
