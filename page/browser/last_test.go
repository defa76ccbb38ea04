package browser

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/serve"
)

// scored is a row of the table of scores.
type scored struct {
	Class               int
	Z, Exp, Probability float64
	Text                string
}

// scores waits for the last step and reads its table.
func (b *tab) scores() []scored {
	b.Helper()
	b.until(`document.querySelector("#last-adds dl") && document.querySelector("#last-table tbody tr")`)
	return value[[]scored](b,
		`[...document.querySelectorAll("#last-table tbody tr")].map((r) => ({Class: Number(r.dataset.class), Z: `+
			`Number(r.dataset.z), Exp: Number(r.dataset.exp), Probability: Number(r.dataset.probability), Text: r.innerText}))`)
}

// logits are the scores as the plan left them, and what the server answered for each class.
func (b *tab) logits() (z, probability []float64) {
	b.Helper()
	z = value[[]float64](b, `(async () => {
		const { state } = await import("/page/state.js");
		const { map } = await import("/page/api.js");
		return [...(await map(state.visit.id, {layer: state.visit.groups.at(-1).layers[0]})).values];
	})()`)
	return z, value[[]float64](b, `(async () => {
		const { state } = await import("/page/state.js");
		return state.visit.classes.toSorted((a, b) => a.class - b.class).map((c) => c.probability);
	})()`)
}

// TestLastStep: the table of scores is the plan's, at any temperature, and what adds to a class adds up to its score.
func TestLastStep(t *testing.T) {
	_, web := serving(t, builtin())
	b := open(t, web.URL, "/#picture=cat", 1280, 900)
	b.answered()
	rows := b.scores()
	z, answer := b.logits()
	if len(rows) != 10 {
		t.Fatalf("%d classes are shown", len(rows))
	}
	for step, degrees := range map[int]float64{0: 1, 20: 10, -7: 0.45} {
		b.js(fmt.Sprintf(`(() => { const s = document.getElementById("last-temperature"); s.value = %d; s.dispatchEvent(new `+
			`Event("input")); })()`, step))
		sum, largest := 0.0, math.Inf(-1)
		for _, x := range z {
			largest = max(largest, x)
		}
		for _, x := range z {
			sum += math.Exp((x - largest) / degrees)
		}
		b.until(fmt.Sprintf(`Math.abs(document.querySelector("#last-table tbody tr").dataset.probability - %v) < 1e-9`,
			1/sum))
		for _, r := range b.scores() {
			e := math.Exp((z[r.Class] - largest) / degrees)
			if r.Z != z[r.Class] || math.Abs(r.Exp-e) > 1e-12 || math.Abs(r.Probability-e/sum) > 1e-12 ||
				degrees == 1 && math.Abs(r.Probability-answer[r.Class]) > 1e-6 {
				t.Errorf("at temperature %v: %+v, want %v, %v, %v", degrees, r, z[r.Class], e, e/sum)
			}
		}
	}
	b.click("#last-cold")
	b.until(`document.getElementById("last-degrees").textContent === "1.00"`)
	for _, class := range []string{"5", "3"} {
		b.click("[data-score='" + class + "']")
		b.until(fmt.Sprintf(`document.getElementById("last-adds").dataset.of === %s`, quote(class)))
		told := value[struct {
			Parts  []float64
			Shown  int
			Images int
		}](b, `(async () => {
			const { state } = await import("/page/state.js");
			const { cell } = await import("/page/api.js");
			const told = await cell(state.visit.id, {layer: "fc5", channel: `+class+`});
			const shown = [...document.querySelectorAll("[data-adds]")];
			return {Parts: told.adds.filter((s, i) => !shown.some((e) => Number(e.dataset.adds) === i &&
				Number(e.dataset.sum) === s)).concat(shown.map((e) => Number(e.dataset.sum))), Shown: shown.length,
				Images: document.querySelectorAll("[data-adds] canvas").length};
		})()`)
		sum := 0.0
		for _, p := range told.Parts {
			sum += p
		}
		index := int(class[0] - '0')
		if len(told.Parts) != 256 || told.Shown != 8 || told.Images != 8 || math.Abs(sum-z[index]) > 1e-5 {
			t.Errorf("class %s: %d parts of which %d are shown come to %v, not %v", class, len(told.Parts), told.Shown, sum,
				z[index])
		}
	}
	// A thumbnail leads to its map.
	channel := value[string](b, `document.querySelector("[data-adds]").dataset.adds`)
	b.click("[data-adds]")
	b.until(fmt.Sprintf(`document.getElementById("map")?.dataset.layer === "conv4_2" && `+
		`document.getElementById("map").dataset.channel === %s`, quote(channel)))
}

// TestLastStepOfOthers: numbers in place of maps, a sigmoid over one output, and an answer of averages.
func TestLastStepOfOthers(t *testing.T) {
	made := func(name, ending string) serve.Source {
		return serve.Source{Name: name, Open: func() (*vggo.Model, error) {
			path := filepath.Join(t.TempDir(), name+".yaml")
			text := "name: " + name + "\ninput: 16x16x3\nlayers:\n- {name: conv, op: conv, out: 6, kernel: 3, pad: 1}\n" + ending
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				return nil, err
			}
			return vggo.New(path, vggo.Options{Seed: 4, Threads: 1})
		}}
	}
	flat := "- {name: pool, op: maxpool, kernel: 4, stride: 4}\n- {name: flat, op: flatten}\n"
	_, web := serving(t, made("two", flat+"- {name: fc, op: linear, out: 1}\n- {name: end, op: sigmoid}\n"),
		made("deep", flat+"- {name: fc1, op: linear, out: 7}\n- {name: fc2, op: linear, out: 4}\n"+
			"- {name: end, op: softmax}\n"),
		made("mean", "- {name: end, op: softmax}\n- {name: gap, op: globalavgpool}\n"))
	b := open(t, web.URL, "/#picture=owl", 1280, 900)
	b.answered()
	z, answer := b.logits()
	rows := b.scores()
	if len(rows) != 2 || len(z) != 1 {
		t.Fatalf("%+v of %v", rows, z)
	}
	for _, r := range rows {
		if math.Abs(r.Probability-answer[r.Class]) > 1e-6 || math.Abs(1/(1+r.Exp)-r.Probability) > 1e-12 ||
			r.Z != z[0]*float64(2*r.Class-1) {
			t.Errorf("%+v: score %v, answer %v", r, z, answer)
		}
	}
	if n := value[int](b, `document.querySelectorAll("[data-adds] canvas").length`); n != 6 {
		t.Errorf("%d maps add to the one output", n)
	}
	b.choose("#model", "deep")
	b.until(`document.getElementById("last-note").textContent.startsWith("fc2 ") && ` +
		`document.getElementById("last-adds").textContent.includes("unit ")`)
	if n := value[int](b, `document.querySelectorAll("#last-adds canvas").length`); n != 0 {
		t.Errorf("%d maps are shown of a layer that reads numbers", n)
	}
	b.choose("#model", "mean")
	b.until(`document.getElementById("last-note").textContent.includes("averages") && ` +
		`document.getElementById("last-card").hidden && !document.body.dataset.busy`)
	if got := b.text("#alert"); got != "" {
		t.Errorf("the page complains: %q", got)
	}
}
