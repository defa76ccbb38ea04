package perceptual_test

import (
	"context"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/perceptual"
)

// BenchmarkDistance is a pair of 256x256 pixels.
func BenchmarkDistance(b *testing.B) {
	for _, w := range ways {
		b.Run(string(w.metric)+"/"+w.network, func(b *testing.B) {
			m := meter(b, model(b, w.network, vggo.Options{}), perceptual.Options{Metric: w.metric})
			x, y := noise(1, 256, 256), noise(2, 256, 256)
			distance := func() {
				if _, err := m.Distance(context.Background(), x, y); err != nil {
					b.Fatal(err)
				}
			}
			distance() // the first of a size compiles the network
			for b.Loop() {
				distance()
			}
		})
	}
}
