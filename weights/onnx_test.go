package weights

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/weights/internal/onnx/wire"
)

// TestONNXOfTorch reads a small VGG with batch norm as several exporters write it, and holds its logits to PyTorch's.
func TestONNXOfTorch(t *testing.T) {
	var golden struct{ Logits, Half [][]float32 }
	if err := json.Unmarshal(readFile(t, "testdata/onnx/logits.json"), &golden); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/onnx/*.onnx")
	if err != nil || len(files) != 10 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	images := tensor.New(len(golden.Logits), 3, 16, 12)
	for i := range images.Data {
		images.Data[i] = float32(float64(i*7919%2003)/1001 - 1)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			net, params := fromFile(t, open(t, file))
			want := golden.Logits
			if filepath.Base(file) == "half.onnx" {
				want = golden.Half
			}
			got := outputOf(t, net, params, images)
			for n, row := range want {
				for c, w := range row {
					if g := got.At(n, c, 0, 0); !(math.Abs(float64(g-w)) <= 1e-5) {
						t.Errorf("image %d, class %d: %v, PyTorch's %v", n, c, g, w)
					}
				}
			}
		})
	}
}

// TestONNXNames: layers are called as the file calls them, each operation is the one that the file means.
func TestONNXNames(t *testing.T) {
	for file, want := range map[string]string{
		"batchnorm.onnx": "features.0 conv 3x3 pad 1, features.1 batchnorm, features.2 relu, features.3 conv 3x3 pad 1, " +
			"features.4 batchnorm, " +
			"features.5 relu, features.6 maxpool 2x2/2, features.7 conv 3x3 pad 1, features.8 batchnorm, features.9 relu, " +
			"features.10 maxpool 2x2/2, Flatten flatten, classifier.0 linear, classifier.1 relu, classifier.3 linear",
		"fused.onnx": "features.0 conv 3x3 pad 1, features.2 relu, features.3 conv 3x3 pad 1, features.5 relu, features.6 " +
			"maxpool 2x2/2, " +
			"features.7 conv 3x3 pad 1, features.9 relu, features.10 maxpool 2x2/2, Flatten flatten, classifier.0 linear, " +
			"classifier.1 relu, classifier.3 linear",
		"nhwc.onnx": "Conv_1 conv 3x3 same, BatchNormalization_2 batchnorm, Relu_3 relu, Conv_4 conv 3x3 same, " +
			"BatchNormalization_5 batchnorm, Relu_6 relu, " +
			"MaxPool_7 maxpool 2x2/2, Conv_8 conv 3x3 same, BatchNormalization_9 batchnorm, Relu_10 relu, MaxPool_11 maxpool " +
			"2x2/2, flatten flatten, " +
			"MatMul_14 linear, Relu_16 relu, MatMul_17 linear",
	} {
		net, err := open(t, "testdata/onnx/"+file).Network()
		if err != nil {
			t.Fatal(err)
		}
		var layers []string
		for _, l := range net.Layers {
			layers = append(layers, l.Name+" "+arch.Describe(l.Op))
		}
		if got := strings.Join(layers, ", "); got != want || net.Input != (arch.Shape{C: 3, H: 16, W: 12}) {
			t.Errorf("%s, for %v:\n%s, want\n%s", file, net.Input, got, want)
		}
	}
}

// TestONNXIsBuiltin: a graph that computes what a built-in network does is that network, whatever its nodes are called,
// with dropout or without.
func TestONNXIsBuiltin(t *testing.T) {
	for _, name := range []string{"tinyvgg", "tinyvgg-food", "vgg11-cifar-bn", "vgg11-cifar"} {
		net, err := arch.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		anonymous := *net
		anonymous.Layers = nil
		for i, layer := range net.Layers {
			if layer.Op == (arch.Softmax{}) {
				continue
			}
			layer.Name = fmt.Sprint("l", i)
			if linear, ok := layer.Op.(arch.Linear); ok {
				linear.Out += 3
				layer.Op, net.Layers[i].Op = linear, linear
			}
			anonymous.Layers = append(anonymous.Layers, layer)
		}
		e := export(t, name, &anonymous)
		g := &File{Path: e.path}
		if err := g.read(bytes.Replace(readFile(t, e.path), []byte(NetworkNote), []byte("vggo.nothing"), 1)); err != nil {
			t.Fatal(err)
		}
		back, params := fromFile(t, g)
		if !reflect.DeepEqual(back, net) {
			t.Errorf("%s came back as\n%s", name, describe(t, back))
		}
		got := outputOf(t, &arch.Network{Name: "logits", Input: back.Input, Layers: back.Layers[:len(back.Layers)-1]},
			params, e.images)
		if !slices.Equal(got.Data, e.output.Data) {
			t.Errorf("%s: other bits", name)
		}
	}
}

// TestONNXQuantised: one network in the forms that tools quantise to answers as in ONNX Runtime. Nothing is rounded on
// the way, but for the logits of one file, which come out as they are before that: within half a step of 1.
func TestONNXQuantised(t *testing.T) {
	var golden struct {
		Pictures []float32
		Logits   map[string][]float64
	}
	if err := json.Unmarshal(readFile(t, "testdata/onnx/quantised/logits.json"), &golden); err != nil {
		t.Fatal(err)
	}
	in := tensor.New(2, 2, 6, 6)
	copy(in.Data, golden.Pictures)
	if len(golden.Logits) != 5 {
		t.Fatalf("%d files", len(golden.Logits))
	}
	for name, want := range golden.Logits {
		f := open(t, filepath.Join("testdata/onnx/quantised", name))
		placed, err := f.Network()
		if err != nil {
			t.Fatal(err)
		}
		got := matchedLogits(t, placed.Network, matchNetwork(t, f, placed.Network), in)
		bound := 1e-5
		if name == "operators.onnx" {
			bound = 0.5
		}
		for i, w := range want {
			if !(math.Abs(float64(got[i])-w) <= bound) {
				t.Errorf("%s: logits %v, want %v", name, got, want)
				break
			}
		}
	}
}

// TestONNXExternalData: values beside the model are read, files elsewhere are not.
func TestONNXExternalData(t *testing.T) {
	model, values := readFile(t, "testdata/onnx/external.onnx"), readFile(t, "testdata/onnx/external.bin")
	good := []byte("external.bin")
	for _, c := range []struct {
		what, location, want string
		prepare              func(t *testing.T, folder string)
	}{
		{"good", "external.bin", "", nil},
		{"a folder down", "external/bin", "", nil},
		{"a folder up", "../ternal.bi", "no path within the model's folder", nil},
		{"up from below", "a/../../bi.x", "no path within the model's folder", nil},
		{"absolute", "/etc/passwd\x20", "no path within the model's folder", nil},
		{"by a backslash", "a\\ternal.bin", "no path within the model's folder", nil},
		{"none", "another0.bin", "a file of their own, another0.bin, which is not beside the model",
			func(t *testing.T, folder string) {}},
		{"cut", "external.bin", "the tensor's end at", func(t *testing.T, folder string) {
			write(t, filepath.Join(folder, "external.bin"), values[:len(values)-1])
		}},
		{"a link out of the folder", "external.bin", "escapes", func(t *testing.T, folder string) {
			outside := filepath.Join(t.TempDir(), "values")
			write(t, outside, values)
			link := filepath.Join(folder, "external.bin")
			if err := os.Symlink(outside, link); err != nil {
				t.Skip(err)
			}
			if _, err := os.Stat(link); err != nil {
				t.Skip("this system makes links that it does not follow:", err)
			}
		}},
		{"a folder", "external.bin", "not a plain file", func(t *testing.T, folder string) {
			if err := os.Mkdir(filepath.Join(folder, "external.bin"), 0o755); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			folder := t.TempDir()
			if c.prepare != nil {
				c.prepare(t, folder)
			} else if filepath.IsLocal(c.location) {
				write(t, filepath.Join(folder, filepath.FromSlash(c.location)), values)
			}
			path := filepath.Join(folder, "model.onnx")
			write(t, path, bytes.ReplaceAll(model, good, []byte(c.location)))
			f, err := Open(path)
			if err == nil {
				defer f.Close()
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestONNXTruncated cuts a good file at every byte: no cut may open.
func TestONNXTruncated(t *testing.T) {
	whole := readFile(t, "testdata/onnx/batchnorm.onnx")
	for n := range whole {
		f := &File{Path: "cut.onnx"}
		err := f.read(whole[:n])
		if err == nil {
			t.Fatalf("a file cut at byte %d of %d opened", n, len(whole))
		}
		var fault *FormatError
		if errors.As(err, &fault) && (fault.Offset < 0 || fault.Offset > int64(n)) {
			t.Errorf("cut at byte %d: %v is not within the file", n, err)
		}
	}
}

// TestONNXMemory: files made to take memory are refused before they take more than a few times 64 MB.
func TestONNXMemory(t *testing.T) {
	// repeated is a model whose graph is one field again and again.
	repeated := func(field []byte, n int) []byte {
		body := bytes.Repeat(field, n)
		head := []byte{0x08, 7, 0x3a}
		for v := len(body); ; v >>= 7 {
			if v < 0x80 {
				return slices.Concat(head, []byte{byte(v)}, body)
			}
			head = append(head, byte(v)|0x80)
		}
	}
	for what, data := range map[string][]byte{
		"empty nodes":        repeated([]byte{0x0a, 0}, 8<<20),
		"empty tensors":      repeated([]byte{0x2a, 0}, 8<<20),
		"empty inputs":       repeated([]byte{0x5a, 0}, 8<<20),
		"nodes of no inputs": repeated([]byte{0x0a, 4, 0x0a, 0, 0x0a, 0}, 4<<20),
		"empty attributes":   repeated([]byte{0x0a, 4, 0x2a, 0, 0x2a, 0}, 4<<20),
		// packed
		"an attribute of numbers": repeated(slices.Concat([]byte{0x0a, 0x84, 0x80, 0x80, 0x01, 0x2a, 0x80, 0x80, 0x80, 0x01,
			0x42, 0xfc, 0xff, 0x7f},
			make([]byte, 2<<20-4)), 16),
	} {
		f := &File{Path: "large.onnx"}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := f.read(data)
		runtime.ReadMemStats(&after)
		var fault *FormatError
		if !errors.As(err, &fault) {
			t.Errorf("%s: %v", what, err)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 256 {
			t.Errorf("%s: %d MB were taken", what, took)
		}
	}
}

// FuzzONNX: whatever a file is, it is refused or it is a network with all its parameters.
func FuzzONNX(f *testing.F) {
	files, err := filepath.Glob("testdata/onnx/small/*.onnx")
	more, err2 := filepath.Glob("testdata/onnx/quantised/*.onnx")
	if err := errors.Join(err, err2); err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	files = append(files, more...)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !wire.IsModel(data) {
			t.Skip()
		}
		f := &File{Path: "testdata/onnx/small/fuzz.onnx"}
		err := f.read(data)
		defer f.Close()
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 20000 {
				t.Errorf("%q", err)
			}
			return
		}
		placed, err := f.Network()
		if err != nil {
			t.Fatal(err)
		}
		matched, err := Match(f, placed.Layers)
		if err != nil {
			t.Fatal(err)
		}
		for _, layer := range placed.Layers {
			for _, p := range layer.Params {
				values, err := matched.Param(p)
				if err == nil && len(values) != p.Count() {
					t.Fatalf("%s has %d values, not %d", p.Name, len(values), p.Count())
				}
				if p.Count() > 1<<20 && p.Count() > 8*len(data) {
					t.Fatalf("%d values of %d bytes", p.Count(), len(data))
				}
			}
		}
	})
}
