package format

import "github.com/vggo/vggo/arch"

// Naming is what one family of files calls a network's parameters, and how it lays them out.
type Naming struct {
	Family string            // "Keras"
	Source map[string]Source // the name of our parameter, "conv1_1/w" → where the file has it
	// Preprocess names the vision.Preprocess of the pictures that the family's networks were trained on: "caffe",
	// "caffe-rgb", "imagenet", "unit"; empty where the family tells nothing.
	Preprocess string
	// Bookkeeping knows tensors that hold no parameter and that every file of the family may have. Any other tensor that
	// is no parameter's makes the file another network's.
	Bookkeeping func(name string) bool
	Words       bool // the names tell the layer, whatever others there are; numbers count layers
	OwnHead     bool // the file's own names for the fully connected layers
	Guess       bool // made of the tensors' order and shapes
}

// Source says where a parameter's values are in a file and how they lie there.
type Source struct {
	Name   string // the file's tensor; empty: the values are these
	Fill   float32
	Values []float32 // one for each, in place of Fill
	Layout Layout
	Fold   *Folding // nil: the values are as they lie
}

// Folding is what is done to each output of a layer, (y - mean) * gamma + beta, as a part of its weights and its bias.
type Folding struct{ Mean, Gamma, Beta *Source } // nil: 0, 1, 0

// Layout is how a file lays out a parameter, against our order: O,I,H,W for a convolution, O,I for a linear layer, the
// inputs in C,H,W order. The zero Layout is ours. Values in column-major order, as MATLAB and Fortran have them, are
// row-major ones of the shape turned round: they need no copy, but Axes of their own.
type Layout struct {
	Axes  []int      // ours[i] is the file's axis Axes[i]; nil: the same order
	Flat  arch.Shape // not zero: the layer reads a map of this shape that the file's library flattens in H,W,C order
	Flip  bool       // a convolution's kernels are turned by half a circle: Theano's true convolution
	Scale float32    // of every value; 0 counts as 1
}

// TensorFlow's and Keras' layouts.
var (
	HWIO  = Layout{Axes: []int{3, 2, 0, 1}} // convolution: kernel rows, kernel columns, in, out
	InOut = Layout{Axes: []int{1, 0}}       // linear: in, out
)

// Ours is the parameter's shape with as many axes as the file's has: a linear layer written as a convolution over the
// whole map, or read as one, holds the same values in the same order.
func (l Layout) Ours(p arch.Param) []int {
	if len(l.Axes) == 2 && len(p.Shape) == 4 {
		return []int{p.Shape[0], Product(p.Shape[1:])}
	}
	return p.Shape
}

// Shape is the shape that the file must give the parameter.
func (l Layout) Shape(p arch.Param) []int {
	ours := l.Ours(p)
	if len(l.Axes) != len(ours) {
		return ours
	}
	shape := make([]int, len(ours))
	for i, axis := range l.Axes {
		shape[axis] = ours[i]
	}
	return shape
}
