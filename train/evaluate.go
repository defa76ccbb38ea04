package train

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/vggo/vggo/cluster"
	"github.com/vggo/vggo/internal/parallel"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// Views are the names of the ways to look at a picture for an answer, each the mean of its views' logits.
func Views() []string { return []string{"none", "flip", "flip+shift"} }

// view is a picture as the network is shown it, and its weight in the answer.
type view struct {
	flip   bool
	x, y   int // shift
	weight float32
}

// viewsOf are airbench's: mirrored; mirrored and, with half the weight, moved by a pixel up left and down right, the
// edge reflected.
func viewsOf(name string) ([]view, error) {
	switch name {
	case "", "none":
		return []view{{weight: 1}}, nil
	case "flip":
		return []view{{weight: 0.5}, {flip: true, weight: 0.5}}, nil
	case "flip+shift":
		return []view{
			{weight: 0.25}, {flip: true, weight: 0.25},
			{x: -1, y: -1, weight: 0.125}, {flip: true, x: -1, y: -1, weight: 0.125},
			{x: 1, y: 1, weight: 0.125}, {flip: true, x: 1, y: 1, weight: 0.125},
		}, nil
	}
	return nil, fmt.Errorf("recipe: views: %q is none of %s", name, printable.Or(Views()))
}

// Score is how well a network answers.
type Score struct {
	Views    string  `json:"views"`
	Pictures int     `json:"pictures"`
	Broken   int     `json:"broken,omitempty"` // pictures that cannot be read, not counted
	Loss     float64 `json:"loss"`             // cross-entropy, without smoothing
	Accuracy float64 `json:"accuracy"`         // share of right answers
	Top5     float64 `json:"top5"`             // share of pictures whose class is among the five likeliest
}

// evaluator answers for data sets.
type evaluator struct {
	plan      *nn.Plan
	augmenter *augmenter
	threads   int
	group     *cluster.Group // which shares the pictures
}

// Evaluate scores a network on a data set, by pictures prepared as the recipe says. The Plan is not for training, its
// parameters are up to date, and its logits are of one pixel. views is one of Views.
func Evaluate(ctx context.Context, plan *nn.Plan, d Dataset, pictures vision.Preprocess, views string) (Score, error) {
	p := newAugmenter(Augment{}, pictures, 0)
	j := &evaluator{plan: plan, augmenter: p, threads: plan.Threads}
	return j.score(ctx, newCachedSet(d, p.prepare, new(atomic.Int64)), views, nil)
}

// score answers for a data set. answers may be nil.
func (j *evaluator) score(ctx context.Context, d *cachedSet, name string, answers *Answers) (Score, error) {
	views, err := viewsOf(name)
	if err != nil {
		return Score{}, err
	}
	s := Score{Views: name}
	if name == "" {
		s.Views = "none"
	}
	images := tensor.New(j.plan.Batch, j.augmenter.channels, j.augmenter.h, j.augmenter.w)
	size := len(images.Data) / images.N
	pictures, faults := make([]*vision.Picture, images.N), make([]error, images.N)
	var fault error // of the first picture that cannot be read
	var logits *tensor.Tensor
	sums := make([]scoreSums, (d.Len()+images.N-1)/images.N) // of each batch
	stopped := false
	for at := range sums {
		if stopped || !j.answers(at, answers != nil) {
			continue
		}
		from, sum := at*images.N, &sums[at]
		n := min(images.N, d.Len()-from)
		parallel.Each(j.threads, n, func(i int) {
			if pictures[i], faults[i] = d.Picture(from + i); faults[i] != nil {
				pictures[i] = nil
			}
		})
		var labels, samples []int
		good := pictures[:0:0]
		for i, p := range pictures[:n] {
			if p == nil {
				sum.broken++
				fault = cmp.Or(fault, faults[i])
				continue
			}
			good, labels, samples = append(good, p), append(labels, d.Label(from+i)), append(samples, from+i)
		}
		if len(good) == 0 {
			continue
		}
		for k, v := range views {
			if stopped = ctx.Err() != nil; stopped {
				break
			}
			parallel.Each(j.threads, len(good), func(i int) {
				j.augmenter.write(images.Data[i*size:][:size], good[i], v.x, v.y, v.flip, true)
			})
			if err := j.plan.Forward(images.Images(0, len(good))); err != nil {
				return Score{}, err
			}
			out := j.plan.Logits()
			if k == 0 {
				logits = tensor.New(out.N, out.C, out.H, out.W)
			}
			for i, x := range out.Data {
				logits.Data[i] += v.weight * x // a power of 2: exact, fused or not
			}
		}
		if stopped {
			continue
		}
		loss, err := nn.CrossEntropy(logits, labels, nil)
		if err != nil {
			return Score{}, err
		}
		sum.loss, sum.pictures = float64(loss*float64(len(labels))), len(labels)
		for i, label := range labels {
			scores := logits.Data[i*logits.C:][:logits.C]
			answers.see(samples[i], label, scores)
			above := rank(scores, label)
			if above == 0 {
				sum.right++
			}
			if above < 5 {
				sum.top++
			}
		}
	}
	if err := j.share(sums, stopped); errors.Is(err, errStopped) {
		return Score{}, cmp.Or(ctx.Err(), err)
	} else if err != nil {
		return Score{}, err
	}
	right, top := 0, 0
	for _, sum := range sums { // in order, whoever has answered
		s.Loss += sum.loss
		s.Pictures, s.Broken = s.Pictures+sum.pictures, s.Broken+sum.broken
		right, top = right+sum.right, top+sum.top
	}
	if s.Pictures == 0 {
		return Score{}, &EmptyError{cmp.Or(fault, errors.New("another rank cannot read it"))}
	}
	s.Loss /= float64(s.Pictures)
	s.Accuracy, s.Top5 = float64(right)/float64(s.Pictures), float64(top)/float64(s.Pictures)
	return s, nil
}

// scoreSums are of one batch of pictures.
type scoreSums struct {
	loss                         float64
	pictures, broken, right, top int
}

// answers reports whether this rank answers for a batch: every rank for some. What answers are kept of is rank 0's.
func (j *evaluator) answers(batch int, kept bool) bool {
	if kept {
		return j.group.Rank() == 0
	}
	return batch%j.group.Size() == j.group.Rank()
}

// share gives every rank all sums. An error says that a rank was told to stop.
func (j *evaluator) share(sums []scoreSums, stopped bool) error {
	if j.group.Size() > 1 {
		mine := make([]float64, 0, 5*len(sums))
		for _, s := range sums {
			mine = append(mine, s.loss, float64(s.pictures), float64(s.broken), float64(s.right), float64(s.top))
		}
		all, err := j.group.Gather(mine)
		if err != nil {
			return err
		}
		for at := range sums {
			var s scoreSums
			for _, values := range all { // one rank's, and zeros
				v := values[5*at:]
				s = scoreSums{s.loss + v[0], s.pictures + int(v[1]), s.broken + int(v[2]), s.right + int(v[3]), s.top + int(v[4])}
			}
			sums[at] = s
		}
	}
	stop, err := j.group.Any(stopped)
	if err == nil && stop {
		err = errStopped
	}
	return err
}

// rank is how many classes come before one: those with larger logits, and the earlier of equals. NaN comes before
// everything.
func rank(logits []float32, class int) (above int) {
	x := logits[class]
	for c, v := range logits {
		if c != class && !(v < x) && (v > x || v != x || c < class) {
			above++
		}
	}
	if math.IsNaN(float64(x)) {
		return len(logits)
	}
	return above
}

// validate scores the network, or the mean of its weights, and keeps it if it is the best so far.
func (t *Trainer) validate(ctx context.Context) error {
	if t.validation == nil {
		t.state.Validated = t.state.Step
		return t.note(Metrics{})
	}
	score, err := t.averaged(func() (Score, error) {
		score, err := t.score(ctx, t.validation, t.recipe.Views, nil)
		if err != nil {
			return score, err
		}
		if math.IsNaN(score.Loss) || math.IsInf(score.Loss, 0) {
			return score, t.diverged("the validation's loss is %v", score.Loss)
		}
		if score.Accuracy > t.state.Best || score.Accuracy == t.state.Best && score.Loss < t.state.BestLoss {
			t.state.Best, t.state.BestLoss, t.state.BestStep = score.Accuracy, score.Loss, t.state.Step
			t.state.Worse = 0
			return score, t.saveWeights(BestFile)
		}
		t.state.Worse++
		return score, nil
	})
	if err != nil {
		return err
	}
	t.state.Plateau.see(&t.recipe.Schedule, score.Accuracy)
	t.state.Validated = t.state.Step
	t.last = &score
	if err := t.note(Metrics{Validation: &score}); err != nil {
		return err
	}
	t.report(Report{Validation: &score})
	return nil
}

// averaged calls do while the parameters are those that count: the mean, where there is one beside them.
func (t *Trainer) averaged(do func() (Score, error)) (_ Score, err error) {
	if t.average.beside() {
		t.average.swap()
		defer func() {
			t.average.swap()
			err = errors.Join(err, t.plan.Refresh()) // the plans share what they pack
		}()
	}
	return do()
}

// score runs the network as it is on a data set.
func (t *Trainer) score(ctx context.Context, d *cachedSet, views string, answers *Answers) (Score, error) {
	if t.evaluator.plan == nil {
		plan, err := nn.Compile(t.placed, t.params, nn.Options{Batch: min(t.feed.whole, 256), Threads: t.threads,
			Costs: t.options.Costs})
		if err != nil {
			return Score{}, err
		}
		t.evaluator.plan = plan
	}
	if err := t.evaluator.plan.Refresh(); err != nil {
		return Score{}, err
	}
	return t.evaluator.score(ctx, d, views, answers)
}

// scoreResult scores the finished network on the test set, or looks once more at its answers to what validates.
func (t *Trainer) scoreResult(ctx context.Context, r *Result) error {
	look := func(set string, d *cachedSet, views string) (Score, error) {
		answers := newAnswers(set, d, t.placed.Output().C)
		score, err := t.score(ctx, d, views, answers)
		if answers != nil {
			answers.Score, r.Answers = score, answers
		}
		return score, err
	}
	own := cmp.Or(t.recipe.Views, "none")
	if t.test == nil {
		if t.validation == nil {
			return nil
		}
		_, err := look("validation", t.validation, own)
		return err
	}
	for _, views := range Views() {
		var score Score
		var err error
		if views == own {
			score, err = look("test", t.test, views)
		} else {
			score, err = t.score(ctx, t.test, views, nil)
		}
		if err != nil {
			return err
		}
		r.Test = append(r.Test, score)
	}
	return nil
}
