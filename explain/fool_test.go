package explain_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/embedded"
	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/nn/reference"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// seen is a picture as a network sees it.
func seen(t *testing.T, m *vggo.Model, path string) *vision.Picture {
	t.Helper()
	p, err := vision.DecodeFile(path, vision.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if p, err = m.Preprocess.Fit(p); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFool: the changed picture is answered differently by the way that any picture goes, half of the change is not,
// and every figure told is the pictures' own.
func TestFool(t *testing.T) {
	inner, err := embedded.Open(vggo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.Close() })
	blue, err := vggo.New("24x20x3:8,M,12/7", vggo.Options{Seed: 5,
		Preprocess: vision.PreprocessParts{Base: "caffe", Std: vision.Numbers{60, 50, 70}, Resize: "24x20"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blue.Close() })
	description := filepath.Join(t.TempDir(), "binary.yaml")
	if err := os.WriteFile(description, []byte("name: binary\ninput: 12x12x3\nlayers:\n  - {name: conv1, op: conv, "+
		"out: 6, kernel: 3, pad: 1}\n  - {name: relu1, op: relu}\n  - {name: flatten, op: flatten}\n"+
		"  - {name: fc, op: linear, out: 1}\n  - {name: sigmoid, op: sigmoid}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	const examples = "../page/static/examples/"
	for _, of := range []struct {
		name    string
		model   *vggo.Model
		picture string
		l2      float64 // at most
	}{
		{"embedded", inner, examples + "cat.jpg", 0.3},
		{"embedded", inner, examples + "owl.jpg", 0.3},
		{"trained, grey", open(t, "tinyvgg", 4), "../docs/examples/boot.png", 1.2},
		{"batch norm", open(t, "batchnorm", 3), "../docs/examples/boot.png", 1.2},
		{"blue first", blue, examples + "hotdog.jpg", 2},
		{"two classes of one output", random(t, description), examples + "cat.jpg", 2},
		{"logits that are maps", random(t, "testdata/convonly.yaml"), examples + "cat.jpg", 2},
	} {
		t.Run(of.name, func(t *testing.T) {
			if testing.Short() && of.model == inner {
				t.Skip("minutes on an emulated processor; the smaller networks go the same way")
			}
			m, picture := of.model, seen(t, of.model, of.picture)
			passes := 0
			f, err := explain.Fool(t.Context(), m, picture, func(n int, compute func(context.Context) error) error {
				passes += n
				return compute(t.Context())
			})
			if err != nil {
				t.Fatal(err)
			}
			// The picture, the steps and a look at where they led, the way back of two halvings at least, and the course.
			if passes < 1+(1+min(6, m.ClassCount()))*(f.Steps+1)+2+len(f.Course) {
				t.Errorf("%d passes in %d steps", passes, f.Steps)
			}
			ranked := func(p *vision.Picture) []vggo.Class {
				t.Helper()
				r, err := m.Classify(t.Context(), p.Image())
				if err != nil {
					t.Fatal(err)
				}
				return r
			}
			if got := ranked(picture)[0]; got != f.Was {
				t.Errorf("the picture is %v, told as %v", got, f.Was)
			}
			changed := f.At(1)
			if got := ranked(changed)[0]; got != f.Is || got.Index == f.Was.Index {
				t.Errorf("the changed picture is %v, told as %v, before %v", got, f.Is, f.Was)
			}
			if got := ranked(f.At(0.5))[0]; got.Index != f.Was.Index {
				t.Errorf("half of the change makes %v of %v: it is not small", got, f.Was)
			}
			most, sum := 0.0, 0.0
			for i, v := range changed.Pix {
				off := float64(v) - float64(picture.Pix[i])
				most, sum = max(most, math.Abs(off)), sum+off*off/255/255
			}
			if most != float64(f.Most) || math.Abs(math.Sqrt(sum)-f.L2) > 1e-12 || f.L2 > of.l2 || most == 0 {
				t.Errorf("the change is %v at most and %v in L2, told as %d and %v", most, math.Sqrt(sum), f.Most, f.L2)
			}
			if n := len(f.Course); n != 21 || f.Course[0].Share != 0 || f.Course[10].Share != 1 || f.Course[20].Share != 2 {
				t.Fatalf("%d points: %v", n, f.Course)
			}
			for _, point := range f.Course {
				for i, c := range ranked(f.At(point.Share)) {
					told := c.Probability
					switch c.Index {
					case f.Was.Index:
						told = point.Was
					case f.Is.Index:
						told = point.Is
					}
					if i == 0 && c.Index != point.Class || math.Abs(told-c.Probability) > 1e-6 {
						t.Errorf("share %v: %v, told as %v", point.Share, c, point)
					}
				}
			}
		})
	}
}

// TestFoolSameBits: any number of threads finds the same change.
func TestFoolSameBits(t *testing.T) {
	var first *explain.Fooling
	for _, threads := range []int{1, 2, 5} {
		m, err := vggo.Open(tinyWeights, vggo.Options{Threads: threads, Batch: 4})
		if err != nil {
			t.Fatal(err)
		}
		f, err := explain.Fool(t.Context(), m, seen(t, m, "../docs/examples/boot.png"), nil)
		if err := errors.Join(err, m.Close()); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = f
		} else if !reflect.DeepEqual(f, first) {
			t.Errorf("%d threads find another change", threads)
		}
	}
}

// plane is a network of one fully connected layer, whose borders between classes are planes.
func plane(t *testing.T, w, b []float32) *vggo.Model {
	t.Helper()
	description := filepath.Join(t.TempDir(), "plane.yaml")
	if err := os.WriteFile(description, []byte("name: plane\ninput: 4x4x3\nlayers:\n  - {name: flatten, op: flatten}\n"+
		"  - {name: fc, op: linear, out: 3}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := weights.Encode(&file, []weights.Tensor{{Name: "fc/w", Shape: []int{3, 48}, Data: w},
		{Name: "fc/b", Shape: []int{3}, Data: b}}, nil); err != nil {
		t.Fatal(err)
	}
	m, err := vggo.Read("plane.safetensors", file.Bytes(), vggo.Options{Network: description, Threads: 1,
		Preprocess: vision.PreprocessParts{Base: "unit", Mean: vision.Numbers{0.1, 0.2, 0.3},
			Std: vision.Numbers{0.5, 0.25, 2}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// TestFoolNearestPlane: where borders are planes, the change goes straight to the nearest, and hardly over it.
func TestFoolNearestPlane(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 1))
	grey := vision.NewPicture(4, 4, 3)
	for i := range grey.Pix {
		grey.Pix[i] = 128
	}
	for range 5 {
		w, b := make([]float32, 3*48), []float32{20, 0, -1}
		for i := range w {
			w[i] = float32(r.NormFloat64())
		}
		m := plane(t, w, b)
		f, err := explain.Fool(t.Context(), m, grey, nil)
		if err != nil {
			t.Fatal(err)
		}
		// A sample of share v is the input (v - mean)/std.
		mean, std := []float64{0.1, 0.2, 0.3}, []float64{0.5, 0.25, 2}
		distance, to := math.Inf(1), 0
		for k := 1; k < 3; k++ {
			apart, square := float64(b[k]-b[0]), 0.0
			for i := range 48 {
				d := (float64(w[k*48+i]) - float64(w[i])) / std[i/16]
				apart, square = apart+d*(128.0/255-mean[i/16]), square+d*d
			}
			if d := -apart / math.Sqrt(square); d < distance {
				distance, to = d, k
			}
		}
		along, change, border := 0.0, 0.0, 0.0
		for i, v := range f.Change {
			at := i%3*16 + i/3
			d := (float64(w[to*48+at]) - float64(w[at])) / std[i%3]
			along, change, border = along+d*float64(v), change+float64(v)*float64(v), border+d*d
		}
		if f.Is.Index != to || f.Steps != 1 {
			t.Errorf("it became class %d in %d steps, the nearest is %d", f.Is.Index, f.Steps, to)
		}
		if cosine := along / math.Sqrt(change*border); cosine < 1-1e-6 {
			t.Errorf("it goes to the border at a cosine of %v", cosine)
		}
		// Rounding moves 48 samples by half a step each at most, and halving ends within a 64th of all.
		length, round := math.Sqrt(change)/255, math.Sqrt(48)*0.5/255
		if length < distance-round || length > (distance+round)*(1+2.0/64) {
			t.Errorf("it goes %v far, the border is %v away", length, distance)
		}
	}
}

// TestFoolCloseToBorder: where so little is enough that 8 bits have no room for it, a step of a sample is found. So it
// is where the two best classes are so nearly equal that two ways to round rank them otherwise.
func TestFoolCloseToBorder(t *testing.T) {
	grey := vision.NewPicture(4, 4, 3)
	for i := range grey.Pix {
		grey.Pix[i] = 128
	}
	mean, std := []float64{0.1, 0.2, 0.3}, []float64{0.5, 0.25, 2}
	for _, c := range []struct {
		lead  float32
		seeds uint64
	}{{1e-3, 1}, {1e-7, 30}} {
		for seed := range c.seeds {
			r := rand.New(rand.NewPCG(3, 1+seed))
			w, b := make([]float32, 3*48), []float32{c.lead, 0, -1}
			for k := range b {
				for i := range 48 {
					v := r.NormFloat64()
					w[k*48+i] = float32(v)
					b[k] -= float32(v * (128.0/255 - mean[i/16]) / std[i/16])
				}
			}
			f, err := explain.Fool(t.Context(), plane(t, w, b), grey, nil)
			if err != nil || c.lead == 1e-3 && f.Was.Index != 0 || f.Is.Index == f.Was.Index || f.Most != 1 || f.Steps == 0 {
				t.Errorf("a lead of %v, seed %d: %+v, %v", c.lead, 1+seed, f, err)
			}
		}
	}
}

// TestFoolRefuses: a network that answers all pictures alike cannot be fooled, nor one of a picture of another size.
func TestFoolRefuses(t *testing.T) {
	m := plane(t, make([]float32, 3*48), []float32{1, 0, -1})
	_, err := explain.Fool(t.Context(), m, vision.NewPicture(4, 4, 3), nil)
	var unfooled *explain.UnfooledError
	if !errors.As(err, &unfooled) || unfooled.Network != "plane" {
		t.Error(err)
	}
	if _, err := explain.Fool(t.Context(), m, vision.NewPicture(5, 4, 3), nil); err == nil {
		t.Error("a picture of another size is no error")
	}
	full := errors.New("full")
	if _, err := explain.Fool(t.Context(), m, vision.NewPicture(4, 4, 3), func(int, func(context.Context) error) error {
		return full
	}); !errors.Is(err, full) {
		t.Error(err)
	}
}

// TestImageGradients: each class's gradient is that of the network in float64, batch norm as in use.
func TestImageGradients(t *testing.T) {
	for _, network := range []string{"tinyvgg", "batchnorm"} {
		m := open(t, network, 1)
		x := tensor.New(1, 1, 28, 28) // noise: where a picture is even, poolings have more than one maximum
		r := rand.New(rand.NewPCG(4, 2))
		for i := range x.Data {
			x.Data[i] = float32(r.NormFloat64())
		}
		classes := []int{9, 4}
		g, err := m.ImageGradients(t.Context(), x, classes)
		if err != nil {
			t.Fatal(err)
		}
		net, err := reference.NewNet(m.Placed, archtest.Values(t, m.Placed.Layers, m.Parameter))
		if err != nil {
			t.Fatal(err)
		}
		var image []float64
		for _, v := range x.Data {
			image = append(image, float64(v))
		}
		if err := net.Forward(image, 1, false); err != nil {
			t.Fatal(err)
		}
		logits := net.Logits().Data
		for n, class := range classes {
			seed := make([]float64, len(logits))
			seed[class] = 1
			_, want, err := net.Backward(seed)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(g.Logits[n]-logits[class]) > 1e-4*math.Abs(logits[class]) {
				t.Errorf("%s: the logit of class %d is %v, not %v", network, class, g.Logits[n], logits[class])
			}
			most := 0.0
			for _, v := range want {
				most = max(most, math.Abs(v))
			}
			for i, v := range g.Gradients.Images(n, n+1).Data {
				if off := math.Abs(float64(v) - want[i]); !(off <= 1e-4*most) {
					t.Fatalf("%s: class %d, pixel %d: %v, in float64 %v", network, class, i, v, want[i])
				}
			}
		}
		if _, err := m.ImageGradients(t.Context(), x, []int{10}); err == nil {
			t.Error("class 10 of 10 is no error")
		}
	}
}
