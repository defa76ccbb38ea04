package browser

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/serve"
)

// storySteps is how many steps the story has with a network that has every kind of layer.
const storySteps = 10

// networkOf is a model's network.
func networkOf(t *testing.T, model serve.Source) *arch.Network {
	t.Helper()
	m, err := model.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return m.Network
}

// step waits until a step of the story is shown.
func (b *tab) step(n int) {
	b.Helper()
	b.until(fmt.Sprintf(`document.getElementById("story").dataset.shown && document.querySelector(".spot") && `+
		`document.querySelector("#story [aria-current]").textContent === "%d"`, n))
}

// story goes through the story by clicks and finishes it.
func (b *tab) story(look func(name string)) {
	b.Helper()
	b.click("[data-tour='1']")
	for n := 1; value[bool](b, `!document.getElementById("story").hidden`); n++ {
		b.step(n)
		look(value[string](b, `document.getElementById("story").dataset.shown`))
		b.click("#story-next")
	}
}

// tabTo presses Tab until the element that has the focus is the one that a CSS selector names.
func (b *tab) tabTo(selector string) {
	b.Helper()
	for range 120 {
		if value[bool](b, fmt.Sprintf("document.activeElement.matches(%s)", quote(selector))) {
			return
		}
		b.keys(kb.Tab)
	}
	b.Fatalf("Tab does not come to %s", selector)
}

// document is one that figures come from: arch's report, or what the server tells of the picture.
func (b *tab) document(net *arch.Network, source string) any {
	b.Helper()
	var text []byte
	var err error
	if compact, other := strings.CutPrefix(source, "arch:"); source == "arch" || other {
		if other {
			if net, err = arch.Compact("asked", compact, arch.ImageNetInput); err != nil {
				b.Fatal(err)
			}
		}
		report, err := arch.Analyze(net, net.Input, 1)
		if err != nil {
			b.Fatal(err)
		}
		if text, err = json.Marshal(report); err != nil {
			b.Fatal(err)
		}
	} else {
		text = []byte(value[string](b, fmt.Sprintf(`(async () => {
			const api = await import("/page/api.js");
			const { state } = await import("/page/state.js");
			const [kind, query] = %s.split("?");
			return JSON.stringify(await api[kind](state.visit.id, Object.fromEntries(new URLSearchParams(query))));
		})()`, quote(source))))
	}
	var document any
	if err := json.Unmarshal(text, &document); err != nil {
		b.Fatalf("%s: %v", source, err)
	}
	return document
}

// at is the value at a path of a document, an item of a list by its name or its place.
func at(document any, path string) any {
	for key := range strings.SplitSeq(path, "/") {
		switch d := document.(type) {
		case map[string]any:
			document = d[key]
		case []any:
			document = nil
			if i, err := strconv.Atoi(key); err == nil && i < len(d) {
				document = d[i]
			}
			for _, item := range d {
				if object, is := item.(map[string]any); is && object["name"] == key {
					document = object
				}
			}
		}
	}
	return document
}

// worth is what an expression of paths comes to: text, or a number.
func (b *tab) worth(net *arch.Network, from string) any {
	b.Helper()
	source, expression, _ := strings.Cut(from, "#")
	document := b.document(net, source)
	words := strings.Split(expression, " ")
	first := at(document, words[0])
	number, is := first.(float64)
	if !is {
		return first
	}
	for i := 1; i < len(words); i += 2 {
		by, is := at(document, words[i+1]).(float64)
		if !is {
			by, _ = strconv.ParseFloat(words[i+1], 64)
		}
		if words[i] == "÷" {
			number /= by
		} else {
			number *= by
		}
	}
	return number
}

var digit = regexp.MustCompile(`\d`)

// figures holds every figure that elements show against arch and the plan.
func (b *tab) figures(net *arch.Network, selector, where string) int {
	b.Helper()
	shown := value[[]struct{ From, Value, Text string }](b, fmt.Sprintf(`[...document.querySelectorAll("%s")]`+
		`.flatMap((e) => [...e.querySelectorAll("data")])`+
		`.map((d) => ({From: d.dataset.from, Value: d.value, Text: d.innerText}))`, selector))
	for _, s := range shown {
		want := b.worth(net, s.From)
		number, is := want.(float64)
		if !is {
			if s.Value != want {
				b.Errorf("%s: %s is %q, not %v", where, s.From, s.Value, want)
			}
			continue
		}
		if got, err := strconv.ParseFloat(s.Value, 64); err != nil || math.Abs(got-number) > 1e-12*math.Abs(number) {
			b.Errorf("%s: %s is %q, not %v", where, s.From, s.Value, number)
		}
		text, per := strings.CutSuffix(strings.NewReplacer(",", "", "−", "-").Replace(s.Text), "%")
		read, err := strconv.ParseFloat(text, 64)
		if per {
			read /= 100
		}
		if err != nil || math.Abs(read-number) > 1e-3*math.Abs(number)+1e-9 {
			b.Errorf("%s: %s reads %q, it is %v", where, s.From, s.Text, number)
		}
	}
	return len(shown)
}

// typed looks for digits that stand outside figures and names: somebody typed them in.
func (b *tab) typed(selector, where string) {
	b.Helper()
	typed := value[string](b, fmt.Sprintf(`[...document.querySelectorAll("%s")].map((e) => {
		const copy = e.cloneNode(true);
		for (const d of copy.querySelectorAll("data, code, .name")) d.remove();
		return copy.textContent;
	}).join(" ")`, selector))
	if digit.MatchString(typed) {
		b.Errorf("%s: digits that are nobody's: %q", where, typed)
	}
}

// answer answers the question of a step, wrong and right, by the keyboard.
func (b *tab) answer(net *arch.Network, where string) {
	b.Helper()
	right, is := b.worth(net, value[string](b, `document.getElementById("story-ask").dataset.from`)).(float64)
	if !is {
		b.Fatalf("%s: the answer is no number", where)
	}
	if strings.Contains(where, "softmax") {
		right = math.Round(right)
	}
	b.tabTo("#story-answer")
	said := map[string]string{}
	for _, try := range []struct{ text, right string }{{"x", "false"}, {fmt.Sprint(right + 7), "false"},
		{strconv.FormatFloat(right, 'f', -1, 64), "true"}} {
		b.js(`document.getElementById("story-answer").select()`)
		b.keys(try.text + kb.Enter)
		b.until(fmt.Sprintf(`document.getElementById("story-verdict").dataset.right === %s && `+
			`document.getElementById("story-answer").value === %s`, quote(try.right), quote(try.text)))
		said[try.text] = b.text("#story-verdict")
		b.typed("#story-verdict", where)
		if b.figures(net, "#story-verdict", where+", answered "+try.text); said[try.text] == "" {
			b.Errorf("%s: %s is answered by nothing", where, try.text)
		}
	}
	if len(said) != 3 {
		b.Errorf("%s: %v", where, said)
	}
}

// tools uses each tool of a step by the keyboard.
func (b *tab) tools(name, where string) {
	b.Helper()
	tools := value[[]string](b,
		`[...document.querySelectorAll("#story-tools button, #story-tools input")].map((e) => e.id || e.dataset.tool)`)
	for _, tool := range tools {
		b.tabTo("#" + tool + ", [data-tool=" + tool + "]")
		switch tool {
		case "story-y", "story-x":
			before := b.text("#story-text")
			b.keys(kb.ArrowRight)
			b.until(fmt.Sprintf(`document.getElementById("story-text").innerText !== %s`, quote(before)))
		case "slide":
			b.keys(kb.Enter)
			b.until(`Number(document.getElementById("map").dataset.shown) > 1`)
			b.keys(kb.Enter)
		case "place":
			before := value[int](b, `Number(document.getElementById("map").dataset.shown)`)
			b.keys(kb.Enter)
			b.until(fmt.Sprintf(`document.getElementById("map").dataset.shown === "%d"`, before+1))
		case "tap":
			b.keys(kb.Enter)
			b.until(`document.querySelector("#cell .lit") && document.getElementById("tap-line")`)
		case "warm", "cold", "same":
			b.keys(kb.Enter)
			b.until(fmt.Sprintf(`document.getElementById("last-temperature").value === "%d"`,
				map[string]int{"warm": 10, "cold": -10}[tool]))
		case "below", "above":
			b.keys(kb.Enter)
			b.until(fmt.Sprintf(`document.getElementById("working") && `+
				`(Number(document.getElementById("working").dataset.value) > 0) === %v`, tool == "above"))
		case "further":
			b.until(`Number(document.getElementById("field-step").value) === Number(document.getElementById("field-step").max)`)
			b.keys(kb.Enter)
			b.until(`document.getElementById("field-step").value === "0"`)
		default:
			b.keys(kb.Enter)
		}
		if value[bool](b, `document.activeElement === document.body`) {
			b.Errorf("%s: %s loses the focus", where, tool)
		}
	}
	if name == "kernel" && len(tools) != 2 || name == "pixel" && len(tools) != 2 {
		b.Errorf("%s has the tools %v", where, tools)
	}
}

// TestStory goes through the story in both languages, wide and narrow, by the keyboard alone: each figure is arch's or
// the plan's, each question is answered wrong and right, each tool does something.
func TestStory(t *testing.T) {
	_, web := serving(t, builtin())
	net := networkOf(t, builtin())
	for _, language := range []string{"en", "zh"} {
		for _, width := range []int64{1280, 390} {
			b := open(t, web.URL, "/", width, 844)
			b.js(`(() => { localStorage.clear(); localStorage.setItem("language", ` + quote(language) + `); })()`)
			b.reload()
			if got := b.text("#story-start"); !strings.Contains(got, fmt.Sprint(storySteps)) {
				t.Errorf("the story is offered as %q", got)
			}
			b.tabTo("[data-tour]")
			b.keys(kb.Enter)
			for n := 1; n <= storySteps; n++ {
				b.step(n)
				name := value[string](b, `document.getElementById("story").dataset.shown`)
				where := fmt.Sprintf("%s, %d pixels, %s", language, width, name)
				if got := b.focused(); got != "story-title" {
					t.Errorf("%s: %s has the focus", where, got)
				}
				if words := value[int](b, `document.querySelectorAll("#story-text dfn").length`); words != 1 {
					t.Errorf("%s: %d new words", where, words)
				}
				if b.figures(net, "#story-text, #story-ask label", where) == 0 {
					t.Errorf("%s shows no figure", where)
				}
				if value[bool](b, `(() => { const s = document.querySelector(".spot").getBoundingClientRect(); return s.top > `+
					`document.getElementById("story").getBoundingClientRect().top })()`) {
					// it is still scrolling
					b.until(`document.querySelector(".spot").getBoundingClientRect().top < ` +
						`document.getElementById("story").getBoundingClientRect().top - 40`)
				}
				b.typed("#story-text, #story-ask label", where)
				plain(b, where, language)
				b.tools(name, where)
				b.answer(net, where)
				b.tabTo("#story-next")
				b.keys(kb.Enter)
			}
			b.until(`document.getElementById("story").hidden`)
			if got := value[string](b, `document.activeElement.dataset.tour + location.hash`); strings.Contains(got, "tour=") ||
				!strings.HasPrefix(got, "1") {
				t.Errorf("after the story: %q", got)
			}
			b.js(`localStorage.clear()`)
		}
	}
}

// TestStoryLeft: who leaves the story finds it where it was left; a step has a link, and lasts over a reload, another
// picture and another language.
func TestStoryLeft(t *testing.T) {
	_, web := serving(t, builtin())
	b := open(t, web.URL, "/", 1280, 900)
	b.js(`localStorage.clear()`)
	b.navigate("/#tour=3")
	b.step(3)
	if got := b.text("#classes li .name"); got != "cat" {
		t.Errorf("the story begins with a %q", got)
	}
	b.click("[data-example=owl]")
	b.until(`document.querySelector("#classes li .name").textContent !== "cat" && !document.body.dataset.busy`)
	b.step(3)
	b.figures(networkOf(t, builtin()), "#story-text, #story-ask label", "of an owl")
	b.reload()
	b.step(3)
	if got := b.text("#classes li .name"); got == "cat" {
		t.Errorf("the owl is gone")
	}
	if at := value[string](b, "location.hash"); !strings.Contains(at, "tour=3") || !strings.Contains(at, "picture=owl") {
		t.Errorf("the address is %s", at)
	}
	b.click("#language")
	b.until(`document.documentElement.lang === "zh-CN"`)
	b.step(3)
	if left := b.english(); len(left) > 0 {
		t.Errorf("English is left: %q", left)
	}
	b.click("#language")
	b.step(3)
	b.js(`(() => { location.hash = "tour=6" })()`)
	b.step(6)
	b.click("#story-words")
	b.until(`document.getElementById("glossary").open`)
	if n := value[int](b, `document.querySelectorAll("#glossary dt").length`); n != storySteps {
		t.Errorf("the glossary has %d words", n)
	}
	b.click("#glossary [href='#tour=4']")
	b.step(4)
	b.keys(kb.Escape)
	b.until(`document.getElementById("story").hidden && !document.querySelector(".spot")`)
	if got := b.text("#story-start"); !strings.Contains(got, "step 4 of 10") {
		t.Errorf("after leaving the story is offered as %q", got)
	}
	b.reload()
	if !value[bool](b, `document.getElementById("story").hidden`) {
		t.Error("the story that was left comes back by itself")
	}
	b.click("[data-tour='4']")
	b.step(4)
	b.click("#story-leave")
	b.js(`localStorage.clear()`)
}

// TestStoryOfOthers: the story has its figures with other networks too, and leaves out what they do not have.
func TestStoryOfOthers(t *testing.T) {
	for _, c := range []struct {
		model serve.Source
		steps string
	}{
		{tiny(), "pixel kernel sum relu pooling field feature score softmax why"},
		{vgg16(), "pixel kernel sum relu pooling field feature score softmax why"},
	} {
		_, web := serving(t, c.model)
		b := open(t, web.URL, "/#tour=1&picture=boot", 1280, 900)
		net := networkOf(t, c.model)
		var names []string
		for n := 1; ; n++ {
			b.step(n)
			name := value[string](b, `document.getElementById("story").dataset.shown`)
			names = append(names, name)
			b.figures(net, "#story-text, #story-ask label", c.model.Name+", "+name)
			b.typed("#story-text, #story-ask label", c.model.Name+", "+name)
			if value[bool](b, `document.querySelector(".story-steps li:last-child [aria-current]") !== null`) {
				break
			}
			b.click("#story-next")
		}
		if got := strings.Join(names, " "); got != c.steps {
			t.Errorf("%s has the steps %s", c.model.Name, got)
		}
		b.js(`localStorage.clear()`)
	}
}

// TestFirstSight: a visitor sees the picture's place and the story, and the first layer, not some layer in the middle.
func TestFirstSight(t *testing.T) {
	_, web := serving(t, builtin())
	for _, height := range []int64{900, 844} {
		b := open(t, web.URL, "/", map[int64]int64{900: 1280, 844: 390}[height], height)
		b.js(`localStorage.clear()`)
		b.navigate("/")
		low := value[[]string](b, fmt.Sprintf(`["story-start", "drop"].filter((id) => {
			const { top } = document.getElementById(id).getBoundingClientRect();
			return top < 0 || top > %d - 100;
		})`, height))
		if len(low) > 0 {
			t.Errorf("below the first sight: %q", low)
		}
		if got := b.text("#layer-title"); got != "Inside conv1_1" {
			t.Errorf("the layer at first is %q", got)
		}
	}
}
