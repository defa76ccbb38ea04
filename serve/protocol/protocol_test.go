package protocol

import (
	"net/http/httptest"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/serve"
)

// start starts vggo's server with networks of random weights, by name.
func start(t testing.TB, networks map[string]string) *httptest.Server {
	t.Helper()
	var models []serve.Source
	for name, network := range networks {
		models = append(models, serve.Source{Name: name, Open: func() (*vggo.Model, error) {
			return vggo.New(network, vggo.Options{Seed: 3, Batch: 4, Threads: 2})
		}})
	}
	s := serve.New(serve.Config{Models: models})
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		web.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return web
}

// sample makes an input whose values have long fractions.
func sample(shape ...int) Sample {
	n, _ := product(shape)
	s := Sample{Name: "images", Shape: shape, Values: make([]float32, n)}
	for i := range s.Values {
		s.Values[i] = float32(i%97)/97 - 0.25
	}
	return s
}

// TestProtocol: the checks find nothing to object to in vggo's server, and none is left out.
func TestProtocol(t *testing.T) {
	web := start(t, map[string]string{"grey": "28x28x1:10,10,M,10,10,M/10", "colour": "16x16x3:8,M,16,M/24,10"})
	for model, s := range map[string]Sample{"grey": sample(2, 1, 28, 28), "colour": sample(5, 3, 16, 16)} {
		findings := Check(t.Context(), web.Client(), web.URL, model, s)
		for _, f := range findings {
			if f.Err != nil {
				t.Errorf("%s: %v", model, f)
			}
			t.Logf("%s: %v", model, f)
		}
		if len(findings) != 75 {
			t.Errorf("%s: %d checks ran, not 75", model, len(findings))
		}
	}
}
