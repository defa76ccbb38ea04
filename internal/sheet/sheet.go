//go:build !js

// Package sheet lays tables out: a rule below the header, no box, and on a terminal no line longer than its columns.
package sheet

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/vggo/vggo/internal/printable"
)

// Table is a table whose columns are numbered from 1. Its texts may be a stranger's: names of classes, of files.
type Table struct {
	w       table.Writer
	header  table.Row
	configs []table.ColumnConfig // by column
	drop    []int                // columns to leave out where there is no room, the first first
	wrap    int                  // the column whose texts may take several lines; 0: none
}

// New makes a table whose columns have these names.
func New(names ...string) *Table {
	t := &Table{w: table.NewWriter(), configs: make([]table.ColumnConfig, len(names))}
	for i, name := range names {
		t.header = append(t.header, printable.Text(name))
		t.configs[i].Number = i + 1
	}
	t.w.AppendHeader(t.header)
	t.w.SetStyle(table.StyleLight)
	t.w.Style().Format = table.FormatOptions{}
	t.w.Style().Options = table.Options{SeparateHeader: true, SeparateFooter: true}
	t.w.Style().Box.PaddingLeft, t.w.Style().Box.PaddingRight = "", "  "
	return t
}

// Figures says which columns hold figures.
func (t *Table) Figures(columns ...int) *Table {
	for _, n := range columns {
		c := &t.configs[n-1]
		c.Align, c.AlignHeader, c.AlignFooter = text.AlignRight, text.AlignRight, text.AlignRight
	}
	return t
}

// Narrow says what is done where a terminal has no room for the table: the texts of column wrap (0 is none) take
// several lines, and the columns of drop are left out, one after the other.
func (t *Table) Narrow(wrap int, drop ...int) *Table {
	t.wrap, t.drop = wrap, drop
	return t
}

// Row adds a row.
func (t *Table) Row(cells ...any) { t.w.AppendRow(clean(cells)) }

// Footer adds a row below a rule.
func (t *Table) Footer(cells ...any) { t.w.AppendFooter(clean(cells)) }

// SkipEmpty leaves out the columns that are empty in all rows.
func (t *Table) SkipEmpty() { t.w.SuppressEmptyColumns() }

func clean(cells []any) table.Row {
	row := make(table.Row, len(cells))
	for i, cell := range cells {
		if s, ok := cell.(string); ok {
			cell = printable.Text(s)
		}
		row[i] = cell
	}
	return row
}

// Markdown is the table in Markdown.
func (t *Table) Markdown() string {
	t.w.SetColumnConfigs(t.configs)
	return t.w.RenderMarkdown()
}

// leastWrapped is the fewest columns that texts are wrapped to.
const leastWrapped = 16

// Text is the table in so many columns of a terminal; 0 is as many as it takes. What had to be left out is said below
// it.
func (t *Table) Text(columns int) string {
	lines := t.render()
	if columns <= 0 || width(lines) <= columns {
		return strings.Join(lines, "\n")
	}
	configs := slices.Clone(t.configs)
	defer func() { t.configs = configs }()
	var left []string
	for i := 0; ; i++ {
		if t.wrap > 0 {
			wrapped := &t.configs[t.wrap-1]
			wrapped.WidthMax, wrapped.WidthMaxEnforcer = leastWrapped, text.WrapSoft
			if narrowest := width(t.render()); narrowest <= columns {
				wrapped.WidthMax += columns - narrowest
				if lines = t.render(); width(lines) > columns { // the header was the wider
					wrapped.WidthMax = leastWrapped
					lines = t.render()
				}
				break
			}
		}
		if lines = t.render(); width(lines) <= columns || i == len(t.drop) {
			break
		}
		t.configs[t.drop[i]-1].Hidden = true
		left = append(left, fmt.Sprint(t.header[t.drop[i]-1]))
	}
	if len(left) > 0 {
		note := fmt.Sprintf("left out, for want of room: %s", strings.Join(left, ", "))
		lines = append(lines, strings.Split(text.WrapSoft(note, columns), "\n")...)
		for i, line := range lines {
			lines[i] = strings.TrimRight(line, " ")
		}
	}
	return strings.Join(lines, "\n")
}

// render lays out with the columns as they are.
func (t *Table) render() []string {
	t.w.SetColumnConfigs(t.configs)
	lines := strings.Split(t.w.Render(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return lines
}

// width is that of the longest line on a terminal. Rules go as far as cells with the space behind them, which is cut
// off here.
func width(lines []string) (most int) {
	for _, line := range lines {
		most = max(most, text.StringWidthWithoutEscSequences(line))
	}
	return most
}

// Width is how many columns of a terminal a text takes.
func Width(text string) int { return width(strings.Split(text, "\n")) }

// Columns are those of the terminal that is written to, 0 for anything else: what has a method Columns tells.
func Columns(w any) int {
	if terminal, ok := w.(interface{ Columns() int }); ok {
		return terminal.Columns()
	}
	return 0
}
