package vision

import (
	"bytes"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// TestExpect: the header tells what a picture costs, of every format that is decoded, and what is refused is refused
// alike.
func TestExpect(t *testing.T) {
	encode := func(write func(io.Writer, image.Image) error) []byte {
		var file bytes.Buffer
		if err := write(&file, image.NewNRGBA(image.Rect(0, 0, 300, 200))); err != nil {
			t.Fatal(err)
		}
		return file.Bytes()
	}
	files := map[string][]byte{
		"JPEG": encode(func(w io.Writer, m image.Image) error { return jpeg.Encode(w, m, nil) }),
		"PNG":  encode(png.Encode),
		"GIF":  encode(func(w io.Writer, m image.Image) error { return gif.Encode(w, m, nil) }),
		"BMP":  encode(bmp.Encode),
		"TIFF": encode(func(w io.Writer, m image.Image) error { return tiff.Encode(w, m, nil) }),
	}
	for name, file := range files {
		w, err := Expect(file, Limits{})
		if err != nil || w.Format != name || w.W != 300 || w.H != 200 || w.Scans != 1 {
			t.Errorf("%s: %+v, %v", name, w, err)
		}
		if w.Memory < 3*300*200 || w.Memory > 40*300*200+fixedBytes || w.Time < time.Millisecond ||
			w.Time > 20*time.Millisecond {
			t.Errorf("%s: %d bytes, %v", name, w.Memory, w.Time)
		}
		_, refused := Expect(file, Limits{Pixels: 300*200 - 1})
		if _, err := Decode(bytes.NewReader(file), Limits{Pixels: 300*200 - 1}); refused == nil || err == nil ||
			refused.Error() != err.Error() {
			t.Errorf("%s beyond the limit: %v, and Decode says %v", name, refused, err)
		}
	}
	for _, format := range imageFormats {
		if workOf[format.name].nanoseconds == 0 {
			t.Errorf("nothing is told of %s", format.name)
		}
	}
	for _, wrong := range []string{"", "hello", "\xff\xd8\xff", "\x89PNG\r\n\x1a\nxx"} {
		_, refused := Expect([]byte(wrong), Limits{})
		if _, err := Decode(bytes.NewReader([]byte(wrong)), Limits{}); refused == nil || err == nil ||
			refused.Error() != err.Error() {
			t.Errorf("%q: %v, and Decode says %v", wrong, refused, err)
		}
	}
	if _, err := Expect(make([]byte, 11), Limits{Bytes: 10}); err == nil {
		t.Error("a file beyond the limit is taken")
	}
}

// TestExpectBombs: small files that cost much are known before.
func TestExpectBombs(t *testing.T) {
	data := os.Getenv("VGGO_TESTDATA")
	if data == "" {
		t.Skip("VGGO_TESTDATA is not set")
	}
	for _, c := range []struct {
		name   string
		time   time.Duration
		scans  int
		pixels int
	}{{"jpgscans.jpg", 4 * time.Second, 191, 1 << 30}, {"tif.tif", time.Second, 1, 0}} {
		file, err := os.ReadFile(filepath.Join(data, "reports", "hostile", c.name))
		if err != nil {
			t.Fatal(err)
		}
		w, err := Expect(file, Limits{Pixels: c.pixels})
		if err != nil || w.Time < c.time || w.Memory < 3*5000*5000 || w.Scans != c.scans {
			t.Errorf("%s: %+v, %v", c.name, w, err)
		}
		// Beside usual limits one has too many scans, and is refused as Decode does.
		_, refused := Expect(file, Limits{})
		if _, err := Decode(bytes.NewReader(file), Limits{}); (err == nil) != (refused == nil) || err != nil &&
			err.Error() != refused.Error() {
			t.Errorf("%s: %v, and Decode says %v", c.name, refused, err)
		}
	}
}
