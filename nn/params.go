package nn

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"runtime"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/fault"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/parallel"
	"github.com/vggo/vggo/tensor"
)

// Param is a parameter and, once a training Plan exists, its gradient; both in Shape's row-major order.
type Param struct {
	arch.Param
	Data []float32
	Grad []float32
	Half tensor.Halves // in place of Data, where the parameter is kept in 16 bits
	half bool          // it is, though it may have no values yet
	// Half is mapped from a file, or whatever else the Source has
	kept bool
}

// Params is a network's parameters in network order: conv1_1/w, conv1_1/b, … fc8/b.
type Params struct {
	Network *arch.Network
	List    []*Param
	byName  map[string]*Param
	half    bool   // those are that Options.Half is about
	source  Source // that they were loaded from; nil: no file
	packCache
}

// NewParams makes the parameters of a network, all zero.
func NewParams(placed *arch.Placement) *Params { return newParams(placed, false) }

// NewHalfParams is NewParams for Plans with Options.Half: weights of fully connected layers are kept in 16 bits.
func NewHalfParams(placed *arch.Placement) *Params { return newParams(placed, true) }

func newParams(placed *arch.Placement, half bool) *Params {
	p := unfilled(placed, half)
	for _, q := range p.List {
		// Fresh memory is mapped only when written: parameters that Load replaces cost nothing.
		if q.half {
			q.Half.Bits = kernel.AllocHalves(q.Count())
		} else {
			q.Data = kernel.Alloc(q.Count())
		}
	}
	return p
}

// unfilled is the parameters of a network without their values.
func unfilled(placed *arch.Placement, half bool) *Params {
	p := &Params{Network: placed.Network, byName: map[string]*Param{}, half: half}
	for _, layer := range placed.Layers {
		for _, param := range layer.Params {
			q := &Param{Param: param, half: half && inHalf(layer.Op, param)}
			p.List = append(p.List, q)
			p.byName[param.Name] = q
		}
	}
	return p
}

// Get returns a parameter by name, nil if there is none.
func (p *Params) Get(name string) *Param { return p.byName[name] }

// Load sets every parameter to what find returns for it. Trainable parameters are kept, not copied, so they may be
// mapped from a file: a Plan never writes to their Data. Running statistics are copied, since training moves them, and
// so are weights that are kept in 16 bits, which are rounded: a *HalfError where that cannot be.
func (p *Params) Load(find func(arch.Param) ([]float32, error)) error {
	for _, q := range p.List {
		if err := p.loadOne(q, find); err != nil {
			return err
		}
	}
	p.changed()
	return nil
}

// Source is where parameters come from: a file, as weights.Matched is one.
type Source interface {
	Param(arch.Param) ([]float32, error)
	Halves(arch.Param) (halves tensor.Halves, ok bool) // where the source has them so
	GiveBack(arch.Param)                               // what Param returned is not read for now
}

// LoadFrom is Load from a file. What Params keep in 16 bits and the file has so is kept, not copied.
func (p *Params) LoadFrom(source Source) error {
	for _, q := range p.List {
		if h, ok := source.Halves(q.Param); ok && q.half && len(h.Bits) == q.Count() {
			q.Half, q.kept = h, true
			continue
		}
		if err := p.loadOne(q, source.Param); err != nil {
			return err
		}
		if q.half {
			source.GiveBack(q.Param)
		}
	}
	p.source = source
	p.changed()
	return nil
}

// giveBack says that a parameter was read, and will seldom be again: where Plans shall take little memory its pages go
// back to the file.
func (p *Params) giveBack(q *Param) {
	if p.half && p.source != nil {
		p.source.GiveBack(q.Param)
	}
}

func (p *Params) loadOne(q *Param, find func(arch.Param) ([]float32, error)) error {
	data, err := find(q.Param)
	if err != nil {
		return err
	}
	if len(data) != q.Count() {
		return fmt.Errorf("nn: parameter %s has %d values, the network needs %d", q.Name, len(data), q.Count())
	}
	switch {
	case q.half:
		return q.narrow(data)
	case q.Trainable:
		q.Data = data
		return nil
	}
	if err := fault.Catch(func() error { copy(q.Data, data); return nil }); err != nil {
		return fmt.Errorf("nn: parameter %s: %w", q.Name, err)
	}
	return nil
}

// Initialiser fills weights; biases are 0 for convolutions and LinearBias for linear layers; batch norm starts as the
// identity.
type Initialiser struct {
	Name       string
	LinearBias float32
	weight     func(r *rand.Rand, fanIn, fanOut int) float64
}

func glorotWeight(r *rand.Rand, fanIn, fanOut int) float64 {
	return (2*float64(r.Float64()) - 1) * math.Sqrt(6/float64(fanIn+fanOut))
}

var (
	// Xavier is TensorFlow's xavier_initializer_conv2d: uniform in ±sqrt(6/(fan_in+fan_out)), fans being kernel area
	// times channels (Glorot & Bengio 2010, equation 16), and the article's biases: 0.1 for fully connected layers.
	Xavier = Initialiser{"xavier", 0.1, glorotWeight}
	// Glorot is Xavier with zero biases, which the VGG paper's authors found to do without pre-training (Simonyan &
	// Zisserman 2015, section 3.1).
	Glorot = Initialiser{"glorot", 0, glorotWeight}
	// He is normal with variance 2/fan_in (He et al. 2015, equation 10), zero biases.
	He = Initialiser{"he", 0, func(r *rand.Rand, fanIn, _ int) float64 {
		return r.NormFloat64() * math.Sqrt(2/float64(fanIn))
	}}
	// Paper is the VGG paper's: normal with variance 1e-2, zero biases (Simonyan & Zisserman 2015, section 3.1).
	Paper = Initialiser{"paper", 0, func(r *rand.Rand, _, _ int) float64 { return r.NormFloat64() * 0.1 }}
)

// Initialisers lists them by name for a command line.
func Initialisers() []Initialiser { return []Initialiser{Xavier, Glorot, He, Paper} }

// initChunk values come from one random stream, so that chunks can be filled side by side with the same outcome.
const initChunk = 1 << 16

// Init fills all parameters from a seed. Each parameter's stream depends on its name and the seed alone.
func (p *Params) Init(init Initialiser, seed uint64) {
	type chunk struct {
		param *Param
		at    int
	}
	var chunks []chunk
	for _, q := range p.List {
		if q.FanIn == 0 {
			fill(q.Data, p.constant(q.Param, init))
			continue
		}
		for at := 0; at < q.Count(); at += initChunk {
			chunks = append(chunks, chunk{q, at})
		}
	}
	parallel.Each(runtime.GOMAXPROCS(0), len(chunks), func(task int) {
		c := chunks[task]
		h := fnv.New64a()
		h.Write([]byte(c.param.Name))
		r := rand.New(rand.NewPCG(seed, h.Sum64()+uint64(c.at)))
		end := min(c.at+initChunk, c.param.Count())
		var part []float32
		if c.param.half {
			part = make([]float32, end-c.at)
		} else {
			part = c.param.Data[c.at:end]
		}
		for i := range part {
			part[i] = float32(init.weight(r, c.param.FanIn, c.param.FanOut))
		}
		if c.param.half {
			quickest().Narrow(c.param.Half.Bits[c.at:end], part)
		}
	})
	p.changed()
}

// constant is the starting value of a parameter that is not a weight.
func (p *Params) constant(q arch.Param, init Initialiser) float32 {
	layer := q.Layer()
	for _, l := range p.Network.Layers {
		if l.Name != layer {
			continue
		}
		switch l.Op.(type) {
		case arch.Linear:
			return init.LinearBias
		case arch.BatchNorm:
			if q.Role() == "gamma" || q.Role() == "var" {
				return 1
			}
		}
	}
	return 0
}

func fill(s []float32, v float32) {
	for i := range s {
		s[i] = v
	}
}
