package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// TestEval evaluates a trained network on folders of classes whose names are not in the network's order, one picture
// being broken, and compares with PyTorch's answers for the same pictures.
func TestEval(t *testing.T) {
	text, err := os.ReadFile(tinyGolden)
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Top1, Labels []int }
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	names := []string{"top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"}
	dir := t.TempDir()
	labels := filepath.Join(dir, "labels.json")
	if text, err = json.Marshal(names); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(labels, text, 0o644); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	want := make([][]int, 10)
	for i := range want {
		want[i] = make([]int, 10)
		if err := os.MkdirAll(filepath.Join(data, names[i]), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	right := 0
	for i, file := range clothes(t, 26) {
		class := golden.Labels[i]
		if err := os.Rename(file, filepath.Join(data, names[class], filepath.Base(file))); err != nil {
			t.Fatal(err)
		}
		want[class][golden.Top1[i]]++
		if class == golden.Top1[i] {
			right++
		}
	}
	if err := os.WriteFile(filepath.Join(data, "bag", "broken.png"), []byte("\x89PNG\r\n\x1a\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := vggo(t.Context(), "eval", data, "--weights", tinyWeights, "--labels", labels, "--json",
		"--batch", "4")
	if code != 1 || stderr == "" {
		t.Errorf("exit %d, %q: a broken picture is not said", code, stderr)
	}
	var got evaluation
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if got.Pictures != 26 || got.Failed != 1 || got.Top1 != float64(right)/26 || got.Top5 < got.Top1 {
		t.Errorf("%d pictures, %d failed, top-1 %v, top-5 %v; want 26, 1, %v", got.Pictures, got.Failed, got.Top1, got.Top5,
			float64(right)/26)
	}
	for i := range want {
		for j, n := range want[i] {
			if got.Confusion[i][j] != n {
				t.Errorf("%d pictures of %s are taken for %s, want %d", got.Confusion[i][j], names[i], names[j], n)
			}
		}
	}
	if len(got.Classes) != 10 || got.Classes[0].Label != "bag" || got.Classes[0].Class != 8 {
		t.Errorf("classes %+v", got.Classes)
	}
}

// TestEvalDense looks at pictures whole, at two scales and mirrored: with scales of the input's own size the answer is
// the usual one.
func TestEvalDense(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: nothing to evaluate")
	}
	data := filepath.Join(root, "fashion-mnist")
	run := func(args ...string) evaluation {
		t.Helper()
		code, stdout, stderr := vggo(t.Context(), append([]string{"eval", data, "--weights", tinyWeights, "--json"},
			args...)...)
		if code != 0 {
			t.Fatal(stderr)
		}
		var e evaluation
		if err := json.Unmarshal([]byte(stdout), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	usual := run()
	if usual.Pictures != 10000 || usual.Top1 < 0.88 || usual.Top1 > 0.9 || usual.Top5 < 0.99 {
		t.Errorf("%d pictures, top-1 %v, top-5 %v: published is about 0.888", usual.Pictures, usual.Top1, usual.Top5)
	}
	if testing.Short() {
		return
	}
	same := run("--dense", "--scales", "28", "--no-flip")
	if d := same.Top1 - usual.Top1; d > 0.0005 || d < -0.0005 {
		t.Errorf("dense at the input's own size: %v, usually %v", same.Top1, usual.Top1)
	}
	more := run("--dense", "--scales", "28,32")
	if more.Pictures != 10000 || more.Top1 < 0.7 {
		t.Errorf("dense at two scales, mirrored: %v of %d", more.Top1, more.Pictures)
	}
}
