package train_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/weights"
)

// kills is how often TestKilled kills: go test ./train -run TestKilled -kills 200.
var kills = flag.Int("kills", 20, "how often TestKilled kills the trainer")

// killedFolder names the folder of a run for the process that is to be killed.
const killedFolder = "VGGO_TEST_KILLED_FOLDER"

// recipesToKill are those that TestKilled kills by turns, by the names of folders.
func recipesToKill() map[string]train.Recipe {
	return map[string]train.Recipe{"sgd": tiny(), "muon": muon(tiny())}
}

// TestKilled kills a trainer at random moments, between steps and in the midst of writing, and resumes it: each
// finished run has the bits of one that nobody disturbed.
func TestKilled(t *testing.T) {
	if folder := os.Getenv(killedFolder); folder != "" {
		trainKilled(t, folder)
		return
	}
	want := map[string][]byte{}
	for name, recipe := range recipesToKill() {
		want[name], _ = run(t, train.Options{Recipe: recipe, Train: tinySet, Folder: t.TempDir()})
	}
	names := [...]string{"sgd", "muon"}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(rand.Uint64(), 1))
	folder, finished, processes := filepath.Join(t.TempDir(), names[0]), 0, 0
	for killed := 0; killed < *kills; {
		processes++
		cmd := exec.Command(program, "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), killedFolder+"="+folder)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var faults bytes.Buffer
		cmd.Stderr = &faults
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		signs := 1 + r.IntN(60) // of life; a run gives about 50
		_, err = io.ReadFull(out, make([]byte, signs))
		if err == nil {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			killed++
		}
		rest, _ := io.ReadAll(out)
		ended := cmd.Wait()
		if err == nil && ended != nil {
			continue // killed
		}
		if ended != nil {
			t.Fatalf("the run fails by itself: %v\n%s%s", ended, rest, faults.Bytes())
		}
		if got := read(t, filepath.Join(folder, train.ModelFile)); !bytes.Equal(got, want[filepath.Base(folder)]) {
			t.Fatalf("after %d kills the run of %s ends with other bits", killed, filepath.Base(folder))
		}
		if left, err := filepath.Glob(filepath.Join(folder, "*.partial-*")); err != nil || len(left) > 0 {
			t.Errorf("%v is left (%v)", left, err)
		}
		finished++
		folder = filepath.Join(t.TempDir(), names[finished%len(names)])
	}
	t.Logf("%d kills of %d processes, %d runs finished", *kills, processes, finished)
}

// trainKilled begins or resumes the run of a folder and writes a byte for each sign of life.
func trainKilled(t *testing.T, folder string) {
	sign := func() { os.Stdout.Write([]byte{'.'}) }
	o := train.WithWriter(train.Options{Recipe: recipesToKill()[filepath.Base(folder)], Train: tinySet, Folder: folder,
		Report: func(train.Report) { sign() }},
		func(path string, tensors []weights.Tensor, notes map[string]string) error {
			sign()
			return weights.Write(path, tensors, notes)
		})
	var trainer *train.Trainer
	saved, err := train.ReadSaved(folder)
	var none *train.NoCheckpointError
	switch {
	case err == nil:
		trainer, err = train.Resume(o, saved)
	case errors.As(err, &none) || errors.Is(err, os.ErrNotExist):
		trainer, err = train.New(o)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	if _, err := trainer.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}
