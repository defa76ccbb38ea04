package style

import (
	"math"
	"testing"
)

// rosenbrock is Rosenbrock's valley (1960) in two variables, whose minimum is at (1, 1).
func rosenbrock(x []float64) (float64, []float64, error) {
	a, b := 1-x[0], x[1]-x[0]*x[0]
	return a*a + 100*b*b, []float64{-2*a - 400*x[0]*b, 200 * b}, nil
}

// TestRosenbrock follows torch.optim.LBFGS in float64 from (-1.2, 1), step for step.
func TestRosenbrock(t *testing.T) {
	var want struct{ Rosenbrock [][3]float64 }
	readGoldens(t, &want)
	l := lbfgs[float64]{history: 100, threads: 1, at: rosenbrock}
	if err := l.begin([]float64{-1.2, 1}); err != nil {
		t.Fatal(err)
	}
	if len(want.Rosenbrock) != 50 {
		t.Fatalf("goldens of %d steps, want 50", len(want.Rosenbrock))
	}
	for i, w := range want.Rosenbrock {
		if _, err := l.iterate(); err != nil {
			t.Fatal(err)
		}
		for j, got := range []float64{l.now.x[0], l.now.x[1], l.now.loss} {
			if !(math.Abs(got-w[j]) <= 1e-9) {
				t.Fatalf("step %d: %v, %v, PyTorch has %v", i+1, l.now.x, l.now.loss, w)
			}
		}
	}
}

// TestHistory: corrections beyond the history are forgotten, and a quadratic of many variables is still minimised, by
// any number of threads to the same bits.
func TestHistory(t *testing.T) {
	const n = 2*span + 7
	at := func(x []float64) (float64, []float32, error) {
		loss, gradient := 0.0, make([]float32, n)
		for i, v := range x {
			d, steep := v-float64(i%5), float64(1+i%7)
			loss += steep * d * d / 2
			gradient[i] = float32(steep * d)
		}
		return loss, gradient, nil
	}
	var first []float64
	for _, threads := range []int{1, 2, 5} {
		l := lbfgs[float32]{history: 3, threads: threads, at: at}
		if err := l.begin(make([]float64, n)); err != nil {
			t.Fatal(err)
		}
		began := l.now.loss
		for range 25 {
			before := l.now.loss
			done, err := l.iterate()
			if err != nil {
				t.Fatal(err)
			}
			if l.now.loss > before || len(l.old) > 3 {
				t.Fatalf("the loss rises from %v to %v, %d corrections are kept", before, l.now.loss, len(l.old))
			}
			if done {
				break
			}
		}
		if !(l.now.loss < 1e-9*began) {
			t.Errorf("%d threads: from %v to %v", threads, began, l.now.loss)
		}
		if first == nil {
			first = l.now.x
		}
		for i := range first {
			if first[i] != l.now.x[i] {
				t.Fatalf("%d threads give other bits than 1", threads)
			}
		}
	}
}

// TestNotFinite: a loss that is no number, or infinite, counts as too large: the step is shortened, and where no step
// helps the minimiser stays where it is.
func TestNotFinite(t *testing.T) {
	at := func(x []float64) (float64, []float64, error) {
		if x[0] > 2 {
			return math.NaN(), []float64{math.NaN()}, nil
		}
		return -x[0], []float64{-1}, nil // falls, up to a cliff
	}
	l := lbfgs[float64]{history: 10, threads: 1, at: at}
	if err := l.begin([]float64{0}); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		if _, err := l.iterate(); err != nil {
			t.Fatal(err)
		}
		if math.IsNaN(l.now.loss) || l.now.x[0] > 2 {
			t.Fatalf("at %v: %v", l.now.x, l.now.loss)
		}
	}
	if l.now.x[0] < 1 {
		t.Errorf("stays at %v", l.now.x)
	}
}
