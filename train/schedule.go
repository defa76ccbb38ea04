package train

import (
	"cmp"
	"fmt"
	"math"
)

// Schedule says how the learning rate goes on from the optimiser's.
type Schedule struct {
	// Kind is constant, step, plateau, cosine or one-cycle.
	Kind   string  `yaml:"kind"`
	WarmUp float64 `yaml:"warm_up,omitempty"` // epochs in which the rate first grows from 0, in a line

	At     []float64 `yaml:"at,flow,omitempty"` // step: the epochs after which the rate is multiplied by Factor
	Factor float64   `yaml:"factor,omitempty"`  // step, plateau; 0 counts as 0.1

	// plateau: after Patience validations in a row that were not better than the best by more than Threshold, counted in
	// accuracy, the rate is multiplied by Factor; at most Times times, 0 for any. The VGG paper's, section 3.1: three
	// times.
	Patience  int     `yaml:"patience,omitempty"`
	Threshold float64 `yaml:"threshold,omitempty"`
	Times     int     `yaml:"times,omitempty"`

	// Begin and End are shares of the rate: one-cycle goes in a line from Begin to the whole rate at Peak, a share of all
	// steps, and on to End; cosine falls from the whole rate to End.
	Begin float64 `yaml:"begin,omitempty"`
	Peak  float64 `yaml:"peak,omitempty"`
	End   float64 `yaml:"end,omitempty"`
}

func (s *Schedule) check() error {
	share := func(v float64) bool { return v >= 0 && v <= 1 }
	switch s.Kind {
	case "constant", "step", "plateau", "cosine", "one-cycle":
	default:
		return fmt.Errorf("kind: %q is none of constant, step, plateau, cosine and one-cycle", s.Kind)
	}
	switch {
	case !(s.WarmUp >= 0 && s.WarmUp < math.Inf(1)):
		return fmt.Errorf("warm_up must be at least 0 epochs, not %v", s.WarmUp)
	case !share(s.Factor) || !share(s.Begin) || !share(s.Peak) || !share(s.End):
		return fmt.Errorf("factor, begin, peak and end must lie in [0, 1]")
	case s.Kind == "step" && len(s.At) == 0:
		return fmt.Errorf("step needs the epochs, as in at: [30, 60]")
	case s.Kind != "step" && len(s.At) > 0:
		return fmt.Errorf("at is for step")
	case s.Kind == "plateau" && s.Patience < 1:
		return fmt.Errorf("plateau needs a patience of at least 1")
	case s.Times < 0 || !(s.Threshold >= 0):
		return fmt.Errorf("times and threshold must be at least 0")
	}
	return nil
}

func (s *Schedule) factor() float64 { return cmp.Or(s.Factor, 0.1) }

// plateau is what a plateau schedule remembers.
type plateau struct {
	Best    float64 `json:"best"`    // accuracy
	Bad     int     `json:"bad"`     // validations since then
	Lowered int     `json:"lowered"` // how often the rate was
}

// see takes a validation's accuracy.
func (p *plateau) see(s *Schedule, accuracy float64) {
	if s.Kind != "plateau" {
		return
	}
	if accuracy > p.Best+s.Threshold {
		p.Best, p.Bad = accuracy, 0
		return
	}
	if p.Bad++; p.Bad >= s.Patience && (s.Times == 0 || p.Lowered < s.Times) {
		p.Bad = 0
		p.Lowered++
	}
}

// share is the share of the rate for a step, counted from 0, of so many.
func (s *Schedule) share(step, steps, stepsPerEpoch int, p plateau) float64 {
	share := 1.0
	epoch := float64(step) / float64(stepsPerEpoch)
	done := float64(step) / float64(steps)
	switch s.Kind {
	case "step":
		for _, at := range s.At {
			if epoch >= at {
				share *= s.factor()
			}
		}
	case "plateau":
		for range p.Lowered { // not math.Pow, which need not give the same bits everywhere
			share *= s.factor()
		}
	case "cosine":
		share = s.End + (1-s.End)*(1+math.Cos(math.Pi*done))/2
	case "one-cycle":
		peak := math.Floor(s.Peak * float64(steps))
		if at := float64(step); at < peak {
			share = s.Begin + (1-s.Begin)*at/peak
		} else {
			share = 1 + (s.End-1)*(at-peak)/(float64(steps)-peak)
		}
	}
	if warm := s.WarmUp * float64(stepsPerEpoch); float64(step+1) < warm {
		share *= float64(step+1) / warm
	}
	return share
}
