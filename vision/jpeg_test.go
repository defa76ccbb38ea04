package vision

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestScansAreBounded: passes over a picture are limited by its size, so that those of real encoders, some ten, are let
// through at the largest picture that is.
func TestScansAreBounded(t *testing.T) {
	file := func(scans int) []byte {
		return []byte("\xff\xd8" + strings.Repeat("\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00", scans) + "\xff\xd9")
	}
	for _, c := range []struct {
		w, h, limit, scans int
		want               bool
	}{
		{8192, 8192, DefaultPixels, 20, true},
		{8192, 8192, DefaultPixels, 21, false},
		{5000, 5000, DefaultPixels, 53, true},
		{5000, 5000, DefaultPixels, 191, false},
		{12000, 9000, 12000 * 9000, 20, true},
		{5000, 5000, 25_000_000, 20, true},
		{64, 64, DefaultPixels, 200, true},
		{64, 64, DefaultPixels, 201, false},
	} {
		err := checkScans(&source{context.Background(), file(c.scans), c.limit}, c.w, c.h)
		if (err == nil) != c.want {
			t.Errorf("%dx%d in %d scans, limit %d: %v", c.w, c.h, c.scans, c.limit, err)
		}
	}
}

// TestReportedBombs are files of little that ask for much.
func TestReportedBombs(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: files that ask for much are not tested")
	}
	start := time.Now()
	_, err := DecodeFile(filepath.Join(root, "reports/hostile/jpgscans.jpg"), Limits{})
	if err == nil || !strings.Contains(err.Error(), "191 scans is refused: of this size the limit is 53 scans") ||
		time.Since(start) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
	var p *Picture
	n := taken(func() { p, err = DecodeFile(filepath.Join(root, "reports/hostile/tif.tif"), Limits{}) })
	if err != nil {
		t.Fatal(err)
	}
	if n > int64(len(p.Pix))+8<<20 {
		t.Errorf("a TIFF in one strip takes %d bytes beside its picture", n-int64(len(p.Pix)))
	}
}

// TestJPEGRefuses: what is not read is said, and what is broken is neither a panic nor a picture.
func TestJPEGRefuses(t *testing.T) {
	whole := encoded(t, func(w io.Writer) error { return jpeg.Encode(w, image.NewNRGBA(image.Rect(0, 0, 40, 24)), nil) })
	frame := bytes.Index(whole, []byte("\xff\xc0"))
	scan := bytes.Index(whole, []byte("\xff\xda"))
	change := func(at int, to ...byte) []byte {
		file := bytes.Clone(whole)
		copy(file[at:], to)
		return file
	}
	without := func(kind string) []byte { // its segments of one kind
		file := bytes.Clone(whole)
		for {
			at := bytes.Index(file, []byte(kind))
			if at < 0 {
				return file
			}
			file = append(file[:at:at], file[at+2+int(binary.BigEndian.Uint16(file[at+2:])):]...)
		}
	}
	for _, c := range []struct {
		what string
		file []byte
		want string
	}{
		{"lossless", change(frame+1, 0xc3), "lossless"},
		{"hierarchical", change(frame+1, 0xc5), "hierarchical"},
		{"arithmetic", change(frame+1, 0xc9), "arithmetic coding is not supported: jpegtran in.jpg > out.jpg"},
		{"12 bits", change(frame+4, 12), "12 bits"},
		{"no height", change(frame+5, 0, 0), "no picture in it"},
		{"two components", change(frame+9, 2), "header is broken"},
		{"fractional sampling", change(frame+11, 0x32, 0, 2, 0x21), "sampled 2x3 and 1x2"},
		{"sampling of 0", change(frame+11, 0), "header is broken"},
		{"one id twice", change(frame+13, 1), "header is broken"},
		{"no Huffman tables", without("\xff\xc4"), "Huffman table is missing"},
		{"no quantization tables", without("\xff\xdb"), "quantization table is missing"},
		{"no frame", without("\xff\xc0"), "no picture in it"},
		{"two frames", append(bytes.Clone(whole[:scan]), whole[frame:]...), "two frames"},
		{"a scan of no component", change(scan+5, 9), "header is broken"},
		{"data that end at a marker", append(bytes.Clone(whole[:scan+20]), "\xff\xd9 and more"...),
			"before its picture does"},
		{"cut off", whole[:scan+20], "JPEG truncated"},
	} {
		_, err := Decode(bytes.NewReader(c.file), Limits{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
}

// TestMissingRestart: a restart marker that is not there, or another one, is noticed.
func TestMissingRestart(t *testing.T) {
	for _, c := range formatCases(t) {
		if c.Name != "jpeg restarts" {
			continue
		}
		at := bytes.Index(c.File, []byte("\xff\xd0"))
		file := bytes.Clone(c.File)
		file[at+1] = 0xd5
		if _, err := Decode(bytes.NewReader(file), Limits{}); err == nil ||
			err.Error() != "JPEG: restart marker 0 is missing" {
			t.Errorf("%v", err)
		}
		return
	}
	t.Error("no case has restarts")
}

// TestCutOff: a file of any format that lacks its second half is told to be truncated and is io.ErrUnexpectedEOF, and
// no error says things twice.
func TestCutOff(t *testing.T) {
	for _, c := range formatCases(t) {
		for _, n := range []int{16, len(c.File) / 3, len(c.File) / 2} {
			_, err := Decode(bytes.NewReader(c.File[:n]), Limits{})
			if err == nil && strings.HasPrefix(c.Name, "webp animated") {
				continue // its first frame is whole
			}
			if err == nil {
				t.Errorf("%s cut at %d of %d is a picture", c.Name, n, len(c.File))
				continue
			}
			format, text, _ := strings.Cut(err.Error(), " ")
			if !errors.Is(err, io.ErrUnexpectedEOF) ||
				text != fmt.Sprintf("truncated: it ends at byte %d, before its picture does", n) {
				t.Errorf("%s cut at %d of %d: %s %s", c.Name, n, len(c.File), format, text)
			}
		}
	}
}

// TestSizeError: whoever knows a flag that raises the limit can tell.
func TestSizeError(t *testing.T) {
	_, err := Decode(bytes.NewReader(pngHeader(300, 200)), Limits{Pixels: 59_999})
	var size *SizeError
	if !errors.As(err, &size) || fmt.Sprint(*size) != "{PNG 300 200 59999 true}" {
		t.Errorf("%v", err)
	}
	for _, file := range [][]byte{pngHeader(1, 1), []byte("\x89PNG\r\n\x1a\n"), []byte("\xff\xd8\xff\xe0")} {
		if _, err := Decode(bytes.NewReader(file), Limits{}); err == nil || errors.As(err, &size) {
			t.Errorf("%q: %v", file, err)
		}
	}
}
