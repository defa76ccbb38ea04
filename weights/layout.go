package weights

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/fault"
)

// source says where a parameter's values are in a file and how they lie there.
type source struct {
	name   string // the file's tensor; empty: the values are these
	fill   float32
	values []float32 // one for each, in place of fill
	layout layout
	fold   *folding // nil: the values are as they lie
}

// folding is what is done to each output of a layer, (y - mean) * gamma + beta, as a part of its weights and its bias.
type folding struct{ mean, gamma, beta *source } // nil: 0, 1, 0

// layout is how a file lays out a parameter, against our order: O,I,H,W for a convolution, O,I for a linear layer, the
// inputs in C,H,W order. The zero layout is ours.
type layout struct {
	axes  []int      // ours[i] is the file's axis axes[i]; nil: the same order
	flat  arch.Shape // not zero: the layer reads a map of this shape that the file's library flattens in H,W,C order
	flip  bool       // a convolution's kernels are turned by half a circle: Theano's true convolution
	scale float32    // of every value; 0 counts as 1
}

// TensorFlow's and Keras' layouts.
var (
	hwio  = layout{axes: []int{3, 2, 0, 1}} // convolution: kernel rows, kernel columns, in, out
	inOut = layout{axes: []int{1, 0}}       // linear: in, out
)

// ours is the parameter's shape with as many axes as the file's has: a linear layer written as a convolution over the
// whole map, or read as one, holds the same values in the same order.
func (l layout) ours(p arch.Param) []int {
	if len(l.axes) == 2 && len(p.Shape) == 4 {
		return []int{p.Shape[0], product(p.Shape[1:])}
	}
	return p.Shape
}

// shape is the shape that the file must give the parameter.
func (l layout) shape(p arch.Param) []int {
	ours := l.ours(p)
	if len(l.axes) != len(ours) {
		return ours
	}
	shape := make([]int, len(ours))
	for i, axis := range l.axes {
		shape[axis] = ours[i]
	}
	return shape
}

// arrange puts a parameter's values in our order. Where the file has them so already, data itself is returned.
func (l layout) arrange(data []float32, p arch.Param) ([]float32, error) {
	ours := l.ours(p)
	inOrder := l.axes == nil || slices.IsSorted(l.axes)
	if inOrder && l.flat == (arch.Shape{}) && !l.flip && (l.scale == 0 || l.scale == 1) {
		return data, nil
	}
	// strides of the file's axes, in our order of axes
	file := l.shape(p)
	step := make([]int, len(file))
	for i, n := len(file)-1, 1; i >= 0; i-- {
		step[i] = n
		n *= file[i]
	}
	strides := slices.Clone(step)
	if !inOrder {
		for i, axis := range l.axes {
			strides[i] = step[axis]
		}
	}
	rows, inputs := ours[0], 1
	if len(ours) > 1 {
		inputs = product(ours[1:])
	}
	at := l.inputs(ours, strides, inputs)
	scale := l.scale
	if scale == 0 {
		scale = 1
	}
	out := make([]float32, len(data))
	return out, gather(out, data, rows, strides[0], at, scale)
}

// inputs lists where the values that one output unit reads lie in the file, in our order, from the unit's first.
func (l layout) inputs(ours, strides []int, n int) []int {
	at := make([]int, 0, n)
	var walk func(axis, from int)
	walk = func(axis, from int) {
		if axis == len(ours) {
			at = append(at, from)
			return
		}
		for i := range ours[axis] {
			j := i
			if axis > 1 && l.flip {
				j = ours[axis] - 1 - i
			}
			walk(axis+1, from+j*strides[axis])
		}
	}
	walk(1, 0)
	if l.flat == (arch.Shape{}) {
		return at
	}
	reordered := make([]int, 0, n) // ours C,H,W takes the file's H,W,C
	for c := range l.flat.C {
		for pixel := range l.flat.H * l.flat.W {
			reordered = append(reordered, at[pixel*l.flat.C+c])
		}
	}
	return reordered
}

// gather is out[r][i] = scale*data[r*stride + at[i]] for r < rows. It goes by tiles, each of which reads and writes few
// enough cache lines: VGG-16's fc6 is a transposition of 411 MB.
func gather(out, data []float32, rows, stride int, at []int, scale float32) error {
	const tile = 64
	var tasks sync.WaitGroup
	var next atomic.Int64
	faults := make([]error, runtime.GOMAXPROCS(0))
	for worker := range faults {
		tasks.Go(func() {
			faults[worker] = fault.Catch(func() error {
				for top := int(next.Add(tile)) - tile; top < rows; top = int(next.Add(tile)) - tile {
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
				}
				return nil
			})
		})
	}
	tasks.Wait()
	return errors.Join(faults...)
}
