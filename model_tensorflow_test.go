package vggo

import (
	"testing"

	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// TestTensorFlowPrepares: what a graph does to its pictures before anything else is found, whoever wrote it, and done
// once. The networks average what comes of that and multiply it by a matrix.
func TestTensorFlowPrepares(t *testing.T) {
	for _, c := range []struct {
		way   string
		order vision.Order
		scale float32 // of the samples that the file wants, against 255
		blue  bool    // it makes blue first of them
		guess bool
	}{
		{"split", vision.RGB, 255, true, false}, {"reverse", vision.RGB, 1, true, false},
		{"slice", vision.RGB, 1, true, false}, {"mean", vision.RGB, 1, false, false}, {"blue", vision.BGR, 1, false, true},
	} {
		m, err := Open("weights/testdata/formats/tf-prepared-"+c.way+".pb", Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		p := m.Preprocess
		if p.Order != c.order || p.Scale != c.scale || len(p.Mean) > 0 && p.Mean[0] != 0 || p.Guess != c.guess {
			t.Errorf("%s: prepared as %s, order %v, scale %v, mean %v", c.way, p, p.Order, p.Scale, p.Mean)
		}
		in := tensor.New(1, 3, 4, 4)
		var average [3]float64 // of samples of 0 to 255
		for i := range in.Data {
			sample := float32(i * 5)
			in.Data[i] = sample / c.scale
			average[i/16] += float64(sample) / 16
		}
		got, err := m.Forward(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		mean := [3]float64{123.68, 116.779, 103.939} // red first
		if c.order == vision.BGR {
			mean[0], mean[2] = mean[2], mean[0]
		}
		var want [2]float64
		for ch := range 3 {
			to := ch
			if c.blue {
				to = 2 - ch
			}
			for k := range want {
				want[k] += (average[ch] - mean[ch]) * float64(int(1)<<(2*to+k))
			}
		}
		for k := range want {
			if d := float64(got.Data[k]) - want[k]; d > 0.01 || d < -0.01 {
				t.Errorf("%s: answers %v, want %v", c.way, got.Data, want)
			}
		}
	}
}
