package explain

import (
	"context"
	"math"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/tensor"
)

// EffectiveField is how much unit (x, y) of a layer's maps depends on each pixel of one prepared image, by gradients
// (Luo et al. 2016, arXiv 1701.04128, section 2). With A the layer's maps and I the image:
//
//	heat[i][j] = sum over c of |∂ (sum over k of A[k][y][x]) / ∂I[c][i][j]|
//
// Outside the unit's Field it is 0, and mostly it is large in the middle of that alone.
func EffectiveField(ctx context.Context, m *vggo.Model, image *tensor.Tensor, layer string, x, y int) (*Map, error) {
	if err := HasMap(m, layer); err != nil {
		return nil, err
	}
	dx, err := m.UnitGradient(ctx, layer, x, y, image)
	if err != nil {
		return nil, err
	}
	heat := &Map{Width: image.W, Height: image.H, Values: make([]float32, image.H*image.W)}
	for i, d := range dx.Data {
		heat.Values[i%len(heat.Values)] += float32(math.Abs(float64(d)))
	}
	return heat, nil
}

// Inner is the side of the smallest square around a place, in pixels of the map of which the first's centre is at a
// half, that has a share of the map's sum; 0 where there is no sum.
func (m *Map) Inner(share, cx, cy float64) int {
	added := make([]float64, 2*max(m.Width, m.Height)+1) // by a square of side i+1 to what one of side i has
	for i, v := range m.Values {
		x, y := math.Abs(float64(i%m.Width)+0.5-cx), math.Abs(float64(i/m.Width)+0.5-cy)
		added[min(int(2*max(x, y)), len(added)-1)] += float64(v)
	}
	total := 0.0
	for _, a := range added {
		total += a
	}
	if total <= 0 {
		return 0
	}
	sum := 0.0
	for i, a := range added {
		if sum += a; sum >= share*total {
			return i + 1
		}
	}
	return len(added)
}
