package vision

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"math"
	"strings"
	"testing"

	"github.com/vggo/vggo/tensor"
)

// samples is a picture in testdata/golden.json.
type samples struct {
	W, H, Channels int
	Pix            []byte
}

func (s samples) picture() *Picture {
	return &Picture{W: s.W, H: s.H, Channels: s.Channels, Pix: s.Pix}
}

type preprocessCases []struct {
	In           samples
	Crop, Resize int
	Out          []byte // float32, little-endian, CHW
}

// golden holds what Pillow and torchvision made of small pictures; scripts/gen_vision_golden.py wrote it.
func golden(t *testing.T) (g struct {
	Resize []struct {
		In  samples
		Out []struct {
			Filter string
			samples
		}
	}
	Grey   []struct{ In, Out samples }
	Orient []struct {
		File []byte
		Out  samples
	}
	Recipe, Caffe preprocessCases
}) {
	t.Helper()
	load(t, "golden.json", &g)
	if len(g.Resize) == 0 || len(g.Grey) == 0 || len(g.Orient) != 8 || len(g.Recipe) == 0 || len(g.Caffe) == 0 {
		t.Fatal("testdata/golden.json holds no cases")
	}
	return g
}

// TestResizeIsPillows asks for Pillow's very bytes: the arithmetic is the same, so no level of difference is due.
func TestResizeIsPillows(t *testing.T) {
	for _, c := range golden(t).Resize {
		for _, want := range c.Out {
			t.Run(fmt.Sprintf("%dx%dx%d to %dx%d %s", c.In.W, c.In.H, c.In.Channels, want.W, want.H, want.Filter),
				func(t *testing.T) {
					filter := map[string]Filter{"bilinear": Bilinear, "bicubic": Bicubic}[want.Filter]
					if filter.String() != want.Filter {
						t.Fatalf("filter %v", filter)
					}
					got := c.In.picture().Resize(want.W, want.H, filter)
					if got.W != want.W || got.H != want.H || got.Channels != want.Channels || len(got.Pix) != len(want.Pix) {
						t.Fatalf("%dx%dx%d with %d samples", got.W, got.H, got.Channels, len(got.Pix))
					}
					for i, v := range got.Pix {
						if v != want.Pix[i] {
							t.Fatalf("sample %d is %d, Pillow's %d", i, v, want.Pix[i])
						}
					}
					window := image.Rect(want.W/3, want.H/4, want.W, want.H-want.H/5)
					part := c.In.picture().resize(want.W, want.H, filter, window)
					for y := range part.H {
						from := ((y+window.Min.Y)*want.W + window.Min.X) * want.Channels
						row := part.Pix[y*part.W*part.Channels:][:part.W*part.Channels]
						if !bytes.Equal(row, want.Pix[from:][:len(row)]) {
							t.Fatalf("row %d of window %v differs from the whole", y, window)
						}
					}
				})
		}
	}
}

func TestGreyIsPillows(t *testing.T) {
	for _, c := range golden(t).Grey {
		got := c.In.picture().Grey()
		if got.Channels != 1 || !bytes.Equal(got.Pix, c.Out.Pix) {
			t.Error("grey differs from Pillow's")
		}
		if back := got.RGB(); back.Channels != 3 || !bytes.Equal(back.Grey().Pix, got.Pix) {
			t.Error("grey to RGB and back is not the same grey")
		}
	}
}

func TestPreprocessIsTorchvisions(t *testing.T) {
	g := golden(t)
	for name, cases := range map[string]preprocessCases{"imagenet": g.Recipe, "caffe-rgb": g.Caffe} {
		t.Run(name, func(t *testing.T) { testPreprocess(t, name, cases) })
	}
}

func testPreprocess(t *testing.T, name string, cases preprocessCases) {
	for _, c := range cases {
		r, err := PreprocessByName(name, c.Crop, c.Crop, 3)
		if err != nil {
			t.Fatal(err)
		}
		if r.Resize != image.Pt(c.Resize, c.Resize) {
			t.Errorf("input %d resizes to %v, want %d", c.Crop, r.Resize, c.Resize)
		}
		batch := tensor.New(2, 3, c.Crop, c.Crop)
		if err := r.Put(batch, 1, c.In.picture()); err != nil {
			t.Fatal(err)
		}
		second := batch.Images(1, 2).Data
		if len(c.Out) != 4*len(second) {
			t.Fatalf("%d bytes for %d values", len(c.Out), len(second))
		}
		for i, got := range second {
			if want := math.Float32frombits(binary.LittleEndian.Uint32(c.Out[4*i:])); got != want {
				t.Fatalf("%dx%d: value %d is %v, torchvision's %v", c.In.W, c.In.H, i, got, want)
			}
		}
		for _, v := range batch.Images(0, 1).Data {
			if v != 0 {
				t.Fatal("another image of the batch was written to")
			}
		}
	}
}

func TestPreprocessByName(t *testing.T) {
	n := 0
	for name, about := range Preprocesses() {
		for _, channels := range []int{1, 3} {
			r, err := PreprocessByName(name, 20, 10, channels)
			if only := named[n].channels; only != 0 && only != channels {
				if err == nil {
					t.Errorf("%d channels by %+v", channels, r)
				}
			} else if err != nil || r.Name != name || r.Channels != channels || len(r.Mean) != channels ||
				len(r.Std) != channels || r.Crop != image.Pt(20, 10) || r.Filter != Bilinear || about == "" {
				t.Errorf("%s: %+v (%v)", name, r, err)
			}
		}
		n++
	}
	if n != len(named) {
		t.Errorf("%d preprocesses", n)
	}
	if _, err := PreprocessByName("unit", 20, 10, 4); err == nil {
		t.Error("a picture of 4 channels")
	}
	if _, err := PreprocessByName("imagnet", 20, 10, 3); err == nil ||
		!strings.Contains(err.Error(), "imagenet, caffe, caffe-rgb, cifar10, fashion-mnist, unit") {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestImageNetSizes(t *testing.T) {
	for size, want := range map[int]int{224: 256, 32: 37, 299: 342, 448: 512, 1: 1} {
		if r := ImageNet(size, size); r.Resize != image.Pt(want, want) {
			t.Errorf("input %d resizes to %v, want %d", size, r.Resize, want)
		}
	}
}

func TestPreprocessOfAWideInput(t *testing.T) {
	// Columns 0, 64, 128 and 192 of a picture 4 wide and 4 high: an input twice as wide as high takes its full width.
	p := NewPicture(4, 4, 1)
	for i := range p.Pix {
		p.Pix[i] = uint8(i % 4 * 64)
	}
	batch := tensor.New(1, 1, 2, 4)
	if err := Unit(4, 2, 1).Put(batch, 0, p); err != nil {
		t.Fatal(err)
	}
	for i, got := range batch.Data {
		if want := float32(i%4*64) / 255; got != want {
			t.Errorf("value %d is %v, want %v", i, got, want)
		}
	}
}

func TestPutRefuses(t *testing.T) {
	good := NewPicture(3, 3, 3)
	batch := tensor.New(1, 3, 8, 8)
	for _, c := range []struct {
		what   string
		recipe Preprocess
		p      *Picture
		n      int
	}{
		{"channels", Unit(8, 8, 4), good, 0},
		{"means", Preprocess{Channels: 3, Crop: image.Pt(8, 8), Resize: image.Pt(8, 8), Scale: 1, Std: make([]float32, 3)},
			good, 0},
		{"crop", Preprocess{Channels: 1, Crop: image.Pt(8, 8), Resize: image.Pt(8, 7), Scale: 1, Mean: []float32{0},
			Std: []float32{1}}, good, 0},
		{"empty picture", Unit(8, 8, 3), &Picture{Channels: 3}, 0},
		{"batch shape", Unit(8, 9, 3), good, 0},
		{"image number", Unit(8, 8, 3), good, 1},
	} {
		if err := c.recipe.Put(batch, c.n, c.p); err == nil {
			t.Errorf("%s: no error", c.what)
		}
	}
}

func TestOrientationIsPillows(t *testing.T) {
	for i, c := range golden(t).Orient {
		got, err := Decode(bytes.NewReader(c.File), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got.W != c.Out.W || got.H != c.Out.H || got.Channels != 1 {
			t.Fatalf("orientation %d: %dx%dx%d, want %dx%d grey", i+1, got.W, got.H, got.Channels, c.Out.W, c.Out.H)
		}
		for j, v := range got.Pix { // two decoders may differ by their rounding
			if math.Abs(float64(v)-float64(c.Out.Pix[j])) > 1 {
				t.Fatalf("orientation %d: pixel %d is %d, Pillow's %d", i+1, j, v, c.Out.Pix[j])
			}
		}
	}
}

func TestCoverRefusesTheTooNarrow(t *testing.T) {
	if size, err := cover(image.Pt(1, 1<<24), image.Pt(256, 256)); err == nil {
		t.Errorf("scaled to %v", size)
	}
}

// TestNarrowPicture is a picture whose scaled form would not fit into memory: only the crop is ever made.
func TestNarrowPicture(t *testing.T) {
	p := NewPicture(1, 1<<20, 3)
	for i := range p.Pix {
		p.Pix[i] = 77
	}
	batch := tensor.New(1, 3, 224, 224)
	if err := Unit(224, 224, 3).Put(batch, 0, p); err != nil {
		t.Fatal(err)
	}
	for i, v := range batch.Data {
		if v != float32(77)/255 {
			t.Fatalf("value %d is %v", i, v)
		}
	}
}
