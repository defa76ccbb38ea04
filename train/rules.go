package train

import (
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
	Params string   `yaml:"params"`
	Rate   *float64 `yaml:"rate,omitempty"`   // times the schedule's; 0 freezes
	Decay  *float64 `yaml:"decay,omitempty"`  // instead of the optimiser's
	Scale  *float64 `yaml:"scale,omitempty"`  // times the initial values, unless these come from a file
	From   *float64 `yaml:"from,omitempty"`   // epochs; before, the parameters stay as they are
	Until  *float64 `yaml:"until,omitempty"`  // epochs; afterwards the parameters stay as they are
	Freeze *bool    `yaml:"freeze,omitempty"` // they stay as they are from the start
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

// checkPattern refuses a pattern that is none, or that names nothing.
func checkPattern(pattern string, params *nn.Params) error {
	if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
		return fmt.Errorf("%q is no pattern: want a layer such as conv1_*, or a parameter such as */b", pattern)
	}
	for _, p := range params.List {
		if matches(pattern, p.Param) {
			return nil
		}
	}
	return fmt.Errorf("%q names no parameter of %s", pattern, params.Network.Name)
}

// paramSettings is how one parameter trains.
type paramSettings struct {
	rate, decay, scale float64
	from, until        float64 // epochs; until 0: to the end
	freeze             bool
}

// never reports whether the parameter never learns.
func (s *paramSettings) never() bool { return s.freeze || s.rate == 0 }

// frozen reports whether the parameter does not learn yet after so many epochs, or never does.
func (s *paramSettings) frozen(epochs float64) bool { return s.never() || epochs < s.from }

// settingsOf is what the rules make of a parameter.
func settingsOf(p arch.Param, decay float64, rules []Rule) paramSettings {
	m := paramSettings{rate: 1, decay: decay, scale: 1}
	for _, r := range rules {
		if matches(r.Params, p) {
			set(&m.rate, r.Rate)
			set(&m.decay, r.Decay)
			set(&m.scale, r.Scale)
			set(&m.from, r.From)
			set(&m.until, r.Until)
			set(&m.freeze, r.Freeze)
		}
	}
	return m
}

func set[T any](to, value *T) {
	if value != nil {
		*to = *value
	}
}
