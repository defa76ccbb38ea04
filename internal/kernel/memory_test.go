package kernel

import (
	"runtime/debug"
	"testing"
	"unsafe"
)

// memory is a way to lay out operands. A slot is one operand; its old contents may come back in a later call, so floats
// beyond the ones asked for hold garbage rather than zeros.
type memory struct {
	name   string
	floats func(slot, n int) []float32
}

// memories returns every way: aligned to a cache line, misaligned by one float, and where the system offers it between
// pages that fault, flush against the page after or the page before.
func memories(t testing.TB) []memory {
	return append([]memory{heap("aligned", 0), heap("misaligned", 1)}, guardedMemories(t)...)
}

// heap gives memory whose first element lies skip floats after a cache line's start.
func heap(name string, skip int) memory {
	slots := map[int][]float32{}
	return memory{name, func(slot, n int) []float32 {
		if len(slots[slot]) < n+skip {
			slots[slot] = Alloc(n + skip)
		}
		return slots[slot][skip : skip+n : skip+n]
	}}
}

// place copies values, whole words of 32 bits, to an operand of exactly their length.
func place[T float32 | int | uint8](m memory, slot int, values []T) []T {
	words := len(values) * int(unsafe.Sizeof(values[0])) / 4
	placed := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(m.floats(slot, words)))), len(values))
	copy(placed, values)
	return placed
}

// noFault runs f and fails the test, naming the case, if f touches a guard page.
func noFault(t testing.TB, f func(), format string, args ...any) {
	t.Helper()
	if address := fault(f); address != 0 {
		t.Fatalf(format+": touches %#x, outside its operands", append(args, address)...)
	}
}

// fault runs f and returns the address at which it faulted, or 0.
func fault(f func()) (address uintptr) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(interface{ Addr() uintptr })
			if !ok {
				panic(r)
			}
			address = f.Addr()
		}
	}()
	f()
	return 0
}
