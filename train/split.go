package train

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
)

// A run whose first layers do not learn computes them as a network in use does: by a plan of their own, which has no
// backward pass and keeps no maps. What learns is a plan of the rest, whose images are their outputs.

// frozen is the layers before those that learn.
type frozen struct {
	placed *arch.Placement
	plan   *nn.Plan
}

// close lets the plan go, where there is one.
func (f *frozen) close() {
	if f != nil {
		f.plan.Close()
	}
}

// ErrNothingLearns is a run all of whose layers are frozen.
var ErrNothingLearns = errors.New("every layer is frozen: nothing learns")

// Learning is the part of a network that ever learns by the recipe, from the first such layer on: what a run needs
// memory to train. The whole network where all of it does, or none.
func (r Recipe) Learning(placed *arch.Placement) (*arch.Placement, error) {
	rules, err := r.allRules(placed)
	if err != nil {
		return nil, err
	}
	learns := firstToLearn(placed, rules, math.Inf(1))
	if learns == "" {
		return placed, nil
	}
	_, rest, err := split(placed, learns)
	return rest, err
}

// StateBytes is the bytes that a run of the network by the recipe keeps beside its plans: the optimiser's moments and
// the room that its steps need, the mean, and the sums of several passes.
func (r Recipe) StateBytes(placed *arch.Placement) (int64, error) {
	rules, err := r.allRules(placed)
	if err != nil {
		return 0, err
	}
	floats, room := int64(0), muonRoom{}
	for _, layer := range placed.Layers {
		for _, p := range layer.Params {
			copies := 0
			if r.Average.Kind != "" {
				copies++
			}
			if s := settingsOf(p, &r.Optimiser, rules); p.Trainable && !s.never() {
				copies += r.Optimiser.keeps(s.momentum)
				if r.accumulate() > 1 {
					copies++
				}
				if s.muon {
					room.add(matrixOf(p))
				}
			}
			floats += int64(copies) * int64(p.Count())
		}
	}
	return 4*floats + room.bytes(), nil
}

// firstToLearn is the first layer with a parameter that learns after so many epochs; empty if none does.
func firstToLearn(placed *arch.Placement, rules []Rule, epochs float64) string {
	for _, layer := range placed.Layers {
		for _, p := range layer.Params {
			if s := settingsOf(p, &Optimise{}, rules); p.Trainable && !s.frozen(epochs) {
				return layer.Name
			}
		}
	}
	return ""
}

// split divides a network before a layer, the first that learns. front is nil where no layer with parameters is before
// it. What has no parameters goes with the frozen layers, but for a dropout and what is behind it: such a dropout
// regularises the layer that learns. Where a plan would end before the last of them, as before a sigmoid, they are
// divided there.
func split(placed *arch.Placement, learns string) (front, rest *arch.Placement, err error) {
	layer, _ := placed.Layer(learns)
	n := layer.Index
	for n > 0 && len(placed.Layers[n-1].Params) == 0 {
		n--
	}
	if n == 0 {
		return nil, placed, nil
	}
	for ; n < layer.Index; n++ {
		if _, ok := placed.Layers[n].Op.(arch.Dropout); ok {
			break
		}
	}
	for n > 0 {
		last := placed.Layers[n-1].Name
		if front, err = placed.Until(last); err != nil {
			return nil, nil, err
		}
		if _, logits := front.Ending(); logits < n {
			n = logits
			continue
		}
		rest, err = placed.After(last)
		return front, rest, err
	}
	return nil, placed, nil
}

// endBackward leaves out the backward pass of first layers that learn no more, as conv1_1 of the recipe cifar10, whose
// bias learns for three epochs: its gradients, and the next convolution's gradient of its input.
func (t *Trainer) endBackward() error {
	slots := t.optimiser.slots
	first := slices.IndexFunc(slots, func(s *slot) bool { return !s.rests(t.epoch()) })
	if first < 0 {
		return nil
	}
	return t.plan.EndBackward(slots[first].Layer())
}

// layOut makes the plans for the layers that learn after so many steps, and for those before them.
func (t *Trainer) layOut(step int) error {
	learns := firstToLearn(t.placed, t.rules, float64(step)/float64(t.perEpoch))
	if learns == "" {
		return ErrNothingLearns
	}
	placed, augmenter := t.sized(step)
	front, rest, err := split(placed, learns)
	if err != nil {
		return err
	}
	share := t.share()
	options := nn.Options{
		Batch: t.feed.batch, Training: true, BackTo: learns, KeepProb: t.recipe.Keep, Seed: t.recipe.Seed,
		Threads: t.threads, Costs: t.options.Costs, Budget: t.options.Budget, Share: share,
	}
	// How an image is computed depends on what a plan has room for: on a part, so that ranks share the bits.
	use := nn.Options{Batch: t.feed.batch / max(share.Parts, 1), Threads: t.threads, Costs: t.options.Costs,
		Budget: t.options.Budget}
	offset := 0 // of the learning plan's groups among all
	options.Observe = t.observer(func() []nn.Group { return t.plan.Groups() }, &offset)
	use.Observe = t.observer(func() []nn.Group { return t.frozen.plan.Groups() }, new(int))
	var least int64
	if front != nil && options.Budget > 0 {
		if least, err = leastMemory(front, use); err != nil {
			return err
		}
		options.Budget = max(options.Budget-least, 1)
	}
	plan, err := nn.Compile(rest, t.params, options)
	var e *nn.MemoryError
	if errors.As(err, &e) {
		e.Network, e.Need, e.Available = t.net.Name, e.Need+least, t.options.Budget
	}
	if err != nil {
		return err
	}
	t.closePlans()
	t.feed.kept.close()
	t.feed.kept = nil
	t.plan, t.frozen, t.learns, t.sees, t.feed.augmenter = plan, nil, learns, placed, augmenter
	plan.SkipForwards(uint64(step) * uint64(t.recipe.accumulate()))
	t.feed.features = arch.Shape{}
	if front == nil {
		return nil
	}
	if use.Budget > 0 {
		use.Budget -= plan.Memory().Total()
	}
	before, err := nn.Compile(front, t.params, use)
	if err != nil {
		return err
	}
	t.frozen, t.feed.features = &frozen{front, before}, front.Output()
	offset = len(before.Groups())
	return nil
}

// groups are those of both plans, in order.
func (t *Trainer) groups() []nn.Group {
	if t.frozen == nil {
		return t.plan.Groups()
	}
	return slices.Concat(t.frozen.plan.Groups(), t.plan.Groups())
}

// memory is the bytes that both plans take.
func (t *Trainer) memory() int64 {
	all := t.plan.Memory().Total()
	if t.frozen != nil {
		all += t.frozen.plan.Memory().Total()
	}
	return all
}

// leastMemory is the bytes that a plan takes at least.
func leastMemory(placed *arch.Placement, options nn.Options) (int64, error) {
	options.Budget = 1
	_, _, err := nn.Predict(placed, options)
	var e *nn.MemoryError
	if errors.As(err, &e) {
		return e.Need, nil
	}
	return 0, err
}

// observer tells Options.Observe of a plan's passes, whose groups are counted from an offset on; nil if nobody asks.
func (t *Trainer) observer(groups func() []nn.Group, offset *int) func(int, nn.Pass, time.Duration) {
	if t.options.Observe == nil {
		return nil
	}
	return func(group int, pass nn.Pass, took time.Duration) {
		t.options.Observe(Part{Layers: groups()[group].Names(), Step: *offset + group, Pass: pass}, took)
	}
}

// closePlans lets both plans go.
func (t *Trainer) closePlans() {
	if t.plan != nil {
		t.plan.Close()
	}
	t.frozen.close()
}

// refresh takes over new values of all parameters. Those of the frozen part change at the start alone.
func (t *Trainer) refresh() error {
	if err := t.plan.Refresh(); err != nil || t.frozen == nil {
		return err
	}
	return t.frozen.plan.Refresh()
}

// thaw makes a batch the input of the layers that learn: what the frozen ones make of its pictures.
func (t *Trainer) thaw(b *batch) error {
	plan := t.frozen.plan
	for at := 0; at < len(b.missing); at += plan.Batch {
		some := b.missing[at:min(at+plan.Batch, len(b.missing))]
		if err := plan.Forward(b.images.Images(at, at+len(some))); err != nil {
			return err
		}
		out := plan.Logits()
		for i, n := range some {
			row := b.row(n)
			copy(row, out.Images(i, i+1).Data)
			t.feed.kept.add(b.epoch, b.samples[n], row)
		}
	}
	return nil
}
