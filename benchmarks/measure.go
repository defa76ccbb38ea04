package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vggo/vggo/bench"
)

// sitting is what its measurements share.
type sitting struct {
	root    string // the module's folder
	cache   string // the peers'
	vggo    string // programs built for this sitting
	kernels string
	set     string // the kernel set that vggo chooses here
	threads int
	steps   int
	log     io.Writer
}

// output runs a command and returns its standard output. What it says beside shows only if it fails.
func (s *sitting) output(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		_, _ = s.log.Write(stderr.Bytes())
		return nil, fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	return stdout.Bytes(), nil
}

// build makes the programs that are measured, in dir, so that each measurement is a process of its own.
func (s *sitting) build(ctx context.Context, dir string) error {
	suffix := ""
	if runtime.GOOS == "windows" {
		suffix = ".exe"
	}
	s.vggo, s.kernels = filepath.Join(dir, "vggo"+suffix), filepath.Join(dir, "kernel.test"+suffix)
	for _, args := range [][]string{{"build", "-o", s.vggo, "./cmd/vggo"}, {"test", "-c", "-o", s.kernels,
		"./internal/kernel"}} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir, cmd.Env = s.root, append(os.Environ(), "CGO_ENABLED=0")
		if _, err := s.output(cmd); err != nil {
			return err
		}
	}
	return nil
}

// commit is the one that is measured, with "+dirty" where files had changed.
func (s *sitting) commit(ctx context.Context) string {
	cmd := exec.CommandContext(ctx, "git", "describe", "--always", "--exclude=*", "--abbrev=12", "--dirty=+dirty")
	cmd.Dir = s.root
	out, err := cmd.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// rounds measures every subject in turn, again and again, into r. One that fails is not tried again.
func (s *sitting) rounds(ctx context.Context, r *results, subjects []subject, lacking map[string]bool) {
	failed := map[subject]bool{}
	for round := 1; round <= r.Rounds; round++ {
		for _, sub := range subjects {
			if failed[sub] || lacking[sub.by] || sub.once() && round > 1 {
				continue
			}
			start := time.Now()
			m, versions, err := s.measure(ctx, sub)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				failed[sub] = true
				fmt.Fprintf(s.log, "%s is not measured: %v\n", sub.name(), err)
				continue
			}
			m.Subject, m.Round = sub.name(), round
			r.Measurements = append(r.Measurements, m)
			maps.Copy(r.Versions, versions)
			fmt.Fprintf(s.log, "round %d of %d: %s, %.0f s\n", round, r.Rounds, sub.name(), time.Since(start).Seconds())
		}
	}
}

// measure runs one subject once and says which versions it met.
func (s *sitting) measure(ctx context.Context, sub subject) (measurement, map[string]string, error) {
	steps, burnIn := sub.steps(s.steps)
	numbers := []string{strconv.Itoa(sub.batch), strconv.Itoa(steps), strconv.Itoa(burnIn), strconv.Itoa(s.threads)}
	switch sub.by {
	case onnxRuntime:
		cmd := exec.CommandContext(ctx, "node", append([]string{s.script("ort_bench.js"), s.model()}, numbers...)...)
		cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(s.cache, "node_modules"))
		return s.measurePeer(cmd)
	case pyTorch:
		return s.measurePeer(exec.CommandContext(ctx, python, append([]string{s.script("torch_bench.py"), string(sub.mode)},
			numbers...)...))
	case gemm:
		r, err := s.measureGemm(ctx, steps)
		return r, nil, err
	}
	out, err := s.bench(ctx, sub, steps, burnIn)
	if err != nil {
		return measurement{}, nil, err
	}
	return out.measurement(), nil, nil
}

func (s *sitting) measurePeer(cmd *exec.Cmd) (measurement, map[string]string, error) {
	text, err := s.output(cmd)
	if err != nil {
		return measurement{}, nil, err
	}
	return parsePeer(text)
}

// parsePeer reads what the peers' scripts print.
func parsePeer(text []byte) (measurement, map[string]string, error) {
	var p struct {
		Versions  map[string]string `json:"versions"`
		Seconds   []float64         `json:"seconds"`
		PeakBytes int64             `json:"peak_bytes"`
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return measurement{}, nil, fmt.Errorf("a peer printed no result: %w", err)
	}
	if len(p.Seconds) == 0 {
		return measurement{}, nil, errors.New("a peer timed no step")
	}
	return measurement{
		Steps: len(p.Seconds), Seconds: median(p.Seconds), Shortest: slices.Min(p.Seconds), Longest: slices.Max(p.Seconds),
		PeakBytes: p.PeakBytes,
	}, p.Versions, nil
}

// benchOutput is what `vggo bench --json` prints.
type benchOutput struct {
	Machine bench.Machine   `json:"machine"`
	Results []*bench.Result `json:"results"`
}

func (s *sitting) bench(ctx context.Context, sub subject, steps, burnIn int) (*benchOutput, error) {
	cmd := exec.CommandContext(ctx, s.vggo, "bench", "--json", "--layers", "--model", sub.model, "--mode",
		string(sub.mode),
		"--input", fmt.Sprintf("%dx%dx3", sub.size, sub.size), "--batch", strconv.Itoa(sub.batch), "--steps",
		strconv.Itoa(steps),
		"--burn-in", strconv.Itoa(burnIn), "--threads", strconv.Itoa(s.threads))
	if sub.set != "" {
		cmd.Env = append(os.Environ(), "VGGO_KERNEL="+sub.set)
	}
	text, err := s.output(cmd)
	if err != nil {
		return nil, err
	}
	out := new(benchOutput)
	if err := json.Unmarshal(text, out); err != nil {
		return nil, fmt.Errorf("vggo bench printed no result: %w", err)
	}
	if len(out.Results) != 1 {
		return nil, fmt.Errorf("vggo bench printed %d results, not one", len(out.Results))
	}
	return out, nil
}

func (o *benchOutput) measurement() measurement {
	result := o.Results[0]
	work, seconds := 0.0, 0.0
	for _, l := range result.Layers {
		if strings.HasPrefix(l.Layers[0], "conv") {
			work += l.GFLOPs * l.Seconds
			seconds += l.Seconds
		}
	}
	r := measurement{
		Set: o.Machine.Set, Steps: result.Steps, Seconds: result.Median, Shortest: result.Shortest, Longest: result.Longest,
		GFLOPs:    result.GFLOPs,
		PeakBytes: result.PeakBytes, FMAPeak: o.Machine.Peak, Bandwidth: o.Machine.Bandwidth,
	}
	if seconds > 0 {
		r.ConvGFLOPs = work / seconds
	}
	return r
}

// fullTiles are the largest tile of each kernel set, as its benchmark calls them; the portable set has no micro-kernel.
var fullTiles = map[string]string{"avx512": "14x32", "avx2": "6x16"}

func (s *sitting) measureGemm(ctx context.Context, times int) (measurement, error) {
	tile, ok := fullTiles[s.set]
	if !ok {
		return measurement{}, fmt.Errorf("kernel set %s has no micro-kernel", s.set)
	}
	text, err := s.output(exec.CommandContext(ctx, s.kernels, "-test.run", "^$", "-test.bench",
		fmt.Sprintf("^BenchmarkGemm$/^set=%s$/^tile=%s$", s.set, tile),
		"-test.benchtime", "500ms", "-test.count", strconv.Itoa(times)))
	if err != nil {
		return measurement{}, err
	}
	m, err := parseGemm(string(text))
	m.Set = s.set
	return m, err
}

// parseGemm reads the benchmark's lines: its name, how often it ran, then values each with its unit.
func parseGemm(text string) (measurement, error) {
	var rates, shares []float64
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.HasPrefix(fields[0], "BenchmarkGemm/") {
			continue
		}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return measurement{}, fmt.Errorf("BenchmarkGemm: %w", err)
			}
			switch fields[i+1] {
			case "GFLOP/s":
				rates = append(rates, value)
			case "%peak":
				shares = append(shares, value)
			}
		}
	}
	if len(rates) == 0 || len(shares) != len(rates) {
		return measurement{}, errors.New("BenchmarkGemm printed no share of the peak")
	}
	r := measurement{Steps: len(rates), GFLOPs: median(rates)}
	r.FMAPeak = r.GFLOPs / median(shares) * 100
	return r, nil
}
