package train

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/vggo/vggo/vision"
)

// Dataset is what a network learns from. It may be read by several goroutines at once.
type Dataset interface {
	Len() int
	Label(i int) int                        // from 0
	Picture(i int) (*vision.Picture, error) // nobody writes to it; errors name it
}

// oneClass reports whether all samples are of the same class: whatever the network answers, it would be right.
func oneClass(d Dataset) bool {
	for i := range d.Len() {
		if d.Label(i) != d.Label(0) {
			return false
		}
	}
	return true
}

// HoldOut takes n samples, drawn by the seed, from a data set. The rest keeps its order.
func HoldOut(d Dataset, n int, seed uint64) (rest, held Dataset, err error) {
	if n < 1 || n >= d.Len() {
		return nil, nil, fmt.Errorf("%d of %d samples cannot be held out: some must be, and some left", n, d.Len())
	}
	order := rand.New(rand.NewPCG(seed, 1)).Perm(d.Len())
	out, in := order[:n], order[n:]
	slices.Sort(out)
	slices.Sort(in)
	return &subset{d, in}, &subset{d, out}, nil
}

type subset struct {
	Dataset
	index []int
}

func (s *subset) Len() int                               { return len(s.index) }
func (s *subset) Label(i int) int                        { return s.Dataset.Label(s.index[i]) }
func (s *subset) Picture(i int) (*vision.Picture, error) { return s.Dataset.Picture(s.index[i]) }

// cachedSet keeps a data set's pictures, decoded and prepared, as long as they fit.
type cachedSet struct {
	Dataset
	prepare func(*vision.Picture) (*vision.Picture, error)
	kept    []atomic.Pointer[vision.Picture]
	left    *atomic.Int64 // bytes
}

func newCachedSet(d Dataset, prepare func(*vision.Picture) (*vision.Picture, error), left *atomic.Int64) *cachedSet {
	return &cachedSet{d, prepare, make([]atomic.Pointer[vision.Picture], d.Len()), left}
}

func (m *cachedSet) Picture(i int) (*vision.Picture, error) {
	if p := m.kept[i].Load(); p != nil {
		return p, nil
	}
	p, err := m.Dataset.Picture(i)
	if err != nil {
		return nil, err
	}
	if p, err = m.prepare(p); err != nil {
		return nil, fmt.Errorf("sample %d: %w", i, err)
	}
	if size := int64(len(p.Pix)); m.left.Add(-size) >= 0 {
		m.kept[i].Store(p)
	} else {
		m.left.Add(size)
	}
	return p, nil
}

// order is how a data set is gone through in an epoch.
func order(n int, seed uint64, epoch int) []int {
	return rand.New(rand.NewPCG(seed, ^uint64(epoch))).Perm(n)
}

// broken are the samples that cannot be read.
type broken struct {
	mu    sync.Mutex
	limit int
	errs  map[int]error
}

// BrokenError says that too many pictures cannot be read.
type BrokenError struct {
	Limit int
	Err   error // of the one too many
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("more than %d pictures cannot be read, the last of them: %v", e.Limit, e.Err)
}

func (e *BrokenError) Unwrap() error { return e.Err }

// first is the error of the first of them, nil where there is none.
func (b *broken) first() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.errs) == 0 {
		return nil
	}
	return b.errs[slices.Min(slices.Collect(maps.Keys(b.errs)))]
}

func (b *broken) has(sample int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.errs[sample] != nil
}

// add takes a sample in. fresh says that it is met for the first time.
func (b *broken) add(sample int, err error) (fresh bool, tooMany error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.errs[sample] != nil {
		return false, nil
	}
	if len(b.errs) >= b.limit {
		return true, &BrokenError{b.limit, err}
	}
	if b.errs == nil {
		b.errs = map[int]error{}
	}
	b.errs[sample] = err
	return true, nil
}

// EmptyError is a data set of which no picture can be read.
type EmptyError struct{ Err error } // of one of them

func (e *EmptyError) Error() string {
	return fmt.Sprintf("no picture can be read, one of them since: %v", e.Err)
}

func (e *EmptyError) Unwrap() error { return e.Err }
