package vision

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"strings"

	"golang.org/x/image/webp"

	"github.com/vggo/vggo/internal/plainfile"
)

// Limits bounds what decoding may take from an untrusted file. A zero field counts as its default.
type Limits struct {
	Bytes  int64 // of the file; 128 MiB, and where Pixels is larger than its default 8 bytes for each
	Pixels int   // width times height, known before any pixel is decoded; 2^26, about 8192 by 8192
}

// SizeError is of a picture of more pixels than Limits allows.
type SizeError struct {
	Format       string
	W, H, Pixels int  // the limit
	CutOff       bool // the file lacks its end, too: no limit lets it in
}

func (e *SizeError) Error() string {
	text := fmt.Sprintf("%s of %dx%d pixels is refused: the limit is %d pixels", e.Format, e.H, e.W, e.Pixels)
	if e.CutOff {
		text += ", and the file is truncated"
	}
	return text
}

// Beside the file, decoding takes at most 16 bytes a pixel and 161 MiB, whatever the file says; Expect tells it of each
// format.
const (
	defaultBytes  = 128 << 20
	DefaultPixels = 1 << 26 // of Limits
)

func (l *Limits) complete() {
	l.Pixels = cmp.Or(l.Pixels, DefaultPixels)
	if l.Bytes == 0 {
		l.Bytes = defaultBytes
		if l.Pixels > DefaultPixels {
			l.Bytes = 8 * int64(l.Pixels)
		}
	}
}

// imageFormat is one that Decode reads.
type imageFormat struct {
	name   string
	magic  string                                  // a file's opening bytes, in which ? is any byte
	size   func(file []byte) (image.Config, error) // from the header alone
	decode func(*source) (*Picture, error)
	orient func(file []byte) orientation // nil where a format has none
}

var imageFormats = []imageFormat{
	{"JPEG", "\xff\xd8\xff", jpegSize, decodeJPEG, jpegOrientation},
	{"PNG", "\x89PNG\r\n\x1a\n", pngSize, plain(png.Decode), pngOrientation},
	{"GIF", "GIF8?a", gifSize, decodeGIF, nil},
	{"WebP", "RIFF????WEBP", config(webp.DecodeConfig), decodeWebP, webpOrientation},
	{"BMP", "BM", bmpSize, decodeBMP, nil},
	{"TIFF", "II*\x00", tiffSize, decodeTIFF, tiffOrientation},
	{"TIFF", "MM\x00*", tiffSize, decodeTIFF, tiffOrientation},
}

func config(decode func(io.Reader) (image.Config, error)) func([]byte) (image.Config, error) {
	return func(file []byte) (image.Config, error) { return decode(bytes.NewReader(file)) }
}

// pngSize tells sizes too that image/png refuses since an int cannot hold their bytes, of 30000x30000 pixels where it
// has 32 bits.
func pngSize(file []byte) (image.Config, error) {
	size, err := config(png.DecodeConfig)(file)
	if err == png.UnsupportedError("dimension overflow") { // the header's numbers are positive (PNG, section 11.2.2)
		size.Width, size.Height = int(binary.BigEndian.Uint32(file[16:])), int(binary.BigEndian.Uint32(file[20:]))
		return size, nil
	}
	return size, err
}

// plain decodes a format that needs no care of ours.
func plain(decode func(io.Reader) (image.Image, error)) func(*source) (*Picture, error) {
	return func(in *source) (*Picture, error) {
		m, err := decode(in.open(in.file))
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
	return plainfile.Read(path, func(r io.Reader) (*Picture, error) { return Decode(r, limits) })
}

// Decode decodes a JPEG, PNG, GIF, WebP, BMP or TIFF image, of several the first, and turns it upright as its EXIF
// orientation says (JPEG, PNG, WebP, TIFF). The result is what Pillow makes of the file with ImageOps.exif_transpose
// and convert("RGB"), or convert("L") where all pixels are stored as grey:
//
//   - Transparency is dropped: a pixel has its stored colour, however clear it is. So has a palette's transparent
//     entry. Colours that were multiplied by their transparency (TIFF) are divided by it.
//   - Of 16 bits the upper 8 are kept. For grey Pillow keeps the number and convert cuts it off at 255, which whitens
//     nearly every picture; this is not followed.
//   - A JPEG's planes are made as large as the picture as libjpeg does by default, whatever their colours, and a WebP's
//     as libwebp. JPEGs in CMYK are taken for inverted, as Adobe writes them. Colour profiles are not applied, as
//     Pillow does not.
//   - Of a GIF or an animated WebP the first frame is shown on its whole canvas, which grows until it holds a GIF's
//     frame.
//
// All formats come out equal to the bit, JPEG's inverse cosine transform and chroma included (TestFormatsArePillows;
// libjpeg-turbo 2.1.5). Of a progressive JPEG some of whose scans are missing libjpeg guesses what they would bring,
// which is not done here.
//
// JPEGs of 12 bits or with arithmetic coding, and TIFFs in Y'CbCr, floating point or compressed by JPEG are refused,
// with a way on. A *FormatError names the format of a file that is none of these, a *SizeError tells of a picture of
// too many pixels, and one that is cut off is io.ErrUnexpectedEOF.
func Decode(r io.Reader, limits Limits) (*Picture, error) {
	return DecodeContext(context.Background(), r, limits)
}

// DecodeContext is Decode that gives up when ctx is done: a file within the limits may still ask for more work than
// anyone waits for. Decoders know no context; their file ends before the next 512 bytes that they read.
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
	p, err := format.decode(&source{ctx, file, limits.Pixels})
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return nil, fmt.Errorf("%s of %dx%d pixels: decoding was given up: %w", format.name, size.Height, size.Width, cause)
	}
	if err != nil {
		return nil, imageError(format.name, file, err)
	}
	if format.orient != nil {
		transparent := p.Transparent
		p = p.turn(format.orient(file))
		p.Transparent = transparent
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
			err = fmt.Errorf("%s of %dx%d pixels: there is no picture in it", format.name, size.Height, size.Width)
		case size.Height > limits.Pixels/size.Width:
			err = &SizeError{format.name, size.Width, size.Height, limits.Pixels, lacksEnd(format.name, file)}
		}
		return format, size, err
	}
	if len(file) == 0 {
		return imageFormat{}, size, errors.New("not an image: the file is empty")
	}
	if err := foreign(file); err != nil {
		return imageFormat{}, size, err
	}
	return imageFormat{}, size, fmt.Errorf("not a JPEG, PNG, GIF, WebP, BMP or TIFF image: it begins %q",
		file[:min(len(file), 8)])
}

// source is what is decoded.
type source struct {
	ctx    context.Context
	file   []byte
	pixels int // the limit
}

// open makes the reader of the file or of a part of it.
func (s *source) open(part []byte) io.Reader { return &interruptible{s.ctx, bytes.NewReader(part)} }

// interruptible is a file in memory that ends when its context does.
type interruptible struct {
	ctx  context.Context
	file *bytes.Reader
}

// interruptBytes are read between two looks at the context.
const interruptBytes = 512

func (r *interruptible) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.file.Read(p[:min(len(p), interruptBytes)])
}

// lacksEnd reports whether a file surely has no end, as far as that shows without decoding it.
func lacksEnd(format string, file []byte) bool {
	switch format {
	case "JPEG": // within a scan no byte 0xff stands before an 0xd9
		scan := bytes.Index(file, []byte("\xff\xda"))
		return scan < 0 || !bytes.Contains(file[scan:], []byte("\xff\xd9"))
	case "PNG":
		return !bytes.Contains(file, []byte("IEND"))
	case "WebP":
		return len(file) < 8 || int64(len(file)) < 8+int64(binary.LittleEndian.Uint32(file[4:]))
	case "BMP":
		return len(file) < 6 || int64(len(file)) < int64(binary.LittleEndian.Uint32(file[2:]))
	}
	return false
}

// truncatedError is of a file that ends before its picture does.
type truncatedError struct {
	format string
	bytes  int
}

func (e truncatedError) Error() string {
	return fmt.Sprintf("%s truncated: it ends at byte %d, before its picture does", e.format, e.bytes)
}

// Unwrap lets callers tell what is cut off from what is broken.
func (e truncatedError) Unwrap() error { return io.ErrUnexpectedEOF }

// isCutOff reports whether a decoder's fault, told in its words, is that the file lacks its end.
func isCutOff(format string, file []byte, fault string) bool {
	switch format {
	case "PNG":
		return strings.Contains(fault, "not enough pixel data") && !bytes.Contains(file, []byte("IEND"))
	case "GIF":
		return strings.Contains(fault, "not enough image data") && !bytes.HasSuffix(file, []byte{';'})
	case "WebP":
		return len(file) < riffHeader || uint64(binary.LittleEndian.Uint32(file[4:]))+8 > uint64(len(file))
	}
	return false
}

// imageError makes a decoder's error clear. Some do not name their format, others do it twice, or do not say that a
// file ends early.
func imageError(format string, file []byte, err error) error {
	if errors.As(err, new(*FormatError)) {
		return err
	}
	text := err.Error()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		strings.Contains(text, io.ErrUnexpectedEOF.Error()) || isCutOff(format, file, text) {
		return truncatedError{format, len(file)}
	}
	for again := true; again; { // "png: invalid format: …", and so the format's name stands before it as in our own errors
		text, again = strings.CutPrefix(text, strings.ToLower(format)+": ")
	}
	if strings.Contains(text, format) {
		return errors.New(text)
	}
	return fmt.Errorf("%s: %s", format, text)
}
