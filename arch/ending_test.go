package arch

import (
	"strings"
	"testing"
)

// TestEnding: how networks end, past layers that change no value.
func TestEnding(t *testing.T) {
	map2 := Shape{C: 4, H: 2, W: 2}
	vector := Shape{C: 4, H: 1, W: 1}
	for _, c := range []struct {
		input  Shape
		ops    []Op
		want   Ending
		logits int
		with   string // the layers' kinds with a sigmoid at the end; empty: an error
	}{
		{vector, []Op{Linear{Out: 2}}, EndsInLogits, 1, "linear sigmoid"},
		{vector, []Op{Linear{Out: 2}, Softmax{}}, EndsInSoftmax, 1, "linear sigmoid"},
		{vector, []Op{Linear{Out: 2}, Sigmoid{}}, EndsInSigmoid, 1, "linear sigmoid"},
		{vector, []Op{Linear{Out: 2}, Softmax{}, Dropout{Keep: 0.5}, Flatten{}}, EndsInSoftmax, 1,
			"linear sigmoid dropout flatten"},
		{vector, []Op{Softmax{}, Softmax{}}, EndsInSoftmax, 1, "softmax sigmoid"},
		{vector, []Op{Sigmoid{}, Linear{Out: 2}}, EndsInLogits, 2, "sigmoid linear sigmoid"},
		{map2, []Op{Softmax{}, GlobalAvgPool{}}, EndsInProbabilities, 2, ""},
		{map2, []Op{Sigmoid{}, Flatten{}}, EndsInProbabilities, 2, ""},
		{map2, []Op{GlobalAvgPool{}, Softmax{}, Flatten{}}, EndsInSoftmax, 1, "globalavgpool sigmoid flatten"},
		{map2, []Op{Softmax{}, MaxPool{Window{Kernel: Square(2)}}}, EndsInLogits, 2, "softmax maxpool sigmoid"},
	} {
		net := &Network{Name: "net", Input: c.input}
		var kinds []string
		for i, op := range c.ops {
			net.Layers = append(net.Layers, Layer{op.Kind() + string(rune('a'+i)), op})
			kinds = append(kinds, op.Kind())
		}
		placed, err := net.Place(net.Input)
		if err != nil {
			t.Fatal(err)
		}
		if got, logits := placed.Ending(); got != c.want || logits != c.logits {
			t.Errorf("%v end in %s after %d, want %s after %d", kinds, got, logits, c.want, c.logits)
		}
		with, err := placed.WithSigmoid()
		if (err != nil) != (c.with == "") {
			t.Errorf("%v with a sigmoid: %v", kinds, err)
		}
		if err != nil {
			continue
		}
		var got []string
		for _, l := range with.Layers {
			got = append(got, l.Op.Kind())
		}
		if strings.Join(got, " ") != c.with {
			t.Errorf("%v with a sigmoid: %v, want %s", kinds, got, c.with)
		}
		back, err := with.WithSoftmax()
		if err != nil {
			t.Fatal(err)
		}
		if ending, _ := back.Ending(); ending != EndsInSoftmax {
			t.Errorf("%v with a softmax again: %s", kinds, ending)
		}
	}
}

// TestCompactSigmoid: s behind the last width, there and back.
func TestCompactSigmoid(t *testing.T) {
	const text = "16x16x3:8,M/16,1s"
	net, err := Compact("net", text, ImageNetInput)
	if err != nil {
		t.Fatal(err)
	}
	if last := net.Layers[len(net.Layers)-1]; last != (Layer{"sigmoid", Sigmoid{}}) {
		t.Errorf("%s ends in %v", text, last)
	}
	if back, err := net.CompactString(); err != nil || back != text {
		t.Errorf("%s comes back as %s, %v", text, back, err)
	}
	for _, bad := range []string{"8/16s,1", "8/1ss", "8s"} {
		if _, err := Compact("net", bad, ImageNetInput); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

// TestFitName: names from elsewhere, made a layer's.
func TestFitName(t *testing.T) {
	long := strings.Repeat("é", 100)
	for name, want := range map[string]string{
		"conv1": "conv1", "a/b:0": "a.b.0", `a\b`: "a.b", "/features/": "features", "a b\tc": "a_b_c", "卷积+1": "卷积+1",
		"": "relu", "//": "relu",
		"a\u202eb": "a_b", "a\xffb": "a_b", long: strings.Repeat("é", 24),
	} {
		got := FitName(name, "relu")
		if got != want || !plainName(got) {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}
