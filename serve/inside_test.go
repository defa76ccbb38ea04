package serve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/vggo/vggo"
)

// visited sends the boot through a model and returns what POST /v1/inside told.
func visited(t *testing.T, base, model string) insideJSON {
	t.Helper()
	answer, text := sent{method: "POST", path: "/v1/inside?model=" + model, body: boot(t)}.do(t, base)
	var told insideJSON
	if err := json.Unmarshal(text, &told); err != nil || answer.StatusCode != 200 {
		t.Fatalf("%d %s: %v", answer.StatusCode, text, err)
	}
	return told
}

// TestInside: a visit's answer is the classifier's, each group's maps have the shape that arch predicts, and each is
// found again.
func TestInside(t *testing.T) {
	s, web := start(t, Config{})
	told := visited(t, web.URL, "tiny")
	if told.Classes[0].Label != "Ankle boot" || len(told.Classes) != 10 || told.Classes[0].Probability < 0.99 {
		t.Errorf("%+v", told.Classes)
	}
	if told.Groups[0].Layers[0] != "conv1_1" || told.Groups[0].Algo == "" || told.Seconds <= 0 {
		t.Errorf("%+v", told.Groups)
	}
	m, err := s.model("tiny")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Placed.Layers {
		for _, group := range told.Groups {
			if group.Layers[len(group.Layers)-1] == p.Name && group.Shape != p.Out {
				t.Errorf("%s: %v, want %v", p.Name, group.Shape, p.Out)
			}
		}
	}
	answer, text := sent{method: "GET", path: "/v1/inside/" + told.ID + "/input"}.do(t, web.URL)
	seen, err := png.Decode(bytes.NewReader(text))
	if err != nil || answer.StatusCode != 200 || seen.Bounds().Dx() != 28 {
		t.Errorf("the picture: %d %v", answer.StatusCode, err)
	}
	for path, want := range map[string]string{
		"maps?layer=conv1_1":                          `"width":28,"height":28,"channels":[{"channel":0,`,
		"maps?layer=relu2_1&order=strength&side=7":    `"width":7,"height":7`,
		"maps?layer=fc3&side=1&count=10":              `"shape":{"c":10,"h":1,"w":1}`,
		"cell?layer=conv1_2&channel=3&y=0&x=0&in=2":   `"patch":[[null,null,null],[null,`,
		"cell?layer=pool1&channel=3&y=2&x=5":          `"kind":"maxpool","from":"conv1_2"`,
		"cell?layer=fc3&channel=9":                    `"kind":"linear","from":"flatten"`,
		"cell?layer=conv1_1&channel=9&y=27&x=27":      `"from":""`,
		"pixel?y=14&x=14":                             `"samples":[{"colour":"grey","byte":`,
		"scores":                                      `"layer":"fc3","ending":"softmax","temperature":1,"max":`,
		"scores?temperature=250":                      `"temperature":2.5,`,
		"gradcam?class=9":                             `"layer":"relu2_2","class":9,"width":14,"height":14,"heat":[`,
		"gradcam?class=9&layer=relu1_2":               `"layer":"relu1_2"`,
		"occlusion":                                   `"class":9,"width":`,
		"effective?layer=conv2_1&y=3&x=3":             `"layer":"conv2_1","y":3,"x":3,"width":28,"height":28,"heat":[0,`,
		"../../models/tiny/filters?layer=conv1_1":     `"shape":[10,1,3,3],"from":0,"bias":[`,
		"../../models/tiny/filters?layer=fc3&from=9":  `"shape":[10,490],"from":9,`,
		"../../arch/tiny/field?layer=conv2_1&y=3&x=3": `"steps":[{"layer":"conv1_1","size":3,`,
		"../../models":                                `"random":true`,
	} {
		method := "GET"
		if strings.HasPrefix(path, "gradcam") || strings.HasPrefix(path, "occlusion") ||
			strings.HasPrefix(path, "effective") {
			method = "POST"
		}
		path = "/v1/inside/" + told.ID + "/" + path
		if _, after, ok := strings.Cut(path, "../../"); ok {
			path = "/v1/" + after
		}
		if answer, text := (sent{method: method, path: path}).do(t, web.URL); answer.StatusCode != 200 ||
			!strings.Contains(string(text), want) {
			t.Errorf("%s: %d %.300s lacks %s", path, answer.StatusCode, text, want)
		}
	}
	answer, text = sent{method: "GET", path: "/v1/inside/" + told.ID + "/map?layer=conv2_2&channel=1"}.do(t, web.URL)
	if kind := answer.Header.Get("Content-Type"); kind != numpyType || !bytes.Contains(text, []byte("(14, 14)")) {
		t.Errorf("a map: %d %s %.80q", answer.StatusCode, kind, text)
	}
	if s.buffers.inUse() != 0 || s.loaded.Load().work.inUse() != 0 {
		t.Errorf("%d bytes and %d work are held", s.buffers.inUse(), s.loaded.Load().work.inUse())
	}
}

// TestCells: numbers worked out by the definition are those of the maps, for each kind of layer, batch norm folded in
// included.
func TestCells(t *testing.T) {
	_, web := start(t, Config{Models: []Source{tiny("tiny"), {"norm", func() (*vggo.Model, error) {
		return vggo.New("20x18x3:8b,12k5s2p1g2b,16d2p0,A/24,10", vggo.Options{Seed: 3, Threads: 2})
	}}}})
	for _, model := range []string{"tiny", "norm"} {
		told := visited(t, web.URL, model)
		for _, group := range told.Groups {
			for i := range 7 {
				channel, y, x := i*5%group.Shape.C, i*3%group.Shape.H, i*7%group.Shape.W
				path := fmt.Sprintf("/v1/inside/%s/cell?layer=%s&channel=%d&y=%d&x=%d", told.ID, group.Layers[0], channel, y, x)
				answer, text := sent{method: "GET", path: path}.do(t, web.URL)
				var cell struct {
					Result, Value float64
					Sums          []float64
				}
				if err := json.Unmarshal(text, &cell); err != nil || answer.StatusCode != 200 {
					t.Fatalf("%s: %d %s %v", path, answer.StatusCode, text, err)
				}
				if math.Abs(cell.Result-cell.Value) > 1e-4*max(1, math.Abs(cell.Value)) {
					t.Errorf("%s: worked out as %v, the map holds %v", path, cell.Result, cell.Value)
				}
			}
		}
	}
}

// TestInsideRefusals: questions without an answer are refused, and a picture that is no longer kept is said to be.
func TestInsideRefusals(t *testing.T) {
	s, web := start(t, Config{})
	told := visited(t, web.URL, "tiny")
	for path, want := range map[string]struct {
		status int
		fault  string
	}{
		"maps?layer=conv9":                      {400, `no layer \"conv9\"`},
		"maps?layer=softmax":                    {400, "has no output of its own"},
		"maps?layer=conv1_1&from=10":            {400, "has 10 maps"},
		"maps?layer=conv1_1&count=0":            {400, "count=0 is less than 1"},
		"maps?layer=conv1_1&count=1000000000":   {400, "count=1000000000 is more than 256"},
		"maps?layer=conv1_1&side=x":             {400, "side=x is no number"},
		"map?layer=conv1_1&channel=10":          {400, "has maps 0 to 9"},
		"cell?layer=conv1_1&y=28":               {400, "no cell 28,0"},
		"pixel?y=28":                            {400, "no pixel 28,0: it is 28x28"},
		"scores?temperature=0":                  {400, "temperature=0 is less than 1"},
		"cell?layer=conv1_1&channel=-1":         {400, "channel=-1 is less than 0"},
		"../" + "x" + "/maps?layer=conv1_1":     {404, "no longer kept"},
		"models/tiny/filters?layer=pool1":       {400, "has no filters"},
		"models/tiny/filters?layer=fc3&from=10": {400, "has filters 0 to 9"},
		"models/none/filters?layer=fc3":         {404, "no model is called"},
		"arch/tiny/field?layer=conv1_1&y=28":    {400, "no unit"},
		"arch/tiny/field?layer=x":               {400, "no layer"},
	} {
		at := "/v1/inside/" + told.ID + "/" + path
		switch {
		case strings.HasPrefix(path, "../"):
			at = "/v1/inside/" + path[3:]
		case strings.HasPrefix(path, "models"), strings.HasPrefix(path, "arch"):
			at = "/v1/" + path
		}
		if answer, text := (sent{method: "GET", path: at}).do(t, web.URL); answer.StatusCode != want.status ||
			!strings.Contains(string(text), want.fault) {
			t.Errorf("%s: %d %s, want %d and %q", at, answer.StatusCode, text, want.status, want.fault)
		}
	}
	for path, fault := range map[string]string{"gradcam?class=10": "classes 0 to 9", "gradcam?layer=fc3": "has no map",
		"gradcam?layer=none": "", "occlusion?class=x": "no number",
		"effective?layer=fc3": "has no map", "effective?layer=conv1_1&y=28": "no unit"} {
		if answer, text := (sent{method: "POST", path: "/v1/inside/" + told.ID + "/" + path}).do(t,
			web.URL); answer.StatusCode != 400 || !strings.Contains(string(text), fault) {
			t.Errorf("%s: %d %s", path, answer.StatusCode, text)
		}
	}
	if answer, text := (sent{method: "POST", path: "/v1/inside", body: []byte("hello")}).do(t,
		web.URL); answer.StatusCode != 422 {
		t.Errorf("no picture: %d %s", answer.StatusCode, text)
	}
	if s.buffers.inUse() != 0 || s.loaded.Load().work.inUse() != 0 {
		t.Errorf("%d bytes and %d work are held", s.buffers.inUse(), s.loaded.Load().work.inUse())
	}
}

// TestInsideIsAdmittedByCost: what looks inside waits in the same queue as what classifies, and a network too dear for
// it is refused.
func TestInsideIsAdmittedByCost(t *testing.T) {
	s, web := start(t, Config{Models: []Source{tiny("tiny")}, Queue: 100})
	told := visited(t, web.URL, "tiny")
	work := s.loaded.Load().work
	pass, err := work.enter(work.budget - 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []sent{{method: "POST", path: "/v1/inside", body: boot(t)},
		{method: "POST", path: "/v1/inside/" + told.ID + "/gradcam"},
		{method: "POST", path: "/v1/inside/" + told.ID + "/effective?layer=conv1_1"},
		{method: "POST", path: "/v1/inside/" + told.ID + "/occlusion"},
		{method: "POST", path: "/v1/inside/" + told.ID + "/fool"}} {
		if answer, text := c.do(t, web.URL); answer.StatusCode != http.StatusTooManyRequests ||
			answer.Header.Get("Retry-After") == "" {
			t.Errorf("%s with a full queue: %d %s", c.path, answer.StatusCode, text)
		}
	}
	if answer, text := (sent{method: "GET", path: "/v1/inside/" + told.ID + "/maps?layer=conv1_1"}).do(t,
		web.URL); answer.StatusCode != 200 {
		t.Errorf("what is kept, with a full queue: %d %s", answer.StatusCode, text)
	}
	pass.leave()
	// As many passes as occlusion needs are more than a queue of a few images takes on.
	_, small := start(t, Config{Models: []Source{tiny("tiny")}, Queue: 4})
	told = visited(t, small.URL, "tiny")
	if answer, text := (sent{method: "POST", path: "/v1/inside/" + told.ID + "/occlusion"}).do(t,
		small.URL); answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("occlusion with a queue of 4: %d %s", answer.StatusCode, text)
	}
}

// TestKept: what layers made of pictures is bounded, the oldest goes first, and the server says how much it may be.
func TestKept(t *testing.T) {
	s, web := start(t, Config{Models: []Source{tiny("tiny")}, Kept: 300_000}) // a visit takes about 140 kB
	first := visited(t, web.URL, "tiny")
	for range 4 {
		visited(t, web.URL, "tiny")
		if s.visits.Used() > s.visits.Budget() {
			t.Fatalf("%d bytes are kept, the limit is %d", s.visits.Used(), s.visits.Budget())
		}
	}
	if answer, _ := (sent{method: "GET", path: "/v1/inside/" + first.ID + "/input"}).do(t,
		web.URL); answer.StatusCode != 404 {
		t.Errorf("the oldest is still there: %d", answer.StatusCode)
	}
	if s.visits.Used() == 0 || s.MemoryLimit() < s.Kept {
		t.Errorf("%d bytes are kept, %d are foreseen", s.visits.Used(), s.MemoryLimit())
	}
	_, none := start(t, Config{Models: []Source{tiny("tiny")}, Kept: 1000})
	if answer, text := (sent{method: "POST", path: "/v1/inside", body: boot(t)}).do(t,
		none.URL); answer.StatusCode != 413 || !strings.Contains(string(text), "are kept at most") {
		t.Errorf("no room at all: %d %s", answer.StatusCode, text)
	}
}

// TestArchOf: networks that clients describe are worked out, and impossible ones explained; no file is opened for them.
func TestArchOf(t *testing.T) {
	_, web := start(t, Config{})
	for body, want := range map[string]struct {
		status   int
		contains string
	}{
		"32x32x3:64,64,M/10": {200, `"network": "yours"`},
		"vgg16":              {200, `"parameters": 138357544`},
		"  64,M/10\n":        {200, `"network": "yours"`},
		"name: a\ninput: 8x8x3\nlayers:\n- {name: c, op: conv, out: 4, kernel: 3}\n": {200, `"name": "c"`},
		"":                                    {400, "the body is empty"},
		"8x8x3:4,M,M,M,M/10":                  {400, "layer pool4"},
		"64,Q/10":                             {400, `\"Q\"`},
		"../go.mod":                           {400, "no network is called"},
		"/etc/hostname.yaml":                  {400, "no network is called"},
		"name: a\nlayers: hello":              {400, "line"},
		strings.Repeat("64,", 2000) + "64":    {400, "more than 1024 layers"},
		strings.Repeat("a", maxDescription+1): {413, "is refused"},
	} {
		answer, text := sent{method: "POST", path: "/v1/arch", header: []string{"Content-Type", "text/plain"},
			body: []byte(body)}.do(t, web.URL)
		if answer.StatusCode != want.status || !strings.Contains(string(text), want.contains) {
			t.Errorf("%.40q: %d %.300s, want %d and %q", body, answer.StatusCode, text, want.status, want.contains)
		}
	}
	for format, begin := range map[string]string{"svg": "<svg ", "yaml": "name: yours", "csv": "layer,kind"} {
		answer, text := sent{method: "POST", path: "/v1/arch?format=" + format, body: []byte("32x32x3:64,M/10")}.do(t,
			web.URL)
		if answer.StatusCode != 200 || !strings.HasPrefix(string(text), begin) {
			t.Errorf("%s: %d %.80s", format, answer.StatusCode, text)
		}
	}
}

// TestPageFiles: the page and its files are served with their kinds, and a browser's good copy is not sent again.
func TestPageFiles(t *testing.T) {
	_, web := start(t, Config{})
	for path, kind := range map[string]string{"/": "text/html; charset=utf-8",
		"/page/main.js": "text/javascript; charset=utf-8", "/page/style.css": "text/css; charset=utf-8",
		"/page/zh.json": "application/json", "/page/owl.jpg": "image/jpeg", "/page/icon.svg": "image/svg+xml"} {
		answer, text := sent{method: "GET", path: path}.do(t, web.URL)
		if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != kind || len(text) == 0 {
			t.Errorf("%s: %d %s, %d bytes", path, answer.StatusCode, answer.Header.Get("Content-Type"), len(text))
		}
		again, text := sent{method: "GET", path: path, header: []string{"If-None-Match", answer.Header.Get("ETag")}}.do(t,
			web.URL)
		if again.StatusCode != http.StatusNotModified || len(text) != 0 {
			t.Errorf("%s again: %d, %d bytes", path, again.StatusCode, len(text))
		}
	}
	for _, path := range []string{"/page/nothing.js", "/page/..%2ffiles.go", "/page/"} {
		if answer, text := (sent{method: "GET", path: path}).do(t, web.URL); answer.StatusCode != 404 {
			t.Errorf("%s: %d %.80s", path, answer.StatusCode, text)
		}
	}
}
