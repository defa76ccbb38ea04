package bench

import (
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
)

// LayerTime is the median time of one pass of one layer, with the layers fused into it, held against the machine's two
// roofs.
type LayerTime struct {
	Layers        []string `json:"layers"` // computed together: "conv1_2", "relu1_2", "pool1"
	Pass          nn.Pass  `json:"pass"`
	Algo          string   `json:"algo,omitempty"` // of a convolution
	Seconds       float64  `json:"seconds"`
	GFLOPs        float64  `json:"gflops"` // counted as direct convolution; 0 for layers without multiply-accumulates
	PercentOfPeak float64  `json:"percent_of_peak"`

	// Bytes must cross memory at least once in a step, even if each cache line is read and written no more than once:
	//
	//	forward   the layer's weights as its algorithm reads them (packed, or plain), its input, its output
	//	data      the weights likewise, the output's gradient, the input's
	//	weights   the input, the output's gradient, the weights' gradient (plain)
	//	backward  of a layer without weights: the output's gradient, the input's
	//
	// Fused layers count as one: what flows between them is neither. PercentOfBandwidth is how fast these bytes went by,
	// of the measured read bandwidth; maps that stayed in the cache from one layer to the next can make it more than 100.
	Bytes              int64   `json:"bytes"`
	PercentOfBandwidth float64 `json:"percent_of_bandwidth"`
}

// Label names the layers for people: "conv1_2+relu1_2".
func (l LayerTime) Label() string { return strings.Join(l.Layers, "+") }

// Intensity is FLOP for each byte that must cross memory, the roofline's abscissa.
func (l LayerTime) Intensity() float64 { return l.GFLOPs * 1e9 * l.Seconds / float64(l.Bytes) }

type passKey struct {
	layer int
	pass  nn.Pass
}

// layers are the times of all passes that took any.
func (b *Bench) layers(batch int, groups []nn.Group, passes map[passKey][]float64) (times []LayerTime) {
	reports := b.reports()
	for i, g := range groups {
		fused := g.Names()
		first, last := reports[fused[0]], reports[fused[len(fused)-1]]
		work := first.FLOPs * int64(batch)
		for _, pass := range []nn.Pass{nn.ForwardPass, nn.BackwardPass, nn.WeightsPass, nn.DataPass} {
			seconds := median(passes[passKey{i, pass}])
			switch {
			case seconds == 0: // there is no such pass
				continue
			case work > 0 && pass == nn.BackwardPass: // what a layer with weights does between its two gradients
				continue
			}
			t := LayerTime{Layers: fused, Pass: pass, Seconds: seconds, GFLOPs: float64(work) / seconds / 1e9}
			plain := b.weightBytes(g)
			weights := plain
			for _, c := range g.Choices {
				if c.Pass != pass {
					continue
				}
				t.Algo = c.Algo.String()
				for _, x := range c.Candidates {
					if x.Algo == c.Algo {
						weights = x.Bytes
					}
				}
			}
			switch pass {
			case nn.WeightsPass:
				weights = plain
			case nn.BackwardPass:
				weights = 0
			}
			t.Bytes = weights + mapBytes(batch, first.In) + mapBytes(batch, last.Out)
			t.PercentOfPeak = 100 * t.GFLOPs / b.Machine.Peak
			t.PercentOfBandwidth = 100 * float64(t.Bytes) / seconds / 1e9 / b.Machine.Bandwidth
			times = append(times, t)
		}
	}
	return times
}

// weightBytes is what the weights of a group take as parameters.
func (b *Bench) weightBytes(g nn.Group) int64 {
	size := int64(4)
	if _, linear := g.Layers[0].Op.(arch.Linear); linear && b.Half != nn.HalfNone {
		size = 2
	}
	return size * b.reports()[g.Layers[0].Name].Weights
}

// mapBytes is what a batch of maps takes.
func mapBytes(batch int, s arch.Shape) int64 {
	return 4 * int64(batch) * int64(s.C) * int64(s.H) * int64(s.W)
}
