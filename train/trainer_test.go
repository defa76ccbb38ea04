package train_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch/archtest"

	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// stripes is a data set of four classes that a small network can learn: stripes of four directions, moved and noisy.
type stripes struct {
	n, side, channels int
	broken            map[int]bool
}

func (s stripes) Len() int        { return s.n }
func (s stripes) Label(i int) int { return i * 7 % 4 }

// uniform is stripes of one class.
type uniform struct{ stripes }

func (uniform) Label(int) int { return 0 }

func (s stripes) Picture(i int) (*vision.Picture, error) {
	if s.broken[i] {
		return nil, fmt.Errorf("stripe-%d.png: broken", i)
	}
	r := rand.New(rand.NewPCG(uint64(i), 5))
	step := [4]image.Point{{X: 1}, {Y: 1}, {X: 1, Y: 1}, {X: 1, Y: -1}}[s.Label(i)]
	phase := r.IntN(4)
	p := vision.NewPicture(s.side, s.side, s.channels)
	for y := range s.side {
		for x := range s.side {
			v := 60
			if (x*step.X+y*step.Y+phase+8*s.side)/2%2 == 0 {
				v = 190
			}
			for c := range s.channels {
				p.Pix[(y*s.side+x)*s.channels+c] = uint8(v + r.IntN(60) - 30)
			}
		}
	}
	return p, nil
}

// tiny is a recipe with everything that has a state or draws at random.
func tiny() train.Recipe {
	zero := 0.0
	r := train.Default()
	r.Name, r.Model = "tiny", "8x8x1:8b,M,16/20,4"
	r.Epochs, r.Batch, r.Accumulate, r.Seed = 3, 16, 2, 7
	r.Optimiser = train.Optimise{Kind: "sgd", Rate: 0.05, Momentum: 0.9, Nesterov: true, Decay: 1e-3}
	r.Rules = []train.Rule{{Params: "*/b", Decay: &zero}}
	r.Schedule = train.Schedule{Kind: "plateau", Patience: 1, WarmUp: 0.5}
	r.Smoothing, r.Clip = 0.1, 2
	r.Average = train.Average{Kind: "ema", Decay: 0.9}
	r.Augment = train.Augment{Crop: "pad", Pad: 1, Edge: "reflect", Flip: "alternating", Cutout: 3}
	r.HoldOut, r.Views = 30, "flip+shift"
	r.Checkpoint = train.Checkpoint{Every: 0.3, Keep: 2}
	return r
}

var tinySet = stripes{n: 190, side: 8, channels: 1}

// variants of the recipe, by name: each with another part that must survive an interruption.
func variants() map[string]train.Recipe {
	v := map[string]train.Recipe{"ema, plateau": tiny()}
	r := tiny()
	r.Average = train.Average{Kind: "lookahead", Decay: 0.8, Every: 3, Ramp: 3}
	r.Schedule = train.Schedule{Kind: "one-cycle", Begin: 0.2, Peak: 0.3}
	r.Init = train.Init{Kind: "he", Identity: true, Whiten: true}
	r.Accumulate = 1
	v["lookahead, one-cycle, whitened"] = r
	r = tiny()
	r.Optimiser = train.Optimise{Kind: "adamw", Rate: 2e-3, Momentum: 0.9, Decay: 1e-2}
	r.Average, r.Schedule = train.Average{}, train.Schedule{Kind: "cosine"}
	r.Augment = train.Augment{Crop: "resized", Flip: "random"}
	v["adamw, cosine, resized"] = r
	r = tiny()
	r.Augment = train.Augment{Crop: "jitter", Side: [2]int{8, 14}, Flip: "random"}
	r.Schedule = train.Schedule{Kind: "step", At: []float64{1, 2}}
	r.Optimiser.Decoupled = true
	v["decoupled, step, jitter"] = r
	v["muon"] = muon(tiny())
	r = tiny()
	r.Model, r.Small = "8x8x1:8b,M,16,G/4", train.Small{Side: 5, Until: 1.5}
	v["small"] = r
	return v
}

// run trains to the end and returns the result's bytes.
func run(t testing.TB, o train.Options) ([]byte, train.Result) {
	t.Helper()
	trainer, err := train.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	result, err := trainer.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return read(t, filepath.Join(o.Folder, train.ModelFile)), result
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// withoutTimes drops the seconds of a run's metrics, which no two runs share.
func withoutTimes(t *testing.T, folder string) (lines []train.Metrics) {
	t.Helper()
	for line := range bytes.Lines(read(t, filepath.Join(folder, train.MetricsFile))) {
		var m train.Metrics
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		m.Seconds = 0
		lines = append(lines, m)
	}
	return lines
}

// TestSameBits: the result is the same for any number of threads, and for a run that was interrupted again and again.
func TestSameBits(t *testing.T) {
	for name, recipe := range variants() {
		t.Run(name, func(t *testing.T) {
			straight := train.Options{Recipe: recipe, Train: tinySet, Test: stripes{n: 40, side: 8, channels: 1},
				Folder: t.TempDir(), Threads: 1}
			want, result := run(t, straight)
			t.Logf("%+v", *result.Validation)

			threads := straight
			threads.Folder, threads.Threads = t.TempDir(), 3
			if got, _ := run(t, threads); !bytes.Equal(got, want) {
				t.Error("three threads end with other bits than one")
			}

			cut := straight
			cut.Folder, cut.Threads = t.TempDir(), 2
			interrupt(t, cut)
			if got := read(t, filepath.Join(cut.Folder, train.ModelFile)); !bytes.Equal(got, want) {
				t.Error("an interrupted run ends with other bits")
			}
			if got, want := withoutTimes(t, cut.Folder), withoutTimes(t, straight.Folder); !reflect.DeepEqual(got, want) {
				t.Errorf("an interrupted run has other metrics:\n%+v\nwant\n%+v", got, want)
			}
			if left, err := filepath.Glob(filepath.Join(cut.Folder, "step-*")); err != nil ||
				len(left) != recipe.Checkpoint.Keep {
				t.Errorf("kept are %v, want %d checkpoints", left, recipe.Checkpoint.Keep)
			}
		})
	}
}

// interrupt trains to the end, stopped before steps that are drawn at random, a few times just where a validation is
// due.
func interrupt(t *testing.T, cut train.Options) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	begun := false
	for stops := 0; ; stops++ {
		ctx, stop := context.WithCancel(t.Context())
		until := 1 + r.IntN(5)
		cut.Report = func(report train.Report) {
			if until--; until == 0 {
				stop()
			}
		}
		var trainer *train.Trainer
		var err error
		if !begun {
			trainer, err = train.New(cut)
		} else {
			var saved *train.Saved
			if saved, err = train.ReadSaved(cut.Folder); err != nil {
				t.Fatal(err)
			}
			trainer, err = train.Resume(cut, saved)
		}
		if err != nil {
			t.Fatal(err)
		}
		begun = true
		_, err = trainer.Run(ctx)
		stop()
		if err := trainer.Close(); err != nil {
			t.Fatal(err)
		}
		var interrupted *train.InterruptedError
		if errors.As(err, &interrupted) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("stopped %d times", stops)
		break
	}
}

// TestResultIsANetwork: what a run leaves is a file of weights like any other, and its best is the best line of its
// metrics.
func TestResultIsANetwork(t *testing.T) {
	recipe := tiny()
	// a mirrored stripe may be of another class
	recipe.Epochs, recipe.Augment, recipe.Average.Decay = 8, train.Augment{}, 0.5
	folder := t.TempDir()
	_, result := run(t, train.Options{Recipe: recipe, Train: tinySet, Folder: folder, Classes: []string{"|", "-",
		"/", "\\"}})
	best := -1.0
	for _, m := range withoutTimes(t, folder) {
		if m.Validation != nil {
			best = max(best, m.Validation.Accuracy)
		}
	}
	if best != result.Best || best < 0.5 {
		t.Errorf("the best validation is %v, the metrics' %v", result.Best, best)
	}
	file, err := weights.Open(filepath.Join(folder, train.BestFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	placed, err := file.Network()
	if err != nil {
		t.Fatal(err)
	}
	net := placed.Network
	matched, err := weights.Match(file, placed.Layers)
	if err != nil {
		t.Fatal(err)
	}
	params := nn.NewParams(archtest.Place(t, net))
	if err := params.Load(matched.Param); err != nil {
		t.Fatal(err)
	}
	plan, err := nn.Compile(archtest.Place(t, net), params, nn.Options{Batch: 16})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	var parts vision.PreprocessParts
	if err := json.Unmarshal([]byte(file.Metadata[weights.PreprocessNote]), &parts); err != nil {
		t.Fatal(err)
	}
	pictures, err := parts.Apply(vision.Unit(net.Input.W, net.Input.H, net.Input.C))
	if err != nil {
		t.Fatal(err)
	}
	_, held, err := train.HoldOut(tinySet, recipe.HoldOut, recipe.Seed)
	if err != nil {
		t.Fatal(err)
	}
	score, err := train.Evaluate(t.Context(), plan, held, pictures, recipe.Views)
	if err != nil {
		t.Fatal(err)
	}
	if score.Accuracy != best {
		t.Errorf("the best weights score %v, they scored %v", score.Accuracy, best)
	}
	saved, err := train.OpenRecipe(filepath.Join(folder, train.RecipeFile))
	if err != nil || fmt.Sprint(saved.Augment, saved.Optimiser, saved.Schedule,
		saved.Average) != fmt.Sprint(recipe.Augment, recipe.Optimiser, recipe.Schedule, recipe.Average) {
		t.Errorf("the saved recipe is %+v (%v)", saved, err)
	}
	if !strings.Contains(file.Metadata[weights.ClassesNote], `"|"`) {
		t.Errorf("the file's classes are %q", file.Metadata[weights.ClassesNote])
	}
}

// TestDiverged: a loss that is no number ends the run, and the checkpoint it names goes on with finite numbers.
func TestDiverged(t *testing.T) {
	recipe := tiny()
	recipe.Optimiser.Rate, recipe.Polyak, recipe.Clip, recipe.Schedule = 1e25, 0, 0, train.Schedule{Kind: "constant"}
	o := train.Options{Recipe: recipe, Train: tinySet, Folder: t.TempDir()}
	trainer, err := train.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	_, err = trainer.Run(t.Context())
	var diverged *train.DivergedError
	if !errors.As(err, &diverged) || diverged.Saved == "" || !strings.Contains(err.Error(), "the last good checkpoint is "+
		diverged.Saved) {
		t.Fatalf("%v, want divergence", err)
	}
	t.Log(err)
	saved, err := train.ReadSaved(o.Folder)
	if err != nil {
		t.Fatal(err)
	}
	again, err := train.Resume(o, saved)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for _, p := range again.Params().List {
		for _, v := range p.Data {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				t.Fatalf("the good checkpoint has %v in %s", v, p.Name)
			}
		}
	}
}

// TestBrokenPictures: they are named once, replaced by the same samples whoever meets them, and too many end the run.
func TestBrokenPictures(t *testing.T) {
	recipe := tiny()
	recipe.HoldOut, recipe.Schedule = 0, train.Schedule{Kind: "constant"}
	recipe.Broken = 3
	data := tinySet
	data.broken = map[int]bool{3: true, 4: true, 189: true}
	var want []byte
	for threads := 1; threads <= 3; threads++ {
		var faults []string
		o := train.Options{Recipe: recipe, Train: data, Folder: t.TempDir(), Threads: threads, Report: func(r train.Report) {
			if r.Fault != nil {
				faults = append(faults, r.Fault.Error())
			}
		}}
		got, _ := run(t, o)
		if want == nil {
			want = got
		} else if !bytes.Equal(got, want) {
			t.Errorf("%d threads end with other bits", threads)
		}
		if len(faults) != 3 {
			t.Errorf("%d threads: named are %q", threads, faults)
		}
	}
	recipe.Broken = 2
	trainer, err := train.New(train.Options{Recipe: recipe, Train: data, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	var broken *train.BrokenError
	if _, err := trainer.Run(t.Context()); !errors.As(err, &broken) || broken.Limit != 2 ||
		!strings.Contains(err.Error(), "stripe-") {
		t.Errorf("%v, want too many broken pictures", err)
	}
}

// TestFullDisk: a checkpoint that cannot be written leaves the ones before, from which the run ends as it would have.
func TestFullDisk(t *testing.T) {
	o := train.Options{Recipe: tiny(), Train: tinySet, Folder: t.TempDir()}
	want, _ := run(t, o)
	full := errors.New("no space left on device")
	for fails := 2; ; fails++ {
		o.Folder = t.TempDir()
		writes := 0
		trainer, err := train.New(train.WithWriter(o, func(path string, tensors []weights.Tensor,
			notes map[string]string) error {
			if writes++; writes == fails {
				return full
			}
			return weights.Write(path, tensors, notes)
		}))
		if err != nil {
			t.Fatal(err)
		}
		_, err = trainer.Run(t.Context())
		trainer.Close()
		if err == nil {
			if fails < 8 {
				t.Errorf("a run writes only %d times", fails)
			}
			break
		}
		if !errors.Is(err, full) || !strings.Contains(err.Error(), "saved is ") {
			t.Fatal(err)
		}
		saved, err := train.ReadSaved(o.Folder)
		if err != nil {
			t.Fatal(err)
		}
		again, err := train.Resume(o, saved)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := again.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		again.Close()
		if !bytes.Equal(read(t, filepath.Join(o.Folder, train.ModelFile)), want) {
			t.Errorf("after a full disk at write %d the run ends with other bits", fails)
		}
	}
}

// TestRefusals: what cannot be trained is one clear line.
func TestRefusals(t *testing.T) {
	occupied := t.TempDir()
	run(t, train.Options{Recipe: tiny(), Train: tinySet, Folder: occupied})
	for want, change := range map[string]func(*train.Options){
		"holds a run already":                      func(o *train.Options) { o.Folder = occupied },
		"the recipe names no model":                func(o *train.Options) { o.Recipe.Model = "" },
		"there is no training set":                 func(o *train.Options) { o.Train = nil },
		"a batch of 16 is larger than the trainin": func(o *train.Options) { o.Train = stripes{n: 40, side: 8, channels: 1} },
		"200 of 190 samples cannot be held out":    func(o *train.Options) { o.Recipe.HoldOut = 200 },
		"all 30 samples are of class 0: a network": func(o *train.Options) {
			o.Train = uniform{stripes{n: 60, side: 8,
				channels: 1}}
		},
		"plateau needs validation":                 func(o *train.Options) { o.Recipe.HoldOut = 0 },
		"is of class 3, 8x8x1:8/3 has 3 classes":   func(o *train.Options) { o.Recipe.Model = "8x8x1:8/3" },
		"answers with maps of":                     func(o *train.Options) { o.Recipe.Model = "8x8x1:8,4" },
		"epochs must be above 0":                   func(o *train.Options) { o.Recipe.Epochs = 0 },
		"accumulate: 3 passes cannot share":        func(o *train.Options) { o.Recipe.Accumulate = 3 },
		`rule 1: "fc9" names no parameter`:         func(o *train.Options) { o.Recipe.Rules = []train.Rule{{Params: "fc9"}} },
		"optimiser: rate must be above 0":          func(o *train.Options) { o.Recipe.Optimiser.Rate = math.NaN() },
		"kind: \"lion\" is none of sgd, adamw and": func(o *train.Options) { o.Recipe.Optimiser.Kind = "lion" },
		"set polyak to 0":                          func(o *train.Options) { o.Recipe = muon(tiny()); o.Recipe.Polyak = 0.2 },
		"rule 1: kind: the optimiser is sgd": func(o *train.Options) {
			o.Recipe.Rules = muon(tiny()).Rules[1:]
		},
		"rule 2: kind: \"adamw\" is neither": func(o *train.Options) {
			o.Recipe = muon(tiny())
			*o.Recipe.Rules[1].Kind = "adamw"
		},
		"rule 1: momentum must lie in [0, 1)": func(o *train.Options) {
			o.Recipe = muon(tiny())
			*o.Recipe.Rules[0].Momentum = 1
		},
		"augment: colour is for pictures with thr": func(o *train.Options) { o.Recipe.Augment.Colour = 0.1 },
		"small: side must lie between 1 and 8, the": func(o *train.Options) {
			o.Recipe.Small = train.Small{Side: 9, Until: 1}
		},
		"small: until must be above 0": func(o *train.Options) { o.Recipe.Small = train.Small{Side: 6} },
		"fc3 has [20 144] weights for pictures of": func(o *train.Options) {
			o.Recipe.Small = train.Small{Side: 6, Until: 1}
		},
		"small: 8x8x1:8b,M,16/20,4: layer pool1": func(o *train.Options) {
			o.Recipe.Small = train.Small{Side: 1, Until: 1}
		},
		"views: \"mirror\" is none of": func(o *train.Options) { o.Recipe.Views = "mirror" },
		"init.whiten: conv1_1 cannot whiten": func(o *train.Options) {
			o.Recipe.Model,
				o.Recipe.Init.Whiten = "8x8x1:32/4", true
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
	saved, err := train.ReadSaved(occupied)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := train.Resume(train.Options{Train: stripes{n: 191, side: 8, channels: 1}, Folder: occupied},
		saved); err == nil || !strings.Contains(err.Error(), "training set was another") {
		t.Errorf("%v, want another training set", err)
	}
	var none *train.NoCheckpointError
	if _, err := train.ReadSaved(t.TempDir()); !errors.As(err, &none) {
		t.Errorf("%v, want no checkpoint", err)
	}
}

// savedAs is a run that has only begun, as another vggo would have saved it: with other notes, and no checksum.
func savedAs(t *testing.T, recipe train.Recipe, change func(notes map[string]string)) (train.Options, *train.Saved) {
	t.Helper()
	o := train.Options{Recipe: recipe, Train: tinySet, Folder: t.TempDir()}
	trainer, err := train.New(train.WithWriter(o, func(path string, tensors []weights.Tensor,
		notes map[string]string) error {
		delete(notes, "vggo.train.sum")
		change(notes)
		return weights.Write(path, tensors, notes)
	}))
	if err != nil {
		t.Fatal(err)
	}
	trainer.Close()
	saved, err := train.ReadSaved(o.Folder)
	if err != nil {
		t.Fatal(err)
	}
	return o, saved
}
