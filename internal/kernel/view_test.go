package kernel

import (
	"encoding/binary"
	"math"
	"testing"
)

func TestFloat32s(t *testing.T) {
	littleEndian := binary.NativeEndian.Uint16([]byte{1, 0}) == 1
	bytes := make([]byte, 64)
	for _, test := range []struct {
		name     string
		from, to int
		floats   int // -1: no view
	}{
		{"all", 0, 64, 16}, {"a part", 4, 12, 2}, {"nothing", 8, 8, 0},
		{"a length that is no multiple of 4", 0, 63, -1}, {"an address that is no multiple of 4", 2, 62, -1},
	} {
		got, ok := Float32s(bytes[test.from:test.to])
		if want := littleEndian && test.floats >= 0; ok != want || ok && len(got) != test.floats {
			t.Errorf("%s: %d floats, %v, want %d", test.name, len(got), ok, test.floats)
		}
	}
	if view, ok := Float32s(bytes); ok {
		binary.LittleEndian.PutUint32(bytes[8:], math.Float32bits(1.5))
		if view[2] != 1.5 {
			t.Errorf("the view does not share memory: %v", view[2])
		}
	}
}
