package similar_test

import (
	"bytes"
	"image/png"
	"strings"
	"testing"

	"github.com/vggo/vggo/similar"
	"github.com/vggo/vggo/vision"
)

// TestSheet: both kinds show every picture, names of strangers are text, and a page asks for no other file.
func TestSheet(t *testing.T) {
	p := vision.NewPicture(10, 400, 3)
	for i := range p.Pix {
		p.Pix[i] = 200
	}
	s := &similar.Sheet{Title: "<b>", Rows: [][]similar.Cell{
		{{Picture: p, Path: "a/very/long/path/to/a/picture/图.jpg", Lines: []string{"1", "2", "3"}}},
		{{Picture: p, Path: "\"><script>alert(1)</script>\x1b[2J"}, {Path: "gone.jpg", Lines: []string{"cannot be shown"}}},
	}}
	var file bytes.Buffer
	if err := s.PNG(&file); err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(&file)
	if err != nil {
		t.Fatal(err)
	}
	grey := 0 // pixels of the two pictures, 4 by 160 each
	for y := range m.Bounds().Dy() {
		for x := range m.Bounds().Dx() {
			if r, g, b, _ := m.At(x, y).RGBA(); r>>8 == 200 && g>>8 == 200 && b>>8 == 200 {
				grey++
			}
		}
	}
	if grey != 2*4*160 {
		t.Errorf("%d pixels of the pictures are there, want %d", grey, 2*4*160)
	}
	var page strings.Builder
	if err := s.HTML(&page); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	for _, bad := range []string{"<script", "\x1b", "<b>", "http", "url("} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if strings.Count(text, "src=\"data:image/jpeg;base64,") != 2 || strings.Count(text, "src=") != 2 ||
		!strings.Contains(text, "图.jpg") {
		t.Errorf("the page is\n%s", text)
	}
	s.Rows = make([][]similar.Cell, similar.MaxCells+1)
	if err := s.PNG(&file); err == nil {
		t.Error("a sheet of any size is drawn")
	}
}
