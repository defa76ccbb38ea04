package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vggo/vggo/bench"
)

// Who measures.
const (
	vggo        = "vggo"
	onnxRuntime = "onnxruntime"
	pyTorch     = "pytorch"
	gemm        = "gemm" // the benchmark of vggo's matrix kernel
)

// peerNames are the peers in words.
var peerNames = map[string]string{onnxRuntime: "ONNX Runtime", pyTorch: "PyTorch"}

// subject is what one process measures.
type subject struct {
	by    string
	mode  bench.Mode
	model string
	size  int // height and width of the images
	batch int
	set   string // kernel set, where it is not the one that vggo chooses
}

func (s subject) name() string {
	if s.by == gemm {
		return gemm
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s %dx%d batch %d %s", s.by, s.model, s.mode, s.size, s.size,
		s.batch, s.set))
}

// once says that a subject is measured in the first round alone: the slowest has no target.
func (s subject) once() bool { return s.by == pyTorch && s.mode == bench.ForwardBackward }

// steps are how many steps of a subject count, and how many before them do not, where n of 32 images of 224x224 do:
// small steps count up to ten times as often, so that every process has something to take a median of. The benchmark of
// the matrix kernel knows itself how often to repeat a step.
func (s subject) steps(n int) (steps, burnIn int) {
	switch {
	case s.by == gemm:
		return 3, 0
	case s.by == pyTorch:
		n = 1
	}
	work := s.batch * s.size * s.size
	if s.mode == bench.ForwardBackward {
		work *= 3
	}
	often := min(max(1, 32*224*224/work), 10)
	return n * often, 1 + often/4
}

func vgg16(by string, mode bench.Mode, size, batch int) subject {
	return subject{by: by, mode: mode, model: "vgg16", size: size, batch: batch}
}

var (
	forward32  = vgg16(vggo, bench.Forward, 224, 32)
	backward32 = vgg16(vggo, bench.ForwardBackward, 224, 32)
	forward1   = vgg16(vggo, bench.Forward, 224, 1)
	avx2       = subject{by: vggo, mode: bench.Forward, model: "vgg16", size: 224, batch: 32, set: "avx2"}
	cifar      = subject{by: vggo, mode: bench.ForwardBackward, model: "vgg16-cifar-bn", size: 32, batch: 256}
	gemmTile   = subject{by: gemm}
	ort32      = vgg16(onnxRuntime, bench.Forward, 224, 32)
	ort1       = vgg16(onnxRuntime, bench.Forward, 224, 1)
	torch32    = vgg16(pyTorch, bench.Forward, 224, 32)
	torch1     = vgg16(pyTorch, bench.Forward, 224, 1)
	torchBack  = vgg16(pyTorch, bench.ForwardBackward, 224, 32)
)

// metric is a value of a run, 0 where the run does not have it, and how to write it.
type metric struct {
	of   func(measurement) float64
	text func(float64) string
}

var (
	seconds  = metric{func(m measurement) float64 { return m.Seconds }, writeSeconds}
	rate     = metric{func(m measurement) float64 { return m.GFLOPs }, writeGFLOPs}
	convRate = metric{func(m measurement) float64 { return m.ConvGFLOPs }, writeGFLOPs}
	memory   = metric{func(m measurement) float64 { return float64(m.PeakBytes) }, writeBytes}
)

// The machine's limits.
func fmaPeak(m measurement) float64   { return m.FMAPeak }
func bandwidth(m measurement) float64 { return m.Bandwidth }

// figure is a line of the table: times the metric of a subject, divided by that of another where to is one, or by the
// FMA peak.
type figure struct {
	what    string
	metric  metric
	of, to  subject
	times   float64
	ofPeak  bool
	text    func(float64) string
	target  float64 // 0: none
	stretch float64
	atMost  bool   // the target is, not at least
	aside   bool   // the line above is judged, this one is there to compare
	rate    metric // of vggo, to stand beside the machine's limits; of all layers where none is named
}

// row is what --rows names: figures that are measured together.
type row struct {
	name    string
	figures []figure
}

// targetMemory is what ONNX Runtime took when the target of vggo's memory was set, in bytes, and targetPeak the FMA
// peak in GFLOP/s of the machine on which the target of 32x32 networks was.
const (
	targetMemory = 2.5e9
	targetPeak   = 500
)

var rows = []row{
	{"forward-32", []figure{
		{what: "forward, batch 32: ONNX Runtime's time / vggo's", metric: seconds, of: ort32, to: forward32, times: 1,
			text: writeRatio, target: 2.7, stretch: 3.4},
		{what: "the same with PyTorch's time", metric: seconds, of: torch32, to: forward32, times: 1, text: writeRatio},
	}},
	{"forward-1", []figure{
		{what: "forward, batch 1: ONNX Runtime's time / vggo's", metric: seconds, of: ort1, to: forward1, times: 1,
			text: writeRatio, target: 2.1, stretch: 2.5},
		{what: "the same with PyTorch's time", metric: seconds, of: torch1, to: forward1, times: 1, text: writeRatio},
	}},
	{"forward-backward", []figure{
		{what: "forward-backward, batch 32: 3 × ONNX Runtime's forward time / vggo's", metric: seconds, of: ort32,
			to: backward32, times: 3, text: writeRatio, target: 2.2, stretch: 2.8},
		{what: "PyTorch's forward-backward time / vggo's", metric: seconds, of: torchBack, to: backward32, times: 1,
			text: writeRatio},
	}},
	{"batches", convolutions("batch %d, of those at 32", []int{2, 4, 8},
		func(batch int) subject { return vgg16(vggo, bench.Forward, 224, batch) })},
	{"sizes", convolutions("%d pixels and batch 16, of those at 224 and 32", []int{96, 160, 320, 512},
		func(size int) subject { return vgg16(vggo, bench.Forward, size, 16) })},
	{"cifar", []figure{
		{what: "`vgg16-cifar-bn`, 32×32, forward-backward, batch 256: GFLOP/s", metric: rate, of: cifar, times: 1,
			text: writeGFLOPs, target: 700, stretch: 900},
		{what: fmt.Sprintf("the same / this machine's FMA peak (%d GFLOP/s on the target's)", targetPeak), metric: rate,
			ofPeak: true, of: cifar, times: 1,
			text: writePercent, target: 700. / targetPeak, stretch: 900. / targetPeak, aside: true},
	}},
	{"gemm", []figure{
		{what: "matrix kernel inside L2, one thread: GFLOP/s / FMA peak", metric: rate, ofPeak: true, of: gemmTile, times: 1,
			text: writePercent, target: 0.92, stretch: 0.96},
	}},
	{"avx2", []figure{
		{what: "kernel set avx2, forward, batch 32: GFLOP/s / its own FMA peak", metric: rate, ofPeak: true, of: avx2,
			times: 1, text: writeRatio, target: 1.8, stretch: 2.3},
	}},
	{"memory", []figure{
		{what: "peak memory, forward, batch 32: vggo's / ONNX Runtime's", metric: memory, of: forward32, to: ort32, times: 1,
			text: writeRatio, target: 0.65, stretch: 0.45, atMost: true},
		{what: "the same / " + writeBytes(targetMemory) + ", on which the target was set", metric: memory, of: forward32,
			times: 1 / targetMemory, text: writeRatio,
			target: 0.65, stretch: 0.45, atMost: true, aside: true},
	}},
}

// convolutions are figures of the convolution part's rate, relative to that of 32 images of 224x224.
func convolutions(what string, cases []int, subject func(int) subject) []figure {
	var figures []figure
	for _, c := range cases {
		figures = append(figures, figure{what: fmt.Sprintf("convolutions' GFLOP/s forward at "+what, c), metric: convRate,
			of: subject(c),
			to: forward32, times: 1, text: writePercent, target: 0.75, stretch: 0.90, rate: convRate})
	}
	return figures
}

func rowNames() []string {
	var names []string
	for _, row := range rows {
		names = append(names, row.name)
	}
	return names
}

// subjectsOf lists what the named rows need, all rows if none is named, of vggo and these peers: each once, in the
// order of a round.
func subjectsOf(names, peers []string) ([]subject, error) {
	for _, name := range names {
		if !slices.Contains(rowNames(), name) {
			return nil, fmt.Errorf("--rows: there is no %q: %s", name, strings.Join(rowNames(), ", "))
		}
	}
	for _, peer := range peers {
		if peerNames[peer] == "" {
			return nil, fmt.Errorf("--peers: there is no %q: %s, %s", peer, onnxRuntime, pyTorch)
		}
	}
	var all []subject
	for _, row := range rows {
		if len(names) > 0 && !slices.Contains(names, row.name) {
			continue
		}
		for _, f := range row.figures {
			for _, s := range []subject{f.of, f.to} {
				wanted := s != subject{} && (peerNames[s.by] == "" || slices.Contains(peers, s.by))
				if wanted && !slices.Contains(all, s) {
					all = append(all, s)
				}
			}
		}
	}
	return all, nil
}

// reading is a figure as measured: from the medians of its sides over the rounds, with the range of single rounds.
type reading struct {
	value, low, high float64
	of, to           float64
}

// read is false where a side was not measured.
func (f figure) read(r *results) (reading, bool) {
	of, to := r.byRound(f.of, f.metric), map[int]float64{}
	if f.to != (subject{}) {
		to = r.byRound(f.to, f.metric)
	} else {
		for round := range of {
			to[round] = 1
		}
	}
	if len(of) == 0 || len(to) == 0 {
		return reading{}, false
	}
	times := f.times
	if f.ofPeak {
		peak := r.limit(f.of, fmaPeak)
		if peak == 0 {
			return reading{}, false
		}
		times /= peak
	}
	m := reading{of: medianOf(of), to: medianOf(to)}
	m.value = times * m.of / m.to
	m.low, m.high = m.value, m.value
	var single []float64
	for round, v := range of {
		if w, ok := to[round]; ok {
			single = append(single, times*v/w)
		}
	}
	if len(single) > 1 {
		m.low, m.high = slices.Min(single), slices.Max(single)
	}
	return m, true
}

// ours is the side whose rate stands beside the machine's limits.
func (f figure) ours() subject {
	if _, peer := peerNames[f.of.by]; peer {
		return f.to
	}
	return f.of
}

// met says whether a value reaches the target, or even the stretch.
func (f figure) met(value float64) string {
	reaches := func(target float64) bool {
		if f.atMost {
			return value <= target
		}
		return value >= target
	}
	verdict := "no"
	switch {
	case f.target == 0:
		return ""
	case reaches(f.stretch):
		verdict = "stretch"
	case reaches(f.target):
		verdict = "yes"
	}
	if f.aside {
		return "(" + verdict + ")"
	}
	return verdict
}
