package reference_test

import (
	"testing"

	"github.com/vggo/vggo/nn/internal/golden"
)

// PyTorch computed the goldens in float64 too and rounded them to float32: at most u = 2⁻²⁴ of each value. Everything
// agrees to that: what the two float64 computations differ by is too small to show, even after ten SGD steps.
const unitRoundoff = 1.0 / (1 << 24)

func TestGoldens(t *testing.T) {
	if testing.Short() {
		t.Skip("with -short: the definition has neither kernel sets nor goroutines, and takes the race detector a minute")
	}
	for _, g := range golden.Open(t, "../testdata") {
		t.Run(g.Network.Name, func(t *testing.T) {
			check := func(name string, got []float64) {
				t.Helper()
				if e := g.Error(t, name, got); !(e <= unitRoundoff) {
					t.Errorf("%s: relative error %.2g, want at most %.2g", name, e, unitRoundoff)
				}
			}
			net := g.Reference(t)
			x := g.Values(t, "input")
			forward := func(training bool) {
				t.Helper()
				if err := net.Forward(x, golden.Batch, training); err != nil {
					t.Fatal(err)
				}
			}
			if g.BatchNorm {
				forward(false)
				for i, l := range net.Layers {
					check("eval/"+l.Name, net.Activations[i+1].Data)
				}
			}

			rate, momentum := g.Scalar(t, "sgd/rate"), g.Scalar(t, "sgd/momentum")
			velocity := make(map[string][]float64)
			var losses []float64
			for step := range g.Values(t, "sgd/losses") {
				forward(true)
				loss, dlogits := g.Loss(t, net.Logits().Data)
				losses = append(losses, loss)
				grads, dx, err := net.Backward(dlogits)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range net.Layers {
					for _, p := range l.Params {
						if step == 0 && !p.Trainable {
							check("stat/"+p.Name, net.Params[p.Name])
						}
						if step == 0 && p.Trainable {
							check("grad/"+p.Name, grads[p.Name])
							velocity[p.Name] = make([]float64, p.Count())
						}
						for i, v := range velocity[p.Name] {
							v = momentum*v + grads[p.Name][i]
							velocity[p.Name][i] = v
							net.Params[p.Name][i] -= rate * v
						}
					}
				}
				if step == 0 {
					for i, l := range net.Layers {
						check("act/"+l.Name, net.Activations[i+1].Data)
					}
					check("logits", net.Logits().Data)
					check("loss", losses)
					check("grad/input", dx)
				}
			}
			check("sgd/losses", losses)
			for name, values := range net.Params {
				check("sgd/"+name, values)
			}
		})
	}
}
