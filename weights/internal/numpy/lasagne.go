package numpy

import (
	"fmt"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/pickle"
	"github.com/vggo/vggo/weights/internal/checkpoint"
	"github.com/vggo/vggo/weights/internal/format"
)

// Lasagne's Recipes (modelzoo/vgg16.py) pickle a dict of what lasagne.layers.get_all_param_values returns, weights and
// biases in the order of the layers, the mean of the pictures, blue first, and the classes' names. Convolutions are
// O,I,H,W and not turned in all of the Recipes, whose files cannot say so, fully connected weights in, out.
const (
	lasagneParams  = "param values"
	lasagneMean    = "mean value"
	lasagneClasses = "synset words"
)

// isLasagne knows such a dict.
func isLasagne(value any) bool {
	d, ok := value.(*pickle.Dict)
	if !ok {
		return false
	}
	params, _ := d.Get(lasagneParams)
	_, ok = params.(*pickle.List)
	return ok
}

// readLasagne is what such a dict holds.
func readLasagne(value any, held *checkpoint.Value) (*format.Contents, error) {
	c := &format.Contents{Format: "Lasagne", Tensors: held.Tensors(""), Naming: inOrder}
	words, _ := value.(*pickle.Dict).Get(lasagneClasses)
	if list, ok := words.(*pickle.List); ok {
		for _, item := range list.Items {
			name, _ := item.(string)
			if b, ok := item.(pickle.Bytes); ok { // Python 2's
				name = string(b)
			}
			c.Classes = append(c.Classes, name)
		}
	}
	for _, t := range c.Tensors {
		if t.Name != lasagneMean || !t.DType.HoldsWeights() || len(t.Shape) == 0 || t.Shape[0] != 3 {
			continue
		}
		values, err := t.Floats()
		if err != nil {
			return nil, err
		}
		p := &format.Pictures{Bytes: true, Order: "BGR", Told: lasagneMean}
		if len(values) > 3 {
			p.Told = "the mean of " + lasagneMean + " over its pixels"
		}
		each := len(values) / 3
		for c := range 3 {
			sum := 0.0
			for _, v := range values[c*each:][:each] {
				sum += float64(v)
			}
			p.Mean = append(p.Mean, float32(sum/float64(each)))
		}
		c.Pictures = p
	}
	return c, nil
}

// inOrder gives layers with weights and biases the arrays one after another.
func inOrder(placed []arch.Placed) format.Naming {
	n := format.Naming{Family: "Lasagne", Preprocess: "caffe", Guess: true, Source: map[string]format.Source{},
		Bookkeeping: func(name string) bool { return name == lasagneMean }}
	at := 0
	for _, layer := range placed {
		for _, p := range layer.Params {
			src := format.Source{Name: fmt.Sprintf("%s.%d", lasagneParams, at)}
			if _, ok := layer.Op.(arch.Linear); ok && p.Role() == "w" {
				src.Layout = format.InOut
			}
			n.Source[p.Name] = src
			at++
		}
	}
	return n
}
