package arch

import (
	"fmt"
	"image"
)

// AxisField is a layer's receptive field along one axis, in input pixels. Pixel i covers i to i+1, so its centre is
// i+0.5.
type AxisField struct {
	// Size is the number of pixels that a unit sees, as if the input had no border; of the middle unit, where adaptive
	// pooling's windows are uneven.
	Size int `json:"size"`
	// Jump is the distance between the centres of two neighbours' fields.
	Jump float64 `json:"jump"`
	// Offset is the centre of the first unit's field.
	Offset float64 `json:"offset"`
}

// ReceptiveField is a receptive field along both axes.
type ReceptiveField struct {
	H AxisField `json:"h"`
	W AxisField `json:"w"`
}

// String writes a field as "196" or, where the axes differ, "3x5", height first.
func (f ReceptiveField) String() string { return Size{f.H.Size, f.W.Size}.short() }

func (f ReceptiveField) of(a axis) AxisField {
	if a == cols {
		return f.W
	}
	return f.H
}

// axis picks the height or the width.
type axis bool

const (
	rows axis = false
	cols axis = true
)

func (a axis) of(s Size) int {
	if a == cols {
		return s.W
	}
	return s.H
}

// window is what one unit of a layer reads of the layer's input along one axis: extent neighbours, the first unit's
// from -before, the next ones' stride further on each time. ok is false for adaptive pooling with uneven windows.
func (p *Placed) window(a axis) (extent, stride, before int, ok bool) {
	in, out := a.of(Size{p.In.H, p.In.W}), a.of(Size{p.Out.H, p.Out.W})
	switch op := p.Op.(type) {
	case Conv, MaxPool, AvgPool, L2Pool:
		before = a.of(Size{p.Geometry.Top, p.Geometry.Left})
		return a.of(p.Geometry.Extent()), a.of(p.Geometry.Stride), before, true
	case ReflectPad:
		return 1, 1, a.of(Size{op.Top, op.Left}), true
	case AdaptiveAvgPool:
		return in / out, in / out, 0, in%out == 0
	case GlobalAvgPool, Flatten: // one place made of the whole map
		return in, in, 0, true
	}
	return 1, 1, 0, true
}

// back returns the first and last unit of the layer's input that its units lo to hi read, padding included. Its 64 bits
// hold a position within maxField times a stride.
func (p *Placed) back(a axis, lo, hi int64) (int64, int64) {
	extent, stride, before, ok := p.window(a)
	if !ok {
		in, out := int64(a.of(Size{p.In.H, p.In.W})), int64(a.of(Size{p.Out.H, p.Out.W}))
		lo, hi = max(lo, 0), min(hi, out-1) // there are no windows beyond the map's border
		return lo * in / out, ((hi+1)*in+out-1)/out - 1
	}
	return lo*int64(stride) - int64(before), hi*int64(stride) - int64(before) + int64(extent) - 1
}

// maxField bounds receptive fields, jumps and offsets, so that the arithmetic stays exact and an int holds them.
const maxField = MaxElements

// Fields returns the receptive field of every layer. Its recurrences (Dumoulin & Visin 2016; Araujo et al. 2019),
// walked here from a layer back to the pixels:
//
//	first input unit = first unit * stride - padding
//	last input unit  = last unit * stride - padding + extent - 1
func fields(placed []Placed) ([]ReceptiveField, error) {
	fields := make([]ReceptiveField, len(placed))
	jump := struct{ H, W float64 }{1, 1}
	for i := range placed {
		p := &placed[i]
		for _, a := range []axis{rows, cols} {
			in, out := a.of(Size{p.In.H, p.In.W}), a.of(Size{p.Out.H, p.Out.W})
			f, j := &fields[i].H, &jump.H
			if a == cols {
				f, j = &fields[i].W, &jump.W
			}
			if _, stride, _, ok := p.window(a); ok {
				*j *= float64(stride)
			} else {
				*j *= float64(in) / float64(out)
			}
			first, last, ok := seen(placed[:i+1], a, 0)
			lo, hi, ok2 := seen(placed[:i+1], a, out/2)
			if !ok || !ok2 || *j > maxField {
				return nil, fmt.Errorf("layer %s: its receptive field is more than %d pixels", p.Name, int64(maxField))
			}
			*f = AxisField{Size: int(hi - lo + 1), Jump: *j, Offset: float64(first+last+1) / 2}
		}
	}
	return fields, nil
}

// seen walks back from one unit of the last layer to the first and last pixel it sees, the border ignored. ok is false
// where they are too far away.
func seen(placed []Placed, a axis, unit int) (lo, hi int64, ok bool) {
	lo, hi = int64(unit), int64(unit)
	for i := len(placed) - 1; i >= 0; i-- {
		lo, hi = placed[i].back(a, lo, hi)
		if lo < -maxField || hi > maxField {
			return 0, 0, false
		}
	}
	return lo, hi, true
}

// Box returns the input pixels that unit (x, y) of a layer sees, clipped to the image: Min inclusive, Max exclusive.
// The pixels between a dilated kernel's taps count as seen. The box is empty for a unit that sees padding alone.
func Box(placed []Placed, layer, x, y int) (image.Rectangle, error) {
	if layer < 0 || layer >= len(placed) {
		return image.Rectangle{}, fmt.Errorf("no layer has index %d", layer)
	}
	if out := placed[layer].Out; x < 0 || y < 0 || x >= out.W || y >= out.H {
		return image.Rectangle{}, fmt.Errorf("layer %s: no unit (%d, %d) in a map of %v", placed[layer].Name, y, x, out)
	}
	x0, x1, y0, y1 := int64(x), int64(x), int64(y), int64(y)
	for i := layer; i >= 0; i-- {
		p := &placed[i]
		x0, x1 = p.back(cols, x0, x1)
		y0, y1 = p.back(rows, y0, y1)
		if _, ok := p.Op.(ReflectPad); ok {
			x0, x1 = mirrored(x0, x1, p.In.W)
			y0, y1 = mirrored(y0, y1, p.In.H)
		}
		x0, x1 = max(x0, 0), min(x1, int64(p.In.W)-1)
		y0, y1 = max(y0, 0), min(y1, int64(p.In.H)-1)
		if x0 > x1 || y0 > y1 {
			return image.Rectangle{}, nil
		}
	}
	return image.Rect(int(x0), int(y0), int(x1)+1, int(y1)+1), nil
}

// mirrored is the first and the last of the n places of a map that places lo to hi beyond its borders stand for.
func mirrored(lo, hi int64, n int) (first, last int64) {
	a, b, end := int64(mirror(int(lo), n)), int64(mirror(int(hi), n)), int64(n-1)
	first, last = min(a, b), max(a, b)
	if lo <= 0 && hi >= 0 {
		first = 0
	}
	if lo <= end && hi >= end {
		last = end
	}
	return first, last
}

// Kernel is a convolution or pooling along one axis. A stride or dilation of 0 counts as 1.
type Kernel struct {
	Name     string `json:"name"`
	Size     int    `json:"size"`
	Stride   int    `json:"stride"`
	Dilation int    `json:"dilation"`
}

// FieldStep says how much of one layer's input is seen through it.
type FieldStep struct {
	Name    string `json:"name"`    // of the layer
	Formula string `json:"formula"` // "(5-1)*1+3 = 7"
	Size    int    `json:"size"`    // 7

	Kernel Kernel `json:"-"` // the layer itself
}

// fieldOf works out, in the article's way, what one unit on top of a stack of layers (bottom first) sees, from the top
// layer down:
//
//	size = (size-1)*stride + kernel
//
// Three 3x3 layers: 3, (3-1)*1+3 = 5, (5-1)*1+3 = 7. A dilated kernel counts as its extent, (k-1)*d+1.
func fieldOf(stack ...Kernel) ([]FieldStep, error) {
	var steps []FieldStep
	size := int64(1)
	for i := len(stack) - 1; i >= 0; i-- {
		k := stack[i]
		stride, dilation := max(k.Stride, 1), max(k.Dilation, 1)
		if k.Size < 1 || max(k.Size, stride, dilation) > maxWindow {
			return nil, fmt.Errorf("kernel %d of %d: size, stride and dilation must lie between 1 and %d", i+1,
				len(stack), maxWindow)
		}
		kernel := extentFormula(k.Size, dilation)
		formula := fmt.Sprintf("(%d-1)*%d+%s", size, stride, kernel)
		if len(steps) == 0 {
			formula = kernel
		}
		size = (size-1)*int64(stride) + int64(k.Size-1)*int64(dilation) + 1
		if size > maxField {
			return nil, fmt.Errorf("kernel %d of %d: the receptive field is more than %d", i+1, len(stack), int64(maxField))
		}
		if result := fmt.Sprint(size); formula != result {
			formula += " = " + result
		}
		steps = append(steps, FieldStep{Name: k.Name, Formula: formula, Size: int(size), Kernel: k})
	}
	return steps, nil
}

// stackOf is what the last of some layers looks through along its height, for fieldOf: every convolution and pooling,
// and flattening as a kernel over the whole map. ok is false where adaptive pooling's windows are uneven and no formula
// fits.
func stackOf(placed []Placed) (stack []Kernel, ok bool) {
	for i := range placed {
		p := &placed[i]
		extent, stride, _, ok := p.window(rows)
		switch {
		case !ok:
			return nil, false
		case p.Geometry != Geometry{}:
			stack = append(stack, Kernel{p.Name, p.Geometry.Kernel.H, stride, p.Geometry.Dilation.H})
		case extent > 1:
			stack = append(stack, Kernel{p.Name, extent, stride, 1})
		}
	}
	return stack, true
}
