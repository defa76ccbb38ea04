package weights

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/hdf5"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

// kerasSmall is the network of scripts/gen_keras.py, for the files that do not hold it.
const kerasSmall = `{"name": "small", "input": "9x8x3", "layers": [
	{"name": "conv1", "op": "conv", "out": 5, "kernel": 3, "pad": 1}, {"name": "relu1", "op": "relu"},
	{"name": "bn", "op": "batchnorm", "eps": 0.001},
	{"name": "conv2", "op": "conv", "out": 6, "kernel": 3, "pad": [1, 0, 0, 1]}, {"name": "relu2", "op": "relu"},
	{"name": "pool", "op": "maxpool", "kernel": 2, "stride": 2}, {"name": "flatten", "op": "flatten"},
	{"name": "dense1", "op": "linear", "out": 7}, {"name": "relu3", "op": "relu"},
	{"name": "dense2", "op": "linear", "out": 4}]}`

// TestKeras reads one network in every layout that Keras has used, and compares with a computation in float64.
func TestKeras(t *testing.T) {
	text, err := os.ReadFile("testdata/keras/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Pictures [][]float32
		Logits   [][]float64
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file      string
		described bool
	}{
		{"keras2.h5", true}, {"keras2-functional.h5", true}, {"keras1-theano.h5", true}, {"keras3.keras", true},
		{"keras2-weights.h5", false}, {"keras3.weights.h5", false}, {"keras3-latest.weights.h5", false},
	} {
		t.Run(c.file, func(t *testing.T) {
			f := open(t, filepath.Join("testdata/keras", c.file))
			net, err := f.Network()
			if !c.described {
				var undescribed *UndescribedError
				if !errors.As(err, &undescribed) {
					t.Fatalf("a file without its network tells one: %v, %v", net, err)
				}
				net, err = arch.Decode(strings.NewReader(kerasSmall))
			}
			if err != nil {
				t.Fatal(err)
			}
			placed, err := net.Place(net.Input)
			if err != nil {
				t.Fatal(err)
			}
			m, err := Match(f, placed)
			if err != nil {
				t.Fatal(err)
			}
			if m.Family != "Keras" || m.Recipe != "unit" {
				t.Errorf("family %q, recipe %q", m.Family, m.Recipe)
			}
			if last := len(net.Layers) - 1; net.Layers[last].Op == (arch.Softmax{}) {
				net.Layers = net.Layers[:last]
			}
			params, err := nn.NewParams(net, net.Input)
			if err != nil {
				t.Fatal(err)
			}
			if err := params.Load(m.Param); err != nil {
				t.Fatal(err)
			}
			for i, picture := range golden.Pictures {
				in := tensor.New(1, 3, 9, 8)
				copy(in.Data, picture)
				got := outputOf(t, net, params, in).Data
				for j, want := range golden.Logits[i] {
					if !(math.Abs(float64(got[j])-want) < 1e-5) {
						t.Errorf("picture %d: logits %v, want %v", i, got, golden.Logits[i])
						break
					}
				}
			}
		})
	}
}

// TestKerasVGG reads a list of VGG-16's layers as Keras publishes it: the network is told by names and shapes, its first layer
// reads BGR, its first linear layer a map in H,W,C order.
func TestKerasVGG(t *testing.T) {
	f := &File{Path: "vgg16.h5", Metadata: map[string]string{}}
	k := &keras{file: f, ordered: true}
	f.named = k.naming
	add := func(layer string, shapes ...[]int) {
		l := kerasLayer{name: layer, array: map[string]string{}}
		for i, role := range []string{"w", "b"} {
			name := layer + "/" + layer + map[string]string{"w": "_W_1:0", "b": "_b_1:0"}[role]
			if err := f.add(entry{name: name, shape: shapes[i], dtype: F32}); err != nil {
				t.Fatal(err)
			}
			if got := kerasRole(name); got != role {
				t.Errorf("%s is taken for %q", name, got)
			}
			l.array[role] = name
		}
		k.take(l)
	}
	in := 3
	for block, convs := range []int{2, 2, 3, 3, 3} {
		out := min(64<<block, 512)
		for i := range convs {
			add(fmt.Sprintf("block%d_conv%d", block+1, i+1), []int{3, 3, in, out}, []int{out})
			in = out
		}
	}
	add("fc1", []int{25088, 4096}, []int{4096})
	add("fc2", []int{4096, 4096}, []int{4096})
	add("predictions", []int{4096, 1000}, []int{1000})
	net, err := f.Network()
	if err != nil || net.Name != "vgg16" {
		t.Fatalf("%v, %v", net, err)
	}
	placed, err := net.Place(net.Input)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Match(f, placed)
	if err != nil {
		t.Fatal(err)
	}
	if m.Family != "Keras" || m.Recipe != "caffe" {
		t.Errorf("family %q, recipe %q", m.Family, m.Recipe)
	}
	for name, want := range map[string]layout{
		"conv1_1/w": {axes: hwio.axes, reverse: true},
		"conv1_2/w": hwio,
		"fc6/w":     {axes: inOut.axes, flat: arch.Shape{C: 512, H: 7, W: 7}},
		"fc7/w":     inOut,
		"fc8/b":     {},
	} {
		got := m.source[name]
		if got.name == "" || !slices.Equal(got.layout.axes, want.axes) || got.layout.flat != want.flat || got.layout.reverse != want.reverse {
			t.Errorf("%s: %+v, want the layout %+v", name, got, want)
		}
	}
}

// TestKerasFaults names all that cannot be run at once.
func TestKerasFaults(t *testing.T) {
	layer := func(class, name, more string) string {
		return fmt.Sprintf(`{"class_name": %q, "config": {"name": %q%s}}`, class, name, more)
	}
	input := layer("InputLayer", "in", `, "batch_shape": [null, 8, 8, 3]`)
	for _, c := range []struct{ config, want string }{
		{`{`, "the model's description is not JSON: unexpected end of JSON input"},
		{`{"class_name": "Subclass"}`, `a model of class "Subclass": Sequential and Functional are read`},
		{`{"class_name": "Sequential", "config": {"layers": [` + input + "," + layer("LSTM", "a", "") + "," + layer("Dense", "b", `, "units": 2, "activation": "gelu"`) + `]}}`,
			`this model cannot be run: a (LSTM) is not a layer that vggo runs; b (Dense) ends with activation "gelu": relu, softmax and linear are known`},
		{`{"class_name": "Sequential", "config": {"layers": [` + layer("Flatten", "f", "") + `]}}`, "the model's description does not tell the size of its input"},
		{`{"class_name": "Sequential", "config": {"layers": [` + input + "," + layer("ZeroPadding2D", "z", `, "padding": 1`) + "," + layer("MaxPooling2D", "m", `, "pool_size": 2`) + `]}}`,
			"this model cannot be run: m (MaxPooling2D) after a ZeroPadding2D: only a convolution can take its padding over"},
		{`{"class_name": "Functional", "config": {"layers": [` + input + "," + layer("ReLU", "a", "") + `, {"class_name": "ReLU", "config": {"name": "b"}, "inbound_nodes": [[["in", 0, 0, {}]]]}]}}`,
			"this model cannot be run: b (ReLU) does not follow the layer before it: only plain chains run"},
	} {
		if _, _, err := kerasNetwork(c.config); fmt.Sprint(err) != c.want {
			t.Errorf("%s:\n%v, want\n%s", c.config, err, c.want)
		}
	}
}

// TestKerasFiles reads the values of real files as h5py does.
func TestKerasFiles(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: no file of Keras is read")
	}
	text, err := os.ReadFile("testdata/keras/values.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string]map[string]struct {
		Shape    []int
		Sum, Abs float64
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	for file, arrays := range golden {
		f := open(t, filepath.Join(root, "weights/keras", file))
		if len(f.Names()) != len(arrays) {
			t.Errorf("%s: %d arrays, h5py finds %d", file, len(f.Names()), len(arrays))
		}
		for name, want := range arrays {
			info, ok := f.Info(name)
			if !ok || !slices.Equal(info.Shape, want.Shape) {
				t.Errorf("%s: %s is %v, want %v", file, name, info.Shape, want.Shape)
				continue
			}
			if !holdsWeights(info.DType) {
				continue
			}
			a, err := f.Tensor(name)
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			var sum, abs float64
			for i, v := range a.Data {
				sum += float64(v) * float64(i%7+1) // a value out of place shows
				abs += math.Abs(float64(v)) * float64(i%7+1)
			}
			if math.Abs(sum-want.Sum) > 1e-9*want.Abs || math.Abs(abs-want.Abs) > 1e-9*want.Abs {
				t.Errorf("%s: %s sums to %v, h5py's to %v", file, name, sum, want.Sum)
			}
		}
	}
}

// FuzzHDF5 reads damaged files: whatever comes out, it comes out.
func FuzzHDF5(f *testing.F) {
	for _, name := range []string{"keras2.h5", "keras1-theano.h5", "keras3.weights.h5", "keras3-latest.weights.h5", "keras3.keras"} {
		data, err := os.ReadFile(filepath.Join("testdata/keras", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := &File{Path: "fuzz"}
		read := readHDF5
		if isZip(data) {
			read = readZip
		} else if !hdf5.Is(data) {
			return
		}
		if read(file, data) != nil {
			return
		}
		total := 0
		for _, name := range file.Names() {
			info, _ := file.Info(name)
			if total += product(info.Shape) * sizes[info.DType]; total > 1<<26 {
				return
			}
			if a, err := file.Tensor(name); err == nil && len(a.Data) != product(info.Shape) {
				t.Fatalf("%s: %d values of shape %v", name, len(a.Data), info.Shape)
			}
		}
		if net, err := file.Network(); err == nil {
			if placed, err := net.Place(net.Input); err == nil {
				Match(file, placed)
			}
		}
	})
}

// TestKerasCIFAR10 runs a network that Keras trained on CIFAR-10's 10,000 test pictures, and compares with what PyTorch makes of the
// same arrays, read by h5py.
func TestKerasCIFAR10(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: CIFAR-10 is not classified")
	}
	if testing.Short() {
		t.Skip("10,000 pictures take seconds")
	}
	text, err := os.ReadFile("testdata/keras/vggbn-cifar10.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(string(text), "\n", "")
	pictures := cifarTest(t, filepath.Join(root, "cifar10-png.tar.gz"))
	if len(pictures) != len(want) || len(want) != 10000 {
		t.Fatalf("%d pictures, %d classes, want 10000", len(pictures), len(want))
	}
	net, params := fromFile(t, open(t, filepath.Join(root, "weights/keras/vggbn-cifar10.h5")))
	plan, err := nn.Compile(net, params, nn.Options{Batch: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	batch := tensor.New(100, 3, 32, 32)
	same := 0
	for at := 0; at < len(pictures); at += batch.N {
		for n := range batch.N {
			to := batch.Images(n, n+1)
			m := pictures[at+n]
			for y := range 32 {
				for x := range 32 {
					c := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
					for ch, v := range []uint8{c.R, c.G, c.B} {
						to.Set(0, ch, y, x, float32(v)*(1.0/255))
					}
				}
			}
		}
		if err := plan.Forward(batch); err != nil {
			t.Fatal(err)
		}
		for n, class := range plan.Predictions() {
			if class == int(want[at+n]-'0') {
				same++
			}
		}
	}
	t.Logf("%d of 10000 classes as PyTorch's", same)
	if same < 9990 {
		t.Errorf("%d of 10000 classes are PyTorch's, want 9990", same)
	}
}

// cifarTest decodes the test pictures in the order of their paths.
func cifarTest(t *testing.T, path string) []image.Image {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]image.Image{}
	for tar := tar.NewReader(unzipped); ; {
		member, err := tar.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if at := strings.Index(member.Name, "test/"); at >= 0 && strings.HasSuffix(member.Name, ".png") {
			m, err := png.Decode(tar)
			if err != nil {
				t.Fatal(err)
			}
			found[member.Name[at:]] = m
		}
	}
	var list []image.Image
	for _, name := range slices.Sorted(maps.Keys(found)) {
		list = append(list, found[name])
	}
	return list
}
