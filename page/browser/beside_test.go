package browser

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/embedded"
)

// TestBeside puts a second network beside the first: both answers are those that each gives alone, whether they differ
// is said, and the address keeps the choice.
func TestBeside(t *testing.T) {
	twin := builtin()
	twin.Name = "twin"
	weightFiles[twin.Name] = weightFiles[embedded.Name]
	_, web := serving(t, builtin(), tiny(), twin)
	b := open(t, web.URL, "/", 1280, 900)
	b.js(`(() => localStorage.clear())()`)
	type answer struct{ Class, Probability float64 }
	answers := func(list string) (all []answer) {
		return value[[]answer](b, fmt.Sprintf(`[...document.querySelectorAll(%s)].map((li) => ({Class: `+
			`Number(li.dataset.class), Probability: Number(li.dataset.probability)}))`, quote(list+" li[data-class]")))
	}
	near := func(what string, got, want []answer) {
		t.Helper()
		if len(got) != 5 || len(want) != 5 {
			t.Fatalf("%s: %d and %d classes", what, len(got), len(want))
		}
		for i, a := range got {
			if a.Class != want[i].Class || math.Abs(a.Probability-want[i].Probability) > 1e-6 {
				t.Errorf("%s: %v, alone %v", what, a, want[i])
			}
		}
	}
	b.choose("#model", "tinyvgg")
	b.click("[data-example=boot]")
	b.answered()
	boot := answers("#classes")
	b.choose("#model", embedded.Name)
	b.until(`document.getElementById("model-note").textContent.includes("truck")`)
	b.answered()
	first := answers("#classes")
	if value[bool](b, `document.getElementById("beside-shown").hasChildNodes()`) {
		t.Error("a second network answers before one is chosen")
	}
	b.choose("#beside", "tinyvgg")
	b.until(`document.querySelector("[data-beside=tinyvgg] .facts")`)
	near("the first", answers("[data-beside="+embedded.Name+"]"), first)
	near("the second", answers("[data-beside=tinyvgg]"), boot)
	words := b.text("#beside-words")
	for _, part := range []string{"They answer differently: ", " and Ankle boot.", "different classes, 10 and 10"} {
		if !strings.Contains(words, part) {
			t.Errorf("%q lacks %q", words, part)
		}
	}
	net, err := arch.Builtin("tinyvgg")
	if err != nil {
		t.Fatal(err)
	}
	report, err := arch.Analyze(net, net.Input, 1)
	if err != nil {
		t.Fatal(err)
	}
	figures := value[[]int64](b,
		`[...document.querySelectorAll("[data-beside=tinyvgg] data")].map((d) => Number(d.value))`)
	if len(figures) != 2 || figures[0] != report.Total.Parameters || figures[1] != report.Total.MACs {
		t.Errorf("tinyvgg has %v, arch says %+v", figures, report.Total)
	}
	if got := b.text("[data-beside=tinyvgg] .facts"); !strings.Contains(got, " ms") || strings.Contains(got, "NaN") {
		t.Errorf("the figures are %q", got)
	}
	if at := value[string](b, `location.hash`); !strings.Contains(at, "beside=tinyvgg") {
		t.Errorf("the address is %q", at)
	}
	b.reload()
	b.until(`document.querySelector("[data-beside=tinyvgg] .facts")`)
	b.choose("#beside", "twin")
	b.until(`document.querySelector("[data-beside=twin] .facts")`)
	near("the same network", answers("[data-beside=twin]"), first)
	if got := b.text("#beside-words"); !strings.HasPrefix(got, "Both answer ") || strings.Contains(got, "different") {
		t.Errorf("of the same network it says %q", got)
	}
	b.click("[data-example=owl]") // both see the next picture, too
	b.until(`document.querySelector("[data-beside=twin] .name")?.textContent === "bird" && ` +
		`document.getElementById("beside-words").textContent === "Both answer bird."`)
	b.look("conv2_1") // what is looked into is still the first's
	b.choose("#beside", "tinyvgg")
	b.until(`document.querySelector("[data-beside=tinyvgg] .facts")`)
	b.do(chromedp.EmulateViewport(390, 844))
	b.click("#language")
	b.until(`document.documentElement.lang === "zh-CN" && ` +
		`document.getElementById("beside-words").textContent.includes("答案不同")`)
	b.chinese()
	if w := value[int](b, `document.documentElement.scrollWidth`); w > 390 {
		t.Errorf("on a phone the page is %d pixels wide", w)
	}
	b.choose("#beside", "")
	b.until(`!document.getElementById("beside-shown").hasChildNodes() && !location.hash.includes("beside")`)
	b.js(`localStorage.clear()`)
}
