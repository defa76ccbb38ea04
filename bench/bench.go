package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/cluster"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/machine"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/train"
)

// Mode is what a step does.
type Mode string

const (
	// Forward computes the predictions, with every dropout's keep probability 1.
	Forward Mode = "forward"
	// ForwardBackward computes the gradient of L2(logits) with respect to every parameter, dropout on.
	ForwardBackward Mode = "forward-backward"
	// Training learns from a batch, from the picture to the changed weights, as Config.Recipe says.
	Training Mode = "train"
)

// Title is the mode's name in the article's output.
func (m Mode) Title() string { return strings.ToUpper(string(m[:1])) + string(m[1:]) }

// MaxThreads bounds Config.Threads: each is a thread of the system while the machine is measured, and Go's runtime ends
// a process that has 10,000.
const MaxThreads = 1024

// Config says what to time. Zero Threads means all that Go may use, a zero KeepProb the network's own.
type Config struct {
	Placed   *arch.Placement
	Batch    int
	Steps    int // counted
	BurnIn   int // before them, not counted
	Threads  int
	KeepProb float64 // for ForwardBackward
	Seed     uint64
	Set      string  // the kernel set; empty: as nn.Options has it
	Algo     nn.Algo // of convolutions
	Costs    nn.CostTable
	Half     nn.Half        // which weights are kept in 16 bits, Forward alone
	Budget   int64          // most bytes of a Plan; 0: any
	Layers   bool           // also time each layer
	Recipe   *train.Recipe  // for Training, whose Batch is this one's
	Group    *cluster.Group // for Training: the ranks that share each batch, all of which Run; nil: none
}

// Options are a mode's Plan.
func (c *Config) Options(mode Mode) nn.Options {
	opt := nn.Options{Batch: c.Batch, Threads: c.Threads, Set: c.Set, Algo: c.Algo, Costs: c.Costs, Budget: c.Budget,
		Half: c.Half, Seed: c.Seed, KeepProb: 1}
	if mode == ForwardBackward {
		opt.Training, opt.KeepProb = true, c.KeepProb
	}
	if mode == Training {
		opt.Training, opt.KeepProb = true, c.Recipe.Keep
		opt.Batch = max(1, c.Batch/max(c.Recipe.Accumulate, 1)/c.Group.Size())
	}
	return opt
}

// Result is what one mode took.
type Result struct {
	Mode      Mode    `json:"mode"`
	Steps     int     `json:"steps"`
	Mean      float64 `json:"mean_seconds"`
	Deviation float64 `json:"deviation_seconds"`
	Median    float64 `json:"median_seconds"`
	Shortest  float64 `json:"shortest_seconds"`
	Longest   float64 `json:"longest_seconds"`

	ImagesPerSecond float64 `json:"images_per_second"` // these three from the median
	GFLOPs          float64 `json:"gflops"`            // counted as direct convolution, 2 per multiply-accumulate
	PercentOfPeak   float64 `json:"percent_of_peak"`

	// PredictedBytes is weights, maps, gradients, packing and workspace; of Training also what the optimiser keeps.
	PredictedBytes int64       `json:"predicted_bytes"`
	PeakBytes      int64       `json:"peak_bytes"` // the most the process held; 0 where the system does not tell
	Layers         []LayerTime `json:"layers,omitempty"`
	Parts          []PartTime  `json:"parts,omitempty"` // of Training, the longest first
	// Communication is of Training on several ranks.
	Communication *Communication `json:"communication,omitempty"`
}

// Communication is what the sums of gradients over the ranks take of a step, as medians.
type Communication struct {
	Ranks   int     `json:"ranks"`
	Exposed float64 `json:"exposed_seconds"` // the step waits for them
	Hidden  float64 `json:"hidden_seconds"`  // they go on beside the backward pass
}

// Machine is what a Result is held against.
type Machine struct {
	Processor string `json:"processor"`
	Threads   int    `json:"threads"`
	// PerformanceCores is how many processors are of the fastest kind; 0 where all are alike or the system does not tell.
	PerformanceCores int     `json:"performance_cores,omitempty"`
	Set              string  `json:"kernel_set"`
	Peak             float64 `json:"fma_peak_gflops"` // measured on these threads
	Bandwidth        float64 `json:"read_gb_per_second"`
}

// Bench is a network ready to be timed.
type Bench struct {
	Config
	Machine Machine
	Report  *arch.Report
	params  *nn.Params
}

// New measures the machine, which takes about half a second, and works out what the network costs.
func New(c Config) (*Bench, error) {
	if c.Batch < 1 || c.Steps < 1 || c.BurnIn < 0 {
		return nil, fmt.Errorf("bench: batch and steps must be at least 1 and burn-in not negative, not %d, %d and %d",
			c.Batch, c.Steps, c.BurnIn)
	}
	if c.Threads > MaxThreads {
		return nil, fmt.Errorf("bench: %d threads are more than %d", c.Threads, MaxThreads)
	}
	if c.Threads <= 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	set, err := kernel.Named(c.Set)
	if err != nil {
		return nil, err
	}
	c.Set = set.Name
	report, err := c.Placed.Analyze(c.Batch)
	if err != nil {
		return nil, err
	}
	b := &Bench{Config: c, Report: report}
	b.Machine = Machine{
		Processor: machine.Processor(), Threads: c.Threads, PerformanceCores: machine.PerformanceCores(), Set: c.Set,
		Peak: set.FMAPeak(c.Threads), Bandwidth: set.ReadBandwidth(c.Threads),
	}
	return b, nil
}

// flops is the floating-point operations of one step, 2 per multiply-accumulate: forward, and where gradients are
// wanted as many again for the weights' gradients of the layers that learn, which backTo is the first of, and for the
// data's of those behind it.
func (b *Bench) flops(mode Mode, backTo string) (sum int64) {
	learns, behind := mode != Forward && backTo == "", false
	for _, l := range b.Report.Layers {
		learns = learns || mode != Forward && l.Name == backTo
		sum += l.FLOPs
		if learns {
			sum += l.FLOPs
		}
		if behind {
			sum += l.FLOPs
		}
		behind = behind || learns && l.Weights > 0
	}
	return sum * int64(b.Batch)
}

// Progress is told of every step; counted steps number from 0, burn-in steps are negative.
type Progress func(mode Mode, step int, took time.Duration)

// Run times one mode. When ctx ends it returns what it has, with ctx's error.
func (b *Bench) Run(ctx context.Context, mode Mode, progress Progress) (*Result, error) {
	if mode == Training {
		return b.runTraining(ctx, progress)
	}
	debug.FreeOSMemory() // what came before, the bandwidth buffer included, is not this mode's
	machine.ResetPeakMemory()
	if b.params == nil {
		b.params = nn.NewParams(b.Placed)
		if b.Half != nn.HalfNone {
			b.params = nn.NewHalfParams(b.Placed)
		}
		b.params.Init(nn.Xavier, b.Seed)
	}
	passes := map[passKey][]float64{}
	opt := b.Options(mode)
	counting := false
	if b.Layers {
		opt.Observe = func(layer int, pass nn.Pass, took time.Duration) {
			if counting {
				key := passKey{layer, pass}
				passes[key] = append(passes[key], took.Seconds())
			}
		}
	}
	plan, err := nn.Compile(b.Placed, b.params, opt)
	if err != nil {
		return nil, err
	}
	defer func() {
		plan.Close()
		for _, p := range b.params.List {
			p.Grad = nil
		}
	}()
	images := b.images()
	logits := plan.Logits()
	grad := tensor.New(b.Batch, logits.C, logits.H, logits.W)
	var timing stepTimes
	for i := -b.BurnIn; i < b.Steps && ctx.Err() == nil; i++ {
		counting = i >= 0
		start := machine.Now()
		if err := plan.ForwardContext(ctx, images); ctx.Err() != nil {
			break
		} else if err != nil {
			return nil, err
		}
		if mode == ForwardBackward {
			nn.L2(plan.Logits(), grad)
			if err := plan.Backward(grad); err != nil {
				return nil, err
			}
		} else {
			plan.Predictions()
		}
		took := machine.Now() - start
		if counting {
			timing.Add(took)
		}
		if progress != nil {
			progress(mode, i, took)
		}
	}
	return b.result(mode, &timing, plan, passes), ctx.Err()
}

// images is a batch of noise, normal with standard deviation 0.1 as in the article.
func (b *Bench) images() *tensor.Tensor {
	x := tensor.New(b.Batch, b.Placed.Input.C, b.Placed.Input.H, b.Placed.Input.W)
	r := rand.New(rand.NewPCG(b.Seed, 1))
	for i := range x.Data {
		x.Data[i] = float32(0.1 * r.NormFloat64())
	}
	return x
}

func (b *Bench) result(mode Mode, t *stepTimes, plan *nn.Plan, passes map[passKey][]float64) *Result {
	r := &Result{
		Mode: mode, Steps: t.Steps(), Mean: t.Mean(), Deviation: t.Deviation(), Median: t.Median(),
		PredictedBytes: plan.Memory().Total(), PeakBytes: machine.PeakMemory(),
	}
	r.Shortest, r.Longest = t.Range()
	if r.Median > 0 {
		r.ImagesPerSecond = float64(b.Batch) / r.Median
		r.GFLOPs = float64(b.flops(mode, plan.BackTo)) / r.Median / 1e9
		r.PercentOfPeak = 100 * r.GFLOPs / (b.Machine.Peak * float64(b.Group.Size()))
	}
	r.Layers = b.layers(plan.Batch, plan.Groups(), passes)
	return r
}
