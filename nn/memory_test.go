package nn

import (
	"errors"
	"strconv"
	"testing"

	"github.com/vggo/vggo/arch/archtest"

	"github.com/vggo/vggo/arch"
)

// TestCheckMemory: what is refused does not fit, and what is said to fit does, by the memory there is and by a budget.
func TestCheckMemory(t *testing.T) {
	net, err := arch.Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		opt  Options
		cap  func(opt *Options, available *int64)
	}{
		{"available/forward", Options{Batch: 1 << 20}, func(_ *Options, a *int64) { *a = 3e9 }},
		{"available/training", Options{Batch: 1 << 20, Training: true}, func(_ *Options, a *int64) { *a = 5e9 }},
		{"available/training/near", Options{Batch: 64, Training: true}, func(_ *Options, a *int64) { *a = 5e9 }},
		{"available/beside", Options{Batch: 24, Training: true, Beside: 2e9}, func(_ *Options, a *int64) { *a = 5e9 }},
		{"budget/forward", Options{Batch: 200}, func(o *Options, _ *int64) { o.Budget = 9e8 }},
		{"budget/training", Options{Batch: 200, Training: true}, func(o *Options, _ *int64) { o.Budget = 3e9 }},
		{"budget/none", Options{Batch: 2}, func(o *Options, _ *int64) { o.Budget = 1e8 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strconv.IntSize == 32 && c.opt.Batch > 2 {
				t.Skip("an int of 32 bits does not count so many floats")
			}
			available := int64(0)
			c.cap(&c.opt, &available)
			err := checkMemory(archtest.Place(t, net), c.opt, available)
			var e *MemoryError
			if !errors.As(err, &e) || e.Batch != c.opt.Batch || e.Need <= e.Available || e.Budget != (c.opt.Budget > 0) {
				t.Fatalf("%+v", err)
			}
			if none := c.name == "budget/none"; none != (e.Fits == 0) || e.Fits >= c.opt.Batch {
				t.Fatalf("%d images are said to fit", e.Fits)
			}
			if e.Fits == 0 {
				return
			}
			c.opt.Batch = e.Fits
			if err := checkMemory(archtest.Place(t, net), c.opt, available); err != nil {
				t.Errorf("%d images fit, but: %v", e.Fits, err)
			}
			c.opt.Batch++
			if err := checkMemory(archtest.Place(t, net), c.opt, available); err == nil {
				t.Errorf("at most %d images fit, but one more does", e.Fits)
			}
		})
	}
	if err := checkMemory(archtest.Place(t, net), Options{Batch: 8}, 0); err != nil {
		t.Errorf("a system that does not tell: %v", err)
	}
}
