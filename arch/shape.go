package arch

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ShapeError is a network that cannot exist: the layer, what it was given and the rule it breaks.
type ShapeError struct {
	Network string
	Layer   string
	In      Shape
	Rule    string
}

func (e *ShapeError) Error() string {
	if e.Layer == "" {
		return fmt.Sprintf("%s: input %v: %s", e.Network, e.In, e.Rule)
	}
	return fmt.Sprintf("%s: layer %s: input %v: %s", e.Network, e.Layer, e.In, e.Rule)
}

// MaxElements bounds every feature map, parameter tensor and padded side, so that an int holds it and its bytes are far
// from overflowing: 2^40, or 2^28 where an int has 32 bits. What multiplies them (MACs, a batch) is checked where it is
// computed.
const MaxElements = 1 << (28 + 12*(^uint(0)>>63))

// maxWindow bounds kernels, strides, dilations and padding.
const maxWindow = 1 << 20

// Geometry is a Window fitted to an input size: strides and dilation never zero, padding worked out.
type Geometry struct {
	Kernel, Stride, Dilation Size
	Top, Left, Bottom, Right int  // padding in pixels
	In, Out                  Size // input and output size
	Ceil                     bool // the output size was rounded up
}

// Extent is the span of a dilated kernel: (k-1)*d + 1.
func (g Geometry) Extent() Size {
	return Size{(g.Kernel.H-1)*g.Dilation.H + 1, (g.Kernel.W-1)*g.Dilation.W + 1}
}

// Placed is a layer with its shapes for one input size.
type Placed struct {
	Layer
	Index    int
	In, Out  Shape
	Geometry Geometry // of Conv, MaxPool, AvgPool and L2Pool
	InPlace  bool     // the output takes the input's memory: flatten, dropout, ReLU straight after what it activates
	Params   []Param  // in network order: w, b; for batch norm gamma, beta, then the statistics mean, var
}

// Param is a parameter's name and shape. Trainable is false for batch norm's running statistics.
type Param struct {
	Name          string // "conv1_1/w"
	Shape         []int  // O,I,H,W for a convolution; O,I for a linear layer; C otherwise
	FanIn, FanOut int    // of weights: kernel area times channels in, and out (Glorot & Bengio 2010); per group
	Trainable     bool
}

// Count is the number of values.
func (p Param) Count() int {
	n := 1
	for _, d := range p.Shape {
		n *= d
	}
	return n
}

// Place works out every layer's input and output shape and parameters for an input size. An impossible network is a
// *ShapeError that names the layer.
func (n *Network) Place(input Shape) (*Placement, error) {
	placing(n, input)
	fail := func(layer string, in Shape, format string, args ...any) (*Placement, error) {
		return nil, &ShapeError{Network: n.Name, Layer: layer, In: in, Rule: fmt.Sprintf(format, args...)}
	}
	if input.C < 1 || input.H < 1 || input.W < 1 {
		return fail("", input, "every dimension must be at least 1")
	}
	if !countable(input.C, input.H, input.W) {
		return fail("", input, "more than %d values", int64(MaxElements))
	}
	if len(n.Layers) == 0 {
		return fail("", input, "the network has no layers")
	}
	seen := make(map[string]bool, len(n.Layers))
	placed := make([]Placed, 0, len(n.Layers))
	in := input
	for i, layer := range n.Layers {
		switch {
		case layer.Name == "":
			return fail(fmt.Sprintf("#%d", i+1), in, "a layer needs a name")
		case !plainName(layer.Name):
			return fail(fmt.Sprintf("#%d", i+1), in, "a layer's name is at most %d printable characters without slash, not %q",
				maxName, clip(layer.Name))
		case seen[layer.Name]:
			return fail(layer.Name, in, "two layers have this name")
		case layer.Op == nil:
			return fail(layer.Name, in, "a layer needs an operation")
		}
		seen[layer.Name] = true
		p, err := place(layer, in)
		if err != nil {
			return fail(layer.Name, in, "%v", err)
		}
		p.Index = i
		p.InPlace = n.inPlace(i)
		placed = append(placed, p)
		in = p.Out
	}
	return &Placement{n, input, placed}, nil
}

// inPlace reports whether layer i may overwrite its input. ReLU may only where backward of the layer before it does not
// read that layer's own output (convolution, fully connected, batch norm); ReLU's backward reads its output's sign.
func (n *Network) inPlace(i int) bool {
	switch n.Layers[i].Op.(type) {
	case Flatten, Dropout:
		return true
	case ReLU:
		if i > 0 {
			switch n.Layers[i-1].Op.(type) {
			case Conv, Linear, BatchNorm:
				return true
			}
		}
	}
	return false
}

func place(layer Layer, in Shape) (Placed, error) {
	p := Placed{Layer: layer, In: in, Out: in}
	var err error
	switch op := layer.Op.(type) {
	case Conv:
		groups := max(op.Groups, 1)
		switch {
		case op.Out < 1:
			return p, fmt.Errorf("a convolution needs at least 1 output channel, not %d", op.Out)
		case op.Groups < 0:
			return p, fmt.Errorf("groups must be at least 1, not %d", op.Groups)
		case in.C%groups != 0:
			return p, fmt.Errorf("%d groups do not divide %d input channels", groups, in.C)
		case op.Out%groups != 0:
			return p, fmt.Errorf("%d groups do not divide %d output channels", groups, op.Out)
		case op.Ceil:
			return p, fmt.Errorf("only pooling can round its output size up")
		}
		if p.Geometry, err = op.Window.fit(Size{in.H, in.W}); err != nil {
			return p, err
		}
		p.Out = Shape{op.Out, p.Geometry.Out.H, p.Geometry.Out.W}
		k := p.Geometry.Kernel
		if !countable(op.Out, in.C/groups, k.H, k.W) {
			return p, fmt.Errorf("more than %d weights", int64(MaxElements))
		}
		area := k.H * k.W
		p.Params = weights(layer.Name, op.NoBias, area*in.C/groups, area*op.Out/groups, op.Out, in.C/groups, k.H, k.W)
	case ReflectPad:
		if min(op.Top, op.Left, op.Bottom, op.Right) < 0 || max(op.Top, op.Bottom) >= in.H || max(op.Left, op.Right) >= in.W {
			return p, fmt.Errorf("reflection's padding %s must lie between 0 and less than the map's size", op.sides())
		}
		p.Out = Shape{in.C, op.Top + in.H + op.Bottom, op.Left + in.W + op.Right}
	case MaxPool:
		if p.Geometry, err = op.Window.fitPool(Size{in.H, in.W}); err != nil {
			return p, err
		}
		p.Out = Shape{in.C, p.Geometry.Out.H, p.Geometry.Out.W}
	case AvgPool:
		if p.Geometry, err = op.Window.fitPool(Size{in.H, in.W}); err != nil {
			return p, err
		}
		p.Out = Shape{in.C, p.Geometry.Out.H, p.Geometry.Out.W}
	case L2Pool:
		if p.Geometry, err = l2Window.fit(Size{in.H, in.W}); err != nil {
			return p, err
		}
		p.Out = Shape{in.C, p.Geometry.Out.H, p.Geometry.Out.W}
	case AdaptiveAvgPool:
		if op.Out.H < 1 || op.Out.W < 1 || op.Out.H > maxWindow || op.Out.W > maxWindow {
			return p, fmt.Errorf("output size %v must lie between 1x1 and %v", op.Out, Square(maxWindow))
		}
		p.Out = Shape{in.C, op.Out.H, op.Out.W}
	case GlobalAvgPool:
		p.Out = Shape{in.C, 1, 1}
	case LRN:
		if op.Size < 1 {
			return p, fmt.Errorf("size must be at least 1, not %d", op.Size)
		}
		// Written so that NaN, which compares with nothing, is refused.
		if !(op.K > 0 && op.Alpha >= 0 && finite(op.K, op.Alpha, op.Beta)) {
			return p, fmt.Errorf("k must be positive, alpha not negative and beta finite, not %v, %v and %v", op.K,
				op.Alpha, op.Beta)
		}
	case BatchNorm:
		if !(op.Eps >= 0 && finite(op.Eps) && op.Momentum >= 0 && op.Momentum <= 1) {
			return p, fmt.Errorf("eps must not be negative and momentum must lie in [0, 1], not %v and %v", op.Eps, op.Momentum)
		}
		shape := []int{in.C}
		p.Params = []Param{
			{Name: layer.Name + "/gamma", Shape: shape, Trainable: true},
			{Name: layer.Name + "/beta", Shape: shape, Trainable: true},
			{Name: layer.Name + "/mean", Shape: shape},
			{Name: layer.Name + "/var", Shape: shape},
		}
	case Flatten:
		p.Out = Shape{in.C * in.H * in.W, 1, 1}
	case Linear:
		if op.Out < 1 {
			return p, fmt.Errorf("a fully connected layer needs at least 1 output, not %d", op.Out)
		}
		if in.H != 1 || in.W != 1 {
			return p, fmt.Errorf("a fully connected layer takes a vector: put flatten before it")
		}
		if !countable(op.Out, in.C) {
			return p, fmt.Errorf("more than %d weights", int64(MaxElements))
		}
		p.Out = Shape{op.Out, 1, 1}
		p.Params = weights(layer.Name, op.NoBias, in.C, op.Out, op.Out, in.C)
	case Dropout:
		if !(op.Keep > 0 && op.Keep <= 1) {
			return p, fmt.Errorf("keep probability must lie in (0, 1], not %v", op.Keep)
		}
	case ReLU, Softmax, Sigmoid:
	default:
		return p, fmt.Errorf("unknown operation %T", layer.Op)
	}
	if !countable(p.Out.C, p.Out.H, p.Out.W) {
		return p, fmt.Errorf("output %v has more than %d values", p.Out, int64(MaxElements))
	}
	return p, nil
}

func weights(layer string, noBias bool, fanIn, fanOut int, shape ...int) []Param {
	params := []Param{{Name: layer + "/w", Shape: shape, FanIn: fanIn, FanOut: fanOut, Trainable: true}}
	if !noBias {
		params = append(params, Param{Name: layer + "/b", Shape: shape[:1:1], Trainable: true})
	}
	return params
}

// fitPool adds pooling's own rule to fit: a window must hold at least one real pixel, so padding stays below the
// kernel, and the taps of a dilated kernel do not straddle the map.
func (w Window) fitPool(in Size) (Geometry, error) {
	g, err := w.fit(in)
	switch {
	case err != nil:
	case max(g.Top, g.Bottom) >= g.Extent().H || max(g.Left, g.Right) >= g.Extent().W:
		err = fmt.Errorf("pooling's padding must be smaller than its %v kernel", g.Extent())
	case g.Dilation.H > in.H && g.Kernel.H > 1 || g.Dilation.W > in.W && g.Kernel.W > 1:
		err = fmt.Errorf("pooling's dilation %v must not exceed its input", g.Dilation)
	}
	return g, err
}

// fit works out padding and output size:
//
//	out = floor((in + before + after - extent)/stride) + 1
//
// with ceil in place of floor for Ceil, where a last window that would start in the far padding is dropped (PyTorch).
func (w Window) fit(in Size) (Geometry, error) {
	g := Geometry{Kernel: w.Kernel, Stride: orOne(w.Stride), Dilation: orOne(w.Dilation), In: in, Ceil: w.Ceil}
	for _, s := range []struct {
		what string
		size Size
	}{{"kernel", g.Kernel}, {"stride", g.Stride}, {"dilation", g.Dilation}} {
		if s.size.H < 1 || s.size.W < 1 || s.size.H > maxWindow || s.size.W > maxWindow {
			return g, fmt.Errorf("%s %v must lie between 1x1 and %v", s.what, s.size, Square(maxWindow))
		}
	}
	if !countable(g.Kernel.H, g.Dilation.H) || !countable(g.Kernel.W, g.Dilation.W) {
		return g, fmt.Errorf("a kernel of %v with dilation %v spans more than %d pixels", g.Kernel, g.Dilation,
			int64(MaxElements))
	}
	var err error
	if g.Out.H, g.Top, g.Bottom, err = fit1(w.Pad.Mode, w.Ceil, in.H, g.Extent().H, g.Stride.H, w.Pad.Top,
		w.Pad.Bottom); err != nil {
		return g, fmt.Errorf("height: %w", err)
	}
	if g.Out.W, g.Left, g.Right, err = fit1(w.Pad.Mode, w.Ceil, in.W, g.Extent().W, g.Stride.W, w.Pad.Left,
		w.Pad.Right); err != nil {
		return g, fmt.Errorf("width: %w", err)
	}
	return g, nil
}

func fit1(mode PadMode, ceil bool, in, extent, stride, before, after int) (out, padBefore, padAfter int, err error) {
	switch mode {
	case Same:
		out = (in + stride - 1) / stride
		total := max(0, (out-1)*stride+extent-in)
		return out, total / 2, total - total/2, nil
	case Valid:
		before, after = 0, 0
	case Explicit:
		if before < 0 || after < 0 || before > maxWindow || after > maxWindow {
			return 0, 0, 0, fmt.Errorf("padding %d, %d must lie between 0 and %d", before, after, maxWindow)
		}
	default:
		return 0, 0, 0, fmt.Errorf("unknown padding mode %d", mode)
	}
	span := in + before + after - extent
	if span < 0 {
		return 0, 0, 0, fmt.Errorf("a kernel of %d is larger than its padded input of %d", extent, in+before+after)
	}
	out = span/stride + 1
	if ceil && span%stride != 0 && out*stride < in+before {
		out++
	}
	return out, before, after, nil
}

func orOne(s Size) Size {
	s.H = cmp.Or(s.H, 1)
	s.W = cmp.Or(s.W, 1)
	return s
}

// maxName bounds a layer's name, which messages, tables and pictures repeat.
const maxName = 64

// plainName reports whether a layer's name can be printed as it stands and leaves a parameter's slash unmistakable.
func plainName(name string) bool {
	return len(name) <= maxName && prints(name) && !strings.Contains(name, "/")
}

// FitName makes a layer's name of a name from elsewhere: slashes and colons become dots, what cannot be printed, and
// spaces, become underscores, and of a long one the end is kept, which leaves room for a number and a suffix. otherwise
// is for one of which nothing is left.
func FitName(name, otherwise string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(`/:\`, r):
			return '.'
		case r <= ' ' || !unicode.IsGraphic(r) || unicode.IsSpace(r):
			return '_'
		}
		return r
	}, strings.ToValidUTF8(name, "_"))
	name = strings.Trim(name, ".")
	for len(name) > maxName*3/4 {
		_, size := utf8.DecodeRuneInString(name)
		name = name[size:]
	}
	if name == "" {
		return otherwise
	}
	return name
}

// prints reports whether a text from a stranger is safe for a terminal: no line breaks, no escapes.
func prints(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) })
}

func finite(values ...float64) bool {
	for _, v := range values {
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return false
		}
	}
	return true
}

// countable reports whether the product stays within MaxElements.
func countable(dims ...int) bool {
	product := uint64(1)
	for _, d := range dims {
		hi, lo := bits.Mul64(product, uint64(d))
		if hi != 0 || lo > MaxElements {
			return false
		}
		product = lo
	}
	return true
}

// Layer is the part of the name before the slash: "conv1_1".
func (p Param) Layer() string { layer, _, _ := strings.Cut(p.Name, "/"); return layer }

// Role is the part of the name after the slash: "w", "b", "gamma", "beta", "mean" or "var".
func (p Param) Role() string { _, role, _ := strings.Cut(p.Name, "/"); return role }
