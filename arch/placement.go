package arch

import (
	"fmt"
	"slices"
)

// Placement is a network on an input size: what follows from the two is worked out once, by Network.Place, and handed
// on. It is not to be changed.
type Placement struct {
	Network *Network
	Input   Shape
	Layers  []Placed // the network's, with their shapes
}

// WithInput is the network on another input size, which becomes its own.
func (p *Placement) WithInput(input Shape) (*Placement, error) {
	if input == p.Input && input == p.Network.Input {
		return p, nil
	}
	n := *p.Network
	n.Input = input
	return n.Place(input)
}

// Output is the shape that the last layer makes.
func (p *Placement) Output() Shape { return p.Layers[len(p.Layers)-1].Out }

// Layer finds a layer by its name.
func (p *Placement) Layer(name string) (layer Placed, ok bool) {
	i := p.index(name)
	if i < 0 {
		return layer, false
	}
	return p.Layers[i], true
}

func (p *Placement) index(name string) int {
	return slices.IndexFunc(p.Layers, func(l Placed) bool { return l.Name == name })
}

// Until is the network's beginning, up to a layer and with it. An unknown name is an error.
func (p *Placement) Until(layer string) (*Placement, error) {
	beginning, err := p.Network.Until(layer)
	if err != nil {
		return nil, err
	}
	n := len(beginning.Layers)
	return &Placement{beginning, p.Input, p.Layers[:n:n]}, nil
}

// After is the rest of the network behind a layer, whose input is that layer's output. An unknown name is an error, and
// so is the last layer.
func (p *Placement) After(layer string) (*Placement, error) {
	i := p.index(layer)
	switch {
	case i < 0:
		_, err := p.Network.Until(layer)
		return nil, err
	case i == len(p.Layers)-1:
		return nil, fmt.Errorf("nothing of %s is behind its last layer, %s", p.Network.Name, layer)
	}
	network := *p.Network
	network.Layers, network.Input = network.Layers[i+1:], p.Layers[i].Out
	rest := &Placement{&network, network.Input, slices.Clone(p.Layers[i+1:])}
	for i := range rest.Layers {
		rest.Layers[i].Index, rest.Layers[i].InPlace = i, network.inPlace(i)
	}
	return rest, nil
}

// Ending tells how the layers' outputs are to be read as probabilities, and how many layers there are up to the logits.
// A softmax or a sigmoid counts as the end where nothing follows but layers that change no value in use: dropout,
// flatten of single pixels.
func (p *Placement) Ending() (ending Ending, logits int) {
	layers := p.Layers
	for i := len(layers) - 1; i >= 0; i-- {
		switch layers[i].Op.(type) {
		case Softmax:
			return EndsInSoftmax, i
		case Sigmoid:
			return EndsInSigmoid, i
		case Dropout:
			continue
		case Flatten:
			if layers[i].In == layers[i].Out {
				continue
			}
		}
		break
	}
	for i := len(layers) - 1; i >= 0; i-- {
		switch layers[i].Op.(type) {
		case Softmax, Sigmoid:
			return EndsInProbabilities, len(layers)
		case Dropout, Flatten, GlobalAvgPool, AdaptiveAvgPool, AvgPool:
			continue
		}
		break
	}
	return EndsInLogits, len(layers)
}

// EndsInMap reports whether the layers end in a map of features, as the convolutions of a VGG alone do, and not in
// scores of classes: in a max pooling or a ReLU of more than one pixel.
func (p *Placement) EndsInMap() bool {
	for _, layer := range slices.Backward(p.Layers) {
		switch layer.Op.(type) {
		case Dropout, Flatten:
			continue
		case MaxPool, ReLU:
			return layer.In.H*layer.In.W > 1
		}
		break
	}
	return false
}

// Classes is the number of classes that the network tells apart: its outputs, or two for one output that is a sigmoid.
func (p *Placement) Classes() int {
	outputs := p.Output().C
	if ending, _ := p.Ending(); outputs == 1 && ending == EndsInSigmoid {
		return 2
	}
	return outputs
}
