package train

import (
	"errors"
	"image"
	"math"
	"slices"

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

// Seal adds a checkpoint's checksum to its notes.
func Seal(tensors []weights.Tensor, notes map[string]string) error { return seal(tensors, notes) }

// Levelled is how many pictures a run would level its layers by within a budget, and the bytes that they take beside
// its plan.
func Levelled(t *Trainer, budget int64) (pictures int, need, plan int64, err error) {
	stretches, err := t.stretches()
	if err != nil {
		return 0, 0, 0, err
	}
	t.options.Budget = budget
	plan = t.plan.Memory().Total()
	if pictures, err = t.levelPictures(stretches); err != nil {
		return 0, 0, plan, err
	}
	need, err = t.levelMemory(stretches, pictures)
	return pictures, need, plan, err
}

// CheckSchedule and CheckAverage are what a recipe's parts must pass.
func CheckSchedule(s Schedule) error { return s.check() }
func CheckAverage(a Average) error   { return a.check() }

// WithWriter lets a test write a run's files.
func WithWriter(o Options, write func(string, []weights.Tensor, map[string]string) error) Options {
	o.write = write
	return o
}

// Painted is a picture as a network sees it in an epoch, or the middle of it, of so many pixels if not 0.
func Painted(a Augment, recipe vision.Preprocess, p *vision.Picture, epoch, sample, middle int) ([]float32, error) {
	if err := a.check(image.Pt(recipe.Crop.X, recipe.Crop.Y), recipe.Channels); err != nil {
		return nil, err
	}
	augmenter := newAugmenter(a, recipe, 9)
	if middle > 0 {
		augmenter = augmenter.middle(middle)
	}
	p, err := augmenter.prepare(p)
	if err != nil {
		return nil, err
	}
	dst := make([]float32, recipe.Channels*augmenter.w*augmenter.h)
	for i := range dst {
		dst[i] = float32(math.NaN()) // every value must be written
	}
	augmenter.put(dst, p, epoch, sample)
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

// RateOf is the share of the rate at which a parameter learns.
func RateOf(t *Trainer, name string) float64 { return t.slots[t.params.Get(name)].rate }

// Kept is the bytes that StateBytes predicts.
func Kept(t *Trainer) int64 {
	floats := 0
	for _, tensor := range t.optimiser.tensors() {
		floats += len(tensor.Data)
	}
	if m := t.optimiser.muon; m != nil {
		floats += len(m.x) + len(m.a) + len(m.b) + len(m.t) + len(m.q) + len(m.products)
	}
	for _, sum := range t.sums {
		floats += len(sum)
	}
	if t.average != nil {
		for _, mean := range t.average.mean {
			floats += len(mean)
		}
	}
	return 4 * int64(floats)
}

// Some are the pictures by which a run's layers were levelled.
func Some(t *Trainer) (*tensor.Tensor, error) { return t.some(levelled) }

// Taught takes so many steps of a run and tells the loss of each batch, and before and after them the loss over the
// same pictures of the training set as validation sees them: no augmentation, no dropout, batch norm by the statistics
// of a batch, since its running ones mean nothing before there is training.
func Taught(o Options, steps, pictures int) (losses []float64, before, after float64, err error) {
	t, err := New(o)
	if err != nil {
		return nil, 0, 0, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	if before, err = t.lossOnSame(pictures); err != nil {
		return nil, 0, 0, err
	}
	t.feed.start(0)
	for range steps {
		if err := t.step(); err != nil {
			return losses, before, 0, err
		}
		losses = append(losses, t.loss)
	}
	after, err = t.lossOnSame(pictures)
	return losses, before, after, err
}

// lossOnSame is the loss over the same pictures each time.
func (t *Trainer) lossOnSame(pictures int) (loss float64, err error) {
	batch := min(t.recipe.Batch, pictures)
	plan, err := nn.Compile(t.placed, t.params, nn.Options{Batch: batch, Training: true, KeepProb: 1, Threads: t.threads})
	if err != nil {
		return 0, err
	}
	defer plan.Close()
	var kept [][]float32 // batch norm's running statistics, which a forward pass in training moves
	for _, p := range t.params.List {
		kept = append(kept, nil)
		if !p.Trainable {
			kept[len(kept)-1] = slices.Clone(p.Data)
		}
	}
	defer func() {
		for i, p := range t.params.List {
			copy(p.Data, kept[i])
		}
	}()
	images := tensor.New(batch, t.augmenter.channels, t.augmenter.h, t.augmenter.w)
	batches := pictures / batch
	samples := order(t.train.Len(), 0, 0)
	for n := range batches {
		labels := make([]int, batch)
		for i := range batch {
			sample := samples[n*batch+i]
			p, err := t.train.Picture(sample)
			if err == nil {
				p, err = t.evaluator.augmenter.prepare(p)
			}
			if err != nil {
				return 0, err
			}
			t.evaluator.augmenter.put(images.Images(i, i+1).Data, p, 0, sample)
			labels[i] = t.train.Label(sample)
		}
		if err := plan.Forward(images); err != nil {
			return 0, err
		}
		l, err := nn.CrossEntropy(plan.Logits(), labels, nil)
		if err != nil {
			return 0, err
		}
		loss += l / float64(batches)
	}
	return loss, nil
}

// ChanceOf is what a run says whose last steps and last state had these losses and scores.
var ChanceOf = chance

// Split is the layers between which a network is divided before one that learns, "conv1 | sigmoid1"; empty for none.
func Split(net *arch.Network, learns string) (string, error) {
	placed, err := net.Place(net.Input)
	if err != nil {
		return "", err
	}
	front, rest, err := split(placed, learns)
	if err != nil || front == nil {
		return "", err
	}
	return (&frozen{placed: front}).last() + " | " + rest.Layers[0].Name, nil
}

// Weigh is what class weights come to.
func Weigh(w ClassWeights, d Dataset, names []string, classes int) ([]float64, error) {
	return w.weigh(d, names, classes)
}

// WithChunk lets a run keep features in files of so many bytes.
func WithChunk(o Options, bytes int) Options {
	o.chunk = bytes
	return o
}

// FeaturesFolder is what a run's kept features lie in.
const FeaturesFolder = featuresFolder
