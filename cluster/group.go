package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/vggo/vggo/internal/kernel"
)

// Group is one rank's view of the processes that work together. Every rank must call the same methods in the same
// order; Sum goes on beside the others. The methods of a nil Group are those of a process by itself.
//
// Once a rank has failed, or was not heard from for too long, every method of every rank returns why: a *RankError.
type Group struct {
	rank, size int
	hosts      []string
	carrier    carrier
	set        *kernel.Set

	mu     sync.Mutex
	change sync.Cond
	queue  []func() error // for the worker, in order: a sum, of small slices together, or a collection
	few    [][]float32    // of little size, which go together
	fewest int            // values in few
	busy   bool
	closed bool
	err    error
	took   time.Duration // adding up, waiting for others included

	sent, received []float32 // of the worker
}

// carrier moves values between the ranks. Its methods return when this rank has everything. bulk and prompt calls go on
// side by side, each kind one at a time.
type carrier interface {
	exchange(send, recv []float32) error // bulk: the r-th of equal shares goes to rank r
	collect(send, recv []float32) error  // bulk: everyone's send, in the order of ranks
	tell(send, recv []byte) error        // prompt: the same of bytes
	fail(text string)                    // tells the others that this rank gives up
	close() error
}

// pieceFloats is 4 MiB: all-reduce of 40 MB between two ranks of one machine takes 8.7 ms in such pieces and 27 ms
// whole, since they stay in the caches.
const pieceFloats = 1 << 20

// fewFloats is what is so small that the way costs more than the values: it waits for more of its kind.
const fewFloats = 64 << 10

func newGroup(rank, size int, hosts []string, c carrier) (*Group, error) {
	set, err := kernel.Active()
	if err != nil {
		return nil, err
	}
	g := &Group{rank: rank, size: size, hosts: hosts, carrier: c, set: set}
	g.change.L = &g.mu
	go g.work()
	return g, nil
}

// Rank is this process's number, from 0.
func (g *Group) Rank() int {
	if g == nil {
		return 0
	}
	return g.rank
}

// Size is the number of processes.
func (g *Group) Size() int {
	if g == nil {
		return 1
	}
	return g.size
}

// Name is how people are told of a rank.
func (g *Group) Name(rank int) string {
	if g == nil {
		return nameOf(rank, nil)
	}
	return nameOf(rank, g.hosts)
}

func nameOf(rank int, hosts []string) string {
	if rank < len(hosts) && hosts[rank] != "" {
		return fmt.Sprintf("rank %d on %s", rank, hosts[rank])
	}
	return fmt.Sprintf("rank %d", rank)
}

// Sum begins to replace values by their sum over all ranks, which give as many. They must not be touched until Wait
// returns.
func (g *Group) Sum(values []float32) {
	if g == nil || len(values) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(values) >= fewFloats {
		g.queue = append(g.queue, func() error { return g.sum([][]float32{values}) })
	} else if g.few, g.fewest = append(g.few, values), g.fewest+len(values); g.fewest >= fewFloats {
		g.flush()
	}
	g.change.Broadcast()
}

// flush queues what is small. What goes together follows from the calls alone, and is the same on every rank.
func (g *Group) flush() {
	if len(g.few) > 0 {
		together := g.few
		g.queue = append(g.queue, func() error { return g.sum(together) })
		g.few, g.fewest = nil, 0
	}
}

// Wait returns when all sums so far are made.
func (g *Group) Wait() error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flush()
	g.change.Broadcast()
	for g.err == nil && (len(g.queue) > 0 || g.busy) {
		g.change.Wait()
	}
	return g.err
}

// Collect fills all with every rank's values, as many of each, in the order of ranks. It waits for the sums before it,
// and may stand between them.
func (g *Group) Collect(mine, all []float32) error {
	if g == nil {
		copy(all, mine)
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flush()
	done := false
	g.queue = append(g.queue, func() error {
		err := g.carrier.collect(mine, all)
		g.mu.Lock()
		defer g.mu.Unlock()
		done = true
		return err
	})
	g.change.Broadcast()
	for g.err == nil && !done {
		g.change.Wait()
	}
	return g.err
}

// Took is for how long sums have been under way so far, waiting for other ranks included.
func (g *Group) Took() time.Duration {
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.took
}

// work makes sums and collections, one after the other.
func (g *Group) work() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		for len(g.queue) == 0 && !g.closed && g.err == nil {
			g.change.Wait()
		}
		if g.err != nil || len(g.queue) == 0 {
			return
		}
		do := g.queue[0]
		g.queue = g.queue[1:]
		g.busy = true
		g.mu.Unlock()
		begun := time.Now()
		err := do()
		took := time.Since(begun)
		g.mu.Lock()
		g.took += took
		g.busy = false
		if err != nil && g.err == nil {
			g.err = err
		}
		g.change.Broadcast()
	}
}

// sum makes one sum: of a large slice in pieces, of small ones as one piece.
func (g *Group) sum(together [][]float32) error {
	if len(together) > 1 {
		var all []float32
		for _, values := range together {
			all = append(all, values...)
		}
		if err := g.sumPiece(all); err != nil {
			return err
		}
		for _, values := range together {
			all = all[copy(values, all):]
		}
		return nil
	}
	piece := pieceFloats / g.size * g.size
	for values := together[0]; len(values) > 0; {
		n := min(len(values), max(piece, g.size))
		if err := g.sumPiece(values[:n]); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

// sumPiece has each rank add up its share of the values, and everyone collect the shares.
func (g *Group) sumPiece(values []float32) error {
	share := (len(values) + g.size - 1) / g.size
	n := share * g.size
	if len(g.received) < n {
		g.sent, g.received = kernel.Alloc(n), kernel.Alloc(n)
	}
	send := values
	if len(values) < n { // shares are of one size
		send = g.sent[:n]
		clear(send[copy(send, values):])
	}
	rows := g.received[:n]
	if err := g.carrier.exchange(send, rows); err != nil {
		return err
	}
	g.tree(rows, share, 0, g.size)
	if len(values) == n {
		return g.carrier.collect(rows[:share], values)
	}
	if err := g.carrier.collect(rows[:share], send); err != nil {
		return err
	}
	copy(values, send)
	return nil
}

// tree adds up rows of a length, some of them from one on, into the first of these: those of the smaller half, those of
// the other, and both sums.
func (g *Group) tree(rows []float32, length, first, count int) {
	if count == 1 {
		return
	}
	half := count / 2
	g.tree(rows, length, first, half)
	g.tree(rows, length, first+half, count-half)
	to, add := rows[first*length:][:length], rows[(first+half)*length:][:length]
	blocks := length / kernel.Block * kernel.Block
	g.set.Axpy(to[:blocks], add[:blocks], 1)
	for i := blocks; i < length; i++ {
		to[i] += add[i]
	}
}

// Gather returns every rank's values, which must be as many, in the order of ranks.
func (g *Group) Gather(mine []float64) ([][]float64, error) {
	if g == nil {
		return [][]float64{mine}, nil
	}
	send, received := make([]byte, 0, 8*len(mine)), make([]byte, 8*len(mine)*g.size)
	for _, v := range mine {
		send = binary.LittleEndian.AppendUint64(send, math.Float64bits(v))
	}
	if err := g.tell(send, received); err != nil {
		return nil, err
	}
	all := make([][]float64, g.size)
	for rank := range all {
		all[rank] = make([]float64, len(mine))
		for i := range mine {
			all[rank][i] = math.Float64frombits(binary.LittleEndian.Uint64(received[8*(rank*len(mine)+i):]))
		}
	}
	return all, nil
}

// Texts returns every rank's text, in the order of ranks.
func (g *Group) Texts(mine string) ([]string, error) {
	if g == nil {
		return []string{mine}, nil
	}
	lengths, err := g.Gather([]float64{float64(len(mine))})
	if err != nil {
		return nil, err
	}
	most := 0.0
	for _, length := range lengths {
		most = max(most, length[0])
	}
	send, received := make([]byte, int(most)), make([]byte, int(most)*g.size)
	copy(send, mine)
	if err := g.tell(send, received); err != nil {
		return nil, err
	}
	all := make([]string, g.size)
	for rank := range all {
		all[rank] = string(received[rank*int(most):][:int(lengths[rank][0])])
	}
	return all, nil
}

// Any reports whether it holds for any rank.
func (g *Group) Any(holds bool) (bool, error) {
	if g == nil {
		return holds, nil
	}
	received := make([]byte, g.size)
	send := []byte{0}
	if holds {
		send[0] = 1
	}
	if err := g.tell(send, received); err != nil {
		return false, err
	}
	for _, b := range received {
		holds = holds || b == 1
	}
	return holds, nil
}

func (g *Group) tell(send, received []byte) error {
	g.mu.Lock()
	err := g.err
	g.mu.Unlock()
	if err != nil || len(send) == 0 {
		return err
	}
	return g.carrier.tell(send, received)
}

// Agreed marks an error that every rank ends with: nobody has to be told, and one of them can say it for all.
func (g *Group) Agreed(err error) error {
	if g == nil || err == nil {
		return err
	}
	return &agreed{err}
}

// IsAgreed reports whether every rank ends with an error.
func IsAgreed(err error) bool { return errors.As(err, new(*agreed)) }

type agreed struct{ err error }

func (a *agreed) Error() string { return a.err.Error() }
func (a *agreed) Unwrap() error { return a.err }

// Close leaves the group. An error tells the others that this rank has failed, and why, unless all have agreed on it;
// without one Close waits for them to come to their end too.
func (g *Group) Close(failure error) error {
	if g == nil {
		return nil
	}
	var err error
	if failure == nil || IsAgreed(failure) {
		err, failure = g.Wait(), nil
	}
	g.mu.Lock()
	told := g.err != nil // by another rank
	g.closed = true
	if g.err == nil {
		g.err = failure
	}
	g.change.Broadcast()
	g.mu.Unlock()
	switch {
	case failure == nil && err == nil:
		return g.carrier.close()
	case failure != nil && !told && !errors.As(failure, new(*RankError)):
		g.carrier.fail(failure.Error())
	}
	return err
}
