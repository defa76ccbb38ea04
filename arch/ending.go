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
	// EndsInSoftmax is one class of several. A softmax of one score is 1 whatever the score, so it says no more than EndsInLogits.
	EndsInSoftmax Ending = "softmax"
	// EndsInSigmoid is a probability for each output by itself. A single output is that of the second of two classes, number 1,
	// as Keras numbers them.
	EndsInSigmoid Ending = "sigmoid"
	// EndsInProbabilities is a softmax or sigmoid before layers that average: the outputs are probabilities as they are.
	EndsInProbabilities Ending = "probabilities"
)

// Ending tells how a network ends, for its own input.
func (n *Network) Ending() (Ending, error) {
	placed, err := n.Place(n.Input)
	if err != nil {
		return "", err
	}
	ending, _ := EndingOf(placed)
	return ending, nil
}

// EndingOf tells how placed layers end, and how many of them there are up to the logits. A softmax or a sigmoid counts as the
// end where nothing follows but layers that change no value in use: dropout, flatten of single pixels.
func EndingOf(placed []Placed) (ending Ending, logits int) {
	for i := len(placed) - 1; i >= 0; i-- {
		switch placed[i].Op.(type) {
		case Softmax:
			return EndsInSoftmax, i
		case Sigmoid:
			return EndsInSigmoid, i
		case Dropout:
			continue
		case Flatten:
			if placed[i].In == placed[i].Out {
				continue
			}
		}
		break
	}
	for i := len(placed) - 1; i >= 0; i-- {
		switch placed[i].Op.(type) {
		case Softmax, Sigmoid:
			return EndsInProbabilities, len(placed)
		case Dropout, Flatten, GlobalAvgPool, AdaptiveAvgPool, AvgPool:
			continue
		}
		break
	}
	return EndsInLogits, len(placed)
}

// EndsInMap reports whether placed layers end in a map of features, as the convolutions of a VGG alone do, and not in scores of classes:
// in a max pooling or a ReLU of more than one pixel.
func EndsInMap(placed []Placed) bool {
	for i := len(placed) - 1; i >= 0; i-- {
		in := placed[i].In
		switch placed[i].Op.(type) {
		case Dropout, Flatten:
			continue
		case MaxPool, ReLU:
			return in.H*in.W > 1
		}
		return false
	}
	return false
}

// ClassesOf is the number of classes that placed layers tell apart: their outputs, or two for one output that is a sigmoid.
func ClassesOf(placed []Placed) int {
	outputs := placed[len(placed)-1].Out.C
	if ending, _ := EndingOf(placed); outputs == 1 && ending == EndsInSigmoid {
		return 2
	}
	return outputs
}

// WithSigmoid returns a copy of a network that ends in a sigmoid: in place of its softmax, or behind its logits. One that ends in
// a sigmoid already is returned as it is; one whose outputs are averaged probabilities is an error.
func WithSigmoid(n *Network) (*Network, error) {
	placed, err := n.Place(n.Input)
	if err != nil {
		return nil, err
	}
	ending, at := EndingOf(placed)
	clone := *n
	switch ending {
	case EndsInSigmoid:
		return n, nil
	case EndsInProbabilities:
		return nil, fmt.Errorf("%s ends in probabilities that are averaged: there is no place for a sigmoid", n.Name)
	case EndsInSoftmax:
		clone.Layers = slices.Clone(n.Layers)
		clone.Layers[at] = Layer{n.freeName("sigmoid"), Sigmoid{}}
	default:
		clone.Layers = append(n.Layers[:at:at], Layer{n.freeName("sigmoid"), Sigmoid{}})
	}
	return &clone, nil
}

// WithSoftmax returns a copy of a network that ends in a softmax where it ends in a sigmoid; any other is returned as it is.
func WithSoftmax(n *Network) (*Network, error) {
	placed, err := n.Place(n.Input)
	if err != nil {
		return nil, err
	}
	ending, at := EndingOf(placed)
	if ending != EndsInSigmoid {
		return n, nil
	}
	clone := *n
	clone.Layers = slices.Clone(n.Layers)
	clone.Layers[at] = Layer{n.freeName("softmax"), Softmax{}}
	return &clone, nil
}

// freeName is a name that no layer has yet.
func (n *Network) freeName(base string) string {
	name := base
	for i := 2; slices.ContainsFunc(n.Layers, func(l Layer) bool { return l.Name == name }); i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	return name
}
