package bench

import (
	"math"
	"strings"
	"testing"

	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
)

// TestFit: from times that are made of known prices, fit finds prices that make the same times; the probes tell all
// prices apart, and in none does memory hide a product.
func TestFit(t *testing.T) {
	for _, c := range []struct {
		set    string
		probes []probe
	}{{"avx512", probes}, {"avx2", probes}, {"neon", probes}, {"generic", genericProbes}} {
		set, err := kernel.Lookup(c.set)
		if err != nil {
			continue // not on this machine
		}
		truth := nn.DefaultCosts()[c.set]
		var seen []observation
		for _, p := range c.probes {
			for _, algo := range nn.Algos() {
				for _, pass := range []nn.Pass{nn.ForwardPass, nn.DataPass, nn.WeightsPass} {
					o := observation{probe: p, pass: pass, algo: algo}
					if o.seconds, err = o.predict(truth, set, 2); err != nil {
						t.Fatal(err)
					}
					seen = append(seen, o)
				}
			}
		}
		found := nn.NewCosts()
		found.Stream = truth.Stream
		if err := fit(found, seen, set, 2); err != nil {
			t.Fatal(err)
		}
		for i, p := range found.Prices() {
			if want := *truth.Prices()[i].Value; math.Abs(*p.Value-want) > 0.01*want {
				t.Errorf("%s: %s costs %g %s, not %g", c.set, p.What, *p.Value, p.Unit, want)
			}
		}
		for i, o := range seen { // another program runs while products take most of the time
			if o.in*o.out > c.probes[0].in*c.probes[0].out {
				seen[i].seconds *= 5
			}
		}
		if err := fit(nn.NewCosts(), seen, set, 2); err == nil || !strings.Contains(err.Error(), "calibrate again") {
			t.Errorf("%s: of times that fit nothing: %v", c.set, err)
		}
	}
}

func TestSignificant(t *testing.T) {
	for x, want := range map[float64]float64{12345: 12300, 18.249: 18.2, 0.1: 0.1, 0.99999: 1} {
		if got := significant(x); math.Abs(got-want) > 1e-9*want {
			t.Errorf("%g: %g, want %g", x, got, want)
		}
	}
}
