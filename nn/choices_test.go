package nn_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/internal/printable"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
)

// chooser has convolutions whose weights weigh more than their maps, and one, of the images, that goes by the
// definition whatever is asked.
func chooser() []arch.Op {
	conv := func(out int) arch.Op { return arch.Conv{Out: out, Window: window(3, 3, 1, 1, arch.Pad(1))} }
	return []arch.Op{conv(20), conv(50), arch.MaxPool{Window: window(2, 2, 2, 1, arch.Pad(0))}, conv(70), conv(33)}
}

// choicesBy are a Plan's by layer and pass.
func choicesBy(plan *nn.Plan) map[string]nn.Choice {
	by := map[string]nn.Choice{}
	for _, c := range nn.Choices(plan.Groups()) {
		by[c.Layer+" "+string(c.Pass)] = c
	}
	return by
}

// TestBudget: within every budget from the least that will do to what is wanted without, a Plan takes no more than
// that, says which of its choices the budget forced, and keeps the bounds of the algorithm that was asked for or of a
// more accurate one. Less than the least is an error that names the least.
func TestBudget(t *testing.T) {
	for _, training := range []bool{false, true} {
		tr := newTrial(t, 1, arch.Shape{C: 3, H: 12, W: 10}, 2, chooser()...)
		tr.training = training
		for _, c := range setsAndAlgos() {
			t.Run(fmt.Sprintf("%s/training=%v", c, training), func(t *testing.T) {
				tr.set, tr.algo, tr.budget = c.set, c.algo, 0
				plan, params := tr.plan(t)
				free := plan.Memory().Total()
				opt := plan.Options
				least := shortOf(t, tr.network, params, opt, 1)
				if got := shortOf(t, tr.network, params, opt, least-1); got != least || (least < free) != (c.algo != nn.Direct) {
					t.Errorf("the least is %d bytes, short of that it is %d, without a budget a Plan takes %d", least, got, free)
				}
				const budgets = 6
				for i := range int64(budgets + 1) {
					tr.budget = least + (free-least)*i/budgets
					plan, params := tr.plan(t)
					if got := plan.Memory().Total(); got > tr.budget {
						t.Errorf("with a budget of %d bytes a Plan takes %d", tr.budget, got)
					}
					forced := 0
					for _, choice := range nn.Choices(plan.Groups()) {
						if strings.Contains(choice.Why, "budget") {
							forced++
						} else if choice.Algo != c.algo && len(choice.Candidates) > 1 {
							t.Errorf("%s %s goes by %s: %s", choice.Layer, choice.Pass, choice.Algo, choice.Why)
						}
					}
					if (forced > 0) != (tr.budget < free) {
						t.Errorf("with %d bytes of %d the budget forced %d choices", tr.budget, free, forced)
					}
					got := tr.run(t, plan, params)
					exact := &tr.exact[0]
					if training {
						exact = &tr.exact[1]
					}
					if *exact == nil {
						*exact = tr.reference(t, got)
					}
					tr.compare(t, got, *exact, *exact)
				}
			})
		}
	}
}

// shortOf is what a Plan needs at least, as the error says for a budget that is short of it.
func shortOf(t *testing.T, net *arch.Network, params *nn.Params, opt nn.Options, budget int64) int64 {
	t.Helper()
	opt.Budget = budget
	_, err := nn.Compile(archtest.Place(t, net), params, opt)
	var short *nn.MemoryError
	if !errors.As(err, &short) {
		t.Fatalf("a budget of %d bytes: error %v, want one that says so", budget, err)
	}
	need, has := printable.BytesApart(short.Need, budget)
	if !short.Budget || short.Available != budget || short.Need <= budget || need == has ||
		!strings.HasSuffix(err.Error(), "needs at least "+need+" of memory, and "+has+" are allowed") {
		t.Errorf("a budget of %d bytes: %+v, which reads %q", budget, short, err)
	}
	return short.Need
}

// TestLeastBudget: where the definition takes more scratch than it saves in packed weights, the least is what other
// algorithms take, and will do.
func TestLeastBudget(t *testing.T) {
	conv := arch.Conv{Out: 16, Window: window(3, 3, 1, 1, arch.Pad(1))}
	net := named("wide", arch.Shape{C: 64, H: 30, W: 200}, arch.ReLU{}, conv, conv)
	params := newParams(t, net, nn.He)
	for _, c := range setsAndAlgos() {
		for _, threads := range []int{1, 8} {
			opt := nn.Options{Batch: 2, Threads: threads, Set: c.set.Name, Algo: c.algo}
			opt.Budget = shortOf(t, net, params, opt, 1)
			if free, got := compile(t, net, params, nn.Options{Batch: 2, Threads: threads, Set: c.set.Name,
				Algo: c.algo}).Memory().Total(), compile(t, net, params, opt).Memory().Total(); got != opt.Budget || got > free {
				t.Errorf("%s, %d threads: the least is said to be %d bytes, a Plan then takes %d, and without a budget %d", c,
					threads, opt.Budget, got, free)
			}
		}
	}
}

// cheap is a table whose other algorithms are dear.
func cheap(set *kernel.Set, algo nn.Algo) nn.CostTable {
	c := nn.NewCosts()
	for _, price := range c.Prices() {
		*price.Value = 1
	}
	if algo != nn.Direct {
		c.Direct, c.DirectGrad = 1e6, 1e6
	}
	for tile, t := range c.Tiles {
		if tile != algo.Tile() {
			*t = nn.TileCosts{Input: 1e6, Output: 1e6, Grad: 1e6}
		}
	}
	return nn.CostTable{set.Name: c}
}

// TestChoicesFollowCosts: Auto takes what the cost table makes cheap, wherever the shape allows it; an algorithm that
// is asked for is taken there; elsewhere it is the definition. Every choice lists what it chose from. Another Plan of
// another number of threads beside chooses the same.
func TestChoicesFollowCosts(t *testing.T) {
	net := named("chooser", arch.Shape{C: 3, H: 12, W: 10},
		append(chooser(), arch.Conv{Out: 7, Window: window(1, 1, 1, 1, arch.Pad(0))})...)
	passes := map[string]bool{} // of which convolutions' could go by any algorithm
	for _, c := range setsAndAlgos() {
		for _, opt := range []nn.Options{{Algo: c.algo}, {Algo: nn.Auto, Costs: cheap(c.set, c.algo)}} {
			opt.Batch, opt.Training, opt.Set, opt.Threads = 3, true, c.set.Name, 2
			params := newParams(t, net, nn.He)
			plan := compile(t, net, params, opt)
			opt.Threads = 5
			if again := compile(t, net, params, opt); !reflect.DeepEqual(nn.Choices(again.Groups()), nn.Choices(plan.Groups())) {
				t.Errorf("set=%s algo=%s: a second Plan, of 5 threads, chooses %+v, the first %+v", c.set, c.algo,
					nn.Choices(again.Groups()), nn.Choices(plan.Groups()))
			}
			for what, choice := range choicesBy(plan) {
				want, why, algos := c.algo, "asked for", nn.Algos()
				if opt.Algo == nn.Auto {
					why = "predicted to be the quickest"
				}
				if strings.HasPrefix(what, "conv1 ") || strings.HasPrefix(what, "conv6 ") {
					want, why, algos = nn.Direct, "not a 3x3 convolution of stride 1 over blocks of channels", nn.Algos()[:1]
				}
				if choice.Algo != want || choice.Why != why {
					t.Errorf("set=%s algo=%s: %s goes by %s: %s; want %s: %s", c.set, c.algo, what, choice.Algo, choice.Why, want, why)
				}
				var candidates []nn.Algo
				for _, candidate := range choice.Candidates {
					candidates = append(candidates, candidate.Algo)
					if !(candidate.Seconds > 0) || (candidate.Bytes > 0) != (choice.Pass != nn.WeightsPass) {
						t.Errorf("set=%s: %s: candidate %+v", c.set, what, candidate)
					}
				}
				if !slices.Equal(candidates, algos) {
					t.Errorf("set=%s: %s chooses from %v, want %v", c.set, what, candidates, algos)
				}
				passes[what] = true
			}
		}
	}
	if len(passes) != 5*3-1 { // the images have no gradient
		t.Errorf("choices are of %v", passes)
	}
}
