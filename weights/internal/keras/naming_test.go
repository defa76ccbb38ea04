package keras

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/weights/internal/format"
)

// TestBatchNormOfThree refuses to guess which of scale and centre a layer leaves out.
func TestBatchNormOfThree(t *testing.T) {
	data, err := os.ReadFile("../../testdata/keras/keras3-no-scale.keras")
	if err != nil {
		t.Fatal(err)
	}
	members, err := format.Members(data)
	if err != nil {
		t.Fatal(err)
	}
	k := &file{held: map[string]bool{}, metadata: map[string]string{}} // without config.json
	if err := k.read(members[weightsName].Raw, &format.Contents{}); err != nil {
		t.Fatal(err)
	}
	net := &arch.Network{Name: "n", Input: arch.Shape{C: 3, H: 8, W: 8},
		Layers: []arch.Layer{{Name: "bn", Op: arch.BatchNorm{}}}}
	n := k.naming(archtest.Place(t, net).Layers)
	for _, role := range []string{"gamma", "beta"} {
		if _, there := k.list.Get(n.Source["bn/"+role].Name); there {
			t.Errorf("%s is %s", role, n.Source["bn/"+role].Name)
		}
	}
	if _, there := k.list.Get("layers/batch_normalization/vars/0"); !there ||
		n.Bookkeeping("layers/batch_normalization/vars/0") {
		t.Error("an array of the layer is lost without a word")
	}
}

// TestVGG reads a list of VGG-16's layers as Keras publishes it: the network is told by names and shapes, its
// first layer reads BGR, its first linear layer a map in H,W,C order.
func TestVGG(t *testing.T) {
	k := &file{ordered: true, held: map[string]bool{}}
	add := func(of string, shapes ...[]int) {
		l := layer{name: of, array: map[string]string{}}
		for i, role := range []string{"w", "b"} {
			name := of + "/" + of + map[string]string{"w": "_W_1:0", "b": "_b_1:0"}[role]
			if err := k.list.Add(format.Tensor{Name: name, Shape: shapes[i], DType: format.F32}); err != nil {
				t.Fatal(err)
			}
			if got := roleOf(name); got != role {
				t.Errorf("%s is taken for %q", name, got)
			}
			l.array[role] = name
		}
		for _, array := range l.array {
			k.hold(array)
		}
		k.take(l)
	}
	in := 3
	for block, convs := range []int{2, 2, 3, 3, 3} {
		out := min(64<<block, 512)
		for i := range convs {
			add(fmt.Sprintf("block%d_conv%d", block+1, i+1), []int{3, 3, in, out}, []int{out})
			in = out
		}
	}
	const blocks = "64,64,M,128,128,M,256,256,256,M,512,512,512,M,512,512,512,M"
	if why := k.headless(); !strings.HasPrefix(why, "VGG16 without its classifier") || !strings.HasSuffix(why, blocks) ||
		!strings.Contains(why, "without notop") {
		t.Errorf("without its classifier: %q", why)
	}
	add("fc1", []int{25088, 4096}, []int{4096})
	add("fc2", []int{4096, 4096}, []int{4096})
	add("predictions", []int{4096, 1000}, []int{1000})
	if why := k.headless(); why != "" {
		t.Errorf("whole: %q", why)
	}
	net, err := arch.Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	n := k.naming(archtest.Place(t, net).Layers)
	if n.Family != "Keras" || n.Preprocess != "caffe" {
		t.Errorf("family %q, recipe %q", n.Family, n.Preprocess)
	}
	for name, want := range map[string]format.Layout{
		"conv1_1/w": format.HWIO,
		"conv1_2/w": format.HWIO,
		"fc6/w":     {Axes: format.InOut.Axes, Flat: arch.Shape{C: 512, H: 7, W: 7}},
		"fc7/w":     format.InOut,
		"fc8/b":     {},
	} {
		got := n.Source[name]
		if got.Name == "" || !slices.Equal(got.Layout.Axes, want.Axes) || got.Layout.Flat != want.Flat {
			t.Errorf("%s: %+v, want the layout %+v", name, got, want)
		}
	}
	for _, tensor := range k.list.Tensors {
		if n.Bookkeeping(tensor.Name) {
			t.Errorf("%s is taken for bookkeeping", tensor.Name)
		}
	}
}
