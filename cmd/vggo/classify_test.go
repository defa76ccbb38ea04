package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

const (
	tinyWeights = "../../weights/testdata/tinyvgg-fashionmnist.safetensors"
	tinyGolden  = "../../weights/testdata/tinyvgg-fashionmnist.json"
	tinyImages  = "../../weights/testdata/fashion-mnist-100.idx.gz"
)

// clothes writes the first n Fashion-MNIST images as PNG files.
func clothes(t *testing.T, n int) []string {
	t.Helper()
	images, err := vision.ReadIDXFile(tinyImages)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var paths []string
	for i := range n {
		p, err := images.Picture(i)
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := png.Encode(&file, &image.Gray{Pix: p.Pix, Stride: p.W, Rect: image.Rect(0, 0, p.W, p.H)}); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, filepath.Join(dir, string(rune('a'+i))+".png"))
		if err := os.WriteFile(paths[i], file.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

// vggo runs a command line.
func vggo(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

// TestClassifyIsPyTorchs classifies image files with trained weights and compares with PyTorch's probabilities.
func TestClassifyIsPyTorchs(t *testing.T) {
	text, err := os.ReadFile(tinyGolden)
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Logits [][]float64
		Top1   []int
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	labels := filepath.Join(t.TempDir(), "labels.txt")
	names := []string{"T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"}
	if err := os.WriteFile(labels, []byte(strings.Join(names, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	files := clothes(t, 20)
	args := append([]string{"classify", "--model", "tinyvgg", "--weights", tinyWeights, "--labels", labels, "--top", "3",
		"--json"}, files...)
	code, stdout, stderr := vggo(t.Context(), args...)
	if code != 0 || stderr != "" {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var got classification
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	if got.Model != "tinyvgg" || got.Weights != tinyWeights || got.Preprocess.Name != "unit" || got.Kernel == "" ||
		len(got.Pictures) != len(files) {
		t.Fatalf("%+v", got)
	}
	for i, p := range got.Pictures {
		if p.File != files[i] || p.Width != 28 || p.Height != 28 || len(p.Classes) != 3 {
			t.Fatalf("picture %d: %+v", i, p)
		}
		if p.Classes[0].Index != golden.Top1[i] {
			t.Errorf("picture %d: class %d, PyTorch's %d", i, p.Classes[0].Index, golden.Top1[i])
		}
		sum := 0.0
		for _, v := range golden.Logits[i] {
			sum += math.Exp(v)
		}
		last := 1.0
		for _, r := range p.Classes {
			if want := math.Exp(golden.Logits[i][r.Index]) / sum; !(math.Abs(r.Probability-want) < 1e-5) ||
				r.Label != names[r.Index] {
				t.Errorf("picture %d, class %d %q: probability %v, PyTorch's %v", i, r.Index, r.Label, r.Probability, want)
			}
			if r.Probability > last {
				t.Errorf("picture %d: classes are not sorted", i)
			}
			last = r.Probability
		}
	}
}

func TestClassifyPrints(t *testing.T) {
	files := clothes(t, 2)
	code, stdout, stderr := vggo(t.Context(), "classify", files[0], files[1], "-m", "tinyvgg", "-w", tinyWeights, "--top",
		"2", "--threads", "1")
	if code != 0 || stderr != "" {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for _, want := range []string{
		"tinyvgg, weights: " + tinyWeights + ", kernels: ", ", threads: 1\n",
		"preprocess: unit (a guess: ",
		files[0] + ": 28x28 pixels, prepared in ", files[1] + ": 28x28 pixels",
		"rank  probability  class\n", "\n   1 ", "\n   2 ",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "\n   3 ") || strings.Contains(stdout, "label") {
		t.Errorf("more than asked for:\n%s", stdout)
	}
}

func TestClassifyRandomWeights(t *testing.T) {
	file := clothes(t, 1)[0]
	answer := func(args ...string) []root.Class {
		t.Helper()
		code, stdout, stderr := vggo(t.Context(), append([]string{"classify", file, "-m", "tinyvgg", "--random-weights",
			"--json", "--top", "100"}, args...)...)
		if code != 0 {
			t.Fatalf("exit %d: %s", code, stderr)
		}
		var got classification
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(got.Weights, "random weights, seed ") {
			t.Errorf("weights %q", got.Weights)
		}
		return got.Pictures[0].Classes
	}
	first, again, other := answer(), answer("--threads", "3"), answer("--seed", "2")
	if len(first) != 10 {
		t.Fatalf("%d classes, want all 10", len(first))
	}
	different := false
	for i := range first {
		if first[i] != again[i] {
			t.Errorf("the same seed with more threads gives %v, then %v", first[i], again[i])
		}
		different = different || first[i] != other[i]
	}
	if !different {
		t.Error("another seed gives the same answer")
	}
}

func TestClassifyRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := clothes(t, 1)[0]
	picture, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	cutPicture := write("cut.png", picture[:50])
	notPicture := write("note.jpg", []byte("hello"))
	trained, err := os.ReadFile(tinyWeights)
	if err != nil {
		t.Fatal(err)
	}
	cutWeights := write("cut.safetensors", trained[:len(trained)-1])
	labels := write("labels.txt", []byte("cat\ndog\n"))
	stranger := filepath.Join(dir, "stranger.safetensors")
	if err := weights.Write(stranger, []weights.Tensor{{Name: "encoder.weight", Shape: []int{1}, Data: []float32{1}}},
		nil); err != nil {
		t.Fatal(err)
	}
	header := 8 + binary.LittleEndian.Uint64(trained)
	nan := write("nan.safetensors", append(trained[:header:header], bytes.Repeat([]byte{0xff},
		len(trained)-int(header))...))
	large := bytes.Clone(trained)
	for i := range 20 { // of the first convolution, among its weights
		binary.LittleEndian.PutUint32(large[int(header)+4*i:], math.Float32bits(1e6))
	}
	beyond := write("beyond.safetensors", large)
	tooLarge := "forward of one image needs about"
	if strconv.IntSize == 32 { // as many values cannot be counted
		tooLarge = "more than 268435456 values"
	}

	for _, c := range []struct {
		what string
		args []string
		code int
		want string // of the error line
		hint string
	}{
		{"no picture", nil, 2, "no picture named", "vggo classify photo.jpg"},
		{"beyond float16", []string{good, "-w", beyond, "--half=all"}, 1, "the largest float16 is 65504", "leave --half out"},
		{"no weights", []string{good, "-m", "vgg16"}, 2, "no weights for vgg16", "--random-weights"},
		{"both weights", []string{good, "-w", tinyWeights, "--random-weights"}, 2, "exclude each other", ""},
		{"unknown flag", []string{good, "--wieghts", "a"}, 2, "unknown flag", "vggo classify --help"},
		{"top", []string{good, "--random-weights", "--top", "0"}, 2, "--top must be at least 1", ""},
		{"threads", []string{good, "--random-weights", "--threads", "-1"}, 2, "--threads must lie between 0 and 1024, not -1",
			""},
		{"many threads", []string{good, "--random-weights", "--threads", "20000"}, 2, "not 20000", ""},
		{"number", []string{good, "--random-weights", "--top", "five"}, 2, `--top: "five" is no whole number in range`,
			"vggo classify --help"},
		{"unknown preprocess", []string{good, "-m", "tinyvgg", "--random-weights", "--preprocess", "cafe"}, 1,
			`unknown preprocess "cafe": want one of imagenet, caffe, caffe-rgb, cifar10, fashion-mnist, unit, or a file ` +
				`ending in .yaml`, ""},
		{"colour preprocess", []string{good, "-m", "tinyvgg", "--random-weights", "--preprocess", "imagenet"}, 1,
			"preprocess imagenet is for colour, not for grey pictures: take unit", ""},
		{"unknown model", []string{good, "-m", "tinyvg", "--random-weights"}, 1, `no network is called "tinyvg"`, "tinyvgg"},
		{"model of odd channels", []string{good, "-m", "8x8x2:4/3", "--random-weights"}, 1,
			"8x8x2:4/3 takes 2 channels: a picture has 1 or 3", ""},
		{"too large for any machine", []string{good, "-m", "1000000x50000x1:8", "--random-weights"}, 1,
			tooLarge, ""},
		{"missing picture", []string{good + "x", "-m", "tinyvgg", "--random-weights"}, 1, good + "x", ""},
		{"truncated picture", []string{cutPicture, "-m", "tinyvgg", "--random-weights"}, 1, cutPicture + ": ", ""},
		{"not a picture", []string{notPicture, "-m", "tinyvgg", "--random-weights"}, 1, notPicture +
			": not a JPEG, PNG, GIF, WebP, BMP or TIFF", ""},
		{"missing weights", []string{good, "-m", "tinyvgg", "-w", tinyWeights + "x"}, 1, tinyWeights + "x", ""},
		{"weights of another format", []string{good, "-m", "tinyvgg", "-w", good}, 1, "no format that vggo reads",
			"vggo reads safetensors"},
		{"truncated weights", []string{good, "-m", "tinyvgg", "-w", cutWeights}, 1, cutWeights + ": byte 31768: ", ""},
		{"wrong shapes", []string{good, "-m", "10,10,M,10,10,M/10", "-w", tinyWeights}, 1,
			"2 of the wrong shape (conv1_1/w is 10x1x3x3, not 10x3x3x3", "without --model the file tells its network: tinyvgg " +
				"of 10 classes"},
		{"another network's weights", []string{good, "-m", "tinyvgg", "-w", stranger}, 1,
			"another network's weights: it has encoder.weight", "--model must name"},
		{"labels", []string{good, "-m", "tinyvgg", "-w", tinyWeights, "-l", labels}, 1,
			"tinyvgg has 10 classes, not the 2 that are named", "one name for each class"},
		{"NaN", []string{good, "-m", "tinyvgg", "-w", nan}, 1, "the answer of tinyvgg is NaN", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			code, _, stderr := vggo(t.Context(), append([]string{"classify"}, c.args...)...)
			refused(t, code, stderr, c.code, c.want, c.hint)
		})
	}
}

// TestClassifyStops prints what was answered before a bad picture or an interrupt.
func TestClassifyStops(t *testing.T) {
	files := clothes(t, 1)
	code, stdout, stderr := vggo(t.Context(), "classify", files[0], files[0]+"x", "-m", "tinyvgg", "-w", tinyWeights)
	if code != 1 || !strings.Contains(stdout, files[0]+": 28x28") || !strings.Contains(stderr, files[0]+"x") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, stdout, stderr = vggo(ctx, "classify", files[0], "-m", "tinyvgg", "-w", tinyWeights)
	if code != 1 || stdout != "" || !strings.HasPrefix(stderr, "vggo: interrupted before "+files[0]) {
		t.Errorf("interrupted: exit %d, %q, %q", code, stdout, stderr)
	}
}

// TestClassifyPhoto is a real photograph through the real VGG-16, with weights that mean nothing.
func TestClassifyPhoto(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: no photograph is classified")
	}
	if testing.Short() {
		t.Skip("VGG-16 takes seconds")
	}
	code, stdout, stderr := vggo(t.Context(), "classify", filepath.Join(root, "photos/caffe-cat.jpg"),
		"--model", "vgg16", "--random-weights", "--labels", filepath.Join(root, "labels/imagenet-synsets.txt"), "--json")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var got classification
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatal(err)
	}
	classes := got.Pictures[0].Classes
	if got.Input != "224x224x3" || got.Preprocess.Name != "imagenet" || len(classes) != 5 || classes[0].Label == "" {
		t.Errorf("%+v", got)
	}
	if p := classes[0].Probability; !(p > 0.001 && p < 1) {
		t.Errorf("the most probable of 1000 classes has probability %v", p)
	}
}
