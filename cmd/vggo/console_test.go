package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/vggo/vggo/internal/durable"
)

// rawBytes are control characters and the like in what was printed, of which a terminal would make something else.
func rawBytes(text string) (found []string) {
	for i, r := range text {
		if _, n := utf8.DecodeRuneInString(text[i:]); r != '\n' && r != '\t' &&
			unicode.In(r, unicode.Cc, unicode.Bidi_Control, unicode.Zl, unicode.Zp) || r == utf8.RuneError && n == 1 {
			found = append(found, fmt.Sprintf("%q at %d", r, i))
		}
	}
	return found
}

// TestNamesOfStrangers: names of files, folders, classes, networks and tensors that hold escapes, line ends and turns
// of direction are printed so that no terminal acts upon them and no line is begun.
func TestNamesOfStrangers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such names")
	}
	const evil = "a\x1b[31m\u202e\u009b2J\x07\nhint: rm -rf \xff~"
	dir := t.TempDir()
	write := func(path string, data []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), data, 0o666); err != nil {
			t.Skipf("this file system has no such names: %v", err)
		}
	}
	boot, err := os.ReadFile("../../docs/examples/boot.png")
	if err != nil {
		t.Fatal(err)
	}
	weights, err := filepath.Abs(tinyWeights)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	write(evil+".png", boot)
	write("broken/"+evil+".png", []byte("no picture"))
	write("broken/ok.png", boot)
	write("classes/"+evil+"/1.png", boot)
	write("classes/b/1.png", boot)
	write("classes/c/"+evil+".png", []byte("no picture"))
	write("labels.json", fmt.Appendf(nil, `["\u001b[31m\u202e\nhint: rm -rf \u0007",%s]`, strings.Repeat(`"x",`, 8)+`"y"`))
	write(evil+".safetensors", whole[:len(whole)/2])
	write(evil+".yaml", []byte("name: x\nlayers: nothing\n"))
	write("names.yaml",
		[]byte(`{"name": "x\u001b[31m\u202e", "input": "8x8x3", "layers": [{"name": "a\u001b[2Jb", "op": "conv", "out": `+
			`4, "kernel": 3}]}`))
	t.Chdir(dir)
	for _, args := range [][]string{
		{"classify", evil + ".png"}, {"classify", evil + ".png", "--json"}, {"classify", "broken"},
		{"classify", "broken", "--json"},
		{"classify", evil}, {"classify", evil + ".png", "-w", evil}, {"classify", evil + ".png", "-w", evil + ".safetensors"},
		{"classify", evil + ".png", "-w", weights, "-l", "labels.json", "--top", "10"}, {"classify", evil + ".png",
			"-l", evil},
		{"eval", "classes"}, {"eval", "classes", "--json"}, {"eval", evil},
		{"features", "broken", "--layer", "relu1_1", "-o", "out" + evil[:5] + ".npy"}, {"features", evil + ".png", "--layer",
			evil, "-o", "o.npy"},
		{"explain", evil + ".png", "-o", evil + "-map.png"}, {"explain", evil + ".png", "-w", weights, "-l", "labels.json",
			"-o", "map.png"}, {"explain", evil + ".png"},
		{"convert", evil + ".safetensors", "o.npz"}, {"convert", weights, evil + ".npz"}, {"convert", weights, evil},
		{"arch", evil}, {"arch", evil + ".yaml"}, {"arch", "names.yaml"}, {"arch", "names.yaml", "--json"},
		{"arch", "names.yaml", "--format", "csv"}, {"field", "names.yaml"},
		{"train", evil, "-o", "r"}, {"pull", evil}, {evil}, {"arch", "vgg16", "--" + evil}, {"arch", "vgg16", "--format",
			evil}, {"bench", "--model", evil},
		{"similar", "index", "broken", evil + ".png", "-o", "x" + evil[:5]}, {"similar", "index", evil, "-o", evil + ".png"},
		{"similar", "find", evil, evil}, {"similar", "duplicates", evil}, {"similar", evil}, {"similar", evil, "--export",
			evil},
		{"calibrate", "-o", "missing/" + evil}, {"serve", "--addr", evil}, {"serve", "--weights", evil + "=" + evil},
	} {
		_, stdout, stderr := vggo(t.Context(), args...)
		for name, text := range map[string]string{"stdout": stdout, "stderr": stderr} {
			if found := rawBytes(text); found != nil {
				t.Errorf("%q: %s holds %v:\n%q", args, name, found, text)
			}
			if strings.HasPrefix(text, "hint: rm") || strings.Contains(text, "\nhint: rm") {
				t.Errorf("%q: %s has a line of a stranger's:\n%s", args, name, text)
			}
		}
	}
}

// TestExternalPaths: so it is with what files name themselves.
func TestExternalPaths(t *testing.T) {
	data := os.Getenv("VGGO_TESTDATA")
	if data == "" {
		t.Skip("VGGO_TESTDATA is not set")
	}
	for name, want := range map[string]string{"onnx-ext-esc.onnx": `their own, \x1b[2J,`, "onnx-ext-nul.onnx": `a\x00b`} {
		code, _, stderr := vggo(t.Context(), "classify", "../../docs/examples/boot.png", "-w", filepath.Join(data, "reports",
			"hostile", name))
		if code != 1 || rawBytes(stderr) != nil || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, %q, want %s", name, code, stderr, want)
		}
	}
}

// TestSaidOnce: no error says a thing twice: "x: x: …".
func TestSaidOnce(t *testing.T) {
	data := os.Getenv("VGGO_TESTDATA")
	if data == "" {
		t.Skip("VGGO_TESTDATA is not set")
	}
	seen := 0
	for _, folder := range []string{"hostile", "images-bad", filepath.Join("reports", "hostile"), filepath.Join("reports",
		"pictures"), filepath.Join("reports", "keras"), filepath.Join("reports", "onnx")} {
		err := filepath.WalkDir(filepath.Join(data, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return nil
			}
			args := []string{"classify", path}
			switch filepath.Ext(path) {
			case ".pkl", ".h5", ".onnx", ".npy", ".npz", ".bin", ".pt", ".pth", ".zip", ".pickle", ".keras":
				args = []string{"classify", "../../docs/examples/boot.png", "-w", path}
			case ".jpg", ".tif":
				return nil // bombs
			}
			_, _, stderr := vggo(t.Context(), args...)
			if list := goList.FindString(stderr); list != "" {
				t.Errorf("a list of Go's, %s, in %s", list, stderr)
			}
			for line := range strings.Lines(stderr) {
				seen++
				parts := strings.Split(strings.TrimSpace(strings.ReplaceAll(line, path, "FILE")), ": ")
				for i, part := range parts {
					for _, other := range parts[i+1:] {
						if strings.EqualFold(part, other) || len(part) > 10 && strings.Contains(other, part) {
							t.Errorf("said twice: %s", line)
						}
					}
					if half := len(part) / 2; half > 10 && part[:half] == part[len(part)-half:] {
						t.Errorf("said twice: %s", line)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if seen < 50 {
		t.Errorf("only %d errors were looked at", seen)
	}
	_, _, stderr := vggo(t.Context(), "classify", "../../docs/examples/boot.png", "-w", filepath.Join(data, "reports",
		"hostile", "testdata_dense_links.h5"))
	if !strings.HasSuffix(stderr, `testdata_dense_links.h5: byte 11999: array "x": an array that was never written`+"\n") {
		t.Errorf("%s", stderr)
	}
}

// fullDisk takes so many bytes.
type fullDisk struct{ left int }

func (f *fullDisk) Write(p []byte) (int, error) {
	if len(p) > f.left {
		return 0, &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
	}
	f.left -= len(p)
	return len(p), nil
}

// TestFullOutput: whatever a command prints, output that cannot be written is exit 1 and one line that says so.
func TestFullOutput(t *testing.T) {
	boot, dir := "../../docs/examples/boot.png", t.TempDir()
	for _, args := range [][]string{
		{}, {"--help"}, {"help"}, {"train", "--help"}, {"help", "serve"}, {"version"}, {"version", "--json"},
		{"completion", "bash"}, {"completion", "zsh"},
		{"arch", "vgg16"}, {"arch", "vgg16", "--json"}, {"arch", "vgg16", "--format", "svg"}, {"arch", "--list"},
		{"arch", "--compare", "vgg16,vgg19"}, {"arch", "vgg16", "--describe"},
		{"field", "vgg16"}, {"models"}, {"models", "--json"},
		{"classify", boot}, {"classify", boot, "--json"}, {"classify", boot, boot},
		{"features", boot, "--layer", "relu1_1", "-o", filepath.Join(dir, "f.npy")}, {"convert", tinyWeights,
			filepath.Join(dir, "c.npz")},
		{"explain", boot, "-o", filepath.Join(dir, "e.png")},
		{"similar", "index", boot, "-o", filepath.Join(dir, "x")}, {"similar", "find", filepath.Join(dir, "x"), boot},
		{"similar", "duplicates", filepath.Join(dir, "x")}, {"similar", filepath.Join(dir, "x"), "--export", "csv"},
		{"similar"}, {"similar", "find", "--help"},
		{"bench", "--model", "tinyvgg", "--explain-plan"}, {"bench", "--model", "tinyvgg", "--steps", "1", "--burn-in", "0",
			"--batch", "1", "--json"},
	} {
		rooms := []int{0, 20}
		if len(args) > 0 && args[0] == "bench" { // which measures before
			rooms = []int{0}
		}
		for _, room := range rooms {
			var stderr bytes.Buffer
			if code := run(t.Context(), args, &fullDisk{room}, &stderr); code != exitFailure {
				t.Errorf("%q: exit %d, %s", args, code, &stderr)
			}
			if n := strings.Count(stderr.String(), "vggo: cannot write to standard output: no space left on device\n"); n != 1 &&
				runtime.GOOS != "windows" {
				t.Errorf("%q says %s", args, &stderr)
			}
		}
	}
}

// TestBrokenPipe: a reader that has seen enough is no fault to speak of.
func TestBrokenPipe(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such pipes")
	}
	for _, args := range [][]string{{"arch", "vgg16"}, {"--help"}, {"models", "--json"}} {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		in.Close()
		var stderr bytes.Buffer
		cmd := exec.Command("vggo", args...)
		cmd.Stdout, cmd.Stderr = out, &stderr
		if err := cmd.Run(); err == nil || stderr.Len() > 0 {
			t.Errorf("%q: %v, %s", args, err, &stderr)
		}
		out.Close()
	}
}

// TestInterrupted: a command that is given up says so in words of its own and leaves nothing half-written.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"o.safetensors", "o.npz", "o.onnx"} {
		for left := range 8 {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte("before"), 0o666); err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := vggo(&countedContext{Context: t.Context(), left: left}, "convert", tinyWeights, path)
			if code != 1 || stdout != "" || !strings.Contains(stderr, "interrupted") || strings.Contains(stderr, "context") {
				t.Errorf("%s after %d looks: exit %d, %s%s", name, left, code, stdout, stderr)
			}
			if text, err := os.ReadFile(path); err != nil || string(text) != "before" {
				t.Errorf("%s is replaced (%v)", name, err)
			}
			os.Remove(path)
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
				t.Errorf("%s leaves %v (%v)", name, entries, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, _, stderr := vggo(ctx, "features", "../../docs/examples/boot.png", "--layer", "relu1_1", "-o",
		filepath.Join(dir, "f.npy"))
	if entries, err := os.ReadDir(dir); code != 1 || !strings.Contains(stderr, "interrupted: 0 of 1 pictures are done") ||
		err != nil || len(entries) > 0 {
		t.Errorf("features: exit %d, %s leaves %v (%v)", code, stderr, entries, err)
	}
	code, _, stderr = vggo(ctx, "pull", "vgg16", "--dir", dir)
	if code != 1 || !strings.HasSuffix(stderr, "vggo: vgg16: interrupted\nhint: vggo pull vgg16 begins again: nothing "+
		"had come yet that it could go on from\n") {
		t.Errorf("pull: exit %d, %s", code, stderr)
	}
}

// TestFeaturesApart: two runs into one file are kept apart, and the second does no harm to the first.
func TestFeaturesApart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.npy")
	for name, content := range map[string]string{".partial": "rows", ".partial.names": "names"} {
		if err := os.WriteFile(path+name, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	first, err := os.OpenFile(path+".partial", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := durable.TryLock(first); err != nil {
		t.Fatal(err)
	}
	second, err := os.OpenFile(path+".partial", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if err := durable.TryLock(second); !errors.Is(err, durable.ErrLocked) {
		t.Skip("this system has no locks")
	}
	for _, restart := range []string{"--restart=false", "--restart"} {
		code, _, stderr := vggo(t.Context(), "features", "../../docs/examples/boot.png", "--layer", "relu1_1", "-o",
			path, restart)
		if code != 1 || !strings.Contains(stderr, "another vggo features is writing "+path+
			"\nhint: wait until it is done, or name another file\n") {
			t.Errorf("exit %d, %s", code, stderr)
		}
	}
	for name, content := range map[string]string{".partial": "rows", ".partial.names": "names"} {
		if text, err := os.ReadFile(path + name); err != nil || string(text) != content {
			t.Errorf("%s holds %q (%v)", name, text, err)
		}
	}
}
