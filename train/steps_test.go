package train_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

// narrow is a built-in network as it can be trained in a test: for small pictures, with an eighth of the channels. Fully connected
// layers keep their widths where wide is true.
func narrow(t *testing.T, name string, side int, wide bool) *arch.Network {
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
				op.Out /= 8
				net.Layers[i].Op = op
			}
		case arch.Linear:
			if op.Out >= 4096 && !wide {
				op.Out /= 8
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

func TestSteps(t *testing.T) {
	colour, grey := three(t, 3, 40), three(t, 1, 40)
	for _, recipe := range []string{"plain", "paper"} {
		for _, name := range arch.Names() {
			t.Run(recipe+"/"+name, func(t *testing.T) {
				r, err := train.OpenRecipe(recipe)
				if err != nil {
					t.Fatal(err)
				}
				side := 32
				if name == "alexnet" || name == "alexnet-torchvision" || name == "zfnet" {
					side = 67
				}
				for _, v := range strings.Split(os.Getenv("VARIANT"), ";") {
					if v != "" {
						if err := r.Set(v); err != nil {
							t.Fatal(err)
						}
					}
				}
				net := narrow(t, name, side, false)
				r = r.WithBatch(12)
				r.Epochs = 3
				data := colour
				if net.Input.C == 1 {
					data = grey
					r.Prepare, r.Augment.Colour = "unit", 0
				}
				losses, err := steps(train.Options{Recipe: r, Network: net, Train: data, Validation: data}, 30)
				if err != nil {
					t.Fatal(err)
				}
				begin, end := 0.0, 0.0
				for i := range 5 {
					begin += losses[i] / 5
					end += losses[len(losses)-1-i] / 5
				}
				fmt.Printf("%-30s first %.3f begin %.3f end %.3f\n", t.Name(), losses[0], begin, end)
				if end >= begin {
					t.Errorf("the loss begins at %.4f and ends at %.4f: %.3f", begin, end, losses)
				}
			})
		}
	}
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
