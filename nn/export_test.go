package nn

import (
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/machine"
)

// What the tests of a Plan's results have to know of how it gets them, to prove that they meet every way of dividing
// the work.

// Stages is how many images each stage takes at a time.
func (p *Plan) Stages() (images []int) {
	for _, s := range p.stages {
		images = append(images, s.images)
	}
	return images
}

// Chunking is how many tiles the forward pass of a step takes at a time, and of how many for a full batch; and whether
// the workers share each of its phases. A step that does not go by Winograd's algorithm has no tiles.
func (p *Plan) Chunking(step int) (chunk, total int, shared bool) {
	c, ok := p.steps[step].(*conv)
	if !ok {
		return 0, 0, false
	}
	s, ok := c.forwardBy.(*winogradPass)
	if !ok {
		return 0, 0, false
	}
	return s.chunk, c.in.images * s.tiles(), s.shared
}

// Bands is how many bands of rows a direct forward pass cuts an image into, and the data gradient; 0 for other steps.
func (p *Plan) Bands(step int) (forward, data int) {
	bands := func(by convPass) int {
		if s, ok := by.(*directPass); ok {
			return s.bands()
		}
		return 0
	}
	if c, ok := p.steps[step].(*conv); ok {
		return bands(c.forwardBy), bands(c.dataBy)
	}
	return 0, 0
}

// Packed is where the weights of each convolution lie, packed for its forward pass or for the data gradient.
func (p *Plan) Packed(pass Pass) (first []*float32) {
	for _, s := range p.steps {
		c, ok := s.(*conv)
		if !ok {
			continue
		}
		by := c.forwardBy
		if pass == DataPass {
			by = c.dataBy
		}
		if by != nil {
			first = append(first, &by.weights().data[0])
		}
	}
	return first
}

// Packed is how many packed weights the Plans of these parameters hold.
func (p *Params) Packed() (live int) {
	for _, pack := range p.packs {
		if pack.Value() != nil {
			live++
		}
	}
	return live
}

// TimeTasks has every task of the forward passes timed: began is told that the tasks of a job follow, task of each
// one's seconds. The Plan must have one thread.
func (p *Plan) TimeTasks(began func(), task func(seconds float64)) {
	wrap := func(jobs ...*func(worker, task int)) {
		for _, at := range jobs {
			job := *at
			*at = func(worker, n int) {
				if n == 0 {
					began()
				}
				start := machine.Now()
				job(worker, n)
				task((machine.Now() - start).Seconds())
			}
		}
	}
	for _, s := range p.steps {
		switch s := s.(type) {
		case *conv:
			switch by := s.forwardBy.(type) {
			case *directPass:
				wrap(&by.job)
			case *winogradPass:
				wrap(&by.chunkJob, &by.inputJob, &by.multiplyJob, &by.outputJob)
			}
		case *linear:
			wrap(&s.forwardJob)
		case *maxPool:
			wrap(&s.forwardJob)
		case *flatten:
			wrap(&s.forwardJob)
		}
	}
}

// On makes the options go by a set that no name finds.
func (o *Options) On(set *kernel.Set) { o.Set, o.kernels = set.Name, set }
