package serve

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/vggo/vggo/internal/printable"
)

// gate admits work by its cost, up to a budget of what may wait or run at once. What does not fit is refused at once: a
// queue that only grows serves nobody. Costs are of one unit: multiply-accumulates of a network times images, or bytes.
// The zero gate admits nothing.
type gate struct {
	unit   string // "bytes"
	budget int64  // the most that may be admitted at once

	mu   sync.Mutex
	used int64
	rate float64 // cost units finished in a second, smoothed; 0 until something was
}

// newGate makes a gate. The unit of its costs is a plural, for messages: "bytes".
func newGate(budget int64, unit string) *gate { return &gate{budget: budget, unit: unit} }

// fullError is work that a gate refused for now.
type fullError struct {
	Cost, Used, Budget int64
	Unit               string
	After              time.Duration // when it may be tried again, at the present rate
}

func (e *fullError) Error() string {
	return fmt.Sprintf("no room for more work: it takes %s %s, and of %s there are %s left",
		printable.Count(e.Cost), e.Unit, printable.Count(e.Budget), printable.Count(e.Budget-e.Used))
}

// costError is work that no gate of this budget admits, however long it waits.
type costError struct {
	Cost, Budget int64
	Unit         string
}

func (e *costError) Error() string {
	return fmt.Sprintf("the request takes %s %s, and this server takes on %s at once", printable.Count(e.Cost), e.Unit,
		printable.Count(e.Budget))
}

// admission is work that a gate has let in.
type admission struct {
	gate *gate
	cost int64
}

// enter admits work, or says why not: a *fullError or a *costError.
func (g *gate) enter(cost int64) (*admission, error) {
	p := &admission{gate: g}
	return p, p.add(cost)
}

// add admits more work under the same admission, which an error leaves as it was.
func (p *admission) add(cost int64) error {
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case cost > g.budget-p.cost:
		return &costError{p.cost + min(cost, math.MaxInt64-p.cost), g.budget, g.unit}
	case cost > g.budget-g.used:
		return &fullError{cost, g.used, g.budget, g.unit, g.wait(cost)}
	}
	g.used += cost
	p.cost += cost
	return nil
}

// wait is how long it takes until there is room for so much, at the present rate. The caller has the lock.
func (g *gate) wait(cost int64) time.Duration {
	if g.rate == 0 {
		return time.Second
	}
	seconds := float64(g.used+cost-g.budget) / g.rate
	return time.Duration(math.Min(seconds, 60) * float64(time.Second))
}

// leave gives back what was admitted. It may be called twice.
func (p *admission) leave() { p.give(p.cost) }

// give gives back a part.
func (p *admission) give(cost int64) {
	p.gate.mu.Lock()
	p.gate.used -= cost
	p.cost -= cost
	p.gate.mu.Unlock()
}

// did tells the gate how long so much work took, for fullError.After.
func (g *gate) did(cost int64, took time.Duration) {
	if took <= 0 {
		return
	}
	rate := float64(cost) / took.Seconds()
	g.mu.Lock()
	if g.rate == 0 {
		g.rate = rate
	}
	g.rate += (rate - g.rate) / 8
	g.mu.Unlock()
}

// inUse is the cost of all admitted work.
func (g *gate) inUse() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.used
}
