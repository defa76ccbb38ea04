package bench

import (
	"cmp"
	"context"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/vggo/vggo/internal/machine"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

// PartTime is the median time that the parts of one kind take in a training step.
type PartTime struct {
	Kind    string  `json:"kind"`
	Seconds float64 `json:"seconds"`
	Percent float64 `json:"percent"` // of all parts
}

// Kinds of parts that are the work itself; the rest of a step is what VGG needs beside it.
const (
	convolutionKind = "convolution"
	productKind     = "matrix products"
)

// Beside is the percentage of a training step's parts that is neither convolution nor matrix products.
func (r *Result) Beside() float64 {
	percent := 0.0
	for _, p := range r.Parts {
		if p.Kind != convolutionKind && p.Kind != productKind {
			percent += p.Percent
		}
	}
	return percent
}

// noise is a data set of random pictures and labels, as large as a run needs. Few are different.
type noise struct {
	pictures   []*vision.Picture
	n, classes int
}

func (d noise) Len() int                               { return d.n }
func (d noise) Label(i int) int                        { return i % d.classes }
func (d noise) Picture(i int) (*vision.Picture, error) { return d.pictures[i%len(d.pictures)], nil }

func (b *Bench) noise(n int) noise {
	d := noise{n: n, classes: b.Report.Layers[len(b.Report.Layers)-1].Out.C}
	r := rand.New(rand.NewPCG(b.Seed, 2))
	for range 64 {
		p := vision.NewPicture(b.Placed.Input.W, b.Placed.Input.H, b.Placed.Input.C)
		for i := range p.Pix {
			p.Pix[i] = uint8(r.IntN(256))
		}
		d.pictures = append(d.pictures, p)
	}
	return d
}

// runTraining times whole steps of the recipe, and then as many part by part.
func (b *Bench) runTraining(ctx context.Context, progress Progress) (*Result, error) {
	state, err := b.Recipe.StateBytes(b.Placed)
	if err != nil {
		return nil, err
	}
	debug.FreeOSMemory()
	machine.ResetPeakMemory()
	var timing stepTimes
	var exposed, hidden []float64
	plain, err := b.trainer(nil, func(step int, t stepTold) {
		if step >= 0 {
			timing.Add(t.took)
			exposed = append(exposed, t.waited.Seconds())
			hidden = append(hidden, max(0, t.summing-t.waited).Seconds())
		}
		if progress != nil {
			progress(Training, step, t.took)
		}
	})
	if err != nil {
		return nil, err
	}
	_, err = plain.Run(ctx)
	r := b.result(Training, &timing, plain.Plan(), nil)
	r.PredictedBytes += state
	if frozen := plain.Frozen(); frozen != nil {
		r.PredictedBytes += frozen.Memory().Total()
	}
	plain.Close()
	if b.Group.Size() > 1 {
		r.Communication = &Communication{b.Group.Size(), median(exposed), median(hidden)}
	}
	if err != nil {
		return r, cmp.Or(ctx.Err(), err)
	}

	kinds := map[string][]float64{} // seconds in each counted step
	step := map[string]float64{}
	passes := map[passKey][]float64{}
	counting := b.BurnIn == 0
	observe := func(part train.Part, took time.Duration) {
		step[b.kind(part)] += took.Seconds()
		if b.Layers && counting && part.Layers != nil {
			key := passKey{part.Step, part.Pass}
			passes[key] = append(passes[key], took.Seconds())
		}
	}
	parts, err := b.trainer(observe, func(i int, _ stepTold) {
		for kind, seconds := range step {
			if i >= 0 {
				kinds[kind] = append(kinds[kind], seconds)
			}
		}
		clear(step)
		counting = i+1 >= 0
	})
	if err != nil {
		return nil, err
	}
	defer parts.Close()
	if _, err := parts.Run(ctx); err != nil {
		return r, cmp.Or(ctx.Err(), err)
	}
	sum := 0.0
	for kind, seconds := range kinds {
		part := PartTime{Kind: kind, Seconds: median(seconds)}
		r.Parts = append(r.Parts, part)
		sum += part.Seconds
	}
	for i := range r.Parts {
		r.Parts[i].Percent = 100 * r.Parts[i].Seconds / sum
	}
	slices.SortFunc(r.Parts, func(x, y PartTime) int {
		return cmp.Or(cmp.Compare(y.Seconds, x.Seconds), cmp.Compare(x.Kind, y.Kind))
	})
	if b.Layers {
		groups := parts.Plan().Groups()
		if frozen := parts.Frozen(); frozen != nil {
			groups = slices.Concat(frozen.Groups(), groups)
		}
		r.Layers = b.layers(parts.Plan().Batch, groups, passes)
	}
	return r, nil
}

// stepTold is what a step took: in all, of sums over the ranks, and of waiting for these.
type stepTold struct{ took, summing, waited time.Duration }

// trainer is a run of the recipe over as many steps as are timed, which after is told of.
func (b *Bench) trainer(observe func(train.Part, time.Duration),
	after func(step int, t stepTold)) (*train.Trainer, error) {
	recipe := *b.Recipe
	recipe.Epochs, recipe.HoldOut, recipe.Seed, recipe.Small = 1, 0, b.Seed, train.Small{}
	if recipe.Schedule.Kind == "plateau" { // which waits for validations
		recipe.Schedule = train.Schedule{Kind: "constant"}
	}
	done, since := 0, stepTold{}
	return train.New(train.Options{
		Recipe: recipe, Network: b.Placed.Network, Train: b.noise(recipe.Batch * (b.BurnIn + b.Steps)),
		Threads: b.Threads, Costs: b.Costs, Budget: b.Budget, Observe: observe, Group: b.Group,
		Report: func(r train.Report) {
			if r.Step == done {
				return
			}
			now := stepTold{r.Elapsed, r.Summing, r.Waited}
			after(done-b.BurnIn, stepTold{now.took - since.took, now.summing - since.summing, now.waited - since.waited})
			done, since = r.Step, now
		},
	})
}

// kind is what a part of a step is an instance of.
func (b *Bench) kind(part train.Part) string {
	if part.Layers == nil {
		return part.Name
	}
	for _, l := range b.Report.Layers {
		if l.Name != part.Layers[0] {
			continue
		}
		switch work := l.Kind == "conv" || l.Kind == "linear"; {
		case work && part.Pass == nn.BackwardPass:
			return "ReLU and bias gradients"
		case l.Kind == "conv":
			return convolutionKind
		case l.Kind == "linear":
			return productKind
		case l.Kind == "batchnorm":
			return "batch norm"
		case strings.HasSuffix(l.Kind, "pool"):
			return "pooling"
		default:
			return l.Kind
		}
	}
	return part.Layers[0]
}
