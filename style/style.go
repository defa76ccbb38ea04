// Package style paints pictures that a network sees as it sees others: the content of one in the style of another
// (Gatys, Ecker & Bethge, "Image Style Transfer Using Convolutional Neural Networks", 2016), a texture (the same,
// 2015), what a layer has kept of a picture (feature inversion; Mahendran & Vedaldi 2015), or what excites one channel
// most (a Dream).
//
// The picture itself is what learns: a loss says how far what the network makes of it is from what is wanted, and its
// gradient by the picture's samples leads an optimiser. The bits do not depend on the number of threads.
package style

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
)

// Options say what a Painter looks at. The zero value is the paper's.
type Options struct {
	// Content is the layer whose output is the content. Empty: conv4_2 behind its ReLU, or where the network has none the
	// second of the deepest block that has two, which Painter.Instead tells.
	Content string
	// Style are the layers whose correlations are the style. Nil: the first of each of the first five blocks, conv1_1 to
	// conv5_1, behind their ReLUs, as far as the network has them.
	Style []string
	// MaxPooling leaves the network's poolings as they are. Otherwise they average, which the paper found to look better.
	MaxPooling bool
	Algo       nn.Algo // of convolutions
}

// Painter paints by one network. It may be used from several goroutines; the network takes one evaluation at a time.
type Painter struct {
	Content string   // the layer of the content
	Style   []string // the layers of the style
	// Instead says what is looked at in place of the paper's layers; empty where nothing is.
	Instead string

	model  *vggo.Model
	placed *arch.Placement
	algo   nn.Algo
}

// New makes a Painter of a model, which must be open as long as it is used. Of its network maps are enough: whatever
// lies behind the deepest layer that is looked at is not computed.
func New(model *vggo.Model, options Options) (*Painter, error) {
	recipe := model.Preprocess.Preprocess
	if recipe.Channels != 3 || len(recipe.Mean) != 3 || len(recipe.Std) != 3 {
		return nil, fmt.Errorf("%s takes pictures of %d channels: to paint it must take colours", model.Network.Name,
			recipe.Channels)
	}
	p := &Painter{Content: options.Content, Style: options.Style, model: model, placed: model.Placed, algo: options.Algo}
	blocks := blocksOf(model.Placed)
	if len(blocks) == 0 {
		return nil, fmt.Errorf("%s has no convolution with a ReLU behind it", model.Network.Name)
	}
	p.choose(blocks)
	for _, layer := range append([]string{p.Content}, p.Style...) {
		until, err := model.Placed.Until(layer)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(until.Layers, func(l arch.Placed) bool { return !onMaps(l.Op) }) {
			return nil, fmt.Errorf("%s of %s is no map: it lies behind the classifier's first layer", layer, model.Network.Name)
		}
	}
	if options.MaxPooling {
		return p, nil
	}
	net := *model.Network
	net.Layers = slices.Clone(net.Layers)
	for i, l := range net.Layers {
		if pool, ok := l.Op.(arch.MaxPool); ok {
			net.Layers[i].Op = arch.AvgPool{Window: pool.Window}
		}
	}
	var err error
	p.placed, err = net.Place(model.Placed.Input)
	return p, err
}

// choose fills in the layers that nobody named.
func (p *Painter) choose(blocks [][]string) {
	var instead []string
	if p.Content == "" {
		const block, convolution = 4, 2
		at := 0
		p.Content = blocks[min(len(blocks), block)-1][0]
		for i, b := range blocks[:min(len(blocks), block)] {
			if len(b) >= convolution {
				at, p.Content = i+1, b[convolution-1]
			}
		}
		if at < block {
			instead = append(instead, "content by "+p.Content+", as there is no conv4_2")
		}
	}
	if p.Style == nil {
		const deepest = 5
		for _, block := range blocks[:min(len(blocks), deepest)] {
			p.Style = append(p.Style, block[0])
		}
		if len(blocks) < deepest {
			instead = append(instead, fmt.Sprintf("style by %s, as there is no conv%d_1", strings.Join(p.Style, ", "),
				len(blocks)+1))
		}
	}
	p.Instead = strings.Join(instead, "; ")
}

// onMaps reports whether an operation makes a map of a map of any size.
func onMaps(op arch.Op) bool {
	switch op.(type) {
	case arch.Flatten, arch.Linear, arch.AdaptiveAvgPool, arch.GlobalAvgPool, arch.Softmax, arch.Sigmoid:
		return false
	}
	return true
}

// blocksOf are the names of a network's ReLUs between its poolings, as far as there are maps.
func blocksOf(placed *arch.Placement) (blocks [][]string) {
	var block []string
	end := func() {
		if len(block) > 0 {
			blocks, block = append(blocks, block), nil
		}
	}
	for _, l := range placed.Layers {
		if !onMaps(l.Op) {
			break
		}
		switch l.Op.(type) {
		case arch.ReLU:
			block = append(block, l.Name)
		case arch.MaxPool, arch.AvgPool, arch.L2Pool:
			end()
		}
	}
	end()
	return blocks
}

// until is the network up to the deepest of some layers.
func (p *Painter) until(layers []string) (*arch.Placement, error) {
	deepest := slices.MaxFunc(layers, func(a, b string) int {
		la, _ := p.placed.Layer(a)
		lb, _ := p.placed.Layer(b)
		return cmp.Compare(la.Index, lb.Index)
	})
	return p.placed.Until(deepest)
}

// NaNError is a loss that is no number, or infinite: weights or a preparation that do not belong together.
type NaNError struct {
	Iteration int // 0: of the picture that it began with
}

func (e *NaNError) Error() string {
	if e.Iteration == 0 {
		return "the loss of the first picture is no finite number"
	}
	return fmt.Sprintf("the loss is no finite number in iteration %d", e.Iteration)
}

var errNothing = errors.New("nothing to paint: neither a content nor a style is given")
