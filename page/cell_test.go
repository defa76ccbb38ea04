package page

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn/reference"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// visitOf brings a picture of noise through a network whose parameters are all drawn at random, batch norm's statistics
// too.
func visitOf(t *testing.T, net *arch.Network, r *rand.Rand) (*Visit, map[string][]float64) {
	t.Helper()
	placed, err := net.Place(net.Input)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]float64{}
	var file []weights.Tensor
	for _, p := range placed.Layers {
		for _, q := range p.Params {
			data := make([]float32, q.Count())
			for i := range data {
				data[i] = float32(r.NormFloat64()) / float32(math.Sqrt(float64(max(q.FanIn, 1))))
				if q.Role() == "var" {
					data[i] = 0.2 + float32(r.Float64())
				}
				values[q.Name] = append(values[q.Name], float64(data[i]))
			}
			file = append(file, weights.Tensor{Name: q.Name, Shape: q.Shape, Data: data})
		}
	}
	dir := t.TempDir()
	described, err := os.Create(filepath.Join(dir, "net.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "net.safetensors")
	if err := errors.Join(net.EncodeYAML(described), described.Close(), weights.Write(path, file, nil)); err != nil {
		t.Fatal(err)
	}
	m, err := vggo.Open(path, vggo.Options{Network: described.Name(), Preprocess: vision.PreprocessParts{Base: "unit"},
		Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	image := tensor.New(1, m.Input.C, m.Input.H, m.Input.W)
	for i := range image.Data {
		image.Data[i] = float32(r.NormFloat64())
	}
	in, err := m.Inside(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	return &Visit{Inside: in, Model: m, Name: "net", Picture: &vision.Picture{}, Photograph: &vision.Picture{}}, values
}

// check works cells of every group out and holds each against the map, and closer against the reference's layers over
// what the group read. It returns how many cells of each kind of layer it looked at.
func check(t *testing.T, v *Visit, params map[string][]float64, r *rand.Rand) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for i, group := range v.Groups {
		input := v.Image
		if i > 0 {
			input = v.Groups[i-1].Out
		}
		part := &arch.Network{Name: "part"}
		for _, name := range group.Layers {
			p, err := v.layer(name)
			if err != nil {
				t.Fatal(err)
			}
			part.Layers = append(part.Layers, p.Layer)
		}
		placed, err := part.Place(arch.Shape{C: input.C, H: input.H, W: input.W})
		if err != nil {
			t.Fatal(err)
		}
		plain, err := reference.NewNet(placed, params)
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float64, len(input.Data))
		for j, value := range input.Data {
			x[j] = float64(value)
		}
		if err := plain.Forward(x, 1, false); err != nil {
			t.Fatal(err)
		}
		want := plain.Activations[len(part.Layers)]
		largest := 1.0
		for _, y := range want.Data {
			largest = max(largest, math.Abs(y))
		}
		cells := r.Perm(len(want.Data))
		for _, at := range cells[:min(len(cells), 60)] {
			channel, y, x := at/(want.H*want.W), at/want.W%want.H, at%want.W
			c, err := v.Cell(group.Layers[r.IntN(len(group.Layers))], channel, y, x, MostAdding)
			if err != nil {
				t.Fatalf("%v: %v", group.Layers, err)
			}
			where := fmt.Sprintf("%s %v, cell %d,%d of map %d", arch.Describe(part.Layers[0].Op), group.Layers, y, x, channel)
			if !c.Worked {
				t.Fatalf("%s is not worked out", where)
			}
			if math.Abs(c.Result-want.Data[at]) > 1e-10*largest {
				t.Errorf("%s: worked out as %v, by the reference %v", where, c.Result, want.Data[at])
			}
			if math.Abs(c.Result-c.Value) > 1e-4*largest {
				t.Errorf("%s: worked out as %v, the map holds %v", where, c.Result, c.Value)
			}
			if c.Kind == "maxpool" && c.Result != c.Value {
				t.Errorf("%s: the largest is %v, the map holds %v", where, c.Result, c.Value)
			}
			whole(t, c, where)
			seen[c.Kind]++
			if w := c.Window; w != nil && w.Real < w.Kernel.H*w.Kernel.W {
				seen[c.Kind+" over the edge"]++
			}
		}
	}
	return seen
}

// whole holds what is told of a cell against its sum: a reader who adds it up comes to the same.
func whole(t *testing.T, c *Cell, where string) {
	t.Helper()
	sum := 0.0
	switch {
	case c.Sums != nil:
		for _, s := range c.Sums {
			sum += s
		}
		window := 0.0
		for r, row := range c.Patch {
			for q, x := range row {
				if x != nil {
					window += float64(*x) * float64(c.Weights[r][q])
				}
			}
		}
		if c.Patch != nil && math.Abs(window-c.Sums[c.In-c.FirstIn]) > 1e-9 {
			t.Errorf("%s: the window shown comes to %v, map %d is said to add %v", where, window, c.In, c.Sums[c.In-c.FirstIn])
		}
	case c.Terms != nil:
		sum = c.Rest
		for _, term := range c.Terms {
			sum += float64(term.Input) * float64(term.Weight)
		}
		maps := 0.0
		for _, s := range c.Adds {
			maps += s
		}
		if c.Adds != nil && math.Abs(maps-sum) > 1e-9 {
			t.Errorf("%s: maps are said to add %v, products %v", where, maps, sum)
		}
	case c.Divisor > 0:
		real := 0
		for _, row := range c.Patch {
			for _, x := range row {
				if x != nil {
					sum += float64(*x)
					real++
				}
			}
		}
		if c.Patch == nil {
			return
		}
		if real != c.Window.Real || math.Abs(sum/float64(c.Divisor)-c.Result) > 1e-9 {
			t.Errorf("%s: %d places of %d, %v/%d is not %v", where, real, c.Window.Real, sum, c.Divisor, c.Result)
		}
	default:
		return
	}
	if c.Bias != nil {
		sum += float64(*c.Bias)
	}
	if math.Abs(sum-c.Sum) > 1e-9 {
		t.Errorf("%s: the parts come to %v, the sum is said to be %v", where, sum, c.Sum)
	}
}

// TestCells: in odd networks, what the page works out is what the map holds.
func TestCells(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 14))
	for _, text := range []string{
		"8x8x3:4,Ak3s2c/5",                        // a window that hangs over the edge
		"9x7x3:4,Mk3s2c,6/5",                      // the same of max pooling
		"20x18x3:8b,12k5s2p1g2b,16d2p0,A/24,10",   // groups, dilation, batch norm
		"32x28x1:96k11s4p2,L,Mk3s2,8g4,Ak3s1p1/5", // local response normalisation, overlapping pooling
		"12x12x3:8,G/3", "7x7x3:4k1,4k7p3/6,6,3", "9x9x3:6,M,8b,M/4",
	} {
		net, err := arch.Compact("odd", text, arch.ImageNetInput)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		v, params := visitOf(t, net, r)
		check(t, v, params, r)
		checkScores(t, v)
	}
}

// checkScores holds the last step against the answer's probabilities and the reference's softmax.
func checkScores(t *testing.T, v *Visit) {
	t.Helper()
	s, err := v.Scores(1)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := v.Model.Rank(v.Logits)
	if err != nil {
		t.Fatal(err)
	}
	logits := reference.New(1, arch.Shape{C: v.Logits.C, H: 1, W: 1})
	for i, z := range v.Logits.Data {
		logits.Data[i] = float64(z)
	}
	want := reference.Softmax(logits)
	for _, c := range answer {
		got := s.Classes[c.Index]
		if got.Score != logits.Data[c.Index] || math.Abs(got.Probability-want.Data[c.Index]) > 1e-14 ||
			math.Abs(got.Probability-c.Probability) > 1e-6 || got.Exp > 1 ||
			math.Abs(got.Exp/s.Sum-got.Probability) > 1e-14 {
			t.Errorf("%+v of %+v: the answer is %v, the reference %v", got, s, c, want.Data[c.Index])
		}
	}
	// Twice the temperature is half the scores.
	warm, err := v.Scores(2)
	if err != nil {
		t.Fatal(err)
	}
	for i := range logits.Data {
		logits.Data[i] /= 2
	}
	want = reference.Softmax(logits)
	for i, c := range warm.Classes {
		if math.Abs(c.Probability-want.Data[i]) > 1e-14 || c.Score != s.Classes[i].Score {
			t.Errorf("at temperature 2 %+v, want %v", c, want.Data[i])
		}
	}
}

// TestScoresOfSigmoids: each class by itself, and two by one output.
func TestScoresOfSigmoids(t *testing.T) {
	for _, classes := range []int{1, 3} {
		net, err := arch.Compact("odd", fmt.Sprintf("8x8x3:4/%d", classes), arch.ImageNetInput)
		if err != nil {
			t.Fatal(err)
		}
		net.Layers[len(net.Layers)-1] = arch.Layer{Name: "sigmoid", Op: arch.Sigmoid{}}
		v, _ := visitOf(t, net, rand.New(rand.NewPCG(5, 8)))
		s, err := v.Scores(1)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := v.Model.Rank(v.Logits)
		if err != nil {
			t.Fatal(err)
		}
		if len(answer) != max(classes, 2) || s.Ending != arch.EndsInSigmoid {
			t.Errorf("%d classes, %+v", len(answer), s)
		}
		for _, c := range answer {
			if got := s.Classes[c.Index]; math.Abs(got.Probability-c.Probability) > 1e-6 {
				t.Errorf("%+v, the answer is %v", got, c)
			}
		}
	}
}

// TestNoScores: an answer that is a mean over the picture has no one score for each class.
func TestNoScores(t *testing.T) {
	net := &arch.Network{Name: "odd", Input: arch.Shape{C: 3, H: 6, W: 6}, Layers: []arch.Layer{
		{Name: "conv", Op: arch.Conv{Out: 3, Window: arch.Window{Kernel: arch.Square(1)}}}, {Name: "p", Op: arch.Softmax{}},
		{Name: "gap", Op: arch.GlobalAvgPool{}}}}
	v, _ := visitOf(t, net, rand.New(rand.NewPCG(5, 8)))
	var ask *AskError
	if s, err := v.Scores(1); !errors.As(err, &ask) {
		t.Errorf("%+v: %v", s, err)
	}
}

// TestPixel: what is worked out of a picture's bytes is what the network was given, blue first and grey too.
func TestPixel(t *testing.T) {
	for _, c := range []struct {
		net     string
		parts   vision.PreprocessParts
		colours []string
	}{
		{"8x8x3:4/5", vision.PreprocessParts{Base: "imagenet"}, []string{"red", "green", "blue"}},
		{"8x8x3:4/5", vision.PreprocessParts{Base: "caffe"}, []string{"blue", "green", "red"}},
		{"8x8x1:4/5", vision.PreprocessParts{Base: "unit"}, []string{"grey"}},
	} {
		m, err := vggo.New(c.net, vggo.Options{Preprocess: c.parts})
		if err != nil {
			t.Fatal(err)
		}
		picture := vision.NewPicture(8, 8, 3)
		for i := range picture.Pix {
			picture.Pix[i] = uint8(i * 37)
		}
		v := &Visit{Model: m, Inside: &vggo.Inside{Image: tensor.New(1, m.Input.C, 8, 8)}}
		if v.Picture, err = m.Preprocess.Fit(picture); err != nil {
			t.Fatal(err)
		}
		if err := m.Preprocess.Put(v.Image, 0, picture); err != nil {
			t.Fatal(err)
		}
		for i := range 64 {
			p, err := v.Pixel(i/8, i%8)
			if err != nil {
				t.Fatal(err)
			}
			for channel, s := range p.Samples {
				if s.Colour != c.colours[channel] || s.Value != float64(v.Image.At(0, channel, p.Y, p.X)) ||
					math.Abs(s.Result-s.Value) > 1e-5*max(1, math.Abs(s.Value)) {
					t.Errorf("%s: pixel %d,%d: %+v", c.parts.Base, p.Y, p.X, s)
				}
			}
		}
		var ask *AskError
		if _, err := v.Pixel(8, 0); !errors.As(err, &ask) || ask.Fault != "the picture has no pixel 8,0: it is 8x8" {
			t.Error(err)
		}
		m.Close()
	}
}

// TestRandomNetworks does the same for networks drawn at random: kernels, strides, dilations and padding of uneven
// sides, rounding up, counted padding, adaptive windows that do not divide, and layers in an order that nobody would
// choose.
func TestRandomNetworks(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	seen := map[string]int{}
	for tried := 0; tried < 200; {
		net := &arch.Network{Name: "odd", Input: arch.Shape{C: 1 + 2*r.IntN(2), H: 5 + r.IntN(9), W: 5 + r.IntN(9)}}
		for i := range 2 + r.IntN(6) {
			net.Layers = append(net.Layers, arch.Layer{Name: fmt.Sprintf("l%d", i), Op: randomOp(r)})
		}
		net.Layers = append(net.Layers, arch.Layer{Name: "flat", Op: arch.Flatten{}},
			arch.Layer{Name: "fc", Op: arch.Linear{Out: 4}},
			arch.Layer{Name: "last", Op: arch.ReLU{}}, arch.Layer{Name: "scores", Op: arch.Linear{Out: 3, NoBias: true}})
		if _, err := net.Place(net.Input); err != nil {
			continue // it cannot exist
		}
		tried++
		v, params := visitOf(t, net, r)
		for kind, n := range check(t, v, params, r) {
			seen[kind] += n
		}
	}
	for _, kind := range []string{"conv", "maxpool", "avgpool", "adaptiveavgpool", "globalavgpool", "lrn", "batchnorm",
		"reflectpad", "relu", "flatten", "linear", "l2pool", "sigmoid", "softmax",
		"conv over the edge", "maxpool over the edge", "avgpool over the edge"} {
		if seen[kind] < 20 {
			t.Errorf("%s was met in %d cells", kind, seen[kind])
		}
	}
}

func randomOp(r *rand.Rand) arch.Op {
	size := func(most int) arch.Size { return arch.Size{H: 1 + r.IntN(most), W: 1 + r.IntN(most)} }
	w := arch.Window{Kernel: size(4), Stride: size(3), Dilation: size(2),
		Pad: arch.Padding{Mode: []arch.PadMode{arch.Explicit, arch.Same, arch.Valid}[r.IntN(3)], Top: r.IntN(3),
			Left: r.IntN(3), Bottom: r.IntN(3), Right: r.IntN(3)}}
	if w.Pad.Mode != arch.Explicit {
		w.Pad = arch.Padding{Mode: w.Pad.Mode}
	}
	pooling := w
	pooling.Ceil = r.IntN(2) == 0
	switch r.IntN(17) {
	case 0, 1, 2:
		return arch.Conv{Out: 6, Window: w, Groups: []int{1, 1, 2, 3}[r.IntN(4)], NoBias: r.IntN(4) == 0}
	case 3:
		// as Winograd's algorithm takes it
		return arch.Conv{Out: 6, Window: arch.Window{Kernel: arch.Square(3), Pad: arch.Pad(1)}}
	case 4, 5:
		return arch.MaxPool{Window: pooling}
	case 6, 7:
		return arch.AvgPool{Window: pooling, CountPad: r.IntN(2) == 0}
	case 8:
		return arch.AdaptiveAvgPool{Out: size(6)}
	case 9:
		return arch.LRN{Size: 1 + r.IntN(5), Alpha: 0.5, Beta: 0.75, K: 1 + r.Float64()}
	case 10:
		return arch.BatchNorm{}
	case 11:
		return arch.ReflectPad{Top: r.IntN(3), Left: r.IntN(3), Bottom: r.IntN(3), Right: r.IntN(3)}
	case 13:
		return arch.L2Pool{}
	case 14:
		return arch.Sigmoid{}
	case 15:
		return arch.Softmax{}
	case 16:
		return arch.Dropout{}
	}
	if r.IntN(4) == 0 {
		return arch.GlobalAvgPool{}
	}
	return arch.ReLU{}
}

// TestCellAsked: a cell and an input map that do not exist are named.
func TestCellAsked(t *testing.T) {
	net, err := arch.Compact("odd", "8x8x3:4,8g2,M/5", arch.ImageNetInput)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := visitOf(t, net, rand.New(rand.NewPCG(1, 1)))
	for _, c := range []struct {
		layer             string
		channel, y, x, in int
		fault             string
	}{
		{"conv1_2", 8, 0, 0, MostAdding, "conv1_2 has no cell 0,0 of map 8: it is 8x8x8"},
		{"conv1_2", 0, 8, 0, MostAdding, "conv1_2 has no cell 8,0 of map 0: it is 8x8x8"},
		{"conv1_2", 4, 0, 0, 0, "map 4 of conv1_2 reads maps 2 to 3, not 0"},
		{"pool1", 4, 0, 0, 0, "pool1 is no convolution: only a convolution adds up input maps that can be chosen by in"},
		{"conv9", 0, 0, 0, MostAdding,
			`odd has no layer "conv9": it has conv1_1, relu1_1, conv1_2, relu1_2, pool1, flatten, fc2 and softmax`},
	} {
		var ask *AskError
		if _, err := v.Cell(c.layer, c.channel, c.y, c.x, c.in); !errors.As(err, &ask) || ask.Fault != c.fault {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if c, err := v.Cell("conv1_2", 4, 0, 0, 3); err != nil || c.In != 3 || c.FirstIn != 2 {
		t.Errorf("%+v: %v", c, err)
	}
}
