package nn

import (
	"fmt"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
)

// Group is the layers that one step of a Plan computes, and how. Which they are, how many images they take at a time
// and by which algorithms is decided for a whole network before anything is built.
type Group struct {
	Layers  []arch.Placed // the one that computes, and those behind it that are fused into it
	Choices []Choice      // of a convolution: one for each of its passes

	images int  // that the step takes at a time
	alias  bool // nothing is computed: the output is the input
	learns bool // it has a backward pass, if the Plan has
	// inPlace: dropout overwrites its input, since the group before can do its backward pass with that: a fused ReLU
	// asks only where its output is positive, and where dropout cleared it the gradient is zero already.
	inPlace bool
}

// Names are the layers', {"conv1_1", "relu1_1"}.
func (g Group) Names() (names []string) {
	for _, l := range g.Layers {
		names = append(names, l.Name)
	}
	return names
}

// Algo is the algorithm of a pass, Auto where there is nothing to choose.
func (g Group) Algo(pass Pass) Algo {
	if i := slices.IndexFunc(g.Choices, func(c Choice) bool { return c.Pass == pass }); i >= 0 {
		return g.Choices[i].Algo
	}
	return Auto
}

func (g Group) first() arch.Placed { return g.Layers[0] }
func (g Group) last() arch.Placed  { return g.Layers[len(g.Layers)-1] }

// fused is the layer of a kind that is fused into the group's first.
func fused[T arch.Op](g Group) (layer arch.Placed, ok bool) {
	if i := slices.IndexFunc(g.Layers[1:], is[T]); i >= 0 {
		return g.Layers[1+i], true
	}
	return layer, false
}

func is[T arch.Op](layer arch.Placed) bool {
	_, ok := layer.Op.(T)
	return ok
}

// readsPlanar reports whether the first layer takes the images as the caller has them: a convolution of a few channels.
// What is a layer's output, of many, is worth blocking, which Winograd's algorithm asks for.
func readsPlanar(placed []arch.Placed) bool {
	return len(placed) > 0 && is[arch.Conv](placed[0]) && placed[0].In.C < kernel.Block
}

// halves reports whether a layer takes the maxima of 2x2 windows side by side, odd last rows and columns left out.
func halves(layer arch.Placed) bool {
	two, g := arch.Square(2), layer.Geometry
	return is[arch.MaxPool](layer) && g.Kernel == two && g.Stride == two && g.Dilation == arch.Square(1) && g.Top == 0 &&
		g.Left == 0 && g.Out.H == g.In.H/2 && g.Out.W == g.In.W/2
}

// groups are a network's, placed up to its logits. forced are the algorithms that a budget leaves.
func (o *Options) groups(placed []arch.Placed, forced map[decision]Algo) (groups []Group) {
	images, learns := 0, o.BackTo == "" // of the step before; from here on
	var before *Group                   // that computes
	kept := false                       // its output is tapped, or what is the same
	for i := 0; i < len(placed); {
		images = max(images, o.imagesAtATime(placed[i]))
		learns = learns || placed[i].Name == o.BackTo
		g := Group{Layers: placed[i : i+1], images: images, learns: learns}
		fuse := func(can func(arch.Placed) bool) {
			if n := i + len(g.Layers); !o.NoFuse && n < len(placed) && can(placed[n]) && !o.tapped(placed[n-1]) {
				g.Layers = placed[i : n+1]
			}
		}
		switch op := placed[i].Op.(type) {
		case arch.Conv:
			if !o.Training { // which needs the batch's moments
				fuse(is[arch.BatchNorm])
			}
			fuse(is[arch.ReLU])
			data := o.backs() && (before != nil && before.learns || o.InputGrad)
			g.Choices = o.choose(placed[i], images, i == 0 && readsPlanar(placed), o.Training && learns, data, forced)
			if !o.Keep && (o.Training || !o.backs()) && !slices.ContainsFunc(g.Choices, func(c Choice) bool {
				return c.Algo.Tile() == 0
			}) { // tiles hold whole windows, whose gradients are spread as they are read
				fuse(halves)
			}
		case arch.Linear, arch.BatchNorm:
			fuse(is[arch.ReLU])
		case arch.Flatten:
			g.alias = placed[i].In == placed[i].Out
		case arch.Dropout:
			g.alias = !o.Training || o.keep(op) == 1
			g.inPlace = !g.alias && !o.NoFuse && before != nil && !kept &&
				(is[arch.Conv](before.first()) || is[arch.Linear](before.first()) || is[arch.BatchNorm](before.first()))
		}
		i += len(g.Layers)
		groups = append(groups, g)
		if !g.alias {
			before, kept = &g, false
		}
		kept = kept || o.tapped(g.last())
	}
	return groups
}

// stagePixels is how many pixels of a layer's output a step should compute at a time: enough tiles for the threads to
// share, of maps that stay in the L3 cache. 128x128: one image of VGG-16's conv1, two of conv2, eight of conv3.
const stagePixels = 128 * 128

// imagesAtATime is how many images suit a layer.
func (o *Options) imagesAtATime(layer arch.Placed) int {
	pixels := layer.Out.H * layer.Out.W
	if pixels == 1 || o.keeps() {
		return o.Batch
	}
	images := 1
	for images < o.Batch && images*pixels < stagePixels {
		images *= 2
	}
	return min(images, o.Batch)
}

// checkBackTo finds the first layer that learns.
func (o *Options) checkBackTo(placed *arch.Placement) error {
	if o.BackTo == "" {
		return nil
	}
	if !o.Training || o.InputGrad {
		return fmt.Errorf("nn: a plan goes back to %q only to train, without the images' gradient", o.BackTo)
	}
	_, logits := placed.Ending()
	for _, layer := range placed.Layers[:logits] {
		if layer.Name == o.BackTo && len(layer.Params) > 0 {
			return nil
		}
	}
	return fmt.Errorf("nn: %s has no layer %q with parameters to go back to", placed.Network.Name, o.BackTo)
}

// keep is the probability that dropout keeps a value with.
func (o *Options) keep(op arch.Dropout) float64 {
	if o.KeepProb > 0 {
		return o.KeepProb
	}
	return op.Keep
}

// backs reports whether Backward works.
func (o *Options) backs() bool { return o.Training || o.InputGrad }

// keeps reports whether every layer's output is kept until the next forward pass.
func (o *Options) keeps() bool { return o.backs() || o.Keep }
