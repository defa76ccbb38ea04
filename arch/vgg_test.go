package arch

import (
	"math"
	"slices"
	"testing"
)

// TestPublishedTotals holds the built-ins to figures published elsewhere: torchvision's parameter counts for the VGGs
// and its AlexNet, Krizhevsky's 60,965,224, kuangliu/pytorch-cifar's 14,728,266 for VGG16 with batch norm.
func TestPublishedTotals(t *testing.T) {
	for _, want := range []struct {
		name             string
		parameters, macs int64 // 0: not published, not held
		depth            int
	}{
		{"vgg11", 132_863_336, 7_609_090_048, 11},
		{"vgg11-lrn", 132_863_336, 7_609_090_048, 11},
		{"vgg13", 133_047_848, 11_308_466_176, 13},
		{"vgg16c", 133_638_952, 0, 16},
		{"vgg16", 138_357_544, 15_470_264_320, 16},
		{"vgg16-article", 138_357_544, 15_470_264_320, 16},
		{"vgg19", 143_667_240, 19_632_062_464, 19},
		{"vgg11-bn", 132_868_840, 7_609_090_048, 11},
		{"vgg13-bn", 133_053_736, 11_308_466_176, 13},
		{"vgg16-bn", 138_365_992, 15_470_264_320, 16},
		{"vgg19-bn", 143_678_248, 19_632_062_464, 19},
		{"vgg16-cifar-bn", 14_728_266, 313_201_664, 14},
		{"alexnet", 60_965_224, 724_406_816, 8},
		{"alexnet-torchvision", 61_100_840, 714_188_480, 8},
		{"zfnet", 62_357_608, 0, 8},
		{"tinyvgg", 7_740, 0, 5},
		{"tinyvgg-food", 8_083, 0, 5},
	} {
		r := mustAnalyze(t, want.name)
		if r.Total.Parameters != want.parameters {
			t.Errorf("%s has %d parameters, want %d", want.name, r.Total.Parameters, want.parameters)
		}
		if want.macs != 0 && r.Total.MACs != want.macs {
			t.Errorf("%s takes %d MACs, want %d", want.name, r.Total.MACs, want.macs)
		}
		if r.Total.FLOPs != 2*r.Total.MACs {
			t.Errorf("%s: %d FLOPs are not twice its MACs", want.name, r.Total.FLOPs)
		}
		if r.Total.WeightedLayers != want.depth {
			t.Errorf("%s is %d layers deep, want %d", want.name, r.Total.WeightedLayers, want.depth)
		}
	}
	vgg16 := mustAnalyze(t, "vgg16").Total
	if vgg16.Weights != 138_344_128 || vgg16.Biases != 13_416 {
		t.Errorf("vgg16: %d weights + %d biases, want 138344128 + 13416", vgg16.Weights, vgg16.Biases)
	}
	// 2 values a channel, in 4,224 channels.
	if got := mustAnalyze(t, "vgg16-bn").Total.Statistics; got != 2*4224 {
		t.Errorf("vgg16-bn keeps %d statistics, want 8448", got)
	}
}

// TestTable2 holds the VGG paper's table 2, parameters in millions.
func TestTable2(t *testing.T) {
	for name, millions := range map[string]float64{"vgg11": 133, "vgg11-lrn": 133, "vgg13": 133, "vgg16c": 134,
		"vgg16": 138, "vgg19": 144} {
		if got := math.Round(float64(mustAnalyze(t, name).Total.Parameters) / 1e6); got != millions {
			t.Errorf("%s has %v million parameters, want %v", name, got, millions)
		}
	}
}

// TestLayerNames holds the names that weights files and the article's list p rely on.
func TestLayerNames(t *testing.T) {
	for _, want := range []struct {
		network string
		names   []string
	}{
		{"vgg11-lrn", []string{"conv1_1", "relu1_1", "lrn1_1", "pool1", "conv2_1", "relu2_1", "pool2", "conv3_1", "relu3_1",
			"conv3_2", "relu3_2", "pool3",
			"conv4_1", "relu4_1", "conv4_2", "relu4_2", "pool4", "conv5_1", "relu5_1", "conv5_2", "relu5_2", "pool5",
			"flatten", "fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8", "softmax"}},
		{"tinyvgg", []string{"conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1", "conv2_1", "relu2_1", "conv2_2", "relu2_2",
			"pool2", "flatten", "fc3", "softmax"}},
		{"alexnet", []string{"conv1", "relu1", "lrn1", "pool1", "conv2", "relu2", "lrn2", "pool2", "conv3", "relu3", "conv4",
			"relu4", "conv5", "relu5", "pool5",
			"flatten", "fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8", "softmax"}},
	} {
		var names []string
		for _, l := range mustAnalyze(t, want.network).Layers {
			names = append(names, l.Name)
		}
		if !slices.Equal(names, want.names) {
			t.Errorf("%s: layers %v, want %v", want.network, names, want.names)
		}
	}
	var params []string
	for _, p := range mustAnalyze(t, "vgg16-cifar-bn").placed.Layers[:2] {
		for _, q := range p.Params {
			params = append(params, q.Name)
		}
	}
	if want := []string{"conv1_1/w", "conv1_1/b", "bn1_1/gamma", "bn1_1/beta", "bn1_1/mean",
		"bn1_1/var"}; !slices.Equal(params, want) {
		t.Errorf("parameters %v, want %v", params, want)
	}
}

// TestMapSizes holds the maps of the networks before VGG to their papers' figures.
func TestMapSizes(t *testing.T) {
	for _, want := range []struct {
		network string
		maps    []string // of the convolutions and poolings
	}{
		{"alexnet", []string{"55x55x96", "27x27x96", "27x27x256", "13x13x256", "13x13x384", "13x13x384", "13x13x256",
			"6x6x256"}},
		{"alexnet-torchvision", []string{"55x55x64", "27x27x64", "27x27x192", "13x13x192", "13x13x384", "13x13x256",
			"13x13x256", "6x6x256", "6x6x256"}},
		{"zfnet", []string{"110x110x96", "55x55x96", "26x26x256", "13x13x256", "13x13x384", "13x13x384", "13x13x256",
			"6x6x256"}},
		{"tinyvgg-food", []string{"62x62x10", "60x60x10", "30x30x10", "28x28x10", "26x26x10", "13x13x10"}},
	} {
		var maps []string
		for _, l := range mustAnalyze(t, want.network).Layers {
			switch l.Kind {
			case "conv", "maxpool", "adaptiveavgpool":
				maps = append(maps, l.Out.String())
			}
		}
		if !slices.Equal(maps, want.maps) {
			t.Errorf("%s: maps %v, want %v", want.network, maps, want.maps)
		}
	}
}

// TestBuiltinIsACopy: changing what Builtin returns must not change what it returns next.
func TestBuiltinIsACopy(t *testing.T) {
	n, err := Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	n.Layers[0].Name, n.Input.C = "changed", 1
	n.Layers = append(n.Layers[:1], n.Layers[2:]...)
	if got := mustAnalyze(t, "vgg16").Total.Parameters; got != 138_357_544 {
		t.Errorf("after changing a copy, vgg16 has %d parameters", got)
	}
}
