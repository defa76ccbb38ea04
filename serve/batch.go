package serve

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/vggo/vggo/tensor"
)

// batcher gathers requests for one model into batches. One goroutine runs them, since a Plan takes all threads; across
// models they take turns.
type batcher struct {
	largest int           // images of one batch
	longest time.Duration // that the first request waits for others which are on their way
	forward func(ctx context.Context, layer string, images *tensor.Tensor) (*tensor.Tensor, error)
	ran     func(layer string, images int, took time.Duration) // is told of each batch
	turn    chan struct{}                                      // one token, of all models: whoever has it computes

	mu      sync.Mutex
	queue   []*item
	running []*item       // the batch that is being computed
	stop    func()        // ends it
	coming  int           // requests that were admitted and are not in the queue yet
	news    chan struct{} // holds a token when queue or coming has changed
	closed  bool
	done    chan struct{} // closed when the goroutine has ended
}

// item is a request's images, no more than a batch holds, and their place in the queue.
type item struct {
	ctx    context.Context
	layer  string // that the network stops at; empty: the logits
	images *tensor.Tensor
	queued time.Time
	gone   bool        // nobody waits for it any more
	result chan answer // of one place: the batcher never waits for a reader
}

// answer is what became of an item.
type answer struct {
	out    *tensor.Tensor
	err    error
	waited time.Duration // in the queue
	took   time.Duration // the batch, of which this was a part
	batch  int           // images of it
}

func newBatcher(b *batcher) *batcher {
	b.news, b.done = make(chan struct{}, 1), make(chan struct{})
	go b.run()
	return b
}

func (b *batcher) changed() {
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// expect says that a request will come, or with -1 that it will not after all. The first of a batch waits for those
// expected; do takes its place.
func (b *batcher) expect(n int) {
	b.mu.Lock()
	b.coming += n
	b.mu.Unlock()
	b.changed()
}

// do has a batch of any number of images computed, and returns when it is or ctx is done. Items whose context is done
// leave the queue, and no batch is the slower for them; a batch that is being computed is given up once nobody waits
// for any part of it.
func (b *batcher) do(ctx context.Context, layer string, images *tensor.Tensor, expected bool) (answer, error) {
	var items []*item
	for from := 0; from < images.N; from += b.largest {
		part := images
		if images.N > b.largest {
			part = images.Images(from, min(from+b.largest, images.N))
		}
		items = append(items, &item{ctx: ctx, layer: layer, images: part, queued: time.Now(), result: make(chan answer, 1)})
	}
	b.mu.Lock()
	if expected {
		b.coming--
	}
	if b.closed {
		b.mu.Unlock()
		return answer{}, errClosed
	}
	b.queue = append(b.queue, items...)
	b.mu.Unlock()
	b.changed()
	var whole answer
	for _, it := range items {
		select {
		case <-ctx.Done():
			b.abandon(items)
			return answer{}, context.Cause(ctx)
		case a := <-it.result:
			if a.err != nil {
				b.abandon(items)
				return answer{}, a.err
			}
			whole.add(a, images.N)
		}
	}
	return whole, nil
}

// add appends the answer of a part of n images.
func (a *answer) add(part answer, n int) {
	if part.out.N == n {
		*a = part
		return
	}
	if a.out == nil {
		*a = part
		a.out = &tensor.Tensor{C: part.out.C, H: part.out.H, W: part.out.W, Data: make([]float32, 0,
			n/part.out.N*len(part.out.Data))}
		a.took = 0
	}
	a.out.N += part.out.N
	a.out.Data = append(a.out.Data, part.out.Data...)
	a.took += part.took
	a.batch = max(a.batch, part.batch)
}

// abandon takes items out of the queue and out of the running batch.
func (b *batcher) abandon(items []*item) {
	b.mu.Lock()
	for _, it := range items {
		it.gone = true
	}
	gone := func(it *item) bool { return it.gone }
	b.queue = slices.DeleteFunc(b.queue, gone)
	if len(b.running) > 0 && !slices.ContainsFunc(b.running, func(it *item) bool { return !it.gone }) {
		b.stop()
	}
	b.mu.Unlock()
	b.changed()
}

// waiting is the images in the queue.
func (b *batcher) waiting() (images int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, it := range b.queue {
		images += it.images.N
	}
	return images
}

// close ends the goroutine once the queue is empty, and returns when it has.
func (b *batcher) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.changed()
	<-b.done
}

func (b *batcher) run() {
	defer close(b.done)
	for b.wait() {
		b.turn <- struct{}{}
		// While others had the turn the queue may have grown, or its items may have left.
		if batch := b.take(); len(batch) > 0 {
			b.compute(batch)
		}
		<-b.turn
	}
}

// wait returns when a batch should be computed: it is full, or nobody else is coming, or its first item has waited long
// enough. False says that there will be none.
func (b *batcher) wait() bool {
	var patience <-chan time.Time
	for {
		b.mu.Lock()
		images := 0
		for _, it := range b.queue {
			images += it.images.N
		}
		ready := images >= b.largest || images > 0 && (b.coming == 0 || b.closed)
		closed := b.closed && images == 0
		switch {
		case images == 0:
			patience = nil
		case patience == nil:
			patience = time.After(b.longest - time.Since(b.queue[0].queued))
		}
		b.mu.Unlock()
		switch {
		case closed:
			return false
		case ready:
			return true
		}
		select {
		case <-b.news:
		case <-patience:
			return true
		}
	}
}

// take takes the next batch from the queue: its first item, and those after it that ask for the same layer and fit in.
// What does not fit keeps its place.
func (b *batcher) take() []*item {
	b.mu.Lock()
	defer b.mu.Unlock()
	var batch []*item
	images := 0
	b.queue = slices.DeleteFunc(b.queue, func(it *item) bool {
		switch {
		case it.ctx.Err() != nil: // whoever waits for it sees that too
			return true
		case len(batch) > 0 && (it.layer != batch[0].layer || images+it.images.N > b.largest):
			return false
		}
		batch = append(batch, it)
		images += it.images.N
		return true
	})
	return batch
}

// compute runs a batch and deals the result out.
func (b *batcher) compute(batch []*item) {
	images := batch[0].images
	if len(batch) > 1 {
		n := 0
		for _, it := range batch {
			n += it.images.N
		}
		images = tensor.New(n, images.C, images.H, images.W)
		at := 0
		for _, it := range batch {
			at += copy(images.Data[at:], it.images.Data)
		}
	}
	// An item that gives up must not take the others with it, so the batch's context is not an item's.
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	b.mu.Lock()
	b.running, b.stop = batch, stop
	b.mu.Unlock()
	start := time.Now()
	out, err := b.forward(ctx, batch[0].layer, images)
	took := time.Since(start)
	b.mu.Lock()
	b.running = nil
	b.mu.Unlock()
	if err == nil {
		b.ran(batch[0].layer, images.N, took)
	}
	at := 0
	for _, it := range batch {
		a := answer{err: err, waited: start.Sub(it.queued), took: took, batch: images.N}
		if err == nil {
			a.out = out.Images(at, at+it.images.N)
			at += it.images.N
		}
		it.result <- a
	}
}
