package train

import (
	"fmt"

	"github.com/vggo/vggo/internal/parallel"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/weights"
)

// Average says which mean of its weights over time a run keeps.
type Average struct {
	// Kind is empty for none; ema, a running mean beside the weights, which validation and the result take; or lookahead,
	// slow weights which the weights return to (Zhang et al. 2019). Batch norm's statistics are averaged with them.
	Kind  string  `yaml:"kind"`
	Decay float64 `yaml:"decay"` // of the mean: mean = decay·mean + (1-decay)·weights
	Every int     `yaml:"every"` // steps; 0 counts as 1
	// Ramp lets the decay grow with the run, as (step/steps)^Ramp: 3 in airbench (arXiv 2404.00498). 0: from the start.
	Ramp int `yaml:"ramp,omitempty"`
}

func (a *Average) check() error {
	switch {
	case a.Kind != "" && a.Kind != "ema" && a.Kind != "lookahead":
		return fmt.Errorf("kind: %q is neither ema nor lookahead", a.Kind)
	case !(a.Decay >= 0 && a.Decay < 1):
		return fmt.Errorf("decay must lie in [0, 1), not %v", a.Decay)
	case a.Every < 0 || a.Ramp < 0:
		return fmt.Errorf("every and ramp must be at least 0")
	}
	return nil
}

// averager keeps the mean of all parameters.
type averager struct {
	Average
	threads int
	params  *nn.Params
	mean    [][]float32 // as params.List
	pieces  []meanPiece
}

type meanPiece struct{ mean, data []float32 }

// newAverager starts with the parameters as they are; nil where nothing is averaged.
func newAverager(a Average, params *nn.Params, threads int) *averager {
	if a.Kind == "" {
		return nil
	}
	v := &averager{Average: a, threads: threads, params: params}
	v.Every = max(v.Every, 1)
	for _, p := range params.List {
		mean := append([]float32(nil), p.Data...)
		v.mean = append(v.mean, mean)
		for at := 0; at < len(mean); at += pieceFloats {
			end := min(at+pieceFloats, len(mean))
			v.pieces = append(v.pieces, meanPiece{mean[at:end], p.Data[at:end]})
		}
	}
	return v
}

// after takes the parameters in after a step, the first being 1. After the last, lookahead's are the slow ones.
func (v *averager) after(step, steps int) {
	if v == nil {
		return
	}
	if v.Kind == "lookahead" && step == steps {
		v.end()
		return
	}
	if step%v.Every != 0 {
		return
	}
	decay := v.Decay
	for range v.Ramp {
		decay *= float64(step) / float64(steps)
	}
	rest := float32(1 - decay)
	parallel.Each(v.threads, len(v.pieces), func(i int) {
		p := v.pieces[i]
		for j, m := range p.mean {
			p.mean[j] = m + float32(rest*(p.data[j]-m))
		}
		if v.Kind == "lookahead" {
			copy(p.data, p.mean)
		}
	})
}

// end leaves lookahead's slow weights, after the last step.
func (v *averager) end() {
	if v != nil && v.Kind == "lookahead" {
		parallel.Each(v.threads, len(v.pieces), func(i int) { copy(v.pieces[i].data, v.pieces[i].mean) })
	}
}

// swap exchanges the parameters and their mean.
func (v *averager) swap() {
	parallel.Each(v.threads, len(v.pieces), func(i int) {
		p := v.pieces[i]
		for j, m := range p.mean {
			p.mean[j], p.data[j] = p.data[j], m
		}
	})
}

// beside reports whether it is the mean that validation and the result take.
func (v *averager) beside() bool { return v != nil && v.Kind == "ema" }

// tensors lists the mean for a checkpoint.
func (v *averager) tensors() []weights.Tensor {
	if v == nil {
		return nil
	}
	var list []weights.Tensor
	for i, p := range v.params.List {
		list = append(list, weights.Tensor{Name: "mean/" + p.Name, Shape: p.Shape, Data: v.mean[i]})
	}
	return list
}
