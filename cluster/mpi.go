//go:build mpi && linux

package cluster

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// mpi carries values by MPI. One thread, which does nothing else, makes all its calls (MPI_THREAD_FUNNELED); the others
// hand it requests and wait. MPI moves values only while it is called, so the thread asks again and again how its
// requests are, and sleeps in between: it shares its core with a thread that computes.
type mpi struct {
	*library
	rank, size int
	timeout    time.Duration

	bulk, prompt, ring uintptr // communicators: their traffic does not mix

	requests chan *request
	closing  chan struct{} // asked to come to an end
	ended    chan struct{} // has
	failing  chan string   // what this rank fails of, to be told

	mu    sync.Mutex
	err   error // why nothing goes any more
	hosts []string

	active []*request
	watch  watch
}

// request is a call under way.
type request struct {
	call   string
	start  func(handle *uintptr) int32
	handle uintptr
	pin    runtime.Pinner
	done   chan error // room for one
}

// Of point-to-point messages.
const (
	beatTag, failTag = 1, 2
	beatText         = 1    // bytes
	failText         = 2048 // with the rank in front
)

func join(launch Launch, timeout time.Duration) (*Group, error) {
	l, err := load(launch)
	if err != nil {
		return nil, err
	}
	m := &mpi{library: l, timeout: timeout, requests: make(chan *request), closing: make(chan struct{}),
		ended: make(chan struct{}), failing: make(chan string, 1)}
	ready := make(chan error, 1)
	go m.thread(launch, ready)
	if err := <-ready; err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	g, err := newGroup(m.rank, m.size, nil, m)
	if err != nil {
		return nil, err
	}
	if g.hosts, err = g.Texts(host); err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.hosts = g.hosts
	m.mu.Unlock()
	return g, nil
}

// begin joins the job.
func (m *mpi) begin(launch Launch) error {
	var provided, rank, size int32
	if err := m.fault("MPI_Init_thread", m.initThread(0, 0, funneled, &provided)); err != nil {
		return &LibraryError{Launch: launch, Library: m.path, Err: err}
	}
	if provided < funneled {
		return &LibraryError{Launch: launch, Library: m.path,
			Err: fmt.Errorf("%s is for programs of one thread alone", m.path)}
	}
	m.commRank(m.world, &rank)
	m.commSize(m.world, &size)
	m.rank, m.size = int(rank), int(size)
	if m.size != launch.Size {
		m.finalize()
		return &LibraryError{Launch: launch, Library: m.path, Size: m.size}
	}
	for _, comm := range []*uintptr{&m.bulk, &m.prompt, &m.ring} {
		if err := m.fault("MPI_Comm_dup", m.commDup(m.world, comm)); err != nil {
			return err
		}
		if err := m.fault("MPI_Comm_set_errhandler", m.setHandler(*comm, m.errorsReturn)); err != nil {
			return err
		}
	}
	return m.watch.begin(m)
}

// thread makes all calls of MPI until the group is closed, or it fails.
func (m *mpi) thread(launch Launch, ready chan<- error) {
	runtime.LockOSThread()
	defer close(m.ended)
	err := m.begin(launch)
	ready <- err
	if err != nil {
		return
	}
	closing, idle := m.closing, 0
	tick := time.NewTicker(m.watch.every)
	defer tick.Stop()
	for {
		if len(m.active) == 0 && closing != nil { // nothing to ask for: wait
			select {
			case r := <-m.requests:
				m.post(r)
			case text := <-m.failing:
				m.watch.tell(text)
				return
			case <-closing:
				closing = nil
				m.watch.leaving = true
			case <-tick.C:
			}
			idle = 0
		} else {
			select {
			case r := <-m.requests:
				m.post(r)
				idle = 0
			case text := <-m.failing:
				m.watch.tell(text)
				return
			default:
			}
		}
		if m.ask() {
			idle = 0
		} else {
			idle++
			pause(idle)
		}
		if err := m.watch.look(time.Now()); err != nil { // a failed call is this rank's own
			m.stop(err)
			return
		}
		if m.watch.gone() {
			m.finalize()
			return
		}
	}
}

// pause lets other threads have the core: at first at once, then for longer.
func pause(idle int) {
	switch {
	case idle < 20:
		runtime.Gosched()
	case idle < 2000:
		nap := syscall.NsecToTimespec(20_000)
		_ = syscall.Nanosleep(&nap, nil)
	default:
		nap := syscall.NsecToTimespec(200_000)
		_ = syscall.Nanosleep(&nap, nil)
	}
}

func (m *mpi) post(r *request) {
	r.pin.Pin(&r.handle)
	if err := m.fault(r.call, r.start(&r.handle)); err != nil {
		r.end(err)
		return
	}
	m.active = append(m.active, r)
}

func (r *request) end(err error) {
	r.pin.Unpin()
	r.done <- err
}

// ask looks after the requests, and reports whether one is done.
func (m *mpi) ask() (some bool) {
	left := m.active[:0]
	for _, r := range m.active {
		done, err := m.isDone(r)
		if !done && err == nil {
			left = append(left, r)
			continue
		}
		some = true
		r.end(err)
	}
	m.active = left
	return some
}

func (m *mpi) isDone(r *request) (bool, error) {
	var flag int32
	err := m.fault(r.call, m.test(&r.handle, &flag, m.ignore))
	return flag != 0, err
}

// stop ends everything that waits, and what comes.
func (m *mpi) stop(err error) {
	m.mu.Lock()
	m.err = err
	m.mu.Unlock()
	for _, r := range m.active {
		r.done <- err
	}
	unfinished.Lock()
	defer unfinished.Unlock()
	unfinished.list = append(unfinished.list, m)
}

// unfinished keep the memory that MPI may still write to pinned, until the process ends.
var unfinished struct {
	sync.Mutex
	list []*mpi
}

var errEnded = errors.New("the group has ended")

// do has the thread make a call, and waits until it is done.
func (m *mpi) do(r *request) error {
	r.done = make(chan error, 1)
	select {
	case m.requests <- r:
		return <-r.done
	case <-m.ended:
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	return errEnded
}

func pinned[T any](r *request, slices ...[]T) *request {
	for _, s := range slices {
		r.pin.Pin(&s[0])
	}
	return r
}

func (m *mpi) exchange(send, recv []float32) error {
	n := int32(len(send) / m.size)
	return m.do(pinned(&request{call: "MPI_Ialltoall", start: func(handle *uintptr) int32 {
		return m.alltoall(send, n, m.float, recv, n, m.float, m.bulk, handle)
	}}, send, recv))
}

func (m *mpi) collect(send, recv []float32) error {
	n := int32(len(send))
	return m.do(pinned(&request{call: "MPI_Iallgather", start: func(handle *uintptr) int32 {
		return m.allgather(send, n, m.float, recv, n, m.float, m.bulk, handle)
	}}, send, recv))
}

func (m *mpi) tell(send, recv []byte) error {
	n := int32(len(send))
	return m.do(pinned(&request{call: "MPI_Iallgather", start: func(handle *uintptr) int32 {
		return m.gatherBytes(send, n, m.byte, recv, n, m.byte, m.prompt, handle)
	}}, send, recv))
}

// fail returns once the others are told, or cannot be.
func (m *mpi) fail(text string) {
	m.failing <- text
	select {
	case <-m.ended:
	case <-time.After(5 * time.Second):
	}
}

func (m *mpi) close() error {
	close(m.closing)
	<-m.ended
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}
