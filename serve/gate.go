package serve

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/vggo/vggo/internal/printable"
)

// Gate admits work by its cost, up to a budget of what may wait or run at once. What does not fit is refused at once: a
// queue that only grows serves nobody. Costs are of one unit: multiply-accumulates of a network times images, or bytes.
// The zero Gate admits nothing.
type Gate struct {
	unit   string // "bytes"
	budget int64

	mu   sync.Mutex
	used int64
	rate float64 // cost units finished in a second, smoothed; 0 until something was
}

// NewGate makes a Gate. The unit of its costs is a plural, for messages: "bytes".
func NewGate(budget int64, unit string) *Gate { return &Gate{budget: budget, unit: unit} }

// FullError is work that a Gate refused for now.
type FullError struct {
	Cost, Used, Budget int64
	Unit               string
	After              time.Duration // when it may be tried again, at the present rate
}

func (e *FullError) Error() string {
	return fmt.Sprintf("no room for more work: it takes %s %s, and of %s there are %s left", printable.Count(e.Cost), e.Unit,
		printable.Count(e.Budget), printable.Count(e.Budget-e.Used))
}

// CostError is work that no Gate of this budget admits, however long it waits.
type CostError struct {
	Cost, Budget int64
	Unit         string
}

func (e *CostError) Error() string {
	return fmt.Sprintf("the request takes %s %s, and this server takes on %s at once", printable.Count(e.Cost), e.Unit,
		printable.Count(e.Budget))
}

// Pass is admitted work.
type Pass struct {
	gate *Gate
	cost int64
}

// Enter admits work, or says why not: a *FullError or a *CostError.
func (g *Gate) Enter(cost int64) (*Pass, error) {
	p := &Pass{gate: g}
	return p, p.Add(cost)
}

// Add admits more work under the same Pass. On an error the Pass is as it was.
func (p *Pass) Add(cost int64) error {
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case cost > g.budget-p.cost:
		return &CostError{p.cost + min(cost, math.MaxInt64-p.cost), g.budget, g.unit}
	case cost > g.budget-g.used:
		return &FullError{cost, g.used, g.budget, g.unit, g.wait(cost)}
	}
	g.used += cost
	p.cost += cost
	return nil
}

// wait is how long it takes until there is room for so much, at the present rate. The caller has the lock.
func (g *Gate) wait(cost int64) time.Duration {
	if g.rate == 0 {
		return time.Second
	}
	seconds := float64(g.used+cost-g.budget) / g.rate
	return time.Duration(math.Min(seconds, 60) * float64(time.Second))
}

// Leave gives back what the Pass was admitted for. It may be called twice.
func (p *Pass) Leave() { p.give(p.cost) }

// give gives back a part.
func (p *Pass) give(cost int64) {
	p.gate.mu.Lock()
	p.gate.used -= cost
	p.cost -= cost
	p.gate.mu.Unlock()
}

// Did tells the Gate how long so much work took, for FullError.After.
func (g *Gate) Did(cost int64, took time.Duration) {
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

// Used is the cost of all admitted work; Budget the most it may be.
func (g *Gate) Used() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.used
}

// Budget is the most that may be admitted at once.
func (g *Gate) Budget() int64 { return g.budget }
