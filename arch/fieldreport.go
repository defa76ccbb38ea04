package arch

import (
	"fmt"
	"image"
	"io"
	"strings"

	"github.com/vggo/vggo/internal/sheet"
)

// ParseKernel reads a kernel such as 3, 7s2 (stride 2) or 3d2 (dilation 2).
func ParseKernel(s string) (Kernel, error) {
	size, rest, err := number(s)
	o := options{'s': 1, 'd': 1}
	if err == nil {
		err = o.parse(rest, "sd", "")
	}
	if err == nil && size == 0 {
		err = fmt.Errorf("a kernel is at least 1")
	}
	if err != nil {
		return Kernel{}, fmt.Errorf("kernel %q: %w", clip(s), err)
	}
	return Kernel{Size: size, Stride: o['s'], Dilation: o['d']}, nil
}

// StackReport is the article's argument for small kernels, worked out: what a stack of layers sees, and its weights
// against those of the one layer that sees as much.
type StackReport struct {
	Kernels       []Kernel    `json:"kernels"` // from the input up
	Steps         []FieldStep `json:"steps"`   // from the top down
	Field         int         `json:"field"`
	StackWeights  int64       `json:"stack_weights_per_c2"`  // of C channels in and out: this times C²
	SingleWeights int64       `json:"single_weights_per_c2"` // of one kernel as large as Field
}

// AnalyzeStack works a stack of at least one kernel out. Three 3x3 kernels see 7x7 with 27C² weights against 49C².
func AnalyzeStack(kernels ...Kernel) (*StackReport, error) {
	if len(kernels) == 0 {
		return nil, fmt.Errorf("a stack needs at least one kernel")
	}
	r := &StackReport{}
	for i, k := range kernels {
		if k.Name == "" {
			k.Name = fmt.Sprintf("layer %d", i+1)
		}
		r.Kernels = append(r.Kernels, k)
		r.StackWeights += int64(k.Size) * int64(k.Size)
	}
	var err error
	if r.Steps, err = FieldOf(r.Kernels...); err != nil {
		return nil, err
	}
	r.Field = r.Steps[len(r.Steps)-1].Size
	if r.Field > 1<<30 {
		return nil, fmt.Errorf("a kernel of %d has too many weights to count", r.Field)
	}
	r.SingleWeights = int64(r.Field) * int64(r.Field)
	return r, nil
}

// Write writes the stack as Table, Markdown or JSON.
func (r *StackReport) Write(w io.Writer, format Format) error {
	if format == JSON {
		return writeJSON(w, r)
	}
	if format != Table && format != Markdown {
		return unknownFormat(format, Table, Markdown, JSON)
	}
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
		renderTable(w, stepTable(r.Kernels, r.Steps), format), layers, r.Field, r.Field, r.Field, r.Field,
		strings.Join(squares, "+"), r.StackWeights, r.Field, r.Field, r.SingleWeights,
		float64(r.SingleWeights)/float64(r.StackWeights))
	return err
}

// stepTable shows the way from the top layer of a stack down to the input.
func stepTable(stack []Kernel, steps []FieldStep) *sheet.Table {
	t := sheet.New("seen through", "kernel", "field").Narrow(0, 2)
	for i, step := range steps {
		k := stack[len(stack)-1-i]
		w := Window{Kernel: Square(k.Size), Stride: Square(k.Stride), Dilation: Square(k.Dilation)}
		t.Row(step.Name, strings.TrimSpace(w.describe()), step.Formula)
	}
	return t
}

// LayerField is one layer's receptive field with the way there.
type LayerField struct {
	Network string `json:"network"`
	Input   Shape  `json:"input"`
	Layer   string `json:"layer"`
	Out     Shape  `json:"out"`
	Field   Field2 `json:"field"`
	// Steps is the way from the layer down to the pixels, along the height; empty where adaptive pooling's windows are
	// uneven and no formula fits.
	Steps []FieldStep `json:"steps"`
	// Unit is the middle unit, row and column, and Box the pixels it sees: rows and columns from y0, x0 to before y1,
	// x1, clipped to the image.
	Unit [2]int `json:"unit"`
	Box  [4]int `json:"box"`

	stack []Kernel
}

// LayerField works one layer's receptive field out. An unknown name is an error.
func (r *Report) LayerField(layer string) (*LayerField, error) {
	for i, p := range r.placed.Layers {
		if p.Name != layer {
			continue
		}
		f := &LayerField{Network: r.Network, Input: r.Input, Layer: layer, Out: p.Out, Field: r.Layers[i].Field}
		f.Unit = [2]int{p.Out.H / 2, p.Out.W / 2}
		box, err := Box(r.placed.Layers, i, f.Unit[1], f.Unit[0])
		if err != nil {
			return nil, err
		}
		f.Box = [4]int{box.Min.Y, box.Min.X, box.Max.Y, box.Max.X}
		if stack, ok := stackOf(r.placed.Layers[:i+1]); ok {
			f.stack = stack
			f.Steps, err = FieldOf(stack...)
		}
		return f, err
	}
	return nil, noLayer(r.placed.Network, layer)
}

// Write writes the field as Table, Markdown or JSON.
func (f *LayerField) Write(w io.Writer, format Format) error {
	if format == JSON {
		return writeJSON(w, f)
	}
	if format != Table && format != Markdown {
		return unknownFormat(format, Table, Markdown, JSON)
	}
	if len(f.Steps) > 0 {
		if f.Field.H.Size != f.Field.W.Size {
			fmt.Fprint(w, "Along the height:\n\n")
		}
		if _, err := fmt.Fprintf(w, "%s\n\n", renderTable(w, stepTable(f.stack, f.Steps), format)); err != nil {
			return err
		}
	}
	size := Size{f.Field.H.Size, f.Field.W.Size}
	box := image.Rect(f.Box[1], f.Box[0], f.Box[3], f.Box[2])
	sees := fmt.Sprintf("rows %d to %d and columns %d to %d", box.Min.Y, box.Max.Y-1, box.Min.X, box.Max.X-1)
	if box.Empty() {
		sees = "padding alone"
	}
	_, err := fmt.Fprintf(w, "%s of %s sees %v pixels; neighbours are %s pixels apart, the first centred at %s.\n"+
		"Of %v input, its unit (%d, %d) sees %s.\n",
		f.Layer, f.Network, size, pair(f.Field.H.Jump, f.Field.W.Jump), pair(f.Field.H.Offset, f.Field.W.Offset),
		f.Input, f.Unit[0], f.Unit[1], sees)
	return err
}

func pair(h, w float64) string {
	if h == w {
		return fmt.Sprintf("%.4g", h)
	}
	return fmt.Sprintf("%.4gx%.4g", h, w)
}

// WriteFields writes the receptive field of every layer as Table, Markdown, CSV or JSON.
func (r *Report) WriteFields(w io.Writer, format Format) error {
	switch format {
	case Table, Markdown:
		t := sheet.New("layer", "operation", "output", "field", "jump", "first centre",
			"field = before + (kernel-1)*jump before").
			Figures(3, 4, 5, 6).Narrow(7, 6, 2, 5, 3)
		for _, row := range r.rows() {
			f := row.Field
			t.Row(row.Name, strings.Join(row.operations, ", "), row.Out, f, pair(f.H.Jump, f.W.Jump),
				pair(f.H.Offset, f.W.Offset), row.Formulas.Field)
		}
		_, err := fmt.Fprintf(w, "%s, input %v\n\n%s\n", r.Network, r.Input, renderTable(w, t, format))
		return err
	case CSV:
		return r.writeCSV(w)
	case JSON:
		type entry struct {
			Layer   string `json:"layer"`
			Out     Shape  `json:"out"`
			Field   Field2 `json:"field"`
			Formula string `json:"formula,omitempty"`
		}
		var entries []entry
		for _, l := range r.Layers {
			entries = append(entries, entry{l.Name, l.Out, l.Field, l.Formulas.Field})
		}
		return writeJSON(w, entries)
	}
	return unknownFormat(format, Table, Markdown, CSV, JSON)
}
