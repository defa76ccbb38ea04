package train

import (
	"context"
	"math"
	"path/filepath"
	"time"

	clock "github.com/vggo/vggo/internal/machine"
)

// A run from its first step to its result.

// due reports whether something that happens every so many epochs happens after a step.
func (t *Trainer) due(every float64) bool {
	period := every * float64(t.perEpoch)
	return t.state.Step == t.steps || t.state.Step > 0 &&
		math.Floor(float64(t.state.Step)/period) > math.Floor(float64(t.state.Step-1)/period)
}

// Run trains to the end. When ctx is done it saves the state and returns an *InterruptedError; a run whose loss or
// parameters are no longer finite is a *DivergedError. Run may be called once.
func (t *Trainer) Run(ctx context.Context) (Result, error) {
	began := clock.Now()
	t.elapsed = func() time.Duration { return clock.Now() - began }
	defer t.folder.release()
	interrupted := func() (Result, error) {
		if err := t.compare(); err != nil {
			return Result{}, err
		}
		if err := t.save(); err != nil {
			return Result{}, err
		}
		return Result{}, t.interrupted(ctx)
	}
	if !t.Finished() {
		if err := t.learnFrom(); err != nil {
			return Result{}, err
		}
	}
	for {
		if err := t.unfreeze(); err != nil {
			return Result{}, err
		}
		// A validation that an interruption cut short is made up for before the next step.
		if t.state.Step > t.state.Validated && t.due(t.recipe.validateEvery()) {
			if err := t.validate(ctx); err != nil {
				if isStop(ctx, err) {
					return interrupted()
				}
				return Result{}, err
			}
		}
		t.state.Stopped = t.recipe.Patience > 0 && t.state.Worse >= t.recipe.Patience
		due := t.state.Step > 0 && (t.state.Stopped || t.due(t.recipe.checkpointEvery()))
		if due || t.state.Step%compareEvery == 0 {
			if err := t.compare(); err != nil {
				return Result{}, err
			}
		}
		if due {
			if err := t.save(); err != nil {
				return Result{}, err
			}
		}
		if t.Finished() {
			break
		}
		if stop, err := t.ranks.Any(ctx.Err() != nil); err != nil {
			return Result{}, err
		} else if stop {
			return interrupted()
		}
		if err := t.step(); err != nil {
			return Result{}, err
		}
	}
	t.feed.close()
	result, err := t.finish(ctx)
	if err == nil && t.frozen != nil && t.options.Folder != "" {
		t.feed.kept.close()
		err = removeFeatures(filepath.Join(t.options.Folder, featuresFolder))
	}
	return result, err
}

// step learns from one batch.
func (t *Trainer) step() error {
	if err := t.endBackward(); err != nil {
		return err
	}
	passes := t.recipe.accumulate()
	t.loss = 0
	for pass := range passes {
		var b *batch
		t.part(DataPart, func() { b = t.feed.next() })
		for _, f := range b.faults {
			t.report(Report{Fault: f.err})
		}
		if b.err != nil {
			return b.err
		}
		t.passed, t.batch = pass, b
		err := t.learn(b)
		t.feed.free <- b
		if err != nil {
			return err
		}
	}
	rate := t.recipe.Optimiser.Rate * t.recipe.Schedule.share(t.state.Step, t.steps, t.perEpoch, t.state.Plateau)
	share := 1.0
	t.optimiser.epochs = t.epoch()
	t.part(OptimiserPart, func() {
		if t.recipe.Clip > 0 {
			t.optimiser.Clip(t.recipe.Clip)
		}
		if t.recipe.Polyak > 0 && rate > 0 {
			share = min(1, t.recipe.Polyak*t.optimiser.Polyak(t.loss)/rate)
		}
		t.optimiser.stepByElement(rate, share, t.epoch())
		t.state.Rate = rate * share
	})
	if t.optimiser.muon != nil {
		t.part(MuonPart, func() { t.optimiser.stepByMatrix(rate, share) })
	}
	t.state.Step++
	t.state.Losses = append(t.state.Losses[max(0, len(t.state.Losses)+1-maxLosses):], t.loss)
	t.part(AveragePart, func() { t.average.after(t.state.Step, t.steps) })
	var err error
	t.part(PackingPart, func() { err = t.plan.Refresh() })
	if err != nil {
		return err
	}
	t.images += t.recipe.Batch
	t.report(Report{})
	t.tell()
	if line := max(1, t.perEpoch/20); t.state.Step%line == 0 && !t.due(t.recipe.validateEvery()) {
		return t.note(Metrics{})
	}
	return nil
}

// note writes a line of metrics.
func (t *Trainer) note(m Metrics) error {
	m.Step, m.Epoch, m.Rate, m.Seconds = t.state.Step, t.epoch(), t.state.Rate, t.seconds()
	if n := float64(t.state.Since.Samples); n > 0 {
		m.Training = &Stretch{t.state.Since.Loss / n, float64(t.state.Since.Right) / n}
	}
	t.state.Since = tally{}
	if err := t.journal.write(m); err != nil {
		return t.saveError(MetricsFile, err)
	}
	return nil
}

// finish makes the result of the last state, which has been saved: an interrupted finish can be repeated.
func (t *Trainer) finish(ctx context.Context) (Result, error) {
	if t.state.Stopped {
		t.average.end()
	}
	if t.average.beside() { // the weights end as their mean
		t.average.swap()
	}
	if err := t.finite(); err != nil {
		return Result{}, err
	}
	held := t.last
	if t.state.Validated != t.state.Step {
		held = nil // it is of a state before
	}
	result := Result{Steps: t.state.Step, Stopped: t.state.Stopped, Pictures: t.train.Len(),
		Loss: t.state.loss(), Validation: t.last,
		Chance: chance(t.state.Losses, t.placed.Output().C, held), Best: t.state.Best, BestStep: t.state.BestStep,
		Summing: t.ranks.Took(), Waited: t.ranks.waited}
	if err := t.scoreResult(ctx, &result); err != nil {
		if isStop(ctx, err) {
			return Result{}, t.interrupted(ctx)
		}
		return Result{}, err
	}
	if result.Test != nil || result.Chance != nil {
		if err := t.note(Metrics{Test: result.Test, Chance: result.Chance}); err != nil {
			return Result{}, err
		}
	}
	if err := t.saveWeights(ModelFile); err != nil {
		return Result{}, err
	}
	if t.validation == nil { // the last weights are the best that are known of
		if err := t.saveWeights(BestFile); err != nil {
			return Result{}, err
		}
	}
	result.Seconds = t.seconds()
	return result, nil
}

// learnFrom begins to make batches for the step that follows.
func (t *Trainer) learnFrom() error {
	if err := t.keep(); err != nil {
		return err
	}
	t.feed.start(t.state.Step * t.recipe.accumulate())
	return nil
}

// unfreeze lays the plans out anew where another layer is the first to learn from the step that follows on, or pictures
// are of another size.
func (t *Trainer) unfreeze() error {
	if placed, _ := t.sized(t.state.Step); placed == t.sees && firstToLearn(t.placed, t.rules, t.epoch()) == t.learns {
		return nil
	}
	t.feed.close()
	if err := t.layOut(t.state.Step); err != nil {
		return err
	}
	t.state.Machine = t.machine()
	if t.options.Folder != "" {
		if err := removeFeatures(filepath.Join(t.options.Folder, featuresFolder)); err != nil {
			return err
		}
	}
	if t.Finished() {
		return nil
	}
	return t.learnFrom()
}
