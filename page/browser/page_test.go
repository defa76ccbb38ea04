package browser

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/serve"
)

const (
	owl  = "../static/examples/owl.jpg"
	boot = "../../docs/examples/boot.png"
)

// answered waits for the answer to a picture, and for the maps of the chosen layer.
func (b *tab) answered() {
	b.Helper()
	b.until(`!document.body.dataset.busy && document.querySelectorAll("#classes li[data-class]").length > 1`)
}

// TestTour goes through every feature with the small network and a real photograph.
func TestTour(t *testing.T) {
	_, web := serving(t, tiny())
	b := open(t, web.URL, "/", 1280, 900)
	tour(b, boot)
	if got := b.text("#sure"); value[bool](b, `document.getElementById("sure").dataset.unsure === "true"`) {
		t.Errorf("the boot is no boot? %q", got)
	}
	tour(b, owl)
	// A chequered picture is half a shirt, half a dress.
	b.upload(chequers(t, 28, 28))
	b.until(`document.getElementById("sure").dataset.unsure === "true"`)
	if got := b.text("#sure"); !strings.Contains(got, "unsure: Shirt or Dress?") {
		t.Errorf("the network is sure of a chequered picture: %q", got)
	}
}

// tour looks at everything that the page shows of a picture.
func tour(b *tab, picture string) {
	b.Helper()
	b.js(`(() => { document.getElementById("classes").replaceChildren() })()`)
	b.upload(picture)
	b.answered()
	if n := value[int](b, `document.querySelectorAll("#classes li[data-class]").length`); n != 5 {
		b.Errorf("%d classes are shown, not 5", n)
	}
	if !strings.Contains(b.text("#sure"), "must answer one of them") {
		b.Errorf("the page does not say that the network must choose: %q", b.text("#sure"))
	}
	maps(b)
	cell(b)
	field(b)
	filters(b)
	overlays(b)
	if rows := value[int](b, `document.querySelectorAll("#time-table tbody tr").length`); rows < 3 {
		b.Errorf("%d times are shown", rows)
	}
	if words := b.text("#time-words"); !strings.Contains(words,
		"every weight of a convolution is used again at each pixel") {
		b.Errorf("why it takes so long: %q", words)
	}
	if !value[bool](b, `document.getElementById("alert").hidden`) {
		b.Errorf("the page complains: %q", b.text("#alert"))
	}
}

// layers are the rows of the network that is drawn.
func layers(b *tab) []string {
	b.Helper()
	return value[[]string](b, `[...document.querySelectorAll("#drawing g[data-layer]")].map((g) => g.dataset.layer)`)
}

// maps clicks every layer of the drawing and waits for what it made of the picture.
func maps(b *tab) {
	b.Helper()
	for _, layer := range layers(b) {
		b.chooseLayer(layer)
		b.until(fmt.Sprintf(`document.getElementById("layer-title").textContent.includes(%s)`, quote(layer)))
		if layer == "softmax" {
			continue
		}
		b.until(fmt.Sprintf(`document.querySelector("#panel-maps .map") && document.getElementById("map")?.dataset.layer `+
			`=== %s && document.getElementById("working")`, quote(layer)))
	}
}

// cell points at a cell with the mouse, and works it out step by step.
func cell(b *tab) {
	b.Helper()
	conv := value[string](b,
		`[...document.querySelectorAll("#table tbody tr")].filter((r) => r.innerText.includes("conv "))[1].dataset.row`)
	b.chooseLayer(conv)
	b.until(fmt.Sprintf(`document.getElementById("map")?.dataset.layer === %s && document.getElementById("working")`,
		quote(conv)))
	b.js(`(() => { document.documentElement.style.scrollBehavior = "auto"; ` +
		`document.getElementById("pad").scrollIntoView({block: "center", behavior: "instant"}) })()`)
	before := b.text("#map-caption")
	at := value[[]float64](b,
		`(() => { const r = document.getElementById("map").getBoundingClientRect(); return [r.left + r.width * 0.3, r.top `+
			`+ r.height * 0.7]; })()`)
	b.do(chromedp.MouseClickXY(at[0], at[1]))
	b.until(fmt.Sprintf(`document.getElementById("map-caption").textContent !== %s`, quote(before)))
	b.until(`document.getElementById("tap-first")`)
	b.click("#tap-first")
	for i := 1; value[bool](b, `!document.getElementById("tap-next").disabled`); i++ {
		if i > 200 {
			b.Fatal("stepping does not end")
		}
		b.click("#tap-next")
	}
	b.click("#tap-all")
	working := value[[]float64](b,
		`[document.getElementById("working").dataset.result, document.getElementById("working").dataset.value].map(Number)`)
	if off := working[0] - working[1]; off > 1e-3*max(1, working[0]) || off < -1e-3*max(1, working[0]) {
		b.Errorf("the working comes to %v, the map holds %v", working[0], working[1])
	}
}

// field looks at what the cell sees, which must be what arch says, and lets it grow.
func field(b *tab) {
	b.Helper()
	b.until(`document.getElementById("field").dataset.box`)
	steps := value[int](b, `Number(document.getElementById("field-step").max)`)
	if steps < 1 {
		b.Errorf("the field has %d steps", steps)
	}
	area := func() float64 {
		return value[float64](b,
			`(() => { const [a, b, c, d] = document.getElementById("field").dataset.box.split(",").map(Number); return (c - `+
				`a) * (d - b); })()`)
	}
	last := 0.0
	for step := range steps + 1 {
		b.js(fmt.Sprintf(`(() => { const s = document.getElementById("field-step"); s.value = %d; s.dispatchEvent(new `+
			`Event("input")); })()`, step))
		if now := area(); now < last {
			b.Errorf("the field shrinks from %v to %v pixels at step %d", last, now, step)
		} else {
			last = now
		}
	}
	if way := b.text("#field-way"); !strings.Contains(value[string](b, `document.getElementById("field-way").textContent`),
		")*") {
		b.Errorf("the arithmetic of the field: %q", way)
	}
}

func filters(b *tab) {
	b.Helper()
	b.click("#tab-filters")
	b.until(`document.querySelector("#panel-filters .kernels")`)
	first := value[string](b, `document.querySelector("#table tbody tr").dataset.row`)
	b.chooseLayer(first)
	b.until(`document.querySelectorAll("#panel-filters .filter").length >= 8`)
	b.click("#tab-maps")
}

// overlays asks why.
func overlays(b *tab) {
	b.Helper()
	for _, kind := range []string{"gradcam", "occlusion", "none"} {
		b.click("input[name=overlay][value=" + kind + "]")
		if kind == "none" {
			b.until(`document.getElementById("heat").hidden`)
			continue
		}
		b.until(fmt.Sprintf(`!document.getElementById("heat").hidden && document.getElementById("heat").dataset.kind === %s`,
			quote(kind)))
		if n := value[int](b,
			`(() => { const c = document.getElementById("heat"); return new Set(c.getContext("2d").getImageData(0, 0, `+
				`c.width, c.height).data).size; })()`); n < 4 {
			b.Errorf("%s has hardly a colour", kind)
		}
	}
}

// TestNumbers: every number of VGG-16 on the page is that of vggo arch vgg16 --json.
func TestNumbers(t *testing.T) {
	_, web := serving(t, tiny())
	b := open(t, web.URL, "/#network=vgg16", 1280, 900)
	b.until(`document.querySelector("#table [data-row=conv5_3]")`)
	net, err := arch.Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	report, err := arch.Analyze(net, net.Input, 1)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var told map[string]any
	if err := json.Unmarshal(text, &told); err != nil {
		t.Fatal(err)
	}
	byName := map[string]any{"": told}
	for _, l := range told["layers"].([]any) {
		byName[l.(map[string]any)["name"].(string)] = l
	}
	shown := value[[]struct{ Layer, Path, Value, Text string }](b,
		`[...document.querySelectorAll("[data-path]")].map((e) => ({Layer: e.dataset.layer, Path: e.dataset.path, Value: `+
			`e.dataset.value, Text: e.textContent}))`)
	if len(shown) < 150 {
		t.Errorf("only %d numbers are shown", len(shown))
	}
	for _, s := range shown {
		want := byName[s.Layer]
		for key := range strings.SplitSeq(s.Path, ".") {
			want = want.(map[string]any)[key]
		}
		var got any
		if err := json.Unmarshal([]byte(s.Value), &got); err != nil {
			t.Errorf("%+v: %v", s, err)
			continue
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s %s is %v on the page, %v in arch's JSON", s.Layer, s.Path, got, want)
		}
		// What is read is the same number: with commas, or as a size, or with a prefix as arch's own table has it.
		read := ""
		switch w := want.(type) {
		case float64:
			switch {
			case strings.HasSuffix(s.Path, "bytes"):
				read = printable.Bytes(int64(w))
			case strings.HasSuffix(s.Path, "per_byte"):
				read = fmt.Sprintf("%.1f", w)
			default:
				read = printable.Count(int64(w))
			}
		case map[string]any:
			if h, ok := w["h"].(map[string]any); ok {
				read = printable.Count(int64(h["size"].(float64)))
			} else {
				read = fmt.Sprintf("%v×%v×%v", w["h"], w["w"], w["c"])
			}
		}
		if s.Text != read && !(s.Text == "" && s.Value == "0") {
			t.Errorf("%s %s reads %q, want %q", s.Layer, s.Path, s.Text, read)
		}
	}
	// Each opens its formula, in arch's words.
	for _, l := range report.Layers {
		if l.Formulas.Weights == "" {
			continue
		}
		for show, formula := range map[string]string{"size": l.Formulas.Size, "weights": l.Formulas.Weights,
			"macs": l.Formulas.MACs, "memory": l.Formulas.Activations, "intensity": l.Formulas.Intensity} {
			b.click(fmt.Sprintf(`#table [data-layer="%s"][data-show="%s"]`, l.Name, show))
			if got := b.text("#formula"); !strings.Contains(got, formula) {
				t.Errorf("%s %s: %q is not in %q", l.Name, show, formula, got)
			}
			b.js(`document.getElementById("formula").close()`)
		}
	}
}

// TestBuild edits a network, is told of an impossible one, and takes it away.
func TestBuild(t *testing.T) {
	_, web := serving(t, tiny())
	b := open(t, web.URL, "/", 1280, 900)
	b.until(`document.querySelector("[data-compare='yours.parameters']")?.textContent === "2,360,138"`)
	if got := b.text("[data-compare='vgg16.parameters']"); got != "138,357,544" {
		t.Errorf("VGG-16 has %s parameters", got)
	}
	b.js(`(() => { const i = document.getElementById("convs-0"); i.value = "32"; i.dispatchEvent(new ` +
		`Event("change")); })()`)
	b.until(`document.getElementById("build-text").value === "32x32x3:32,64,M,128,128,M/256,10" && ` +
		`document.querySelector("[data-compare='yours.parameters']").textContent !== "2,360,138"`)
	b.click("[data-preset=broken]")
	b.until(`document.getElementById("build-fault")?.textContent.includes("pool")`)
	if got := b.text("#build-result"); !strings.Contains(got, "cannot follow what is before it") {
		t.Errorf("an impossible network is explained by %q", got)
	}
	b.click("[data-preset=small]")
	b.until(`document.getElementById("build-draw")`)
	b.click("[data-preset=yaml]")
	b.until(`document.getElementById("build-text").value.startsWith("name: yours")`)
	b.until(`document.querySelector("[data-compare='yours.parameters']")?.textContent === "2,360,138"`)
	for format, begin := range map[string]string{"yaml": "name: yours", "svg": "<svg "} {
		got := value[string](b, fmt.Sprintf(`new Promise((done) => {
			const real = URL.createObjectURL;
			URL.createObjectURL = (blob) => { URL.createObjectURL = real; blob.text().then(done); return real.call(URL, blob); };
			document.getElementById("build-%s").click();
		})`, format))
		if !strings.HasPrefix(got, begin) {
			t.Errorf("%s begins with %.40q", format, got)
		}
	}
	b.click("#build-draw")
	b.until(`document.querySelector("#table [data-row=fc3]") && ` +
		`document.getElementById("which").selectedOptions[0].textContent === "your own"`)
	b.js(`(() => { const i = document.getElementById("input"); i.value = "2x2x3"; i.dispatchEvent(new Event("input", ` +
		`{bubbles: true})); })()`)
	b.until(`!document.getElementById("network-error").hidden`)
}

// TestWrongFile: a file that is no picture is refused in words, and the page goes on.
func TestWrongFile(t *testing.T) {
	_, web := serving(t, tiny())
	b := open(t, web.URL, "/", 1280, 900)
	b.upload("page_test.go")
	b.until(`!document.getElementById("alert").hidden`)
	if got := b.text("#alert"); !strings.Contains(got, "not a JPEG") || !strings.Contains(got, "send a JPEG") {
		t.Errorf("a wrong file is answered %q", got)
	}
	b.upload(boot)
	b.answered()
	if !value[bool](b, `document.getElementById("alert").hidden`) {
		t.Error("the complaint stays")
	}
}

// TestServerGoesAway: a server that ends is told of; when it is back the page goes on, and a picture that it has
// forgotten is sent again.
func TestServerGoesAway(t *testing.T) {
	wanted(t)
	needsServer(t, "a site has none that could go away")
	load := func() *serve.Server {
		s := serve.New(serve.Config{Models: []serve.Source{tiny()}})
		if err := s.Load(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	s := load()
	listen := func(at string) (*http.Server, string) {
		listener, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		web := &http.Server{Handler: s}
		go web.Serve(listener)
		return web, listener.Addr().String()
	}
	web, at := listen("127.0.0.1:0")
	b := open(t, "http://"+at, "/", 1280, 900)
	b.click("[data-example=boot]")
	b.answered()
	web.Close()
	b.click("[data-example=owl]")
	b.until(`document.getElementById("alert").dataset.kind === "silent" && !document.getElementById("alert").hidden`)
	if got := b.text("#classes"); !strings.Contains(got, "Ankle boot") {
		t.Errorf("what was on the page is gone: %q", got)
	}
	s = load() // which knows nothing of the picture
	web, _ = listen(at)
	defer web.Close()
	b.click("[data-row=pool1] button") // the maps are asked for under an id that this server never gave
	b.until(`document.getElementById("map")?.dataset.layer === "pool1" && document.getElementById("alert").hidden`)
}

// TestChinese: the page speaks Chinese where the browser asks for it or the reader does, and remembers.
func TestChinese(t *testing.T) {
	_, web := serving(t, tiny())
	b := open(t, web.URL, "/", 1280, 900)
	if got := b.text("h1"); got != "See inside it" {
		t.Errorf("in English: %q", got)
	}
	b.click("#language")
	b.until(`document.documentElement.lang === "zh-CN"`)
	b.click("[data-example=boot]")
	b.answered()
	b.until(`document.getElementById("working")`)
	if got := b.text("h1"); got != "看清内部" {
		t.Errorf("in Chinese: %q", got)
	}
	if left := value[[]string](b,
		`[...document.querySelectorAll("main h2, main h3, main label, main legend, main summary, main .note, nav `+
			`a")].filter((e) => e.checkVisibility()).map((e) => e.innerText).filter((s) => /[a-z]{4}/.test(s) && `+
			`!/[\u4e00-\u9fff]/.test(s))`); len(left) > 0 {
		t.Errorf("still English: %q", left)
	}
	b.navigate("/")
	if got := b.text("h1"); got != "看清内部" {
		t.Errorf("the language is not remembered: %q", got)
	}
	b.js(`localStorage.clear()`)
}

// TestKeyboard goes from the address bar to a worked number without a mouse.
func TestKeyboard(t *testing.T) {
	_, web := serving(t, tiny())
	b := open(t, web.URL, "/", 1280, 900)
	// to presses Tab until something has the focus.
	to := func(want string) {
		t.Helper()
		seen := []string{}
		for range 250 {
			b.keys(kb.Tab)
			now := b.focused()
			if now == want {
				return
			}
			seen = append(seen, now)
		}
		t.Fatalf("Tab does not come to %s: %v", want, seen)
	}
	to("skip")
	to("file")
	to("boot")
	b.keys(kb.Enter)
	b.answered()
	to("conv1_1") // the drawing has one place in the order
	b.keys(kb.ArrowRight)
	b.keys(kb.ArrowRight)
	if got := b.focused(); got != "pool1" {
		t.Fatalf("the arrow key leads to %s", got)
	}
	b.keys(kb.ArrowRight)
	b.keys(kb.Enter)
	b.until(`document.getElementById("map")?.dataset.layer === "conv2_1" && document.getElementById("working")`)
	if got := b.focused(); got != "layer" {
		t.Errorf("Enter leaves the focus at %s, not at the layer", got)
	}
	to("pad")
	row, before := value[int](b, `Number(document.getElementById("cell-y").value)`),
		value[int](b, `Number(document.getElementById("cell-x").value)`)
	move, by := kb.ArrowRight, 1
	if before > 7 {
		move, by = kb.ArrowLeft, -1
	}
	b.keys(move)
	b.until(fmt.Sprintf(`document.getElementById("working").dataset.at === "%d,%d" && `+
		`document.getElementById("tap-first")`, row, before+by))
	to("tap-first")
	b.keys(" ")
	b.until(`document.querySelector(".grid .lit")`)
	to("tab-maps")
	b.keys(kb.ArrowRight)
	b.until(`document.querySelector("#panel-filters .kernels")`)
	// A number, its formula, and back.
	b.js(`document.querySelector("#layer-card .number").focus()`)
	b.keys(kb.Enter)
	b.until(`document.getElementById("formula").open`)
	b.keys(kb.Escape)
	b.until(`!document.getElementById("formula").open`)
	if got := b.focused(); got != "number" {
		t.Errorf("closing the formula leads to %s", got)
	}
}

// TestPhone: 390 pixels are enough for all of it.
func TestPhone(t *testing.T) {
	_, web := serving(t, tiny())
	b := open(t, web.URL, "/", 390, 844)
	b.click("[data-example=boot]")
	b.answered()
	b.until(`document.getElementById("working")`)
	if wide := value[[]string](b,
		`[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > 391 && `+
			`e.checkVisibility() && !e.closest(".scroll, .unseen, svg")).map((e) => e.tagName + "." + e.className + "#" + `+
			`e.id)`); len(wide) > 0 {
		t.Errorf("wider than the screen: %q", wide)
	}
	if w := value[int](b, `document.documentElement.scrollWidth`); w > 390 {
		t.Errorf("the page is %d pixels wide", w)
	}
	tour(b, boot)
}

// TestCamera takes a picture by the browser's pretended camera.
func TestCamera(t *testing.T) {
	_, web := serving(t, tiny())
	b := open(t, web.URL, "/", 1280, 900)
	b.click("#camera")
	b.until(`document.querySelector("#camera-dialog video")?.videoWidth > 0`)
	goes := "The picture goes to this server alone"
	if onSite() {
		goes = "The picture stays in this browser"
	}
	if got := b.text("#camera-dialog .note"); !strings.HasPrefix(got, goes) {
		t.Errorf("of the picture is said %q, want %q", got, goes)
	}
	b.click("#camera-take")
	b.answered()
	if value[bool](b, `document.getElementById("camera-dialog").open`) {
		t.Error("the camera stays on")
	}
}

// TestDrop drops a file on the page.
func TestDrop(t *testing.T) {
	_, web := serving(t, tiny())
	b := open(t, web.URL, "/", 1280, 900)
	b.js(`(async () => {
		const blob = await (await fetch("/page/boot.png")).blob();
		const data = new DataTransfer();
		data.items.add(new File([blob], "boot.png", {type: "image/png"}));
		document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true,
			cancelable: true}));
	})()`)
	b.answered()
	if got := b.text("#classes li"); !strings.Contains(got, "Ankle boot") {
		t.Errorf("the dropped boot is a %q", got)
	}
}

// TestArticle: each number of docs/article.md that leads to the page is found there, in both languages' pages.
func TestArticle(t *testing.T) {
	_, web := serving(t, tiny())
	b := open(t, web.URL, "/", 1280, 900)
	link := regexp.MustCompile(`\[` + "`?" + `([^\]` + "`" + `]+)` + "`?" + `\]\(http://localhost:8080/(#[^)]+)\)`)
	seen := map[string]bool{}
	for _, name := range []string{"article.md", "article.zh-CN.md"} {
		text, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		links := link.FindAllSubmatch(text, -1)
		if len(links) < 30 {
			t.Errorf("%s leads to the page %d times", name, len(links))
		}
		for _, m := range links {
			number, at := string(m[1]), string(m[2])
			if seen[number+at] {
				continue
			}
			seen[number+at] = true
			if onSite() && len(seen) > 1 { // where the program begins anew with each load; the served page loads each link
				b.js(`document.getElementById("formula").close()`)
				b.js("(() => { location.hash = " + quote(at) + " })()")
			} else {
				b.navigate("/" + at)
			}
			if strings.HasSuffix(at, "show=lab") {
				b.until(`Math.abs(document.getElementById("lab").getBoundingClientRect().top) < 120`)
				continue
			}
			if !strings.Contains(at, "show=") {
				b.until(fmt.Sprintf(`document.getElementById("layer-title").textContent.includes(%s)`, quote(number)))
				continue
			}
			b.until(`document.getElementById("formula").open`)
			if got := b.text("#formula"); !strings.Contains(got, number) {
				t.Errorf("%s: %s is not at %s: %q", name, number, at, got)
			}
		}
	}
	// Another address while the page is open.
	b.js(`document.getElementById("formula").close()`)
	b.js(`(() => { location.hash = "network=vgg16&layer=fc6&show=weights" })()`)
	b.until(`document.getElementById("formula").open && ` +
		`document.getElementById("formula").innerText.includes("7*7*512*4096 = 102760448")`)
	// The receptive field goes down to the pixels, as the article does.
	b.navigate("/#network=vgg16&layer=conv5_3&show=field")
	b.until(`document.querySelector("#formula .way")?.textContent.includes("= 196")`)
}
