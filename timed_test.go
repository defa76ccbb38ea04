package vggo

import (
	"testing"
	"time"

	"github.com/vggo/vggo/tensor"
)

// TestInsideTimed: several runs leave the maps of one, and a time for each group.
func TestInsideTimed(t *testing.T) {
	m, err := New("20x18x3:8,8b,M,16/10", Options{Seed: 3, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	image := tensor.New(1, 3, 20, 18)
	for i := range image.Data {
		image.Data[i] = float32(i%17)/17 - 0.5
	}
	once, err := m.Inside(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	in, err := m.InsideTimed(t.Context(), image, 5)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range in.Groups {
		if s.Took <= 0 {
			t.Errorf("%v took %v", s.Layers, s.Took)
		}
		for j, v := range s.Out.Data {
			if v != once.Groups[i].Out.Data[j] {
				t.Fatalf("%v: value %d is %v after five runs, %v after one", s.Layers, j, v, once.Groups[i].Out.Data[j])
			}
		}
	}
	if _, err := m.InsideTimed(t.Context(), image, 0); err == nil {
		t.Error("no run at all")
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		times []time.Duration
		want  time.Duration
	}{
		{[]time.Duration{7}, 7}, {[]time.Duration{9, 1, 5}, 5}, {[]time.Duration{9, 1, 5, 7}, 6},
		{[]time.Duration{1, 1, 100, 2, 1}, 1},
	} {
		if got := median(c.times); got != c.want {
			t.Errorf("%v: %v, want %v", c.times, got, c.want)
		}
	}
}
