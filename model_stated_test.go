package vggo_test

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch/archtest"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// opened makes a Model of a graph of package weights' test data.
func opened(t *testing.T, name string, o vggo.Options) *vggo.Model {
	t.Helper()
	m, err := vggo.Open("weights/testdata/onnx/ends/"+name+".onnx", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// TestSigmoid: one output tells two classes apart, several each by itself; whatever asks for a class asks by these.
func TestSigmoid(t *testing.T) {
	image := tensor.New(1, 3, 6, 5)
	for i := range image.Data {
		image.Data[i] = float32(float64(i*7919%2003)/1001 - 1)
	}
	for _, c := range []struct {
		name   string
		o      vggo.Options
		binary bool
	}{
		{"sigmoid-one", vggo.Options{Classes: []string{"no", "yes"}}, true},
		{"sigmoid-many", vggo.Options{}, false},
		{"max", vggo.Options{Sigmoid: true}, false},
	} {
		m := opened(t, c.name, c.o)
		logits, err := m.Forward(t.Context(), image)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float64, logits.C) // by class
		for i, x := range logits.Data {
			want[i] = 1 / (1 + math.Exp(-float64(x)))
		}
		if c.binary {
			want = []float64{1 - want[0], want[0]}
		}
		ranked, err := m.Rank(logits)
		if err != nil || m.Binary() != c.binary || m.ClassCount() != len(want) || len(ranked) != len(want) {
			t.Fatalf("%s: %v, %v; %d classes", c.name, ranked, err, m.ClassCount())
		}
		for i, r := range ranked {
			if math.Abs(r.Probability-want[r.Index]) > 1e-6 || c.binary && r.Label != c.o.Classes[r.Index] || i > 0 &&
				r.Probability > ranked[i-1].Probability {
				t.Errorf("%s: %+v, want %v", c.name, ranked, want)
			}
		}
		dense, err := m.ClassifyDense(t.Context(), vision.FromImage(noise(1, 12, 12)), []int{6}, false)
		if err == nil && len(dense) != len(want) { // a head without flatten has no dense form
			t.Errorf("%s: %d classes of whole pictures", c.name, len(dense))
		}
		layer := m.Network.Layers[1].Name // the first ReLU
		for class := range want {
			g, err := m.Gradient(t.Context(), layer, class, image)
			if err != nil {
				t.Fatal(err)
			}
			if g.Class.Index != class || math.Abs(g.Class.Probability-want[class]) > 1e-6 {
				t.Errorf("%s: the gradient is of %+v", c.name, g.Class)
			}
			if !c.binary {
				continue
			}
			other, err := m.Gradient(t.Context(), layer, 1-class, image)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range g.Gradient.Data {
				if v != -other.Gradient.Data[i] {
					t.Fatalf("%s: the gradients of the two classes are %v and %v at %d", c.name, v, other.Gradient.Data[i], i)
				}
			}
			if slices.Max(g.Gradient.Data) == slices.Min(g.Gradient.Data) {
				t.Errorf("%s: a gradient without shape", c.name)
			}
		}
		out, err := m.Features(t.Context(), m.Network.Layers[len(m.Network.Layers)-1].Name, image)
		if err != nil || math.Abs(float64(out.Data[0])-want[len(want)-logits.C]) > 1e-6 {
			t.Errorf("%s: the last layer makes %v (%v), want %v", c.name, out, err, want)
		}
	}
}

// TestOneOutput: a single output that nothing says how to read has no classes, but features.
func TestOneOutput(t *testing.T) {
	m, err := vggo.New("6x5x3:4,G/1", vggo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	image := tensor.New(1, 3, 6, 5)
	logits, err := m.Forward(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	var single *vggo.OneOutputError
	if _, err := m.Rank(logits); !errors.As(err, &single) {
		t.Errorf("ranked: %v", err)
	}
	if _, err := m.ClassifyDense(t.Context(), vision.FromImage(noise(1, 12, 12)), []int{6}, false); !errors.As(err,
		&single) {
		t.Errorf("whole pictures: %v", err)
	}
	if _, err := m.Gradient(t.Context(), "relu1_1", 0, image); !errors.As(err, &single) {
		t.Errorf("gradient: %v", err)
	}
	if out, err := m.Features(t.Context(), "fc2", image); err != nil || out.C != 1 {
		t.Errorf("features: %v, %v", out, err)
	}
	if _, err := vggo.New("6x5x3:4,G/1", vggo.Options{Classes: []string{"cat", "dog"}}); !errors.As(err, &single) {
		t.Errorf("two names: %v", err)
	}
}

// TestNoClasses: a network that ends in a map of features names no classes, whatever its channels hold.
func TestNoClasses(t *testing.T) {
	for network, classes := range map[string]bool{
		"8x8x3:4,M": false, "8x8x3:4": false, "8x8x3:4,M,5,G": true, "8x8x3:4,M/5": true,
	} {
		m, err := vggo.New(network, vggo.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var none *vggo.NoClassesError
		if _, err := m.Classify(t.Context(), noise(1, 8, 8)); (err == nil) != classes || !classes && !errors.As(err, &none) {
			t.Errorf("%s: %v", network, err)
		}
		last := m.Network.Layers[len(m.Network.Layers)-1].Name
		if _, err := m.Features(t.Context(), last, tensor.New(1, 3, m.Input.H, m.Input.W)); err != nil {
			t.Errorf("%s: %v", network, err)
		}
		m.Close()
	}
}

// TestProbabilitiesOnce: outputs that are probabilities already are not made probabilities again.
func TestProbabilitiesOnce(t *testing.T) {
	image := tensor.New(1, 3, 6, 5)
	for i := range image.Data {
		image.Data[i] = float32(i%7) - 3
	}
	for _, name := range []string{"softmax-averaged", "softmax-before-flatten"} {
		m := opened(t, name, vggo.Options{})
		last := m.Network.Layers[len(m.Network.Layers)-1].Name
		out, err := m.Features(t.Context(), last, image)
		if err != nil {
			t.Fatal(err)
		}
		logits, err := m.Forward(t.Context(), image)
		if err != nil {
			t.Fatal(err)
		}
		ranked, err := m.Rank(logits)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range ranked {
			if math.Abs(r.Probability-float64(out.Data[r.Index])) > 1e-6 {
				t.Errorf("%s: class %d has %v, the layer %s makes %v", name, r.Index, r.Probability, last, out.Data[r.Index])
			}
		}
	}
}

// TestPreparedInside: pictures of a network that scales and shifts them itself come plain.
func TestPreparedInside(t *testing.T) {
	for name, want := range map[string][3]string{"preparation": {"RGB", "0..1"}, "preparation-bytes": {"BGR", "0..255"}} {
		m := opened(t, name, vggo.Options{})
		if told := m.Preprocess.Describe(); !strings.Contains(told, want[0]) || !strings.Contains(told, want[1]) ||
			slices.Max(m.Preprocess.Mean) != 0 {
			t.Errorf("%s: %s, mean %v, since %s", name, told, m.Preprocess.Mean, m.Preprocess.Reason)
		}
	}
}

// TestLayerNames: a layer may be called anything that can be printed and has no slash.
func TestLayerNames(t *testing.T) {
	net := &arch.Network{Name: "names", Input: arch.Shape{C: 3, H: 8, W: 8}}
	names := []string{"a+b", "c, d", "e f", "卷积+一", "+", "a", "b+", ".."}
	ops := []arch.Op{arch.Conv{Out: 4, Window: arch.Window{Kernel: arch.Square(3), Pad: arch.Pad(1)}}, arch.BatchNorm{},
		arch.ReLU{},
		arch.Conv{Out: 5, Window: arch.Window{Kernel: arch.Square(1)}}, arch.ReLU{}, arch.GlobalAvgPool{},
		arch.Linear{Out: 3}, arch.Softmax{}}
	for i, op := range ops {
		net.Layers = append(net.Layers, arch.Layer{Name: names[i], Op: op})
	}
	params := nn.NewParams(archtest.Place(t, net))
	params.Init(nn.He, 1)
	path := filepath.Join(t.TempDir(), "names.onnx")
	if err := weights.WriteONNX(t.Context(), path, archtest.Place(t, net), func(p arch.Param) ([]float32,
		error) {
		return params.Get(p.Name).Data, nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	m, err := vggo.Open(path, vggo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	in, err := m.Inside(t.Context(), tensor.New(1, 3, 8, 8))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, s := range in.Groups {
		told = append(told, strings.Join(s.Layers, " | "))
		for _, layer := range s.Layers {
			if _, ok := in.Group(layer); !ok {
				t.Errorf("no group of %q", layer)
			}
		}
	}
	if got := strings.Join(told, "\n"); got != "a+b | c, d | e f\n卷积+一 | +\na\nb+" {
		t.Errorf("groups\n%s", got)
	}
	for _, name := range []string{"a/b", "", "a\nb", strings.Repeat("x", 65), "a\u202eb"} {
		bad := *net
		bad.Layers = slices.Clone(net.Layers)
		bad.Layers[0].Name = name
		if _, err := bad.Place(bad.Input); err == nil {
			t.Errorf("a layer is called %q", name)
		}
	}
}
