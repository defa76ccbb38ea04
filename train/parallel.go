package train

import (
	"sync"
	"sync/atomic"
)

// each calls do for tasks 0 to n-1, several at a time. What a task does must not depend on who does it, nor when.
func each(threads, n int, do func(task int)) {
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
