package train_test

import (
	"context"
	"flag"
	"fmt"
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
		}
	}
	answer(net, 3)
	return net
}

// answer gives a network so many classes.
func answer(net *arch.Network, classes int) {
	for i := len(net.Layers) - 1; i >= 0; i-- {
		if op, ok := net.Layers[i].Op.(arch.Linear); ok {
			op.Out = classes
			net.Layers[i].Op = op
			return
		}
	}
}

// three is three classes of CIFAR-10's test pictures, or of Fashion-MNIST's for one channel; airplanes, automobiles and
// ships, T-shirts, trousers and bags, if none are named.
func three(t *testing.T, channels, each int, named ...int) train.Dataset {
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
	if named == nil {
		named = []int{0, 1, 8}
	}
	counts := [3]int{}
	for i := range all.Len() {
		if c := slices.Index(named, all.Label(i)); c >= 0 && counts[c] < each {
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

// whole has TestSteps train networks as they are, one after the other, for the table in a closing note.
var whole = flag.String("steps.whole", "", "networks to take 30 steps with, as in plain/vgg16,paper/vgg11, or all")

// TestSteps: every built-in network takes 30 steps of every recipe that fits it, on real pictures, and its loss falls:
// the batches', and that over the same pictures before and after, measured as Taught says. A batch is all of the
// pictures, so that steps differ by what was learned and not by what they show.
// scripts/steps_table.py does the same beside PyTorch.
func TestSteps(t *testing.T) {
	if *whole != "" {
		t.Skip("TestWholeSteps takes them")
	}
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
				losses, before, after, err := train.Taught(o, 30, 24)
				if err != nil {
					t.Fatal(err)
				}
				begin, end := mean(losses[:5]), mean(losses[25:])
				t.Logf("first %.3f, first five %.3f, last five %.3f; the same pictures %.3f, %.3f", losses[0], begin, end,
					before, after)
				if end > begin-0.03 || after > before-0.03 {
					t.Errorf("the loss begins at %.4f and ends at %.4f, of the same pictures %.4f and %.4f: %.3f", begin, end,
						before, after, losses)
				}
			})
		}
	}
}

// TestWholeSteps makes the table of the networks as they are: it runs where -steps.whole asks for it.
func TestWholeSteps(t *testing.T) {
	if *whole == "" {
		t.Skip("-steps.whole names no network: minutes for each")
	}
	colour, grey := three(t, 3, 100, 0, 3, 8), three(t, 1, 100) // airplanes, cats, ships
	var wanted []string
	for _, recipe := range []string{"plain", "paper"} {
		for _, name := range arch.Names() {
			wanted = append(wanted, recipe+"/"+name)
		}
	}
	if wanted = append(wanted, "cifar10/vgg-cifar10", "fashion-mnist/"); *whole != "all" {
		wanted = strings.Split(*whole, ",")
	}
	for _, pair := range wanted {
		recipe, name, _ := strings.Cut(pair, "/")
		r, err := train.OpenRecipe(recipe)
		if err != nil {
			t.Fatal(err)
		}
		net, err := r.Network()
		if name != "" {
			net, err = arch.Builtin(name)
		}
		if err != nil {
			t.Fatal(err)
		}
		if net.Input.C == 1 && recipe == "paper" {
			continue // its colours and means are for three channels
		}
		answer(net, 3)
		batch, pictures := wholeBatch(net)
		r = r.WithBatch(batch)
		r.Accumulate = 1
		o := train.Options{Recipe: r, Network: net, Train: colour, Validation: colour}
		if net.Input.C == 1 {
			o.Train, o.Validation = grey, grey
		}
		losses, before, after, err := train.Taught(o, 30, pictures)
		if err != nil {
			t.Errorf("%s: %v", pair, err)
			continue
		}
		begin, end := mean(losses[:5]), mean(losses[25:])
		falls := "yes"
		if after >= before {
			falls = "no"
			t.Errorf("%s: the loss of the same %d pictures goes from %.4f to %.4f", pair, pictures, before, after)
		}
		fmt.Printf("| %s | %v | %d | %s | %.3f | %.3f | %.3f | %.3f | %s |\n", net.Name, net.Input, batch, recipe, begin, end,
			before, after, falls)
	}
}

// wholeBatch is how many pictures each step of TestWholeSteps learns from, and over how many the loss is told before
// and after. Of 8 pictures gradients are mostly noise, and so are batch norm's moments: 30 such steps teach the deep
// networks for 32 pixels nothing that is sure, of 24 all learn. At 224 pixels, where steps take seconds, it is 8, and
// 16 with batch norm.
func wholeBatch(net *arch.Network) (batch, pictures int) {
	if net.Input.H < 200 {
		return 24, 240
	}
	for _, layer := range net.Layers {
		if _, ok := layer.Op.(arch.BatchNorm); ok {
			return 16, 48
		}
	}
	return 8, 48
}

// TestWideHead: a head of 4,096 units, for which a rate of 0.02 is too much, learns three classes by plain. Without a
// bound on the rate the loss leaps.
func TestWideHead(t *testing.T) {
	if testing.Short() {
		t.Skip("90 steps of a head of 17 million weights take minutes under the race detector")
	}
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
