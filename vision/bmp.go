package vision

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"math/bits"
)

// How a BMP's pixels are stored.
const (
	bmpPlain       = 0
	bmpRuns8       = 1
	bmpRuns4       = 2
	bmpMasks       = 3
	bmpMasksOfFour = 6 // with one for transparency
)

// bmpPicture is a BMP as its headers tell it: of Windows, versions 3 to 5, and of OS/2, versions 1 and 2.
type bmpPicture struct {
	w, h     int
	topDown  bool
	bits     int // of a pixel
	storage  uint32
	masks    [3]uint32 // of red, green and blue in a pixel without palette
	palette  []byte    // blue, green, red
	colours  int       // of the palette
	pixelsAt int
}

const bmpFileHeader = 14

// readBMP reads the headers and refuses what is not read.
func readBMP(file []byte) (*bmpPicture, error) {
	if len(file) < bmpFileHeader+12 {
		return nil, io.ErrUnexpectedEOF
	}
	little := binary.LittleEndian
	size := little.Uint32(file[bmpFileHeader:])
	switch size {
	case 12, 16, 40, 52, 56, 64, 108, 124:
	default:
		return nil, fmt.Errorf("BMP with a header of %d bytes is not supported: save it as another BMP or as PNG", size)
	}
	if len(file) < bmpFileHeader+int(size) {
		return nil, io.ErrUnexpectedEOF
	}
	header := file[bmpFileHeader:][:size]
	b := &bmpPicture{pixelsAt: int(min(little.Uint32(file[10:]), math.MaxInt32))}
	end := bmpFileHeader + int(size)
	entry := 4 // bytes of a colour in the palette
	if size == 12 {
		b.w, b.h = int(little.Uint16(header[4:])), int(little.Uint16(header[6:]))
		b.bits = int(little.Uint16(header[10:]))
		entry = 3
	} else {
		b.w, b.h = int(int32(little.Uint32(header[4:]))), int(int32(little.Uint32(header[8:])))
		b.topDown = b.h < 0
		b.h = max(b.h, -b.h)
		b.bits = int(little.Uint16(header[14:]))
	}
	if size >= 40 {
		b.storage, b.colours = little.Uint32(header[16:]), int(little.Uint32(header[32:]))
	}
	if b.w < 0 || b.h < 0 { // the least of 32 bits has no opposite
		return nil, errors.New("BMP of a negative size")
	}
	paletted := b.bits <= 8
	switch {
	case size == 64 && b.storage > bmpRuns4: // OS/2's numbers mean something else
		b.storage = ^uint32(0)
	case b.storage == bmpPlain && b.bits == 16:
		b.masks = [3]uint32{0x7c00, 0x3e0, 0x1f}
	case b.storage == bmpPlain && b.bits > 16:
		b.masks = [3]uint32{0xff0000, 0xff00, 0xff}
	case (b.storage == bmpMasks || b.storage == bmpMasksOfFour) && b.bits >= 16:
		if size == 40 { // they follow the header
			n := 12
			if b.storage == bmpMasksOfFour {
				n = 16
			}
			if len(file) < end+n {
				return nil, io.ErrUnexpectedEOF
			}
			header = file[bmpFileHeader : end+n]
			end += n
		}
		for c := range b.masks {
			b.masks[c] = little.Uint32(header[40+4*c:])
		}
		if b.masks == [3]uint32{} {
			b.masks = [3]uint32{0xff0000, 0xff00, 0xff}
		}
		b.storage = bmpPlain
	}
	switch b.bits {
	case 1, 2, 4, 8, 16, 24, 32:
	default:
		return nil, fmt.Errorf("BMP of %d bits a pixel is not supported: save it with 24", b.bits)
	}
	if !(b.storage == bmpPlain || b.storage == bmpRuns8 && b.bits == 8 || b.storage == bmpRuns4 && b.bits == 4) {
		return nil, errors.New("BMP compressed in this way is not supported: save it without compression or as PNG")
	}
	b.pixelsAt = cmp.Or(b.pixelsAt, end)
	if paletted {
		if b.colours <= 0 || b.colours > 1<<b.bits {
			b.colours = 1 << b.bits
		}
		if b.pixelsAt > end { // a palette may be shorter than it says
			b.colours = min(b.colours, max((b.pixelsAt-end)/entry, 1))
		}
		if len(file) < end+entry*b.colours {
			return nil, io.ErrUnexpectedEOF
		}
		for i := range b.colours {
			b.palette = append(b.palette, file[end+entry*i:][:3]...)
		}
	}
	return b, nil
}

func bmpSize(file []byte) (image.Config, error) {
	b, err := readBMP(file)
	if err != nil {
		return image.Config{}, err
	}
	return image.Config{Width: b.w, Height: b.h}, nil
}

// decodeBMP decodes a BMP. Transparency is dropped.
func decodeBMP(in *source) (*Picture, error) {
	b, err := readBMP(in.file)
	if err != nil {
		return nil, err
	}
	data := in.file[min(b.pixelsAt, len(in.file)):]
	row := func(p *Picture, y int) []uint8 {
		if !b.topDown {
			y = b.h - 1 - y
		}
		return p.Pix[3*b.w*y:][:3*b.w]
	}
	if b.storage != bmpPlain {
		numbers, err := b.runs(in, data)
		if err != nil {
			return nil, err
		}
		p := NewPicture(b.w, b.h, 3)
		for y := range b.h {
			if err := b.look(row(p, y), numbers[b.w*y:][:b.w]); err != nil {
				return nil, err
			}
		}
		return p, nil
	}
	stride := (b.w*b.bits + 31) / 32 * 4
	if len(data) < stride*(b.h-1)+ceil(b.w*b.bits, 8) { // the last row's padding may be missing
		return nil, io.ErrUnexpectedEOF
	}
	p := NewPicture(b.w, b.h, 3)
	numbers := make([]uint8, b.w)
	for y := range b.h {
		if err := in.ctx.Err(); err != nil {
			return nil, err
		}
		to, from := row(p, y), data[stride*y:]
		if b.bits > 8 {
			b.direct(to, from)
			continue
		}
		perByte := 8 / b.bits
		for x := range numbers {
			numbers[x] = from[x/perByte] >> (8 - b.bits*(x%perByte+1)) & (1<<b.bits - 1)
		}
		if err := b.look(to, numbers); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// look finds the colours of numbers in the palette.
func (b *bmpPicture) look(to, numbers []uint8) error {
	for x, n := range numbers {
		if int(n) >= b.colours {
			return fmt.Errorf("a pixel has colour %d of a palette of %d", n, b.colours)
		}
		to[3*x], to[3*x+1], to[3*x+2] = b.palette[3*int(n)+2], b.palette[3*int(n)+1], b.palette[3*int(n)]
	}
	return nil
}

// direct takes a row's colours out of its pixels by their masks.
func (b *bmpPicture) direct(to, from []uint8) {
	var shift [3]int
	var most [3]uint64
	for c, mask := range b.masks {
		shift[c] = bits.TrailingZeros32(mask)
		most[c] = uint64(mask) >> shift[c]
	}
	bytes := b.bits / 8
	for x := range b.w {
		pixel := uint32(0)
		for i, v := range from[bytes*x:][:bytes] {
			pixel |= uint32(v) << (8 * i)
		}
		for c, mask := range b.masks {
			if mask != 0 {
				to[3*x+c] = uint8(uint64(pixel&mask) >> shift[c] * 255 / most[c])
			}
		}
	}
}

// runs unpacks the numbers of colours from runs, row by row as they are stored: a number from 1 to 255 and a byte of
// one pixel, or of two that take turns; 0 and 0 for the end of a row, 1 of the picture, 2 for a jump; otherwise 0 and a
// number of pixels that follow as they are, in an even number of bytes. What is jumped over is colour 0.
func (b *bmpPicture) runs(in *source, data []byte) ([]uint8, error) {
	const endOfRow, endOfPicture, jump = 0, 1, 2
	numbers := make([]uint8, b.w*b.h)
	nibble := b.storage == bmpRuns4
	x, y := 0, 0
	put := func(n uint8) {
		if x < b.w { // a run may be too long
			numbers[y*b.w+x] = n
			x++
		}
	}
	for y < b.h {
		if err := in.ctx.Err(); err != nil {
			return nil, err
		}
		if len(data) < 2 {
			return nil, io.ErrUnexpectedEOF
		}
		count, what := int(data[0]), data[1]
		data = data[2:]
		switch {
		case count > 0 && nibble:
			for i := range count {
				put(what << (i % 2 * 4) >> 4)
			}
		case count > 0:
			for range count {
				put(what)
			}
		case what == endOfRow:
			x, y = 0, y+1
		case what == endOfPicture:
			return numbers, nil
		case what == jump:
			if len(data) < 2 {
				return nil, io.ErrUnexpectedEOF
			}
			x, y = min(x+int(data[0]), b.w), y+int(data[1])
			data = data[2:]
		default:
			size := int(what)
			if nibble {
				size = (size + 1) / 2
			}
			if len(data) < size {
				return nil, io.ErrUnexpectedEOF
			}
			for i := range int(what) {
				if nibble {
					put(data[i/2] << (i % 2 * 4) >> 4)
				} else {
					put(data[i])
				}
			}
			data = data[min(size+size%2, len(data)):]
		}
	}
	return numbers, nil
}
