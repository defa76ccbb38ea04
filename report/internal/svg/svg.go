// Package svg writes the pictures of package report and those below it: the head of the file, texts, and colours that
// mean the same in each picture. What a picture is of, and where its parts stand, its own package says.
package svg

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// Colours. Blue, Green and Red tell kinds of things apart.
const (
	Paper = "#ffffff"
	Blue  = "#2a56c6"
	Green = "#0f8a65"
	Red   = "#be2b50"
	Grey  = "#64748b"
)

// Drawing collects the elements of a picture.
type Drawing struct{ elements strings.Builder }

// New begins a picture of a size in CSS pixels, with a title for readers who do not see it.
func New(width, height float64, title string) *Drawing {
	d := &Drawing{}
	d.Add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" `+
		`font-family="system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif">`,
		width, height, width, height)
	d.Add("<title>%s</title>", Escape(title))
	d.Add(`<rect width="100%%" height="100%%" fill="%s"/>`, Paper)
	return d
}

// Add adds elements on a line. A text among args must have been through Escape.
func (d *Drawing) Add(format string, args ...any) { fmt.Fprintf(&d.elements, format+"\n", args...) }

// Text adds a text. Its attributes are written as they are.
func (d *Drawing) Text(x, y, size float64, attributes, text string) {
	d.Add(`<text x="%.1f" y="%.1f" font-size="%g" %s>%s</text>`, x, y, size, attributes, Escape(text))
}

// Append adds the elements of another drawing behind those that are there: one that is &Drawing{}, which has no head.
func (d *Drawing) Append(other *Drawing) { d.elements.WriteString(other.elements.String()) }

// WriteTo ends the picture and writes it.
func (d *Drawing) WriteTo(w io.Writer) (int64, error) {
	d.Add("</svg>")
	n, err := io.WriteString(w, d.elements.String())
	return int64(n), err
}

// Width estimates what a sans-serif text of a size takes.
func Width(text string, size float64) float64 { return 0.6 * size * float64(len([]rune(text))) }

// Escape makes a text fit for an element or an attribute.
func Escape(text string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(text)) // a Builder never fails
	return b.String()
}
