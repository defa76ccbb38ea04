package nn

import (
	"sync"
	"sync/atomic"
)

// team is the goroutines that share a Plan's work. A job's tasks must not depend on which worker takes them, so results
// are the same for any number of threads.
type team struct {
	threads int
	job     func(worker, task int)
	tasks   int64
	next    atomic.Int64
	start   []chan struct{} // one for each worker but the caller
	done    sync.WaitGroup
	once    sync.Once
}

func newTeam(threads int) *team {
	t := &team{threads: threads}
	for w := 1; w < threads; w++ {
		start := make(chan struct{}, 1)
		t.start = append(t.start, start)
		go func() {
			for range start {
				t.work(w)
				t.done.Done()
			}
		}()
	}
	return t
}

// run hands out tasks 0 to n-1 and returns when all are done. It allocates nothing: job is made once by its layer.
func (t *team) run(n int, job func(worker, task int)) {
	helpers := min(n, t.threads) - 1
	if helpers <= 0 {
		for task := range n {
			job(0, task)
		}
		return
	}
	t.job, t.tasks = job, int64(n)
	t.next.Store(0)
	t.done.Add(helpers)
	for _, start := range t.start[:helpers] {
		start <- struct{}{}
	}
	t.work(0)
	t.done.Wait()
	t.job = nil // lets go of the Plan, so that an unused one can be collected
}

func (t *team) work(worker int) {
	for {
		task := t.next.Add(1) - 1
		if task >= t.tasks {
			return
		}
		t.job(worker, int(task))
	}
}

// stop ends the goroutines.
func (t *team) stop() {
	t.once.Do(func() {
		for _, start := range t.start {
			close(start)
		}
	})
}
