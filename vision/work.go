package vision

import (
	"errors"
	"fmt"
	"time"
)

// Work is what decoding a file is expected to take, as its header tells.
type Work struct {
	Format string
	W, H   int           // as stored
	Scans  int           // passes of a JPEG over the picture; 1 for other formats
	Memory int64         // bytes beside the file, at most
	Time   time.Duration // about, on one core of an ordinary computer
}

// The costs of each format. Memory is a bound: a JPEG takes up to 12 bytes a pixel (a progressive one keeps three
// 2-byte coefficients and three samples for each) and one in CMYK 15; a PNG 16; a GIF 5; a BMP 4; a TIFF 3 and its
// rows; a WebP 16. The time is about what pictures of 2000x2000 pixels took on a core of 2.x GHz, even ones and noise,
// the longer of the two (2026-11-29; Go 1.26.8); a JPEG's is without its further scans.
var workOf = map[string]struct{ bytes, nanoseconds int64 }{
	"JPEG": {12, 25},
	"PNG":  {16, 40},
	"GIF":  {5, 25},
	"WebP": {16, 60},
	"BMP":  {4, 25},
	"TIFF": {3, 80},
}

const (
	inkBytes, inkNanoseconds = 15, 60 // a pixel, of a JPEG in CMYK
	scanNanoseconds          = 1      // a pixel, of each further scan of a JPEG, however short: it goes over all blocks
	byteNanoseconds          = 20     // a byte of the file, of any format
	fixedBytes               = 1 << 20

	// A lossless WebP may tell up to 65,536 groups of Huffman trees, of 2,600 bytes each, in some 20 bits each.
	groupsBytes, groupsBytesEach = 160 << 20, 1040
)

// Expect tells what decoding a file would take, and refuses what Decode refuses by the header alone.
func Expect(file []byte, limits Limits) (Work, error) {
	limits.complete()
	if int64(len(file)) > limits.Bytes {
		return Work{}, fmt.Errorf("an image file of more than %d bytes is refused", limits.Bytes)
	}
	format, size, err := identify(file, limits)
	if err != nil {
		return Work{}, err
	}
	w := Work{Format: format.name, W: size.Width, H: size.Height, Scans: 1}
	each, ok := workOf[format.name]
	if !ok {
		return Work{}, errors.New(format.name + ": nothing is known of what it costs")
	}
	pixels, length := int64(w.W)*int64(w.H), int64(len(file))
	w.Memory = fixedBytes
	switch format.name {
	case "JPEG":
		if err := checkScans(&source{file: file, pixels: limits.Pixels}, w.W, w.H); err != nil {
			return Work{}, imageError(format.name, file, err)
		}
		var planes int
		if w.Scans, planes = jpegScans(file); planes == 4 {
			each.bytes, each.nanoseconds = inkBytes, inkNanoseconds
		}
		each.nanoseconds += int64(w.Scans-1) * scanNanoseconds
	case "WebP":
		w.Memory += min(groupsBytes, groupsBytesEach*length)
	}
	w.Memory += pixels * each.bytes
	w.Time = time.Duration(pixels*each.nanoseconds + length*byteNanoseconds)
	return w, nil
}

// jpegScans counts a JPEG's scans, 1 where there is none, and the planes of its frame.
func jpegScans(file []byte) (scans, planes int) {
	for kind, segment := range jpegSegments(file) {
		switch {
		case kind == startOfScan:
			scans++
		case isFrame(kind) && planes == 0 && len(segment.content) > 5:
			planes = int(segment.content[5])
		}
	}
	return max(scans, 1), planes
}
