package main

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// reportsFolder is a folder that looks like the one of reports, but can be written to.
func reportsFolder(t *testing.T) string {
	t.Helper()
	data := os.Getenv("VGGO_TESTDATA")
	if data == "" {
		t.Skip("VGGO_TESTDATA names no folder of real files")
	}
	top := t.TempDir()
	dir := filepath.Join(top, "reports")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(data, "reports")
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(data, "labels"), filepath.Join(top, "labels")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// plain16 is PyTorch's answer of reports/plain16.pth for pic16.png, by class.
var plain16 = []float64{.2306, .2817, .2492, .2385}

// TestReports runs situations from public problem reports of other tools, each by its own command line: the right
// answer, or a refusal that names the thing.
func TestReports(t *testing.T) {
	t.Chdir(reportsFolder(t))
	if out, err := exec.Command("tar", "xzf", "25-train-from-preparation/mid.tar.gz").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const n = "--model 16x16x3:8,M,8,M/16,4 --recipe unit"
	for _, c := range []struct {
		line   string
		want   []float64 // of the picture, by class; of features, by channel
		exit   int
		stdout []string // parts
		stderr []string
	}{
		{line: "features 20-keras-vgg-finetuned-rescaled/pic32.png -w 20-keras-vgg-finetuned-rescaled/finetuned.h5 " +
			"--recipe " +
			"unit --layer dense -o o.npy",
			want: []float64{-.0883, .6155, -.0990}, stdout: []string{"preprocess: unit (asked for): RGB"},
			stderr: []string{"--recipe is called --preprocess now"}},
		{line: "classify pic18.png -w 28-bgr-torch/vgg16_caffe_style.pth --model 16x16x3:8,M,8,M/16,4 --preprocess caffe",
			want:   []float64{.2342, .5172, .2301, .0186},
			stdout: []string{"preprocess: caffe (asked for): BGR"}},
		{line: "train 33-split-names/Training+Testing --model 16x16x3:8,M,8,M/3 --batch 4 --epochs 1 -o split1",
			stdout: []string{"of 3 classes"}},
		{line: "train 33-split-names/train+valid --model 16x16x3:8,M,8,M/3 --batch 4 --epochs 1 -o split2",
			stdout: []string{"of 3 classes"}},
		{line: "train mid --from 25-train-from-preparation/model.safetensors --rate 1e-9 --batch 20 --epochs 1 " +
			"--validation " +
			"mid -o from",
			stdout: []string{"preprocess: cifar10 (as 25-train-from-preparation/model.safetensors has it: the file notes it)",
				"validation: accuracy 100.00 %"}},
		{line: "eval mid -w from/model.safetensors", stdout: []string{"preprocess: cifar10 (the file notes it)",
			"top-1 100.00 %"}},
		{line: "classify pic16.png -w 19-binary-one-output/binary.pth --model 16x16x3:8,M,8,M/16,1 --recipe unit", exit: 1,
			stderr: []string{"--sigmoid"}},
		{line: "classify pic16.png -w 19-binary-one-output/binary.pth --model 16x16x3:8,M,8,M/16,1 --recipe unit --sigmoid",
			want: []float64{.89, .11}},
		{line: "classify pic16.png -w keras/elu.h5", exit: 1, stderr: []string{"elu"}},
		{line: "classify pic16.png -w keras/elu.h5 " + n, exit: 1, stderr: []string{"elu"}},
		{line: "eval data/deeper --model 16x16x3:3/3 --recipe unit -w data/colour3.pth -l data/labels-typo.txt", exit: 1,
			stderr: []string{"bee"}},
		{line: "train train/oneclass --model 16x16x3:8,M,8,M/1 --epochs 2 --batch 4 -o one", exit: 1,
			stderr: []string{"one class"}},
		{line: "train train/three --model 16x16x3:8,M,8,M/2 --batch 10 --epochs 1 -o three",
			stdout: []string{"16x16x3:8,M,8,M/3, recipe plain"}, stderr: []string{"16x16x3:8,M,8,M/2"}},
		{line: "explain data/numeric/10/00.png --model 16x16x3:3/3 --recipe unit -w data/colour3.pth -l " +
			"data/labels-numeric.txt --class 1 -o e.png", stdout: []string{"class 0 (1)"}},
		{line: "classify pic16.png " + n + " -w 01-dataparallel-checkpoint/checkpoint.pth", want: plain16},
		{line: "classify pic16.png " + n + " -w 01-dataparallel-checkpoint/checkpoint.pth.tar", want: plain16},
		{line: "classify pic16.png " + n + " -w 01-dataparallel-checkpoint/float-best.pth", want: plain16},
		{line: "classify pic16.png " + n + " -w 02-features-module/state-dict-only.pth", want: plain16},
		{line: "classify pic16.png " + n + " -w 02-features-module/model_best.pth", want: plain16},
		{line: "classify pic16.png " + n + " -w 02-features-module/float-best.pth", want: plain16},
		{line: "classify pic16.png " + n + " -w 03-torch-compile-prefix/compiled.pth", want: plain16},
		{line: "classify pic16.png " + n + " -w 31-safetensors-odd/prefix-module.safetensors", want: plain16},
		{line: "classify pic16.png " + n + " -w 09-lightning-ckpt/last.ckpt", want: plain16},
		{line: "classify pic16.png " + n + " -w 07-torchvision-reference-checkpoint/model_3.pth", want: plain16},
		{line: "classify pic16.png --model 16x16x3:8b,M,8b,M/4 --recipe unit -w 27-kuangliu-naming/ckpt.pth",
			want: []float64{.2218, .2398, .2715, .2669}},
		{line: "classify pic16.png --model 27-kuangliu-naming/net.yaml --recipe unit -w 27-kuangliu-naming/ckpt-plain.pth",
			want: []float64{.2218, .2398, .2715, .2669}},
		{line: "train mid --from 23-keras-notop/vgg_small_notop.h5 --take conv* --model " +
			"32x32x3:6,6,M,6,6,M,6,6,6,M,6,6,6,M,6,6,6,M/6 --batch 8 --epochs 1 -o notop", stdout: []string{"of 6 classes"}},
		{line: "classify pic16.png --model 16x16x3:8,M,8,M/16,4 -w plain16.pth --mean 0.5,0.5,0.5 --std 0.5,0.5,0.5 " +
			"--scale 255", want: []float64{.2307, .2823, .2456, .2414}},
		{line: "classify pic16.png --model 16x16x3:8,M,8,M/16,4 -w plain16.pth --preprocess 34-own-normalisation/half.yaml",
			want: []float64{.2307, .2823, .2456, .2414}, stdout: []string{"preprocess: half"}},
		{line: "classify pic16.png " + n + " -w 15-numpy-pickled-dict/vgg16.npy", want: plain16},
		{line: "classify pic16.png " + n + " -w 26-npz-frossard/vgg16_weights.npz", want: plain16},
		{line: "classify pic16.png " + n + " -w 14-sharded-safetensors/whole.safetensors", want: plain16},
		{line: "classify pic16.png " + n + " -w 14-sharded-safetensors/model.safetensors.index.json", want: plain16},
		{line: "classify pic16.png " + n + " -w 14-sharded-safetensors", want: plain16},
		{line: "classify pic16.png --recipe unit -w onnx/dynamic-hw.onnx", exit: 1, stderr: []string{"--input"}},
		{line: "classify pic16.png --recipe unit -w onnx/dynamic-hw.onnx --input 16x16x3", want: plain16},
		{line: "classify pic16.png --recipe unit -w onnx/logsoftmax-end.onnx", want: plain16},
		{line: "classify pic16.png --recipe unit -w onnx/mul-add.onnx", want: []float64{.2285, .2831, .2495, .2389}},
		{line: "classify data/numeric/10/00.png --model 16x16x3:3/3 --recipe unit -w data/colour3.pth -l " +
			"data/class_indices.json", stdout: []string{" a", " b", " c"}},
		{line: "classify data/numeric/10/00.png --model 16x16x3:3/3 --recipe unit -w data/colour3.pth -l " +
			"data/class_index.json", stdout: []string{" a", " b", " c"}},
		{line: "eval data/imagenette --model 32x32x3:4,M/1000 --random-weights -l ../labels/imagenet-synsets.txt",
			stdout: []string{"9 pictures", "tench"}},
		{line: "classify 32-huge/phone-108mp.png", exit: 1, stderr: []string{"--max-pixels"}},
		{line: "classify 32-huge/phone-108mp.png --max-pixels 110000000", stdout: []string{"9000x12000 pixels"}},
		{line: "classify pictures/heic.heic", exit: 1, stderr: []string{"HEIC"}},
	} {
		args := strings.Fields(c.line)
		code, stdout, stderr := vggo(t.Context(), args...)
		if code != c.exit {
			t.Errorf("%s: exit %d, want %d\n%s%s", c.line, code, c.exit, stdout, stderr)
			continue
		}
		for _, part := range c.stdout {
			if !strings.Contains(stdout, part) {
				t.Errorf("%s: says\n%s, not %q", c.line, stdout, part)
			}
		}
		for _, part := range c.stderr {
			if !strings.Contains(stderr, part) {
				t.Errorf("%s: says\n%s, not %q", c.line, stderr, part)
			}
		}
		if c.want == nil {
			continue
		}
		for class, got := range valuesOf(t, args, len(c.want)) {
			if math.Abs(got-c.want[class]) > 6e-5 && !(len(c.want) == 2 && math.Abs(got-c.want[class]) < 5e-3) {
				t.Errorf("%s: %d is %.4f, want %.4f", c.line, class, got, c.want[class])
			}
		}
	}
}

// valuesOf runs a command line that classifies once more for JSON, or reads the array that it wrote.
func valuesOf(t *testing.T, args []string, n int) []float64 {
	t.Helper()
	values := make([]float64, n)
	if args[0] == "features" {
		for i, v := range tensorOf(t, args[len(args)-1], "array") {
			values[i] = float64(v)
		}
		return values
	}
	var said classification
	decodeJSON(t, succeeds(t, append(args, "--json", "--top", "1000")...), &said)
	if got := len(said.Pictures[0].Classes); got != n {
		t.Fatalf("%v: %d classes, want %d", args, got, n)
	}
	for _, class := range said.Pictures[0].Classes {
		values[class.Index] = class.Probability
	}
	return values
}
