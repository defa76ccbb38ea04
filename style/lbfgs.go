package style

import (
	"math"
)

// real is what gradients and steps are stored as. Products are summed in float64 and places kept in it: rounded to
// float32, two places would not lie as far apart as the step between them, of which an iteration learns.
type real interface{ float32 | float64 }

// point is where a function was looked at.
type point[T real] struct {
	x        []float64
	gradient []T
	loss     float64
}

// lbfgs minimises a function of many variables by the limited-memory method of Broyden, Fletcher, Goldfarb and Shanno
// (Nocedal & Wright 2006, algorithm 7.4), step for step as torch.optim.LBFGS with line_search_fn "strong_wolfe" and
// both tolerances 0. It was chosen over PyTorch's default of fixed steps of 1 because a loss then never rises and no
// step ends in infinity; nearly every step of 1 is accepted at once, so that it costs few evaluations more.
type lbfgs[T real] struct {
	history, threads int
	at               func(x []float64) (loss float64, gradient []T, err error) // the gradient is the caller's to keep

	now         point[T]
	direction   []T
	old         []correction[T] // the oldest first
	scale       float64         // of the first estimate of the inverse Hessian: ys/yy
	evaluations int
}

// correction is what an iteration told of the Hessian: the step s, by how much y the gradient changed, and 1/ys.
type correction[T real] struct {
	s, y    []T
	inverse float64
}

// begin evaluates the function at x, which becomes the minimiser's.
func (l *lbfgs[T]) begin(x []float64) (err error) {
	l.now.x, l.scale, l.direction = x, 1, make([]T, len(x))
	l.now.loss, l.now.gradient, err = l.evaluate(x)
	return err
}

func (l *lbfgs[T]) evaluate(x []float64) (float64, []T, error) {
	l.evaluations++
	return l.at(x)
}

// iterate takes one step. done tells that there is nothing left to gain. Where the function fails, or the loss is not
// finite and no shorter step mends it, l.now is as it was before.
func (l *lbfgs[T]) iterate() (done bool, err error) {
	first := len(l.old) == 0 && l.evaluations == 1
	l.aim()
	slope := l.dot(l.now.gradient, l.direction)
	if !(slope < 0) {
		return true, nil
	}
	length := 1.0
	if first {
		length = min(1, 1/l.norm1(l.now.gradient))
	}
	next, taken, err := l.search(length, slope)
	if err != nil {
		return false, err
	}
	if taken == 0 {
		return true, nil
	}
	l.remember(next, taken)
	l.now = next
	return false, nil
}

// aim makes the direction of the next step, minus the inverse Hessian times the gradient, in two loops. Each loop's
// sweep changes the vector and takes the next product in one go.
func (l *lbfgs[T]) aim() {
	q, n := l.direction, len(l.old)
	for i, g := range l.now.gradient {
		q[i] = -g
	}
	if n == 0 {
		return
	}
	along := make([]float64, n)
	product := l.dot(l.old[n-1].s, q)
	for i := n - 1; i >= 0; i-- {
		along[i] = product * l.old[i].inverse
		product = l.sweep(q, -along[i], l.old[i].y, l.old[max(i-1, 0)].s)
	}
	for i := range q {
		q[i] = T(float64(q[i]) * l.scale)
	}
	product = l.dot(l.old[0].y, q)
	for i := range l.old {
		product = l.sweep(q, along[i]-product*l.old[i].inverse, l.old[i].s, l.old[min(i+1, n-1)].y)
	}
}

// remember keeps what a step of so many times the direction told, where the function is convex along it.
func (l *lbfgs[T]) remember(next point[T], taken float64) {
	c := correction[T]{s: make([]T, len(next.x)), y: make([]T, len(next.x))}
	for i, d := range l.direction {
		c.s[i] = T(float64(d) * taken)
		c.y[i] = next.gradient[i] - l.now.gradient[i]
	}
	ys := l.dot(c.y, c.s)
	if !(ys > 1e-10) {
		return
	}
	if len(l.old) == l.history {
		copy(l.old, l.old[1:])
		l.old = l.old[:len(l.old)-1]
	}
	c.inverse, l.scale = 1/ys, ys/l.dot(c.y, c.y)
	l.old = append(l.old, c)
}

// span is so many elements of a vector, summed by one task.
const span = 1 << 14

// sum adds what part makes of each span, in their order.
func (l *lbfgs[T]) sum(n int, part func(from, to int) float64) float64 {
	return sum(l.threads, n, span, part)
}

func (l *lbfgs[T]) dot(a, b []T) float64 { return l.sweep(b, 0, nil, a) }

// sweep adds a·v to q and returns q·w. Four sums at a time, since an addition waits for the one before.
func (l *lbfgs[T]) sweep(q []T, a float64, v, w []T) float64 {
	return l.sum(len(q), func(from, to int) float64 {
		q, w := q[from:to], w[from:to]
		if v != nil {
			v := v[from:to]
			for i := range q {
				q[i] = T(float64(q[i]) + float64(a*float64(v[i])))
			}
		}
		var s [4]float64
		for ; len(q) >= 4 && len(w) >= 4; q, w = q[4:], w[4:] {
			s[0] += float64(float64(q[0]) * float64(w[0]))
			s[1] += float64(float64(q[1]) * float64(w[1]))
			s[2] += float64(float64(q[2]) * float64(w[2]))
			s[3] += float64(float64(q[3]) * float64(w[3]))
		}
		for i := range q {
			s[0] += float64(float64(q[i]) * float64(w[i]))
		}
		return s[0] + s[1] + s[2] + s[3]
	})
}

func (l *lbfgs[T]) norm1(v []T) float64 {
	return l.sum(len(v), func(from, to int) float64 {
		s := 0.0
		for _, x := range v[from:to] {
			s += math.Abs(float64(x))
		}
		return s
	})
}
