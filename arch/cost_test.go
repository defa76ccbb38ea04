package arch

import (
	"errors"
	"fmt"
	"testing"
)

// TestMemoryOfVGG16 works VGG-16's memory out by hand. The largest step is conv1_2: 224x224x64 in and out. Kept for
// training are the input, 13 convolution outputs, 5 poolings, 3 fully connected outputs and the softmax.
func TestMemoryOfVGG16(t *testing.T) {
	maps := 3*224*224 + // input
		2*64*224*224 + 64*112*112 +
		2*128*112*112 + 128*56*56 +
		3*256*56*56 + 256*28*28 +
		3*512*28*28 + 512*14*14 +
		3*512*14*14 + 512*7*7 +
		4096 + 4096 + 1000 + 1000
	for _, batch := range []int{1, 32} {
		n, err := Builtin("vgg16")
		if err != nil {
			t.Fatal(err)
		}
		r, err := Analyze(n, n.Input, batch)
		if err != nil {
			t.Fatal(err)
		}
		params := int64(4 * 138_357_544)
		arena := int64(4 * 2 * 64 * 224 * 224 * batch)
		kept := int64(4 * maps * batch)
		want := Footprint{
			Parameters: params, Arena: arena, Infer: params + arena,
			Kept: kept, ParameterGradients: params, ActivationGradients: arena, Train: 2*params + kept + arena,
		}
		if r.Memory != want {
			t.Errorf("batch %d: %+v, want %+v", batch, r.Memory, want)
		}
	}
}

// TestInPlace: ReLU takes no memory straight after a convolution, a fully connected layer or batch norm, and does after
// anything else, whose backward may need its own output.
func TestInPlace(t *testing.T) {
	n := &Network{Name: "places", Input: Shape{2, 8, 8}, Layers: []Layer{
		{"relu0", ReLU{}},
		{"conv1", Conv{Out: 4, Window: Window{Kernel: Square(3), Pad: Pad(1)}}},
		{"bn1", BatchNorm{}},
		{"relu1", ReLU{}},
		{"relu1b", ReLU{}},
		{"pool1", MaxPool{Window{Kernel: Square(2), Stride: Square(2)}}},
		{"relu2", ReLU{}},
		{"flatten", Flatten{}},
		{"drop", Dropout{Keep: 0.5}},
		{"fc", Linear{Out: 6}},
		{"relu3", ReLU{}},
		{"drop3", Dropout{Keep: 0.5}},
		{"relu4", ReLU{}},
	}}
	r, err := Analyze(n, n.Input, 3)
	if err != nil {
		t.Fatal(err)
	}
	inPlace := map[string]bool{"relu1": true, "flatten": true, "drop": true, "relu3": true, "drop3": true}
	kept, arena := int64(n.Input.C*n.Input.H*n.Input.W), int64(0)
	for _, l := range r.Layers {
		in, out := int64(l.In.C*l.In.H*l.In.W), int64(l.Out.C*l.Out.H*l.Out.W)
		if l.InPlace != inPlace[l.Name] {
			t.Errorf("%s in place: %v, want %v", l.Name, l.InPlace, inPlace[l.Name])
		}
		want := 4 * 3 * out
		if inPlace[l.Name] {
			want = 0
		} else {
			kept += out
			arena = max(arena, in+out)
		}
		if l.ActivationBytes != want {
			t.Errorf("%s: %d activation bytes, want %d", l.Name, l.ActivationBytes, want)
		}
	}
	if r.Memory.Kept != 4*3*kept || r.Memory.Arena != 4*3*arena {
		t.Errorf("keeps %d, arena %d; want %d and %d", r.Memory.Kept, r.Memory.Arena, 4*3*kept, 4*3*arena)
	}
	// gamma and beta are trained, mean and var only kept.
	bn := r.layer(t, "bn1")
	if bn.Weights != 4 || bn.Biases != 4 || bn.Statistics != 8 || r.Memory.Parameters-r.Memory.ParameterGradients != 4*8 {
		t.Errorf("batch norm of 4 channels: %+v, memory %+v", bn, r.Memory)
	}
}

// TestIntensity: fc6 reads every weight once a batch, so its FLOP per byte grows with the batch: 2 FLOP for 4 bytes at
// one image.
func TestIntensity(t *testing.T) {
	n, err := Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range []int{1, 8, 64} {
		r, err := Analyze(n, n.Input, batch)
		if err != nil {
			t.Fatal(err)
		}
		b := float64(batch)
		want := 2 * 102_760_448 * b / (4 * (102_760_448 + b*(25088+4096)))
		if got := r.layer(t, "fc6").Intensity; got != want {
			t.Errorf("batch %d: %v FLOP/byte, want %v", batch, got, want)
		}
	}
}

// TestOverflow: figures that pass 63 bits are errors, not nonsense.
func TestOverflow(t *testing.T) {
	big := func(out int) Layer {
		return Layer{fmt.Sprintf("conv%d", out), Conv{Out: out, Window: Window{Kernel: Square(1)}}}
	}
	for _, c := range []struct {
		name  string
		net   Network
		input Shape
		batch int
	}{
		{"MACs of one layer", Network{Layers: []Layer{{"conv1", Conv{Out: 1 << 18, Window: Window{Kernel: Square(1)}}}}},
			Shape{1 << 20, 1 << 10, 1 << 10}, 1 << 8},
		{"MACs of the batch", Network{Layers: []Layer{{"conv1", Conv{Out: 1 << 20, Window: Window{Kernel: Square(1)}}}}},
			Shape{1 << 20, 1 << 8, 1 << 8}, 1 << 20},
		{"activations of the batch", Network{Layers: []Layer{{"relu", ReLU{}}}}, Shape{1 << 20, 1 << 10, 1 << 10}, 1 << 20},
		{"channels", Network{Layers: []Layer{big(MaxElements)}}, Shape{MaxElements, 1, 1}, 1},
	} {
		c.net.Name = "big"
		_, err := Analyze(&c.net, c.input, c.batch)
		var shape *ShapeError
		if !errors.As(err, &shape) {
			t.Errorf("%s: %v, want a ShapeError", c.name, err)
		}
	}
	// The receptive field's arithmetic has its own bound.
	far := &Network{Name: "far", Input: Shape{1, 1, 1}}
	for i := range 8 {
		far.Layers = append(far.Layers, Layer{fmt.Sprintf("conv%d", i),
			Conv{Out: 1, Window: Window{Kernel: Square(3), Stride: Square(1 << 20), Pad: Pad(1)}}})
	}
	if r, err := Analyze(far, far.Input, 1); err == nil {
		t.Errorf("a field beyond counting gave %+v", r.Layers[7].Field)
	}
	n, err := Builtin("vgg11")
	if err != nil {
		t.Fatal(err)
	}
	for _, batch := range []int{0, -1, 1<<20 + 1} {
		if _, err := Analyze(n, n.Input, batch); err == nil {
			t.Errorf("a batch of %d gave no error", batch)
		}
	}
}
