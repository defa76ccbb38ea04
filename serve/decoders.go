package serve

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vggo/vggo/vision"
)

// A picture is small that takes no more than this, as its header tells. A large one may be a photograph, or a few bytes
// that ask for gigabytes and seconds.
const (
	smallTime   = 100 * time.Millisecond
	smallMemory = 64 << 20
)

// passing is how many pictures of a cost go before one that came first and costs one more of it: so small ones pass
// large ones, and those wait no more than this many times what they take.
const passing = 10

// decoders deal out who decodes when, by the cost that is expected. Small pictures always find a decoder that no large
// one holds.
type decoders struct {
	all, large int           // decoded at once, and large ones among them
	patience   time.Duration // longest expected wait; who would wait longer is told to come again

	mu             sync.Mutex
	running, heavy int              // pictures being decoded, and large ones among them
	queue          []*queuedPicture // by their turn
}

// queuedPicture is a picture in the queue.
type queuedPicture struct {
	work  vision.Work
	turn  time.Time
	start chan struct{} // closed when it may
}

func newDecoders(n int, patience time.Duration) *decoders {
	return &decoders{all: max(n, 2), large: max(n-1, 1), patience: patience}
}

// bytes is the most that all pictures together take while they are decoded, of which the largest takes so much.
func (d *decoders) bytes(largest int64) int64 {
	return int64(d.large)*largest + int64(d.all-d.large)*min(largest, smallMemory)
}

func isLarge(w vision.Work) bool { return w.Time > smallTime || w.Memory > smallMemory }

// enter waits for a picture's turn. leave must be called when it is decoded.
func (d *decoders) enter(ctx context.Context, work vision.Work) (leave func(), err error) {
	w := &queuedPicture{work, time.Now().Add(passing * work.Time), make(chan struct{})}
	d.mu.Lock()
	if ahead := d.ahead(w); ahead > d.patience {
		d.mu.Unlock()
		return nil, &refusal{Kind: busy,
			Hint: "try again after the seconds in Retry-After", After: ahead,
			Fault: fmt.Sprintf("pictures that take about %.0f s to decode are waiting already", ahead.Seconds())}
	}
	at, _ := slices.BinarySearchFunc(d.queue, w, func(a, b *queuedPicture) int { return a.turn.Compare(b.turn) })
	d.queue = slices.Insert(d.queue, at, w)
	d.next()
	d.mu.Unlock()
	select {
	case <-w.start:
	case <-ctx.Done():
		d.mu.Lock()
		defer d.mu.Unlock()
		if i := slices.Index(d.queue, w); i >= 0 {
			d.queue = slices.Delete(d.queue, i, i+1)
		} else { // it was started meanwhile
			d.ended(w)
		}
		return nil, context.Cause(ctx)
	}
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ended(w)
	}), nil
}

// ahead is how long those that wait for the same decoders and go first are expected to take. The caller has the lock.
func (d *decoders) ahead(w *queuedPicture) time.Duration {
	var total time.Duration
	lanes := d.all
	if isLarge(w.work) {
		lanes = d.large
	}
	for _, other := range d.queue {
		if other.turn.Before(w.turn) && (isLarge(w.work) || !isLarge(other.work)) {
			total += other.work.Time
		}
	}
	return total / time.Duration(lanes)
}

// busy reports whether a large picture is being decoded.
func (d *decoders) busy() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.heavy > 0
}

// ended gives a decoder back. The caller has the lock.
func (d *decoders) ended(w *queuedPicture) {
	d.running--
	if isLarge(w.work) {
		d.heavy--
	}
	d.next()
}

// next starts those whose turn it is. The caller has the lock.
func (d *decoders) next() {
	d.queue = slices.DeleteFunc(d.queue, func(w *queuedPicture) bool {
		large := isLarge(w.work)
		if d.running == d.all || large && d.heavy == d.large {
			return false
		}
		d.running++
		if large {
			d.heavy++
		}
		close(w.start)
		return true
	})
}
