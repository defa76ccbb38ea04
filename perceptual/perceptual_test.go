package perceptual_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/hub"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/perceptual"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// beginnings are the networks up to the last layer that a metric looks at.
var beginnings = map[string]string{"vgg16": "relu5_3", "alexnet-torchvision": "relu5"}

var drawn = struct {
	sync.Mutex
	models map[string]*vggo.Model
}{models: map[string]*vggo.Model{}}

// model is a network's beginning with weights drawn by He and seed 1: those that the goldens are of.
func model(t testing.TB, network string, options vggo.Options) *vggo.Model {
	t.Helper()
	options.Seed = 1
	key := fmt.Sprint(network, options.Threads)
	drawn.Lock()
	defer drawn.Unlock()
	if m := drawn.models[key]; m != nil {
		return m
	}
	net, err := arch.Builtin(network)
	if err != nil {
		t.Fatal(err)
	}
	if net, err = net.Until(beginnings[network]); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), network+".yaml")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(net.EncodeYAML(file), file.Close()); err != nil {
		t.Fatal(err)
	}
	m, err := vggo.New(path, options)
	if err != nil {
		t.Fatal(err)
	}
	drawn.models[key] = m
	return m
}

func meter(t testing.TB, m *vggo.Model, options perceptual.Options) *perceptual.Meter {
	t.Helper()
	meter, err := perceptual.New(m, options)
	if err != nil {
		t.Fatal(err)
	}
	return meter
}

// ways are the metrics by the networks that they are for.
var ways = []struct {
	metric  perceptual.Metric
	network string
}{{perceptual.LPIPS, "vgg16"}, {perceptual.LPIPS, "alexnet-torchvision"}, {perceptual.DISTS, "vgg16"}}

// writeWeights is for scripts/gen_perceptual_goldens.py.
func writeWeights(t *testing.T, dir string) {
	for network, file := range map[string]string{"vgg16": "vgg16", "alexnet-torchvision": "alexnet"} {
		m := model(t, network, vggo.Options{})
		var tensors []weights.Tensor
		for _, l := range m.Placed.Layers {
			for _, p := range l.Params {
				_, values, err := m.Parameter(p.Name)
				if err != nil {
					t.Fatal(err)
				}
				tensors = append(tensors, weights.Tensor{Name: p.Name, Shape: p.Shape, DType: weights.F32, Data: values})
			}
		}
		if err := weights.Write(filepath.Join(dir, file+".safetensors"), tensors, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// goldens are what scripts/gen_perceptual_goldens.py wrote.
type goldens struct {
	Pairs []struct {
		Name   string
		A, B   spec
		Values map[string][]float64 // by metric/network, by layer
	}
}

// spec is how a picture of a pair comes about.
type spec struct {
	Photo, JPEG   string
	Flat          []uint8
	X, Y, W, H    int
	Mirror, Noise bool
}

func readGoldens(t *testing.T) (g goldens) {
	t.Helper()
	text, err := os.ReadFile("testdata/goldens.json")
	if err == nil {
		err = json.Unmarshal(text, &g)
	}
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (s spec) picture(t *testing.T) *vision.Picture {
	t.Helper()
	const shorter = 80
	decode := func(path string) *vision.Picture {
		p, err := vision.DecodeFile(path, vision.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return p.RGB()
	}
	switch {
	case s.Flat != nil:
		return flat(s.W, s.H, s.Flat...)
	case s.JPEG != "":
		return decode(filepath.Join("testdata", s.JPEG))
	}
	p := decode(filepath.Join(os.Getenv("VGGO_TESTDATA"), "photos", s.Photo))
	if s.W == 0 {
		if p.W < p.H {
			return p.Resize(shorter, shorter*p.H/p.W, vision.Bilinear)
		}
		return p.Resize(shorter*p.W/p.H, shorter, vision.Bilinear)
	}
	out := vision.NewPicture(s.W, s.H, 3)
	for y := range s.H {
		for x := range s.W {
			from := x
			if s.Mirror {
				from = s.W - 1 - x
			}
			for c := range 3 {
				at := 3*(y*s.W+x) + c
				v := int(p.Pix[3*((s.Y+y)*p.W+s.X+from)+c])
				if s.Noise {
					v = min(max(v+at*7919%5-2, 0), 255)
				}
				out.Pix[at] = uint8(v)
			}
		}
	}
	return out
}

func flat(w, h int, colour ...uint8) *vision.Picture {
	p := vision.NewPicture(w, h, 3)
	for i := range p.Pix {
		p.Pix[i] = colour[i%3]
	}
	return p
}

// noise is a picture that no two seeds agree about.
func noise(seed uint64, w, h int) *vision.Picture {
	p, r := vision.NewPicture(w, h, 3), rand.New(rand.NewPCG(seed, 1))
	for i := range p.Pix {
		p.Pix[i] = uint8(r.Uint32())
	}
	return p
}

// TestGoldens holds 20 pairs of a photograph and its JPEG and eight of awkward shape to PyTorch in float64: the value
// to 1e-6 (DISTS 2e-6) and 1e-5 of it, as the issue asks, and each layer's part as well.
func TestGoldens(t *testing.T) {
	if dir := os.Getenv("VGGO_PERCEPTUAL_WEIGHTS"); dir != "" {
		writeWeights(t, dir)
		t.Skip("the weights are written to VGGO_PERCEPTUAL_WEIGHTS")
	}
	if os.Getenv("VGGO_TESTDATA") == "" {
		t.Skip("VGGO_TESTDATA is not set: no photographs to compare")
	}
	set, err := kernel.Active()
	if err != nil {
		t.Fatal(err)
	}
	g := readGoldens(t)
	if len(g.Pairs) != 28 {
		t.Fatalf("%d pairs, want 28", len(g.Pairs))
	}
	farthest := map[string]float64{}
	for i, pair := range g.Pairs {
		if (set.Name == "generic" || testing.Short()) && i%7 != 6 { // portable kernels take ten times as long
			continue
		}
		a, b := pair.A.picture(t), pair.B.picture(t)
		for _, w := range ways {
			way := string(w.metric) + "/" + w.network
			want, ok := pair.Values[way]
			if !ok {
				continue
			}
			m := meter(t, model(t, w.network, vggo.Options{}), perceptual.Options{Metric: w.metric})
			got, err := m.Distance(context.Background(), a, b)
			if err != nil {
				t.Errorf("%s, %s: %v", way, pair.Name, err)
				continue
			}
			absolute := 1e-6
			if w.metric == perceptual.DISTS {
				absolute = 2e-6
			}
			check := func(what string, got, want float64) {
				allowed := absolute + 1e-5*want
				farthest[way] = max(farthest[way], math.Abs(got-want)/allowed)
				if !(math.Abs(got-want) <= allowed) {
					t.Errorf("%s, %s: %s is %.9g, PyTorch has %.9g: off by %.2g, allowed %.2g", way, pair.Name, what, got, want,
						math.Abs(got-want), allowed)
				}
			}
			sum := 0.0
			for i, l := range got.Layers {
				check(l.Name, l.Value, want[i])
				sum += want[i]
			}
			check("the distance", got.Value, sum)
		}
	}
	t.Logf("kernel set %s: farthest from PyTorch, in shares of what is allowed: %.2v", set, farthest)
}

// TestGradientGoldens holds the gradient by both pictures' samples to PyTorch's, within 1e-4 of its length. In this
// pair no ReLU's input is so near 0, and no two of a pooling's so near each other, that rounding decides: where one
// is, a gradient in float32 is another by up to a hundredth.
func TestGradientGoldens(t *testing.T) {
	if os.Getenv("VGGO_TESTDATA") == "" {
		t.Skip("VGGO_TESTDATA is not set: no photographs to compare")
	}
	file, err := weights.Open("testdata/gradients.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, pair := range readGoldens(t).Pairs {
		if pair.Name != "31x40" {
			continue
		}
		for _, w := range ways {
			m := meter(t, model(t, w.network, vggo.Options{}), perceptual.Options{Metric: w.metric})
			g, err := m.Gradient(context.Background(), pair.A.picture(t), pair.B.picture(t))
			if err != nil {
				t.Fatal(err)
			}
			for name, got := range map[string][]float32{"a": g.A.Data, "b": g.B.Data} {
				want, err := file.Tensor(fmt.Sprintf("%s/%s/%s", w.metric, w.network, name))
				if err != nil {
					t.Fatal(err)
				}
				apart, length := 0.0, 0.0
				for i, v := range want.Data {
					apart += float64(got[i]-v) * float64(got[i]-v)
					length += float64(v) * float64(v)
				}
				e := math.Sqrt(apart / length)
				t.Logf("%s by %s: gradient by %s off by %.2g of its length", w.metric, w.network, name, e)
				if !(e <= 1e-4) {
					t.Errorf("%s by %s: gradient by %s is off by %.2g of its length", w.metric, w.network, name, e)
				}
			}
		}
	}
}

// TestSame: a picture is exactly 0 from itself, and its gradient is 0 there; two swapped have the same bits; and so
// have 1 thread and 8.
func TestSame(t *testing.T) {
	ctx := context.Background()
	for _, w := range ways {
		for _, size := range []image.Point{{64, 64}, {63, 33}, {31, 47}} {
			a, b := noise(1, size.X, size.Y), noise(2, size.X, size.Y)
			var first *perceptual.Gradient
			for _, threads := range []int{1, 8} {
				m := meter(t, model(t, w.network, vggo.Options{Threads: threads}), perceptual.Options{Metric: w.metric})
				self, err := m.Gradient(ctx, a, a)
				if err != nil {
					t.Fatal(err)
				}
				if self.Value != 0 {
					t.Errorf("%s by %s, %v: a picture is %v from itself", w.metric, w.network, size, self.Value)
				}
				most := 0.0
				for _, v := range self.A.Data {
					most = max(most, math.Abs(float64(v)))
				}
				if most > 1e-9 {
					t.Errorf("%s by %s, %v: the gradient of a picture's distance from itself is up to %v", w.metric, w.network,
						size, most)
				}
				there, err := m.Gradient(ctx, a, b)
				if err != nil {
					t.Fatal(err)
				}
				back, err := m.Distance(ctx, b, a)
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = there
				}
				plain, err := m.Distance(ctx, a, b)
				if err != nil {
					t.Fatal(err)
				}
				if there.Value == 0 || back.Value != plain.Value {
					t.Errorf("%s by %s, %v: %v, and swapped %v", w.metric, w.network, size, plain.Value, back.Value)
				}
				if there.Value != first.Value || !equal(there.A.Data, first.A.Data) || !equal(there.B.Data, first.B.Data) {
					t.Errorf("%s by %s, %v: %d threads give other bits than 1", w.metric, w.network, size, threads)
				}
			}
		}
	}
}

func equal(a, b []float32) bool {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}

// TestMap: the map is as large as the picture, 0 where a picture is the same far around, and its mean is near the
// distance.
func TestMap(t *testing.T) {
	a := noise(1, 96, 80)
	b := vision.NewPicture(a.W, a.H, 3)
	copy(b.Pix, a.Pix)
	for y := range 8 {
		copy(b.Pix[3*y*a.W:][:24], make([]uint8, 24))
	}
	m := meter(t, model(t, "alexnet-torchvision", vggo.Options{}), perceptual.Options{Map: true})
	d, err := m.Distance(context.Background(), a, b)
	if err != nil {
		t.Fatal(err)
	}
	if d.Map.Width != a.W || d.Map.Height != a.H {
		t.Fatalf("a map of %dx%d", d.Map.Height, d.Map.Width)
	}
	sum := 0.0
	for _, v := range d.Map.Values {
		sum += float64(v)
	}
	if mean := sum / float64(len(d.Map.Values)); !(math.Abs(mean-d.Value) < 0.2*d.Value) {
		t.Errorf("the map's mean is %v, the distance %v", mean, d.Value)
	}
	near, far := d.Map.Values[4*a.W+4], d.Map.Values[len(d.Map.Values)-1]
	if !(near > 0) || far > near/100 {
		t.Errorf("%v where the pictures differ, %v at the other end", near, far)
	}
}

func TestWrongUse(t *testing.T) {
	ctx := context.Background()
	vgg, alex := model(t, "vgg16", vggo.Options{}), model(t, "alexnet-torchvision", vggo.Options{})
	other, err := vggo.New("32x32x3:8,M/10", vggo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	glass := image.NewNRGBA(image.Rect(0, 0, 40, 40))
	distance := func(m *vggo.Model, a, b *vision.Picture) error {
		_, err := meter(t, m, perceptual.Options{}).Distance(ctx, a, b)
		return err
	}
	newMeter := func(m *vggo.Model, o perceptual.Options) error { _, err := perceptual.New(m, o); return err }
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"sizes", distance(vgg, noise(1, 32, 40), noise(1, 40, 32)), "different sizes: 40x32 and 32x40"},
		{"small for vgg16", distance(vgg, noise(1, 15, 90), noise(1, 15, 90)), "90x15 pixels are too small for vgg16: " +
			"the shorter side must have 16"},
		{"small for alexnet", distance(alex, noise(1, 90, 30), noise(1, 90, 30)), "must have 31"},
		{"transparent", distance(vgg, noise(1, 40, 40), vision.FromImage(glass)), "the second picture has transparent parts"},
		{"network", newMeter(other, perceptual.Options{}), "lpips was fitted to vgg16 and alexnet-torchvision, not to"},
		{"dists by alexnet", newMeter(alex, perceptual.Options{Metric: perceptual.DISTS}), "dists was fitted to vgg16, not"},
		{"dists' map", newMeter(vgg, perceptual.Options{Metric: perceptual.DISTS, Map: true}), "dists has no map"},
		{"metric", newMeter(vgg, perceptual.Options{Metric: "ssim"}), `unknown metric "ssim"`},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", c.name, c.err, c.want)
		}
	}
	for _, m := range []*vggo.Model{vgg, alex} {
		least := map[*vggo.Model]int{vgg: 16, alex: 31}[m]
		if err := distance(m, noise(1, least, least), noise(2, least, least)); err != nil {
			t.Errorf("the smallest pictures of %d pixels: %v", least, err)
		}
	}
	ended, end := context.WithCancel(ctx)
	end()
	if _, err := meter(t, vgg, perceptual.Options{}).Distance(ended, noise(1, 32, 32), noise(2, 32, 32)); !errors.Is(err,
		context.Canceled) {
		t.Errorf("after its context ended: %v", err)
	}
	if meter(t, vgg, perceptual.Options{}).Uncalibrated() == "" {
		t.Error("random weights pass for torchvision's")
	}
}

// TestFilesAreHubs: the checksums by which weights are recognised are those of package hub's table.
func TestFilesAreHubs(t *testing.T) {
	for network, files := range perceptual.Files() {
		var want []string
		for _, e := range hub.All() {
			if e.Network == network && (e.Name == "alexnet" || e.Name == "vgg16" || e.Name == "vgg16-timm") {
				want = append(want, strings.TrimPrefix(string(e.Checksum.Value), "sha256:"))
			}
		}
		if fmt.Sprint(files) != fmt.Sprint(want) {
			t.Errorf("%s is recognised by %v, hub has %v", network, files, want)
		}
	}
}
