package weights

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
)

// listed is a file of tensors "name 8x3x3x3", without values.
func listed(t *testing.T, tensors ...string) *File {
	t.Helper()
	f := &File{Path: "x.pth", Format: "PyTorch"}
	for _, text := range tensors {
		name, sides, _ := strings.Cut(text, " ")
		var shape []int
		for _, s := range strings.Split(sides, "x") {
			var n int
			if _, err := fmt.Sscan(s, &n); err != nil {
				t.Fatal(text, err)
			}
			shape = append(shape, n)
		}
		for _, of := range []format.Tensor{{Name: name, Shape: shape, DType: F32}, {
			Name: strings.NewReplacer("weight", "bias", "_W", "_b").Replace(name), Shape: shape[:1], DType: F32}} {
			if strings.HasSuffix(name, "_W") && of.Name != name {
				of.Shape = shape[len(shape)-1:]
			}
			if err := f.list.Add(of); err != nil {
				t.Fatal(err)
			}
		}
	}
	return f
}

// TestInfer: names and shapes tell a VGG, and nothing else does.
func TestInfer(t *testing.T) {
	for _, c := range []struct {
		what, want string // the compact string; empty: no network is told
		tensors    []string
	}{
		{"gaps", "64x64x3:4,4,M,6,M/7,5", []string{"features.0.weight 4x3x3x3", "features.2.weight 4x4x3x3",
			"features.5.weight 6x4x3x3", "classifier.0.weight 7x1536", "classifier.3.weight 5x7"}},
		{"no layers before the first", "", []string{"features.1.weight 4x3x3x3", "features.4.weight 6x4x3x3",
			"classifier.0.weight 5x1536"}},
		{"a gap too wide", "", []string{"features.0.weight 4x3x3x3", "features.6.weight 6x4x3x3",
			"classifier.0.weight 5x1536"}},
		{"blocks", "32x32x3:4,M,6,6,M/5", []string{"conv1_1.weight 4x3x3x3", "conv2_1.weight 6x4x3x3",
			"conv2_2.weight 6x6x3x3", "fc6.weight 5x384"}},
		{"TensorFlow's order", "32x32x3:4,M,6,6k1,M/5", []string{"conv1_1_W 3x3x3x4", "conv2_1_W 3x3x4x6",
			"conv2_2_W 1x1x6x6",
			"fc3_W 384x5"}},
		{"a block left out", "", []string{"conv1_1.weight 4x3x3x3", "conv3_1.weight 6x4x3x3", "fc6.weight 5x384"}},
		{"another kernel", "", []string{"conv1_1.weight 4x3x5x5", "conv2_1.weight 6x4x3x3", "fc6.weight 5x384"}},
		{"no chain", "", []string{"conv1_1.weight 4x3x3x3", "conv2_1.weight 6x5x3x3", "fc6.weight 5x384"}},
		{"no square map", "", []string{"conv1_1.weight 4x3x3x3", "conv2_1.weight 6x4x3x3", "fc6.weight 5x385"}},
		{"one pixel, which may be an average", "", []string{"conv1_1.weight 4x3x3x3", "conv2_1.weight 6x4x3x3",
			"fc6.weight 5x6"}},
		{"something beside", "", []string{"conv1_1.weight 4x3x3x3", "conv2_1.weight 6x4x3x3", "fc6.weight 5x384",
			"gate.weight 9x9x9"}},
	} {
		net, err := listed(t, c.tensors...).Network()
		if c.want == "" {
			if !errors.As(err, new(*UndescribedError)) {
				t.Errorf("%s: %v, %v", c.what, net, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		want, err := arch.Compact("vgg", c.want, arch.ImageNetInput)
		if err != nil {
			t.Fatal(err)
		}
		if want.Title = net.Network.Title; !reflect.DeepEqual(net.Network, want) {
			t.Errorf("%s:\n%s, want\n%s", c.what, describe(t, net.Network), describe(t, want))
		}
	}
}

// TestReducedVGG: DeepLab's and SSD's VGG-16, whose fc6 is dilated, for pictures of any size.
func TestReducedVGG(t *testing.T) {
	var tensors []string
	widths := []int{4, 4, 6, 6, 8, 8, 8, 10, 10, 10, 10, 10, 10, 20, 20}
	ins := 3
	for i, at := range []int{0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28, 31, 33} {
		kernel := "3x3"
		if at == 33 {
			kernel = "1x1"
		}
		tensors = append(tensors, fmt.Sprintf("%d.weight %dx%dx%s", at, widths[i], ins, kernel))
		ins = widths[i]
	}
	placed, err := listed(t, tensors...).Resolve(Asked{Input: arch.Shape{C: 3, H: 300, W: 300}})
	if err != nil {
		t.Fatal(err)
	}
	last, ops := placed.Output(), []string{}
	for _, l := range placed.Layers[len(placed.Layers)-5:] {
		ops = append(ops, arch.Describe(l.Op))
	}
	if got := strings.Join(ops, ", "); last != (arch.Shape{C: 20, H: 19, W: 19}) ||
		got != "maxpool 3x3 pad 1, conv 3x3 pad 6 dilation 6, relu, conv 1x1, relu" {
		t.Errorf("%s to %v", got, last)
	}
}
