package nn_test

import (
	"strings"
	"testing"

	"github.com/vggo/vggo/arch/archtest"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
)

// TestGroups: what is computed together, for what a Plan is to do.
func TestGroups(t *testing.T) {
	const (
		use      = "conv1_1+bn1_1+relu1_1+pool1 conv2_1+relu2_1 pool2 flatten fc3+relu3 fc4"
		kept     = "conv1_1+bn1_1+relu1_1 pool1 conv2_1+relu2_1 pool2 flatten fc3+relu3 fc4"
		training = "conv1_1 bn1_1+relu1_1 pool1 conv2_1+relu2_1 pool2 flatten fc3+relu3 drop3 fc4"
	)
	// Blocks of channels, so that the first convolution can go by tiles; the second pooling does not halve, and is not
	// fused.
	net, err := arch.Compact("net", "20x20x16:16b,M,16,Mk3s2/8,4", arch.Shape{})
	if err != nil {
		t.Fatal(err)
	}
	net.Layers = append([]arch.Layer{{Name: "lrn0", Op: arch.LRN{Size: 3, Alpha: 1, Beta: 1, K: 1}}}, net.Layers...)
	for _, c := range []struct {
		name string
		opt  nn.Options
		want string
	}{
		{"use", nn.Options{Algo: nn.Winograd4}, use},
		{"by the definition, which does not pool in passing", nn.Options{Algo: nn.Direct}, kept},
		{"kept maps", nn.Options{Algo: nn.Winograd4, Keep: true}, kept},
		{"the images' gradient", nn.Options{Algo: nn.Winograd4, InputGrad: true}, kept},
		{"training", nn.Options{Algo: nn.Winograd4, Training: true}, training},
		{"training without dropout", nn.Options{Training: true, KeepProb: 1}, strings.Replace(training, " drop3", "", 1)},
		{"nothing fused", nn.Options{Algo: nn.Winograd4, NoFuse: true}, "conv1_1 bn1_1 relu1_1 pool1 conv2_1 relu2_1 pool2 " +
			"flatten fc3 relu3 fc4"},
	} {
		c.opt.Batch, c.opt.Threads = 2, 1
		_, groups, err := nn.Predict(archtest.Place(t, net), c.opt)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, g := range groups {
			got = append(got, strings.Join(g.Names(), "+"))
		}
		if got := strings.Join(got, " "); got != "lrn0 "+c.want {
			t.Errorf("%s: %s, want lrn0 %s", c.name, got, c.want)
		}
	}
}

// TestOverwritten: a map that dropout writes over is refused, whatever stands between, and not handed out as the
// layer's output.
func TestOverwritten(t *testing.T) {
	conv := arch.Conv{Out: 16, Window: window(3, 3, 1, 1, arch.Pad(1))}
	for _, between := range [][]arch.Op{nil, {arch.Dropout{Keep: 1}}} {
		net := named("dropped", arch.Shape{C: 16, H: 4, W: 4}, append(append([]arch.Op{conv, arch.ReLU{}}, between...),
			arch.Dropout{Keep: 0.5})...)
		plan := compile(t, net, newParams(t, net, nn.He), nn.Options{Batch: 1, Threads: 1, Training: true})
		forward(t, plan, noise(1, 1, net.Input))
		for i, l := range net.Layers {
			_, err := plan.Activation(l.Name)
			if last := i == len(net.Layers)-1; last != (err == nil) {
				t.Errorf("%d layers, the output of %s: %v", len(net.Layers), l.Name, err)
			}
		}
	}
}
