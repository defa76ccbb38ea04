package kernel

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// guardedMemories places each operand between two pages that fault when touched.
func guardedMemories(t testing.TB) []memory {
	const slots, slotBytes = 8, 4 << 20 // FuzzMatmul's largest operand has 12 runs of 256 rows of 255 floats: 3.1 MB
	var operands [slots][]float32
	page := os.Getpagesize()
	for i := range operands {
		mapping, err := unix.Mmap(-1, 0, slotBytes+2*page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Munmap(mapping); err != nil {
				t.Error(err)
			}
		})
		inner := mapping[page : page+slotBytes]
		if err := unix.Mprotect(inner, unix.PROT_READ|unix.PROT_WRITE); err != nil {
			t.Fatal(err)
		}
		operands[i], _ = Float32s(inner)
	}
	return []memory{
		{"before a guard page", func(slot, n int) []float32 { return operands[slot][slotBytes/4-n:] }},
		{"after a guard page", func(slot, n int) []float32 { return operands[slot][:n:n] }},
	}
}

func TestGuardPages(t *testing.T) {
	guarded := guardedMemories(t)
	eachSet(t, func(t *testing.T, s *Set) {
		before, after := guarded[0].floats(0, 3*Block), guarded[1].floats(0, 3*Block)
		noFault(t, func() { s.read(&before[0], 3); s.read(&after[0], 3) }, "reading three blocks of three")
		if fault(func() { s.read(&before[0], 4) }) == 0 {
			t.Error("reading beyond the end goes unnoticed")
		}
		if fault(func() { s.read(add(&after[0], -4), 1) }) == 0 {
			t.Error("reading before the start goes unnoticed")
		}
	})
}
