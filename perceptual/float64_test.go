package perceptual_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/arch/archtest"
	"github.com/vggo/vggo/nn/reference"
	"github.com/vggo/vggo/perceptual"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// exact is a metric in float64, its equations written out, over package reference's networks.
type exact struct {
	metric perceptual.Metric
	net    *reference.Net
	layers []string
	lpips  [][]float32
	alpha  []float32
	beta   []float32
}

func newExact(t *testing.T, metric perceptual.Metric, m *vggo.Model, input arch.Shape, layers []string) *exact {
	t.Helper()
	e := &exact{metric: metric, layers: layers}
	file := map[bool]string{true: "lpips-v0.1-vgg", false: "lpips-v0.1-alex"}[len(layers[0]) > len("relu1")]
	net := *m.Network
	if metric == perceptual.DISTS {
		file = "dists"
		net.Layers = slices.Clone(net.Layers)
		for i, l := range net.Layers {
			if _, ok := l.Op.(arch.MaxPool); ok {
				net.Layers[i].Op = arch.L2Pool{}
			}
		}
	}
	head, err := weights.Open("heads/" + file + ".safetensors")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { head.Close() })
	for _, name := range head.Names() {
		tensor, err := head.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		switch name {
		case "alpha":
			e.alpha = tensor.Data
		case "beta":
			e.beta = tensor.Data
		default:
			e.lpips = append(e.lpips, tensor.Data)
		}
	}
	placed, err := net.Place(input)
	if err != nil {
		t.Fatal(err)
	}
	if e.net, err = reference.NewNet(placed, archtest.Values(t, placed.Layers, m.Parameter)); err != nil {
		t.Fatal(err)
	}
	return e
}

// maps are the picture's samples and what the layers make of them.
func (e *exact) maps(t *testing.T, samples []float64) (maps []reference.Tensor) {
	t.Helper()
	shape := e.net.Input
	x := make([]float64, len(samples))
	for i, v := range samples {
		c := i / (shape.H * shape.W)
		x[i] = (v - []float64{0.485, 0.456, 0.406}[c]) / []float64{0.229, 0.224, 0.225}[c]
	}
	if err := e.net.Forward(x, 1, false); err != nil {
		t.Fatal(err)
	}
	maps = append(maps, reference.Tensor{N: 1, Shape: shape, Data: samples})
	for _, layer := range e.layers {
		y, err := e.net.Activation(layer)
		if err != nil {
			t.Fatal(err)
		}
		maps = append(maps, y)
	}
	return maps
}

func (e *exact) distance(a, b []reference.Tensor) float64 {
	if e.metric == perceptual.LPIPS {
		return e.lpipsOf(a, b)
	}
	at, sum, total := 0, 0.0, 0.0
	for i := range a {
		pixels := a[i].H * a[i].W
		for c := range a[i].C {
			x, y := a[i].Data[c*pixels:][:pixels], b[i].Data[c*pixels:][:pixels]
			mx, my, vx, vy, r := mean(x), mean(y), 0.0, 0.0, 0.0
			for p := range x {
				vx += (x[p] - mx) * (x[p] - mx) / float64(pixels)
				vy += (y[p] - my) * (y[p] - my) / float64(pixels)
				r += (x[p] - mx) * (y[p] - my) / float64(pixels)
			}
			alpha, beta := float64(e.alpha[at]), float64(e.beta[at])
			sum += alpha*(1-(2*mx*my+1e-6)/(mx*mx+my*my+1e-6)) + beta*(1-(2*r+1e-6)/(vx+vy+1e-6))
			total += alpha + beta
			at++
		}
	}
	return sum / total
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}

func (e *exact) lpipsOf(a, b []reference.Tensor) (d float64) {
	for i := range e.layers {
		f, g := a[i+1], b[i+1]
		pixels := f.H * f.W
		for p := range pixels {
			length := func(x reference.Tensor) float64 {
				sum := 0.0
				for c := range x.C {
					sum += x.Data[c*pixels+p] * x.Data[c*pixels+p]
				}
				return math.Sqrt(sum) + 1e-10
			}
			nf, ng := length(f), length(g)
			for c := range f.C {
				u := f.Data[c*pixels+p]/nf - g.Data[c*pixels+p]/ng
				d += float64(e.lpips[i][c]) * u * u / float64(pixels)
			}
		}
	}
	return d
}

// TestFiniteDifferences holds distances to the equations in float64, and gradients to difference quotients of these
// along the gradient itself, within 1e-4. In float64 a step can be so small that no ReLU changes its mind.
func TestFiniteDifferences(t *testing.T) {
	if raceEnabled {
		t.Skip("float64's loops take a minute with the race detector")
	}
	for _, w := range ways {
		size := arch.Shape{C: 3, H: 17, W: 20}
		layers := []string{"relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"}
		if w.network != "vgg16" {
			size = arch.Shape{C: 3, H: 40, W: 33}
			layers = []string{"relu1", "relu2", "relu3", "relu4", "relu5"}
		}
		model := model(t, w.network, vggo.Options{})
		a, b := noise(1, size.W, size.H), noise(2, size.W, size.H)
		g, err := meter(t, model, perceptual.Options{Metric: w.metric}).Gradient(context.Background(), a, b)
		if err != nil {
			t.Fatal(err)
		}
		e := newExact(t, w.metric, model, size, layers)
		plane := size.H * size.W
		samples := func(p *vision.Picture) []float64 {
			v := make([]float64, 3*plane)
			for i, s := range p.Pix {
				v[i%3*plane+i/3] = float64(s) / 255
			}
			return v
		}
		x, other := samples(a), e.maps(t, samples(b))
		if d := e.distance(e.maps(t, x), other); !(math.Abs(d-g.Value) <= 1e-6+1e-5*d) {
			t.Errorf("%s by %s: %.9g, in float64 %.9g", w.metric, w.network, g.Value, d)
		}
		length := 0.0
		for _, v := range g.A.Data {
			length += float64(v) * float64(v)
		}
		const h = 1e-6
		moved := func(h float64) float64 {
			to := slices.Clone(x)
			for i, v := range g.A.Data {
				to[i] += h * float64(v) / math.Sqrt(length)
			}
			return e.distance(e.maps(t, to), other)
		}
		quotient := (moved(h) - moved(-h)) / (2 * h)
		if !(math.Abs(quotient-math.Sqrt(length)) <= 1e-4*math.Sqrt(length)) {
			t.Errorf("%s by %s: along the gradient the distance grows by %.8g, the gradient's length is %.8g", w.metric,
				w.network, quotient, math.Sqrt(length))
		}
	}
}
