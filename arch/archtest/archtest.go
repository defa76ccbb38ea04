// Package archtest helps tests with package arch.
package archtest

import (
	"testing"

	"github.com/vggo/vggo/arch"
)

// Place is a network on its own input. An impossible one ends the test.
func Place(t testing.TB, net *arch.Network) *arch.Placement {
	t.Helper()
	return PlaceOn(t, net, net.Input)
}

// PlaceOn is a network on an input.
func PlaceOn(t testing.TB, net *arch.Network, input arch.Shape) *arch.Placement {
	t.Helper()
	placed, err := net.Place(input)
	if err != nil {
		t.Fatal(err)
	}
	return placed
}

// Values are all parameters of layers in float64, as nn/reference takes them. parameter finds one by name, as a Model
// does.
func Values[Shape any](t testing.TB, layers []arch.Placed,
	parameter func(name string) (Shape, []float32, error)) map[string][]float64 {
	t.Helper()
	all := map[string][]float64{}
	for _, l := range layers {
		for _, p := range l.Params {
			_, values, err := parameter(p.Name)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range values {
				all[p.Name] = append(all[p.Name], float64(v))
			}
		}
	}
	return all
}
