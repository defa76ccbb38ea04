package vggo

import (
	"context"
	"slices"
	"time"

	"github.com/vggo/vggo/tensor"
)

// Inside brings one prepared image through the network, keeps what every layer made of it, and takes the time of each.
// It runs by a plan of one image, so its roundings may differ from those of Forward in larger batches.
func (m *Model) Inside(ctx context.Context, image *tensor.Tensor) (*Inside, error) {
	return m.InsideTimed(ctx, image, 1)
}

// timed brings an image through the plan that keeps every map so many times, and leaves the median of each step's times
// in m.laps. The maps are the same each time.
func (m *Model) timed(ctx context.Context, image *tensor.Tensor, runs int) error {
	laps := make([][]time.Duration, len(m.laps))
	for range runs {
		if err := m.intact(m.inside.ForwardContext(ctx, image)); err != nil {
			return err
		}
		for i, took := range m.laps {
			laps[i] = append(laps[i], took)
		}
	}
	for i := range laps {
		m.laps[i] = median(laps[i])
	}
	return nil
}

// median sorts the times and returns the middle one, or the mean of the two in the middle.
func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	n := len(times)
	return (times[(n-1)/2] + times[n/2]) / 2
}
