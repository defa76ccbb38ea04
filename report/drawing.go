package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/report/internal/svg"
)

// The picture, in its own units (CSS pixels at full size).
const (
	svgWidth   = 1200.0 // at least; many layers make it wider
	svgHeight  = 675.0
	svgMargin  = 48.0
	mapsTop    = 110.0
	mapsHeight = 266.0
	bracketTop = mapsTop + mapsHeight + 8
	namesTop   = bracketTop + 25
	barsTop    = namesTop + 90
	barRow     = 76.0 // one row of bars with its heading
	barHeight  = 40.0

	// Oblique projection: a pixel of a map's width goes this far right and up, for each one of its height down.
	depthX, depthY = 0.30, 0.24
)

// tone is what a box stands for and the colours of its three faces.
type tone struct{ name, front, side, top string }

var (
	inputTone      = tone{"input", svg.Grey, "#94a3b8", "#cbd5e1"}
	convTone       = tone{"convolution", svg.Blue, "#5b8def", "#b6cffb"}
	poolTone       = tone{"pooling", svg.Red, "#f0708a", "#fbc4cf"}
	linearTone     = tone{"fully connected", svg.Green, "#34b58a", "#a7e8d0"}
	normTone       = tone{"normalisation", "#7040d0", "#a78bfa", "#dcd0fd"}
	activationTone = tone{"activation", "#c2531a", "#fb923c", "#fed7aa"}
	softmaxTone    = tone{"softmax", "#c27a12", "#f5a93f", "#fcdca0"}
	sigmoidTone    = tone{"sigmoid", softmaxTone.front, softmaxTone.side, softmaxTone.top}
)

// tones are by Op.Kind.
var tones = map[string]tone{
	"conv": convTone, "linear": linearTone, "softmax": softmaxTone, "sigmoid": sigmoidTone,
	"maxpool": poolTone, "avgpool": poolTone, "adaptiveavgpool": poolTone, "globalavgpool": poolTone, "l2pool": poolTone,
	"lrn": normTone, "batchnorm": normTone,
	"reflectpad": activationTone, "relu": activationTone, "flatten": activationTone, "dropout": activationTone,
}

// plate is one feature map in the picture.
type plate struct {
	name, note   string
	tone         tone
	shape        arch.Shape
	params, macs float64 // shares of the totals
	gap          float64 // half of it on either side
	length       float64 // of the channels
	x            float64 // its middle
}

// plates are the input and every map of the report.
func platesOf(r *arch.Report) []plate {
	plates := []plate{{name: "input", note: "input " + r.Input.String(), tone: inputTone, shape: r.Input}}
	share := func(part, total int64) float64 { return float64(part) / float64(max(total, 1)) }
	for _, row := range rows(r) {
		note := fmt.Sprintf("%s: %s, %v, %s parameters, %s MACs", row.Name, row.operations, row.Out,
			printable.Count(row.Weights+row.Biases), printable.Count(row.MACs))
		plates = append(plates, plate{
			name: row.Name, note: note, tone: tones[row.Kind], shape: row.Out,
			params: share(row.Weights+row.Biases, r.Total.Parameters), macs: share(row.MACs, r.Total.MACs),
		})
	}
	return plates
}

// scale is the picture's: pixels drawn per pixel of a map and per channel.
type scale struct{ pixel, channel float64 }

// layPlates places the plates from left to right and returns the scale and the picture's width.
func layPlates(plates []plate) (scale, float64) {
	var s scale
	var tallest, channels float64
	for _, p := range plates {
		tallest = max(tallest, float64(p.shape.H)+depthY*float64(p.shape.W))
		channels += float64(p.shape.C)
	}
	s.pixel = mapsHeight / tallest
	gap := min(max(420/float64(len(plates)), 14), 44)
	gaps := 0.0
	for _, g := range groups(plates) {
		text := svg.Width(sizeLabel(g[0].shape), 12) + 8
		for i := range g {
			g[i].gap = max(gap, text/float64(len(g)))
			gaps += g[i].gap
		}
	}
	// The first and last plate lean out of their columns by half their depth.
	lean := depthX * s.pixel / 2 * float64(plates[0].shape.W)
	free := svgWidth - 2*svgMargin - lean - gaps
	s.channel = min(max(free, 300)/channels, s.pixel)
	x := svgMargin + max(lean-plates[0].gap/2, 0)
	for i := range plates {
		p := &plates[i]
		p.length = max(2, s.channel*float64(p.shape.C))
		p.x = x + (p.gap+p.length)/2
		x += p.gap + p.length
	}
	return s, max(svgWidth, x+svgMargin)
}

// groups cuts the plates where height and width change. The slices share the plates' memory.
func groups(plates []plate) [][]plate {
	var groups [][]plate
	start := 0
	for i := range plates {
		if i+1 == len(plates) || plates[i+1].shape.H != plates[start].shape.H ||
			plates[i+1].shape.W != plates[start].shape.W {
			groups = append(groups, plates[start:i+1])
			start = i + 1
		}
	}
	return groups
}

// draw draws the network to scale, with each layer's share of parameters and work below it.
func draw(w io.Writer, r *arch.Report) error {
	plates := platesOf(r)
	s, width := layPlates(plates)
	d := drawing{svg.New(width, svgHeight, r.Network+": "+r.Title)}
	d.head(r, plates, width)
	for _, p := range plates {
		d.box(p, s)
	}
	for _, g := range groups(plates) {
		d.bracket(g)
	}
	for _, p := range plates {
		d.name(p)
	}
	d.bars(plates, barsTop, printable.Count(r.Total.Parameters)+" parameters", func(p plate) float64 { return p.params })
	d.bars(plates, barsTop+barRow, printable.Count(r.Total.MACs)+" multiply-accumulates",
		func(p plate) float64 { return p.macs })
	ratio := ""
	if s.channel < s.pixel {
		ratio = fmt.Sprintf(", a channel %.3g times thinner than a pixel", s.pixel/s.channel)
	}
	d.Text(svgMargin, svgHeight-12, 10.5, `fill="#94a3b8"`, "To scale: height and depth are a map's pixels, length its "+
		"channels"+ratio+".")
	_, err := d.WriteTo(w)
	return err
}

// head is what the colours mean, the name and the totals.
func (d drawing) head(r *arch.Report, plates []plate, width float64) {
	x := svgMargin
	seen := map[string]bool{}
	for _, p := range plates {
		if seen[p.tone.name] {
			continue
		}
		seen[p.tone.name] = true
		d.Add(`<rect x="%.1f" y="86" width="10" height="10" rx="2" fill="%s"/>`, x, p.tone.side)
		d.Text(x+15, 95, 11, `fill="#475569"`, p.tone.name)
		x += 15 + svg.Width(p.tone.name, 11) + 16
	}
	x = width - svgMargin
	for _, figure := range [][2]string{
		{printable.Bytes(r.Memory.Train), "to train on " + images(r.Batch)},
		{printable.Bytes(r.Memory.Infer), "to run " + images(r.Batch)},
		{printable.Scaled(float64(r.Total.MACs), "MAC"), "of work per image"},
		{printable.Scaled(float64(r.Total.Parameters), ""), "parameters"},
	} {
		d.Text(x, 52, 24, `text-anchor="end" font-weight="600" fill="#0f172a"`, figure[0])
		d.Text(x, 72, 12, `text-anchor="end" fill="#64748b"`, figure[1])
		x -= max(1.15*svg.Width(figure[0], 24), svg.Width(figure[1], 12)) + 26
	}
	room := (x - svgMargin) / svg.Width("m", 1)
	d.Text(svgMargin, 52, 30, `font-weight="700" fill="#0f172a"`, printable.Clip(r.Network, int(room/(1.15*30))))
	d.Text(svgMargin, 74, 13, `fill="#64748b"`, printable.Clip(r.Title, int(room/13)))
}

// drawing is a picture with the parts that this one is made of.
type drawing struct{ *svg.Drawing }

// box draws a map in oblique projection: its channels from left to right, its height down, its width into the page.
func (d drawing) box(p plate, s scale) {
	h := max(3, s.pixel*float64(p.shape.H)) // a vector must still be seen
	dx, dy := max(0.6, s.pixel*depthX*float64(p.shape.W)), max(0.5, s.pixel*depthY*float64(p.shape.W))
	x0 := p.x - p.length/2 - dx/2
	x1 := x0 + p.length
	y0 := mapsTop + mapsHeight/2 - h/2 + dy/2
	y1 := y0 + h
	d.Add(`<g stroke="#ffffff" stroke-width="0.5" stroke-linejoin="round"><title>%s</title>`, svg.Escape(p.note))
	d.Add(`<path d="M%.1f %.1fh%.1fl%.1f %.1fh%.1fz" fill="%s"/>`, x0, y0, p.length, dx, -dy, -p.length, p.tone.top)
	d.Add(`<path d="M%.1f %.1fl%.1f %.1fv%.1fl%.1f %.1fz" fill="%s"/>`, x1, y0, dx, -dy, h, -dx, dy, p.tone.side)
	d.Add(`<path d="M%.1f %.1fH%.1fV%.1fH%.1fz" fill="%s"/></g>`, x0, y0, x1, y1, x0, p.tone.front)
}

// bracket marks the maps of one height and width.
func (d drawing) bracket(g []plate) {
	first, last := g[0], g[len(g)-1]
	x0, x1 := first.x-(first.length+first.gap)/2+3, last.x+(last.length+last.gap)/2-3
	d.Add(`<path d="M%.1f %.1fv-5H%.1fv5" fill="none" stroke="#cbd5e1"/>`, x0, bracketTop+20, x1)
	d.Text((x0+x1)/2, bracketTop+10, 11, `text-anchor="middle" font-weight="600" fill="#334155"`, sizeLabel(first.shape))
}

func sizeLabel(s arch.Shape) string { return fmt.Sprintf("%d×%d", s.H, s.W) }

// name writes a layer's name and channels, top to bottom.
func (d drawing) name(p plate) {
	d.Add(`<text transform="translate(%.1f %.1f) rotate(-90)" text-anchor="end" font-size="11" fill="#0f172a">%s `+
		`<tspan fill="#94a3b8">%d</tspan></text>`,
		p.x+4, namesTop, svg.Escape(printable.Clip(p.name, 11)), p.shape.C)
}

// bars draws each plate's share of a total. The largest share fills the row's height.
func (d drawing) bars(plates []plate, top float64, heading string, share func(plate) float64) {
	largest := 0.0
	var kinds []string
	shares := map[string]float64{}
	for _, p := range plates {
		v := share(p)
		largest = max(largest, v)
		if shares[p.tone.name] == 0 && v > 0 {
			kinds = append(kinds, p.tone.name)
		}
		shares[p.tone.name] += v
	}
	var parts []string
	for _, kind := range kinds {
		if shares[kind] >= 0.0005 {
			parts = append(parts, fmt.Sprintf("%s %.1f%%", kind, 100*shares[kind]))
		}
	}
	if len(parts) > 0 {
		heading += ": " + strings.Join(parts, ", ")
	}
	d.Text(svgMargin, top+11, 11.5, `font-weight="600" fill="#334155"`, heading)
	base := top + barRow - 6
	first, last := plates[0], plates[len(plates)-1]
	d.Add(`<path d="M%.1f %.1fH%.1f" stroke="#e2e8f0"/>`, first.x-first.length/2-4, base, last.x+last.length/2+4)
	for _, p := range plates {
		v := share(p)
		if v == 0 {
			continue
		}
		width := min(max(p.length, 9), 26)
		height := max(1, barHeight*v/largest)
		d.Add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, p.x-width/2, base-height, width, height,
			p.tone.side)
		if v >= 0.005 {
			d.Text(p.x, base-height-3, 9.5, `text-anchor="middle" fill="#334155"`, fmt.Sprintf("%.0f%%", 100*v))
		}
	}
}
