package format

import (
	"math"
	"testing"
)

func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		got := float64(half(uint16(h)))
		exponent, fraction := h>>10&0x1f, float64(h&0x3ff)
		var want float64
		switch {
		case exponent == 0x1f && fraction != 0:
			want = math.NaN()
		case exponent == 0x1f:
			want = math.Inf(1)
		case exponent == 0:
			want = math.Ldexp(fraction, -24)
		default:
			want = math.Ldexp(1024+fraction, exponent-25)
		}
		if h >= 1<<15 {
			want = -want
		}
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) || math.Signbit(got) != (h >= 1<<15) {
			t.Fatalf("half %#04x is %v, want %v", h, got, want)
		}
	}
}
