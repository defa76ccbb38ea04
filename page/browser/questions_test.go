package browser

import (
	"fmt"
	"strings"
	"testing"
)

// TestQuestions: from the first sight of the page one click leads to the answer of each question that it offers, to a
// reader of English on a wide screen and to one of Chinese on a phone. Who has no picture gets one where it is needed.
func TestQuestions(t *testing.T) {
	_, web := serving(t, builtin())
	maps := `document.getElementById("map")?.dataset.layer === "conv3_2" && document.getElementById("working")`
	for _, q := range []struct {
		ask, there, at string // there: the answer is shown; at: what must be in view
		en, zh         []string
	}{
		{"convolution", `document.getElementById("story").dataset.shown === "kernel"`, "#story-title",
			[]string{"conv1_1 is a convolution", "the sum of all products"},
			[]string{"conv1_1 是一个卷积层", "全部乘积之和"}},
		{"three", `document.querySelector("#lab-columns .crop image")`, "#lab-title",
			[]string{"fewer weights", "110,592, which is 27·C²"}, []string{"权重更少", "110,592，即 27·C²"}},
		{"parameters", `document.getElementById("formula").open`, "#formula-title",
			[]string{"138,357,544", "7*7*512*4096 = 102760448", "74.3%", "Every input is joined"},
			[]string{"138,357,544", "7*7*512*4096 = 102760448", "74.3%", "每个输入"}},
		{"layer", maps, "#layer-title", []string{"conv3_2: one number sees", "Strongest first"},
			[]string{"conv3_2：一个数看到", "最强"}},
		{"why", `document.getElementById("story").dataset.shown === "why" && !document.getElementById("heat").hidden`,
			"#frame", []string{"Where the sum is large the picture is bright"}, []string{"和越大，图片上就越亮"}},
	} {
		for _, reader := range []struct {
			language string
			width    int64
			want     []string
		}{{"en", 1280, q.en}, {"zh", 390, q.zh}} {
			b := open(t, web.URL, "/", reader.width, 844)
			b.js(fmt.Sprintf(`(() => { localStorage.clear(); localStorage.setItem("language", %s) })()`, quote(reader.language)))
			b.navigate("/")
			if top := value[float64](b, fmt.Sprintf(`document.querySelector("[data-ask=%s]").getBoundingClientRect().top`,
				q.ask)); top < 0 || top > 744 {
				t.Errorf("%s, %s, %d pixels: the question is %v pixels down", q.ask, reader.language, reader.width, top)
			}
			b.click("[data-ask=" + q.ask + "]")
			b.until(q.there)
			b.until(fmt.Sprintf(`(() => { const { top } = document.querySelector(%s).getBoundingClientRect(); `+
				`return top >= 0 && top < innerHeight - 100 })()`, quote(q.at)))
			text := value[string](b, `document.body.innerText`)
			for _, words := range reader.want {
				if !strings.Contains(text, words) {
					t.Errorf("%s, %s, %d pixels: %q is not said", q.ask, reader.language, reader.width, words)
				}
			}
			b.js(`localStorage.clear()`)
		}
	}
}
