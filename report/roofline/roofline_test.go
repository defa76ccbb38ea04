package roofline

import (
	"encoding/xml"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/vggo/vggo/bench"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/report/internal/svg"
)

// someRoofline has a layer on the memory's roof, one at the ridge, two alike, and names that XML must not take for its
// own.
func someRoofline() *chart {
	layer := func(name string, pass nn.Pass, gflop, seconds float64, bytes int64) bench.LayerTime {
		return bench.LayerTime{Layers: strings.Split(name, "+"), Pass: pass, Seconds: seconds, GFLOPs: gflop / seconds,
			Bytes: bytes}
	}
	return &chart{
		network: "<a&b>", batch: 7, date: "2026-11-25",
		machine: bench.Machine{Processor: "a processor", Threads: 2, Set: "avx2", Peak: 200, Bandwidth: 20},
		layers: []bench.LayerTime{
			layer("fc6", nn.ForwardPass, 1, 0.05, 1e9),
			layer("ridge", nn.DataPass, 20, 0.1, 2e9),
			layer("conv3_2+relu3_2", nn.ForwardPass, 118, 0.15, 2e8),
			layer("conv3_3+relu3_3", nn.ForwardPass, 118, 0.151, 2e8),
			layer("conv3_2+relu3_2", nn.WeightsPass, 118, 0.2, 2e8),
		},
	}
}

// attributes of all elements of a name, and their texts.
func elements(t *testing.T, svg, name string) (found []map[string]string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := d.Token()
		if token == nil {
			if len(found) == 0 {
				t.Fatalf("no %s (%v) in\n%s", name, err, svg)
			}
			return found
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == name {
			e := map[string]string{}
			for _, a := range start.Attr {
				e[a.Name.Local] = a.Value
			}
			if next, err := d.Token(); err == nil {
				if text, ok := next.(xml.CharData); ok {
					e["text"] = string(text)
				}
			}
			found = append(found, e)
		}
	}
}

func TestRoofline(t *testing.T) {
	var b strings.Builder
	r := someRoofline()
	if err := r.write(&b); err != nil {
		t.Fatal(err)
	}
	picture := b.String()
	texts := map[string]int{}
	for _, e := range elements(t, picture, "text") {
		texts[e["text"]]++
	}
	for text, want := range map[string]int{
		"Roofline of <a&b>, batch 7": 1, "a processor, 2 threads, kernel set avx2, 2026-11-25": 1, "forward": 1, "data": 1,
		"weights":               1,
		"FMA peak, 200 GFLOP/s": 1, "F(4×4,3×3): 4 times the peak": 1, "F(6×6,3×3): 5.06 times the peak": 1,
		"memory, 20 GB/s read": 1,
		"fc6":                  1, "ridge": 1, "conv3_2": 2, "conv3_3": 0, // conv3_3 is like conv3_2
	} {
		if texts[text] != want {
			t.Errorf("%q stands %d times, want %d", text, texts[text], want)
		}
	}

	// The roofs are where they belong: the peak meets the memory's roof at peak/bandwidth, and so does the layer that
	// reaches both.
	number := func(s string) float64 {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 0.11 { // both are rounded
			t.Errorf("%s at %v, want %v", what, got, want)
		}
	}
	points := elements(t, picture, "circle")[len(passColours):]
	if len(points) != len(r.layers) {
		t.Fatalf("%d points for %d passes", len(points), len(r.layers))
	}
	peak := regexp.MustCompile(`d="M([\d.]+) ([\d.]+)H972.0" fill="none" stroke="#0f172a" stroke-width`).
		FindStringSubmatch(picture)
	memory := regexp.MustCompile(`d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)" stroke="#0f172a" stroke-width`).
		FindStringSubmatch(picture)
	if peak == nil || memory == nil {
		t.Fatalf("the roofs are missing:\n%s", picture)
	}
	near("the ridge's layer", number(points[1]["cx"]), number(peak[1]))
	near("the ridge's layer", number(points[1]["cy"]), number(peak[2]))
	near("the memory's roof", number(memory[3]), number(peak[1]))
	near("the memory's roof", number(memory[4]), number(peak[2]))
	// fc6 lies on the memory's roof, which is straight.
	fraction := (number(points[0]["cx"]) - number(memory[1])) / (number(memory[3]) - number(memory[1]))
	near("fc6", number(points[0]["cy"]), number(memory[2])+fraction*(number(memory[4])-number(memory[2])))
	for i, p := range points {
		if x, y := number(p["cx"]), number(p["cy"]); x < roofLeft || x > roofRight || y < roofTop || y > roofBottom {
			t.Errorf("point %d lies outside at %v, %v", i, x, y)
		}
	}
}

// TestRooflineLabels: of forty layers in one place no label covers another.
func TestRooflineLabels(t *testing.T) {
	r := someRoofline()
	r.layers = nil
	for i := range 40 {
		r.layers = append(r.layers, bench.LayerTime{Layers: []string{fmt.Sprintf("conv%d_1", i)}, Pass: nn.ForwardPass,
			Seconds: 0.1, GFLOPs: 500 + float64(i), Bytes: 1e9})
	}
	var b strings.Builder
	if err := r.write(&b); err != nil {
		t.Fatal(err)
	}
	var labels []box
	for _, e := range elements(t, b.String(), "text") {
		if !strings.HasPrefix(e["text"], "conv") {
			continue
		}
		x, errX := strconv.ParseFloat(e["x"], 64)
		y, errY := strconv.ParseFloat(e["y"], 64)
		if errX != nil || errY != nil {
			t.Fatalf("%v", e)
		}
		labels = append(labels, box{x, y - labelHeight + 2.1, x + svg.Width(e["text"], labelSize) - 0.1, y + 1.9})
	}
	if len(labels) < 20 {
		t.Errorf("%d of 40 layers are labelled", len(labels))
	}
	for i, a := range labels {
		for _, b := range labels[:i] {
			if a.overlaps(b) {
				t.Errorf("labels overlap: %v and %v", a, b)
			}
		}
	}
}
