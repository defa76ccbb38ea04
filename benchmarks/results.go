package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
)

// results are one sitting, as results.json has it.
type results struct {
	Date         string            `json:"date"`
	Processor    string            `json:"processor"`
	Platform     string            `json:"platform"` // GOOS/GOARCH
	Threads      int               `json:"threads"`
	Set          string            `json:"kernel_set"`
	Versions     map[string]string `json:"versions"`
	Rounds       int               `json:"rounds"`
	Steps        int               `json:"steps"` // of 32 images of 224x224; subject.steps
	Measurements []measurement     `json:"measurements"`
}

// measurement is what one process measured; the seconds are of a step.
type measurement struct {
	Subject    string  `json:"subject"`
	Round      int     `json:"round"`                // from 1
	Set        string  `json:"kernel_set,omitempty"` // of vggo
	Steps      int     `json:"steps"`                // counted; of gemm, times that the benchmark ran
	Seconds    float64 `json:"median_seconds,omitempty"`
	Shortest   float64 `json:"shortest_seconds,omitempty"`
	Longest    float64 `json:"longest_seconds,omitempty"`
	GFLOPs     float64 `json:"gflops,omitempty"`      // counted as direct convolution
	ConvGFLOPs float64 `json:"conv_gflops,omitempty"` // of the convolutions alone
	PeakBytes  int64   `json:"peak_bytes,omitempty"`
	FMAPeak    float64 `json:"fma_peak_gflops,omitempty"` // measured by the same process
	Bandwidth  float64 `json:"read_gb_per_second,omitempty"`
}

func readResults(path string) (*results, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(results)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func (r *results) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// byRound is a subject's metric in every round that has it.
func (r *results) byRound(s subject, of metric) map[int]float64 {
	values := map[int]float64{}
	for _, m := range r.Measurements {
		if v := of.of(m); m.Subject == s.name() && v > 0 {
			values[m.Round] = v
		}
	}
	return values
}

// limit is the best that the machine showed, over all measurements with a subject's kernel set and as many threads:
// what disturbs the measuring of a limit only lowers it, and would flatter what is held against it.
func (r *results) limit(s subject, of func(measurement) float64) float64 {
	i := slices.IndexFunc(r.Measurements, func(m measurement) bool { return m.Subject == s.name() })
	if i < 0 {
		return 0
	}
	best := 0.0
	for _, m := range r.Measurements {
		if m.Set == r.Measurements[i].Set && (m.Subject == gemm) == (s.by == gemm) {
			best = max(best, of(m))
		}
	}
	return best
}

func medianOf(values map[int]float64) float64 { return median(slices.Collect(maps.Values(values))) }

// median of nothing is 0.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
