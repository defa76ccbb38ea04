package train

import (
	"image"
	"math"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

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

// WithWriter lets a test write a run's files.
func WithWriter(o Options, write func(string, []weights.Tensor, map[string]string) error) Options {
	o.write = write
	return o
}

// Painted is a picture as a network sees it in an epoch.
func Painted(a Augment, recipe vision.Preprocess, p *vision.Picture, epoch, sample int) ([]float32, error) {
	if err := a.check(image.Pt(recipe.Crop.X, recipe.Crop.Y), recipe.Channels); err != nil {
		return nil, err
	}
	painter := newPainter(a, recipe, 9)
	p, err := painter.prepare(p)
	if err != nil {
		return nil, err
	}
	dst := make([]float32, recipe.Channels*recipe.Crop.X*recipe.Crop.Y)
	for i := range dst {
		dst[i] = float32(math.NaN()) // every value must be written
	}
	painter.put(dst, p, epoch, sample)
	return dst, nil
}

// Eigen is the eigenvalues and eigenvectors of a symmetric matrix.
func Eigen(a [][]float64) ([]float64, [][]float64) { return eigen(a) }

// CheckRecipe says whether a recipe can train a network.
func CheckRecipe(r Recipe, net *arch.Network) error {
	if err := r.check(net.Input); err != nil {
		return err
	}
	placed, err := net.Place(net.Input)
	if err != nil {
		return err
	}
	if _, err := r.pictures(net.Input); err != nil {
		return err
	}
	_, err = NewOptimiser(r.Optimiser, r.Rules, nn.NewParams(placed), 1)
	return err
}

// Some are the pictures by which a run's layers were levelled.
func Some(t *Trainer) (*tensor.Tensor, error) { return t.some(levelled) }
