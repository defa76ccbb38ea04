package bench

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
)

// Estimate is how long Run will take for these modes, by the prices in Costs.
func (b *Bench) Estimate(modes []Mode) (time.Duration, error) {
	seconds := 0.0
	for _, mode := range modes {
		step, err := b.stepSeconds(mode)
		if err != nil {
			return 0, err
		}
		if mode == Training { // as many steps again are taken part by part
			step *= 2
		}
		seconds += step * (float64(b.BurnIn) + float64(b.Steps))
	}
	return time.Duration(min(seconds*float64(time.Second), math.MaxInt64/2)), nil // a Duration ends after 292 years
}

// stepSeconds predicts how long a step takes: a convolution's passes by the algorithms that its Plan chooses, any other
// layer's multiply-accumulates at the price of the definition, or its weights and maps at that of memory, whichever is
// longer. Each layer but a convolution has as much work for each of two gradients as forward.
func (b *Bench) stepSeconds(mode Mode) (float64, error) {
	opt := b.Options(mode)
	_, groups, err := nn.Predict(b.Placed, opt)
	if err != nil {
		return 0, err
	}
	passes := 1.0
	if opt.Training {
		passes = 3
	}
	ranks := 1
	if mode == Training {
		ranks = b.Group.Size()
	}
	costs, seconds := b.Costs.Of(b.Set), 0.0
	reports := b.reports()
	for _, g := range groups {
		for _, choice := range g.Choices {
			i := slices.IndexFunc(choice.Candidates, func(c nn.Candidate) bool { return c.Algo == choice.Algo })
			seconds += choice.Candidates[i].Seconds
		}
		if len(g.Choices) > 0 {
			continue
		}
		first, last := reports[g.Layers[0].Name], reports[g.Layers[len(g.Layers)-1].Name]
		macs := float64(first.FLOPs/2) * float64(opt.Batch)
		bytes := b.weightBytes(g) + mapBytes(opt.Batch, first.In) + mapBytes(opt.Batch, last.Out)
		seconds += passes * max(macs*costs.Direct, float64(bytes)*costs.Stream) * 1e-12
	}
	return seconds / float64(b.Threads) * float64(b.Batch) / float64(opt.Batch*ranks), nil
}

// reports are the Report's layers by name.
func (b *Bench) reports() map[string]arch.LayerReport {
	reports := map[string]arch.LayerReport{}
	for _, l := range b.Report.Layers {
		reports[l.Name] = l
	}
	return reports
}

// First times a single image forward, the second of two: a first figure, long before that of a large batch. It also
// tells how much longer this machine takes than its prices say, or how much less.
func (b *Bench) First(ctx context.Context) (took time.Duration, pace float64, err error) {
	one := *b
	one.Batch, one.BurnIn, one.Steps, one.Layers = 1, 1, 1, false
	if one.Report, err = b.Placed.Analyze(1); err != nil {
		return 0, 0, err
	}
	predicted, err := one.stepSeconds(Forward)
	if err != nil {
		return 0, 0, err
	}
	r, err := one.Run(ctx, Forward, nil)
	if err != nil {
		return 0, 0, err
	}
	b.params = one.params
	return time.Duration(r.Median * float64(time.Second)), r.Median / predicted, nil
}
