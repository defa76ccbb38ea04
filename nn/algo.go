package nn

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/winograd"
)

// Algo is how convolutions are computed.
type Algo int

const (
	Auto      Algo = iota // whichever the cost table says is quickest
	Direct                // by the definition: the most accurate
	Winograd2             // Winograd's F(2x2,3x3), where it can be: 3x3 kernels of stride 1
	Winograd4             // Winograd's F(4x4,3x3)
	Winograd6             // Winograd's F(6x6,3x3)
)

var algoNames = [...]string{Auto: "auto", Direct: "direct", Winograd2: "winograd2", Winograd4: "winograd4",
	Winograd6: "winograd6"}

func (a Algo) String() string { return algoNames[a] }

// MarshalText writes an Algo by name.
func (a Algo) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Tile is the side of a tile of outputs, 0 for Auto and Direct.
func (a Algo) Tile() int {
	if a < Winograd2 {
		return 0
	}
	return winograd.Tiles[a-Winograd2]
}

// Algos lists every way to compute a convolution, the most accurate first.
func Algos() []Algo { return []Algo{Direct, Winograd2, Winograd4, Winograd6} }

// ParseAlgo is the Algo of a name.
func ParseAlgo(name string) (Algo, error) {
	if i := slices.Index(algoNames[:], name); i >= 0 {
		return Algo(i), nil
	}
	return 0, fmt.Errorf("nn: unknown algorithm %q: auto, direct, winograd2, winograd4 or winograd6", name)
}

// Pass is a part of a layer's work.
type Pass string

const (
	ForwardPass  Pass = "forward"  // the output
	BackwardPass Pass = "backward" // gradients; of a layer with weights, what is neither of the next two
	WeightsPass  Pass = "weights"  // the gradient of the weights
	DataPass     Pass = "data"     // the gradient of the input
)

// Choice is how a Plan computes one pass of one convolution, and what it chose from. It depends on the kernel set, the
// shapes, the Plan's capacity and the cost table, never on a clock or on the number of threads.
type Choice struct {
	Layer      string      `json:"layer"`
	Pass       Pass        `json:"pass"`
	Algo       Algo        `json:"algo"`
	Why        string      `json:"why"`
	Candidates []Candidate `json:"candidates"` // what the layer's shape allows, the most accurate first
}

// Candidate is an algorithm that could compute a pass.
type Candidate struct {
	Algo    Algo    `json:"algo"`
	Seconds float64 `json:"predicted_seconds"` // of one thread, for a batch of the Plan's capacity
	Bytes   int64   `json:"packed_bytes"`      // of weights rearranged for it
}

// decision is what a Choice is about.
type decision struct {
	layer string
	pass  Pass
}

// choose picks the algorithms of a convolution's passes over so many images at a time, the network's first of the
// images themselves if planar says so. learns and data tell whether its weights' and its input's gradients are wanted.
func (o *Options) choose(layer arch.Placed, images int, planar, learns, data bool,
	forced map[decision]Algo) (choices []Choice) {
	d, parts := convolution(layer, planar)
	images = min(images, o.part()) // on which the sums' bits may depend, and not on how many parts this Plan has
	choices = append(choices, o.choice(layer, ForwardPass, &d, parts, images, planar, forced))
	if learns {
		choices = append(choices, o.choice(layer, WeightsPass, &d, parts, o.part(), planar, forced))
	}
	if data {
		back := transposed(layer, parts)
		choices = append(choices, o.choice(layer, DataPass, &back, parts, images, planar, forced))
	}
	return choices
}

// choice picks the algorithm of one pass of a layer, the convolution d.
func (o *Options) choice(layer arch.Placed, pass Pass, d *direct, parts, images int, planar bool,
	forced map[decision]Algo) Choice {
	c, costs := Choice{Layer: layer.Name, Pass: pass}, o.Costs.Of(o.Set)
	for _, algo := range Algos() {
		if algo != Direct && !tileable(layer, pass, d, parts, planar) {
			continue
		}
		runs := float64(o.Batch) / float64(images)
		candidate := Candidate{Algo: algo,
			Seconds: runs * costs.seconds(o.kernels, d, algo, pass, parts, images, o.packedSize())}
		if pass != WeightsPass {
			candidate.Bytes = o.packedSize() * packedCount(o.kernels, d, algo, parts)
		}
		c.Candidates = append(c.Candidates, candidate)
	}
	quickest := slices.MinFunc(c.Candidates, func(a, b Candidate) int { return cmp.Compare(a.Seconds, b.Seconds) })
	left, short := forced[decision{layer.Name, pass}]
	switch {
	case len(c.Candidates) == 1:
		c.Algo, c.Why = Direct, "not a 3x3 convolution of stride 1 over blocks of channels"
	case short:
		c.Algo, c.Why = left, "the memory budget allows no more"
	case o.Algo != Auto:
		c.Algo, c.Why = o.Algo, "asked for"
	default:
		c.Algo, c.Why = quickest.Algo, "predicted to be the quickest"
	}
	return c
}

// packedCount is how many weights of d algo reads.
func packedCount(set *kernel.Set, d *direct, algo Algo, parts int) int64 {
	if algo == Direct {
		return int64(parts * d.packedSize())
	}
	w := tiled(set, d, algo.Tile(), parts)
	return int64(parts * w.packedSize())
}

// seconds predicts how long one thread takes for a pass of the convolution d over so many images, with packed weights
// of so many bytes each. They come from memory while products go on, so that the longer of the two counts. The sums of
// a weight gradient cross memory twice, after the products: written by them, read by the last transform.
func (c *Costs) seconds(set *kernel.Set, d *direct, algo Algo, pass Pass, parts, images int, size int64) float64 {
	in, out := float64(d.inBlocks*d.width), float64(d.outBlocks*kernel.Block) // of each part
	// packed weights, each multiplied so many times
	var weights, times, transforms, price float64
	if algo == Direct {
		weights, times = float64(parts*d.kh*d.kw)*in*out, float64(images*d.outH*d.outW)
		price = c.Direct
		if pass == WeightsPass {
			price = c.DirectGrad
		}
	} else {
		t, w := c.Tiles[algo.Tile()], tiled(set, d, algo.Tile(), parts)
		weights, times = float64(parts*w.Planes())*in*out, float64(images*w.tiles())
		price = c.Product
		last := t.Output
		if pass == WeightsPass {
			price, last = c.ProductGrad, t.Grad
		}
		// Transforms are priced by the tile of one block of channels.
		transforms = 1e3 * float64(parts) * times * (float64(t.Input*in) + float64(last*out)) / kernel.Block
	}
	products, stream := float64(price*weights*times), float64(float64(size)*c.Stream*weights)
	if pass == WeightsPass {
		return 1e-12 * (products + 2*stream + transforms)
	}
	return 1e-12 * (max(products, stream) + transforms)
}
