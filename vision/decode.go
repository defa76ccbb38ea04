package vision

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
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
	{"PNG", "\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode, always},
	{"GIF", "GIF8", gif.DecodeConfig, firstFrame, always},
	{"BMP", "BM", bmp.DecodeConfig, bmp.Decode, always},
	{"TIFF", "II*\x00", tiff.DecodeConfig, tiff.Decode, tiffOrientation},
	{"TIFF", "MM\x00*", tiff.DecodeConfig, tiff.Decode, tiffOrientation},
	{"WebP", "RIFF", webp.DecodeConfig, webp.Decode, always},
}

// always is the orientation of formats without EXIF, or whose EXIF is not looked at.
func always([]byte) orientation { return upright }

// firstFrame decodes a GIF's first picture alone, in its place on the screen: the others take no memory.
func firstFrame(r io.Reader) (image.Image, error) {
	file, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	screen, err := gif.DecodeConfig(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	frame, err := gif.Decode(bytes.NewReader(file))
	whole := image.Rect(0, 0, screen.Width, screen.Height)
	if err != nil || frame.Bounds() == whole {
		return frame, err
	}
	m := image.NewRGBA(whole)
	draw.Draw(m, whole, image.Black, image.Point{}, draw.Src)
	draw.Draw(m, frame.Bounds(), frame, frame.Bounds().Min, draw.Over)
	return m, nil
}

// formatNames are those of imageFormats for messages.
const formatNames = "JPEG, PNG, GIF, BMP, TIFF or WebP"

// DecodeFile decodes an image file; its errors name it.
func DecodeFile(path string, limits Limits) (*Picture, error) {
	return readFile(path, func(r io.Reader) (*Picture, error) { return Decode(r, limits) })
}

// readFile reads a file and names it in errors.
func readFile[T any](path string, read func(io.Reader) (T, error)) (result T, err error) {
	file, err := os.Open(path)
	if err != nil {
		return result, err
	}
	defer file.Close()
	result, err = read(file)
	var unreadable *fs.PathError // which names the file itself
	if err != nil && !errors.As(err, &unreadable) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return result, err
}

// Decode decodes a JPEG, PNG, GIF (its first frame), BMP, TIFF (its first page) or WebP, and turns a JPEG or TIFF upright as its
// EXIF orientation says. A JPEG comes out as libjpeg makes it by default but for its rounding in the cosine transform.
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
	return nil, fmt.Errorf("not a %s image: it begins %q", formatNames, file[:min(len(file), 8)])
}

// endings are what the decoders make of the end of a file before its time.
var endings = []error{
	io.ErrUnexpectedEOF, io.EOF,
	jpeg.FormatError("short Huffman data"),
	png.FormatError(io.ErrUnexpectedEOF.Error()),
}

// imageError makes a decoder's error clear: it names its format, but of a file that ends early it does not say so.
func imageError(format string, file []byte, err error) error {
	if slices.ContainsFunc(endings, func(ending error) bool { return errors.Is(err, ending) }) {
		return fmt.Errorf("%s truncated: it ends at byte %d, before its picture does: %w", format, len(file), io.ErrUnexpectedEOF)
	}
	return err
}
