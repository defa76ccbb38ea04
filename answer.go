package vggo

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// Class is one of a network's answers.
type Class struct {
	Index       int     `json:"class"` // from 0
	Label       string  `json:"label,omitempty"`
	Probability float64 `json:"probability"`
}

// OneOutputError is a network of a single output that nothing says how to read: it has no classes to answer with. A
// softmax of one number is 1 whatever the number.
type OneOutputError struct{ Network string }

func (e *OneOutputError) Error() string {
	return e.Network +
		" has one output, and nothing says that a sigmoid makes a probability of it: a softmax of one number is always 1"
}

// NoClassesError is a network that ends in a map of features: its channels are no classes.
type NoClassesError struct{ Network, Layer string }

func (e *NoClassesError) Error() string {
	return fmt.Sprintf("%s ends in the feature map of %s: it has no classifier, and the map's channels are no classes",
		e.Network, e.Layer)
}

// NaNError is a network that computes what is no number: its weights are broken, or another network's.
type NaNError struct {
	What    string // that is no number: "the answer", or a layer
	Network string
	Origin  string // of the weights
}

func (e *NaNError) Error() string {
	return fmt.Sprintf("%s of %s is NaN: the weights of %s are broken or not this network's", e.What, e.Network, e.Origin)
}

// Ending is how the network's outputs are read as probabilities: as it ends, or by a softmax where it ends in logits,
// of two outputs and more. By a sigmoid each class has a probability by itself, and they do not add up to 1; a single
// output is then the second of two classes.
func (m *Model) Ending() (arch.Ending, error) {
	switch {
	case m.features:
		return m.ending, &NoClassesError{m.Network.Name, m.Network.Layers[len(m.Network.Layers)-1].Name}
	case m.Placed.Output().C == 1 && m.ending != arch.EndsInSigmoid:
		return m.ending, &OneOutputError{m.Network.Name}
	case m.ending == arch.EndsInLogits:
		return arch.EndsInSoftmax, nil
	}
	return m.ending, nil
}

// Binary reports whether one output, by a sigmoid, tells two classes apart.
func (m *Model) Binary() bool { return m.Placed.Output().C == 1 && m.classes == 2 }

// ClassCount is the number of classes that Rank tells apart: the network's outputs, or two for one output that is a
// sigmoid.
func (m *Model) ClassCount() int { return m.classes }

// Rank turns the logits of one image into its classes, the most probable first and of equals the lower. The
// probabilities of a fully convolutional network's map are averaged over its pixels. A network that Ending is an error
// of has none.
func (m *Model) Rank(logits *tensor.Tensor) ([]Class, error) {
	ending, err := m.Ending()
	if err != nil {
		return nil, err
	}
	probabilities := tensor.New(logits.N, logits.C, logits.H, logits.W)
	nn.Probabilities(probabilities, logits, ending)
	return m.rank(probabilities)
}

// rank is Rank of probabilities.
func (m *Model) rank(probabilities *tensor.Tensor) ([]Class, error) {
	pixels := probabilities.H * probabilities.W
	means := make([]float64, probabilities.C, m.ClassCount())
	for c := range means {
		for _, p := range probabilities.Data[c*pixels : (c+1)*pixels] {
			means[c] += float64(p)
		}
		if means[c] != means[c] {
			return nil, &NaNError{"the answer", m.Network.Name, m.Origin}
		}
		means[c] /= float64(pixels)
	}
	if len(means) == 1 { // the second of two
		means = []float64{1 - means[0], means[0]}
	}
	ranked := make([]Class, len(means))
	for c, p := range means {
		ranked[c] = Class{Index: c, Probability: p}
		if m.Classes != nil {
			ranked[c].Label = m.Classes[c]
		}
	}
	slices.SortStableFunc(ranked, func(a, b Class) int { return cmp.Compare(b.Probability, a.Probability) })
	return ranked, nil
}

// logit tells which of the network's logits a class's probability grows with, and by which sign: the first of two
// classes of one output is likelier the lower that is.
func (m *Model) logit(class int) (output int, sign float32) {
	switch {
	case m.Placed.Output().C > 1:
		return class, 1
	case class == 0:
		return 0, -1
	}
	return 0, 1
}
