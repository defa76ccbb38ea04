package arch

import "fmt"

// Formulas work a layer's figures out as the article does, numbers in place of names: "(224-3+2*1)/1+1 = 224". A figure
// with nothing to work out has none.
type Formulas struct {
	Size    string `json:"size,omitempty"`    // height and width of the output
	Weights string `json:"weights,omitempty"` // biases not counted, as in the article
	MACs    string `json:"macs,omitempty"`    // output height * width * weights
	Field   string `json:"field,omitempty"`   // (field before) + (kernel-1)*(jump before)
	// Activations are bytes: images * height * width * channels * 4. Only layers that are not in place have any.
	Activations string `json:"activations,omitempty"`
	// Intensity is FLOPs of the batch by the bytes of weights, input and output: 2*MACs*images/(4*weights + 4*input +
	// 4*output).
	Intensity string `json:"intensity,omitempty"`
}

func formulas(placed []Placed, fields []ReceptiveField, i int) Formulas {
	p := &placed[i]
	f := Formulas{Size: p.sizeFormula(), Field: both(p.fieldFormula(rows, fields, i), p.fieldFormula(cols, fields, i))}
	weights, _, _ := p.parameters()
	switch op := p.Op.(type) {
	case Conv:
		f.Weights = fmt.Sprintf("%s = %d", p.kernelFormula(op), weights)
	case Linear:
		f.Weights = fmt.Sprintf("%s*%d = %d", vectorFormula(placed[:i+1]), op.Out, weights)
	}
	if f.Weights != "" {
		f.MACs = fmt.Sprintf("%d*%d*%d = %d", p.Out.H, p.Out.W, weights, int64(p.Out.H)*int64(p.Out.W)*weights)
	}
	return f
}

// costFormulas adds what depends on the number of images.
func (f *Formulas) costFormulas(l *LayerReport, batch int) {
	images := ""
	if batch > 1 {
		images = fmt.Sprintf("%d*", batch)
	}
	values := func(s Shape) string { return fmt.Sprintf("%s%d*%d*%d", images, s.H, s.W, s.C) }
	if !l.InPlace {
		f.Activations = fmt.Sprintf("%s*%d = %d", values(l.Out), bytesPerValue, l.ActivationBytes)
	}
	if l.MACs > 0 {
		f.Intensity = fmt.Sprintf("%s2*%d/(%d*(%d+%s+%s)) = %.1f", images, l.MACs, bytesPerValue, l.Weights, values(l.In),
			values(l.Out), l.Intensity)
	}
}

// sizeFormula gives one formula where height and width agree, else both, height first.
func (p *Placed) sizeFormula() string {
	switch op := p.Op.(type) {
	case Conv:
		return both(p.Geometry.formula(op.Pad.Mode, rows), p.Geometry.formula(op.Pad.Mode, cols))
	case MaxPool:
		return both(p.Geometry.formula(op.Pad.Mode, rows), p.Geometry.formula(op.Pad.Mode, cols))
	case AvgPool:
		return both(p.Geometry.formula(op.Pad.Mode, rows), p.Geometry.formula(op.Pad.Mode, cols))
	case L2Pool:
		return both(p.Geometry.formula(Explicit, rows), p.Geometry.formula(Explicit, cols))
	case ReflectPad:
		return both(fmt.Sprintf("%d+%d+%d = %d", p.In.H, op.Top, op.Bottom, p.Out.H),
			fmt.Sprintf("%d+%d+%d = %d", p.In.W, op.Left, op.Right, p.Out.W))
	case Flatten:
		return fmt.Sprintf("%d*%d*%d = %d", p.In.H, p.In.W, p.In.C, p.Out.C)
	}
	return ""
}

func both(h, w string) string {
	if h == w || w == "" {
		return h
	}
	if h == "" {
		return w
	}
	return h + ", " + w
}

// formula is the output size along one axis. Rounding shows where it changes the result.
func (g Geometry) formula(mode PadMode, a axis) string {
	in, out, stride := a.of(g.In), a.of(g.Out), a.of(g.Stride)
	kernel := extentFormula(a.of(g.Kernel), a.of(g.Dilation))
	switch mode {
	case Same:
		return fmt.Sprintf("ceil(%d/%d) = %d", in, stride, out)
	case Valid:
		return fmt.Sprintf("ceil((%d-%s+1)/%d) = %d", in, kernel, stride, out)
	}
	before, after := g.Top, g.Bottom
	if a == cols {
		before, after = g.Left, g.Right
	}
	pad := ""
	switch {
	case before != after:
		pad = fmt.Sprintf("+%d+%d", before, after)
	case before > 0:
		pad = fmt.Sprintf("+2*%d", before)
	}
	quotient := fmt.Sprintf("(%d-%s%s)/%d", in, kernel, pad, stride)
	span := in + before + after - a.of(g.Extent())
	if span%stride == 0 {
		return fmt.Sprintf("%s+1 = %d", quotient, out)
	}
	if g.Ceil && out == span/stride+2 {
		return fmt.Sprintf("ceil(%s)+1 = %d", quotient, out)
	}
	// Rounded down; also where rounding up would begin a window beyond the image.
	return fmt.Sprintf("floor(%s)+1 = %d", quotient, out)
}

// extentFormula is what a kernel spans: "3", or dilated by 2 "((3-1)*2+1)".
func extentFormula(kernel, dilation int) string {
	if dilation > 1 {
		return fmt.Sprintf("((%d-1)*%d+1)", kernel, dilation)
	}
	return fmt.Sprint(kernel)
}

// kernelFormula is kernels times their number, "(3*3*64)*128"; with groups "(5*5*96/2)*256".
func (p *Placed) kernelFormula(op Conv) string {
	groups := ""
	if op.Groups > 1 {
		groups = fmt.Sprintf("/%d", op.Groups)
	}
	return fmt.Sprintf("(%d*%d*%d%s)*%d", op.Kernel.H, op.Kernel.W, p.In.C, groups, op.Out)
}

// vectorFormula is the input of the fully connected layer placed last: the map it was flattened from, "7*7*512", or
// its length.
func vectorFormula(placed []Placed) string {
	last := len(placed) - 1
	for i := last - 1; i >= 0; i-- {
		switch placed[i].Op.(type) {
		case Dropout:
			continue
		case Flatten:
			m := placed[i].In
			return fmt.Sprintf("%d*%d*%d", m.H, m.W, m.C)
		}
		break
	}
	return fmt.Sprint(placed[last].In.C)
}

// fieldFormula is empty for a layer that sees what the one before it does.
func (p *Placed) fieldFormula(a axis, fields []ReceptiveField, i int) string {
	extent, _, _, ok := p.window(a)
	if !ok || extent == 1 {
		return ""
	}
	before := AxisField{Size: 1, Jump: 1}
	if i > 0 {
		before = fields[i-1].of(a)
	}
	kernel := fmt.Sprint(extent)
	if p.Geometry != (Geometry{}) {
		kernel = extentFormula(a.of(p.Geometry.Kernel), a.of(p.Geometry.Dilation))
	}
	return fmt.Sprintf("%d+(%s-1)*%g = %d", before.Size, kernel, before.Jump, fields[i].of(a).Size)
}
