package vision

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"
)

// A JPEG's markers (T.81, table B.1).
const (
	frameBaseline             = 0xc0
	frameExtended             = 0xc1
	frameProgressive          = 0xc2
	firstFrame, lastFrame     = 0xc0, 0xcf // but for the next three, of which the second is kept for extensions
	huffmanTables             = 0xc4
	extension, arithmetic     = 0xc8, 0xcc
	firstRestart, lastRestart = 0xd0, 0xd7
	startOfImage, endOfImage  = 0xd8, 0xd9
	startOfScan               = 0xda
	quantTables               = 0xdb
	restartInterval           = 0xdd
	app0, app1, app14         = 0xe0, 0xe1, 0xee
	temporary                 = 0x01 // stands alone
)

const (
	maxPlanes   = 4
	maxSampling = 4
	maxUnit     = 10 // blocks of all planes
)

// maxScans bounds the passes of a JPEG over its picture, and scansOfLimit their number times the picture's pixels, in
// pictures as large as the limit. Encoders make some ten passes; a hostile file may ask for one over millions of blocks
// in some ten bytes.
const (
	maxScans     = 200
	scansOfLimit = 20
)

// jpegSegments yields a JPEG's segments: 0xff, kind, 2 bytes of length (itself included), content; after a scan's
// header coded data, in which 0xff is followed by 0 or the number of a restart. end is where in the file a segment
// ends. The last one is the end of the image or, of a file that is cut off, one without content.
func jpegSegments(file []byte) iter.Seq2[uint8, jpegSegment] {
	return func(yield func(uint8, jpegSegment) bool) {
		for at := 2; at+2 <= len(file); { // after the start of image
			if file[at] != 0xff { // coded data, or rubbish between segments, which decoders pass over
				skip := bytes.IndexByte(file[at:], 0xff)
				if skip < 0 {
					return
				}
				at += skip
				continue
			}
			kind := file[at+1]
			switch {
			case kind == 0xff: // a fill byte
				at++
				continue
			case kind == 0 || kind == temporary || kind >= firstRestart && kind <= lastRestart || kind == startOfImage:
				at += 2
				continue
			case kind == endOfImage:
				yield(kind, jpegSegment{})
				return
			}
			if at+4 > len(file) {
				return
			}
			length := int(binary.BigEndian.Uint16(file[at+2:]))
			if length < 2 || at+2+length > len(file) {
				return
			}
			if !yield(kind, jpegSegment{file[at+4 : at+2+length], at + 2 + length}) {
				return
			}
			at += 2 + length
		}
	}
}

type jpegSegment struct {
	content []byte
	end     int // in the file
}

// jpegExif is the first EXIF block before the picture, which is a TIFF's; nil without.
func jpegExif(file []byte) []byte {
	for kind, segment := range jpegSegments(file) {
		if kind == startOfScan {
			break
		}
		if block, ok := bytes.CutPrefix(segment.content, []byte(exifHeader)); ok && kind == app1 {
			return block
		}
	}
	return nil
}

func jpegOrientation(file []byte) orientation { return tiffOrientation(jpegExif(file)) }

// jpegFrame is a picture as its header tells it.
type jpegFrame struct {
	w, h                   int
	progressive            bool
	ids                    []uint8 // of its planes
	planes                 []*jpegPlane
	mostX, mostY           int // the largest factors of the planes
	unitsAcross, unitsDown int // a unit is a block or more of each plane, over the same pixels
}

// jpegPlane is one of a picture's components. Planes with larger factors are finer.
type jpegPlane struct {
	plane
	ux, uy int       // its factors: so many blocks of a unit, across and down
	across int       // blocks in a row, those that pad a unit included
	table  uint8     // of its quantization
	quant  [64]int32 // which holds from its first scan on
	begun  bool
	blocks []block // coefficients of a progressive picture
}

// readJPEGFrame reads a frame's header.
func readJPEGFrame(kind uint8, header []byte) (*jpegFrame, error) {
	switch {
	case kind == 0xc3 || kind == 0xc7 || kind == 0xcb || kind == 0xcf:
		return nil, errors.New("lossless JPEG is not supported: save it as a usual JPEG or as PNG")
	case kind > 0xc7:
		return nil, errors.New("a JPEG with arithmetic coding is not supported: jpegtran in.jpg > out.jpg makes a usual " +
			"one of it")
	case kind > frameProgressive:
		return nil, errors.New("a hierarchical JPEG is not supported: save it as a usual JPEG or as PNG")
	case len(header) < 6 || len(header) != 6+3*int(header[5]):
		return nil, errors.New("its frame's header is broken")
	case header[0] != 8:
		return nil, fmt.Errorf("a JPEG of %d bits is not supported: save it with 8 bits", header[0])
	}
	f := &jpegFrame{h: int(binary.BigEndian.Uint16(header[1:])), w: int(binary.BigEndian.Uint16(header[3:])),
		progressive: kind == frameProgressive}
	n := int(header[5])
	if n != 1 && n != 3 && n != 4 {
		return nil, fmt.Errorf("a JPEG of %d components is not supported: want grey, three colours or four", n)
	}
	for i := range n {
		c := header[6+3*i:][:3]
		p := &jpegPlane{ux: int(c[1] >> 4), uy: int(c[1] & 15), table: c[2]}
		if p.ux < 1 || p.ux > maxSampling || p.uy < 1 || p.uy > maxSampling || p.table > 3 ||
			bytes.IndexByte(f.ids, c[0]) >= 0 {
			return nil, errors.New("its frame's header is broken")
		}
		if n == 1 {
			p.ux, p.uy = 1, 1 // there is nothing that it could be finer than
		}
		f.mostX, f.mostY = max(f.mostX, p.ux), max(f.mostY, p.uy)
		f.ids, f.planes = append(f.ids, c[0]), append(f.planes, p)
	}
	for _, p := range f.planes {
		if f.mostX%p.ux != 0 || f.mostY%p.uy != 0 {
			return nil, fmt.Errorf("a JPEG with planes sampled %dx%d and %dx%d is not supported: save it as another JPEG "+
				"or as PNG", f.mostY, f.mostX, p.uy, p.ux)
		}
	}
	return f, nil
}

// jpegSize finds the frame's size.
func jpegSize(file []byte) (image.Config, error) {
	for kind, segment := range jpegSegments(file) {
		if isFrame(kind) {
			f, err := readJPEGFrame(kind, segment.content)
			if err != nil {
				return image.Config{}, err
			}
			return image.Config{Width: f.w, Height: f.h}, nil
		}
		if kind == startOfScan || kind == endOfImage {
			return image.Config{}, errors.New("there is no picture in it")
		}
	}
	return image.Config{}, io.ErrUnexpectedEOF
}

func isFrame(kind uint8) bool {
	return kind >= firstFrame && kind <= lastFrame && kind != huffmanTables && kind != extension && kind != arithmetic
}

// checkScans refuses a picture that is passed over too often, before memory is taken.
func checkScans(in *source, w, h int) error {
	most := int(min(maxScans, scansOfLimit*int64(in.pixels)/int64(w*h)))
	scans := 0
	for kind := range jpegSegments(in.file) {
		if kind == startOfScan {
			scans++
		}
	}
	if scans > most {
		return fmt.Errorf("JPEG of %dx%d pixels in %d scans is refused: of this size the limit is %d scans; jpegtran in.jpg "+
			"> out.jpg makes one scan of it", h, w, scans, most)
	}
	return nil
}

// take makes room for the samples, and for the coefficients that a progressive picture keeps until its last scan.
func (f *jpegFrame) take() {
	f.unitsAcross, f.unitsDown = ceil(f.w, 8*f.mostX), ceil(f.h, 8*f.mostY)
	for _, p := range f.planes {
		p.w, p.h = ceil(f.w*p.ux, f.mostX), ceil(f.h*p.uy, f.mostY)
		p.sx, p.sy = f.mostX/p.ux, f.mostY/p.uy
		p.across = f.unitsAcross * p.ux
		p.stride = 8 * p.across
		p.pix = make([]uint8, p.stride*8*f.unitsDown*p.uy)
		if f.progressive {
			p.blocks = make([]block, p.across*f.unitsDown*p.uy)
		}
	}
}

func ceil(a, b int) int { return (a + b - 1) / b }

// jpegDecoder holds what a JPEG's segments have told so far.
type jpegDecoder struct {
	frame       *jpegFrame
	quant       [4]*[64]int32
	dc, ac      [4]*huffman
	restarts    int
	jfif, adobe bool
	transform   uint8 // Adobe's
	begun       bool  // a scan was there
}

// decodeJPEG decodes a JPEG as libjpeg-turbo does by default, to the bit.
func decodeJPEG(in *source) (*Picture, error) {
	var d jpegDecoder
	for kind, segment := range jpegSegments(in.file) {
		if kind == endOfImage {
			return d.picture(in.ctx)
		}
		if err := d.read(in, kind, segment); err != nil {
			return nil, err
		}
	}
	return nil, io.ErrUnexpectedEOF
}

// read takes in one segment.
func (d *jpegDecoder) read(in *source, kind uint8, s jpegSegment) (err error) {
	content := s.content
	switch {
	case isFrame(kind) && d.frame != nil:
		return errors.New("it has two frames")
	case isFrame(kind):
		if d.frame, err = readJPEGFrame(kind, content); err != nil {
			return err
		}
		if err := checkScans(in, d.frame.w, d.frame.h); err != nil {
			return err
		}
		d.frame.take()
	case kind == huffmanTables:
		for len(content) > 0 {
			class, number := content[0]>>4, content[0]&15
			if class > 1 || number > 3 {
				return errors.New("a Huffman table has a number that there is none of")
			}
			to := &d.dc[number]
			if class == 1 {
				to = &d.ac[number]
			}
			if *to, content, err = newHuffman(content[1:]); err != nil {
				return err
			}
		}
	case kind == quantTables:
		return d.readQuant(content)
	case kind == restartInterval && len(content) == 2:
		d.restarts = int(binary.BigEndian.Uint16(content))
	case kind == restartInterval:
		return errors.New("its restart interval is broken")
	case kind == app0 && !d.begun: // what comes later libjpeg does not ask for the colours
		d.jfif = d.jfif || len(content) >= 14 && string(content[:5]) == "JFIF\x00"
	case kind == app14 && !d.begun && len(content) >= 12 && string(content[:5]) == "Adobe":
		d.adobe, d.transform = true, content[11]
	case kind == startOfScan:
		d.begun = true
		scan, err := d.scan(content, in.file[s.end:])
		if err != nil {
			return err
		}
		return scan.run(in.ctx, d.frame, d.restarts)
	}
	return nil
}

// readQuant reads quantization tables: one byte for precision and number, 64 values of 8 or 16 bits.
func (d *jpegDecoder) readQuant(content []byte) error {
	for len(content) > 0 {
		wide, number := content[0]>>4, content[0]&15
		size := 1 + 64*(1+int(wide))
		if wide > 1 || number > 3 || len(content) < size {
			return errors.New("a quantization table is broken")
		}
		table := new([64]int32)
		for i := range table {
			v := int32(content[1+i])
			if wide == 1 {
				v = int32(binary.BigEndian.Uint16(content[1+2*i:]))
			}
			table[unzigzag[i]] = v
		}
		d.quant[number], content = table, content[size:]
	}
	return nil
}

// scan reads a scan's header: the number of its planes, each with its id and its tables, and what a progressive scan
// brings.
func (d *jpegDecoder) scan(header, data []byte) (*jpegScan, error) {
	broken := errors.New("a scan's header is broken")
	if d.frame == nil {
		return nil, errors.New("a scan comes before its frame")
	}
	if len(header) < 1 || header[0] < 1 || header[0] > maxPlanes || len(header) != 4+2*int(header[0]) {
		return nil, broken
	}
	n := int(header[0])
	which := header[1+2*n:]
	s := &jpegScan{bitReader: bitReader{data: data}, progressive: d.frame.progressive, last: 63}
	if s.progressive {
		high := which[2] >> 4
		s.first, s.last, s.refine, s.shift = int(which[0]), int(which[1]), high > 0, uint(which[2]&15)
		if s.first > s.last || s.last > 63 || s.first == 0 && s.last > 0 || s.first > 0 && n > 1 || s.shift > 13 ||
			s.refine && uint(high) != s.shift+1 {
			return nil, broken
		}
	}
	unit := 0
	for i := range n {
		id, tables := header[1+2*i], header[2+2*i]
		number := bytes.IndexByte(d.frame.ids, id)
		if number < 0 || tables>>4 > 3 || tables&15 > 3 {
			return nil, broken
		}
		p := d.frame.planes[number]
		for _, other := range s.planes {
			if other == p {
				return nil, broken
			}
		}
		s.dc[i], s.ac[i] = d.dc[tables>>4], d.ac[tables&15]
		if s.first == 0 && !s.refine && s.dc[i] == nil || s.last > 0 && s.ac[i] == nil {
			return nil, errors.New("a scan's Huffman table is missing")
		}
		if !p.begun {
			table := d.quant[p.table]
			if table == nil {
				return nil, errors.New("a quantization table is missing")
			}
			p.quant, p.begun = *table, true
		}
		s.planes = append(s.planes, p)
		unit += p.ux * p.uy
	}
	if n > 1 && unit > maxUnit {
		return nil, broken
	}
	return s, nil
}

// picture makes a picture of what the scans brought.
func (d *jpegDecoder) picture(ctx context.Context) (*Picture, error) {
	f := d.frame
	if f == nil || !d.begun {
		return nil, errors.New("there is no picture in it")
	}
	for i, p := range f.planes {
		if !p.begun {
			return nil, fmt.Errorf("it has no data of component %d", i+1)
		}
		if f.progressive {
			for y := range ceil(p.h, 8) {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				for x := range ceil(p.w, 8) {
					p.inverse(&p.blocks[y*p.across+x], x, y)
				}
			}
			p.blocks = nil
		}
	}
	channels := min(len(f.planes), 3)
	to := NewPicture(f.w, f.h, channels)
	var rows [maxPlanes][]uint8
	for y := range f.h {
		for i, p := range f.planes {
			rows[i] = p.row(y)
		}
		d.colour(to.Pix[y*f.w*channels:][:f.w*channels], &rows)
	}
	return to, nil
}

// colour turns a row of each plane into grey or red, green and blue. Which colours the planes hold is told, as in
// libjpeg, by the segments of JFIF and Adobe; where both are missing, three planes called R, G and B are these, and
// four are ink. Pillow takes all ink for inverted, as Adobe writes it.
func (d *jpegDecoder) colour(to []uint8, rows *[maxPlanes][]uint8) {
	switch f := d.frame; {
	case len(f.planes) == 1:
		copy(to, rows[0])
	case len(f.planes) == 3 && !d.jfif && (d.adobe && d.transform == 0 || !d.adobe && string(f.ids) == "RGB"):
		for i := range f.w {
			to[3*i], to[3*i+1], to[3*i+2] = rows[0][i], rows[1][i], rows[2][i]
		}
	case len(f.planes) == 3:
		yccToRGB(to, rows[0][:f.w], rows[1], rows[2])
	default:
		// YCCK: Y'CbCr of the colours that Adobe's ink is the inverse of, which Pillow takes for ink
		if d.adobe && d.transform != 0 {
			yccToRGB(to, rows[0][:f.w], rows[1], rows[2])
		} else {
			for i := range f.w {
				to[3*i], to[3*i+1], to[3*i+2] = 255-rows[0][i], 255-rows[1][i], 255-rows[2][i]
			}
		}
		for i, black := range rows[3][:f.w] {
			for c := range 3 {
				to[3*i+c] = uncovered(to[3*i+c], 255-black)
			}
		}
	}
}
