package darknet

import (
	"bytes"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/format/formattest"
)

func TestHostile(t *testing.T) {
	formattest.Hostile(t, Reader, formattest.File(t, "darknet.weights"))
	formattest.Hostile(t, texts, formattest.File(t, "darknet.cfg"))
	alone := formattest.File(t, "darknet.weights")
	alone.Beside = formattest.Bytes("", nil).Beside
	formattest.Hostile(t, Reader, alone)
}

func FuzzDarknet(f *testing.F) { formattest.Fuzz(f, Reader, "darknet.weights") }

func FuzzConfig(f *testing.F) { formattest.Fuzz(f, texts, "darknet.cfg") }

// texts reads a .cfg as if it were a file of weights.
var texts = format.Reader{
	Knows: func(in *format.Input) bool { return isConfig(in.Data) },
	Read: func(in *format.Input) (*format.Contents, error) {
		contents := &format.Contents{}
		_, err := describe(in.Data, contents)
		return contents, err
	},
}

// What a section says that vggo does not compute is named, with its line.
func TestSections(t *testing.T) {
	const net = "[net]\nheight=8\nwidth=8\nchannels=3\n"
	for _, c := range []struct{ cfg, want string }{
		{net + "[route]\nlayers=-1", "line 5: [route]: it is none that vggo computes"},
		{net + "[conv]\nfilters=2\nactivation=leaky", "activation=leaky"},
		{net + "[conv]\nxnor=1", "binary weights"},
		{net + "[conv]\nactivation=relu\nflipped=1", "setting flipped is not known"},
		{net + "[conv]\nactivation=relu\nlearning_rate=2\ndontload=0\n[cost]\ntype=sse\n[conv]\ndontload=1",
			"setting dontload is not known"},
		{net + "[conv]\nfilters=two\nactivation=relu", "filters=two is no number"},
		{net + "[softmax]\ngroups=2", "softmax of groups"},
		{net + "[lrn]\nsize=4", "even number"},
		{net + "[max]\n[crop]\ncrop_height=4", "a map is cropped"},
		{net + "[conv]\nfilters=-1\nactivation=relu", "conv0"},
	} {
		contents, err := texts.Read(formattest.Bytes("x.cfg", []byte(c.cfg)))
		if err != nil || contents.Unrunnable == nil || !strings.Contains(contents.Unrunnable.Error(), c.want) {
			t.Errorf("%q: %v, %+v, want %q", c.cfg, err, contents, c.want)
		}
	}
	many := "[net]\n[" + strings.Repeat("x]\n[", maxSections) + "x]"
	for _, cfg := range []string{net + "filters", "[conv]\n" + net, many} {
		if c, err := describe([]byte(cfg), &format.Contents{}); err == nil {
			t.Errorf("%.40q: no error, but %v", cfg, c)
		}
	}
}

// A crop at the beginning takes the middle of a picture and makes samples of -1 to 1 of it.
func TestCrop(t *testing.T) {
	const cfg = "[net]\nheight=12\nwidth=12\nchannels=3\n[crop]\ncrop_height=8\ncrop_width=8\n" +
		"[conv]\nfilters=2\nactivation=relu\n"
	c, err := texts.Read(formattest.Bytes("x.cfg", []byte(cfg)))
	if err != nil || c.Network == nil || c.Pictures == nil {
		t.Fatal(c, err)
	}
	if in := c.Network.Network.Input; in.H != 8 || in.W != 8 || c.Pictures.Mean[0] != .5 || c.Pictures.Std[2] != .5 {
		t.Errorf("pictures of %v, %+v", in, c.Pictures)
	}
}

// What stands beneath a batch norm's root tells by the revision whose Darknet wrote the file: the author's adds to the
// deviation, AlexeyAB's (0.2.5) to the variance.
func TestRevisions(t *testing.T) {
	const cfg = "[net]\nheight=2\nwidth=2\nchannels=1\n[conv]\nfilters=1\nbatch_normalize=1\nactivation=linear\n"
	const stored = 4e-5
	for revision, want := range map[byte]float64{
		0: math.Pow(math.Sqrt(stored)+1e-6, 2),
		5: stored + 1e-5,
	} {
		header := make([]byte, 20)
		header[4], header[8] = 2, revision
		in := formattest.Bytes("x.weights", append(header, format.FloatBytes([]float32{0, 1, 0, stored, 1})...))
		in.Beside = func(string) ([]byte, error) { return []byte(cfg), nil }
		if !Reader.Knows(in) {
			t.Errorf("revision %d is not known", revision)
			continue
		}
		c, err := Reader.Read(in)
		if err != nil || c.Network == nil {
			t.Fatal(c, err)
		}
		made, err := c.Network.Derived[0].Floats()
		if err != nil || math.Abs(float64(made[0])-want) > 1e-7*want { // two roundings to float32
			t.Errorf("revision %d: a variance of %v, not %v: %v", revision, made, want, err)
		}
	}
}

// Weights of another length than their .cfg's are refused.
func TestLength(t *testing.T) {
	in := formattest.File(t, "darknet.weights")
	in.Data = in.Data[:len(in.Data)-8]
	const want = "661 numbers, of which the network has 663"
	if _, err := Reader.Read(in); err == nil || !strings.Contains(err.Error(), want) {
		t.Error(err)
	}
}

// What is written reads back as the same network, and as the same numbers.
func TestWrite(t *testing.T) {
	in := formattest.File(t, "darknet.weights")
	c, err := Reader.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	placed, err := c.Network.Network.Place(c.Network.Network.Input)
	if err != nil {
		t.Fatal(err)
	}
	notes := map[string]string{"vggo.classes": `["a = b","# c"]`, "vggo.preprocess": `{"mean": [0.1, 0.2]}`}
	export, err := NewExport(placed, notes)
	if err != nil {
		t.Fatal(err)
	}
	var list format.List
	for _, tensor := range append(c.Tensors, c.Network.Derived...) {
		if err := list.Add(tensor); err != nil {
			t.Fatal(err)
		}
	}
	var written bytes.Buffer
	err = export.Write(&written, func(p arch.Param) ([]float32, error) {
		tensor, ok := list.Get(c.Network.Naming.Source[p.Name].Name)
		if !ok {
			t.Errorf("no tensor for %s", p.Name)
		}
		return tensor.Floats()
	})
	if err != nil {
		t.Fatal(err)
	}
	var read format.Contents
	again, err := describe([]byte(export.Config()), &read)
	if err != nil || !slices.EqualFunc(again.layers, placed.Layers, func(a, b arch.Placed) bool {
		return reflect.DeepEqual(a.Op, b.Op) && a.Out == b.Out
	}) {
		t.Fatalf("%v\n%s", err, export.Config())
	}
	if !maps.Equal(read.Metadata, notes) {
		t.Errorf("notes %q", read.Metadata)
	}
	notes["vggo.classes"] = strings.Repeat("x", maxConfig)
	if _, err := NewExport(placed, notes); err == nil || !strings.Contains(err.Error(), "its notes are too long") {
		t.Errorf("a text that is not read again: %v", err)
	}
	got, want := format.F32.Floats(written.Bytes()[20:]), format.F32.Floats(bytes.Clone(in.Data[20:]))
	for i := range want { // but for a variance, of which the root was taken
		if len(got) != len(want) || math.Abs(float64(got[i]-want[i])) > 2e-7*math.Abs(float64(want[i])) {
			t.Fatalf("number %d is %v, not %v", i, got[i], want[i])
		}
	}
}

// What Darknet has no words for is refused by the layer's name.
func TestUnsaid(t *testing.T) {
	for _, c := range []struct {
		op   arch.Op
		want string
	}{
		{arch.Conv{Out: 2, Window: arch.Window{Kernel: arch.Size{H: 1, W: 3}}}, "no such convolution"},
		{arch.Conv{Out: 2, Window: arch.Window{Kernel: arch.Square(3), Dilation: arch.Square(2)}}, "no such convolution"},
		{arch.MaxPool{Window: arch.Window{Kernel: arch.Square(2), Stride: arch.Size{H: 1, W: 2}}}, "no such pooling"},
		{arch.AvgPool{Window: arch.Window{Kernel: arch.Square(2)}}, "averages of whole maps"},
		{arch.AdaptiveAvgPool{Out: arch.Square(2)}, "averages of whole maps"},
		{arch.LRN{Size: 4, Alpha: 1, Beta: 1, K: 1}, "no normalisation over an even number"},
		{arch.BatchNorm{}, "no batchnorm by itself"},
		{arch.ReflectPad{Top: 1}, "no reflectpad by itself"},
		{arch.Softmax{}, "no softmax of maps"},
	} {
		net := &arch.Network{Name: "net", Layers: []arch.Layer{{Name: "odd", Op: c.op}}}
		placed, err := net.Place(arch.Shape{C: 3, H: 8, W: 8})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewExport(placed, nil); err == nil || !strings.Contains(err.Error(), "layer odd: Darknet has "+c.want) {
			t.Errorf("%v: %v", c.op, err)
		}
	}
}
