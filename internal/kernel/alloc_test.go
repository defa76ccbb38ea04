package kernel

import (
	"testing"
	"unsafe"
)

func TestAlloc(t *testing.T) {
	for _, n := range []int{0, 1, 15, 16, 17, 1000, 1 << 16, 3<<19 + 5} {
		for range 3 {
			s := Alloc(n)
			if len(s) != n || cap(s) != n {
				t.Fatalf("Alloc(%d) has length %d, capacity %d", n, len(s), cap(s))
			}
			if at := uintptr(unsafe.Pointer(unsafe.SliceData(s))); at%64 != 0 {
				t.Fatalf("Alloc(%d) starts at %#x, not on a cache line", n, at)
			}
			for i, x := range s {
				if x != 0 {
					t.Fatalf("Alloc(%d)[%d] = %v", n, i, x)
				}
				s[i] = 1
			}
		}
	}
}

func TestHugePages(t *testing.T) {
	const floats = hugePage / 4
	s := make([]float32, 4*floats)
	at := func(s []float32) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(s))) }
	first := int(-at(s)%hugePage) / 4 // the first float of a huge page

	for _, test := range []struct {
		name        string
		from, to    int // floats, from first
		start, size int // of the advice, in pages from first; size 0: none
	}{
		{"nothing", 0, 0, 0, 0},
		{"less than a page", 0, floats - 1, 0, 0},
		{"a page", 0, floats, 0, 1},
		{"a page's length astride two", 1, floats + 1, 0, 0},
		{"a page and edges", floats - 1, 2*floats + 1, 1, 1},
		{"two pages and a tail", 0, 3*floats - 1, 0, 2},
	} {
		got := hugePages(s[first+test.from : first+test.to])
		if len(got) != test.size*hugePage {
			t.Errorf("%s: %d bytes advised, want %d pages", test.name, len(got), test.size)
		} else if want := at(s[first:]) + uintptr(test.start*hugePage); test.size > 0 &&
			uintptr(unsafe.Pointer(&got[0])) != want {
			t.Errorf("%s: advice starts at %p, want %#x", test.name, &got[0], want)
		}
	}
}
