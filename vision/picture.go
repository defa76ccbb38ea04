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
}

// NewPicture makes a black picture. It panics on a negative size, as make does.
func NewPicture(w, h, channels int) *Picture {
	return &Picture{W: w, H: h, Channels: channels, Pix: make([]uint8, w*h*channels)}
}

// FromImage copies an image: grey ones to 1 channel, all others to 3. Transparency is dropped, not blended with a
// background, and of 16 bits the upper 8 are kept, as Pillow's convert("RGB") does.
func FromImage(m image.Image) *Picture {
	b := m.Bounds()
	switch m := m.(type) {
	case *image.Gray:
		return fill(b, 1, func(x, y int, to []uint8) { to[0] = m.Pix[m.PixOffset(x, y)] })
	case *image.Gray16:
		return fill(b, 1, func(x, y int, to []uint8) { to[0] = m.Pix[m.PixOffset(x, y)] })
	case *image.YCbCr:
		p := NewPicture(b.Dx(), b.Dy(), 3)
		chroma := newChromaRows(m)
		for y := range p.H {
			cb, cr := chroma.row(y)
			yccToRGB(p.Pix[3*y*p.W:], m.Y[m.YOffset(b.Min.X, b.Min.Y+y):][:p.W], cb, cr)
		}
		return p
	case *image.NRGBA:
		return fill(b, 3, func(x, y int, to []uint8) { copy(to, m.Pix[m.PixOffset(x, y):]) })
	case *image.RGBA:
		if m.Opaque() { // nothing to divide out again
			return fill(b, 3, func(x, y int, to []uint8) { copy(to, m.Pix[m.PixOffset(x, y):]) })
		}
	case *image.NRGBA64: // big-endian
		return fill(b, 3, func(x, y int, to []uint8) {
			p := m.Pix[m.PixOffset(x, y):]
			to[0], to[1], to[2] = p[0], p[2], p[4]
		})
	case *image.Paletted:
		table := make([][3]uint8, len(m.Palette))
		for i, c := range m.Palette {
			table[i] = straight(c)
		}
		return fill(b, 3, func(x, y int, to []uint8) {
			if i := int(m.Pix[m.PixOffset(x, y)]); i < len(table) { // a broken file may point beyond its palette: black
				copy(to, table[i][:])
			}
		})
	}
	return fill(b, 3, func(x, y int, to []uint8) {
		c := straight(m.At(x, y))
		copy(to, c[:])
	})
}

// straight is a colour without its transparency: not multiplied by it.
func straight(c color.Color) [3]uint8 {
	n := color.NRGBAModel.Convert(c).(color.NRGBA)
	return [3]uint8{n.R, n.G, n.B}
}

// fill makes a picture of b's size, set writing the samples of pixel (x,y) of b to a slice of channels values.
func fill(b image.Rectangle, channels int, set func(x, y int, to []uint8)) *Picture {
	p := NewPicture(b.Dx(), b.Dy(), channels)
	to := p.Pix
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			set(x, y, to[:channels:channels])
			to = to[channels:]
		}
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
