package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/embedded"
	"github.com/vggo/vggo/serve"
)

// built is the site, built once for all tests.
var built = sync.OnceValues(func() (map[string][]byte, error) { return build(nil) })

func site(t *testing.T) map[string][]byte {
	t.Helper()
	if testing.Short() {
		t.Skip("it compiles the page's program")
	}
	files, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestWeight: what is loaded before the first answer takes at most 11 MB, compressed as it lies there or as a file
// server may compress it, and at most 600 kB without the program and its weights. What a network learns from, which is
// fetched when it begins, takes at most 3 MB.
func TestWeight(t *testing.T) {
	compressed, page, learned := 0, 0, 0
	for name, text := range site(t) {
		if lessons[strings.TrimPrefix(name, "page/")] != "" {
			learned += len(text)
			continue
		}
		if strings.HasSuffix(name, ".bin") {
			compressed += len(text)
			continue
		}
		page += len(text)
		compressed += len(packed(text, gzip.BestCompression))
	}
	if compressed > 11e6 {
		t.Errorf("the site takes %d bytes, compressed", compressed)
	}
	if page > 600e3 {
		t.Errorf("the page takes %d bytes without its program", page)
	}
	if learned == 0 || learned > 3e6 {
		t.Errorf("what a network learns from takes %d bytes", learned)
	}
	t.Logf("%d bytes compressed, %d of the page as they are, %d to learn from", compressed, page, learned)
}

// TestServiceWorker: sw.js knows every file by the sum of its content, and index.html by the name that is asked for.
func TestServiceWorker(t *testing.T) {
	files := site(t)
	list, _, found := strings.Cut(strings.TrimPrefix(string(files["sw.js"]), "const files = "), ";\n")
	var sums map[string]string
	if err := json.Unmarshal([]byte(list), &sums); err != nil || !found {
		t.Fatalf("%v in %.60q", err, list)
	}
	if len(sums) != len(files)-1 {
		t.Errorf("%d files are known, there are %d", len(sums), len(files))
	}
	for name, sum := range sums {
		if name == "./" {
			name = "index.html"
		}
		if got := sha256.Sum256(files[name]); hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s has another sum", name)
		}
	}
}

// TestNoOtherHost: nothing leads a browser elsewhere, nor to the root of the host, where the site may not lie.
func TestNoOtherHost(t *testing.T) {
	away := regexp.MustCompile(`(?:src|href)="/page/|fetch\(["` + "`" + `]/|Worker\(["` + "`" + `]/|["` + "`" + `]/page/`)
	for name, text := range site(t) {
		if !strings.HasSuffix(name, ".js") && !strings.HasSuffix(name, ".html") {
			continue
		}
		if found := away.Find(text); found != nil {
			t.Errorf("%s: %s", name, found)
		}
	}
}

// TestPlanes: a file comes apart, whatever is left over by four, and is packed as gzip's. TestSameNumbers has worker.js
// put weights together again.
func TestPlanes(t *testing.T) {
	for whole, want := range map[string]string{
		"": "", "abc": "abc", "abcd": "abcd", "abcde": "aebcd", "abcdefghijk": "aeibfjcgkdh",
	} {
		if apart := planes([]byte(whole)); string(apart) != want {
			t.Errorf("%q comes apart as %q, want %q", whole, apart, want)
		}
	}
	r, err := gzip.NewReader(bytes.NewReader(packed([]byte("abc"), gzip.HuffmanOnly)))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != "abc" {
		t.Errorf("%q is unpacked, %v", text, err)
	}
}

// told is what is compared of a picture.
type told struct {
	Picture string       `json:"picture"`
	Logits  string       `json:"logits"` // a NumPy file, in hexadecimal digits
	Classes []vggo.Class `json:"classes"`
}

var pictures = []string{"cat.jpg", "owl.jpg", "hotdog.jpg", "boot.png"}

func picture(name string) string { return filepath.Join("../static/examples", name) }

// TestSameNumbers: what the site computes is what the portable kernel set computes here: logits to the bit,
// probabilities within two units in the last place, since WebAssembly's exp is Go's own.
func TestSameNumbers(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("there is no node here to run WebAssembly")
	}
	folder := t.TempDir()
	if err := write(folder, site(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "package.json"), []byte(`{"type": "module"}`), 0o666); err != nil {
		t.Fatal(err)
	}
	args := []string{"testdata/ask.mjs", folder}
	for _, name := range pictures {
		args = append(args, picture(name))
	}
	there := answers(t, exec.CommandContext(t.Context(), node, args...))
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestNative$")
	again.Env = append(os.Environ(), "VGGO_KERNEL=generic", "VGGO_SITE_NATIVE=1")
	here := answers(t, again)
	if len(there) != len(pictures) || len(here) != len(pictures) {
		t.Fatalf("of %d pictures %d are answered there, %d here", len(pictures), len(there), len(here))
	}
	for i, want := range here {
		got := there[i]
		if got.Picture != want.Picture || got.Logits != want.Logits || len(want.Logits) < 2*(128+10*4) {
			t.Errorf("%s: the logits are\n%s\nwant\n%s", want.Picture, got.Logits, want.Logits)
		}
		for k, c := range want.Classes {
			p := got.Classes[k]
			ulp := math.Nextafter(c.Probability, 2) - c.Probability
			if p.Index != c.Index || math.Abs(p.Probability-c.Probability) > 2*ulp {
				t.Errorf("%s: class %d has %v, want %v", want.Picture, k, p, c)
			}
		}
	}
}

// answers are the lines of JSON that a command writes.
func answers(t *testing.T, command *exec.Cmd) (all []told) {
	t.Helper()
	var faults bytes.Buffer
	command.Stderr = &faults
	text, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", command, err, text, faults.Bytes())
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var one told
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

// TestNative is no test but TestSameNumbers' other process, of the portable kernel set.
func TestNative(t *testing.T) {
	if os.Getenv("VGGO_SITE_NATIVE") == "" {
		t.Skip("it is a part of TestSameNumbers")
	}
	s := serve.New(serve.Config{Models: []serve.Source{{Open: func() (*vggo.Model, error) {
		return embedded.Open(vggo.Options{Threads: 1})
	}}}})
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ask := func(method, path string, body []byte) []byte {
		r := httptest.NewRequest(method, path, bytes.NewReader(body))
		r.Host = "localhost"
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		return w.Body.Bytes()
	}
	for _, name := range pictures {
		file, err := os.ReadFile(picture(name))
		if err != nil {
			t.Fatal(err)
		}
		var inside struct {
			ID      string
			Classes []vggo.Class
			Groups  []struct{ Layers []string }
		}
		if err := json.Unmarshal(ask("POST", "/v1/inside", file), &inside); err != nil {
			t.Fatal(err)
		}
		layers := inside.Groups[len(inside.Groups)-1].Layers
		npy := ask("GET", fmt.Sprintf("/v1/inside/%s/map?layer=%s", inside.ID, layers[len(layers)-1]), nil)
		line, err := json.Marshal(told{name, hex.EncodeToString(npy), inside.Classes})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%s\n", line)
	}
}
