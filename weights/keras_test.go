package weights

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
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
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/hdf5"
)

// kerasSmall is the network of scripts/gen_keras.py, for the files that do not hold it.
const kerasSmall = `{"name": "small", "input": "9x8x3", "layers": [
	{"name": "conv1", "op": "conv", "out": 5, "kernel": 3, "pad": 1}, {"name": "relu1", "op": "relu"},
	{"name": "bn", "op": "batchnorm", "eps": 0.001},
	{"name": "conv2", "op": "conv", "out": 6, "kernel": 3, "pad": [1, 0, 0, 1]}, {"name": "relu2", "op": "relu"},
	{"name": "pool", "op": "maxpool", "kernel": 2, "stride": 2}, {"name": "flatten", "op": "flatten"},
	{"name": "dense1", "op": "linear", "out": 7}, {"name": "relu3", "op": "relu"},
	{"name": "dense2", "op": "linear", "out": 4}]}`

// kerasGolden is what scripts/gen_keras.py computed in float64.
type kerasGolden struct {
	Pictures [][]float32
	Logits   [][]float64
	NoScale  [][]float64 `json:"scale"`
	NoCentre [][]float64 `json:"center"`
	Max      [][]float64 // whole maps pooled
	VGG      []float64
}

func readKerasGolden(t *testing.T) (golden kerasGolden) {
	t.Helper()
	text, err := os.ReadFile("testdata/keras/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	return golden
}

// matchedLogits runs a network with a file's weights, to its logits.
func matchedLogits(t *testing.T, net *arch.Network, m *Matched, in *tensor.Tensor) []float32 {
	t.Helper()
	if last := len(net.Layers) - 1; net.Layers[last].Op == (arch.Softmax{}) {
		beginning := *net
		beginning.Layers = net.Layers[:last]
		net = &beginning
	}
	params := nn.NewParams(archtest.Place(t, net))
	if err := params.Load(m.Param); err != nil {
		t.Fatal(err)
	}
	return outputOf(t, net, params, in).Data
}

func matchNetwork(t *testing.T, f *File, net *arch.Network) *Matched {
	t.Helper()
	placed, err := net.Place(net.Input)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Match(f, placed.Layers)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func closeTo(got []float32, want []float64) bool {
	for i, w := range want {
		if i >= len(got) || !(math.Abs(float64(got[i])-w) < 1e-5) {
			return false
		}
	}
	return len(got) == len(want)
}

// TestKeras reads one network in every layout that Keras has used, and compares with a computation in float64.
func TestKeras(t *testing.T) {
	golden := readKerasGolden(t)
	for _, c := range []struct {
		file      string
		described bool
		want      [][]float64
	}{
		{"keras2.h5", true, golden.Logits},
		{"keras2-functional.h5", true, golden.Logits},
		{"keras2-first.h5", true, golden.Logits},
		{"keras2-theano.h5", true, golden.Logits},
		{"keras2-nested.h5", true, golden.Logits},
		{"keras1-theano.h5", true, golden.Logits},
		{"keras3.h5", true, golden.Logits},
		{"keras3.keras", true, golden.Logits},
		{"keras3-tf213.keras", true, golden.Logits},
		{"keras3-nested.keras", true, golden.Logits},
		{"keras3-no-scale.keras", true, golden.NoScale},
		{"keras3-no-center.keras", true, golden.NoCentre},
		{"keras2-twins.h5", true, golden.Logits},
		{"keras3-global-max.keras", true, golden.Max},
		{"keras3-open.keras", true, golden.Max},
		{"keras2-weights.h5", false, golden.Logits},
		{"keras3.weights.h5", false, golden.Logits},
		{"keras3-latest.weights.h5", false, golden.Logits},
	} {
		t.Run(c.file, func(t *testing.T) {
			f := open(t, filepath.Join("testdata/keras", c.file))
			placed, err := f.Resolve(Asked{})
			if errors.As(err, new(*OpenSizeError)) {
				placed, err = f.Resolve(Asked{Input: arch.Shape{C: 3, H: 9, W: 8}})
			}
			if !c.described {
				var undescribed *UndescribedError
				if !errors.As(err, &undescribed) {
					t.Fatalf("a file without its network tells one: %v, %v", placed, err)
				}
				placed, err = arch.Decode(strings.NewReader(kerasSmall))
			}
			if err != nil {
				t.Fatal(err)
			}
			net := placed.Network
			m := matchNetwork(t, f, net)
			if m.Family != "Keras" || m.Preprocess != "unit" {
				t.Errorf("family %q, recipe %q", m.Family, m.Preprocess)
			}
			for i, picture := range golden.Pictures {
				in := tensor.New(1, 3, 9, 8)
				copy(in.Data, picture)
				if got := matchedLogits(t, net, m, in); !closeTo(got, c.want[i]) {
					t.Errorf("picture %d: logits %v, want %v", i, got, c.want[i])
				}
			}
		})
	}
}

// TestKerasWrongSize: of a file that leaves its pictures' size open, one that is impossible is said to be the reason.
func TestKerasWrongSize(t *testing.T) {
	small := arch.Shape{C: 3, H: 1, W: 1}
	_, err := open(t, "testdata/keras/keras3-open.keras").Resolve(Asked{Input: small})
	var unreadable *UnreadableError
	if !errors.As(err, &unreadable) || unreadable.Input != small ||
		!strings.Contains(err.Error(), "for pictures of 1x1x3: ") {
		t.Errorf("%v", err)
	}
}

// TestKerasSmallVGG runs a VGG-16 of few channels with the published file's names and layouts: kernels H,W,I,O, a first
// layer that reads BGR, fc1 reading a map in H,W,C order.
func TestKerasSmallVGG(t *testing.T) {
	f := open(t, "testdata/keras/vgg16-small.h5")
	net, err := arch.Compact("small", "64x64x3:4,4,M,6,6,M,8,8,8,M,8,8,8,M,8,8,8,M/10,9,7", arch.Shape{})
	if err != nil {
		t.Fatal(err)
	}
	m := matchNetwork(t, f, net)
	if m.Family != "Keras" || m.Preprocess != "caffe" {
		t.Errorf("family %q, recipe %q", m.Family, m.Preprocess)
	}
	in := tensor.New(1, 3, 64, 64)
	for c := range 3 {
		for y := range 64 {
			for x := range 64 {
				in.Set(0, 2-c, y, x, float32((7*c+3*y+5*x)%11)/11-0.5) // blue first
			}
		}
	}
	if got, want := matchedLogits(t, net, m, in), readKerasGolden(t).VGG; !closeTo(got, want) {
		t.Errorf("logits %v, want %v", got, want)
	}
}

// TestKerasDoesNotFit reads files whose arrays are not those of the network.
func TestKerasDoesNotFit(t *testing.T) {
	place := func(text string) []arch.Placed {
		placed, err := arch.Decode(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return placed.Layers
	}
	deeper := strings.Replace(kerasSmall, `{"name": "dense2",`,
		`{"name": "between", "op": "linear", "out": 7}, {"name": "dense2",`, 1)
	shallower := strings.Replace(kerasSmall,
		`{"name": "dense1", "op": "linear", "out": 7}, {"name": "relu3", "op": "relu"},`, "", 1)
	for _, c := range []struct{ file, net, want string }{
		{"keras2-weights.h5", deeper,
			"2 missing (dense2/kernel, dense2/bias); 2 of the wrong shape (dense2/dense2/kernel:0 " +
				"is 7x4, not 7x7"},
		{"keras2-weights.h5", shallower, "2 not the network's (dense2/dense2/bias:0, dense2/dense2/kernel:0)"},
		{"keras3.weights.h5", shallower, "2 not the network's (layers/dense_1/vars/0, layers/dense_1/vars/1)"},
	} {
		_, err := Match(open(t, filepath.Join("testdata/keras", c.file)), place(c.net))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.file, err, c.want)
		}
	}
}

// TestKerasUnrunnable tells why a described network cannot be told, and still offers the arrays.
func TestKerasUnrunnable(t *testing.T) {
	data, err := os.ReadFile("testdata/keras/keras2.h5")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "lstm.h5")
	if err := os.WriteFile(path, bytes.ReplaceAll(data, []byte(`"MaxPooling2D"`), []byte(`"MinPooling2D"`)),
		0o666); err != nil {
		t.Fatal(err)
	}
	f := open(t, path)
	_, err = f.Network()
	if want := path +
		": this model cannot be run: pool (MinPooling2D) is not a layer that vggo runs"; fmt.Sprint(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
	placed, err := arch.Decode(strings.NewReader(kerasSmall))
	if err != nil {
		t.Fatal(err)
	}
	matchNetwork(t, f, placed.Network)
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
	var golden struct {
		Arrays map[string]map[string]struct {
			Shape    []int
			Sum, Abs float64
		}
		MNIST [][]float64
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	for file, arrays := range golden.Arrays {
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
			if !info.DType.HoldsWeights() {
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

// TestKerasMNIST runs a network of Keras 1 on Theano, weights in one file, architecture in another, and compares with
// NumPy.
func TestKerasMNIST(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: no file of Keras is read")
	}
	text, err := os.ReadFile("testdata/keras/values.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ MNIST [][]float64 }
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	placed, err := OpenNetwork(filepath.Join(root, "weights/keras/mnist_cnn_99.20.json"))
	if err != nil {
		t.Fatal(err)
	}
	net := placed.Network
	m := matchNetwork(t, open(t, filepath.Join(root, "weights/keras/mnist_cnn_99.20.h5")), net)
	for n, want := range golden.MNIST {
		in := tensor.New(1, 1, 28, 28)
		for y := range 28 {
			for x := range 28 {
				in.Set(0, 0, y, x, float32((y*(n+3)+x*(n+5))%17)/16)
			}
		}
		got := matchedLogits(t, net, m, in)
		for i := range want {
			if len(got) != len(want) || !(math.Abs(float64(got[i])-want[i]) < 1e-4*max(1, math.Abs(want[i]))) {
				t.Errorf("picture %d: logits %v, want %v", n, got, want)
				break
			}
		}
	}
}

// FuzzKeras reads damaged files: whatever comes out, it comes out.
func FuzzKeras(f *testing.F) {
	for _, name := range []string{"keras2.h5", "keras2-nested.h5", "keras1-theano.h5", "keras3-latest.weights.h5",
		"keras3-nested.keras"} {
		data, err := os.ReadFile(filepath.Join("testdata/keras", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !format.IsZip(data) && !hdf5.Is(data) {
			return
		}
		file, err := Read("fuzz", data)
		if err != nil {
			return
		}
		total := 0
		for _, name := range file.Names() {
			info, _ := file.Info(name)
			if total += format.Product(info.Shape) * info.DType.Size(); total > 1<<26 {
				return
			}
			if a, err := file.Tensor(name); err == nil && len(a.Data) != format.Product(info.Shape) {
				t.Fatalf("%s: %d values of shape %v", name, len(a.Data), info.Shape)
			}
		}
		if placed, err := file.Network(); err == nil {
			Match(file, placed.Layers)
		}
	})
}

// TestKerasCIFAR10 runs a network that Keras trained on CIFAR-10's 10,000 test pictures, and compares with what PyTorch
// makes of the same arrays, read by h5py.
func TestKerasCIFAR10(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: CIFAR-10 is not classified")
	}
	if testing.Short() {
		t.Skip("unpacking CIFAR-10 takes seconds, under the race detector minutes")
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
	plan, err := nn.Compile(archtest.Place(t, net), params, nn.Options{Batch: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	batch := tensor.New(100, 3, 32, 32)
	same, all := 0, len(pictures)
	for at := 0; at < all; at += batch.N {
		for n := range batch.N {
			to := batch.Images(n, n+1)
			m, err := png.Decode(bytes.NewReader(pictures[at+n]))
			if err != nil {
				t.Fatal(err)
			}
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
	t.Logf("%d of %d classes as PyTorch's", same, all)
	if same < all-all/1000 {
		t.Errorf("%d of %d classes are PyTorch's: at most one in a thousand may differ", same, all)
	}
}

// cifarTest reads the test pictures, PNG, in the order of their paths.
func cifarTest(t *testing.T, path string) [][]byte {
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
	found := map[string][]byte{}
	for tar := tar.NewReader(unzipped); ; {
		member, err := tar.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if at := strings.Index(member.Name, "test/"); at >= 0 && strings.HasSuffix(member.Name, ".png") {
			data, err := io.ReadAll(tar)
			if err != nil {
				t.Fatal(err)
			}
			found[member.Name[at:]] = data
		}
	}
	var list [][]byte
	for _, name := range slices.Sorted(maps.Keys(found)) {
		list = append(list, found[name])
	}
	return list
}
