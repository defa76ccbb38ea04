package nn

import "github.com/vggo/vggo/internal/kernel"

// local is a layer without parameters whose images, or pieces of them, are computed each by itself. A layer embeds it
// and has a task for each direction.
type local struct {
	engine  *engine
	in, out *values
	tasks   func(n int) int // that n images are divided into: chunks, or one of those below
	n       int             // images of the running pass

	forwardJob, backwardJob func(worker, task int)
}

// Ways to divide n images into tasks.
func (v *values) eachImage(n int) int { return n }
func (v *values) eachRow(n int) int   { return n * v.shape.H }
func (v *values) eachBlock(n int) int { return n * kernel.Blocks(v.shape.C) } // of channels

// tasked is a layer that embeds a local.
type tasked interface {
	step
	base() *local
	forwardTask(worker, task int)
	backwardTask(worker, task int)
}

// newLocal makes such a layer a step of a Plan.
func newLocal(p *Plan, t tasked, in, out *values, tasks func(n int) int) step {
	*t.base() = local{&p.engine, in, out, tasks, 0, t.forwardTask, t.backwardTask}
	return t
}

func (l *local) base() *local { return l }

func (l *local) refresh() {}

func (l *local) forward(n int) {
	l.n = n
	l.engine.team.run(l.tasks(n), l.forwardJob)
}

func (l *local) backward(n int) {
	if l.in.grad != nil {
		l.n = n
		l.engine.team.run(l.tasks(n), l.backwardJob)
	}
}
