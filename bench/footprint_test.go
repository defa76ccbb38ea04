package bench

import (
	"errors"
	"fmt"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
)

// TestFootprint holds the estimate that refuses a batch against what the Plan then takes: not less, and not half as much
// again. Channels of 10 take the room of 16; vgg11-cifar's weights outweigh its maps; a pool comes first in the string.
func TestFootprint(t *testing.T) {
	for _, c := range []struct {
		network string
		batch   int
	}{{"tinyvgg", 1}, {"tinyvgg", 300}, {"vgg11-cifar", 16}, {"alexnet-torchvision", 2}, {"64x64x1:M,8b,L,8,A/20,5", 100}} {
		for _, mode := range []Mode{Forward, ForwardBackward} {
			t.Run(fmt.Sprintf("%s/%d/%s", c.network, c.batch, mode), func(t *testing.T) {
				net, err := arch.Open(c.network)
				if err != nil {
					t.Fatal(err)
				}
				report, err := arch.Analyze(net, net.Input, c.batch)
				if err != nil {
					t.Fatal(err)
				}
				params, err := nn.NewParams(net, net.Input)
				if err != nil {
					t.Fatal(err)
				}
				plan, err := nn.Compile(net, params, nn.Options{Batch: c.batch, Training: mode == ForwardBackward, Threads: 2})
				if err != nil {
					t.Fatal(err)
				}
				defer plan.Close()
				fixed, images := footprint(report, mode)
				got, want := int64(fixed+images), plan.Memory().Total()
				// slack is there for a little scratch.
				if got+slack/10 < want || got > want*3/2+slack/10 {
					t.Errorf("%s estimated, the plan takes %s", arch.Bytes(got), arch.Bytes(want))
				}
			})
		}
	}
}

func TestCheckMemory(t *testing.T) {
	if availableMemory() == 0 {
		t.Skip("this system does not tell what memory it has")
	}
	net, err := arch.Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	check := func(batch int) error {
		r, err := arch.Analyze(net, net.Input, batch)
		if err != nil {
			t.Fatal(err)
		}
		return CheckMemory(r, Forward)
	}
	var e *MemoryError
	if err := check(1 << 20); !errors.As(err, &e) || e.Batch != 1<<20 || e.Need <= e.Available {
		t.Fatalf("a million images: %v", err)
	}
	// The limit moves while other processes take memory; half of it leaves room.
	if e.Fits > 1 {
		if err := check(e.Fits / 2); err != nil {
			t.Errorf("%d images fit, but: %v", e.Fits, err)
		}
		if err := check(e.Fits * 2); err == nil {
			t.Errorf("at most %d images fit, but twice as many do", e.Fits)
		}
	}
}
