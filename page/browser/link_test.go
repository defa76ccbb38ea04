package browser

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// inView is what a reader sees of a view: the part of the page, and what is set and shown there.
const inView = `(() => {
	const text = (id) => document.getElementById(id)?.textContent ?? "";
	const picked = (name) => document.querySelector("input[name=" + name + "]:checked").value;
	const part = [...document.querySelectorAll("main > section")].findLast((s) =>
		s.getBoundingClientRect().top < innerHeight / 3).id;
	const views = {
		see: () => [picked("view"), picked("overlay"), document.getElementById("heat").dataset.kind,
			document.getElementById("why-class").value, document.getElementById("why-strength").value, text("why-note")],
		layer: () => [text("layer-title"), text("map-caption"), document.getElementById("working")?.dataset.at,
			document.querySelector("#cell .line[aria-pressed=true]")?.textContent,
			document.querySelector("[role=tab][aria-selected=true]").id,
			Boolean(document.querySelector("#panel-filters .kernels"))],
		lab: () => ["lab-step", "lab-y", "lab-x", "lab-channels", "rule-k", "rule-p"].map((id) => text(id + "-told"))
			.concat(document.querySelector(".crop").dataset.fields, text("rule-words")),
		last: () => [text("last-degrees"), document.getElementById("last-adds").dataset.of,
			document.querySelector("#last-table .chosen").textContent],
	};
	const tour = document.getElementById("story").hidden ? "" : document.getElementById("story").dataset.shown;
	return JSON.stringify([document.getElementById("model").value, text("seen-note"), tour,
		tour ? [] : [part, views[part]?.()]]);
})()`

// TestLink: a link that is copied shows the same view in another tab: heat, class and picture; layer, map, cell, its
// input and tab; the laboratory; the last step; the story.
func TestLink(t *testing.T) {
	_, web := serving(t, tiny())
	b := open(t, web.URL, "/#picture=boot", 1280, 900)
	b.answered()
	for _, permission := range []string{"clipboard-write", "clipboard-read"} {
		b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			_, err := chromedp.Call(ctx, browser.SetPermission, browser.SetPermissionParams{Origin: web.URL,
				Setting: browser.PermissionSettingGranted, Permission: &browser.PermissionDescriptor{Name: permission}})
			return err
		}))
	}
	top := func(id string) {
		b.js(`document.getElementById("` + id + `").scrollIntoView({behavior: "instant", block: "start"})`)
	}
	set := func(id, value string) {
		b.js(`(() => { const c = document.getElementById("` + id + `"); c.value = "` + value + `";
			for (const kind of ["input", "change"]) c.dispatchEvent(new Event(kind, {bubbles: true})); })()`)
	}
	for _, view := range []struct {
		name string
		show func()
		want string // in what is seen, so that nothing is compared with nothing
	}{
		{"heat", func() {
			b.js(`document.getElementById("why-class").selectedIndex = 1`)
			set("why-strength", "40")
			b.click("input[name=view][value=photograph]")
			b.click("input[name=overlay][value=occlusion]")
			b.until(`document.getElementById("heat").dataset.kind === "occlusion"`)
			top("see")
		}, `"photograph","occlusion","occlusion"`},
		{"cell", func() {
			b.look("conv2_1")
			b.click("#panel-maps [data-channel='3']")
			set("cell-y", "5")
			b.until(`document.getElementById("working").dataset.at?.startsWith("5,")`)
			b.click("#cell .units li:nth-child(4) button")
			b.until(`document.querySelector("#cell .units li:nth-child(4) [aria-pressed=true]")`)
			b.click("#tab-filters")
			b.until(`document.querySelector("#panel-filters .kernels")`)
			top("layer")
		}, `"tab-filters",true`},
		{"lab", func() {
			set("lab-step", "2")
			set("lab-y", "9")
			set("rule-k", "5")
			top("lab")
			b.until(`document.querySelector(".crop").dataset.fields === "3,5" && ` +
				`document.querySelector("svg.rule").dataset.windows === "6"`)
		}, `"3,5"`},
		{"last", func() {
			b.click("#last-table tbody tr:nth-child(3) button")
			set("last-temperature", "12")
			top("last")
			b.until(`document.querySelector("#last-adds dl") && document.getElementById("last-adds").dataset.of === ` +
				`document.querySelector("#last-table .chosen")?.dataset.class && ` +
				`document.querySelector("#last-table thead").textContent.includes("T")`)
		}, `"last"`},
		{"story", func() {
			b.click("#story-start button, [data-tour]")
			b.step(1)
			b.click("#story-next")
			b.step(2)
		}, `"kernel"`},
	} {
		view.show()
		b.js(`document.getElementById("link").focus({preventScroll: true})`)
		b.keys(kb.Enter)
		b.until(`document.getElementById("link-told").textContent === "The link to this view is copied."`)
		b.js(`(() => { document.getElementById("link-told").textContent = "" })()`)
		address := value[string](b, `navigator.clipboard.readText()`)
		want := value[string](b, inView)
		if !strings.Contains(want, view.want) {
			t.Errorf("%s: seen is %s, want %s in it", view.name, want, view.want)
		}
		at, found := strings.CutPrefix(address, web.URL)
		if !found {
			t.Fatalf("%s: the link is %q", view.name, address)
		}
		other := open(t, web.URL, at, 1280, 900)
		other.shows(view.name, want)
	}
}

// TestLinkRefused: without a clipboard the link is shown, selected; what no link can hold is said.
func TestLinkRefused(t *testing.T) {
	_, web := serving(t, tiny())
	b := open(t, web.URL, "/", 390, 844)
	b.js(`Object.defineProperty(navigator, "clipboard", { value: undefined })`)
	b.upload(boot)
	b.answered()
	b.js(`document.getElementById("link").focus()`)
	b.keys(kb.Enter)
	b.until(`document.getElementById("link-dialog").open`)
	if shot := os.Getenv("VGGO_SAVED"); shot != "" {
		b.shotTo(shot + "/dialog.png")
	}
	if got := value[string](b, `getSelection().toString()`); got != value[string](b, `location.href`)+"&show=picture"+
		"&view=input&overlay=none&why-class=9&why-strength=65" {
		t.Errorf("selected is %q", got)
	}
	if got := b.text("#link-why"); !strings.Contains(got, "Your own picture is not in it.") {
		t.Errorf("the dialog says %q", got)
	}
	b.keys(kb.Escape)
	b.until(`!document.getElementById("link-dialog").open`)
	if got := b.focused(); got != "link" {
		t.Errorf("the focus is on %s", got)
	}
}

// shows waits until a view is what it was in another tab.
func (b *tab) shows(name, want string) {
	b.Helper()
	got := ""
	for end := time.Now().Add(patience / 4); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got = value[string](b, inView); got == want {
			return
		}
	}
	b.Errorf("%s: another tab shows\n%s, want\n%s", name, got, want)
}
