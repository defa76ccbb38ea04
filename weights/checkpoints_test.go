package weights

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
)

// counted is the network of scripts/gen_checkpoints.py, whose parameters count on one from the other.
const counted = "8x8x3:2,M,2,M/3,2"

// isCounted fails unless a match has the network's values in their order.
func isCounted(t *testing.T, m *Matched, placed []arch.Placed) {
	t.Helper()
	next := float32(0)
	for _, layer := range placed {
		for _, p := range layer.Params {
			data, err := m.Param(p)
			if err != nil {
				t.Fatal(err)
			}
			if len(data) != p.Count() {
				t.Fatalf("%s: %d values, want %d", p.Name, len(data), p.Count())
			}
			for i, v := range data {
				if v != next {
					t.Fatalf("%s: value %d is %v, want %v", p.Name, i, v, next)
				}
				next++
			}
		}
	}
}

// placedOf is a network placed for its own input.
func placedOf(t *testing.T, spec string) []arch.Placed {
	t.Helper()
	placed, err := placeable(spec)
	if err != nil {
		t.Fatal(err)
	}
	return placed
}

func placeable(spec string) ([]arch.Placed, error) {
	placed, err := arch.Open(spec)
	if err != nil {
		return nil, err
	}
	return placed.Layers, nil
}

// TestCheckpoints finds one network's parameters in whatever scripts, wrappers and other programs make of them.
func TestCheckpoints(t *testing.T) {
	placed := placedOf(t, counted)
	tested := map[string]bool{}
	type want struct {
		file, family, part string
		others             []string // in order; "name!" is one that is not read
		ask                string   // the part to ask for; empty: none
	}
	list := []want{
		{file: "scalars.pth", family: "torchvision", part: "net"},
		{file: "adam.pth", family: "torchvision", part: "state_dict"},
		{file: "namespace.pth", family: "torchvision", part: "model"},
		{file: "parameters.pth", family: "torchvision", part: "weights"},
		{file: "containers.pth", family: "torchvision", part: "state_dict"},
		{file: "features-module.pth", family: "torchvision"},
		{file: "backbone.pth", family: "torchvision"},
		{file: "fsdp.pth", family: "torchvision", part: "model"},
		{file: "optimiser.pth", family: "torchvision", part: "model"},
		{file: "nested.pth", family: "torchvision"},
		{file: "deep.pth", family: "torchvision", part: "checkpoint.run.model"},
		{file: "lightning.pth", family: "torchvision", part: "state_dict"},
		{file: "dict-class.pth", family: "torchvision", part: "state_dict"},
		{file: "half.pth", family: "torchvision", part: "state_dict"},
		{file: "numpy.pth", family: "torchvision", part: "state_dict"},
		{file: "legacy.pth", family: "torchvision", part: "state_dict"},
		{file: "average.pth", family: "torchvision", part: "model", others: []string{"model_ema"}},
		{file: "average-alone.pth", family: "torchvision", part: "model_ema"},
		{file: "average-first.pth", family: "torchvision", part: "state_dict", others: []string{"state_dict_ema"}},
		{file: "momentum.pth", family: "torchvision", part: "encoder", others: []string{"momentum_encoder"}},
		{file: "average-flat.pth", family: "torchvision", part: "model", others: []string{"ema"}},
		{file: "average-beside.pth", family: "torchvision", others: []string{"ema"}},
		{file: "average-undotted.pth", family: "torchvision", part: "state_dict", others: []string{"state_dict.model_ema"}},
		{file: "nested-blocks.pth"}, // by order and shapes
		{file: "profiled.pth", family: "torchvision"},
		{file: "cycle.pth", family: "torchvision", part: "model_state_dict"},
		{file: "partial.pth", family: "torchvision", part: "state_dict", others: []string{"hyper_parameters.net"}},
		{file: "average.safetensors", family: "torchvision", part: "model", others: []string{"model_ema"}},
		{file: "shadow.pth", family: "torchvision", part: "model", others: []string{"ema.shadow_params"}},
		{file: "callback.pth", family: "torchvision", part: "state_dict", others: []string{"callbacks.EMA.ema_state_dict"}},
		{file: "best.pth", family: "torchvision", part: "state_dict", others: []string{"best_state_dict"}},
		{file: "teacher.pth", family: "torchvision", part: "student", others: []string{"teacher"}},
		{file: "ensemble.pth", family: "torchvision", part: "models.0", others: []string{"models.1"}},
		{file: "figure.pth", family: "torchvision", part: "state_dict", others: []string{"confusion!"}},
		{file: "loss.pth", family: "torchvision", part: "state_dict", others: []string{"criterion"}},
		{file: "perceptual.pth", family: "torchvision", ask: "model", part: "model", others: []string{"!"}},
		{file: "adversary.pth", family: "torchvision", ask: "netD", part: "netD", others: []string{"netG"}},
		{file: "words.pth"},
		{file: "heads.pth", family: "torchvision"},
		{file: "dropout-first.pth", family: "torchvision"},
		{file: "sequential.pth", family: "PyTorch"},
		{file: "prefix.safetensors", family: "torchvision"},
		{file: "fc.safetensors", family: "torchvision"},
		{file: "prefix.npz", family: "torchvision"},
		{file: "prefix-compressed.npz", family: "torchvision"},
		{file: "underlines.npz", family: "torchvision"},
		{file: "frossard.npz", family: "TensorFlow"},
		{file: "variables.npz", family: "TensorFlow"},
		{file: "keras-names.npz", family: "TensorFlow"},
		{file: "numbers.npz"},
		{file: "object.npz", family: "TensorFlow"},
		{file: "lists.npy", family: "TensorFlow"},
		{file: "tuples.npy", family: "TensorFlow"},
		{file: "dicts.npy", family: "TensorFlow"},
		{file: "letters.npy", family: "TensorFlow"},
		{file: "indices.npy", family: "TensorFlow"},
		{file: "list.npy"},
		{file: "protocol2.pkl", family: "TensorFlow"},
		{file: "protocol5.pkl", family: "TensorFlow"},
		{file: "paddle.pdparams", family: "Paddle"},
	}
	for i := range 10 {
		list = append(list, want{file: fmt.Sprintf("prefix%d.pth", i), family: "torchvision"})
	}
	for _, c := range list {
		tested[c.file] = true
		t.Run(c.file, func(t *testing.T) {
			f, err := OpenPart(filepath.Join("testdata/checkpoints", c.file), c.ask)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			m, err := Match(f, placed)
			if err != nil {
				t.Fatal(err)
			}
			isCounted(t, m, placed)
			if m.Family != c.family || m.Guess != (c.family == "") {
				t.Errorf("family %q, a guess: %v; want %q", m.Family, m.Guess, c.family)
			}
			var others []string
			for _, o := range f.Others {
				if o.Unread != "" {
					o.Name += "!"
				}
				others = append(others, o.Name)
			}
			if c.ask == "model" { // any word that names begin with counts, and what else there is is not gone into
				others = c.others
			}
			if f.Part != c.part || !slices.Equal(others, c.others) {
				t.Errorf("part %q, others %q, want %q and %q", f.Part, others, c.part, c.others)
			}
		})
	}
	for file, reason := range map[string]string{
		"other-pool.pth": "2 missing (features.3.weight, features.3.bias); 2 not the network's " +
			"(features.2.weight, features.2.bias)",
		"normalised.pth":            "1 not the network's (mean)",
		"classes.pth":               "classifier.3.weight is 5x3, not 2x3",
		"module.pth":                "another network's weights: it has layer.weight",
		"quantised.pth":             "dequantize",
		"sparse.pth":                "to_dense",
		"swapped-words.safetensors": "another network's weights",
		"perceptual.pth":            `its part "model" alone fits`,
		"adversary.pth":             "the file has other parts: netD",
	} {
		tested[file] = true
		f, err := Open(filepath.Join("testdata/checkpoints", file))
		if err == nil {
			_, err = Match(f, placed)
			f.Close()
		}
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v, want %q", file, err, reason)
		}
	}
	paths, err := filepath.Glob("testdata/checkpoints/*")
	if err != nil || len(paths) != len(tested) {
		t.Errorf("%d files, %d of them are tested (%v)", len(paths), len(tested), err)
	}
}

// TestRebuild reads tensors as newer PyTorch, TPUs and tensors with attributes write them. Each is of the values 1, 2,
// 3.
func TestRebuild(t *testing.T) {
	storage := func(class, count string) string {
		return "(X\x07\x00\x00\x00storagectorch\n" + class + "\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + count + "tQ"
	}
	values := []byte("\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x40\x40")
	half := []byte("\x00\x3c\x00\x40\x00\x42")
	const view = "K\x00K\x03\x85K\x01\x85"
	for _, c := range []struct {
		name, call string
		values     []byte
		reason     string
	}{
		{"untyped", "ctorch._utils\n_rebuild_tensor_v3\n(" + storage("UntypedStorage", "K\x0c") + view +
			"\x89Nctorch\nfloat32\ntR", values, ""},
		{"untyped half", "ctorch._utils\n_rebuild_tensor_v3\n(" + storage("UntypedStorage", "K\x06") + view +
			"\x89Nctorch\nfloat16\ntR", half, ""},
		{"untyped, beyond", "ctorch._utils\n_rebuild_tensor_v3\n(" + storage("UntypedStorage", "K\x08") + view +
			"\x89Nctorch\nfloat32\ntR", values[:8], "in a storage of 2 values"},
		{"untyped of no type", "ctorch._utils\n_rebuild_tensor_v3\n(" + storage("UntypedStorage", "K\x0c") + view +
			"\x89Nctorch\nload\ntR", values, "a tensor of type torch.load"},
		{"with attributes",
			"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch.nn.parameter\nParameter\n(" +
				storage("FloatStorage", "K\x03") + view + "\x89Nt}tR", values, ""},
		{"made by another",
			"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch\nload\nctorch.nn.parameter\nParameter\n(K\x01t}tR", values,
			"a tensor made by torch.load"},
		{"a parameter", "ctorch._utils\n_rebuild_parameter\n(ctorch._utils\n_rebuild_tensor_v2\n(" + storage("FloatStorage",
			"K\x03") + view + "\x89NtR\x88}tR", values, ""},
		{"of a device that NumPy saves",
			"ctorch._utils\n_rebuild_device_tensor_from_numpy\n(cnumpy.core.multiarray\n_reconstruct\n" +
				"(cnumpy\nndarray\n(K\x00tU\x01btR" +
				"(K\x01K\x03\x85cnumpy\ndtype\n(U\x02f4\x89\x88tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb" +
				"\x89U\x0c" + string(values) + "tbNNtR", nil, ""},
	} {
		members := []string{"x/data.pkl", "\x80\x02}X\x01\x00\x00\x00a" + c.call + "s.", "x/data/0", string(c.values)}
		f, err := Read(c.name, zipOf(t, 0, members...))
		if c.reason != "" {
			if err == nil || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%s: %v, want %q", c.name, err, c.reason)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got, err := f.Tensor("a"); err != nil || !slices.Equal(got.Data, []float32{1, 2, 3}) {
			t.Errorf("%s: %v (%v)", c.name, got.Data, err)
		}
	}
}

// TestPython2Arrays reads dicts of arrays that Python 2 pickled in 2016: networks of facenet's, by caffe-tensorflow.
func TestPython2Arrays(t *testing.T) {
	root := os.Getenv("VGGO_TESTDATA")
	if root == "" {
		t.Skip("VGGO_TESTDATA is not set: no arrays of Python 2's are read")
	}
	for file, want := range map[string]map[string][]int{
		"det1.npy": {"conv1.weights": {3, 3, 3, 10}, "conv1.biases": {10}, "PReLU1.alpha": {10},
			"conv4-2.weights": {1, 1, 32, 4}},
		"det3.npy": {"conv5.weights": {1152, 256}, "conv6-3.biases": {10}, "prelu5.alpha": {256}},
	} {
		f := open(t, filepath.Join(root, "formats/real/npy", file))
		for name, shape := range want {
			got, err := f.Tensor(name)
			if err != nil || !slices.Equal(got.Shape, shape) || len(got.Data) != format.Product(shape) {
				t.Errorf("%s: %s is %v, want %v (%v)", file, name, got.Shape, shape, err)
			}
		}
	}
}

// TestParts: the part that is asked for, by its key or by any word that names begin with; others are refused by name.
func TestParts(t *testing.T) {
	placed := placedOf(t, counted)
	for _, c := range []struct{ file, part, fault string }{
		{"average.pth", "model", ""},
		{"average.pth", "model_ema", "zeros"},
		{"average-flat.pth", "ema.module", "zeros"},
		{"average-flat.pth", "model", ""},
		{"average-beside.pth", "ema", "zeros"},
		{"average-undotted.pth", "state_dict.model", ""},
		{"deep.pth", "checkpoint.run.model.module", ""},
		{"ensemble.pth", "models.1", "zeros"},
		{"average.pth", "mode", `no part "mode": it has model, model_ema`},
		{"average.pth", "epoch", `no part "epoch"`},
		{"figure.pth", "confusion", `no part "confusion": it has state_dict`},
		{"prefix0.pth", "module", ""},
		{"lists.npy", "x", `no part "x": the file holds one network's weights`},
	} {
		f, err := OpenPart(filepath.Join("testdata/checkpoints", c.file), c.part)
		if err != nil {
			var none *PartError
			if c.fault == "" || !errors.As(err, &none) || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s of %s: %v, want %q", c.part, c.file, err, c.fault)
			}
			continue
		}
		m, err := Match(f, placed)
		if err != nil {
			t.Errorf("%s of %s: %v", c.part, c.file, err)
			continue
		}
		if c.fault == "zeros" {
			if data, err := m.Param(placed[0].Params[0]); err != nil || slices.Max(data) != 0 {
				t.Errorf("%s of %s is not the average (%v)", c.part, c.file, err)
			}
		} else {
			isCounted(t, m, placed)
		}
		f.Close()
	}
	if _, err := OpenPart("testdata/onnx/batchnorm.onnx", "model"); !errors.As(err, new(*PartError)) {
		t.Errorf("an ONNX file has a part (%v)", err)
	}
}

// TestMatchLayers: weights without a classifier, or with another, do for who needs no classifier, and are no reason to
// read past what may stand between layers.
func TestMatchLayers(t *testing.T) {
	placed := placedOf(t, counted)
	torch := tensorsOf(placed, torchvisionNames(placed))
	own := tensorsOf(placed, ownNames(placed))
	tensor := func(name string, shape ...int) Tensor {
		return Tensor{Name: name, Shape: shape, Data: make([]float32, format.Product(shape))}
	}
	convs := func(layer string) bool { return strings.HasPrefix(layer, "conv") }
	for _, c := range []struct {
		what    string
		tensors []Tensor
		beside  bool
		fault   string
	}{
		{"no classifier", torch[:4], false, ""},
		{"another classifier", append(slices.Clone(torch[:4]), tensor("fc.weight", 9, 8), tensor("fc.bias", 9)), false, ""},
		{"a classifier of other classes", append(slices.Clone(torch[:6]), tensor("classifier.3.weight", 9, 3),
			tensor("classifier.3.bias", 9)), false, ""},
		{"batch norm between", append(slices.Clone(torch[:4]), tensor("features.1.weight", 2), tensor("features.1.bias", 2)),
			false, "features.1.weight"},
		{"more convolutions", append(slices.Clone(torch[:4]), tensor("features.5.weight", 2, 2, 3, 3)), false,
			"features.5.weight"},
		{"more convolutions, numbered", append(slices.Clone(torch[:4]), tensor("features.5.weight", 2, 2, 3, 3)), true,
			"features.5.weight"},
		{"more convolutions, by words", append(slices.Clone(own[:4]), tensor("conv3_1/w", 2, 2, 3, 3)), true, ""},
		{"one convolution", torch[:2], false, "features.3.weight"},
	} {
		path := filepath.Join(t.TempDir(), "w")
		if err := Write(path, c.tensors, nil); err != nil {
			t.Fatal(err)
		}
		f := open(t, path)
		m, err := MatchLayers(f, placed, Layers{Wanted: convs, Beside: c.beside})
		if c.fault != "" {
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: %v, want %q", c.what, err, c.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		for _, layer := range placed {
			for _, p := range layer.Params {
				_, err := m.Param(p)
				if m.Has(p) != (err == nil) || convs(layer.Name) && err != nil {
					t.Errorf("%s: %s is there: %v (%v)", c.what, p.Name, m.Has(p), err)
				}
			}
		}
		if _, err := Match(f, placed); err == nil {
			t.Errorf("%s: fits whole", c.what)
		}
	}
}

// TestHeadlessNetwork: convolutions alone tell a VGG up to its last pooling, for pictures of any size.
func TestHeadlessNetwork(t *testing.T) {
	placed := placedOf(t, "vgg16")
	f := &File{Path: "x"}
	for name, of := range torchvisionNames(placed) {
		for _, layer := range placed {
			for _, p := range layer.Params {
				if p.Name == name && strings.HasPrefix(of, "features.") {
					if err := f.list.Add(format.Tensor{Name: of, Shape: p.Shape, DType: F32}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	if _, err := f.Network(); !errors.As(err, new(*OpenSizeError)) {
		t.Errorf("%v", err)
	}
	net, err := f.Resolve(Asked{Input: arch.Shape{C: 3, H: 96, W: 64}})
	if err != nil || net.Output() != (arch.Shape{C: 512, H: 3, W: 2}) {
		t.Errorf("%v: %v", net, err)
	}
}

// TestOtherClassifiers: a built-in's convolutions under torchvision's names tell it, whatever its classifier is called.
func TestOtherClassifiers(t *testing.T) {
	for _, c := range []struct {
		network string
		rename  map[string]string
		classes int
	}{
		{"vgg16", map[string]string{"classifier.0.": "classifier.1.", "classifier.3.": "classifier.4."}, 1000},
		{"vgg16", map[string]string{"classifier.6.": "classifier.6.0."}, 7},
		{"vgg16-bn", map[string]string{"features.": "module.features.module."}, 1000},
		{"vgg19", map[string]string{"": "backbone."}, 3},
		// kuangliu's, or a 224x224 network's that averages
		{"vgg16-cifar-bn", map[string]string{"classifier.0.": "classifier."}, 0},
	} {
		f := &File{Path: "x"}
		for ours, name := range torchvisionNames(placedOf(t, c.network)) {
			for _, layer := range placedOf(t, c.network) {
				for _, p := range layer.Params {
					if p.Name != ours {
						continue
					}
					for from, to := range c.rename {
						if rest, ok := strings.CutPrefix(name, from); ok {
							name = to + rest
						}
					}
					shape := slices.Clone(p.Shape)
					if p.Layer() == "fc8" {
						shape[0] = c.classes
					}
					if err := f.list.Add(format.Tensor{Name: name, Shape: shape, DType: F32}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		placed, err := f.Network()
		if c.classes == 0 {
			if err == nil || !strings.Contains(err.Error(), "it has the parameters of "+c.network+
				", but so has a network of larger pictures") {
				t.Errorf("%s, %v: %v (%v)", c.network, c.rename, placed, err)
			}
			continue
		}
		if err != nil || placed.Network.Name != c.network {
			t.Errorf("%s, %v: %v (%v)", c.network, c.rename, placed, err)
			continue
		}
		if placed.Output().C != c.classes {
			t.Errorf("%s, %v: %d classes", c.network, c.rename, placed.Output().C)
		}
		if _, err := Match(f, placed.Layers); err != nil {
			t.Error(err)
		}
	}
}

// TestShards opens the index of a file in shards, its folder, and refuses what is missing or beyond the folder.
func TestShards(t *testing.T) {
	placed := placedOf(t, counted)
	whole, err := Open("testdata/checkpoints/prefix.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	dir := filepath.Join(t.TempDir(), "shards [1]") // which is no pattern
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name string, names []string) {
		var tensors []Tensor
		for _, n := range names {
			tensor, err := whole.Tensor(n)
			if err != nil {
				t.Fatal(err)
			}
			tensors = append(tensors, tensor)
		}
		if err := Write(filepath.Join(dir, name), tensors, nil); err != nil {
			t.Fatal(err)
		}
	}
	names := whole.Names()
	write("model-00001-of-00002.safetensors", names[:3])
	write("model-00002-of-00002.safetensors", names[3:])
	index := func(shard func(i int) string) []byte {
		var out bytes.Buffer
		out.WriteString(`{"metadata": {"total_size": 516}, "weight_map": {`)
		for i, n := range names {
			if i > 0 {
				out.WriteString(", ")
			}
			fmt.Fprintf(&out, "%q: %q", n, shard(i))
		}
		out.WriteString("}}\n")
		return out.Bytes()
	}
	right := func(i int) string {
		return fmt.Sprintf("model-0000%d-of-00002.safetensors", 1+min(i/3, 1))
	}
	path := filepath.Join(dir, "model.safetensors.index.json")
	put := func(content []byte) {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "shards of one model, and not their index") {
		t.Errorf("shards without an index: %v", err)
	}
	put(index(right))
	for _, p := range []string{path, dir} {
		f := open(t, p)
		m, err := Match(f, placed)
		if err != nil {
			t.Fatal(err)
		}
		isCounted(t, m, placed)
		if f.Format != "safetensors" {
			t.Errorf("format %q", f.Format)
		}
		f.Close() // Windows changes no file that is open
	}
	if f := open(t, filepath.Join(dir, right(0))); true {
		if _, err := Match(f, placed); err == nil || !strings.Contains(err.Error(), "one shard of several") {
			t.Errorf("a shard alone: %v", err)
		}
		var undescribed *UndescribedError
		if _, err := f.Network(); !errors.As(err, &undescribed) || !undescribed.Shard {
			t.Errorf("a shard alone tells a network: %v", err)
		}
	}
	if _, err := Read("index", index(right)); err == nil || !strings.Contains(err.Error(), "opened by its path") {
		t.Errorf("an index's bytes: %v", err)
	}
	for name, c := range map[string]struct {
		content []byte
		reason  string
	}{
		"missing": {index(func(int) string { return "model-00003-of-00002.safetensors" }),
			"model-00003-of-00002.safetensors is not beside it"},
		"outside": {index(func(int) string { return "../model-00001-of-00002.safetensors" }), "no path within"},
		"rooted":  {index(func(int) string { return "/etc/passwd" }), "no path within"},
		"itself":  {index(func(int) string { return "model.safetensors.index.json" }), "is an index too"},
		"swapped": {index(func(i int) string { return right(7 - i) }), "holds no tensor"},
		"less":    {[]byte(`{"weight_map": {"` + names[0] + `": "` + right(0) + `"}}`), "that is not in it"},
		"broken":  {[]byte(`{"weight_map": {`), "an index of shards: unexpected EOF"},
	} {
		put(c.content)
		if f, err := Open(path); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v, want %q", name, err, c.reason)
			if err == nil {
				f.Close()
			}
		}
	}
}
