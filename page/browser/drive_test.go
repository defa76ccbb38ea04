// Package browser drives the page in Chromium, as a reader would. It holds tests alone.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/page/lesson/fashion"
	"github.com/vggo/vggo/serve"
	"github.com/vggo/vggo/vision"
)

// patience is how long a test waits for the page to come to something. It is no measurement. A step that the browser
// has not ended after twice as long it has lost: it waits for a load, say, that another load has ended.
const patience = 2 * time.Minute

// chromium is the one browser of all tests; each has a tab of its own.
var chromium = sync.OnceValues(func() (context.Context, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.NoFirstRun,
			chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.DisableGPU, chromedp.NoSandbox,
			chromedp.Flag("hide-scrollbars", true), chromedp.Flag("lang", "en-US"),
			chromedp.Flag("use-fake-device-for-media-stream", true), chromedp.Flag("use-fake-ui-for-media-stream", true)}
		allocated, _ := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, cancel := chromedp.NewContext(allocated)
		endBrowser = cancel
		return ctx, chromedp.Do(ctx)
	}
	return nil, fmt.Errorf("there is no Chromium here")
})

var endBrowser = func() {}

func TestMain(m *testing.M) {
	code := m.Run()
	endBrowser()
	os.RemoveAll(sites.folder)
	os.Exit(code)
}

// tab is a tab of the browser with the page in it.
type tab struct {
	*testing.T
	ctx  context.Context
	base string

	mu     sync.Mutex
	faults []string
}

// open opens the page at an address below base: "/", "/#layer=conv1_1". The languages are the browser's.
func open(t *testing.T, base, at string, width, height int64) *tab {
	t.Helper()
	browser, err := chromium()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	b := &tab{T: t, ctx: ctx, base: base}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
		return err
	}), chromedp.EmulateViewport(width, height))
	b.navigate(at)
	t.Cleanup(b.check)
	return b
}

// navigate opens an address and waits until the page is ready.
func (b *tab) navigate(at string) {
	b.Helper()
	b.do(chromedp.Navigate("about:blank"), chromedp.Navigate(b.base+at))
	b.until(`document.body.dataset.ready === "true"`)
}

// reload loads the page anew and waits until it is ready. A script that calls location.reload may go on in the page
// that is about to end, and is lost with it.
func (b *tab) reload() {
	b.Helper()
	b.do(chromedp.Reload())
	b.until(`document.body.dataset.ready === "true"`)
}

// listen notes what a page must not do: fail, or ask another host.
func (b *tab) listen(event any) {
	fault := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text, _ := json.Marshal(e.ExceptionDetails)
		fault = "exception: " + string(text)
	case *network.EventRequestWillBeSent:
		asked, err := url.Parse(e.Request.URL)
		if err == nil && strings.HasPrefix(asked.Scheme, "http") && !strings.Contains(b.base, asked.Host) {
			fault = "a request to another host: " + e.Request.URL
		}
	}
	if fault != "" {
		b.mu.Lock()
		b.faults = append(b.faults, fault)
		b.mu.Unlock()
	}
}

func (b *tab) check() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, fault := range b.faults {
		b.Error(fault)
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 2*patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.Fatal(err)
	}
}

// value is what an expression comes to, a promise's value too.
func value[T any](b *tab, expression string) T {
	b.Helper()
	return valueWithin[T](b, 2*patience, expression)
}

func valueWithin[T any](b *tab, limit time.Duration, expression string) T {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("%.300s: %.300v", expression, err)
	}
	return v
}

// run runs a script that is no expression.
func (b *tab) run(script string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 2*patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void](script)); err != nil {
		b.Fatalf("%.300v", err)
	}
}

// js evaluates an expression for its effect.
func (b *tab) js(expression string) {
	b.Helper()
	value[bool](b, "(async () => { await ("+expression+"); return true })()")
}

// until waits for a condition.
func (b *tab) until(condition string) { b.Helper(); b.within(patience, condition) }

func (b *tab) within(limit time.Duration, condition string) {
	b.Helper()
	expression := fmt.Sprintf(`new Promise((done) => {
		const end = Date.now() + %d;
		const look = () => {
			let is = false;
			try { is = Boolean(%s) } catch {}
			if (is) done(true);
			else if (Date.now() > end) done(false);
			else setTimeout(look, 30);
		};
		look();
	})`, limit.Milliseconds(), condition)
	if !valueWithin[bool](b, limit+patience, expression) {
		alert := value[string](b, `document.getElementById("alert")?.textContent ?? ""`)
		b.shotTo(filepath.Join(os.TempDir(), "vggo-page-failed.png"))
		b.Fatalf("within %v not: %s (alert %q)", limit, condition, alert)
	}
}

// click clicks an element where it is found by a CSS selector.
func (b *tab) click(selector string) {
	b.Helper()
	b.until(fmt.Sprintf("document.querySelector(%s)", quote(selector)))
	b.js(fmt.Sprintf("document.querySelector(%s).click()", quote(selector)))
}

// choose picks an option, as a reader does: with an event.
func (b *tab) choose(selector, option string) {
	b.Helper()
	b.js(fmt.Sprintf(`(() => { const s = document.querySelector(%s); s.value = %s; s.dispatchEvent(new Event("change", `+
		`{bubbles: true})); })()`, quote(selector), quote(option)))
}

// chooseLayer clicks a layer in the drawing; SVG has no click of its own.
func (b *tab) chooseLayer(layer string) {
	b.Helper()
	b.js(fmt.Sprintf(`document.querySelector("#drawing g[data-layer=%s]").dispatchEvent(new MouseEvent("click", `+
		`{bubbles: true}))`, layer))
}

func (b *tab) text(selector string) string {
	b.Helper()
	return value[string](b, fmt.Sprintf("document.querySelector(%s)?.innerText ?? ''", quote(selector)))
}

// upload gives the page a file.
func (b *tab) upload(path string) {
	b.Helper()
	absolute, err := filepath.Abs(path)
	if err != nil {
		b.Fatal(err)
	}
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{absolute}))
}

// keys presses keys on whatever has the focus.
func (b *tab) keys(keys string, options ...chromedp.KeyOption) {
	b.Helper()
	b.do(chromedp.KeyEvent(keys, options...))
}

// focused is the element that has the focus, in short.
func (b *tab) focused() string {
	b.Helper()
	return value[string](b,
		`(() => { const e = document.activeElement; return e.id || (e.className === "number" && e.className) || `+
			`e.dataset.layer || e.dataset.example || e.dataset.preset || e.className || e.tagName; })()`)
}

// dark makes the browser prefer dark pages, or light ones.
func (b *tab) dark(dark bool) {
	b.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia,
			emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

// shotTo writes what the tab shows to a file, as JPEG or PNG by its name.
func (b *tab) shotTo(path string) {
	b.Helper()
	quality := int64(82)
	format := page.CaptureScreenshotFormatJpeg
	if filepath.Ext(path) == ".png" {
		format = page.CaptureScreenshotFormatPng
	}
	fromSurface := true
	params := page.CaptureScreenshotParams{Format: format, FromSurface: &fromSurface}
	if format == page.CaptureScreenshotFormatJpeg {
		params.Quality = &quality
	}
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		r, err := chromedp.Call(ctx, page.CaptureScreenshot, params)
		if err != nil {
			return err
		}
		return os.WriteFile(path, r.Data, 0o644)
	}))
}

func quote(s string) string {
	text, _ := json.Marshal(s) // a string
	return string(text)
}

// wanted skips a test unless a browser is asked for.
func wanted(t *testing.T) {
	t.Helper()
	if os.Getenv("VGGO_BROWSER") == "" && os.Getenv("VGGO_SCREENSHOTS") == "" {
		t.Skip("these tests take minutes and Chromium: VGGO_BROWSER=1 runs them")
	}
}

// serving makes a server of models; with VGGO_SITE=1 no Server, but a file server of the site that has them.
func serving(t *testing.T, models ...serve.Source) (*serve.Server, *httptest.Server) {
	t.Helper()
	wanted(t)
	if onSite() {
		return nil, handOut(t, siteOf(t, models...))
	}
	s := serve.New(serve.Config{Models: models, Timeout: patience, Training: fashion.Data})
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, web
}

// tiny is the trained TinyVGG that comes with the repository.
func tiny() serve.Source {
	return serve.Source{Name: "tinyvgg", Open: func() (*vggo.Model, error) {
		labels, err := vision.ReadLabelsFile("../../docs/examples/fashion-mnist.txt")
		if err != nil {
			return nil, err
		}
		return vggo.Open("../../weights/testdata/tinyvgg-fashionmnist.safetensors", vggo.Options{Classes: labels.Names,
			Threads: 2})
	}}
}
