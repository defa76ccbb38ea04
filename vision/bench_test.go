package vision

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"testing"

	"github.com/vggo/vggo/tensor"
)

// BenchmarkPrepare times the way of a photograph of a megapixel to VGG's input, step by step.
func BenchmarkPrepare(b *testing.B) {
	m := image.NewNRGBA(image.Rect(0, 0, 1280, 800))
	for i := range m.Pix {
		m.Pix[i] = uint8(i*i>>12 + i>>8) // some texture
	}
	for y := range 800 { // half of it smooth, as skies are
		for x := range 640 {
			m.Set(x, y, color.NRGBA{uint8(x / 4), uint8(y / 4), 200, 255})
		}
	}
	file := encoded(b, func(w io.Writer) error { return jpeg.Encode(w, m, &jpeg.Options{Quality: 85}) }) // 4:2:0
	decoded, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		b.Fatal(err)
	}
	p := FromImage(decoded)
	batch := tensor.New(1, 3, 224, 224)
	bicubic := ImageNet(224, 224)
	bicubic.Filter = Bicubic
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"jpeg.Decode", func() error { _, err := jpeg.Decode(bytes.NewReader(file)); return err }},
		{"FromImage", func() error { FromImage(decoded); return nil }},
		{"Put", func() error { return ImageNet(224, 224).Put(batch, 0, p) }},
		{"Put bicubic", func() error { return bicubic.Put(batch, 0, p) }},
		{"Decode and Put", func() error {
			p, err := Decode(bytes.NewReader(file), Limits{})
			if err != nil {
				return err
			}
			return ImageNet(224, 224).Put(batch, 0, p)
		}},
	} {
		b.Run(step.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := step.do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
