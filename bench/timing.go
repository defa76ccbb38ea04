// Package bench times a network as the article does: burn-in steps that do not count, then so many steps, mean and
// standard deviation of the seconds per batch; and says how far that is from what the machine could do.
package bench

import (
	"math"
	"slices"
	"time"
)

// stepTimes gathers the durations of steps.
type stepTimes struct {
	seconds []float64
	mean    float64
	squares float64 // sum of squared distances from the mean
}

// Add counts one step. It updates mean and variance by Welford's recurrence (Technometrics 1962): the article's
// E[x²] - mean² subtracts two nearly equal numbers, and can even come out negative when steps hardly differ.
func (t *stepTimes) Add(d time.Duration) {
	x := d.Seconds()
	t.seconds = append(t.seconds, x)
	delta := x - t.mean
	t.mean += delta / float64(len(t.seconds))
	t.squares += delta * (x - t.mean)
}

// Steps is how many steps were counted.
func (t *stepTimes) Steps() int { return len(t.seconds) }

// Mean is in seconds per step.
func (t *stepTimes) Mean() float64 { return t.mean }

// Deviation is the standard deviation in seconds, over the population as in the article.
func (t *stepTimes) Deviation() float64 {
	if len(t.seconds) == 0 {
		return 0
	}
	return math.Sqrt(t.squares / float64(len(t.seconds)))
}

// Median is in seconds per step; unlike the mean it forgives the odd step that another process disturbed.
func (t *stepTimes) Median() float64 { return median(t.seconds) }

// Range is the shortest and the longest step in seconds.
func (t *stepTimes) Range() (shortest, longest float64) {
	if len(t.seconds) == 0 {
		return 0, 0
	}
	return slices.Min(t.seconds), slices.Max(t.seconds)
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(x))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
