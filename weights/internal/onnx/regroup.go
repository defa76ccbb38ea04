package onnx

import (
	"fmt"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// side resolves an axis attribute, which counts from the end where it is negative. It may be rank itself where end is
// true.
func (a *arguments) side(v int64, rank int, end bool) int {
	if v < 0 {
		v += int64(rank)
	}
	if v < 0 || v > int64(rank) || v == int64(rank) && !end {
		a.fail("axis %d of %d", v, rank)
		return 0
	}
	return int(v)
}

func (c *chain) flattenNode(a *arguments, _ []*constant) error {
	axis := a.side(a.int("axis", 1), len(c.dims), true)
	if a.err != nil {
		return a.err
	}
	c.dims = []axes{concat(c.dims[:axis]...), concat(c.dims[axis:]...)}
	c.vectorise(a)
	return nil
}

// vectorise adds the Flatten that a network has, once the sides are N and all the rest. Where it does not, the layer
// that needs a vector adds it.
func (c *chain) vectorise(a *arguments) {
	if !c.bound && len(c.first) == 4 && len(c.dims) == 2 && slices.Equal(c.dims[0], c.first[0]) &&
		slices.Equal(c.dims[1], concat(c.first[1:]...)) {
		if c.bind(c.first[0], c.first[1], c.first[2], c.first[3]) != nil {
			return
		}
	}
	if c.bound && len(c.dims) == 2 && slices.Equal(c.dims[0], c.image[0]) &&
		slices.Equal(c.dims[1], concat(c.image[1:]...)) {
		c.flatten(a)
	}
}

func (c *chain) reshapeNode(a *arguments, in []*constant) error {
	k := input(in, 1)
	if k == nil {
		return fmt.Errorf("its shape depends on the input's values")
	}
	target, err := k.list()
	if err != nil {
		return err
	}
	if len(target) > format.MaxRank {
		return fmt.Errorf("%d dimensions: the most is %d", len(target), format.MaxRank)
	}
	zeroIsZero := a.int("allowzero", 0) != 0
	if a.err != nil {
		return a.err
	}
	sizes, err := c.targetSizes(target, zeroIsZero)
	if err != nil {
		return err
	}
	if err := c.reshape(sizes); err != nil {
		return err
	}
	c.vectorise(a)
	return nil
}

// targetSizes resolves a Reshape's target: 0 is the input's side, -1 what is left over. One size may come out open.
func (c *chain) targetSizes(target []int64, zeroIsZero bool) ([]int, error) {
	sizes := make([]int, len(target))
	left, open, inferred := -1, -1, 1
	known := uint64(1)
	for i, v := range target {
		switch {
		case v == openSide:
			sizes[i] = anyBatch
		case v == 0 && !zeroIsZero:
			if i >= len(c.dims) {
				return nil, fmt.Errorf("a 0 for a side that its input lacks")
			}
			sizes[i] = c.dims[i].size()
		case v == -1:
			if left >= 0 {
				return nil, fmt.Errorf("two sides of -1")
			}
			left = i
			continue
		case v < 1 || v > arch.MaxElements:
			return nil, fmt.Errorf("a side of %d", v)
		default:
			sizes[i] = int(v)
		}
		if sizes[i] == anyBatch {
			if open >= 0 {
				return nil, fmt.Errorf("two sides that depend on the batch")
			}
			open = i
			continue
		}
		if known *= uint64(sizes[i]); known > arch.MaxElements {
			return nil, fmt.Errorf("its sides are too large")
		}
	}
	all := concat(c.dims...)
	batch := slices.ContainsFunc(all, func(x *axis) bool { return x.size == anyBatch })
	for _, x := range all {
		if x.size != anyBatch {
			inferred *= x.size
		}
	}
	switch {
	case left >= 0 && batch && open < 0:
		sizes[left] = anyBatch
	case left >= 0:
		if uint64(inferred)%known != 0 {
			return nil, fmt.Errorf("its sides do not divide the %d values of its input", inferred)
		}
		sizes[left] = inferred / int(known)
	case batch && open < 0:
		return nil, fmt.Errorf("it fixes the batch, which the graph's input leaves open")
	}
	return sizes, nil
}

// axes reads the axes of Squeeze and Unsqueeze, nil where there are none: an attribute until opset 12, then an input.
func (a *arguments) axes(in []*constant) []int64 {
	k := input(in, 1)
	if k == nil {
		return a.ints("axes")
	}
	list, err := k.list()
	if err != nil {
		a.fail("axes: %v", err)
	}
	return list
}

// marks says of each of so many axes whether it is given, which it may be once.
func (a *arguments) marks(given []int64, rank int) []bool {
	marked := make([]bool, rank)
	for _, v := range given {
		i := a.side(v, rank, false)
		if a.err == nil && marked[i] {
			a.fail("axis %d twice", i)
		}
		if a.err != nil {
			break
		}
		marked[i] = true
	}
	return marked
}

func (c *chain) squeeze(a *arguments, in []*constant) error {
	given := a.axes(in)
	gone := make([]bool, len(c.dims))
	for i, side := range c.dims {
		gone[i] = given == nil && len(side) == 0
	}
	for _, v := range given {
		if i := a.side(v, len(c.dims), false); a.err == nil {
			gone[i] = true
		}
	}
	if a.err != nil {
		return a.err
	}
	var dims []axes
	for i, side := range c.dims {
		if !gone[i] {
			dims = append(dims, side)
		} else if len(side) > 0 {
			return fmt.Errorf("axis %d has more than one value", i)
		}
	}
	c.dims = dims
	c.vectorise(a)
	return nil
}

// gather is a squeeze where it takes the one value of an axis, as x[:, :, 0, 0] of single pixels does. Anything else
// would pick values.
func (c *chain) gather(a *arguments, in []*constant) error {
	at := a.side(a.int("axis", 0), len(c.dims), false)
	if a.err != nil {
		return a.err
	}
	index := input(in, 1)
	if index == nil {
		return fmt.Errorf("what it picks depends on the input's values")
	}
	list, err := index.list()
	if err != nil {
		return err
	}
	if len(list) == 3 && len(c.dims) == 4 && (index.tensor == nil || len(index.tensor.Dims) == 1) {
		return c.turn(a, at, slices.Clone(list))
	}
	if len(c.dims[at]) > 0 || len(list) != 1 || list[0] != 0 && list[0] != -1 {
		return fmt.Errorf("it picks from its input, or puts it in another order, which no layer does")
	}
	if index.isScalar() {
		c.dims = slices.Delete(slices.Clone(c.dims), at, at+1)
		c.vectorise(a)
	}
	return nil
}

// slice turns the channels of a picture round, x[:, ::-1]; no other is a layer.
func (c *chain) slice(a *arguments, in []*constant) error {
	var lists [5][]int64 // of starts, ends, axes and steps
	for i := 1; i < min(len(in), 5); i++ {
		if in[i] == nil {
			continue
		}
		var err error
		if lists[i], err = in[i].list(); err != nil {
			return err
		}
	}
	from, to, axes, steps := lists[1], lists[2], lists[3], lists[4]
	if len(c.dims) != 4 || len(from) != 1 || len(to) != 1 || len(axes) != 1 || !slices.Equal(steps, []int64{-1}) ||
		from[0] != -1 && from[0] < 2 || to[0] >= -3 {
		return fmt.Errorf("it takes a part of its input, which no layer does")
	}
	return c.turn(a, a.side(axes[0], 4, false), []int64{2, 1, 0})
}

// turn puts the three channels of a picture in another order, as a convolution of 1x1.
func (c *chain) turn(a *arguments, at int, order []int64) error {
	if !c.bound {
		if err := c.bindPictures(); err != nil {
			return err
		}
	}
	turn := make([]float32, 9)
	for o, i := range order {
		if i < 0 {
			i += 3
		}
		order[o] = i
		if i >= 0 && i < 3 {
			turn[3*o+int(i)] = 1
		}
	}
	was := c.image
	if a.err == nil && (!isPermutation(order, 3) || !slices.Equal(c.dims[at], was[1]) || c.mapShape().C != 3) {
		return fmt.Errorf("it picks from its input: the three channels of a picture are put in order, nothing else")
	}
	weight := wire.NewTensor(a.node.Outputs[0]+" order", wire.FLOAT, []int{3, 3, 1, 1}, format.FloatBytes(turn))
	op := arch.Conv{Out: 3, Window: arch.Window{Kernel: arch.Square(1)}, NoBias: true}
	err := c.push(a, op, map[string]*param{"w": {tensor: weight}})
	for i, side := range c.dims {
		for j := range was {
			if slices.Equal(side, was[j]) {
				c.dims[i] = c.image[j]
			}
		}
	}
	return err
}

func (c *chain) unsqueeze(a *arguments, in []*constant) error {
	given := a.axes(in)
	rank := len(c.dims) + len(given)
	if rank > format.MaxRank {
		return fmt.Errorf("%d dimensions: the most is %d", rank, format.MaxRank)
	}
	isNew := a.marks(given, rank)
	if a.err != nil {
		return a.err
	}
	dims := make([]axes, rank)
	old := c.dims
	for i := range dims {
		if !isNew[i] {
			dims[i], old = old[0], old[1:]
		}
	}
	c.dims = dims
	return nil
}

func (c *chain) transpose(a *arguments, _ []*constant) error {
	perm := a.perm(len(c.dims))
	dims := make([]axes, len(perm))
	for i, from := range perm {
		dims[i] = c.dims[from]
	}
	if a.err == nil {
		c.dims = dims
	}
	return a.err
}

// perm is a Transpose's order of so many axes: backwards where it says none.
func (a *arguments) perm(rank int) []int {
	list := a.ints("perm")
	if list == nil {
		for i := range rank {
			list = append(list, int64(rank-1-i))
		}
	}
	if !isPermutation(list, rank) {
		a.fail("perm %s is no permutation of %d axes", printable.And(list), rank)
		return nil
	}
	perm := make([]int, rank)
	for i, axis := range list {
		perm[i] = int(axis)
	}
	return perm
}

// isPermutation reports whether perm has each of so many axes once.
func isPermutation(perm []int64, rank int) bool {
	for i, v := range slices.Sorted(slices.Values(perm)) {
		if int64(i) != v {
			return false
		}
	}
	return len(perm) == rank
}

// reduce is the mean, or the largest, of each map where it is over rows and columns.
func (c *chain) reduce(a *arguments, in []*constant) error {
	given := a.axes(in)
	keep := a.int("keepdims", 1) != 0
	if len(given) == 0 {
		if a.int("noop_with_empty_axes", 0) != 0 && a.err == nil {
			return nil
		}
		a.fail("it is over all axes, the images too")
	}
	gone := a.marks(given, len(c.dims))
	if a.err != nil {
		return a.err
	}
	if !c.bound {
		err := c.bindPictures()
		if d := c.dims; len(d) == 4 && gone[1] && gone[2] && !gone[3] {
			err = c.bind(d[0], d[3], d[1], d[2])
		}
		if err != nil {
			return err
		}
	}
	var over axes
	for i, side := range c.dims {
		if gone[i] {
			over = append(over, side...)
		}
	}
	pixels := concat(c.image[2:]...)
	if !over.within(pixels) || !pixels.within(over) {
		return fmt.Errorf("it is over other axes than rows and columns")
	}
	var op arch.Op = arch.GlobalAvgPool{}
	if a.node.Op == "ReduceMax" {
		op = c.wholeMaximum()
	}
	var dims []axes
	for i, side := range c.dims {
		switch {
		case !gone[i]:
			dims = append(dims, side)
		case keep:
			dims = append(dims, nil)
		}
	}
	channels := c.image[1]
	if err := c.push(a, op, nil); err != nil {
		return err
	}
	c.image[1] = channels // the same ones, wherever the tensor has them
	c.dims = dims
	return nil
}
