// Package parallel does tasks side by side whose results do not depend on who takes them.
package parallel

import (
	"sync"
	"sync/atomic"
)

// Each calls do for all tasks below n on up to so many goroutines. What one task writes no other may touch: then the
// bits do not depend on how many there are.
func Each(threads, n int, do func(task int)) {
	var next atomic.Int64
	work := func() {
		for task := next.Add(1) - 1; task < int64(n); task = next.Add(1) - 1 {
			do(int(task))
		}
	}
	var others sync.WaitGroup
	for range min(threads, n) - 1 {
		others.Go(work)
	}
	work()
	others.Wait()
}
