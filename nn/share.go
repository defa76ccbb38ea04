package nn

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/vggo/vggo/internal/kernel"
)

// Share is a training Plan's place in a batch that several Plans learn from together: the same network and parameters,
// as many images each, every Plan in a process of its own. The zero value is a Plan that has the whole batch.
//
// A Plan's gradients are those of its own images, to be added up over the Plans. What layers need of the whole batch in
// the midst of a pass, which is batch norm's sums, they ask Gather for.
type Share struct {
	First int // the number in the whole batch of this Plan's first image: dropout goes by it

	// Parts divides this Plan's images, in order, into parts of one size, a power of two of them; 0 counts as 1. Whatever
	// is summed over images is summed within each part, and then over the parts as a tree, ((0+1)+(2+3))+((4+5)+(6+7)).
	// How a part is computed depends on its size alone. So the sums of 1, 2, 4 or 8 Plans over the same eight parts have
	// the same bits, if those of the Plans are added up as a tree too.
	Parts int
	// NormParts has batch norm take each part's moments by themselves. The running statistics move by their mean.
	NormParts bool

	// Gather tells the values of every Plan, which are as many, in the order of First. nil: there is no other Plan. All
	// Plans ask in the same order; an error ends the pass.
	Gather func(mine []float64) ([][]float64, error)
	// Plans is how many share the batch; 0 counts as 1. Collect, if not nil, gives every Plan's values to all, in the
	// order of First; there are no parts then. A fully connected layer of many more weights than the batch has inputs and
	// outputs of it collects these and the outputs' gradients, its factors, and multiplies those of all images itself: its
	// gradients are the whole batch's, to the bit those of a Plan that has it alone.
	Plans   int
	Collect func(mine, all []float32) error
	// Ready, if not nil, is told by Backward of each parameter whose gradient is complete, the last layer's first, and
	// whether that is the gradient of the whole batch already.
	Ready func(q *Param, whole bool)
}

// parts is how many there are.
func (s *Share) parts() int { return max(s.Parts, 1) }

// whole reports whether sums go over the images in one.
func (s *Share) whole() bool { return s.parts() == 1 && s.Gather == nil }

func (s *Share) check(batch int) error {
	if n := s.parts(); bits.OnesCount(uint(n)) != 1 || batch%n != 0 || s.Parts < 0 {
		return fmt.Errorf("nn: %d images in %d parts: want a power of two that divides them", batch, s.Parts)
	}
	if s.Collect != nil && (s.Parts > 1 || s.Plans < 1) {
		return fmt.Errorf("nn: %d plans collect factors for %d parts: there are none then", s.Plans, s.Parts)
	}
	return nil
}

// fewer is how many times fewer the factors must be than the weights. Sums of weights pass twice through every Plan;
// factors of 32 images cost it VGG-16's 124 million multiply-accumulates for each image of the others.
const fewer = 8

// factored reports whether a fully connected layer learns from its factors, of so many values for an image of the whole
// batch.
func (s *Share) factored(weights, values, batch int) bool {
	return s.Collect != nil && s.Plans > 1 && fewer*int64(values)*int64(batch)*int64(s.Plans) <= int64(weights)
}

// part is the images of one part of a full batch, by which it is decided how to compute.
func (o *Options) part() int { return o.Batch / o.Share.parts() }

// partTree adds up the gradients of a layer's parameters over the parts of the batch. Beside the gradients it has room
// for those of one layer at each level but the lowest.
type partTree struct {
	parts  int
	levels [][]float32
	floats int // of the layer with the most

	team    *team
	set     *kernel.Set
	to, add []float32
	addJob  func(worker, task int)
}

// prepare is told of a layer's parameters while a Plan is laid out.
func (t *partTree) prepare(p *Plan, params ...*Param) []*Param {
	params = slices.DeleteFunc(params, func(q *Param) bool { return q == nil })
	t.parts = p.Share.parts()
	if t.parts == 1 {
		return params
	}
	floats := 0
	for _, q := range params {
		floats += q.Count()
	}
	if t.addJob == nil {
		t.addJob = t.addTask
		p.later = append(p.later, func() {
			t.team, t.set = p.team, p.set
			for range bits.Len(uint(t.parts)) - 1 {
				t.levels = append(t.levels, kernel.Alloc(t.floats))
			}
		})
	}
	if more := floats - t.floats; more > 0 {
		p.workspace += 4 * int64(more*(bits.Len(uint(t.parts))-1))
		t.floats = floats
	}
	return params
}

// run computes the gradients of n images: grads writes those of some of them, from one on, to the parameters' Grad.
func (t *partTree) run(n int, params []*Param, grads func(from, n int)) {
	t.sum(0, t.parts, n/t.parts, params, grads)
}

// sum leaves in the parameters' Grad what so many parts, from one on, of so many images each add up to.
func (t *partTree) sum(first, parts, images int, params []*Param, grads func(from, n int)) {
	if parts == 1 {
		grads(first*images, images)
		return
	}
	half := parts / 2
	t.sum(first, half, images, params, grads)
	var left [2][]float32 // a weight's and a bias's
	room := t.levels[bits.Len(uint(half))-1]
	for i, q := range params {
		left[i], q.Grad, room = q.Grad, room[:len(q.Grad)], room[len(q.Grad):]
	}
	t.sum(first+half, half, images, params, grads)
	for i, q := range params {
		t.to, t.add, q.Grad = left[i], q.Grad, left[i]
		t.team.run((len(t.to)+chunkFloats-1)/chunkFloats, t.addJob)
	}
}

func (t *partTree) addTask(_, task int) {
	from, to := task*chunkFloats, min((task+1)*chunkFloats, len(t.to))
	blocks := from + (to-from)/kernel.Block*kernel.Block
	t.set.Axpy(t.to[from:blocks], t.add[from:blocks], 1)
	for i := blocks; i < to; i++ {
		t.to[i] += t.add[i]
	}
}

// treeSum adds up rows of values as Share.Parts says, into the first. Where the rows are no power of two, the smaller
// half comes first.
func treeSum(rows [][]float64) []float64 {
	if len(rows) > 1 {
		half := len(rows) / 2
		add := treeSum(rows[half:])
		for i, v := range treeSum(rows[:half]) {
			rows[0][i] = v + add[i]
		}
	}
	return rows[0]
}

// trained lists each step's parameters that get a gradient.
func (p *Plan) trained() [][]*Param {
	list := make([][]*Param, len(p.groups))
	for i, g := range p.groups {
		if !g.learns {
			continue
		}
		for _, layer := range g.Layers {
			for _, want := range layer.Params {
				if want.Trainable && p.Training {
					list[i] = append(list[i], p.params.Get(want.Name))
				}
			}
		}
	}
	return list
}

// shift has a layer find at the place of its first image another one, until what it returns is called.
func (e *engine) shift(from int, in, out *values) (back func()) {
	if from == 0 {
		return stay
	}
	data, grad, winners, first := in.data, out.grad, out.winners, e.from
	if data != nil { // not the network's images, which are found by e.from
		in.data = data[from*in.size:]
	}
	if winners != nil {
		out.winners = winners[from*out.size:]
	}
	out.grad, e.from = grad[from*out.size:], first+from
	return func() { in.data, out.grad, out.winners, e.from = data, grad, winners, first } // after a fault too
}

func stay() {}
