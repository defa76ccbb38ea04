package vision

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// load reads what scripts/gen_vision_golden.py and scripts/gen_pictures.py wrote.
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
	SHA256 string // of its pixels in RGB
}

func formatCases(t testing.TB) (cases []formatCase) {
	load(t, "formats.json", &cases)
	if len(cases) < 360 {
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

// TestFormatsArePillows wants Pillow's bytes of every format, colour model, sampling of planes, transparency and
// arrangement.
func TestFormatsArePillows(t *testing.T) {
	for _, c := range formatCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			got, err := Decode(bytes.NewReader(c.File), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got.W != c.W || got.H != c.H {
				t.Fatalf("%dx%d, want %dx%d", got.W, got.H, c.W, c.H)
			}
			if sum(got.RGB().Pix) != c.SHA256 {
				t.Error("its pixels are not Pillow's")
			}
		})
	}
}

// TestReportedPicturesArePillows are files that were decoded otherwise than by Pillow, or not at all.
func TestReportedPicturesArePillows(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: the pictures of reports are not compared with Pillow")
	}
	var sums map[string]string
	load(t, "reports.json", &sums)
	if len(sums) < 4 {
		t.Errorf("%d files", len(sums))
	}
	for name, want := range sums {
		p, err := DecodeFile(filepath.Join(root, "reports/hostile", name), Limits{})
		if err != nil {
			t.Error(err)
		} else if sum(p.RGB().Pix) != want {
			t.Errorf("%s: its pixels are not Pillow's", name)
		}
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

// TestPhotosArePillows compares some 2,000 pixels of each photograph, all of which are equal (Pillow 9.4 with
// libjpeg-turbo 2.1.5).
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
		if worst, mean := difference(got, want.Pix); worst > 0 {
			t.Errorf("%s differs from Pillow by %d levels at most, %.3f in the mean", name, worst, mean)
		}
	}
}
