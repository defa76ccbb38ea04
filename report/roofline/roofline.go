// Package roofline draws a benchmark: how fast each pass of a network's layers went, under the roofs that the machine
// sets (Williams, Waterman & Patterson, Communications of the ACM 2009).
package roofline

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/vggo/vggo/bench"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/report/internal/svg"
)

// Write draws what a benchmark that timed its layers has come to, as SVG: GFLOP/s over FLOP per byte that must cross
// memory, both logarithmic. Where forward was timed by itself, forward-backward's own forward passes are left out.
func Write(w io.Writer, b *bench.Bench, results []*bench.Result, day time.Time) error {
	c := chart{network: b.Placed.Network.Name, batch: b.Batch, machine: b.Machine, date: day.Format(time.DateOnly)}
	for i, result := range results {
		for _, l := range result.Layers {
			if l.GFLOPs > 0 && (i == 0 || l.Pass != nn.ForwardPass) {
				c.layers = append(c.layers, l)
			}
		}
	}
	return c.write(w)
}

// chart is what is drawn.
type chart struct {
	network string
	batch   int
	machine bench.Machine
	date    string
	layers  []bench.LayerTime // those without multiply-accumulates have no place in it
}

// The picture, in its own units (CSS pixels at full size).
const (
	roofWidth, roofHeight               = 1000.0, 640.0
	roofLeft, roofRight                 = 70.0, 972.0
	roofTop, roofBottom                 = 96.0, 584.0
	pointRadius                         = 4.5
	labelSize, labelHeight, labelMargin = 10.0, 11.0, 3.0
)

// passColours are in the legend's order.
var passColours = []struct {
	pass   nn.Pass
	colour string
}{{nn.ForwardPass, svg.Blue}, {nn.DataPass, svg.Green}, {nn.WeightsPass, svg.Red}}

// axis is a logarithmic one: value from lies at a, value to at b.
type axis struct{ from, to, a, b float64 }

func (x axis) at(v float64) float64 {
	return x.a + (x.b-x.a)*math.Log(v/x.from)/math.Log(x.to/x.from)
}

// ticks are 1, 2 and 5 times the powers of ten.
func (x axis) ticks() (ticks []float64) {
	for e := math.Floor(math.Log10(x.from)); e <= math.Log10(x.to); e++ {
		for _, d := range []float64{1, 2, 5} {
			if v := d * math.Pow(10, e); v >= x.from && v <= x.to {
				ticks = append(ticks, v)
			}
		}
	}
	return ticks
}

// box is what a text or a point covers.
type box struct{ x0, y0, x1, y1 float64 }

func (b box) overlaps(c box) bool { return b.x0 < c.x1 && c.x0 < b.x1 && b.y0 < c.y1 && c.y0 < b.y1 }

// write draws the chart, point by point.
func (c *chart) write(w io.Writer) error {
	x, y := c.axes()
	title := fmt.Sprintf("Roofline of %s, batch %d", c.network, c.batch)
	d := svg.New(roofWidth, roofHeight, title)
	add, text := d.Add, d.Text
	text(roofLeft, 36, 22, `font-weight="700" fill="#0f172a"`, title)
	threads := "1 thread"
	if c.machine.Threads > 1 {
		threads = fmt.Sprintf("%d threads", c.machine.Threads)
	}
	text(roofLeft, 58, 13, `fill="#64748b"`, fmt.Sprintf("%s, %s, kernel set %s, %s", c.machine.Processor, threads,
		c.machine.Set, c.date))
	at := roofLeft
	for _, p := range passColours {
		add(`<circle cx="%.1f" cy="76" r="%g" fill="%s"/>`, at+pointRadius, pointRadius, p.colour)
		text(at+14, 80, 12, `fill="#334155"`, string(p.pass))
		at += 14 + svg.Width(string(p.pass), 12) + 18
	}

	for _, v := range x.ticks() {
		add(`<path d="M%.1f %.1fV%.1f" stroke="#e2e8f0"/>`, x.at(v), roofTop, roofBottom)
		text(x.at(v), roofBottom+16, 11, `text-anchor="middle" fill="#475569"`, fmt.Sprintf("%g", v))
	}
	for _, v := range y.ticks() {
		add(`<path d="M%.1f %.1fH%.1f" stroke="#e2e8f0"/>`, roofLeft, y.at(v), roofRight)
		text(roofLeft-6, y.at(v)+4, 11, `text-anchor="end" fill="#475569"`, fmt.Sprintf("%g", v))
	}
	text((roofLeft+roofRight)/2, roofBottom+36, 12, `text-anchor="middle" fill="#334155"`,
		"FLOP, counted as direct convolution, for each byte that must cross memory")
	add(`<text transform="translate(20 %.1f) rotate(-90)" text-anchor="middle" font-size="12" `+
		`fill="#334155">GFLOP/s</text>`, (roofTop+roofBottom)/2)

	var taken []box // by texts and points
	// roof draws a limit of so many GFLOP/s, from where the memory's roof meets it.
	roof := func(gflops float64, style, label string) {
		from := max(x.from, gflops/c.machine.Bandwidth)
		if from >= x.to || gflops <= y.from {
			return
		}
		add(`<path d="M%.1f %.1fH%.1f" fill="none" stroke="#0f172a" %s/>`, x.at(from), y.at(gflops), roofRight, style)
		text(roofRight-4, y.at(gflops)-5, 11, `text-anchor="end" fill="#0f172a"`, label)
		taken = append(taken, box{roofRight - 4 - svg.Width(label, 11), y.at(gflops) - 16, roofRight, y.at(gflops)},
			box{x.at(from), y.at(gflops) - 1, roofRight, y.at(gflops) + 1})
	}
	roof(c.machine.Peak, `stroke-width="1.5"`, fmt.Sprintf("FMA peak, %.0f GFLOP/s", c.machine.Peak))
	for _, algo := range []nn.Algo{nn.Winograd4, nn.Winograd6} {
		m := float64(algo.Tile())
		fewer := 9 * m * m / ((m + 2) * (m + 2))
		roof(fewer*c.machine.Peak, `stroke-dasharray="6 4"`, fmt.Sprintf("F(%g×%g,3×3): %.3g times the peak", m, m, fewer))
	}
	c.drawMemory(d, x, y)

	for _, l := range c.layers {
		px, py := x.at(l.Intensity()), y.at(l.GFLOPs)
		taken = append(taken, box{px - pointRadius, py - pointRadius, px + pointRadius, py + pointRadius})
	}
	type kind struct {
		pass         nn.Pass
		work, memory int64
	}
	seen := map[kind]bool{}
	labels := &svg.Drawing{} // above all points
	for _, l := range c.layers {
		px, py := x.at(l.Intensity()), y.at(l.GFLOPs)
		colour := ""
		for _, p := range passColours {
			if p.pass == l.Pass {
				colour = p.colour
			}
		}
		note := fmt.Sprintf("%s, %s: %.0f GFLOP/s, %.3g FLOP/byte, %.3g ms", l.Label(), strings.TrimSpace(string(l.Pass)+" "+
			l.Algo), l.GFLOPs, l.Intensity(), l.Seconds*1e3)
		add(`<circle cx="%.1f" cy="%.1f" r="%g" fill="%s" fill-opacity="0.85" stroke="#ffffff"><title>%s</title></circle>`,
			px, py, pointRadius, colour, svg.Escape(note))
		shape := kind{l.Pass, int64(math.Round(l.GFLOPs * l.Seconds * 1e3)), l.Bytes}
		if seen[shape] {
			continue // its like is labelled
		}
		seen[shape] = true
		name := l.Layers[0]
		b, ok := place(px, py, svg.Width(name, labelSize), taken)
		if !ok {
			continue // the note still names it
		}
		taken = append(taken, b)
		if far := math.Hypot(px-min(max(px, b.x0), b.x1), py-min(max(py, b.y0), b.y1)); far > 2*pointRadius {
			labels.Add(`<path d="M%.1f %.1fL%.1f %.1f" stroke="%s" stroke-opacity="0.4"/>`, px, py,
				min(max(px, b.x0), b.x1), min(max(py, b.y0), b.y1), colour)
		}
		labels.Text(b.x0, b.y1-2, labelSize, fmt.Sprintf(`fill="%s" stroke="%s" stroke-width="2.5" `+
			`stroke-linejoin="round" paint-order="stroke"`, colour, svg.Paper), name)
	}
	d.Append(labels)
	_, err := d.WriteTo(w)
	return err
}

// axes leave room for all points and the highest roof.
func (c *chart) axes() (x, y axis) {
	ridge := c.machine.Peak / c.machine.Bandwidth
	x, y = axis{ridge, ridge, roofLeft, roofRight}, axis{c.machine.Peak, 6 * c.machine.Peak, roofBottom, roofTop}
	for _, l := range c.layers {
		x.from, x.to = min(x.from, l.Intensity()), max(x.to, l.Intensity())
		y.from, y.to = min(y.from, l.GFLOPs), max(y.to, l.GFLOPs)
	}
	x.from, x.to, y.from = x.from/1.5, x.to*2, y.from/1.5
	return x, y
}

// drawMemory draws the roof of the read bandwidth: solid up to the peak, dashed beyond.
func (c *chart) drawMemory(d *svg.Drawing, x, y axis) {
	bandwidth := c.machine.Bandwidth
	line := func(from, to float64, style string) {
		from, to = max(from, y.from), min(to, y.to)
		if from < to {
			d.Add(`<path d="M%.1f %.1fL%.1f %.1f" stroke="#0f172a" %s/>`, x.at(from/bandwidth), y.at(from), x.at(to/bandwidth),
				y.at(to), style)
		}
	}
	start := max(y.from, x.from*bandwidth)
	line(start, c.machine.Peak, `stroke-width="1.5"`)
	line(max(start, c.machine.Peak), min(y.to, x.to*bandwidth), `stroke-dasharray="6 4"`)
	// Its label follows it, above the middle of what is drawn.
	end := min(y.to, x.to*bandwidth)
	middle := math.Sqrt(start * end)
	degrees := -math.Atan2(y.at(start)-y.at(end), x.at(end/bandwidth)-x.at(start/bandwidth)) * 180 / math.Pi
	d.Add(`<text transform="translate(%.1f %.1f) rotate(%.1f)" y="-6" text-anchor="middle" font-size="11" `+
		`fill="#0f172a">memory, %.0f GB/s read</text>`,
		x.at(middle/bandwidth), y.at(middle), degrees, bandwidth)
}

// place finds room for a label, as near to its point as may be.
func place(px, py, w float64, taken []box) (box, bool) {
	for _, distance := range []float64{2, 8, 16, 26, 38, 52, 68, 86} {
		for step := range 16 {
			sin, cos := math.Sincos(float64(step) * math.Pi / 8)
			cx, cy := px+cos*(pointRadius+distance+w/2), py+sin*(pointRadius+distance+labelHeight/2)
			b := box{cx - w/2, cy - labelHeight/2, cx + w/2, cy + labelHeight/2}
			free := b.x0 > roofLeft+labelMargin && b.x1 < roofRight-labelMargin && b.y0 > roofTop+labelMargin &&
				b.y1 < roofBottom-labelMargin
			for _, t := range taken {
				free = free && !b.overlaps(t)
			}
			if free {
				return b, true
			}
		}
	}
	return box{}, false
}
