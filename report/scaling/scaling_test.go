package main

import (
	"bytes"
	"os"
	"testing"
)

// TestScaling: the documents and the picture are what the model says today, and it says what must hold of any.
func TestScaling(t *testing.T) {
	files, err := render("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 {
		t.Errorf("%d files", len(files))
	}
	for path, want := range files {
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what go run ./report/scaling writes (%v)", path, err)
		}
	}
	net, err := vgg16()
	if err != nil {
		t.Fatal(err)
	}
	if net.gradients != 4*138_357_544 || net.linear != 4*123_642_856 || net.layers != 3 ||
		net.pairs != 4*(25088+4096+4096+4096+4096+1000) {
		t.Errorf("VGG-16 as %+v", net)
	}
	if l := fitted(); !(l.alpha > 0) || !(l.perByte > 8e-9) { // a link of 1 Gbit/s carries no more
		t.Errorf("a link of %+v", l)
	}
	for o := range options {
		for _, r := range []rank{slow, fast} {
			last := 1.0
			for _, ranks := range append([]float64{1}, numbers...) {
				e := net.efficiency(r, linkOf(10), ranks, o)
				if !(e > 0 && e <= last) || ranks == 1 && o != half && e != 1 {
					t.Errorf("%s: %g ranks of %+v: %v after %v", english.options[o], ranks, r, e, last)
				}
				if more := net.efficiency(r, linkOf(100), ranks, o); more < e {
					t.Errorf("%s: %g ranks: %v on a link that is quicker, not %v", english.options[o], ranks, more, e)
				}
				last = e
			}
		}
	}
}
