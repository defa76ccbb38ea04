package training

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/vggo/vggo/report/internal/svg"
	"github.com/vggo/vggo/train"
)

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
func charts(metrics []train.Metrics) []chart {
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
	textSize                = 11.0
)

// style gives the classes of elements their colours, for readers of light and of dark pages.
const style = `<style>
.training { stroke: #2a56c6 } .validation { stroke: #be2b50 } path, circle { fill: none }
text { fill: #333 } text.training { fill: #2a56c6; stroke: none } text.validation { fill: #be2b50; stroke: none }
.grid { stroke: #ccc; stroke-width: 0.5 }
@media (prefers-color-scheme: dark) {
.training { stroke: #8fb0ff } .validation { stroke: #ff8fa8 }
text { fill: #ddd } text.training { fill: #8fb0ff } text.validation { fill: #ff8fa8 }
.grid { stroke: #555 } rect { fill: #16181d }
}
</style>`

// drawCurves draws loss, accuracy and learning rate over the epochs as one SVG that needs nothing beside it.
func drawCurves(w io.Writer, metrics []train.Metrics) error {
	all := charts(metrics)
	d := svg.New(chartWidth*float64(len(all)), chartHeight, "Curves of loss, accuracy and learning rate")
	d.Add("%s", style)
	for i, c := range all {
		c.draw(d, chartWidth*float64(i))
	}
	_, err := d.WriteTo(w)
	return err
}

func (c chart) draw(d *svg.Drawing, left float64) {
	x := scale{0, 1e-9, left + chartLeft, left + chartRight}
	y := scale{math.Inf(1), math.Inf(-1), chartBottom, chartTop}
	for _, line := range c.curves {
		for _, p := range line.points {
			x.to, y.from, y.to = math.Max(x.to, p.x), math.Min(y.from, p.y), math.Max(y.to, p.y)
		}
	}
	d.Text(x.a, 18, textSize, `font-weight="600"`, c.title)
	if y.from > y.to {
		return
	}
	if y.to-y.from < 1e-9 {
		y.from, y.to = y.from-1e-3, y.to+1e-3
	}
	for _, v := range y.ticks() {
		d.Add(`<path class="grid" d="M%.1f %.1fH%.1f"/>`, x.a, y.at(v), x.b)
		d.Text(x.a-5, y.at(v)+4, textSize, `text-anchor="end"`, fmt.Sprintf("%.4g", v))
	}
	for _, v := range x.ticks() {
		d.Text(x.at(v), chartBottom+16, textSize, `text-anchor="middle"`, fmt.Sprintf("%.4g", v))
	}
	d.Text((x.a+x.b)/2, chartBottom+30, textSize, `text-anchor="middle"`, "epoch")
	label := x.b
	for i := len(c.curves) - 1; i >= 0; i-- {
		line := c.curves[i]
		if len(line.points) == 0 {
			continue
		}
		var way strings.Builder
		for k, p := range line.points {
			fmt.Fprintf(&way, "%c%.1f %.1f", "ML"[min(k, 1)], x.at(p.x), y.at(p.y))
		}
		d.Add(`<path class="%s" stroke-width="1.5" d="%s"/>`, line.class, way.String())
		if line.class == "validation" { // a single one is no line
			for _, p := range line.points {
				d.Add(`<circle class="validation" cx="%.1f" cy="%.1f" r="2"/>`, x.at(p.x), y.at(p.y))
			}
		}
		if line.name != "" {
			d.Text(label, 18, textSize, `class="`+line.class+`" text-anchor="end"`, line.name)
			label -= 62
		}
	}
}
