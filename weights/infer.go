package weights

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/format"
)

// A VGG of any widths is told by its names and shapes: convolutions whose names number them as layers
// (features.0, features.2, features.5: what is left out is ReLU and pooling) or by blocks (conv1_1, conv1_2, conv2_1:
// each ends with pooling), 3x3 or 1x1, each reading what the one before makes; then fully connected layers, the first
// of which tells the pictures' size. It is inferred only where the network then has all of the file's tensors and no
// others.

// namedConv is a convolution of a file's.
type namedConv struct {
	block, number int  // as its name says; block 0: it numbers layers
	norm          bool // batch norm follows
	kernel, out   int
}

var (
	layerName = regexp.MustCompile(`^(.*?)(\d+)\.weight$`)
	blockName = regexp.MustCompile(`^conv(\d+)_(\d+)(?:\.|_|/)(?:weight|weights|w|W|kernel|0)(?::0)?$`)
	inOrder   = regexp.MustCompile(`^(?:param values\.\d+|layer_\d+/param_0)$`) // Lasagne's, and Keras' before 1.0
	kerasName = regexp.MustCompile(`^block(\d+)_conv(\d+)(?:\.|_|/)(?:weight|weights|w|W|kernel|0)(?::0)?$`)
)

// infer is the VGG that a file's names and shapes tell; nil where they tell none. Of a file without fully connected
// layers the pictures' size is open.
func (f *File) infer(input arch.Shape) (*arch.Placement, error) {
	for _, v := range f.views() {
		spec, headless, prepares := f.vggOf(v)
		if spec == "" {
			continue
		}
		if headless {
			if input == (arch.Shape{}) {
				return nil, &OpenSizeError{f.Path, 3}
			}
			spec = fmt.Sprintf("%dx%dx%d:", input.H, input.W, input.C) + spec
		}
		net, err := arch.Compact("vgg", spec, arch.ImageNetInput)
		if err != nil {
			continue
		}
		if prepares {
			prepare := arch.Conv{Out: net.Input.C, Window: arch.Window{Kernel: arch.Square(1)}}
			net.Layers = slices.Insert(net.Layers, 0, arch.Layer{Name: "conv0", Op: prepare})
		}
		net.Title = "inferred from the names and shapes of a file's tensors"
		placed, err := net.Place(net.Input)
		if err != nil {
			continue
		}
		if m := newSearch(f, placed.Layers, Layers{}).matched; m != nil && (!m.Guess || f.contents.Naming != nil) {
			return placed, nil
		}
	}
	return nil, nil
}

// tables are the blocks of the paper's networks A, B, D and E, by the number of their convolutions.
var tables = map[int][]int{8: {1, 1, 2, 2, 2}, 10: {2, 2, 2, 2, 2}, 13: {2, 2, 3, 3, 3}, 16: {2, 2, 4, 4, 4}}

// inTable numbers convolutions by the blocks of the paper's network that has as many: of a file that keeps the order of
// its layers and no names for them. nil where a block had two widths, or there is no such network.
func inTable(convs []namedConv) []namedConv {
	list := convs
	for block, n := range tables[len(convs)] {
		for i := range n {
			if list[i].kernel != 3 || list[i].out != list[0].out {
				return nil
			}
			list[i].block, list[i].number = block+1, i+1
		}
		list = list[n:]
	}
	if len(list) > 0 {
		return nil
	}
	return convs
}

// vggOf writes what one view of the names tells as a compact string, without its input where there are no fully
// connected layers; empty where it tells none. prepares: a 1x1 convolution of the pictures stands before it.
func (f *File) vggOf(v view) (spec string, headless, prepares bool) {
	names := make([]string, 0, len(v))
	for name := range v {
		names = append(names, name)
	}
	slices.SortFunc(names, format.Natural)
	ways := []*regexp.Regexp{layerName, blockName, kerasName}
	if f.contents.Naming != nil {
		ways = append(ways, inOrder)
	}
	for _, parts := range ways {
		convs, prefix := f.namedConvs(v, names, parts)
		if parts == inOrder {
			convs = inTable(convs)
		}
		if convs == nil {
			continue
		}
		if body := normalisedSpec(convs); body != "" {
			return body, true, true
		}
		if body, pools := bodySpec(convs); body != "" {
			spec, headless = f.withLinears(v, names, prefix, body, convs[len(convs)-1].out, pools)
			return spec, headless, false
		}
	}
	return "", false, false
}

// namedConvs lists the convolutions that names of one kind tell, in their order; nil where they are no VGG's.
func (f *File) namedConvs(v view, names []string, parts *regexp.Regexp) (convs []namedConv, prefix string) {
	ins := 3
	for _, name := range names {
		t, _ := f.Info(v[name])
		m := parts.FindStringSubmatch(name)
		if m == nil || len(t.Shape) != 4 || len(convs) > 0 && parts == layerName && m[1] != prefix {
			continue
		}
		shape := t.Shape
		last := f.contents.HWIO || shape[1] != ins || shape[2] != shape[3]
		if last && shape[0] == shape[1] && shape[2] == ins { // TensorFlow's order
			shape = []int{shape[3], shape[2], shape[0], shape[1]}
		}
		if shape[1] != ins || shape[2] != shape[3] || shape[2] != 3 && shape[2] != 1 {
			return nil, ""
		}
		c := namedConv{kernel: shape[2], out: shape[0]}
		if parts == layerName {
			prefix = m[1]
			c.number, _ = strconv.Atoi(m[2])
			_, c.norm = v[fmt.Sprintf("%s%d.running_mean", prefix, c.number+1)]
		} else if parts != inOrder {
			c.block, _ = strconv.Atoi(m[1])
			c.number, _ = strconv.Atoi(m[2])
			_, c.norm = v[fmt.Sprintf("bn%d_%d.running_mean", c.block, c.number)]
		}
		convs, ins = append(convs, c), c.out
	}
	return convs, prefix
}

// bodySpec writes convolutions and the pooling between them; empty where their numbers leave other gaps than a VGG's.
func bodySpec(convs []namedConv) (spec string, pools int) {
	var items []string
	for i, c := range convs {
		if i > 0 {
			before := convs[i-1]
			layers := 2 // the convolution and its ReLU
			if before.norm {
				layers = 3
			}
			switch {
			case c.block > 0 && c.block == before.block && c.number == before.number+1:
			case c.block == 0 && c.number == before.number+layers:
			case c.block > 0 && c.block == before.block+1 && c.number == 1, c.block == 0 && c.number == before.number+layers+1:
				items = append(items, "M")
				pools++
			default:
				return "", 0
			}
		} else if c.block > 0 && (c.block != 1 || c.number != 1) || c.block == 0 && c.number != 0 {
			return "", 0
		}
		item := strconv.Itoa(c.out)
		if c.kernel != 3 {
			item += fmt.Sprintf("k%d", c.kernel)
		}
		if c.norm {
			item += "b"
		}
		items = append(items, item)
	}
	if len(items) == 0 || pools == 0 {
		return "", 0
	}
	if isReduced(convs) {
		items[len(items)-3], items[len(items)-2] = "Mk3s1p1", items[len(items)-2]+"d6"
		if third := nthIndex(items, "M", 3); third >= 0 { // 75 columns of SSD's 300 become 38
			items[third] = "Mc"
		}
		return strings.Join(items, ","), pools
	}
	return strings.Join(append(items, "M"), ","), pools + 1
}

// normalisedSpec writes what stands behind the first convolution of vgg_normalised.pth, AdaIN's and WCT's encoder of
// any depth (naoto0804/pytorch-AdaIN, net.py), whose layers are numbered: a 1x1 convolution that prepares the pictures,
// then reflection, a 3x3 convolution and ReLU in turn, and pooling that rounds up in between. Empty for any other.
func normalisedSpec(convs []namedConv) string {
	if len(convs) < 3 || convs[0] != (namedConv{kernel: 1, out: 3}) || convs[1].number != 2 {
		return ""
	}
	var items []string
	for i, c := range convs[1:] {
		switch gap := c.number - convs[i].number; {
		case c.block > 0 || c.norm || c.kernel != 3 || i > 0 && gap != 3 && gap != 4:
			return ""
		case i > 0 && gap == 4:
			items = append(items, "Mc")
		}
		items = append(items, "R", fmt.Sprintf("%dp0", c.out))
	}
	return strings.Join(items, ",")
}

// isReduced knows VGG-16 as DeepLab and SSD have it (weiliu89/caffe, ssd.pytorch's vgg16_reducedfc.pth): fc6 and fc7
// are convolutions, 3x3 of dilation 6 and 1x1, behind a fifth pooling of 3x3 that keeps the map's size.
func isReduced(convs []namedConv) bool {
	n := len(convs)
	return n == 15 && convs[n-2].number == 31 && convs[n-2].kernel == 3 && convs[n-1].number == 33 &&
		convs[n-1].kernel == 1 && convs[n-1].out == convs[n-2].out
}

// nthIndex is where an item stands for the nth time; -1 where it does not.
func nthIndex(items []string, item string, n int) int {
	for i, s := range items {
		if s == item {
			if n--; n == 0 {
				return i
			}
		}
	}
	return -1
}

// withLinears adds the fully connected layers, in the order in which one reads what the other makes.
func (f *File) withLinears(v view, names []string, prefix, body string, channels, pools int) (spec string,
	headless bool) {
	type pair struct{ a, b int }
	var linears []pair
	for _, name := range names {
		t, _ := f.Info(v[name])
		if prefix != "" && strings.HasPrefix(name, prefix) || !isWeight(t) {
			continue
		}
		switch {
		case len(t.Shape) == 2:
			linears = append(linears, pair{t.Shape[0], t.Shape[1]})
		case strings.HasPrefix(name, "fc") && f.contents.HWIO: // as TF-slim's
			linears = append(linears, pair{format.Product(t.Shape[:len(t.Shape)-1]), t.Shape[len(t.Shape)-1]})
		case strings.HasPrefix(name, "fc"): // as convolutions over the whole map, O,I,H,W
			linears = append(linears, pair{t.Shape[0], format.Product(t.Shape[1:])})
		}
	}
	if len(linears) == 0 {
		return body, true
	}
	var widths []string
	for _, outFirst := range []bool{true, false} {
		widths = nil
		reads, side := 0, 0
		for i, l := range linears {
			out, in := l.a, l.b
			if !outFirst {
				out, in = in, out
			}
			if i == 0 {
				side = int(math.Sqrt(float64(in / channels)))
				reads = channels * side * side
			}
			if in != reads || side < 2 { // of one pixel, a network of larger pictures may average its last map
				widths = nil
				break
			}
			widths, reads = append(widths, strconv.Itoa(out)), out
		}
		if widths != nil {
			side <<= pools
			return fmt.Sprintf("%dx%dx3:%s/%s", side, side, body, strings.Join(widths, ",")), false
		}
	}
	return "", false
}
