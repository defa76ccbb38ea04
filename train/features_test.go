package train_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

// keeping is a run whose first block is frozen, with the pictures as they are. counted is how often the frozen layers
// were computed, said the notices.
func keeping(t *testing.T, counted *int, said *[]string) train.Options {
	recipe := tiny()
	recipe.Augment, recipe.Rates = train.Augment{}, map[string]float64{"block1": 0}
	return train.WithChunk(train.Options{Recipe: recipe, Train: tinySet, Folder: filepath.Join(t.TempDir(), "run"),
		Features: 1 << 20, Start: drawn,
		Observe: func(part train.Part, _ time.Duration) {
			if part.Layers != nil && part.Layers[0] == "conv1_1" && part.Pass == nn.ForwardPass {
				*counted++
			}
		},
		Report: func(r train.Report) {
			if r.Notice != "" {
				*said = append(*said, r.Notice)
			}
		}}, 20_000)
}

// drawn gives convolutions values, as a file would.
func drawn(p arch.Param) ([]float32, error) {
	if p.FanIn == 0 || !strings.HasPrefix(p.Name, "conv") {
		return nil, nil
	}
	r := rand.New(rand.NewPCG(5, uint64(p.FanIn)))
	data := make([]float32, p.Count())
	for i := range data {
		data[i] = float32(r.NormFloat64() * math.Sqrt(2/float64(p.FanIn)))
	}
	return data, nil
}

// epochs trains until so many epochs are over, from where the folder is, and stops there; 4 are more than all.
func epochs(t *testing.T, o train.Options, n int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	perEpoch := (tinySet.n - o.Recipe.HoldOut) / o.Recipe.Batch
	report := o.Report
	o.Report = func(r train.Report) {
		if report(r); r.Step == n*perEpoch {
			stop()
		}
	}
	saved, err := train.ReadSaved(o.Folder)
	var trainer *train.Trainer
	if err == nil {
		trainer, err = train.Resume(o, saved)
	} else {
		trainer, err = train.New(o)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	if _, err := trainer.Run(ctx); err != nil && !errors.As(err, new(*train.InterruptedError)) {
		t.Fatal(err)
	}
}

// TestKept: in the first epoch the frozen layers are computed, in others not, whether the process is another or not;
// and the bits are those of a run that keeps nothing.
func TestKept(t *testing.T) {
	var counted int
	var said []string
	o := keeping(t, &counted, &said)
	none := o
	none.Folder, none.Features = t.TempDir(), -1
	want, _ := run(t, none)
	perEpoch := (tinySet.n - o.Recipe.HoldOut) / o.Recipe.Batch
	if steps := 3 * perEpoch * o.Recipe.Accumulate; counted != steps {
		t.Errorf("without keeping the frozen layers are computed %d times, want %d", counted, steps)
	}
	for _, stops := range [][]int{{4}, {1, 2, 4}} {
		counted, said = 0, nil
		o.Folder = filepath.Join(t.TempDir(), "run")
		for i, n := range stops {
			if i > 0 {
				if kept, _ := filepath.Glob(filepath.Join(o.Folder, train.FeaturesFolder, "*")); len(kept) < 2 {
					t.Errorf("kept are the files %v", kept)
				}
			}
			epochs(t, o, n)
		}
		// of the pictures that an epoch leaves out, as a batch is whole, the next ones show some
		if first := perEpoch * o.Recipe.Accumulate; counted < first || counted > first+2*o.Recipe.Accumulate {
			t.Errorf("the frozen layers are computed %d times, want about %d", counted, first)
		}
		if !bytes.Equal(read(t, filepath.Join(o.Folder, train.ModelFile)), want) {
			t.Error("other bits than without keeping")
		}
		if len(said) != len(stops) || !strings.Contains(said[0], "layers up to pool1 make of each picture is kept") {
			t.Errorf("said is %q", said)
		}
	}
}

// TestKeptFaults: kept features that are damaged, cut off, of something else or not to be written are computed again,
// to the same bits, and one line says so.
func TestKeptFaults(t *testing.T) {
	var counted int
	var said []string
	o := keeping(t, &counted, &said)
	none := o
	none.Folder, none.Features = t.TempDir(), -1
	want, _ := run(t, none)
	change := func(at int) func(text []byte) []byte {
		return func(text []byte) []byte {
			if at < 0 {
				at += len(text)
			}
			text[at] ^= 1
			return text
		}
	}
	for _, c := range []struct {
		name  string
		fault func(text []byte) []byte
		want  string
	}{
		{"a bit of a value", change(-5), "is damaged: its checksum is another"},
		{"a bit of a record's picture", change(16 + 32 + 8), ""}, // which nobody looks for
		{"a bit of the key", change(20), "of other weights, another preparation or another machine"},
		{"cut off", func(text []byte) []byte { return text[:len(text)-7] }, "is damaged: its length is another"},
		{"empty", func([]byte) []byte { return nil }, "is no file of features"},
		{"something else", func([]byte) []byte { return bytes.Repeat([]byte("vggo"), 1000) }, "is no file of features"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o.Folder = filepath.Join(t.TempDir(), "run")
			epochs(t, o, 1)
			files, _ := filepath.Glob(filepath.Join(o.Folder, train.FeaturesFolder, "*"))
			if len(files) < 2 {
				t.Fatalf("kept are the files %v", files)
			}
			if err := os.WriteFile(files[1], c.fault(read(t, files[1])), 0o666); err != nil {
				t.Fatal(err)
			}
			counted, said = 0, nil
			epochs(t, o, 4)
			if !bytes.Equal(read(t, filepath.Join(o.Folder, train.ModelFile)), want) {
				t.Error("other bits")
			}
			if counted == 0 {
				t.Error("nothing is computed again")
			}
			if c.want == "" && len(said) == 1 {
				return
			}
			if n := strings.Count(strings.Join(said, "\n"), c.want); n != 1 || len(said) != 2 {
				t.Errorf("said is %q, want %q once", said, c.want)
			}
		})
	}
	t.Run("a file where the folder is to be", func(t *testing.T) {
		o.Folder, said = t.TempDir(), nil
		if err := os.WriteFile(filepath.Join(o.Folder, train.FeaturesFolder), nil, 0o666); err != nil {
			t.Fatal(err)
		}
		got, _ := run(t, o)
		if !bytes.Equal(got, want) {
			t.Error("other bits")
		}
		if len(said) != 2 || !strings.Contains(said[1], "features cannot be kept: ") {
			t.Errorf("said is %q", said)
		}
	})
}

// TestKeptPictures: a picture that has changed since is computed anew, though its number is the same.
func TestKeptPictures(t *testing.T) {
	var counted int
	var said []string
	o := keeping(t, &counted, &said)
	epochs(t, o, 1)
	none := o
	none.Folder, none.Features = filepath.Join(t.TempDir(), "run"), -1
	if err := os.CopyFS(none.Folder, os.DirFS(o.Folder)); err != nil {
		t.Fatal(err)
	}
	o.Train = onePicture{tinySet, 101} // none of those that tell data sets apart
	none.Train = o.Train
	epochs(t, o, 4)
	epochs(t, none, 4)
	if !bytes.Equal(read(t, filepath.Join(o.Folder, train.ModelFile)),
		read(t, filepath.Join(none.Folder, train.ModelFile))) {
		t.Error("other bits than without keeping")
	}
}

// TestNotKept: what cannot be found again is not kept, nor what is as quickly computed, and one line says why.
func TestNotKept(t *testing.T) {
	for want, change := range map[string]func(*train.Options){
		"crop: pad cuts each picture otherwise": func(o *train.Options) {
			o.Recipe.Augment = train.Augment{Crop: "pad", Pad: 1}
		},
		"cutout clears another square":             func(o *train.Options) { o.Recipe.Augment.Cutout = 2 },
		"reading it back would take about as long": func(o *train.Options) { o.Features = 0 },
	} {
		var counted int
		var said []string
		o := keeping(t, &counted, &said)
		o.Recipe.Epochs = 1.1
		change(&o)
		run(t, o)
		if len(said) != 1 || !strings.Contains(said[0], "not kept over epochs: "+want) {
			t.Errorf("said is %q, want %q", said, want)
		}
	}
}

// onePicture is stripes of which one is another.
type onePicture struct {
	stripes
	other int
}

func (o onePicture) Picture(i int) (*vision.Picture, error) {
	p, err := o.stripes.Picture(i)
	if err == nil && i == o.other {
		p.Pix[0] ^= 64
	}
	return p, err
}
