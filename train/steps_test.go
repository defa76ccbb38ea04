package train_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

// narrow is a built-in network as it can be trained in a test: for small pictures of three classes, with a quarter of
// the widths.
func narrow(t *testing.T, name string, side int) *arch.Network {
	t.Helper()
	net, err := arch.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	if net.Input.H > side {
		net.Input.H, net.Input.W = side, side
	}
	last := -1
	for i, layer := range net.Layers {
		switch op := layer.Op.(type) {
		case arch.Conv:
			if op.Out >= 64 {
				op.Out /= 4
				net.Layers[i].Op = op
			}
		case arch.Linear:
			if op.Out >= 4096 {
				op.Out /= 4
				net.Layers[i].Op = op
			}
			last = i
		}
	}
	op := net.Layers[last].Op.(arch.Linear)
	op.Out = 3
	net.Layers[last].Op = op
	return net
}

// three is three classes of CIFAR-10's test pictures, or of Fashion-MNIST's for one channel.
func three(t *testing.T, channels, each int) train.Dataset {
	t.Helper()
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: there are no real pictures to learn from")
	}
	path := "cifar10-png.tar.gz"
	if channels == 1 {
		path = "fashion-mnist"
	}
	all, err := vision.OpenDataset(filepath.Join(root, path), vision.Test)
	if err != nil {
		t.Fatal(err)
	}
	d := &chosen{Dataset: all}
	classes := map[int]int{0: 0, 1: 1, 8: 2} // airplanes, automobiles, ships; T-shirts, trousers, bags
	counts := [3]int{}
	for i := range all.Len() {
		if c, ok := classes[all.Label(i)]; ok && counts[c] < each {
			counts[c]++
			d.index, d.label = append(d.index, i), append(d.label, c)
		}
	}
	return d
}

type chosen struct {
	train.Dataset
	index, label []int
}

func (c *chosen) Len() int                               { return len(c.index) }
func (c *chosen) Label(i int) int                        { return c.label[i] }
func (c *chosen) Picture(i int) (*vision.Picture, error) { return c.Dataset.Picture(c.index[i]) }

// TestSteps: every built-in network takes 30 steps of every recipe that fits it, on real pictures, and its loss falls.
// A batch is all of the pictures, so that steps differ by what was learned and not by what they show.
// scripts/steps_table.py does the same with the whole networks, beside PyTorch.
func TestSteps(t *testing.T) {
	colour, grey := three(t, 3, 8), three(t, 1, 8)
	for _, recipe := range []string{"plain", "paper"} {
		for _, name := range arch.Names() {
			t.Run(recipe+"/"+name, func(t *testing.T) {
				if testing.Short() && name != "vgg11-cifar" && name != "vgg16-bn" {
					t.Skip("with -short two networks stand for all: minutes under the race detector and on portable kernels")
				}
				t.Parallel()
				r, err := train.OpenRecipe(recipe)
				if err != nil {
					t.Fatal(err)
				}
				side := 32
				if name == "zfnet" || strings.HasPrefix(name, "alexnet") { // their first windows are large
					side = 67
				}
				net := narrow(t, name, side)
				if recipe == "paper" && net.Input.C == 1 {
					t.Skip("the paper's colours and means are for three channels")
				}
				o := train.Options{Recipe: r.WithBatch(24), Network: net, Train: colour, Validation: colour}
				if net.Input.C == 1 {
					o.Train, o.Validation = grey, grey
				}
				losses, err := steps(o, 30)
				if err != nil {
					t.Fatal(err)
				}
				begin, end := mean(losses[:5]), mean(losses[25:])
				t.Logf("first %.3f, first five %.3f, last five %.3f", losses[0], begin, end)
				if end > begin-0.03 {
					t.Errorf("the loss begins at %.4f and ends at %.4f: %.3f", begin, end, losses)
				}
			})
		}
	}
}

// TestWideHead: a head of 4,096 units, for which a rate of 0.02 is too much, learns three classes by plain. Without a
// bound on the rate the loss leaps.
func TestWideHead(t *testing.T) {
	r := train.Default()
	r.Model = "32x32x3:16b,M,32b,M,64b,M,64b,M/4096,4096,3"
	colour := three(t, 3, 40)
	losses, err := steps(train.Options{Recipe: r.WithBatch(12), Train: colour}, 60)
	if err != nil {
		t.Fatal(err)
	}
	if begin, end := mean(losses[:10]), mean(losses[50:]); end > 0.95*begin || slices.Max(losses) > 2.5 {
		t.Errorf("the loss begins at %.3f and ends at %.3f: %.3f", begin, end, losses)
	}
	r.Polyak = 0
	if losses, err = steps(train.Options{Recipe: r.WithBatch(12), Train: colour}, 30); err != nil {
		t.Fatal(err)
	}
	if slices.Max(losses) < 4 {
		t.Errorf("without polyak the loss stays below 4: %.3f", losses)
	}
}

// TestRecipesThatPublishFigures: the recipes of docs/training.md train as they did, by nothing that came later.
func TestRecipesThatPublishFigures(t *testing.T) {
	for _, name := range []string{"cifar10", "fashion-mnist"} {
		r, err := train.OpenRecipe(name)
		if err != nil || r.Polyak != 0 || r.Init.Level || r.Preprocess.Base != name {
			t.Errorf("%s: polyak %v, init %+v, preprocess %+v (%v)", name, r.Polyak, r.Init, r.Preprocess, err)
		}
	}
}

func mean(list []float64) (m float64) {
	for _, v := range list {
		m += v / float64(len(list))
	}
	return m
}

// steps are the losses of a run's steps.
func steps(o train.Options, most int) (losses []float64, err error) {
	o.Recipe.Epochs = float64(most*o.Recipe.Batch) / float64(o.Train.Len())
	o.Recipe.Validate = 1000
	o.Report = func(r train.Report) {
		if r.Validation == nil && r.Saved == "" && r.Fault == nil {
			losses = append(losses, r.Loss)
		}
	}
	t, err := train.New(o)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	_, err = t.Run(context.Background())
	return losses, err
}
