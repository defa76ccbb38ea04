package weights

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
)

// TestNetworkOfFamilies holds that a file under a known family's names tells which built-in it is, and with how many
// classes.
func TestNetworkOfFamilies(t *testing.T) {
	for _, c := range []struct {
		network string
		classes int
		sources func([]arch.Placed) map[string]format.Source
		family  string
	}{
		{"vgg16", 1000, func(p []arch.Placed) map[string]format.Source { return plain(torchvisionNames(p)) }, "torchvision"},
		{"vgg16", 37, func(p []arch.Placed) map[string]format.Source { return plain(torchvisionNames(p)) }, "torchvision"},
		{"vgg11-bn", 1000, func(p []arch.Placed) map[string]format.Source { return plain(timmNames(p)) }, "timm"},
		{"vgg19", 5, func(p []arch.Placed) map[string]format.Source { return articleSources(p, ":0") }, "the article"},
		{"tinyvgg", 10, func(p []arch.Placed) map[string]format.Source { return plain(tinyNames(p, "block_")) }, "TinyVGG"},
		{"vgg13", 12, func(p []arch.Placed) map[string]format.Source { return plain(ownNames(p)) }, "vggo"},
	} {
		t.Run(fmt.Sprint(c.network, " ", c.classes, " ", c.family), func(t *testing.T) {
			net, err := arch.Builtin(c.network)
			if err != nil {
				t.Fatal(err)
			}
			for i, layer := range net.Layers { // the last linear layer is the classifier
				if _, ok := layer.Op.(arch.Linear); ok && i >= len(net.Layers)-2 {
					net.Layers[i].Op = arch.Linear{Out: c.classes}
				}
			}
			f := fileOf(t, net, c.sources)
			placed, err := f.Network()
			if err != nil {
				t.Fatal(err)
			}
			got := placed.Network
			if last := placed.Output().C; got.Name != c.network || last != c.classes {
				t.Errorf("%s with %d classes, want %s with %d", got.Name, last, c.network, c.classes)
			}
			m, err := Match(f, placed.Layers)
			if err != nil {
				t.Fatal(err)
			}
			if m.Family != c.family {
				t.Errorf("family %q, want %q", m.Family, c.family)
			}
		})
	}
}

// fileOf is a file that lists a network's parameters by their sources, without values.
func fileOf(t *testing.T, net *arch.Network, sources func([]arch.Placed) map[string]format.Source) *File {
	t.Helper()
	placed, err := net.Place(net.Input)
	if err != nil {
		t.Fatal(err)
	}
	f := &File{Path: net.Name}
	at := sources(placed.Layers)
	for _, layer := range placed.Layers {
		for _, p := range layer.Params {
			if err := f.list.Add(format.Tensor{Name: at[p.Name].Name, Shape: at[p.Name].Layout.Shape(p),
				DType: F32}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return f
}

func TestNetworkNote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w")
	one := []Tensor{{Name: "a", Shape: []int{1}, Data: []float32{1}}}
	for _, c := range []struct {
		notes map[string]string
		want  string // the network's name, or the error's end
	}{
		{nil,
			path + ": nothing in the file tells its network: tensors know nothing of pooling, padding or the pictures' size"},
		{map[string]string{NetworkNote: `{"name":"mine","input":"8x8x3","layers":[{"name":"c1","op":"conv","out":4,"kernel":3}]}`}, "mine"},
	} {
		if err := Write(path, one, c.notes); err != nil {
			t.Fatal(err)
		}
		f := open(t, path)
		net, err := f.Network()
		got := fmt.Sprint(err)
		if err == nil {
			got = net.Network.Name
		}
		f.Close() // Windows replaces no file that is open
		if got != c.want {
			t.Errorf("%v: got %s, want %s", c.notes, got, c.want)
		}
	}
}
