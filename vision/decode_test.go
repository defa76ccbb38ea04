package vision

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"
)

// paint draws the same six opaque colours into any image.
func paint(m draw.Image) draw.Image {
	for y := range 2 {
		for x := range 3 {
			m.Set(x, y, color.NRGBA{uint8(40 * x), uint8(100 * y), 200, 255})
		}
	}
	return m
}

func TestFromImage(t *testing.T) {
	r := image.Rect(0, 0, 3, 2)
	palette := color.Palette{}
	for y := range 2 {
		for x := range 3 {
			palette = append(palette, color.NRGBA{uint8(40 * x), uint8(100 * y), 200, 255})
		}
	}
	for _, m := range []image.Image{
		paint(image.NewRGBA(r)), paint(image.NewNRGBA(r)), paint(image.NewRGBA64(r)), paint(image.NewNRGBA64(r)),
		paint(image.NewPaletted(r, palette)), paint(image.NewCMYK(r)),
		paint(image.NewNRGBA(image.Rect(-1, -1, 5, 5))).(*image.NRGBA).SubImage(r),
	} {
		p := FromImage(m)
		if p.W != 3 || p.H != 2 || p.Channels != 3 {
			t.Fatalf("%T: %dx%dx%d", m, p.W, p.H, p.Channels)
		}
		for i, got := range p.Pix {
			x, y, c := i/3%3, i/9, i%3
			if want := [3]uint8{uint8(40 * x), uint8(100 * y), 200}[c]; got != want {
				t.Errorf("%T: pixel (%d,%d) channel %d is %d, want %d", m, x, y, c, got, want)
			}
		}
	}
	for _, m := range []draw.Image{image.NewGray(r), image.NewGray16(r)} {
		m.Set(2, 1, color.Gray{99})
		if p := FromImage(m); p.Channels != 1 || p.Pix[5] != 99 || p.Pix[4] != 0 {
			t.Errorf("%T: %+v", m, p)
		}
	}
	clear := image.NewNRGBA(r)
	clear.Set(0, 0, color.NRGBA{10, 20, 30, 0})
	half := image.NewRGBA(r)
	half.SetRGBA(0, 0, color.RGBA{5, 10, 15, 128}) // 10, 20, 30 at half opacity
	for _, m := range []image.Image{clear, half} {
		if p := FromImage(m); p.Pix[0] < 9 || p.Pix[0] > 10 || p.Pix[2] < 29 || p.Pix[2] > 30 {
			t.Errorf("%T: a transparent pixel became %v: its colour must stay", m, p.Pix[:3])
		}
	}
	// Of 2 chroma samples in a row libjpeg makes more by repeating them. Its colours may be a level from image/color's.
	ycc := image.NewYCbCr(image.Rect(0, 0, 4, 2), image.YCbCrSubsampleRatio420)
	copy(ycc.Y, []uint8{10, 20, 30, 40, 50, 60, 70, 80})
	copy(ycc.Cb, []uint8{128, 90})
	copy(ycc.Cr, []uint8{128, 200})
	p := FromImage(ycc)
	for i := range 8 {
		c := color.NRGBAModel.Convert(ycc.At(i%4, i/4)).(color.NRGBA)
		if worst, _ := difference(p.Pix[3*i:3*i+3], []uint8{c.R, c.G, c.B}); worst > 1 {
			t.Errorf("YCbCr pixel %d is %v, want %v", i, p.Pix[3*i:3*i+3], c)
		}
	}
}

// TestFromPartOfYCbCr cuts parts out of images of every sampling, wherever they begin and end: inside, where the
// chroma's neighbours are there, they are as in the whole.
func TestFromPartOfYCbCr(t *testing.T) {
	for ratio := image.YCbCrSubsampleRatio444; ratio <= image.YCbCrSubsampleRatio410; ratio++ {
		m := image.NewYCbCr(image.Rect(0, 0, 40, 30), ratio)
		for i, plane := range [][]uint8{m.Y, m.Cb, m.Cr} {
			for j := range plane {
				plane[j] = uint8(j * (37 + i) / 3)
			}
		}
		whole := FromImage(m)
		for _, r := range []image.Rectangle{m.Rect, image.Rect(1, 1, 39, 29), image.Rect(3, 2, 40, 30),
			image.Rect(2, 5, 31, 28), image.Rect(7, 7, 8, 8)} {
			part := FromImage(m.SubImage(r))
			if part.W != r.Dx() || part.H != r.Dy() || part.Channels != 3 {
				t.Fatalf("%v %v: %dx%d", ratio, r, part.W, part.H)
			}
			const edge = 4 // pixels of the widest chroma sample
			for y := edge; y < part.H-edge; y++ {
				for x := edge; x < part.W-edge; x++ {
					i, j := 3*(y*part.W+x), 3*((r.Min.Y+y)*whole.W+r.Min.X+x)
					if !bytes.Equal(part.Pix[i:i+3], whole.Pix[j:j+3]) {
						t.Fatalf("%v %v: pixel (%d,%d) is %v, in the whole %v", ratio, r, x, y, part.Pix[i:i+3], whole.Pix[j:j+3])
					}
				}
			}
		}
	}
	if p := FromImage(image.NewYCbCr(image.Rect(-3, -1, 5, 5), image.YCbCrSubsampleRatio420)); p.W != 8 || p.H != 6 {
		t.Errorf("an image left of 0: %dx%d", p.W, p.H)
	}
}

func encoded(t testing.TB, encode func(io.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pngHeader is a PNG that claims a size and holds no pixels.
func pngHeader(w, h uint32) []byte {
	chunk := append([]byte("IHDR"), binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)...)
	chunk = append(chunk, 8, 2, 0, 0, 0)
	file := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), chunk...)
	return binary.BigEndian.AppendUint32(file, crc32.ChecksumIEEE(chunk))
}

func TestDecodeLimits(t *testing.T) {
	file := encoded(t, func(w io.Writer) error { return png.Encode(w, image.NewGray(image.Rect(0, 0, 30, 20))) })
	for _, c := range []struct {
		what   string
		file   []byte
		limits Limits
		want   string // of the error; empty for a picture
	}{
		{"default", file, Limits{}, ""},
		{"just enough", file, Limits{Bytes: int64(len(file)), Pixels: 600}, ""},
		{"bytes", file, Limits{Bytes: int64(len(file)) - 1}, "more than"},
		{"pixels", file, Limits{Pixels: 599}, "PNG of 20x30 pixels is refused: the limit is 599 pixels"},
		{"a bomb", pngHeader(1<<16, 1<<16), Limits{}, "PNG of 65536x65536 pixels is refused"},
		{"a wide bomb", pngHeader(1<<27, 1), Limits{}, "the limit is 67108864"},
		{"header only", pngHeader(1, 1), Limits{}, "PNG truncated: it ends at byte 33"},
		{"empty", nil, Limits{}, "the file is empty"},
		{"text", []byte("hello"), Limits{}, `not a JPEG, PNG, GIF, WebP, BMP or TIFF image: it begins "hello"`},
	} {
		p, err := Decode(bytes.NewReader(c.file), c.limits)
		switch {
		case c.want == "" && (err != nil || p.W != 30 || p.H != 20 || p.Channels != 1):
			t.Errorf("%s: %v %v", c.what, p, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: error %v, want %q", c.what, err, c.want)
		}
	}
}

// TestDecodeTruncated cuts a JPEG and a PNG at every byte. What is cut may still be a picture once all pixels are
// there, and otherwise is an error that says so.
func TestDecodeTruncated(t *testing.T) {
	m := paint(image.NewNRGBA(image.Rect(0, 0, 100, 100)))
	for name, file := range map[string][]byte{
		"JPEG": encoded(t, func(w io.Writer) error { return jpeg.Encode(w, m, nil) }),
		"PNG":  encoded(t, func(w io.Writer) error { return png.Encode(w, m) }),
	} {
		if _, err := Decode(bytes.NewReader(file), Limits{}); err != nil {
			t.Fatal(err)
		}
		for n := range file {
			_, err := Decode(bytes.NewReader(file[:n]), Limits{})
			if err == nil {
				if n < len(file)-20 {
					t.Errorf("%s cut at byte %d of %d is a picture", name, n, len(file))
				}
				continue
			}
			if n > 8 && !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "not enough pixel data") {
				t.Errorf("%s cut at byte %d of %d: %v does not say it is truncated", name, n, len(file), err)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "photo.jpg")
	if err := os.WriteFile(path, []byte("\xff\xd8\xff"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeFile(path, Limits{}); err == nil || err.Error() != path+
		": JPEG truncated: it ends at byte 3, before its picture does" {
		t.Errorf("the error is %v", err)
	}
	if _, err := DecodeFile(path+"x", Limits{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestTIFFOrientation(t *testing.T) {
	entry := func(order binary.AppendByteOrder, tag, kind uint16, count uint32, value uint16) []byte {
		b := order.AppendUint32(order.AppendUint16(order.AppendUint16(nil, tag), kind), count)
		return append(order.AppendUint16(b, value), 0, 0)
	}
	block := func(order binary.AppendByteOrder, magic string, entries ...[]byte) []byte {
		b := append([]byte(magic), order.AppendUint32(nil, 8)...)
		b = order.AppendUint16(b, uint16(len(entries)))
		return append(b, bytes.Join(entries, nil)...)
	}
	big, little := binary.BigEndian, binary.LittleEndian
	other := entry(big, 0x0100, 3, 1, 5)
	good := block(big, "MM\x00*", other, entry(big, 0x0112, 3, 1, 6))
	for _, c := range []struct {
		what string
		tiff []byte
		want orientation
	}{
		{"big-endian", good, turnedLeft},
		{"little-endian", block(little, "II*\x00", entry(little, 0x0112, 3, 1, 3)), upsideDown},
		{"not there", block(big, "MM\x00*", other), upright},
		{"zero", block(big, "MM\x00*", entry(big, 0x0112, 3, 1, 0)), upright},
		{"nine", block(big, "MM\x00*", entry(big, 0x0112, 3, 1, 9)), upright},
		{"of another type", block(big, "MM\x00*", entry(big, 0x0112, 4, 1, 6)), upright},
		{"of two values", block(big, "MM\x00*", entry(big, 0x0112, 3, 2, 6)), upright},
		{"wrong byte order", block(big, "MM*\x00", entry(big, 0x0112, 3, 1, 6)), upright},
		{"directory beyond the end", []byte("MM\x00*\xff\xff\xff\xff\x00\x01"), upright},
		{"empty", nil, upright},
	} {
		if got := tiffOrientation(c.tiff); got != c.want {
			t.Errorf("%s: orientation %d, want %d", c.what, got, c.want)
		}
	}
	for n := range good {
		if got := tiffOrientation(good[:n]); got != upright {
			t.Errorf("cut at byte %d: orientation %d", n, got)
		}
	}
}

// taken is how much memory do takes in all, freed or not, which is more than it ever holds.
func taken(do func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// tiffTag is an entry of one number in a TIFF's directory, of kind 3 (16 bits) or 4 (32).
type tiffTag struct{ tag, kind, value int }

// tiffFile is a TIFF of data, which begin at byte 8, and their directory.
func tiffFile(data []byte, tags ...tiffTag) []byte {
	file := append([]byte("II*\x00"), binary.LittleEndian.AppendUint32(nil, uint32(8+len(data)))...)
	file = binary.LittleEndian.AppendUint16(append(file, data...), uint16(len(tags)))
	for _, e := range tags {
		file = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(file, uint16(e.tag)), uint16(e.kind))
		file = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(file, 1), uint32(e.value))
	}
	return file
}

// TestDecodeMemory holds decoding to the bound that decode.go states, by files that unpack to far more than their
// picture or whose headers promise what is not there.
func TestDecodeMemory(t *testing.T) {
	const w, h = 1 << 10, 1 << 10
	zeros := make([]byte, 64<<20)
	deflated := encoded(t, func(out io.Writer) error {
		z := zlib.NewWriter(out)
		if _, err := z.Write(zeros); err != nil {
			return err
		}
		return z.Close()
	})
	const short, long = 3, 4
	bombPNG := pngHeader(w, h)
	chunk := append([]byte("IDAT"), deflated...)
	bombPNG = append(binary.BigEndian.AppendUint32(bombPNG, uint32(len(deflated))), chunk...)
	bombPNG = binary.BigEndian.AppendUint32(bombPNG, crc32.ChecksumIEEE(chunk))
	scans := encoded(t, func(out io.Writer) error { return jpeg.Encode(out, image.NewGray(image.Rect(0, 0, 8, 8)), nil) })
	sos := scans[bytes.Index(scans, []byte("\xff\xda")) : len(scans)-2]
	for range maxScans {
		scans = append(scans[:len(scans)-2:len(scans)-2], append(sos, "\xff\xd9"...)...)
	}
	for _, c := range []struct {
		what string
		file []byte
		want string // of the error; empty for a picture
	}{
		{"a PNG of 64 MiB more than its picture", bombPNG, "too much pixel data"},
		{"a strip of 64 MiB more than its picture", tiffFile(deflated, tiffTag{256, short, w}, tiffTag{257, short, h},
			tiffTag{258, short, 8}, tiffTag{259, short, 8},
			tiffTag{262, short, 1}, tiffTag{273, long, 8}, tiffTag{279, long, len(deflated)}), ""},
		{"a tile of 64 MiB for a picture of 1 MiB", tiffFile(deflated, tiffTag{256, short, w}, tiffTag{257, short, h},
			tiffTag{258, short, 8}, tiffTag{259, short, 8},
			tiffTag{262, short, 1}, tiffTag{322, short, 1 << 13}, tiffTag{323, short, 1 << 13}, tiffTag{324, long, 8},
			tiffTag{325, long, len(deflated)}), "mostly padding"},
		{"tiles beside the picture", tiffFile(nil, tiffTag{256, short, 1}, tiffTag{257, long, w * h}, tiffTag{258, short, 8},
			tiffTag{262, short, 1},
			tiffTag{322, short, 1024}, tiffTag{323, short, 8}, tiffTag{324, long, 0}, tiffTag{325, long, 0}), "mostly padding"},
		{"colours in planes", tiffFile(nil, tiffTag{256, short, 1}, tiffTag{257, short, 1}, tiffTag{258, short, 8},
			tiffTag{262, short, 1}, tiffTag{277, short, 3}, tiffTag{284, short, 2}), "TIFF truncated"},
		{"a BMP without pixels",
			append([]byte("BM\x00\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00"+
				"\x00\x04\x00\x00\x00\x04\x00\x00\x01\x00\x18\x00"),
				make([]byte, 24)...), "BMP truncated"},
		{"a GIF of a frame beside its screen",
			[]byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02"),
			"GIF of 65535x65535 pixels is refused"},
		{"a GIF of a large screen", []byte("GIF89a\xff\xff\xff\xff\x80\x00\x00\x00\x00\x00\xff\xff\xff"),
			"the limit is 1048576"},
		{"a WebP of a large canvas",
			[]byte("RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00\xff\xff\x00\xff\x00\x00"),
			"the limit is 1048576"},
		{"a WebP of a large frame",
			[]byte("RIFF\x2e\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
				"ANMF\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x00\xff\xff\x00\x00\x00\x00\x00"), "outside its canvas"},
		{"a JPEG of many scans", scans, "201 scans is refused"},
	} {
		var err error
		n := taken(func() { _, err = Decode(bytes.NewReader(c.file), Limits{Pixels: w * h}) })
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.what, err, c.want)
		}
		if most := memoryBound(len(c.file), w*h); n > most {
			t.Errorf("%s takes %d bytes, more than %d", c.what, n, most)
		}
	}
}

// memoryBound is what decoding may take where no Huffman trees of WebP are, the buffers that reading the file grew
// through included.
func memoryBound(file, pixels int) int64 { return int64(6*file) + 36*int64(pixels) + 32<<20 }

// TestBadImages feeds Decode pictures that crashed decoders, and odd but valid ones: each is an error or a picture, and
// PngSuite says which by its names.
func TestBadImages(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: images that break decoders are not tested")
	}
	files := 0
	err := filepath.WalkDir(filepath.Join(root, "images-bad"), func(path string, d fs.DirEntry, err error) error {
		ext := filepath.Ext(path)
		if err != nil || d.IsDir() || ext != ".jpg" && ext != ".png" {
			return err
		}
		files++
		const pixels = 1 << 20
		var p *Picture
		n := taken(func() { p, err = DecodeFile(path, Limits{Pixels: pixels}) })
		info, statErr := d.Info()
		if statErr != nil {
			return statErr
		}
		if most := memoryBound(int(info.Size()), pixels); n > most {
			t.Errorf("%s takes %d bytes, more than %d", path, n, most)
		}
		if err == nil && (p.W < 1 || p.H < 1 || len(p.Pix) != p.W*p.H*p.Channels) {
			t.Errorf("%s: %dx%dx%d with %d samples", path, p.W, p.H, p.Channels, len(p.Pix))
		}
		if ext == ".png" {
			broken := strings.HasPrefix(d.Name(), "x")
			if broken != (err != nil) {
				t.Errorf("%s: error %v", path, err)
			}
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), path)) {
			t.Errorf("%q is not one line that names its file", err)
		}
		return nil
	})
	if err != nil || files < 200 {
		t.Errorf("%d files (%v)", files, err)
	}
}

func TestPhotos(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: photographs are not tested")
	}
	for name, want := range map[string]Picture{
		"caffe-cat.jpg":      {W: 480, H: 360, Channels: 3},
		"caffe-cat-gray.jpg": {W: 480, H: 360, Channels: 1},
	} {
		p, err := DecodeFile(filepath.Join(root, "photos", name), Limits{})
		if err != nil {
			t.Error(err)
		} else if p.W != want.W || p.H != want.H || p.Channels != want.Channels {
			t.Errorf("%s is %dx%dx%d, want %dx%dx%d", name, p.W, p.H, p.Channels, want.W, want.H, want.Channels)
		}
	}
}

// fuzzDecode decodes what becomes of the small files of one format.
func fuzzDecode(f *testing.F, format string) {
	for _, c := range formatCases(f) {
		if strings.HasPrefix(c.Name, format) {
			f.Add(c.File)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		const pixels = 1 << 12
		p, err := Decode(bytes.NewReader(file), Limits{Pixels: pixels})
		if err != nil {
			return
		}
		if p.W < 1 || p.H < 1 || p.W*p.H > pixels || len(p.Pix) != p.W*p.H*p.Channels {
			t.Fatalf("%dx%dx%d with %d samples", p.W, p.H, p.Channels, len(p.Pix))
		}
		p.Resize(5, 3, Bicubic)
	})
}

func FuzzJPEG(f *testing.F) {
	f.Add([]byte("\xff\xd8\xff\xe1\x00\x22Exif\x00\x00MM\x00*" +
		"\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"))
	fuzzDecode(f, "jpeg")
}
func FuzzPNG(f *testing.F)  { fuzzDecode(f, "png") }
func FuzzGIF(f *testing.F)  { fuzzDecode(f, "gif") }
func FuzzWebP(f *testing.F) { fuzzDecode(f, "webp") }
func FuzzBMP(f *testing.F)  { fuzzDecode(f, "bmp") }
func FuzzTIFF(f *testing.F) { fuzzDecode(f, "tiff") }

// TestDecodeContext: decoding ends with its context, in every format, and says so.
func TestDecodeContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	picture := image.NewNRGBA(image.Rect(0, 0, 16, 16))
	for name, encode := range map[string]func(io.Writer) error{
		"JPEG": func(w io.Writer) error { return jpeg.Encode(w, picture, nil) },
		"PNG":  func(w io.Writer) error { return png.Encode(w, picture) },
		"GIF":  func(w io.Writer) error { return gif.Encode(w, picture, nil) },
		"BMP":  func(w io.Writer) error { return bmp.Encode(w, picture) },
		"TIFF": func(w io.Writer) error { return tiff.Encode(w, picture, nil) },
	} {
		var file bytes.Buffer
		if err := encode(&file); err != nil {
			t.Fatal(err)
		}
		_, err := DecodeContext(ctx, bytes.NewReader(file.Bytes()), Limits{})
		if want := name + " of 16x16 pixels: decoding was given up: context canceled"; err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		if _, err := Decode(bytes.NewReader(file.Bytes()), Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPictureAsImage: a picture and its image are the same, and do not share samples.
func TestPictureAsImage(t *testing.T) {
	for channels, want := range map[int]image.Image{1: &image.Gray{}, 3: &image.NRGBA{}} {
		p := NewPicture(5, 3, channels)
		for i := range p.Pix {
			p.Pix[i] = uint8(7 * i)
		}
		m := p.Image()
		before := slices.Clone(p.Pix)
		if back := FromImage(m); reflect.TypeOf(m) != reflect.TypeOf(want) || back.W != 5 || back.H != 3 ||
			back.Channels != channels || !slices.Equal(back.Pix, p.Pix) {
			t.Errorf("%d channels: %T, back as %+v", channels, m, back)
		}
		clear(p.Pix)
		if back := FromImage(m); !slices.Equal(back.Pix, before) {
			t.Errorf("%d channels: the image changes with the picture", channels)
		}
	}
}

// TestSizesBeyond31Bits: what a file says in 32 bits is no negative number where an int has 32 bits either.
func TestSizesBeyond31Bits(t *testing.T) {
	bmp := func(pixelsAt, height uint32) []byte {
		file := make([]byte, 54, 57)
		copy(file, "BM")
		binary.LittleEndian.PutUint32(file[10:], pixelsAt)
		binary.LittleEndian.PutUint32(file[14:], 40)
		binary.LittleEndian.PutUint32(file[18:], 1)
		binary.LittleEndian.PutUint32(file[22:], height)
		file[28] = 24
		return append(file, 1, 2, 3)
	}
	for _, c := range []struct {
		what string
		file []byte
		want string
	}{
		{"pixels of a BMP", bmp(0xf0000000, 1), "BMP truncated"},
		{"height of a BMP", bmp(54, 1<<31), "BMP"},
		{"size of a box", []byte("\xf0\x00\x00\x00ftypavif\x00\x00\x00\x00"), "an AVIF picture"},
	} {
		if _, err := Decode(bytes.NewReader(c.file), Limits{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
	}
	if _, err := Decode(bytes.NewReader(bmp(54, 1)), Limits{}); err != nil {
		t.Error(err)
	}
}
