package main

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// tiny is a bench of milliseconds.
func tiny(args ...string) []string {
	return append([]string{"bench", "--model", "tinyvgg", "--batch", "2", "--burn-in", "1", "--threads", "1"}, args...)
}

// TestBench: the layer table, the article's lines, the summary.
func TestBench(t *testing.T) {
	code, stdout, stderr := vggo(t.Context(), tiny("--steps", "11", "--layers")...)
	if code != 0 || stderr != "" {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	const stamp = `\n\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}: `
	for _, want := range []string{
		`^tinyvgg: `, `\nconv1_1 +conv 3x3 pad 1, relu +28x28x10 `, `, 1 thread, kernel set \w+: \d+ GFLOP/s peak, \d+ GB/s read`,
		stamp + `step 0, duration = 0\.\d+` + stamp + `step 10, duration = 0\.\d+` + stamp + `Forward across 11 steps, 0\.\d+ \+/- 0\.\d+ sec/batch`,
		stamp + `Forward-backward across 11 steps, 0\.\d+ \+/- 0\.\d+ sec/batch`,
		`\nforward-backward +0\.\d+ +[\d.]+ +\d+ +\d+ % `, `\nconv1_2\+relu1_2 +weights +[\d.]+ +\d+ +\d+ %`,
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
	if len(got.Results) != 1 || got.Results[0].Steps != 3 || got.Results[0].Median <= 0 || got.Machine.Peak <= 0 || got.Batch != 2 {
		t.Errorf("%s", stdout)
	}
	if !strings.Contains(stderr, "Forward-backward across 3 steps") {
		t.Errorf("the steps are not on standard error: %q", stderr)
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
	if code != exitFailure || stderr.String() != "vggo: interrupted after 21 of 10000 steps forward\n" {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if text := stdout.String(); !strings.Contains(text, "Forward across 21 steps") || !strings.Contains(text, "images/s") || strings.Contains(text, "Forward-backward") {
		t.Errorf("it prints\n%s", text)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	code, text, _ := vggo(ctx, tiny("--json")...)
	if code != exitFailure || !strings.Contains(text, `"results": []`) {
		t.Errorf("before the first step: exit %d, %s", code, text)
	}
}

func TestBenchRefuses(t *testing.T) {
	for _, c := range []struct {
		args       string
		code       int
		want, hint string
	}{
		{"extra", 2, `unknown command "extra"`, ""},
		{"--model tinyvg", 1, `no network is called "tinyvg"`, "did you mean tinyvgg"},
		{"--input 224", 2, `--input: shape "224": want`, ""},
		{"--model vgg16 --input 10x10x3", 1, "vgg16: layer pool4: input 1x1x512: ", ""},
		{"--batch 0", 2, "--batch must be at least 1", ""},
		{"--batch 1048577", 1, "batch 1048577 must lie between 1 and 1048576", ""},
		{"--steps 0", 2, "--steps must be at least 1", ""},
		{"--burn-in -1", 2, "--burn-in must not be negative", ""},
		{"--threads 20000", 2, "--threads must lie between 0 and 1024, not 20000", ""},
		{"--keep-prob nan", 2, "--keep-prob must lie in (0, 1], not NaN", ""},
		{"--mode backward", 2, `unknown mode "backward": forward, forward-backward or both`, ""},
		{"--algo fft", 2, "--algo: ", ""},
		{"--batch 1000000 --json", 1, "vgg16-article: forward of 1000000 images needs about 26.3 TB of memory, and ", "--batch "},
	} {
		if strings.HasPrefix(c.args, "--batch 1000000 ") && runtime.GOOS != "linux" {
			continue // only Linux tells what memory there is
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
