package vision

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
)

// Limits bounds what decoding may take from an untrusted file. A zero field counts as its default.
type Limits struct {
	Bytes  int64 // of the file; 128 MiB
	Pixels int   // width times height, known before any pixel is decoded; 2^26, about 8192 by 8192
}

// Beside the file, decoding takes up to 15 bytes a pixel for a colour JPEG (a progressive one keeps three 4-byte
// coefficients and three samples for each) and twice that for one in CMYK; a Picture takes 3 more.
const (
	defaultBytes  = 128 << 20
	defaultPixels = 1 << 26
)

// imageFormats lists what Decode reads, by a file's opening bytes.
var imageFormats = []struct {
	name   string
	magic  string
	size   func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
	orient func(file []byte) orientation
}{
	{"JPEG", "\xff\xd8\xff", jpeg.DecodeConfig, jpeg.Decode, jpegOrientation},
	{"PNG", "\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode, func([]byte) orientation { return upright }},
}

// DecodeFile decodes an image file; its errors name it.
func DecodeFile(path string, limits Limits) (*Picture, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p, err := Decode(file, limits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// Decode decodes a JPEG or PNG and turns it upright as its EXIF orientation says.
func Decode(r io.Reader, limits Limits) (*Picture, error) {
	if limits.Bytes == 0 {
		limits.Bytes = defaultBytes
	}
	if limits.Pixels == 0 {
		limits.Pixels = defaultPixels
	}
	file, err := io.ReadAll(io.LimitReader(r, limits.Bytes+1))
	if err != nil {
		return nil, err
	}
	if int64(len(file)) > limits.Bytes {
		return nil, fmt.Errorf("an image file of more than %d bytes is refused", limits.Bytes)
	}
	for _, format := range imageFormats {
		if !bytes.HasPrefix(file, []byte(format.magic)) {
			continue
		}
		size, err := format.size(bytes.NewReader(file))
		if err != nil {
			return nil, imageError(format.name, file, err)
		}
		if size.Width < 1 || size.Height < 1 {
			return nil, fmt.Errorf("%s of %dx%d pixels: there is no picture in it", format.name, size.Width, size.Height)
		}
		if size.Height > limits.Pixels/size.Width {
			return nil, fmt.Errorf("%s of %dx%d pixels is refused: the limit is %d pixels", format.name, size.Width, size.Height, limits.Pixels)
		}
		m, err := format.decode(bytes.NewReader(file))
		if err != nil {
			return nil, imageError(format.name, file, err)
		}
		return FromImage(m).turn(format.orient(file)), nil
	}
	if len(file) == 0 {
		return nil, errors.New("not an image: the file is empty")
	}
	return nil, fmt.Errorf("not a JPEG or PNG image: it begins %q", file[:min(len(file), 8)])
}

// imageError makes a decoder's error clear: it names its format, but on a file that ends early says only "unexpected EOF".
func imageError(format string, file []byte, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%s truncated: it ends at byte %d, before its picture does: %w", format, len(file), io.ErrUnexpectedEOF)
	}
	return err
}
