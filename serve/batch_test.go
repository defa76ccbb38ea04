package serve

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vggo/vggo/tensor"
)

// fakeNetwork doubles values and remembers its batches.
type fakeNetwork struct {
	mu      sync.Mutex
	batches []string // layer and images
	err     error
	hold    chan struct{} // not nil: each batch waits for it, or for its context
	stopped int           // batches whose context ended
}

func (f *fakeNetwork) forward(ctx context.Context, layer string, x *tensor.Tensor) (*tensor.Tensor, error) {
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			f.mu.Lock()
			f.stopped++
			f.mu.Unlock()
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batches = append(f.batches, layer+string(rune('0'+x.N)))
	out := tensor.New(x.N, x.C, x.H, x.W)
	for i, v := range x.Data {
		out.Data[i] = 2 * v
	}
	return out, f.err
}

func (f *fakeNetwork) batcher(longest time.Duration) *batcher {
	return newBatcher(&batcher{largest: 4, longest: longest, turn: make(chan struct{}, 1), forward: f.forward,
		ran: func(string, int, time.Duration) {}})
}

// images are n images of one value each, counted from first.
func images(first, n int) *tensor.Tensor {
	x := tensor.New(n, 1, 1, 1)
	for i := range x.Data {
		x.Data[i] = float32(first + i)
	}
	return x
}

// TestBatches: requests that wait together are computed together, in order, up to the largest batch, and those of
// another layer apart; each gets its own answer.
func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeNetwork{}
		b := f.batcher(time.Millisecond)
		b.turn <- struct{}{} // another model computes
		var all sync.WaitGroup
		ask := func(layer string, first, n int) {
			all.Go(func() {
				a, err := b.do(t.Context(), layer, images(first, n), false)
				if err != nil {
					t.Error(err)
					return
				}
				for i, v := range a.out.Data {
					if a.out.N != n || v != float32(2*(first+i)) {
						t.Errorf("image %d of %d: %v", first+i, n, v)
					}
				}
			})
			synctest.Wait()
		}
		for i, n := range []int{1, 1, 3, 1, 1} {
			ask("", 10*i, n)
		}
		ask("x", 50, 1)
		ask("", 60, 9) // parts of 4, 4 and 1
		if got := b.waiting(); got != 17 {
			t.Errorf("%d images wait, not 17", got)
		}
		<-b.turn
		all.Wait()
		// 1, 1, and past the 3, which does not fit, 1 and 1; the 3 with the last part of the 9; x; the other parts.
		if want := []string{"4", "4", "x1", "4", "4"}; !slices.Equal(f.batches, want) {
			t.Errorf("batches %q, want %q", f.batches, want)
		}
		b.close()
	})
}

// TestBatchPatience: the first request waits for those that are on their way, no longer than it should, and for nobody
// else.
func TestBatchPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeNetwork{}
		b := f.batcher(time.Second)
		took := func(do func()) time.Duration { start := time.Now(); do(); return time.Since(start) }
		one := func() {
			if _, err := b.do(t.Context(), "", images(0, 1), false); err != nil {
				t.Error(err)
			}
		}
		if d := took(one); d != 0 {
			t.Errorf("alone it waits %v", d)
		}
		b.expect(1)
		if d := took(one); d != time.Second {
			t.Errorf("for one that does not come it waits %v", d)
		}
		go func() {
			time.Sleep(time.Second / 4)
			b.do(t.Context(), "", images(0, 1), true)
		}()
		if d := took(one); d != time.Second/4 {
			t.Errorf("for one that comes it waits %v", d)
		}
		b.expect(1)
		go func() {
			time.Sleep(time.Second / 2)
			b.expect(-1)
		}()
		if d := took(one); d != time.Second/2 {
			t.Errorf("for one that turns back it waits %v", d)
		}
		b.expect(1)
		if d := took(func() { b.do(t.Context(), "", images(0, 4), false) }); d != 0 {
			t.Errorf("a full batch waits %v", d)
		}
		b.expect(-1)
		if want := []string{"1", "1", "2", "1", "4"}; !slices.Equal(f.batches, want) {
			t.Errorf("batches %q, want %q", f.batches, want)
		}
		b.close()
	})
}

// TestBatchAbandoned: who gives up leaves the queue and disturbs nobody; a batch that nobody waits for any more is
// given up.
func TestBatchAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeNetwork{hold: make(chan struct{})}
		b := f.batcher(0)
		cause := errors.New("gone")
		ask := func() (leave func(), failed func() error) {
			ctx, cancel := context.WithCancelCause(t.Context())
			result := make(chan error, 1)
			go func() {
				_, err := b.do(ctx, "", images(0, 1), false)
				result <- err
			}()
			synctest.Wait()
			return func() { cancel(cause); synctest.Wait() }, func() error { return <-result }
		}
		leave1, failed1 := ask() // runs
		leave2, failed2 := ask() // waits
		leave3, failed3 := ask()
		leave2()
		if err := failed2(); err != cause || b.waiting() != 1 {
			t.Errorf("one that left the queue: %v, %d wait", err, b.waiting())
		}
		leave1()
		if err := failed1(); err != cause || f.stopped != 1 {
			t.Errorf("one that left alone: %v, %d batches stopped", err, f.stopped)
		}
		_, failed4 := ask() // waits while 3 runs
		f.hold <- struct{}{}
		if err := failed3(); err != nil {
			t.Errorf("one that stayed: %v", err)
		}
		leave3()
		f.hold <- struct{}{}
		if err := failed4(); err != nil {
			t.Errorf("the last: %v", err)
		}

		b.turn <- struct{}{}
		leave5, failed5 := ask()
		_, failed6 := ask()
		<-b.turn
		synctest.Wait() // both run
		leave5()
		f.hold <- struct{}{}
		if err := failed5(); err != cause {
			t.Errorf("one that left a batch of two: %v", err)
		}
		if err := failed6(); err != nil || f.stopped != 1 {
			t.Errorf("the other: %v, %d batches stopped", err, f.stopped)
		}
		b.close()
		if _, err := b.do(t.Context(), "", images(0, 1), false); err != errClosed {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestBatchFails: an error is everybody's, the next batch is not affected, and what is queued is computed before the
// end.
func TestBatchFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeNetwork{err: errors.New("broken")}
		b := f.batcher(0)
		if _, err := b.do(t.Context(), "", images(0, 9), false); err != f.err {
			t.Errorf("%v", err)
		}
		synctest.Wait()
		if b.waiting() != 0 {
			t.Errorf("the other parts of a failed request still wait")
		}
		f.err = nil
		b.turn <- struct{}{}
		done := make(chan error)
		go func() {
			_, err := b.do(t.Context(), "", images(0, 2), false)
			done <- err
		}()
		synctest.Wait()
		go b.close()
		synctest.Wait()
		<-b.turn
		if err := <-done; err != nil {
			t.Errorf("queued before the end: %v", err)
		}
	})
}

// TestGate: work is admitted up to the budget, what can never fit is told apart, and what is given back can be taken
// again.
func TestGate(t *testing.T) {
	g := newGate(100, "bytes")
	a, err := g.enter(60)
	if err != nil {
		t.Fatal(err)
	}
	var full *fullError
	if _, err := g.enter(41); !errors.As(err, &full) || full.Used != 60 || full.After != time.Second {
		t.Errorf("beyond the budget: %v", err)
	}
	g.did(20, 2*time.Second) // 10 a second
	if _, err := g.enter(70); !errors.As(err, &full) || full.After != 3*time.Second {
		t.Errorf("30 too much at 10 a second: %+v", full)
	}
	var cost *costError
	if _, err := g.enter(101); !errors.As(err, &cost) {
		t.Errorf("more than the budget: %v", err)
	}
	if err := a.add(41); !errors.As(err, &cost) {
		t.Errorf("more than the budget in two parts: %v", err)
	}
	b, err := g.enter(40)
	if err != nil || g.inUse() != 100 {
		t.Errorf("%v, %d used", err, g.inUse())
	}
	a.leave()
	a.leave()
	b.leave()
	if g.inUse() != 0 {
		t.Errorf("%d used in the end", g.inUse())
	}
	// Overflow must not admit.
	if _, err := g.enter(1<<63 - 1); !errors.As(err, &cost) {
		t.Errorf("everything: %v", err)
	}
}
