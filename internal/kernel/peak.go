package kernel

import (
	"runtime"
	"sync"
	"time"
)

// FMAPeak measures, in about 150 ms, how many GFLOP/s the Set's multiply-adds reach on so many threads when nothing
// else is in their way: the roof that a matrix product is held against. The best of several rounds counts.
func (s *Set) FMAPeak(threads int) float64 {
	const round = 4 * time.Millisecond
	steps := 1000
	for best := time.Duration(0); best < round/2; steps *= 2 {
		start := time.Now()
		s.peak(steps)
		best = time.Since(start)
	}
	best := bestRound(threads, 30, func(int) { s.peak(steps) })
	return float64(threads) * float64(steps) * float64(s.peakFLOP) / float64(best.Nanoseconds())
}

// ReadBandwidth measures how many GB/s so many threads read from a buffer of 256 MB, each its own part: the roof of
// layers that stream their weights. The best of three rounds counts.
func (s *Set) ReadBandwidth(threads int) float64 {
	const floats = 256 << 20 / 4
	buffer := Alloc(floats)
	// The collector reuses these addresses for small objects; each would take a whole huge page.
	defer adviseSmall(buffer)
	// Each page is written once: untouched ones all map to a single page of zeros, which the cache holds.
	for i := 0; i < floats; i += 1024 {
		buffer[i] = 1
	}
	blocks := floats / Block / threads
	best := bestRound(threads, 3, func(thread int) { s.read(&buffer[thread*blocks*Block], blocks) })
	return float64(threads*blocks*Block*4) / float64(best.Nanoseconds())
}

// bestRound runs work on threads of their own, started together, and returns the shortest time in which all finished.
func bestRound(threads, rounds int, work func(thread int)) time.Duration {
	starts := make([]chan struct{}, threads)
	var finished, gone sync.WaitGroup
	for t := range starts {
		starts[t] = make(chan struct{})
		gone.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for range starts[t] {
				work(t)
				finished.Done()
			}
		})
	}
	best := time.Duration(1<<63 - 1)
	for range rounds {
		finished.Add(threads)
		begin := time.Now()
		for _, start := range starts {
			start <- struct{}{}
		}
		finished.Wait()
		best = min(best, time.Since(begin))
	}
	for _, start := range starts {
		close(start)
	}
	gone.Wait() // with them goes what work holds on to
	return best
}
