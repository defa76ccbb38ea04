package vision

import (
	"image"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/vggo/vggo/tensor"
)

// TestParts lays parts over a Preprocess, as flags, files and notes give them.
func TestParts(t *testing.T) {
	for _, c := range []struct {
		text, over string
		want       string // as Describe tells it, or a part of the error
		name       string
	}{
		{"imagenet", "unit", "RGB, shorter side 256, centre 224x224, samples 0..1 less 0.485 0.456 0.406, divided by 0.229 " +
			"0.224 0.225", "imagenet"},
		{"caffe", "unit", "BGR, shorter side 256, centre 224x224, samples 0..255 less 103.939 116.779 123.68", "caffe"},
		{"caffe-rgb", "unit", "RGB, shorter side 256, centre 224x224, samples 0..255 less 123.68 116.779 103.939",
			"caffe-rgb"},
		{"{channel_order: bgr}", "imagenet", "BGR, shorter side 256, centre 224x224, samples 0..1 less 0.406 0.456 0.485, " +
			"divided by 0.225 0.224 0.229", "imagenet with own channel order"},
		{"{channel_order: BGR, mean: [1, 2, 3], scale: 1, std: 1}", "imagenet",
			"BGR, shorter side 256, centre 224x224, samples 0..255 less 1 2 3",
			"imagenet with own channel order, scale, mean, std"},
		{"{scale: 255, mean: 0.5, std: 0.5}", "unit", "RGB, shorter side 224, centre 224x224, samples 0..1 less 0.5, " +
			"divided by 0.5", "unit with own scale, mean, std"},
		{`{"name": "half", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "scale": 255}`, "unit",
			"RGB, shorter side 224, centre 224x224, samples 0..1 less 0.5, divided by 0.5", "half"},
		{"{base: caffe, resize: 224x224}", "unit", "BGR, stretched to 224x224, samples 0..255 less 103.939 116.779 123.68",
			"caffe with own resize"},
		{"{resize: 320x240, crop: 224}", "unit", "RGB, stretched to 320x240, centre 224x224, samples 0..1",
			"unit with own crop, resize"},
		{"{resize: cover 320x240, filter: bicubic}", "unit", "RGB, scaled to cover 320x240, centre 224x224, samples 0..1",
			"unit with own resize, filter"},
		{"{scale: 127.5, mean: 1}", "unit", "RGB, shorter side 224, centre 224x224, samples 0..2 less 1",
			"unit with own scale, mean"},
		{"{mean: 0, std: 1, scale: 1}", "imagenet", "RGB, shorter side 256, centre 224x224, samples 0..255",
			"imagenet with own scale, mean, std"},

		{"best", "unit", `unknown preprocess "best": want one of imagenet,`, ""},
		{"{colour: red}", "unit",
			`line 1: a preprocess has no "colour": want name, base, channel_order, scale, mean, std, resize, crop, filter`, ""},
		{"{channel_order: grb}", "unit", `channel order: "grb": want rgb or bgr`, ""},
		{"{mean: [1, 2]}", "unit", "mean: 2 numbers for 3 channels", ""},
		{"{mean: .nan}", "unit", "mean: NaN is no sample's", ""},
		{"{std: 0}", "unit", "std: 0 must be above 0", ""},
		{"{std: [1, -1, 1]}", "unit", "std: -1 must be above 0", ""},
		{"{scale: 0.0039}", "unit", "scale: 0.0039: samples are divided by it", ""},
		{"{mean: [123.68, 116.779, 103.939]}", "unit", "not of samples from 0 to 1, which scale 255 makes: scale 1 leaves " +
			"0 to 255", ""},
		{"{mean: [0.485, 0.456, 0.406]}", "caffe", "not of samples from 0 to 255, which scale 1 leaves: scale 255 " +
			"makes 0 to 1", ""},
		{"{scale: 1}", "imagenet", "not of samples from 0 to 255", ""},
		{"{std: 58.4}", "imagenet", "not of samples from 0 to 1", ""},
		{"{crop: 200}", "unit", "crop: 200x200 is not the 224x224 that the network takes", ""},
		{"{resize: 200}", "unit", "resize: the network's 224x224 cannot be cut out of 200", ""},
		{"{resize: big}", "unit", `resize: "big": want pixels, such as 256 or 256x320, height first`, ""},
		{"{resize: 99999999}", "unit", "want pixels", ""},
		{"{filter: nearest}", "unit", `filter: "nearest": want bilinear or bicubic`, ""},
		{"{}", "unit", "the preprocess is empty", ""},
		{"{mean", "unit", "line 1: did not find", ""},
	} {
		over, err := PreprocessByName(c.over, 224, 224, 3)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := ReadPreprocess(c.text)
		got := Preprocess{}
		if err == nil {
			got, err = parts.Apply(over)
		}
		if err != nil {
			if c.name != "" || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s over %s: %v, want %q", c.text, c.over, err, c.want)
			}
			continue
		}
		if got.Describe() != c.want || got.Name != c.name {
			t.Errorf("%s over %s: %q %q, want %q %q", c.text, c.over, got.Name, got.Describe(), c.name, c.want)
		}
		// Written down and read again it is the same, over anything.
		written, err := yaml.Marshal(got.Parts())
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodePreprocess(strings.NewReader(string(written)))
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if back, err := again.Apply(Unit(224, 224, 3)); err != nil || back.Describe() != got.Describe() ||
			back.Name != got.Name || back.Filter != got.Filter {
			t.Errorf("%s: written as %s it comes back as %q %q, %v", c.text, written, back.Name, back.Describe(), err)
		}
	}
}

// TestPartsOver: flags over a file; its mean and deviation go with their colours where the order changes.
func TestPartsOver(t *testing.T) {
	file := PreprocessParts{Name: "mine", Base: "imagenet", Mean: Numbers{0.1, 0.2, 0.3}}
	if got := (PreprocessParts{}).Over(file); got.Name != "mine" {
		t.Errorf("nothing over a file: %+v", got)
	}
	got := PreprocessParts{Order: "bgr"}.Over(file)
	if got.Name != "" || got.Base != "imagenet" || !slices.Equal(got.Mean, Numbers{0.3, 0.2, 0.1}) ||
		!slices.Equal(file.Mean, Numbers{0.1, 0.2, 0.3}) {
		t.Errorf("another order over a file: %+v", got)
	}
	if got := (PreprocessParts{Order: "rgb", Mean: Numbers{1}}).Over(file); !slices.Equal(got.Mean, Numbers{1}) {
		t.Errorf("another mean over a file: %+v", got)
	}
}

// TestPartsForInput keeps the margin for another input.
func TestPartsForInput(t *testing.T) {
	for _, c := range []struct {
		of   Preprocess
		w, h int
		want string
	}{
		{ImageNet(224, 224), 32, 32, "RGB, shorter side 37, centre 32x32"},
		{ImageNet(224, 224), 448, 224, "RGB, scaled to cover 256x512, centre 224x448"},
		{Unit(32, 32, 3), 64, 48, "RGB, scaled to cover 48x64, centre 48x64"},
	} {
		parts, err := c.of.Parts().ForInput(c.w, c.h)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parts.Apply(Unit(c.w, c.h, 3))
		if err != nil || !strings.HasPrefix(got.Describe(), c.want) {
			t.Errorf("%s for %dx%d: %s, %v", c.of.Name, c.w, c.h, got.Describe(), err)
		}
	}
}

// TestOrder: blue first is red first with the channels the other way around, and what belongs to a colour stays with
// it.
func TestOrder(t *testing.T) {
	p := NewPicture(5, 4, 3)
	for i := range p.Pix {
		p.Pix[i] = uint8(i * 37)
	}
	for _, of := range []Preprocess{ImageNet(4, 3), CaffeRGB(4, 3), CIFAR10(4, 3, 3)} {
		rgb, bgr := tensor.New(1, 3, 3, 4), tensor.New(1, 3, 3, 4)
		if err := of.Put(rgb, 0, p); err != nil {
			t.Fatal(err)
		}
		if err := of.Reordered(BGR).Put(bgr, 0, p); err != nil {
			t.Fatal(err)
		}
		for c := range 3 {
			if !slices.Equal(rgb.Data[c*12:][:12], bgr.Data[(2-c)*12:][:12]) {
				t.Errorf("%s: channel %d", of.Name, c)
			}
		}
		if back := of.Reordered(BGR).Reordered(RGB); !slices.Equal(back.Mean, of.Mean) || back.Order != RGB {
			t.Errorf("%s there and back: %+v", of.Name, back)
		}
	}
}

// TestStretch scales to both sides, whatever the proportions.
func TestStretch(t *testing.T) {
	p := NewPicture(9, 5, 3)
	for i := range p.Pix {
		p.Pix[i] = uint8(i * 29)
	}
	of := Unit(4, 4, 3)
	of.Stretch = true
	got, err := of.Fit(p)
	if err != nil {
		t.Fatal(err)
	}
	if want := p.Resize(4, 4, Bilinear); !slices.Equal(got.Pix, want.Pix) ||
		(image.Point{got.W, got.H}) != image.Pt(4, 4) {
		t.Errorf("%v, want %v", got.Pix, want.Pix)
	}
}

// FuzzPreprocess: any text is parts or one line of error, and what can be applied can be written down and read again.
func FuzzPreprocess(f *testing.F) {
	f.Add("{base: imagenet, channel_order: bgr, mean: [0.5, 0.5, 0.5], resize: cover 30x40}")
	f.Add("name: half\nmean: 0.5\nstd: 0.5\nscale: 255\n")
	f.Add(`{"resize": "256x256", "crop": "224", "filter": "bicubic"}`)
	f.Fuzz(func(t *testing.T, text string) {
		parts, err := decodePreprocess(strings.NewReader(text))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of several lines: %q", err)
			}
			return
		}
		of, err := parts.Apply(Unit(24, 24, 3))
		if err != nil {
			return
		}
		again, err := of.Parts().Apply(Unit(24, 24, 3))
		if err != nil || again.Describe() != of.Describe() {
			t.Errorf("%q: %s comes back as %s, %v", text, of.Describe(), again.Describe(), err)
		}
	})
}
