package arch

import "fmt"

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
	if r.Steps, err = fieldOf(r.Kernels...); err != nil {
		return nil, err
	}
	r.Field = r.Steps[len(r.Steps)-1].Size
	if r.Field > 1<<30 {
		return nil, fmt.Errorf("a kernel of %d has too many weights to count", r.Field)
	}
	r.SingleWeights = int64(r.Field) * int64(r.Field)
	return r, nil
}

// LayerField is one layer's receptive field with the way there.
type LayerField struct {
	Network string         `json:"network"`
	Input   Shape          `json:"input"`
	Layer   string         `json:"layer"`
	Out     Shape          `json:"out"`
	Field   ReceptiveField `json:"field"`
	// Steps is the way from the layer down to the pixels, along the height; empty where adaptive pooling's windows are
	// uneven and no formula fits.
	Steps []FieldStep `json:"steps"`
	// Unit is the middle unit, row and column, and Box the pixels it sees: rows and columns from y0, x0 to before y1,
	// x1, clipped to the image.
	Unit [2]int `json:"unit"`
	Box  [4]int `json:"box"`
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
			f.Steps, err = fieldOf(stack...)
		}
		return f, err
	}
	return nil, noLayer(r.placed.Network, layer)
}
