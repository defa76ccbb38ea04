package vision

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"testing"

	"golang.org/x/image/bmp"
)

// TestTooLargeAndCutOff: a picture that is too large for the limit is told so, and that its file lacks its end where it
// does: then a higher limit would not help.
func TestTooLargeAndCutOff(t *testing.T) {
	m, random := image.NewRGBA(image.Rect(0, 0, 40, 30)), rand.New(rand.NewPCG(1, 2))
	for y := range 30 {
		for x := range 40 {
			m.Set(x, y, color.Gray{uint8(random.IntN(256))})
		}
	}
	for name, encode := range map[string]func(*bytes.Buffer) error{
		"PNG":  func(b *bytes.Buffer) error { return png.Encode(b, m) },
		"JPEG": func(b *bytes.Buffer) error { return jpeg.Encode(b, m, nil) },
		"BMP":  func(b *bytes.Buffer) error { return bmp.Encode(b, m) },
	} {
		var file bytes.Buffer
		if err := encode(&file); err != nil {
			t.Fatal(err)
		}
		for cut, want := range map[bool]string{
			false: name + " of 30x40 pixels is refused: the limit is 100 pixels",
			true:  name + " of 30x40 pixels is refused: the limit is 100 pixels, and the file is truncated",
		} {
			data := file.Bytes()
			if cut {
				data = data[:len(data)-100]
			}
			_, err := Decode(bytes.NewReader(data), Limits{Pixels: 100})
			var large *SizeError
			if !errors.As(err, &large) || large.CutOff != cut || err.Error() != want {
				t.Errorf("%s, cut off %v: %v, want %s", name, cut, err, want)
			}
		}
	}
}
