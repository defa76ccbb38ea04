package vision

import (
	"encoding/binary"
	"iter"
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

// exifHeader stands before the TIFF block in a JPEG, and in some WebP files.
const exifHeader = "Exif\x00\x00"

// pngOrientation finds the orientation in a PNG's eXIf chunk, wherever it lies: chunks are a length, a name, content and a
// checksum.
func pngOrientation(file []byte) orientation {
	rest := file[min(8, len(file)):]
	for len(rest) >= 12 {
		length := uint64(binary.BigEndian.Uint32(rest))
		if length+12 > uint64(len(rest)) {
			break
		}
		if string(rest[4:8]) == "eXIf" {
			return tiffOrientation(rest[8 : 8+length])
		}
		rest = rest[12+length:]
	}
	return upright
}

// tiffOrientation reads tag 0x0112, one 16-bit number, from the first directory of a TIFF block (EXIF 2.3, section 4.5).
// Where there is none, or a broken one, the picture is upright.
func tiffOrientation(tiff []byte) orientation {
	const tag, short = 0x0112, 3
	for e := range tiffEntries(tiff) {
		if e.tag == tag {
			if o := orientation(e.value); e.kind == short && e.count == 1 && o >= upright && o <= turnedRight {
				return o
			}
			break
		}
	}
	return upright
}

// tiffEntry is an entry of a TIFF directory. Its value is of use where it is one number of 8, 16 or 32 bits.
type tiffEntry struct {
	tag, kind    uint16
	count, value uint32
}

// tiffEntries yields the entries of the first directory, as many as there are.
func tiffEntries(tiff []byte) iter.Seq[tiffEntry] {
	return func(yield func(tiffEntry) bool) {
		if len(tiff) < 8 {
			return
		}
		var order binary.ByteOrder
		switch string(tiff[:4]) {
		case "II*\x00":
			order = binary.LittleEndian
		case "MM\x00*":
			order = binary.BigEndian
		default:
			return
		}
		directory := uint64(order.Uint32(tiff[4:]))
		if directory+2 > uint64(len(tiff)) {
			return
		}
		rest := tiff[directory+2:]
		for range order.Uint16(tiff[directory:]) {
			if len(rest) < 12 { // tag, type, count, value
				return
			}
			e := tiffEntry{order.Uint16(rest), order.Uint16(rest[2:]), order.Uint32(rest[4:]), order.Uint32(rest[8:])}
			switch e.kind { // 8 and 16 bits lie at the value's beginning
			case 1:
				e.value = uint32(rest[8])
			case 3:
				e.value = uint32(order.Uint16(rest[8:]))
			}
			if !yield(e) {
				return
			}
			rest = rest[12:]
		}
	}
}
