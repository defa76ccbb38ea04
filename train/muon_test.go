package train_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

// matrices is the network of scripts/gen_muon_goldens.py: weights of 30x18, 20x270, 20x20 and 7x180.
func matrices() *arch.Network {
	conv := func(out, kernel int) arch.Conv {
		return arch.Conv{Out: out, NoBias: true, Window: arch.Window{Kernel: arch.Square(kernel), Pad: arch.Pad(kernel / 2)}}
	}
	return &arch.Network{Name: "matrices", Input: arch.Shape{C: 2, H: 6, W: 6}, Layers: []arch.Layer{
		{Name: "conv1_1", Op: conv(30, 3)}, {Name: "bn1_1", Op: arch.BatchNorm{}}, {Name: "relu1_1", Op: arch.ReLU{}},
		{Name: "conv1_2", Op: conv(20, 3)}, {Name: "bn1_2", Op: arch.BatchNorm{}}, {Name: "relu1_2", Op: arch.ReLU{}},
		{Name: "pool1", Op: arch.MaxPool{Window: arch.Window{Kernel: arch.Square(2), Stride: arch.Square(2)}}},
		{Name: "conv2_1", Op: conv(20, 1)}, {Name: "bn2_1", Op: arch.BatchNorm{}}, {Name: "relu2_1", Op: arch.ReLU{}},
		{Name: "flatten", Op: arch.Flatten{}}, {Name: "fc3", Op: arch.Linear{Out: 7}}, {Name: "softmax", Op: arch.Softmax{}},
	}}
}

// muon is the recipe tiny by Muon, with plain SGD for the last layer and for what is no matrix.
func muon(r train.Recipe) train.Recipe {
	sgd, zero, tenth := "sgd", 0.0, 0.1
	r.Optimiser, r.Polyak = train.Optimise{Kind: "muon", Rate: 0.1, Momentum: 0.6, Nesterov: true, Decay: 1e-3}, 0
	r.Rules = []train.Rule{{Params: "*/[bg]*", Rate: &tenth, Momentum: &zero}, {Params: "fc4", Kind: &sgd, Rate: &tenth}}
	return r
}

// TestPyTorchMuon takes the ten steps of a PyTorch program, on matrices that are taller than wide, wide and square.
// Losses and final parameters may be off by 1e-4, in the Euclidean norm; a rule that is slightly another one is
// noticed.
func TestPyTorchMuon(t *testing.T) {
	values := goldens(t, "testdata/muon.safetensors")
	of := func(v float64) *float64 { return &v }
	sgd := "sgd"
	rules := []train.Rule{
		{Params: "bn*/*", Rate: of(1), Momentum: of(0.85), Decay: of(0.01)},
		{Params: "fc3/b", Rate: of(1), Momentum: of(0.85), Decay: of(0.01)},
		{Params: "fc3/w", Kind: &sgd, Rate: of(0.5), Momentum: of(0.85), Decay: of(0.02)},
	}
	without := func(i int) []train.Rule { return append(append([]train.Rule(nil), rules[:i]...), rules[i+1:]...) }
	byMuon := append(without(2), train.Rule{Params: "fc3/w", Rate: of(0.5)})
	nesterov := train.Optimise{Kind: "muon", Rate: 0.06, Momentum: 0.6, Nesterov: true}
	plain := train.Optimise{Kind: "muon", Rate: 0.05, Momentum: 0.8, Decay: 0.01}
	faster, heavier, other := nesterov, plain, nesterov
	faster.Rate, heavier.Momentum, other.Nesterov = 0.0601, 0.801, false
	for _, c := range []struct {
		golden   string
		optimise train.Optimise
		rules    []train.Rule
		right    bool
	}{
		{"nesterov", nesterov, rules, true},
		{"all", plain, nil, true},

		{"nesterov", faster, rules, false},
		{"nesterov", other, rules, false},
		{"nesterov", nesterov, without(0), false},
		{"nesterov", nesterov, byMuon, false},
		{"all", heavier, nil, false},
		{"all", plain, []train.Rule{{Params: "fc3/w", Kind: &sgd}}, false},
	} {
		t.Run(fmt.Sprintf("%s/%+v,rules=%d", c.golden, c.optimise, len(c.rules)), func(t *testing.T) {
			worst := descend(t, matrices(), values, c.golden, c.optimise, c.rules, 0)
			if (worst <= 1e-4) != c.right {
				t.Errorf("off by %.2g: that is within 1e-4: %v, want %v", worst, !c.right, c.right)
			}
		})
	}
}

// linears is a network of fully connected layers alone.
func linears(in int, out ...int) *arch.Network {
	net := &arch.Network{Name: fmt.Sprint(in, out), Input: arch.Shape{C: in, H: 1, W: 1},
		Layers: []arch.Layer{{Name: "flatten", Op: arch.Flatten{}}}}
	for i, n := range out {
		net.Layers = append(net.Layers, arch.Layer{Name: fmt.Sprintf("fc%d", i+1), Op: arch.Linear{Out: n}})
	}
	return net
}

// TestMuonStep holds a step against its formula in float64, for matrices that fill blocks of 16 and tiles of 64 and
// such that do not, each of them alone and behind a larger one. Of the distance moved, in the Euclidean norm, 1e-5 may
// be off: float32 rounds by 6e-8 of the largest singular value, and small ones grow by up to 3.4445³ = 41 times.
func TestMuonStep(t *testing.T) {
	for _, c := range []struct{ rows, columns int }{
		{1, 1}, {1, 40}, {40, 1}, {16, 64}, {17, 65}, {64, 16}, {65, 15}, {30, 270}, {270, 30}, {48, 48}, {100, 576},
	} {
		for _, net := range []*arch.Network{linears(c.columns, c.rows), linears(300, c.columns, c.rows)} {
			params := nn.NewParams(archtest.Place(t, net))
			params.Init(nn.He, 1)
			r := rand.New(rand.NewPCG(uint64(c.rows), uint64(c.columns)))
			for _, p := range params.List {
				p.Grad = make([]float32, p.Count())
				for i := range p.Grad {
					p.Grad[i] = float32(1e-3 * r.NormFloat64())
				}
			}
			w := params.List[len(params.List)-2]
			if w.Shape[0] != c.rows || w.Shape[1] != c.columns {
				t.Fatalf("%s is of %v", w.Name, w.Shape)
			}
			before := append([]float32(nil), w.Data...)
			optimiser, err := train.NewOptimiser(train.Optimise{Kind: "muon", Rate: 1}, nil, params, 2)
			if err != nil {
				t.Fatal(err)
			}
			optimiser.Step(0.25, 1, 0)
			norm := 0.0
			for _, v := range before {
				norm += float64(v) * float64(v)
			}
			var distance, moved float64
			for i, d := range orthogonal(w.Grad, c.rows, c.columns) {
				want := float64(before[i])*math.Sqrt(float64(c.rows)/norm) - 0.25*d
				distance += (float64(w.Data[i]) - want) * (float64(w.Data[i]) - want)
				moved += 0.25 * d * 0.25 * d
			}
			off := math.Sqrt(distance / moved)
			t.Logf("%s: %.2g", net.Name, off)
			if !(off <= 1e-5) {
				t.Errorf("%dx%d in %s is off by %.2g of the way", c.rows, c.columns, net.Name, off)
			}
		}
	}
}

// orthogonal is the formula as it stands.
func orthogonal(g []float32, rows, columns int) []float64 {
	x, n, m := make([]float64, len(g)), rows, columns // of n rows and m columns
	at := func(i, j int) int { return i*columns + j }
	if rows > columns {
		n, m = columns, rows
		at = func(i, j int) int { return j*columns + i }
	}
	norm := 0.0
	for _, v := range g {
		norm += float64(v) * float64(v)
	}
	for i, v := range g {
		x[i] = float64(v) / math.Sqrt(norm)
	}
	for range 3 {
		a := make([]float64, n*n)
		for i := range n {
			for j := range n {
				for k := range m {
					a[i*n+j] += x[at(i, k)] * x[at(j, k)]
				}
			}
		}
		next := make([]float64, len(x))
		for i := range n {
			for j := range n {
				b := -4.7750 * a[i*n+j]
				for k := range n {
					b += 2.0315 * a[i*n+k] * a[k*n+j]
				}
				if i == j {
					b += 3.4445
				}
				for k := range m {
					next[at(i, k)] += b * x[at(j, k)]
				}
			}
		}
		x = next
	}
	return x
}

// TestMuonOfNothing: weights without a gradient are brought to their norm and stay there, weights of zeros without one
// stay zeros.
func TestMuonOfNothing(t *testing.T) {
	params := nn.NewParams(archtest.Place(t, linears(3, 5, 2)))
	for _, p := range params.List {
		p.Grad = make([]float32, p.Count())
	}
	first, second := params.Get("fc1/w"), params.Get("fc2/w")
	first.Data[4] = 7
	optimiser, err := train.NewOptimiser(train.Optimise{Kind: "muon", Rate: 1, Momentum: 0.6}, nil, params, 1)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		optimiser.Step(1, 1, 0)
	}
	if got, want := first.Data[4], float32(math.Sqrt(5)); got != want {
		t.Errorf("7 of five rows becomes %v, want %v", got, want)
	}
	for i, v := range append(first.Data[:4:4], second.Data...) {
		if v != 0 {
			t.Errorf("0 number %d becomes %v", i, v)
		}
	}
}

// TestMuonOfLargePictures: where pictures are of 0 to 255 the first layer learns more slowly by SGD, and no other by
// Muon, whose steps have their own size.
func TestMuonOfLargePictures(t *testing.T) {
	sgd := "sgd"
	for _, c := range []struct {
		rules  []train.Rule
		slower bool
	}{
		{nil, false},
		{[]train.Rule{{Params: "conv1_1", Kind: &sgd}}, true},
	} {
		r := muon(tiny())
		r.Preprocess, r.Rules = vision.PreprocessParts{Base: "unit", Scale: 1}, c.rules
		trainer, err := train.New(train.Options{Recipe: r, Train: tinySet})
		if err != nil {
			t.Fatal(err)
		}
		if rate := train.RateOf(trainer, "conv1_1/w"); (rate < 1) != c.slower {
			t.Errorf("with rules %+v the first layer learns at %v of the rate", c.rules, rate)
		}
		if err := trainer.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStateBytes: what a run keeps beside its plans is foretold to the byte.
func TestStateBytes(t *testing.T) {
	recipes := variants()
	r := muon(tiny())
	r.Rates, r.Init.Whiten = map[string]float64{"fc3": 0}, true
	recipes["muon, partly frozen"] = r
	for name, recipe := range recipes {
		trainer, err := train.New(train.Options{Recipe: recipe, Train: tinySet})
		if err != nil {
			t.Fatal(err)
		}
		got, err := recipe.StateBytes(trainer.Placement())
		if err != nil {
			t.Fatal(err)
		}
		if kept := train.Kept(trainer); got != kept {
			t.Errorf("%s: %d bytes are foretold, %d are kept", name, got, kept)
		}
		if err := trainer.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMuonRules: what a rule asks for has an effect on something that it names, or is refused.
func TestMuonRules(t *testing.T) {
	params := nn.NewParams(archtest.Place(t, matrices()))
	byMuon, sgd, decay, none := "muon", "sgd", 0.1, 0.0
	for _, c := range []struct {
		rules []train.Rule
		want  string // empty: it is taken
	}{
		{[]train.Rule{{Params: "fc3/b", Kind: &byMuon}}, `rule 1: kind: "fc3/b" names no matrix`},
		{[]train.Rule{{Params: "fc3", Kind: &byMuon}}, ""},
		{[]train.Rule{{Params: "fc3/w", Decay: &decay}}, `rule 1: decay: "fc3/w" names only what learns by muon`},
		{[]train.Rule{{Params: "fc3/w", Decay: &none}}, ""},
		{[]train.Rule{{Params: "fc3", Decay: &decay}}, ""},
		{[]train.Rule{{Params: "fc3/w", Decay: &decay}, {Params: "fc3", Kind: &sgd}}, ""},
	} {
		_, err := train.NewOptimiser(train.Optimise{Kind: "muon", Rate: 0.1}, c.rules, params, 1)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: %v, want %q", c.rules[0].Params, err, c.want)
		}
	}
}

// TestOtherOptimiser: a run does not go on with what another optimiser has kept.
func TestOtherOptimiser(t *testing.T) {
	adamw := tiny()
	adamw.Optimiser = train.Optimise{Kind: "adamw", Rate: 1e-3, Momentum: 0.9}
	still := muon(tiny())
	still.Optimiser.Momentum, still.Optimiser.Nesterov = 0, false
	for _, c := range []struct {
		saved, claimed train.Recipe
		want           string
	}{
		{tiny(), muon(tiny()), "lacks optimiser/muon/conv1_1/w: another optimiser than its recipe's muon"},
		{muon(tiny()), tiny(), "lacks optimiser/first/conv1_1/w: another optimiser than its recipe's sgd"},
		{adamw, tiny(), "holds optimiser/second/conv1_1/w: another optimiser than its recipe's sgd"},
		{adamw, still, "holds optimiser/"},
	} {
		var claimed strings.Builder
		if err := c.claimed.Write(&claimed); err != nil {
			t.Fatal(err)
		}
		o, saved := savedAs(t, c.saved, func(notes map[string]string) { notes["vggo.train.recipe"] = claimed.String() })
		trainer, err := train.Resume(o, saved)
		if err == nil {
			trainer.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// BenchmarkMuon takes the steps of the recipe cifar10's matrices.
func BenchmarkMuon(b *testing.B) {
	recipe, err := train.OpenRecipe("cifar10")
	if err != nil {
		b.Fatal(err)
	}
	net, err := recipe.Network()
	if err != nil {
		b.Fatal(err)
	}
	params := nn.NewParams(archtest.Place(b, net))
	params.Init(nn.He, 1)
	r := rand.New(rand.NewPCG(1, 1))
	for _, p := range params.List {
		p.Grad = make([]float32, p.Count())
		for i := range p.Grad {
			p.Grad[i] = float32(1e-3 * r.NormFloat64())
		}
	}
	for _, o := range []train.Optimise{
		{Kind: "muon", Rate: 0.24, Momentum: 0.6, Nesterov: true}, {Kind: "sgd", Rate: 0.24, Momentum: 0.6, Nesterov: true},
	} {
		b.Run(o.Kind, func(b *testing.B) {
			optimiser, err := train.NewOptimiser(o, nil, params, 2)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				optimiser.Step(o.Rate, 1, 0)
			}
		})
	}
}
