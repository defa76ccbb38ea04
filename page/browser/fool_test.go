package browser

import (
	"encoding/base64"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// best is the class of the first answer, and its probability.
func (b *tab) best() (class string, probability float64) {
	b.Helper()
	return value[string](b, `document.querySelector("#classes li").dataset.class`),
		value[float64](b, `Number(document.querySelector("#classes li").dataset.probability)`)
}

// TestFool fools the network by the keyboard alone, moves the slider, and gives the network the changed picture that is
// shown: it answers as the page says. With half of the change it does not.
func TestFool(t *testing.T) {
	_, web := serving(t, builtin())
	b := open(t, web.URL, "/", 1280, 900)
	b.js(`(() => localStorage.clear())()`)
	b.click("[data-example=cat]")
	b.answered()
	was, sure := b.best()
	b.js(`document.getElementById("fool").focus()`)
	b.keys(kb.Enter)
	b.until(`document.getElementById("fool-answer")?.dataset.class`)
	at := func() (class string, old, other float64) {
		return value[string](b, `document.getElementById("fool-answer").dataset.class`),
			value[float64](b, `Number(document.getElementById("fool-was").dataset.probability)`),
			value[float64](b, `Number(document.getElementById("fool-is").dataset.probability)`)
	}
	is, _, reached := at()
	if is == was || b.text("#fool-told") != "100%" {
		t.Errorf("at %s the answer is class %s, as before", b.text("#fool-told"), is)
	}
	for _, name := range []string{"cat", "dog", "more than", "no proof"} {
		if got := b.text("#fool-shown > p"); !strings.Contains(got, name) {
			t.Errorf("%q lacks %q", got, name)
		}
	}
	save := func(name string) string {
		t.Helper()
		_, text, _ := strings.Cut(value[string](b, `document.getElementById("fool-after").toDataURL()`), ",")
		file, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, file, 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole := save("whole.png")
	b.js(`document.getElementById("fool-share").focus()`)
	for range 5 {
		b.keys(kb.ArrowLeft)
	}
	class, left, _ := at()
	if class != was || b.text("#fool-told") != "50%" {
		t.Errorf("at %s the answer is class %s, not %s", b.text("#fool-told"), class, was)
	}
	half := save("half.png")
	b.keys(kb.Home)
	if class, p, _ := at(); class != was || math.Abs(p-sure) > 1e-5 {
		t.Errorf("without the change it is class %s at %v, the answer is %s at %v", class, p, was, sure)
	}
	if same := value[bool](b, `document.getElementById("fool-after").toDataURL() === `+
		`document.getElementById("fool-before").toDataURL()`); !same {
		t.Error("without the change the picture is another")
	}
	for _, given := range []struct {
		path, class string
		probability float64
	}{{whole, is, reached}, {half, was, left}} {
		b.js(`document.getElementById("classes").replaceChildren()`)
		b.upload(given.path)
		b.answered()
		if class, p := b.best(); class != given.class || math.Abs(p-given.probability) > 1e-5 {
			t.Errorf("%s is class %s at %v, on the slider %s at %v", filepath.Base(given.path), class, p, given.class,
				given.probability)
		}
	}
	if value[bool](b, `document.getElementById("fool-shown").hasChildNodes()`) {
		t.Error("the change of the picture before is still shown")
	}
	b.do(chromedp.EmulateViewport(390, 844))
	b.click("#language")
	b.until(`document.documentElement.lang === "zh-CN"`)
	b.click("#fool")
	b.until(`document.getElementById("fool-answer")?.dataset.class`)
	if got := b.text("#fool-shown"); !strings.Contains(got, "没有更小的改动") {
		t.Errorf("in Chinese it says %q", got)
	}
	b.chinese()
	if w := value[int](b, `document.documentElement.scrollWidth`); w > 390 {
		t.Errorf("on a phone the page is %d pixels wide", w)
	}
	b.js(`localStorage.clear()`)
}
