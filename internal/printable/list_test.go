package printable_test

import (
	"math"
	"strings"
	"testing"

	"github.com/vggo/vggo/internal/printable"
)

func TestLists(t *testing.T) {
	for _, c := range []struct {
		words   []string
		and, or string
	}{
		{nil, "", ""}, {[]string{"a"}, "a", "a"}, {[]string{"a", "b"}, "a and b", "a or b"}, {[]string{"a", "b", "c"},
			"a, b and c", "a, b or c"},
	} {
		if got := printable.And(c.words); got != c.and {
			t.Errorf("%q: %q, want %q", c.words, got, c.and)
		}
		if got := printable.Or(c.words); got != c.or {
			t.Errorf("%q: %q, want %q", c.words, got, c.or)
		}
	}
	if got := printable.And([]int{3, 5}); got != "3 and 5" {
		t.Errorf("%q", got)
	}
}

func TestShape(t *testing.T) {
	for want, got := range map[string]string{
		"64x3x3x3": printable.Shape([]int{64, 3, 3, 3}), "10": printable.Shape([]int{10}), "scalar": printable.Shape([]int{}),
		"18446744073709551615x-1": printable.Shape([]uint64{math.MaxUint64}) + "x" + printable.Shape([]int64{-1}),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestEnds(t *testing.T) {
	words := strings.Fields("a b c d e f g h i j")
	for most, want := range map[int]string{10: "a, b, c, d, e, f, g, h, i and j",
		9: "a, b, c, d … g, h, i, j, 10 in all"} {
		if got := printable.Ends(words, most); got != want {
			t.Errorf("at most %d: %s, want %s", most, got, want)
		}
	}
	if got := printable.Ends(words[:8], 2); got != "a, b, c, d, e, f, g and h" { // no shorter by its ends
		t.Errorf("%s", got)
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 138357544: "138,357,544",
		-1234567: "-1,234,567"} {
		if got := printable.Count(n); got != want {
			t.Errorf("Count(%d) = %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.00 kB", 9994: "9.99 kB", 9996: "10.0 kB",
		999_949: "999.9 kB", 999_951: "1.00 MB", 553_430_176: "553.4 MB"} {
		if got := printable.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %s, want %s", n, got, want)
		}
	}
}

// TestBytesApart: different numbers of bytes are written differently.
func TestBytesApart(t *testing.T) {
	for _, c := range []struct {
		n, other      int64
		want, besides string
	}{
		{4_000_000_000, 2_000_000_000, "4.00 GB", "2.00 GB"},
		{4_000_000_001, 4_000_000_000, "4,000,000,001 B", "4,000,000,000 B"},
		{1000, 1000, "1.00 kB", "1.00 kB"},
	} {
		if a, b := printable.BytesApart(c.n, c.other); a != c.want || b != c.besides {
			t.Errorf("%d and %d: %s and %s, want %s and %s", c.n, c.other, a, b, c.want, c.besides)
		}
	}
}

func TestClip(t *testing.T) {
	for text, want := range map[string]string{"": "", "abc": "abc", "猫猫猫猫": "猫猫…"} {
		if got := printable.Clip(text, 3); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
