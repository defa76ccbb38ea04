package train_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/vggo/vggo/train"
)

// TestSmallLeft: the time that is left counts whole pictures for what they take, also where a run went on.
func TestSmallLeft(t *testing.T) {
	recipe := tiny()
	recipe.Model, recipe.Small = "8x8x1:8b,M,16,G/4", train.Small{Side: 4, Until: 1.5}
	const steps, small, share = 30, 15, 16. / 64
	work := func(step int) float64 {
		return min(float64(step), small)*share + max(float64(step)-small, 0)
	}
	o := train.Options{Recipe: recipe, Train: tinySet, Folder: t.TempDir()}
	told := 0
	o.Report = func(r train.Report) {
		began := r.Step - r.Images/recipe.Batch
		if r.Images == 0 || r.Steps != steps {
			return
		}
		told++
		want := float64(r.Elapsed) * (work(steps) - work(r.Step)) / (work(r.Step) - work(began))
		if math.Abs(float64(r.Left)-want) > 1e-6*want+2 {
			t.Errorf("after step %d of a run that went on at %d %v are left, want %v ns", r.Step, began, r.Left, want)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	tell := o.Report
	o.Report = func(r train.Report) {
		if tell(r); r.Step == 10 {
			stop()
		}
	}
	trainer, err := train.New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	var interrupted *train.InterruptedError
	if _, err := trainer.Run(ctx); !errors.As(err, &interrupted) {
		t.Fatal(err)
	}
	saved, err := train.ReadSaved(o.Folder)
	if err != nil {
		t.Fatal(err)
	}
	if trainer, err = train.Resume(o, saved); err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	if _, err := trainer.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if told < steps {
		t.Errorf("told %d times", told)
	}
}
