//go:build unix

package nn_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/internal/fault"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
)

// mapped is values in a file of their own and in memory mapped from it.
func mapped(t *testing.T, values []float32) (path string, view []float32) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "values")
	bytes, err := binary.Append(nil, binary.LittleEndian, values)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes, 0o644); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	bytes, err = unix.Mmap(int(file.Fd()), 0, len(bytes), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(bytes); err != nil {
			t.Error(err)
		}
	})
	view, ok := kernel.Float32s(bytes)
	if !ok {
		t.Skip("no views of files on this machine")
	}
	return path, view
}

// A step that reads weights whose file has been shortened is an error, in every kernel set and on any number of
// threads, in a stage of a few images as in the last one of all. No worker is lost: with the file whole again the Plan
// gives its bits again.
func TestFaultInAStep(t *testing.T) {
	conv := func(out int) arch.Op { return arch.Conv{Out: out, Window: window(3, 3, 1, 1, arch.Pad(1))} }
	net := named("faulty", arch.Shape{C: 3, H: 40, W: 40}, conv(16), arch.MaxPool{Window: window(4, 4, 4, 1, arch.Pad(0))},
		conv(16), arch.Flatten{}, arch.Linear{Out: 300})
	const batch = 17
	x := noise(1, batch, net.Input)
	for _, set := range sets() {
		for _, threads := range []int{1, 2, 5} {
			t.Run(fmt.Sprintf("%s/threads=%d", set.Name, threads), func(t *testing.T) {
				params := newParams(t, net, nn.He)
				w := params.List[len(params.List)-2] // of the linear layer
				values := w.Data
				path, view := mapped(t, values)
				w.Data = view
				plan := compile(t, net, params, nn.Options{Batch: batch, Set: set.Name, Threads: threads})
				if len(plan.Stages()) < 2 {
					t.Fatalf("stages of %v images: the test wants several", plan.Stages())
				}
				want := forward(t, plan, x)
				for round := range 3 {
					if err := os.Truncate(path, 8192); err != nil {
						t.Fatal(err)
					}
					if err := plan.Forward(x); !errors.As(err, new(*fault.Error)) {
						t.Fatalf("round %d: %v, want a fault", round, err)
					}
					bytes, _ := binary.Append(nil, binary.LittleEndian, values)
					if err := os.WriteFile(path, bytes, 0o644); err != nil {
						t.Fatal(err)
					}
					if !sameBits(forward(t, plan, x), want) {
						t.Fatalf("round %d: other bits than before the fault", round)
					}
				}
			})
		}
	}
}

// TestFaultWithinAStage has the fault in the first stage, on its second run: what the next stage gathers is put back.
func TestFaultWithinAStage(t *testing.T) {
	net := named("faulty", arch.Shape{C: 3, H: 64, W: 64}, arch.Conv{Out: 16, Window: window(3, 3, 1, 1, arch.Pad(1))},
		arch.MaxPool{Window: window(8, 8, 8, 1, arch.Pad(0))}, arch.Flatten{}, arch.Linear{Out: 10})
	params := newParams(t, net, nn.He)
	plan := compile(t, net, params, nn.Options{Batch: 8, Threads: 2})
	x := noise(1, 8, net.Input)
	want := forward(t, plan, x)
	path, view := mapped(t, x.Data)
	short := *x
	short.Data = view
	if err := os.Truncate(path, int64(4*len(view)*7/8)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := plan.Forward(&short); !errors.As(err, new(*fault.Error)) {
			t.Fatalf("%v, want a fault", err)
		}
	}
	if !sameBits(forward(t, plan, x), want) {
		t.Error("other bits than before the fault")
	}
}

// TestFaultInRounding: weights whose file has been shortened are an error when they are rounded to 16 bits.
func TestFaultInRounding(t *testing.T) {
	net := named("faulty", arch.Shape{C: 3, H: 40, W: 40}, arch.Flatten{}, arch.Linear{Out: 100})
	params := newParams(t, net, nn.He)
	path, view := mapped(t, params.List[0].Data)
	params.List[0].Data = view
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	half := nn.NewHalfParams(archtest.Place(t, net))
	err := half.Load(func(p arch.Param) ([]float32, error) { return params.Get(p.Name).Data, nil })
	if !errors.As(err, new(*fault.Error)) {
		t.Errorf("%v, want a fault", err)
	}
}
