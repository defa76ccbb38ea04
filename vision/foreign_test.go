package vision

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf16"
)

// brands is the first box of an ISO base media file.
func brands(major string, compatible ...string) string {
	size := 16 + 4*len(compatible)
	return string([]byte{0, 0, 0, byte(size)}) + "ftyp" + major + "\x00\x00\x00\x00" + strings.Join(compatible, "") +
		strings.Repeat("\x00", 40)
}

// TestForeignFormats: a file in a format that is not read is called by its name, with a way on.
func TestForeignFormats(t *testing.T) {
	const svg = "<svg xmlns='http://www.w3.org/2000/svg'/>"
	utf16le := "\xff\xfe"
	for _, u := range utf16.Encode([]rune(svg)) {
		utf16le += string([]byte{byte(u), byte(u >> 8)})
	}
	for _, c := range []struct{ file, format, remedy string }{
		{brands("heic", "mif1", "heic"), "a HEIC picture", "heif-convert"},
		{brands("mif1", "mif1", "heic"), "a HEIC picture", "heif-convert"},
		{brands("mif1"), "a HEIC picture", "heif-convert"},
		{brands("heix", "heix"), "a HEIC picture", "heif-convert"},
		{brands("avif", "mif1", "miaf"), "an AVIF picture", "heif-convert"},
		{brands("mif1", "avif", "miaf"), "an AVIF picture", "heif-convert"},
		{brands("avis", "msf1"), "an AVIF picture", "heif-convert"},
		{brands("crx ", "isom"), "a camera's raw file", "exports JPEG or TIFF"},
		{brands("isom", "iso2", "mp41"), "a film", "ffmpeg"},
		{brands("mp42"), "a film", "ffmpeg"},
		{brands("qt  "), "a film", "ffmpeg"},
		{"\x00\x00\x00\x08wide\x00\x00\x00\x00mdat", "a film", "ffmpeg"},
		{"\x1a\x45\xdf\xa3\x9f\x42", "a Matroska or WebM film", "ffmpeg"},
		{"RIFF\x00\x00\x00\x00AVI LIST", "an AVI film", "ffmpeg"},
		{"\x00\x00\x00\x0cjP  \r\n\x87\n\x00\x00\x00\x14ftypjp2 ", "a JPEG 2000 picture", "opj_decompress"},
		{"\xff\x4f\xff\x51\x00\x2f", "a JPEG 2000 codestream", "opj_decompress"},
		{"\xff\x0a\x60\x04", "a JPEG XL picture", "djxl"},
		{"\x00\x00\x00\x0cJXL \r\n\x87\n", "a JPEG XL picture", "djxl"},
		{svg, "an SVG drawing", "rsvg-convert"},
		{"\ufeff<?xml version='1.0'?>\n<!-- a > comment --><!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' [<!ENTITY a " +
			"'b'>]>\n" + svg, "an SVG drawing", "rsvg-convert"},
		{" \r\n<?XML version='1.0'?><svg:svg xmlns:svg='http://www.w3.org/2000/svg'>", "an SVG drawing", "rsvg-convert"},
		{"<!--" + strings.Repeat("x", 9000) + "-->" + svg, "an SVG drawing", "rsvg-convert"},
		{utf16le, "an SVG drawing", "rsvg-convert"},
		{"<!DOCTYPE html><html>", "a web page", "download"},
		{"%PDF-1.7\n", "a PDF document", "pdftoppm"},
		{"rubbish\n%PDF-1.4\n", "a PDF document", "pdftoppm"},
		{"8BPS\x00\x01", "a Photoshop file", "convert"},
		{"II*\x00\x10\x00\x00\x00CR\x02\x00", "a camera's raw file", "exports JPEG or TIFF"},
		{"IIU\x00\x18\x00", "a camera's raw file", "exports JPEG or TIFF"},
		{"FUJIFILMCCD-RAW 0201", "a camera's raw file", "exports JPEG or TIFF"},
		{"II\x2b\x00\x08\x00", "a BigTIFF picture", "tiffcp"},
		{"P6\n60 50\n255\n", "a portable pixmap", "pnmtopng"},
		{"\x00\x00\x01\x00\x01\x00", "an icon", "convert"},
		{"data:image/png;base64,iVBOR", "a data URL", "base64 -d"},
		{"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", "git lfs pull"},
		{"<note>", "", ""},
		{"<!-- never ends", "", ""},
		{"hello", "", ""},
		{"\x00\x00\x00\x08ftyp", "", ""},
	} {
		_, err := Decode(strings.NewReader(c.file), Limits{})
		var format *FormatError
		if !errors.As(err, &format) {
			if c.format != "" || err == nil || !strings.Contains(err.Error(), "not a JPEG, PNG") {
				t.Errorf("%.20q: %v, want %s", c.file, err, c.format)
			}
			continue
		}
		if format.Format != c.format || !strings.Contains(format.Remedy, c.remedy) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.20q: %v, want %s and %s", c.file, err, c.format, c.remedy)
		}
	}
}

// TestRawTIFF: a camera's raw file may be a TIFF whose first picture is a preview.
func TestRawTIFF(t *testing.T) {
	const short, long = 3, 4
	size := []tiffTag{{256, short, 1}, {257, short, 1}, {258, short, 8}, {273, long, 8}, {279, long, 1}}
	for what, c := range map[string]struct {
		tags []tiffTag
		raw  bool
	}{
		"plain": {append(size, tiffTag{262, short, 1}), false},
		"a preview above others": {append([]tiffTag{{254, long, 1}, {330, long, 200}},
			append(size, tiffTag{262, short, 1})...), true},
		"full, with smaller ones below it": {append([]tiffTag{{254, long, 0}, {330, long, 200}},
			append(size, tiffTag{262, short, 1})...), false},
		"a sensor's pattern": {append(size, tiffTag{262, short, 32803}), true},
		"DNG":                {append(size, tiffTag{262, short, 1}, tiffTag{50706, long, 4}), true},
	} {
		_, err := Decode(strings.NewReader(string(tiffFile([]byte{77}, c.tags...))), Limits{})
		if errors.As(err, new(*FormatError)) != c.raw || !c.raw && err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestSkipped(t *testing.T) {
	s := Skipped{}
	for _, name := range []string{"a/1.HEIC", "a/2.heic", "b.txt", "c.jp2", "noending", "d.jpg.bak", "Thumbs.db"} {
		s.Add(name)
	}
	want := "1 whose names have no ending, such as .jpg; 2 called *.heic, where a HEIC picture is not read: " +
		"heif-convert " +
		"FILE out.jpg makes a JPEG of it; " +
		"1 called *.jp2, where a JPEG 2000 picture is not read: opj_decompress -i FILE -o out.png makes a PNG of it"
	if got := s.String(); got != want {
		t.Errorf("%s", got)
	}
	if got := (Skipped{}).String(); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}
