package arch

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestImpossibleNetworks(t *testing.T) {
	limit := fmt.Sprint(int64(MaxElements))
	window := func(kernel, stride, pad int) Window {
		return Window{Kernel: Square(kernel), Stride: Square(stride), Pad: Pad(pad)}
	}
	for _, c := range []struct {
		op    Op
		input Shape
		rule  string
	}{
		{Conv{Out: 8, Window: window(7, 1, 1)}, Shape{3, 4, 9}, "height: a kernel of 7 is larger than its padded input of 6"},
		{Conv{Out: 8, Window: window(7, 1, 1)}, Shape{3, 9, 4}, "width: a kernel of 7 is larger than its padded input of 6"},
		{Conv{Out: 8, Window: Window{Kernel: Square(3), Dilation: Square(4)}}, Shape{3, 8, 8}, "a kernel of 9 is larger"},
		{Conv{Out: 8, Window: Window{Kernel: Square(3), Pad: Padding{Mode: Valid}}}, Shape{3, 2, 2},
			"a kernel of 3 is larger"},
		{Conv{Out: 8, Window: window(3, 1, 1), Groups: 2}, Shape{3, 8, 8}, "2 groups do not divide 3 input channels"},
		{Conv{Out: 8, Window: window(3, 1, 1), Groups: 3}, Shape{3, 8, 8}, "3 groups do not divide 8 output channels"},
		{Conv{Out: 8, Window: window(3, 1, 1), Groups: -1}, Shape{3, 8, 8}, "groups must be at least 1"},
		{Conv{Window: window(3, 1, 1)}, Shape{3, 8, 8}, "at least 1 output channel"},
		{Conv{Out: 8}, Shape{3, 8, 8}, "kernel 0x0 must lie between"},
		{Conv{Out: 8, Window: window(3, -1, 1)}, Shape{3, 8, 8}, "stride -1x-1 must lie between"},
		{Conv{Out: 8, Window: window(3, 1, -1)}, Shape{3, 8, 8}, "padding -1, -1 must lie between"},
		{Conv{Out: 8, Window: Window{Kernel: Square(3), Ceil: true}}, Shape{3, 8, 8}, "only pooling can round"},
		{Conv{Out: 1 << 30, Window: window(3, 1, 1)}, Shape{1 << 10, 8, 8}, "more than " + limit + " weights"},
		{Conv{Out: 8, Window: Window{Kernel: Square(3), Pad: Padding{Mode: 9}}}, Shape{3, 8, 8}, "unknown padding mode"},
		{ReflectPad{Top: 4}, Shape{3, 4, 9}, "reflection's padding 4,0,0,0 must lie between 0 and less than the map's size"},
		{ReflectPad{Right: 4}, Shape{3, 9, 4}, "reflection's padding 0,0,0,4 must lie between"},
		{ReflectPad{Left: -1}, Shape{3, 9, 4}, "reflection's padding 0,-1,0,0 must lie between"},
		{MaxPool{window(2, 2, 0)}, Shape{3, 1, 1}, "a kernel of 2 is larger than its padded input of 1"},
		{MaxPool{window(2, 2, 2)}, Shape{3, 8, 8}, "padding must be smaller than its 2x2 kernel"},
		{AvgPool{Window: Window{Kernel: Square(2), Dilation: Square(5)}}, Shape{3, 4, 4},
			"a kernel of 6 is larger than its padded input of 4"},
		{MaxPool{Window: Window{Kernel: Square(2), Dilation: Square(5), Pad: Pad(1)}}, Shape{3, 4, 4},
			"dilation 5x5 must not exceed its input"},
		{AdaptiveAvgPool{}, Shape{3, 8, 8}, "output size 0x0 must lie between"},
		{LRN{}, Shape{3, 8, 8}, "size must be at least 1"},
		{LRN{Size: 5, Alpha: -1, K: 1}, Shape{3, 8, 8}, "k must be positive, alpha not negative and beta finite"},
		{LRN{Size: 5, Beta: math.NaN(), K: 1}, Shape{3, 8, 8}, "beta finite, not 1, 0 and NaN"},
		{BatchNorm{Momentum: 2}, Shape{3, 8, 8}, "momentum must lie in [0, 1]"},
		{BatchNorm{Eps: math.Inf(1)}, Shape{3, 8, 8}, "eps must not be negative"},
		{BatchNorm{Momentum: math.NaN()}, Shape{3, 8, 8}, "not 0 and NaN"},
		{Linear{Out: 10}, Shape{3, 8, 8}, "put flatten before it"},
		{Linear{}, Shape{3, 1, 1}, "at least 1 output"},
		{Linear{Out: 1 << 30}, Shape{1 << 20, 1, 1}, "more than " + limit + " weights"},
		{Dropout{}, Shape{3, 8, 8}, "keep probability must lie in (0, 1]"},
		{nil, Shape{3, 8, 8}, "a layer needs an operation"},
	} {
		n := &Network{Name: "net", Layers: []Layer{{"first", ReLU{}}, {"culprit", c.op}}}
		_, err := n.Place(c.input)
		var shape *ShapeError
		if !errors.As(err, &shape) || shape.Layer != "culprit" || shape.In != c.input ||
			!strings.Contains(shape.Rule, c.rule) {
			t.Errorf("%+v on %v: %v, want one that names culprit and says %q", c.op, c.input, err, c.rule)
		}
	}
	vgg, err := Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		net   *Network
		input Shape
		want  string
	}{
		{vgg, Shape{3, 16, 224}, "vgg16: layer pool5: input 1x14x512: height: a kernel of 2 is larger than its padded " +
			"input of 1"},
		{vgg, Shape{3, 0, 224}, "vgg16: input 0x224x3: every dimension must be at least 1"},
		{vgg, Shape{1 << 20, 1 << 20, 1 << 20}, "more than " + limit + " values"},
		{&Network{Name: "none"}, Shape{3, 8, 8}, "none: input 8x8x3: the network has no layers"},
		{&Network{Name: "twice", Layers: []Layer{{"a", ReLU{}}, {"a", ReLU{}}}}, Shape{3, 8, 8},
			"twice: layer a: input 8x8x3: two layers have this name"},
		{&Network{Name: "slash", Layers: []Layer{{"a/b", ReLU{}}}}, Shape{3, 8, 8},
			`slash: layer #1: input 8x8x3: a layer's name is at most 64 printable characters without slash, not "a/b"`},
		{&Network{Name: "escape", Layers: []Layer{{"a\x1b[2J", ReLU{}}}}, Shape{3, 8, 8}, `without slash, not "a\x1b[2J"`},
		{&Network{Name: "long", Layers: []Layer{{strings.Repeat("a", 65), ReLU{}}}}, Shape{3, 8, 8}, "at most 64 printable"},
		{&Network{Name: "unnamed", Layers: []Layer{{"", ReLU{}}}}, Shape{3, 8, 8},
			"unnamed: layer #1: input 8x8x3: a layer needs a name"},
	} {
		if _, err := c.net.Place(c.input); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s on %v: %v, want %q", c.net.Name, c.input, err, c.want)
		}
	}
}

// TestWindowSizes holds output sizes, padding and the formula to PyTorch's (explicit, ceil_mode) and TensorFlow's
// (SAME, VALID) rules.
func TestWindowSizes(t *testing.T) {
	for _, c := range []struct {
		in          int
		window      Window
		conv        bool
		out         int
		top, bottom int
		formula     string
	}{
		{224, Window{Kernel: Square(3), Pad: Pad(1)}, true, 224, 1, 1, "(224-3+2*1)/1+1 = 224"},
		{13, Window{Kernel: Square(2), Stride: Square(2)}, false, 6, 0, 0, "floor((13-2)/2)+1 = 6"},
		{13, Window{Kernel: Square(2), Stride: Square(2), Ceil: true}, false, 7, 0, 0, "ceil((13-2)/2)+1 = 7"},
		{14, Window{Kernel: Square(2), Stride: Square(2), Ceil: true}, false, 7, 0, 0, "(14-2)/2+1 = 7"},
		// Rounded up there would be a fourth window, wholly in the padding: PyTorch drops it.
		{5, Window{Kernel: Square(2), Stride: Square(2), Pad: Pad(1), Ceil: true}, false, 3, 1, 1,
			"floor((5-2+2*1)/2)+1 = 3"},
		{227, Window{Kernel: Square(11), Stride: Square(4)}, true, 55, 0, 0, "(227-11)/4+1 = 55"},
		{224, Window{Kernel: Square(11), Stride: Square(4)}, true, 54, 0, 0, "floor((224-11)/4)+1 = 54"},
		{32, Window{Kernel: Square(3), Dilation: Square(2), Pad: Pad(2)}, true, 32, 2, 2, "(32-((3-1)*2+1)+2*2)/1+1 = 32"},
		{9, Window{Kernel: Square(3), Stride: Square(2), Pad: Padding{Top: 1, Left: 1}}, true, 4, 1, 0,
			"floor((9-3+1+0)/2)+1 = 4"},
		{224, Window{Kernel: Square(3), Pad: Padding{Mode: Same}}, true, 224, 1, 1, "ceil(224/1) = 224"},
		{224, Window{Kernel: Square(7), Stride: Square(2), Pad: Padding{Mode: Same}}, true, 112, 2, 3, "ceil(224/2) = 112"},
		{7, Window{Kernel: Square(2), Stride: Square(2), Pad: Padding{Mode: Same}}, false, 4, 0, 1, "ceil(7/2) = 4"},
		{5, Window{Kernel: Square(1), Stride: Square(3), Pad: Padding{Mode: Same}}, true, 2, 0, 0, "ceil(5/3) = 2"},
		{224, Window{Kernel: Square(3), Stride: Square(2), Pad: Padding{Mode: Valid}}, true, 111, 0, 0,
			"ceil((224-3+1)/2) = 111"},
	} {
		var op Op = MaxPool{c.window}
		if c.conv {
			op = Conv{Out: 1, Window: c.window}
		}
		n := &Network{Name: "one", Layers: []Layer{{"layer", op}}}
		r, err := Analyze(n, Shape{1, c.in, c.in}, 1)
		if err != nil {
			t.Errorf("%d %+v: %v", c.in, c.window, err)
			continue
		}
		g := r.placed.Layers[0].Geometry
		if g.Out != Square(c.out) || g.Top != c.top || g.Bottom != c.bottom || g.Left != c.top || g.Right != c.bottom {
			t.Errorf("%d %+v: %+v, want output %d, padding %d and %d", c.in, c.window, g, c.out, c.top, c.bottom)
		}
		if got := r.Layers[0].Formulas.Size; got != c.formula {
			t.Errorf("%d %+v: %q, want %q", c.in, c.window, got, c.formula)
		}
	}
}

// TestFormulasOfUnequalAxes: where height and width differ, both are worked out, height first; groups divide the input.
func TestFormulasOfUnequalAxes(t *testing.T) {
	n := &Network{Name: "one",
		Layers: []Layer{{"conv", Conv{Out: 6, Window: Window{Kernel: Size{3, 5}, Stride: Size{1, 2},
			Pad: Padding{Top: 1, Bottom: 1}}, Groups: 2}}}}
	r, err := Analyze(n, Shape{4, 10, 15}, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := Formulas{
		Size:    "(10-3+2*1)/1+1 = 10, (15-5)/2+1 = 6",
		Weights: "(3*5*4/2)*6 = 180",
		MACs:    "10*6*180 = 10800",
		Field:   "1+(3-1)*1 = 3, 1+(5-1)*1 = 5",
		// 21600 FLOP by 4560 bytes.
		Activations: "10*6*6*4 = 1440",
		Intensity:   "2*10800/(4*(180+10*15*4+10*6*6)) = 4.7",
	}
	if got := r.Layers[0].Formulas; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAfter(t *testing.T) {
	n, err := Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := n.Place(n.Input)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		layer, next string
		input       Shape
	}{{"conv1_1", "relu1_1", Shape{64, 224, 224}}, {"pool5", "flatten", Shape{512, 7, 7}},
		{"fc8", "softmax", Shape{1000, 1, 1}}} {
		rest, err := whole.After(c.layer)
		if err != nil || rest.Layers[0].Name != c.next || rest.Input != c.input ||
			rest.Network.Layers[len(rest.Layers)-1] != n.Layers[len(n.Layers)-1] {
			t.Errorf("after %s: %+v, %v", c.layer, rest, err)
			continue
		}
		if placed, err := rest.Network.Place(rest.Input); err != nil || !reflect.DeepEqual(placed, rest) {
			t.Errorf("after %s: %+v, placed anew %+v (%v)", c.layer, rest, placed, err)
		}
	}
	for layer, want := range map[string]string{"softmax": "nothing of vgg16 is behind its last layer, softmax",
		"conv": `vgg16 has no layer "conv": it has conv1_1, relu1_1, conv1_2, relu1_2 … relu7, drop7, fc8, softmax, 40 ` +
			`in all`} {
		if _, err := whole.After(layer); err == nil || err.Error() != want {
			t.Errorf("after %s: %v, want %s", layer, err, want)
		}
	}
}

func TestParseShape(t *testing.T) {
	if s, err := ParseShape("480x640x3"); err != nil || s != (Shape{C: 3, H: 480, W: 640}) || s.String() != "480x640x3" {
		t.Errorf("480x640x3 gave %+v (%v)", s, err)
	}
	for _, s := range []string{"", "224", "224x224", "224x224x3x1", "0x224x3", "-1x2x3", "axbxc", "99999999999x1x1",
		"224X224X3"} {
		if got, err := ParseShape(s); err == nil {
			t.Errorf("%q gave %v, want an error", s, got)
		}
	}
}
