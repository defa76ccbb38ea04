package sheet

import (
	"fmt"
	"strings"
)

// In a browser there is no terminal, and the page draws its tables itself: what is laid out elsewhere is plain here,
// without the library that lays it out.

// Table is rows of texts with tabs between them.
type Table struct{ rows []string }

// New makes a table whose columns have these names.
func New(names ...string) *Table { return &Table{[]string{strings.Join(names, "\t")}} }

// Figures says nothing here.
func (t *Table) Figures(...int) *Table { return t }

// Narrow says nothing here.
func (t *Table) Narrow(int, ...int) *Table { return t }

// Row adds a row.
func (t *Table) Row(cells ...any) {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = fmt.Sprint(cell)
	}
	t.rows = append(t.rows, strings.Join(texts, "\t"))
}

// Footer adds a row.
func (t *Table) Footer(cells ...any) { t.Row(cells...) }

// Markdown is Text here.
func (t *Table) Markdown() string { return t.Text(0) }

// Text is the rows.
func (t *Table) Text(int) string { return strings.Join(t.rows, "\n") }

// Columns are none here.
func Columns(any) int { return 0 }
