package weights

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vggo/vggo/arch"
)

// TestLayouts writes each value's place in our order into a file's order, by the definition of the layout, and expects
// arrange to put them back.
func TestLayouts(t *testing.T) {
	conv := arch.Param{Name: "conv1_1/w", Shape: []int{70, 3, 2, 5}}
	linear := arch.Param{Name: "fc6/w", Shape: []int{131, 5 * 2 * 3}}
	dense := arch.Param{Name: "fc6/w", Shape: []int{4, 5, 2, 3}} // fc6 as a convolution over its map
	flat := arch.Shape{C: 5, H: 2, W: 3}
	for _, c := range []struct {
		name   string
		param  arch.Param
		layout layout
		shape  []int                 // of the file
		at     func(i [4]int) [4]int // our index to the file's
		scale  float32
	}{
		{"ours", conv, layout{}, []int{70, 3, 2, 5}, func(i [4]int) [4]int { return i }, 1},
		{"HWIO", conv, hwio, []int{2, 5, 3, 70}, func(i [4]int) [4]int { return [4]int{i[2], i[3], i[1], i[0]} }, 1},
		{"turned", conv, layout{flip: true}, []int{70, 3, 2, 5}, func(i [4]int) [4]int {
			return [4]int{i[0], i[1], 1 - i[2],
				4 - i[3]}
		}, 1},
		{"in, out", linear, inOut, []int{30, 131}, func(i [4]int) [4]int { return [4]int{i[1], i[0]} }, 1},
		{"scaled", linear, layout{scale: 0.5}, []int{131, 30}, func(i [4]int) [4]int { return i }, 0.5},
		{"in of H,W,C, out", linear, layout{axes: inOut.axes, flat: flat}, []int{30, 131}, func(i [4]int) [4]int {
			c, y, x := i[1]/6, i[1]/3%2, i[1]%3
			return [4]int{(y*3+x)*5 + c, i[0]}
		}, 1},
		{"out, in of H,W,C", linear, layout{flat: flat}, []int{131, 30}, func(i [4]int) [4]int {
			c, y, x := i[1]/6, i[1]/3%2, i[1]%3
			return [4]int{i[0], (y*3+x)*5 + c}
		}, 1},
		{"a convolution from in of H,W,C, out", dense, layout{axes: inOut.axes, flat: flat}, []int{30, 4},
			func(i [4]int) [4]int {
				return [4]int{(i[2]*3+i[3])*5 + i[1], i[0]}
			}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.layout.shape(c.param); !slices.Equal(got, c.shape) {
				t.Fatalf("the file's shape is %v, want %v", got, c.shape)
			}
			file := make([]float32, c.param.Count())
			want := make([]float32, c.param.Count())
			ours := append(slices.Clone(c.param.Shape), 1, 1)[:4]
			theirs := append(slices.Clone(c.shape), 1, 1)[:4]
			n := 0
			for o := range ours[0] {
				for i := range ours[1] {
					for y := range ours[2] {
						for x := range ours[3] {
							p := c.at([4]int{o, i, y, x})
							file[((p[0]*theirs[1]+p[1])*theirs[2]+p[2])*theirs[3]+p[3]] = float32(n)
							want[n] = c.scale * float32(n)
							n++
						}
					}
				}
			}
			if got, err := c.layout.arrange(file, c.param); err != nil || !slices.Equal(got, want) {
				t.Errorf("got %v…, want %v…", got[:8], want[:8])
			}
		})
	}
}

// TestNetworkOfFamilies holds that a file under a known family's names tells which built-in it is, and with how many
// classes.
func TestNetworkOfFamilies(t *testing.T) {
	for _, c := range []struct {
		network string
		classes int
		sources func([]arch.Placed) map[string]source
		family  string
	}{
		{"vgg16", 1000, func(p []arch.Placed) map[string]source { return plain(torchvisionNames(p)) }, "torchvision"},
		{"vgg16", 37, func(p []arch.Placed) map[string]source { return plain(torchvisionNames(p)) }, "torchvision"},
		{"vgg11-bn", 1000, func(p []arch.Placed) map[string]source { return plain(timmNames(p)) }, "timm"},
		{"vgg19", 5, func(p []arch.Placed) map[string]source { return articleSources(p, ":0") }, "the article"},
		{"tinyvgg", 10, func(p []arch.Placed) map[string]source { return plain(tinyNames(p, "block_")) }, "TinyVGG"},
		{"vgg13", 12, func(p []arch.Placed) map[string]source { return plain(ownNames(p)) }, "vggo"},
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
func fileOf(t *testing.T, net *arch.Network, sources func([]arch.Placed) map[string]source) *File {
	t.Helper()
	placed, err := net.Place(net.Input)
	if err != nil {
		t.Fatal(err)
	}
	f := &File{Path: net.Name}
	at := sources(placed.Layers)
	for _, layer := range placed.Layers {
		for _, p := range layer.Params {
			if err := f.add(entry{name: at[p.Name].name, shape: at[p.Name].layout.shape(p), dtype: F32}); err != nil {
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
		net, err := open(t, path).Network()
		got := fmt.Sprint(err)
		if err == nil {
			got = net.Network.Name
		}
		if got != c.want {
			t.Errorf("%v: got %s, want %s", c.notes, got, c.want)
		}
	}
}
