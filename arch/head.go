package arch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/internal/printable"
)

// Head is a way to join a convolution part to its fully connected layers at input sizes other than the design's.
type Head string

const (
	// HeadPaper flattens the last map whatever its size, so the first fully connected layer grows with the input.
	HeadPaper Head = "paper"
	// HeadAdaptive averages the last map to the size it has at the design input first (torchvision's 7x7 for VGG), so
	// that one set of weights serves any input.
	HeadAdaptive Head = "adaptive"
	// HeadDense turns the fully connected layers into convolutions, the first as large as the last map at the design
	// input, the others 1x1, and averages their score map (Simonyan & Zisserman 2014, section 3.2).
	HeadDense Head = "dense"
)

// Heads are the ways that WithHead knows.
var Heads = []Head{HeadPaper, HeadAdaptive, HeadDense}

// WithHead is the network with another head, on the same input. Parameters keep their names and values: dense only
// reshapes them from O,C*H*W to O,C,H,W. The network must have a flatten layer and a fully connected one after it.
func (p *Placement) WithHead(head Head) (*Placement, error) {
	n := p.Network
	if !slices.Contains(Heads, head) {
		return nil, fmt.Errorf("unknown head %q: want one of %s", head, printable.Or(Heads))
	}
	flatten, first := -1, -1
	for i, layer := range n.Layers {
		switch layer.Op.(type) {
		case Flatten:
			flatten = i
		case Linear:
			if first < 0 && flatten >= 0 {
				first = i
			}
		}
	}
	if first < 0 || flatten > first {
		return nil, fmt.Errorf("%s: a head needs one flatten layer and a fully connected layer after it", n.Name)
	}
	last := p.Layers[flatten].In // at the design input, after an adaptive pooling if there is one
	body := n.Layers[:flatten]
	if flatten > 0 {
		if _, adaptive := body[flatten-1].Op.(AdaptiveAvgPool); adaptive {
			body = body[:flatten-1]
		}
	}
	clone := *n
	clone.Title = strings.TrimPrefix(fmt.Sprintf("%s, %s head", n.Title, head), ", ")
	clone.Layers = slices.Clone(body)
	switch rest := n.Layers[flatten+1:]; head {
	case HeadPaper:
		clone.Layers = append(append(clone.Layers, n.Layers[flatten]), rest...)
	case HeadAdaptive:
		pool := Layer{"avgpool", AdaptiveAvgPool{Out: Size{last.H, last.W}}}
		clone.Layers = append(append(clone.Layers, pool, n.Layers[flatten]), rest...)
	case HeadDense:
		clone.Layers = append(clone.Layers, dense(rest, Size{last.H, last.W})...)
	}
	return clone.Place(p.Input)
}

// dense turns fully connected layers into convolutions, the first with the given kernel, and adds the average of the
// score map before the softmax or the sigmoid.
func dense(head []Layer, kernel Size) []Layer {
	var layers []Layer
	score := Layer{"score", GlobalAvgPool{}}
	for _, layer := range head {
		switch op := layer.Op.(type) {
		case Linear:
			layer.Op = Conv{Out: op.Out, Window: Window{Kernel: kernel, Stride: Square(1)}, NoBias: op.NoBias}
			kernel = Square(1)
		case Softmax, Sigmoid:
			layers = append(layers, score)
			score.Op = nil
		}
		layers = append(layers, layer)
	}
	if score.Op != nil {
		layers = append(layers, score)
	}
	return layers
}

// WithClasses returns a copy of a network whose last fully connected layer has so many outputs, and that layer's name.
// A network that is named by its compact string gets the new one's; others, built-ins too, keep their names.
func WithClasses(n *Network, classes int) (net *Network, layer string, err error) {
	for i := len(n.Layers) - 1; i >= 0; i-- {
		if op, ok := n.Layers[i].Op.(Linear); ok {
			clone := *n
			clone.Layers = slices.Clone(n.Layers)
			op.Out = classes
			clone.Layers[i].Op = op
			if name, ok := CompactWithClasses(n.Name, classes); ok {
				clone.Name = name
			}
			return &clone, n.Layers[i].Name, nil
		}
	}
	return nil, "", fmt.Errorf("%s has no fully connected layer to give %d classes", n.Name, classes)
}

// CompactWithClasses is a compact string whose last fully connected layer has so many outputs; ok is false for any
// other string.
func CompactWithClasses(s string, classes int) (changed string, ok bool) {
	net, err := Compact("", s, ImageNetInput)
	slash := strings.IndexByte(s, '/')
	if err != nil || len(net.Layers) == 0 || slash < 0 {
		return "", false
	}
	at := max(slash, strings.LastIndexByte(s, ','))
	return s[:at+1] + strconv.Itoa(classes), true
}

// WithPooledHead is the network with another head for so many classes: the average of each of the last maps, and one
// fully connected layer, whose name is returned, with a softmax. What was between the last map and the first fully
// connected layer goes too. The name is the compact string where there is one: ...,512,M,G/10; else -gap is added.
func (p *Placement) WithPooledHead(classes int) (net *Network, layer string, err error) {
	n := p.Network
	first := slices.IndexFunc(n.Layers, func(l Layer) bool { return l.Op.Kind() == Linear{}.Kind() })
	if first < 0 {
		return nil, "", fmt.Errorf("%s has no fully connected layer to replace", n.Name)
	}
	maps := first
	for maps > 0 {
		switch n.Layers[maps-1].Op.(type) {
		case Flatten, Dropout, GlobalAvgPool, AdaptiveAvgPool:
			maps--
			continue
		}
		break
	}
	if !slices.ContainsFunc(n.Layers[:maps], func(l Layer) bool { return l.Op.Kind() == Conv{}.Kind() }) {
		return nil, "", fmt.Errorf("%s has no convolution before %s, whose maps could be averaged", n.Name,
			n.Layers[first].Name)
	}
	clone := *n
	clone.Title = strings.TrimPrefix(n.Title+", gap head", ", ")
	layer = n.Layers[first].Name
	clone.Layers = append(slices.Clone(n.Layers[:maps]), Layer{"globalpool", GlobalAvgPool{}}, Layer{"flatten", Flatten{}},
		Layer{layer, Linear{Out: classes}}, Layer{"softmax", Softmax{}})
	if clone.Name, err = clone.CompactString(); err != nil {
		clone.Name = n.Name + "-gap"
	}
	if _, err := clone.Place(p.Input); err != nil {
		return nil, "", err
	}
	return &clone, layer, nil
}
