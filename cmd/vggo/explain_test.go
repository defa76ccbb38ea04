package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/vision"
)

// readPNG decodes a written picture.
func readPNG(t *testing.T, path string) image.Image {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestExplain runs every method: what it says, and the picture that it writes where no name is given.
func TestExplain(t *testing.T) {
	absolute := func(path string) string {
		whole, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		return whole
	}
	tiny, labels, boot := absolute(tinyWeights), absolute("../../docs/examples/fashion-mnist.txt"),
		absolute("../../docs/examples/boot.png")
	folder := filepath.Dir(clothes(t, 12)[0])
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		args []string
		said string
		file string
		size image.Point
	}{
		{[]string{boot}, boot + ": class 9 (Ankle boot), probability 99.", "boot-gradcam.png", image.Pt(448, 448)},
		{[]string{boot, "--class", "sneaker", "--opacity", "1"}, "class 7 (Sneaker), probability ", "boot-gradcam.png",
			image.Pt(448, 448)},
		{[]string{boot, "--class", "coat", "--layer", "conv1_2", "-o", "coat.PNG"},
			"class 4 (Coat), probability 0.00 %; Grad-CAM of conv1_2, 28x28: coat.PNG\n", "coat.PNG", image.Pt(448, 448)},
		{[]string{boot, "--method", "occlusion", "--size", "8"}, "class 9 (Ankle boot), probability 99.75 %; covering a " +
			"part takes up to ", "boot-occlusion.png", image.Pt(448, 448)},
		{[]string{boot, "--method", "maps"}, boot + ": output 14x14x10 of relu2_2, 10 tiles of 14x14: boot-maps.png\n",
			"boot-maps.png", image.Pt(734, 550)},
		{[]string{boot, "--method", "maps", "--channel", "9"}, "relu2_2, channel 9, 1 tile of 14x14", "boot-maps.png",
			image.Pt(756, 756)},
		{[]string{"--method", "filters"}, "filters of conv1_1 of tinyvgg, 10 tiles of 3x3: conv1_1-filters.png\n",
			"conv1_1-filters.png", image.Pt(774, 580)},
		{[]string{"--method", "filters", "--layer", "conv2_1", "--channel", "3"},
			"filters of conv2_1 of tinyvgg, channel 3, 10 tiles", "conv2_1-filters.png", image.Pt(774, 580)},
		{[]string{boot, "--method", "field"}, "unit (7, 7) of relu2_2 sees rows 8 to 21 and columns 8 to 21 of 28x28 " +
			"pixels: boot-field.png\n", "boot-field.png", image.Pt(448, 448)},
		{[]string{boot, "--method", "field", "--unit", "0,13"}, "unit (0, 13) of relu2_2 sees rows 0 to 7 and columns " +
			"20 to 27", "boot-field.png", image.Pt(448, 448)},
		{[]string{folder, "--method", "patches", "--channel", "7", "--count", "4"},
			"channel 7 of relu2_2: 4 parts of 12 pictures excite it most, from ", "relu2_2-7-patches.png", image.Pt(758, 758)},
	} {
		t.Run(strings.Join(c.args[min(1, len(c.args)-1):], " "), func(t *testing.T) {
			code, stdout, stderr := vggo(t.Context(), append([]string{"explain", "-w", tiny, "-l", labels}, c.args...)...)
			said, prepared, _ := strings.Cut(stdout, "preprocess: ")
			if code != 0 || stderr != "" || !strings.Contains(said, c.said) || !strings.HasSuffix(said, ": "+c.file+"\n") ||
				strings.Count(said, "\n") != 1 ||
				!strings.HasPrefix(prepared, "unit (a guess: ") && !slices.Contains(c.args, "filters") {
				t.Fatalf("exit %d: %s%s, want %q", code, stdout, stderr, c.said)
			}
			if got := readPNG(t, c.file).Bounds().Size(); got != c.size {
				t.Errorf("%s is %v, want %v", c.file, got, c.size)
			}
		})
	}
	left, err := filepath.Glob(".*")
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
	// Without any heat the picture is what the network sees.
	code, _, stderr := vggo(t.Context(), "explain", boot, "-w", tiny, "--opacity", "0")
	if code != 0 {
		t.Fatal(stderr)
	}
	picture, err := vision.DecodeFile(boot, vision.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := picture.Resize(448, 448, vision.Bilinear).RGB()
	if got := vision.FromImage(readPNG(t, "boot-gradcam.png")); !bytes.Equal(got.Pix, want.Pix) {
		t.Error("a heat of opacity 0 shows")
	}
}

// TestExplainIsClassifys: what is explained is what classify answers, of a recipe that cuts off a margin too.
func TestExplainIsClassifys(t *testing.T) {
	t.Chdir(t.TempDir())
	m := image.NewRGBA(image.Rect(0, 0, 50, 40))
	for i := range m.Pix {
		m.Pix[i] = uint8(i * i >> 3)
	}
	if err := writeTo("a.png", nil, func(w io.Writer) error { return png.Encode(w, m) }); err != nil {
		t.Fatal(err)
	}
	flags := []string{"a.png", "-m", "16x16x3:8,M,8/3", "--random-weights"}
	code, stdout, stderr := vggo(t.Context(), append([]string{"classify", "--top", "1", "--json"}, flags...)...)
	var answer classification
	if err := json.Unmarshal([]byte(stdout), &answer); code != 0 || err != nil {
		t.Fatal(stderr, err)
	}
	top := answer.Pictures[0].Classes[0]
	want := fmt.Sprintf("a.png: class %d, probability %.2f %%; ", top.Index, 100*top.Probability)
	for _, method := range []string{"gradcam", "occlusion"} {
		code, stdout, stderr := vggo(t.Context(), append([]string{"explain", "--method", method}, flags...)...)
		if code != 0 || !strings.HasPrefix(stdout, want) {
			t.Errorf("%s: exit %d, %s%s, want %s", method, code, stdout, stderr, want)
		}
	}
}

// TestExplainDream: a picture grows from noise or a picture, of a channel or a class, and what is said is so.
func TestExplainDream(t *testing.T) {
	boot, err := filepath.Abs("../../docs/examples/boot.png")
	if err != nil {
		t.Fatal(err)
	}
	tiny, err := filepath.Abs(tinyWeights)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		args string
		said string
		file string
		size int
	}{
		{"--layer conv2_1 --channel 3", "channel 3 of conv2_1: from %g in noise to %g in 9 iterations: ",
			"conv2_1-3-dream.png", 756},
		{boot + " --layer conv2_1 --channel 3", "channel 3 of conv2_1: from %g in " + boot + " to %g in 9 iterations: ",
			"boot-dream.png", 756},
		{"--class 7", "class 7: from %g in noise to %g in 9 iterations: ", "class-7-dream.png", 756},
		{"--layer fc3 --channel 7 --seed 1 -o same.png", "channel 7 of fc3: from %g in noise to %g in 9 iterations: ",
			"same.png", 756},
	} {
		code, stdout, stderr := vggo(t.Context(), append([]string{"explain", "-w", tiny, "--method", "dream", "--iterations",
			"9"}, strings.Fields(c.args)...)...)
		var from, to float64
		_, err := fmt.Sscanf(stdout, c.said+c.file+"\n", &from, &to)
		if code != 0 || err != nil || !(to > from) ||
			!strings.HasPrefix(stderr, "28x28 pixels, 9 iterations, about ") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: exit %d, %v: %s%s", c.args, code, err, stdout, stderr)
			continue
		}
		if got := readPNG(t, c.file).Bounds().Size(); got != image.Pt(c.size, c.size) {
			t.Errorf("%s is %v", c.file, got)
		}
	}
	code, stdout, stderr := vggo(t.Context(), "explain", "-w", tiny, "--method", "dream", "--layer", "relu1_1",
		"--channel", "2", "-o", "zero.png")
	if _, err := os.Stat("zero.png"); code != 1 || stdout != "" || err == nil || !strings.HasSuffix(stderr,
		"\nvggo: channel 2 of relu1_1: no pixel changes it\nhint: the layer before its ReLU, or another --seed\n") {
		t.Errorf("a channel that is zero: exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	a, errA := os.ReadFile("class-7-dream.png")
	b, errB := os.ReadFile("same.png")
	if err := errors.Join(errA, errB); err != nil || !bytes.Equal(a, b) {
		t.Errorf("a class grows otherwise than its score: %v", err)
	}
}

// TestExplainFolder: a picture that cannot be read is said, and the others are searched.
func TestExplainFolder(t *testing.T) {
	files := clothes(t, 3)
	bad := filepath.Join(filepath.Dir(files[0]), "bad.png")
	if err := os.WriteFile(bad, []byte("no picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "patches.png")
	code, stdout, stderr := vggo(t.Context(), "explain", filepath.Dir(bad), "-w", tinyWeights, "--method", "patches", "-o",
		out)
	if code != 1 || !strings.Contains(stdout, "3 parts of 3 pictures") || !strings.HasPrefix(stderr, "vggo: "+bad+": ") ||
		!strings.HasSuffix(stderr, "\nvggo: 1 of 4 pictures could not be read\n") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	readPNG(t, out)
}

// TestExplainErrors: one line that names the thing, and a hint where there is a remedy.
func TestExplainErrors(t *testing.T) {
	files := clothes(t, 2)
	good := files[0]
	labels := "../../docs/examples/fashion-mnist.txt"
	out := filepath.Join(t.TempDir(), "out.png")
	model := func(args ...string) []string { return append([]string{"-w", tinyWeights, "-o", out}, args...) }
	for _, c := range []struct {
		what string
		args []string
		code int
		want string
		hint string
	}{
		{"no picture", nil, 2, "no picture named", "vggo explain photo.jpg"},
		{"grey picture of a network of colours", []string{good, "-o", out, "--class", "boot"}, 1,
			`vgg-cifar10 has no class "boot": it has airplane, automobile, bird, cat, deer, dog, frog, horse, ship and truck`,
			"a number counts too, 0 to 9"},
		{"method", []string{good, "--method", "lime"}, 2,
			`unknown method "lime": want one of gradcam, occlusion, maps, filters, field, patches, dream`, ""},
		{"flag of another method", model(good, "--method", "maps", "--class", "3"), 2,
			"--class means nothing to --method maps", ""},
		{"occluder of another method", model(good, "--size", "3"), 2, "--size means nothing to --method gradcam", ""},
		{"picture of filters", model(good, "--method", "filters"), 2, "filters are the network's, of no picture: name none",
			""},
		{"two pictures", model(files...), 2, "2 pictures: --method gradcam explains one", "--method patches"},
		{"opacity", model(good, "--opacity", "1.5"), 2, "--opacity must lie between 0 and 1, not 1.5", ""},
		{"not a PNG", []string{good, "-w", tinyWeights, "-o", "heat.jpg"}, 2, `"heat.jpg" is no PNG file`, "-o heat.png"},
		{"unit", model(good, "--method", "field", "--unit", "1"), 2, "--unit is a row and a column, as in 7,7, not 1 numbers",
			""},
		{"unit beyond the map", model(good, "--method", "field", "--unit", "14,0"), 1,
			"layer relu2_2: no unit (14, 0) in a map of 14x14x10", ""},
		{"count", model(good, "--method", "patches", "--count", "0"), 2, "--count must lie between 1 and 1024, not 0", ""},
		{"layer", model(good, "--layer", "conv9_9"), 1, `tinyvgg has no layer "conv9_9": it has conv1_1, `,
			"--describe lists all"},
		{"layer without a map", model(good, "--layer", "fc3"), 1, "fc3 of tinyvgg has no map: its output is 1x1x10", ""},
		{"class", model(good, "--class", "10"), 1, "tinyvgg has 10 classes, numbered from 0: there is no class 10", ""},
		{"negative class", model(good, "--class", "-1"), 2, "--class must be at least 0, not -1", ""},
		{"unnamed classes", model(good, "--class", "Coat"), 1, `no label "Coat": nothing names the classes of tinyvgg`,
			"--labels FILE"},
		{"no such label", model(good, "--class", "cat", "-l", labels), 1, `tinyvgg has no class "cat"`, "did you mean Coat?"},
		{"ambiguous label", model(good, "--class", "s", "-l", labels), 1, `6 classes of tinyvgg have "s" in their names`,
			"one of 0 T-shirt/top, 1 Trouser, 3 Dress, 5 Sandal, 6 Shirt, …"},
		{"occluder", model(good, "--method", "occlusion", "--size", "29"), 2, "an occluder of 29 pixels: want 1 to 28", ""},
		{"stride", model(good, "--method", "occlusion", "--stride", "9"), 2, "an occluder of 4 pixels moves by 1 to 4", ""},
		{"channel", model(good, "--method", "maps", "--channel", "10"), 2,
			"--channel must lie between 0 and 9, not 10: relu2_2 has 10 channels", ""},
		{"channel of patches", model(good, "--method", "patches", "--channel", "10"), 1,
			"relu2_2 of tinyvgg has 10 channels, numbered from 0: there is no channel 10", ""},
		{"filters of a pool", model("--method", "filters", "--layer", "pool1"), 1, "pool1 of tinyvgg is no convolution", ""},
		{"iterations", model("--method", "dream", "--iterations", "0"), 2, "--iterations must be at least 1, not 0", ""},
		{"iterations of another method", model(good, "--iterations", "9"), 2,
			"--iterations means nothing to --method gradcam", ""},
		{"class and channel", model("--method", "dream", "--class", "1", "--channel", "3"), 2,
			"--class is a channel of the last layer", "leave out the one or the others"},
		{"channel of a dream", model("--method", "dream", "--layer", "conv2_1", "--channel", "10"), 1,
			"conv2_1 of tinyvgg has 10 channels, numbered from 0: there is no channel 10", ""},
		{"layer of a dream", model("--method", "dream", "--layer", "conv9_9"), 1, `tinyvgg has no layer "conv9_9"`,
			"--describe lists all"},
		{"probabilities", model("--method", "dream", "--layer", "softmax"), 1, "name fc3, whose channels are the scores", ""},
		{"missing picture", model(good + "x"), 1, good + "x", ""},
		{"folder that is not there", []string{good, "-w", tinyWeights, "-o", "missing/out.png"}, 1,
			"cannot write missing/out.png: ", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			code, _, stderr := vggo(t.Context(), append([]string{"explain"}, c.args...)...)
			refused(t, code, stderr, c.code, c.want, c.hint)
			if _, err := os.Stat(out); err == nil {
				t.Error("a picture was written")
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code, _, stderr := vggo(ctx, append([]string{"explain"}, model(good)...)...); code != 1 ||
		stderr != "vggo: interrupted\n" {
		t.Errorf("interrupted: exit %d, %q", code, stderr)
	}
}
