package train_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/cluster"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/weights"
)

// onRanks runs a training, or goes on with one, on n goroutines that are ranks. change may make a rank's options
// others. What each ends with is returned, with rank 0's parameters.
func onRanks(t *testing.T, n int, o train.Options, change func(rank int, o *train.Options),
	ctx func(rank int) context.Context) ([]error, *nn.Params) {
	t.Helper()
	groups, err := cluster.Local(n)
	if err != nil {
		t.Fatal(err)
	}
	errs := make([]error, n)
	var params *nn.Params
	var done sync.WaitGroup
	for rank, g := range groups {
		done.Go(func() {
			o, until := o, t.Context()
			o.Group, o.Threads = g, 1+rank%2
			if change != nil {
				change(rank, &o)
			}
			if ctx != nil {
				until = ctx(rank)
			}
			errs[rank] = func() error {
				saved, err := train.ReadSaved(o.Folder)
				// A folder is looked into by all before any writes there, as ranks of the command do.
				if _, other := g.Any(false); other != nil {
					return other
				}
				var trainer *train.Trainer
				if err == nil {
					trainer, err = train.Resume(o, saved)
				} else {
					trainer, err = train.New(o)
				}
				if err != nil {
					return err
				}
				if rank == 0 {
					params = trainer.Params()
				}
				_, err = trainer.Run(until)
				return errors.Join(err, trainer.Close())
			}()
			errs[rank] = errors.Join(errs[rank], g.Close(errs[rank]))
		})
	}
	done.Wait()
	return errs, params
}

// withDropout is a small network with everything that the others of a batch matter to: batch norm before and behind a
// fully connected layer, and dropout.
func withDropout() *arch.Network {
	window := arch.Window{Kernel: arch.Square(3), Stride: arch.Square(1), Pad: arch.Pad(1)}
	return &arch.Network{Name: "dropped", Input: arch.Shape{C: 1, H: 8, W: 8}, Layers: []arch.Layer{
		{Name: "conv1", Op: arch.Conv{Out: 18, Window: window}},
		{Name: "bn1", Op: arch.BatchNorm{}},
		{Name: "relu1", Op: arch.ReLU{}},
		{Name: "conv2", Op: arch.Conv{Out: 16, Window: window}},
		{Name: "relu2", Op: arch.ReLU{}},
		{Name: "pool2", Op: arch.MaxPool{Window: arch.Window{Kernel: arch.Square(2), Stride: arch.Square(2)}}},
		{Name: "flatten", Op: arch.Flatten{}},
		{Name: "drop3", Op: arch.Dropout{Keep: 0.5}},
		{Name: "fc3", Op: arch.Linear{Out: 30}},
		{Name: "bn3", Op: arch.BatchNorm{}},
		{Name: "relu3", Op: arch.ReLU{}},
		{Name: "fc4", Op: arch.Linear{Out: 4}},
	}}
}

func inParts() train.Recipe {
	r := tiny()
	r.Model, r.Accumulate, r.Parts = "", 1, 8
	return r
}

// TestRanks: 2, 4 and 8 ranks train to the bits of one, with the same metrics, and a run goes on with another number.
func TestRanks(t *testing.T) {
	recipes := map[string]train.Recipe{"synchronised": inParts()}
	r := inParts()
	r.PartNorm = true
	recipes["norm by part, lookahead"] = r
	r.Average = train.Average{Kind: "lookahead", Decay: 0.8, Every: 3}
	recipes["norm by part, lookahead"] = r
	r = inParts()
	r.Accumulate, r.Parts = 2, 4
	r.Optimiser, r.Polyak = train.Optimise{Kind: "adamw", Rate: 2e-3, Momentum: 0.9, Decay: 1e-2}, 0.2
	recipes["two passes, adamw"] = r
	recipes["muon"] = muon(inParts())
	for name, recipe := range recipes {
		t.Run(name, func(t *testing.T) {
			o := train.Options{Recipe: recipe, Network: withDropout(), Train: tinySet,
				Test: stripes{n: 40, side: 8, channels: 1}, Folder: filepath.Join(t.TempDir(), "run")}
			want, _ := run(t, o)
			lines := withoutTimes(t, o.Folder)
			for _, n := range []int{2, 4, 8} {
				if n > recipe.Parts {
					continue
				}
				o.Folder = filepath.Join(t.TempDir(), "run")
				if errs, _ := onRanks(t, n, o, nil, nil); errors.Join(errs...) != nil {
					t.Fatal(errs)
				}
				if !bytes.Equal(read(t, filepath.Join(o.Folder, train.ModelFile)), want) {
					t.Errorf("%d ranks end with other bits", n)
				}
				if got := withoutTimes(t, o.Folder); !reflect.DeepEqual(got, lines) {
					t.Errorf("%d ranks: the metrics are %+v, of one they are %+v", n, got, lines)
				}
			}
			// Stopped, by one of the ranks, and gone on with on another number of them, again and again.
			o.Folder = filepath.Join(t.TempDir(), "run")
			for round := 0; ; round++ {
				ctx, stop := context.WithCancel(t.Context())
				n, left := 1<<(round%3), 3+round%3
				errs, _ := onRanks(t, n, o, func(rank int, o *train.Options) {
					if rank == n-1 {
						o.Report = func(r train.Report) {
							if left--; left == 0 {
								stop()
							}
						}
					}
				}, func(rank int) context.Context {
					if rank == n-1 {
						return ctx
					}
					return t.Context()
				})
				stop()
				if errors.Join(errs...) == nil {
					t.Logf("stopped %d times", round)
					break
				}
				for rank, err := range errs {
					if !errors.As(err, new(*train.InterruptedError)) {
						t.Fatalf("round %d, rank %d: %v", round, rank, err)
					}
				}
			}
			if !bytes.Equal(read(t, filepath.Join(o.Folder, train.ModelFile)), want) {
				t.Error("a run on now one rank, now four, ends with other bits")
			}
		})
	}
}

// definition is prices by which every convolution goes by its definition.
func definition(t *testing.T) nn.CostTable {
	t.Helper()
	set, err := kernel.Active()
	if err != nil {
		t.Fatal(err)
	}
	costs := *nn.DefaultCosts().Of(set.Name)
	costs.Direct, costs.DirectGrad = 0, 0
	return nn.CostTable{set.Name: &costs}
}

// TestRanksWithoutParts: after ten steps ranks are where one process of the same batch is, as far as roundings go.
func TestRanksWithoutParts(t *testing.T) {
	for _, c := range []struct {
		name   string
		costs  nn.CostTable
		passes int
		head   int // units of fc3; many learn from factors
		bound  float64
	}{
		{"by the definition", definition(t), 1, 30, 1e-5}, {"in two passes", definition(t), 2, 30, 1e-5},
		{"auto", nil, 1, 30, 1e-4}, {"wide", definition(t), 1, 2048, 1e-5},
		{"wide, in two passes", definition(t), 2, 2048, 1e-5},
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() && c.passes > 1 {
				t.Skip("with -short: as long as all others together under the race detector")
			}
			recipe := inParts()
			recipe.Parts, recipe.Accumulate = 0, c.passes
			recipe.Epochs, recipe.HoldOut = 1, 0
			net := withDropout()
			net.Layers[8].Op = arch.Linear{Out: c.head}
			o := train.Options{Recipe: recipe, Network: net, Train: stripes{n: 160, side: 8, channels: 1},
				Validation: stripes{n: 30, side: 8, channels: 1}, Costs: c.costs, Folder: filepath.Join(t.TempDir(), "one")}
			errs, one := onRanks(t, 1, o, nil, nil)
			for _, n := range []int{2, 4} {
				if testing.Short() && n > 2 {
					continue
				}
				o.Folder = filepath.Join(t.TempDir(), "run")
				more, several := onRanks(t, n, o, nil, nil)
				if err := errors.Join(append(errs, more...)...); err != nil {
					t.Fatal(err)
				}
				for i, p := range one.List {
					square, length := 0.0, 0.0
					for j, v := range p.Data {
						d := float64(v - several.List[i].Data[j])
						square, length = square+d*d, length+float64(v)*float64(v)
					}
					if p.Name == "fc3/b" || p.Name == "conv1/b" { // batch norm takes them away: their gradients are roundings
						continue
					}
					if e := math.Sqrt(square / length); !(e < c.bound) {
						t.Errorf("%d ranks: %s is %.2g away", n, p.Name, e)
					}
				}
			}
			// Other bits than one process's are no surprise later.
			saved, err := train.ReadSaved(o.Folder)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := train.Resume(o, saved); !errors.As(err, new(*train.MachineError)) {
				t.Errorf("one process goes on with a run of several ranks: %v", err)
			}
		})
	}
}

// otherLabels is tinySet with one label changed.
type otherLabels struct{ stripes }

func (o otherLabels) Label(i int) int {
	if i == 17 {
		return (o.stripes.Label(i) + 1) % 4
	}
	return o.stripes.Label(i)
}

// TestRanksDiffer: a rank that would compute something else is named before a step is taken, and nothing is left.
func TestRanksDiffer(t *testing.T) {
	for what, change := range map[string]func(o *train.Options){
		"another training set":   func(o *train.Options) { o.Train = otherLabels{tinySet} },
		"another build":          func(o *train.Options) { o.Build = "v1" },
		"another recipe":         func(o *train.Options) { o.Recipe.Smoothing = 0.2 },
		"another network":        func(o *train.Options) { o.Network.Layers[7].Op = arch.Dropout{Keep: 0.6} },
		"another validation set": func(o *train.Options) { o.Validation = stripes{n: 20, side: 8, channels: 1} },
		"another set of weights": func(o *train.Options) {
			o.Start = func(p arch.Param) ([]float32, error) {
				if p.Name != "fc4/b" {
					return nil, nil
				}
				return []float32{0, 0, 0, 1}, nil
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "run")
			recipe := inParts()
			recipe.HoldOut = 0
			errs, _ := onRanks(t, 4, train.Options{Recipe: recipe, Train: tinySet, Folder: folder,
				Validation: stripes{n: 30, side: 8, channels: 1}},
				func(rank int, o *train.Options) {
					o.Network = withDropout()
					if rank == 2 {
						change(o)
					}
				}, nil)
			for rank, err := range errs {
				var other *train.OtherRankError
				if !errors.As(err, &other) || other.Name != "rank 2" || !strings.Contains(err.Error(), what) {
					t.Errorf("rank %d is told: %v", rank, err)
				}
			}
			if left, err := filepath.Glob(folder + "*"); err != nil || left != nil {
				t.Errorf("%v is left (%v)", left, err)
			}
		})
	}
}

// TestRanksRefused: numbers of ranks, and of parts, that make no tree.
func TestRanksRefused(t *testing.T) {
	for want, change := range map[string]func(r *train.Recipe){
		"3 ranks cannot share the 8 parts of the recipe":   func(r *train.Recipe) {},
		"3 ranks cannot share the 16 pictures of one pass": func(r *train.Recipe) { r.Parts = 0 },
		"parts must be a power of two":                     func(r *train.Recipe) { r.Parts = 6 },
		"16 pictures of one pass cannot be divided by 32":  func(r *train.Recipe) { r.Parts = 32 },
		"part_norm is for batches in parts":                func(r *train.Recipe) { r.Parts, r.PartNorm = 0, true },
		"8 pictures of one pass cannot be divided by 16":   func(r *train.Recipe) { r.Parts, r.Accumulate = 16, 2 },
	} {
		recipe := inParts()
		change(&recipe)
		errs, _ := onRanks(t, 3, train.Options{Recipe: recipe, Network: withDropout(), Train: tinySet}, nil, nil)
		for _, err := range errs {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want %q, got %v", want, err)
			}
		}
	}
}

// TestRankFails: what rank 0 cannot write, and what another cannot read, ends the run of all, which is told why; it
// goes on from the last checkpoint to the same bits.
func TestRankFails(t *testing.T) {
	o := train.Options{Recipe: inParts(), Network: withDropout(), Train: tinySet,
		Folder: filepath.Join(t.TempDir(), "run")}
	want, _ := run(t, o)
	o.Folder = filepath.Join(t.TempDir(), "run")
	full := errors.New("no space left on device")
	files := 0
	errs, _ := onRanks(t, 2, o, func(rank int, o *train.Options) {
		*o = train.WithWriter(*o, func(path string, tensors []weights.Tensor, notes map[string]string) error {
			if files++; files == 4 {
				return full
			}
			return weights.Write(path, tensors, notes)
		})
	}, nil)
	var told *cluster.RankError
	if !errors.Is(errs[0], full) || !errors.As(errs[1], &told) || told.Rank != 0 ||
		!strings.Contains(fmt.Sprint(errs[1]), "no space left") {
		t.Fatalf("a full disk ends with %v", errs)
	}
	if errs, _ := onRanks(t, 4, o, nil, nil); errors.Join(errs...) != nil {
		t.Fatal(errs)
	}
	if !bytes.Equal(read(t, filepath.Join(o.Folder, train.ModelFile)), want) {
		t.Error("it goes on to other bits")
	}
}

// TestRanksBroken: pictures that cannot be read are replaced as in one process, and counted together.
func TestRanksBroken(t *testing.T) {
	set := stripes{n: 190, side: 8, channels: 1, broken: map[int]bool{3: true, 50: true, 51: true, 120: true}}
	o := train.Options{Recipe: inParts(), Network: withDropout(), Train: set, Folder: filepath.Join(t.TempDir(), "one")}
	o.Recipe.HoldOut = 0
	o.Validation = stripes{n: 30, side: 8, channels: 1}
	want, _ := run(t, o)
	o.Folder = filepath.Join(t.TempDir(), "two")
	if errs, _ := onRanks(t, 2, o, nil, nil); errors.Join(errs...) != nil {
		t.Fatal(errs)
	}
	if !bytes.Equal(read(t, filepath.Join(o.Folder, train.ModelFile)), want) {
		t.Error("two ranks end with other bits")
	}
	o.Recipe.Broken, o.Folder = 3, ""
	errs, _ := onRanks(t, 2, o, nil, nil)
	for rank, err := range errs {
		if !errors.As(err, new(*train.BrokenError)) && !errors.As(err, new(*cluster.RankError)) {
			t.Errorf("of four broken pictures three may be; rank %d ends with %v", rank, err)
		}
	}
}

// TestRanksDrift: weights that are no longer the same are noticed before they are saved.
func TestRanksDrift(t *testing.T) {
	groups, err := cluster.Local(2)
	if err != nil {
		t.Fatal(err)
	}
	o := train.Options{Recipe: inParts(), Network: withDropout(), Train: tinySet}
	errs, saved := make([]error, 2), ""
	var done sync.WaitGroup
	for rank, g := range groups {
		done.Go(func() {
			o, at := o, 0
			var trainer *train.Trainer
			o.Group = g
			if rank == 0 {
				o.Folder = filepath.Join(t.TempDir(), "run")
				o.Report = func(r train.Report) {
					if r.Saved != "" {
						saved = filepath.Base(r.Saved)
					}
				}
			} else {
				o.Report = func(r train.Report) {
					if r.Step == 4 && at < 4 {
						trainer.Params().Get("fc4/b").Data[2] += 1e-6
					}
					at = r.Step
				}
			}
			if trainer, errs[rank] = train.New(o); errs[rank] == nil {
				_, errs[rank] = trainer.Run(t.Context())
			}
			errs[rank] = errors.Join(errs[rank], g.Close(errs[rank]))
		})
	}
	done.Wait()
	for rank, err := range errs {
		var d *train.DriftError
		if !errors.As(err, &d) || d.Name != "rank 1" || d.Step < 4 {
			t.Errorf("rank %d ends with %v", rank, err)
		}
	}
	if saved != "step-000000003.safetensors" {
		t.Errorf("saved last: %s", saved)
	}
}
