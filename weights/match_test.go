package weights

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/weights/internal/format"
)

// small is a VGG with every kind of layer that has parameters, in the order torchvision builds them.
func small(t *testing.T, batchNorm bool) []arch.Placed {
	t.Helper()
	conv := arch.Conv{Out: 2, Window: arch.Window{Kernel: arch.Square(3), Pad: arch.Pad(1)}}
	pool := arch.MaxPool{Window: arch.Window{Kernel: arch.Square(2), Stride: arch.Square(2)}}
	net := &arch.Network{Name: "small"}
	add := func(name string, op arch.Op) { net.Layers = append(net.Layers, arch.Layer{Name: name, Op: op}) }
	for block := 1; block <= 2; block++ {
		for i := 1; i <= 2; i++ {
			add(fmt.Sprintf("conv%d_%d", block, i), conv)
			if batchNorm {
				add(fmt.Sprintf("bn%d_%d", block, i), arch.BatchNorm{})
			}
			add(fmt.Sprintf("relu%d_%d", block, i), arch.ReLU{})
		}
		add(fmt.Sprintf("pool%d", block), pool)
	}
	add("avgpool", arch.AdaptiveAvgPool{Out: arch.Square(7)})
	add("flatten", arch.Flatten{})
	add("fc6", arch.Linear{Out: 4})
	add("relu6", arch.ReLU{})
	add("drop6", arch.Dropout{Keep: 0.5})
	add("fc7", arch.Linear{Out: 3})
	placed, err := net.Place(arch.Shape{C: 3, H: 8, W: 8})
	if err != nil {
		t.Fatal(err)
	}
	return placed.Layers
}

// tensorsOf makes a tensor for each parameter, valued by its place in the network.
func tensorsOf(placed []arch.Placed, names map[string]string) []Tensor {
	var list []Tensor
	for _, layer := range placed {
		for _, p := range layer.Params {
			t := Tensor{Name: names[p.Name], Shape: p.Shape, Data: make([]float32, p.Count())}
			for i := range t.Data {
				t.Data[i] = float32(len(list))
			}
			list = append(list, t)
		}
	}
	return list
}

func TestMatchKnowsFamilies(t *testing.T) {
	plain, normed := small(t, false), small(t, true)
	for _, c := range []struct {
		family string
		placed []arch.Placed
		names  []string // in network order
	}{
		{"vggo", plain, []string{"conv1_1/w", "conv1_1/b", "conv1_2/w", "conv1_2/b", "conv2_1/w", "conv2_1/b", "conv2_2/w",
			"conv2_2/b", "fc6/w", "fc6/b", "fc7/w", "fc7/b"}},
		{"torchvision", plain, []string{"features.0.weight", "features.0.bias", "features.2.weight", "features.2.bias",
			"features.5.weight", "features.5.bias", "features.7.weight", "features.7.bias",
			"classifier.0.weight", "classifier.0.bias", "classifier.3.weight", "classifier.3.bias"}},
		{"torchvision", normed, []string{
			"features.0.weight", "features.0.bias", "features.1.weight", "features.1.bias", "features.1.running_mean",
			"features.1.running_var",
			"features.3.weight", "features.3.bias", "features.4.weight", "features.4.bias", "features.4.running_mean",
			"features.4.running_var",
			"features.7.weight", "features.7.bias", "features.8.weight", "features.8.bias", "features.8.running_mean",
			"features.8.running_var",
			"features.10.weight", "features.10.bias", "features.11.weight", "features.11.bias", "features.11.running_mean",
			"features.11.running_var",
			"classifier.0.weight", "classifier.0.bias", "classifier.3.weight", "classifier.3.bias"}},
		{"TinyVGG", plain, []string{"block_1.0.weight", "block_1.0.bias", "block_1.2.weight", "block_1.2.bias",
			"block_2.0.weight", "block_2.0.bias", "block_2.2.weight", "block_2.2.bias",
			"classifier.1.weight", "classifier.1.bias", "classifier.4.weight", "classifier.4.bias"}},
		{"TinyVGG", plain, []string{"conv_block_1.0.weight", "conv_block_1.0.bias", "conv_block_1.2.weight",
			"conv_block_1.2.bias",
			"conv_block_2.0.weight", "conv_block_2.0.bias", "conv_block_2.2.weight", "conv_block_2.2.bias",
			"classifier.1.weight", "classifier.1.bias", "classifier.4.weight", "classifier.4.bias"}},
	} {
		t.Run(c.family+" "+c.names[2], func(t *testing.T) {
			tensors := tensorsOf(c.placed, ownNames(c.placed))
			if len(tensors) != len(c.names) {
				t.Fatalf("%d parameters, %d names", len(tensors), len(c.names))
			}
			for i := range tensors {
				tensors[i].Name = c.names[i]
			}
			if c.family != "vggo" {
				tensors = append(tensors, Tensor{Name: "features.1.num_batches_tracked", Data: []float32{5}})
			}
			slices.Reverse(tensors) // the file's order must not matter
			path := filepath.Join(t.TempDir(), "w")
			if err := Write(path, tensors, nil); err != nil {
				t.Fatal(err)
			}
			m, err := Match(open(t, path), c.placed)
			if err != nil {
				t.Fatal(err)
			}
			if m.Family != c.family {
				t.Errorf("family %q, want %q", m.Family, c.family)
			}
			i := 0
			for _, layer := range c.placed {
				for _, p := range layer.Params {
					data, err := m.Param(p)
					if err != nil || len(data) != p.Count() || data[0] != float32(i) {
						t.Errorf("%s: %d values (%v), want %d of %d", p.Name, len(data), err, p.Count(), i)
					}
					i++
				}
			}
			if _, err := m.Param(arch.Param{Name: "fc9/w"}); err == nil {
				t.Error("a parameter of another network was found")
			}
		})
	}
}

func TestMatchReports(t *testing.T) {
	placed := small(t, false)
	own := tensorsOf(placed, ownNames(placed))
	torch := tensorsOf(placed, torchvisionNames(placed))
	without := func(list []Tensor, names ...string) []Tensor {
		return slices.DeleteFunc(slices.Clone(list), func(t Tensor) bool { return slices.Contains(names, t.Name) })
	}
	tensor := func(name string, shape ...int) Tensor {
		return Tensor{Name: name, Shape: shape, Data: make([]float32, format.Product(shape))}
	}
	for _, c := range []struct {
		what    string
		tensors []Tensor
		want    string // after the path; empty where it fits
	}{
		{"fits", own, ""},
		{"fc6 as a convolution", append(without(own, "fc6/w"), tensor("fc6/w", 4, 2, 7, 7)), ""},
		{"fc6 transposed", append(without(own, "fc6/w"), tensor("fc6/w", 98, 4)),
			"the weights, under vggo's names, do not fit the network: 1 of the wrong shape (fc6/w is 98x4, not 4x98)"},
		{"one missing", without(torch, "classifier.3.bias"),
			"the weights, under torchvision's names, do not fit the network: 1 missing (classifier.3.bias)"},
		{"all at once", append(without(own, "fc7/w", "fc7/b", "conv1_1/w", "conv1_1/b", "conv1_2/b"),
			tensor("conv1_1/w", 2, 1, 3, 3), tensor("fc8/w", 1), tensor("conv1_1/b", 2, 1)),
			"the weights, under vggo's names, do not fit the network: 3 missing (conv1_2/b, fc7/w, fc7/b); " +
				"1 not the network's (fc8/w); 2 of the wrong shape (conv1_1/w is 2x1x3x3, not 2x3x3x3, conv1_1/b is 2x1, not 2)"},
		{"many", append(slices.Clone(own), tensor("a", 1), tensor("b", 1), tensor("c", 1), tensor("d", 1), tensor("e", 1)),
			"the weights, under vggo's names, do not fit the network: 5 not the network's (a, b, c and 2 more)"},
		{"a picture's mean and deviation", append(slices.Clone(torch), tensor("norm.mean", 1, 3, 1, 1),
			tensor("norm.std", 3, 1, 1)), ""},
		{"a mean alone", append(slices.Clone(torch), tensor("norm.mean", 3)),
			"the weights, under torchvision's names, do not fit the network: 1 not the network's (norm.mean)"},
		{"weight normalisation", append(without(torch, "features.0.weight"), tensor("features.0.weight_g", 2, 1, 1, 1),
			tensor("features.0.weight_v", 2, 3, 3, 3)),
			"the weights, under torchvision's names, do not fit the network: 1 missing (features.0.weight); 2 not the " +
				"network's (features.0.weight_g, " +
				"features.0.weight_v); weight normalisation keeps a layer's weights in two tensors, which are put together in " +
				"Python alone"},
		{"pruning", append(without(torch, "features.0.weight"), tensor("features.0.weight_orig", 2, 3, 3, 3),
			tensor("features.0.weight_mask", 2, 3, 3, 3)),
			"the weights, under torchvision's names, do not fit the network: 1 missing (features.0.weight); 2 not the " +
				"network's (features.0.weight_orig, " +
				"features.0.weight_mask); pruning keeps a layer's weights in two tensors, which are put together in Python alone"},
		{"stranger", []Tensor{tensor("encoder.weight", 3)},
			"another network's weights: it has encoder.weight; wanted are conv1_1/w, conv1_1/b, conv1_2/w and 9 more " +
				"under the " +
				"names of vggo, PyTorch, torchvision, timm, TinyVGG, TensorFlow or the article"},
		{"empty", nil, "the file holds no weights"},
	} {
		t.Run(c.what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "w")
			if err := Write(path, c.tensors, nil); err != nil {
				t.Fatal(err)
			}
			_, err := Match(open(t, path), placed)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var fault *MatchError
			if !errors.As(err, &fault) {
				t.Fatalf("%v is no MatchError", err)
			}
			if got := strings.TrimPrefix(err.Error(), path+": "); got != c.want {
				t.Errorf("error\n%s, want\n%s", got, c.want)
			}
		})
	}
}

// TestLaterNumbers: TensorFlow numbers what is called alike from the second on, and filters are kernels too.
func TestLaterNumbers(t *testing.T) {
	net, err := arch.Compact("vgg", "8x8x4:4,4,4,M/5,5,5", arch.Shape{})
	if err != nil {
		t.Fatal(err)
	}
	layers := format.Weighted(archtest.Place(t, net).Layers)
	for _, c := range []struct {
		names []string // of the layers
		w, b  string
		fits  bool
	}{
		{[]string{"conv2d", "conv2d_1", "conv2d_2", "dense", "dense_1", "dense_2"}, "/kernel", "/bias", true},
		{[]string{"a/conv2d_9", "a/conv2d_10", "a/conv2d_11", "a/dense", "a/dense_1", "a/dense_2"}, "/kernel", "/bias", true},
		{[]string{"c1/c1", "c2/c2", "c3/c3", "f1/f1", "f2/f2", "f3/f3"}, "_filters", "_biases", true},
		{[]string{"c1", "c2", "left", "f1", "f2", "f3"}, "/kernel", "/bias", false},
	} {
		var tensors []Tensor
		for i, layer := range layers {
			for j, p := range layer.Params {
				tensors = append(tensors, Tensor{Name: c.names[i] + []string{c.w, c.b}[j], Shape: p.Shape,
					Data: slices.Repeat([]float32{float32(10*i + j)}, p.Count())})
			}
		}
		slices.Reverse(tensors) // a checkpoint has an order of its own
		path := filepath.Join(t.TempDir(), "a.safetensors")
		if err := Write(path, tensors, nil); err != nil {
			t.Fatal(err)
		}
		m, err := Match(open(t, path), layers)
		if (err == nil) != c.fits {
			t.Errorf("%v: %v", c.names, err)
		}
		for i, layer := range layers {
			for j, p := range layer.Params {
				if err != nil {
					continue
				}
				if got, err := m.Param(p); err != nil || got[0] != float32(10*i+j) || !m.Guess {
					t.Errorf("%v: %s is %v (%v)", c.names, p.Name, got[:1], err)
				}
			}
		}
	}
}
