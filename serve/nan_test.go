package serve

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggo/vggo"
)

// TestNaN: a network of broken weights is told, and where they came from is not.
func TestNaN(t *testing.T) {
	trained, err := os.ReadFile(tinyWeights)
	if err != nil {
		t.Fatal(err)
	}
	header := 8 + int(binary.LittleEndian.Uint64(trained))
	broken := filepath.Join(t.TempDir(), "broken.safetensors")
	file := append(trained[:header:header], bytes.Repeat([]byte{0xff}, len(trained)-header)...)
	if err := os.WriteFile(broken, file, 0o644); err != nil {
		t.Fatal(err)
	}
	_, web := start(t, Config{Models: []Source{{"broken", func() (*vggo.Model, error) {
		return vggo.Open(broken, vggo.Options{})
	}}}})
	for _, path := range []string{"classify?model=broken", "inside?model=broken", "models/broken/patches?layer=relu2_1",
		"models/broken/dream?layer=conv2_1", "features?model=broken&layer=conv2_1"} {
		answer, text := sent{"POST", "/v1/" + path, []string{"Content-Type", "image/png"}, boot(t)}.do(t, web.URL)
		if answer.StatusCode != 422 || !strings.Contains(string(text), `"kind":"not_finite"`) ||
			!strings.Contains(string(text), `"hint"`) || strings.Contains(string(text), broken) {
			t.Errorf("%s: %d %s", path, answer.StatusCode, text)
		}
	}
}
