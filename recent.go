package vggo

import (
	"slices"

	"github.com/vggo/vggo/nn"
)

// recent is the plans that were asked for last, each for its key. Another one closes the oldest.
type recent[K comparable] struct {
	most  int
	plans []keptPlan[K] // the last used last
}

type keptPlan[K comparable] struct {
	key K
	*nn.Plan
}

// get returns the plan for a key, compiled if it is not there.
func (r *recent[K]) get(key K, compile func() (*nn.Plan, error)) (*nn.Plan, error) {
	if i := slices.IndexFunc(r.plans, func(p keptPlan[K]) bool { return p.key == key }); i >= 0 {
		p := r.plans[i]
		r.plans = append(slices.Delete(r.plans, i, i+1), p)
		return p.Plan, nil
	}
	if len(r.plans) == r.most {
		r.plans[0].Close()
		r.plans = slices.Delete(r.plans, 0, 1)
	}
	p, err := compile()
	if err != nil {
		return nil, err
	}
	r.plans = append(r.plans, keptPlan[K]{key, p})
	return p, nil
}

// drop closes the plan for a key, if it is there.
func (r *recent[K]) drop(key K) {
	r.plans = slices.DeleteFunc(r.plans, func(p keptPlan[K]) bool {
		if p.key == key {
			p.Close()
		}
		return p.key == key
	})
}

// close closes them all; another one may be asked for again.
func (r *recent[K]) close() {
	for _, p := range r.plans {
		p.Close()
	}
	r.plans = nil
}
