package vision

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// load reads what scripts/gen_vision_golden.py wrote.
func load(t testing.TB, name string, to any) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatal(err)
	}
}

// formatCase is a small file and what Pillow makes of it.
type formatCase struct {
	Name   string
	File   []byte
	W, H   int
	Pix    []byte // RGB
	SHA256 string // of those, where none are there
}

func formatCases(t testing.TB) (cases []formatCase) {
	load(t, "formats.json", &cases)
	if len(cases) < 90 {
		t.Fatalf("%d cases", len(cases))
	}
	return cases
}

func sum(pix []uint8) string {
	s := sha256.Sum256(pix)
	return hex.EncodeToString(s[:])
}

// difference is how far samples are from those wanted, in levels.
func difference(got, want []uint8) (worst int, mean float64) {
	total := 0
	for i, v := range got {
		d := max(int(v)-int(want[i]), int(want[i])-int(v))
		worst, total = max(worst, d), total+d
	}
	return worst, float64(total) / float64(len(got))
}

// TestFormatsArePillows wants Pillow's bytes of every format, chroma included, and of a JPEG whose blocks have detail what
// two roundings of the inverse cosine transform leave: half a level in luma and chroma, the latter times up to 1.772.
func TestFormatsArePillows(t *testing.T) {
	for _, c := range formatCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			got, err := Decode(bytes.NewReader(c.File), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			got = got.RGB()
			if got.W != c.W || got.H != c.H {
				t.Fatalf("%dx%d, want %dx%d", got.W, got.H, c.W, c.H)
			}
			if c.Pix == nil {
				if sum(got.Pix) != c.SHA256 {
					t.Error("its pixels are not Pillow's")
				}
				return
			}
			if worst, mean := difference(got.Pix, c.Pix); worst > 3 || mean > 0.1 {
				t.Errorf("differs from Pillow by %d levels at most, %.3f in the mean", worst, mean)
			}
		})
	}
}

func TestPNGSuiteIsPillows(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: PngSuite is not compared with Pillow")
	}
	var sums map[string]string
	load(t, "pngsuite.json", &sums)
	if len(sums) < 150 {
		t.Errorf("%d files", len(sums))
	}
	for name, want := range sums {
		p, err := DecodeFile(filepath.Join(root, "images-bad/pngsuite/png", name), Limits{})
		if err != nil {
			t.Error(err)
		} else if sum(p.RGB().Pix) != want {
			t.Errorf("%s: its pixels are not Pillow's", name)
		}
	}
}

// TestPhotosArePillows compares some 2,000 pixels of each photograph. Over all pixels the differences were, in levels of 255
// (2026-11-26, Go 1.26.8, Pillow 9.4 with libjpeg-turbo 2.1.5):
//
//	photograph          pixels     chroma   max   mean   equal samples   max and mean with chroma repeated
//	caffe-cat-gray.jpg  480x360    none     1     0.019  98.1 %          1    0.019
//	caffe-cat.jpg       480x360    4:4:4    3     0.044  96.2 %          3    0.201
//	caffe-fish-bike.jpg 481x323    4:2:0    3     0.030  97.4 %          60   0.513
//	cat_720p.jpg        1280x720   4:2:0    3     0.020  98.2 %          26   0.450
//	grace_hopper.bmp    512x600    BMP      0     0      100 %
//	hot_dog.jpg         512x384    4:4:4    3     0.042  96.5 %          4    0.305
//	kite_and_cold.jpg   1352x900   4:4:4    3     0.043  96.4 %          4    0.312
//	owl.jpg             512x384    4:4:4    3     0.040  96.6 %          3    0.186
//	parrot.jpg          512x929    4:4:4    3     0.050  95.8 %          4    0.201
//	pets.jpg            512x430    4:4:4    3     0.043  96.3 %          4    0.177
//
// The last columns are image/color's conversion of the same samples. Scaled to 256 wide, pictures differ by 2 levels at most.
func TestPhotosArePillows(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: photographs are not compared with Pillow")
	}
	var photos map[string]struct {
		W, H, Step int
		Pix        []byte
	}
	load(t, "photos.json", &photos)
	if len(photos) < 10 {
		t.Errorf("%d photographs", len(photos))
	}
	for name, want := range photos {
		p, err := DecodeFile(filepath.Join(root, "photos", name), Limits{})
		if err != nil {
			t.Error(err)
			continue
		}
		if p.W != want.W || p.H != want.H {
			t.Errorf("%s is %dx%d, want %dx%d", name, p.W, p.H, want.W, want.H)
			continue
		}
		var got []uint8
		rgb := p.RGB()
		for i := 0; i < p.W*p.H; i += want.Step {
			got = append(got, rgb.Pix[3*i:3*i+3]...)
		}
		worst, mean := difference(got, want.Pix)
		t.Logf("%s: %d levels at most, %.3f in the mean, of %d pixels", name, worst, mean, len(got)/3)
		if worst > 3 || mean > 0.06 || strings.HasSuffix(name, ".bmp") && worst > 0 {
			t.Errorf("%s differs from Pillow by %d levels at most, %.3f in the mean", name, worst, mean)
		}
	}
}
