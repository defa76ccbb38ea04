package reference_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vggo/vggo/arch/archtest"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn/internal/golden"
	"github.com/vggo/vggo/nn/reference"
)

func window(kernel, stride, dilation arch.Size, pad arch.Padding) arch.Window {
	return arch.Window{Kernel: kernel, Stride: stride, Dilation: dilation, Pad: pad}
}

func ceil(w arch.Window) arch.Window {
	w.Ceil = true
	return w
}

// TestFiniteDifferences holds every layer's backward against (L(v+h) − L(v−h))/2h of its forward, for every value v
// of the input and of the parameters, L being a random weighting of the output. The difference quotient is off by
// O(h²) and by rounding, O(2⁻⁵³·L/h); h = 1e-5 keeps both near 1e-10.
func TestFiniteDifferences(t *testing.T) {
	one, uneven := arch.Size{}, arch.Padding{Top: 2, Left: 0, Bottom: 1, Right: 3}
	same, valid := arch.Padding{Mode: arch.Same}, arch.Padding{Mode: arch.Valid}
	odd := arch.Shape{C: 5, H: 6, W: 4}
	tests := []struct {
		name     string
		input    arch.Shape
		op       arch.Op
		training bool
	}{
		{"conv 3x3", odd, arch.Conv{Out: 6, Window: window(arch.Square(3), one, one, arch.Pad(1))}, false},
		{"conv uneven padding", odd, arch.Conv{Out: 2, Window: window(arch.Size{H: 2, W: 3}, one, one, uneven)}, false},
		{"conv same, even kernel", odd, arch.Conv{Out: 3, Window: window(arch.Size{H: 4, W: 2}, one, one, same)}, false},
		{"conv same, stride", odd, arch.Conv{Out: 3, Window: window(arch.Size{H: 2, W: 3}, arch.Size{H: 3, W: 2}, one, same)},
			false},
		{"conv valid, dilation", odd, arch.Conv{Out: 3, Window: window(arch.Square(2), one, arch.Size{H: 3, W: 2}, valid)},
			false},
		{"conv stride, dilation, padding", odd, arch.Conv{Out: 2, Window: window(arch.Square(3), arch.Size{H: 1, W: 2},
			arch.Size{H: 2, W: 1}, uneven)}, false},
		{"conv 1x1 without bias", odd, arch.Conv{Out: 3, Window: window(arch.Square(1), one, one, arch.Pad(0)), NoBias: true},
			false},
		{"conv groups", arch.Shape{C: 6, H: 4, W: 5}, arch.Conv{Out: 9, Window: window(arch.Square(3), one, one, arch.Pad(1)),
			Groups: 3}, false},
		{"conv depthwise", odd, arch.Conv{Out: 5, Window: window(arch.Square(3), arch.Square(2), one, arch.Pad(2)),
			Groups: 5}, false},
		{"relu", odd, arch.ReLU{}, false},
		{"max pool 2x2", odd, arch.MaxPool{Window: window(arch.Square(2), arch.Square(2), one, arch.Pad(0))}, false},
		{"max pool overlapping, ceil", odd,
			arch.MaxPool{Window: ceil(window(arch.Square(3), arch.Square(2), one, arch.Pad(1)))}, false},
		{"max pool dilated, uneven", odd, arch.MaxPool{Window: window(arch.Size{H: 2, W: 3}, one, arch.Size{H: 2, W: 1},
			arch.Padding{Top: 1, Bottom: 2, Left: 2})}, false},
		{"avg pool", odd, arch.AvgPool{Window: window(arch.Size{H: 3, W: 2}, arch.Size{H: 2, W: 1}, one, arch.Pad(1))},
			false},
		{"avg pool counting padding", odd,
			arch.AvgPool{Window: ceil(window(arch.Square(3), arch.Square(2), one, arch.Padding{Top: 2, Right: 1})),
				CountPad: true}, false},
		{"avg pool with dilation", odd, arch.AvgPool{Window: window(arch.Size{H: 3, W: 2}, arch.Size{H: 1, W: 2},
			arch.Size{H: 2, W: 3}, arch.Pad(1)), CountPad: true}, false},
		{"avg pool same", odd, arch.AvgPool{Window: window(arch.Square(3), arch.Size{H: 4, W: 3}, one, same)}, false},
		{"adaptive avg pool", odd, arch.AdaptiveAvgPool{Out: arch.Size{H: 4, W: 3}}, false},
		{"adaptive avg pool, upward", odd, arch.AdaptiveAvgPool{Out: arch.Size{H: 7, W: 5}}, false},
		{"global avg pool", odd, arch.GlobalAvgPool{}, false},
		{"lrn", odd, arch.LRN{Size: 3, Alpha: 0.7, Beta: 0.75, K: 2}, false},
		{"lrn even size", odd, arch.LRN{Size: 4, Alpha: 0.7, Beta: 1.5, K: 1}, false},
		{"lrn wider than the map", odd, arch.LRN{Size: 13, Alpha: 0.7, Beta: 0.75, K: 1}, false},
		{"batch norm", odd, arch.BatchNorm{}, false},
		{"batch norm in training", odd, arch.BatchNorm{Eps: 0.1, Momentum: 0.3}, true},
		{"flatten", odd, arch.Flatten{}, false},
		{"linear", arch.Shape{C: 13, H: 1, W: 1}, arch.Linear{Out: 7}, false},
		{"linear without bias", arch.Shape{C: 13, H: 1, W: 1}, arch.Linear{Out: 7, NoBias: true}, false},
		{"dropout", odd, arch.Dropout{Keep: 0.7}, false},
		{"dropout in training", odd, arch.Dropout{Keep: 0.7}, true},
		{"softmax", odd, arch.Softmax{}, false},
		{"sigmoid", odd, arch.Sigmoid{}, false},
		{"reflect pad", odd, arch.ReflectPad{Top: 1, Left: 1, Bottom: 1, Right: 1}, false},
		{"reflect pad, uneven", odd, arch.ReflectPad{Top: 5, Left: 0, Bottom: 2, Right: 3}, false},
	}
	const n, h, tolerance = 3, 1e-5, 1e-8
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// Something must follow a softmax, or its gradient would be taken at its input.
			network := &arch.Network{Name: tt.name, Layers: []arch.Layer{{Name: "it", Op: tt.op},
				{Name: "flatten", Op: arch.Flatten{}}}}
			rng := rand.New(rand.NewPCG(1, 2))
			layers, err := network.Place(tt.input)
			if err != nil {
				t.Fatal(err)
			}
			params := make(map[string][]float64)
			for _, p := range layers.Layers[0].Params {
				params[p.Name] = spread(rng, p.Count())
				if p.Name == "it/var" {
					for i, v := range params[p.Name] {
						params[p.Name][i] = v * v
					}
				}
			}
			net, err := reference.NewNet(archtest.PlaceOn(t, network, tt.input), params)
			if err != nil {
				t.Fatal(err)
			}
			x := spread(rng, n*tt.input.C*tt.input.H*tt.input.W)
			mask := make([]float64, len(x))
			for i := range mask {
				mask[i] = float64(rng.IntN(2))
			}
			net.Masks = map[string][]float64{"it": mask}
			out := layers.Layers[1].Out
			weighting := spread(rng, n*out.C)
			loss := func() float64 {
				if err := net.Forward(x, n, tt.training); err != nil {
					t.Fatal(err)
				}
				sum := 0.0
				for i, v := range net.Logits().Data {
					sum += weighting[i] * v
				}
				return sum
			}
			loss()
			grads, dx, err := net.Backward(weighting)
			if err != nil {
				t.Fatal(err)
			}
			check := func(name string, values, grad []float64) {
				numeric := make([]float64, len(values))
				for i, v := range values {
					values[i] = v + h
					up := loss()
					values[i] = v - h
					numeric[i] = (up - loss()) / (2 * h)
					values[i] = v
				}
				if e := golden.RelativeError(grad, numeric); !(e < tolerance) {
					t.Errorf("gradient of %s: relative error %.2g, want below %g", name, e, tolerance)
				}
			}
			check("input", x, dx)
			for _, p := range layers.Layers[0].Params {
				if p.Trainable {
					check(p.Name, params[p.Name], grads[p.Name])
				} else if grads[p.Name] != nil {
					t.Errorf("%s is a statistic, yet has a gradient", p.Name)
				}
			}
		})
	}
}

func TestLossFiniteDifferences(t *testing.T) {
	const h = 1e-5
	for name, loss := range map[string]func([]float64) (float64, []float64){
		"cross-entropy": func(x []float64) (float64, []float64) { return reference.CrossEntropy(x, []int{3, 0, 2}) },
		"smoothed cross-entropy": func(x []float64) (float64, []float64) {
			return reference.SmoothedCrossEntropy(x, []int{3, 0, 2}, 0.3)
		},
		"L2": reference.L2,
	} {
		x := spread(rand.New(rand.NewPCG(3, 4)), 3*5)
		_, dx := loss(x)
		numeric := make([]float64, len(x))
		for i, v := range x {
			x[i] = v + h
			up, _ := loss(x)
			x[i] = v - h
			down, _ := loss(x)
			x[i], numeric[i] = v, (up-down)/(2*h)
		}
		if e := golden.RelativeError(dx, numeric); !(e < 1e-8) {
			t.Errorf("%s: relative error %.2g of the gradient", name, e)
		}
	}
}

// TestNotANumber: PyTorch's rules. The expected values were read off torch 1.13.
func TestNotANumber(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	relu := arch.ReLU{}
	pool := arch.MaxPool{Window: window(arch.Size{H: 1, W: 3}, arch.Size{H: 1, W: 3}, arch.Size{}, arch.Pad(0))}
	tests := []struct {
		name  string
		op    arch.Op
		x     []float64
		y, dx []float64 // dx for dy = 1, 2, …
	}{
		{name: "relu", op: relu, x: []float64{nan, -inf, inf, 0, -1, 2}, y: []float64{nan, 0, inf, 0, 0, 2},
			dx: []float64{1, 0, 3, 0, 0, 6}},
		{name: "max pool, NaN wins", op: pool, x: []float64{1, nan, inf, -inf, -inf, -inf}, y: []float64{nan, -inf},
			dx: []float64{0, 1, 0, 2, 0, 0}},
		{name: "max pool, the last NaN", op: pool, x: []float64{nan, 5, nan, 7, 7, 3}, y: []float64{nan, 7},
			dx: []float64{0, 0, 1, 2, 0, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			network := &arch.Network{Name: tt.name, Layers: []arch.Layer{{Name: "it", Op: tt.op}}}
			net, err := reference.NewNet(archtest.PlaceOn(t, network, arch.Shape{C: 1, H: 1, W: len(tt.x)}), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := net.Forward(tt.x, 1, false); err != nil {
				t.Fatal(err)
			}
			dy := make([]float64, len(tt.y))
			for i := range dy {
				dy[i] = float64(i + 1)
			}
			_, dx, err := net.Backward(dy)
			if err != nil {
				t.Fatal(err)
			}
			if y := net.Logits().Data; !identical(y, tt.y) {
				t.Errorf("y = %v, want %v", y, tt.y)
			}
			if !identical(dx, tt.dx) {
				t.Errorf("dx = %v, want %v", dx, tt.dx)
			}
		})
	}
}

// spread is n values in random order, evenly spaced over (-1, 1): 2/n apart and none nearer to 0 than a quarter of
// that, so that a step of h crosses no kink of ReLU or max pooling.
func spread(rng *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i, k := range rng.Perm(n) {
		v[i] = (float64(k)+0.75)*2/float64(n) - 1
	}
	return v
}

func identical(a, b []float64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !(math.IsNaN(a[i]) && math.IsNaN(b[i])) {
			return false
		}
	}
	return true
}
