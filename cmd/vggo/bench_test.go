package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/bench"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/nn"
)

// tiny is a bench of milliseconds.
func tiny(args ...string) []string {
	return append([]string{"bench", "--model", "tinyvgg", "--batch", "2", "--burn-in", "1", "--threads", "1"}, args...)
}

// takes is all that a short bench writes to standard error.
var takes = regexp.MustCompile(`^vggo: by the prices for kernel set \w+ this takes about (a second|\d+ s)\n$`)

// TestBench: the layer table, the article's lines, the summary.
func TestBench(t *testing.T) {
	code, stdout, stderr := vggo(t.Context(), tiny("--steps", "11", "--layers")...)
	if code != 0 || !takes.MatchString(stderr) {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	const stamp = `\n\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}: `
	for _, want := range []string{
		`^tinyvgg: `, `\nconv1_1 +conv 3x3 pad 1, relu +28x28x10 `,
		`, 1 thread, kernel set \w+: \d+ GFLOP/s peak, \d+ GB/s read`,
		stamp + `step 0, duration = 0\.\d+` + stamp + `step 10, duration = 0\.\d+` + stamp +
			`Forward across 11 steps, 0\.\d+ \+/- 0\.\d+ sec/batch`,
		stamp + `Forward-backward across 11 steps, 0\.\d+ \+/- 0\.\d+ sec/batch`,
		`\nforward-backward +0\.\d+ +[\d.]+ +\d+ +\d+ % `,
		`\nconv1_2\+relu1_2(\+pool1)? +weights +\w+ +[\d.]+ +\d+ +\d+ % +\d+ %`,
		`\nflatten +backward +[\d.]+ +\d+ %\n`,
	} {
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("no %s in\n%s", want, stdout)
		}
	}
}

func TestBenchJSON(t *testing.T) {
	code, stdout, stderr := vggo(t.Context(), tiny("--steps", "3", "--json", "--mode", "forward-backward")...)
	var got benchOutput
	if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil {
		t.Fatalf("exit %d, %v: %s", code, err, stderr)
	}
	if len(got.Results) != 1 || got.Results[0].Steps != 3 || got.Results[0].Median <= 0 || got.Machine.Peak <= 0 ||
		got.Batch != 2 {
		t.Errorf("%s", stdout)
	}
	if !strings.Contains(stderr, "Forward-backward across 3 steps") {
		t.Errorf("the steps are not on standard error: %q", stderr)
	}
}

// TestBenchTraining: a whole step, where it goes, and the recipe's network unless a flag names another.
func TestBenchTraining(t *testing.T) {
	code, stdout, stderr := vggo(t.Context(), tiny("--mode", "train", "--steps", "2")...)
	if code != 0 || !takes.MatchString(stderr) {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for _, want := range []string{`Train across 2 steps, 0\.\d+`, `\ntrain +0\.\d+`, `\nconvolution +[\d.]+ +[\d.]+ %`,
		`\nOf a step [\d.]+ % are neither`} {
		if !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("no %s in\n%s", want, stdout)
		}
	}
	code, stdout, stderr = vggo(t.Context(), "bench", "--mode", "train", "--recipe", "fashion-mnist", "--batch", "8",
		"--steps", "1", "--burn-in", "0", "--threads", "1", "--json")
	var got benchOutput
	if err := json.Unmarshal([]byte(stdout), &got); code != 0 || err != nil {
		t.Fatalf("exit %d, %v: %s", code, err, stderr)
	}
	if got.Input != (arch.Shape{C: 1, H: 28, W: 28}) || got.Batch != 8 || len(got.Results) != 1 ||
		len(got.Results[0].Parts) < 6 {
		t.Errorf("%s", stdout)
	}
}

// interruptAt cancels once a text has been written to it.
type interruptAt struct {
	bytes.Buffer
	text   string
	cancel context.CancelFunc
}

func (w *interruptAt) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(w.text)) {
		w.cancel()
	}
	return w.Buffer.Write(b)
}

// TestBenchInterrupted: Ctrl-C prints what was measured so far and fails, with no step of the mode that follows.
func TestBenchInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stdout, stderr := &interruptAt{text: ": step 20,", cancel: cancel}, new(bytes.Buffer)
	code := run(ctx, tiny("--steps", "10000"), stdout, stderr)
	if code != exitFailure || !strings.HasSuffix(stderr.String(),
		"\nvggo: interrupted after 21 of 10000 steps forward\n") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if text := stdout.String(); !strings.Contains(text, "Forward across 21 steps") ||
		!strings.Contains(text, "images/s") || strings.Contains(text, "Forward-backward") {
		t.Errorf("it prints\n%s", text)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	code, text, _ := vggo(ctx, tiny("--json")...)
	if code != exitFailure || !strings.Contains(text, `"results": []`) {
		t.Errorf("before the first step: exit %d, %s", code, text)
	}
}

// TestBenchAnnounces: what takes longer than a minute says so before the first step, and by what command, which works,
// a first figure comes sooner; then that of one image.
func TestBenchAnnounces(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stdout, stderr := new(bytes.Buffer), &interruptAt{text: "at this pace", cancel: cancel}
	code := run(ctx, append(tiny("--steps", "100000000"), "--algo", "winograd4"), stdout, stderr)
	want := regexp.MustCompile(`^vggo: by the prices for kernel set \w+ this takes about \d+ (min|h \d+ min)\n` +
		`hint: --batch, --steps, --burn-in and --mode make it shorter: vggo (.*)\n` +
		`vggo: one image forward takes 0\.\d+ s: at this pace it is \d+ (min|h \d+ min)\n` +
		`vggo: interrupted after 0 of 100000000 steps forward\n$`)
	said := want.FindStringSubmatch(stderr.String())
	if code != exitFailure || said == nil {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	const sooner = "bench --algo winograd4 --model tinyvgg --threads 1 --batch 1 --steps 2 --burn-in 0 --mode forward"
	if said[2] != sooner {
		t.Errorf("%q, want %q", said[2], sooner)
	}
	if code, _, stderr := vggo(t.Context(), strings.Fields(said[2])...); code != 0 || !takes.MatchString(stderr) {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// TestBenchTellsLongSteps: in burn-in and between the article's lines, whenever ten seconds of steps have gone by.
func TestBenchTellsLongSteps(t *testing.T) {
	var log, stderr bytes.Buffer
	b := &bench.Bench{Config: bench.Config{BurnIn: 3, Steps: 12}}
	progress, done := newBenchProgress(b, bench.Forward, &log, &stderr)
	for step := -3; step < 12; step++ {
		progress(bench.Forward, step, 4*time.Second)
	}
	done()
	const want = "vggo: forward, burn-in step 3 of 3: 4.000 s\nvggo: forward, step 3: 4.000 s\n" +
		"vggo: forward, step 6: 4.000 s\nvggo: forward, step 9: 4.000 s\n"
	if stderr.String() != want || strings.Count(log.String(), "\n") != 2 {
		t.Errorf("%s\n%s", stderr.String(), log.String())
	}
}

func TestRoughly(t *testing.T) {
	for d, want := range map[time.Duration]string{300 * time.Millisecond: "a second", 59 * time.Second: "59 s",
		119 * time.Second: "119 s", 2 * time.Minute: "2 min", 59*time.Minute + 40*time.Second: "1 h 0 min",
		200 * time.Minute: "3 h 20 min"} {
		if got := roughly(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestBenchRefuses(t *testing.T) {
	for _, c := range []struct {
		args       string
		code       int
		want, hint string
	}{
		{"extra", 2, `vggo bench takes flags alone, and "extra" is none`, "--model extra"},
		{"--model tinyvg", 1, `no network is called "tinyvg"`, "did you mean tinyvgg"},
		{"--input 224", 2, `--input: shape "224": want`, ""},
		{"--model vgg16 --input 10x10x3", 1, "vgg16: layer pool4: input 1x1x512: ", ""},
		{"--batch 0", 2, "--batch must be at least 1", ""},
		{"--batch 1048577", 1, "batch 1048577 must lie between 1 and 1048576", ""},
		{"--steps 0", 2, "--steps must be at least 1", ""},
		{"--burn-in -1", 2, "--burn-in must not be negative", ""},
		{"--threads 20000", 2, "--threads must lie between 0 and 1024, not 20000", ""},
		{"--keep-prob nan", 2, "--keep-prob must lie in (0, 1], not NaN", ""},
		{"--mode backward", 2, `unknown mode "backward": forward, forward-backward, both or train`, ""},
		{"--recipe cifar10", 2, "--recipe is for --mode train", ""},
		{"--mode train --algo direct", 2, "--mode train runs as vggo train does: without --algo", ""},
		{"--mode train --recipe nosuch", 1, `no recipe is called "nosuch"`, ""},
		{"--algo fft", 2, "--algo: ", ""},
		{"--batch 1000000 --json", 1, "vgg16-article: forward of 1000000 images needs about 812", "--batch "},
		{"--batch 32 --model vgg16 --memory 700MB", 1, "vgg16: forward of 32 images needs at least 8", "--batch "},
		{"--batch 1 --memory 0.5GB --mode forward-backward", 1, "and 500.0 MB are allowed", "--memory 1"},
		{"--memory 12", 2, `--memory: "12" is no size: want a number and B, kB, MB, GB, KiB, MiB or GiB`, ""},
		{"--memory GB", 2, `--memory: "GB" is no size`, ""},
		{"--memory -1GB", 2, `--memory: "-1GB" is no size`, ""},
		{"--memory 1e30GB", 2, `--memory: "1e30GB" is no size`, ""},
		{"--costs nosuch.json", 1, "open nosuch.json: ", "vggo calibrate -o FILE measures a table"},
		{"--costs bench_test.go", 1, "bench_test.go: nn: not a cost table: ", "vggo calibrate -o FILE measures a table"},
		{"--format png", 2, `unknown format "png": want table, json or svg`, ""},
		{"--format svg --layers --explain-plan", 2, "--explain-plan has nothing to draw", ""},
		{"--format svg --json", 2, "--format and --json exclude each other", ""},
	} {
		if strings.HasPrefix(c.args, "--batch 1000000 ") && (runtime.GOOS != "linux" || strconv.IntSize == 32) {
			continue // only Linux tells what memory there is; where an int has 32 bits such a batch cannot be counted
		}
		code, _, stderr := vggo(t.Context(), append([]string{"bench"}, strings.Fields(c.args)...)...)
		fault, rest, _ := strings.Cut(stderr, "\n")
		remedy, more, _ := strings.Cut(rest, "\n")
		if code != c.code || !strings.HasPrefix(fault, "vggo: ") || !strings.Contains(fault, c.want) || more != "" {
			t.Errorf("bench %s: exit %d, %q; want exit %d and %q", c.args, code, stderr, c.code, c.want)
		}
		if !strings.HasPrefix(strings.TrimPrefix(remedy, "hint: "), c.hint) || c.hint == "" && remedy != "" {
			t.Errorf("bench %s: %q, want the hint %q", c.args, remedy, c.hint)
		}
	}
}

// TestBenchRoofline: the picture alone goes to the file, the steps to standard error.
func TestBenchRoofline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roofline.svg")
	code, stdout, stderr := vggo(t.Context(), tiny("--steps", "2", "--layers", "--format", "svg", "-o", path)...)
	if code != 0 || stdout != "" || !strings.Contains(stderr, "Forward-backward across 2 steps") {
		t.Fatalf("exit %d, %q, %q", code, stdout, stderr)
	}
	svg, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// the legend's; fc3 and four convolutions, the first without data gradient
	if text := string(svg); !strings.HasPrefix(text, "<svg ") ||
		!strings.Contains(text, ">Roofline of tinyvgg, batch 2</text>") || strings.Count(text, "<circle") != 3+14 {
		t.Errorf("%s", text)
	}
}

// TestCostsDecide: prices of a file decide, without a table of its set those that come with vggo.
func TestCostsDecide(t *testing.T) {
	set, err := kernel.Active()
	if err != nil {
		t.Fatal(err)
	}
	costs := nn.NewCosts()
	for _, p := range costs.Prices() {
		*p.Value = 1e6
	}
	costs.Direct = 1 // cheap
	path := filepath.Join(t.TempDir(), "costs.json")
	var text bytes.Buffer
	if err := (nn.CostTable{set.Name: costs}).Write(&text); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := vggo(t.Context(), tiny("--mode", "forward", "--explain-plan", "--costs", path)...)
	if code != 0 || strings.Count(stdout, " direct ") < 4 || strings.Contains(stdout, "forward  winograd") {
		t.Errorf("exit %d, %s\n%s", code, stderr, stdout)
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{"1B": 1, "1.2GB": 12e8, "900 MiB": 900 << 20, "3kb": 3000, "2KiB": 2048,
		"1e3kB": 1e6, "7TB": 7e12} {
		if got, err := parseBytes(text); got != want || err != nil {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestDecimals(t *testing.T) {
	for _, c := range []struct {
		seconds float64
		want    int
	}{{0, 3}, {12.3, 3}, {0.812, 3}, {0.1, 3}, {0.0812, 4}, {0.00012, 6}, {1e-12, 9}} {
		if got := decimals(c.seconds); got != c.want {
			t.Errorf("%v s: %d digits after the point, want %d", c.seconds, got, c.want)
		}
	}
}
