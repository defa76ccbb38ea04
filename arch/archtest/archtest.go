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
