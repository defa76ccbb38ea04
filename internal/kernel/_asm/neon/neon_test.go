package neon

import (
	"strings"
	"testing"
)

// TestLoopKeepsRegisters: a value from before a loop that is used in it keeps its register to the loop's end; one that
// is not used again gives its register away.
func TestLoopKeepsRegisters(t *testing.T) {
	f := newFunction("f", "(a, b, n int)")
	before, step := f.param("a"), f.param("b")
	n := f.param("n")
	f.addTo(before, step)
	f.label("loop")
	f.addTo(n, step) // the last use that is written, not the last that happens
	own := f.x()
	f.set(own, 1)
	f.again(n, "loop")
	r, err := allocate(f.code)
	if err != nil {
		t.Fatal(err)
	}
	if r.x[own] == r.x[step] || r.x[own] == r.x[n] {
		t.Errorf("R%d holds a value that the next round needs", r.x[own])
	}
	if r.x[own] != r.x[before] {
		t.Errorf("a new value took R%d, not R%d, which was free", r.x[own], r.x[before])
	}
}

func TestTooManyRegisters(t *testing.T) {
	f := newFunction("f", "()")
	for _, v := range f.vecs(len(vectors) + 1) {
		f.zero(v)
	}
	if _, err := allocate(f.code); err != nil {
		t.Errorf("registers that are used once: %v", err)
	}
	f = newFunction("f", "()")
	all := f.vecs(len(vectors) + 1)
	for range 2 {
		for _, v := range all {
			f.zero(v)
		}
	}
	if _, _, err := f.print(); err == nil || !strings.Contains(err.Error(), "f: vectors: none is free") {
		t.Errorf("%v, want that no vector is free", err)
	}
}
