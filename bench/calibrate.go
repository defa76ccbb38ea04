package bench

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/machine"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// probe is a 3x3 convolution to calibrate by.
type probe struct{ side, in, out, batch int }

// probes are VGG-16's layers, as many images as give tiles enough for products to hide what is read from memory, and
// maps that the caches do not hold; and one that few channels enter or leave, which tells the transforms' prices apart.
var probes = []probe{
	{224, 64, 64, 2}, {112, 16, 128, 4}, {112, 64, 128, 4}, {56, 128, 256, 4}, {56, 256, 256, 4}, {28, 256, 512, 8},
	{28, 512, 512, 4}, {14, 512, 512, 16},
}

// starved is conv5 of a single image, which has nine tiles of 6x6 to each 64 MB of transformed weights: it waits for
// memory.
var starved = probe{14, 512, 512, 1}

// genericProbes are fewer channels for the portable set, which is so slow that memory plays no part.
var genericProbes = []probe{{56, 16, 64, 1}, {56, 32, 32, 1}, {28, 64, 128, 1}, {28, 64, 64, 2}, {14, 128, 128, 2}}

const (
	calibrationRounds = 5
	leastPrice        = 0.1 // in the fit: no work is free
)

// observation is what one pass of a probe took by one algorithm.
type observation struct {
	probe
	pass    nn.Pass
	algo    nn.Algo
	seconds float64
}

// Calibrate measures the prices of the kernel set of that name on so many threads (0: all that Go may use) in 15 to
// 30 s. It times Plans of one layer, not kernels alone: so maps come from where they come from in a network, threads
// compete for memory, and what hangs over edges is copied. Then it finds the prices by which nn predicts these times
// best; only that of memory is measured by itself.
func Calibrate(ctx context.Context, name string, threads int) (costs *nn.Costs, err error) {
	set, err := kernel.Named(name)
	if err != nil {
		return nil, err
	}
	threads = cmp.Or(max(threads, 0), runtime.GOMAXPROCS(0))
	list := probes
	if set.Name == "generic" {
		list = genericProbes
	}
	var seen []observation
	for _, p := range list {
		for _, algo := range nn.Algos() {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			got, err := p.observe(set, algo, threads)
			if err != nil {
				return nil, err
			}
			seen = append(seen, got...)
		}
	}
	costs = nn.NewCosts()
	costs.Processor, costs.Date = machine.Processor(), time.Now().Format(time.DateOnly)
	if costs.Stream, err = streamPrice(set, threads); err != nil {
		return nil, err
	}
	if err := fit(costs, seen, set, threads); err != nil {
		return nil, err
	}
	for _, p := range costs.Prices() {
		*p.Value = significant(*p.Value)
	}
	return costs, nil
}

// streamPrice is that of starved. The portable set is never starved, so for it what reading alone takes.
func streamPrice(set *kernel.Set, threads int) (float64, error) {
	if set.Name == "generic" {
		return 1e3 * float64(threads) / set.ReadBandwidth(threads), nil
	}
	seen, err := starved.observe(set, nn.Winograd6, threads)
	if err != nil {
		return 0, err
	}
	unit := nn.NewCosts()
	unit.Stream = 1
	forward := seen[0]
	amount, err := forward.predict(unit, set, threads)
	return forward.seconds / amount, err
}

// network is the probe as an inner layer: the ReLU before it gives it a blocked input and a data gradient.
func (p probe) network() (*arch.Placement, error) {
	window := arch.Window{Kernel: arch.Square(3), Stride: arch.Square(1), Pad: arch.Pad(1)}
	net := &arch.Network{
		Name: fmt.Sprintf("%dx%dx%d:%d", p.side, p.side, p.in, p.out), Input: arch.Shape{C: p.in, H: p.side, W: p.side},
		Layers: []arch.Layer{{Name: "before", Op: arch.ReLU{}}, {Name: "conv", Op: arch.Conv{Out: p.out, Window: window}}},
	}
	return net.Place(net.Input)
}

func (p probe) options(set *kernel.Set, threads int) nn.Options {
	return nn.Options{Batch: p.batch, Training: true, InputGrad: true, Set: set.Name, Threads: threads}
}

// observe times the probe's passes by an algorithm: the medians of a few steps, in seconds of one thread.
func (p probe) observe(set *kernel.Set, algo nn.Algo, threads int) ([]observation, error) {
	placed, err := p.network()
	if err != nil {
		return nil, err
	}
	opt := p.options(set, threads)
	times := map[nn.Pass][]float64{}
	opt.Algo = algo
	opt.Observe = func(layer int, pass nn.Pass, took time.Duration) {
		if layer == 1 {
			times[pass] = append(times[pass], took.Seconds())
		}
	}
	params := nn.NewParams(placed)
	params.Init(nn.He, 1)
	plan, err := nn.Compile(placed, params, opt)
	if err != nil {
		return nil, err
	}
	defer plan.Close()
	x, grad := tensor.New(p.batch, p.in, p.side, p.side), tensor.New(p.batch, p.out, p.side, p.side)
	for _, t := range []*tensor.Tensor{x, grad} {
		for i := range t.Data {
			t.Data[i] = float32(i%251) / 251
		}
	}
	for round := range 1 + calibrationRounds {
		if err := plan.Forward(x); err != nil {
			return nil, err
		}
		if err := plan.Backward(grad); err != nil {
			return nil, err
		}
		if round == 0 { // memory was touched for the first time
			clear(times)
		}
	}
	var seen []observation
	for _, pass := range []nn.Pass{nn.ForwardPass, nn.DataPass, nn.WeightsPass} {
		seen = append(seen, observation{p, pass, algo, median(times[pass]) * float64(threads)})
	}
	return seen, nil
}

// predict asks nn what a pass takes at these prices.
func (o observation) predict(costs *nn.Costs, set *kernel.Set, threads int) (float64, error) {
	placed, err := o.network()
	if err != nil {
		return 0, err
	}
	opt := o.options(set, threads)
	opt.Costs = nn.CostTable{set.Name: costs}
	_, groups, err := nn.Predict(placed, opt)
	if err != nil {
		return 0, err
	}
	for _, c := range nn.Choices(groups) {
		for _, x := range c.Candidates {
			if c.Pass == o.pass && x.Algo == o.algo {
				return x.Seconds, nil
			}
		}
	}
	return 0, fmt.Errorf("bench: %s has no %s by %s", placed.Network.Name, o.pass, o.algo)
}

// fit finds the prices, but for Stream, with the least squares of relative errors, and fails where times that another
// program disturbed leave one without any. A prediction is the sum of each
// price times an amount of work, which the prediction at that price 1 and all others 0 tells. (Where weights from
// memory take longer than products it is not, but the probes have tiles enough; a weight gradient's sums cross memory
// in any case.)
func fit(costs *nn.Costs, seen []observation, set *kernel.Set, threads int) error {
	var unknown []*float64
	var work [][]float64 // [price][observation], over the time it took
	unit := nn.NewCosts()
	for i, p := range unit.Prices() {
		if p.Value == &unit.Stream {
			continue
		}
		*p.Value = 1
		amounts := make([]float64, len(seen))
		for k, o := range seen {
			amount, err := o.predict(unit, set, threads)
			if err != nil {
				return err
			}
			amounts[k] = amount / o.seconds
		}
		*p.Value = 0
		work, unknown = append(work, amounts), append(unknown, costs.Prices()[i].Value)
	}
	rest := make([]float64, len(seen)) // of each time, in its own unit, that is not predicted yet
	unit.Stream = costs.Stream
	for k, o := range seen {
		rest[k] = 1
		if o.pass == nn.WeightsPass {
			streamed, err := o.predict(unit, set, threads)
			if err != nil {
				return err
			}
			rest[k] -= streamed / o.seconds
		}
	}
	// One price at a time, each set to what is best while the others stay (Gauss-Seidel), until they rest.
	for range 10000 {
		moved := 0.0
		for j, amounts := range work {
			var up, down float64
			for k, a := range amounts {
				up += a * rest[k]
				down += a * a
			}
			if down == 0 {
				continue
			}
			price := max(*unknown[j]+up/down, leastPrice)
			step := price - *unknown[j]
			for k, a := range amounts {
				rest[k] -= step * a
			}
			*unknown[j] = price
			moved = max(moved, math.Abs(step)/price)
		}
		if moved < 1e-9 {
			break
		}
	}
	for _, p := range costs.Prices() {
		if *p.Value == leastPrice {
			return fmt.Errorf("bench: the times give no price of %s: something else ran; calibrate again in quiet", p.What)
		}
	}
	return nil
}

// significant rounds to three figures: more were not measured.
func significant(x float64) float64 {
	scale := math.Pow(10, 2-math.Floor(math.Log10(x)))
	return math.Round(x*scale) / scale
}
