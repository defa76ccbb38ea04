package report

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/internal/sheet"
)

// Network writes what the layers of a network produce, cost and see, in any Format. With formulas, Table and Markdown
// show how the figures are worked out; CSV and JSON always do.
func Network(w io.Writer, r *arch.Report, format Format, formulas bool) error {
	return content{
		text:    func(w io.Writer, markdown bool) error { return writeNetwork(w, r, markdown, formulas) },
		columns: layerColumns, records: layerRecords(r),
		value: r,
		draw:  func(w io.Writer) error { return draw(w, r) },
	}.write(w, format)
}

func writeNetwork(w io.Writer, r *arch.Report, markdown, formulas bool) error {
	head := r.Network
	if r.Title != "" {
		head += ": " + r.Title
	}
	item := "%-11s %s"
	if markdown {
		head, item = "## "+head+"\n", "- **%s**: %s"
	}
	t := costTable(r)
	if formulas {
		t = formulaTable(r)
	}
	lines := []string{head, fmt.Sprintf("input %v, %s", r.Input, images(r.Batch)), "", layOut(w, t, markdown), ""}
	for _, fact := range summary(r) {
		lines = append(lines, fmt.Sprintf(item, fact[0], fact[1]))
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}

func images(batch int) string {
	if batch > 1 {
		return fmt.Sprintf("a batch of %d", batch)
	}
	return "one image"
}

// row is one or more layers of a report: one that has an output of its own, and those in place after it.
type row struct {
	arch.LayerReport
	operations string
}

func rows(r *arch.Report) []row {
	var rows []row
	wholeMap := "" // flatten widens the field of what follows it, and has no row to say so
	for _, l := range r.Layers {
		if n := len(rows); l.InPlace && n > 0 {
			rows[n-1].operations += ", " + l.Operation
			wholeMap += l.Formulas.Field
			continue
		}
		l.Formulas.Field = cmp.Or(l.Formulas.Field, wholeMap)
		wholeMap = ""
		rows = append(rows, row{l, l.Operation})
	}
	return rows
}

func formulaTable(r *arch.Report) *sheet.Table {
	t := sheet.New("layer", "output", "height and width", "weights", "biases", "MACs", "field").Figures(5).Narrow(0, 5,
		6, 4, 2, 7)
	for _, row := range rows(r) {
		f := row.Formulas
		t.Row(row.Name, row.Out, f.Size, f.Weights, countOrBlank(row.Biases), f.MACs, f.Field)
	}
	t.Footer("total", "", "", printable.Count(r.Total.Weights), printable.Count(r.Total.Biases),
		printable.Count(r.Total.MACs), "")
	return t
}

func costTable(r *arch.Report) *sheet.Table {
	t := sheet.New("layer", "operation", "output", "weights", "biases", "MACs", "activations", "FLOP/byte", "field").
		Figures(3, 4, 5, 6, 7, 8, 9).Narrow(2, 8, 5, 7, 6, 9)
	for _, row := range rows(r) {
		intensity := ""
		if row.FLOPs > 0 {
			intensity = strconv.FormatFloat(row.Intensity, 'f', 1, 64)
		}
		t.Row(row.Name, row.operations, row.Out, countOrBlank(row.Weights), countOrBlank(row.Biases),
			countOrBlank(row.MACs), printable.Bytes(row.ActivationBytes), intensity, row.Field)
	}
	t.Footer("total", "", "", printable.Count(r.Total.Weights), printable.Count(r.Total.Biases),
		printable.Count(r.Total.MACs), printable.Bytes(r.Total.ActivationBytes),
		strconv.FormatFloat(r.Total.Intensity, 'f', 1, 64), "")
	return t
}

// summary is what a report adds up to, as pairs of a word and a line.
func summary(r *arch.Report) [][2]string {
	t, m := r.Total, r.Memory
	count, bytes := printable.Count, printable.Bytes
	statistics := ""
	if t.Statistics > 0 {
		statistics = fmt.Sprintf("; %s running statistics beside them", count(t.Statistics))
	}
	work := fmt.Sprintf("%s MACs = %s per image", count(t.MACs), flops(t.FLOPs))
	if r.Batch > 1 {
		work += fmt.Sprintf(", %s for the batch", flops(t.FLOPs*int64(r.Batch)))
	}
	return [][2]string{
		{"parameters", fmt.Sprintf("%s = %s weights + %s biases%s", count(t.Parameters), count(t.Weights),
			count(t.Biases), statistics)},
		{"work", work},
		{"inference", fmt.Sprintf("%s = %s parameters + %s activations", bytes(m.Infer), bytes(m.Parameters),
			bytes(m.Arena))},
		{"training", fmt.Sprintf("%s = %s parameters + %s activations + %s gradients of both", bytes(m.Train),
			bytes(m.Parameters), bytes(m.Kept), bytes(m.ParameterGradients+m.ActivationGradients))},
	}
}

const layerColumns = "layer,kind,operation,in_place,in_height,in_width,in_channels,out_height,out_width,out_channels," +
	"weights,biases,statistics,macs_per_image,flops_per_image,activation_bytes,flops_per_byte," +
	"field_height,field_width,jump_height,jump_width,offset_height,offset_width," +
	"size_formula,weights_formula,macs_formula,field_formula"

// layerRecords are the values of layerColumns, layer by layer.
func layerRecords(r *arch.Report) (records [][]any) {
	for _, l := range r.Layers {
		records = append(records, []any{l.Name, l.Kind, l.Operation, l.InPlace, l.In.H, l.In.W, l.In.C, l.Out.H,
			l.Out.W, l.Out.C,
			l.Weights, l.Biases, l.Statistics, l.MACs, l.FLOPs, l.ActivationBytes, l.Intensity,
			l.Field.H.Size, l.Field.W.Size, l.Field.H.Jump, l.Field.W.Jump, l.Field.H.Offset, l.Field.W.Offset,
			l.Formulas.Size, l.Formulas.Weights, l.Formulas.MACs, l.Formulas.Field})
	}
	return records
}

func countOrBlank(n int64) string {
	if n == 0 {
		return ""
	}
	return printable.Count(n)
}

func flops(n int64) string { return printable.Scaled(float64(n), "FLOP") }
