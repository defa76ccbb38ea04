package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/sheet"
)

// Fields writes the receptive field of every layer as Table, Markdown, CSV or JSON.
func Fields(w io.Writer, r *arch.Report, format Format) error {
	t := sheet.New("layer", "operation", "output", "field", "jump", "first centre",
		"field = before + (kernel-1)*jump before").
		Figures(3, 4, 5, 6).Narrow(7, 6, 2, 5, 3)
	for _, row := range rows(r) {
		f := row.Field
		t.Row(row.Name, row.operations, row.Out, f, pair(f.H.Jump, f.W.Jump), pair(f.H.Offset, f.W.Offset),
			row.Formulas.Field)
	}
	type entry struct {
		Layer   string              `json:"layer"`
		Out     arch.Shape          `json:"out"`
		Field   arch.ReceptiveField `json:"field"`
		Formula string              `json:"formula,omitempty"`
	}
	var entries []entry
	for _, l := range r.Layers {
		entries = append(entries, entry{l.Name, l.Out, l.Field, l.Formulas.Field})
	}
	return content{
		text: func(w io.Writer, markdown bool) error {
			_, err := fmt.Fprintf(w, "%s, input %v\n\n%s\n", r.Network, r.Input, layOut(w, t, markdown))
			return err
		},
		columns: layerColumns, records: layerRecords(r), value: entries,
	}.write(w, format)
}

// Field writes one layer's receptive field, with the way down to the pixels, as Table, Markdown or JSON.
func Field(w io.Writer, f *arch.LayerField, format Format) error {
	return content{
		text:  func(w io.Writer, markdown bool) error { return writeField(w, f, markdown) },
		value: f,
	}.write(w, format)
}

func writeField(w io.Writer, f *arch.LayerField, markdown bool) error {
	way := ""
	if len(f.Steps) > 0 {
		if f.Field.H.Size != f.Field.W.Size {
			way = "Along the height:\n\n"
		}
		way += layOut(w, stepTable(f.Steps), markdown) + "\n\n"
	}
	y0, x0, y1, x1 := f.Box[0], f.Box[1], f.Box[2], f.Box[3]
	sees := fmt.Sprintf("rows %d to %d and columns %d to %d", y0, y1-1, x0, x1-1)
	if y0 == y1 {
		sees = "padding alone"
	}
	_, err := fmt.Fprintf(w, "%s%s of %s sees %v pixels; neighbours are %s pixels apart, the first centred at %s.\n"+
		"Of %v input, its unit (%d, %d) sees %s.\n",
		way, f.Layer, f.Network, arch.Size{H: f.Field.H.Size, W: f.Field.W.Size}, pair(f.Field.H.Jump, f.Field.W.Jump),
		pair(f.Field.H.Offset, f.Field.W.Offset), f.Input, f.Unit[0], f.Unit[1], sees)
	return err
}

// Stack writes what a stack of kernels sees, and its weights against those of one large kernel, as Table, Markdown or
// JSON.
func Stack(w io.Writer, r *arch.StackReport, format Format) error {
	return content{
		text:  func(w io.Writer, markdown bool) error { return writeStack(w, r, markdown) },
		value: r,
	}.write(w, format)
}

func writeStack(w io.Writer, r *arch.StackReport, markdown bool) error {
	var squares []string
	for _, k := range r.Kernels {
		squares = append(squares, fmt.Sprintf("%d*%d", k.Size, k.Size))
	}
	layers := "1 layer sees"
	if n := len(r.Kernels); n > 1 {
		layers = fmt.Sprintf("%d layers see", n)
	}
	_, err := fmt.Fprintf(w, "%s\n\n%s %dx%d, as one %dx%d layer does. With C channels in and out:\nthe stack has "+
		"(%s)*C² = %d C² weights, the one layer %d*%d*C² = %d C²: %.2f times as many.\n",
		layOut(w, stepTable(r.Steps), markdown), layers, r.Field, r.Field, r.Field, r.Field,
		strings.Join(squares, "+"), r.StackWeights, r.Field, r.Field, r.SingleWeights,
		float64(r.SingleWeights)/float64(r.StackWeights))
	return err
}

// stepTable shows the way from the top layer of a stack down to the input.
func stepTable(steps []arch.FieldStep) *sheet.Table {
	t := sheet.New("seen through", "kernel", "field").Narrow(0, 2)
	for _, step := range steps {
		t.Row(step.Name, step.Kernel.Describe(), step.Formula)
	}
	return t
}

// pair writes a figure of both axes once where they agree, else height first.
func pair(h, w float64) string {
	if h == w {
		return fmt.Sprintf("%.4g", h)
	}
	return fmt.Sprintf("%.4gx%.4g", h, w)
}
