package nn

import (
	"sync"
	"weak"

	"github.com/vggo/vggo/internal/kernel"
)

// packed is weights rearranged for an algorithm. Plans of the same Params that need the same share it; it goes with the
// last.
type packed struct {
	mu      sync.Mutex // of filling; a Plan that has found them filled reads them without
	floats  int
	data    []float32 // nil until they are filled
	half    []uint16  // in place of data, as float16
	version uint64    // of the Params that they were filled from; 0: not yet
}

// operand makes the weights from one place to another a product's, which goes on with those behind, up to an end.
func (w *packed) operand(m *kernel.Matmul, from, to, end int) {
	if w.half != nil {
		m.Half, m.NextHalf = w.half[from:to], w.half[to:end]
	} else {
		m.B, m.Next = w.data[from:to], w.data[to:end]
	}
}

// packedKey is what weights are packed for.
type packedKey struct {
	w      *Param
	pass   Pass
	algo   Algo
	set    *kernel.Set // whose transforms round
	folded bool        // with a batch norm
	half   bool        // as float16
}

// packCache is the packed weights of a Params' Plans.
type packCache struct {
	mu      sync.Mutex
	version uint64 // counts changes of the parameters
	packs   map[packedKey]weak.Pointer[packed]
}

// changed makes all packed weights stale.
func (s *packCache) changed() {
	s.mu.Lock()
	s.version++
	s.mu.Unlock()
}

// current counts the changes so far.
func (s *packCache) current() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// take returns the packed weights for a key, of so many floats: those that a Plan holds, or else new ones, not yet
// filled.
func (s *packCache) take(key packedKey, floats int) *packed {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.packs[key].Value(); found != nil {
		return found
	}
	if s.packs == nil {
		s.packs = map[packedKey]weak.Pointer[packed]{}
	}
	fresh := &packed{floats: floats}
	s.packs[key] = weak.Make(fresh)
	return fresh
}

// pack plans for packed weights of so many floats, which are gathered by way of so many floats of a worker's scratch.
func (p *Plan) pack(key packedKey, floats, scratch int) *packed {
	p.needScratch(scratch)
	p.memory.Packing += p.packedSize() * int64(floats)
	return p.params.take(key, floats)
}

// packedSize is the bytes of a packed weight.
func (o *Options) packedSize() int64 {
	if o.Half == HalfAll {
		return 2
	}
	return 4
}

// fill packs a pass's weights if parameters have changed since they were packed. Of Plans that are compiled at the same
// time one packs them, and the others wait. beyond is a value that float16 has no room for; 0 where there is none.
func (s *packCache) fill(by convPass, f *filters, half bool) (beyond float32) {
	w, version := by.weights(), s.current()+1
	w.mu.Lock()
	defer w.mu.Unlock() // after a fault too
	if w.version == version {
		return 0
	}
	switch {
	case half && w.half == nil:
		w.half = kernel.AllocHalves(w.floats)
	case !half && w.data == nil:
		w.data = kernel.Alloc(w.floats)
	}
	if beyond = by.pack(f); beyond == 0 {
		w.version = version
	}
	return beyond
}
