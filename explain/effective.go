package explain

import (
	"context"
	"fmt"
	"math"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// EffectiveField is how much unit (x, y) of a layer's maps depends on each pixel of one prepared image, by gradients
// (Luo et al. 2016, arXiv 1701.04128, section 2). With A the layer's maps and I the image:
//
//	heat[i][j] = sum over c of |∂ (sum over k of A[k][y][x]) / ∂I[c][i][j]|
//
// Outside the unit's Field it is 0, and mostly it is large in the middle of that alone.
func EffectiveField(ctx context.Context, m *vggo.Model, image *tensor.Tensor, layer string, x, y int) (*Map, error) {
	taps, err := effectiveTaps(m, layer)
	if err != nil {
		return nil, err
	}
	if out := taps.Placed.Output(); x < 0 || x >= out.W || y < 0 || y >= out.H {
		return nil, fmt.Errorf("%s has no unit %d,%d: its map is %dx%d", layer, y, x, out.H, out.W)
	}
	heat := &Map{Width: image.W, Height: image.H, Values: make([]float32, image.H*image.W)}
	err = m.Tap(ctx, taps, image, func(plan *nn.Plan) error {
		err := plan.BackwardFrom(func(_ string, output, gradient nn.Map) error {
			for block := range output.Blocks() {
				unit := gradient.Row(0, block, y)[x*nn.Lanes:][:nn.Lanes]
				for lane := range min(nn.Lanes, output.Shape.C-block*nn.Lanes) {
					unit[lane] = 1
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		dx, err := plan.ImageGrad()
		if err != nil {
			return err
		}
		for i, d := range dx.Data {
			heat.Values[i%len(heat.Values)] += float32(math.Abs(float64(d)))
		}
		return nil
	})
	return heat, err
}

// EffectiveCost tells what EffectiveField will do, before it does: multiply-accumulates, and the most bytes that it
// takes meanwhile beside what the model's Memory tells.
func EffectiveCost(m *vggo.Model, layer string) (macs, bytes int64, err error) {
	taps, err := effectiveTaps(m, layer)
	if err != nil {
		return 0, 0, err
	}
	report, err := taps.Placed.Analyze(1)
	if err != nil {
		return 0, 0, err
	}
	bytes, err = m.TapMemory(taps)
	return 2 * report.Total.MACs, bytes, err // the gradient of an input takes as many as the output
}

func effectiveTaps(m *vggo.Model, layer string) (*vggo.Taps, error) {
	if err := HasMap(m, layer); err != nil {
		return nil, err
	}
	placed, err := m.Placed.Until(layer)
	if err != nil {
		return nil, err
	}
	// Winograd's algorithm would round beyond the field.
	return &vggo.Taps{Placed: placed, Once: true, Options: nn.Options{Batch: 1, InputGrad: true, Taps: []string{layer}, Algo: nn.Direct}}, nil
}

// Inner is the side of the smallest square around a rectangle's centre, in pixels of the map, that has a share of the
// map's sum; 0 where there is no sum.
func (m *Map) Inner(share, cx, cy float64) int {
	total := 0.0
	for _, v := range m.Values {
		total += float64(v)
	}
	if total <= 0 {
		return 0
	}
	for side := 1; ; side++ {
		sum, half := 0.0, float64(side)/2
		for i, v := range m.Values {
			if math.Abs(float64(i%m.Width)+0.5-cx) < half && math.Abs(float64(i/m.Width)+0.5-cy) < half {
				sum += float64(v)
			}
		}
		if sum >= share*total || side > 2*max(m.Width, m.Height) {
			return side
		}
	}
}
