package train

import (
	"fmt"
	"math"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/vision"
)

// Measured, as the base of a recipe's preprocess, is unit with the mean and the deviation that each channel has over
// the training set's pictures. Samples of 0 to 1 all push a layer's outputs the same way, and a network without batch
// norm learns little but that for its first hundred steps. ImageNet's figures would do for photographs; these do for
// grey pictures, X-rays and drawings too.
const Measured = "measured"

// measuredPictures tell mean and deviation: the error of a mean is a hundredth of the deviation.
const measuredPictures = 500

// measure puts what its preprocess leaves to the training set into the recipe. One that leaves nothing stays as it is.
func (r *Recipe) measure(d Dataset, input arch.Shape, threads int) error {
	if r.Preprocess.Base != Measured {
		return nil
	}
	if r.Preprocess.Mean != nil && r.Preprocess.Std != nil {
		r.Preprocess.Base = "unit"
		return nil
	}
	of, err := r.pictures(input)
	if err != nil {
		return err
	}
	// In the units that the scale makes, whatever is taken away from them.
	plain := of
	plain.Mean, plain.Std = make([]float32, input.C), slices.Repeat([]float32{1}, input.C)
	mean, covariance, err := patches(d, plain, arch.Shape{C: input.C, H: 1, W: 1}, measuredPictures, r.Seed, threads)
	if err != nil {
		return fmt.Errorf("preprocess: %w", err)
	}
	r.Preprocess.Name, r.Preprocess.Base = of.Name, "unit"
	if r.Preprocess.Mean == nil {
		for _, m := range mean {
			r.Preprocess.Mean = append(r.Preprocess.Mean, rounded(m))
		}
	}
	if r.Preprocess.Std == nil {
		for c := range covariance { // a channel that is the same everywhere is not magnified
			r.Preprocess.Std = append(r.Preprocess.Std, rounded(max(math.Sqrt(max(covariance[c][c], 0)), 1/float64(of.Scale))))
		}
	}
	return nil
}

// rounded has four decimals, as the figures of data sets are given.
func rounded(v float64) float32 { return float32(math.Round(v*1e4) / 1e4) }

// pictures is how pictures become an input, as far as the recipe tells: what it leaves to the training set is unit's
// until it is measured.
func (r Recipe) pictures(input arch.Shape) (vision.Preprocess, error) {
	if input.C != 1 && input.C != 3 {
		return vision.Preprocess{}, fmt.Errorf("recipe: preprocess: a picture has 1 channel or 3, not %d", input.C)
	}
	base, parts := vision.Unit(input.W, input.H, input.C), r.Preprocess
	if parts.Base == Measured {
		base.Name, parts.Base = Measured, ""
	}
	p, err := parts.Apply(base)
	if err != nil {
		return p, fmt.Errorf("recipe: preprocess: %w", err)
	}
	return p, nil
}
