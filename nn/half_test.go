package nn_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// halfParams are the parameters of params, its fully connected layers' weights in 16 bits.
func halfParams(t testing.TB, net *arch.Network, params *nn.Params) *nn.Params {
	t.Helper()
	half := nn.NewHalfParams(archtest.Place(t, net))
	if err := half.Load(func(p arch.Param) ([]float32, error) { return params.Get(p.Name).Data, nil }); err != nil {
		t.Fatal(err)
	}
	return half
}

// widened are the parameters of half in float32.
func widened(t testing.TB, net *arch.Network, half *nn.Params) *nn.Params {
	t.Helper()
	wide := nn.NewParams(archtest.Place(t, net))
	err := wide.Load(func(p arch.Param) ([]float32, error) {
		values := make([]float32, p.Count())
		half.Get(p.Name).Values(values, 0)
		return values, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return wide
}

// TestHalfAgainstFloat64 holds one fully connected layer to its equation in float64. Of K products with weights that
// were rounded by δ ≤ 2⁻¹¹|w|, or where these are subnormal 2⁻²⁵, the sum is off by no more than
//
//	Σ|x|·max(2⁻¹¹|w|, 2⁻²⁵) + γ(K+1)·(Σ|x·w|·(1+2⁻¹⁰) + |b|)
func TestHalfAgainstFloat64(t *testing.T) {
	const images, inputs, outputs = 5, 3 * 7 * 11, 37
	net := &arch.Network{Name: "fc", Input: arch.Shape{C: 3, H: 7, W: 11}, Layers: []arch.Layer{
		{Name: "flatten", Op: arch.Flatten{}}, {Name: "fc", Op: arch.Linear{Out: outputs}}}}
	for _, scale := range []float32{1, 1e-3, 1e-5, 1e-7, 1e4} { // of which some are subnormal, then most, then all
		params := newParams(t, net, nn.He)
		w, b := params.Get("fc/w").Data, params.Get("fc/b").Data
		for i := range w {
			w[i] *= scale
		}
		for i := range b {
			b[i] = scale * float32(i%5)
		}
		half := halfParams(t, net, params)
		x := noise(8, images, net.Input)
		for _, set := range sets() {
			plan := compile(t, net, half, nn.Options{Batch: images, Set: set.Name, Half: nn.HalfLinear})
			for _, n := range []int{1, 2, images} {
				got := forward(t, plan, x.Images(0, n))
				for at, y := range got {
					row, image := w[at%outputs*inputs:][:inputs], x.Data[at/outputs*inputs:]
					want, rounded := float64(b[at%outputs]), 0.0
					magnitude := math.Abs(want)
					for k, w := range row {
						product := float64(w) * float64(image[k])
						want += product
						magnitude += math.Abs(product) * (1 + 0x1p-10)
						rounded += math.Abs(float64(image[k])) * max(0x1p-11*math.Abs(float64(w)), 0x1p-25)
					}
					const ku = (inputs + 1) * 0x1p-24
					if off := math.Abs(float64(y) - want); !(off <= rounded+ku/(1-ku)*magnitude) {
						t.Fatalf("weights of %g, %s, %d images: output %d is %v, want %v: off by %.3g", scale, set, n, at, y, want, off)
					}
				}
			}
		}
	}
}

// TestHalfBits: logits and the images' gradient have the bits of a plan with float32 weights of the same values, for
// any number of threads and of images. With convolutions' weights in 16 bits too that is so by the definition and where
// no batch norm is folded in; by Winograd's algorithm what was transformed is rounded.
func TestHalfBits(t *testing.T) {
	net := everything()
	half := halfParams(t, net, newParams(t, net, nn.He))
	wide := widened(t, net, half)
	x := noise(1, 5, net.Input)
	run := func(params *nn.Params, opt nn.Options) []float32 {
		opt.Batch, opt.InputGrad, opt.KeepProb = 5, true, 1
		plan := compile(t, net, params, opt)
		all := forward(t, plan, x)
		grad := tensor.New(5, plan.Logits().C, 1, 1)
		nn.L2(plan.Logits(), grad)
		if err := plan.Backward(grad); err != nil {
			t.Fatal(err)
		}
		dx, err := plan.ImageGrad()
		if err != nil {
			t.Fatal(err)
		}
		return append(append(all, dx.Data...), forward(t, plan, x.Images(0, 1))...)
	}
	for _, set := range sets() {
		for _, threads := range threadCounts() {
			want := run(wide, nn.Options{Set: set.Name, Threads: threads})
			if !sameBits(run(half, nn.Options{Set: set.Name, Threads: threads, Half: nn.HalfLinear}), want) {
				t.Errorf("%s, %d threads: other bits than of float32 weights with the same values", set, threads)
			}
		}
		for _, algo := range nn.Algos() {
			var want []float32
			for _, threads := range threadCounts() {
				got := run(half, nn.Options{Set: set.Name, Algo: algo, Threads: threads, Half: nn.HalfAll})
				if want != nil && !sameBits(got, want) {
					t.Errorf("%s, %s, %d threads: other bits than with fewer", set, algo, threads)
				}
				want = got
			}
			exact := run(wide, nn.Options{Set: set.Name, Algo: algo})
			var wants []float64
			for _, y := range exact {
				wants = append(wants, float64(y))
			}
			if off := offBy(want, wants); !(off > 0 && off < 0.1) { // F(6x6) 0.04, the others a tenth of that
				t.Errorf("%s, %s: %.3g off the logits and gradients of weights in 32 bits", set, algo, off)
			}
		}
		net := named("plain", arch.Shape{C: 3, H: 9, W: 10}, arch.Conv{Out: 20, Window: window(3, 3, 1, 1, arch.Pad(1))},
			arch.ReLU{}, arch.Conv{Out: 33, Window: window(3, 3, 1, 1, arch.Pad(1)), Groups: 1}, arch.Flatten{},
			arch.Linear{Out: 7})
		params := newParams(t, net, nn.He)
		rounded := widened(t, net, halfParams(t, net, params))
		for _, p := range rounded.List {
			if p.Role() == "w" {
				bits := make([]uint16, p.Count())
				set.Narrow(bits, p.Data)
				set.Widen(p.Data, tensor.Halves{Bits: bits})
			}
		}
		x := noise(3, 2, net.Input)
		opt := nn.Options{Batch: 2, Set: set.Name, Algo: nn.Direct, InputGrad: true}
		want := forward(t, compile(t, net, rounded, opt), x)
		opt.Half = nn.HalfAll
		if !sameBits(forward(t, compile(t, net, halfParams(t, net, params), opt), x), want) {
			t.Errorf("%s: by the definition, other bits than of float32 weights with the same values", set)
		}
	}
}

// stored is a Source that has weights in 16 bits where brain says in which.
type stored struct {
	*nn.Params
	brain map[string]bool
	back  map[string]bool // given back
}

func (s stored) Param(p arch.Param) ([]float32, error) { return s.Get(p.Name).Data, nil }
func (s stored) GiveBack(p arch.Param)                 { s.back[p.Name] = true }

func (s stored) Halves(p arch.Param) (h tensor.Halves, ok bool) {
	if h.Brain, ok = s.brain[p.Name]; !ok {
		return h, false
	}
	for _, x := range s.Get(p.Name).Data {
		bits := []uint16{uint16(math.Float32bits(x) >> 16)}
		if !h.Brain {
			kernel.Sets()[0].Narrow(bits, []float32{x})
		}
		h.Bits = append(h.Bits, bits...)
	}
	return h, true
}

// TestHalfFromFile: what a file has in 16 bits is taken as it is; the rest is rounded to float16, and its memory given
// back.
func TestHalfFromFile(t *testing.T) {
	net := everything()
	params := newParams(t, net, nn.He)
	source := stored{params, map[string]bool{"conv1_1/w": false, "fc3/w": true}, map[string]bool{}}
	half := nn.NewHalfParams(archtest.Place(t, net))
	for range 2 { // the second time over what the first has left
		if err := half.LoadFrom(source); err != nil {
			t.Fatal(err)
		}
	}
	fc3, fc4 := half.Get("fc3/w"), half.Get("fc4/w")
	if !fc3.Half.Brain || fc4.Half.Brain || fc4.Half.Bits == nil || half.Get("conv1_1/w").Half.Bits != nil {
		t.Error("not fc3 alone is bfloat16, or not fc4 float16, or a convolution is in 16 bits")
	}
	if !source.back["fc4/w"] || len(source.back) != 1 || half.Rounded() != 2*int64(fc4.Count()) {
		t.Errorf("given back are %v, and %d bytes were made: want fc4's weights", source.back, half.Rounded())
	}
	x := noise(1, 1, net.Input)
	want := forward(t, compile(t, net, widened(t, net, half), nn.Options{Batch: 1}), x)
	if !sameBits(forward(t, compile(t, net, half, nn.Options{Batch: 1, Half: nn.HalfLinear}), x), want) {
		t.Error("other bits than of float32 weights with the same values")
	}
	if !source.back["conv1_1/w"] || source.back["fc3/w"] {
		t.Errorf("given back are %v: want convolutions' weights, once they are packed, and not fc3's", source.back)
	}
	if err := half.Load(source.Param); err != nil { // over what was mapped
		t.Fatal(err)
	}
	if fc3.Half.Brain || half.Rounded() != 2*int64(fc3.Count()+fc4.Count()) {
		t.Error("fc3 is still the file's")
	}
}

// TestHalfRefused: what cannot be kept as float16 is an error that says so, and so is what would not be.
func TestHalfRefused(t *testing.T) {
	net := everything()
	placed := archtest.Place(t, net)
	params := newParams(t, net, nn.He)
	half := halfParams(t, net, params)
	for _, c := range []struct {
		value float32
		fits  bool
	}{{65519, true}, {65520, false}, {-1e38, false}, {float32(math.Inf(1)), true}} {
		w := params.Get("fc4/w").Data
		w[len(w)-1] = c.value
		err := half.Load(func(p arch.Param) ([]float32, error) { return params.Get(p.Name).Data, nil })
		var beyond *nn.HalfError
		if errors.As(err, &beyond) == c.fits || !c.fits && (beyond.Param != "fc4/w" || beyond.Value != c.value) {
			t.Errorf("%v: %v", c.value, err)
		}
	}
	for name, run := range map[string]func() error{
		"training":                 func() error { _, err := nn.Compile(placed, half, halfOptions(true)); return err },
		"training, predicted":      func() error { _, _, err := nn.Predict(placed, halfOptions(true)); return err },
		"float32 parameters":       func() error { _, err := nn.Compile(placed, params, halfOptions(false)); return err },
		"half parameters, unasked": func() error { _, err := nn.Compile(placed, half, nn.Options{Batch: 1}); return err },
	} {
		if err := run(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for algo, value := range map[nn.Algo]float32{nn.Direct: 65520, nn.Winograd4: 1e7, nn.Winograd6: -1e7} {
		beyond := halfParams(t, net, newParams(t, net, nn.He))
		beyond.Get("conv1_2/w").Data[40] = value
		for range 2 { // what was not packed is packed by no other plan
			_, err := nn.Compile(placed, beyond, nn.Options{Batch: 1, Algo: algo, Half: nn.HalfAll})
			var e *nn.HalfError
			if !errors.As(err, &e) || e.Param != "conv1_2/w" {
				t.Errorf("%s: a convolution's weight of %v: %v", algo, value, err)
			}
		}
	}
	if _, err := nn.ParseHalf("quarter"); err == nil {
		t.Error("quarter is said to be a way to keep weights")
	}
}

func halfOptions(training bool) nn.Options {
	return nn.Options{Batch: 1, Half: nn.HalfLinear, Training: training}
}

// TestHalfMemory: what is predicted is what a plan works with, and 2 bytes less for each weight of a fully connected
// layer, and where all are in 16 bits for each packed one.
func TestHalfMemory(t *testing.T) {
	net, err := arch.Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	placed := archtest.Place(t, net)
	for _, half := range []nn.Half{nn.HalfLinear, nn.HalfAll} {
		// By algorithms that are asked for: those that are quickest may be others where weights are fewer bytes.
		opt := nn.Options{Batch: 2, Algo: nn.Winograd4}
		want, _, err := nn.Predict(placed, opt)
		if err != nil {
			t.Fatal(err)
		}
		opt.Half = half
		predicted, _, err := nn.Predict(placed, opt)
		if err != nil {
			t.Fatal(err)
		}
		plan := compile(t, net, nn.NewHalfParams(placed), opt)
		want.Weights -= 2 * (25088*4096 + 4096*4096 + 4096*1000)
		if half == nn.HalfAll {
			want.Packing /= 2
		}
		if predicted != want || plan.Memory() != want {
			t.Errorf("%s: predicted %+v, the plan %+v, want %+v", half, predicted, plan.Memory(), want)
		}
	}
}

// halfContract is how far VGG-16's logits with weights in 16 bits may be from those in float32:
// ‖y − y₃₂‖/‖y₃₂‖.
// Algorithms that are not chosen are looked at by the quickest kernel set alone.
var halfContract = []struct {
	half nn.Half
	algo nn.Algo
	most float64
}{
	{nn.HalfLinear, nn.Auto, 1e-3}, {nn.HalfAll, nn.Auto, 1.5e-2},
	{nn.HalfAll, nn.Direct, 1.5e-3}, {nn.HalfAll, nn.Winograd2, 1.5e-3}, {nn.HalfAll, nn.Winograd4, 5e-3},
	{nn.HalfAll, nn.Winograd6, 1.5e-2},
}

// TestHalfVGG16 holds the contract for two photographs, with weights by He et al.
func TestHalfVGG16(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: no photograph goes through VGG-16")
	}
	if testing.Short() {
		t.Skip("VGG-16 takes seconds, and a minute on portable kernels")
	}
	net, err := arch.Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	params := newParams(t, net, nn.He)
	x := photographs(t, root, net.Input, "caffe-cat.jpg", "owl.jpg")
	half := halfParams(t, net, params)
	for i, set := range sets() {
		x := x
		if set.Name == "generic" { // which takes 20 s for each
			x = x.Images(0, 1)
		}
		exact := forward(t, compile(t, net, params, nn.Options{Batch: x.N, Set: set.Name}), x)
		for _, c := range halfContract {
			if i > 0 && c.algo != nn.Auto {
				continue
			}
			got := forward(t, compile(t, net, half, nn.Options{Batch: x.N, Set: set.Name, Half: c.half, Algo: c.algo}), x)
			classes := len(got) / x.N
			for n := range x.N {
				var want []float64
				for _, y := range exact[n*classes:][:classes] {
					want = append(want, float64(y))
				}
				name := fmt.Sprintf("%s, half %s, %s, photograph %d", set, c.half, c.algo, n)
				if err := within(c.most, name, got[n*classes:][:classes], want); err != nil {
					t.Error(err)
				}
				t.Logf("%s: %.2g", name, offBy(got[n*classes:][:classes], want))
			}
		}
	}
}
