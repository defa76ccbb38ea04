package browser

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/vggo/vggo/embedded"
	"github.com/vggo/vggo/serve"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// onSite says whether the tests look at the page as page/site builds it, without a server: VGGO_SITE=1.
func onSite() bool { return os.Getenv("VGGO_SITE") != "" }

// siteWanted skips a test of what only a site has.
func siteWanted(t *testing.T) {
	t.Helper()
	wanted(t)
	if !onSite() {
		t.Skip("VGGO_SITE=1 looks at the page as a site without a server")
	}
}

// needsServer skips a test of what a site has not.
func needsServer(t *testing.T, why string) {
	t.Helper()
	if onSite() {
		t.Skip("needs the server: " + why)
	}
}

// sites are those that were built, by the names of their models.
var sites struct {
	mu     sync.Mutex
	folder string
	built  map[string]bool
}

// weightFiles are the files that a site can have the tests' models from.
var weightFiles = map[string]string{embedded.Name: "../../embedded/vgg-cifar10.safetensors"}

// siteOf builds the site of models, which must be those of weightFiles. It is a folder.
func siteOf(t *testing.T, models ...serve.Source) string {
	t.Helper()
	sites.mu.Lock()
	defer sites.mu.Unlock()
	if sites.folder == "" {
		var err error
		if sites.folder, err = os.MkdirTemp("", "vggo-sites-"); err != nil {
			t.Fatal(err)
		}
		sites.built = map[string]bool{}
	}
	name := "site"
	for _, m := range models {
		name += "-" + m.Name
	}
	site := filepath.Join(sites.folder, name)
	if sites.built[name] {
		return site
	}
	args := []string{"run", "../site", "-o", site}
	for _, m := range models {
		file := weightFiles[m.Name]
		if m.Name == "tinyvgg" {
			file = labelledTiny(t)
		}
		if file == "" {
			t.Skipf("needs the server: a site has models of files that describe themselves, and %s is none", m.Name)
		}
		args = append(args, "-weights", m.Name+"="+file)
	}
	if text, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, text)
	}
	sites.built[name] = true
	return site
}

// labelledTiny is tiny's file of weights with the names of its classes in it.
func labelledTiny(t *testing.T) string {
	t.Helper()
	labels, err := vision.ReadLabelsFile("../../docs/examples/fashion-mnist.txt")
	if err != nil {
		t.Fatal(err)
	}
	classes, err := json.Marshal(labels.Names)
	if err != nil {
		t.Fatal(err)
	}
	f, err := weights.Open("../../weights/testdata/tinyvgg-fashionmnist.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	notes := map[string]string{}
	for key, value := range f.Metadata {
		notes[key] = value
	}
	notes[weights.ClassesNote] = string(classes)
	var tensors []weights.Tensor
	for _, name := range f.Names() {
		tensor, err := f.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, tensor)
	}
	path := filepath.Join(t.TempDir(), "tinyvgg.safetensors")
	if err := weights.Write(path, tensors, notes); err != nil {
		t.Fatal(err)
	}
	return path
}

// handOut is a file server and nothing more: no header is set, nothing is compressed.
func handOut(t *testing.T, folder string) *httptest.Server {
	t.Helper()
	web := httptest.NewServer(http.FileServer(http.Dir(folder)))
	t.Cleanup(web.Close)
	return web
}

// kept waits until the service worker has the site.
func (b *tab) kept() {
	b.Helper()
	b.until(`navigator.serviceWorker.controller?.state === "activated"`)
}

// TestSiteOffline: without a network the site loads, classifies and looks inside, in a second tab too.
func TestSiteOffline(t *testing.T) {
	siteWanted(t)
	web := handOut(t, siteOf(t, builtin()))
	b := open(t, web.URL, "/", 1280, 900)
	b.kept()
	web.CloseClientConnections()
	web.Close()
	b.reload()
	b.click("[data-example=cat]")
	b.answered()
	b.until(`document.getElementById("working")`)
	if got := b.text("#classes li .name"); got != "cat" {
		t.Errorf("offline the cat is a %q", got)
	}
	second := open(t, web.URL, "/#network=vgg16", 1280, 900)
	second.click("[data-example=boot]")
	second.answered()
	second.click("#language")
	second.until(`document.documentElement.lang === "zh-CN" && ` +
		`document.getElementById("site-note").textContent.includes("服务器")`)
	second.js(`localStorage.clear()`)
	b.click("[data-example=owl]") // the first goes on
	b.until(`document.getElementById("seen-note").textContent.includes("256") && !document.body.dataset.busy`)
	b.click("#train-one")
	b.until(`document.getElementById("opened-first")`)
}

// TestSiteFirstAnswer: from an empty cache the first answer comes within 3 s of loading.
func TestSiteFirstAnswer(t *testing.T) {
	siteWanted(t)
	b := open(t, handOut(t, siteOf(t, builtin())).URL, "/#picture=cat", 1280, 900)
	b.answered()
	first := value[float64](b, `performance.now()`) // since the address was opened
	b.kept()
	b.reload()
	b.answered()
	t.Logf("%.1f s to the first answer, %.1f s the next time", first/1000, value[float64](b, `performance.now()`)/1000)
	if os.Getenv("VGGO_PAGE_TIMED") != "" && first > 3000 { // only where nothing else runs
		t.Error("the first answer takes more than 3 s")
	}
}

// TestSiteNoPictures: where the pictures to learn from cannot be loaded the page says so, and the next try finds them.
func TestSiteNoPictures(t *testing.T) {
	siteWanted(t)
	site := http.FileServer(http.Dir(siteOf(t, builtin())))
	var there atomic.Bool
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/sw.js": // which would keep them
			http.NotFound(w, r)
		case strings.Contains(r.URL.Path, "fashion-images") && !there.Load():
			http.NotFound(w, r)
		default:
			site.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(web.Close)
	b := open(t, web.URL, "/", 1280, 900)
	b.click("#train-one")
	fault(b, "the pictures to learn from cannot be loaded")
	b.click("#language")
	fault(b, "训练图片无法载入")
	b.click("#language")
	there.Store(true)
	b.click("#train-one")
	b.until(`document.getElementById("opened-first")`)
}

// TestSiteNewVersion: a service worker that answers nonsense, and a version before this one, are over at the next load.
func TestSiteNewVersion(t *testing.T) {
	siteWanted(t)
	good := http.FileServer(http.Dir(siteOf(t, builtin())))
	var mu sync.Mutex
	now := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/sw.js" {
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write([]byte(`addEventListener("install", () => skipWaiting());
				addEventListener("activate", (e) => e.waitUntil(clients.claim()));
				addEventListener("fetch", (e) => e.respondWith(new Response("broken", { status: 500 })));`))
			return
		}
		good.ServeHTTP(w, r)
	}))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		handler := now
		mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	b := open(t, web.URL, "/", 1280, 900)
	b.kept()
	b.do(chromedp.Navigate(web.URL + "/"))
	if got := b.text("body"); got != "broken" {
		t.Fatalf("the broken service worker answers %.60q", got)
	}
	mu.Lock()
	now = good
	mu.Unlock()
	b.throughLoads(`document.body.dataset.ready === "true"`)
	b.kept()
	// A version with another word in it, of which one file is fetched and the one before goes.
	mu.Lock()
	now = http.FileServer(http.Dir(renamed(t, siteOf(t, builtin()))))
	mu.Unlock()
	b.throughLoads(`document.body.dataset.ready === "true" && document.querySelector("h1").textContent === "Look into it"`)
	b.until(`(async () => {
		const sums = /^const files = ({[^}]*});/.exec(await (await fetch("sw.js")).text())[1];
		const [cache] = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
		const kept = (await cache.keys()).map((request) => new URL(request.url).search.slice(1)).sort();
		globalThis.same = String(kept) === String(Object.values(JSON.parse(sums)).sort());
	})() && globalThis.same`)
}

// throughLoads loads the page until a condition holds, each time with more time for it: a browser may put off looking
// for a new version until another load, and a new one loads the page anew, which ends a script that waits in it and
// may end the load that is waited for.
func (b *tab) throughLoads(condition string) {
	b.Helper()
	holds := func(wait time.Duration) bool {
		ctx, cancel := context.WithTimeout(b.ctx, wait)
		defer cancel()
		_ = chromedp.Do(ctx, chromedp.Reload())
		for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
			is, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+condition+")"))
			if err == nil && is {
				return true
			}
		}
		return false
	}
	for wait := time.Second; wait < patience; wait += wait / 2 {
		if holds(wait) {
			return
		}
	}
	b.Fatalf("through all loads not: %s", condition)
}

// renamed is a copy of a site in which the page has another title.
func renamed(t *testing.T, site string) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(site)); err != nil {
		t.Fatal(err)
	}
	change := func(name, before, after string) (sums [2]string) {
		path := filepath.Join(folder, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Replace(text, []byte(before), []byte(after), 1)
		if bytes.Equal(text, changed) {
			t.Fatalf("%s does not hold %q", name, before)
		}
		if err := os.WriteFile(path, changed, 0o666); err != nil {
			t.Fatal(err)
		}
		return [2]string{fmt.Sprintf("%x", sha256.Sum256(text)), fmt.Sprintf("%x", sha256.Sum256(changed))}
	}
	sums := change("page/en.json", `"See inside it"`, `"Look into it"`)
	change("sw.js", sums[0], sums[1])
	return folder
}

// TestSiteWeights: weights of one's own answer beside the network that the site has, and what is no file of weights is
// refused in words.
func TestSiteWeights(t *testing.T) {
	siteWanted(t)
	web := handOut(t, siteOf(t, builtin()))
	b := open(t, web.URL, "/", 1280, 900)
	b.click("[data-example=boot]")
	b.answered()
	give := func(path string) {
		t.Helper()
		absolute, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		b.do(chromedp.SetUploadFiles(chromedp.CSS("#site-file"), []string{absolute}))
	}
	give("site_test.go")
	b.until(`!document.getElementById("alert").hidden && ` +
		`document.getElementById("alert").textContent.includes("site_test.go")`)
	give(labelledTiny(t))
	b.until(`document.getElementById("model").value === "own-tinyvgg"`)
	b.until(`document.querySelector("#classes li .name")?.textContent === "Ankle boot" && !document.body.dataset.busy`)
	b.choose("#model", embedded.Name)
	b.until(`document.querySelector("#classes li .name")?.textContent !== "Ankle boot"`)
}

// TestSiteWorker: the page goes on while the worker computes, what is given up ends at once, and a worker that has
// ended is followed by another.
func TestSiteWorker(t *testing.T) {
	siteWanted(t)
	web := handOut(t, siteOf(t, builtin()))
	b := open(t, web.URL, "/", 1280, 900)
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
			Source: `globalThis.workers = [];
				globalThis.Worker = class extends Worker { constructor(...all) { super(...all); workers.push(this) } };`})
		return err
	}))
	b.navigate("/")
	b.click("[data-example=cat]")
	b.answered()
	turns := value[int](b, `(async () => {
		const { heat } = await import("/page/api.js");
		const { state } = await import("/page/state.js");
		let turns = 0;
		const clock = setInterval(() => turns++, 5);
		await heat(state.visit.id, "occlusion", {});
		clearInterval(clock);
		return turns;
	})()`)
	if turns < 3 {
		t.Errorf("the page had %d turns while the worker computed", turns)
	}
	ended := value[string](b, `(async () => {
		const { heat, maps } = await import("/page/api.js");
		const { state } = await import("/page/state.js");
		const left = new AbortController();
		const asked = heat(state.visit.id, "occlusion", {}, left.signal).then(() => "answered", (error) => error.name);
		left.abort();
		const other = await maps(state.visit.id, { layer: "conv1_1" });
		return `+"`${await asked} ${other.layer ?? other.maps.length > 0}`"+`;
	})()`)
	if !strings.HasPrefix(ended, "AbortError ") {
		t.Errorf("what is given up ends as %q", ended)
	}
	b.js(`workers[0].dispatchEvent(new ErrorEvent("error"))`)
	b.click("[data-row=pool2] button") // of a visit that the next worker has never seen
	b.until(`document.getElementById("map")?.dataset.layer === "pool2" && document.getElementById("alert").hidden`)
	if n := value[int](b, "workers.length"); n != 2 {
		t.Errorf("there were %d workers, want 2", n)
	}
}
