package arch

// Taps is what one unit of a layer reads of the layer's input along one axis: Count places, the first at Start and each
// Step further on. The real ones, which lie on the map, are First to Last-1; the others lie in the padding, or where a
// size that was rounded up lets the last window hang over the edge.
type Taps struct {
	Start, Step, Count int
	First, Last        int
	// Divisor is this axis's part of what average pooling divides a sum by: the real taps, with CountPad those in the
	// padding too, and never those that hang over (PyTorch's avg_pool2d). The whole divisor is that of the rows times that
	// of the columns.
	Divisor int
}

// At is the place that a tap reads, and whether it lies on the map.
func (t Taps) At(tap int) (place int, real bool) {
	return t.Start + tap*t.Step, t.First <= tap && tap < t.Last
}

// Taps says what the unit in row i and column j of a layer's output reads of each map that it looks at. A convolution
// and a pooling read their window, padding by reflection the place of which its own is the mirror image; adaptive
// pooling reads rows floor(i*H/h) to ceil((i+1)*H/h)-1 of H for h outputs (PyTorch's adaptive_avg_pool2d), global
// pooling all of them; any other layer reads the place of the unit itself.
func (p *Placed) Taps(i, j int) (rows, cols Taps) {
	g := p.Geometry
	switch op := p.Op.(type) {
	case Conv, MaxPool, L2Pool:
		return taps(i, g.Kernel.H, g.Stride.H, g.Dilation.H, g.Top, g.Bottom, g.In.H, false),
			taps(j, g.Kernel.W, g.Stride.W, g.Dilation.W, g.Left, g.Right, g.In.W, false)
	case AvgPool:
		return taps(i, g.Kernel.H, g.Stride.H, g.Dilation.H, g.Top, g.Bottom, g.In.H, op.CountPad),
			taps(j, g.Kernel.W, g.Stride.W, g.Dilation.W, g.Left, g.Right, g.In.W, op.CountPad)
	case ReflectPad:
		i, j = mirror(i-op.Top, p.In.H), mirror(j-op.Left, p.In.W)
	case AdaptiveAvgPool, GlobalAvgPool:
		return stretch(i, p.In.H, p.Out.H), stretch(j, p.In.W, p.Out.W)
	}
	return Taps{Start: i, Step: 1, Count: 1, Last: 1, Divisor: 1}, Taps{Start: j, Step: 1, Count: 1, Last: 1, Divisor: 1}
}

// taps are those of a window: place i*stride - before and those dilation apart from it.
func taps(i, kernel, stride, dilation, before, after, in int, countPad bool) Taps {
	t := Taps{Start: i*stride - before, Step: dilation, Count: kernel}
	below := func(end int) int { // how many taps lie before a place
		return min(max((end-t.Start+dilation-1)/dilation, 0), kernel)
	}
	if t.Start < 0 {
		t.First = below(0)
	}
	t.Last = max(below(in), t.First)
	t.Divisor = t.Last - t.First
	if countPad {
		t.Divisor = below(in + after)
	}
	return t
}

// mirror is the place of n that another is the mirror image of, for one less than n beyond a border.
func mirror(place, n int) int {
	switch {
	case place < 0:
		return -place
	case place >= n:
		return 2*(n-1) - place
	}
	return place
}

// stretch is the i-th of out stretches that cover in places; neighbours overlap where out does not divide in.
func stretch(i, in, out int) Taps {
	from, to := i*in/out, ((i+1)*in+out-1)/out
	return Taps{Start: from, Step: 1, Count: to - from, Last: to - from, Divisor: to - from}
}

// Neighbours are the first and the last of the channels that the normalisation of channel c adds up: Size of them, of
// which an even Size looks one further down than up (torch.nn.LocalResponseNorm), cut off at the first and the last
// channel.
func (l LRN) Neighbours(c, channels int) (first, last int) {
	return max(c-l.Size/2, 0), min(c+(l.Size-1)/2, channels-1)
}
