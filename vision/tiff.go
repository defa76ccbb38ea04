package vision

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"image"
	"io"
	"math/bits"

	"golang.org/x/image/ccitt"
	"golang.org/x/image/tiff/lzw"
)

// Tags of a TIFF's directory (TIFF 6.0).
const (
	tagWidth, tagHeight              = 256, 257
	tagBits                          = 258
	tagCompression                   = 259
	tagPhotometric                   = 262
	tagFillOrder                     = 266
	tagStripOffsets, tagStripCounts  = 273, 279
	tagSamples, tagRowsPerStrip      = 277, 278
	tagPlanes, tagT4Options          = 284, 292
	tagPredictor, tagColorMap        = 317, 320
	tagTileWidth, tagTileHeight      = 322, 323
	tagTileOffsets, tagTileCounts    = 324, 325
	tagExtraSamples, tagSampleFormat = 338, 339
)

// What samples are (tag 262).
const (
	whiteIsZero = iota
	blackIsZero
	redGreenBlue
	paletteColour
	transparencyMask
	ink
	yCbCr
)

// What tag 338 says of samples beyond the colours.
const associatedAlpha, unassociatedAlpha = 1, 2

// maxTIFFSamples bounds the samples of a pixel, and maxTIFFRow the bytes of a row of one tile or strip.
const (
	maxTIFFSamples = 8
	maxTIFFRow     = 1 << 26
)

// tiffPicture is a TIFF's first picture as its directory tells it.
type tiffPicture struct {
	w, h           int
	bits           int // of a sample: 1, 2, 4, 8 or 16
	samples        int // of a pixel
	colours        int // of those, the first ones; the others are transparency or unknown
	photometric    int
	alpha          bool // behind the colours comes how far a pixel covers what is behind it
	premultiplied  bool // colours were multiplied by the sample behind them
	compression    int
	predicted      bool // samples are told as their distance from the pixel's before
	reversed       bool // bits lie in bytes from the lowest to the highest
	planes         int  // 1 where a pixel's samples lie side by side, otherwise samples
	chunkW, chunkH int  // of a strip or tile
	tiled          bool
	across, down   int // strips or tiles
	offsets        []uint32
	counts         []uint32
	palette        []uint8 // red, green, blue
	bigEndian      bool
}

func tiffSize(file []byte) (image.Config, error) {
	const canon = "II*\x00\x10\x00\x00\x00CR\x02\x00" // whose first picture is a preview in JPEG
	tags := tiffDirectory(file)
	if bytes.HasPrefix(file, []byte(canon)) || isRaw(tags) {
		return image.Config{}, rawFile()
	}
	if !tiffDirectoryIsWhole(file) {
		return image.Config{}, io.ErrUnexpectedEOF
	}
	for _, tag := range []uint16{tagWidth, tagHeight, tagBits, tagColorMap, tagStripOffsets, tagTileOffsets,
		tagStripCounts, tagTileCounts} {
		if tags[tag].isCutOff() {
			return image.Config{}, io.ErrUnexpectedEOF
		}
	}
	w, h := tags[tagWidth].first(), tags[tagHeight].first()
	const most = 1 << 30
	if w > most || h > most {
		return image.Config{}, fmt.Errorf("%dx%d pixels are too many", h, w)
	}
	return image.Config{Width: int(w), Height: int(h)}, nil
}

// isRaw reports whether a TIFF is a camera's raw file, whose first picture is but a preview or holds a sensor's single
// colours: DNG's version, a sensor's pattern, or a first picture that is a reduced one of others that hang below it.
func isRaw(tags map[uint16]tiffEntry) bool {
	const (
		subfileType, subDirectories, dngVersion = 254, 330, 50706
		reduced                                 = 1
		sensorPattern, linearRaw                = 32803, 34892
	)
	_, dng := tags[dngVersion]
	_, others := tags[subDirectories]
	colours := tags[tagPhotometric].first()
	return dng || colours == sensorPattern || colours == linearRaw || others && tags[subfileType].first()&reduced != 0
}

// resaveTIFF is the remedy for a TIFF in a form that is not read.
const resaveTIFF = "tiff2rgba in.tif out.tif makes a plain one of it"

// readTIFF reads the first directory and refuses what is not read, before memory is taken.
func readTIFF(file []byte) (*tiffPicture, error) {
	tags := tiffDirectory(file)
	number := func(tag uint16, otherwise int) int {
		if n := tags[tag].numbers(1); len(n) > 0 {
			return int(n[0])
		}
		return otherwise
	}
	t := &tiffPicture{
		w: number(tagWidth, 0), h: number(tagHeight, 0), samples: number(tagSamples, 1), photometric: number(tagPhotometric,
			whiteIsZero),
		compression: number(tagCompression, 1), reversed: number(tagFillOrder, 1) == 2, planes: 1, bits: 1,
		bigEndian: file[0] == 'M',
	}
	if t.samples < 1 || t.samples > maxTIFFSamples {
		return nil, fmt.Errorf("TIFF of %d samples a pixel is not supported", t.samples)
	}
	for i, b := range tags[tagBits].numbers(t.samples) {
		if i > 0 && int(b) != t.bits {
			return nil, errors.New("TIFF whose samples have different numbers of bits is not supported; " + resaveTIFF)
		}
		t.bits = int(b)
	}
	for _, format := range tags[tagSampleFormat].numbers(t.samples) {
		if format != 1 {
			return nil, errors.New("TIFF of signed or floating point samples is not supported: save it with whole numbers " +
				"of 8 bits")
		}
	}
	switch t.bits {
	case 1, 2, 4, 8, 16:
	default:
		return nil, fmt.Errorf("TIFF of %d bits a sample is not supported: save it with 8 or 16", t.bits)
	}
	switch t.photometric {
	case whiteIsZero, blackIsZero, paletteColour:
		t.colours = 1
	case redGreenBlue:
		t.colours = 3
	case ink:
		t.colours = 4
	case yCbCr:
		return nil, errors.New("TIFF in Y'CbCr is not supported; " + resaveTIFF)
	default:
		return nil, fmt.Errorf("TIFF in colour model %d is not supported: save it in RGB", t.photometric)
	}
	if t.samples < t.colours || t.colours > 1 && t.bits < 8 || t.photometric == paletteColour && t.bits > 8 {
		return nil,
			fmt.Errorf("TIFF of %d samples of %d bits in colour model %d is not supported: save it in RGB with 8 bits",
				t.samples, t.bits, t.photometric)
	}
	extra := number(tagExtraSamples, 0)
	t.alpha = t.samples > t.colours && t.photometric != paletteColour &&
		(extra == associatedAlpha || extra == unassociatedAlpha)
	t.premultiplied = t.alpha && extra == associatedAlpha
	switch p := number(tagPredictor, 1); {
	case p == 2 && t.bits >= 8:
		t.predicted = true
	case p != 1:
		return nil, fmt.Errorf("TIFF of predictor %d with samples of %d bits is not supported; %s", p, t.bits, resaveTIFF)
	}
	if number(tagPlanes, 1) == 2 {
		t.planes = t.samples
	}
	if err := t.checkCompression(number(tagT4Options, 0)); err != nil {
		return nil, err
	}
	if t.photometric == paletteColour {
		n := 1 << t.bits
		colours := tags[tagColorMap].numbers(3 * n)
		if len(colours) < 3*n {
			return nil, errors.New("TIFF without its palette")
		}
		t.palette = make([]uint8, 3*n)
		for i := range n {
			for c := range 3 {
				t.palette[3*i+c] = uint8(colours[c*n+i] >> 8)
			}
		}
	}
	return t, t.readChunks(tags, number)
}

// Compressions (tag 259).
const (
	rawData    = 1
	fax3, fax4 = 3, 4
	lzwData    = 5
	deflate    = 8
	oldDeflate = 32946
	packBits   = 32773
)

func (t *tiffPicture) checkCompression(t4 int) error {
	names := map[int]string{2: "CCITT's Huffman code", 6: "old JPEG", 7: "JPEG", 34712: "JPEG 2000", 34925: "LZMA",
		50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL"}
	switch t.compression {
	case rawData, lzwData, deflate, oldDeflate, packBits:
		return nil
	case fax3, fax4:
		if t.bits == 1 && t.samples == 1 && (t.compression == fax4 || t4&1 == 0) {
			return nil
		}
		return errors.New("TIFF with fax data in two dimensions is not supported; tiffcp -c lzw in.tif out.tif makes " +
			"another of it")
	case 6, 7: // whose colours a copy would keep in Y'CbCr
		return fmt.Errorf("TIFF compressed by %s is not supported; %s", names[t.compression], resaveTIFF)
	}
	if name := names[t.compression]; name != "" {
		return fmt.Errorf("TIFF compressed by %s is not supported; tiffcp -c lzw in.tif out.tif makes another of it", name)
	}
	return fmt.Errorf("TIFF of compression %d is not supported: save it with LZW", t.compression)
}

// readChunks finds the strips or tiles. Tiles so much larger than the picture that unpacking them costs far more than
// its pixels, which are counted, are refused.
func (t *tiffPicture) readChunks(tags map[uint16]tiffEntry, number func(uint16, int) int) error {
	t.chunkW, t.chunkH = t.w, min(number(tagRowsPerStrip, t.h), t.h)
	offsets, counts := tags[tagStripOffsets], tags[tagStripCounts]
	if tileW, tileH := number(tagTileWidth, 0), number(tagTileHeight, 0); tileW > 0 && tileH > 0 {
		t.tiled, t.chunkW, t.chunkH = true, tileW, tileH
		offsets, counts = tags[tagTileOffsets], tags[tagTileCounts]
	}
	if t.chunkH == 0 {
		return errors.New("TIFF in strips of no rows")
	}
	t.across, t.down = ceil(t.w, t.chunkW), ceil(t.h, t.chunkH)
	most := 16*int64(t.w)*int64(t.h) + 1<<20
	chunk := int64(t.chunkW) * int64(t.chunkH)
	if t.tiled && (chunk > most || int64(t.across*t.down) > most/chunk) {
		return fmt.Errorf("TIFF of %dx%d pixels in tiles of %dx%d is refused: they are mostly padding", t.h, t.w,
			t.chunkH, t.chunkW)
	}
	if t.chunkW > maxTIFFRow/(2*t.samples) {
		return fmt.Errorf("TIFF of rows of more than %d bytes is refused", maxTIFFRow)
	}
	chunks := t.across * t.down * t.planes
	t.offsets, t.counts = offsets.numbers(chunks), counts.numbers(chunks)
	if len(t.counts) == 0 && chunks == 1 && len(t.offsets) == 1 {
		t.counts = []uint32{1<<32 - 1} // up to the file's end
	}
	if len(t.offsets) < chunks || len(t.counts) < chunks {
		return fmt.Errorf("TIFF truncated: it tells %d places of %d strips or tiles: %w", min(len(t.offsets), len(t.counts)),
			chunks, io.ErrUnexpectedEOF)
	}
	return nil
}

// decodeTIFF decodes a TIFF's first picture row by row, whatever its strips or tiles are.
func decodeTIFF(in *source) (*Picture, error) {
	t, err := readTIFF(in.file)
	if err != nil {
		return nil, err
	}
	channels := 3
	if t.photometric == whiteIsZero || t.photometric == blackIsZero {
		channels = 1
	}
	p := NewPicture(t.w, t.h, channels)
	rowBytes := ceil(t.chunkW*t.samples/t.planes*t.bits, 8)
	raw, row := make([]byte, rowBytes), make([]uint8, t.chunkW*t.samples)
	readers := make([]io.Reader, t.planes)
	for chunk := range t.across * t.down {
		x, y := chunk%t.across*t.chunkW, chunk/t.across*t.chunkH
		for plane := range readers {
			if readers[plane], err = t.open(in, plane*t.across*t.down+chunk, min(t.chunkH, t.h-y)); err != nil {
				return nil, err
			}
		}
		for ; y < min(chunk/t.across*t.chunkH+t.chunkH, t.h); y++ {
			if err := in.ctx.Err(); err != nil {
				return nil, err
			}
			for plane, r := range readers {
				if _, err := io.ReadFull(r, raw); err != nil {
					return nil, err
				}
				t.unpack(row, raw, plane)
			}
			to := p.Pix[(y*t.w+x)*channels : (y*t.w+min(x+t.chunkW, t.w))*channels]
			t.colour(to, row)
			for x := 0; t.alpha && !p.Transparent && x < len(to)/channels; x++ {
				p.Transparent = row[x*t.samples+t.colours] != 255
			}
		}
	}
	return p, nil
}

// open makes the reader of a strip or tile, of which so many rows are wanted.
func (t *tiffPicture) open(in *source, chunk, rows int) (io.Reader, error) {
	file := in.file
	from := min(uint64(t.offsets[chunk]), uint64(len(file)))
	r := in.open(file[from:min(from+uint64(t.counts[chunk]), uint64(len(file)))])
	if t.compression == fax3 || t.compression == fax4 {
		order, format := ccitt.MSB, ccitt.Group3
		if t.reversed {
			order = ccitt.LSB
		}
		if t.compression == fax4 {
			format = ccitt.Group4
		}
		return ccitt.NewReader(r, order, format, t.chunkW, rows, &ccitt.Options{Invert: true}), nil // white is 0, in a fax
	}
	if t.reversed {
		r = reversedBits{r}
	}
	switch t.compression {
	case lzwData:
		return lzw.NewReader(r, lzw.MSB, 8), nil
	case deflate, oldDeflate:
		return zlib.NewReader(r)
	case packBits:
		return &unpackBits{in: r}, nil
	}
	return r, nil
}

// reversedBits turns round the bits of each byte.
type reversedBits struct{ in io.Reader }

func (r reversedBits) Read(p []byte) (int, error) {
	n, err := r.in.Read(p)
	for i, b := range p[:n] {
		p[i] = bits.Reverse8(b)
	}
	return n, err
}

// unpackBits unpacks Apple's PackBits (TIFF 6.0, section 9): a number from 0 to 127 stands before so many bytes and
// one, one from 129 to 255 before a byte that comes 257 less so many times.
type unpackBits struct {
	in     io.Reader
	buffer []byte // read, but not used yet
	left   int    // bytes to give of the run
	same   bool   // it is one byte, again and again
}

func (u *unpackBits) Read(p []byte) (n int, err error) {
	for n < len(p) {
		switch {
		case len(u.buffer) == 0:
			u.buffer = make([]byte, interruptBytes)
			got, err := u.in.Read(u.buffer)
			u.buffer = u.buffer[:got]
			if err != nil && got == 0 {
				return n, err
			}
		case u.left == 0:
			head := int(u.buffer[0])
			u.buffer = u.buffer[1:]
			if head != 128 {
				u.left, u.same = head+1, false
			}
			if head > 128 {
				u.left, u.same = 257-head, true
			}
		case u.same:
			k := min(u.left, len(p)-n)
			for i := range k {
				p[n+i] = u.buffer[0]
			}
			n += k
			if u.left -= k; u.left == 0 {
				u.buffer = u.buffer[1:]
			}
		default:
			k := copy(p[n:], u.buffer[:min(u.left, len(u.buffer))])
			n += k
			u.left -= k
			u.buffer = u.buffer[k:]
		}
	}
	return n, nil
}

// unpack makes 8 bits of each sample of a row, of the plane given where each has its own: of 16 the upper ones, and
// fewer stretched to 0..255, but for the numbers of a palette's colours.
func (t *tiffPicture) unpack(row []uint8, raw []byte, plane int) {
	each := t.samples / t.planes // samples of a pixel that lie side by side
	switch {
	case t.bits == 16:
		high, low := 1, 0
		if t.bigEndian {
			high, low = 0, 1
		}
		if t.predicted {
			for i := 2 * each; i+1 < len(raw); i += 2 {
				before := raw[i-2*each:]
				sum := uint(raw[i+high])<<8 + uint(raw[i+low]) + uint(before[high])<<8 + uint(before[low])
				raw[i+high], raw[i+low] = uint8(sum>>8), uint8(sum)
			}
		}
		for i, j := 0, plane; 2*i+1 < len(raw); i, j = i+1, j+t.planes {
			row[j] = raw[2*i+high]
		}
	case t.bits == 8:
		if t.predicted {
			for i := each; i < len(raw); i++ {
				raw[i] += raw[i-each]
			}
		}
		for i, j := 0, plane; i < len(raw); i, j = i+1, j+t.planes {
			row[j] = raw[i]
		}
	default:
		perByte := 8 / t.bits
		most := 1<<t.bits - 1
		stretch := uint8(255 / most)
		if t.photometric == paletteColour {
			stretch = 1
		}
		for i := range t.chunkW * each {
			shift := 8 - t.bits*(i%perByte+1)
			row[i*t.planes+plane] = raw[i/perByte] >> shift & uint8(most) * stretch
		}
	}
}

// colour makes a row of a picture, or the part of it that a tile holds, of its samples.
func (t *tiffPicture) colour(to, row []uint8) {
	channels := min(t.colours, 3)
	if t.photometric == paletteColour {
		channels = 3
	}
	for ; len(to) > 0; to, row = to[channels:], row[t.samples:] {
		switch t.photometric {
		case whiteIsZero:
			to[0] = 255 - row[0]
		case blackIsZero:
			to[0] = row[0]
		case redGreenBlue:
			to[0], to[1], to[2] = row[0], row[1], row[2]
		case paletteColour:
			copy(to[:3], t.palette[3*int(row[0]):])
		case ink:
			for c := range 3 {
				to[c] = uncovered(row[c], row[3])
			}
		}
		if t.premultiplied {
			divide(to[:channels], row[t.colours])
		}
	}
}

// divide takes transparency out of colours that were multiplied by it, as Pillow does: what cannot be seen is black.
func divide(colours []uint8, alpha uint8) {
	for c, v := range colours {
		if alpha == 0 {
			colours[c] = 0
		} else {
			colours[c] = uint8(min(255*uint32(v)/uint32(alpha), 255))
		}
	}
}
