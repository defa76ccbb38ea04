package vision

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// FormatError is of a file in a format that is known but not read.
type FormatError struct {
	Format string // "a HEIC picture"
	Remedy string // how to make of it what is read
}

func (e *FormatError) Error() string { return e.Format + " is not read: " + e.Remedy }

// Remedies that serve several formats. They were tried with Debian's packages, but for a camera's raw file.
const (
	byHEIF        = "heif-convert FILE out.jpg makes a JPEG of it"
	byImageMagick = "ImageMagick's convert FILE out.png makes a PNG of it (magick from its version 7 on)"
	byFFmpeg      = "ffmpeg -i FILE -frames:v 1 out.png makes a PNG of its first picture"
	byRaw         = "the camera's own program exports JPEG or TIFF, and no other way has been tried; what such a file " +
		"holds beside the raw data is a small preview"
)

// foreignFormats are what people have beside the formats that are read: by the endings of their names, and by their
// opening bytes, in which ? is any byte. Others are told by look.
var foreignFormats = []struct {
	name    string
	remedy  string
	endings string
	magics  []string
}{
	{"a HEIC picture", byHEIF, "heic heif hif", nil},
	{"an AVIF picture", byHEIF, "avif avifs", nil},
	{"a JPEG 2000 picture", "opj_decompress -i FILE -o out.png makes a PNG of it", "jp2 j2k j2c jpc jpf jpx",
		[]string{"????jP  \r\n\x87\n"}},
	{"a JPEG 2000 codestream", "opj_decompress -i FILE -o out.png makes a PNG of it", "j2k", []string{"\xff\x4f\xff\x51"}},
	{"a JPEG XL picture", "djxl FILE out.png makes a PNG of it", "jxl", []string{"\xff\x0a", "????JXL \r\n\x87\n"}},
	{"a JPEG XR picture", "JxrDecApp -i FILE -o out.bmp makes a BMP of it", "jxr wdp hdp", []string{"II\xbc"}},
	{"an SVG drawing", "rsvg-convert FILE -o out.png makes a PNG of it", "svg svgz", nil},
	{"a PDF document", "pdftoppm -png -singlefile FILE out makes out.png of its first page", "pdf", nil},
	{"a PostScript drawing", "gs -o out.png -sDEVICE=png16m -dEPSCrop FILE makes a PNG of it", "eps ps",
		[]string{"%!PS", "\xc5\xd0\xd3\xc6"}},
	{"a Photoshop file", "ImageMagick's convert 'FILE[0]' out.png makes a PNG of it (magick from its version 7 on)",
		"psd psb", []string{"8BPS"}},
	{"a camera's raw file", byRaw, "dng cr2 cr3 nef nrw arw raf orf rw2 pef srw x3f", []string{"FUJIFILMCCD-RAW",
		"IIU\x00", "IIRO", "IIRS", "MMOR", "FOVb"}},
	{"a film", byFFmpeg, "mp4 mov m4v 3gp 3g2", []string{"????moov", "????mdat", "????wide", "????free", "????skip"}},
	{"a Matroska or WebM film", byFFmpeg, "mkv webm", []string{"\x1a\x45\xdf\xa3"}},
	{"an AVI film", byFFmpeg, "avi", []string{"RIFF????AVI "}},
	{"a Flash film", byFFmpeg, "flv", []string{"FLV\x01"}},
	{"an MPEG film", byFFmpeg, "mpg mpeg", []string{"\x00\x00\x01\xba", "\x00\x00\x01\xb3"}},
	{"a BigTIFF picture", "tiffcp FILE out.tif makes a usual TIFF of it", "btf", []string{"II\x2b\x00", "MM\x00\x2b"}},
	{"a portable pixmap", "pnmtopng FILE > out.png makes a PNG of it", "ppm pgm pbm pnm pam", []string{"P1\n", "P2\n",
		"P3\n", "P4\n", "P5\n", "P6\n", "P7\n", "P1 ", "P2 ", "P3 ", "P4 ", "P5 ", "P6 ", "P1\r", "P2\r", "P3\r", "P4\r",
		"P5\r", "P6\r"}},
	{"an icon", byImageMagick, "ico", []string{"\x00\x00\x01\x00?\x00"}},
	{"an OpenEXR picture", byImageMagick, "exr", []string{"\x76\x2f\x31\x01"}},
	{"a Radiance picture", byImageMagick, "hdr", []string{"#?RADIANCE", "#?RGBE"}},
	{"a DirectDraw surface", byImageMagick, "dds", []string{"DDS "}},
	{"a PCX picture", byImageMagick, "pcx", []string{"\x0a\x05\x01", "\x0a\x03\x01"}},
	{"a Targa picture", byImageMagick, "tga", []string{"\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00",
		"\x00\x00\x0a\x00\x00\x00\x00\x00\x00\x00"}},
	{"a QOI picture", byImageMagick, "qoi", []string{"qoif"}},
	{"a GIMP file", "export it as PNG from GIMP", "xcf", []string{"gimp xcf"}},
	{"a FITS picture", "ImageMagick's convert 'FILE[0]' out.png makes a PNG of its first plane", "fits fit",
		[]string{"SIMPLE  ="}},
	{"a web page", "perhaps a download failed; get the picture itself", "html htm", nil},
	{"a data URL", "base64 -d decodes what stands behind its comma; a server takes it in JSON", "",
		[]string{"data:image/"}},
	{"a Git LFS pointer", "git lfs pull gets the picture itself", "", []string{"version https://git-lfs"}},
	{"a gzip file", "gunzip unpacks it", "gz", []string{"\x1f\x8b"}},
	{"a zip file", "unzip unpacks it", "zip", []string{"PK\x03\x04"}},
}

// foreign finds a format that is not read by its opening bytes; nil if none.
func foreign(file []byte) *FormatError {
	name := look(file)
	for _, f := range foreignFormats {
		if f.name == name || slices.ContainsFunc(f.magics, func(magic string) bool { return begins(file, magic) }) {
			return &FormatError{f.name, f.remedy}
		}
	}
	return nil
}

// rawFile is the error of a camera's raw file that is also a TIFF.
func rawFile() *FormatError { return &FormatError{"a camera's raw file", byRaw} }

// look tells formats whose opening bytes are not always the same.
func look(file []byte) string {
	const far = 64 << 10 // comments before a drawing begins
	head := file[:min(len(file), far)]
	switch {
	case len(head) >= 16 && string(head[4:8]) == "ftyp":
		return lookAtBrands(head)
	case bytes.Contains(head[:min(len(head), 1024)], []byte("%PDF-")):
		return "a PDF document"
	}
	return lookAtText(head)
}

// lookAtBrands looks at the first box of an ISO base media file (ISO/IEC 14496-12): its size, "ftyp", the major brand,
// a version, and the brands that the file is compatible with.
func lookAtBrands(head []byte) string {
	size := int(min(int64(binary.BigEndian.Uint32(head)), int64(len(head))))
	name := "a film"
	for at := 8; at+4 <= max(size, 12); at += 4 {
		if at == 12 {
			continue // the version
		}
		switch brand := string(head[at : at+4]); brand {
		case "avif", "avis":
			return "an AVIF picture"
		case "heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs":
			return "a HEIC picture"
		case "mif1", "msf1", "mif2":
			name = "a HEIC picture" // unless another brand says AVIF
		case "crx ":
			return "a camera's raw file"
		}
	}
	return name
}

// lookAtText looks behind what may stand before an SVG drawing or a web page begins: a byte order mark, blanks, XML's
// declaration, comments, a document type.
func lookAtText(head []byte) string {
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) { // UTF-16
		head = bytes.ReplaceAll(head[2:], []byte{0}, nil)
	}
	head = bytes.TrimPrefix(head, []byte("\ufeff"))
	for {
		head = bytes.TrimSpace(head)
		lower := bytes.ToLower(head[:min(len(head), 64)])
		end := ""
		switch {
		case bytes.HasPrefix(lower, []byte("<?")):
			end = "?>"
		case bytes.HasPrefix(lower, []byte("<!--")):
			end = "-->"
		case bytes.HasPrefix(lower, []byte("<!doctype html")), bytes.HasPrefix(lower, []byte("<html")),
			bytes.HasPrefix(lower, []byte("<head")):
			return "a web page"
		case bytes.HasPrefix(lower, []byte("<!doctype")):
			end = ">"
			if inner := bytes.IndexByte(head, '['); inner >= 0 && inner < bytes.IndexByte(head, '>') {
				end = "]>"
			}
		case bytes.HasPrefix(lower, []byte("<")):
			tag, _, _ := bytes.Cut(lower[1:], []byte(">"))
			if fields := bytes.Fields(tag); len(fields) > 0 {
				_, name, prefixed := bytes.Cut(fields[0], []byte(":"))
				if !prefixed {
					name = fields[0]
				}
				if string(bytes.TrimSuffix(name, []byte("/"))) == "svg" {
					return "an SVG drawing"
				}
			}
			return ""
		default:
			return ""
		}
		_, rest, found := bytes.Cut(head, []byte(end))
		if !found {
			return ""
		}
		head = rest
	}
}

// IsPictureName reports whether a file's name ends, in any case, as those of pictures that are read do.
func IsPictureName(name string) bool {
	return slices.Contains(PictureEndings(), strings.ToLower(path.Ext(name)))
}

// PictureEndings lists how names of pictures end that are read: ".jpg".
func PictureEndings() []string {
	return []string{".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".webp", ".bmp", ".dib", ".tif", ".tiff"}
}

// Skipped counts the files of folders that are passed over though by their names they are pictures, by the endings of
// these: of formats that are not read, and "" of names without an ending.
type Skipped map[string]int

// Add counts a file that is passed over.
func (s Skipped) Add(name string) {
	ending := strings.ToLower(path.Ext(name))
	if ending == "" || foreignEnding(ending) != nil {
		s[ending]++
	}
}

// foreignEnding is the format that is not read whose files are called so; nil if none.
func foreignEnding(ending string) *FormatError {
	for _, f := range foreignFormats {
		if slices.Contains(strings.Fields(f.endings), strings.TrimPrefix(ending, ".")) {
			return &FormatError{f.name, f.remedy}
		}
	}
	return nil
}

// String says what was passed over, and what can be done; empty where nothing was.
func (s Skipped) String() string {
	var parts []string
	for _, ending := range slices.Sorted(maps.Keys(s)) {
		if f := foreignEnding(ending); f != nil {
			parts = append(parts, fmt.Sprintf("%d called *%s, where %v", s[ending], ending, f))
		} else {
			parts = append(parts, fmt.Sprintf("%d whose names have no ending, such as .jpg", s[ending]))
		}
	}
	return strings.Join(parts, "; ")
}
