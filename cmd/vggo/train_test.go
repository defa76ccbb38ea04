package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/weights"
)

// writeIDX writes a data set of n grey pictures of 8 by 8 pixels, of classes whose halves are light: left, right, top
// or bottom.
func writeIDX(t *testing.T, dir, name string, n, classes int) {
	t.Helper()
	images := binary.BigEndian.AppendUint32([]byte{0, 0, 8, 3}, uint32(n))
	images = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(images, 8), 8)
	labels := binary.BigEndian.AppendUint32([]byte{0, 0, 8, 1}, uint32(n))
	for i := range n {
		class := i % classes
		labels = append(labels, byte(class))
		for y := range 8 {
			for x := range 8 {
				v := byte(20 + (i*31+x*17+y*7)%60)
				if [4]bool{x < 4, x > 3, y < 4, y > 3}[class] {
					v += 150
				}
				images = append(images, v)
			}
		}
	}
	for file, data := range map[string][]byte{"-images-idx3-ubyte": images, "-labels-idx1-ubyte": labels} {
		if err := os.WriteFile(filepath.Join(dir, name+file), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// succeeds runs a command line that must succeed, and returns what it prints.
func succeeds(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := vggo(t.Context(), args...)
	if code != exitOK {
		t.Fatalf("vggo %s: exit %d: %s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

func tensorOf(t *testing.T, path, name string) []float32 {
	t.Helper()
	f, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := f.Tensor(name)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(v.Data)
}

// missing is what the system says of a file that is not there.
func missing(t *testing.T) string {
	t.Helper()
	_, err := os.Stat(filepath.Join(t.TempDir(), "missing"))
	var named *fs.PathError
	if !errors.As(err, &named) {
		t.Fatalf("nothing is there, and the system says %v", err)
	}
	return named.Err.Error()
}

// TestTrain goes the whole way: train, resume, evaluate what has come of it, and fine-tune it for other classes.
func TestTrain(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"four", "two"} {
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	writeIDX(t, "four", "train", 240, 4)
	writeIDX(t, "four", "t10k", 40, 4)
	writeIDX(t, "two", "train", 120, 2)
	out := succeeds(t, "train", "four", "--model", "8x8x1:8b,M,16/10", "--epochs", "6", "--batch", "16", "--set",
		"augment={flip: ''}", "--set", "hold_out=40", "--test")
	if !strings.Contains(out, "validation: loss") || !strings.Contains(out, "test, views flip+shift: accuracy") ||
		!strings.HasSuffix(out, "the network is vggo-run/model.safetensors, its report vggo-run/report.html\n") {
		t.Errorf("vggo train prints\n%s", out)
	}
	if out := succeeds(t, "eval", "four", "--weights", "vggo-run/model.safetensors"); !strings.Contains(out, "100.0") {
		t.Errorf("the network, which tells itself, scores\n%s", out)
	}
	before, err := os.ReadFile("vggo-run/model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	if out := succeeds(t, "train", "--resume", "vggo-run"); !strings.Contains(out,
		"is finished: all of its 72 steps were taken") || strings.Contains(out, "loss was 0\n") ||
		!strings.Contains(out, "--from vggo-run/model.safetensors") {
		t.Errorf("resuming a finished run prints\n%s", out)
	}
	if after, err := os.ReadFile("vggo-run/model.safetensors"); err != nil || !bytes.Equal(after, before) {
		t.Errorf("resuming a finished run changes its network (%v)", err)
	}
	succeeds(t, "train", "two", "--from", "vggo-run/best.safetensors", "--freeze", "conv1_*,bn1_1/gamma", "--epochs", "1",
		"--batch", "16", "-o", "tuned")
	for _, name := range []string{"conv1_1/w", "conv1_1/b", "bn1_1/gamma"} {
		if !slices.Equal(tensorOf(t, "tuned/model.safetensors", name), tensorOf(t, "vggo-run/best.safetensors", name)) {
			t.Errorf("%s was frozen, and has changed", name)
		}
	}
	if slices.Equal(tensorOf(t, "tuned/model.safetensors", "conv2_1/w"), tensorOf(t, "vggo-run/best.safetensors",
		"conv2_1/w")) {
		t.Error("conv2_1/w was not frozen, and has not changed")
	}
	if got := len(tensorOf(t, "tuned/model.safetensors", "fc3/b")); got != 2 {
		t.Errorf("the new head has %d classes", got)
	}
	succeeds(t, "train", "four", "--model", "8x8x1:8b,M,24/4", "--from", "vggo-run/best.safetensors", "--take",
		"conv1_*,bn1_*", "--freeze", "conv1_1", "--epochs", "0.1", "--batch", "16", "-o", "deeper")
	if !slices.Equal(tensorOf(t, "deeper/model.safetensors", "conv1_1/w"), tensorOf(t, "vggo-run/best.safetensors",
		"conv1_1/w")) {
		t.Error("conv1_1/w was not taken from the file")
	}
}

func TestTrainErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("data", 0o777); err != nil {
		t.Fatal(err)
	}
	writeIDX(t, "data", "train", 64, 4)
	succeeds(t, "train", "data", "--model", "8x8x1:8/4", "--epochs", "1", "--batch", "16", "-o", "done")
	if err := os.Mkdir("empty", 0o777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args       string
		code       int
		want, hint string
	}{
		{"train", 2, "0 data sets named, not one", "vggo train --resume DIR"},
		{"train data", 1, "no network named", "--model tinyvgg"},
		{"train nothing --model 8x8x1:8/4", 1, "nothing: " + missing(t), ""},
		{"train data --model 8x8x1:8/4 --batch 16 -o done", 1, "done holds a run already", "--resume done goes on with it"},
		{"train data --model 8x8x1:8/4 --batch 16 --set hold_out=64", 1, "64 of 64 samples cannot be held out", ""},
		{"train data --model 8x8x1:8/4 --recipe papr", 1, `no recipe is called "papr"`, ""},
		{"train data --model 8x8x1:8/4 --set optimiser.speed=2", 2, `--set "optimiser.speed=2": unknown key "speed"`, ""},
		{"train data --model 8x8x1:8/4 --batch 16 --freeze conv9", 1, `rule 1: "conv9" names no parameter of 8x8x1:8/4`, ""},
		{"train data --model 8x8x1:8/4 --batch 16 --classes 3", 1, "sample 3 is of class 3", ""},
		{"train data --model 8x8x1:8/4 --take conv1", 2, "--take says what to take --from a file, which is missing", ""},
		{"train data --model 8x8x1:9/4 --from done/none.safetensors --batch 16", 1, missing(t), ""},
		{"train data --model 8x8x1:9/4 --from done/model.safetensors --batch 16", 1,
			"conv1_1/w has shape 8x1x3x3, the network needs 9x1x3x3", "--take names the layers that fit"},
		{"train --resume empty", 1, "empty: there is no checkpoint", "begin the run again, without --resume"},
		{"train --resume done --batch 3", 2, "--resume and --batch exclude each other", ""},
		{"train data --model 8x8x1:8/4 --test --batch 16", 1, "data: ", ""},
		{"train data --model 8x8x1:8/4 --batch 16 --set schedule.kind=plateau --set schedule.patience=1", 1,
			"plateau needs validation", "--set hold_out=N"},
		{"train data --model 8x8x1:8/4 --threads -1", 2, "--threads must lie between", ""},
		{"train data --model 8x8x1:8/4 --rate -1 --batch 16", 1, "optimiser: rate must be above 0, not -1", ""},
		{"train data --model 8x8x1:8/4 --rate 1e30 --set polyak=0 --batch 16 -o far", 1,
			"training has diverged; the last good checkpoint is far", "a lower --rate"},
	} {
		code, _, stderr := vggo(t.Context(), strings.Fields(c.args)...)
		lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
		for len(lines) > 1 && strings.Contains(lines[0], "its values are only where the training begins") {
			lines = lines[1:] // said before what is refused
		}
		if code != c.code || !strings.HasPrefix(lines[0], "vggo: ") || !strings.Contains(lines[0], c.want) {
			t.Errorf("vggo %s: exit %d, %q; want exit %d and %q", c.args, code, stderr, c.code, c.want)
		}
		switch {
		case c.hint == "" && len(lines) == 1:
		case c.hint != "" && len(lines) == 2 && strings.Contains(lines[1], c.hint):
		default:
			t.Errorf("vggo %s: %q, want the hint %q", c.args, lines, c.hint)
		}
	}
	if code, _, stderr := vggo(t.Context(),
		strings.Fields("train data --model 8x8x1:8/4 --epochs 1 -o small")...); code != exitOK ||
		!strings.Contains(stderr, "a batch is all of the 64 pictures to learn from") {
		t.Errorf("fewer pictures than a batch: exit %d, %s", code, stderr)
	}
}

// TestTrainSays: what the data makes of a network, of a batch and of a run is said, and named rightly in what is left.
func TestTrainSays(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"three", "two"} {
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	writeIDX(t, "three", "train", 33, 3)
	writeIDX(t, "two", "train", 32, 2)
	code, out, faults := vggo(t.Context(), "train", "three", "--model", "8x8x1:8/2", "--epochs", "1", "-o", "run")
	for _, want := range []string{
		"8x8x1:8/2 tells 2 classes apart, the data has 3: its last layer, fc2, is made for 3",
		"a batch is all of the 33 pictures to learn from",
	} {
		if code != exitOK || !strings.Contains(faults, want) {
			t.Errorf("exit %d, %q, want %q", code, faults, want)
		}
	}
	for _, want := range []string{"8x8x1:8/3, recipe plain, 33 pictures of 3 classes",
		"nothing was validated, so run/best.safetensors is the last state too"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q, want %q", out, want)
		}
	}
	for _, file := range []string{"run/recipe.yaml", "run/run.json", "run/report.html", "run/model.safetensors",
		"run/best.safetensors"} {
		text, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(text, []byte("8x8x1:8/3")) && !strings.HasSuffix(file, ".safetensors") {
			t.Errorf("%s does not name the network that there is (%v)", file, err)
		}
	}
	// The classes of two are three's first two: the number is said, the network is not made anew for a third.
	code, _, faults = vggo(t.Context(), "train", "two", "--resume", "run")
	if code != exitFailure || !strings.Contains(faults, "the run's number of classes was another: 3, now 2") ||
		!strings.Contains(faults, "hint: ") {
		t.Errorf("other classes: exit %d, %q", code, faults)
	}
	code, _, faults = vggo(t.Context(), "train", "two", "--model", "8x8x1:8,M/2", "--rate", "40", "--set", "polyak=0",
		"--set", "clip=1", "--epochs", "12", "-o", "wild")
	if code != exitOK || !strings.Contains(faults, "of guessing one of 2 classes") {
		t.Errorf("a run that learns nothing: exit %d, %q", code, faults)
	}
	code, _, _ = vggo(t.Context(), "train", "two", "--model", "8x8x1:8,M/2", "--freeze", "conv9", "-o", "never/began")
	if _, err := os.Stat("never"); code != exitFailure || !os.IsNotExist(err) {
		t.Errorf("a run that never began: exit %d, %v", code, err)
	}
}
