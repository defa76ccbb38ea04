package main

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/bench"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{4, 1}, 2.5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("the median of %v is %v, not %v", c.values, got, c.want)
		}
	}
}

func TestParsePeer(t *testing.T) {
	m, versions, err := parsePeer([]byte(`{"versions":{"onnxruntime":"1.30.0","node":"20.20.2"},"seconds":[4.5,4.4,4.9],"peak_bytes":2500000000}` + "\n"))
	if want := (measurement{Steps: 3, Seconds: 4.5, Shortest: 4.4, Longest: 4.9, PeakBytes: 2.5e9}); err != nil ||
		m != want {
		t.Errorf("%+v, %v", m, err)
	}
	if want := map[string]string{onnxRuntime: "1.30.0", "node": "20.20.2"}; !maps.Equal(versions, want) {
		t.Errorf("versions %v", versions)
	}
	for _, text := range []string{"", "Illegal instruction", `{"seconds":[]}`} {
		if _, _, err := parsePeer([]byte(text)); err == nil {
			t.Errorf("%q is a result", text)
		}
	}
}

func TestParseGemm(t *testing.T) {
	m, err := parseGemm(`goos: linux
BenchmarkGemm/set=avx512/tile=14x32-2   	   20000	     27000 ns/op	       120.0 GFLOP/s	        96.00 %peak
BenchmarkGemm/set=avx512/tile=14x32-2   	   20000	     27000 ns/op	       115.0 GFLOP/s	        92.00 %peak
BenchmarkGemm/set=avx512/tile=14x32-2   	   20000	     27000 ns/op	       118.8 GFLOP/s	        95.04 %peak
PASS
`)
	if err != nil || m.Steps != 3 || m.GFLOPs != 118.8 || math.Abs(m.FMAPeak-125) > 1e-9 {
		t.Errorf("%+v, %v", m, err)
	}
	for _, text := range []string{"PASS\n", "BenchmarkGemm/set=avx2/tile=6x16-2 100 5 ns/op\n",
		"BenchmarkGemm/set=avx2/tile=6x16-2 100 x GFLOP/s\n"} {
		if m, err := parseGemm(text); err == nil {
			t.Errorf("%q: %+v", text, m)
		}
	}
}

// TestConvolutions: 30 GFLOP in 0.3 s, whatever is fused into the layers; the pool and the head do not count.
func TestConvolutions(t *testing.T) {
	out := benchOutput{Machine: bench.Machine{Set: "avx2", Peak: 200, Bandwidth: 30}}
	text := `[{"mode": "forward", "steps": 4, "median_seconds": 0.5, "gflops": 64, "peak_bytes": 7, "layers": [
		{"layers": ["conv1_1", "relu1_1"], "pass": "forward", "seconds": 0.1, "gflops": 100},
		{"layers": ["conv1_2", "relu1_2", "pool1"], "pass": "forward", "seconds": 0.2, "gflops": 100},
		{"layers": ["pool2"], "pass": "forward", "seconds": 0.1},
		{"layers": ["fc6", "relu6"], "pass": "forward", "seconds": 0.1, "gflops": 20}]}]`
	if err := json.Unmarshal([]byte(text), &out.Results); err != nil {
		t.Fatal(err)
	}
	got := out.measurement()
	if math.Abs(got.ConvGFLOPs-100) > 1e-9 {
		t.Errorf("the convolutions run at %v GFLOP/s, not 100", got.ConvGFLOPs)
	}
	got.ConvGFLOPs = 0
	if want := (measurement{Set: "avx2", Steps: 4, Seconds: 0.5, GFLOPs: 64, PeakBytes: 7, FMAPeak: 200,
		Bandwidth: 30}); got != want {
		t.Errorf("%+v, not %+v", got, want)
	}
}

// twoRounds is a sitting in which vggo is 3 times as fast as ONNX Runtime at first, then 2 times.
func twoRounds() *results {
	measured := func(s subject, round int, seconds float64) measurement {
		return measurement{Subject: s.name(), Round: round, Steps: 2, Seconds: seconds, GFLOPs: 600,
			PeakBytes: int64(seconds * 1e9), FMAPeak: 250, Bandwidth: 30}
	}
	return &results{
		Date: "2026-01-02", Processor: "Processor", Platform: "linux/amd64", Threads: 2, Set: "avx512", Rounds: 2, Steps: 2,
		Versions: map[string]string{vggo: "0123456789ab", "go": "go1.26.8", onnxRuntime: "1.30.0", "node": "20.20.2"},
		Measurements: []measurement{
			measured(ort32, 1, 6), measured(forward32, 1, 2), measured(backward32, 1, 6),
			measured(ort32, 2, 4), measured(forward32, 2, 2), measured(backward32, 2, 5),
		},
	}
}

func figuresOf(name string) []figure {
	return rows[slices.IndexFunc(rows, func(r row) bool { return r.name == name })].figures
}

// near leaves room for rounding.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-12*math.Abs(b) }

func TestRead(t *testing.T) {
	r := twoRounds()
	for _, c := range []struct {
		row    string
		figure int
		want   reading
	}{
		{"forward-32", 0, reading{value: 2.5, low: 2, high: 3, of: 5, to: 2}},
		{"forward-backward", 0, reading{value: 3 * 5 / 5.5, low: 3 * 4 / 5., high: 3, of: 5, to: 5.5}},
		{"memory", 0, reading{value: 0.4, low: 1 / 3., high: 0.5, of: 2e9, to: 5e9}},
		{"memory", 1, reading{value: 0.8, low: 0.8, high: 0.8, of: 2e9, to: 1}},
	} {
		f := figuresOf(c.row)[c.figure]
		got, ok := f.read(r)
		if !ok || !near(got.value, c.want.value) || !near(got.low, c.want.low) || !near(got.high, c.want.high) ||
			got.of != c.want.of || got.to != c.want.to {
			t.Errorf("%s: %+v, not %+v", f.what, got, c.want)
		}
	}
	// PyTorch's time, and a metric that the measurements lack.
	for _, f := range []figure{figuresOf("forward-32")[1], figuresOf("forward-1")[0], figuresOf("batches")[0]} {
		if got, ok := f.read(r); ok {
			t.Errorf("%s was not measured, but reads %+v", f.what, got)
		}
	}
}

// TestLimit: a share is held against the best peak of the sitting with the same kernel set and threads, not against one
// that was measured while something else ran.
func TestLimit(t *testing.T) {
	r := &results{Measurements: []measurement{
		{Subject: cifar.name(), Round: 1, Set: "avx512", GFLOPs: 400, FMAPeak: 120, Bandwidth: 20},
		{Subject: cifar.name(), Round: 2, Set: "avx512", GFLOPs: 300, FMAPeak: 190, Bandwidth: 25},
		{Subject: forward32.name(), Round: 1, Set: "avx512", GFLOPs: 500, FMAPeak: 200, Bandwidth: 30},
		{Subject: avx2.name(), Round: 1, Set: "avx2", GFLOPs: 360, FMAPeak: 180, Bandwidth: 40},
		{Subject: gemm, Round: 1, Set: "avx512", GFLOPs: 95, FMAPeak: 100},
		{Subject: ort32.name(), Round: 1, Seconds: 4},
	}}
	for _, c := range []struct {
		figure           figure
		value, low, high float64
	}{
		{figuresOf("cifar")[1], 1.75, 1.5, 2},
		{figuresOf("avx2")[0], 2, 2, 2},
		{figuresOf("gemm")[0], 0.95, 0.95, 0.95},
	} {
		if got, ok := c.figure.read(r); !ok || !near(got.value, c.value) || !near(got.low, c.low) || !near(got.high, c.high) {
			t.Errorf("%s: %+v, not %v (%v to %v)", c.figure.what, got, c.value, c.low, c.high)
		}
	}
	if got := r.limit(cifar, bandwidth); got != 30 {
		t.Errorf("read bandwidth %v, not 30", got)
	}
	if got := r.limit(forward1, fmaPeak); got != 0 {
		t.Errorf("what was not measured has the peak %v", got)
	}
}

func TestMet(t *testing.T) {
	for _, c := range []struct {
		figure figure
		value  float64
		want   string
	}{
		{figure{target: 2, stretch: 3}, 1.999, "no"},
		{figure{target: 2, stretch: 3}, 2, "yes"},
		{figure{target: 2, stretch: 3}, 3, "stretch"},
		{figure{target: 0.6, stretch: 0.4, atMost: true}, 0.601, "no"},
		{figure{target: 0.6, stretch: 0.4, atMost: true}, 0.5, "yes"},
		{figure{target: 0.6, stretch: 0.4, atMost: true}, 0.4, "stretch"},
		{figure{target: 2, stretch: 3, aside: true}, 2, "(yes)"},
		{figure{}, 2, ""},
	} {
		if got := c.figure.met(c.value); got != c.want {
			t.Errorf("%v of %+v: %q, not %q", c.value, c.figure, got, c.want)
		}
	}
}

// TestSubjects: a subject that several rows need is measured once in a round, and has a name of its own.
func TestSubjects(t *testing.T) {
	all, err := subjectsOf(nil, []string{onnxRuntime, pyTorch})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range all {
		if names[s.name()] {
			t.Errorf("%s comes twice", s.name())
		}
		names[s.name()] = true
		if steps, burnIn := s.steps(2); steps < 1 || steps > 20 || s.by != gemm && burnIn < 1 {
			t.Errorf("%s: %d steps after %d", s.name(), steps, burnIn)
		}
	}
	some, err := subjectsOf([]string{"memory", "forward-backward"}, []string{onnxRuntime})
	if err != nil || len(some) != 3 || some[0] != ort32 || some[1] != backward32 || some[2] != forward32 {
		t.Errorf("%v, %v", some, err)
	}
	if none, err := subjectsOf([]string{"gemm"}, nil); err != nil || len(none) != 1 || none[0] != gemmTile {
		t.Errorf("%v, %v", none, err)
	}
	for _, wrong := range [][2][]string{{{"forward"}, nil}, {nil, {"tensorflow"}}} {
		if _, err := subjectsOf(wrong[0], wrong[1]); err == nil {
			t.Errorf("%v passes", wrong)
		}
	}
}

func TestTable(t *testing.T) {
	got := table(twoRounds())
	for _, want := range []string{
		"2026-01-02: Processor (linux/amd64), 2 threads, kernel set avx512. vggo 0123456789ab with go1.26.8; ONNX Runtime " +
			"1.30.0 with Node.js 20.20.2. Median of 2 rounds of 2 steps",
		"\n| `forward-32` | forward, batch 32: ONNX Runtime's time / vggo's | 2.50 (2.00 to 3.00) | " +
			"≥ 2.70 | ≥ 3.40 | no | " +
			"5.00 s / 2.00 s | 600 | 250 | 30 |\n",
		"\n|  | the same with PyTorch's time | not measured |  |  |  |  |  |  |  |\n",
		"| 2.73 (2.40 to 3.00) | ≥ 2.20 | ≥ 2.80 | yes | 3 × 5.00 s / 5.50 s | 600 | 250 | 30 |\n",
		"| 0.40 (0.33 to 0.50) | ≤ 0.65 | ≤ 0.45 | stretch | 2.00 GB / 5.00 GB | 600 | 250 | 30 |\n",
		"| 0.80 | ≤ 0.65 | ≤ 0.45 | (no) |  | 600 | 250 | 30 |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

func TestSummary(t *testing.T) {
	for _, c := range []struct {
		language language
		want     []string
	}{
		{english, []string{"| | vggo | ONNX Runtime 1.30.0 | PyTorch |\n",
			"| 32 images, forward | 2.00 s | 5.00 s (2.50×) | – |\n",
			"| 32 images, forward-backward | 5.50 s | three forward: " +
				"15.00 s (2.73×) | – |\n", "| peak memory, 32 images, forward | 2.00 GB | 5.00 GB (2.50×) | – |\n"}},
		{chinese, []string{"2 轮、每轮 2 步", "| 32 张图像，前向加反向 | 5.50 s | 三次前向：15.00 s (2.73×) | – |\n"}},
	} {
		got := c.language.summary(twoRounds())
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("no %s in\n%s", want, got)
			}
		}
	}
}

func TestBetween(t *testing.T) {
	const text = "before\n" + beginMarker + "old\n" + endMarker + "after\n"
	if got, ok := between(text, "new\n"); !ok || got != strings.Replace(text, "old", "new", 1) {
		t.Errorf("%v, %q", ok, got)
	}
	for _, text := range []string{"", "before\n" + beginMarker, endMarker + beginMarker} {
		if _, ok := between(text, "new\n"); ok {
			t.Errorf("%q has markers", text)
		}
	}
}

// TestCommittedTables: the documents show what results.json says.
func TestCommittedTables(t *testing.T) {
	r, err := readResults("results.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range documents {
		text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(d.path)))
		if err != nil {
			t.Fatal(err)
		}
		if want, ok := between(string(text), d.render(r)); !ok {
			t.Errorf("%s lacks the markers", d.path)
		} else if want != string(text) {
			t.Errorf("%s is not what results.json says: run go run ./benchmarks --render", d.path)
		}
	}
}
