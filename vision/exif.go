package vision

import (
	"bytes"
	"encoding/binary"
)

// orientation is how a camera was held, in EXIF's numbers: what was stored as row and column 0 is, in the scene, …
type orientation int

const (
	upright     orientation = iota + 1 // top, left
	mirrored                           // top, right
	upsideDown                         // bottom, right
	flipped                            // bottom, left
	transposed                         // left, top
	turnedLeft                         // right, top: the stored picture must be turned clockwise
	transverse                         // right, bottom
	turnedRight                        // left, bottom
)

// turn shows the picture upright.
func (p *Picture) turn(o orientation) *Picture {
	w, h := p.W, p.H
	if o >= transposed {
		w, h = h, w
	}
	var from func(x, y int) (int, int) // where pixel (x,y) of the result is stored
	switch o {
	case mirrored:
		from = func(x, y int) (int, int) { return p.W - 1 - x, y }
	case upsideDown:
		from = func(x, y int) (int, int) { return p.W - 1 - x, p.H - 1 - y }
	case flipped:
		from = func(x, y int) (int, int) { return x, p.H - 1 - y }
	case transposed:
		from = func(x, y int) (int, int) { return y, x }
	case turnedLeft:
		from = func(x, y int) (int, int) { return y, p.H - 1 - x }
	case transverse:
		from = func(x, y int) (int, int) { return p.W - 1 - y, p.H - 1 - x }
	case turnedRight:
		from = func(x, y int) (int, int) { return p.W - 1 - y, x }
	default:
		return p
	}
	out := NewPicture(w, h, p.Channels)
	to := out.Pix
	for y := range h {
		for x := range w {
			sx, sy := from(x, y)
			copy(to[:p.Channels], p.Pix[(sy*p.W+sx)*p.Channels:])
			to = to[p.Channels:]
		}
	}
	return out
}

// jpegOrientation finds the orientation in a JPEG's EXIF segment; without one, or with a broken one, the picture is upright.
func jpegOrientation(file []byte) orientation {
	const (
		app1        = 0xe1
		startOfScan = 0xda
	)
	at := 2 // after the start-of-image marker; then segments: 0xff, kind, 2 bytes of length (itself included), content
	for at+4 <= len(file) && file[at] == 0xff {
		kind, length := file[at+1], int(binary.BigEndian.Uint16(file[at+2:]))
		if kind == 0xff { // a fill byte
			at++
			continue
		}
		if kind == startOfScan || length < 2 || at+2+length > len(file) {
			break
		}
		content := file[at+4 : at+2+length]
		if tiff, ok := bytes.CutPrefix(content, []byte("Exif\x00\x00")); ok && kind == app1 {
			return tiffOrientation(tiff)
		}
		at += 2 + length
	}
	return upright
}

// tiffOrientation reads tag 0x0112, one 16-bit number, from the first directory of a TIFF block (EXIF 2.3, section 4.5).
func tiffOrientation(tiff []byte) orientation {
	if len(tiff) < 8 {
		return upright
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return upright
	}
	directory := uint64(order.Uint32(tiff[4:]))
	if directory+2 > uint64(len(tiff)) {
		return upright
	}
	entries := tiff[directory+2:]
	for range order.Uint16(tiff[directory:]) {
		if len(entries) < 12 { // tag, type, count, value
			break
		}
		const tag, short = 0x0112, 3
		if order.Uint16(entries) == tag && order.Uint16(entries[2:]) == short && order.Uint32(entries[4:]) == 1 {
			if o := orientation(order.Uint16(entries[8:])); o >= upright && o <= turnedRight {
				return o
			}
			break
		}
		entries = entries[12:]
	}
	return upright
}
