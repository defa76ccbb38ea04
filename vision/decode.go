package vision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// Limits bounds what decoding may take from an untrusted file. A zero field counts as its default.
type Limits struct {
	Bytes  int64 // of the file; 128 MiB
	Pixels int   // width times height, known before any pixel is decoded; 2^26, about 8192 by 8192
}

// Beside the file, decoding takes at most 36 bytes a pixel and 161 MiB, whatever the file says; Expect tells it of each format.
const (
	defaultBytes  = 128 << 20
	defaultPixels = 1 << 26
)

func (l *Limits) complete() {
	if l.Bytes == 0 {
		l.Bytes = defaultBytes
	}
	if l.Pixels == 0 {
		l.Pixels = defaultPixels
	}
}

// imageFormat is one that Decode reads.
type imageFormat struct {
	name   string
	magic  string                                  // a file's opening bytes, in which ? is any byte
	size   func(file []byte) (image.Config, error) // from the header alone
	decode func(file []byte, open opener) (*Picture, error)
	orient func(file []byte) orientation // nil where a format has none
}

var imageFormats = []imageFormat{
	{"JPEG", "\xff\xd8\xff", config(jpeg.DecodeConfig), decodeJPEG, jpegOrientation},
	{"PNG", "\x89PNG\r\n\x1a\n", config(png.DecodeConfig), plain(png.Decode), pngOrientation},
	{"GIF", "GIF8?a", config(gif.DecodeConfig), decodeGIF, nil},
	{"WebP", "RIFF????WEBP", config(webp.DecodeConfig), decodeWebP, webpOrientation},
	{"BMP", "BM", config(bmp.DecodeConfig), plain(bmp.Decode), nil},
	{"TIFF", "II*\x00", config(tiff.DecodeConfig), decodeTIFF, tiffOrientation},
	{"TIFF", "MM\x00*", config(tiff.DecodeConfig), decodeTIFF, tiffOrientation},
}

func config(decode func(io.Reader) (image.Config, error)) func([]byte) (image.Config, error) {
	return func(file []byte) (image.Config, error) { return decode(bytes.NewReader(file)) }
}

// plain decodes a format that needs no care of ours.
func plain(decode func(io.Reader) (image.Image, error)) func([]byte, opener) (*Picture, error) {
	return func(file []byte, open opener) (*Picture, error) {
		m, err := decode(open(file))
		if err != nil {
			return nil, err
		}
		return FromImage(m), nil
	}
}

// begins reports whether a file begins as a format's do.
func begins(file []byte, magic string) bool {
	if len(file) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '?' && magic[i] != file[i] {
			return false
		}
	}
	return true
}

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

// Decode decodes a JPEG, PNG, GIF, WebP, BMP or TIFF image, of several the first, and turns it upright as its EXIF
// orientation says (JPEG, PNG, WebP, TIFF). The result is what Pillow makes of the file with ImageOps.exif_transpose and
// convert("RGB"), or convert("L") where all pixels are stored as grey:
//
//   - Transparency is dropped: a pixel has its stored colour, however clear it is. So has a palette's transparent entry.
//   - Of 16 bits the upper 8 are kept. For grey Pillow keeps the number and convert cuts it off at 255, which whitens nearly
//     every picture; this is not followed.
//   - A JPEG's chroma is interpolated as libjpeg does by default, and a WebP's as libwebp. JPEGs in CMYK are taken for inverted,
//     as Adobe writes them. Colour profiles are not applied, as Pillow does not.
//   - Of a GIF or an animated WebP the first frame is shown on its whole canvas.
//
// PNG, GIF, BMP, TIFF and WebP come out equal to the bit. A JPEG's samples may differ by the rounding of the inverse cosine
// transform, which the standard leaves to decoders: on photographs by up to 0.05 levels of 255 in the mean and 3 at most
// (TestPhotosArePillows). That changes an answer in 200 on CIFAR-10's pictures, all of them close (scripts/jpeg_answers.py).
//
// JPEGs of 12 bits or with arithmetic coding, TIFFs in CMYK, Y'CbCr, floating point, of 2 or 4 bits or with colours in separate
// planes, and BMPs of 16 bits or run-length encoded are refused.
func Decode(r io.Reader, limits Limits) (*Picture, error) {
	return DecodeContext(context.Background(), r, limits)
}

// DecodeContext is Decode that gives up when ctx is done: a file within the limits may still ask for more work than anyone waits
// for. Decoders know no context; their file ends before the next 512 bytes that they read.
func DecodeContext(ctx context.Context, r io.Reader, limits Limits) (*Picture, error) {
	limits.complete()
	file, err := io.ReadAll(io.LimitReader(r, limits.Bytes+1))
	if err != nil {
		return nil, err
	}
	if int64(len(file)) > limits.Bytes {
		return nil, fmt.Errorf("an image file of more than %d bytes is refused", limits.Bytes)
	}
	format, size, err := identify(file, limits)
	if err != nil {
		return nil, err
	}
	p, err := format.decode(file, func(part []byte) io.Reader { return &interruptible{ctx, bytes.NewReader(part)} })
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return nil, fmt.Errorf("%s of %dx%d pixels: decoding was given up: %w", format.name, size.Width, size.Height, cause)
	}
	if err != nil {
		return nil, imageError(format.name, file, err)
	}
	if format.orient != nil {
		p = p.turn(format.orient(file))
	}
	return p, nil
}

// identify finds a file's format and its size by the header alone, and refuses what is beyond the limits.
func identify(file []byte, limits Limits) (format imageFormat, size image.Config, err error) {
	for _, format = range imageFormats {
		if !begins(file, format.magic) {
			continue
		}
		size, err = format.size(file)
		switch {
		case err != nil:
			err = imageError(format.name, file, err)
		case size.Width < 1 || size.Height < 1:
			err = fmt.Errorf("%s of %dx%d pixels: there is no picture in it", format.name, size.Width, size.Height)
		case size.Height > limits.Pixels/size.Width:
			err = fmt.Errorf("%s of %dx%d pixels is refused: the limit is %d pixels", format.name, size.Width, size.Height, limits.Pixels)
		}
		return format, size, err
	}
	if len(file) == 0 {
		return imageFormat{}, size, errors.New("not an image: the file is empty")
	}
	return imageFormat{}, size, fmt.Errorf("not a JPEG, PNG, GIF, WebP, BMP or TIFF image: it begins %q", file[:min(len(file), 8)])
}

// opener makes the reader of a file, or of a part of it, that a decoder is given.
type opener func(part []byte) io.Reader

// interruptible is a file in memory that ends when its context does.
type interruptible struct {
	ctx  context.Context
	file *bytes.Reader
}

// interruptBytes are read between two looks at the context. A scan of a progressive JPEG may be as short as some ten bytes and go over
// the whole picture.
const interruptBytes = 512

func (r *interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.file.Read(p[:min(len(p), interruptBytes)])
}

// ReadAt is for TIFF, whose decoder would copy the file without it.
func (r *interruptible) ReadAt(p []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.file.ReadAt(p, off)
}

// imageError makes a decoder's error clear. Some do not name their format, nor say that a file ends early.
func imageError(format string, file []byte, err error) error {
	const shortJPEG = jpeg.FormatError("short Huffman data")
	if errors.Is(err, io.EOF) || errors.Is(err, shortJPEG) || strings.Contains(err.Error(), io.ErrUnexpectedEOF.Error()) {
		return fmt.Errorf("%s truncated: it ends at byte %d, before its picture does: %w", format, len(file), io.ErrUnexpectedEOF)
	}
	if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(format)) {
		return fmt.Errorf("%s: %w", format, err)
	}
	return err
}
