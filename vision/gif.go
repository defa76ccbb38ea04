package vision

import (
	"encoding/binary"
	"image"
	"image/gif"
	"io"
)

// gifHeader is what we read of a GIF ourselves: its screen, and what comes before the first frame's pixels.
type gifHeader struct {
	screen      image.Point // made larger where the frame would reach beyond it
	flags       int         // where the byte lies whose lowest bit says that there is a transparent colour, 0 if nowhere
	transparent uint8
}

// gifSize is the screen's size, which image/gif takes as it is told.
func gifSize(file []byte) (image.Config, error) {
	size, err := config(gif.DecodeConfig)(file)
	if err == nil {
		screen := readGIF(file).screen
		size.Width, size.Height = screen.X, screen.Y
	}
	return size, err
}

// decodeGIF decodes a GIF's first frame on its logical screen. As in Pillow, the screen grows until it holds the frame,
// and is filled with the transparent colour, or number 0 of the palette; what is transparent keeps the colour that the
// palette gives it.
func decodeGIF(in *source) (*Picture, error) {
	file := in.file
	h := readGIF(file)
	// image/gif refuses a frame beyond its screen, and puts black in place of the transparent colour: it is told
	// otherwise.
	var head [4]byte
	binary.LittleEndian.PutUint16(head[:], uint16(h.screen.X))
	binary.LittleEndian.PutUint16(head[2:], uint16(h.screen.Y))
	parts := []io.Reader{in.open(file[:6]), in.open(head[:])}
	rest := 10
	if h.flags > 0 {
		parts = append(parts, in.open(file[rest:h.flags]), in.open([]byte{file[h.flags] &^ 1}))
		rest = h.flags + 1
	}
	decoded, err := gif.Decode(io.MultiReader(append(parts, in.open(file[rest:]))...)) // the first frame only
	if err != nil {
		return nil, err
	}
	frame, ok := decoded.(*image.Paletted)
	screen := image.Rectangle{Max: h.screen}
	if !ok || frame.Rect == screen {
		return FromImage(decoded), nil
	}
	canvas := image.NewPaletted(screen, frame.Palette)
	for i := range canvas.Pix {
		canvas.Pix[i] = h.transparent
	}
	for y := range frame.Rect.Dy() {
		copy(canvas.Pix[canvas.PixOffset(frame.Rect.Min.X, frame.Rect.Min.Y+y):],
			frame.Pix[y*frame.Stride:][:frame.Rect.Dx()])
	}
	return FromImage(canvas), nil
}

// readGIF reads up to the first frame (GIF89a, sections 17 to 23).
func readGIF(file []byte) (h gifHeader) {
	const header, extension, graphicControl = 13, 0x21, 0xf9
	if len(file) < header {
		return h
	}
	word := func(at int) int { return int(binary.LittleEndian.Uint16(file[at:])) }
	h.screen = image.Pt(word(6), word(8))
	at, palette := header, 0
	if file[10]&0x80 != 0 { // a palette for all frames
		palette = 2 << (file[10] & 7)
		at += 3 * palette
	}
	for at+2 < len(file) && file[at] == extension {
		if block := file[at:]; block[1] == graphicControl && len(block) > 7 && block[2] == 4 {
			h.flags, h.transparent = 0, 0 // the last one before the frame counts
			if block[3]&1 != 0 {
				h.flags, h.transparent = at+3, block[6]
			}
		}
		at += 2
		for at < len(file) && file[at] != 0 { // blocks, each behind its length, up to an empty one
			at += 1 + int(file[at])
		}
		at++
	}
	const frame = 9 // bytes behind the one that announces a frame: position, size, flags
	if at+frame < len(file) && file[at] == ',' {
		at++
		const most = 1<<16 - 1 // which the screen's header can tell
		h.screen.X = min(max(h.screen.X, word(at)+word(at+4)), most)
		h.screen.Y = min(max(h.screen.Y, word(at+2)+word(at+6)), most)
		if file[at+frame-1]&0x80 != 0 {
			palette = 2 << (file[at+frame-1] & 7)
		}
	}
	if int(h.transparent) >= palette { // a colour there is none of: image/gif knows those
		h.flags, h.transparent = 0, 0
	}
	return h
}
