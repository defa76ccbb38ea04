package arch

import (
	"reflect"
	"strings"
	"testing"
)

func TestCompact(t *testing.T) {
	same := func(n int) Window {
		return Window{Kernel: Square(n), Stride: Square(1), Dilation: Square(1), Pad: Pad(n / 2)}
	}
	half := Window{Kernel: Square(2), Stride: Square(2)}
	for _, c := range []struct {
		s     string
		input Shape
		want  []Layer
	}{
		{"64,M/10", ImageNetInput, []Layer{
			{"conv1_1", Conv{Out: 64, Window: same(3), Groups: 1}}, {"relu1_1", ReLU{}}, {"pool1", MaxPool{half}},
			{"flatten", Flatten{}}, {"fc2", Linear{Out: 10}}, {"softmax", Softmax{}},
		}},
		{" 8x6x1: 16k1b , L,\n32d2g4, A / 20 , 5", Shape{1, 8, 6}, []Layer{
			{"conv1_1", Conv{Out: 16, Window: same(1), Groups: 1}}, {"bn1_1", BatchNorm{}}, {"relu1_1", ReLU{}},
			{"lrn1_1", alexNetLRN},
			{"conv1_2", Conv{Out: 32, Window: Window{Kernel: Square(3), Stride: Square(1), Dilation: Square(2), Pad: Pad(2)},
				Groups: 4}}, {"relu1_2", ReLU{}},
			{"pool1", AvgPool{Window: half, CountPad: true}},
			{"flatten", Flatten{}}, {"fc2", Linear{Out: 20}}, {"relu2", ReLU{}}, {"drop2", Dropout{Keep: 0.5}},
			{"fc3", Linear{Out: 5}}, {"softmax", Softmax{}},
		}},
		{"96k11s4p0,Mk3s2c,Mk3p1,G", ImageNetInput, []Layer{
			{"conv1_1", Conv{Out: 96, Window: Window{Kernel: Square(11), Stride: Square(4), Dilation: Square(1)}, Groups: 1}},
			{"relu1_1", ReLU{}},
			{"pool1", MaxPool{Window{Kernel: Square(3), Stride: Square(2), Ceil: true}}},
			{"pool2", MaxPool{Window{Kernel: Square(3), Stride: Square(3), Pad: Pad(1)}}},
			{"globalpool", GlobalAvgPool{}},
		}},
		// The last block does not end in a pooling: its convolutions are block 2 all the same.
		{"8,M,8/4", ImageNetInput, []Layer{
			{"conv1_1", Conv{Out: 8, Window: same(3), Groups: 1}}, {"relu1_1", ReLU{}}, {"pool1", MaxPool{half}},
			{"conv2_1", Conv{Out: 8, Window: same(3), Groups: 1}}, {"relu2_1", ReLU{}},
			{"flatten", Flatten{}}, {"fc3", Linear{Out: 4}}, {"softmax", Softmax{}},
		}},
	} {
		n, err := Compact("net", c.s, ImageNetInput)
		if err != nil {
			t.Errorf("%q: %v", c.s, err)
			continue
		}
		if n.Input != c.input || n.Name != "net" || !reflect.DeepEqual(n.Layers, c.want) {
			t.Errorf("%q: %v\n%+v, want %v\n%+v", c.s, n.Input, n.Layers, c.input, c.want)
		}
	}
}

func TestCompactErrors(t *testing.T) {
	for _, c := range []struct{ s, want string }{
		{"", `item 1, "" at column 1: an item is missing`},
		{"64,,M", `item 2, "" at column 4: an item is missing`},
		{"64, 64,6x", `item 3, "6x" at column 8: unknown option "x": want one of k, s, p, d, g, b`},
		{"64,Q", `item 2, "Q" at column 4: want a channel count, M, A, R, L or G`},
		{"64,m", `item 2, "m" at column 4: want a channel count`},
		{"64,M2", `item 2, "M2" at column 4: unknown option "2": want one of k, s, p, c`},
		{"64k", `option k: want a number`},
		{"64k0", `option k must be at least 1`},
		{"64s1s2", `option s appears twice`},
		{"64b3", `unknown option "3"`},
		{"9999999", `9999999 is more than 1048576`},
		{"99999999999999999999999", `is more than 1048576`},
		{"64,L,L", `item 3, "L" at column 6: it normalises what L has just normalised`},
		{"G,64", `item 1, "G" at column 1: global average pooling can only be the last`},
		{"64/", `item 2, "" at column 4: want the width of a fully connected layer`},
		{"64/10k3", `item 2, "10k3" at column 4: want the width`},
		{"64/M", `item 2, "M" at column 4: want the width`},
		{"64/10/10", `item 2, "10/10" at column 4: want the width`},
		{"32x32:64", `shape "32x32": want height x width x channels, as 224x224x3 before the colon`},
		{"8x8x0:64", `shape "8x8x0": want`},
		{"64," + strings.Repeat("x", 500), `"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…" at column 4`},
		{strings.Repeat("1,", 2000) + "1", "more than 1024 layers"},
	} {
		n, err := Compact("net", c.s, ImageNetInput)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 200 {
			t.Errorf("%q: %v (%v), want %q", clip(c.s), err, n, c.want)
		}
	}
}

func TestCompactString(t *testing.T) {
	for _, s := range []string{
		"64,64,M,128,128,M/256,10",
		"32x32x3:64b,M,128b,A/10",
		"96k11s4p0,L,Mk3s2,256k5g2,L,Mk3s2,384,384g2,256g2,Mk3s2/4096,4096,1000",
		"28x28x1:16d2,Ak3s1p1c,L,G",
		"8k2,8k4p0",
		"R,8p0,R,8p0,Mc,Rp3,16k7p0,G/4",
	} {
		n, err := Compact("net", s, ImageNetInput)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if got, err := n.CompactString(); err != nil || got != s {
			t.Errorf("%q comes back as %q (%v)", s, got, err)
		}
	}
	for _, c := range []struct{ name, want string }{
		{"vgg16-article", "it cannot say layer conv1_1, conv 3x3 same"},
		{"alexnet", "it cannot say layer conv1, conv 11x11/4"},
	} {
		n, err := Builtin(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := n.CompactString(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q (%v), want an error with %q", c.name, s, err, c.want)
		}
	}
	short := &Network{Name: "short", Input: ImageNetInput,
		Layers: []Layer{{"conv1_1", Conv{Out: 8, Window: Window{Kernel: Square(3), Pad: Pad(1)}}}}}
	if s, err := short.CompactString(); err == nil || !strings.Contains(err.Error(), "it would add layer relu1_1") {
		t.Errorf("a convolution without ReLU: %q (%v), want an error", s, err)
	}
}

// FuzzCompact: whatever the string, Compact returns an error or a network that CompactString can say again, and Place
// does not panic on it.
func FuzzCompact(f *testing.F) {
	for _, s := range []string{
		"64,64,M,128,128,M/256,10", "32x32x3:64b,L,M/10", "96k11s4p0,Mk3s2c,G/5", "A", "1x1x1:", "64k", "L,L", "G,G", "::",
		"R,4p0,Rp2,M",
		"9x9x9:1/1/1",
		"1048576k1048576s1048576p1048576d1048576g1048576",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Compact("fuzz", s, ImageNetInput)
		if err != nil {
			return
		}
		if len(n.Layers) > MaxLayers {
			t.Fatalf("%d layers", len(n.Layers))
		}
		again, err := n.CompactString()
		if err != nil {
			t.Fatalf("%q cannot be said again: %v", s, err)
		}
		back, err := Compact("fuzz", again, ImageNetInput)
		if err != nil || !reflect.DeepEqual(back, n) {
			t.Fatalf("%q comes back as %q (%v)", s, again, err)
		}
		if r, err := Analyze(n, n.Input, 2); err == nil && r.Total.Parameters < 0 {
			t.Fatalf("%q: %d parameters", s, r.Total.Parameters)
		}
	})
}
