package vision

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
)

// maxScans bounds the passes of a progressive JPEG over its picture. Encoders make about 10; a hostile file may ask for a
// pass over millions of blocks in some ten bytes.
const maxScans = 200

// frameSampling is where a frame's header says how its first component is sampled: behind precision, size, number of components
// and that component's name.
const frameSampling = 7

// jpegMarkers is what we read of a JPEG's segments ourselves.
type jpegMarkers struct {
	exif       []byte // a TIFF block; nil without
	components int    // of the first frame
	adobe      int    // where the byte that tells the colour transform lies in the file, 0 if nowhere
	frame      int    // where the first frame's marker lies
	scans      int
}

// readJPEGMarkers walks a JPEG's segments: 0xff, kind, 2 bytes of length (itself included), content; after a scan's header
// coded data, in which 0xff is followed by 0 or the number of a restart.
func readJPEGMarkers(file []byte) (m jpegMarkers) {
	const (
		firstRestart, lastRestart = 0xd0, 0xd7
		endOfImage                = 0xd9
		startOfScan               = 0xda
		app1, app14               = 0xe1, 0xee
	)
	for at := 2; at+4 <= len(file); { // after the start of image
		if file[at] != 0xff { // coded data, or rubbish between segments, which decoders pass over
			skip := bytes.IndexByte(file[at:], 0xff)
			if skip < 0 {
				break
			}
			at += skip
			continue
		}
		kind, length := file[at+1], int(binary.BigEndian.Uint16(file[at+2:]))
		switch {
		case kind == 0xff: // a fill byte
			at++
			continue
		case kind == 0 || kind >= firstRestart && kind <= lastRestart:
			at += 2
			continue
		}
		if kind == endOfImage || length < 2 || at+2+length > len(file) {
			break
		}
		content := file[at+4 : at+2+length]
		switch {
		case kind == startOfScan:
			m.scans++
		case kind == app1 && m.exif == nil && m.scans == 0:
			m.exif, _ = bytes.CutPrefix(content, []byte(exifHeader))
			if len(m.exif) == len(content) {
				m.exif = nil // something else
			}
		case kind == app14 && len(content) >= 12 && string(content[:5]) == "Adobe":
			m.adobe = at + 4 + 11
		case kind >= 0xc0 && kind <= 0xc2 && m.frame == 0 && len(content) > frameSampling: // baseline, extended, progressive
			m.frame, m.components = at, int(content[5])
		}
		at += 2 + length
	}
	return m
}

func jpegOrientation(file []byte) orientation { return tiffOrientation(readJPEGMarkers(file).exif) }

// decodeJPEG decodes a JPEG. Its samples are image/jpeg's; chroma and colours are libjpeg's, and of ink Pillow's.
func decodeJPEG(file []byte, open opener) (*Picture, error) {
	m := readJPEGMarkers(file)
	if m.scans > maxScans {
		return nil, fmt.Errorf("JPEG of %d scans is refused: the limit is %d", m.scans, maxScans)
	}
	if m.components == 4 {
		return decodeInk(file, m, open)
	}
	decoded, err := jpeg.Decode(open(file))
	if err != nil {
		return nil, err
	}
	return FromImage(decoded), nil
}

// decodeInk decodes a JPEG of 4 components: cyan, magenta, yellow and black, or the first three as the Y'CbCr of their
// inverses (YCCK), which Adobe's segment tells; without one they are plain, as in libjpeg. Pillow takes all samples for
// inverted, whether Adobe wrote them or not. image/jpeg wants that segment and repeats chroma, so it is told that all
// components are plain, and the rest is done here.
func decodeInk(file []byte, m jpegMarkers, open opener) (*Picture, error) {
	const plain = 0
	var in io.Reader
	ycck := false
	if m.adobe > 0 {
		ycck = file[m.adobe] != plain
		in = io.MultiReader(open(file[:m.adobe]), open([]byte{plain}), open(file[m.adobe+1:]))
	} else {
		segment := "\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
		in = io.MultiReader(open(file[:m.frame]), open([]byte(segment)), open(file[m.frame:]))
	}
	decoded, err := jpeg.Decode(in)
	if err != nil {
		return nil, err
	}
	ink, ok := decoded.(*image.CMYK)
	if !ok {
		return nil, errors.New("JPEG of 4 components in an unknown colour model")
	}
	if ycck {
		// Of inverse ink, red, green and blue are cyan, magenta and yellow.
		ycc := image.NewYCbCr(ink.Rect, m.chroma(file))
		for y := range ink.Rect.Dy() {
			for x := range ink.Rect.Dx() {
				p := ink.Pix[y*ink.Stride+4*x:]
				i := ycc.COffset(x, y)
				ycc.Y[y*ycc.YStride+x], ycc.Cb[i], ycc.Cr[i] = 255-p[0], 255-p[1], 255-p[2] // repeated chroma is the same again
			}
		}
		for i, rgb := 0, FromImage(ycc).Pix; i < len(rgb); i += 3 {
			copy(ink.Pix[i/3*4:], rgb[i:i+3])
		}
	}
	return FromImage(ink), nil
}

// chroma is how often 4 components are sampled: image/jpeg decodes two ways.
func (m jpegMarkers) chroma(file []byte) image.YCbCrSubsampleRatio {
	if file[m.frame+4+frameSampling] == 0x22 {
		return image.YCbCrSubsampleRatio420
	}
	return image.YCbCrSubsampleRatio444
}
