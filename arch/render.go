package arch

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/internal/sheet"
)

// Format is a way to write a Report or a Comparison.
type Format string

// The formats. Table and Markdown are for people: layers in place stand with the one they follow, figures carry
// commas. CSV and JSON are for programs: every layer, full precision, names that stay.
const (
	Table    Format = "table"
	Markdown Format = "markdown"
	CSV      Format = "csv"
	JSON     Format = "json"
	SVG      Format = "svg"
)

// Formats are all of them.
var Formats = []Format{Table, Markdown, CSV, JSON, SVG}

// Write writes the report. Formulas has Table and Markdown work their figures out; CSV and JSON always do.
func (r *Report) Write(w io.Writer, format Format, formulas bool) error {
	switch format {
	case Table, Markdown:
		return r.writeText(w, format, formulas)
	case CSV:
		return r.writeCSV(w)
	case JSON:
		return writeJSON(w, r)
	case SVG:
		return r.writeSVG(w)
	}
	return unknownFormat(format, Formats...)
}

func unknownFormat(format Format, known ...Format) error {
	return fmt.Errorf("no format %q for this: want one of %s", format, printable.Or(known))
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func (r *Report) writeText(w io.Writer, format Format, formulas bool) error {
	head := r.Network
	if r.Title != "" {
		head += ": " + r.Title
	}
	if format == Markdown {
		head = "## " + head + "\n"
	}
	images := "one image"
	if r.Batch > 1 {
		images = fmt.Sprintf("a batch of %d", r.Batch)
	}
	body := renderTable(w, r.table(formulas), format)
	lines := []string{head, fmt.Sprintf("input %v, %s", r.Input, images), "", body, ""}
	for _, item := range r.summary() {
		if format == Markdown {
			lines = append(lines, fmt.Sprintf("- **%s**: %s", item[0], item[1]))
		} else {
			lines = append(lines, fmt.Sprintf("%-11s %s", item[0], item[1]))
		}
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

// row is one or more layers of a report: one that has an output of its own, and those in place after it.
type row struct {
	LayerReport
	operations []string
}

func (r *Report) rows() []row {
	var rows []row
	wholeMap := "" // flatten widens the field of what follows it, and has no row to say so
	for _, l := range r.Layers {
		if n := len(rows); l.InPlace && n > 0 {
			rows[n-1].operations = append(rows[n-1].operations, l.Operation)
			wholeMap += l.Formulas.Field
			continue
		}
		if l.Formulas.Field == "" {
			l.Formulas.Field = wholeMap
		}
		wholeMap = ""
		rows = append(rows, row{l, []string{l.Operation}})
	}
	return rows
}

func (r *Report) table(formulas bool) *sheet.Table {
	if formulas {
		t := sheet.New("layer", "output", "height and width", "weights", "biases", "MACs", "field").Figures(5).Narrow(0, 5,
			6, 4, 2, 7)
		for _, row := range r.rows() {
			f := row.Formulas
			t.Row(row.Name, row.Out, f.Size, f.Weights, countOrBlank(row.Biases), f.MACs, f.Field)
		}
		t.Footer("total", "", "", Count(r.Total.Weights), Count(r.Total.Biases), Count(r.Total.MACs), "")
		return t
	}
	t := sheet.New("layer", "operation", "output", "weights", "biases", "MACs", "activations", "FLOP/byte", "field").
		Figures(3, 4, 5, 6, 7, 8, 9).Narrow(2, 8, 5, 7, 6, 9)
	for _, row := range r.rows() {
		intensity := ""
		if row.FLOPs > 0 {
			intensity = strconv.FormatFloat(row.Intensity, 'f', 1, 64)
		}
		t.Row(row.Name, strings.Join(row.operations, ", "), row.Out, countOrBlank(row.Weights), countOrBlank(row.Biases),
			countOrBlank(row.MACs), Bytes(row.ActivationBytes), intensity, row.Field)
	}
	t.Footer("total", "", "", Count(r.Total.Weights), Count(r.Total.Biases), Count(r.Total.MACs),
		Bytes(r.Total.ActivationBytes), strconv.FormatFloat(r.Total.Intensity, 'f', 1, 64), "")
	return t
}

// summary is what a report adds up to, as pairs of a word and a line.
func (r *Report) summary() [][2]string {
	t, m := r.Total, r.Memory
	statistics := ""
	if t.Statistics > 0 {
		statistics = fmt.Sprintf("; %s running statistics beside them", Count(t.Statistics))
	}
	work := fmt.Sprintf("%s MACs = %s per image", Count(t.MACs), flops(t.FLOPs))
	if r.Batch > 1 {
		work += fmt.Sprintf(", %s for the batch", flops(t.FLOPs*int64(r.Batch)))
	}
	return [][2]string{
		{"parameters", fmt.Sprintf("%s = %s weights + %s biases%s", Count(t.Parameters), Count(t.Weights), Count(t.Biases),
			statistics)},
		{"work", work},
		{"inference", fmt.Sprintf("%s = %s parameters + %s activations", Bytes(m.Infer), Bytes(m.Parameters),
			Bytes(m.Arena))},
		{"training", fmt.Sprintf("%s = %s parameters + %s activations + %s gradients of both", Bytes(m.Train),
			Bytes(m.Parameters), Bytes(m.Kept), Bytes(m.ParameterGradients+m.ActivationGradients))},
	}
}

// String writes a field as "196" or, where the axes differ, "3x5", height first.
func (f Field2) String() string { return Size{f.H.Size, f.W.Size}.short() }

// renderTable lays a table out as text, for a terminal within its columns, or as Markdown.
func renderTable(w io.Writer, t *sheet.Table, format Format) string {
	if format == Markdown {
		return t.Markdown()
	}
	return t.Text(sheet.Columns(w))
}

func (r *Report) writeCSV(w io.Writer) error {
	names := "layer,kind,operation,in_place,in_height,in_width,in_channels,out_height,out_width,out_channels," +
		"weights,biases,statistics,macs_per_image,flops_per_image,activation_bytes,flops_per_byte," +
		"field_height,field_width,jump_height,jump_width,offset_height,offset_width," +
		"size_formula,weights_formula,macs_formula,field_formula"
	var records [][]any
	for _, l := range r.Layers {
		records = append(records, []any{l.Name, l.Kind, l.Operation, l.InPlace, l.In.H, l.In.W, l.In.C, l.Out.H,
			l.Out.W, l.Out.C,
			l.Weights, l.Biases, l.Statistics, l.MACs, l.FLOPs, l.ActivationBytes, l.Intensity,
			l.Field.H.Size, l.Field.W.Size, l.Field.H.Jump, l.Field.W.Jump, l.Field.H.Offset, l.Field.W.Offset,
			l.Formulas.Size, l.Formulas.Weights, l.Formulas.MACs, l.Formulas.Field})
	}
	return writeCSV(w, names, records)
}

// writeCSV writes a line of names, comma-separated, and the records.
func writeCSV(w io.Writer, names string, records [][]any) error {
	out := csv.NewWriter(w)
	lines := [][]string{strings.Split(names, ",")}
	for _, record := range records {
		var line []string
		for _, v := range record {
			line = append(line, fmt.Sprint(v))
		}
		lines = append(lines, line)
	}
	return out.WriteAll(lines)
}

// Count writes a number with commas: 138,357,544.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func countOrBlank(n int64) string {
	if n == 0 {
		return ""
	}
	return Count(n)
}

// Bytes writes a size in decimal units, as files and disks are: 553.4 MB.
func Bytes(n int64) string { return scaled(float64(n), "B") }

// BytesApart writes two numbers of bytes that are held against each other: as Bytes does, or in full where that would
// write different ones alike.
func BytesApart(n, other int64) (string, string) {
	if n != other && Bytes(n) == Bytes(other) {
		return Count(n) + " B", Count(other) + " B"
	}
	return Bytes(n), Bytes(other)
}

func flops(n int64) string { return scaled(float64(n), "FLOP") }

// scaled writes a value with three or four digits and a prefix.
func scaled(v float64, unit string) string {
	prefixes := []string{"", "k", "M", "G", "T", "P", "E"}
	i := 0
	for v >= 999.95 && i < len(prefixes)-1 {
		v, i = v/1000, i+1
	}
	decimals := 1
	switch {
	case i == 0:
		decimals = 0
	case v < 9.995:
		decimals = 2
	}
	return strconv.FormatFloat(v, 'f', decimals, 64) + " " + prefixes[i] + unit
}
