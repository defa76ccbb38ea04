package kernel

import (
	"runtime"
	"sync"
	"time"

	"github.com/vggo/vggo/internal/machine"
)

// FMAPeak measures, in about 150 ms, how many GFLOP/s the Set's multiply-adds reach on so many threads when nothing
// else is in their way: the roof that a matrix product is held against. The best of several rounds counts.
func (s *Set) FMAPeak(threads int) float64 {
	const piece, rounds, length = 100 * time.Microsecond, 30, 4 * time.Millisecond
	steps := 25
	for took := time.Duration(0); took < piece/2; steps *= 2 {
		start := machine.Now()
		s.peak(steps)
		took = machine.Now() - start
	}
	rate := bestRate(threads, rounds, length, machine.Now, func(int, int) { s.peak(steps) })
	return rate * float64(steps) * float64(s.peakFLOP)
}

// ReadBandwidth measures how many GB/s so many threads read from a buffer of 256 MB, each its own part: the roof of
// layers that stream their weights. The best of three rounds counts.
func (s *Set) ReadBandwidth(threads int) float64 {
	const floats, rounds, length = 256 << 20 / 4, 3, 20 * time.Millisecond
	buffer := Alloc(floats)
	// The collector reuses these addresses for small objects; each would take a whole huge page.
	defer adviseSmall(buffer)
	// Each page is written once: untouched ones all map to a single page of zeros, which the cache holds.
	for i := 0; i < floats; i += 1024 {
		buffer[i] = 1
	}
	const pieces = 64 // of a thread's part, in turn
	blocks := floats / Block / threads / pieces
	rate := bestRate(threads, rounds, length, machine.Now, func(thread, i int) {
		s.read(&buffer[(thread*pieces+i%pieces)*blocks*Block], blocks)
	})
	return rate * float64(blocks*Block*4)
}

// bestRate has threads of their own, started together, do one piece of work after the other until a round's length is
// over, and returns the pieces per nanosecond of the best round. A round's is the sum of the threads' own rates: cores
// may be of different speeds, and if all had to do as much, the slowest would set the rate.
func bestRate(threads, rounds int, length time.Duration, now func() time.Duration, piece func(thread, i int)) float64 {
	starts, rates := make([]chan time.Duration, threads), make([]float64, threads)
	var finished, gone sync.WaitGroup
	for t := range starts {
		starts[t] = make(chan time.Duration)
		gone.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for begin := range starts[t] {
				took, done := time.Duration(0), 0
				for ; took < length; took = now() - begin {
					piece(t, done)
					done++
				}
				rates[t] = float64(done) / float64(took.Nanoseconds())
				finished.Done()
			}
		})
	}
	best := 0.0
	for range rounds {
		finished.Add(threads)
		begin := now()
		for _, start := range starts {
			start <- begin
		}
		finished.Wait()
		sum := 0.0
		for _, rate := range rates {
			sum += rate
		}
		best = max(best, sum)
	}
	for _, start := range starts {
		close(start)
	}
	gone.Wait() // with them goes what piece holds on to
	return best
}
