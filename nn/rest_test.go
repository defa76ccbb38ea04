package nn_test

import (
	"fmt"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/nn"
)

// TestRest: a plan of the layers behind one computes what the whole network does from there, takes the memory that
// Predict tells, of its own parameters alone, and gives no others a gradient. Its first convolution reads many
// channels, and may go by Winograd's algorithm.
func TestRest(t *testing.T) {
	net := everything()
	whole := archtest.Place(t, net)
	for _, layer := range []string{"relu1_1", "pool1", "drop3"} {
		front, err := whole.Until(layer)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := whole.After(layer)
		if err != nil {
			t.Fatal(err)
		}
		params := newParams(t, net, nn.He)
		x := noise(1, 3, net.Input)
		kept := compile(t, net, params, nn.Options{Batch: 3, Keep: true, NoFuse: true, Algo: nn.Direct})
		want := forward(t, kept, x)
		before, err := nn.Compile(front, params, nn.Options{Batch: 3, Algo: nn.Direct})
		if err != nil {
			t.Fatal(err)
		}
		forward(t, before, x)
		options := nn.Options{Batch: 3, Training: true, KeepProb: 1, Algo: nn.Winograd2}
		plan, err := nn.Compile(rest, params, options)
		if err != nil {
			t.Fatal(err)
		}
		if memory, _, err := nn.Predict(rest, options); err != nil || memory != plan.Memory() {
			t.Errorf("behind %s: predicted %+v, %v, the plan takes %+v", layer, memory, err, plan.Memory())
		}
		for _, p := range params.List {
			own := false
			for _, l := range rest.Layers {
				own = own || l.Name == p.Layer()
			}
			if (p.Grad != nil) != (own && p.Trainable) {
				t.Errorf("behind %s: a gradient of %s: %v", layer, p.Name, p.Grad != nil)
			}
		}
		if layer == "relu1_1" && plan.Groups()[0].Algo(nn.ForwardPass) != nn.Winograd2 {
			t.Errorf("%v goes by %v", plan.Groups()[0].Names(), plan.Groups()[0].Algo(nn.ForwardPass))
		}
		use, err := nn.Compile(rest, params, nn.Options{Batch: 3, Algo: nn.Winograd2})
		if err != nil {
			t.Fatal(err)
		}
		// conv1_2 alone goes by another algorithm: the difference is rounding.
		if got := forward(t, use, before.Logits()); !close32(got, want, 1e-5) {
			t.Errorf("behind %s: %v, want %v", layer, got, want)
		}
		for _, p := range []*nn.Plan{before, plan, use} {
			p.Close()
		}
	}
}

func close32(got, want []float32, within float32) bool {
	top := float32(0)
	for _, v := range want {
		top = max(top, v, -v)
	}
	for i, v := range got {
		if d := v - want[i]; !(max(d, -d) <= within*top) {
			return false
		}
	}
	return len(got) == len(want)
}

// TestVectorsAlone: a network of fully connected layers alone trains, whose dropouts in place leave fewer maps than
// steps.
func TestVectorsAlone(t *testing.T) {
	for layers := range 6 {
		net := &arch.Network{Name: "vectors", Input: arch.Shape{C: 20, H: 1, W: 1}}
		for i := range layers {
			net.Layers = append(net.Layers, arch.Layer{Name: fmt.Sprintf("fc%d", i), Op: arch.Linear{Out: 17}},
				arch.Layer{Name: fmt.Sprintf("relu%d", i), Op: arch.ReLU{}},
				arch.Layer{Name: fmt.Sprintf("drop%d", i), Op: arch.Dropout{Keep: 0.5}})
		}
		net.Layers = append(net.Layers, arch.Layer{Name: "last", Op: arch.Linear{Out: 3}})
		params := newParams(t, net, nn.He)
		train(t, compile(t, net, params, nn.Options{Batch: 4, Training: true, Seed: 1}), params, noise(1, 4, net.Input))
	}
}
