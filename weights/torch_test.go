package weights

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/pickle"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights/internal/format"
)

// TestOneNetworkInAllFormats reads a small VGG with batch norm as PyTorch, NumPy and ONNX's exporter write it.
// TestKeras reads the same one: the outputs are its.
func TestOneNetworkInAllFormats(t *testing.T) {
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
	rewritten := filepath.Join(t.TempDir(), "again.npz")
	for _, c := range []struct{ file, format string }{
		{"zip.pth", "PyTorch"}, {"legacy.pth", "PyTorch"}, {"checkpoint.pth", "PyTorch"}, {"views.pth", "PyTorch"},
		{"views-legacy.pth", "PyTorch"},
		{"plain.npz", "NumPy"}, {"compressed.npz", "NumPy"}, {"plain.safetensors", "safetensors"}, {"small.onnx", "ONNX"},
		{rewritten, "NumPy"},
	} {
		t.Run(filepath.Base(c.file), func(t *testing.T) {
			path := c.file
			if !filepath.IsAbs(path) {
				path = filepath.Join("testdata/torch", c.file)
			}
			f := open(t, path)
			if f.Format != c.format {
				t.Errorf("format %s, want %s", f.Format, c.format)
			}
			placed, err := f.Network()
			var undescribed *UndescribedError
			if errors.As(err, &undescribed) {
				placed, err = arch.Decode(strings.NewReader(kerasSmall))
			}
			if err != nil {
				t.Fatal(err)
			}
			m, err := Match(f, placed.Layers)
			if err != nil {
				t.Fatal(err)
			}
			params := nn.NewParams(placed)
			if err := params.Load(m.Param); err != nil {
				t.Fatal(err)
			}
			for i, picture := range golden.Pictures {
				in := tensor.New(1, 3, 9, 8)
				copy(in.Data, picture)
				got := outputOf(t, placed.Network, params, in).Data
				for j, want := range golden.Logits[i] {
					if !(math.Abs(float64(got[j])-want) < 1e-5) {
						t.Fatalf("picture %d: logits %v, want %v", i, got, golden.Logits[i])
					}
				}
			}
			if c.file == "plain.npz" {
				var tensors []Tensor
				for _, layer := range placed.Layers {
					for _, p := range layer.Params {
						tensors = append(tensors, Tensor{Name: p.Name, Shape: p.Shape, Data: params.Get(p.Name).Data})
					}
				}
				if err := WriteNPZ(t.Context(), rewritten, tensors, map[string]string{NetworkNote: kerasSmall}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	if f := open(t, rewritten); f.list.Tensors[0].Raw == nil || f.Metadata[NetworkNote] == "" {
		t.Error("what WriteNPZ stores is not mapped, or lost its notes")
	} else if _, ok := kernel.Float32s(f.list.Tensors[0].Raw); !ok {
		t.Error("what WriteNPZ stores is not aligned")
	}
}

// TestTorchModule: a whole module of somebody's own class has the tensors of its state_dict. Nothing of the class is
// run, so that what it computes is not known.
func TestTorchModule(t *testing.T) {
	whole, state := open(t, "testdata/torch/module.pth"), open(t, "testdata/torch/zip.pth")
	if !slices.Equal(whole.Names(), state.Names()) || len(whole.Names()) == 0 {
		t.Errorf("tensors %q, want %q", whole.Names(), state.Names())
	}
	if net, err := whole.Network(); !errors.As(err, new(*UndescribedError)) {
		t.Errorf("%v, %v", net, err)
	}
}

// TestModulesOfAFile: of several modules the one that is taken is run only where none of its parts speaks against the
// network of its names.
func TestModulesOfAFile(t *testing.T) {
	size := Asked{Input: arch.Shape{C: 3, H: 8, W: 8}}
	for part, want := range map[string]string{"": "(torch.nn.modules.activation.ELU): no layer of vggo's computes it",
		"model": "(torch.nn.modules.activation.ELU): no layer of vggo's computes it",
		"mean":  "its module 2 is of class AvgPool2d", "net": ""} {
		f, err := OpenPart("testdata/torch/modules.pth", part)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = f.Resolve(size); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", part, err, want)
		}
		f.Close()
	}
	net, err := open(t, "testdata/torch/parallel.pth").Resolve(size)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := net.Layers[2].Op.(arch.AvgPool); !ok {
		t.Errorf("DataParallel's module has %v", net.Layers[2].Op)
	}
}

// TestTinyVGGOnFashion classifies Fashion-MNIST's 10,000 test pictures with a file of PyTorch's, and compares with
// PyTorch.
func TestTinyVGGOnFashion(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: Fashion-MNIST is not classified")
	}
	text, err := os.ReadFile("testdata/torch/tinyvgg-fashionmnist.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(string(text), "\n", "")
	images, err := vision.ReadIDXFile(filepath.Join(root, "fashion-mnist/t10k-images-idx3-ubyte.gz"))
	if err != nil {
		t.Fatal(err)
	}
	net, params := fromFile(t, open(t, filepath.Join(root, "weights/pytorch/tinyvgg-fashionmnist.pth")))
	if net.Name != "tinyvgg" {
		t.Errorf("network %s", net.Name)
	}
	plan, err := nn.Compile(archtest.Place(t, net), params, nn.Options{Batch: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	recipe := vision.Unit(28, 28, 1)
	batch := tensor.New(100, 1, 28, 28)
	same := 0
	for at := 0; at < len(want); at += batch.N {
		for n := range batch.N {
			p, err := images.Picture(at + n)
			if err != nil {
				t.Fatal(err)
			}
			if err := recipe.Put(batch, n, p); err != nil {
				t.Fatal(err)
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
	t.Logf("%d of %d classes as PyTorch's", same, len(want))
	if len(want) != 10000 || same < 9990 {
		t.Errorf("%d of %d classes are PyTorch's, want 9990 of 10000", same, len(want))
	}
}

// TestEveryRealFile opens every file of weights there is, and reads every tensor of those that open.
func TestEveryRealFile(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: no real files are read")
	}
	count := map[string]int{}
	err := filepath.WalkDir(filepath.Join(root, "weights"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), "LICENSE") || strings.HasSuffix(path, ".json") ||
			strings.HasSuffix(path, ".md") {
			return err
		}
		f, err := Open(path)
		if err != nil {
			t.Errorf("%v", err)
			return nil
		}
		defer f.Close()
		for _, name := range f.Names() {
			info, _ := f.Info(name)
			v, err := f.Tensor(name)
			if info.DType.HoldsWeights() && (err != nil || len(v.Data) != format.Product(info.Shape)) {
				t.Errorf("%s: %s: %d values of %v (%v)", path, name, len(v.Data), info.Shape, err)
			}
			count[f.Format]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("tensors by format: %v", count)
}

// TestTorchTensors reads tensors of each type and format: 2 x 3 of 1 to 6 in Fortran's order, and others.
func TestTorchTensors(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: no tensors of PyTorch's are read")
	}
	text, err := os.ReadFile("testdata/torch/tensors.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden map[string]map[string]struct {
		Shape  []int
		Values []float32
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	for file, tensors := range golden {
		f := open(t, filepath.Join(root, "weights/pytorch/tensors", file))
		for name, want := range tensors {
			info, ok := f.Info(name)
			if !ok || !slices.Equal(info.Shape, want.Shape) {
				t.Errorf("%s: %v is not %s of %v", file, f.Names(), name, want.Shape)
				continue
			}
			if info.DType == "I64" {
				continue
			}
			if got, err := f.Tensor(name); err != nil || !slices.Equal(got.Data, want.Values) {
				t.Errorf("%s: %s is %v, want %v (%v)", file, name, got.Data, want.Values, err)
			}
		}
	}
}

// TestHostileFiles: pickles and archives made to run code or to break parsers end in an error or hold no surprise, and
// take no memory.
func TestHostileFiles(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: no hostile files are opened")
	}
	paths, err := filepath.Glob(filepath.Join(root, "hostile", "*"))
	if err != nil || len(paths) < 50 {
		t.Fatalf("%d files (%v)", len(paths), err)
	}
	opens := []string{"pytorch_model.bin", "int_arrays.npz"} // a real transformer's weights, and numbers alone
	for _, path := range paths {
		name := filepath.Base(path)
		if name == "LICENSE" {
			continue
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f, err := Open(path)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 8<<20 {
			t.Errorf("%s takes %d bytes", name, took)
		}
		if err == nil {
			if !slices.Contains(opens, name) {
				t.Errorf("%s opens, with %v", name, f.Names())
			}
			f.Close()
			continue
		}
		var broken *FormatError
		if !errors.As(err, &broken) {
			t.Errorf("%s: %T %v", name, err, err)
		}
	}
}

// FuzzPickle opens damaged pickles and archives.
func FuzzPickle(f *testing.F) {
	placed, err := placeable(counted)
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"torch/zip.pth", "torch/legacy.pth", "torch/checkpoint.pth", "torch/views.pth",
		"torch/views-legacy.pth", "torch/plain.npz", "torch/compressed.npz",
		"torch/module.pth", "checkpoints/average.pth", "checkpoints/legacy.pth", "checkpoints/lists.npy",
		"checkpoints/indices.npy", "checkpoints/protocol5.pkl", "checkpoints/loss.pth"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(append([]byte("\x93NUMPY\x01\x00\x76\x00"), []byte("{'descr': '>f4', 'fortran_order': True, 'shape': (1, 2), }"+
		strings.Repeat(" ", 59)+"\n12345678")...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !format.IsZip(data) && !pickle.Is(data) && !bytes.HasPrefix(data, []byte("\x93NUMPY")) {
			return
		}
		file, err := Read("fuzz", data)
		if err != nil {
			return
		}
		if m, err := Match(file, placed); err == nil {
			for _, p := range placed[0].Params {
				if v, err := m.Param(p); err == nil && len(v) != p.Count() {
					t.Fatalf("%s has %d values", p.Name, len(v))
				}
			}
		}
		total := 0
		for _, name := range file.Names() {
			info, _ := file.Info(name)
			if total += format.Product(info.Shape) * info.DType.Size(); total > 1<<26 {
				return
			}
			if v, err := file.Tensor(name); err == nil && len(v.Data) != format.Product(info.Shape) {
				t.Fatalf("%s: %d values of shape %v", name, len(v.Data), info.Shape)
			}
		}
	})
}
