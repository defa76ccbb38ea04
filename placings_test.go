//go:build placings

package vggo_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/embedded"
	"github.com/vggo/vggo/serve"
	"github.com/vggo/vggo/tensor"
)

// TestPlacings counts, in a build that is made for it (go test -tags placings), that opening a model and each request
// place a network on a size once at most.
func TestPlacings(t *testing.T) {
	once := func(what string, do func() error) {
		t.Helper()
		arch.Placings.Lock()
		arch.Placings.Of = nil
		arch.Placings.Unlock()
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		arch.Placings.Lock()
		defer arch.Placings.Unlock()
		t.Logf("%s: %d networks and sizes", what, len(arch.Placings.Of))
		for key, n := range arch.Placings.Of {
			if n > 1 {
				t.Errorf("%s: placed %d times: %s", what, n, key)
			}
		}
	}
	described := filepath.Join(t.TempDir(), "described.yaml")
	net, err := arch.Builtin("tinyvgg")
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := net.EncodeYAML(&text); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(described, text.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	const tiny = "weights/testdata/tinyvgg-fashionmnist.safetensors"
	for _, c := range []struct {
		path    string
		options vggo.Options
	}{
		{tiny, vggo.Options{}},
		{tiny, vggo.Options{Network: "tinyvgg"}},
		{tiny, vggo.Options{Network: described}},
		{tiny, vggo.Options{Network: "28x28x1:10,10,M,10,10,M/10"}},
		{"embedded/vgg-cifar10.safetensors", vggo.Options{}},
		{"weights/testdata/onnx/batchnorm.onnx", vggo.Options{}},
		{"weights/testdata/onnx/ends/open-size.onnx", vggo.Options{Input: arch.Shape{C: 3, H: 16, W: 16}}},
		{"weights/testdata/keras/keras3.keras", vggo.Options{}},
		{"weights/testdata/keras/keras3-open.keras", vggo.Options{Input: arch.Shape{C: 3, H: 9, W: 8}}},
	} {
		var m *vggo.Model
		once(fmt.Sprintf("Open %s as %q", c.path, c.options.Network), func() (err error) {
			m, err = vggo.Open(c.path, c.options)
			return err
		})
		defer m.Close()
		once("Memory of "+c.path, func() error {
			_, err := m.Memory()
			return err
		})
		once("Forward by "+c.path, func() error {
			_, err := m.Forward(t.Context(), tensor.New(1, m.Input.C, m.Input.H, m.Input.W))
			return err
		})
	}

	s := serve.New(serve.Config{Models: []serve.Source{{Name: "cifar", Open: func() (*vggo.Model, error) {
		return embedded.Open(vggo.Options{})
	}}}})
	if err := s.Load(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	web := httptest.NewServer(s)
	defer web.Close()
	cat, err := os.ReadFile("page/static/examples/cat.jpg")
	if err != nil {
		t.Fatal(err)
	}
	post := func(path string, body []byte) (answer []byte, err error) {
		r, err := http.Post(web.URL+path, "", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		defer r.Body.Close()
		if answer, err = io.ReadAll(r.Body); err == nil && r.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", r.Status, answer)
		}
		return answer, err
	}
	once("a classify request", func() error {
		_, err := post("/v1/classify", cat)
		return err
	})
	visit, err := post("/v1/inside", cat)
	if err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile(`"id":"([^"]+)"`).FindSubmatch(visit)
	if id == nil {
		t.Fatalf("no id in %.200s", visit)
	}
	once("a Grad-CAM request", func() error {
		_, err := post("/v1/inside/"+string(id[1])+"/gradcam", nil)
		return err
	})
}
