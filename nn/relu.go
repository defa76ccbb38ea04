package nn

// relu stands alone: y = max(0, x), NaN kept. Behind a convolution, a linear layer or a batch norm the ReLU is fused
// into that layer instead.
type relu struct {
	engine                  *engine
	in, out                 *values
	forwardJob, backwardJob func(worker, task int)
	n                       int
}

func newReLU(p *Plan, in, out *values) *relu {
	r := &relu{engine: &p.engine, in: in, out: out}
	r.forwardJob, r.backwardJob = r.forwardTask, r.backwardTask
	return r
}

func (r *relu) refresh() {}

func (r *relu) forward(n int) {
	r.n = n
	r.engine.team.run(r.in.chunks(n), r.forwardJob)
}

func (r *relu) forwardTask(_, task int) {
	from, to := r.in.chunk(r.n, task)
	r.engine.set.ReLU(r.out.data[from:to], r.in.data[from:to])
}

// backward: dx = dy where y > 0, else 0.
func (r *relu) backward(n int) {
	if r.in.grad == nil {
		return
	}
	r.n = n
	r.engine.team.run(r.in.chunks(n), r.backwardJob)
}

func (r *relu) backwardTask(_, task int) {
	from, to := r.in.chunk(r.n, task)
	dx := r.in.grad[from:to]
	copy(dx, r.out.grad[from:to])
	r.engine.set.ReLUGrad(dx, r.out.data[from:to])
}
