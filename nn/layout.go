package nn

import (
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/tensor"
)

// Memory is the bytes a Plan works with.
type Memory struct {
	Weights     int64 // the parameters of its layers, which the Plan does not own
	Activations int64 // feature maps; those of a Plan for gradients include the images, which the caller holds
	Gradients   int64 // of parameters and feature maps
	Packing     int64 // weights rearranged for the kernels, which Plans of the same Params may share
	Workspace   int64 // scratch of the threads, dropout masks, channels padded to blocks, flattened copies
}

// Total is the sum.
func (m Memory) Total() int64 {
	return m.Weights + m.Activations + m.Gradients + m.Packing + m.Workspace
}

// Memory is what the Plan works with.
func (p *Plan) Memory() Memory { return p.memory }

// layout is a Plan's memory: measured while its steps are built, allocated when all is known.
type layout struct {
	memory        Memory
	workspace     int64
	later         []func() // allocations
	scratchFloats int
	sharedFloats  int
}

// stage is steps that run on a number of images at a time. The first layers' maps are large and their tiles many:
// taking few images through several layers keeps the maps in the cache, and the arena small. What leaves a stage
// gathers at the start of the next, which takes more.
type stage struct {
	from, to int // steps
	images   int
}

// layStages divides the steps: neighbours that take as many images at a time are one stage. The logits are of the whole
// batch: if the last steps are not, a stage without steps gathers them.
func (p *Plan) layStages() {
	for i, g := range p.groups {
		if n := len(p.stages); n == 0 || p.stages[n-1].images < g.images {
			p.stages = append(p.stages, stage{i, i, g.images})
		}
		p.stages[len(p.stages)-1].to++
	}
	if n := len(p.stages); n == 0 || p.stages[n-1].images < p.Batch {
		p.stages = append(p.stages, stage{len(p.steps), len(p.steps), p.Batch})
	}
	p.chain[len(p.chain)-1].images = p.Batch
}

// runStage runs a stage, and first those before it, on images [from, from+n) of the batch.
func (p *Plan) runStage(k, from, n int) {
	s := p.stages[k]
	p.aim(p.stageMaps(k), from)
	if k > 0 {
		p.fillStage(k, from, n)
	} else {
		p.from = from
		if p.imported {
			p.chain[0].load(p.chain[0].data, p.input, from, n)
		}
	}
	for i := s.from; i < s.to; i++ {
		if p.ended = p.ctx.Err(); p.ended != nil {
			return
		}
		p.current = i
		p.steps[i].forward(n)
		if p.ended != nil {
			return
		}
		p.lap(ForwardPass)
	}
}

// fillStage runs the stages before k, a few images at a time, which leaves what k reads.
func (p *Plan) fillStage(k, from, n int) {
	images, in := p.stages[k-1].images, p.chain[p.stages[k].from]
	all := in.data
	defer func() { in.data = all }() // after a fault too
	for at := 0; at < n; at += images {
		in.data = all[at*in.size:]
		p.runStage(k-1, from+at, min(images, n-at))
	}
}

// measure works out all memory. Feature maps that need not outlive the next layer, and all their gradients, alternate
// between the two ends of an arena, which is as large as the largest input and output of one step together. Each stage
// has an arena for what its steps read. Tapped maps have room of their own.
func (p *Plan) measure() {
	maps := p.chain
	if !p.imported {
		maps = maps[1:] // the images are read where the caller has them
	}
	if p.keeps() {
		p.memory.Activations = p.account(sum(maps, plainFloats), p.apart(maps))
	} else {
		for k := range p.stages {
			maps := p.stageMaps(k)
			runs := untapped(maps)
			p.memory.Activations += p.account(widest(runs, plainFloats),
				p.twoEnded(runs, func(v *values) *[]float32 { return &v.data }))
			p.memory.Activations += p.account(p.keepTapped(maps))
		}
	}
	if p.backs() {
		p.memory.Activations += 4 * int64(p.Batch*p.placed.Input.C*p.placed.Input.H*p.placed.Input.W)
		grads := p.chain
		for len(grads) > 0 && grads[0].fixed {
			grads = grads[1:]
		}
		p.memory.Gradients = p.account(widest([][]*values{grads}, plainFloats),
			p.twoEnded([][]*values{grads}, func(v *values) *[]float32 { return &v.grad }))
		for _, list := range p.gradients {
			for _, q := range list {
				p.memory.Gradients += 4 * int64(q.Count())
			}
		}
	}
	for _, layer := range p.placed.Layers {
		p.memory.Weights += p.bytes(layer)
	}
	last := p.chain[len(p.chain)-1].shape
	outputs := 2 * p.Batch * last.C * last.H * last.W // logits and probabilities
	p.memory.Workspace = p.workspace + 4*(int64(p.Threads)*int64(p.scratchFloats)+int64(p.sharedFloats+outputs+2*p.Batch))
}

// allocate takes the memory.
func (p *Plan) allocate() {
	for _, allocate := range p.later {
		allocate()
	}
	p.later = nil
	for _, list := range p.gradients {
		for _, q := range list {
			if q.Grad == nil {
				q.Grad = kernel.Alloc(len(q.Data))
			}
		}
	}
	for range p.Threads {
		p.scratch = append(p.scratch, kernel.Alloc(p.scratchFloats))
	}
	p.shared = kernel.Alloc(p.sharedFloats)
	last := p.chain[len(p.chain)-1].shape
	p.logits = tensor.New(p.Batch, last.C, last.H, last.W)
	p.probabilities = tensor.New(p.Batch, last.C, last.H, last.W)
	p.predictions = make([]int, p.Batch)
}

// stageMaps is the maps that a stage's steps read, and the logits for the last stage.
func (p *Plan) stageMaps(k int) []*values {
	s := p.stages[k]
	to := s.to
	if k == len(p.stages)-1 { // steps in place make no map: there may be fewer than steps
		to = len(p.chain)
	}
	maps := p.chain[s.from:to]
	if k == 0 && !p.imported {
		maps = maps[1:]
	}
	return maps
}

// account returns the bytes of so many plain floats, as arch counts them, and counts what the layout takes beyond them
// (channels padded to blocks, copies in another order) as workspace.
func (p *Plan) account(plain, taken int) (bytes int64) {
	p.workspace += 4 * int64(taken-plain)
	return 4 * int64(plain)
}

// floats and plainFloats are a map's size for all its images, the latter as arch counts.
func floats(v *values) int      { return v.images * v.size }
func plainFloats(v *values) int { return v.images * v.plainSize() }

// sum is the size of all feature maps; size is one map's.
func sum(maps []*values, size func(*values) int) int {
	total := 0
	for _, v := range maps {
		total += size(v)
	}
	return total
}

// widest is the largest sum of two neighbours in the runs of a chain. Copies are skipped: a plain size of 0.
func widest(runs [][]*values, size func(*values) int) int {
	most := 0
	for _, maps := range runs {
		before := 0
		for _, v := range maps {
			n := size(v)
			if n == 0 {
				continue
			}
			most, before = max(most, before+n), n
		}
	}
	return most
}

// apart gives each feature map room of its own and returns the floats of all.
func (p *Plan) apart(maps []*values) int {
	total := sum(maps, floats)
	p.later = append(p.later, func() {
		arena := kernel.Alloc(total)
		for _, v := range maps {
			v.data, arena = arena[:floats(v)], arena[floats(v):]
		}
	})
	return total
}

// twoEnded lays runs of feature maps into the ends of one arena in turn and returns the arena's floats.
func (p *Plan) twoEnded(runs [][]*values, buffer func(*values) *[]float32) int {
	total := widest(runs, floats)
	p.later = append(p.later, func() {
		arena := kernel.Alloc(total)
		for _, maps := range runs {
			for i, v := range maps {
				if i%2 == 0 {
					*buffer(v) = arena[:floats(v)]
				} else {
					*buffer(v) = arena[total-floats(v):]
				}
			}
		}
	})
	return total
}

// room plans for workspace of so many floats.
func (p *Plan) room(buffer *[]float32, floats int) {
	p.workspace += 4 * int64(floats)
	p.later = append(p.later, func() { *buffer = kernel.Alloc(floats) })
}

// marks plans for the winners of maxima, whose gradient goes back to them.
func (p *Plan) marks(maxima *values) {
	bytes := p.Batch * maxima.size
	p.workspace += int64(bytes)
	p.later = append(p.later, func() { maxima.winners = make([]uint8, bytes) })
}

// needScratch makes each worker's scratch at least so large.
func (p *Plan) needScratch(floats int) { p.scratchFloats = max(p.scratchFloats, floats) }

// needShared makes the scratch that all workers share at least so large.
func (p *Plan) needShared(floats int) { p.sharedFloats = max(p.sharedFloats, floats) }

// rows allocates n float64 values for each worker.
func (p *Plan) rows(n int) [][]float64 {
	rows := make([][]float64, p.Threads)
	for i := range rows {
		rows[i] = make([]float64, n)
	}
	p.workspace += 8 * int64(n*p.Threads)
	return rows
}
