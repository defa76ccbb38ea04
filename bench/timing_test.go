package bench

import (
	"math"
	"testing"
	"time"
)

func TestTiming(t *testing.T) {
	var timing stepTimes
	for _, ms := range []int{2, 4, 4, 4, 5, 5, 7, 9} {
		timing.Add(time.Duration(ms) * time.Millisecond)
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-12 {
			t.Errorf("%s = %v, want %v", what, got, want)
		}
	}
	near("mean", timing.Mean(), 0.005)
	near("deviation", timing.Deviation(), 0.002)
	near("median", timing.Median(), 0.0045)
	shortest, longest := timing.Range()
	near("shortest", shortest, 0.002)
	near("longest", longest, 0.009)
}

// The article computes the variance as E[x²] - mean². For steps that hardly differ the two terms agree to more digits
// than a float64 holds, and the difference is noise: here it is off by orders of magnitude or negative, while Welford's
// is exact.
func TestVarianceCancels(t *testing.T) {
	const n, base, spread = 100, 3600.0, 1e-6 // an hour a step, give or take a microsecond
	var timing stepTimes
	sum, squares := 0.0, 0.0
	for i := range n {
		x := base + spread*float64(2*(i%2)-1)
		sum += x
		squares += x * x
		timing.Add(time.Duration(math.Round(x * 1e9)))
	}
	mean := sum / n
	article := squares/n - mean*mean
	if math.Abs(article-spread*spread) < spread*spread {
		t.Errorf("E[x²]-mean² = %g is close to %g: the case no longer shows the cancellation", article, spread*spread)
	}
	if got := timing.Deviation(); math.Abs(got-spread) > 1e-3*spread {
		t.Errorf("deviation = %g, want %g", got, spread)
	}
}
