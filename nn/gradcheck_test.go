package nn_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/nn/internal/golden"
	"github.com/vggo/vggo/tensor"
)

// layerTests are layers in awkward shapes: channels that fill no block of 16, height ≠ width, padding on one side,
// windows that overlap, skip pixels or hang over the edge. A convolution first in its network reads NCHW images, one
// behind another layer reads blocks: a ReLU stands before those meant to.
var layerTests = []struct {
	name  string
	input arch.Shape
	ops   []arch.Op
}{
	{"conv 3x3", arch.Shape{C: 3, H: 7, W: 10}, []arch.Op{arch.Conv{Out: 18, Window: window(3, 3, 1, 1, arch.Pad(1))}}},
	{"conv 3x3 on blocks", arch.Shape{C: 19, H: 9, W: 7},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 35, Window: window(3, 3, 1, 1, arch.Pad(1))}}},
	{"conv 3x3, many channels", arch.Shape{C: 66, H: 3, W: 4},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 150, Window: window(3, 3, 1, 1, arch.Pad(1))}}},
	{"conv 3x3 on a wide map", arch.Shape{C: 17, H: 5, W: 90},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 5, Window: window(3, 3, 1, 1, arch.Pad(1))}}},
	{"conv 3x3 on one pixel", arch.Shape{C: 20, H: 1, W: 1},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 7, Window: window(3, 3, 1, 1, arch.Pad(1))}}},
	{"conv 3x3 then ReLU", arch.Shape{C: 5, H: 8, W: 11},
		[]arch.Op{arch.Conv{Out: 21, Window: window(3, 3, 1, 1, arch.Pad(1))}, arch.ReLU{}}},
	{"conv 1x1", arch.Shape{C: 33, H: 5, W: 8}, []arch.Op{arch.Conv{Out: 18, Window: window(1, 1, 1, 1, arch.Pad(0))}}},
	{"conv 1x1, stride", arch.Shape{C: 33, H: 5, W: 8},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 18, Window: window(1, 1, 3, 1, arch.Pad(0))}}},
	{"conv 11x11, stride 4", arch.Shape{C: 3, H: 19, W: 21},
		[]arch.Op{arch.Conv{Out: 17, Window: window(11, 11, 4, 1, arch.Pad(2))}}},
	{"conv 5x2, uneven padding", arch.Shape{C: 6, H: 9, W: 8},
		[]arch.Op{arch.Conv{Out: 7, Window: window(5, 2, 1, 1, arch.Padding{Top: 3, Left: 0, Bottom: 1, Right: 2})}}},
	{"conv 3x3, padding beyond the kernel", arch.Shape{C: 6, H: 3, W: 2},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 7, Window: window(3, 3, 2, 1, arch.Pad(5))}}},
	{"conv 4x2, same", arch.Shape{C: 18, H: 9, W: 8},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 7, Window: window(4, 2, 1, 1, arch.Padding{Mode: arch.Same})}}},
	{"conv 2x3, same, stride", arch.Shape{C: 6, H: 10, W: 9},
		[]arch.Op{arch.Conv{Out: 7, Window: window(2, 3, 3, 1, arch.Padding{Mode: arch.Same})}}},
	{"conv 3x2, valid, dilation", arch.Shape{C: 6, H: 9, W: 12},
		[]arch.Op{arch.Conv{Out: 19, Window: window(3, 2, 1, 3, arch.Padding{Mode: arch.Valid})}}},
	{"conv 3x3, stride and dilation on blocks", arch.Shape{C: 21, H: 12, W: 9},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 19, Window: window(3, 3, 2, 2, arch.Pad(2))}}},
	{"conv 3x3, stride beyond the kernel", arch.Shape{C: 21, H: 12, W: 13},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 3, Window: window(3, 3, 5, 1, arch.Pad(0))}}},
	{"conv of channels that fill no block", arch.Shape{C: 5, H: 9, W: 9},
		[]arch.Op{arch.Conv{Out: 3, Window: window(3, 3, 1, 1, arch.Pad(1))}, arch.ReLU{},
			arch.Conv{Out: 2, Window: window(3, 3, 1, 1, arch.Pad(1))}}},
	{"conv without bias", arch.Shape{C: 4, H: 5, W: 6},
		[]arch.Op{arch.Conv{Out: 9, Window: window(3, 3, 1, 1, arch.Pad(1)), NoBias: true}}},
	{"conv, groups of 5 and 7", arch.Shape{C: 15, H: 5, W: 6},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 21, Window: window(3, 3, 1, 1, arch.Pad(1)), Groups: 3}}},
	{"conv, groups of whole blocks", arch.Shape{C: 32, H: 5, W: 6},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 96, Window: window(3, 3, 1, 1, arch.Pad(1)), Groups: 2}}},
	{"conv, groups of whole blocks, pooled", arch.Shape{C: 64, H: 13, W: 11}, []arch.Op{arch.ReLU{},
		arch.Conv{Out: 64, Window: window(3, 3, 1, 1, arch.Pad(1)), Groups: 4}, arch.ReLU{},
		arch.MaxPool{Window: window(2, 2, 2, 1, arch.Pad(0))}}},
	{"conv, groups of images", arch.Shape{C: 32, H: 5, W: 6},
		[]arch.Op{arch.Conv{Out: 32, Window: window(3, 3, 1, 1, arch.Pad(1)), Groups: 2}}},
	{"conv, depthwise", arch.Shape{C: 19, H: 5, W: 6},
		[]arch.Op{arch.Conv{Out: 38, Window: window(3, 3, 2, 1, arch.Pad(1)), Groups: 19}}},
	{"conv 3x3, whole tiles", arch.Shape{C: 21, H: 12, W: 16},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 37, Window: window(3, 3, 1, 1, arch.Pad(1))}, arch.ReLU{}}},
	{"conv 3x3, tiles over every edge", arch.Shape{C: 33, H: 13, W: 11},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 18, Window: window(3, 3, 1, 1, arch.Padding{Top: 2, Right: 2})}}},
	{"conv 3x3, map smaller than a tile", arch.Shape{C: 17, H: 3, W: 2},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 40, Window: window(3, 3, 1, 1, arch.Pad(1))}}},
	{"conv 3x3, no padding", arch.Shape{C: 17, H: 15, W: 9},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 16, Window: window(3, 3, 1, 1, arch.Pad(0))}}},
	{"conv 3x3, wide padding", arch.Shape{C: 17, H: 4, W: 9},
		[]arch.Op{arch.ReLU{}, arch.Conv{Out: 16, Window: window(3, 3, 1, 1, arch.Pad(4))}}},
	{"relu", arch.Shape{C: 19, H: 5, W: 6}, []arch.Op{arch.ReLU{}}},
	{"max pool 2x2", arch.Shape{C: 19, H: 9, W: 6}, []arch.Op{arch.MaxPool{Window: window(2, 2, 2, 1, arch.Pad(0))}}},
	{"max pool 3x3, stride 2, ceil", arch.Shape{C: 19, H: 9, W: 6},
		[]arch.Op{arch.MaxPool{Window: ceil(window(3, 3, 2, 1, arch.Pad(1)))}}},
	{"max pool 3x2, same", arch.Shape{C: 3, H: 9, W: 6},
		[]arch.Op{arch.MaxPool{Window: window(3, 2, 2, 1, arch.Padding{Mode: arch.Same})}}},
	{"max pool 2x3, dilation, uneven padding", arch.Shape{C: 18, H: 9, W: 8},
		[]arch.Op{arch.MaxPool{Window: window(2, 3, 1, 2, arch.Padding{Top: 1, Bottom: 2, Left: 3})}}},
	{"avg pool 3x2", arch.Shape{C: 19, H: 9, W: 6}, []arch.Op{arch.AvgPool{Window: window(3, 2, 2, 1, arch.Pad(1))}}},
	{"avg pool 3x3, padding counts, ceil", arch.Shape{C: 19, H: 10, W: 6},
		[]arch.Op{arch.AvgPool{Window: ceil(window(3, 3, 2, 1, arch.Padding{Top: 2, Right: 1})), CountPad: true}}},
	{"avg pool 3x3, dilation 2, ceil", arch.Shape{C: 19, H: 10, W: 7},
		[]arch.Op{arch.AvgPool{Window: ceil(window(3, 3, 2, 2, arch.Padding{Top: 2, Right: 1}))}}},
	{"avg pool 3x2, dilation 2, padding counts", arch.Shape{C: 19, H: 9, W: 7},
		[]arch.Op{arch.AvgPool{Window: window(3, 2, 1, 2, arch.Pad(1)), CountPad: true}}},
	{"avg pool 3x3, same, stride 4", arch.Shape{C: 19, H: 10, W: 7},
		[]arch.Op{arch.AvgPool{Window: window(3, 3, 4, 1, arch.Padding{Mode: arch.Same})}}},
	{"adaptive avg pool", arch.Shape{C: 19, H: 9, W: 7}, []arch.Op{arch.AdaptiveAvgPool{Out: arch.Size{H: 4, W: 3}}}},
	{"adaptive avg pool, upward", arch.Shape{C: 19, H: 3, W: 5},
		[]arch.Op{arch.AdaptiveAvgPool{Out: arch.Size{H: 7, W: 4}}}},
	{"global avg pool", arch.Shape{C: 19, H: 9, W: 7}, []arch.Op{arch.GlobalAvgPool{}}},
	{"lrn", arch.Shape{C: 19, H: 5, W: 4}, []arch.Op{arch.LRN{Size: 5, Alpha: 0.7, Beta: 0.75, K: 2}}},
	{"lrn, even size", arch.Shape{C: 18, H: 5, W: 4}, []arch.Op{arch.LRN{Size: 4, Alpha: 0.7, Beta: 1.5, K: 1}}},
	{"lrn wider than the map", arch.Shape{C: 5, H: 5, W: 4}, []arch.Op{arch.LRN{Size: 13, Alpha: 0.7, Beta: 0.5, K: 1}}},
	{"batch norm", arch.Shape{C: 19, H: 5, W: 4}, []arch.Op{arch.BatchNorm{Eps: 0.1, Momentum: 0.3}}},
	{"batch norm, ReLU", arch.Shape{C: 19, H: 1, W: 7}, []arch.Op{arch.BatchNorm{}, arch.ReLU{}}},
	{"conv, batch norm, ReLU", arch.Shape{C: 4, H: 5, W: 6},
		[]arch.Op{arch.Conv{Out: 19, Window: window(3, 3, 1, 1, arch.Pad(1))}, arch.BatchNorm{}, arch.ReLU{}}},
	{"convs, batch norms", arch.Shape{C: 4, H: 5, W: 6},
		[]arch.Op{arch.Conv{Out: 18, Window: window(3, 3, 1, 1, arch.Pad(1))}, arch.BatchNorm{}, arch.ReLU{},
			arch.Conv{Out: 20, Window: window(3, 3, 1, 1, arch.Pad(1)), Groups: 2}, arch.BatchNorm{},
			arch.Conv{Out: 21, Window: window(3, 2, 2, 1, arch.Pad(1))}, arch.BatchNorm{}, arch.ReLU{}}},
	{"conv without bias, batch norm", arch.Shape{C: 4, H: 5, W: 6},
		[]arch.Op{arch.Conv{Out: 19, Window: window(3, 3, 1, 1, arch.Pad(1)), NoBias: true}, arch.BatchNorm{}}},
	{"flatten, linear", arch.Shape{C: 19, H: 3, W: 2}, []arch.Op{arch.Flatten{}, arch.Linear{Out: 37}}},
	{"linear, wide", arch.Shape{C: 1300, H: 1, W: 1}, []arch.Op{arch.Linear{Out: 300}, arch.ReLU{}}},
	{"linear without bias", arch.Shape{C: 13, H: 1, W: 1}, []arch.Op{arch.Linear{Out: 7, NoBias: true}}},
	{"dropout", arch.Shape{C: 19, H: 3, W: 5}, []arch.Op{arch.Dropout{Keep: 0.7}}},
	{"linear, ReLU, dropout", arch.Shape{C: 23, H: 1, W: 1}, []arch.Op{arch.Linear{Out: 19}, arch.ReLU{},
		arch.Dropout{Keep: 0.6}, arch.Linear{Out: 5}}},
	{"softmax", arch.Shape{C: 19, H: 3, W: 2}, []arch.Op{arch.Softmax{}, arch.Flatten{}}},
	{"sigmoid", arch.Shape{C: 19, H: 3, W: 2}, []arch.Op{arch.Sigmoid{}, arch.Flatten{}}},
	{"sigmoid at the end", arch.Shape{C: 19, H: 3, W: 2}, []arch.Op{arch.LRN{Size: 1, K: 1}, arch.Sigmoid{}}},
	{"softmax, averaged", arch.Shape{C: 19, H: 3, W: 2}, []arch.Op{arch.Softmax{}, arch.GlobalAvgPool{}}},
	{"softmax at the end", arch.Shape{C: 19, H: 3, W: 2}, []arch.Op{arch.LRN{Size: 1, K: 1}, arch.Softmax{}}},
	{"l2 pool", arch.Shape{C: 19, H: 9, W: 6}, []arch.Op{arch.ReLU{}, arch.L2Pool{}}},
	{"l2 pool of one row", arch.Shape{C: 16, H: 1, W: 8}, []arch.Op{arch.L2Pool{}}},
	{"reflect pad", arch.Shape{C: 19, H: 5, W: 4}, []arch.Op{arch.ReflectPad{Top: 1, Left: 1, Bottom: 1, Right: 1}}},
	{"reflect pad, uneven, as wide as it can be", arch.Shape{C: 18, H: 3, W: 4}, []arch.Op{arch.ReLU{},
		arch.ReflectPad{Top: 2, Left: 0, Bottom: 1, Right: 3}}},
	{"reflect pad of one row", arch.Shape{C: 5, H: 1, W: 2}, []arch.Op{arch.ReflectPad{Left: 1, Right: 1}}},
	{"reflect pad before a convolution with ReLU and pooling", arch.Shape{C: 17, H: 7, W: 9}, []arch.Op{arch.ReLU{},
		arch.ReflectPad{Top: 1, Left: 1, Bottom: 1, Right: 1}, arch.Conv{Out: 20, Window: window(3, 3, 1, 1, arch.Pad(0))},
		arch.ReLU{}, arch.MaxPool{Window: ceil(window(2, 2, 2, 1, arch.Pad(0)))}}},
}

func window(kh, kw, stride, dilation int, pad arch.Padding) arch.Window {
	return arch.Window{Kernel: arch.Size{H: kh, W: kw}, Stride: arch.Square(stride), Dilation: arch.Square(dilation),
		Pad: pad}
}

func ceil(w arch.Window) arch.Window {
	w.Ceil = true
	return w
}

// TestLayers holds every layer, forward and backward, in training and in use, against the float64 reference.
func TestLayers(t *testing.T) {
	for i, tt := range layerTests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrial(t, uint64(i+1), tt.input, 3, tt.ops...)
			tr.gradient = true
			for _, tr.set = range sets() {
				for _, tr.algo = range nn.Algos() {
					for _, tr.training = range []bool{true, false} {
						for _, tr.noFuse = range []bool{true, false} {
							tr.check(t)
						}
					}
				}
			}
		})
	}
}

// TestBatchNormFarFromZero: a mean a thousand times the deviation costs three digits and no more. The variance as
// E[x²] − mean² would cost six.
func TestBatchNormFarFromZero(t *testing.T) {
	const far = 1000
	for _, set := range sets() {
		tr := newTrial(t, 1, arch.Shape{C: 19, H: 9, W: 7}, 3, arch.BatchNorm{})
		tr.set = set
		for i := range tr.x {
			tr.x[i] += far
		}
		plan, params := tr.plan(t)
		got := tr.run(t, plan, params)
		want := tr.reference(t, got)
		for _, name := range []string{"act/batchnorm1", "stat/batchnorm1/var"} {
			if e, most := golden.RelativeError(got[name], want[name]), far*tr.bounds(t)[name]; !(e <= most) {
				t.Errorf("set %s: %s: relative error %.3g, want at most %.3g", set, name, e, most)
			}
		}
	}
}

// FuzzConvShapes compares a convolution's three passes with the reference for any shape, by every algorithm that can
// compute it; values are normal. The bound is looser than elsewhere, yet an element out of place is off by its whole
// size.
func FuzzConvShapes(f *testing.F) {
	// n, c, h, w, out, kernel h and w, stride h and w, dilation h and w, padding of four sides, groups, behind a ReLU
	f.Add(uint8(3), uint8(5), uint8(7), uint8(9), uint8(11), uint8(3), uint8(3), uint8(1), uint8(1), uint8(1), uint8(1),
		uint8(1), uint8(1), uint8(1), uint8(1), uint8(1), false)
	f.Add(uint8(1), uint8(17), uint8(14), uint8(3), uint8(33), uint8(2), uint8(5), uint8(2), uint8(1), uint8(1), uint8(2),
		uint8(0), uint8(6), uint8(3), uint8(2), uint8(1), true)
	f.Add(uint8(2), uint8(6), uint8(8), uint8(12), uint8(10), uint8(1), uint8(4), uint8(3), uint8(2), uint8(2), uint8(1),
		uint8(2), uint8(0), uint8(0), uint8(1), uint8(2), true)
	f.Add(uint8(4), uint8(32), uint8(2), uint8(2), uint8(64), uint8(3), uint8(3), uint8(2), uint8(2), uint8(1), uint8(1),
		uint8(2), uint8(2), uint8(2), uint8(2), uint8(4), true)
	f.Add(uint8(4), uint8(18), uint8(14), uint8(13), uint8(20), uint8(3), uint8(3), uint8(1), uint8(1), uint8(1), uint8(1),
		uint8(1), uint8(1), uint8(1), uint8(1), uint8(1), true)
	f.Add(uint8(2), uint8(3), uint8(7), uint8(20), uint8(1), uint8(3), uint8(3), uint8(1), uint8(1), uint8(1), uint8(1),
		uint8(0), uint8(2), uint8(3), uint8(0), uint8(1), true)
	f.Add(uint8(2), uint8(32), uint8(7), uint8(6), uint8(64), uint8(3), uint8(3), uint8(1), uint8(1), uint8(1), uint8(1),
		uint8(1), uint8(1), uint8(1), uint8(1), uint8(2), true)
	f.Fuzz(func(t *testing.T, n, c, h, w, out, kh, kw, sh, sw, dh, dw, top, left, bottom, right, groups uint8,
		blocked bool) {
		upTo := func(v uint8, most int) int { return 1 + int(v+uint8(most-1))%most }
		conv := arch.Conv{Out: upTo(out, 70), Groups: upTo(groups, 8), Window: arch.Window{
			Kernel:   arch.Size{H: upTo(kh, 11), W: upTo(kw, 11)},
			Stride:   arch.Size{H: upTo(sh, 4), W: upTo(sw, 4)},
			Dilation: arch.Size{H: upTo(dh, 3), W: upTo(dw, 3)},
			Pad:      arch.Padding{Top: int(top % 8), Left: int(left % 8), Bottom: int(bottom % 8), Right: int(right % 8)},
		}}
		input := arch.Shape{C: upTo(c, 40), H: upTo(h, 20), W: upTo(w, 20)}
		ops := []arch.Op{conv}
		if blocked {
			ops = []arch.Op{arch.ReLU{}, conv}
		}
		network := arch.Network{Name: "fuzz", Layers: []arch.Layer{{Name: "conv", Op: conv}}}
		if _, err := network.Place(input); err != nil {
			t.Skip(err)
		}
		algos := []nn.Algo{nn.Direct}
		if conv.Kernel == arch.Square(3) && conv.Stride == arch.Square(1) && conv.Dilation == arch.Square(1) &&
			(conv.Groups == 1 || input.C/conv.Groups%16 == 0 && conv.Out/conv.Groups%16 == 0) {
			algos = nn.Algos()
		}
		for _, set := range sets() {
			for _, algo := range algos {
				tr := newTrial(t, 1, input, upTo(n, 4), ops...)
				tr.set, tr.algo = set, algo
				tr.checkTerms(t)
			}
		}
	})
}

// FuzzPoolShapes compares pooling of every kind with the reference, in both directions.
func FuzzPoolShapes(f *testing.F) {
	// kind, c, h, w, kernel h and w, stride h and w, dilation h and w, padding of four sides, ceil
	f.Add(uint8(0), uint8(5), uint8(7), uint8(9), uint8(3), uint8(3), uint8(2), uint8(2), uint8(1), uint8(1), uint8(1),
		uint8(1), uint8(1), uint8(1), true)
	f.Add(uint8(0), uint8(17), uint8(14), uint8(3), uint8(2), uint8(2), uint8(1), uint8(3), uint8(2), uint8(2), uint8(0),
		uint8(2), uint8(1), uint8(1), false)
	f.Add(uint8(1), uint8(20), uint8(8), uint8(10), uint8(3), uint8(2), uint8(2), uint8(1), uint8(1), uint8(1), uint8(2),
		uint8(0), uint8(1), uint8(1), true)
	f.Add(uint8(2), uint8(3), uint8(8), uint8(5), uint8(4), uint8(3), uint8(3), uint8(2), uint8(1), uint8(1), uint8(1),
		uint8(2), uint8(0), uint8(1), true)
	f.Add(uint8(3), uint8(33), uint8(5), uint8(7), uint8(3), uint8(9), uint8(1), uint8(1), uint8(1), uint8(1), uint8(0),
		uint8(0), uint8(0), uint8(0), false)
	f.Fuzz(func(t *testing.T, kind, c, h, w, kh, kw, sh, sw, dh, dw, top, left, bottom, right uint8, ceil bool) {
		upTo := func(v uint8, most int) int { return 1 + int(v+uint8(most-1))%most }
		window := arch.Window{
			Kernel: arch.Size{H: upTo(kh, 9), W: upTo(kw, 9)},
			Stride: arch.Size{H: upTo(sh, 5), W: upTo(sw, 5)},
			Pad:    arch.Padding{Top: int(top % 8), Left: int(left % 8), Bottom: int(bottom % 8), Right: int(right % 8)},
			Ceil:   ceil,
		}
		input := arch.Shape{C: upTo(c, 40), H: upTo(h, 16), W: upTo(w, 16)}
		// Gaps wider than the map could leave a window without a pixel, and what is the largest of nothing?
		window.Dilation = arch.Size{H: min(upTo(dh, 3), input.H), W: min(upTo(dw, 3), input.W)}
		op := arch.Op(arch.AvgPool{Window: window, CountPad: kind%4 == 1})
		switch kind % 4 {
		case 0:
			op = arch.MaxPool{Window: window}
		case 3:
			op = arch.AdaptiveAvgPool{Out: window.Kernel}
		}
		network := arch.Network{Name: "fuzz", Layers: []arch.Layer{{Name: "pool", Op: op}}}
		if _, err := network.Place(input); err != nil {
			t.Skip(err)
		}
		for _, set := range sets() {
			tr := newTrial(t, 1, input, 2, op)
			tr.set = set
			tr.checkTerms(t)
		}
	})
}

// TestFiniteDifferences checks each layer against itself: L being a random weighting of its output, the gradient along
// a random direction d must be the difference quotient
//
//	⟨∇L, d⟩ ≈ (L(v + h·d) − L(v − h·d)) / 2h.
//
// Where L is linear in v (convolution, linear, average pooling, and ReLU and max pooling between their kinks) that is
// exact for any h. Elsewhere the quotients for h and h/2 tell what the latter leaves out: a third of their difference,
// up to h⁴. Rounding y moves L by at most its bound times ‖y‖ times the norm of the weighting.
func TestFiniteDifferences(t *testing.T) {
	const h = 1.0 / 16
	for i, tt := range layerTests {
		if crossesKinks(tt.ops) {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrial(t, uint64(i+1), tt.input, 3, tt.ops...)
			rng := rand.New(rand.NewPCG(7, 7))
			tr.x = awayFromKinks(tr.x, tt.ops[0], rng)
			plan, params := tr.plan(t)
			got, bounds := tr.run(t, plan, params), tr.bounds(t)
			x := &tensor.Tensor{N: tr.n, C: tr.input.C, H: tr.input.H, W: tr.input.W, Data: tr.x}
			var rounding float64
			loss := func() float64 {
				if err := plan.Refresh(); err != nil {
					t.Fatal(err)
				}
				if err := plan.Forward(x); err != nil {
					t.Fatal(err)
				}
				y := plan.Logits().Data
				rounding = bounds["logits"] * golden.Norm(golden.Widen(y)) * golden.Norm(golden.Widen(tr.dlogits))
				return dot(golden.Widen(y), golden.Widen(tr.dlogits))
			}
			check := func(name string, v []float32) {
				middle, grad := slices.Clone(v), got["grad/"+name]
				defer copy(v, middle)
				direction := make([]float64, len(v))
				for i := range direction {
					direction[i] = 2*rng.Float64() - 1
				}
				// quotient returns what the gradient says as well: for the step that is left after v is rounded.
				quotient := func(h float64) (quotient, predicted float64) {
					step := make([]float64, len(v))
					for i, d := range direction {
						v[i] = middle[i] + float32(h*d)
						step[i] = float64(v[i])
					}
					up := loss()
					for i, d := range direction {
						v[i] = middle[i] - float32(h*d)
						step[i] = (step[i] - float64(v[i])) / (2 * h)
					}
					return (up - loss()) / (2 * h), dot(grad, step)
				}
				coarse, _ := quotient(h)
				fine, want := quotient(h / 2)
				typical := golden.Norm(grad) * golden.Norm(direction) / math.Sqrt(float64(len(v)))
				tolerance := math.Abs(coarse-fine) + 2*rounding/h + bounds["grad/"+name]*golden.Norm(grad)*golden.Norm(direction)
				if !(math.Abs(fine-want) <= tolerance) {
					t.Errorf("%s: the gradient says %.6g, the difference quotient %.6g ± %.2g", name, want, fine, tolerance)
				}
				if tolerance > typical/20 && !golden.Cancels(tr.network, "grad/"+name) {
					t.Errorf("%s: a tolerance of %.2g proves little of a gradient of %.2g: quotients %v and %v, rounding %v", name,
						tolerance, typical, coarse, fine, rounding)
				}
			}
			check("input", tr.x)
			for _, p := range params.List {
				if p.Trainable {
					check(p.Name, p.Data)
				}
			}
		})
	}
}

// crossesKinks reports whether a step can carry values across a kink that awayFromKinks cannot keep them from, a ReLU
// behind another layer; or whether dropout draws a new mask for each pass.
func crossesKinks(ops []arch.Op) bool {
	for i, op := range ops {
		switch op.(type) {
		case arch.ReLU:
			if i > 0 {
				return true
			}
		case arch.Dropout:
			return true
		}
	}
	return false
}

// awayFromKinks moves values so that no step below 1/16 takes one through 0, for ReLU, or past another, for max
// pooling.
func awayFromKinks(x []float32, first arch.Op, rng *rand.Rand) []float32 {
	switch first.(type) {
	case arch.ReLU:
		for i, v := range x {
			x[i] = v + float32(math.Copysign(1.0/16, float64(v)))
		}
	case arch.MaxPool:
		for i, rank := range rng.Perm(len(x)) {
			x[i] = float32(rank) / 8
		}
	}
	return x
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}
