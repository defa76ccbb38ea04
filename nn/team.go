package nn

import (
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/vggo/vggo/internal/fault"
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
	failure atomic.Pointer[any] // the first fault of a job, which run passes on
}

func newTeam(threads int) *team {
	t := &team{threads: threads}
	for w := 1; w < threads; w++ {
		start := make(chan struct{}, 1)
		t.start = append(t.start, start)
		go func() {
			debug.SetPanicOnFault(true) // as Plan does in the caller's goroutine
			for range start {
				t.guarded(w)
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
	t.guarded(0)
	t.done.Wait()
	t.job = nil // lets go of the Plan, so that an unused one can be collected
	if failure := t.failure.Swap(nil); failure != nil {
		panic(*failure)
	}
}

// guarded works, and on a fault lets the others come to an end. Any other panic is a bug and goes on from here, where
// its trace shows the job.
func (t *team) guarded(worker int) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		t.next.Store(t.tasks)
		if fault.Of(r) == nil {
			if worker == 0 {
				t.done.Wait()
			}
			panic(r)
		}
		failure := r // a variable of its own: r would be on the heap whether there is a panic or not
		t.failure.CompareAndSwap(nil, &failure)
	}()
	t.work(worker)
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
