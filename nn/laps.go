package nn

import "time"

// startLap begins to measure, if somebody observes.
func (p *Plan) startLap() {
	if p.Observe != nil {
		p.mark = time.Now()
	}
}

type lapKey struct {
	step int
	pass Pass
}

// lap adds the time since the last lap to a pass of the running step.
func (p *Plan) lap(pass Pass) {
	if p.Observe == nil {
		return
	}
	now := time.Now()
	p.elapsed[lapKey{p.current, pass}] += now.Sub(p.mark)
	p.mark = now
}

// report tells the observer of the laps.
func (p *Plan) report() {
	if p.Observe == nil {
		return
	}
	for i := range p.steps {
		for _, pass := range []Pass{ForwardPass, BackwardPass, WeightsPass, DataPass} {
			if took, ok := p.elapsed[lapKey{i, pass}]; ok {
				p.Observe(i, pass, took)
			}
		}
	}
	clear(p.elapsed)
}
