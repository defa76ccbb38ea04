package train

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
)

// Rule says how some parameters train otherwise than the others. Where several rules name a parameter, a later one
// overrides what it sets.
type Rule struct {
	// Params is a pattern of path.Match: with a slash for a parameter's name (*/b, bn*/gamma), without one for its layer's
	// (conv[1-4]_*).
	Params   string   `yaml:"params"`
	Kind     *string  `yaml:"kind,omitempty"`     // where the optimiser is muon: sgd, or muon again, for matrices
	Rate     *float64 `yaml:"rate,omitempty"`     // times the schedule's; 0 freezes
	Momentum *float64 `yaml:"momentum,omitempty"` // instead of the optimiser's, as Decay is
	Decay    *float64 `yaml:"decay,omitempty"`
	Scale    *float64 `yaml:"scale,omitempty"`  // times the initial values, unless these come from a file
	From     *float64 `yaml:"from,omitempty"`   // epochs; before, the parameters stay as they are
	Until    *float64 `yaml:"until,omitempty"`  // epochs; afterwards the parameters stay as they are
	Freeze   *bool    `yaml:"freeze,omitempty"` // they stay as they are from the start
}

// check refuses what an optimiser does not know.
func (r *Rule) check(o *Optimise) error {
	switch {
	case r.Kind != nil && o.Kind != "muon":
		return fmt.Errorf("kind: the optimiser is %s; a kind is for those of muon that learn by sgd", o.Kind)
	case r.Kind != nil && *r.Kind != "sgd" && *r.Kind != "muon":
		return fmt.Errorf("kind: %q is neither sgd nor muon", *r.Kind)
	case r.Momentum != nil && !(*r.Momentum >= 0 && *r.Momentum < 1):
		return fmt.Errorf("momentum must lie in [0, 1), not %v", *r.Momentum)
	}
	return nil
}

// matches reports whether a pattern names a parameter. The pattern has been checked.
func matches(pattern string, p arch.Param) bool {
	name := p.Name
	if !strings.Contains(pattern, "/") {
		name = p.Layer()
	}
	ok, _ := path.Match(pattern, name)
	return ok
}

// checkRules refuses a rule that the optimiser does not know, a pattern that is none or names nothing, and what would
// be of no effect on any of the parameters that a pattern names.
func checkRules(o *Optimise, rules []Rule, params *nn.Params) error {
	for i, r := range rules {
		if err := cmp.Or(r.check(o), r.checkNamed(o, rules, params)); err != nil {
			return fmt.Errorf("rule %d: %w", i+1, err)
		}
	}
	return nil
}

// checkNamed is the part of checkRules about what a rule names.
func (r *Rule) checkNamed(o *Optimise, rules []Rule, params *nn.Params) error {
	if _, err := path.Match(r.Params, ""); err != nil || r.Params == "" {
		return fmt.Errorf("%q is no pattern: want a layer such as conv1_*, or a parameter such as */b", r.Params)
	}
	named, matrix, decays := false, false, false
	for _, p := range params.List {
		if matches(r.Params, p.Param) {
			named = true
			matrix = matrix || isMatrix(p.Param)
			decays = decays || !settingsOf(p.Param, o, rules).muon
		}
	}
	switch {
	case !named:
		return fmt.Errorf("%q names no parameter of %s", r.Params, params.Network.Name)
	case r.Kind != nil && *r.Kind == "muon" && !matrix:
		return fmt.Errorf("kind: %q names no matrix, and muon is for matrices alone: leave the kind out", r.Params)
	case r.Decay != nil && *r.Decay > 0 && !decays:
		return fmt.Errorf("decay: %q names only what learns by muon, which has no decay: leave it out, or add kind: sgd",
			r.Params)
	}
	return nil
}

// isMatrix reports whether muon can learn a parameter: weights, and no bias or batch norm.
func isMatrix(p arch.Param) bool { return len(p.Shape) > 1 }

// paramSettings is how one parameter trains.
type paramSettings struct {
	muon                         bool // it learns by muon; else by the optimiser's kind, or by sgd where that is muon
	rate, momentum, decay, scale float64
	from, until                  float64 // epochs; until 0: to the end
	freeze                       bool
}

// never reports whether the parameter never learns.
func (s *paramSettings) never() bool { return s.freeze || s.rate == 0 }

// frozen reports whether the parameter does not learn yet after so many epochs, or never does.
func (s *paramSettings) frozen(epochs float64) bool { return s.never() || epochs < s.from }

// rests reports whether the parameter does not learn after so many epochs: not yet, no more, or never.
func (s *paramSettings) rests(epochs float64) bool {
	return s.frozen(epochs) || s.until > 0 && epochs >= s.until
}

// settingsOf is what an optimiser and the rules make of a parameter.
func settingsOf(p arch.Param, o *Optimise, rules []Rule) paramSettings {
	m := paramSettings{rate: 1, momentum: o.Momentum, decay: o.Decay, scale: 1}
	kind := o.Kind
	for _, r := range rules {
		if matches(r.Params, p) {
			set(&kind, r.Kind)
			set(&m.rate, r.Rate)
			set(&m.momentum, r.Momentum)
			set(&m.decay, r.Decay)
			set(&m.scale, r.Scale)
			set(&m.from, r.From)
			set(&m.until, r.Until)
			set(&m.freeze, r.Freeze)
		}
	}
	m.muon = kind == "muon" && isMatrix(p)
	return m
}

func set[T any](to, value *T) {
	if value != nil {
		*to = *value
	}
}
