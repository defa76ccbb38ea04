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

// exifHeader stands before the TIFF block in a JPEG, and in some WebP files.
const exifHeader = "Exif\x00\x00"

// pngOrientation finds the orientation in a PNG's eXIf chunk, wherever it lies: chunks are a length, a name, content
// and a checksum.
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

// tiffOrientation reads tag 0x0112, one 16-bit number, from the first directory of a TIFF block (EXIF 2.3, section
// 4.5). Where there is none, or a broken one, the picture is upright.
func tiffOrientation(tiff []byte) orientation {
	const tag = 0x0112
	if e, ok := tiffDirectory(tiff)[tag]; ok && e.kind == tiffShort && e.count == 1 {
		if o := orientation(e.first()); o >= upright && o <= turnedRight {
			return o
		}
	}
	return upright
}

// Kinds of a TIFF's numbers.
const tiffByte, tiffShort, tiffLong = 1, 3, 4

// tiffEntry is an entry of a TIFF directory.
type tiffEntry struct {
	kind  uint16
	count uint32
	value []byte // the numbers, or where they lie in the file
	order binary.ByteOrder
	file  []byte
}

// first is an entry's first number, 0 where it has none.
func (e tiffEntry) first() uint32 {
	if n := e.numbers(1); len(n) > 0 {
		return n[0]
	}
	return 0
}

// isCutOff reports whether an entry's numbers lie beyond the file's end.
func (e tiffEntry) isCutOff() bool {
	size := uint64(e.count) * tiffSizes[e.kind]
	return size > uint64(len(e.value)) && uint64(e.order.Uint32(e.value))+size > uint64(len(e.file))
}

// tiffSizes are the bytes of a number of each kind.
var tiffSizes = map[uint16]uint64{tiffByte: 1, 2: 1, tiffShort: 2, tiffLong: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8,
	11: 4, 12: 8}

// numbers are an entry's, as many as there are but for the most wanted.
func (e tiffEntry) numbers(most int) []uint32 {
	size, ok := tiffSizes[e.kind]
	if !ok {
		return nil
	}
	from := e.value
	if size*uint64(e.count) > uint64(len(from)) {
		from = e.file[min(uint64(e.order.Uint32(e.value)), uint64(len(e.file))):]
	}
	n := min(uint64(e.count), uint64(most), uint64(len(from))/size)
	numbers := make([]uint32, n)
	for i := range numbers {
		switch at := from[uint64(i)*size:]; e.kind {
		case tiffByte:
			numbers[i] = uint32(at[0])
		case tiffShort:
			numbers[i] = uint32(e.order.Uint16(at))
		case tiffLong:
			numbers[i] = e.order.Uint32(at)
		}
	}
	return numbers
}

// tiffOrder is the order of a TIFF's bytes, nil of what is none.
func tiffOrder(tiff []byte) binary.ByteOrder {
	switch {
	case bytes.HasPrefix(tiff, []byte("II*\x00")):
		return binary.LittleEndian
	case bytes.HasPrefix(tiff, []byte("MM\x00*")):
		return binary.BigEndian
	}
	return nil
}

// tiffDirectoryIsWhole reports whether the file holds as many entries as its first directory tells of.
func tiffDirectoryIsWhole(tiff []byte) bool {
	if len(tiff) < 8 {
		return false
	}
	order := tiffOrder(tiff)
	at, size := uint64(order.Uint32(tiff[4:])), uint64(len(tiff))
	return at+2 <= size && at+2+12*uint64(order.Uint16(tiff[at:])) <= size
}

// tiffDirectory reads the first directory by its tags, of the same tag the first entry, as many as there are.
func tiffDirectory(tiff []byte) map[uint16]tiffEntry {
	order := tiffOrder(tiff)
	if len(tiff) < 8 || order == nil {
		return nil
	}
	directory := uint64(order.Uint32(tiff[4:]))
	if directory+2 > uint64(len(tiff)) {
		return nil
	}
	entries := map[uint16]tiffEntry{}
	rest := tiff[directory+2:]
	for range order.Uint16(tiff[directory:]) {
		if len(rest) < 12 { // tag, kind, count, value
			break
		}
		tag := order.Uint16(rest)
		if _, double := entries[tag]; !double {
			entries[tag] = tiffEntry{order.Uint16(rest[2:]), order.Uint32(rest[4:]), rest[8:12], order, tiff}
		}
		if entries[tag].isCutOff() {
			break // as Pillow, which reads no entry behind one whose value is not there
		}
		rest = rest[12:]
	}
	return entries
}
