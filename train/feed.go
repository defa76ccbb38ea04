package train

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/parallel"
	"github.com/vggo/vggo/tensor"
)

// batch is samples ready for the network.
type batch struct {
	images   *tensor.Tensor // prepared; where there are frozen layers, of the missing alone
	features *tensor.Tensor // what the frozen layers make of the pictures; nil where there are none
	missing  []int          // places in features that are yet to be computed, in order
	samples  []int          // of each place
	epoch    int
	labels   []int
	faults   []fault // samples found broken on the way, replaced by the ones after them
	err      error   // why there is no batch
}

type fault struct {
	sample int
	err    error
}

// ahead is how many batches wait for the trainer at most.
const ahead = 2

// feed makes batches beside the trainer, in order, few ahead of it: memory holds ahead and two more.
type feed struct {
	source    *cachedSet
	augmenter *augmenter
	broken    *broken
	seed      uint64
	threads   int
	batch     int // samples of one batch, as far as they are this rank's
	first     int // of them
	whole     int // samples of one batch of all ranks
	perEpoch  int // batches of an epoch

	epoch int   // of the samples that follow; -1 before the first
	order []int // of this epoch

	features arch.Shape // of what the frozen layers make of a picture; zero where there are none
	kept     *features  // what they made of pictures before; nil where nothing is kept

	serial bool // batches are made when they are asked for
	count  int  // of batches that were, where serial

	ready, free chan *batch
	stop        context.CancelFunc
	done        sync.WaitGroup
}

// start makes batches from one on, counted from the beginning of the run.
func (f *feed) start(from int) {
	f.epoch = -1
	if f.serial {
		f.count, f.free = from, make(chan *batch, 1)
		f.free <- f.room()
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.ready, f.free = make(chan *batch, ahead), make(chan *batch, ahead+2)
	for range ahead + 2 {
		f.free <- f.room()
	}
	f.done.Go(func() {
		defer close(f.ready)
		for n := from; ; n++ {
			var b *batch
			select {
			case b = <-f.free:
			case <-ctx.Done():
				return
			}
			f.fill(b, n)
			select {
			case f.ready <- b:
			case <-ctx.Done():
				return
			}
			if b.err != nil {
				return
			}
		}
	})
}

func (f *feed) room() *batch {
	b := &batch{images: tensor.New(f.batch, f.augmenter.channels, f.augmenter.h, f.augmenter.w),
		samples: make([]int, f.batch), labels: make([]int, f.batch)}
	if s := f.features; s.C > 0 {
		b.features = tensor.New(f.batch, s.C, s.H, s.W)
	}
	return b
}

// next is the batch that follows. It goes back into free.
func (f *feed) next() *batch {
	if !f.serial {
		return <-f.ready
	}
	b := <-f.free
	f.fill(b, f.count)
	f.count++
	return b
}

func (f *feed) close() {
	if f.stop != nil {
		f.stop()
		f.done.Wait()
	}
}

// fill makes the n-th batch of the run.
func (f *feed) fill(b *batch, n int) {
	if epoch := n / f.perEpoch; epoch != f.epoch {
		f.epoch, f.order = epoch, order(f.source.Len(), f.seed, epoch)
	}
	at := n%f.perEpoch*f.whole + f.first
	samples, epoch := f.order[at:at+f.batch], f.epoch
	b.faults, b.err, b.epoch = b.faults[:0], nil, epoch
	found := make([]bool, f.batch) // features of it
	var mu sync.Mutex
	size := len(b.images.Data) / len(samples)
	parallel.Each(f.threads, len(samples), func(n int) {
		// A broken sample's place goes to the next one that can be read, whoever finds out first.
		for try := range f.source.Len() {
			sample := (samples[n] + try) % f.source.Len()
			if f.broken.has(sample) {
				continue
			}
			b.samples[n], b.labels[n] = sample, f.source.Label(sample)
			if f.kept != nil && f.kept.known(epoch, sample, b.row(n)) {
				found[n] = true
				return
			}
			p, err := f.source.Picture(sample)
			if err == nil {
				if found[n] = f.kept != nil && f.kept.find(epoch, sample, p, b.row(n)); !found[n] {
					f.augmenter.put(b.images.Data[n*size:][:size], p, epoch, sample)
				}
				// The network's own goroutines must not wait behind a batch of these.
				runtime.Gosched()
				return
			}
			fresh, tooMany := f.broken.add(sample, err)
			mu.Lock()
			if fresh {
				b.faults = append(b.faults, fault{sample, err})
			}
			b.err = cmp.Or(b.err, tooMany)
			mu.Unlock()
			if tooMany != nil {
				return
			}
		}
		mu.Lock()
		b.err = cmp.Or(b.err, error(&EmptyError{f.broken.first()}))
		mu.Unlock()
	})
	if b.features != nil {
		b.gather(found)
	}
	slices.SortFunc(b.faults, func(a, b fault) int { return cmp.Compare(a.sample, b.sample) })
}

// row is where the features of a place in the batch go.
func (b *batch) row(n int) []float32 { return b.features.Images(n, n+1).Data }

// gather leaves the images whose features are not found yet, one behind the other.
func (b *batch) gather(found []bool) {
	b.missing = b.missing[:0]
	for n, have := range found {
		if have {
			continue
		}
		if at := len(b.missing); at < n {
			copy(b.images.Images(at, at+1).Data, b.images.Images(n, n+1).Data)
		}
		b.missing = append(b.missing, n)
	}
}
