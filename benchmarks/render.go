package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vggo/vggo/internal/printable"
)

func writeRatio(v float64) string  { return fmt.Sprintf("%.2f", v) }
func writeGFLOPs(v float64) string { return fmt.Sprintf("%.0f", v) }
func writeBytes(v float64) string  { return printable.Bytes(int64(v)) }

// writePercent leaves out a tenth that is 0, as targets have it.
func writePercent(v float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", 100*v), ".0") + " %"
}

func writeSeconds(v float64) string {
	if v < 1 {
		return fmt.Sprintf("%.1f ms", 1e3*v)
	}
	return fmt.Sprintf("%.2f s", v)
}

// counted is "1 round", "5 rounds".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// table is the sitting in Markdown, figure by figure.
func table(r *results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s (%s), %s, kernel set %s. vggo %s with %s", r.Date, r.Processor, r.Platform,
		counted(r.Threads, "thread"), r.Set, r.Versions[vggo], r.Versions["go"])
	if v := r.Versions[onnxRuntime]; v != "" {
		fmt.Fprintf(&b, "; ONNX Runtime %s with Node.js %s", v, r.Versions["node"])
	}
	if v := r.Versions[pyTorch]; v != "" {
		fmt.Fprintf(&b, "; PyTorch %s with torchvision %s", v, r.Versions["torchvision"])
	}
	fmt.Fprintf(&b, ". Median of %s of %s (up to ten times as many where the work is small); in brackets the lowest and "+
		"the highest round.\n\n",
		counted(r.Rounds, "round"), counted(r.Steps, "step"))
	b.WriteString("| row | figure | measured | target | stretch | met | sides | vggo GFLOP/s | FMA peak GFLOP/s | read " +
		"GB/s |\n")
	b.WriteString("|---|---|---:|---:|---:|---|---:|---:|---:|---:|\n")
	for _, row := range rows {
		for i, f := range row.figures {
			name := ""
			if i == 0 {
				name = "`" + row.name + "`"
			}
			cells := append([]string{name, f.what}, f.cells(r)...)
			fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
		}
	}
	return b.String()
}

// cells are a figure's columns from measured on.
func (f figure) cells(r *results) []string {
	target, stretch := "", ""
	if f.target > 0 {
		sign := "≥ "
		if f.atMost {
			sign = "≤ "
		}
		target, stretch = sign+f.text(f.target), sign+f.text(f.stretch)
	}
	m, ok := f.read(r)
	if !ok {
		return []string{"not measured", target, stretch, "", "", "", "", ""}
	}
	measured, sides := f.text(m.value), ""
	if m.low < m.high {
		measured += fmt.Sprintf(" (%s to %s)", f.text(m.low), f.text(m.high))
	}
	if f.to != (subject{}) {
		sides = f.metric.text(m.of) + " / " + f.metric.text(m.to)
		if f.times != 1 {
			sides = fmt.Sprintf("%g × %s", f.times, sides)
		}
	}
	cells := []string{measured, target, stretch, f.met(m.value), sides}
	ours := rate
	if f.rate.of != nil {
		ours = f.rate
	}
	for i, v := range []float64{medianOf(r.byRound(f.ours(), ours)), r.limit(f.ours(), fmaPeak),
		r.limit(f.ours(), bandwidth)} {
		cells = append(cells, "")
		if v > 0 {
			cells[i+5] = fmt.Sprintf("%.0f", v)
		}
	}
	return cells
}

// language is what a README's summary says: a text before the table, its lines in the order of summaryLines, a text
// after it.
type language struct {
	before func(*results) string
	lines  []string
	triple string // three forward passes
	after  string
}

var english = language{
	before: func(r *results) string {
		return fmt.Sprintf("VGG-16 at 224×224 in float32, everything in turn on one machine: %s, %s, kernel set %s, "+
			"%s.\nMedian of %s of %s; in brackets how many times vggo's.",
			r.Processor, counted(r.Threads, "thread"), r.Set, r.Date, counted(r.Rounds, "round"), counted(r.Steps, "step"))
	},
	lines: []string{"32 images, forward", "1 image, forward", "32 images, forward-backward",
		"peak memory, 32 images, forward"},
	triple: "three forward: ",
	after:  "`go run ./benchmarks` repeats it. How it is measured, and what else: [benchmarks](benchmarks/README.md).",
}

var chinese = language{
	before: func(r *results) string {
		return fmt.Sprintf("224×224 的 VGG-16，float32，全部在同一台机器上轮流运行：%s，%d 线程，内核 %s，%s。%d 轮、每轮 %d 步，取中位数；括号内是 vggo 的多少倍。",
			r.Processor, r.Threads, r.Set, r.Date, r.Rounds, r.Steps)
	},
	lines:  []string{"32 张图像，前向", "1 张图像，前向", "32 张图像，前向加反向", "峰值内存，32 张图像前向"},
	triple: "三次前向：",
	after:  "`go run ./benchmarks` 可以重新测量。怎样测量，还测了什么，见 [benchmarks](benchmarks/README.md)。",
}

// summaryLines are the figures of vggo that a README shows, and the peers' beside them.
var summaryLines = []struct {
	metric            metric
	ours, onnx, torch subject
	times             float64 // ONNX Runtime's counts so often: it does not train
}{
	{seconds, forward32, ort32, torch32, 1},
	{seconds, forward1, ort1, torch1, 1},
	{seconds, backward32, ort32, torchBack, 3},
	{memory, forward32, ort32, torch32, 1},
}

// summary is the short table of a README.
func (l language) summary(r *results) string {
	var b strings.Builder
	header := func(peer string) string { return strings.TrimSpace(peerNames[peer] + " " + r.Versions[peer]) }
	fmt.Fprintf(&b, "%s\n\n| | vggo | %s | %s |\n|---|---:|---:|---:|\n", l.before(r), header(onnxRuntime),
		header(pyTorch))
	for i, line := range summaryLines {
		ours := medianOf(r.byRound(line.ours, line.metric))
		if ours == 0 {
			continue
		}
		cell := func(s subject, times float64) string {
			theirs := times * medianOf(r.byRound(s, line.metric))
			if theirs == 0 {
				return "–"
			}
			text := fmt.Sprintf("%s (%s×)", line.metric.text(theirs), writeRatio(theirs/ours))
			if times == 3 {
				text = l.triple + text
			}
			return text
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", l.lines[i], line.metric.text(ours), cell(line.onnx, line.times),
			cell(line.torch, 1))
	}
	fmt.Fprintf(&b, "\n%s\n", l.after)
	return b.String()
}

// documents are the files that show a sitting, each between markers.
var documents = []struct {
	path   string // from the module's folder
	render func(*results) string
}{
	{"benchmarks/README.md", table},
	{"README.md", english.summary},
	{"README.zh-CN.md", chinese.summary},
}

const beginMarker, endMarker = "<!-- benchmarks:begin -->\n", "<!-- benchmarks:end -->\n"

// between replaces what stands between the markers; ok is false where there are none.
func between(text, table string) (replaced string, ok bool) {
	head, rest, begins := strings.Cut(text, beginMarker)
	_, tail, ends := strings.Cut(rest, endMarker)
	return head + beginMarker + table + endMarker + tail, begins && ends
}

// updateDocuments leaves a document without markers as it is.
func updateDocuments(root string, r *results) error {
	for _, d := range documents {
		path := filepath.Join(root, filepath.FromSlash(d.path))
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if replaced, ok := between(string(text), d.render(r)); ok {
			if err := os.WriteFile(path, []byte(replaced), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
