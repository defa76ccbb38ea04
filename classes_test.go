package vggo_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// TestChooseLabels: a file's own names stay, whatever is given, unless somebody says otherwise.
func TestChooseLabels(t *testing.T) {
	own := []string{"cat", "dog"}
	for _, c := range []struct {
		what       string
		own, given vision.Labels
		relabel    bool
		want       []string
		synsets    []string
		fault      string
	}{
		{"the file's", vision.Labels{Names: own}, vision.Labels{}, false, own, nil, ""},
		{"given", vision.Labels{}, vision.Labels{Names: own}, false, own, nil, ""},
		{"none", vision.Labels{}, vision.Labels{}, false, nil, nil, ""},
		{"the same", vision.Labels{Names: own}, vision.Labels{Names: []string{"Cat", "dog, Canis familiaris"}}, false,
			own, nil, ""},
		{"the same, written otherwise", vision.Labels{Names: own}, vision.Labels{Names: []string{"CAT", "d-o-g"}}, false,
			own, nil, ""},
		{"with numbers of WordNet", vision.Labels{Names: own}, vision.Labels{Names: own, Synsets: []string{"n02121620",
			"n02084071"}}, false, own, []string{"n02121620", "n02084071"}, ""},
		{"another order", vision.Labels{Names: own}, vision.Labels{Names: []string{"dog", "cat"}}, false, nil, nil,
			`f: the file names its own classes, and the labels given are others: class 0 is "cat" in it, not "dog"`},
		{"others", vision.Labels{Names: own}, vision.Labels{Names: []string{"cat", "bird"}}, false, nil, nil,
			`class 1 is "dog" in it, not "bird"`},
		{"meant", vision.Labels{Names: own}, vision.Labels{Names: []string{"chat", "chien"}}, true, []string{"chat", "chien"},
			nil, ""},
		{"numbers are no names", vision.Labels{Names: []string{"0", "1"}}, vision.Labels{Names: own}, false, own, nil, ""},
		{"numbers in another order are", vision.Labels{Names: []string{"1", "0"}}, vision.Labels{Names: own}, false, nil, nil,
			`class 0 is "1" in it, not "cat"`},
		{"too many", vision.Labels{}, vision.Labels{Names: []string{"a", "b", "c"}}, false, nil, nil,
			"net has 2 classes, not the 3 that are named"},
		{"too many noted", vision.Labels{Names: []string{"a", "b", "c"}}, vision.Labels{}, false, nil, nil,
			"net has 2 classes, not the 3 that are named"},
	} {
		got, err := vggo.ChooseLabels(c.own, c.given, c.relabel, "net", 2)
		var other *vggo.LabelsError
		if errors.As(err, &other) {
			other.File = "f"
		}
		if c.fault == "" && (err != nil || !slices.Equal(got.Names, c.want) || !slices.Equal(got.Synsets, c.synsets)) {
			t.Errorf("%s: %q (%v), want %q %q", c.what, got, err, c.want, c.synsets)
		}
		if c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%s: error %v, want %q", c.what, err, c.fault)
		}
	}
}

// TestClassesGuess: ImageNet's names for a thousand classes are called a guess, and given ones are none.
func TestClassesGuess(t *testing.T) {
	placed, err := arch.Open("8x8x3:2,M/1000")
	if err != nil {
		t.Fatal(err)
	}
	var description bytes.Buffer
	if err := placed.Network.EncodeJSON(&description); err != nil {
		t.Fatal(err)
	}
	var tensors []weights.Tensor
	for _, layer := range placed.Layers {
		for _, p := range layer.Params {
			tensors = append(tensors, weights.Tensor{Name: p.Name, Shape: p.Shape, Data: make([]float32, p.Count())})
		}
	}
	path := t.TempDir() + "/w.safetensors"
	open := func(notes map[string]string, options vggo.Options) *vggo.Model {
		t.Helper()
		notes[weights.NetworkNote], notes[weights.RecipeNote] = description.String(), "imagenet"
		if err := weights.Write(path, tensors, notes); err != nil {
			t.Fatal(err)
		}
		m, err := vggo.Open(path, options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		return m
	}
	if m := open(map[string]string{}, vggo.Options{}); m.Classes[0] != "tench" || m.Synsets[0] != "n01440764" ||
		!strings.Contains(m.ClassesGuess, "taken for ImageNet's") {
		t.Errorf("%.60q, %q", m.Classes, m.ClassesGuess)
	}
	if m := open(map[string]string{}, vggo.Options{Classes: vision.ImageNetClasses()}); m.ClassesGuess != "" {
		t.Errorf("given names are a guess: %q", m.ClassesGuess)
	}
	if _, err := vggo.Open(path, vggo.Options{Classes: vision.ImageNetClasses(),
		Synsets: []string{"n01440764"}}); err == nil {
		t.Error("one WordNet number for a thousand names is taken")
	}
	if err := weights.Write(path, tensors, map[string]string{weights.NetworkNote: description.String(),
		weights.ClassesNote: `["a\u001b[2J"]`}); err != nil {
		t.Fatal(err)
	}
	if _, err := vggo.Open(path, vggo.Options{}); err == nil || !strings.Contains(err.Error(), "label 1 is not a name") {
		t.Errorf("a note that a terminal would obey: %v", err)
	}
}
