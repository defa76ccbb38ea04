package cluster

import (
	"errors"
	"sync"
)

// Local makes the groups of n ranks that are goroutines of this process.
func Local(n int) ([]*Group, error) {
	r := &room{bulk: newTable[float32](n), prompt: newTable[byte](n)}
	r.hosts = make([]string, n)
	groups := make([]*Group, n)
	for rank := range groups {
		g, err := newGroup(rank, n, r.hosts, &seat{r, rank})
		if err != nil {
			return nil, err
		}
		groups[rank] = g
	}
	return groups, nil
}

// room is where goroutines meet.
type room struct {
	bulk   *table[float32]
	prompt *table[byte]
	hosts  []string
}

// seat is a rank's place there.
type seat struct {
	*room
	rank int
}

// table is where all ranks lay something down before any takes something up.
type table[T any] struct {
	mu    sync.Mutex
	full  sync.Cond
	rows  [][]T
	here  int
	round int
	err   error
}

func newTable[T any](n int) *table[T] {
	t := &table[T]{rows: make([][]T, n)}
	t.full.L = &t.mu
	return t
}

// meet waits until all are here.
func (t *table[T]) meet(rank int, row []T) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if row != nil {
		t.rows[rank] = row
	}
	if t.here++; t.here == len(t.rows) {
		t.here = 0
		t.round++
		t.full.Broadcast()
		return t.err
	}
	for round := t.round; round == t.round && t.err == nil; {
		t.full.Wait()
	}
	return t.err
}

// pass lays down a row, has take copy what it wants of all, and lets nobody go on before all have.
func (t *table[T]) pass(rank int, row []T, take func(rows [][]T)) error {
	if err := t.meet(rank, row); err != nil {
		return err
	}
	take(t.rows)
	return t.meet(rank, nil)
}

func (t *table[T]) end(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
	}
	t.full.Broadcast()
}

func (s *seat) exchange(send, recv []float32) error {
	return s.bulk.pass(s.rank, send, func(rows [][]float32) {
		share := len(recv) / len(rows)
		for i, row := range rows {
			copy(recv[i*share:][:share], row[s.rank*share:])
		}
	})
}

func (s *seat) collect(send, recv []float32) error {
	return s.bulk.pass(s.rank, send, func(rows [][]float32) {
		for _, row := range rows {
			recv = recv[copy(recv, row):]
		}
	})
}

func (s *seat) tell(send, recv []byte) error {
	return s.prompt.pass(s.rank, send, func(rows [][]byte) {
		for _, row := range rows {
			recv = recv[copy(recv, row):]
		}
	})
}

func (s *seat) fail(text string) {
	err := &RankError{Rank: s.rank, Name: nameOf(s.rank, s.hosts), Text: text}
	s.bulk.end(err)
	s.prompt.end(err)
}

// close waits for the others, or for one of them to fail.
func (s *seat) close() error {
	err := s.prompt.meet(s.rank, nil)
	left := errors.New("the group has ended")
	s.bulk.end(left)
	return err
}
