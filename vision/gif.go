package vision

import (
	"encoding/binary"
	"image"
	"image/gif"
	"io"
)

// decodeGIF decodes a GIF's first frame on its logical screen. As in Pillow, the screen is filled with the transparent
// colour, or number 0 of the palette, and what is transparent keeps the colour that the palette gives it.
func decodeGIF(in *source) (*Picture, error) {
	// image/gif puts black in place of the transparent colour, so it is told that there is none.
	flags, transparent := gifTransparency(in.file)
	r := in.open(in.file)
	if flags > 0 {
		r = io.MultiReader(in.open(in.file[:flags]), in.open([]byte{in.file[flags] &^ 1}), in.open(in.file[flags+1:]))
	}
	decoded, err := gif.Decode(r) // the first frame only
	if err != nil {
		return nil, err
	}
	frame, ok := decoded.(*image.Paletted)
	screen := image.Rect(0, 0, int(binary.LittleEndian.Uint16(in.file[6:])), int(binary.LittleEndian.Uint16(in.file[8:])))
	if !ok || frame.Rect == screen {
		return FromImage(decoded), nil
	}
	canvas := image.NewPaletted(screen, frame.Palette)
	for i := range canvas.Pix {
		canvas.Pix[i] = transparent
	}
	for y := range frame.Rect.Dy() {
		copy(canvas.Pix[canvas.PixOffset(frame.Rect.Min.X, frame.Rect.Min.Y+y):], frame.Pix[y*frame.Stride:][:frame.Rect.Dx()])
	}
	return FromImage(canvas), nil
}

// gifTransparency finds the first frame's transparent colour, if any, and where the byte lies whose lowest bit says that
// there is one (0 if nowhere). GIF89a, sections 17 to 23.
func gifTransparency(file []byte) (flags int, transparent uint8) {
	const header, extension, graphicControl = 13, 0x21, 0xf9
	if len(file) < header {
		return 0, 0
	}
	at, palette := header, 0
	if file[10]&0x80 != 0 { // a palette for all frames
		palette = 2 << (file[10] & 7)
		at += 3 * palette
	}
	for at+2 < len(file) && file[at] == extension {
		if block := file[at:]; block[1] == graphicControl && len(block) > 7 && block[2] == 4 {
			flags, transparent = 0, 0 // the last one before the frame counts
			if block[3]&1 != 0 {
				flags, transparent = at+3, block[6]
			}
		}
		at += 2
		for at < len(file) && file[at] != 0 { // blocks, each behind its length, up to an empty one
			at += 1 + int(file[at])
		}
		at++
	}
	const frame = 9 // bytes behind the one that announces a frame: position, size, flags
	if at+frame < len(file) && file[at+frame]&0x80 != 0 {
		palette = 2 << (file[at+frame] & 7)
	}
	if int(transparent) >= palette { // a colour there is none of: image/gif knows those
		return 0, 0
	}
	return flags, transparent
}
