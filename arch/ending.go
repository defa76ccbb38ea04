package arch

import (
	"fmt"
	"slices"
)

// Ending is how the outputs of a network are to be read as probabilities.
type Ending string

const (
	// EndsInLogits is a network that does not say: it ends with the scores themselves. Of two and more a softmax is usual
	// (PyTorch's and torchvision's networks end so, since their loss applies it); of one nothing tells what it means.
	EndsInLogits Ending = "logits"
	// EndsInSoftmax is one class of several. A softmax of one score is 1 whatever the score, so it says no more than
	// EndsInLogits.
	EndsInSoftmax Ending = "softmax"
	// EndsInSigmoid is a probability for each output by itself. A single output is that of the second of two classes,
	// number 1, as Keras numbers them.
	EndsInSigmoid Ending = "sigmoid"
	// EndsInProbabilities is a softmax or sigmoid before layers that average: the outputs are probabilities as they are.
	EndsInProbabilities Ending = "probabilities"
)

// WithSigmoid returns a network that ends in a sigmoid: in place of its softmax, or behind its logits. One that ends in
// a sigmoid already is returned as it is; one whose outputs are averaged probabilities is an error.
func (p *Placement) WithSigmoid() (*Placement, error) {
	ending, at := p.Ending()
	n := *p.Network
	switch ending {
	case EndsInSigmoid:
		return p, nil
	case EndsInProbabilities:
		return nil, fmt.Errorf("%s ends in probabilities that are averaged: there is no place for a sigmoid", n.Name)
	case EndsInSoftmax:
		n.Layers = slices.Clone(n.Layers)
		n.Layers[at] = Layer{n.FreeName("sigmoid"), Sigmoid{}}
	default:
		n.Layers = append(n.Layers[:at:at], Layer{n.FreeName("sigmoid"), Sigmoid{}})
	}
	return n.Place(p.Input)
}

// WithSoftmax returns a network that ends in a softmax where it ends in a sigmoid; any other is returned as it is.
func (p *Placement) WithSoftmax() (*Placement, error) {
	ending, at := p.Ending()
	if ending != EndsInSigmoid {
		return p, nil
	}
	n := *p.Network
	n.Layers = slices.Clone(n.Layers)
	n.Layers[at] = Layer{n.FreeName("softmax"), Softmax{}}
	return n.Place(p.Input)
}

// FreeName is a name that no layer has yet.
func (n *Network) FreeName(base string) string {
	name := base
	for i := 2; slices.ContainsFunc(n.Layers, func(l Layer) bool { return l.Name == name }); i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	return name
}
