package onnx

import (
	"fmt"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// An ONNX graph reshapes and transposes as it likes, a network of ours has maps in N,C,H,W order. So the chain follows
// the axes: the sides of the graph's tensor are products of axes, and so are N, C, H and W of our maps. Reshape,
// Flatten, Squeeze, Unsqueeze and Transpose only regroup the axes of the tensor; a layer is added where a node
// computes, and it can be ours if the two agree about the axes that it looks at. Until then it is open which of the
// input's axes are N, C, H and W: the first node that looks at them decides.

// axis is one index of a tensor, of two values or more: sides of 1 have no axis.
type axis struct {
	size int // anyBatch: not said
}

// anyBatch is the size of a batch that the file leaves open.
const anyBatch = -1

type axes []*axis

// size is the number of values that the axes run over, anyBatch if one of them is.
func (a axes) size() int {
	n := 1
	for _, x := range a {
		if x.size == anyBatch {
			return anyBatch
		}
		n *= x.size
	}
	return n
}

func newAxes(size int) axes {
	if size == 1 {
		return nil
	}
	return axes{{size}}
}

func (a axes) within(b axes) bool {
	return !slices.ContainsFunc(a, func(x *axis) bool { return !slices.Contains(b, x) })
}

// chain is an ONNX graph on its way to a network: what has been made of the nodes up to head.
type chain struct {
	opset     int64
	constants map[string]*constant
	sides     map[string][]int64 // of every value on the way, for Shape
	masks     map[string]bool    // of dropout, which are all true

	head string // the value that the next node must read
	dims []axes // its sides

	bound  bool
	image  [4]axes // N, C, H, W of our map at head
	layers []*layer
	pad    *wire.Node // that the next node has to take in
	bytes  bool       // the values at head are the pictures' bytes
	log    *wire.Node // after which the values are logarithms of probabilities: the end
	pads   [4]int     // its top, left, bottom, right
	grid   *grid      // of the values at head, where they are integers
	rounds bool       // some values are integers

	input  axes    // the graph's input, row by row
	first  []axes  // its sides
	placed [4]axes // N, C, H, W of our input
	shape  arch.Shape
}

// layer is a layer with where its parameters come from.
type layer struct {
	op     arch.Op
	node   *wire.Node
	params map[string]*param // by role

	fold    map[string]*param // constants that are folded into the layer's parameters
	stretch stretch           // what has been said of these, or of a batch norm that stands for constants
}

// param is a parameter's values: a tensor in some layout, or all the same number.
type param struct {
	tensor *wire.Tensor
	layout format.Layout
	fill   float32 // without a tensor
	invert bool    // the values are 1 by the tensor's
	// the values are taken from all over the tensor, or repeated, by strides of 0; nil: they are as the layout says
	picks *format.View
}

// concat joins sides to one.
func concat(sides ...axes) axes { return slices.Concat(sides...) }

// bind decides which of the input's axes are N, C, H and W. There are no layers yet that care.
func (c *chain) bind(n, ch, h, w axes) error {
	if slices.ContainsFunc(concat(ch, h, w), func(x *axis) bool { return x.size == anyBatch }) {
		return fmt.Errorf("the batch would have to be more than a number of images")
	}
	c.image = [4]axes{n, ch, h, w}
	c.placed = c.image
	c.shape = c.mapShape()
	c.bound = true
	return nil
}

// bindAnyhow does so where no node has cared.
func (c *chain) bindAnyhow() error {
	if c.bound {
		return nil
	}
	d := slices.Concat(c.dims, make([]axes, 4))
	if len(c.dims) == 1 {
		return c.bind(nil, d[0], nil, nil)
	}
	return c.bind(d[0], d[1], d[2], concat(d[3:]...))
}

// mapShape is the shape of our map at head.
func (c *chain) mapShape() arch.Shape {
	return arch.Shape{C: c.image[1].size(), H: c.image[2].size(), W: c.image[3].size()}
}

// takesImages reports whether the graph's input is a batch of pictures, or of vectors, in C,H,W or H,W,C order.
func (c *chain) takesImages() bool {
	at := func(sides ...int) bool {
		for i, side := range sides {
			if !slices.Equal(c.placed[i], c.first[side]) {
				return false
			}
		}
		return true
	}
	switch len(c.first) {
	case 2:
		return at(0, 1)
	case 4:
		return at(0, 1, 2, 3) || at(0, 3, 1, 2)
	}
	return false
}

// maps wants head to be maps in N,C,H,W order.
func (c *chain) maps() error {
	if len(c.dims) != 4 {
		return fmt.Errorf("a tensor of %d dimensions: vggo's are 2-D maps, N,C,H,W", len(c.dims))
	}
	return c.channels()
}

// channels wants the second side to be the channels.
func (c *chain) channels() error {
	if len(c.dims) < 2 {
		return fmt.Errorf("a tensor of %d dimensions has no channels", len(c.dims))
	}
	d := slices.Concat(c.dims, make([]axes, 2))
	if !c.bound {
		if err := c.bind(d[0], d[1], d[2], concat(d[3:]...)); err != nil {
			return err
		}
	}
	if !slices.Equal(d[0], c.image[0]) || !slices.Equal(d[1], c.image[1]) ||
		!slices.Equal(concat(d[2:]...), concat(c.image[2:]...)) ||
		len(c.dims) == 4 && !slices.Equal(d[2], c.image[2]) {
		return fmt.Errorf("its input is not in N,C,H,W order")
	}
	return nil
}

// push adds a layer that computes, and gives the map new axes.
func (c *chain) push(a *arguments, op arch.Op, params map[string]*param) error {
	if a.err != nil {
		return a.err
	}
	one := arch.Network{Name: "ONNX", Layers: []arch.Layer{{Name: "layer", Op: op}}}
	placed, err := one.Place(c.mapShape())
	if err != nil {
		return fmt.Errorf("%s", err.(*arch.ShapeError).Rule)
	}
	out := placed.Layers[0].Out
	c.layers = append(c.layers, &layer{op: op, node: a.node, params: params})
	c.image = [4]axes{c.image[0], newAxes(out.C), newAxes(out.H), newAxes(out.W)}
	return nil
}

// pushMaps does so for a node whose output has the sides N,C,H,W.
func (c *chain) pushMaps(a *arguments, op arch.Op, params map[string]*param) error {
	err := c.push(a, op, params)
	c.dims = slices.Clone(c.image[:])
	return err
}

// pushAlike adds a layer that leaves the axes as they are.
func (c *chain) pushAlike(a *arguments, op arch.Op, params map[string]*param) error {
	if a.err == nil {
		c.layers = append(c.layers, &layer{op: op, node: a.node, params: params})
	}
	return a.err
}

// flatten makes the map a vector.
func (c *chain) flatten(a *arguments) {
	if len(c.image[2])+len(c.image[3]) == 0 {
		return
	}
	c.image = [4]axes{c.image[0], concat(c.image[1:]...), nil, nil}
	c.layers = append(c.layers, &layer{op: arch.Flatten{}, node: a.node})
}

// features wants sides to be all of an image's values in our order or, told by hwc, in H,W,C order, and makes the map a
// vector.
func (c *chain) features(a *arguments, side axes) (hwc arch.Shape, err error) {
	ch, h, w := c.image[1], c.image[2], c.image[3]
	shape := c.mapShape()
	switch {
	case slices.Equal(side, concat(ch, h, w)):
	case slices.Equal(side, concat(h, w, ch)):
		hwc = shape
	case !side.within(concat(ch, h, w)) || len(side) != len(concat(ch, h, w)):
		return hwc, fmt.Errorf("it does not see an image's values as one vector: is a Flatten missing?")
	default:
		return hwc, fmt.Errorf("it reads the map in an order other than C,H,W and H,W,C")
	}
	c.flatten(a)
	return hwc, nil
}

// reshape regroups the axes into sides of the given sizes; one of them may be open (anyBatch).
func (c *chain) reshape(sizes []int) error {
	dims := make([]axes, len(sizes))
	open := slices.Index(sizes, anyBatch)
	rest := concat(c.dims...)
	var err error
	for i := 0; i < len(sizes) && i != open && err == nil; i++ {
		dims[i], err = c.take(&rest, sizes[i], false)
	}
	for i := len(sizes) - 1; open >= 0 && i > open && err == nil; i-- {
		dims[i], err = c.take(&rest, sizes[i], true)
	}
	if open >= 0 {
		dims[open] = rest
	}
	if err != nil {
		// Sides may cross the boundaries of the axes as long as no layer cares: then all are one.
		old := concat(c.dims...)
		if c.bound || open >= 0 || !slices.Equal(old, c.input) {
			return err
		}
		c.input = newAxes(old.size())
		rest = slices.Clone(c.input)
		for i, size := range sizes {
			if dims[i], err = c.take(&rest, size, false); err != nil {
				return err
			}
		}
	}
	if open < 0 && len(rest) > 0 {
		return fmt.Errorf("the sizes do not fit its input")
	}
	c.dims = dims
	return nil
}

// take removes axes that run over size values from the front or the back of a list, splitting one if need be.
func (c *chain) take(from *axes, size int, back bool) (axes, error) {
	var taken axes
	for size > 1 {
		if len(*from) == 0 {
			return nil, fmt.Errorf("the sizes do not fit its input")
		}
		at := 0
		if back {
			at = len(*from) - 1
		}
		x := (*from)[at]
		switch {
		case x.size == anyBatch:
			return nil, fmt.Errorf("it takes the batch apart or fixes its size")
		case size%x.size == 0:
			size /= x.size
			*from = slices.Delete(*from, at, at+1)
		case x.size%size == 0:
			outer, inner := &axis{size}, &axis{x.size / size}
			mine, other := outer, inner
			if back {
				outer.size, inner.size = inner.size, outer.size
				mine, other = inner, outer
			}
			c.split(x, outer, inner)
			(*from)[at], x = other, mine
			size = 1
		default:
			return nil, fmt.Errorf("it mixes rows and columns")
		}
		if back {
			taken = slices.Insert(taken, 0, x)
		} else {
			taken = append(taken, x)
		}
	}
	return taken, nil
}

// split puts two axes in one's place wherever it is.
func (c *chain) split(x, outer, inner *axis) {
	replace := func(a axes) axes {
		if at := slices.Index(a, x); at >= 0 {
			return slices.Concat(a[:at], axes{outer, inner}, a[at+1:])
		}
		return a
	}
	c.input = replace(c.input)
	for i := range c.dims {
		c.dims[i] = replace(c.dims[i])
	}
	for i := range c.image {
		c.image[i], c.placed[i] = replace(c.image[i]), replace(c.placed[i])
	}
}

// sizes are the sides of head, -1 for one that holds an open batch.
func (c *chain) sizes() []int64 {
	var list []int64
	for _, side := range c.dims {
		list = append(list, int64(side.size()))
	}
	return list
}

// label names a node for messages.
func label(n *wire.Node) string {
	name := n.Name
	if name == "" && len(n.Outputs) > 0 {
		name = "that makes " + n.Outputs[0]
		return fmt.Sprintf("%s (%s)", operator(n), format.Clip(name))
	}
	return fmt.Sprintf("%s %s", operator(n), format.Clip(name))
}

func operator(n *wire.Node) string {
	if n.Domain == "" || n.Domain == "ai.onnx" {
		return format.Clip(n.Op)
	}
	return format.Clip(n.Domain + "." + n.Op)
}
