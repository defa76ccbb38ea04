package vggo_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

const (
	tinyWeights = "weights/testdata/tinyvgg-fashionmnist.safetensors"
	tinyLabels  = "docs/examples/fashion-mnist.txt"
)

func openTiny(t testing.TB, options vggo.Options) *vggo.Model {
	t.Helper()
	m, err := vggo.Open(tinyWeights, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// noise is a picture of random samples.
func noise(seed uint64, w, h int) image.Image {
	r := rand.New(rand.NewPCG(seed, 0))
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Set(x, y, color.RGBA{uint8(r.Uint32()), uint8(r.Uint32()), uint8(r.Uint32()), 255})
		}
	}
	return m
}

// TestSharedModel asks one model from eight goroutines for different things at once: each gets the bits that one alone
// gets.
func TestSharedModel(t *testing.T) {
	ctx := context.Background()
	m := openTiny(t, vggo.Options{Batch: 4})
	type answer struct {
		classes  []vggo.Class
		features []float32
	}
	ask := func(seed uint64) (answer, error) {
		classes, err := m.Classify(ctx, noise(seed, 40, 30))
		if err != nil {
			return answer{}, err
		}
		batch, err := m.Prepare(ctx, slices.Repeat([]*vision.Picture{vision.FromImage(noise(seed, 28, 28))}, 5))
		if err != nil {
			return answer{}, err
		}
		features, err := m.Features(ctx, "pool2", batch)
		return answer{classes, features.Data}, err
	}
	var want []answer
	for seed := range uint64(8) {
		a, err := ask(seed)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, a)
	}
	var all sync.WaitGroup
	for seed := range uint64(8) {
		all.Go(func() {
			for range 10 {
				got, err := ask(seed)
				if err != nil || !slices.Equal(got.classes, want[seed].classes) ||
					!slices.Equal(got.features, want[seed].features) {
					t.Errorf("picture %d: another answer than alone (%v)", seed, err)
				}
			}
		})
	}
	all.Wait()
}

// TestFeatures holds that the beginning of a network computes what the whole one passes on.
func TestFeatures(t *testing.T) {
	ctx := context.Background()
	m, err := vggo.New("32x32x3:8,M,16,M/24,10", vggo.Options{Seed: 7, Batch: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	batch, err := m.Prepare(ctx, []*vision.Picture{vision.FromImage(noise(1, 50, 32)), vision.FromImage(noise(2, 32, 32)),
		vision.FromImage(noise(3, 64, 64))})
	if err != nil {
		t.Fatal(err)
	}
	before, err := m.Features(ctx, "fc3", batch)
	if err != nil {
		t.Fatal(err)
	}
	after, err := m.Features(ctx, "relu3", batch)
	if err != nil {
		t.Fatal(err)
	}
	if before.N != 3 || before.C != 24 || before.Shape() != after.Shape() {
		t.Fatalf("features of shapes %s and %s, want 3x24x1x1", before.Shape(), after.Shape())
	}
	negative := 0
	for i, v := range before.Data {
		if v < 0 {
			negative++
		}
		if after.Data[i] != max(v, 0) {
			t.Fatalf("feature %d: %v, rectified %v", i, v, after.Data[i])
		}
	}
	if negative == 0 {
		t.Error("no feature is negative: nothing was tested")
	}
	logits, err := m.Forward(ctx, batch)
	if err != nil {
		t.Fatal(err)
	}
	last, err := m.Features(ctx, "fc4", batch)
	if err != nil || !slices.Equal(last.Data, logits.Data) {
		t.Errorf("the last layer's features are not the logits (%v)", err)
	}
	if _, err := m.Features(ctx, "fc9", batch); err == nil {
		t.Error("the features of a layer that is not there")
	}
}

func TestModelErrors(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		options vggo.Options
		want    string
	}{
		{vggo.Options{Classes: []string{"a"}}, "tinyvgg has 10 classes, not the 1 that are named"},
		{vggo.Options{Preprocess: vision.PreprocessParts{Base: "imagenet"}},
			"preprocess imagenet is for colour, not for grey pictures: take unit"},
		{vggo.Options{Preprocess: vision.PreprocessParts{Base: "best"}},
			`unknown preprocess "best": want one of imagenet, caffe, caffe-rgb, cifar10, fashion-mnist, unit, or a file ` +
				`ending in .yaml`},
		{vggo.Options{Network: "vgg17"}, `no network is called "vgg17"`},
	} {
		if m, err := vggo.Open(tinyWeights, c.options); fmt.Sprint(err) != c.want {
			t.Errorf("%+v: %v, %v, want %s", c.options, m, err, c.want)
		}
	}
	m := openTiny(t, vggo.Options{})
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := m.Classify(cancelled, noise(1, 28, 28)); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancelling: %v", err)
	}
	if _, err := m.Forward(ctx, tensor.New(1, 3, 28, 28)); err == nil {
		t.Error("colour went through a network for grey")
	}
	if _, err := m.ClassifyAll(ctx, nil); err != nil {
		t.Errorf("no pictures: %v", err)
	}
}
