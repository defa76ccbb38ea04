package train

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/vggo/vggo/internal/near"
	"github.com/vggo/vggo/internal/printable"
)

// ClassWeights is how much the loss of a picture counts by its class. The zero value counts all alike.
type ClassWeights struct {
	// Balanced has each class count as much as the others: a picture by the mean number of pictures of a class over that
	// of its own.
	Balanced bool
	Of       map[string]float64 // by the class's name, or its number where it has none; others count as 1
}

// IsZero lets yaml leave out what is not set.
func (w ClassWeights) IsZero() bool { return !w.Balanced && len(w.Of) == 0 }

// UnmarshalYAML reads the word balanced, or numbers by name.
func (w *ClassWeights) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.MappingNode {
		*w = ClassWeights{}
		return node.Decode(&w.Of)
	}
	var word string
	if node.Decode(&word) != nil || word != "balanced" && word != "none" {
		return fmt.Errorf("line %d: class_weights: want balanced, none, or numbers by class, as in {cat: 2}", node.Line)
	}
	*w = ClassWeights{Balanced: word == "balanced"}
	return nil
}

// MarshalYAML is the reverse.
func (w ClassWeights) MarshalYAML() (any, error) {
	if w.Balanced {
		return "balanced", nil
	}
	return w.Of, nil
}

// weigh is the weight of each class, nil where all count as 1.
func (w ClassWeights) weigh(d Dataset, names []string, classes int) ([]float64, error) {
	if w.IsZero() {
		return nil, nil
	}
	weights := slices.Repeat([]float64{1}, classes)
	if w.Balanced {
		counts, kinds := make([]int, classes), 0
		for i := range d.Len() {
			if counts[d.Label(i)]++; counts[d.Label(i)] == 1 {
				kinds++
			}
		}
		for c, n := range counts {
			if n > 0 {
				weights[c] = float64(d.Len()) / float64(kinds*n)
			}
		}
		return weights, nil
	}
	if names == nil {
		for c := range classes {
			names = append(names, strconv.Itoa(c))
		}
	}
	heaviest := 0.0
	for _, name := range slices.Sorted(maps.Keys(w.Of)) {
		c, weight := slices.Index(names, name), w.Of[name]
		switch {
		case c < 0:
			err := fmt.Sprintf("class_weights: there is no class %q", printable.Clip(name, 40))
			if close := near.Names(name, names, 3, func(s string) string { return s }); len(close) > 0 {
				err += ": did you mean " + printable.Or(close) + "?"
			}
			return nil, errors.New(err)
		case !(weight >= 0 && weight < math.Inf(1)):
			return nil, fmt.Errorf("class_weights: %s must be at least 0, not %v", name, weight)
		}
		weights[c] = weight
	}
	for _, v := range weights {
		heaviest = max(heaviest, v)
	}
	if heaviest == 0 {
		return nil, errors.New("class_weights: all are 0: nothing is learned")
	}
	return weights, nil
}
