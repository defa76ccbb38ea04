// Package report shows networks: what [arch.Analyze] and its like work out, as tables for a terminal or in Markdown, as
// CSV and JSON for programs, and as a picture to scale. [Network] is the report of one network, [Comparison] puts
// several side by side, [Fields] tells what each layer sees.
//
// The pictures of other things have packages of their own below this one, so that who shows a network does not link a
// trainer: report/roofline draws a benchmark, report/training a run.
package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/internal/sheet"
)

// Format is a way to write a report.
type Format string

// The formats. Table and Markdown are for people: layers in place stand with the one they follow, figures carry
// commas. CSV and JSON are for programs: every layer, full precision, names that stay. SVG is the picture to scale.
const (
	Table    Format = "table"
	Markdown Format = "markdown"
	CSV      Format = "csv"
	JSON     Format = "json"
	SVG      Format = "svg"
)

// Formats are all of them. Only Network writes SVG.
var Formats = []Format{Table, Markdown, CSV, JSON, SVG}

// content is a report in the forms that it can be written in; a form left nil is refused.
type content struct {
	text    func(w io.Writer, markdown bool) error
	columns string // of CSV, comma-separated
	records [][]any
	value   any // of JSON
	draw    func(io.Writer) error
}

func (c content) write(w io.Writer, format Format) error {
	switch {
	case format == Table || format == Markdown:
		return c.text(w, format == Markdown)
	case format == JSON:
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(c.value)
	case format == CSV && c.records != nil:
		lines := [][]string{strings.Split(c.columns, ",")}
		for _, record := range c.records {
			var line []string
			for _, v := range record {
				line = append(line, fmt.Sprint(v))
			}
			lines = append(lines, line)
		}
		return csv.NewWriter(w).WriteAll(lines)
	case format == SVG && c.draw != nil:
		return c.draw(w)
	}
	known := []Format{Table, Markdown}
	if c.records != nil {
		known = append(known, CSV)
	}
	if known = append(known, JSON); c.draw != nil {
		known = append(known, SVG)
	}
	return fmt.Errorf("no format %q for this: want one of %s", format, printable.Or(known))
}

// layOut is a table as text, for a terminal within its columns, or as Markdown.
func layOut(w io.Writer, t *sheet.Table, markdown bool) string {
	if markdown {
		return t.Markdown()
	}
	return t.Text(sheet.Columns(w))
}

// tableOnly writes a table with nothing around it.
func tableOnly(t *sheet.Table) func(io.Writer, bool) error {
	return func(w io.Writer, markdown bool) error {
		_, err := io.WriteString(w, layOut(w, t, markdown)+"\n")
		return err
	}
}
