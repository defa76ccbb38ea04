package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
)

// ReadMetrics reads the lines of a run's MetricsFile.
func ReadMetrics(path string) ([]Metrics, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []Metrics
	for line := range bytes.Lines(text) {
		var m Metrics
		if err := json.Unmarshal(line, &m); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, len(list)+1, err)
		}
		list = append(list, m)
	}
	return list, nil
}

// point is a place of a curve: epoch, value.
type point struct{ x, y float64 }

// curve is a line of a chart.
type curve struct {
	name, class string
	points      []point
}

// chart is curves over the epochs.
type chart struct {
	title  string
	curves []curve
}

// charts are what is worth seeing of a run.
func charts(metrics []Metrics) []chart {
	loss, accuracy, rate := chart{title: "loss"}, chart{title: "accuracy, %"}, chart{title: "learning rate"}
	training, validation := [2]curve{}, [2]curve{}
	var rates curve
	for _, m := range metrics {
		if m.Training != nil {
			training[0].points = append(training[0].points, point{m.Epoch, m.Training.Loss})
			training[1].points = append(training[1].points, point{m.Epoch, 100 * m.Training.Accuracy})
			rates.points = append(rates.points, point{m.Epoch, m.Rate})
		}
		if m.Validation != nil {
			validation[0].points = append(validation[0].points, point{m.Epoch, m.Validation.Loss})
			validation[1].points = append(validation[1].points, point{m.Epoch, 100 * m.Validation.Accuracy})
		}
	}
	for i, c := range []*chart{&loss, &accuracy} {
		training[i].name, training[i].class = "training", "training"
		validation[i].name, validation[i].class = "validation", "validation"
		c.curves = []curve{training[i], validation[i]}
	}
	rates.class = "training"
	rate.curves = []curve{rates}
	return []chart{loss, accuracy, rate}
}

// scale maps values onto pixels.
type scale struct{ from, to, a, b float64 }

func (s scale) at(v float64) float64 { return s.a + (s.b-s.a)*(v-s.from)/(s.to-s.from) }

// ticks are about five round numbers.
func (s scale) ticks() (list []float64) {
	step := math.Pow(10, math.Floor(math.Log10((s.to-s.from)/4)))
	for _, m := range []float64{1, 2, 5, 10} {
		if (s.to-s.from)/(step*m) <= 5 {
			step *= m
			break
		}
	}
	for v := math.Ceil(s.from/step) * step; v <= s.to+step/1e6; v += step {
		list = append(list, math.Round(v/step)*step)
	}
	return list
}

// The picture of the curves, in its own units: charts side by side.
const (
	chartWidth, chartHeight = 340.0, 260.0
	chartLeft, chartRight   = 48.0, 328.0
	chartTop, chartBottom   = 40.0, 226.0
)

// curvesSVG draws loss, accuracy and learning rate over the epochs as one SVG that needs nothing beside it.
func curvesSVG(metrics []Metrics) string {
	var b strings.Builder
	all := charts(metrics)
	fmt.Fprintf(&b,
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="system-ui, sans-serif" font-size="11" role="img" aria-label="Curves of loss, accuracy and learning rate">
<style>
.training { stroke: #2a56c6; fill: none } .validation { stroke: #be2b50; fill: none } text { fill: #333 } text.training { fill: #2a56c6; stroke: none } text.validation { fill: #be2b50; stroke: none } .grid { stroke: #ccc; stroke-width: 0.5 } .paper { fill: #fff }
@media (prefers-color-scheme: dark) { .training { stroke: #8fb0ff } .validation { stroke: #ff8fa8 } text { fill: #ddd } text.training { fill: #8fb0ff } text.validation { fill: #ff8fa8 } .grid { stroke: #555 } .paper { fill: #16181d } }
</style>
<rect class="paper" width="%[1]g" height="%[2]g"/>
`, chartWidth*float64(len(all)), chartHeight)
	for i, c := range all {
		c.draw(&b, chartWidth*float64(i))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (c chart) draw(b *strings.Builder, left float64) {
	x := scale{0, 1e-9, left + chartLeft, left + chartRight}
	y := scale{math.Inf(1), math.Inf(-1), chartBottom, chartTop}
	for _, line := range c.curves {
		for _, p := range line.points {
			x.to, y.from, y.to = math.Max(x.to, p.x), math.Min(y.from, p.y), math.Max(y.to, p.y)
		}
	}
	fmt.Fprintf(b, `<text x="%.1f" y="18" font-weight="600">%s</text>`+"\n", x.a, c.title)
	if y.from > y.to {
		return
	}
	if y.to-y.from < 1e-9 {
		y.from, y.to = y.from-1e-3, y.to+1e-3
	}
	for _, v := range y.ticks() {
		fmt.Fprintf(b, `<path class="grid" d="M%.1f %.1fH%.1f"/><text x="%.1f" y="%.1f" text-anchor="end">%.4g</text>`+"\n",
			x.a, y.at(v), x.b, x.a-5, y.at(v)+4, v)
	}
	for _, v := range x.ticks() {
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%.4g</text>`+"\n", x.at(v), chartBottom+16, v)
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">epoch</text>`+"\n", (x.a+x.b)/2, chartBottom+30)
	label := x.b
	for i := len(c.curves) - 1; i >= 0; i-- {
		line := c.curves[i]
		if len(line.points) == 0 {
			continue
		}
		var d strings.Builder
		for k, p := range line.points {
			fmt.Fprintf(&d, "%c%.1f %.1f", "ML"[min(k, 1)], x.at(p.x), y.at(p.y))
		}
		fmt.Fprintf(b, `<path class="%s" stroke-width="1.5" d="%s"/>`+"\n", line.class, d.String())
		if line.class == "validation" { // a single one is no line
			for _, p := range line.points {
				fmt.Fprintf(b, `<circle class="validation" cx="%.1f" cy="%.1f" r="2"/>`+"\n", x.at(p.x), y.at(p.y))
			}
		}
		if line.name != "" {
			fmt.Fprintf(b, `<text class="%s" x="%.1f" y="18" text-anchor="end">%s</text>`+"\n", line.class, label, line.name)
			label -= 62
		}
	}
}
