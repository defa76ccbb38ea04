package browser

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/page/lesson/fashion"
	"github.com/vggo/vggo/serve"
	"github.com/vggo/vggo/vision"
)

// patch is one that the page shows.
type patch struct {
	Alt, Name string
	Value     float64
}

func (b *tab) patches() []patch {
	b.Helper()
	return value[[]patch](b, `[...document.querySelectorAll(".patches li")].map((li) => ({Alt: li.firstChild.alt, `+
		`Name: li.querySelector("span").textContent, Value: Number(li.firstChild.dataset.value)}))`)
}

// strongest are the n strongest parts of pictures as explain finds them.
func strongest(t *testing.T, source serve.Source, layer string, channel, n int, names []string,
	pictures []*vision.Picture) []explain.Patch {
	t.Helper()
	m, err := source.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	found, err := explain.TopPatches(t.Context(), m, func(yield func(string, *vision.Picture) bool) {
		for i, p := range pictures {
			if !yield(names[i], p) {
				return
			}
		}
	}, layer, channel, n)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// same holds what the page shows to what explain finds; a site's kernels round otherwise.
func (b *tab) same(want []explain.Patch) {
	b.Helper()
	got := b.patches()
	if len(got) != len(want) {
		b.Fatalf("%d parts are shown, want %d", len(got), len(want))
	}
	for i, g := range got {
		w := want[i]
		place := fmt.Sprintf("%s: rows %d to %d, columns %d to %d", w.Name, w.Box.Min.Y, w.Box.Max.Y-1, w.Box.Min.X,
			w.Box.Max.X-1)
		if g.Name != w.Name || g.Alt != place || math.Abs(g.Value-float64(w.Value)) > 1e-3*math.Abs(float64(w.Value)) {
			b.Errorf("part %d is %+v, want %s with %v", i, g, place, w.Value)
		}
	}
}

// pick makes a channel the one at hand.
func (b *tab) pick(channel int) {
	b.Helper()
	b.choose("#cell-channel", fmt.Sprint(channel))
}

// found waits for a channel's parts.
func (b *tab) found(of string) {
	b.Helper()
	b.until(fmt.Sprintf(`document.getElementById("patches")?.dataset.of === %s`, quote(of)))
}

// TestExcite goes through what excites a channel: its strongest parts are explain's, a picture grows from noise and
// from the picture, is stopped, goes on, and goes with its channel; by keyboard, in Chinese and on a phone too.
func TestExcite(t *testing.T) {
	_, web := serving(t, builtin())
	b := open(t, web.URL, "/#picture=cat&layer=conv3_1&show=excite", 1280, 900)
	b.answered()
	b.until(`document.getElementById("working") && document.getElementById("patches")`)
	b.pick(17)
	layer := value[string](b, `document.getElementById("map").dataset.layer`)
	last := value[string](b, `document.querySelector("#dream-title + .note").innerText`)
	if layer != "conv3_1" || !strings.Contains(last, "map 17 of ") {
		t.Errorf("it is about %s: %s", layer, last)
	}
	b.until(`document.getElementById("patches").dataset.of.endsWith(" 17")`)
	of, _, _ := strings.Cut(value[string](b, `document.getElementById("patches").dataset.of`), " ")
	var names []string
	var pictures []*vision.Picture
	for name, file := range map[string]string{"cat": "cat.jpg", "owl": "owl.jpg", "hot dog": "hotdog.jpg",
		"boot": "boot.png"} {
		p, err := vision.DecodeFile(filepath.Join("../static/examples", file), vision.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		names, pictures = append(names, name), append(pictures, p)
	}
	b.same(strongest(t, builtin(), of, 17, 9, names, pictures))

	b.click("#dream-noise")
	b.until(`document.getElementById("dream").dataset.done === "64" && !document.getElementById("dream-more").hidden`)
	b.rises("From noise, after 64 iterations: the mean over conv3_1 went from ")
	b.click("#dream-more")
	b.until(`Number(document.getElementById("dream").dataset.done) > 64`)
	b.click("#dream-stop")
	b.until(`document.getElementById("dream-stop").hidden`)
	stopped := value[int](b, `Number(document.getElementById("dream").dataset.done)`)
	b.rises(fmt.Sprintf("From noise, after %d iterations: the mean over conv3_1 went from ", stopped))
	b.click("#language")
	b.until(`document.documentElement.lang === "zh-CN"`)
	b.until(fmt.Sprintf(
		`document.getElementById("dream-caption")?.textContent.startsWith("从噪声开始，%d 步之后")`,
		stopped))
	b.found(of + " 17")
	b.do(chromedp.EmulateViewport(390, 844))
	if w := value[int](b, `document.documentElement.scrollWidth`); w > 390 {
		t.Errorf("on a phone the page is %d pixels wide", w)
	}
	b.do(chromedp.EmulateViewport(1280, 900))
	b.click("#language")
	b.until(`document.documentElement.lang === "en"`)

	// By keyboard: from the tab to the button and on to the picture.
	b.until(`document.getElementById("dream-picture")`)
	b.js(`document.getElementById("tab-maps").focus()`)
	b.keys(kb.ArrowRight)
	b.keys(kb.ArrowRight)
	if got := b.focused(); got != "tab-excite" {
		t.Errorf("the arrows lead to %s", got)
	}
	b.tabTo("#dream-picture")
	b.keys("\r")
	b.until(`document.getElementById("dream").dataset.done === "64" && document.getElementById("dream-stop").hidden`)
	b.rises("From your picture, after 64 iterations: the mean over conv3_1 went from ")
	b.pick(18)
	b.found(of + " 18")
	b.until(`document.getElementById("dream").hidden`)
	// A file of one's own is searched too.
	b.upload("../../docs/examples/boot.png")
	b.until(`document.querySelectorAll(".patches li").length === 5 && document.querySelector(".patches").textContent.` +
		`includes("your picture")`)
	b.chooseLayer("softmax")
	b.until(`document.getElementById("panel-excite").textContent.includes("probabilities")`)
	b.navigate("/#layer=conv3_1&tab=excite")
	b.until(`!document.getElementById("panel-excite").hidden`)
}

// rises holds what is said of a picture that has grown.
func (b *tab) rises(want string) {
	b.Helper()
	text := strings.ReplaceAll(b.text("#dream-caption"), "−", "-")
	rest, ok := strings.CutPrefix(text, want)
	var from, to float64
	if _, err := fmt.Sscanf(strings.TrimSuffix(rest, "."), "%g to %g", &from, &to); !ok || err != nil || !(to > from) {
		b.Errorf("%q, want %s…: %v", text, want, err)
	}
	if !value[bool](b, `document.getElementById("dream-shown").naturalWidth === 32`) {
		b.Error("no picture of the network's size is shown")
	}
}

// TestExciteGrey: of a network that takes grey pictures the lesson's are searched, and a channel without a gradient is
// said to have none.
func TestExciteGrey(t *testing.T) {
	_, web := serving(t, tiny())
	b := open(t, web.URL, "/#picture=boot&layer=pool2&show=excite", 1280, 900)
	b.answered()
	b.until(`document.getElementById("patches")?.dataset.of.startsWith("pool2 ")`)
	channel := value[int](b, `Number(document.getElementById("cell-channel").value)`)
	note := b.text("#patches .note")
	var n int
	if _, err := fmt.Sscanf(note, "Of %d test pictures of Fashion-MNIST", &n); err != nil || n < 10 || n > 200 {
		t.Fatalf("%q: %v", note, err)
	}
	data, err := fashion.Data()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var pictures []*vision.Picture
	for i := range n {
		p, err := data.Test.Picture(i)
		if err != nil {
			t.Fatal(err)
		}
		names, pictures = append(names, data.Classes[data.Test.Label(i)]), append(pictures, p)
	}
	b.same(strongest(t, tiny(), "pool2", channel, 9, names, pictures))
	b.pick(8)
	b.found("pool2 8")
	b.click("#dream-noise")
	b.until(`!document.getElementById("alert").hidden`)
	if got := b.text("#alert"); !strings.Contains(got, "channel 8 of pool2: no pixel changes it") {
		t.Error(got)
	}
	b.until(`document.getElementById("dream").hidden && !document.getElementById("dream-noise").hidden`)
	b.click("#language")
	b.until(`document.documentElement.lang === "zh-CN"`)
	b.until(`document.getElementById("alert").textContent.includes("都不变")`)
	b.click("#language")
	if slices.ContainsFunc(b.patches(), func(p patch) bool { return p.Name == "" }) {
		t.Error("a part has no name")
	}
}
