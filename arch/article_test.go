package arch

import (
	"fmt"
	"math"
	"testing"
)

// mustAnalyze is a built-in's report for its own input and one image.
func mustAnalyze(t *testing.T, name string) *Report {
	t.Helper()
	n, err := Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Analyze(n, n.Input, 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *Report) layer(t *testing.T, name string) LayerReport {
	t.Helper()
	for _, l := range r.Layers {
		if l.Name == name {
			return l
		}
	}
	t.Fatalf("%s has no layer %s", r.Network, name)
	return LayerReport{}
}

// TestArticleNumbers holds vgg16 to every pixel and parameter line of the article, spaces evened out. Its third line,
// the first pooling, is TestArticleFirstPoolMissesOne's; its fully connected layers have no pixel formula.
func TestArticleNumbers(t *testing.T) {
	r := mustAnalyze(t, "vgg16")
	if r.Input != (Shape{3, 224, 224}) {
		t.Errorf("input %v, want 224*224*3", r.Input)
	}
	lines := []struct {
		layer, size, out, weights string
	}{
		{"conv1_1", "(224-3+2*1)/1+1 = 224", "224x224x64", "(3*3*3)*64 = 1728"},
		{"conv1_2", "(224-3+2*1)/1+1 = 224", "224x224x64", "(3*3*64)*64 = 36864"},
		{"pool1", "(224-2)/2+1 = 112", "112x112x64", ""},
		{"conv2_1", "(112-3+2*1)/1+1 = 112", "112x112x128", "(3*3*64)*128 = 73728"},
		{"conv2_2", "(112-3+2*1)/1+1 = 112", "112x112x128", "(3*3*128)*128 = 147456"},
		{"pool2", "(112-2)/2+1 = 56", "56x56x128", ""},
		{"conv3_1", "(56-3+2*1)/1+1 = 56", "56x56x256", "(3*3*128)*256 = 294912"},
		{"conv3_2", "(56-3+2*1)/1+1 = 56", "56x56x256", "(3*3*256)*256 = 589824"},
		{"conv3_3", "(56-3+2*1)/1+1 = 56", "56x56x256", "(3*3*256)*256 = 589824"},
		{"pool3", "(56-2)/2+1 = 28", "28x28x256", ""},
		{"conv4_1", "(28-3+2*1)/1+1 = 28", "28x28x512", "(3*3*256)*512 = 1179648"},
		{"conv4_2", "(28-3+2*1)/1+1 = 28", "28x28x512", "(3*3*512)*512 = 2359296"},
		{"conv4_3", "(28-3+2*1)/1+1 = 28", "28x28x512", "(3*3*512)*512 = 2359296"},
		{"pool4", "(28-2)/2+1 = 14", "14x14x512", ""},
		{"conv5_1", "(14-3+2*1)/1+1 = 14", "14x14x512", "(3*3*512)*512 = 2359296"},
		{"conv5_2", "(14-3+2*1)/1+1 = 14", "14x14x512", "(3*3*512)*512 = 2359296"},
		{"conv5_3", "(14-3+2*1)/1+1 = 14", "14x14x512", "(3*3*512)*512 = 2359296"},
		{"pool5", "(14-2)/2+1 = 7", "7x7x512", ""},
		{"fc6", "", "1x1x4096", "7*7*512*4096 = 102760448"},
		{"fc7", "", "1x1x4096", "4096*4096 = 16777216"},
		{"fc8", "", "1x1x1000", "4096*1000 = 4096000"},
	}
	for _, want := range lines {
		l := r.layer(t, want.layer)
		if l.Formulas.Size != want.size || l.Out.String() != want.out || l.Formulas.Weights != want.weights {
			t.Errorf("%s: %q, %v, %q; want %q, %s, %q", want.layer, l.Formulas.Size, l.Out, l.Formulas.Weights, want.size,
				want.out, want.weights)
		}
		if want.weights == "" && l.Weights+l.Biases != 0 {
			t.Errorf("%s has %d parameters, want 0", want.layer, l.Weights+l.Biases)
		}
		// The formulas are text; what they end in must be the figures themselves.
		if want.weights != "" {
			if text := fmt.Sprintf(" = %d", l.Weights); want.weights[len(want.weights)-len(text):] != text {
				t.Errorf("%s: %d weights, but the formula says %q", want.layer, l.Weights, want.weights)
			}
		}
	}
	// "In all about 138M."
	if got := math.Round(float64(r.Total.Weights) / 1e6); got != 138 {
		t.Errorf("%d weights are %v million, want 138", r.Total.Weights, got)
	}
}

// TestArticleField is the article's calculation of what three stacked 3x3 kernels see.
func TestArticleField(t *testing.T) {
	three := Kernel{Size: 3}
	r, err := AnalyzeStack(three, three, three)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"3", "(3-1)*1+3 = 5", "(5-1)*1+3 = 7"} {
		if r.Steps[i].Formula != want {
			t.Errorf("step %d: %q, want %q", i+1, r.Steps[i].Formula, want)
		}
	}
	seven, err := AnalyzeStack(Kernel{Size: 7})
	if err != nil {
		t.Fatal(err)
	}
	if r.Field != 7 || seven.Field != 7 {
		t.Errorf("three 3x3 see %d and one 7x7 sees %d, want 7 for both", r.Field, seven.Field)
	}
	if r.StackWeights != 27 || r.SingleWeights != 49 {
		t.Errorf("%dC² against %dC² weights, want 27C² against 49C²", r.StackWeights, r.SingleWeights)
	}
}

// TestArticleFirstPoolMissesOne: the article writes (224-2)/2 = 112 for its first pooling. That is 111; the +1 that its
// other lines have is missing.
func TestArticleFirstPoolMissesOne(t *testing.T) {
	if got := (224 - 2) / 2; got != 111 {
		t.Errorf("as written, (224-2)/2 = %d, want 111", got)
	}
	l := mustAnalyze(t, "vgg16").layer(t, "pool1")
	if l.Formulas.Size != "(224-2)/2+1 = 112" || l.Out.H != 112 {
		t.Errorf("pool1: %q, %v; want (224-2)/2+1 = 112", l.Formulas.Size, l.Out)
	}
}

// TestArticleAlexNetFirstLayer: the article has VGG replace a 7x7 kernel "at the beginning of AlexNet". AlexNet begins
// with 11x11 stride 4; the 7x7 (stride 2) is ZFNet's. And what stands at a network's beginning is strided, so that
// three 3x3 layers of stride 1 see as much as one unit of it, but not as much as its neighbours do together.
func TestArticleAlexNetFirstLayer(t *testing.T) {
	for _, want := range []struct {
		network, operation string
		field              int
		jump               float64
	}{
		{"alexnet", "conv 11x11/4", 11, 4},
		{"alexnet-torchvision", "conv 11x11/4 pad 2", 11, 4},
		{"zfnet", "conv 7x7/2 pad 1", 7, 2},
	} {
		l := mustAnalyze(t, want.network).layer(t, "conv1")
		if l.Operation != want.operation || l.Field.H.Size != want.field || l.Field.H.Jump != want.jump {
			t.Errorf("%s: conv1 is %q, sees %d, jumps %v; want %q, %d, %v", want.network, l.Operation, l.Field.H.Size,
				l.Field.H.Jump,
				want.operation, want.field, want.jump)
		}
	}
	// Five 3x3 layers of stride 1 see AlexNet's 11x11, three do not.
	l := mustAnalyze(t, "vgg16").layer(t, "conv2_1")
	if l.Field.H.Size != 10 {
		t.Errorf("VGG's third convolution, after a pooling, sees %d, want 10: VGG's own first three layers do not see "+
			"7x7 either", l.Field.H.Size)
	}
	five, err := AnalyzeStack(Kernel{Size: 3}, Kernel{Size: 3}, Kernel{Size: 3}, Kernel{Size: 3}, Kernel{Size: 3})
	if err != nil || five.Field != 11 {
		t.Errorf("five 3x3 layers see %v (%v), want 11", five.Field, err)
	}
}

// TestArticleLeavesBiasesOut: every count of the article is of weights alone, though its code adds a bias to every
// layer and puts it into the parameter list p.
func TestArticleLeavesBiasesOut(t *testing.T) {
	r := mustAnalyze(t, "vgg16-article")
	article := []int64{1728, 36864, 73728, 147456, 294912, 589824, 589824, 1179648, 2359296, 2359296, 2359296,
		2359296, 2359296,
		102760448, 16777216, 4096000}
	var sum int64
	for _, n := range article {
		sum += n
	}
	if sum != 138_344_128 || sum != r.Total.Weights {
		t.Errorf("the article's counts add up to %d, the network has %d weights, want 138344128", sum, r.Total.Weights)
	}
	if r.Total.Biases != 13_416 || r.Total.Parameters != 138_357_544 {
		t.Errorf("%d biases, %d parameters; want 13416 and 138357544", r.Total.Biases, r.Total.Parameters)
	}
	params := 0
	for _, p := range r.placed.Layers {
		params += len(p.Params)
	}
	if params != 32 {
		t.Errorf("%d parameters in the list, want the 32 of p: 16 kernels and 16 biases", params)
	}
}

// TestArticleFC8HasReLU: fc_op uses tf.nn.relu_layer for every fully connected layer, the last included. The paper's
// has none, and a softmax of scores cut off at zero cannot give a class less than a zero score's share.
func TestArticleFC8HasReLU(t *testing.T) {
	after := func(network string) []string {
		n, err := Builtin(network)
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range n.Layers {
			if l.Name == "fc8" {
				var kinds []string
				for _, l := range n.Layers[i+1:] {
					kinds = append(kinds, l.Op.Kind())
				}
				return kinds
			}
		}
		return nil
	}
	if got := fmt.Sprint(after("vgg16")); got != "[softmax]" {
		t.Errorf("vgg16: after fc8 comes %s, want [softmax]", got)
	}
	if got := fmt.Sprint(after("vgg16-article")); got != "[relu softmax]" {
		t.Errorf("vgg16-article: after fc8 comes %s, want [relu softmax]", got)
	}
}

// TestArticleSameAgainstFloor: the arithmetic rounds down, (in-k+2p)/s+1; the code's padding='SAME' is ceil(in/s). At
// 224 every division comes out even and they agree on every layer; at 225 or 227 they do not.
func TestArticleSameAgainstFloor(t *testing.T) {
	paper, code := mustAnalyze(t, "vgg16"), mustAnalyze(t, "vgg16-article")
	for _, name := range []string{"conv1_1", "pool1", "conv3_2", "pool5", "fc6"} {
		if p, c := paper.layer(t, name), code.layer(t, name); p.Out != c.Out {
			t.Errorf("at 224, %s gives %v by the arithmetic and %v by the code", name, p.Out, c.Out)
		}
	}
	if got := code.layer(t, "conv1_1").Formulas.Size; got != "ceil(224/1) = 224" {
		t.Errorf("conv1_1 by the code: %q, want ceil(224/1) = 224", got)
	}
	n, err := Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	a, err := Builtin("vgg16-article")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		input       int
		floor, same string // of pool1
		last, lastS string // the last map
	}{
		{225, "floor((225-2)/2)+1 = 112", "ceil(225/2) = 113", "7x7x512", "8x8x512"},
		{227, "floor((227-2)/2)+1 = 113", "ceil(227/2) = 114", "7x7x512", "8x8x512"},
		{256, "(256-2)/2+1 = 128", "ceil(256/2) = 128", "8x8x512", "8x8x512"},
	} {
		input := Shape{3, want.input, want.input}
		rn, err := Analyze(n, input, 1)
		if err != nil {
			t.Fatal(err)
		}
		ra, err := Analyze(a, input, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := rn.layer(t, "pool1").Formulas.Size; got != want.floor {
			t.Errorf("vgg16 at %d: pool1 %q, want %q", want.input, got, want.floor)
		}
		if got := ra.layer(t, "pool1").Formulas.Size; got != want.same {
			t.Errorf("vgg16-article at %d: pool1 %q, want %q", want.input, got, want.same)
		}
		if got, gotS := rn.layer(t, "pool5").Out.String(), ra.layer(t, "pool5").Out.String(); got != want.last ||
			gotS != want.lastS {
			t.Errorf("at %d the last map is %s and %s, want %s and %s", want.input, got, gotS, want.last, want.lastS)
		}
	}
}

// TestArticleMoreParameters: the article ends saying that VGG "uses more parameters". More than AlexNet, yes; but depth
// is not why: nine tenths of them are in three fully connected layers, and the 13 convolutions of depth have a tenth.
func TestArticleMoreParameters(t *testing.T) {
	vgg, alex := mustAnalyze(t, "vgg16"), mustAnalyze(t, "alexnet")
	if vgg.Total.Parameters <= alex.Total.Parameters {
		t.Errorf("vgg16 has %d parameters, alexnet %d", vgg.Total.Parameters, alex.Total.Parameters)
	}
	var fc int64
	for _, l := range vgg.Layers {
		if l.Kind == "linear" {
			fc += l.Weights
		}
	}
	if fc != 123_633_664 || vgg.Total.Weights-fc != 14_710_464 {
		t.Errorf("fully connected %d, convolutions %d; want 123633664 and 14710464", fc, vgg.Total.Weights-fc)
	}
}
