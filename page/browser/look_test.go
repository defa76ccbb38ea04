package browser

import (
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/serve"
)

// pinned is the cell that is worked out.
type pinned struct {
	Layer, At, Caption, Hash string
	Channel                  float64
}

func (b *tab) pinned() pinned {
	b.Helper()
	return value[pinned](b,
		`(() => { const w = document.getElementById("working"); return {Layer: w.dataset.layer, At: w.dataset.at,
			Channel: Number(w.dataset.channel),
		Caption: document.getElementById("map-caption").textContent, Hash: location.hash}; })()`)
}

// look clicks a layer of the drawing and waits until its map and its working are there.
func (b *tab) look(layer string) {
	b.Helper()
	b.chooseLayer(layer)
	b.until(fmt.Sprintf(`document.getElementById("map")?.dataset.layer === %s && `+
		`document.getElementById("working")?.dataset.layer === %s`, quote(layer), quote(layer)))
}

// spot is a place on the large map, in the window's pixels.
func (b *tab) spot(x, y float64) []float64 {
	b.Helper()
	b.js(`(async () => {
		const pad = document.getElementById("pad");
		for (let before = NaN; pad.getBoundingClientRect().top !== before;) { // until nothing scrolls any more
			before = pad.getBoundingClientRect().top;
			await new Promise((r) => setTimeout(r, 400));
			pad.scrollIntoView({block: "center", behavior: "instant"});
		}
	})()`)
	return value[[]float64](b,
		fmt.Sprintf(`(() => { const r = document.getElementById("map").getBoundingClientRect(); return [r.left + r.width `+
			`* %v, r.top + r.height * %v]; })()`, x, y))
}

// move moves the mouse without a button.
func (b *tab) move(x, y float64) {
	b.Helper()
	b.do(chromedp.MouseEvent(chromedp.MouseMoved, x, y))
}

// rest moves the mouse to where place says until the condition holds. A browser under load drops a move, and what was
// laid out late moves the place away from under the mouse.
func (b *tab) rest(place func() []float64, condition string) {
	b.Helper()
	holds := func() bool {
		return value[bool](b, fmt.Sprintf(`(async () => {
			for (let i = 0; i < 30; i++, await new Promise((r) => setTimeout(r, 30))) if (%s) return true;
			return false;
		})()`, condition))
	}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		at := place()
		b.move(at[0]-1, at[1])
		b.move(at[0], at[1])
		if holds() {
			return
		}
	}
	b.until(condition)
}

// middle is a function that finds the middle of an element, in the window's pixels.
func (b *tab) middle(id string) func() []float64 {
	return func() []float64 {
		return value[[]float64](b, fmt.Sprintf(`(() => { const r = document.getElementById(%s).getBoundingClientRect(); `+
			`return [r.left + r.width / 2, r.top + r.height / 2]; })()`, quote(id)))
	}
}

// TestPin: the pointer looks at a cell for as long as it is on it, a click pins it, and it stays on the way to its
// working, through other tabs and languages, a reload and the menu.
func TestPin(t *testing.T) {
	_, web := serving(t, builtin())
	b := open(t, web.URL, "/", 1280, 900)
	b.click("[data-example=cat]")
	b.answered()
	b.until(`document.getElementById("working")`)
	b.look("conv3_1")
	at := b.spot(0.2, 0.8)
	first := b.pinned()
	b.rest(func() []float64 { return at }, fmt.Sprintf(`document.getElementById("map-caption").textContent !== %s && `+
		`!document.getElementById("cell-hover").hidden`, quote(first.Caption)))
	b.rest(func() []float64 {
		return value[[]float64](b, `(() => { const r = document.getElementById("field-figure").getBoundingClientRect(); `+
			`return [r.left + 20, r.top + 8]; })()`)
	}, fmt.Sprintf(`document.getElementById("map-caption").textContent === %s && `+
		`document.getElementById("cell-hover").hidden`, quote(first.Caption)))
	if got := b.pinned(); got.At != first.At {
		t.Errorf("looking at another cell moves the pinned one from %s to %s", first.At, got.At)
	}
	b.do(chromedp.MouseClickXY(at[0], at[1]))
	b.until(fmt.Sprintf(`document.getElementById("working").dataset.at !== %s`, quote(first.At)))
	want := b.pinned()
	// On the way to the button the pointer crosses the map.
	for i := range 8 {
		b.move(at[0]+float64(i)*12, at[1]-float64(i)*9)
	}
	to := b.middle("tap-first")()
	b.do(chromedp.MouseClickXY(to[0], to[1]))
	b.until(`document.querySelector(".grid .lit")`)
	for value[bool](b, `!document.getElementById("tap-next").disabled`) {
		b.click("#tap-next")
	}
	if got := b.pinned(); got.At != want.At || got.Channel != want.Channel {
		t.Errorf("stepping through %+v ends at %+v", want, got)
	}
	b.click("#tab-filters")
	b.until(fmt.Sprintf(`document.querySelector("#panel-filters .kernels")?.dataset.channel === "%v"`, want.Channel))
	b.click("#tab-maps")
	same := func(after string) {
		t.Helper()
		b.until(`document.getElementById("working")?.dataset.layer === "conv3_1" && !document.getElementById("shown").hidden`)
		if got := b.pinned(); got.At != want.At || got.Channel != want.Channel || got.Caption != want.Caption {
			t.Errorf("after %s %+v is pinned, not %+v", after, got, want)
		}
		if got := value[string](b, `document.querySelector("#classes li").dataset.class`); got != "3" {
			t.Errorf("after %s class %s is the answer", after, got)
		}
	}
	b.click("#language")
	b.until(`document.documentElement.lang === "zh-CN"`)
	b.click("#language")
	b.until(`document.documentElement.lang === "en" && document.getElementById("working")`)
	same("another language and back")
	b.click(`nav [data-part=time]`)
	if hash := value[string](b, "location.hash"); !strings.Contains(hash, "layer=conv3_1") ||
		!strings.Contains(hash, "map=") {
		t.Errorf("the menu leads to %s", hash)
	}
	href := value[string](b, `document.querySelector("nav [data-part=time]").getAttribute("href")`)
	b.reload()
	same("a reload")
	b.navigate("/" + href) // as a link opened in another tab
	same("following the menu's link")
	// A file of the reader's own has no address, and comes back too.
	b.upload("../static/examples/owl.jpg")
	b.until(`document.querySelector("#classes li").dataset.class !== "3" && !document.body.dataset.busy`)
	own := b.text("#classes")
	b.reload()
	b.until(`document.querySelectorAll("#classes li[data-class]").length > 1`)
	if got := b.text("#classes"); got != own {
		t.Errorf("after a reload the answer is %q, not %q", got, own)
	}
}

// vgg16 is VGG-16 with random weights.
func vgg16() serve.Source {
	return serve.Source{Name: "vgg16", Open: func() (*vggo.Model, error) {
		return vggo.New("vgg16",
			vggo.Options{Seed: 1, Threads: 2})
	}}
}

// TestWalk goes through every layer and tab of the embedded network, in both languages, wide and narrow, and of VGG-16,
// as of the embedded one on a site, in English wide and in Chinese narrow: nothing red, nothing wider than the screen,
// in Chinese no English, and under each number what computed it.
func TestWalk(t *testing.T) {
	models, names := []serve.Source{builtin(), vgg16()}, []string{"embedded", "vgg16"}
	if onSite() { // VGG-16's weights are drawn at random by the server alone
		models, names = models[:1], names[:1]
	}
	_, web := serving(t, models...)
	b := open(t, web.URL, "/", 1280, 900)
	for _, model := range names {
		b.navigate("/#network=" + model + "&picture=cat")
		b.answered()
		for _, language := range []string{"en", "zh"} {
			if value[string](b, `document.documentElement.lang.slice(0, 2)`) != language {
				b.click("#language")
				b.until(fmt.Sprintf(`document.documentElement.lang.startsWith(%s)`, quote(language)))
			}
			for _, width := range []int64{1280, 390} {
				// minutes: each language and each width once
				if (model == "vgg16" || onSite()) && (language == "en") != (width == 1280) {
					continue
				}
				b.do(chromedp.EmulateViewport(width, 900))
				where := fmt.Sprintf("%s, %s, %d pixels", model, language, width)
				walk(b, where, model, language)
			}
		}
		b.click("#language") // English again
		b.until(`document.documentElement.lang === "en"`)
		b.do(chromedp.EmulateViewport(1280, 900))
	}
	b.js(`localStorage.clear()`)
}

func walk(b *tab, where, model, language string) {
	b.Helper()
	for _, layer := range layers(b) {
		for _, tab := range []string{"maps", "filters"} {
			b.click("#tab-" + tab)
			b.chooseLayer(layer)
			ready := fmt.Sprintf(`document.querySelector("#panel-%s > *")`, tab)
			if layer != "softmax" {
				ready += fmt.Sprintf(` && document.getElementById("map")?.dataset.layer === %s && `+
					`document.getElementById("working") && document.getElementById("field").dataset.box`, quote(layer))
			}
			b.until(ready)
			if alert := value[string](b,
				`["alert", "network-error", "build-fault"].map((id) => document.getElementById(id)).filter((e) => e && `+
					`!e.hidden).map((e) => e.textContent).join(" ")`); alert != "" {
				b.Fatalf("%s, %s, %s: the page complains: %q", where, layer, tab, alert)
			}
			if layer != "softmax" {
				numbers(b, where+", "+layer)
			}
			plain(b, where+", "+layer+", "+tab, language)
		}
		b.click("#tab-maps")
	}
	if model == "embedded" && language == "zh" {
		if got := b.text("#classes li .name"); got != "猫" {
			b.Errorf("%s: the cat is called %q", where, got)
		}
	}
}

// numbers holds what is said of a number against what computed it.
func numbers(b *tab, where string) {
	b.Helper()
	told := value[struct {
		Kind, Algorithm, Words, Mean string
		Result, Value, Max           float64
		ReLU, Vector                 bool
		Zero, Name                   string
		First, Min                   float64
	}](b, `(async () => {
		const w = document.getElementById("working");
		const { state, groupOf } = await import("/page/state.js");
		const group = groupOf(w.dataset.layer);
		const scale = document.querySelector("#map-figure .scale");
		const report = state.report.layers.find((l) => l.name === w.dataset.layer);
		const note = document.getElementById("layer-note").textContent;
		return { Kind: report.kind, Algorithm: group.algorithm ?? "", Words: document.getElementById("exact").textContent,
			Mean: note,
			Result: Number(w.dataset.result), Value: Number(w.dataset.value),
				Max: Number(scale?.dataset.high ?? w.dataset.value), Min: Number(scale?.dataset.low ?? 0),
			ReLU: group.layers.some((n) => state.report.layers.find((l) => l.name === n).kind === "relu"),
				Vector: group.shape.h * group.shape.w === 1,
			Zero: scale?.dataset.zero ?? "", Name: document.querySelector("#map-figure h3").textContent,
				First: Number(document.querySelector("#panel-maps .map")?.dataset.max ?? 1) };
	})()`)
	if math.Abs(told.Result-told.Value) > 1e-3*max(1, math.Abs(told.Value)) {
		b.Errorf("%s: worked out as %v, the map holds %v", where, told.Result, told.Value)
	}
	if strings.Contains(told.Words, "Winograd") != (strings.HasPrefix(told.Algorithm, "winograd") &&
		told.Result != told.Value) {
		b.Errorf("%s went by %q, and the page says %q", where, told.Algorithm, told.Words)
	}
	if told.Kind == "maxpool" && strings.Contains(told.Words, "float32") {
		b.Errorf("%s: the largest of some numbers is rounded? %q", where, told.Words)
	}
	if strings.Contains(told.Mean, "ReLU") && !told.ReLU {
		b.Errorf("%s has no ReLU, and the page says %q", where, told.Mean)
	}
	if !told.Vector && told.Min <= 0 && told.Max > 0 && told.Zero == "" {
		b.Errorf("%s: zero is not marked on the scale from %v to %v", where, told.Min, told.Max)
	}
	if told.First < 0 {
		b.Errorf("%s: the first map is negative everywhere: at most %v", where, told.First)
	}
	if told.Vector && strings.Contains(told.Name, "map") {
		b.Errorf("%s: a vector's number is called %q", where, told.Name)
	}
}

// plain looks for what is wider than the screen and, in Chinese, for English.
func plain(b *tab, where, language string) {
	b.Helper()
	if wide := value[[]string](b,
		`[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && `+
			`e.checkVisibility() && !e.closest(".scroll, .unseen, svg")).map((e) => e.tagName + "." + e.className + "#" + `+
			`e.id)`); len(wide) > 0 {
		b.Errorf("%s: wider than the screen: %q", where, wide)
	}
	if tall := value[[]string](b,
		`[...document.querySelectorAll(".compare th[scope=row]")].filter((e) => e.offsetHeight > 75).map((e) => `+
			`e.textContent)`); len(tall) > 0 {
		b.Errorf("%s: headings of more than three lines: %q", where, tall)
	}
	if language == "zh" {
		if left := b.english(); len(left) > 0 {
			b.Errorf("%s: English is left: %q", where, left)
		}
	}
}

// english is the visible English of the page: texts and what aids read out. Names of layers and models, formulas, what
// stands in an input and proper names are none.
func (b *tab) english() []string {
	b.Helper()
	return value[[]string](b, `(async () => {
		const { state } = await import("/page/state.js");
		const names = new Set([...(state.report?.layers ?? []).map((l) => l.name), ...state.models.flatMap((m) => [m.name,
			m.network, m.weights]), ...state.networks]);
		for (const e of document.querySelectorAll("textarea, input")) // which messages repeat
			for (const word of e.value.match(/[A-Za-z0-9_.-]+/g) ?? []) names.add(word);
		const proper = new Set(["vggo", "vgg", "softmax", "sigmoid", "yaml", "svg", "vgg16", "alexnet", "flop", "png",
			"relu", "lrn", "exp", "logit", "gamma", "beta", "winograd", "grad", "cam", "float32", "float64",
			"selvaraju", "zeiler", "simonyan", "zisserman", "luo", "deepfool", "moosavi", "dezfooli",
			"fergus", "google", "coral", "test", "data", "apache", "fashion", "mnist", "zalando", "mit", "arch",
				"train", "model", "yours", "max", "min", "input", "english", "localhost", "https", "javascript", "jpeg", "gif",
					"webp", "bmp", "tiff", "ipod", "shift", "serve"]);
		const left = [];
		const judge = (text, node) => {
			for (const word of text.replace(/--[a-z-]+/g, "").match(/[A-Za-z][A-Za-z0-9_.-]*/g) ?? []) {
				const whole = word.replace(/[.-]+$/, "");
				if (names.has(whole) || /^(conv|pool|fc|bn|relu)\d/.test(whole)) continue;
				for (const part of whole.split(/[-._]/)) if (/^[A-Za-z]{3,}/.test(part) && !proper.has(part.toLowerCase()) &&
					!names.has(part)) left.push(part + " in " + text.trim().slice(0, 60) +
						" (" + node.tagName + "." + (node.className?.baseVal ?? node.className) + ")");
			}
		};
		const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
		for (let n = walker.nextNode(); n; n = walker.nextNode()) {
			const at = n.parentElement;
			if (at.closest("code, .formula, .way, noscript, script, textarea, [lang=en], #which, #model, #beside, #language") ||
				at.closest("svg title") === null && !at.checkVisibility()) continue;
			judge(n.data, at);
		}
		for (const e of document.querySelectorAll("[aria-label], [alt], [title]")) {
			if (!e.checkVisibility() || e.id === "language") continue;
			for (const name of ["aria-label", "alt", "title"]) if (e.getAttribute(name)) judge(e.getAttribute(name), e);
		}
		return [...new Set(left)];
	})()`)
}

// chinese waits until what asks the server for its words has them in Chinese, and fails where English is left.
func (b *tab) chinese() {
	b.Helper()
	b.until(`["#lab-columns h3", "#rule-words", "#last-adds h3", "#build-result caption"].every((box) => ` +
		`/\p{Script=Han}/u.test(document.querySelector(box).textContent))`)
	if left := b.english(); len(left) > 0 {
		b.Errorf("English is left: %q", left)
	}
}

// TestChineseFaults: what the server refuses is told in Chinese, with what is to be done.
func TestChineseFaults(t *testing.T) {
	_, web := serving(t, tiny())
	b := open(t, web.URL, "/", 390, 844)
	b.click("#language")
	b.until(`document.documentElement.lang === "zh-CN"`)
	b.upload("page_test.go")
	b.until(`!document.getElementById("alert").hidden`)
	if got := b.text("#alert"); !strings.Contains(got, "这不是 JPEG、PNG") || !strings.Contains(got, "别的程序能显示的 JPEG") {
		t.Errorf("no picture: %q", got)
	}
	for _, fault := range []struct{ text, want string }{
		{"32x32x3:64,M,M,M,M,M,M,128/10", "第 pool6 层"},
		{"32x32x3:64,Q/10", "应为通道数、M、A、R、L 或 G"},
		{"32x32x3:64k99p0/10", "核 99 大于填充后的输入"},
		{"32x32x3:64g7/10", "个分组不能整除"},
		{"32x32x3:64k3k3/10", "出现了两次"},
		{"nonsense", "没有叫"},
		{"name: a\ninput: 2\nlayers: []", "应为 高x宽x通道数"},
	} {
		b.js(fmt.Sprintf(`(() => { document.getElementById("build-fault")?.remove(); const a = `+
			`document.getElementById("build-text"); a.value = %s; a.dispatchEvent(new Event("input")); })()`, quote(fault.text)))
		b.until(`document.getElementById("build-fault")`)
		if got := b.text("#build-fault"); !strings.Contains(got, fault.want) ||
			value[bool](b, `Boolean(document.querySelector("#build-fault [lang=en]"))`) {
			t.Errorf("%q: %q, want %q", fault.text, got, fault.want)
		}
		if left := b.english(); len(left) > 0 {
			t.Errorf("%q: English is left: %q", fault.text, left)
		}
	}
	b.js(`(() => { const i = document.getElementById("input"); i.value = "2x2x1"; i.dispatchEvent(new Event("input", ` +
		`{bubbles: true})); })()`)
	b.until(`!document.getElementById("network-error").hidden`)
	if left := b.english(); len(left) > 0 {
		t.Errorf("English is left: %q", left)
	}
	b.click("#language") // the messages change with the language
	b.until(`document.documentElement.lang === "en" && document.getElementById("alert").textContent.includes("not a ` +
		`JPEG") && document.getElementById("network-error").textContent.includes("layer")`)
	b.js(`localStorage.clear()`)
}

// TestHeat: a heat map lies on the input and on the photograph, and has a scale with figures.
func TestHeat(t *testing.T) {
	_, web := serving(t, builtin())
	b := open(t, web.URL, "/", 1280, 900)
	b.upload("../static/examples/owl.jpg")
	b.answered()
	for _, kind := range []string{"gradcam", "occlusion"} {
		b.click("input[name=overlay][value=" + kind + "]")
		b.until(fmt.Sprintf(`document.getElementById("heat").dataset.kind === %s && document.querySelector("#heat-scale `+
			`.scale")`, quote(kind)))
		high := value[float64](b, `Number(document.querySelector("#heat-scale .scale").dataset.high)`)
		if !(high > 0) || kind == "occlusion" && high > 1 {
			t.Errorf("%s goes up to %v", kind, high)
		}
		if got := b.text("#heat-scale .ends"); kind == "occlusion" && !strings.Contains(got, "points") || got == "" {
			t.Errorf("%s: the scale says %q", kind, got)
		}
	}
	natural := func() int { return value[int](b, `document.getElementById("shown").naturalWidth`) }
	if n := natural(); n != 32 {
		t.Errorf("the input is %d pixels wide", n)
	}
	b.click("input[name=view][value=photograph]")
	b.until(`document.getElementById("shown").naturalWidth >= 448`)
	if value[bool](b, `document.getElementById("heat").hidden`) {
		t.Error("the heat does not lie on the photograph")
	}
	b.click("input[name=view][value=input]")
	b.until(`document.getElementById("shown").naturalWidth === 32`)
	b.rest(b.middle("heat"), `document.getElementById("heat-here").textContent !== ""`)
}

// TestWords holds the sentences about a picture, a run and a class's score against the server's figures.
func TestWords(t *testing.T) {
	_, web := serving(t, builtin())
	b := open(t, web.URL, "/", 1280, 900)
	b.click("[data-example=boot]") // 28 by 28
	b.until(`document.getElementById("seen-note").textContent === "The picture has 28×28 pixels; the network sees all ` +
		`of it, scaled to 32×32."`)
	wide := chequers(t, 96, 64)
	b.upload(wide)
	b.until(`document.getElementById("seen-note").textContent === "The picture has 64×96 pixels; the network sees its ` +
		`middle 64×64, scaled to 32×32."`)
	b.upload(chequers(t, 32, 32))
	b.until(`document.getElementById("seen-note").textContent === "The network sees the picture as it is, 32×32 pixels."`)
	b.upload(chequers(t, 40, 32))
	b.until(`document.getElementById("seen-note").textContent === "The picture has 32×40 pixels; the network sees its ` +
		`middle 32×32."`)
	if got := b.text("#time-note"); !strings.Contains(got, "the median of 5 runs") {
		t.Errorf("the times are %q", got)
	}
	words := b.text("#time-words")
	if strings.Contains(words, "only") || !strings.Contains(words, "Fully connected layers have 0.1% of the parameters") {
		t.Errorf("why it takes so long: %q", words)
	}
	b.look("fc5")
	if got := b.text("#map-figure h3"); !strings.HasPrefix(got, "fc5: ") || strings.Contains(got, "map") {
		t.Errorf("a score is called %q", got)
	}
	label := value[string](b, `document.querySelector("#classes li .name").textContent`)
	if got := b.text("#panel-maps li"); !strings.HasPrefix(got, label) {
		t.Errorf("the largest score is %q's, the answer is %q", got, label)
	}
	if got := b.text("#map-caption"); !strings.HasPrefix(got, "Score: ") {
		t.Errorf("the score is %q", got)
	}
	b.look("bn2_1") // computed with a ReLU alone
	if got := b.text("#cell"); !strings.Contains(got, "batch norm") || !strings.Contains(got, "√") ||
		!strings.Contains(got, "max(0, ") {
		t.Errorf("batch norm is worked out as %q", got)
	}
	// Bars are in the colour of their layer's kind.
	off := value[[]string](b,
		`[...document.querySelectorAll("#drawing rect.stick")].filter((r) => `+
			`!/k-(conv|pool|linear|norm|other)/.test(r.getAttribute("class"))).map((r) => r.getAttribute("class"))`)
	if len(off) > 0 {
		t.Errorf("bars of no kind: %q", off)
	}
}

// TestAveragePooling: a window that hangs over the edge is worked out as the network does.
func TestAveragePooling(t *testing.T) {
	_, web := serving(t, serve.Source{Name: "odd", Open: func() (*vggo.Model, error) {
		return vggo.New("8x8x3:4,Ak3s2c/5",
			vggo.Options{Seed: 1})
	}})
	b := open(t, web.URL, "/", 1280, 900)
	b.click("[data-example=owl]")
	b.answered()
	b.until(`document.getElementById("working")`)
	b.look("pool1")
	for _, at := range [][2]int{{3, 3}, {0, 3}, {3, 0}, {1, 1}} {
		for id, v := range map[string]int{"y": at[0], "x": at[1]} {
			b.js(fmt.Sprintf(`(() => { const i = document.getElementById("cell-%s"); i.value = %d; i.dispatchEvent(new `+
				`Event("change")); })()`, id, v))
		}
		b.until(fmt.Sprintf(`document.getElementById("working").dataset.at === "%d,%d"`, at[0], at[1]))
		got := value[[]float64](b, `["result", "value"].map((k) => Number(document.getElementById("working").dataset[k]))`)
		if math.Abs(got[0]-got[1]) > 1e-6 {
			t.Errorf("cell %v: worked out as %v, the map holds %v", at, got[0], got[1])
		}
	}
	if got := b.text("#mean-line"); !strings.Contains(got, ") / 9 = ") {
		t.Errorf("the mean of a whole window is written as %s", got)
	}
}

// chequers is the path of a picture of black and white squares.
func chequers(t *testing.T, w, h int) string {
	t.Helper()
	picture := image.NewGray(image.Rect(0, 0, w, h))
	for i := range picture.Pix {
		picture.Pix[i] = uint8((i%w/4 + i/w/4) % 2 * 255)
	}
	path := filepath.Join(t.TempDir(), fmt.Sprintf("chequers-%dx%d.png", w, h))
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(png.Encode(file, picture), file.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}
