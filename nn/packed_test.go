package nn_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vggo/vggo/arch/archtest"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
)

// shared is a network whose logits are the same in training, and one with a batch norm that inference folds into the
// weights.
func shared() []*arch.Network {
	conv := func(out int) arch.Op { return arch.Conv{Out: out, Window: window(3, 3, 1, 1, arch.Pad(1))} }
	return []*arch.Network{
		named("plain", arch.Shape{C: 3, H: 17, W: 14}, conv(5), arch.ReLU{}, conv(18),
			arch.MaxPool{Window: window(2, 2, 2, 1, arch.Pad(0))},
			conv(7), arch.Flatten{}, arch.Linear{Out: 5}),
		everything(),
	}
}

// Plans of the same parameters that need the same packed weights share them, whatever their batches and whether or not
// they train. Each gives the bits of a Plan of its own parameters, and again when parameters have changed and it has
// been refreshed. One that is compiled after Init or Load finds weights packed before, and packs them anew.
func TestPlansSharePackedWeights(t *testing.T) {
	for _, net := range shared() {
		for _, c := range setsAndAlgos() {
			t.Run(net.Name+"/"+c.String(), func(t *testing.T) {
				params := newParams(t, net, nn.He)
				own := func(seed uint64) *nn.Params {
					own := newParams(t, net, nn.He)
					own.Init(nn.He, seed)
					return own
				}
				var plans []*nn.Plan
				right := func(when string, seed uint64, plans ...*nn.Plan) {
					t.Helper()
					for _, plan := range plans {
						x := noise(1, plan.Batch, net.Input)
						if !sameBits(forward(t, plan, x), forward(t, compile(t, net, own(seed), plan.Options), x)) {
							t.Errorf("%s, a Plan for %d images gives other bits than with parameters of its own", when, plan.Batch)
						}
					}
				}
				add := func(opt nn.Options) *nn.Plan {
					t.Helper()
					opt.Set, opt.Algo, opt.Threads = c.set.Name, c.algo, 2
					plans = append(plans, compile(t, net, params, opt))
					return plans[len(plans)-1]
				}
				first := add(nn.Options{Batch: 1})
				add(nn.Options{Batch: 4})
				if net.Name == "plain" {
					add(nn.Options{Batch: 2, Training: true})
				}
				right("compiled", 7, plans...)

				for seed, change := range []func(seed uint64) error{
					func(seed uint64) error { params.Init(nn.He, seed); return nil },
					func(seed uint64) error {
						loaded := own(seed)
						return params.Load(func(p arch.Param) ([]float32, error) { return loaded.Get(p.Name).Data, nil })
					},
				} {
					seed := uint64(seed)
					if err := change(seed); err != nil {
						t.Fatal(err)
					}
					right(fmt.Sprintf("compiled after change %d", seed), seed, add(nn.Options{Batch: 3, Keep: true}))
					for _, plan := range plans {
						if err := plan.Refresh(); err != nil {
							t.Fatal(err)
						}
					}
					right(fmt.Sprintf("refreshed after change %d", seed), seed, plans...)
				}

				live := map[*float32]bool{}
				for _, plan := range plans {
					if !slices.Equal(plan.Packed(nn.ForwardPass), first.Packed(nn.ForwardPass)) {
						t.Error("two Plans pack the same weights")
					}
					for _, pass := range []nn.Pass{nn.ForwardPass, nn.DataPass} {
						for _, at := range plan.Packed(pass) {
							live[at] = true
						}
					}
				}
				if params.Packed() != len(live) {
					t.Errorf("there are %d packed weights, the Plans use %d", params.Packed(), len(live))
				}
			})
		}
	}
}

// Packed weights live as long as a Plan that uses them, and no longer.
func TestPackedWeightsGoWithTheirLastPlan(t *testing.T) {
	net := everything()
	params := newParams(t, net, nn.He)
	// Not by compile, which would hold on to it until the test ends.
	plan := func(batch int) *nn.Plan {
		p, err := nn.Compile(archtest.Place(t, net), params, nn.Options{Batch: batch, Algo: nn.Winograd4, Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	plans := []*nn.Plan{plan(2), plan(3)}
	all := params.Packed()
	x := noise(1, 2, net.Input)
	want := forward(t, plans[0], x)
	plans[0] = nil
	runtime.GC()
	if got := params.Packed(); got != all || got == 0 {
		t.Errorf("%d packed weights of %d are left for the second Plan", got, all)
	}
	if !sameBits(forward(t, plans[1], x), want) {
		t.Error("with the first Plan gone the second gives other bits")
	}
	plans[1] = nil
	// The collector needs a cycle for the Plan; its goroutines, which may still be putting down their last task, another.
	for deadline := time.Now().Add(10 * time.Second); params.Packed() > 0 && time.Now().Before(deadline); {
		runtime.GC()
	}
	if got := params.Packed(); got != 0 {
		t.Errorf("%d packed weights are left without a Plan", got)
	}
	if !sameBits(forward(t, plan(2), x), want) {
		t.Error("packed again, the weights give other bits")
	}
}

// Plans of the same parameters may be compiled and run side by side: each gives the bits of one that is alone, and they
// pack each convolution's weights once.
func TestPlansSideBySide(t *testing.T) {
	for _, net := range shared() {
		for _, c := range setsAndAlgos() {
			t.Run(net.Name+"/"+c.String(), func(t *testing.T) {
				params := newParams(t, net, nn.He)
				x := noise(1, 4, net.Input)
				var want [5][]float32
				for batch := 1; batch < len(want); batch++ {
					alone := compile(t, net, newParams(t, net, nn.He), nn.Options{Batch: batch,
						Set: c.set.Name, Algo: c.algo, Threads: 1})
					want[batch] = forward(t, alone, x.Images(0, batch))
				}
				const goroutines = 8
				plans := make([]*nn.Plan, goroutines)
				var running sync.WaitGroup
				for i := range plans {
					running.Go(func() {
						batch := 1 + i%4
						plan, err := nn.Compile(archtest.Place(t, net), params, nn.Options{Batch: batch, Set: c.set.Name, Algo: c.algo,
							Threads: 1 + i%3})
						if err != nil {
							t.Error(err)
							return
						}
						plans[i] = plan
						for range 3 {
							if err := plan.Forward(x.Images(0, batch)); err != nil || !sameBits(plan.Logits().Data, want[batch]) {
								t.Errorf("a Plan for %d images gives other bits than one that is alone (%v)", batch, err)
							}
						}
					})
				}
				running.Wait()
				for _, plan := range plans {
					if t.Failed() {
						break
					}
					if !slices.Equal(plan.Packed(nn.ForwardPass), plans[0].Packed(nn.ForwardPass)) {
						t.Error("two Plans pack the same weights")
					}
				}
				for _, plan := range plans {
					if plan != nil {
						plan.Close()
					}
				}
			})
		}
	}
}
