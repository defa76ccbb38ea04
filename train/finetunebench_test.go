package train_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/train"
)

// BenchmarkFinetune measures VGG-16 with frozen convolutions at 224 pixels: its first epoch over a mere forward pass of
// as many pictures, and an epoch of what is kept over the first.
func BenchmarkFinetune(b *testing.B) {
	const batch, steps, epochs = 32, 3, 3
	for _, c := range []struct {
		name string
		head func(*arch.Placement) (*arch.Network, string, error)
	}{
		{"gap", func(p *arch.Placement) (*arch.Network, string, error) { return p.WithPooledHead(10) }},
		{"fc6-fc8", func(p *arch.Placement) (*arch.Network, string, error) { return arch.WithClasses(p.Network, 10) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			whole, err := arch.Open("vgg16")
			if err != nil {
				b.Fatal(err)
			}
			net, _, err := c.head(whole)
			if err != nil {
				b.Fatal(err)
			}
			recipe := train.Default()
			recipe.Epochs, recipe.Batch, recipe.Augment, recipe.Init.Level = epochs, batch, train.Augment{}, false
			recipe.Preprocess.Base, recipe.Rates = "unit", map[string]float64{"conv": 0}
			recipe.Checkpoint.Every = epochs
			for b.Loop() {
				var at [epochs + 1]time.Duration // when epochs ended
				trainer, err := train.New(train.Options{Recipe: recipe, Network: net,
					Train:  stripes{n: batch * steps, side: 224, channels: 3},
					Folder: filepath.Join(b.TempDir(), "run"), Report: func(r train.Report) {
						if r.Step%steps == 0 && at[r.Step/steps] == 0 {
							at[r.Step/steps] = r.Elapsed
						}
					}})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := trainer.Run(b.Context()); err != nil {
					b.Fatal(err)
				}
				forward := forwardEpoch(b, trainer, batch, steps)
				if err := trainer.Close(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(forward.Seconds(), "forward-s/epoch")
				b.ReportMetric(at[1].Seconds()/forward.Seconds(), "first/forward")
				b.ReportMetric((at[3]-at[2]).Seconds()/at[1].Seconds(), "kept/first")
			}
		})
	}
}

// forwardEpoch is how long the network in use takes for as many pictures.
func forwardEpoch(b *testing.B, trainer *train.Trainer, batch, steps int) time.Duration {
	b.Helper()
	plan, err := nn.Compile(trainer.Placement(), trainer.Params(), nn.Options{Batch: batch})
	if err != nil {
		b.Fatal(err)
	}
	defer plan.Close()
	in := trainer.Placement().Input
	x := tensor.New(batch, in.C, in.H, in.W)
	if err := plan.Forward(x); err != nil { // pages come with the first
		b.Fatal(err)
	}
	start := time.Now()
	for range steps {
		if err := plan.Forward(x); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}
