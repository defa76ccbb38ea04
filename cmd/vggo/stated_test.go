package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestStated: what files state of their network is not overruled, and each refusal's remedy works.
func TestStated(t *testing.T) {
	const ends, picture = "../../weights/testdata/onnx/ends/", "../../docs/examples/boot.png"
	ask := func(args ...string) []string { return append([]string{"classify", picture}, args...) }
	for _, c := range []struct {
		args       []string
		want, hint string
	}{
		{ask("-w", ends+"open-size.onnx"), "the file leaves the size of its pictures open",
			"--input tells it, as --input 224x224x3"},
		{ask("-w", ends+"open-size.onnx", "--input", "8x8"), `--input: shape "8x8": want height x width x channels`, ""},
		{ask("-w", ends+"mul-add.onnx", "--input", "8x8x3"), "it is for pictures of 8x8x3, the file's for 6x5x3",
			"leave --input out"},
		{ask("-w", ends+"max.onnx", "--model", "6x5x3:4,G/3"), "the file's is n2 (maxpool 6x5), where it has globalpool " +
			"(globalavgpool)", "leave --model out"},
		{ask("-w", ends+"logsoftmax.onnx", "--sigmoid"), "the file has a softmax over its 3 outputs", "leave --sigmoid out"},
		{ask("--model", "6x5x3:4,G/1", "--random-weights"), "has one output", "--sigmoid reads it"},
		{[]string{"arch", ends + "open-size.onnx"}, "the file leaves the size of its pictures open", "--input tells it"},
	} {
		code, _, stderr := vggo(t.Context(), c.args...)
		if code == 0 || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, c.hint) {
			t.Errorf("%v: exit %d, %s, want %q and %q", c.args, code, stderr, c.want, c.hint)
		}
	}
	converted := filepath.Join(t.TempDir(), "one.safetensors")
	pair := filepath.Join(t.TempDir(), "pair.txt")
	writeText(t, pair, "no\nyes\n")
	for _, c := range []struct {
		args []string
		want string
	}{
		{ask("-w", ends+"open-size.onnx", "--input", "8x8x3"), "onnx, weights: "},
		{ask("-w", ends+"open-size.onnx", "--model", "8x8x3:4,G/3"), "8x8x3:4,G/3, weights: "},
		{ask("-w", ends+"mul-add.onnx", "--model", "6x5x3:4,G/3"), "6x5x3:4,G/3, weights: "},
		{ask("-w", ends+"sigmoid-one.onnx"),
			"One output, a sigmoid: the probability of class 1; that of class 0 is the rest."},
		{ask("-w", ends+"sigmoid-many.onnx"),
			"Each class has a probability by itself, by a sigmoid: they do not add up to 1."},
		{ask("-w", ends+"sigmoid-many.onnx", "--json"), `"ending": "sigmoid"`},
		{ask("--model", "6x5x3:4,G/1", "--random-weights", "--sigmoid"), "One output, a sigmoid"},
		{[]string{"convert", ends + "sigmoid-one.onnx", converted, "-l", pair}, "to " + converted},
		{ask("-w", converted), "One output, a sigmoid"},
		{ask("-w", converted), "1  yes\n"},
		{[]string{"explain", picture, "-w", converted, "--class", "1", "-o", filepath.Join(t.TempDir(), "e.png")},
			"class 1 (yes)"},
		{[]string{"arch", ends + "open-size.onnx", "--input", "8x8x3"}, "input 8x8x3"},
		{[]string{"features", picture, "--model", "6x5x3:4,G/1", "--random-weights", "--layer", "fc2", "-o",
			filepath.Join(t.TempDir(), "f.npy")}, "fc2 of 1 pictures"},
	} {
		code, stdout, stderr := vggo(t.Context(), c.args...)
		if code != 0 || !strings.Contains(stdout, c.want) {
			t.Errorf("%v: exit %d, %s%s, want %q", c.args, code, stdout, stderr, c.want)
		}
	}
}
