package train

import "github.com/vggo/vggo/nn"

// For tests: what a run does from step to step.

// Shares are a schedule's at every step; accuracy is the validation's after each epoch.
func Shares(s Schedule, steps, stepsPerEpoch int, accuracy ...float64) (shares []float64) {
	var p plateau
	for step := range steps {
		if epoch := step / stepsPerEpoch; step > 0 && step%stepsPerEpoch == 0 && epoch <= len(accuracy) {
			p.see(&s, accuracy[epoch-1])
		}
		shares = append(shares, s.share(step, steps, stepsPerEpoch, p))
	}
	return shares
}

// Averaged calls move before each step and returns the parameters' first value after it, and that of the mean.
func Averaged(a Average, params *nn.Params, steps int, move func(step int)) (values, means []float32) {
	v := newAverager(a, params, 2)
	for step := 1; step <= steps; step++ {
		move(step)
		v.after(step, steps)
		values, means = append(values, params.List[0].Data[0]), append(means, v.mean[0][0])
	}
	return values, means
}

// CheckSchedule and CheckAverage are what a recipe's parts must pass.
func CheckSchedule(s Schedule) error { return s.check() }
func CheckAverage(a Average) error   { return a.check() }
