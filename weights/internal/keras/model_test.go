package keras

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/vggo/vggo/arch"
)

// kerasText writes a Sequential of Keras 2 of layers given as class, name and further settings.
func kerasText(layers ...[3]string) string {
	var list []string
	for _, l := range layers {
		list = append(list, fmt.Sprintf(`{"class_name": %q, "config": {"name": %q%s}}`, l[0], l[1], l[2]))
	}
	return `{"class_name": "Sequential", "config": {"layers": [` + strings.Join(list, ",") + `]}}`
}

var kerasInput = [3]string{"InputLayer", "in", `, "batch_shape": [null, 8, 8, 3]`}

// TestLayers reads one layer each and what the description tells of its arrays.
func TestLayers(t *testing.T) {
	conv := func(more string) [3]string {
		return [3]string{"Conv2D", "c", `, "filters": 4, "kernel_size": [3, 3]` + more}
	}
	flatten, dense := [3]string{"Flatten", "f", ""}, [3]string{"Dense", "d", `, "units": 2`}
	window := arch.Window{Kernel: arch.Square(3), Pad: arch.Padding{Mode: arch.Valid}}
	for _, c := range []struct {
		name     string
		layers   [][3]string
		network  []arch.Layer
		weighted []place
	}{
		{"a convolution",
			[][3]string{conv(`, "padding": "same", "strides": 2, "groups": 1, "dilation_rate": [1, 1], "use_bias": false, ` +
				`"activation": "relu"`)},
			[]arch.Layer{{Name: "c", Op: arch.Conv{Out: 4, Groups: 1, NoBias: true, Window: arch.Window{Kernel: arch.Square(3),
				Stride:   arch.Square(2),
				Dilation: arch.Square(1), Pad: arch.Padding{Mode: arch.Same}}}}, {Name: "c_relu", Op: arch.ReLU{}}},
			[]place{{Name: "c", Path: "layers/conv2d", Roles: []string{"w"}}}},
		{"padding before it, a dropout between them", [][3]string{{"ZeroPadding2D", "z", `, "padding": [[1, 2], [3, 4]]`},
			{"SpatialDropout2D", "s", ""}, conv("")},
			[]arch.Layer{{Name: "c", Op: arch.Conv{Out: 4, Groups: 1, Window: arch.Window{Kernel: arch.Square(3),
				Pad: arch.Padding{Top: 1, Bottom: 2, Left: 3,
					Right: 4}}}}},
			[]place{{Name: "c", Path: "layers/conv2d", Roles: []string{"w", "b"}}}},
		{"pooling's defaults", [][3]string{{"MaxPooling2D", "m", ""}, {"AveragePooling2D", "a",
			`, "pool_size": 3, "strides": 1, "padding": "same"`}},
			[]arch.Layer{{Name: "m", Op: arch.MaxPool{Window: arch.Window{Kernel: arch.Square(2), Stride: arch.Square(2),
				Pad: arch.Padding{Mode: arch.Valid}}}},
				{Name: "a", Op: arch.AvgPool{Window: arch.Window{Kernel: arch.Square(3), Stride: arch.Square(1),
					Pad: arch.Padding{Mode: arch.Same}}}}}, nil},
		{"batch norm without scale",
			[][3]string{{"BatchNormalization", "b", `, "axis": [3], "scale": false, "epsilon": 0.01, "momentum": 0.75`}},
			[]arch.Layer{{Name: "b", Op: arch.BatchNorm{Eps: 0.01, Momentum: 0.25}}},
			[]place{{Name: "b", Path: "layers/batch_normalization", Roles: []string{"beta", "mean", "var"}}}},
		{"counts of a class, and the order of a flattened map",
			[][3]string{conv(""), {"Conv2D", "e", `, "filters": 4, "kernel_size": 3`}, flatten, dense,
				{"Dense", "g", `, "units": 2, "activation": "softmax"`}},
			[]arch.Layer{{Name: "c", Op: arch.Conv{Out: 4, Groups: 1, Window: window}},
				{Name: "e", Op: arch.Conv{Out: 4, Groups: 1, Window: window}},
				{Name: "f", Op: arch.Flatten{}}, {Name: "d", Op: arch.Linear{Out: 2}}, {Name: "g", Op: arch.Linear{Out: 2}},
				{Name: "g_softmax", Op: arch.Softmax{}}},
			[]place{{Name: "c", Path: "layers/conv2d", Roles: []string{"w", "b"}}, {Name: "e", Path: "layers/conv2d_1",
				Roles: []string{"w", "b"}},
				{Name: "d", Path: "layers/dense", Roles: []string{"w", "b"}, HWC: true}, {Name: "g", Path: "layers/dense_1",
					Roles: []string{"w", "b"}}}},
		{"flattened twice", [][3]string{conv(""), flatten, {"Flatten", "again", ""}, dense},
			[]arch.Layer{{Name: "c", Op: arch.Conv{Out: 4, Groups: 1, Window: window}}, {Name: "f", Op: arch.Flatten{}},
				{Name: "again", Op: arch.Flatten{}}, {Name: "d", Op: arch.Linear{Out: 2}}},
			[]place{{Name: "c", Path: "layers/conv2d", Roles: []string{"w", "b"}},
				{Name: "d", Path: "layers/dense", Roles: []string{"w", "b"}, HWC: true}}},
		{"no order behind global pooling", [][3]string{{"GlobalAveragePooling2D", "p", ""}, flatten, dense},
			[]arch.Layer{{Name: "p", Op: arch.GlobalAvgPool{}}, {Name: "f", Op: arch.Flatten{}},
				{Name: "d", Op: arch.Linear{Out: 2}}},
			[]place{{Name: "d", Path: "layers/dense", Roles: []string{"w", "b"}}}},
		{"an activation as Keras 3 writes objects",
			[][3]string{{"Activation", "a",
				`, "activation": {"module": "builtins", "class_name": "function", "config": "relu"}`}},
			[]arch.Layer{{Name: "a", Op: arch.ReLU{}}}, nil},
	} {
		model, err := decode([]byte(kerasText(append([][3]string{kerasInput}, c.layers...)...)))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if model.Network.Input != (arch.Shape{C: 3, H: 8, W: 8}) {
			t.Errorf("%s: input %v", c.name, model.Network.Input)
		}
		if !reflect.DeepEqual(model.Network.Layers, c.network) {
			t.Errorf("%s: %+v, want %+v", c.name, model.Network.Layers, c.network)
		}
		if !reflect.DeepEqual(model.Layers, c.weighted) {
			t.Errorf("%s: %+v, want %+v", c.name, model.Layers, c.weighted)
		}
	}
}

// TestOrder holds how kernels and flattened maps lie by version and order of axes.
func TestOrder(t *testing.T) {
	first := `, "data_format": "channels_first"`
	conv2 := func(more string) [3]string {
		return [3]string{"Conv2D", "c", `, "filters": 4, "kernel_size": 3, "batch_input_shape": [null, 5, 5, 5]` + more}
	}
	conv1 := func(order string) [3]string {
		return [3]string{"Convolution2D", "c",
			`, "nb_filter": 4, "nb_row": 3, "nb_col": 2, "batch_input_shape": [null, 5, 5, 5], "dim_ordering": "` + order + `"`}
	}
	for _, c := range []struct {
		conv      [3]string
		flatten   string
		oihw, hwc bool
	}{
		{conv2(""), "", false, true},
		{conv2(first), first, false, true}, // Flatten moves the channels to the end
		{conv2(first), `, "data_format": "channels_last"`, false, false},
		{conv2(first), "", false, false}, // before Keras 2.1.3
		{conv1("th"), "", true, false},
		{conv1("tf"), "", false, true},
	} {
		model, err := decode([]byte(kerasText(c.conv, [3]string{"Flatten", "f", c.flatten},
			[3]string{"Dense", "d", `, "output_dim": 2`})))
		if err != nil {
			t.Errorf("%v: %v", c.conv, err)
			continue
		}
		if got := model.Layers; got[0].OIHW != c.oihw || got[1].HWC != c.hwc {
			t.Errorf("%v, %q: %+v", c.conv, c.flatten, got)
		}
	}
}

// TestFaults names all that cannot be run at once.
func TestFaults(t *testing.T) {
	faults := func(layers ...[3]string) string { return kerasText(append([][3]string{kerasInput}, layers...)...) }
	for _, c := range []struct{ config, want string }{
		{`{`, "the model's description is not JSON: unexpected EOF"},
		{`{"class_name": "Subclass"}`, `a model of class "Subclass": Sequential and Functional are read`},
		{kerasText([3]string{"Flatten", "f", ""}), "the model's description does not tell the size of its input"},
		{faults([3]string{"LSTM", "a", ""}, [3]string{"Dense", "b", `, "units": 2, "activation": "gelu"`}),
			`this model cannot be run: a (LSTM) is not a layer that vggo runs; b (Dense) ends with activation "gelu": relu, ` +
				`softmax, sigmoid and linear are known`},
		{faults([3]string{"ZeroPadding2D", "z", `, "padding": 1`}, [3]string{"MaxPooling2D", "m", ""}),
			"this model cannot be run: m (MaxPooling2D) after a ZeroPadding2D: only a convolution can take its padding over"},
		{faults([3]string{"ZeroPadding2D", "z", `, "padding": 1`}), "this model cannot be run: a ZeroPadding2D at the end " +
			"pads nothing"},
		{faults([3]string{"Conv2D", "c", `, "filters": 4, "kernel_size": 3, "padding": "causal"`}),
			`this model cannot be run: c (Conv2D) pads by "causal": same and valid are known`},
		{faults([3]string{"Conv2D", "c", `, "filters": 4, "kernel_size": "3"`}),
			"this model cannot be run: c (Conv2D) has no kernel or groups of a known size"},
		{faults([3]string{"Conv2D", "c", `, "filters": 4, "kernel_size": 9`}), "the model: layer c: input 8x8x3: "},
		{faults([3]string{"Activation", "a", `, "activation": {"class_name": "Custom", "config": {}}`}),
			`this model cannot be run: a (Activation) is activation "(no text)": plain relu, softmax over channels, sigmoid ` +
				`and linear are known`},
		{faults([3]string{"ReLU", "r", `, "max_value": 6`}),
			`this model cannot be run: r (ReLU) is activation "relu": plain relu, softmax over channels, sigmoid and linear ` +
				`are known`},
		{faults([3]string{"Softmax", "s", `, "axis": [1, 2, 3]`}),
			`this model cannot be run: s (Softmax) is activation "softmax"`},
		{faults([3]string{"ReLU", "r", `, "negative_slope": [0.1]`}),
			`this model cannot be run: r (ReLU) is activation "relu"`},
		{faults([3]string{"MaxPooling2D", "m", `, "strides": "2"`}),
			`this model cannot be run: m (MaxPooling2D) has strides that are no numbers above 0`},
		{faults([3]string{"Conv2D", "c", `, "filters": 4, "kernel_size": 3, "dilation_rate": [2]`}),
			`this model cannot be run: c (Conv2D) has dilation_rate that are no numbers above 0`},
		{faults([3]string{"ReLU", "r", ""}, [3]string{"Rescaling", "s", `, "scale": 0.5`}),
			`this model cannot be run: s (Rescaling) is read as the first layer alone, by numbers`},
		{faults([3]string{"Normalization", "n", `, "invert": true`}),
			`this model cannot be run: n (Normalization) is read as one of the first layers, over channels and not inverted`},
		{faults([3]string{"BatchNormalization", "n", `, "axis": 1`}), "this model cannot be run: n (BatchNormalization) " +
			"normalises by something else than channels"},
		{faults([3]string{"Dense", "d", `, "units": 1`}), "this model cannot be run: d (Dense) reads a map: it needs a " +
			"Flatten or a GlobalAveragePooling2D before it"},
		{faults([3]string{"MaxPooling2D", "m", `, "data_format": "channels_last"`}, [3]string{"MaxPooling2D", "n",
			`, "data_format": "channels_first"`}),
			"this model cannot be run: n (MaxPooling2D) has its axes in another order than the layers before it"},
		{`{"class_name": "Functional", "config": {"layers": [{"class_name": "InputLayer",
			"config": {"name": "in", "batch_shape": [null, 8, 8, 3]}},
			{"class_name": "ReLU", "config": {"name": "a"}},
			{"class_name": "ReLU", "config": {"name": "b"}, "inbound_nodes": [[["in", 0, 0, {}]]]}]}}`,
			"this model cannot be run: b (ReLU) does not follow the layer before it, and it alone: only plain chains run"},
		{`{"class_name": "Functional", "config": {"layers": [{"class_name": "InputLayer",
			"config": {"name": "in", "batch_shape": [null, 8, 8, 3]}},
			{"class_name": "Conv2D", "config": {"name": "twice", "filters": 3, "kernel_size": 3},
			"inbound_nodes": [[["in", 0, 0, {}]], [["twice", 0, 0, {}]]]}], "output_layers": [["twice", 1, 0]]}}`,
			"this model cannot be run: twice (Conv2D) does not follow the layer before it, and it alone: only plain chains run"},
		{`{"class_name": "Functional", "config": {"layers": [{"class_name": "InputLayer",
			"config": {"name": "in", "batch_shape": [null, 8, 8, 3]}},
			{"class_name": "ReLU", "config": {"name": "a"}}], "output_layers": [["a", 0, 0], ["in", 0, 0]]}}`,
			"this model cannot be run: outputs a, in: one at the chain's end is read"},
		{strings.Repeat(`{"class_name": "Sequential", "config": {"layers": [`, 20) + strings.Repeat(`]}}`, 20),
			"models lie more than 8 deep in each other"},
		{`{"class_name": "Sequential", "config": {"layers": [` + strings.Repeat(`{"config": {}},`, 2000) + `{}]}}`,
			"2001 layers are more than 1024"},
		{strings.Repeat(" ", maxConfig+1), "a network's description is at most 1048576 bytes"},
	} {
		_, err := decode([]byte(c.config))
		if err == nil { // as a description for itself it needs a size
			_, err = Description.Read([]byte(c.config))
		}
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%.300s:\n%v, want\n%s", c.config, err, c.want)
		}
	}
}

// TestPreparation: what a model does to its pictures before anything else is its first layer, for samples from 0
// to 1.
func TestPreparation(t *testing.T) {
	conv := [3]string{"Conv2D", "c", `, "filters": 2, "kernel_size": 3`}
	normal := func(mean, variance string) [3]string {
		return [3]string{"Normalization", "n", `, "axis": -1, "mean": ` + mean + `, "variance": ` + variance}
	}
	for _, c := range []struct {
		name     string
		layers   [][3]string
		rescaled bool
		fixed    map[string][]float32 // nil: there is no such layer
	}{
		{"to 0 to 1", [][3]string{{"Rescaling", "s", `, "scale": 0.00392156862745098, "offset": 0.0`}}, true, nil},
		{"to -1 to 1", [][3]string{{"Rescaling", "s", `, "scale": 0.00784313725490196, "offset": -1`}}, true,
			map[string][]float32{"gamma": {2}, "beta": {-1}, "mean": {0}, "var": {1}}},
		{"of 0 to 1", [][3]string{{"Rescaling", "s", `, "scale": 2, "offset": -1`}}, false,
			map[string][]float32{"gamma": {2}, "beta": {-1}, "mean": {0}, "var": {1}}},
		{"by channel", [][3]string{{"Rescaling", "s", `, "scale": [0.01, 0.02, 0.03], "offset": [-1, -2, -3]`}}, true,
			map[string][]float32{"gamma": {2.55, 5.1, 7.65}, "beta": {-1, -2, -3}, "mean": {0}, "var": {1}}},
		{"mean and variance", [][3]string{normal(`[0.5, 0.25, 0.125]`, `[1, 4, 9]`)}, false,
			map[string][]float32{"gamma": {1}, "beta": {0}, "mean": {0.5, 0.25, 0.125}, "var": {1, 4, 9}}},
		{"mean and variance of bytes", [][3]string{normal(`[[[[127.5, 51, 25.5]]]]`, `65025`)}, true,
			map[string][]float32{"gamma": {1}, "beta": {0}, "mean": {0.5, 0.2, 0.1}, "var": {1}}},
	} {
		model, err := decode([]byte(kerasText(append(append([][3]string{kerasInput}, c.layers...), conv)...)))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		first := model.Network.Layers[0].Op.Kind()
		if model.Rescaled != c.rescaled || (first == "batchnorm") != (c.fixed != nil) || c.fixed != nil &&
			!reflect.DeepEqual(model.Layers[0].Fixed, c.fixed) {
			t.Errorf("%s: rescaled %t, begins with %s, %+v", c.name, model.Rescaled, first, model.Layers[0])
		}
	}
}

// FuzzModel: whatever the bytes, a description is an error or a possible network.
func FuzzModel(f *testing.F) {
	f.Add([]byte(kerasText(kerasInput, [3]string{"ZeroPadding2D", "z", `, "padding": 1`}, [3]string{"Conv2D", "c",
		`, "filters": 4, "kernel_size": 3, "activation": "relu"`},
		[3]string{"BatchNormalization", "b", ""}, [3]string{"MaxPooling2D", "m", ""}, [3]string{"Flatten", "f", ""},
		[3]string{"Dropout", "o", `, "rate": 0.5`}, [3]string{"Dense", "d", `, "units": 2`})))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !Description.Knows(data) {
			return
		}
		if placed, err := Description.Read(data); (placed == nil) == (err == nil) {
			t.Fatalf("%v and %v", placed, err)
		}
	})
}
