package browser

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/vggo/vggo/embedded"
)

// TestAxe asks axe-core, whose script VGGO_AXE names, in both languages, light and dark, wide and narrow.
func TestAxe(t *testing.T) {
	path := os.Getenv("VGGO_AXE")
	if path == "" {
		t.Skip("VGGO_AXE names no axe.min.js")
	}
	script, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		t.Fatal(err)
	}
	options := `{resultTypes: ["violations"]}`
	if onSite() { // which leads to no other page, so that axe takes all addresses of the story for skip links
		options = `{resultTypes: ["violations"], rules: {"skip-link": {enabled: false}}}`
	}
	_, web := serving(t, tiny(), builtin())
	b := open(t, web.URL, "/", 1280, 900)
	look := func(when string) {
		t.Helper()
		if !value[bool](b, `"axe" in window`) {
			b.run(string(script))
		}
		found := value[[]struct{ ID, Help, Where string }](b,
			`axe.run(document, `+options+`).then((r) => r.violations.map((v) => ({ID: v.id, Help: v.help, `+
				`Where: v.nodes.slice(0, 4).map((n) => n.html.slice(0, 160) + " | " + (n.any[0]?.message ?? "")).join("\n    `+
				`")})))`)
		for _, f := range found {
			t.Errorf("%s: %s: %s\n    %s", when, f.ID, f.Help, f.Where)
		}
	}
	look("before a picture")
	b.click("[data-example=boot]")
	b.answered()
	b.until(`document.getElementById("working") && document.getElementById("field").dataset.box`)
	look("with a picture")
	b.click("input[name=overlay][value=occlusion]")
	b.until(`document.querySelector("#heat-scale .scale")`)
	b.click("input[name=view][value=photograph]")
	b.until(`document.getElementById("shown").naturalWidth >= 448`)
	look("with a heat map on the photograph")
	b.choose("#beside", embedded.Name)
	b.until(`document.querySelector("[data-beside] .facts")`)
	look("beside another network")
	b.click("#fool")
	b.until(`document.getElementById("fool-answer")?.dataset.class`)
	look("fooled")
	for _, layer := range []string{"pool1", "fc3"} {
		b.look(layer)
		look("a number of " + layer)
	}
	b.look("pool1")
	b.click("#tap-first")
	look("a pooling, stepped")
	b.click("#field-effective")
	b.until(`!document.getElementById("field-heat").hidden`)
	b.slide("rule-k", 7)
	b.slide("rule-n", 1)
	b.until(`document.getElementById("rule-fault")`)
	look("an effective field, and a kernel that does not fit")
	b.click("#last-table tbody tr:last-child button")
	b.until(`document.getElementById("last-adds").dataset.of === ` +
		`document.querySelector("#last-table .chosen").dataset.class`)
	look("what adds to another class")
	b.story(func(name string) { look("the story, " + name) })
	b.dark(true)
	look("dark")
	b.click("[data-tour]")
	b.step(1)
	b.click("#story-check")
	b.until(`document.getElementById("story-verdict").dataset.right === "false"`)
	look("dark, the story")
	b.click("#story-words")
	look("dark, the story's words")
	b.js(`document.getElementById("glossary").close()`)
	b.click("#story-leave")
	b.look("fc3")
	b.click("#tab-filters")
	b.until(`document.querySelector("#panel-filters .kernels")`)
	b.click("#tab-excite")
	b.until(`document.querySelector(".patches li")`)
	b.click("#dream-noise")
	b.until(`!document.getElementById("dream-more").hidden`)
	look("dark, what excites a channel")
	b.click("[data-preset=broken]")
	b.until(`document.getElementById("build-fault")`)
	look("dark, with filters and an impossible network")
	training(b, look)
	b.dark(false)
	b.click("#table .number")
	look("a formula")
	b.js(`document.getElementById("formula").close()`)
	b.js(`Object.defineProperty(navigator, "clipboard", { value: undefined })`)
	b.click("#link")
	b.until(`document.getElementById("link-dialog").open`)
	look("a link to copy by hand")
	b.js(`document.getElementById("link-dialog").close()`)
	b.click("#language")
	b.do(chromedp.EmulateViewport(390, 844))
	b.until(`document.documentElement.lang === "zh-CN"`)
	look("in Chinese, on a phone")
	b.story(func(name string) { look("in Chinese, on a phone, the story, " + name) })
	b.look("conv2_1")
	b.click("#tab-excite")
	b.until(`document.querySelector(".patches li")`)
	look("in Chinese, on a phone, what excites a channel")
	b.upload("page_test.go")
	b.until(`!document.getElementById("alert").hidden`)
	look("a complaint in Chinese")
	b.js(`localStorage.clear()`)
}
