package nn

import (
	"errors"
	"fmt"
	"math"
	"sort"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/machine"
	"github.com/vggo/vggo/internal/printable"
)

// slack is what the process takes beyond the network: the program, its stacks, the garbage collector.
const slack = 100 << 20

// MemoryError is a batch that does not fit: into what the system has left or, where Budget says so, into
// Options.Budget.
type MemoryError struct {
	Network   string
	Training  bool // Options.Training of the Plan
	Batch     int
	Need      int64 // bytes; with a budget, by the algorithms that take least
	Available int64
	Budget    bool
	// the largest batch that would fit, as CheckMemory finds it; 0 if none does, and from Compile and Predict
	Fits int
}

func (e *MemoryError) Error() string {
	pass, images, need, there := "forward", "one image", "about", "are available"
	if e.Training {
		pass = "forward-backward"
	}
	if e.Batch > 1 {
		images = fmt.Sprintf("%d images", e.Batch)
	}
	if e.Budget {
		need, there = "at least", "are allowed"
	}
	takes, most := printable.BytesApart(e.Need, e.Available)
	return fmt.Sprintf("%s: %s of %s needs %s %s of memory, and %s %s", e.Network, pass, images, need, takes, most, there)
}

// CheckMemory is a *MemoryError if a Plan will not fit into what the system has left, where that tells, or into its
// budget.
func CheckMemory(placed *arch.Placement, opt Options) error {
	return checkMemory(placed, opt, machine.AvailableMemory())
}

func checkMemory(placed *arch.Placement, opt Options, available int64) error {
	err := fits(placed, opt, available)
	var e *MemoryError
	if !errors.As(err, &e) {
		return err
	}
	e.Fits = sort.Search(opt.Batch, func(n int) bool {
		smaller := opt
		smaller.Batch = n + 1
		return fits(placed, smaller, available) != nil
	})
	return e
}

// fits is a *MemoryError if a Plan, its images and the process take more than is available (0: untold), or more than
// the budget.
func fits(placed *arch.Placement, opt Options, available int64) error {
	report, err := placed.Analyze(opt.Batch)
	if err != nil {
		return err
	}
	e := &MemoryError{Network: placed.Network.Name, Training: opt.Training, Batch: opt.Batch, Available: available}
	if opt.Training {
		// Training keeps every map, or a quarter of it where maxima are taken as it is made. Where these alone do not fit no
		// Plan is drafted: a draft holds sums for each image.
		e.Need = report.Memory.Train + opt.Beside
		if available > 0 && report.Memory.Train/4+opt.Beside > available {
			return e
		}
	}
	memory, _, err := Predict(placed, opt)
	if err != nil {
		return err
	}
	e.Need = memory.Total() + opt.Beside + slack
	if !opt.Training { // whose activations include the images
		e.Need += 4 * int64(opt.Batch) * int64(placed.Input.C*placed.Input.H*placed.Input.W)
	}
	if available > 0 && e.Need > available {
		return e
	}
	return nil
}

// countable reports whether the sizes of each layer, and of all maps together where they are kept, are ints in bytes
// too. An int has 32 bits on some processors: what is beyond any memory must not wrap around and seem small.
func (o *Options) countable(placed []arch.Placed) bool {
	const most = min(math.MaxInt/4, 1<<48)
	learns, kept := o.BackTo == "", 0.0
	floats := func(s arch.Shape) float64 {
		return float64(o.Batch) * float64(kernel.Blocks(s.C)*kernel.Block) * float64(s.H) * float64(s.W)
	}
	for _, layer := range placed {
		learns = learns || layer.Name == o.BackTo
		weights := 0.0
		for _, param := range layer.Params {
			weights += float64(copies(layer.Op, o.backs() && learns) * float64(param.Count()))
		}
		out := float64(floats(layer.Out))
		if o.keeps() || o.tapped(layer) {
			kept += out
		}
		if max(float64(floats(layer.In))+out, weights, kept) > most {
			return false
		}
	}
	return true
}

// copies is at least what a Plan holds of each of a layer's parameters: itself, its gradient, and what algorithms make
// of it.
func copies(op arch.Op, gradients bool) float64 {
	_, conv := op.(arch.Conv)
	switch {
	case conv && gradients:
		return 64
	case conv:
		return 9 // F(6×6,3×3) makes 64 weights of 9
	case gradients:
		return 3
	}
	return 1
}
