package nn

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/fault"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/tensor"
)

// Options say what a Plan is for. The zero value of each but Batch has a sensible meaning.
type Options struct {
	Batch     int       // the most images of one step
	Training  bool      // batch norm and dropout train, and Backward works
	InputGrad bool      // Backward computes the gradient of the images: beside the others, or of a network in use, alone
	BackTo    string    // training: the first layer that learns; Backward ends with it. Empty: all learn
	KeepProb  float64   // overrides every dropout's; 0: as the network says
	Seed      uint64    // of dropout
	Threads   int       // 0: one for each processor that Go may use
	Set       string    // the kernel set, such as "avx2"; empty: VGGO_KERNEL's, else the quickest that this processor runs
	Algo      Algo      // of convolutions; Auto picks what the cost table says is the quickest for a layer's shape
	Costs     CostTable // for Auto; nil: DefaultCosts
	// Budget is the most bytes that the Plan may take, parameters included; 0: any. Convolutions then go by algorithms
	// that take less memory, as few and as little slower as will do.
	Budget int64
	Half   Half // which weights are kept in 16 bits; not in training
	// Beside is what the caller takes beside the Plan, in bytes, such as an optimiser's moments. CheckMemory counts it.
	Beside int64
	// Keep keeps every layer's output for Activation; a Plan for gradients does so anyway.
	Keep bool
	// Taps are layers whose outputs are kept, for Tap, and whose gradients BackwardFrom begins with. Nothing is fused into
	// them: relu1_2, not conv1_2, is what a convolution with its ReLU makes at once.
	Taps []string
	// NoFuse gives each ReLU and batch norm an output of its own, for looking at.
	NoFuse bool
	// Share is the Plan's place in a batch that several Plans learn from together.
	Share Share
	// Observe, if not nil, is told after each Forward and Backward how long each part of it took: groups as numbered by
	// Plan.Groups, and for layers with weights WeightsPass and DataPass beside BackwardPass, which is then what
	// remains.
	Observe func(group int, pass Pass, elapsed time.Duration)

	kernels *kernel.Set // Set's
}

// Plan runs a network on batches of up to Options.Batch images. It is laid out once; a step allocates nothing. One step
// runs at a time: a Plan is not for concurrent use. Its options are not to be changed.
type Plan struct {
	Options
	placed *arch.Placement
	params *Params
	groups []Group // that compute something
	steps  []step  // of the groups
	ending arch.Ending
	chain  []*values
	writes []*values // by step: what it makes
	fixed  int       // so many of the first steps do not learn, and have no backward pass
	rest   int       // so many of them are left out by EndBackward
	ctx    context.Context
	// imported: the images are blocked first, since the first layer is no convolution that reads them as they are
	imported bool
	outputs  map[string]output // by layer

	stages []stage
	// gradients are, by step, the parameters that get one
	gradients [][]*Param

	layout
	engine

	logits, probabilities *tensor.Tensor
	predictions           []int
}

// step is one layer, with what is fused into it.
type step interface {
	refresh() // takes over changed parameters; data packed since they changed are left alone
	forward(n int)
	backward(n int) // consumes the output's gradient, which it may overwrite; writes the input's and the parameters'
}

// Compile makes a Plan. The parameters must have been made for the same network, or for one that it is a part of; while
// training they get gradients. Refresh must be called when their Data changes. Plans made from the same Params share
// the weights that they rearrange alike. They may be compiled and run at the same time, but none may run from a change
// of parameters on until all are refreshed, and of those that train, which share gradients and running statistics, one
// alone at any time.
func Compile(placed *arch.Placement, params *Params, opt Options) (*Plan, error) {
	if err := opt.complete(placed); err != nil {
		return nil, err
	}
	if err := params.fit(placed, opt.Half != HalfNone); err != nil {
		return nil, err
	}
	p, err := draft(placed, params, opt)
	if err != nil {
		return nil, err
	}
	p.team = newTeam(p.Threads)
	runtime.AddCleanup(p, func(t *team) { t.stop() }, p.team)
	p.allocate()
	if err := p.refresh(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Predict tells what Compile's Plan would work with and how it would compute the network, and takes no memory.
func Predict(placed *arch.Placement, opt Options) (Memory, []Group, error) {
	if err := opt.complete(placed); err != nil {
		return Memory{}, nil, err
	}
	p, err := draft(placed, unfilled(placed, opt.Half != HalfNone), opt)
	if err != nil {
		return Memory{}, nil, err
	}
	return p.memory, p.groups, nil
}

// complete checks the options for a network and fills in what was left open.
func (o *Options) complete(placed *arch.Placement) error {
	if o.Batch < 1 {
		return fmt.Errorf("nn: a plan needs a batch of at least 1, not %d", o.Batch)
	}
	if !(o.KeepProb >= 0 && o.KeepProb <= 1) { // NaN too
		return fmt.Errorf("nn: keep probability must lie in (0, 1], not %v", o.KeepProb)
	}
	if err := o.checkHalf(); err != nil {
		return err
	}
	if err := o.Share.check(o.Batch); err != nil {
		return err
	}
	if o.Threads <= 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	if o.Threads > maxThreads {
		return fmt.Errorf("nn: %d threads, the most is %d", o.Threads, maxThreads)
	}
	if o.kernels == nil || o.kernels.Name != o.Set {
		set, err := kernel.Named(o.Set)
		if err != nil {
			return err
		}
		o.Set, o.kernels = set.Name, set
	}
	if o.Costs == nil {
		o.Costs = DefaultCosts()
	}
	if err := o.checkTaps(placed); err != nil {
		return err
	}
	if err := o.checkBackTo(placed); err != nil {
		return err
	}
	if !o.countable(placed.Layers) {
		return fmt.Errorf("nn: %s: a batch of %d is beyond any memory", placed.Network.Name, o.Batch)
	}
	return nil
}

// draft is a Plan whose memory is measured and not taken. Where it exceeds the budget another is made that takes less.
func draft(placed *arch.Placement, params *Params, opt Options) (*Plan, error) {
	forced := map[decision]Algo{}
	least := int64(math.MaxInt64) // packing less may take more scratch
	for {
		p := &Plan{Options: opt, placed: placed, params: params, outputs: map[string]output{}}
		p.set, p.laps = opt.kernels, laps{observe: opt.Observe, elapsed: map[lapKey]time.Duration{}}
		p.build(forced)
		p.measure()
		need := p.memory.Total()
		if opt.Budget <= 0 || need <= opt.Budget {
			return p, nil
		}
		if least = min(least, need); !economise(p.groups, forced) {
			return nil, &MemoryError{Network: placed.Network.Name, Training: opt.Training, Batch: opt.Batch, Need: least,
				Available: opt.Budget, Budget: true}
		}
	}
}

// economise makes the next attempt at compiling take less memory: of all convolutions that could go by an algorithm
// with less packed weights, the one that loses least time for the bytes it saves is forced to.
func economise(groups []Group, forced map[decision]Algo) bool {
	best, found := math.Inf(1), false
	var what decision
	var algo Algo
	for _, c := range Choices(groups) {
		now := c.Candidates[slices.IndexFunc(c.Candidates, func(x Candidate) bool { return x.Algo == c.Algo })]
		for _, x := range c.Candidates {
			if saved := now.Bytes - x.Bytes; saved > 0 {
				if price := (x.Seconds - now.Seconds) / float64(saved); price < best {
					best, found, what, algo = price, true, decision{c.Layer, c.Pass}, x.Algo
				}
			}
		}
	}
	forced[what] = algo
	return found
}

// Choices are all of some groups.
func Choices(groups []Group) (all []Choice) {
	for _, g := range groups {
		all = append(all, g.Choices...)
	}
	return all
}

// maxThreads is beyond any machine; each thread takes scratch memory.
const maxThreads = 1024

// fit checks that the parameters have the shapes that the placed layers need, and are kept in 16 bits where they should
// be.
func (p *Params) fit(placed *arch.Placement, half bool) error {
	if p.half != half {
		return fmt.Errorf("nn: %s: Options.Half goes with NewHalfParams, and neither without the other",
			placed.Network.Name)
	}
	for _, layer := range placed.Layers {
		for _, want := range layer.Params {
			got := p.Get(want.Name)
			if got == nil {
				return fmt.Errorf("nn: %s: there is no parameter %s", placed.Network.Name, want.Name)
			}
			if got.held() != want.Count() {
				return fmt.Errorf("nn: %s: parameter %s has shape %s, this input size needs %s", placed.Network.Name, want.Name,
					printable.Shape(got.Shape), printable.Shape(want.Shape))
			}
		}
	}
	return nil
}

// Close ends the Plan's goroutines; a Plan that is no longer reachable is closed by itself.
func (p *Plan) Close() { p.team.stop() }

// build makes the steps of a network's groups.
func (p *Plan) build(forced map[decision]Algo) {
	var logits int
	p.ending, logits = p.placed.Ending()
	placed := p.placed.Layers[:logits] // a Plan ends there
	in := newValues(p.placed.Input)
	in.fixed = !p.InputGrad
	p.chain = []*values{in}
	p.imported = !readsPlanar(placed)
	for _, g := range p.Options.groups(placed, forced) {
		name := g.last().Name
		if g.alias {
			p.outputs[name] = output{values: in}
			continue
		}
		out := in
		if g.inPlace {
			p.overwritten(in, name)
		} else {
			out = newValues(g.last().Out)
			out.fixed = !g.learns
			p.chain = append(p.chain, out)
		}
		if !g.learns {
			p.fixed = len(p.steps) + 1
		}
		in.images = g.images
		p.steps = append(p.steps, p.step(g, in, out))
		p.writes = append(p.writes, out)
		p.groups = append(p.groups, g)
		for i, l := range g.Layers[1:] {
			p.outputs[g.Layers[i].Name] = output{out, l.Name}
		}
		p.outputs[name] = output{values: out}
		in = out
	}
	p.gradients = p.trained()
	p.tap()
	p.layStages()
}

// output is where a layer's output lies, and the layer that is fused with it and has overwritten it; empty for none.
type output struct {
	*values
	by string
}

// overwritten notes that a layer writes over an output.
func (p *Plan) overwritten(v *values, by string) {
	for layer, o := range p.outputs {
		if o.values == v && o.by == "" {
			p.outputs[layer] = output{v, by}
		}
	}
}

// step makes the step of a group.
func (p *Plan) step(g Group, in, out *values) step {
	layer := g.first()
	switch op := layer.Op.(type) {
	case arch.Conv:
		return newConv(p, g, in, out)
	case arch.Linear:
		return newLinear(p, g, in, out)
	case arch.BatchNorm:
		return newBatchNorm(p, g, in, out)
	case arch.ReflectPad:
		return newReflectPad(p, op, in, out)
	case arch.ReLU:
		return newLocal(p, &relu{}, in, out, in.chunks)
	case arch.MaxPool:
		return newMaxPool(p, layer, in, out)
	case arch.AvgPool, arch.AdaptiveAvgPool, arch.GlobalAvgPool:
		return newAveragePool(p, layer, in, out)
	case arch.L2Pool:
		return newL2Pool(p, in, out)
	case arch.LRN:
		return newLRN(p, op, in, out)
	case arch.Flatten:
		out.copy = true
		return newLocal(p, &flatten{}, in, out, in.eachImage)
	case arch.Dropout:
		return newDropout(p, layer.Index, p.keep(op), in, out)
	case arch.Softmax:
		return newLocal(p, &softmax{y: p.rows(in.shape.C), dy: p.rows(in.shape.C)}, in, out, in.eachImage)
	case arch.Sigmoid:
		return newLocal(p, &sigmoid{}, in, out, in.eachImage)
	}
	panic(fmt.Sprintf("nn: no step for %T", layer.Op)) // Place has refused unknown operations
}

func (p *Plan) foldNorm(layer arch.Placed) *folded {
	get := func(role string) *Param { return p.params.Get(layer.Name + "/" + role) }
	return &folded{gamma: get("gamma"), beta: get("beta"), mean: get("mean"), variance: get("var"),
		eps: layer.Op.(arch.BatchNorm).Epsilon()}
}

// wantsGrad reports whether the gradient of v is needed.
func (p *Plan) wantsGrad(v *values) bool { return p.backs() && !v.fixed }

// Groups are the steps' layers, and how each convolution is computed and why.
func (p *Plan) Groups() []Group { return p.groups }

// Refresh takes over changed parameters. Its error is a *fault.Error, as Forward's may be: weights whose file was
// shortened.
func (p *Plan) Refresh() error {
	p.params.changed()
	return p.refresh()
}

func (p *Plan) refresh() (err error) {
	defer p.caught(&err, debug.SetPanicOnFault(true))
	p.ended = nil
	for _, s := range p.steps {
		if s.refresh(); p.ended != nil {
			return p.ended
		}
	}
	return nil
}

// caught ends a step: a fault in reading weights that are mapped from a file becomes the step's error.
func (p *Plan) caught(err *error, before bool) {
	debug.SetPanicOnFault(before)
	if r := recover(); r != nil {
		f := fault.Of(r)
		if f == nil {
			panic(r)
		}
		*err = fmt.Errorf("nn: %s: weights: %w", p.placed.Network.Name, f)
	}
}

// SkipForwards counts n passes as done, so that dropout goes on with the masks that another Plan would draw after as
// many.
func (p *Plan) SkipForwards(n uint64) { p.count += n }

// Forward runs 1 to Batch images, which Backward reads again.
func (p *Plan) Forward(x *tensor.Tensor) error { return p.ForwardContext(context.Background(), x) }

// ForwardContext is Forward that gives up between two layers when ctx is done. There are no logits then.
func (p *Plan) ForwardContext(ctx context.Context, x *tensor.Tensor) (err error) {
	if x.C != p.placed.Input.C || x.H != p.placed.Input.H || x.W != p.placed.Input.W {
		return fmt.Errorf("nn: %s: images of %dx%dx%d, the plan is for %v", p.placed.Network.Name, x.H, x.W, x.C,
			p.placed.Input)
	}
	if x.N < 1 || x.N > p.Batch {
		return fmt.Errorf("nn: %s: %d images, the plan is for 1 to %d", p.placed.Network.Name, x.N, p.Batch)
	}
	if n := p.Share.parts(); x.N%n != 0 {
		return fmt.Errorf("nn: %s: %d images, the plan is for parts of one size, %d of them", p.placed.Network.Name, x.N, n)
	}
	if len(x.Data) != x.N*x.C*x.H*x.W {
		return fmt.Errorf("nn: %s: images of shape %s with %d values", p.placed.Network.Name, x.Shape(), len(x.Data))
	}
	defer p.caught(&err, debug.SetPanicOnFault(true))
	p.input, p.ctx, p.ended, p.norms = x, ctx, nil, p.norms[:0]
	p.count++
	p.start()
	p.runStage(len(p.stages)-1, 0, x.N)
	p.ctx = nil
	if p.ended == nil {
		p.ended = p.moveNorms()
	}
	if p.ended != nil {
		p.input = nil
		clear(p.elapsed)
		return p.ended
	}
	p.report(len(p.steps))
	return nil
}

// Backward computes every parameter's gradient, and the images' if asked for, from the gradient of the logits of the
// last Forward. Gradients replace the previous ones. A Plan with InputGrad that is not for training computes the
// images' alone, of the network as it is used: batch norm by its running statistics, dropout off.
func (p *Plan) Backward(grad *tensor.Tensor) (err error) {
	last := p.chain[len(p.chain)-1]
	switch {
	case !p.backs():
		return fmt.Errorf("nn: %s: this plan is not for training", p.placed.Network.Name)
	case p.input == nil:
		return fmt.Errorf("nn: %s: backward before forward", p.placed.Network.Name)
	case grad.N != p.input.N || grad.C != last.shape.C || grad.H != last.shape.H || grad.W != last.shape.W ||
		len(grad.Data) != grad.N*grad.C*grad.H*grad.W:
		return fmt.Errorf("nn: %s: gradient of shape %s for %d logits of %v", p.placed.Network.Name, grad.Shape(), p.input.N,
			last.shape)
	}
	if last.grad == nil { // a network without layers that compute
		return nil
	}
	defer p.caught(&err, debug.SetPanicOnFault(true))
	last.load(last.grad, grad, 0, grad.N)
	p.start()
	return p.back(len(p.steps), nil)
}

// EndBackward has each Backward end with a layer that has parameters, as Options.BackTo does from the start: for when
// the layers before it learn no more. Their gradients become zero. It may be any other layer the next time. The Plan
// must be for training alone: without InputGrad and Taps.
func (p *Plan) EndBackward(layer string) error {
	step := slices.IndexFunc(p.groups, func(g Group) bool { return g.first().Name == layer && len(g.first().Params) > 0 })
	if step < p.fixed || !p.Training || p.InputGrad || len(p.Taps) > 0 {
		return fmt.Errorf("nn: %s has no layer %q to end a backward pass with", p.placed.Network.Name, layer)
	}
	if p.rest == step {
		return nil
	}
	p.rest = step
	for _, list := range p.gradients[:step] {
		for _, q := range list {
			clear(q.Grad)
		}
	}
	return nil
}

// Logits is the output of the last layer (before a final softmax or sigmoid) for the images of the last Forward. The
// tensor is the Plan's own and holds until the next Forward.
func (p *Plan) Logits() *tensor.Tensor {
	return p.exported(p.logits)
}

func (p *Plan) exported(t *tensor.Tensor) *tensor.Tensor {
	last := p.chain[len(p.chain)-1]
	n := 0
	if p.input != nil {
		n = p.input.N
	}
	t.N, t.Data = n, t.Data[:n*t.C*t.H*t.W]
	last.export(t, last.data, n)
	return t
}

// Probabilities is the logits as the network's end makes probabilities of them (see Probabilities), on the same terms.
func (p *Plan) Probabilities() *tensor.Tensor {
	t := p.exported(p.probabilities)
	Probabilities(t, t, p.ending)
	return t
}

// Predictions is the class of the largest logit of each image, on the same terms. Where the logits are maps of classes
// (a fully convolutional network), the largest sum over the map. One output that is a sigmoid tells classes 0 and 1
// apart.
func (p *Plan) Predictions() []int {
	t := p.exported(p.logits)
	pixels := t.H * t.W
	predictions := p.predictions[:t.N]
	for n := range predictions {
		best, top := 0, float32(0)
		for c := range t.C {
			sum := float32(0)
			for _, v := range t.Data[(n*t.C+c)*pixels : (n*t.C+c+1)*pixels] {
				sum += v
			}
			if c == 0 || sum > top {
				best, top = c, sum
			}
		}
		if p.ending == arch.EndsInSigmoid && t.C == 1 && top > 0 { // a probability above a half
			best = 1
		}
		predictions[n] = best
	}
	return predictions
}

// Activation copies the output of a layer for the images of the last Forward. The Plan must be for gradients or keep
// its activations; the output of a layer with another fused into it is gone, unless the Plan was made with NoFuse.
func (p *Plan) Activation(layer string) (*tensor.Tensor, error) {
	v, ok := p.outputs[layer]
	switch {
	case !ok:
		return nil, fmt.Errorf("nn: %s has no layer %s", p.placed.Network.Name, layer)
	case v.by != "":
		return nil, fmt.Errorf("nn: the output of %s is fused with %s: use NoFuse to see it", layer, v.by)
	case !p.keeps():
		return nil, fmt.Errorf("nn: the output of %s was not kept: use Keep", layer)
	case p.input == nil:
		return nil, fmt.Errorf("nn: the output of %s before forward", layer)
	}
	if v.values == p.chain[0] && !p.imported {
		return p.input, nil
	}
	t := tensor.New(p.input.N, v.shape.C, v.shape.H, v.shape.W)
	v.export(t, v.data, t.N)
	return t, nil
}

// ImageGrad copies the gradient of the images of the last Backward of a Plan made with InputGrad.
func (p *Plan) ImageGrad() (*tensor.Tensor, error) {
	if !p.InputGrad || p.input == nil {
		return nil, fmt.Errorf("nn: %s: no gradient of the images: use InputGrad", p.placed.Network.Name)
	}
	t := tensor.New(p.input.N, p.placed.Input.C, p.placed.Input.H, p.placed.Input.W)
	p.chain[0].export(t, p.chain[0].grad, t.N)
	return t, nil
}
