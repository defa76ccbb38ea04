package main

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pictureSize is that of a file of PNG or JPEG.
func pictureSize(path string) (image.Point, error) {
	file, err := os.Open(path)
	if err != nil {
		return image.Point{}, err
	}
	defer file.Close()
	c, _, err := image.DecodeConfig(file)
	return image.Pt(c.Width, c.Height), err
}

func TestStyle(t *testing.T) {
	t.Setenv("VGGO_CACHE", t.TempDir())
	t.Chdir(t.TempDir())
	writeNoise(t, "a.png", 1, 40, 30)
	writeNoise(t, "b.png", 2, 30, 40)
	writeNoise(t, "c.png", 3, 24, 24)
	writeNoise(t, "clear.png", 0, 40, 30)
	style := func(args string) (int, string, string) {
		return vggo(t.Context(), strings.Fields("style --random-weights --model 32x32x3:8,8,M,8,8/10 --size 32 "+
			"--iterations 3 "+args)...)
	}
	for _, c := range []struct {
		args, file string
		size       image.Point
	}{
		{"a.png b.png -o 1.png --save-every 1", "1.png", image.Pt(32, 24)},
		{"a.png b.png c.png --style-weights 3,1 --colours --tv 0.1 -o 2.jpg", "2.jpg", image.Pt(32, 24)},
		{"--texture b.png -o 3.png --pooling max --algo direct", "3.png", image.Pt(24, 32)},
		{"--invert a.png -o 4.png --optimiser adam --content-layer relu1_2", "4.png", image.Pt(32, 24)},
		{"a.png b.png -o 5.png --init style --style-layers relu1_1", "5.png", image.Pt(32, 24)},
	} {
		code, stdout, stderr := style(c.args + " --json")
		var told painted
		if err := json.Unmarshal([]byte(stdout), &told); err != nil || code != 0 {
			t.Errorf("%s: exit %d, %s%s", c.args, code, stdout, stderr)
			continue
		}
		size, err := pictureSize(c.file)
		if err != nil || size != c.size {
			t.Errorf("%s: a picture of %v, %v, want %v", c.args, size, err, c.size)
		}
		first, last := told.Losses[0].Total, told.Losses[len(told.Losses)-1].Total
		if told.Output != c.file || told.Width != c.size.X || told.Iterations != 3 || len(told.Losses) != 4 ||
			!(last < first) || told.Weights != "random weights, seed 1" {
			t.Errorf("%s: %+v", c.args, told)
		}
		if !strings.Contains(stderr, "of memory") || !strings.Contains(stderr, "iteration 3: loss") {
			t.Errorf("%s: %s", c.args, stderr)
		}
	}
	_, _, stderr := style("a.png b.png -o 1.png")
	if !strings.Contains(stderr, "content by relu2_2, as there is no conv4_2") {
		t.Errorf("what is looked at instead is not said: %s", stderr)
	}

	for _, c := range []struct {
		args       string
		code       int
		want, hint string
	}{
		{"a.png -o x.png", 2, "1 pictures named: want a content and at least one style", "vggo style photo.jpg"},
		{"--texture -o x.png", 2, "want at least one style", ""},
		{"--invert a.png b.png -o x.png", 2, "want a content", ""},
		{"--invert --texture a.png -o x.png", 2, "exclude each other", ""},
		{"a.png b.png", 2, "no file to write", "-o out.png"},
		{"a.png b.png -o x.gif", 2, "its ending must be .png, .jpg or .jpeg", ""},
		{"a.png b.png -o none/x.png", 1, "none", ""},
		{"a.png - -o x.png", 2, "standard input is none", ""},
		{"a.png clear.png -o x.png", 1, "clear.png has transparent parts", "save it on the background"},
		{"a.png b.png -o x.png --init zero", 1, `unknown beginning "zero"`, ""},
		{"a.png b.png -o x.png --pooling sum", 2, `unknown pooling "sum"`, ""},
		{"a.png b.png -o x.png --algo fft", 2, "--algo", ""},
		{"a.png b.png -o x.png --optimiser sgd", 1, `unknown optimiser "sgd"`, ""},
		{"a.png b.png -o x.png --ratio -1", 1, "ratio of content to style", ""},
		{"a.png b.png -o x.png --style-weights 1,2", 1, "2 weights for 1 styles", ""},
		{"a.png b.png -o x.png --content-layer relu2_3", 1, "relu2_3", "did you mean"},
		{"a.png b.png -o x.png --crop 20x20", 2, "pictures are painted whole", "--size"},
		{"a.png b.png -o x.png --size 0", 2, "--size must be at least 1", ""},
	} {
		code, _, stderr := style(c.args)
		if code != c.code || !strings.Contains(stderr, c.want) || !strings.Contains(stderr, c.hint) {
			t.Errorf("%s: exit %d, want %d, %q and %q:\n%s", c.args, code, c.code, c.want, c.hint, stderr)
		}
		if _, err := os.Stat("x.png"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: x.png was written", c.args)
		}
	}
	code, _, stderr := vggo(t.Context(), "style", "a.png", "b.png", "-o", "x.png")
	if code != 1 || !strings.Contains(stderr, "vgg19 is not in the cache") ||
		!strings.Contains(stderr, "vggo pull vgg19") {
		t.Errorf("without weights: exit %d, %s", code, stderr)
	}
}

// TestStyleOfAnySize: a network that is for pictures of one size paints those of another.
func TestStyleOfAnySize(t *testing.T) {
	t.Chdir(t.TempDir())
	writeNoise(t, "a.png", 1, 40, 30)
	code, stdout, stderr := vggo(t.Context(), strings.Fields("style a.png a.png -w embedded --init noise --size 24 "+
		"--iterations 1 -o out.png")...)
	if size, err := pictureSize("out.png"); code != 0 || err != nil || size != image.Pt(24, 18) ||
		!strings.Contains(stdout, "preprocess: cifar10 (the file notes it)") {
		t.Errorf("exit %d, %v, %v, %s%s", code, size, err, stdout, stderr)
	}
}

// TestStyleInterrupted: what is painted so far is kept.
func TestStyleInterrupted(t *testing.T) {
	t.Chdir(t.TempDir())
	writeNoise(t, "a.png", 1, 40, 30)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() { // once an iteration has been written
		for ctx.Err() == nil {
			if size, err := pictureSize("out.png"); err == nil && size == image.Pt(32, 24) {
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	code, stdout, stderr := vggo(ctx, strings.Fields("style --random-weights --model 32x32x3:8,M,8/10 --size 32 "+
		"--iterations 1000000 --save-every 1 a.png a.png --init noise -o out.png")...)
	if code != 1 || stdout != "" || !strings.Contains(stderr, "interrupted after ") ||
		!strings.Contains(stderr, "out.png is the painting so far") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
	if size, err := pictureSize("out.png"); err != nil || size != image.Pt(32, 24) {
		t.Errorf("%v, %v", size, err)
	}
}

// TestStylePartial: the real first three blocks of VGG-19 do.
func TestStylePartial(t *testing.T) {
	data := os.Getenv("VGGO_TESTDATA")
	if data == "" {
		t.Skip("VGGO_TESTDATA is not set: no weights of VGG-19's first three blocks")
	}
	file := filepath.Join(data, "formats/real/vgg19-block1-3-oihw-rgb.safetensors")
	t.Chdir(t.TempDir())
	writeNoise(t, "a.png", 1, 40, 30)
	code, stdout, stderr := vggo(t.Context(), "style", "a.png", "a.png", "-w", file, "--init", "noise", "--size", "32",
		"--iterations", "2", "-o", "out.png")
	if code != 0 || !strings.Contains(stderr, "content by relu3_2, as there is no conv4_2; style by relu1_1, relu2_1, "+
		"relu3_1, as there is no conv4_1") || !strings.Contains(stdout, "caffe-rgb") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	code, _, stderr = vggo(t.Context(), "style", "a.png", "a.png", "-w", file, "-m", "vgg19", "-o", "out.png")
	if code != 1 || !strings.Contains(stderr, "leave --model out") {
		t.Errorf("--model vgg19: exit %d, %s", code, stderr)
	}
}
