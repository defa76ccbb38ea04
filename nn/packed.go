package nn

import (
	"sync"
	"weak"

	"github.com/vggo/vggo/internal/kernel"
)

// packed is weights rearranged for an algorithm. Plans of the same Params that need the same share it; it goes with the last.
type packed struct {
	data    []float32
	version uint64 // of the Params it was filled from; 0: not yet
}

// packedKey is what weights are packed for.
type packedKey struct {
	w      *Param
	pass   Pass
	algo   Algo
	set    *kernel.Set // whose transforms round
	folded bool        // with a batch norm
}

// shelf is the packed weights of a Params' Plans.
type shelf struct {
	mu      sync.Mutex
	version uint64 // counts changes of the parameters
	packs   map[packedKey]weak.Pointer[packed]
}

// changed makes all packed weights stale.
func (s *shelf) changed() {
	s.mu.Lock()
	s.version++
	s.mu.Unlock()
}

// find returns the packed weights for a key if a Plan holds such, else nil.
func (s *shelf) find(key packedKey) *packed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.packs[key].Value()
}

func (s *shelf) put(key packedKey, p *packed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.packs == nil {
		s.packs = map[packedKey]weak.Pointer[packed]{}
	}
	s.packs[key] = weak.Make(p)
}

// pack finds or plans for packed weights of so many floats, which are gathered by way of so many floats of a worker's scratch.
func (p *Plan) pack(key packedKey, floats, scratch int) *packed {
	p.needScratch(scratch)
	p.memory.Packing += 4 * int64(floats)
	if found := p.params.find(key); found != nil {
		return found
	}
	fresh := &packed{}
	p.later = append(p.later, func() {
		fresh.data = kernel.Alloc(floats)
		p.params.put(key, fresh)
	})
	return fresh
}

// repack fills a pass's weights if parameters have changed since they were filled.
func (p *Plan) repack(by convPass, f *filters) {
	if w := by.weights(); w.version != p.params.version+1 {
		by.pack(f)
		w.version = p.params.version + 1
	}
}
