package train

import (
	clock "github.com/vggo/vggo/internal/machine"
	"github.com/vggo/vggo/nn"
)

// Part is a part of a step.
type Part struct {
	Layers []string // computed together: "conv1_2", "relu1_2"; nil for what is no layer's
	Step   int      // their place among the groups of Frozen, if there is one, and Plan
	Pass   nn.Pass
	Name   string // of what is no layer's pass: one of those below
}

// The parts of a step that are no layer's.
const (
	DataPart      = "data"      // decoding and augmenting a batch
	LossPart      = "loss"      // and its gradient
	OptimiserPart = "optimiser" // and clipping
	MuonPart      = "muon"      // the optimiser's steps of matrices
	AveragePart   = "average"
	PackingPart   = "packing" // of the new weights, for the kernels
	RanksPart     = "ranks"   // waiting for the gradients of the others, after the backward pass
)

// part does a part of a step.
func (t *Trainer) part(name string, do func()) {
	start := clock.Now()
	do()
	if t.options.Observe != nil {
		t.options.Observe(Part{Name: name}, clock.Now()-start)
	}
}
