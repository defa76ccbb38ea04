package page

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/tensor"
)

// maxTerms is how many products of a fully connected layer are told one by one.
const maxTerms = 12

// maxPatch is the most places of a window that are told one by one.
const maxPatch = 256

// working is how a cell comes about, from what its group reads.
type working struct {
	*Visit
	c     *Cell
	input *tensor.Tensor
}

// first works out the group's first layer.
func (w *working) first(p *arch.Placed, in int) error {
	c := w.c
	switch op := p.Op.(type) {
	case arch.Conv:
		return w.conv(p, op, in)
	case arch.Linear:
		return w.linear(p)
	case arch.MaxPool:
		c.Result = math.Inf(-1)
		w.window(p, c.Channel, func(x float64) { c.Result = max(c.Result, x) })
	case arch.AvgPool, arch.AdaptiveAvgPool, arch.GlobalAvgPool:
		rows, cols := p.Taps(c.Y, c.X)
		c.Divisor = rows.Divisor * cols.Divisor
		w.window(p, c.Channel, func(x float64) { c.Sum += x })
		c.Result = c.Sum / float64(c.Divisor)
	case arch.L2Pool:
		w.l2pool(p)
	case arch.ReflectPad:
		rows, cols := p.Taps(c.Y, c.X)
		w.source(c.Channel, rows.Start, cols.Start)
	case arch.LRN:
		w.source(c.Channel, c.Y, c.X)
		n := &LRN{Size: op.Size, Alpha: op.Alpha, Beta: op.Beta, K: op.K}
		n.First, n.Last = op.Neighbours(c.Channel, w.input.C)
		for channel := n.First; channel <= n.Last; channel++ {
			x := float64(w.input.At(0, channel, c.Y, c.X))
			n.Squares += x * x
		}
		c.LRN = n
		c.Result = float64(c.Source.Value) * math.Pow(op.K+op.Alpha/float64(op.Size)*n.Squares, -op.Beta)
	case arch.Flatten:
		pixels := w.input.H * w.input.W
		w.source(c.Channel/pixels, c.Channel%pixels/w.input.W, c.Channel%w.input.W)
	case arch.BatchNorm, arch.ReLU:
		w.source(c.Channel, c.Y, c.X)
		return w.others([]string{p.Name})
	case arch.Sigmoid:
		w.source(c.Channel, c.Y, c.X)
		c.Result = 1 / (1 + math.Exp(-c.Result))
	case arch.Softmax:
		w.softmax()
	default:
		c.Worked = false
	}
	return nil
}

// l2pool is the root of a weighted mean of squares (arch.L2Pool); its weights are told as a convolution's are.
func (w *working) l2pool(p *arch.Placed) {
	c := w.c
	w.window(p, c.Channel, func(float64) {})
	hann := [3]float32{0.25, 0.5, 0.25}
	for r, row := range c.Patch {
		line := make([]float32, len(row))
		for q, x := range row {
			line[q] = hann[r] * hann[q]
			if x != nil {
				c.Sum += float64(line[q]) * float64(*x) * float64(*x)
			}
		}
		c.Weights = append(c.Weights, line)
	}
	c.Result = math.Sqrt(c.Sum + 1e-12)
}

// softmax compares the cell with the same place of all other channels, of which the largest is taken from each.
func (w *working) softmax() {
	c := w.c
	w.source(c.Channel, c.Y, c.X)
	s := &Softmax{Max: math.Inf(-1)}
	for channel := range w.input.C {
		s.Max = max(s.Max, float64(w.input.At(0, channel, c.Y, c.X)))
	}
	for channel := range w.input.C {
		s.Sum += math.Exp(float64(w.input.At(0, channel, c.Y, c.X)) - s.Max)
	}
	c.Softmax = s
	c.Result = math.Exp(float64(c.Source.Value)-s.Max) / s.Sum
}

// source makes one number of the input the result so far.
func (w *working) source(channel, y, x int) {
	w.c.Source = &Source{channel, y, x, w.input.At(0, channel, y, x)}
	w.c.Result = float64(w.c.Source.Value)
}

// window sets the window's place and what it covers of a channel of the input, and calls do for each value on the map.
func (w *working) window(p *arch.Placed, channel int, do func(float64)) {
	c := w.c
	rows, cols := p.Taps(c.Y, c.X)
	c.Window = &Window{Top: rows.Start, Left: cols.Start, Kernel: arch.Size{H: rows.Count, W: cols.Count},
		Dilation: arch.Size{H: rows.Step, W: cols.Step}, Real: (rows.Last - rows.First) * (cols.Last - cols.First)}
	told := rows.Count*cols.Count <= maxPatch
	for r := range rows.Count {
		line := make([]*float32, 0, cols.Count)
		for q := range cols.Count {
			x := w.under(rows, cols, channel, r, q)
			line = append(line, x)
			if x != nil {
				do(float64(*x))
			}
		}
		if told {
			c.Patch = append(c.Patch, line)
		}
	}
}

// under is the input under one tap of the window; nil in the padding.
func (w *working) under(rows, cols arch.Taps, channel, r, q int) *float32 {
	y, rowReal := rows.At(r)
	x, colReal := cols.At(q)
	if !rowReal || !colReal {
		return nil
	}
	return &w.input.Data[(channel*w.input.H+y)*w.input.W+x]
}

// filter is the weights of the cell's channel, and its bias, which is nil where there is none.
func (w *working) filter(p *arch.Placed) (weights []float32, bias *float32, err error) {
	of, b := params(p)
	each := of.Count() / of.Shape[0]
	channel := w.c.Channel
	if weights, err = w.Model.Values(of.Name, channel*each, (channel+1)*each); err != nil || b == nil {
		return weights, nil, err
	}
	one, err := w.Model.Values(b.Name, channel, channel+1)
	if err != nil {
		return nil, nil, err
	}
	return weights, &one[0], nil
}

// conv adds up a convolution: the sum over input channels and taps of weight times input, and the bias.
func (w *working) conv(p *arch.Placed, op arch.Conv, in int) error {
	c := w.c
	groups := max(op.Groups, 1)
	c.Inputs = p.In.C / groups
	c.FirstIn = c.Channel / (p.Out.C / groups) * c.Inputs
	if in != MostAdding && (in < c.FirstIn || in >= c.FirstIn+c.Inputs) {
		return &AskError{fmt.Sprintf("map %d of %s reads maps %d to %d, not %d", c.Channel, p.Name, c.FirstIn,
			c.FirstIn+c.Inputs-1, in)}
	}
	filter, bias, err := w.filter(p)
	if err != nil {
		return err
	}
	rows, cols := p.Taps(c.Y, c.X)
	area := rows.Count * cols.Count
	for i := range c.Inputs {
		sum := 0.0
		for r := rows.First; r < rows.Last; r++ {
			for q := cols.First; q < cols.Last; q++ {
				sum += float64(filter[i*area+r*cols.Count+q]) * float64(*w.under(rows, cols, c.FirstIn+i, r, q))
			}
		}
		c.Sums = append(c.Sums, sum)
		c.Sum += sum
	}
	c.In = in
	if in == MostAdding {
		most := 0
		for i, s := range c.Sums {
			if math.Abs(s) > math.Abs(c.Sums[most]) {
				most = i
			}
		}
		c.In = c.FirstIn + most
	}
	w.window(p, c.In, func(float64) {})
	for r := range c.Patch {
		c.Weights = append(c.Weights, filter[(c.In-c.FirstIn)*area+r*cols.Count:][:cols.Count])
	}
	c.addBias(bias)
	return nil
}

func (c *Cell) addBias(bias *float32) {
	if bias != nil {
		c.Bias = bias
		c.Sum += float64(*bias)
	}
	c.Result = c.Sum
}

// linear adds up a fully connected layer, and tells its largest products.
func (w *working) linear(p *arch.Placed) error {
	c := w.c
	filter, bias, err := w.filter(p)
	if err != nil {
		return err
	}
	c.Inputs = len(filter)
	all := make([]Term, len(filter))
	for i, weight := range filter {
		all[i] = Term{i, w.input.Data[i], weight}
		c.Sum += float64(weight) * float64(w.input.Data[i])
	}
	size := func(t Term) float64 { return math.Abs(float64(t.Input) * float64(t.Weight)) }
	slices.SortStableFunc(all, func(a, b Term) int { return cmp.Compare(size(b), size(a)) })
	c.Terms = all[:min(maxTerms, len(all))]
	for _, t := range all[len(c.Terms):] {
		c.Rest += float64(t.Input) * float64(t.Weight)
	}
	w.addsOfMaps(filter)
	c.addBias(bias)
	return nil
}

// addsOfMaps tells what each map adds to a fully connected layer's number, if the layer's inputs are maps, laid end to
// end or each pooled to one number: those of the last layer before it that has more than a number for each channel.
func (w *working) addsOfMaps(filter []float32) {
	i, _ := w.Group(w.c.Layer)
	for i--; i >= 0; i-- {
		g := w.Groups[i]
		if g.Out.H*g.Out.W > 1 {
			w.c.Maps, w.c.Adds = g.Layers[0], make([]float64, g.Out.C)
			each := len(filter) / g.Out.C
			for j, weight := range filter {
				w.c.Adds[j/each] += float64(weight) * float64(w.input.Data[j])
			}
			return
		}
		first, err := w.layer(g.Layers[0])
		if err != nil {
			return
		}
		switch first.Op.(type) {
		case arch.Conv, arch.Linear: // what it makes is of all maps before it
			return
		}
	}
}

// others goes on with what is computed together with the first layer: batch norm and ReLU.
func (w *working) others(layers []string) error {
	c := w.c
	for _, name := range layers {
		p, err := w.layer(name)
		if err != nil {
			return err
		}
		switch op := p.Op.(type) {
		case arch.BatchNorm:
			var value [4]float32
			for i, role := range []string{"gamma", "beta", "mean", "var"} {
				one, err := w.Model.Values(name+"/"+role, c.Channel, c.Channel+1)
				if err != nil {
					return err
				}
				value[i] = one[0]
			}
			n := &Norm{In: c.Result, Gamma: value[0], Beta: value[1], Mean: value[2], Variance: value[3], Epsilon: op.Epsilon()}
			n.Out = float64(n.Gamma)*(n.In-float64(n.Mean))/math.Sqrt(float64(n.Variance)+n.Epsilon) + float64(n.Beta)
			c.Norm, c.Result = n, n.Out
		case arch.ReLU:
			c.ReLU = true
			c.Result = max(c.Result, 0)
		default: // pooling that was computed with a convolution, or what is not known here
			c.Worked = false
		}
	}
	return nil
}
