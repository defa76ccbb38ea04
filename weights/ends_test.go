package weights

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/tensor"
)

// TestONNXEnds holds heads, constants and preparations in graphs against PyTorch (scripts/gen_onnx_ends.py): as
// imported, and once more written as ONNX and read again.
func TestONNXEnds(t *testing.T) {
	var golden map[string][][]float32
	if err := json.Unmarshal(readFile(t, "testdata/onnx/ends/outputs.json"), &golden); err != nil {
		t.Fatal(err)
	}
	input := arch.Shape{C: 3, H: 6, W: 5}
	images := tensor.New(2, 3, 6, 5)
	for i := range images.Data {
		images.Data[i] = float32(float64(i*7919%2003)/1001 - 1)
	}
	for name, want := range golden {
		t.Run(name, func(t *testing.T) {
			f := open(t, "testdata/onnx/ends/"+name+".onnx")
			if _, err := f.Resolve(Asked{Input: input}); err != nil { // which the open ones need
				t.Fatal(err)
			}
			net, params := fromFile(t, f)
			check := func(how string, got *tensor.Tensor) {
				for n, row := range want {
					for c, w := range row {
						if g := got.At(n, c, 0, 0); got.C != len(row) || !(math.Abs(float64(g-w)) <= 2e-5*max(1, math.Abs(float64(w)))) {
							t.Errorf("%s, image %d, class %d: %v, PyTorch's %v", how, n, c, g, w)
						}
					}
				}
			}
			check("read", outputOf(t, net, params, images))
			back := filepath.Join(t.TempDir(), "back.onnx")
			if err := WriteONNX(t.Context(), back, archtest.Place(t, net), func(p arch.Param) ([]float32,
				error) {
				return params.Get(p.Name).Data, nil
			}, nil); err != nil {
				t.Fatal(err)
			}
			net, params = fromFile(t, open(t, back))
			check("written and read", outputOf(t, net, params, images))
		})
	}
}

// TestEnding: how networks from files end.
func TestEnding(t *testing.T) {
	for name, want := range map[string]arch.Ending{
		"sigmoid-one": arch.EndsInSigmoid, "sigmoid-many": arch.EndsInSigmoid, "sigmoid-inside": arch.EndsInLogits,
		"logsoftmax":             arch.EndsInSoftmax,
		"softmax-before-flatten": arch.EndsInSoftmax, "softmax-averaged": arch.EndsInProbabilities,
		"softmax-twice": arch.EndsInSoftmax,
		"max":           arch.EndsInLogits,
	} {
		net, err := open(t, "testdata/onnx/ends/"+name+".onnx").Network()
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := net.Ending(); got != want {
			t.Errorf("%s ends in %v, want %v", name, got, want)
		}
	}
}

// TestOpenSize: a file that leaves the size of its pictures open opens for the size that is told, and for no other.
func TestOpenSize(t *testing.T) {
	for _, name := range []string{"open-size", "open-channels-last"} {
		f := open(t, "testdata/onnx/ends/"+name+".onnx")
		var leaves *OpenSizeError
		if _, err := f.Network(); !errors.As(err, &leaves) || leaves.Channels != 3 {
			t.Errorf("%s: %v, want an *OpenSizeError of 3 channels", name, err)
		}
		if _, err := f.Resolve(Asked{Input: arch.Shape{C: 1, H: 8, W: 9}}); err == nil ||
			!strings.Contains(err.Error(), "pictures of 1 channels: the file's have 3") {
			t.Errorf("%s, of one channel: %v", name, err)
		}
		want := arch.Shape{C: 3, H: 8, W: 9}
		net, err := f.Resolve(Asked{Input: want})
		if err != nil || net.Input != want {
			t.Errorf("%s: %v, %v", name, net, err)
		}
		if _, err := f.Resolve(Asked{Input: arch.Shape{C: 3, H: 9, W: 9}}); err == nil ||
			!strings.Contains(err.Error(), "it is for pictures of 9x9x3, the file's for 8x9x3") {
			t.Errorf("%s, of another size: %v", name, err)
		}
	}
	f := open(t, "testdata/onnx/ends/open-size.onnx")
	mine, err := arch.Compact("mine", "16x12x3:4,G/3", arch.Shape{})
	if err != nil {
		t.Fatal(err)
	}
	asked := archtest.Place(t, mine)
	if net, err := f.Resolve(Asked{Network: asked}); err != nil || net.Input != asked.Input ||
		net.Network.Name != "mine" ||
		net.Layers[0].Name != "conv1_1" {
		t.Errorf("by a network: %+v, %v", net, err)
	}
	if _, err := Match(f, asked.Layers); err != nil {
		t.Errorf("under the names of the network asked for: %v", err)
	}
}

// TestResolve: a network that is asked for does not overrule the one that a file states.
func TestResolve(t *testing.T) {
	const same = "6x5x3:4,G/3"
	layers := func(change func(n *arch.Network)) *arch.Placement {
		n, err := arch.Compact("mine", same, arch.Shape{})
		if err != nil {
			t.Fatal(err)
		}
		change(n)
		return archtest.Place(t, n)
	}
	compact := func(s string) *arch.Placement {
		n, err := arch.Compact("mine", s, arch.Shape{})
		if err != nil {
			t.Fatal(err)
		}
		return archtest.Place(t, n)
	}
	nothing := func(*arch.Network) {}
	for _, c := range []struct {
		name, file string
		asked      Asked
		want       string // of the error
	}{
		{"the same", "logsoftmax", Asked{Network: layers(nothing)}, ""},
		{"without a softmax", "logsoftmax",
			Asked{Network: layers(func(n *arch.Network) { n.Layers = n.Layers[:len(n.Layers)-1] })}, ""},
		{"other names", "logsoftmax", Asked{Network: layers(func(n *arch.Network) { n.Layers[0].Name = "first" })}, ""},
		{"a dropout more", "logsoftmax", Asked{Network: layers(func(n *arch.Network) {
			n.Layers = slices.Insert(n.Layers, 1, arch.Layer{Name: "d", Op: arch.Dropout{Keep: 0.5}})
		})}, ""},
		{"constants folded", "mul-add", Asked{Network: layers(nothing)}, ""},
		{"another input", "logsoftmax", Asked{Network: compact("8x8x3:4,G/3")},
			"mine computes something else: it is for pictures of 8x8x3, the file's for 6x5x3"},
		{"another size", "logsoftmax", Asked{Input: arch.Shape{C: 3, H: 7, W: 7}},
			"the size asked for computes something else"},
		{"a layer more", "logsoftmax", Asked{Network: compact("6x5x3:4,4,G/3")},
			"the file's is n2 (globalavgpool), where it has conv1_2 (conv 3x3 pad 1)"},
		{"no pooling", "logsoftmax", Asked{Network: compact("6x5x3:4/3")},
			"the file's is n2 (globalavgpool), where it has fc2 (linear)"},
		{"a layer less", "logsoftmax", Asked{Network: layers(func(n *arch.Network) { n.Layers = n.Layers[:2] })},
			"it lacks the file's n2 (globalavgpool)"},
		{"other padding", "logsoftmax", Asked{Network: compact("6x5x3:4p0,G/3")},
			"the file's is n0 (conv 3x3 pad 1), where it has conv1_1 (conv 3x3)"},
		{"no bias", "logsoftmax", Asked{Network: layers(func(n *arch.Network) {
			op := n.Layers[0].Op.(arch.Conv)
			op.NoBias = true
			n.Layers[0].Op = op
		})}, "where it has conv1_1 (conv 3x3 pad 1 no bias)"},
		{"other classes", "logsoftmax", Asked{Network: compact("6x5x3:4,G/4")},
			"of 1x1x4 to 1x1x3, where it has fc2 (linear) of 1x1x4 to 1x1x4"},
		{"no ReLU", "logsoftmax", Asked{Network: layers(func(n *arch.Network) { n.Layers = slices.Delete(n.Layers, 1, 2) })},
			"the file's is n1 (relu), where it has globalpool (globalavgpool)"},
		{"softmax for a sigmoid", "sigmoid-many", Asked{Network: layers(nothing)},
			"the file ends in sigmoid, it ends in softmax"},
		{"a softmax of one output", "sigmoid-one", Asked{Network: compact("6x5x3:4,G/1")}, ""},
		{"sigmoid for a softmax", "logsoftmax", Asked{Network: compact("6x5x3:4,G/3s")},
			"the file ends in softmax, it ends in sigmoid"},
		{"a sigmoid asked for", "logsoftmax", Asked{Sigmoid: true}, "a sigmoid computes something else: the file has a " +
			"softmax over its 3 outputs"},
		{"a sigmoid that nothing speaks against", "max", Asked{Sigmoid: true}, ""},
		{"a sigmoid that is there", "sigmoid-one", Asked{Sigmoid: true}, ""},
	} {
		f := open(t, "testdata/onnx/ends/"+c.file+".onnx")
		placed, err := f.Resolve(c.asked)
		var disagree *DisagreeError
		switch {
		case c.want != "":
			if !errors.As(err, &disagree) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %s", c.name, err, c.want)
			}
			continue
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if _, err := Match(f, placed.Layers); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if ending, _ := placed.Ending(); (ending == arch.EndsInSigmoid) != (c.asked.Sigmoid ||
			strings.HasPrefix(c.file, "sigmoid")) {
			t.Errorf("%s ends in %s", c.name, ending)
		}
	}
}

// TestKerasOverruled: a Keras file of another activation, of another batch norm, and one that vggo cannot run.
func TestKerasOverruled(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: the files of public reports are not read")
	}
	f := open(t, filepath.Join(root, "reports/keras/elu.h5"))
	mine, err := arch.Compact("mine", "16x16x3:8,M,8,M/16,4", arch.Shape{})
	if err != nil {
		t.Fatal(err)
	}
	asked := archtest.Place(t, mine)
	for _, a := range []Asked{{}, {Network: asked}, {Network: asked, Sigmoid: true}} {
		var unreadable *UnreadableError
		if _, err := f.Resolve(a); !errors.As(err, &unreadable) ||
			!strings.Contains(err.Error(), `conv2d_1 (Conv2D) ends with activation "elu"`) {
			t.Errorf("%+v: %v, want an *UnreadableError of both layers", a, err)
		}
	}
	f = open(t, filepath.Join(root, "weights/keras/vggbn-cifar10.h5"))
	told, err := f.Network()
	if err != nil {
		t.Fatal(err)
	}
	*mine = *told.Network
	mine.Layers = slices.Clone(mine.Layers)
	at := slices.IndexFunc(mine.Layers, func(l arch.Layer) bool { return l.Op.Kind() == "batchnorm" })
	mine.Layers[at].Op = arch.BatchNorm{}
	_, err = f.Resolve(Asked{Network: archtest.Place(t, mine)})
	if err == nil || !strings.Contains(err.Error(), "epsilon 0.001") || !strings.Contains(err.Error(), "epsilon 1e-05") {
		t.Errorf("another epsilon: %v", err)
	}
}

// TestPrepares: what a graph does to its pictures is told.
func TestPrepares(t *testing.T) {
	for _, c := range []struct {
		name         string
		bytes        bool
		order        string
		scale, shift float64 // of the first channel
	}{
		{"preparation", false, "RGB", 1 / 0.229, -0.485 / 0.229},
		{"preparation-bytes", true, "BGR", 1. / 64, -103.939 / 64},
		{"mul-add", false, "", 0, 0},
	} {
		f := open(t, "testdata/onnx/ends/"+c.name+".onnx")
		placed, err := f.Network()
		if err != nil {
			t.Fatal(err)
		}
		matched, err := Match(f, placed.Layers)
		if err != nil {
			t.Fatal(err)
		}
		own, err := matched.Prepares(placed)
		if err != nil {
			t.Fatal(err)
		}
		if c.scale == 0 {
			if own != nil {
				t.Errorf("%s: %+v, want nothing", c.name, own)
			}
			continue
		}
		if own == nil {
			t.Fatalf("%s: nothing", c.name)
		}
		if bytes, _ := own.Bytes(); bytes != c.bytes || own.Order() != c.order ||
			math.Abs(own.Scale[0]-c.scale) > 1e-6 || math.Abs(own.Shift[0]-c.shift) > 1e-5 {
			t.Errorf("%s: %+v, want %+v", c.name, own, c)
		}
	}
}
