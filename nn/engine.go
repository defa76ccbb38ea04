package nn

import (
	"time"

	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/machine"
	"github.com/vggo/vggo/tensor"
)

// engine is what a Plan's steps need while they run.
type engine struct {
	set     *kernel.Set
	team    *team
	scratch [][]float32 // by worker
	shared  []float32   // of all workers

	input *tensor.Tensor // of the running pass
	from  int            // first image of the running stage
	count uint64         // of forward passes
	ended error          // why a pass was given up: its context's, or one of Share's functions'

	summed bool // the running step's gradients are the whole batch's
	last   bool // the running step ends the backward pass early: nobody wants its input's gradient

	partTree partTree
	norms    []*batchNorm // whose running statistics have yet to move

	laps
}

// laps measure what each step takes, if somebody observes.
type laps struct {
	observe func(step int, pass Pass, elapsed time.Duration)
	current int           // step
	mark    time.Duration // by machine.Now
	elapsed map[lapKey]time.Duration
}

type lapKey struct {
	step int
	pass Pass
}

// start begins to measure.
func (l *laps) start() {
	if l.observe != nil {
		l.mark = machine.Now()
	}
}

// lap adds the time since the last lap to a pass of the running step.
func (l *laps) lap(pass Pass) {
	if l.observe == nil {
		return
	}
	now := machine.Now()
	l.elapsed[lapKey{l.current, pass}] += now - l.mark
	l.mark = now
}

// report tells the observer of the laps of so many steps, and forgets them.
func (l *laps) report(steps int) {
	if l.observe == nil {
		return
	}
	for i := range steps {
		for _, pass := range []Pass{ForwardPass, BackwardPass, WeightsPass, DataPass} {
			if took, ok := l.elapsed[lapKey{i, pass}]; ok {
				l.observe(i, pass, took)
			}
		}
	}
	clear(l.elapsed)
}

// planarImage is image n of the running pass as the caller has it.
func (e *engine) planarImage(n int) source {
	size := e.input.C * e.input.H * e.input.W
	return source{data: e.input.Data[(e.from+n)*size:][:size], planar: true, channels: e.input.C}
}
