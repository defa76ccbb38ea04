package similar

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/vision"
)

// Cell is a picture on a contact sheet. Of one that could not be read Picture is nil and Lines say why.
type Cell struct {
	Picture *vision.Picture
	Path    string
	Lines   []string // below it
}

// Sheet is a contact sheet: pictures to be looked at side by side.
type Sheet struct {
	Title string
	Rows  [][]Cell
}

const (
	thumb     = 160 // pixels of the box that a picture is fitted into
	gap       = 12
	textLine  = 15
	textLines = 3 // the path, and two of Lines
	cellWide  = thumb + gap
	cellHigh  = thumb + textLines*textLine + gap
	letter    = 7 // pixels of basicfont's
)

// MaxCells bounds a sheet: a thousand take 150 MB while they are drawn.
const MaxCells = 1000

// fitted is a picture scaled into the box.
func fitted(p *vision.Picture) *vision.Picture {
	larger := max(p.W, p.H)
	w, h := max(p.W*thumb/larger, 1), max(p.H*thumb/larger, 1)
	if w == p.W && h == p.H {
		return p
	}
	return p.Resize(w, h, vision.Bilinear)
}

// PNG writes the sheet as one picture. Its letters are ASCII; others are written as question marks.
func (s *Sheet) PNG(w io.Writer) error {
	wide := 1
	for _, row := range s.Rows {
		wide = max(wide, len(row))
	}
	if cells := len(s.Rows) * wide; cells > MaxCells {
		return fmt.Errorf("a sheet of %d pictures: %d at most", cells, MaxCells)
	}
	m := image.NewRGBA(image.Rect(0, 0, wide*cellWide+gap, textLine+2*gap+len(s.Rows)*cellHigh))
	draw.Draw(m, m.Bounds(), image.White, image.Point{}, draw.Src)
	text(m, gap, gap, s.Title, (m.Bounds().Dx()-2*gap)/letter)
	for y, row := range s.Rows {
		for x, c := range row {
			left, top := gap+x*cellWide, textLine+2*gap+y*cellHigh
			if c.Picture != nil {
				p := fitted(c.Picture)
				at := image.Pt(left+(thumb-p.W)/2, top+(thumb-p.H)/2)
				draw.Draw(m, image.Rectangle{at, at.Add(image.Pt(p.W, p.H))}, p.Image(), image.Point{}, draw.Src)
			}
			for i, line := range append([]string{c.Path}, c.Lines...) {
				if i < textLines {
					text(m, left, top+thumb+i*textLine, line, thumb/letter)
				}
			}
		}
	}
	return png.Encode(w, m)
}

// text writes a line of at most so many letters below (x,y); of a longer one the end.
func text(m draw.Image, x, y int, line string, most int) {
	ascii := []byte(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, line))
	if len(ascii) > most {
		ascii = append([]byte(".."), ascii[len(ascii)-most+2:]...)
	}
	d := font.Drawer{Dst: m, Src: image.NewUniform(color.Gray{40}), Face: basicfont.Face7x13,
		Dot: fixed.P(x, y+textLine-3)}
	d.DrawBytes(ascii)
}

// HTML writes the sheet as a page of its own that asks for no other file.
func (s *Sheet) HTML(w io.Writer) error {
	const head = `<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>%[1]s</title><style>
body{font:14px/1.4 system-ui,sans-serif;margin:1rem;color-scheme:light dark}
.row{display:flex;flex-wrap:wrap;gap:12px;margin:0 0 12px;padding:0 0 12px;border-bottom:1px solid #8884}
figure{margin:0;width:%[2]dpx;overflow-wrap:anywhere}
.box{width:%[2]dpx;height:%[2]dpx;display:flex;align-items:center;justify-content:center}</style>
<h1>%[1]s</h1>
`
	if _, err := fmt.Fprintf(w, head, escape(s.Title), thumb); err != nil {
		return err
	}
	for _, row := range s.Rows {
		if _, err := io.WriteString(w, "<div class=\"row\">\n"); err != nil {
			return err
		}
		for _, c := range row {
			if err := c.html(w); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(w, "</div>\n"); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, "</html>\n")
	return err
}

func escape(s string) string { return html.EscapeString(printable.Text(s)) }

func (c *Cell) html(w io.Writer) error {
	shown := "&nbsp;"
	if c.Picture != nil {
		var file bytes.Buffer
		if err := jpeg.Encode(&file, fitted(c.Picture).Image(), &jpeg.Options{Quality: 85}); err != nil {
			return err
		}
		shown = fmt.Sprintf(`<img alt="%s" src="data:image/jpeg;base64,%s">`, escape(c.Path),
			base64.StdEncoding.EncodeToString(file.Bytes()))
	}
	lines := escape(c.Path)
	for _, line := range c.Lines {
		lines += "<br>" + escape(line)
	}
	_, err := fmt.Fprintf(w, "<figure><div class=\"box\">%s</div><figcaption>%s</figcaption></figure>\n", shown, lines)
	return err
}
