package onnx

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/weights/internal/format"
)

// Constants that a graph adds to its values or multiplies them by are (x - mean) * gamma + beta. Behind a convolution
// or a fully connected layer that goes into its weights and its bias; elsewhere it is a batch norm with a variance of
// 1.

// stretch says how much of that has been said: the three come in this order.
type stretch int

const (
	noStretch stretch = iota
	shifted           // its mean
	scaled            // its gamma
	complete          // its beta
)

// add adds a constant, subtract takes one away or is taken away from one.
func (c *chain) add(a *arguments, in []*constant) error {
	return c.addConstant(a, cmp.Or(in[0], in[1]), 1)
}

func (c *chain) subtract(a *arguments, in []*constant) error {
	if in[1] != nil {
		return c.addConstant(a, in[1], -1)
	}
	if err := c.bindPictures(); err != nil {
		return err
	}
	if err := c.pushStretch(a, scaled, map[string]*param{"gamma": {fill: -1}}); err != nil {
		return err
	}
	return c.addConstant(a, in[0], 1)
}

// multiply multiplies by a constant, divide divides by one.
func (c *chain) multiply(a *arguments, in []*constant) error {
	return c.multiplyConstant(a, cmp.Or(in[0], in[1]), false)
}

func (c *chain) divide(a *arguments, in []*constant) error {
	if in[1] == nil {
		return fmt.Errorf("it divides a constant by its input")
	}
	return c.multiplyConstant(a, in[1], true)
}

// addConstant adds scale times a constant, which is broadcast to the sides of head.
func (c *chain) addConstant(a *arguments, k *constant, scale float32) error {
	p, err := c.byChannel(a, k)
	if err != nil {
		return err
	}
	p.layout.Scale = scale
	before := c.last()
	switch {
	case before.stretch == noStretch && before.lacksBias():
		before.setBias(p)
		return nil
	case before.stretch == scaled:
		if before.lacksBias() {
			before.setBias(&param{})
		}
		before.say("beta", p, complete)
		return nil
	}
	p.layout.Scale = -scale
	if before.folds() && before.stretch == noStretch {
		before.say("mean", p, shifted)
		return nil
	}
	return c.pushStretch(a, shifted, map[string]*param{"mean": p})
}

func (c *chain) multiplyConstant(a *arguments, k *constant, invert bool) error {
	p, err := c.byChannel(a, k)
	if err != nil {
		return err
	}
	p.invert = invert
	if before := c.last(); before.stretch == shifted || before.stretch == noStretch && before.folds() {
		before.say("gamma", p, scaled)
		return nil
	}
	return c.pushStretch(a, scaled, map[string]*param{"gamma": p})
}

// folds reports whether a layer takes constants into its parameters.
func (l *layer) folds() bool {
	switch l.op.(type) {
	case arch.Conv, arch.Linear:
		return true
	}
	return false
}

// say takes a constant in.
func (l *layer) say(role string, p *param, s stretch) {
	l.stretch = s
	if !l.folds() {
		l.params[role] = p
		return
	}
	if l.fold == nil {
		l.fold = map[string]*param{}
	}
	l.fold[role] = p
}

func (l *layer) lacksBias() bool {
	switch op := l.op.(type) {
	case arch.Conv:
		return op.NoBias
	case arch.Linear:
		return op.NoBias
	}
	return false
}

func (l *layer) setBias(p *param) {
	switch op := l.op.(type) {
	case arch.Conv:
		op.NoBias = false
		l.op = op
	case arch.Linear:
		op.NoBias = false
		l.op = op
	}
	l.params["b"] = p
}

// last is the layer made last; one that does nothing where there is none.
func (c *chain) last() *layer {
	if len(c.layers) == 0 {
		return new(layer)
	}
	return c.layers[len(c.layers)-1]
}

// pushStretch adds a batch norm. What is not said of it changes nothing.
func (c *chain) pushStretch(a *arguments, s stretch, said map[string]*param) error {
	if count := c.mapShape().C; count > maxRepeated {
		return fmt.Errorf("a constant for each of %d channels: the most is %d", count, maxRepeated)
	}
	params := map[string]*param{"gamma": {fill: 1}, "beta": {}, "mean": {}, "var": {fill: 1}}
	for role, p := range said {
		params[role] = p
	}
	err := c.pushAlike(a, arch.Constants(), params)
	c.last().stretch = s
	return err
}

// byChannel is a constant that is broadcast to the sides of head, as a value for each channel of our map. Where it has
// other values in other places, the map becomes a vector.
func (c *chain) byChannel(a *arguments, k *constant) (*param, error) {
	if k.tensor == nil {
		return nil, fmt.Errorf("it computes with what is no tensor of the file")
	}
	p, dims, err := weightOf(k, len(k.tensor.Dims))
	if err != nil {
		return nil, err
	}
	skip := len(c.dims) - len(dims)
	if skip < 0 {
		return nil, fmt.Errorf("it joins a tensor of %d dimensions to one of %d", len(dims), len(c.dims))
	}
	// strides of the tensor by axis, for the sides that it does not repeat
	strides := map[*axis]int{}
	first, last := len(c.dims), -1
	for i, stride := len(dims)-1, 1; i >= 0; i-- {
		side := c.dims[skip+i]
		if dims[i] == 1 {
			continue
		}
		if dims[i] != side.size() {
			return nil, fmt.Errorf("it joins a tensor of shape %s to one of %s", printable.Shape(dims),
				printable.Shape(c.sizes()))
		}
		for j := len(side) - 1; j >= 0; j-- {
			strides[side[j]] = stride
			stride *= side[j].size
		}
		first, last = skip+i, max(last, skip+i)
	}
	if !c.bound {
		if err := c.bindFor(first, last); err != nil {
			return nil, err
		}
	}
	covered := func(a axes) bool { return slices.ContainsFunc(a, func(x *axis) bool { return strides[x] != 0 }) }
	if covered(c.image[0]) {
		return nil, fmt.Errorf("it joins other values to each image")
	}
	if covered(concat(c.image[2:]...)) {
		c.flatten(a)
	}
	picks := &format.View{DType: dtypes[k.tensor.Type]}
	for _, x := range c.image[1] {
		picks.Size = append(picks.Size, x.size)
		picks.Stride = append(picks.Stride, strides[x])
	}
	count := c.mapShape().C
	if values := format.Product(dims); values != count && count > maxRepeated {
		return nil, fmt.Errorf("%d values are repeated to %d: the most is %d", values, count, maxRepeated)
	}
	if len(dims) != 1 || dims[0] != count {
		p.picks = picks
	}
	return p, nil
}

// bindFor makes the sides from first to last the channels, those before them the batch. Of pictures their own order
// tells.
func (c *chain) bindFor(first, last int) error {
	if last < 0 || len(c.dims) == 4 && slices.EqualFunc(c.dims, c.first, slices.Equal[axes]) {
		return c.bindPictures()
	}
	d := slices.Concat(c.dims[last+1:], make([]axes, 2))
	return c.bind(concat(c.dims[:first]...), concat(c.dims[first:last+1]...), d[0], concat(d[1:]...))
}

// bindPictures binds what no layer has cared about: N,H,W,C where the last side alone can be a picture's channels, else
// N,C,H,W.
func (c *chain) bindPictures() error {
	if d := c.dims; !c.bound && len(d) == 4 && channelsLast([]int64{int64(d[0].size()), int64(d[1].size()),
		int64(d[2].size()), int64(d[3].size())}) {
		return c.bind(d[0], d[3], d[1], d[2])
	}
	return c.bindAnyhow()
}

// channelsLast reports whether four sides are N,H,W,C: the last one, and not the second, is what pictures have.
func channelsLast(sides []int64) bool {
	pictures := func(n int64) bool { return n == 1 || n == 3 }
	return pictures(sides[3]) && !pictures(sides[1])
}
