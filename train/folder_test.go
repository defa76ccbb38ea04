package train_test

import (
	"bytes"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// halfway is a run that a full disk has ended, so that two checkpoints are left.
func halfway(t *testing.T, folder string) train.Options {
	t.Helper()
	o := train.Options{Recipe: tiny(), Train: tinySet, Folder: folder, Classes: []string{"a", "b", "c", "d"}}
	full, saved := errors.New("full"), 0
	trainer, err := train.New(train.WithWriter(o, func(path string, tensors []weights.Tensor,
		notes map[string]string) error {
		if strings.HasPrefix(filepath.Base(path), "step-") {
			if saved++; saved > 5 {
				return full
			}
		}
		return weights.Write(path, tensors, notes)
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	if _, err := trainer.Run(t.Context()); !errors.Is(err, full) {
		t.Fatal(err)
	}
	return o
}

var flips = flag.Int("flips", 20, "how many bytes of a checkpoint TestFlippedByte flips, one at a time")

// TestFlippedByte: whichever byte of the newest checkpoint is not as it was, the run goes on from the one before, says
// so, and ends with the bits of one that nothing happened to.
func TestFlippedByte(t *testing.T) {
	whole := train.Options{Recipe: tiny(), Train: tinySet, Folder: t.TempDir(), Classes: []string{"a", "b", "c", "d"}}
	want, _ := run(t, whole)
	folder := t.TempDir()
	o := halfway(t, folder)
	left, err := filepath.Glob(filepath.Join(folder, "step-*"))
	if err != nil || len(left) != 2 {
		t.Fatalf("%v are left (%v)", left, err)
	}
	older, newest := read(t, left[0]), read(t, left[1])
	r := rand.New(rand.NewPCG(1, 2))
	header := int(newest[0]) | int(newest[1])<<8
	for n := range *flips {
		at := r.IntN(len(newest)) // mostly a value
		switch {
		case n < 3:
			at = n // the header's length
		case n < 10:
			at = 8 + r.IntN(header)
		}
		flipped := bytes.Clone(newest)
		flipped[at] ^= 1 << r.IntN(8)
		o.Folder = filepath.Join(t.TempDir(), "run")
		if err := os.Mkdir(o.Folder, 0o777); err != nil {
			t.Fatal(err)
		}
		for path, text := range map[string][]byte{left[0]: older, left[1]: flipped} {
			if err := os.WriteFile(filepath.Join(o.Folder, filepath.Base(path)), text, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		saved, err := train.ReadSaved(o.Folder)
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		again, err := train.Resume(o, saved)
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		if _, err := again.Run(t.Context()); err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		again.Close()
		if !bytes.Equal(read(t, filepath.Join(o.Folder, train.ModelFile)), want) {
			t.Errorf("byte %d flipped: the run ends with other bits", at)
		}
		if filepath.Base(saved.Path) == filepath.Base(left[0]) {
			if len(saved.Damaged) != 1 || !strings.Contains(saved.Damaged[0].Error(), "is damaged") {
				t.Errorf("byte %d: damaged are %v", at, saved.Damaged)
			}
			if _, err := os.Stat(filepath.Join(o.Folder, filepath.Base(left[1])+".damaged")); err != nil {
				t.Errorf("byte %d: the damaged one is not set aside: %v", at, err)
			}
		} else if at >= 8+header {
			t.Errorf("byte %d, of a value: nobody noticed", at)
		}
	}
}

// TestOlderCheckpoint: one of the first version, without checksum and fingerprints, goes on, and tells what cannot be
// checked.
func TestOlderCheckpoint(t *testing.T) {
	recipe := tiny()
	recipe.Polyak = 0 // its bound was another then
	whole := train.Options{Recipe: recipe, Train: tinySet, Folder: t.TempDir()}
	want, _ := run(t, whole)
	o, saved := savedAs(t, recipe, func(notes map[string]string) {
		if state := notes["vggo.train.state"]; state != "" {
			at := strings.Index(state, `,"pictures"`)
			state = state[:at] + state[strings.Index(state, `,"machine"`):]
			notes["vggo.train.state"] = strings.Replace(state, `{"version":4,`, `{"version":1,`, 1)
		}
	})
	if got := strings.Join(saved.Unchecked(), ", "); got != "the classes' names, the pictures, the validation set" {
		t.Errorf("unchecked are %q", got)
	}
	again, err := train.Resume(o, saved)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := again.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, filepath.Join(o.Folder, train.ModelFile)), want) {
		t.Error("an older checkpoint's run ends with other bits")
	}
}

// TestOtherVersion: a whole checkpoint that another version wrote is not called damaged, set aside or misunderstood.
func TestOtherVersion(t *testing.T) {
	free := tiny()
	free.Polyak = 0
	ended, one := tiny(), 1.0
	ended.Rules = append(ended.Rules, train.Rule{Params: "conv1_1/b", Until: &one})
	for _, c := range []struct {
		name      string
		recipe    train.Recipe
		note      string
		was, then string
		want      string // "": it is read
	}{
		{"a key of then", tiny(), "vggo.train.recipe", "epochs:", "wide: {inputs: 512}\nepochs:", `unknown key "wide"`},
		{"a later version", tiny(), "vggo.train.state", `{"version":4,`, `{"version":5,`, "its version is 5, this"},
		{"another bound", tiny(), "vggo.train.state", `{"version":4,`, `{"version":1,`, "polyak bounded its steps"},
		{"an end of learning", ended, "vggo.train.state", `{"version":4,`, `{"version":3,`, "learn no more counted"},
		{"no bound", free, "vggo.train.state", `{"version":4,`, `{"version":1,`, ""},
		{"nothing frozen", tiny(), "vggo.train.state", `{"version":4,`, `{"version":2,`, ""},
		{"this one", tiny(), "vggo.train.state", `{"version":4,`, `{"version":4,`, ""},
	} {
		for _, sealed := range []bool{true, false} {
			o := train.Options{Recipe: c.recipe, Train: tinySet, Folder: t.TempDir()}
			trainer, err := train.New(train.WithWriter(o, func(path string, tensors []weights.Tensor,
				notes map[string]string) error {
				if !strings.Contains(notes[c.note], c.was) {
					t.Errorf("%s: no %q in %q", c.name, c.was, notes[c.note])
				}
				notes[c.note] = strings.Replace(notes[c.note], c.was, c.then, 1)
				delete(notes, "vggo.train.sum")
				if sealed {
					if err := train.Seal(tensors, notes); err != nil {
						return err
					}
				}
				return weights.Write(path, tensors, notes)
			}))
			if err != nil {
				t.Fatal(err)
			}
			trainer.Close()
			_, err = train.ReadSaved(o.Folder)
			var version *train.VersionError
			if c.want == "" && err != nil || c.want != "" && (!errors.As(err, &version) ||
				!strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s, sealed %v: %v, want %q", c.name, sealed, err, c.want)
			}
		}
	}
}

// otherPictures has the labels of stripes and other pictures.
type otherPictures struct{ stripes }

func (o otherPictures) Picture(i int) (*vision.Picture, error) {
	p, err := o.stripes.Picture(i)
	if err == nil {
		p.Pix[0] ^= 1
	}
	return p, err
}

// TestOtherData: a run goes on with the classes, pictures and validation set that it began with, and no others.
func TestOtherData(t *testing.T) {
	o := halfway(t, t.TempDir())
	for want, change := range map[string]func(*train.Options){
		`the run's class 1 was another: "b", now "x"`:   func(o *train.Options) { o.Classes = []string{"a", "x", "c", "d"} },
		"the run's number of classes was another: 4, n": func(o *train.Options) { o.Classes = []string{"a", "b", "c"} },
		"the run's training set was another: pictures ": func(o *train.Options) { o.Train = otherPictures{tinySet} },
		"the run's training set was another: 160 sampl": func(o *train.Options) {
			o.Train = stripes{n: 191, side: 8,
				channels: 1}
		},
		// nothing is held out then
		"the run's training set was another: 160 samp": func(o *train.Options) { o.Validation = tinySet },
	} {
		saved, err := train.ReadSaved(o.Folder)
		if err != nil {
			t.Fatal(err)
		}
		changed := o
		change(&changed)
		trainer, err := train.Resume(changed, saved)
		if err == nil {
			trainer.Close()
		}
		var other *train.OtherDataError
		if !errors.As(err, &other) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestTwoTrainers: the second in a folder is refused, whether it begins or resumes, and the first ends as if alone.
func TestTwoTrainers(t *testing.T) {
	alone := train.Options{Recipe: tiny(), Train: tinySet, Folder: t.TempDir()}
	want, _ := run(t, alone)
	o := alone
	o.Folder = t.TempDir()
	tried := false
	o.Report = func(r train.Report) {
		if r.Step != 12 || tried {
			return
		}
		tried = true
		second := o
		second.Report = nil
		var running *train.RunningError
		if _, err := train.New(second); !errors.As(err, &running) {
			t.Errorf("a second one that begins: %v", err)
		}
		saved, err := train.ReadSaved(o.Folder)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := train.Resume(second, saved); !errors.As(err, &running) {
			t.Errorf("a second one that resumes: %v", err)
		}
	}
	if got, _ := run(t, o); !bytes.Equal(got, want) || !tried {
		t.Errorf("the first ends with other bits (tried %v)", tried)
	}
	if left, err := filepath.Glob(filepath.Join(o.Folder, ".*")); err != nil || len(left) > 0 {
		t.Errorf("%v is left (%v)", left, err)
	}
}

// TestNothingLeft: a run that never began leaves nothing that was not there before.
func TestNothingLeft(t *testing.T) {
	full := errors.New("full")
	for what, change := range map[string]func(*train.Options){
		"a wrong recipe": func(o *train.Options) { o.Recipe.Rules = []train.Rule{{Params: "fc9"}} },
		"too few":        func(o *train.Options) { o.Train = stripes{n: 40, side: 8, channels: 1} },
		"a full disk": func(o *train.Options) {
			*o = train.WithWriter(*o, func(string, []weights.Tensor, map[string]string) error { return full })
		},
	} {
		dir := t.TempDir()
		o := train.Options{Recipe: tiny(), Train: tinySet, Folder: filepath.Join(dir, "deep", "run"),
			Beside: map[string][]byte{"run.json": []byte("{}")}}
		change(&o)
		if _, err := train.New(o); err == nil {
			t.Errorf("%s: no error", what)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
			t.Errorf("%s: %v is left (%v)", what, entries, err)
		}
		o.Folder = dir
		mine := filepath.Join(dir, "recipe.yaml")
		if err := os.WriteFile(mine, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := train.New(o); err == nil {
			t.Errorf("%s: no error", what)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || entries[0].Name() != "recipe.yaml" {
			t.Errorf("%s: %v is left of a folder with a file (%v)", what, entries, err)
		}
	}
}

// TestFinishedRun: resuming a run that has ended tells its figures again.
func TestFinishedRun(t *testing.T) {
	o := train.Options{Recipe: tiny(), Train: tinySet, Folder: t.TempDir()}
	_, want := run(t, o)
	saved, err := train.ReadSaved(o.Folder)
	if err != nil {
		t.Fatal(err)
	}
	again, err := train.Resume(o, saved)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	got, err := again.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !again.Finished() || got.Loss != want.Loss || got.Loss == 0 || got.Steps != want.Steps || got.Best != want.Best ||
		*got.Validation != *want.Validation {
		t.Errorf("%+v, the run said %+v", got, want)
	}
}

// TestNothingValidated: the file of the best weights is there all the same, and holds the last.
func TestNothingValidated(t *testing.T) {
	o := train.Options{Recipe: tiny(), Train: tinySet, Folder: t.TempDir()}
	o.Recipe.HoldOut, o.Recipe.Schedule, o.Recipe.Epochs = 0, train.Schedule{Kind: "constant"}, 0.2
	last, result := run(t, o)
	if !bytes.Equal(read(t, filepath.Join(o.Folder, train.BestFile)), last) || result.BestStep != 0 {
		t.Errorf("%s is not the last state (%+v)", train.BestFile, result)
	}
}

// TestChanceHeldOut: where pictures that it did not learn from are better than guessed, the loss of its batches, which
// is dropout's too, does not make a run one that has learned nothing.
func TestChanceHeldOut(t *testing.T) {
	above, below := []float64{1.3, 1.2, 1.1}, []float64{1.2, 1, 0.9} // ln 3 = 1.099
	for _, c := range []struct {
		losses []float64
		held   *train.Score
		want   bool
	}{
		{below, nil, false}, {nil, nil, false}, {above, nil, true},
		{above, &train.Score{Loss: 0.996, Accuracy: 0.7}, false}, // D from A, 31 steps
		{above, &train.Score{Loss: 1.12, Accuracy: 0.4}, true},
		{above, &train.Score{Loss: 1.09, Accuracy: 0.3}, true}, // no better than guessed
		{below, &train.Score{Loss: 1.2, Accuracy: 0.3}, false},
	} {
		if got := train.ChanceOf(c.losses, 3, c.held); (got != nil) != c.want {
			t.Errorf("%v, held out %+v: %v", c.losses, c.held, got)
		}
	}
}

// TestChance: a run whose loss ends above that of guessing says so, in its result and its metrics; others do not.
func TestChance(t *testing.T) {
	for _, c := range []struct {
		rate float64
		want bool
	}{{0.05, false}, {2, true}} {
		o := train.Options{Recipe: tiny(), Train: tinySet, Folder: t.TempDir()}
		o.Recipe.Optimiser.Rate, o.Recipe.Polyak, o.Recipe.Clip, o.Recipe.Schedule = c.rate, 0, 1,
			train.Schedule{Kind: "constant"}
		o.Recipe.Optimiser.Decay, o.Recipe.Augment, o.Recipe.Smoothing = 0, train.Augment{}, 0
		_, result := run(t, o)
		metrics := withoutTimes(t, o.Folder)
		noted := metrics[len(metrics)-1].Chance
		if (result.Chance != nil) != c.want || (noted != nil) != c.want {
			t.Errorf("rate %v: result %v, metrics %v, loss %v", c.rate, result.Chance, noted, result.Loss)
		}
	}
}
