package nn_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/nn/internal/golden"
	"github.com/vggo/vggo/tensor"
)

// plain copies a map to N,C,H,W order.
func plain(m nn.Map) []float32 {
	t := tensor.New(m.Images, m.Shape.C, m.Shape.H, m.Shape.W)
	for n := range m.Images {
		for c := range m.Shape.C {
			for y := range m.Shape.H {
				for x := range m.Shape.W {
					t.Data[((n*t.C+c)*t.H+y)*t.W+x] = m.Row(n, c/nn.Lanes, y)[x*nn.Lanes+c%nn.Lanes]
				}
			}
		}
	}
	return t.Data
}

// addPlain adds a tensor in N,C,H,W order to a map.
func addPlain(m nn.Map, t []float32) {
	for n := range m.Images {
		for c := range m.Shape.C {
			for y := range m.Shape.H {
				for x := range m.Shape.W {
					m.Row(n, c/nn.Lanes, y)[x*nn.Lanes+c%nn.Lanes] += t[((n*m.Shape.C+c)*m.Shape.H+y)*m.Shape.W+x]
				}
			}
		}
	}
}

// tapped are networks with the layers to tap: before, between and behind what is fused, over several stages, where the
// same map is tapped twice, and where it is overwritten otherwise.
func tapped(t *testing.T) []tappedTest {
	tests := []tappedTest{
		{everything(), 3, []string{"bn1_1", "relu1_2", "lrn1", "flatten", "drop3", "fc4"}},
		{everything(), 4, []string{"conv1_1", "pool1", "relu3", "fc3"}},
	}
	for _, tt := range staged(t) {
		var taps []string
		for _, l := range tt.net.Layers[:len(tt.net.Layers)-1] {
			if slices.Contains([]string{"relu", "conv", "flatten"}, l.Op.Kind()) {
				taps = append(taps, l.Name)
			}
		}
		tests = append(tests, tappedTest{tt.net, tt.batch, taps})
		for i, tap := range taps { // in turn, so that fusing goes on around it
			if i%3 == tt.batch%3 {
				tests = append(tests, tappedTest{tt.net, tt.batch, []string{tap}})
			}
		}
	}
	return tests
}

type tappedTest struct {
	net   *arch.Network
	batch int
	taps  []string
}

// TestTaps: tapped maps, and the logits, have the bits of a Plan that keeps every map by itself, whatever is staged
// around them, for any number of images and of threads; and Predict tells what the Plan takes.
func TestTaps(t *testing.T) {
	for _, tt := range tapped(t) {
		for _, c := range setsAndAlgos() {
			large := tt.net.Input.H > 30
			if large && c.set != sets()[0] || testing.Short() && (large || c.algo != nn.Winograd4) {
				continue // stages and fusing are the same with all sets
			}
			t.Run(fmt.Sprintf("%s/%s/%s", tt.net.Name, strings.Join(tt.taps, "+"), c), func(t *testing.T) {
				params := newParams(t, tt.net, nn.He)
				x := noise(1, tt.batch, tt.net.Input)
				options := nn.Options{Batch: tt.batch, Threads: 2, Set: c.set.Name, Algo: c.algo}
				whole := options
				whole.Keep, whole.Taps = true, tt.taps
				apart := compile(t, tt.net, params, whole)
				logits := forward(t, apart, x)
				for _, threads := range []int{1, 8} {
					options.Threads, options.Taps = threads, tt.taps
					plan := compile(t, tt.net, params, options)
					memory, _, err := nn.Predict(archtest.Place(t, tt.net), options)
					if err != nil || memory != plan.Memory() {
						t.Errorf("predicted %+v, %v, the plan takes %+v", memory, err, plan.Memory())
					}
					for n := tt.batch; n > 0; n -= 2 {
						got := forward(t, plan, x.Images(0, n))
						if !sameBits(got, logits[:len(got)]) {
							t.Errorf("%d threads, %d images: other logits than with every map kept", threads, n)
						}
						for _, tap := range tt.taps {
							m, err := plan.Tap(tap)
							if err != nil {
								t.Fatal(err)
							}
							want, err := apart.Activation(tap)
							if err != nil {
								t.Fatal(err)
							}
							if got := plain(m); m.Images != n || !sameBits(got, want.Data[:len(got)]) {
								t.Errorf("%d threads, %d images: %s has other bits than kept by itself", threads, n, tap)
							}
						}
					}
				}
			})
		}
	}
}

// TestTapGradients holds outputs and gradients from several taps at once to the float64 reference, in use and in
// training, and asks for the same bits of 1 thread and of 8.
func TestTapGradients(t *testing.T) {
	conv := func(out int) arch.Op { return arch.Conv{Out: out, Window: window(3, 3, 1, 1, arch.Pad(1))} }
	pool := arch.MaxPool{Window: window(2, 2, 2, 1, arch.Pad(0))}
	for i, tt := range []struct {
		taps []string
		ops  []arch.Op
	}{
		{[]string{"relu2", "relu5", "conv7"}, []arch.Op{conv(19), arch.ReLU{}, pool, conv(18), arch.ReLU{}, pool, conv(33),
			arch.ReLU{}, arch.Flatten{}, arch.Linear{Out: 7}}},
		{[]string{"relu8", "conv1"}, []arch.Op{conv(19), arch.ReLU{}, arch.L2Pool{}, conv(18), arch.ReLU{}, arch.L2Pool{},
			conv(33), arch.ReLU{}, conv(5)}},
		{[]string{"flatten1", "batchnorm4", "linear7"}, []arch.Op{arch.Flatten{}, arch.Dropout{Keep: 1}, arch.Linear{Out: 40},
			arch.BatchNorm{}, arch.ReLU{}, arch.Dropout{Keep: 1}, arch.Linear{Out: 3}}},
		{[]string{"relu2", "dropout3"}, []arch.Op{arch.Linear{Out: 40}, arch.ReLU{}, arch.Dropout{Keep: 1},
			arch.Linear{Out: 3}}},
	} {
		input := arch.Shape{C: 5, H: 14, W: 11}
		if _, ok := tt.ops[0].(arch.Linear); ok {
			input = arch.Shape{C: 23, H: 1, W: 1}
		}
		tr := newTrial(t, uint64(i), input, 3, tt.ops...)
		params := map[string][]float64{}
		for name, v := range tr.params {
			params[name] = golden.Widen(v)
		}
		for _, training := range []bool{false, true} {
			net, err := golden.NewReference(archtest.Place(t, tr.network), params)
			if err != nil {
				t.Fatal(err)
			}
			net.Masks = map[string][]float64{}
			for _, l := range net.Layers {
				if l.Op.Kind() == "dropout" { // which keeps all
					net.Masks[l.Name] = slices.Repeat([]float64{1}, tr.n*l.Out.C*l.Out.H*l.Out.W)
				}
			}
			if err := net.Forward(golden.Widen(tr.x), tr.n, training); err != nil {
				t.Fatal(err)
			}
			seeds, wide := map[string][]float32{}, map[string][]float64{}
			r := rand.New(rand.NewPCG(3, 3))
			for _, tap := range tt.taps {
				y, err := net.Activation(tap)
				if err != nil {
					t.Fatal(err)
				}
				for range y.Data {
					seeds[tap] = append(seeds[tap], float32(r.NormFloat64()))
				}
				wide[tap] = golden.Widen(seeds[tap])
			}
			grads, dx, err := net.BackwardFrom(wide)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range setsAndAlgos() {
				tr.set, tr.algo, tr.training = c.set, c.algo, training
				bounds := tr.bounds(t)
				var bits []float32
				for _, threads := range []int{1, 8} {
					own := newParams(t, tr.network, nn.He)
					for _, p := range own.List {
						copy(p.Data, tr.params[p.Name])
					}
					plan := compile(t, tr.network, own, nn.Options{Batch: 4, Training: training, InputGrad: true, Taps: tt.taps,
						Set: c.set.Name, Algo: c.algo, Threads: threads})
					x := &tensor.Tensor{N: tr.n, C: input.C, H: input.H, W: input.W, Data: tr.x}
					forward(t, plan, x)
					seen := 0
					for range 2 { // the second adds to nothing of the first
						err = plan.BackwardFrom(func(layer string, output, gradient nn.Map) error {
							seen++
							want, err := net.Activation(layer)
							if err != nil {
								return err
							}
							if e := golden.RelativeError(golden.Widen(plain(output)), want.Data); !(e <= bounds["act/"+layer]) {
								t.Errorf("%s, training=%v: %s is off by %.3g, allowed %.3g", c, training, layer, e, bounds["act/"+layer])
							}
							addPlain(gradient, seeds[layer])
							return nil
						})
						if err != nil {
							t.Fatal(err)
						}
					}
					if seen != 2*len(tt.taps) {
						t.Errorf("%s: %d taps were asked about", c, seen)
					}
					images, err := plan.ImageGrad()
					if err != nil {
						t.Fatal(err)
					}
					got := slices.Clone(images.Data)
					if e := golden.RelativeError(golden.Widen(got), dx); !(e <= bounds["grad/input"]) {
						t.Errorf("%s, training=%v: the images' gradient is off by %.3g, allowed %.3g", c, training, e,
							bounds["grad/input"])
					}
					for _, p := range own.List {
						if !training || !p.Trainable || golden.Cancels(tr.network, "grad/"+p.Name) {
							continue
						}
						got = append(got, p.Grad...)
						want := grads[p.Name]
						e := golden.Distance(golden.Widen(p.Grad), want)
						if !(e <= bounds["grad/"+p.Name]*golden.Norm(want)) {
							t.Errorf("%s: the gradient of %s is off by %.3g of %.3g", c, p.Name, e, golden.Norm(want))
						}
					}
					if bits == nil {
						bits = got
					} else if !sameBits(got, bits) {
						t.Errorf("%s, training=%v: 8 threads give other bits than 1", c, training)
					}
				}
			}
		}
	}
}

// TestTapFiniteDifferences holds the reference's gradient from several taps to difference quotients of what the taps
// weigh together, in float64, where the quotient's own error is its step's square.
func TestTapFiniteDifferences(t *testing.T) {
	conv := func(out int) arch.Op { return arch.Conv{Out: out, Window: window(3, 3, 1, 1, arch.Pad(1))} }
	tr := newTrial(t, 1, arch.Shape{C: 3, H: 9, W: 8}, 2, conv(6), arch.LRN{Size: 3, Alpha: 1, Beta: 0.75, K: 2},
		arch.L2Pool{}, conv(5), arch.Sigmoid{}, arch.L2Pool{}, conv(4))
	params := map[string][]float64{}
	for name, v := range tr.params {
		params[name] = golden.Widen(v)
	}
	net, err := golden.NewReference(archtest.Place(t, tr.network), params)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 5))
	seeds := map[string][]float64{}
	loss := func(x []float64) (sum float64) {
		if err := net.Forward(x, tr.n, false); err != nil {
			t.Fatal(err)
		}
		for _, tap := range []string{"lrn2", "sigmoid5", "conv7"} {
			y, err := net.Activation(tap)
			if err != nil {
				t.Fatal(err)
			}
			for len(seeds[tap]) < len(y.Data) {
				seeds[tap] = append(seeds[tap], r.NormFloat64())
			}
			sum += dot(seeds[tap], y.Data)
		}
		return sum
	}
	x := golden.Widen(tr.x)
	loss(x)
	_, dx, err := net.BackwardFrom(seeds)
	if err != nil {
		t.Fatal(err)
	}
	const h = 1e-5
	for range 5 {
		up, down, want := slices.Clone(x), slices.Clone(x), 0.0
		for i := range x {
			d := r.NormFloat64()
			up[i], down[i], want = x[i]+h*d, x[i]-h*d, want+dx[i]*d
		}
		if got := (loss(up) - loss(down)) / (2 * h); math.Abs(got-want) > 1e-7*golden.Norm(dx)*math.Sqrt(float64(len(x))) {
			t.Errorf("the gradient says %.10g, the difference quotient %.10g", want, got)
		}
	}
}

// TestTapMemory: each tapped map of VGG-16 has room for the batch, and what takes turns in the arenas is what is not
// tapped: of conv1 one image, between its two convolutions; and no pooling of what is tapped is fused.
func TestTapMemory(t *testing.T) {
	net := archtest.Place(t, mustBuiltin(t, "vgg16"))
	features, err := net.Until("relu5_3")
	if err != nil {
		t.Fatal(err)
	}
	options := nn.Options{Batch: 2, Taps: []string{"relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"}}
	memory, groups, err := nn.Predict(features, options)
	if err != nil {
		t.Fatal(err)
	}
	kept := 2 * (224*224*64 + 112*112*128 + 56*56*256 + 28*28*512 + 14*14*512)
	// conv1_1 of one image; pool1, conv2_1 and all behind of both.
	arenas := 224*224*64 + 2*112*112*(64+128)
	if want := int64(4 * (kept + arenas)); memory.Activations != want {
		t.Errorf("activations of %d bytes, want %d", memory.Activations, want)
	}
	if len(groups) != 13+4 {
		t.Errorf("%d steps: poolings of what is tapped are fused", len(groups))
	}
}

func mustBuiltin(t *testing.T, name string) *arch.Network {
	t.Helper()
	net, err := arch.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	return net
}

func TestWrongTaps(t *testing.T) {
	net := everything()
	params := newParams(t, net, nn.He)
	compileWith := func(taps ...string) error {
		_, err := nn.Compile(archtest.Place(t, net), params, nn.Options{Batch: 1, Taps: taps})
		return err
	}
	plan := compile(t, net, params, nn.Options{Batch: 1, InputGrad: true, Taps: []string{"relu1_1", "relu3"}})
	untapped := compile(t, net, params, nn.Options{Batch: 1, InputGrad: true})
	use := compile(t, net, params, nn.Options{Batch: 1, Taps: []string{"relu1_1"}})
	nothing := func(string, nn.Map, nn.Map) error { return nil }
	stop := errors.New("stop")
	x := noise(1, 1, net.Input)
	for _, c := range []struct {
		name string
		do   func() error
		want string
	}{
		{"no such layer", func() error { return compileWith("relu9_9") }, `no layer "relu9_9"`},
		{"behind the logits", func() error { return compileWith("softmax") }, "no output of softmax to tap"},
		{"before forward", func() error { _, err := plan.Tap("relu1_1"); return err }, "before forward"},
		{"backward before forward", func() error { return plan.BackwardFrom(nothing) }, "before forward"},
		{"not tapped", func() error { forward(t, plan, x); _, err := plan.Tap("pool1"); return err }, "Options.Taps"},
		{"without gradients", func() error { return use.BackwardFrom(nothing) }, "not for training"},
		{"without taps", func() error { forward(t, untapped, x); return untapped.BackwardFrom(nothing) }, "Options.Taps"},
		{"the caller's", func() error {
			return plan.BackwardFrom(func(string, nn.Map, nn.Map) error { return stop })
		}, "stop"},
	} {
		if err := c.do(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", c.name, err, c.want)
		}
	}
}
