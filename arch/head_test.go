package arch

import (
	"strings"
	"testing"
)

func TestWithHead(t *testing.T) {
	for _, c := range []struct {
		network string
		head    Head
		input   Shape
		layer   string // a layer of the head
		out     string // what it produces
		weights int64  // and costs
	}{
		{"vgg16", HeadPaper, Shape{3, 224, 224}, "fc6", "1x1x4096", 102_760_448},
		{"vgg16", HeadPaper, Shape{3, 256, 320}, "fc6", "1x1x4096", 8 * 10 * 512 * 4096},
		{"vgg16", HeadAdaptive, Shape{3, 384, 320}, "avgpool", "7x7x512", 0},
		{"vgg16", HeadAdaptive, Shape{3, 384, 320}, "fc6", "1x1x4096", 102_760_448},
		{"vgg16", HeadAdaptive, Shape{3, 32, 32}, "fc6", "1x1x4096", 102_760_448},
		{"vgg16", HeadDense, Shape{3, 224, 224}, "fc6", "1x1x4096", 102_760_448},
		{"vgg16", HeadDense, Shape{3, 384, 320}, "fc6", "6x4x4096", 102_760_448},
		{"vgg16", HeadDense, Shape{3, 384, 320}, "fc8", "6x4x1000", 4_096_000},
		{"vgg16", HeadDense, Shape{3, 384, 320}, "score", "1x1x1000", 0},
		{"vgg16-cifar", HeadDense, Shape{3, 64, 64}, "fc6", "2x2x10", 5120},
		{"tinyvgg", HeadAdaptive, Shape{1, 56, 56}, "avgpool", "7x7x10", 0},
		{"alexnet-torchvision", HeadPaper, Shape{3, 224, 224}, "fc6", "1x1x4096", 37_748_736},
		{"alexnet-torchvision", HeadPaper, Shape{3, 288, 288}, "fc6", "1x1x4096", 8 * 8 * 256 * 4096},
		{"alexnet-torchvision", HeadAdaptive, Shape{3, 288, 288}, "avgpool", "6x6x256", 0},
		{"alexnet-torchvision", HeadDense, Shape{3, 288, 288}, "fc6", "3x3x4096", 37_748_736},
	} {
		n, err := Builtin(c.network)
		if err != nil {
			t.Fatal(err)
		}
		before := len(n.Layers)
		placed, err := n.Place(n.Input)
		if err != nil {
			t.Fatal(err)
		}
		headed, err := placed.WithHead(c.head)
		if err != nil {
			t.Errorf("%s %s: %v", c.network, c.head, err)
			continue
		}
		if len(n.Layers) != before {
			t.Errorf("%s %s changed the network it was given", c.network, c.head)
		}
		r, err := Analyze(headed.Network, c.input, 1)
		if err != nil {
			t.Errorf("%s %s at %v: %v", c.network, c.head, c.input, err)
			continue
		}
		if l := r.layer(t, c.layer); l.Out.String() != c.out || l.Weights != c.weights {
			t.Errorf("%s %s at %v: %s gives %v with %d weights, want %s with %d", c.network, c.head, c.input, c.layer, l.Out,
				l.Weights, c.out, c.weights)
		}
	}
}

// TestDenseIsTheSameNetwork: at the design input the dense head has the fully connected one's parameters by name and
// number, its MACs and its receptive field.
func TestDenseIsTheSameNetwork(t *testing.T) {
	for _, name := range Names() {
		n, err := Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		placed, err := n.Place(n.Input)
		if err != nil {
			t.Fatal(err)
		}
		headed, err := placed.WithHead(HeadDense)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		dense, err := headed.Analyze(1)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		plain := mustAnalyze(t, name)
		if dense.Total.Weights != plain.Total.Weights || dense.Total.Biases != plain.Total.Biases ||
			dense.Total.MACs != plain.Total.MACs {
			t.Errorf("%s: dense %+v, plain %+v", name, dense.Total, plain.Total)
		}
		if d, p := dense.layer(t, "softmax"), plain.layer(t, "softmax"); d.Out != p.Out || d.Field.H.Size != p.Field.H.Size {
			t.Errorf("%s: the dense softmax gives %v and sees %v, the plain %v and %v", name, d.Out, d.Field, p.Out, p.Field)
		}
		names := func(r *Report) string {
			var s []string
			for _, p := range r.placed.Layers {
				for _, q := range p.Params {
					s = append(s, q.Name)
				}
			}
			return strings.Join(s, " ")
		}
		if d, p := names(dense), names(plain); d != p {
			t.Errorf("%s: dense parameters %s, plain %s", name, d, p)
		}
	}
}

func TestWithHeadErrors(t *testing.T) {
	vgg, err := Builtin("vgg11")
	if err != nil {
		t.Fatal(err)
	}
	headless, err := Compact("headless", "64,M", ImageNetInput)
	if err != nil {
		t.Fatal(err)
	}
	impossible, err := Compact("impossible", "1x1x3:64,M/10", ImageNetInput)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		net  *Network
		head Head
		want string
	}{
		{vgg, "big", `unknown head "big": want one of paper, adaptive or dense`},
		{headless, HeadDense, "headless: a head needs one flatten layer"},
		{impossible, HeadAdaptive, "impossible: layer pool1"},
		{&Network{Name: "early", Input: Shape{1, 1, 1}, Layers: []Layer{{"fc", Linear{Out: 1}}, {"flatten", Flatten{}}}},
			HeadPaper,
			"early: a head needs"},
	} {
		placed, err := c.net.Place(c.net.Input)
		if err == nil {
			placed, err = placed.WithHead(c.head)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v (%v), want %q", c.net.Name, c.head, placed, err, c.want)
		}
	}
}

// TestPooledHead: the new head stands behind the last map, and the name is one that Open understands, where there is
// one.
func TestPooledHead(t *testing.T) {
	for network, want := range map[string]string{
		"vgg11":               "64,M,128,M,256,256,M,512,512,M,512,512,M,G/5 fc6",
		"vgg11-bn":            "64b,M,128b,M,256b,256b,M,512b,512b,M,512b,512b,M,G/5 fc6",
		"64,M,32,G/16,10":     "64,M,32,G/5 fc3",
		"tinyvgg":             "28x28x1:10,10,M,10,10,M,G/5 fc3",
		"alexnet-torchvision": "alexnet-torchvision-gap",
		"8,16":                "has no fully connected layer to replace",
	} {
		placed, err := Open(network)
		if err != nil {
			t.Fatal(err)
		}
		net, layer, err := placed.WithPooledHead(5)
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", network, err, want)
			}
			continue
		}
		if got := net.Name + " " + layer; !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", network, got, want)
		}
		headed, err := net.Place(placed.Input)
		if err != nil || headed.Output() != (Shape{5, 1, 1}) || headed.Layers[len(headed.Layers)-4].Op != (GlobalAvgPool{}) {
			t.Errorf("%s: the head is %v (%v)", network, headed.Output(), err)
		}
		if strings.HasSuffix(net.Name, "-gap") {
			continue
		}
		if again, err := Open(net.Name); err != nil || len(again.Layers) != len(net.Layers) {
			t.Errorf("%s is not understood: %v", net.Name, err)
		}
	}
}
