package serve

import (
	"bytes"
	"errors"
	"image/png"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/page/lesson"
	"github.com/vggo/vggo/style"
	"github.com/vggo/vggo/vision"
)

// TestPatches: of a picture, and of those that a network learns from, the parts are explain's.
func TestPatches(t *testing.T) {
	s, base := learning(t)
	const layer = "relu2_1"
	m, err := s.model("tiny")
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.Training()
	if err != nil {
		t.Fatal(err)
	}
	picture, err := vision.Decode(bytes.NewReader(boot(t)), vision.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		body     []byte
		of       string
		pictures int
	}{{boot(t), "", 1}, {nil, data.Name, int(min(lessonPictures, s.loaded.Load().work.budget/2/m.costUntil(layer)))}} {
		told := ask[patchesJSON](t, base, "POST", "/v1/models/tiny/patches?layer="+layer+"&channel=3&count=5", c.body, 200)
		from := func(yield func(string, *vision.Picture) bool) { yield("", picture) }
		if c.body == nil {
			from = lessonNamed(data, c.pictures)
		}
		found, err := explain.TopPatches(t.Context(), m.Model, from, layer, 3, 5)
		if err != nil {
			t.Fatal(err)
		}
		if told.Of != c.of || told.Pictures != c.pictures || len(told.Patches) != len(found) || told.Layer != layer ||
			told.Channel != 3 {
			t.Fatalf("%d patches of %d pictures of %q, want %d patches of %d pictures of %q", len(told.Patches),
				told.Pictures, told.Of, len(found), c.pictures, c.of)
		}
		for i, p := range told.Patches {
			w := found[i]
			shown, err := png.Decode(bytes.NewReader(p.Picture))
			if err != nil || p.Name != w.Name || p.Value != w.Value || p.Y != w.Y || p.X != w.X ||
				p.Box != (boxJSON{w.Box.Min.X, w.Box.Min.Y, w.Box.Max.X, w.Box.Max.Y}) ||
				shown.Bounds().Size() != w.Box.Size() {
				t.Errorf("patch %d: %+v, want %+v: %v", i, p, w, err)
			}
		}
	}
	if s.buffers.inUse() != 0 || s.loaded.Load().work.inUse() != 0 {
		t.Errorf("%d bytes and %d work are held", s.buffers.inUse(), s.loaded.Load().work.inUse())
	}
}

// TestDream: a picture grows as style.Dream has it, and from what was answered it grows on.
func TestDream(t *testing.T) {
	s, web := start(t, Config{})
	m, err := s.model("tiny")
	if err != nil {
		t.Fatal(err)
	}
	const path = "/v1/models/tiny/dream?layer=conv2_1&channel=3&iterations=4&seed=7"
	d := style.Dream{Layer: "conv2_1", Channel: 3, Iterations: 4, Seed: 7}
	var body []byte
	for range 2 {
		told := ask[dreamJSON](t, web.URL, "POST", path, body, 200)
		want, err := d.Grow(t.Context(), m.Model, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := vision.Decode(bytes.NewReader(told.Picture), vision.Limits{})
		if err != nil || !slices.Equal(got.Pix, want.Pix) || told.Width != 28 || told.Height != 28 || told.Iterations != 4 ||
			!(told.Last > told.First) {
			t.Fatalf("%v: %d iterations from %v to %v, or another picture than style's", err, told.Iterations, told.First,
				told.Last)
		}
		body, d.From = told.Picture, want
	}
	// A photograph is cut out as the network sees it.
	owl := ask[dreamJSON](t, web.URL, "POST", "/v1/models/colour/dream?layer=conv1_1&iterations=1", jpegOf(t, 50, 40), 200)
	if owl.Width != 16 || owl.Height != 16 {
		t.Errorf("%dx%d", owl.Height, owl.Width)
	}
	if s.buffers.inUse() != 0 || s.loaded.Load().work.inUse() != 0 {
		t.Errorf("%d bytes and %d work are held", s.buffers.inUse(), s.loaded.Load().work.inUse())
	}
}

// TestExciteFaults: each has its word and its remedy.
func TestExciteFaults(t *testing.T) {
	_, web := start(t, Config{})
	for _, c := range []struct {
		path string
		body []byte
		code int
		want string
	}{
		{"tiny/patches?layer=relu2_1", nil, 400, "no picture, and this server has none of its own"},
		{"tiny/patches?layer=relu9_9", boot(t), 400, `no layer \"relu9_9\"`},
		{"tiny/patches?layer=relu2_1&channel=10", boot(t), 400, "relu2_1 has 10 channels: there is no channel 10"},
		{"tiny/patches?layer=relu2_1&count=65", boot(t), 400, "count=65 is more than 64"},
		{"tiny/patches?layer=relu2_1", []byte("none"), 422, ""},
		{"none/patches?layer=relu2_1", boot(t), 404, `no model is called`},
		{"tiny/dream?layer=relu9_9", nil, 400, `no layer \"relu9_9\"`},
		{"tiny/dream?layer=conv2_1&channel=10", nil, 400, "conv2_1 has 10 channels: there is no channel 10"},
		{"tiny/dream?layer=softmax", nil, 400, "name fc3, whose channels are the scores"},
		{"tiny/dream?layer=conv2_1&iterations=65", nil, 400, "iterations=65 is more than 64"},
		{"tiny/dream?layer=relu1_1&channel=2", nil, 422, "channel 2 of relu1_1: no pixel changes it"},
		{"tiny/dream?layer=conv2_1", []byte("none"), 422, ""},
		{"none/dream?layer=conv2_1", nil, 404, `no model is called`},
	} {
		answer, text := sent{method: "POST", path: "/v1/models/" + c.path, body: c.body}.do(t, web.URL)
		if answer.StatusCode != c.code || !strings.Contains(string(text), c.want) ||
			!strings.Contains(string(text), `"hint"`) {
			t.Errorf("%s: %d %s, want %d with %q", c.path, answer.StatusCode, text, c.code, c.want)
		}
	}
	_, broken := start(t, Config{Training: func() (lesson.Data, error) { return lesson.Data{}, errors.New("lost") }})
	if told := ask[refusalJSON](t, broken.URL, "POST", "/v1/models/tiny/patches?layer=relu2_1", nil, 503); told.Kind !=
		"loading" {
		t.Errorf("%+v", told)
	}
	// Work beyond what the server takes on is done in smaller pieces.
	little, small := start(t, Config{Queue: 20})
	m, err := little.model("tiny")
	if err != nil {
		t.Fatal(err)
	}
	macs, _, err := (&style.Dream{Layer: "conv2_1", Iterations: 64}).Cost(m.Model)
	if err != nil {
		t.Fatal(err)
	}
	want := int(little.loaded.Load().work.budget/2/macs) - 1
	if told := ask[dreamJSON](t, small.URL, "POST", "/v1/models/tiny/dream?layer=conv2_1&iterations=64", nil,
		200); told.Iterations != want || want >= 64 || want < 2 {
		t.Errorf("%d iterations are done at once, want %d", told.Iterations, want)
	}
	// Where there is little room for weights that are packed for Winograd's algorithm, convolutions go directly.
	wide := func() (*vggo.Model, error) {
		return vggo.New("16x16x3:128,128,128/2", vggo.Options{Seed: 1, Threads: 1})
	}
	m2, err := wide()
	if err != nil {
		t.Fatal(err)
	}
	defer m2.Close()
	var bytes [2]int64
	for i, algo := range []nn.Algo{nn.Auto, nn.Direct} {
		if _, bytes[i], err = (&style.Dream{Layer: "conv1_3", Iterations: 2, Algo: algo}).Cost(m2); err != nil {
			t.Fatal(err)
		}
	}
	if bytes[0] < bytes[1]+1<<20 {
		t.Fatalf("%d bytes, and %d directly", bytes[0], bytes[1])
	}
	_, narrow := start(t, Config{Buffers: bytes[1] + 1<<19, MaxBody: 1 << 16, Models: []Source{{"wide", wide}}})
	if told := ask[dreamJSON](t, narrow.URL, "POST", "/v1/models/wide/dream?layer=conv1_3&iterations=2", nil,
		200); told.Iterations != 2 {
		t.Errorf("%+v", told)
	}
}

// TestPatchesMemory: a picture is counted for as long as it is kept at its full size, and so are a layer's maps.
func TestPatchesMemory(t *testing.T) {
	large := vision.NewPicture(3000, 2000, 1)
	var file bytes.Buffer
	if err := png.Encode(&file, large.Image()); err != nil {
		t.Fatal(err)
	}
	small := vision.NewPicture(30, 20, 1)
	var other bytes.Buffer
	if err := png.Encode(&other, small.Image()); err != nil {
		t.Fatal(err)
	}
	wide := Source{"wide", func() (*vggo.Model, error) {
		return vggo.New("64x64x1:256/2", vggo.Options{Seed: 1, Threads: 1})
	}}
	s, web := start(t, Config{Buffers: 3 << 20, MaxBody: 1 << 16, Models: []Source{tiny("tiny"), wide}})
	for _, c := range []struct {
		model string
		body  []byte
		code  int
	}{{"tiny", other.Bytes(), 200}, {"tiny", file.Bytes(), 413}, {"wide", other.Bytes(), 413}} {
		path := "/v1/models/" + c.model + "/patches?layer=conv1_1&count=1"
		if answer, text := (sent{method: "POST", path: path, body: c.body}).do(t, web.URL); answer.StatusCode != c.code {
			t.Errorf("%s of %d bytes: %d %s, want %d", path, len(c.body), answer.StatusCode, text, c.code)
		}
	}
	if s.buffers.inUse() != 0 || s.loaded.Load().work.inUse() != 0 {
		t.Errorf("%d bytes and %d work are held", s.buffers.inUse(), s.loaded.Load().work.inUse())
	}
}
