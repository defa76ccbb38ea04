package keras

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/format/formattest"
)

// smallTFJS is a model.json of two groups, whose tensors begin and end anywhere in the shards.
const smallTFJS = `{"format": "layers-model", "modelTopology": {"keras_version": "2.1", "backend": "tensorflow",
"model_config":
{"class_name": "Sequential", "config": {"name": "s", "layers": [
{"class_name": "Conv2D", "config": {"name": "c", "batch_input_shape": [null, 4, 4, 1], "filters": 2,
"kernel_size": [2, 2]}},
{"class_name": "Flatten", "config": {"name": "f"}},
{"class_name": "Dense", "config": {"name": "d", "units": 1, "activation": "softmax"}}]}}},
"weightsManifest": [{"paths": ["a", "b"], "weights": [
{"name": "c/kernel", "shape": [2, 2, 1, 2], "dtype": "float32",
"quantization": {"dtype": "uint8", "scale": 0.1, "min": -0.3}},
{"name": "c/bias", "shape": [2], "dtype": "float32", "quantization": {"dtype": "uint16", "scale": 0.5, "min": -1}},
{"name": "steps", "shape": [], "dtype": "int32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -3}},
{"name": "Adam/m", "shape": [3], "dtype": "bool", "group": "optimizer"}]},
{"paths": ["c"], "weights": [
{"name": "d/kernel", "shape": [18, 1], "dtype": "float32", "quantization": {"dtype": "float16"}},
{"name": "d/bias", "shape": [1], "dtype": "float32"}]}]}`

// tfjsInput is a model.json with its shards.
func tfjsInput(text string) (*format.Input, map[string][]byte) {
	shards := map[string][]byte{
		"a": {0, 1, 2, 3, 4, 5, 6, 255, 0}, // the kernel, and half of a number of the bias
		"b": {1, 3, 0, 5, 1, 0, 1},
		"c": append(slices.Repeat([]byte{0, 0x3c}, 18), 0, 0, 0x20, 0x40),
	}
	return &format.Input{Name: "model.json", Data: []byte(text), Beside: func(name string) ([]byte, error) {
		if data, ok := shards[name]; ok {
			return data, nil
		}
		return nil, fs.ErrNotExist
	}}, shards
}

// TestTensorFlowJS: values are what decodeWeight in TensorFlow.js' io_utils.ts computes, in float64 rounded once.
func TestTensorFlowJS(t *testing.T) {
	in, _ := tfjsInput(smallTFJS)
	c, err := TensorFlowJS.Read(in)
	if err != nil || c.Network == nil || c.Network.Placed.Output().C != 1 {
		t.Fatal(c, err)
	}
	scale, low := 0.1, -0.3
	kernel := make([]float32, 8)
	for i, q := range []float64{0, 1, 2, 3, 4, 5, 6, 255} {
		product := q * scale
		kernel[i] = float32(product + low)
	}
	for i, want := range []struct {
		name   string
		values []float32
	}{{"c/kernel", kernel}, {"c/bias", []float32{127, 0.5}}, {"steps", nil},
		{"d/kernel", slices.Repeat([]float32{1}, 18)}, {"d/bias", []float32{2.5}}} {
		got := c.Tensors[i]
		if got.Name != want.name {
			t.Fatalf("tensor %d is %s, not %s", i, got.Name, want.name)
		}
		if want.values == nil { // JavaScript rounds -0.5 up
			raw, err := got.Bytes()
			if err != nil || got.DType != "I32" || int32(binary.LittleEndian.Uint32(raw)) != 0 {
				t.Errorf("%s is %v (%v)", got.Name, raw, err)
			}
			continue
		}
		if values, err := got.Floats(); err != nil || !slices.Equal(values, want.values) {
			t.Errorf("%s is %v (%v), want %v", got.Name, values, err, want.values)
		}
	}
	if len(c.Tensors) != 5 || c.Metadata["backend"] != "tensorflow" {
		t.Errorf("%d tensors, notes %v", len(c.Tensors), c.Metadata)
	}
	if placed, err := Description.Read([]byte(smallTFJS)); err != nil || placed.Output().C != 1 {
		t.Error(placed, err)
	}
	// as TensorFlow.js itself saves one: the description alone
	bare := strings.Replace(strings.Replace(smallTFJS, `"model_config":`, `"x": 0,`, 1), `{"class_name": "Sequential",`,
		`"class_name": "Sequential",`, 1)
	in, _ = tfjsInput(strings.Replace(bare, `"softmax"}}]}}}`, `"softmax"}}]}}`, 1))
	if c, err = TensorFlowJS.Read(in); err != nil || c.Network == nil {
		t.Error(c, err)
	}
}

func TestTensorFlowJSRefuses(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{`"a", "b"`, `"a", "x"`, "x is not beside it"},
		{`"a", "b"`, `"a", "a"`, "listed twice"},
		{`["c"]`, `["b"]`, "listed twice"},
		{`["c"]`, `["https://example.org/c"]`, "is an address"},
		{`"c/bias"`, `"c/kernel"`, `"c/kernel" occurs twice`},
		{`"shape": [3]`, `"shape": [2]`, "group 1 has 16 bytes in its shards, and tensors for 15"},
		{`"shape": [3]`, `"shape": [4]`, `tensor "Adam/m" begins at 13 and does not fit`},
		{`"shape": [2]`, `"shape": [-2]`, `tensor "c/bias" begins at 8 and does not fit`},
		{`"shape": [2]`, `"shape": [1073741824, 4]`, `tensor "c/bias" begins at 8 and does not fit`},
		{`"shape": [2]`, `"shape": [2.5]`, "cannot unmarshal"},
		{`"dtype": "bool"`, `"dtype": "string"`, `tensor "Adam/m" is of type "string"`},
		{`"dtype": "float16"`, `"dtype": "uint4"`, `quantised as "uint4"`},
		{`"scale": 0.1, `, ``, `"c/kernel" is quantised without a scale`},
		{`"dtype": "int32", "quantization": {"dtype": "uint8"`, `"dtype": "int32", "quantization": {"dtype": "float16"`,
			`of type int32 is quantised as "float16"`},
		{`"format":`, `"weightsManifest": [], "format":`, "duplicate"},
	} {
		in, _ := tfjsInput(strings.Replace(smallTFJS, c.from, c.to, 1))
		if _, err := TensorFlowJS.Read(in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.to, err, c.want)
		}
	}
	in, _ := tfjsInput(strings.Replace(smallTFJS, `"model_config"`, `"node": [], "x"`, 1))
	c, err := TensorFlowJS.Read(in)
	if err != nil || c.Unrunnable == nil || !strings.Contains(c.Unrunnable.Error(), "graph-model") || len(c.Tensors) != 5 {
		t.Error(c, err)
	}
	if _, err := Description.Read(in.Data); !errors.Is(err, ErrGraph) {
		t.Error(err)
	}
	in, _ = tfjsInput(smallTFJS)
	in.Data = []byte(strings.Replace(smallTFJS, `"weights": [`, `"weights": [`+strings.Repeat(`{},`, 1<<22), 1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = TensorFlowJS.Read(in)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; err == nil || !strings.Contains(err.Error(), "commas") ||
		took > 16<<20 {
		t.Errorf("%v, in %d bytes of memory", err, took)
	}
	in, _ = tfjsInput(smallTFJS)
	in.Data = append(in.Data, make([]byte, maxManifest)...)
	if _, err := TensorFlowJS.Read(in); err == nil || !strings.Contains(err.Error(), "the most is") {
		t.Error(err)
	}
}

// TestTensorFlowJSHostile: each truncation and change of model.json, each truncation of a shard and one byte more.
func TestTensorFlowJSHostile(t *testing.T) {
	in, shards := tfjsInput(smallTFJS)
	formattest.Hostile(t, TensorFlowJS, in)
	for name, whole := range shards {
		for n := range len(whole) + 2 {
			if n == len(whole) {
				continue
			}
			shards[name] = append(slices.Clone(whole), 0)[:n]
			if _, err := TensorFlowJS.Read(in); err == nil || !strings.Contains(err.Error(), "in its shards") {
				t.Errorf("shard %s of %d bytes, not %d: %v", name, n, len(whole), err)
			}
		}
		shards[name] = whole
	}
}

func FuzzTensorFlowJS(f *testing.F) {
	f.Add([]byte(smallTFJS), []byte{1, 2, 3})
	f.Add([]byte(smallTFJS), make([]byte, math.MaxUint8))
	f.Fuzz(func(t *testing.T, data, shard []byte) {
		if len(data) > 1<<20 {
			return
		}
		in, shards := tfjsInput(string(data))
		shards["d"] = shard
		_ = formattest.Use(t, TensorFlowJS, in)
	})
}
