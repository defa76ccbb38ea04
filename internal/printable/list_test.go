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
