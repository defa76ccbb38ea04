package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"mime/multipart"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/perceptual"
	"github.com/vggo/vggo/vision"
)

// alexNet is torchvision's AlexNet with a small head, its weights drawn at random.
func alexNet(t *testing.T) Source {
	t.Helper()
	net, err := arch.Builtin("alexnet-torchvision")
	if err == nil {
		net, err = net.Until("flatten")
	}
	if err != nil {
		t.Fatal(err)
	}
	net.Layers = append(net.Layers, arch.Layer{Name: "fc6", Op: arch.Linear{Out: 2}}, arch.Layer{Name: "softmax",
		Op: arch.Softmax{}})
	path := filepath.Join(t.TempDir(), "alexnet.yaml")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(net.EncodeYAML(file), file.Close()); err != nil {
		t.Fatal(err)
	}
	return Source{"alexnet", func() (*vggo.Model, error) { return vggo.New(path, vggo.Options{Seed: 1, Threads: 2}) }}
}

// noisy is a picture as PNG, with a clear corner if it is to be transparent.
func noisy(t *testing.T, seed uint64, w, h int, transparent bool) []byte {
	t.Helper()
	m, r := image.NewNRGBA(image.Rect(0, 0, w, h)), rand.New(rand.NewPCG(seed, 1))
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, color.NRGBA{uint8(r.Uint32()), uint8(r.Uint32()), uint8(r.Uint32()), 255})
		}
	}
	if transparent {
		m.SetNRGBA(0, 0, color.NRGBA{})
	}
	var file bytes.Buffer
	if err := png.Encode(&file, m); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// pairForm is two pictures in a form.
func pairForm(t *testing.T, names []string, files ...[]byte) sent {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i, name := range names {
		part, err := w.CreateFormFile(name, "picture")
		if err != nil {
			t.Fatal(err)
		}
		part.Write(files[i])
	}
	w.Close()
	return sent{"POST", "/v1/compare", []string{"Content-Type", w.FormDataContentType()}, b.Bytes()}
}

// TestCompare: however two pictures come, the answer is the library's; what was admitted for it is given back.
func TestCompare(t *testing.T) {
	source := alexNet(t)
	s, web := start(t, Config{Models: []Source{source, tiny("tiny")}})
	a, b := noisy(t, 1, 70, 64, false), noisy(t, 2, 70, 64, false)
	m, err := source.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	meter, err := perceptual.New(m, perceptual.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var pictures [2]*vision.Picture
	for i, file := range [][]byte{a, b} {
		if pictures[i], err = vision.Decode(bytes.NewReader(file), vision.Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	want, err := meter.Distance(context.Background(), pictures[0], pictures[1])
	if err != nil {
		t.Fatal(err)
	}
	both := []string{"a", "b"}
	inJSON := sent{"POST", "/v1/compare?metric=lpips&model=alexnet", []string{"Content-Type", "application/json"},
		jsonOf(t, map[string][]byte{"a": a, "b": b})}
	for name, c := range map[string]sent{"form": pairForm(t, both, a, b), "swapped": pairForm(t, both, b, a),
		"JSON": inJSON} {
		answer, text := c.do(t, web.URL)
		var got comparison
		if err := json.Unmarshal(text, &got); err != nil || answer.StatusCode != 200 {
			t.Fatalf("%s: %d %s", name, answer.StatusCode, text)
		}
		if got.Distance != want.Value || got.Width != 70 || got.Height != 64 || got.Calibrated || got.Version != "0.1" ||
			got.Network != "alexnet-torchvision" || len(got.Layers) != 5 {
			t.Errorf("%s: %+v, want a distance of %v", name, got, want.Value)
		}
	}
	for _, c := range []struct {
		name   string
		sent   sent
		status int
		want   string
	}{
		{"sizes", pairForm(t, both, a, noisy(t, 1, 64, 64, false)), 422, "different sizes: 64x70 and 64x64"},
		{"transparent", pairForm(t, both, a, noisy(t, 2, 70, 64, true)), 422, "transparent"},
		{"small", pairForm(t, both, noisy(t, 1, 30, 64, false), noisy(t, 2, 30, 64, false)), 422, "must have 31"},
		{"one", pairForm(t, []string{"a"}, a), 400, "no picture b"},
		{"twice", pairForm(t, []string{"a", "a"}, a, b), 400, "a comes twice"},
		{"a third", pairForm(t, []string{"a", "b", "c"}, a, b, b), 400, "only a and b are known"},
		{"no picture", pairForm(t, both, a, []byte("no picture")), 422, "not a JPEG"},
		{"a body alone", sent{"POST", "/v1/compare", nil, a}, 415, "holds no two pictures"},
		{"another network", sent{"POST", "/v1/compare?model=tiny", nil, a}, 400, "lpips was fitted to vgg16 and alexnet"},
		{"dists", sent{"POST", "/v1/compare?metric=dists", nil, a}, 400, "dists was fitted to vgg16, not"},
		{"another metric", sent{"POST", "/v1/compare?metric=ssim", nil, a}, 400, "ssim"},
		{"a number in JSON", sent{"POST", "/v1/compare", []string{"Content-Type", "application/json"}, []byte(`{"a": 1}`)},
			400, "is a number, not a string"},
	} {
		answer, text := c.sent.do(t, web.URL)
		if answer.StatusCode != c.status || !strings.Contains(string(text), c.want) {
			t.Errorf("%s: %d %s, want %d and %q", c.name, answer.StatusCode, text, c.status, c.want)
		}
	}
	l := s.loaded.Load()
	if l.work.inUse() != 0 || s.buffers.inUse() != 0 {
		t.Errorf("%d multiply-accumulates and %d bytes are not given back", l.work.inUse(), s.buffers.inUse())
	}
	all, err := l.work.enter(l.work.budget)
	if err != nil {
		t.Fatal(err)
	}
	if answer, text := inJSON.do(t, web.URL); answer.StatusCode != 429 {
		t.Errorf("with no room for work: %d %s", answer.StatusCode, text)
	}
	all.leave()
}
