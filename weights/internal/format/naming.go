package format

import (
	"fmt"
	"slices"

	"github.com/vggo/vggo/arch"
)

// Naming is what one family of files calls a network's parameters, and how it lays them out.
type Naming struct {
	Family string            // "Keras"
	Source map[string]Source // the name of our parameter, "conv1_1/w" → where the file has it
	// Preprocess names the vision.Preprocess of the pictures that the family's networks were trained on: "caffe",
	// "caffe-rgb", "imagenet", "unit"; empty where the family tells nothing.
	Preprocess string
	// Bookkeeping knows tensors that hold no parameter and that every file of the family may have. Any other tensor that
	// is no parameter's makes the file another network's.
	Bookkeeping func(name string) bool
	Words       bool // the names tell the layer, whatever others there are; numbers count layers
	OwnHead     bool // the file's own names for the fully connected layers
	Guess       bool // made of the tensors' order and shapes
}

// Source says where a parameter's values are in a file and how they lie there.
type Source struct {
	Name   string // the file's tensor; empty: the values are these
	Fill   float32
	Values []float32 // one for each, in place of Fill
	Layout Layout
	Fold   *Folding // nil: the values are as they lie
}

// Folding is what is done to each output of a layer, (y - mean) * gamma + beta, as a part of its weights and its bias.
type Folding struct{ Mean, Gamma, Beta *Source } // nil: 0, 1, 0

// Weighted are the layers that have parameters.
func Weighted(placed []arch.Placed) []arch.Placed {
	return slices.DeleteFunc(slices.Clone(placed), func(l arch.Placed) bool { return len(l.Params) == 0 })
}

// BytesFrom is what no mean of samples from 0 to 1 reaches.
const BytesFrom = 2

// Read makes a parameter of what tensor returns for the names of the file's.
func (s Source) Read(p arch.Param, tensor func(name string) ([]float32, error)) (data []float32, err error) {
	switch {
	case s.Values != nil:
		data = slices.Clone(s.Values)
	case s.Name == "":
		data = slices.Repeat([]float32{s.Fill}, p.Count())
	default:
		if data, err = tensor(s.Name); err != nil {
			return nil, err
		}
		if data, err = s.Layout.Arrange(data, p); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", s.Name, err)
		}
	}
	if s.Fold == nil {
		return data, nil
	}
	return s.Fold.apply(data, p, tensor)
}

// apply does to weights or biases, O first, what is done to each output.
func (f *Folding) apply(data []float32, p arch.Param, tensor func(string) ([]float32, error)) ([]float32, error) {
	outs := p.Shape[0]
	values := map[*Source][]float32{}
	for _, s := range []*Source{f.Mean, f.Gamma, f.Beta} {
		if s == nil {
			continue
		}
		var err error
		if values[s], err = s.Read(arch.Param{Name: p.Name, Shape: []int{outs}}, tensor); err != nil {
			return nil, err
		}
	}
	of := func(s *Source, o int, otherwise float64) float64 {
		if s == nil {
			return otherwise
		}
		return float64(values[s][o])
	}
	made := make([]float32, len(data))
	each := len(data) / outs
	for i, v := range data {
		x, o := float64(v), i/each
		if p.Role() == "b" {
			x -= of(f.Mean, o, 0)
		}
		x *= of(f.Gamma, o, 1)
		if p.Role() == "b" {
			x += of(f.Beta, o, 0)
		}
		made[i] = float32(x)
	}
	return made, nil
}
