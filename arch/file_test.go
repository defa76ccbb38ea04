package arch

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// everyOp uses every operation and every field of a description.
func everyOp() *Network {
	return &Network{Name: "every", Title: "one of each: \"quoted\", 学", Input: Shape{4, 40, 48}, Layers: []Layer{
		{"conv1", Conv{Out: 8, Window: Window{Kernel: Size{3, 5}, Stride: Size{2, 1}, Dilation: Square(2),
			Pad: Padding{Top: 1, Left: 2, Bottom: 3, Right: 4}}, Groups: 4, NoBias: true}},
		{"bn1", BatchNorm{Eps: 1e-3, Momentum: 0.01}},
		{"relu1", ReLU{}},
		{"lrn1", LRN{Size: 3, Alpha: 1e-4, Beta: 0.5, K: 1}},
		{"pool1", MaxPool{Window{Kernel: Square(3), Stride: Square(2), Dilation: Square(1), Pad: Pad(1), Ceil: true}}},
		{"conv2", Conv{Out: 6, Window: Window{Kernel: Square(3), Pad: Padding{Mode: Same}}}},
		{"pad3", ReflectPad{Top: 1, Left: 0, Bottom: 2, Right: 3}},
		{"pad4", ReflectPad{1, 1, 1, 1}},
		{"pad5", ReflectPad{}},
		{"conv3", Conv{Out: 6, Window: Window{Kernel: Square(2), Pad: Padding{Mode: Valid}}}},
		{"pool2", AvgPool{Window: Window{Kernel: Square(2), Stride: Square(1), Pad: Pad(1)}}},
		{"avgpool", AdaptiveAvgPool{Out: Size{3, 2}}},
		{"flatten", Flatten{}},
		{"fc4", Linear{Out: 7, NoBias: true}},
		{"drop4", Dropout{Keep: 0.8}},
		{"fc5", Linear{Out: 3}},
		{"softmax", Softmax{}},
	}}
}

func sameNetwork(a, b *Network) bool {
	if a.Name != b.Name || a.Title != b.Title || a.Input != b.Input || len(a.Layers) != len(b.Layers) {
		return false
	}
	for i := range a.Layers {
		if a.Layers[i].Name != b.Layers[i].Name || canonical(a.Layers[i].Op) != canonical(b.Layers[i].Op) {
			return false
		}
	}
	return true
}

func TestDescriptionsRoundTrip(t *testing.T) {
	networks := []*Network{everyOp(), {Name: "global", Input: Shape{1, 2, 2}, Layers: []Layer{{"all", GlobalAvgPool{}}}}}
	for _, name := range Names() {
		n, err := Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		networks = append(networks, n)
	}
	for _, n := range networks {
		var yaml, json bytes.Buffer
		if err := n.EncodeYAML(&yaml); err != nil {
			t.Fatal(err)
		}
		if err := n.EncodeJSON(&json); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{yaml.String(), json.String()} {
			back, err := Decode(strings.NewReader(text))
			if err != nil || !sameNetwork(back.Network, n) {
				t.Errorf("%s: %v from\n%s", n.Name, err, text)
			}
		}
	}
}

func TestDecodeDefaults(t *testing.T) {
	n, err := Decode(strings.NewReader(`
input: 32x24x3
layers:
- {name: conv1, op: conv, out: 16, kernel: 3}
- {name: pool1, op: maxpool, kernel: 2}
- {name: lrn1, op: lrn}
- {name: pool2, op: avgpool, kernel: 3x2, pad: 1}
- {name: drop, op: dropout}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Layer{
		{"conv1", Conv{Out: 16, Window: Window{Kernel: Square(3)}}},
		{"pool1", MaxPool{Window{Kernel: Square(2), Stride: Square(2)}}},
		{"lrn1", alexNetLRN},
		{"pool2", AvgPool{Window: Window{Kernel: Size{3, 2}, Stride: Size{3, 2}, Pad: Pad(1)}, CountPad: true}},
		{"drop", Dropout{Keep: 0.5}},
	}
	if n.Input != (Shape{3, 32, 24}) || !reflect.DeepEqual(n.Network.Layers, want) {
		t.Errorf("%v %+v, want %+v", n.Input, n.Network.Layers, want)
	}
}

func TestDecodeErrors(t *testing.T) {
	const head = "name: net\ninput: 32x32x3\nlayers:\n"
	for _, c := range []struct{ text, want string }{
		{"", "the description is empty"},
		{"name: net\nlayers: []\n", "input is missing"},
		{"input: 32x32x3\nlayers: []\n", "the network has no layers"},
		{"input: 32x32\n", `input: shape "32x32": want height x width x channels`},
		{"input: 32x32x3\nlayer: []\n", "line 2: field layer not found"},
		{"input: 32x32x3\ninput: 32x32x3\n", "line 2"},
		{"input: [32, 32, 3]\n", "line 1: cannot read seq as string"},
		{"- 1\n- 2\n", "line 1: cannot read seq as a description"},
		{"name: \"a\\e[2J\"\ninput: 8x8x3\n", `name and title are one line of printable characters, not "a\x1b[2J "`},
		{"input: " + strings.Repeat("9", 1000) + "\n", "999…"},
		{"a: b: c", "mapping values are not allowed"},
		{"\x00", "control characters"},
		{head + "- conv\n", "line 4: a layer is written {name: conv1_1, op: conv"},
		{head + "- {op: relu}\n", "line 4: the layer has no name"},
		{head + "- {name: a}\n", "line 4: layer a: no operation"},
		{head + "- {name: a, op: convolution}\n",
			`line 4: layer a: unknown operation "convolution": want one of adaptiveavgpool, avgpool`},
		{head + "- {name: a, op: conv, kernel: 3}\n", "line 4: layer a: conv needs the field out"},
		{head + "- {name: a, op: maxpool}\n", "line 4: layer a: maxpool needs the field kernel"},
		{head + "- name: a\n  op: maxpool\n  kernel: 2\n  out: 3\n",
			`line 7: layer a: unknown field "out": maxpool takes kernel, stride, pad, dilation, ceil`},
		{head + "- {name: a, op: relu, out: 3}\n", `layer a: unknown field "out": relu takes no fields`},
		{head + "- {name: a, op: conv, out: many, kernel: 3}\n", "line 4: cannot read str `many` as int"},
		{head + "- {name: a, op: conv, out: 3, kernel: 3x3x3}\n", `line 4: "3x3x3" is no size`},
		{head + "- {name: a, op: conv, out: 3, kernel: 0}\n", `line 4: "0" is no size`},
		{head + "- {name: a, op: conv, out: 3, kernel: [3, 3]}\n", "line 4: "},
		{head + "- {name: a, op: conv, out: 3, kernel: 3, pad: [1, 2]}\n", "line 4: pad is a number, same, valid, or"},
		{head + "- {name: a, op: conv, out: 3, kernel: 3, pad: around}\n", "line 4: pad is"},
		{head + "- {name: a, op: reflectpad, pad: same}\n", "line 4: layer a: reflectpad needs numbers of pixels"},
		{head + "- {name: a, op: conv, out: 3, out: 4, kernel: 3}\n", "line 4"},
		{head + "- {name: a, op: relu}\n- {name: b, op: conv, out: 1, kernel: 40}\n",
			"line 5: the network: layer b: input 32x32x3: height: a kernel of 40 is larger than its padded input of 32"},
		{head + "- {name: a, op: dropout, keep: .nan}\n", "keep probability must lie in (0, 1], not NaN"},
		{head + "- {name: a, op: relu}\n---\nname: b\n", "more than one document"},
		{head + strings.Repeat("- {name: a, op: relu}\n", 2000), "2000 layers are more than 1024"},
		{strings.Repeat(" ", maxFile+1), "at most 1048576 bytes"},
		{`{"input": "32x32x3", "layers": [{"name": "a", "op": "conv", "out": 3, "kernel": 3, "padding": 1}]}`,
			`line 1: layer a: unknown field "padding"`},
		{`{"input": "32x32x3", "layers": [`, "line 1"},
	} {
		n, err := Decode(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") ||
			len(err.Error()) > 300 {
			t.Errorf("%q: %v (%v), want one short line with %q", clip(c.text), err, n, c.want)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mine.yaml")
	if err := os.WriteFile(path, []byte("input: 8x8x1\nlayers:\n- {name: relu, op: relu}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		spec, name string
		input      Shape
	}{
		{"vgg16", "vgg16", ImageNetInput},
		{path, "mine", Shape{1, 8, 8}},
		{"64,M/10", "64,M/10", ImageNetInput},
		{"9x9x2:M", "9x9x2:M", Shape{2, 9, 9}},
		{"M,64", "M,64", ImageNetInput},
	} {
		n, err := Open(c.spec)
		if err != nil || n.Network.Name != c.name || n.Input != c.input || n.Network.Input != c.input {
			t.Errorf("Open(%q) = %+v, %v; want %s for %v", c.spec, n, err, c.name, c.input)
		}
	}
	if _, err := Open(filepath.Join(dir, "none.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v, want fs.ErrNotExist", err)
	}
	for _, c := range []struct {
		spec string
		near string // the first suggestion
	}{
		{"vgg61", "vgg11"}, {"VGG16", "vgg16"}, {"vgg-16", "vgg16"}, {"alexnt", "alexnet"}, {"vgg16-artcle", "vgg16-article"},
		{"resnet50", ""}, {"", ""},
	} {
		_, err := Open(c.spec)
		var unknown *UnknownError
		if !errors.As(err, &unknown) {
			t.Errorf("Open(%q): %v, want an UnknownError", c.spec, err)
			continue
		}
		near := ""
		if len(unknown.Near) > 0 {
			near = unknown.Near[0]
		}
		if near != c.near {
			t.Errorf("Open(%q) suggests %v, want %q first", c.spec, unknown.Near, c.near)
		}
	}
}

// FuzzFile: whatever the bytes, Decode returns an error or a possible network, which is the same after writing and
// reading again.
func FuzzFile(f *testing.F) {
	var yaml, json bytes.Buffer
	if err := everyOp().EncodeYAML(&yaml); err != nil {
		f.Fatal(err)
	}
	if err := everyOp().EncodeJSON(&json); err != nil {
		f.Fatal(err)
	}
	f.Add(yaml.Bytes())
	f.Add(json.Bytes())
	f.Add([]byte("input: 1x1x1\nlayers: &a\n- *a\n"))
	f.Add([]byte("input: 8x8x1\nlayers:\n- &r {name: a, op: relu}\n- {<<: *r, name: b}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := n.Network.EncodeYAML(&out); err != nil {
			t.Fatal(err)
		}
		back, err := Decode(&out)
		if err != nil || !sameNetwork(back.Network, n.Network) {
			t.Fatalf("it comes back as %+v (%v)", back, err)
		}
	})
}
