package train_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vggo/vggo/train"
)

// TestRecipesComeBack: what is written is what is read, and each recipe that comes with the package can be begun.
func TestRecipesComeBack(t *testing.T) {
	all := variants()
	for _, name := range train.RecipeNames() {
		r, err := train.OpenRecipe(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.Name != name {
			t.Errorf("%s calls itself %q", name, r.Name)
		}
		all[name] = r
		if r.Model == "" {
			continue
		}
		net, err := r.Network()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := train.CheckRecipe(r, net); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range all {
		var text bytes.Buffer
		if err := want.Write(&text); err != nil {
			t.Fatal(err)
		}
		got, err := train.DecodeRecipe(bytes.NewReader(text.Bytes()))
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text.Bytes())
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s comes back as\n%+v, was\n%+v, by way of\n%s", name, got, want, text.Bytes())
		}
	}
}

func TestRecipeSet(t *testing.T) {
	r := train.Default()
	for _, s := range []string{
		"optimiser.rate=0.5", "batch=64", "augment={crop: pad, pad: 4}", "schedule.at=[3, 5.5]", "model=8x8x1:8,M/4",
		"rules=[{params: '*/b', decay: 0}]", "name=a b", "hold_out = 5",
	} {
		if err := r.Set(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	if r.Optimiser.Rate != 0.5 || r.Optimiser.Momentum != 0.9 || r.Batch != 64 || r.Augment.Pad != 4 ||
		r.Augment.Flip != "random" ||
		len(r.Schedule.At) != 2 || r.Model != "8x8x1:8,M/4" || len(r.Rules) != 1 || *r.Rules[0].Decay != 0 ||
		r.Name != "a b" || r.HoldOut != 5 {
		t.Errorf("%+v", r)
	}
	before := r
	for s, want := range map[string]string{
		"batch":                       "want key=value",
		"=3":                          "want key=value",
		"optimiser.speed=1":           `unknown key "speed"`,
		"epoch=1":                     `unknown key "epoch": did you mean epochs?`,
		"rules=[{params: x, rat: 0}]": `unknown key "rat": did you mean rate?`,
		"rate=0.1":                    `unknown key "rate": did you mean optimiser.rate or rates?`,
		"optimizer.rate=0.1":          `unknown key "optimizer": did you mean optimiser?`,
		"batch=many":                  "cannot read str `many` as int",
		"batch=3, seed: 5":            "cannot read",
		"batch=3}, {seed: 5":          "cannot read",
		"batch= # 5":                  "there is no value",
		"optimiser={rate: 1, fly: }":  `unknown key "fly"`,
		"batch=[":                     "",
	} {
		if err := r.Set(s); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", s, err, want)
		}
	}
	if r.Batch != before.Batch || r.Seed != before.Seed {
		t.Errorf("a refused value was set: %+v", r)
	}
}

func TestRecipeErrors(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"":                             "the recipe is empty",
		"epochs: 3\nbatsh: 4\n":        `line 2: unknown key "batsh"`,
		"epochs: 3\n---\nepochs: 4\n":  "more than one document",
		"epochs: [3]\n":                "line 1: cannot read seq as float64",
		"e\n\np":                       "cannot read str `e p` as Recipe",
		strings.Repeat("# \n", 400000): "at most 1048576 bytes",
	} {
		path := filepath.Join(dir, "r.yaml")
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := train.OpenRecipe(path); err == nil || !strings.HasPrefix(err.Error(), path) ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
	if _, err := train.OpenRecipe("papr"); err == nil || !strings.Contains(err.Error(), `no recipe is called "papr"`) {
		t.Error(err)
	}
}

// FuzzRecipe: no text makes reading a recipe, or changing it, fail other than with an error of one line; what is read
// can be written and read again.
func FuzzRecipe(f *testing.F) {
	for _, name := range train.RecipeNames() {
		r, err := train.OpenRecipe(name)
		if err != nil {
			f.Fatal(err)
		}
		var text bytes.Buffer
		if err := r.Write(&text); err != nil {
			f.Fatal(err)
		}
		f.Add(text.String(), "optimiser.rate=0.1")
	}
	f.Fuzz(func(t *testing.T, text, assignment string) {
		r, err := train.DecodeRecipe(strings.NewReader(text))
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
			return
		}
		_ = r.Set(assignment)
		var written bytes.Buffer
		if err := r.Write(&written); err != nil {
			t.Fatal(err)
		}
		if _, err := train.DecodeRecipe(&written); err != nil {
			t.Fatalf("%q is written as what cannot be read: %v", text, err)
		}
	})
}
