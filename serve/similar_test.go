package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vggo/vggo/similar"
	"github.com/vggo/vggo/vision"
)

// TestSimilar: what is found is what the library finds, and what was admitted for it is given back.
func TestSimilar(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for i := range 12 {
		files = append(files, filepath.Join(dir, fmt.Sprint(i, ".png")))
		if err := os.WriteFile(files[i], noisy(t, uint64(i%9), 20+i, 24, false), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	m, err := colour("colour").Open()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	d, err := similar.New(m, "")
	if err != nil {
		t.Fatal(err)
	}
	x, _, err := d.Index(t.Context(), files, similar.Build{})
	path := filepath.Join(dir, "index")
	if err := errors.Join(err, x.Write(path)); err != nil {
		t.Fatal(err)
	}
	s, web := start(t, Config{Indexes: map[string]string{"colour": path}})
	picture := noisy(t, 40, 30, 30, false)
	decoded, err := vision.Decode(bytes.NewReader(picture), vision.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	input, err := m.Prepare(t.Context(), []*vision.Picture{decoded})
	if err != nil {
		t.Fatal(err)
	}
	vector, err := d.Describe(t.Context(), input)
	if err != nil {
		t.Fatal(err)
	}
	for query, n := range map[string]int{"model=colour": 10, "model=colour&n=3": 3, "model=colour&n=1000": 12} {
		want, err := x.Find(t.Context(), vector, n, 0)
		if err != nil {
			t.Fatal(err)
		}
		answer, text := sent{"POST", "/v1/similar?" + query, nil, picture}.do(t, web.URL)
		var got similarity
		if err := json.Unmarshal(text, &got); err != nil || answer.StatusCode != 200 {
			t.Fatalf("%s: %d %s", query, answer.StatusCode, text)
		}
		if told := (similarity{"colour", "pool2", 30, 30, 12, want}); !reflect.DeepEqual(got, told) {
			t.Errorf("%s: %+v\nwant\n%+v", query, got, told)
		}
	}
	inJSON := sent{"POST", "/v1/similar", []string{"Content-Type", "application/json"},
		jsonOf(t, map[string]any{"image": picture, "model": "colour"})}
	if answer, text := inJSON.do(t, web.URL); answer.StatusCode != 200 {
		t.Errorf("with the model in JSON: %d %s", answer.StatusCode, text)
	}
	for query, c := range map[string]struct {
		status int
		want   string
	}{
		"": {404, "tiny has no index"}, "?model=colour&n=0": {400, "n"}, "?model=colour&n=1001": {400, "n"},
		"?model=none": {404, "none"}, "?model=colour&layer=pool1": {400, "layer"},
	} {
		answer, text := sent{"POST", "/v1/similar" + query, nil, picture}.do(t, web.URL)
		if answer.StatusCode != c.status || !strings.Contains(string(text), c.want) {
			t.Errorf("%q: %d %s, want %d and %q", query, answer.StatusCode, text, c.status, c.want)
		}
	}
	l := s.loaded.Load()
	if l.work.inUse() != 0 || s.buffers.inUse() != 0 {
		t.Errorf("%d multiply-accumulates and %d bytes are not given back", l.work.inUse(), s.buffers.inUse())
	}
}

// TestOtherIndex: a server does not start with an index of other vectors, or with none.
func TestOtherIndex(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	m, err := tiny("tiny").Open()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	d, err := similar.New(m, "")
	if err != nil {
		t.Fatal(err)
	}
	x, _, err := d.Index(t.Context(), []string{"../docs/examples/boot.png"}, similar.Build{})
	if err := errors.Join(err, x.Write(path)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ index, name, want string }{{path, "colour", "another network"},
		{"similar_test.go", "colour", "no index of pictures"}, {path, "color", "not served"}} {
		s := New(Config{Models: []Source{colour("colour")}, Indexes: map[string]string{c.name: c.index}})
		if err := s.Load(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) ||
			!strings.Contains(err.Error(), c.index) {
			t.Errorf("%s: %v", c.index, err)
		}
	}
}
