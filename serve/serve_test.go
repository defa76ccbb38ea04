package serve

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"math"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/vision"
)

const (
	tinyWeights = "../weights/testdata/tinyvgg-fashionmnist.safetensors"
	bootPicture = "../docs/examples/boot.png"
)

// tiny is a trained TinyVGG, for batches of 4.
func tiny(name string) Source {
	return Source{name, func() (*vggo.Model, error) {
		labels, err := vision.ReadLabelsFile("../docs/examples/fashion-mnist.txt")
		if err != nil {
			return nil, err
		}
		return vggo.Open(tinyWeights, vggo.Options{Batch: 4, Threads: 2, Classes: labels.Names})
	}}
}

// colour is a small network of random weights for pictures in colour.
func colour(name string) Source {
	return Source{name, func() (*vggo.Model, error) {
		return vggo.New("16x16x3:8,M,16,M/24,10", vggo.Options{Seed: 3, Batch: 4, Threads: 2})
	}}
}

// start makes a server with its models loaded, behind a listener.
func start(t *testing.T, config Config) (*Server, *httptest.Server) {
	t.Helper()
	if config.Models == nil {
		config.Models = []Source{tiny("tiny"), colour("colour")}
	}
	s := New(config)
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
	return s, web
}

func boot(t *testing.T) []byte {
	t.Helper()
	file, err := os.ReadFile(bootPicture)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// sent is a request of a test.
type sent struct {
	method, path string
	header       []string // name, value, …
	body         []byte
}

func (s sent) do(t *testing.T, base string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), s.method, base+s.path, bytes.NewReader(s.body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(s.header); i += 2 {
		if s.header[i] == "Host" {
			r.Host = s.header[i+1]
		}
		r.Header.Set(s.header[i], s.header[i+1])
	}
	answer, err := client(t).Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", s.method, s.path, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", s.method, s.path, err)
	}
	return answer, text
}

// form is a picture as a browser sends it.
func form(t *testing.T, field string, file []byte) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile(field, "picture")
	if err != nil {
		t.Fatal(err)
	}
	part.Write(file)
	w.Close()
	return w.FormDataContentType(), b.Bytes()
}

func jsonOf(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestClassify: however a picture comes, the answer is the one that the library gives.
func TestClassify(t *testing.T) {
	_, web := start(t, Config{})
	file := boot(t)
	formType, formBody := form(t, "image", file)
	for name, c := range map[string]sent{
		"body":      {body: file},
		"image/png": {body: file, header: []string{"Content-Type", "image/png"}},
		"curl":      {body: file, header: []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"form":      {body: formBody, header: []string{"Content-Type", formType}},
		"JSON": {body: jsonOf(t, map[string]any{"image": file}), header: []string{"Content-Type",
			"application/json; charset=utf-8"}},
		"JSON model": {body: jsonOf(t, map[string]any{"image": file, "model": "tiny"}), header: []string{"Content-Type",
			"application/json"}},
	} {
		c.method, c.path = "POST", "/v1/classify?top=2"
		answer, text := c.do(t, web.URL)
		const want = `{"model":"tiny","width":28,"height":28,"ending":"softmax","classes":[{"class":9,"label":"Ankle ` +
			`boot","probability":0.99749`
		if answer.StatusCode != 200 || !strings.HasPrefix(string(text), want) || strings.Count(string(text), "label") != 2 {
			t.Errorf("%s: %d %s", name, answer.StatusCode, text)
		}
		if timing := answer.Header.Get("Server-Timing"); !strings.Contains(timing, "decode;dur=") ||
			!strings.Contains(timing, "network;dur=") {
			t.Errorf("%s: Server-Timing %q", name, timing)
		}
	}
	answer, text := sent{method: "POST", path: "/v1/classify?model=colour", body: file}.do(t, web.URL)
	if answer.StatusCode != 200 || !strings.HasPrefix(string(text), `{"model":"colour"`) ||
		strings.Contains(string(text), "label") {
		t.Errorf("another model: %d %s", answer.StatusCode, text)
	}
}

// TestFeatures: a layer's output as JSON and as a NumPy file are the same values, those of the library.
func TestFeatures(t *testing.T) {
	_, web := start(t, Config{})
	m, err := tiny("").Open()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	picture, err := vision.Decode(bytes.NewReader(boot(t)), vision.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := m.Prepare(t.Context(), []*vision.Picture{picture})
	if err != nil {
		t.Fatal(err)
	}
	for layer, shape := range map[string][]int{"pool2": {10, 7, 7}, "fc3": {10}, "conv1_1": {10, 28, 28}} {
		want, err := m.Features(t.Context(), layer, batch)
		if err != nil {
			t.Fatal(err)
		}
		_, text := sent{method: "POST", path: "/v1/features?layer=" + layer, body: boot(t)}.do(t, web.URL)
		var got struct {
			Model, Layer string
			Shape        []int
			Data         []float32
		}
		if err := json.Unmarshal(text, &got); err != nil || got.Model != "tiny" || got.Layer != layer ||
			fmt.Sprint(got.Shape) != fmt.Sprint(shape) {
			t.Fatalf("%s: %v %.200s", layer, err, text)
		}
		answer, file := sent{method: "POST", path: "/v1/features?layer=" + layer, body: boot(t), header: []string{"Accept",
			"text/plain, application/x-npy;q=0.9"}}.do(t, web.URL)
		if kind := answer.Header.Get("Content-Type"); kind != numpyType || !bytes.HasPrefix(file, []byte("\x93NUMPY")) {
			t.Fatalf("%s: %s, %q", layer, kind, file[:10])
		}
		values := file[len(file)-4*len(want.Data):]
		for i, v := range want.Data {
			binaryV := math.Float32frombits(binary.LittleEndian.Uint32(values[4*i:]))
			if got.Data[i] != v || binaryV != v {
				t.Fatalf("%s: value %d is %v as JSON and %v in NumPy's file, want %v", layer, i, got.Data[i], binaryV, v)
			}
		}
	}
}

// TestArch: reports of models that are served and of built-ins, and no file is opened for a client.
func TestArch(t *testing.T) {
	_, web := start(t, Config{})
	for path, want := range map[string]string{
		"/v1/arch/tiny":                               `"network": "tinyvgg"`,
		"/v1/arch/vgg16":                              `"parameters": 138357544`,
		"/v1/arch/vgg16?format=csv":                   "conv1_1",
		"/v1/arch/vgg16?format=svg":                   "<svg ",
		"/v1/arch/vgg16?input=256x256x3&format=table": "input 256x256x3",
	} {
		if answer, text := (sent{method: "GET", path: path}).do(t, web.URL); answer.StatusCode != 200 ||
			!strings.Contains(string(text), want) {
			t.Errorf("%s: %d %.200s", path, answer.StatusCode, text)
		}
	}
	for path, status := range map[string]int{
		"/v1/arch/server.go": 404, "/v1/arch/..%2fserve%2fopenapi.yaml": 404, "/v1/arch/64,M%2f10": 404,
		"/v1/arch/vgg16?input=2": 400, "/v1/arch/vgg16?input=1x1x3": 400, "/v1/arch/vgg16?batch=x": 400,
		"/v1/arch/vgg16?batch=99999999": 400,
		"/v1/arch/vgg16?format=exe":     400,
	} {
		if answer, text := (sent{method: "GET", path: path}).do(t, web.URL); answer.StatusCode != status {
			t.Errorf("%s: %d %s, want %d", path, answer.StatusCode, text, status)
		}
	}
}

// noise is a picture that compresses badly.
func noise(w, h int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{uint8(x * x * y), uint8(x ^ y*7), uint8(x*y + y*y), 255})
		}
	}
	return m
}

func jpegOf(t *testing.T, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, noise(w, h), nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pngHeader is a PNG that announces a picture and holds none.
func pngHeader(t *testing.T, w, h uint32) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	file := b.Bytes()
	ihdr := file[12:29] // "IHDR" and its 13 bytes
	binary.BigEndian.PutUint32(ihdr[4:], w)
	binary.BigEndian.PutUint32(ihdr[8:], h)
	binary.BigEndian.PutUint32(file[29:], crc32.ChecksumIEEE(ihdr))
	return file
}

// TestRefusals: each wrong request has its status, its kind, and a message that names the thing; the connection still
// serves.
func TestRefusals(t *testing.T) {
	_, web := start(t, Config{MaxBody: 1 << 20, MaxPixels: 1 << 20})
	file := boot(t)
	otherForm, otherBody := form(t, "picture", file)
	for name, c := range map[string]struct {
		sent
		status         int
		kind, contains string
	}{
		"no body": {sent{"POST", "/v1/classify", nil, nil}, 400, "bad_request", "the body is empty"},
		"text": {sent{"POST", "/v1/classify", []string{"Content-Type", "text/plain"}, file}, 415,
			"unsupported_type", "text/plain"},
		"broken type": {sent{"POST", "/v1/classify", []string{"Content-Type", "image/"}, file}, 415, "unsupported_type",
			"image/"},
		"no image":  {sent{"POST", "/v1/classify", nil, []byte("hello")}, 422, "bad_image", "not a JPEG"},
		"truncated": {sent{"POST", "/v1/classify", nil, jpegOf(t, 64, 64)[:500]}, 422, "bad_image", "truncated"},
		"30000x30000": {sent{"POST", "/v1/classify", nil, pngHeader(t, 30000, 30000)}, 422, "bad_image",
			"30000x30000 pixels is refused"},
		"too large": {sent{"POST", "/v1/classify", nil, make([]byte, 1<<20+1)}, 413, "too_large",
			"the limit is 1048576"},
		"gzip": {sent{"POST", "/v1/classify", []string{"Content-Encoding", "gzip"}, file}, 415,
			"unsupported_type", "gzip"},
		"form's field": {sent{"POST", "/v1/classify", []string{"Content-Type", otherForm}, otherBody}, 400, "bad_request",
			`called "image"`},
		"form's boundary": {sent{"POST", "/v1/classify", []string{"Content-Type", "multipart/form-data"}, otherBody}, 400,
			"bad_request", "boundary"},
		"broken form": {sent{"POST", "/v1/classify", []string{"Content-Type", otherForm}, otherBody[:100]}, 400,
			"bad_request", "form"},
		"broken JSON": {sent{"POST", "/v1/classify", []string{"Content-Type", "application/json"}, []byte(`{"image":`)},
			400, "bad_json", "byte 9"},
		"wrong JSON": {sent{"POST", "/v1/classify", []string{"Content-Type", "application/json"},
			[]byte(`{"image": 7}`)}, 400, "bad_json", `"image" is a number`},
		"base64": {sent{"POST", "/v1/classify", []string{"Content-Type", "application/json"},
			[]byte(`{"image": "a*b="}`)}, 400, "bad_json", "base64"},
		"a URL": {sent{"POST", "/v1/classify", []string{"Content-Type", "application/json"},
			[]byte(`{"url": "http://example.com/a.png"}`)}, 400, "bad_json", `has a member "url"`},
		"unknown model": {sent{"POST", "/v1/classify?model=vgg", nil, file}, 404, "not_found", `no model is called "vgg"`},
		"top":           {sent{"POST", "/v1/classify?top=0", nil, file}, 400, "bad_request", "top=0"},
		"no layer":      {sent{"POST", "/v1/features", nil, file}, 400, "bad_request", "no layer"},
		"unknown layer": {sent{"POST", "/v1/features?layer=fc9", nil, file}, 400, "bad_request", `no layer "fc9"`},
		"method":        {sent{"GET", "/v1/classify", nil, nil}, 405, "method", "does not take GET"},
		"nothing":       {sent{"GET", "/nothing", nil, nil}, 404, "not_found", "nothing at /nothing"},
		"another name": {sent{"GET", "/healthz", []string{"Host", "evil.example:8080"}, nil}, 403, "forbidden",
			"evil.example"},
		"another origin": {sent{"POST", "/v1/classify", []string{"Origin", "http://evil.example"}, file}, 403, "forbidden",
			"web page elsewhere"},
		"another site": {sent{"POST", "/v1/classify", []string{"Sec-Fetch-Site", "cross-site"}, file}, 403, "forbidden",
			"web page elsewhere"},
		"no origin at all": {sent{"POST", "/v1/classify", []string{"Origin", "null"}, file}, 403, "forbidden",
			"web page elsewhere"},
	} {
		answer, text := c.do(t, web.URL)
		var got struct{ Kind, Error, Hint, Request_id string }
		if err := json.Unmarshal(text, &got); err != nil {
			t.Errorf("%s: %d, no JSON: %s", name, answer.StatusCode, text)
			continue
		}
		if answer.StatusCode != c.status || got.Kind != c.kind || !strings.Contains(got.Error, c.contains) || got.Hint == "" {
			t.Errorf("%s: %d %s, want %d, %s and %q", name, answer.StatusCode, text, c.status, c.kind, c.contains)
		}
		if id := answer.Header.Get("X-Request-Id"); id == "" || id != got.Request_id {
			t.Errorf("%s: X-Request-Id %q, in the answer %q", name, id, got.Request_id)
		}
	}
	if answer, _ := (sent{"POST", "/v1/classify", []string{"Origin", web.URL}, file}).do(t,
		web.URL); answer.StatusCode != 200 {
		t.Errorf("this server's own page gets %d", answer.StatusCode)
	}
	if answer, _ := (sent{"GET", "/healthz", []string{"X-Request-Id", "mine-1"}, nil}).do(t,
		web.URL); answer.Header.Get("X-Request-Id") != "mine-1" ||
		!strings.Contains(answer.Header.Get("Content-Security-Policy"), "default-src 'self'") {
		t.Errorf("headers %v", answer.Header)
	}
}

// TestHosts: names that a server may be called by.
func TestHosts(t *testing.T) {
	s := New(Config{Hosts: []string{"vggo.example"}})
	for host, want := range map[string]bool{
		"localhost": true, "localhost:8080": true, "LOCALHOST.:1": true, "127.0.0.1:8080": true, "[::1]:8080": true,
		"[::1]": true, "10.0.0.7": true,
		"vggo.example": true, "VGGO.example:80": true, "other.example": false, "localhost.evil.example": false,
		"127.0.0.1.evil.example": false, "": false, ":80": false,
	} {
		if got := s.allowed(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
	if anybody := New(Config{Hosts: []string{"*"}}); !anybody.allowed("other.example") {
		t.Error("* does not allow any")
	}
}

// TestLoading: before its models are there a server lives and is not ready, and says so.
func TestLoading(t *testing.T) {
	s := New(Config{Models: []Source{tiny("")}})
	web := httptest.NewServer(s)
	defer web.Close()
	for _, c := range []struct {
		sent
		before, after int
	}{
		{sent{method: "GET", path: "/v2/health/live"}, 200, 200},
		{sent{method: "GET", path: "/v2/health/ready"}, 400, 200},
		{sent{method: "GET", path: "/v2/models/tinyvgg/ready"}, 400, 200},
		{sent{method: "GET", path: "/v2/models/tinyvgg"}, 503, 200},
		{sent{method: "GET", path: "/healthz"}, 503, 200},
		{sent{method: "POST", path: "/v1/classify", body: boot(t)}, 503, 200},
		{sent{method: "GET", path: "/metrics"}, 200, 200},
	} {
		answer, text := c.do(t, web.URL)
		if answer.StatusCode != c.before {
			t.Errorf("%s before: %d %s", c.path, answer.StatusCode, text)
		}
		if !s.usable() {
			defer func() {
				if answer, text := c.do(t, web.URL); answer.StatusCode != c.after {
					t.Errorf("%s after: %d %s", c.path, answer.StatusCode, text)
				}
			}()
		}
	}
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !s.usable() || s.MemoryLimit() < s.Buffers {
		t.Errorf("ready %t, memory %d", s.usable(), s.MemoryLimit())
	}
}

// TestLoadErrors: names that collide or cannot stand in a URL.
func TestLoadErrors(t *testing.T) {
	_, err := os.Stat(filepath.Join(t.TempDir(), "missing"))
	missing := err.(*fs.PathError).Err.Error() // in the system's words
	for want, models := range map[string][]Source{
		"two models are called tinyvgg":      {tiny(""), tiny("tinyvgg")},
		`"a/b" cannot name a model in a URL`: {tiny("a/b")},
		"no model to serve":                  nil,
		"open nosuch.safetensors: " + missing: {{Open: func() (*vggo.Model, error) {
			return vggo.Open("nosuch.safetensors",
				vggo.Options{})
		}}},
	} {
		s := New(Config{Models: models})
		if err := s.Load(t.Context()); err == nil || !strings.Contains(err.Error(), want) || s.usable() {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// TestAnswersOfStrangers: what a client sent, or a file's name, comes back as text that no terminal acts upon.
func TestAnswersOfStrangers(t *testing.T) {
	_, web := start(t, Config{})
	for _, c := range []sent{
		{method: "GET", path: "/v1/arch/%1b%5b31m%e2%80%ae"},
		{method: "GET", path: "/%1b%5b2J%c2%9b%7f"},
		{method: "POST", path: "/v1/features?layer=%1b%5b31m%0ahint:%e2%80%ae", body: boot(t)},
		{method: "POST", path: "/v1/classify?model=%1b%5b31m%e2%80%ae", body: boot(t)},
		{method: "POST", path: "/v1/classify", header: []string{"Content-Type", "text/\u202e\u009b"}, body: boot(t)},
		{method: "POST", path: "/v2/models/tiny/infer", header: []string{"Content-Encoding", "\u202e\u009b"}, body: boot(t)},
	} {
		answer, text := c.do(t, web.URL)
		if answer.StatusCode < 400 {
			t.Errorf("%s: %d", c.path, answer.StatusCode)
		}
		for _, r := range strings.TrimSuffix(string(text), "\n") {
			if unicode.In(r, unicode.Cc, unicode.Bidi_Control) {
				t.Errorf("%s: %q in %q", c.path, r, text)
			}
		}
	}
}
