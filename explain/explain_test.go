package explain_test

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

const (
	tinyWeights = "../weights/testdata/tinyvgg-fashionmnist.safetensors"
	tinyImages  = "../weights/testdata/fashion-mnist-100.idx.gz"
)

// open opens one of the goldens' networks.
func open(t testing.TB, name string, batch int) *vggo.Model {
	t.Helper()
	path, options := tinyWeights, vggo.Options{Network: name, Batch: batch}
	if name == "batchnorm" {
		path, options.Network = "testdata/batchnorm.safetensors", "testdata/batchnorm.yaml"
	}
	m, err := vggo.Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// random is a network with random weights.
func random(t testing.TB, network string) *vggo.Model {
	t.Helper()
	m, err := vggo.New(network, vggo.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func clothes(t testing.TB, i int) *vision.Picture {
	t.Helper()
	set, err := vision.ReadIDXFile(tinyImages)
	if err != nil {
		t.Fatal(err)
	}
	p, err := set.Picture(i)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func prepare(t testing.TB, m *vggo.Model, p *vision.Picture) *tensor.Tensor {
	t.Helper()
	x, err := m.Prepare(t.Context(), []*vision.Picture{p})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// goldens yields what PyTorch computed under names that begin with a prefix, which is cut off: height, width and
// values.
func goldens(t *testing.T, prefix string) iter.Seq2[string, explain.Map] {
	t.Helper()
	file, err := weights.Open("testdata/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return func(yield func(string, explain.Map) bool) {
		for _, name := range file.Names() {
			rest, ok := strings.CutPrefix(name, prefix)
			if !ok {
				continue
			}
			v, err := file.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			m := explain.Map{Width: v.Shape[len(v.Shape)-1], Height: 1, Values: v.Data}
			if len(v.Shape) == 2 {
				m.Height = v.Shape[0]
			}
			if !yield(rest, m) {
				return
			}
		}
	}
}

// near compares two maps: no value may be further off than 1e-4 of the largest.
func near(t *testing.T, name string, got, want *explain.Map) {
	t.Helper()
	if got.Width != want.Width || got.Height != want.Height || len(got.Values) != len(want.Values) {
		t.Errorf("%s: %dx%d with %d values, PyTorch's is %dx%d", name, got.Width, got.Height, len(got.Values), want.Width,
			want.Height)
		return
	}
	most := 0.0
	for _, v := range want.Values {
		most = max(most, math.Abs(float64(v)))
	}
	for i, v := range got.Values {
		if off := math.Abs(float64(v) - float64(want.Values[i])); !(off <= 1e-4*most) {
			t.Errorf("%s: value %d is %g, PyTorch's %g: off by %.2g of the largest, %g", name, i, v, want.Values[i],
				off/most, most)
			return
		}
	}
}

// TestIsPyTorchs holds Grad-CAM of every layer with a map, and occlusion, of trained networks to PyTorch's.
func TestIsPyTorchs(t *testing.T) {
	for _, network := range []string{"tinyvgg", "batchnorm"} {
		m := open(t, network, 8)
		seen := 0
		for name, want := range goldens(t, network+"/") {
			var picture, class, size, stride int
			var what string
			if _, err := fmt.Sscanf(strings.ReplaceAll(name, "/", " "), "%d %d %s", &picture, &class, &what); err != nil {
				t.Fatal(name, err)
			}
			detail := name[strings.LastIndex(name, "/")+1:]
			x := prepare(t, m, clothes(t, picture))
			var got *explain.Heat
			var err error
			switch what {
			case "gradcam":
				got, err = explain.GradCAM(t.Context(), m, x, detail, class)
			case "occlusion":
				if _, err := fmt.Sscanf(detail, "%d-%d", &size, &stride); err != nil {
					t.Fatal(name, err)
				}
				got, err = explain.Occlusion(t.Context(), m, x, explain.Occluder{Size: size, Stride: stride}, class, nil)
			case "logits":
				logits, err := m.Forward(t.Context(), x)
				if err != nil {
					t.Fatal(err)
				}
				near(t, network+"/"+name, &explain.Map{Width: logits.C, Height: 1, Values: logits.Data}, &want)
				continue
			}
			if err != nil {
				t.Fatal(name, err)
			}
			seen++
			near(t, network+"/"+name, &got.Map, &want)
			if got.Class.Index != class || !(got.Class.Probability > 0 && got.Class.Probability < 1) {
				t.Errorf("%s: of %+v", name, got.Class)
			}
		}
		if seen < 20 {
			t.Errorf("%s: %d goldens", network, seen)
		}
	}
}

func TestResizeIsPyTorchs(t *testing.T) {
	sizes := map[string]explain.Map{}
	for name, m := range goldens(t, "resize/") {
		sizes[name] = m
	}
	from := sizes["from"]
	delete(sizes, "from")
	if len(sizes) != 3 {
		t.Fatal(len(sizes))
	}
	for name, want := range sizes {
		near(t, name, from.Resize(want.Width, want.Height), &want)
	}
}

// The most probable class is explained where none is named, and a model answers the same bits while and after others
// look into it: batch norm's statistics are as they were.
func TestSharedModel(t *testing.T) {
	m := open(t, "batchnorm", 4)
	picture := clothes(t, 1)
	x := prepare(t, m, picture)
	before, err := m.Forward(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := explain.GradCAM(t.Context(), m, x, "relu2_2", -1)
	if err != nil {
		t.Fatal(err)
	}
	covered, err := explain.Occlusion(t.Context(), m, x, explain.Occluder{Stride: 3}, -1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if alone.Class.Index != 3 || covered.Class != alone.Class && covered.Class.Index != 3 || alone.Layer != "relu2_2" {
		t.Errorf("%+v of %s, %+v", alone.Class, alone.Layer, covered.Class)
	}
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			switch i % 3 {
			case 0:
				if heat, err := explain.GradCAM(t.Context(), m, x, "relu2_2", 3); err != nil ||
					!slices.Equal(heat.Values, alone.Values) {
					t.Error("Grad-CAM is another beside others", err)
				}
			case 1:
				if heat, err := explain.Occlusion(t.Context(), m, x, explain.Occluder{Stride: 3}, 3, nil); err != nil ||
					!slices.Equal(heat.Values, covered.Values) {
					t.Error("occlusion is another beside others", err)
				}
			case 2:
				if after, err := m.Forward(t.Context(), x); err != nil || !slices.Equal(after.Data, before.Data) {
					t.Error("logits are others", err)
				}
			}
		})
	}
	all.Wait()
}

func TestLastMap(t *testing.T) {
	for network, want := range map[string]string{
		"tinyvgg":                 "relu2_2",
		"16x16x3:4,4,M,8,8,M/10":  "relu2_2",
		"testdata/batchnorm.yaml": "relu2_2",
		"4x4x3:4,M,8,M,16/10":     "relu2_1", // the third convolution sees one pixel
		"testdata/convonly.yaml":  "conv1_1", // nothing is behind the second
	} {
		got, err := explain.LastMap(random(t, network))
		if err != nil || got != want {
			t.Errorf("%s: %q, %v, want %s", network, got, err, want)
		}
	}
	if _, err := explain.LastMap(random(t, "1x1x3:4/10")); err == nil ||
		!strings.Contains(err.Error(), "no convolution with a map") {
		t.Error(err)
	}
}

// TestRefused: one line that names the thing.
func TestRefused(t *testing.T) {
	m := open(t, "tinyvgg", 2)
	x := prepare(t, m, clothes(t, 0))
	two := tensor.New(2, 1, 28, 28)
	none := func(yield func(string, *vision.Picture) bool) {}
	empty := func(yield func(string, *vision.Picture) bool) { yield("empty.png", vision.NewPicture(0, 3, 1)) }
	huge := random(t, "600x600x1:1,M/2")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	gradCAM := func(layer string, class int) error {
		_, err := explain.GradCAM(t.Context(), m, x, layer, class)
		return err
	}
	occlusion := func(m *vggo.Model, o explain.Occluder, class int) error {
		_, err := explain.Occlusion(t.Context(), m, tensor.New(1, 1, m.Input.H, m.Input.W), o, class, nil)
		return err
	}
	maps, err := explain.Maps(t.Context(), m, x, "relu2_2")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"unknown layer":  {gradCAM("conv9_9", -1), `tinyvgg has no layer "conv9_9"`},
		"no map":         {gradCAM("fc3", -1), "fc3 of tinyvgg has no map: its output is 1x1x10"},
		"class":          {gradCAM("relu2_2", 10), "tinyvgg has 10 classes, numbered from 0: there is no class 10"},
		"negative class": {gradCAM("relu2_2", -2), "there is no class -2"},
		"last layer": {second(m.Gradient(t.Context(), "softmax", 0, x)),
			"nothing of tinyvgg is behind its last layer, softmax"},
		"two images": {second(explain.GradCAM(t.Context(), m, two, "relu2_2", 0)),
			"a gradient is of one image, not of 2"},
		"given up": {second(explain.GradCAM(over, m, x, "relu2_2", 0)), "context canceled"},
		"image size": {second(explain.GradCAM(t.Context(), m, tensor.New(1, 1, 27, 28), "relu2_2", 0)),
			"images of 27x28x1, the plan is for 28x28x1"},
		"covers two": {second(explain.Occlusion(t.Context(), m, two, explain.Occluder{}, 0, nil)),
			"occlusion is of one image of 28x28x1, not of 2x1x28x28"},
		"covers, class":   {occlusion(m, explain.Occluder{}, 10), "there is no class 10"},
		"covers too much": {occlusion(m, explain.Occluder{Size: 29}, 0), "an occluder of 29 pixels: want 1 to 28"},
		"covers nothing":  {occlusion(m, explain.Occluder{Size: -1}, 0), "an occluder of -1 pixels"},
		"jumps": {occlusion(m, explain.Occluder{Size: 4, Stride: 5}, 0),
			"moves by 1 to 4 of them, so that it covers all, not by 5"},
		"covers in colours": {occlusion(m, explain.Occluder{Fill: make([]float32, 3)}, 0),
			"an occluder of 3 channels for an image of 1"},
		"too many windows": {occlusion(huge, explain.Occluder{Stride: 2}, 0),
			"has 90000 places on an image of 600x600, the most is 65536"},
		"covers, given up": {second(explain.Occlusion(over, m, x, explain.Occluder{}, 0, nil)), "context canceled"},
		"maps of two":      {second(explain.Maps(t.Context(), m, two, "relu2_2")), "maps are of one image, not of 2"},
		"maps of no map":   {second(explain.Maps(t.Context(), m, x, "fc3")), "fc3 of tinyvgg has no map"},
		"tile":             {second(maps.Tile(10)), "relu2_2 has 10 tiles, numbered from 0: there is no tile 10"},
		"negative tile":    {second(maps.Tile(-1)), "there is no tile -1"},
		"tiles":            {second(maps.Grid(5, 6)), "cannot draw 6 of them from 5 on"},
		"many tiles":       {second((&explain.Tiles{Layer: "a", Count: 5000}).Grid(0, 1025)), "the most at once is 1024"},
		"no tiles":         {second(explain.Mosaic(nil)), "a mosaic of no pictures"},
		"large tiles": {second(explain.Mosaic([]*vision.Picture{{W: 1 << 13, H: 1 << 13, Channels: 1}})),
			"take fewer"},
		"filters of a pool":  {second(explain.Filters(m, "pool1")), "pool1 of tinyvgg is no convolution: it has no filters"},
		"filters of nothing": {second(explain.Filters(m, "conv")), `has no layer "conv"`},
		"unit":               {second(explain.Field(m, "pool2", 7, 0)), "layer pool2: no unit (0, 7) in a map of 7x7x10"},
		"field of nothing":   {second(explain.Field(m, "", 0, 0)), `has no layer ""`},
		"channel": {second(explain.TopPatches(t.Context(), m, none, "relu2_2", 10, 3)),
			"relu2_2 of tinyvgg has 10 channels, numbered from 0: there is no channel 10"},
		"no patches": {second(explain.TopPatches(t.Context(), m, none, "relu2_2", 0, 0)),
			"0 patches: want 1 to 1024"},
		"patches of nothing": {second(explain.TopPatches(t.Context(), m, empty, "relu2_2", 0, 1)),
			"empty.png: a picture of 3x0 pixels is empty"},
		"patches, given up": {second(explain.TopPatches(over, m, none, "relu2_2", 0, 1)), "context canceled"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) || strings.Contains(c.err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", name, c.err, c.want)
		}
	}
	if patches, err := explain.TopPatches(t.Context(), m, none, "relu2_2", 0, 1); err != nil || len(patches) != 0 {
		t.Errorf("patches of no pictures: %v, %v", patches, err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestPasses: the cost is told before, and progress counts up to it.
func TestPasses(t *testing.T) {
	m := open(t, "tinyvgg", 5)
	passes, err := explain.Occluder{}.Passes(m)
	if err != nil || passes != 1+14*14 {
		t.Fatal(passes, err)
	}
	last := 0
	_, err = explain.Occlusion(t.Context(), m, prepare(t, m, clothes(t, 0)), explain.Occluder{}, -1,
		func(done, total int) {
			if done <= last || done > last+5 || total != passes {
				t.Errorf("%d of %d after %d", done, total, last)
			}
			last = done
		})
	if err != nil || last != passes {
		t.Error(last, err)
	}
}

// TestSeen: what is seen larger is what the network sees.
func TestSeen(t *testing.T) {
	photo := vision.NewPicture(300, 200, 3)
	for i := range photo.Pix {
		photo.Pix[i] = uint8(128 + 100*math.Sin(float64(i%900)/90)*math.Cos(float64(i/900)/25))
	}
	for _, r := range []vision.Preprocess{vision.ImageNet(28, 28), vision.Unit(28, 28, 1)} {
		small, err := r.Fit(photo)
		if err != nil {
			t.Fatal(err)
		}
		seen, k, err := explain.Seen(r, photo, 100)
		if err != nil || k != 4 || seen.W != 4*small.W || seen.H != 4*small.H {
			t.Fatal(k, err)
		}
		back := seen.Resize(small.W, small.H, vision.Bilinear)
		apart := func(dx int) (mean float64) { // of back, moved by a pixel of the network's
			n := 0
			for y := 1; y < small.H-1; y++ {
				for x := 1; x < small.W-1; x++ {
					for c := range small.Channels {
						mean += math.Abs(float64(back.Pix[(y*small.W+x+dx)*small.Channels+c]) - float64(small.Pix[(y*small.W+
							x)*small.Channels+c]))
						n++
					}
				}
			}
			return mean / float64(n)
		}
		if here, left, right := apart(0), apart(-1), apart(1); here > left/5 || here > right/5 {
			t.Errorf("%s: %.2f levels apart, moved by a pixel %.2f and %.2f", r.Name, here, left, right)
		}
		if same, k, err := explain.Seen(r, photo, 1); err != nil || k != 1 || !slices.Equal(same.Pix, small.Pix) {
			t.Error(k, err)
		}
	}
	if _, _, err := explain.Seen(vision.Preprocess{}, photo, 100); err == nil {
		t.Error("an empty recipe shows something")
	}
}

func TestOverlay(t *testing.T) {
	grey := vision.NewPicture(2, 1, 1)
	grey.Pix[0], grey.Pix[1] = 100, 200
	m := &explain.Map{Width: 2, Height: 1, Values: []float32{-3, 5}}
	low, high := explain.Viridis(0), explain.Viridis(1)
	if low.R != 0x44 || low.G != 0x01 || low.B != 0x54 || high.R != 0xfd || high.G != 0xe7 || high.B != 0x25 ||
		explain.Viridis(math.NaN()) != low || explain.Viridis(2) != high {
		t.Errorf("%v, %v", low, high)
	}
	for _, c := range []struct {
		m     *explain.Map
		share float64
		want  []uint8
	}{
		{m, 0, []uint8{100, 100, 100, 255, 200, 200, 200, 255}},
		{m, 1, []uint8{low.R, low.G, low.B, 255, high.R, high.G, high.B, 255}},
		{m, 7, []uint8{low.R, low.G, low.B, 255, high.R, high.G, high.B, 255}},
		{m, 0.5, []uint8{84, 51, 92, 255, 227, 216, 119, 255}},
		{&explain.Map{Width: 1, Height: 1, Values: []float32{0}}, 1, []uint8{low.R, low.G, low.B, 255, low.R, low.G,
			low.B, 255}},
	} {
		if got := explain.Overlay(grey, c.m, c.share); !slices.Equal(got.Pix, c.want) {
			t.Errorf("share %v: %v, want %v", c.share, got.Pix, c.want)
		}
	}
}

// TestViridisIsEven: no step of the colours is darker than the one before, and lightness grows by as much everywhere,
// within what 8 bits and the map's makers leave.
func TestViridisIsEven(t *testing.T) {
	lightness := func(v float64) float64 { // CIE L*, of sRGB
		c := explain.Viridis(v)
		linear := func(s uint8) float64 {
			x := float64(s) / 255
			if x <= 0.04045 {
				return x / 12.92
			}
			return math.Pow((x+0.055)/1.055, 2.4)
		}
		return 116*math.Cbrt(0.2126*linear(c.R)+0.7152*linear(c.G)+0.0722*linear(c.B)) - 16
	}
	first, last := lightness(0), lightness(1)
	for i := range 17 {
		v := float64(i) / 16
		if even := first + v*(last-first); math.Abs(lightness(v)-even) > 2 {
			t.Errorf("lightness %.1f at %v, want about %.1f", lightness(v), v, even)
		}
	}
}
