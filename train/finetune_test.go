package train_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

// golden is a data set of a golden file's pictures.
type golden struct {
	pictures []*vision.Picture
	labels   []int
}

func (g golden) Len() int                               { return len(g.labels) }
func (g golden) Label(i int) int                        { return g.labels[i] }
func (g golden) Picture(i int) (*vision.Picture, error) { return g.pictures[i], nil }

// TestPyTorchFinetune: a run with frozen layers ends with the weights of PyTorch's with requires_grad=False and batch
// norm in eval mode there, to 1e-5 in the Euclidean norm; frozen ones, statistics too, as they began. A batch is all
// pictures, so that their order does not matter but in rounding.
func TestPyTorchFinetune(t *testing.T) {
	values := goldens(t, "testdata/finetune.safetensors")
	net := network()
	var data golden
	size := net.Input.C * net.Input.H * net.Input.W
	pixels := values("pictures")
	for i, label := range values("labels") {
		p := vision.NewPicture(net.Input.W, net.Input.H, net.Input.C)
		for k, v := range pixels[i*size:][:size] {
			p.Pix[k] = uint8(v)
		}
		data.pictures, data.labels = append(data.pictures, p), append(data.labels, int(label))
	}
	recipe := train.Recipe{Name: "golden", Preprocess: vision.PreprocessParts{Base: "unit"}, Epochs: 10, Batch: 8, Seed: 1,
		Init:      train.Init{Kind: "he"},
		Optimiser: train.Optimise{Kind: "sgd", Rate: 0.02, Momentum: 0.9, Decay: 5e-4},
		Schedule:  train.Schedule{Kind: "constant"}}
	heavy := train.ClassWeights{Of: map[string]float64{}}
	for c := range 7 {
		heavy.Of[fmt.Sprint(c)] = 0.5 + 0.25*float64(c)
	}
	five := 5.0
	for _, c := range []struct {
		name    string
		change  func(*train.Recipe)
		learned bool // block 1 does, in the end
	}{
		{"frozen", func(r *train.Recipe) { r.Rates = map[string]float64{"block1": 0} }, false},
		{"slower", func(r *train.Recipe) { r.Rates = map[string]float64{"block1": 0, "conv2_1": 0.1} }, false},
		{"weighted", func(r *train.Recipe) { r.Rates, r.ClassWeights = map[string]float64{"block1": 0}, heavy }, false},
		{"unfrozen", func(r *train.Recipe) {
			r.Rules = []train.Rule{{Params: "*1_*", From: &five}}
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := recipe
			c.change(&r)
			trainer, err := train.New(train.Options{Recipe: r, Network: net, Train: data, Threads: 2,
				Folder: filepath.Join(t.TempDir(), "run"), Features: 1 << 20,
				Start: func(p arch.Param) ([]float32, error) { return values(p.Name), nil }})
			if err != nil {
				t.Fatal(err)
			}
			defer trainer.Close()
			if trainer.Frozen() == nil {
				t.Fatal("no layer is frozen")
			}
			if _, err := trainer.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, p := range trainer.Params().List {
				if front := strings.Contains(p.Layer(), "1_"); front && !c.learned {
					if !reflect.DeepEqual(p.Data, values(p.Name)) {
						t.Errorf("%s has moved", p.Name)
					}
					continue
				}
				want := values(c.name + "/" + p.Name)
				diff, length, moved := 0.0, 0.0, 0.0
				for i, v := range p.Data {
					diff += math.Pow(float64(v-want[i]), 2)
					length += math.Pow(float64(want[i]), 2)
					moved += math.Pow(float64(want[i]-values(p.Name)[i]), 2)
				}
				if off := math.Sqrt(diff / length); !(off <= 1e-5) {
					t.Errorf("%s is off by %.2g", p.Name, off)
				}
				if moved == 0 {
					t.Errorf("%s has not learned", p.Name)
				}
			}
		})
	}
}

// tuned are recipes with frozen layers in front: a batch norm among them, a dropout before what learns, several passes,
// a layer that learns later.
func tuned() map[string]train.Recipe {
	r := tiny()
	r.Augment = train.Augment{Flip: "alternating"}
	r.Model = "8x8x1:8b,M,16/20,12,4"
	r.Rates = map[string]float64{"conv": 0, "bn": 0}
	v := map[string]train.Recipe{"all convolutions": r}
	r.Model = "8x8x1:8b,M,16/20,4"
	r.Rates, r.Augment.Flip = map[string]float64{"block1": 0, "block2": 0}, "random"
	r.Rates["fc3"] = 0
	v["all but the last, behind a dropout"] = r
	half, yes := 1.5, true
	r.Rates = nil
	r.Rules = []train.Rule{{Params: "*1_1", Freeze: &yes}, {Params: "conv2_1", From: &half}}
	r.Average = train.Average{Kind: "lookahead", Decay: 0.8, Every: 3}
	r.Optimiser = train.Optimise{Kind: "adamw", Rate: 2e-3, Momentum: 0.9, Decay: 1e-2}
	r.ClassWeights = train.ClassWeights{Balanced: true}
	v["unfrozen, adamw, balanced"] = r
	return v
}

// TestFrozenBits: with frozen layers, what is kept of them changes no bit, however little of it fits; nor do threads,
// nor interruptions.
func TestFrozenBits(t *testing.T) {
	for name, recipe := range tuned() {
		t.Run(name, func(t *testing.T) {
			o := train.WithChunk(train.Options{Recipe: recipe, Train: tinySet, Folder: t.TempDir(), Threads: 1, Features: -1},
				20_000)
			want, _ := run(t, o)
			lines := withoutTimes(t, o.Folder)
			for _, c := range []struct {
				threads int
				bytes   int64
			}{{2, 1 << 20}, {3, 20_000}, {2, 100}} {
				o.Folder, o.Threads, o.Features = t.TempDir(), c.threads, c.bytes
				full := 0
				o.Report = func(r train.Report) {
					if strings.Contains(r.Notice, "are full") {
						full++
					}
				}
				got, _ := run(t, o)
				if !bytes.Equal(got, want) {
					t.Errorf("%d threads, %d bytes kept: other bits", c.threads, c.bytes)
				}
				if got := withoutTimes(t, o.Folder); !reflect.DeepEqual(got, lines) {
					t.Errorf("%d threads, %d bytes kept: other metrics", c.threads, c.bytes)
				}
				if small := c.bytes <= 20_000; small != (full > 0) {
					t.Errorf("%d bytes: said %d times that they are full", c.bytes, full)
				}
				if left, _ := filepath.Glob(filepath.Join(o.Folder, train.FeaturesFolder)); left != nil {
					t.Error("a finished run leaves what it kept")
				}
			}
			o.Folder, o.Features = t.TempDir(), 1<<20
			interrupt(t, o)
			if !bytes.Equal(read(t, filepath.Join(o.Folder, train.ModelFile)), want) {
				t.Error("an interrupted run ends with other bits")
			}
			if got := withoutTimes(t, o.Folder); !reflect.DeepEqual(got, lines) {
				t.Error("an interrupted run has other metrics")
			}
		})
	}
}

// TestFrozenRanks: 2 and 4 ranks train what is not frozen to the bits of one.
func TestFrozenRanks(t *testing.T) {
	recipe := inParts()
	recipe.Epochs, recipe.Augment = 1, train.Augment{Flip: "random"}
	recipe.Rates = map[string]float64{"conv1": 0, "bn1": 0, "conv2": 0}
	recipe.ClassWeights = train.ClassWeights{Balanced: true}
	o := train.Options{Recipe: recipe, Network: withDropout(), Train: tinySet, Folder: filepath.Join(t.TempDir(), "run"),
		Features: 1 << 20}
	want, _ := run(t, o)
	for _, n := range []int{2, 4} {
		o.Folder = filepath.Join(t.TempDir(), "run")
		if errs, _ := onRanks(t, n, o, nil, nil); errors.Join(errs...) != nil {
			t.Fatal(errs)
		}
		if !bytes.Equal(read(t, filepath.Join(o.Folder, train.ModelFile)), want) {
			t.Errorf("%d ranks end with other bits", n)
		}
	}
}

// TestSplit: what is computed as in use ends before the first layer that learns, and before its dropout; where a plan
// would stop short of it, it is divided there.
func TestSplit(t *testing.T) {
	window := arch.Window{Kernel: arch.Square(3), Stride: arch.Square(1), Pad: arch.Pad(1)}
	net := &arch.Network{Name: "n", Input: arch.Shape{C: 1, H: 4, W: 4}, Layers: []arch.Layer{
		{Name: "conv1", Op: arch.Conv{Out: 3, Window: window}}, {Name: "sigmoid1", Op: arch.Sigmoid{}},
		{Name: "conv2", Op: arch.Conv{Out: 3, Window: window}}, {Name: "relu2", Op: arch.ReLU{}},
		{Name: "flatten", Op: arch.Flatten{}}, {Name: "fc3", Op: arch.Linear{Out: 6}}, {Name: "relu3", Op: arch.ReLU{}},
		{Name: "drop3", Op: arch.Dropout{Keep: 0.5}}, {Name: "fc4", Op: arch.Linear{Out: 4}},
		{Name: "softmax", Op: arch.Softmax{}},
	}}
	for learns, want := range map[string]string{"conv1": "", "conv2": "conv1 | sigmoid1", "fc3": "flatten | fc3",
		"fc4": "relu3 | drop3"} {
		got, err := train.Split(net, learns)
		if err != nil || got != want {
			t.Errorf("%s learns: divided at %q, %v, want %q", learns, got, err, want)
		}
	}
}

// TestFrozenOfBefore: a run that computed its frozen layers as if they learned does not go on as one that does not.
func TestFrozenOfBefore(t *testing.T) {
	recipe := tiny()
	for _, frozen := range []bool{true, false} {
		if recipe.Rates = nil; frozen {
			recipe.Rates = map[string]float64{"block1": 0}
		}
		o, saved := savedAs(t, recipe, func(notes map[string]string) {
			notes["vggo.train.state"] = strings.Replace(notes["vggo.train.state"], `{"version":4,`, `{"version":2,`, 1)
		})
		trainer, err := train.Resume(o, saved)
		if err == nil {
			trainer.Close()
		}
		if other := errors.As(err, new(*train.VersionError)); other != frozen {
			t.Errorf("frozen %v: %v", frozen, err)
		}
	}
}

// TestFrozenBudget: both plans share the memory that is allowed, down to what they need at least, which the refusal
// tells.
func TestFrozenBudget(t *testing.T) {
	recipe := tiny()
	recipe.Model, recipe.Rates = "8x8x1:32,32,M,32,32/4", map[string]float64{"block1": 0}
	recipe.Init.Level = false
	o := train.Options{Recipe: recipe, Train: tinySet, Threads: 2}
	taken := func() (int64, error) {
		trainer, err := train.New(o)
		if err != nil {
			return 0, err
		}
		defer trainer.Close()
		return trainer.Plan().Memory().Total() + trainer.Frozen().Memory().Total(), nil
	}
	all, err := taken()
	if err != nil {
		t.Fatal(err)
	}
	o.Budget = 1
	var short *nn.MemoryError
	if _, err := taken(); !errors.As(err, &short) || short.Need >= all || short.Available != 1 {
		t.Fatalf("%v, all is %d", err, all)
	}
	least := short.Need
	for _, budget := range []int64{all, all - 1, (all + least) / 2, least} {
		o.Budget = budget
		if got, err := taken(); err != nil || got > budget {
			t.Errorf("of %d bytes %d are taken, %v", budget, got, err)
		}
	}
	o.Budget = least - 1
	if _, err := taken(); !errors.As(err, &short) || short.Need != least || short.Available != least-1 {
		t.Errorf("%v, want a need of %d", err, least)
	}
}

// TestLearning: memory is asked for what ever learns, later too.
func TestLearning(t *testing.T) {
	late := 2.0
	for _, c := range []struct {
		recipe train.Recipe
		want   string
	}{
		{train.Recipe{}, "conv1_1"},
		{train.Recipe{Rates: map[string]float64{"block1": 0}}, "conv2_1"},
		{train.Recipe{Rates: map[string]float64{"block1": 0},
			Rules: []train.Rule{{Params: "bn1_1", Rate: &late, From: &late}}}, "bn1_1"},
	} {
		c.recipe.Model = tiny().Model
		net, err := c.recipe.Network()
		if err != nil {
			t.Fatal(err)
		}
		rest, err := c.recipe.Learning(archtest.Place(t, net))
		if err != nil || rest.Layers[0].Name != c.want {
			t.Errorf("%+v: what learns begins with %s (%v), want %s", c.recipe.Rates, rest.Layers[0].Name, err, c.want)
		}
	}
}

// TestNormLearns: whoever freezes convolutions and not the batch norm between them is told.
func TestNormLearns(t *testing.T) {
	var counted int
	var said []string
	o := keeping(t, &counted, &said)
	o.Recipe.Rates, o.Recipe.Epochs, o.Features = map[string]float64{"conv": 0}, 1, -1
	run(t, o)
	if len(said) != 1 || !strings.HasPrefix(said[0], "bn1_1, a batch norm, is the first layer that learns: conv2_1 and") {
		t.Errorf("said is %q", said)
	}
}

// TestRandomFrozen: layers that are frozen at random values are named, but those that are filled or given are not.
func TestRandomFrozen(t *testing.T) {
	yes, no, one := true, false, 1.0
	for _, c := range []struct {
		what, want string
		change     func(*train.Options)
	}{
		{"given", "", func(*train.Options) {}},
		{"none given", "conv1_1: frozen, and at values drawn at random", func(o *train.Options) { o.Start = nil }},
		{"a new head", "fc3: frozen, and at values drawn at random", func(o *train.Options) {
			o.Recipe.Rates = map[string]float64{"conv": 0, "bn": 0, "fc3": 0}
		}},
		{"for a while", "", func(o *train.Options) {
			o.Start, o.Recipe.Rates, o.Recipe.Rules = nil, nil, []train.Rule{{Params: "conv*", From: &one}}
		}},
		{"whitened", "", func(o *train.Options) {
			o.Start, o.Recipe.Init.Whiten = nil, true
		}},
		{"unfrozen by a later rule", "", func(o *train.Options) {
			o.Start, o.Recipe.Rates = nil, nil
			o.Recipe.Rules = []train.Rule{{Params: "conv*", Freeze: &yes}, {Params: "conv*", Freeze: &no}}
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			var counted int
			var said []string
			o := keeping(t, &counted, &said)
			o.Recipe.Epochs, o.Features, o.Folder = 1, -1, ""
			c.change(&o)
			trainer, err := train.New(o)
			if err != nil {
				t.Fatal(err)
			}
			trainer.Close()
			said = slices.DeleteFunc(said, func(s string) bool { return !strings.Contains(s, "at random") })
			if c.want == "" && len(said) > 0 || c.want != "" && (len(said) != 1 ||
				!strings.HasPrefix(said[0], c.want)) {
				t.Errorf("said is %q, want %q", said, c.want)
			}
		})
	}
}

// TestFinetuneRefusals: what a recipe cannot mean is one clear line.
func TestFinetuneRefusals(t *testing.T) {
	yes := true
	for want, change := range map[string]func(*train.Options){
		`rates: "conv9" names no layer of 8x8x1:8b,M,16/20,4`: func(o *train.Options) {
			o.Recipe.Rates = map[string]float64{"conv9": 0}
		},
		`rates: "con" names no layer`: func(o *train.Options) { o.Recipe.Rates = map[string]float64{"con": 0} },
		`rates: conv1_1 is named by both block1 and conv`: func(o *train.Options) {
			o.Recipe.Rates = map[string]float64{"conv": 0, "block1": 1}
		},
		"rates: fc must be at least 0": func(o *train.Options) { o.Recipe.Rates = map[string]float64{"fc": math.NaN()} },
		"every layer is frozen: nothing learns": func(o *train.Options) {
			o.Recipe.Rules = []train.Rule{{Params: "*", Freeze: &yes}}
		},
		`there is no class "stripe": did you mean stripes?`: func(o *train.Options) {
			o.Classes = []string{"stripes", "b", "c", "d"}
			o.Recipe.ClassWeights.Of = map[string]float64{"stripe": 2}
		},
		"class_weights: 1 must be at least 0": func(o *train.Options) {
			o.Recipe.ClassWeights.Of = map[string]float64{"1": -1}
		},
		"class_weights: all are 0": func(o *train.Options) {
			o.Recipe.ClassWeights.Of = map[string]float64{"0": 0, "1": 0, "2": 0, "3": 0}
		},
		"patience must be at least 0": func(o *train.Options) { o.Recipe.Patience = -1 },
		"patience needs validation": func(o *train.Options) {
			o.Recipe.Patience, o.Recipe.HoldOut, o.Recipe.Schedule = 1, 0, train.Schedule{Kind: "constant"}
		},
	} {
		o := train.Options{Recipe: tiny(), Train: tinySet}
		change(&o)
		trainer, err := train.New(o)
		if err == nil {
			trainer.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestFinetuneRecipe: what a recipe says of fine-tuning is read back as it was written, and changed by Set.
func TestFinetuneRecipe(t *testing.T) {
	r := train.Default()
	for _, set := range []string{"rates={block1: 0, fc: 2}", "rates.fc8=0.5", "class_weights=balanced", "patience=3",
		"rules=[{params: conv5_*, from: 2}]"} {
		if err := r.Set(set); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Set("class_weights=often"); err == nil || !strings.Contains(err.Error(), "want balanced") {
		t.Errorf("%v, want what class_weights may be", err)
	}
	for range 2 {
		var text bytes.Buffer
		if err := r.Write(&text); err != nil {
			t.Fatal(err)
		}
		again, err := train.DecodeRecipe(&text)
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%v: read back as %+v, was %+v", err, again, r)
		}
		if err := r.Set("class_weights={cat: 2.5, dog: 1}"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBalanced: each class counts as much as the others, and pictures as many as there are.
func TestBalanced(t *testing.T) {
	data := golden{labels: []int{0, 0, 0, 0, 0, 2}}
	got, err := train.Weigh(train.ClassWeights{Balanced: true}, data, nil, 3)
	if err != nil || !reflect.DeepEqual(got, []float64{0.6, 1, 3}) {
		t.Errorf("%v, %v", got, err)
	}
	got, err = train.Weigh(train.ClassWeights{Of: map[string]float64{"b": 4}}, data, []string{"a", "b", "c"}, 3)
	if err != nil || !reflect.DeepEqual(got, []float64{1, 4, 1}) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestPatience: a run ends after so many validations that are no better, and going on with it finds it finished, with
// the same bits.
func TestPatience(t *testing.T) {
	recipe := tiny()
	recipe.Epochs, recipe.Patience, recipe.Optimiser.Rate = 40, 2, 1e-6 // too little to get better by
	recipe.Average = train.Average{Kind: "lookahead", Decay: 0.8, Every: 3}
	o := train.Options{Recipe: recipe, Train: tinySet, Folder: t.TempDir()}
	want, result := run(t, o)
	perEpoch := (tinySet.n - recipe.HoldOut) / recipe.Batch
	if !result.Stopped || result.Steps != result.BestStep+2*perEpoch || result.Steps >= 40*perEpoch {
		t.Errorf("stopped %v after %d steps, the best was after %d", result.Stopped, result.Steps, result.BestStep)
	}
	saved, err := train.ReadSaved(o.Folder)
	if err != nil {
		t.Fatal(err)
	}
	again, err := train.Resume(o, saved)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if !again.Finished() {
		t.Error("a run that was stopped is not finished")
	}
	if _, err := again.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, filepath.Join(o.Folder, train.ModelFile)), want) {
		t.Error("the finished run ends with other bits")
	}
}
