package fashion

import (
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"testing"
)

// TestRead: files that a program has unpacked are the same data, and others are refused.
func TestRead(t *testing.T) {
	unpacked := func(file []byte) []byte {
		r, err := gzip.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	want, err := Data()
	if err != nil {
		t.Fatal(err)
	}
	if want.Train.Len() != 5000 || want.Test.Len() != 1000 {
		t.Errorf("%d pictures train, %d test", want.Train.Len(), want.Test.Len())
	}
	x, y := unpacked(images), unpacked(labels)
	got, err := Read(x, y)
	if err != nil || !slices.Equal(got.Train.Pixels, want.Train.Pixels) ||
		!slices.Equal(got.Test.Labels, want.Test.Labels) {
		t.Errorf("unpacked they are other data (%v)", err)
	}
	strange := slices.Clone(y)
	strange[len(strange)-1] = 10
	few := append([]byte{0, 0, 8, 1, 0, 0, 3, 232}, y[8:1008]...)
	for name, files := range map[string][2][]byte{
		"nothing": {}, "no labels": {x, nil}, "swapped": {y, x}, "cut": {x[:len(x)-1], y}, "an 11th class": {x, strange},
		"too few": {x, few}, "a page in their place": {[]byte("<!doctype html>"), y},
	} {
		if _, err := Read(files[0], files[1]); err == nil {
			t.Errorf("%s: it is read", name)
		}
	}
}
