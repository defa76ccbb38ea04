package nn

// relu stands alone: y = max(0, x), NaN kept. Behind a convolution, a linear layer or a batch norm the ReLU is fused
// into that layer instead.
type relu struct{ local }

func (r *relu) forwardTask(_, task int) {
	from, to := r.in.chunk(r.n, task)
	r.engine.set.ReLU(r.out.data[from:to], r.in.data[from:to])
}

// backwardTask: dx = dy where y > 0, else 0.
func (r *relu) backwardTask(_, task int) {
	from, to := r.in.chunk(r.n, task)
	dx := r.in.grad[from:to]
	copy(dx, r.out.grad[from:to])
	r.engine.set.ReLUGrad(dx, r.out.data[from:to])
}
