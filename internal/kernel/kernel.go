package kernel

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/vggo/vggo/internal/winograd"
)

// Block is the number of channels side by side in a blocked feature map.
const Block = 16

// Blocks is the number of blocks that hold n channels.
func Blocks(n int) int { return (n + Block - 1) / Block }

// gemmFunc computes a tile; see gemmGeneric.
type gemmFunc func(a *float32, aRow, aCol int, runs *int, nruns, k int, b *float32, bRow, bBlock int, c *float32, cRow,
	cBlock int, bias, next *float32, flags int)

// dotFunc computes a tile; see dotGeneric.
type dotFunc func(a *float32, aRow int, b *float32, bRow, k int, c *float32, cRow int, bias *float32, flags int)

// halfGemmFunc is a gemmFunc whose b, and what comes next of it, lies in float16.
type halfGemmFunc func(a *float32, aRow, aCol int, runs *int, nruns, k int, b *uint16, bRow, bBlock int, c *float32,
	cRow, cBlock int, bias *float32, next *uint16, flags int)

// halfDotFunc is a dotFunc whose b lies in 16 bits.
type halfDotFunc func(a *float32, aRow int, b *uint16, bRow, k int, c *float32, cRow int, bias *float32, flags int)

const (
	flagAccumulate = 1
	flagReLU       = 2
)

// Set is the kernels for one instruction set, with the blocking that suits them.
type Set struct {
	Name string // "avx512", "avx2", "neon", "generic"

	// Depth is how many rows of B (64 bytes each, per block) a tile works through before moving on: the panel stays in
	// the L1 cache.
	Depth int
	// PeakLanes is the number of floats in a vector.
	PeakLanes int

	gemm [][]gemmFunc // by blocks-1, rows-1
	dot  [][2]dotFunc // by rows-1; [0] for one column, [1] for four

	gemmF16         [][]halfGemmFunc // as gemm, and as many
	dotF16, dotBF16 [][2]halfDotFunc // as dot
	widen           func(dst *float32, src *uint16, n int)
	narrow          func(dst *uint16, src *float32, n int)

	relu        func(dst, src *float32, n int)
	reluGrad    func(grad, y *float32, n int)
	axpy        func(y, x *float32, n int, alpha float32)
	mulAdd      func(y, a, b *float32, n int)
	scaleShift  func(dst, src, scale, shift *float32, n, flags int)
	sumLanes    func(sum, src *float32, n int)
	dotLanes    func(sum, a, b *float32, n int)
	maxPool     func(dst, src *float32, stride int, taps *int, ntaps, n int)
	maxPoolGrad func(dx, x, y, dy *float32, stride int, taps *int, ntaps, n int)
	winners     func(winners *uint8, y, x *float32, row, n int)
	unpool      func(dx *float32, row int, dy *float32, winners *uint8, n int)

	winograd [len(winograd.Tiles)]winogradFuncs

	peak     func(steps int)
	peakFLOP int // per step of peak
	read     func(src *float32, n int)
}

func (s *Set) String() string { return s.Name }

// Env names the environment variable that overrides the choice of a Set.
const Env = "VGGO_KERNEL"

// Sets returns the Sets that this machine can run, best first; the last is the portable one.
func Sets() []*Set {
	var sets []*Set
	for _, c := range candidates {
		if c.supported() {
			sets = append(sets, c.set)
		}
	}
	return append(sets, &generic)
}

type candidate struct {
	set       *Set
	supported func() bool
}

// Lookup finds a Set by name. A name that does not exist and one that this machine lacks are errors that say which.
func Lookup(name string) (*Set, error) {
	var runnable []string
	for _, s := range Sets() {
		if s.Name == name {
			return s, nil
		}
		runnable = append(runnable, s.Name)
	}
	list := strings.Join(runnable, ", ")
	for _, c := range candidates {
		if c.set.Name == name {
			return nil, fmt.Errorf("kernel set %q needs instructions that this processor lacks (it can run: %s)", name, list)
		}
	}
	return nil, fmt.Errorf("unknown kernel set %q (this build can run: %s)", name, list)
}

// Active is the Set that VGGO_KERNEL names, else the best that this machine can run.
func Active() (*Set, error) { return active() }

// Named is what Lookup finds; no name is Active's.
func Named(name string) (*Set, error) {
	if name == "" {
		return Active()
	}
	return Lookup(name)
}

var active = sync.OnceValues(func() (*Set, error) { return choose(os.Getenv(Env)) })

func choose(name string) (*Set, error) {
	if name == "" {
		return Sets()[0], nil
	}
	s, err := Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Env, err)
	}
	return s, nil
}
