package format

import (
	"cmp"
	"runtime"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/fault"
	"github.com/vggo/vggo/internal/parallel"
)

// Layout is how a file lays out a parameter, against our order: O,I,H,W for a convolution, O,I for a linear layer, the
// inputs in C,H,W order. The zero Layout is ours. Values in column-major order, as MATLAB and Fortran have them, are
// row-major ones of the shape turned round: they need no copy, but Axes of their own.
type Layout struct {
	Axes  []int      // ours[i] is the file's axis Axes[i]; nil: the same order
	Flat  arch.Shape // not zero: the layer reads a map of this shape that the file's library flattens in H,W,C order
	Head  bool       // a linear layer is a convolution over the map Flat in the file, or else over a pixel
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
	switch {
	case len(l.Axes) == 2 && len(p.Shape) == 4:
		return []int{p.Shape[0], Product(p.Shape[1:])}
	case l.Head && len(p.Shape) == 2:
		read := cmp.Or(l.Flat, arch.Shape{C: p.Shape[1], H: 1, W: 1})
		return []int{p.Shape[0], read.C, read.H, read.W}
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

// inOrder reports whether the file's axes are in our order.
func (l Layout) inOrder() bool { return l.Axes == nil || slices.IsSorted(l.Axes) }

// IsOurs reports whether values lie in the file as we have them.
func (l Layout) IsOurs() bool {
	return l.inOrder() && l.Flat == (arch.Shape{}) && !l.Flip && (l.Scale == 0 || l.Scale == 1)
}

// Arrange puts a parameter's values in our order. Where the file has them so already, data itself is returned.
func (l Layout) Arrange(data []float32, p arch.Param) ([]float32, error) {
	if l.IsOurs() {
		return data, nil
	}
	ours := l.Ours(p)
	// strides of the file's axes, in our order of axes
	file := l.Shape(p)
	step := make([]int, len(file))
	for i, n := len(file)-1, 1; i >= 0; i-- {
		step[i] = n
		n *= file[i]
	}
	strides := slices.Clone(step)
	if !l.inOrder() {
		for i, axis := range l.Axes {
			strides[i] = step[axis]
		}
	}
	rows, inputs := ours[0], 1
	if len(ours) > 1 {
		inputs = Product(ours[1:])
	}
	at := l.inputs(ours, strides, inputs)
	scale := l.Scale
	scale = cmp.Or(scale, 1)
	out := make([]float32, len(data))
	return out, gather(out, data, rows, strides[0], at, scale)
}

// inputs lists where the values that one output unit reads lie in the file, in our order, from the unit's first.
func (l Layout) inputs(ours, strides []int, n int) []int {
	at := make([]int, 0, n)
	var walk func(axis, from int)
	walk = func(axis, from int) {
		if axis == len(ours) {
			at = append(at, from)
			return
		}
		for i := range ours[axis] {
			j := i
			if axis > 1 && l.Flip {
				j = ours[axis] - 1 - i
			}
			walk(axis+1, from+j*strides[axis])
		}
	}
	walk(1, 0)
	if l.Head || l.Flat == (arch.Shape{}) {
		return at
	}
	reordered := make([]int, 0, n) // ours C,H,W takes the file's H,W,C
	for c := range l.Flat.C {
		for pixel := range l.Flat.H * l.Flat.W {
			reordered = append(reordered, at[pixel*l.Flat.C+c])
		}
	}
	return reordered
}

// gather is out[r][i] = scale*data[r*stride + at[i]] for r < rows. It goes by tiles, each of which reads and writes few
// enough cache lines: VGG-16's fc6 is a transposition of 411 MB.
func gather(out, data []float32, rows, stride int, at []int, scale float32) error {
	const tile = 64
	faults := make([]error, (rows+tile-1)/tile)
	parallel.Each(runtime.GOMAXPROCS(0), len(faults), func(task int) {
		top := task * tile
		faults[task] = fault.Catch(func() error {
			for left := 0; left < len(at); left += tile {
				part := at[left:min(left+tile, len(at))]
				for r := top; r < min(top+tile, rows); r++ {
					to := out[r*len(at)+left:][:len(part)]
					from := data[r*stride:]
					for i, p := range part {
						to[i] = scale * from[p]
					}
				}
			}
			return nil
		})
	})
	return cmp.Or(faults...)
}
