package browser

import (
	"fmt"
	"testing"

	"github.com/vggo/vggo/arch"
)

// slide moves a slider, as a reader does: with an event.
func (b *tab) slide(id string, to int) {
	b.Helper()
	b.js(fmt.Sprintf(`(() => { const s = document.getElementById(%s); s.value = %d; s.dispatchEvent(new Event("input", `+
		`{bubbles: true})); })()`, quote(id), to))
}

// TestLab: the laboratory's figures are arch's for any number of channels; the kernel's places are as many as arch
// counts, and what does not fit is said not to.
func TestLab(t *testing.T) {
	_, web := serving(t, builtin())
	b := open(t, web.URL, "/#picture=cat&show=lab", 1280, 900)
	b.answered()
	b.until(`document.querySelectorAll(".crop image").length === 2 && document.querySelector("svg.rule")`)
	b.until(`Math.abs(document.getElementById("lab").getBoundingClientRect().top) < 120`)
	fields := func() []string {
		return value[[]string](b, `[...document.querySelectorAll(".crop")].map((c) => c.dataset.fields)`)
	}
	if got := fields(); len(got) != 2 || got[0] != "3,5,7" || got[1] != "7" {
		t.Errorf("the fields are %q", got)
	}
	b.slide("lab-step", 2)
	b.until(`document.querySelector(".crop").dataset.fields === "3,5"`)
	b.slide("lab-step", 3)
	for log, channels := range map[int]int{0: 1, 6: 64, 10: 1024} {
		b.slide("lab-channels", log)
		b.until(fmt.Sprintf(`document.getElementById("lab-columns").dataset.ready === "%d"`, channels))
		if n := b.figures(nil, "#lab-columns", fmt.Sprintf("the laboratory with %d channels", channels)); n < 10 {
			t.Errorf("with %d channels there are %d figures", channels, n)
		}
		told := value[[]string](b,
			`[...document.querySelectorAll("#lab-columns [data-from$='#total/weights']")].map((d) => d.value)`)
		if len(told) != 2 || told[0] != fmt.Sprint(27*channels*channels) || told[1] != fmt.Sprint(49*channels*channels) {
			t.Errorf("with %d channels the weights are %q", channels, told)
		}
	}
	for _, c := range [][4]int{{10, 3, 1, 0}, {10, 3, 2, 1}, {16, 7, 4, 3}, {9, 2, 2, 0}, {1, 1, 1, 0}} {
		for i, id := range []string{"rule-n", "rule-k", "rule-s", "rule-p"} {
			b.slide(id, c[i])
		}
		net, err := arch.Compact("asked", fmt.Sprintf("%dx%dx1:1k%ds%dp%d", c[0], c[0], c[1], c[2], c[3]), arch.ImageNetInput)
		if err != nil {
			t.Fatal(err)
		}
		placed, err := net.Place(net.Input)
		if err != nil {
			t.Fatal(err)
		}
		b.until(fmt.Sprintf(`document.querySelector("svg.rule")?.dataset.windows === "%d" && document.getElementById(`+
			`"rule-words").querySelector("data").dataset.from.includes("1k%ds%dp%d#")`, placed.Output().W, c[1], c[2], c[3]))
		b.figures(nil, "#rule-words", fmt.Sprint(c))
		if n := value[int](b, `document.querySelectorAll("svg.rule .window").length`); n != placed.Output().W {
			t.Errorf("%v: %d windows are drawn", c, n)
		}
	}
	b.slide("rule-k", 7)
	b.until(`document.getElementById("rule-fault")?.textContent.includes("larger than its padded input")`)
}

// TestEffectiveField: what counts of a field is shown by gradients, is smaller than the field, and goes with its cell.
func TestEffectiveField(t *testing.T) {
	_, web := serving(t, builtin())
	b := open(t, web.URL, "/#picture=cat", 1280, 900)
	b.answered()
	b.until(`document.getElementById("working")`)
	for layer, size := range map[string]int{"conv3_2": 23, "conv4_1": 31} {
		b.look(layer)
		b.until(`document.getElementById("field").dataset.box && !document.getElementById("field-effective").hidden`)
		b.js(`new Promise((r) => setTimeout(r, 300))`) // the field of the cell is asked for after its map
		b.click("#field-effective")
		b.until(`!document.getElementById("field-heat").hidden && document.getElementById("field-half").dataset.half`)
		if half := value[int](b, `Number(document.getElementById("field-half").dataset.half)`); half < 3 || half >= size {
			t.Errorf("half of %s's field of %d is %d pixels wide", layer, size, half)
		}
	}
	row := value[int](b, `Number(document.getElementById("cell-y").value)`)
	b.js(fmt.Sprintf(`(() => { const i = document.getElementById("cell-y"); i.value = %d; i.dispatchEvent(new `+
		`Event("change")); })()`, (row+3)%7))
	b.until(`document.getElementById("field-heat").hidden && document.getElementById("field-half").textContent === ""`)
	b.look("fc5")
	b.until(`document.getElementById("field-effective").hidden`)
}
