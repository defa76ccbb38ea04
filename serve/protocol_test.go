package serve

import (
	"testing"

	"github.com/vggo/vggo/internal/oipclient"
)

// TestProtocol: a client that was written from the protocol's published texts, apart from this server, finds nothing to object to.
func TestProtocol(t *testing.T) {
	_, web := start(t, Config{})
	for model, shape := range map[string][]int{"tiny": {2, 1, 28, 28}, "colour": {5, 3, 16, 16}} {
		n := 1
		for _, d := range shape {
			n *= d
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i%97)/97 - 0.25
		}
		sample := oipclient.Input{Tensor: oipclient.Tensor{Name: inputName, Datatype: oipclient.FP32, Shape: shape, Data: floatBytes(values)}}
		client := oipclient.New(web.URL, client(t))
		ran := 0
		for _, f := range oipclient.Check(t.Context(), client, model, sample) {
			switch {
			case f.Err != nil:
				t.Errorf("%s: %v", model, f)
			case f.Skipped != "":
				t.Logf("%s: %v", model, f)
			default:
				ran++
			}
		}
		if ran < 60 {
			t.Errorf("%s: %d checks ran", model, ran)
		}
	}
}
