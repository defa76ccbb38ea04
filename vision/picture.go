// Package vision brings pictures to a network: it decodes image files, resizes as Pillow does, crops, normalises, and
// reads data sets and class labels.
package vision

import (
	"image"
	"image/color"
)

// Picture is an 8-bit image of 1 channel (grey) or 3 (red, green, blue), as Pillow's modes L and RGB: sample c of pixel
// (x,y) is Pix[(y*W+x)*Channels+c]. There is no alpha.
type Picture struct {
	W, H, Channels int
	Pix            []uint8
	Transparent    bool // what it was made from had transparency, which is dropped
}

// NewPicture makes a black picture. It panics on a negative size, as make does.
func NewPicture(w, h, channels int) *Picture {
	return &Picture{W: w, H: h, Channels: channels, Pix: make([]uint8, w*h*channels)}
}

// FromImage copies an image: grey ones to 1 channel, all others to 3. Transparency is dropped, not blended with a
// background; of 16 bits the upper 8 are kept; of an *image.YCbCr the chroma is interpolated and turned to colours as
// libjpeg does, and ink (*image.CMYK) is as Pillow's convert("RGB") does.
func FromImage(m image.Image) *Picture {
	p := withoutAlpha(m)
	o, tells := m.(interface{ Opaque() bool })
	p.Transparent = tells && !o.Opaque()
	return p
}

func withoutAlpha(m image.Image) *Picture {
	b := m.Bounds()
	switch m := m.(type) {
	case *image.Gray:
		return fill(b, 1, func(y int, to []uint8) { copy(to, m.Pix[m.PixOffset(b.Min.X, y):]) })
	case *image.Gray16: // big-endian
		return fill(b, 1, func(y int, to []uint8) {
			from := m.Pix[m.PixOffset(b.Min.X, y):]
			for i := range to {
				to[i] = from[2*i]
			}
		})
	case *image.YCbCr:
		if b.Min.X < 0 || b.Min.Y < 0 || b.Empty() { // where image.YCbCr's own indices are uneven
			break
		}
		chroma := newChromaRows(m)
		return fill(b, 3, func(y int, to []uint8) {
			cb, cr := chroma.row(y - b.Min.Y)
			yccToRGB(to, m.Y[m.YOffset(b.Min.X, y):][:b.Dx()], cb, cr)
		})
	case *image.CMYK:
		return fill(b, 3, func(y int, to []uint8) {
			for from := m.Pix[m.PixOffset(b.Min.X, y):]; len(to) > 0; from, to = from[4:], to[3:] {
				for c := range 3 {
					to[c] = uncovered(from[c], from[3])
				}
			}
		})
	case *image.NRGBA:
		return fill(b, 3, func(y int, to []uint8) {
			for from := m.Pix[m.PixOffset(b.Min.X, y):]; len(to) > 0; from, to = from[4:], to[3:] {
				to[0], to[1], to[2] = from[0], from[1], from[2]
			}
		})
	case *image.RGBA:
		return fill(b, 3, func(y int, to []uint8) {
			for from := m.Pix[m.PixOffset(b.Min.X, y):]; len(to) > 0; from, to = from[4:], to[3:] {
				to[0], to[1], to[2] = from[0], from[1], from[2]
				if a := uint32(from[3]); a != 0 && a != 255 { // divided out again as Pillow does
					for c := range 3 {
						to[c] = uint8(min(255*uint32(from[c])/a, 255))
					}
				}
			}
		})
	case *image.NRGBA64: // big-endian
		return fill(b, 3, func(y int, to []uint8) {
			for from := m.Pix[m.PixOffset(b.Min.X, y):]; len(to) > 0; from, to = from[8:], to[3:] {
				to[0], to[1], to[2] = from[0], from[2], from[4]
			}
		})
	case *image.Paletted:
		var table [256][3]uint8 // a broken file may point beyond its palette: black
		for i, c := range m.Palette[:min(len(m.Palette), len(table))] {
			table[i] = straight(c)
		}
		return fill(b, 3, func(y int, to []uint8) {
			for _, i := range m.Pix[m.PixOffset(b.Min.X, y):][:b.Dx()] {
				to[0], to[1], to[2] = table[i][0], table[i][1], table[i][2]
				to = to[3:]
			}
		})
	}
	return fill(b, 3, func(y int, to []uint8) {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := straight(m.At(x, y))
			copy(to[3*(x-b.Min.X):], c[:])
		}
	})
}

// uncovered is what light is left of one colour by its ink and by black, as Pillow's convert("RGB") has it.
func uncovered(ink, black uint8) uint8 {
	light := 255 - uint32(black)
	covered := uint32(ink)*light + 128
	return uint8(light - (covered+covered>>8)>>8) // covered/255, rounded
}

// straight is a colour without its transparency: not multiplied by it.
func straight(c color.Color) [3]uint8 {
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	return [3]uint8{n.R, n.G, n.B}
}

// fill makes a picture of b's size, set writing the samples of row y of b.
func fill(b image.Rectangle, channels int, set func(y int, to []uint8)) *Picture {
	p := NewPicture(b.Dx(), b.Dy(), channels)
	stride := p.W * channels
	for y := range p.H {
		set(b.Min.Y+y, p.Pix[y*stride:(y+1)*stride:(y+1)*stride])
	}
	return p
}

// Grey returns the picture with 1 channel: L = (19595 R + 38470 G + 7471 B)/65536, rounded: ITU-R 601's
// 0.299 R + 0.587 G + 0.114 B in Pillow's fixed point.
func (p *Picture) Grey() *Picture {
	if p.Channels == 1 {
		return p
	}
	grey := NewPicture(p.W, p.H, 1)
	for i := range grey.Pix {
		rgb := p.Pix[3*i : 3*i+3]
		grey.Pix[i] = uint8((19595*uint32(rgb[0]) + 38470*uint32(rgb[1]) + 7471*uint32(rgb[2]) + 1<<15) >> 16)
	}
	return grey
}

// RGB returns the picture with 3 channels, a grey one's repeated.
func (p *Picture) RGB() *Picture {
	if p.Channels == 3 {
		return p
	}
	rgb := NewPicture(p.W, p.H, 3)
	for i, v := range p.Pix {
		rgb.Pix[3*i], rgb.Pix[3*i+1], rgb.Pix[3*i+2] = v, v, v
	}
	return rgb
}

// Image returns a copy for the image package: an *image.Gray or an opaque *image.NRGBA.
func (p *Picture) Image() image.Image {
	if p.Channels == 1 {
		grey := image.NewGray(image.Rect(0, 0, p.W, p.H))
		copy(grey.Pix, p.Pix)
		return grey
	}
	m := image.NewNRGBA(image.Rect(0, 0, p.W, p.H))
	for i := range p.W * p.H {
		copy(m.Pix[4*i:], p.Pix[3*i:3*i+3])
		m.Pix[4*i+3] = 255
	}
	return m
}
