package style

import "math"

// trial is a step of some length along the direction, and how the loss goes on from there: its slope.
type trial[T real] struct {
	point[T]
	length, slope float64
}

// The strong Wolfe conditions: a loss that has fallen by at least sufficient of what the slope promised, and a slope
// of at most flatter of the first. Both, and the most trials, are PyTorch's.
const (
	sufficient = 1e-4
	flatter    = 0.9
	trials     = 25
)

// search finds a step along the direction that fulfils the strong Wolfe conditions (Nocedal & Wright 2006, algorithms
// 3.5 and 3.6), as PyTorch's _strong_wolfe: first a bracket, then cubic interpolation within it. Where trials run out
// it is the best of the bracket. A length of 0 is none that gains anything; a loss that is not finite counts as too
// large.
func (l *lbfgs[T]) search(length, slope float64) (next point[T], taken float64, err error) {
	start := trial[T]{l.now, 0, slope}
	fallen := func(t trial[T]) bool { return t.loss <= start.loss+sufficient*t.length*slope }
	flat := func(t trial[T]) bool { return math.Abs(t.slope) <= -flatter*slope }

	before := start
	now, err := l.try(length)
	if err != nil {
		return next, 0, err
	}
	count, bracketed := 0, false
	for ; count < trials; count++ {
		if !fallen(now) || count > 1 && now.loss >= before.loss {
			bracketed = true
			break
		}
		if flat(now) {
			return now.point, now.length, nil
		}
		if now.slope >= 0 {
			bracketed = true
			break
		}
		length := cubic(before, now, now.length+0.01*(now.length-before.length), 10*now.length)
		before = now
		if now, err = l.try(length); err != nil {
			return next, 0, err
		}
	}
	if !bracketed {
		before = start
	}
	low, high := better(before, now)
	widest := 0.0
	for _, d := range l.direction {
		widest = max(widest, math.Abs(float64(d)))
	}
	insufficient := false
	for ; count < trials; count++ {
		least, most := min(low.length, high.length), max(low.length, high.length)
		if (most-least)*widest < 1e-9 { // PyTorch's tolerance within its search
			break
		}
		length := cubic(low, high, least, most)
		// A length near an end of the bracket would make little progress: the second such is moved a tenth away from it.
		if edge := 0.1 * (most - least); min(most-length, length-least) < edge {
			if insufficient || length >= most || length <= least {
				if math.Abs(length-most) < math.Abs(length-least) {
					length = most - edge
				} else {
					length = least + edge
				}
				insufficient = false
			} else {
				insufficient = true
			}
		} else {
			insufficient = false
		}
		if now, err = l.try(length); err != nil {
			return next, 0, err
		}
		switch {
		case !fallen(now) || now.loss >= low.loss:
			low, high = better(low, now)
			continue
		case flat(now):
			return now.point, now.length, nil
		case now.slope*(high.length-low.length) >= 0:
			high = low
		}
		low = now
	}
	return low.point, low.length, nil
}

// better puts the trial of the smaller loss first, and one whose loss is no number last.
func better[T real](a, b trial[T]) (low, high trial[T]) {
	if b.loss < a.loss {
		return b, a
	}
	return a, b
}

// try looks at the function at a step of a length.
func (l *lbfgs[T]) try(length float64) (t trial[T], err error) {
	t.length, t.x = length, make([]float64, len(l.now.x))
	for i, x := range l.now.x {
		t.x[i] = x + float64(length*float64(l.direction[i]))
	}
	if t.loss, t.gradient, err = l.evaluate(t.x); err == nil {
		t.slope = l.dot(t.gradient, l.direction)
	}
	return t, err
}

// cubic is where the cubic that has both trials' losses and slopes is least, within bounds (Nocedal & Wright 2006,
// equation 3.59); the middle of the bounds where it has no minimum.
func cubic[T real](a, b trial[T], least, most float64) float64 {
	if a.length > b.length {
		a, b = b, a
	}
	d1 := a.slope + b.slope - 3*(a.loss-b.loss)/(a.length-b.length)
	square := float64(d1*d1) - float64(a.slope*b.slope)
	if !(square >= 0) {
		return (least + most) / 2
	}
	d2 := math.Sqrt(square)
	at := b.length - (b.length-a.length)*((b.slope+d2-d1)/(b.slope-a.slope+2*d2))
	return min(max(at, least), most)
}
