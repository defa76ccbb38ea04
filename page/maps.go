package page

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/tensor"
)

// Order is the order in which a layer's maps are shown.
type Order string

const (
	ByChannel Order = "channel"
	// by the mean of what is above zero, as ReLU leaves it, the strongest first; where nothing is, by the largest value
	ByStrength Order = "strength"
)

// Maps are some of a layer's feature maps, made small.
type Maps struct {
	Layer    string     `json:"layer"`
	Shape    arch.Shape `json:"shape"` // of the layer's output
	Width    int        `json:"width"` // of each small map
	Height   int        `json:"height"`
	Channels []MapRange `json:"channels"`
	// Pixels are the small maps one after the other, row by row: 0 is a map's own least value, 255 its largest.
	Pixels []byte `json:"pixels"`
}

// MapRange is a map's values in short, before it was made small.
type MapRange struct {
	Channel int     `json:"channel"`
	Min     float32 `json:"min"`
	Max     float32 `json:"max"`
	Mean    float32 `json:"mean"`
}

// Largest counts and sides of small maps, and values of a whole layer.
const (
	maxMaps   = 256
	maxSide   = 224
	MaxValues = 1 << 18
)

// out is a layer's output: that of the group which computes it.
func (v *Visit) out(layer string) (*tensor.Tensor, error) {
	if _, err := v.layer(layer); err != nil {
		return nil, err
	}
	i, ok := v.Group(layer)
	if !ok {
		return nil, &AskError{fmt.Sprintf("%s has no output of its own: the network ends before its softmax or sigmoid, and "+
			"dropout does nothing here", layer)}
	}
	return v.Groups[i].Out, nil
}

// Maps makes count of a layer's maps small, none of their sides longer than side, from the given place in the order on.
// Pixels that fall together are averaged.
func (v *Visit) Maps(layer string, order Order, from, count, side int) (*Maps, error) {
	out, err := v.out(layer)
	if err != nil {
		return nil, err
	}
	if from < 0 || from >= out.C || count < 1 || count > maxMaps || side < 1 || side > maxSide {
		return nil, &AskError{fmt.Sprintf("%s has %d maps; ask for 1 to %d of them, at most %d pixels wide", layer, out.C,
			maxMaps, maxSide)}
	}
	ranges := make([]MapRange, out.C)
	strength := make([]float64, out.C)
	pixels := out.H * out.W
	for c := range ranges {
		ranges[c], strength[c] = rangeOf(c, out.Data[c*pixels:(c+1)*pixels])
	}
	if order == ByStrength {
		slices.SortStableFunc(ranges, func(a, b MapRange) int {
			return cmp.Or(cmp.Compare(strength[b.Channel], strength[a.Channel]), cmp.Compare(b.Max, a.Max))
		})
	}
	ranges = ranges[from:min(from+count, out.C)]
	factor := (max(out.H, out.W) + side - 1) / side
	m := &Maps{Layer: layer, Shape: arch.Shape{C: out.C, H: out.H, W: out.W}, Channels: ranges}
	m.Width, m.Height = (out.W+factor-1)/factor, (out.H+factor-1)/factor
	m.Pixels = make([]byte, 0, len(ranges)*m.Width*m.Height)
	for _, r := range ranges {
		m.Pixels = shrink(m.Pixels, out.Data[r.Channel*pixels:(r.Channel+1)*pixels], out.W, out.H, factor, r)
	}
	return m, nil
}

// rangeOf is the range of a map's finite values, and the mean of what ReLU leaves of them.
func rangeOf(channel int, values []float32) (r MapRange, strength float64) {
	r = MapRange{Channel: channel, Min: math.MaxFloat32, Max: -math.MaxFloat32}
	sum, n := 0.0, 0
	for _, x := range values {
		if !finite(x) {
			continue
		}
		r.Min, r.Max = min(r.Min, x), max(r.Max, x)
		sum += float64(x)
		strength += max(float64(x), 0)
		n++
	}
	if n == 0 {
		return MapRange{Channel: channel}, 0
	}
	r.Mean = float32(sum / float64(n))
	return r, strength / float64(n)
}

func finite(x float32) bool { return x-x == 0 }

// shrink appends a map as bytes, factor by factor pixels averaged into one. What is not finite counts as the least
// value.
func shrink(to []byte, values []float32, w, h, factor int, r MapRange) []byte {
	scale := 0.0
	if r.Max > r.Min {
		scale = 255 / (float64(r.Max) - float64(r.Min))
	}
	for y := 0; y < h; y += factor {
		for x := 0; x < w; x += factor {
			sum, n := 0.0, 0
			for row := y; row < min(y+factor, h); row++ {
				for _, v := range values[row*w+x : row*w+min(x+factor, w)] {
					if finite(v) {
						sum += float64(v) - float64(r.Min)
					}
					n++
				}
			}
			to = append(to, uint8(sum/float64(n)*scale+0.5))
		}
	}
	return to
}

// AllChannels asks Values for a whole layer.
const AllChannels = -1

// Values are a map's values as they are, or for AllChannels a whole layer's, which must be a small one. The slice is
// the visit's own.
func (v *Visit) Values(layer string, channel int) (values []float32, shape []int, err error) {
	out, err := v.out(layer)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case channel < AllChannels || channel >= out.C:
		return nil, nil, &AskError{fmt.Sprintf("%s has maps 0 to %d, not %d", layer, out.C-1, channel)}
	case channel >= 0:
		pixels := out.H * out.W
		return out.Data[channel*pixels : (channel+1)*pixels], []int{out.H, out.W}, nil
	case len(out.Data) > MaxValues:
		return nil, nil, &AskError{fmt.Sprintf("%s has %d values: ask for one channel", layer, len(out.Data))}
	case out.H == 1 && out.W == 1:
		return out.Data, []int{out.C}, nil
	}
	return out.Data, []int{out.C, out.H, out.W}, nil
}
