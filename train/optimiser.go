package train

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/vggo/vggo/internal/parallel"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/weights"
)

// Optimise says by which rule parameters follow their gradients, in PyTorch's conventions.
type Optimise struct {
	Kind string  `yaml:"kind"` // sgd, adamw or muon
	Rate float64 `yaml:"rate"` // the learning rate that the schedule scales
	// Decay is the weight decay: for sgd added to the gradient, times the weight, unless Decoupled. Of muon only what
	// learns by sgd has one.
	Decay float64 `yaml:"decay"`
	// Decoupled decay shrinks the weight by rate times Decay and leaves the gradient alone, as adamw's always does
	// (Loshchilov & Hutter 2019).
	Decoupled bool    `yaml:"decoupled,omitempty"`
	Momentum  float64 `yaml:"momentum"` // of sgd and muon; adamw's beta1
	Nesterov  bool    `yaml:"nesterov,omitempty"`
	Beta2     float64 `yaml:"beta2,omitempty"` // of adamw; 0 counts as 0.999
	Epsilon   float64 `yaml:"epsilon,omitempty"`
}

// keeps is how many moments it keeps of a parameter with such a momentum.
func (o *Optimise) keeps(momentum float64) int {
	switch {
	case o.Kind == "adamw":
		return 2
	case momentum > 0:
		return 1
	}
	return 0
}

func (o *Optimise) check() error {
	switch {
	case o.Kind != "sgd" && o.Kind != "adamw" && o.Kind != "muon":
		return fmt.Errorf("kind: %q is none of sgd, adamw and muon", o.Kind)
	case !(o.Rate > 0 && o.Rate < math.Inf(1)):
		return fmt.Errorf("rate must be above 0, not %v", o.Rate)
	case !(o.Decay >= 0 && o.Decay < math.Inf(1)):
		return fmt.Errorf("decay must be at least 0, not %v", o.Decay)
	case !(o.Momentum >= 0 && o.Momentum < 1):
		return fmt.Errorf("momentum must lie in [0, 1), not %v", o.Momentum)
	case !(o.Beta2 >= 0 && o.Beta2 < 1):
		return fmt.Errorf("beta2 must lie in [0, 1), not %v", o.Beta2)
	case !(o.Epsilon >= 0 && o.Epsilon < math.Inf(1)):
		return fmt.Errorf("epsilon must be at least 0, not %v", o.Epsilon)
	case o.Kind == "adamw" && (o.Nesterov || o.Decoupled):
		return fmt.Errorf("adamw has no nesterov, and its decay is always decoupled: nesterov and decoupled must be false")
	case o.Kind != "adamw" && (o.Beta2 > 0 || o.Epsilon > 0):
		return fmt.Errorf("beta2 and epsilon are for adamw")
	case o.Nesterov && o.Momentum == 0:
		return fmt.Errorf("nesterov needs a momentum")
	}
	return nil
}

// Optimiser moves parameters along their gradients.
type Optimiser struct {
	Optimise
	threads int
	slots   []*slot
	pieces  []piece
	steps   int     // taken so far
	epochs  float64 // gone through, by which some parameters do not learn yet
	norms   []float64
	muon    *muon // nil where nothing learns by it
}

// slot is a parameter that trains.
type slot struct {
	*nn.Param
	paramSettings
	index         int       // among the optimiser's
	waited        int       // steps in which it did not learn yet
	first, second []float32 // velocity, or adamw's two moments; nil where there is none
	matrix        matrix    // of muon
}

// piece is a part of a slot, the share of one task.
type piece struct {
	*slot
	from, to int
}

// pieceFloats is 256 KiB of each array.
const pieceFloats = 64 << 10

// NewOptimiser prepares the parameters' moments, all zero. The rules' patterns must name something. Parameters without
// a gradient, which a training Plan makes, do not train until there is one.
func NewOptimiser(o Optimise, rules []Rule, params *nn.Params, threads int) (*Optimiser, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("optimiser: %w", err)
	}
	if err := checkRules(&o, rules, params); err != nil {
		return nil, err
	}
	if o.Kind == "adamw" {
		o.Beta2 = cmp.Or(o.Beta2, 0.999)
		o.Epsilon = cmp.Or(o.Epsilon, 1e-8)
	}
	opt := &Optimiser{Optimise: o, threads: max(threads, 1)}
	for _, p := range params.List {
		m := settingsOf(p.Param, &o, rules)
		if !p.Trainable || m.never() {
			continue
		}
		s := &slot{Param: p, paramSettings: m, index: len(opt.slots)}
		for i := range o.keeps(m.momentum) {
			*s.moments()[i] = make([]float32, p.Count())
		}
		if m.muon {
			s.matrix = matrixOf(p.Param)
		}
		opt.slots = append(opt.slots, s)
		for at := 0; at < p.Count(); at += pieceFloats {
			opt.pieces = append(opt.pieces, piece{s, at, min(at+pieceFloats, p.Count())})
		}
	}
	opt.norms = make([]float64, len(opt.pieces))
	var err error
	opt.muon, err = newMuon(opt.slots, opt.threads)
	return opt, err
}

// resume goes on after so many steps, of which so many are an epoch.
func (o *Optimiser) resume(steps, perEpoch int) {
	o.steps = steps
	o.epochs = float64(steps) / float64(perEpoch)
	for _, s := range o.slots {
		for s.waited < steps && s.frozen(float64(s.waited)/float64(perEpoch)) {
			s.waited++
		}
	}
}

// Clip scales all gradients together so that their norm is at most the given one, as PyTorch's clip_grad_norm_ does,
// and returns what it was.
func (o *Optimiser) Clip(most float64) float64 {
	norm := math.Sqrt(o.squares(func(piece) float64 { return 1 }))
	if scale := float32(most / (norm + 1e-6)); scale < 1 {
		parallel.Each(o.threads, len(o.pieces), func(i int) {
			p := o.pieces[i]
			if p.rests(o.epochs) {
				return
			}
			for j := range p.Grad[p.from:p.to] {
				p.Grad[p.from+j] *= scale
			}
		})
	}
	return norm
}

// Polyak is the rate at which a step along the gradients, were the loss linear, would take all of a loss away: +Inf
// without gradients. Each parameter counts by its share of the rate.
func (o *Optimiser) Polyak(loss float64) float64 {
	squares := o.squares(func(p piece) float64 { return p.rate })
	if squares == 0 {
		return math.Inf(1)
	}
	return loss / squares
}

// squares is the gradients' squared length, each parameter's times a share.
func (o *Optimiser) squares(share func(piece) float64) float64 {
	parallel.Each(o.threads, len(o.pieces), func(i int) {
		p := o.pieces[i]
		if o.norms[i] = 0; p.rests(o.epochs) {
			return
		}
		sum := 0.0
		for _, g := range p.Grad[p.from:p.to] {
			sum += float64(g) * float64(g)
		}
		o.norms[i] = sum * share(p)
	})
	sum := 0.0
	for _, s := range o.norms { // in order, whoever has computed them
		sum += s
	}
	return sum
}

// Step moves the parameters once, at a learning rate and after so many epochs. Of this step's gradients and decay only
// a share counts, at most 1, now and in what momentum keeps of them: a rate lowered for steep gradients lets no later,
// higher rate multiply them. The Plan must be refreshed afterwards.
func (o *Optimiser) Step(rate, share, epochs float64) {
	o.stepByElement(rate, share, epochs)
	o.stepByMatrix(rate, share)
}

// stepByElement begins a step and takes that of all parameters but muon's.
func (o *Optimiser) stepByElement(rate, share, epochs float64) {
	o.steps++
	o.epochs = epochs
	for _, s := range o.slots {
		if s.frozen(epochs) {
			s.waited++
		}
	}
	parallel.Each(o.threads, len(o.pieces), func(i int) {
		p := o.pieces[i]
		if p.muon || p.rests(epochs) {
			return
		}
		if o.Kind == "adamw" {
			o.adamw(p, rate*share*p.rate)
		} else {
			o.sgd(p, rate*p.rate, float32(share))
		}
	})
}

// stepByMatrix ends a step with that of muon's parameters, one after the other.
func (o *Optimiser) stepByMatrix(rate, share float64) {
	for _, s := range o.slots {
		if s.muon && !s.rests(o.epochs) {
			o.muon.step(s, rate*s.rate, float32(share), o.Nesterov)
		}
	}
}

// sgd is torch.optim.SGD with dampening 0: g += decay·w; g *= share; v = momentum·v + g; w −= rate·v, or
// rate·(g + momentum·v) after Nesterov. Products are converted so that no machine fuses them with the next addition.
func (o *Optimiser) sgd(p piece, rate float64, share float32) {
	w, g := p.Data[p.from:p.to], p.Grad[p.from:p.to]
	step, momentum := float32(rate), float32(p.momentum)
	decay, keep := float32(p.decay), float32(1)
	if o.Decoupled {
		decay, keep = 0, float32(1-float64(rate*p.decay))
	}
	if p.first == nil {
		for i, x := range w {
			w[i] = float32(x*keep) - float32(step*float32(share*(g[i]+float32(decay*x))))
		}
		return
	}
	v := p.first[p.from:p.to]
	g, v = g[:len(w)], v[:len(w)]
	if o.Nesterov {
		for i, x := range w {
			d := float32(share * (g[i] + float32(decay*x)))
			v[i] = float32(momentum*v[i]) + d
			w[i] = float32(x*keep) - float32(step*(d+float32(momentum*v[i])))
		}
		return
	}
	for i, x := range w {
		v[i] = float32(momentum*v[i]) + float32(share*(g[i]+float32(decay*x)))
		w[i] = float32(x*keep) - float32(step*v[i])
	}
}

// adamw is torch.optim.AdamW, both moments freed of their bias towards zero.
func (o *Optimiser) adamw(p piece, rate float64) {
	w, g := p.Data[p.from:p.to], p.Grad[p.from:p.to]
	m, v := p.first[p.from:p.to], p.second[p.from:p.to]
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	beta1, beta2 := float32(p.momentum), float32(o.Beta2)
	rest1, rest2 := float32(1-p.momentum), float32(1-o.Beta2)
	taken := float64(o.steps - p.waited)
	step := float32(rate / (1 - math.Pow(p.momentum, taken)))
	scale := float32(1 / math.Sqrt(1-math.Pow(o.Beta2, taken)))
	keep, epsilon := float32(1-float64(rate*p.decay)), float32(o.Epsilon)
	for i, x := range w {
		d := g[i]
		m[i] = float32(beta1*m[i]) + float32(rest1*d)
		v[i] = float32(beta2*v[i]) + float32(rest2*float32(d*d))
		size := float32(scale*float32(math.Sqrt(float64(v[i])))) + epsilon
		w[i] = float32(x*keep) - float32(step*(m[i]/size))
	}
}

// stateName begins the names of an optimiser's tensors in a checkpoint.
const stateName = "optimiser/"

// momentName is what a checkpoint calls a moment of a parameter: muon's by another name than what sgd would take for
// its velocity.
func (s *slot) momentName(i int) string {
	kind := [...]string{"first", "second"}[i]
	if s.muon {
		kind = "muon"
	}
	return stateName + kind + "/" + s.Name
}

func (s *slot) moments() [2]*[]float32 { return [...]*[]float32{&s.first, &s.second} }

// tensors lists the moments for a checkpoint.
func (o *Optimiser) tensors() []weights.Tensor {
	var list []weights.Tensor
	for i := range 2 {
		for _, s := range o.slots {
			if data := *s.moments()[i]; data != nil {
				list = append(list, weights.Tensor{Name: s.momentName(i), Shape: slices.Clone(s.Shape), Data: data})
			}
		}
	}
	return list
}
