package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
)

// tfNetwork is the network of the checkpoints in testdata/formats, whose values tf.json has in our order.
func tfNetwork(t *testing.T) (*arch.Placement, map[string][]float32) {
	t.Helper()
	text, err := os.ReadFile("testdata/formats/tf.json")
	values := map[string][]float32{}
	if err == nil {
		err = json.Unmarshal(text, &values)
	}
	net, fault := arch.Compact("vgg", "8x8x3:2,M,2,M/3,2", arch.ImageNetInput)
	if err := errors.Join(err, fault); err != nil {
		t.Fatal(err)
	}
	return archtest.Place(t, net), values
}

// equals holds a file's parameters of the network against values, which lie so much below them.
func equals(t *testing.T, f *File, placed *arch.Placement, values map[string][]float32, above float32) {
	t.Helper()
	m, err := Match(f, placed.Layers)
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range placed.Layers {
		for _, p := range layer.Params {
			got, err := m.Param(p)
			want := slices.Clone(values[p.Name])
			if want == nil { // vggo counts all layers with weights
				want = slices.Clone(values[strings.NewReplacer("fc3", "fc6", "fc4", "fc7").Replace(p.Name)])
			}
			for i := range want {
				want[i] += above
			}
			if err != nil || len(want) == 0 || !slices.Equal(got, want) {
				t.Errorf("%s: %s begins with %v, want %v (%v)", f.Path, p.Name, got[:min(len(got), 9)],
					want[:min(len(want), 9)], err)
			}
		}
	}
}

// TestTensorFlowCheckpoints: a network's weights under the names of TF-slim, the article's program and Keras, in both
// editions, to the bit; what else is there is told.
func TestTensorFlowCheckpoints(t *testing.T) {
	placed, values := tfNetwork(t)
	for _, c := range []struct {
		file, part string
		above      float32
		others     string
	}{
		{"tf-slim.ckpt", "", 0, "[{Momentum 8 the optimiser's values}]"},
		{"tf-article.ckpt", "", 0, "[{ExponentialMovingAverage 8 } {beta1_power 1 a tensor by itself} " +
			"{Adam 16 the optimiser's values}]"},
		{"tf-article.ckpt", "ExponentialMovingAverage", 1, ""},
		{"tf-keras", "", 0, "[{optimizer 9 the optimiser's values}]"},
	} {
		f, err := OpenPart(filepath.Join("testdata/formats", c.file), c.part)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if f.Format != "TensorFlow" || c.others != "" && fmt.Sprint(f.Others) != c.others {
			t.Errorf("%s: %s, beside it %v, want %s", c.file, f.Format, f.Others, c.others)
		}
		equals(t, f, placed, values, c.above)
		net, err := f.Network()
		if err != nil || net.Input.H != 8 || len(net.Layers) != len(placed.Layers) {
			t.Errorf("%s: its network is %v (%v)", c.file, net, err)
		}
	}
	if p := open(t, "testdata/formats/tf-slim.ckpt").contents.Pictures; p == nil || p.Order != "RGB" || !p.Bytes ||
		p.Told != "vgg_16/mean_rgb" || !slices.Equal(p.Mean, []float32{123.68, 116.78, 103.94}) {
		t.Errorf("pictures are %+v", p)
	}
}

// TestTensorFlowLayout: where shapes fit both orders and names are vggo's own too, a checkpoint lies as TensorFlow has
// it and a safetensors file as vggo has it.
func TestTensorFlowLayout(t *testing.T) {
	net, err := arch.Compact("vgg", "6x6x3:3,M/27,27", arch.ImageNetInput)
	if err != nil {
		t.Fatal(err)
	}
	placed := archtest.Place(t, net)
	var tensors []Tensor
	for _, layer := range placed.Layers {
		for _, p := range layer.Params {
			data, err := sliding(p)
			if err != nil {
				t.Fatal(err)
			}
			tensors = append(tensors, Tensor{Name: p.Name, Shape: p.Shape, Data: data})
		}
	}
	folder := t.TempDir()
	ours, theirs := filepath.Join(folder, "a.safetensors"), filepath.Join(folder, "a.ckpt")
	if err := errors.Join(Write(ours, tensors, nil),
		WriteTensorFlow(t.Context(), theirs, placed, sliding, nil, false)); err != nil {
		t.Fatal(err)
	}
	values := map[string][]float32{}
	for _, tensor := range tensors {
		values[tensor.Name] = tensor.Data
	}
	for _, path := range []string{ours, theirs} {
		f := open(t, path)
		for _, layer := range placed.Layers[:1] {
			if info, ok := f.Info(layer.Name + "/w"); !ok || !slices.Equal(info.Shape, []int{3, 3, 3, 3}) {
				t.Fatalf("%s: shape %v tells the order", path, info.Shape)
			}
		}
		equals(t, f, placed, values, 0)
	}
}

// copyFiles copies test files into a folder.
func copyFiles(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	for to, from := range files {
		data, err := os.ReadFile(filepath.Join("testdata/formats", from))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(folder, to)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, to), data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestTensorFlowPaths: a checkpoint is found by whatever its programs and its files are called, and what is missing is
// named.
func TestTensorFlowPaths(t *testing.T) {
	placed, values := tfNetwork(t)
	folder := t.TempDir()
	const data0, data1 = ".data-00000-of-00002", ".data-00001-of-00002"
	v2 := map[string]string{"m.index": "tf-article.ckpt.index", "m" + data0: "tf-article.ckpt" + data0,
		"m" + data1: "tf-article.ckpt" + data1}
	copyFiles(t, folder, v2)
	list := filepath.Join(folder, "checkpoint")
	write := func(text string) {
		if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	is := func(path string) {
		f := open(t, path)
		equals(t, f, placed, values, 0)
		f.Close() // Windows removes no file that is open
	}
	for _, name := range []string{"m", "m.index", "m" + data0, "m" + data1, "."} {
		is(filepath.Join(folder, name))
	}
	for _, named := range []string{"m", "/old/place/m", `C:\old\m`} {
		write(`model_checkpoint_path: "` + named + `"` + "\nall_model_checkpoint_paths: \"x\"\n")
		is(list)
		is(folder)
	}
	for named, want := range map[string]string{"../m": "no name within its folder", "a/b": "no name within its folder",
		"gone": "which is not beside it", "checkpoint": "which is not beside it", "": "no name within its folder"} {
		write(`model_checkpoint_path: "` + named + `"`)
		for _, path := range []string{list, folder} {
			if _, err := Open(path); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: %v, want %q", named, err, want)
			}
		}
	}
	if err := os.Remove(filepath.Join(folder, "m"+data1)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(folder, "m")); err == nil || !strings.Contains(err.Error(), "m"+data1) {
		t.Errorf("a file that is missing: %v", err)
	}
	if err := os.Remove(filepath.Join(folder, "m.index")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(folder, "m"+data0)); err == nil || !strings.Contains(err.Error(), ".index") {
		t.Errorf("values alone: %v", err)
	}
}

// TestTensorFlowShards: of the first edition's files any is the checkpoint, and all must be there.
func TestTensorFlowShards(t *testing.T) {
	placed, values := tfNetwork(t)
	folder := filepath.Join(t.TempDir(), "run [1]") // which is no pattern
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	copyFiles(t, folder, map[string]string{"m-00000-of-00001": "tf-slim.ckpt"})
	for _, name := range []string{"m", "m-00000-of-00001"} {
		equals(t, open(t, filepath.Join(folder, name)), placed, values, 0)
	}
	copyFiles(t, folder, map[string]string{"n-00001-of-00002": "tf-slim.ckpt"})
	if _, err := Open(filepath.Join(folder, "n-00001-of-00002")); err == nil ||
		!strings.Contains(err.Error(), "n-00000-of-00002") {
		t.Errorf("a file that is missing: %v", err)
	}
}

// TestTensorFlowDamage: values that are not those that were written are noticed when they are read.
func TestTensorFlowDamage(t *testing.T) {
	folder := t.TempDir()
	const values = ".data-00000-of-00001"
	copyFiles(t, folder, map[string]string{"m.index": "tf-keras.index", "m" + values: "tf-keras" + values})
	path := filepath.Join(folder, "m.data-00000-of-00001")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := open(t, filepath.Join(folder, "m"))
	for _, name := range f.Names() {
		if _, err := f.Tensor(name); err != nil {
			t.Error(err)
		}
	}
	f.Close() // Windows replaces no file that is open
	for at := range 4 {
		data[at*50] ^= 1
	}
	if err := os.WriteFile(filepath.Join(folder, "new"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(folder, "new"), path); err != nil {
		t.Fatal(err)
	}
	f = open(t, filepath.Join(folder, "m"))
	damaged := 0
	for _, name := range f.Names() {
		if _, err := f.Tensor(name); err != nil && strings.Contains(err.Error(), "damaged") {
			damaged++
		}
	}
	if damaged == 0 {
		t.Error("no damage is noticed")
	}
}
