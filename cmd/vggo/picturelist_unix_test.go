//go:build unix

package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// picturesIn makes a folder of a picture in each of these places, and nothing else.
func picturesIn(t *testing.T, dir string, names ...string) {
	t.Helper()
	boot, err := os.ReadFile("../../docs/examples/boot.png")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, boot, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFolderOfPictures: links to pictures are followed, what is passed over is said, and what cannot be read ends
// nothing.
func TestFolderOfPictures(t *testing.T) {
	dir := t.TempDir()
	picturesIn(t, dir, "set/a.png", "set/sub/b.JPG", "set/sub/c.heic", "set/d.jfif", "set/closed/e.png", "set/noending",
		"set/readme.txt", "elsewhere/f.png")
	set := filepath.Join(dir, "set")
	for link, to := range map[string]string{"set/link.png": "../elsewhere/f.png", "set/circle": ".",
		"set/nowhere.png": "nothing", "alias": "set"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(set, "pipe.png"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{set, filepath.Join(dir, "alias")} {
		var faults strings.Builder
		list, err := listPictures([]string{root}, &faults)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"a.png", "closed/e.png", "d.jfif", "link.png", "nowhere.png", "pipe.png", "sub/b.JPG"}
		for i := range want {
			want[i] = filepath.Join(root, want[i])
		}
		if !slices.Equal(list.files, want) {
			t.Errorf("%v", list.files)
		}
		for _, said := range []string{"1 called *.heic", "heif-convert", "1 whose names have no ending",
			"1 symbolic links to folders"} {
			if !strings.Contains(faults.String(), said) {
				t.Errorf("%q is not in %q", said, faults.String())
			}
		}
	}
	code, stdout, stderr := vggo(t.Context(), "classify", set, "--json")
	var got classification
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if code != 1 || len(got.Pictures) != 7 || !strings.Contains(stderr, "2 of 7 pictures could not be read") {
		t.Errorf("exit %d, %d pictures: %s", code, len(got.Pictures), stderr)
	}
	if os.Geteuid() == 0 {
		t.Skip("root reads every folder: one that cannot be read is not tested")
	}
	if err := os.Chmod(filepath.Join(set, "closed"), 0); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = vggo(t.Context(), "classify", set, "--json")
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if code != 1 || len(got.Pictures) != 6 || !strings.Contains(stderr, "closed: permission denied") ||
		!strings.Contains(stderr, "2 of 6 pictures and 1 folder could not be read") {
		t.Errorf("exit %d, %d pictures: %s", code, len(got.Pictures), stderr)
	}
}

// TestClosedFolder: a list that lacks a folder is an error in the end, whatever came of the pictures.
func TestClosedFolder(t *testing.T) {
	for want, l := range map[string]*pictureList{
		"":                           {files: []string{"a"}},
		"1 folder could not be read": {files: []string{"a"}, closed: 1},
		"1 of 2 pictures and 3 folders could not be read": {files: []string{"a", "b"}, closed: 3},
	} {
		err := l.end(strings.Count(want, "pictures"))
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := listPictures([]string{t.TempDir()}, io.Discard); err == nil ||
		!strings.Contains(err.Error(), "no pictures in this folder") {
		t.Errorf("an empty folder: %v", err)
	}
}

// TestNothingHangs: a pipe that nobody writes to, wherever a file is to be named, is refused at once.
func TestNothingHangs(t *testing.T) {
	dir := t.TempDir()
	pipe := func(name string) string {
		path := filepath.Join(dir, name)
		if err := syscall.Mkfifo(path, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const boot = "../../docs/examples/boot.png"
	plain, yaml, tar, bin, idx := pipe("pipe"), pipe("n.yaml"), pipe("d.tar"), pipe("d.bin"),
		pipe("train-images-idx3-ubyte")
	for _, args := range [][]string{
		{"classify", plain},
		{"features", plain, "--layer", "conv1_1", "-o", filepath.Join(dir, "o.npy")},
		{"explain", plain},
		{"similar", "index", plain, "-o", filepath.Join(dir, "x")},
		{"similar", "index", boot, "-o", plain},
		{"similar", "duplicates", plain},
		{"explain", plain, "--method", "patches"},
		{"classify", boot, "--weights", plain},
		{"classify", boot, "--labels", plain},
		{"classify", boot, "--costs", plain},
		{"classify", boot, "--model", yaml, "--random-weights"},
		{"classify", boot, "--preprocess", yaml},
		{"arch", yaml},
		{"convert", plain, filepath.Join(dir, "o.safetensors")},
		{"eval", tar},
		{"eval", bin},
		{"eval", idx},
		{"train", tar, "--model", "tinyvgg", "-o", filepath.Join(dir, "run")},
		{"train", "../../docs", "--recipe", yaml},
		{"train", "../../docs", "--from", plain},
	} {
		start := time.Now()
		code, _, stderr := vggo(t.Context(), args...)
		if code == 0 || time.Since(start) > 20*time.Second {
			t.Errorf("%v: exit %d after %v", args, code, time.Since(start))
		}
		if !strings.Contains(stderr, "a pipe, not a plain file") && args[len(args)-2] != "--from" {
			t.Errorf("%v: %s", args, stderr)
		}
	}
}

// TestMaxPixels: every command that decodes pictures has the flag, and names it where a picture is too large; what is
// broken is not told of it.
func TestMaxPixels(t *testing.T) {
	dir := t.TempDir()
	picturesIn(t, dir, "set/train/a/1.png", "set/train/a/2.png", "set/train/b/1.png", "set/train/b/2.png",
		"set/val/a/1.png", "set/val/b/1.png")
	set, picture, out := filepath.Join(dir, "set"), filepath.Join(dir, "set/train/a/1.png"), filepath.Join(dir, "out.npy")
	const model = "8x8x1:2,M/2"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"classify", picture}, "--max-pixels 784 takes it"},
		{[]string{"features", picture, "--weights", tinyWeights, "--layer", "pool1", "-o", out}, "--max-pixels 784 takes it"},
		{[]string{"explain", picture, "-o", filepath.Join(dir, "o.png")}, "--max-pixels 784 takes it"},
		{[]string{"eval", set, "--model", model, "--random-weights"}, "--max-pixels 784 takes it"},
		{[]string{"train", set, "--model", model, "--batch", "2", "--epochs", "1", "-o", filepath.Join(dir, "run")},
			"--max-pixels 784 takes it"},
	} {
		code, _, stderr := vggo(t.Context(), append(c.args, "--max-pixels", "783")...)
		if code != 1 || !strings.Contains(stderr, "PNG of 28x28 pixels is refused: the limit is 783 pixels") ||
			!strings.Contains(stderr, c.want) {
			t.Errorf("%v: exit %d: %s", c.args, code, stderr)
		}
		if code, _, stderr := vggo(t.Context(), append(c.args, "--max-pixels", "0")...); code != 2 ||
			!strings.Contains(stderr, "--max-pixels must be at least 1, not 0") {
			t.Errorf("%v: exit %d: %s", c.args, code, stderr)
		}
	}
	if code, _, stderr := vggo(t.Context(), "classify", picture, "--max-pixels", "784"); code != 0 {
		t.Errorf("exit %d: %s", code, stderr)
	}
	cut := filepath.Join(dir, "cut.png")
	if whole, err := os.ReadFile(picture); err != nil || os.WriteFile(cut, whole[:100], 0o644) != nil {
		t.Fatal(err)
	}
	if code, _, stderr := vggo(t.Context(), "classify", cut); code != 1 || strings.Contains(stderr, "max-pixels") ||
		!strings.Contains(stderr, "PNG truncated: it ends at byte 100") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// TestSkippedInDataSets: pictures of formats that are not read are counted, in eval and in train.
func TestSkippedInDataSets(t *testing.T) {
	dir := t.TempDir()
	picturesIn(t, dir, "a/1.png", "a/2.png", "a/3.heic", "b/1.png", "b/2.png", "b/2.AVIF", "b/3.heic")
	want := "files are passed over: 1 called *.avif, where an AVIF picture is not read: heif-convert FILE out.jpg " +
		"makes a JPEG of it; 2 called *.heic"
	for _, args := range [][]string{
		{"eval", dir, "--model", "8x8x1:2,M/2", "--random-weights"},
		{"train", dir, "--model", "8x8x1:2,M/2", "--batch", "2", "--epochs", "1", "-o", filepath.Join(t.TempDir(), "run")},
	} {
		if code, _, stderr := vggo(t.Context(), args...); code != 0 || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit %d: %s", args, code, stderr)
		}
	}
	picturesIn(t, dir, "c/1.heic")
	if code, _, stderr := vggo(t.Context(), "eval", dir, "--model", "8x8x1:2,M/3", "--random-weights"); code != 1 ||
		!strings.Contains(stderr, "c: a class folder without pictures that are read: 1 called *.heic") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}
