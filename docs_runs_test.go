package vggo_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vggo/vggo/train"
)

// TestTrainingRuns: the tables of docs/training.md are what the metrics of docs/runs tell.
func TestTrainingRuns(t *testing.T) {
	for _, data := range []struct{ title, prefix string }{{"CIFAR-10", "cifar10-"}, {"Fashion-MNIST", "fashion-"}} {
		folders, err := filepath.Glob("docs/runs/" + data.prefix + "*")
		if err != nil || len(folders) != 3 {
			t.Fatalf("%d runs on %s, want three (%v)", len(folders), data.title, err)
		}
		var scores [3][]float64 // by views
		var rows []string
		for _, folder := range folders {
			metrics, err := train.ReadMetrics(filepath.Join(folder, train.MetricsFile))
			if err != nil {
				t.Fatal(err)
			}
			last := metrics[len(metrics)-1]
			if len(last.Test) != 3 {
				t.Fatalf("%s: the last line is %+v", folder, last)
			}
			row := "| " + strings.TrimPrefix(filepath.Base(folder), data.prefix) + " |"
			for i, s := range last.Test {
				if s.Views != train.Views()[i] || s.Pictures != 10_000 {
					t.Errorf("%s: %+v", folder, s)
				}
				scores[i] = append(scores[i], 100*s.Accuracy)
				row += fmt.Sprintf(" %.2f |", 100*s.Accuracy)
			}
			counted := time.Duration(last.Seconds+0.5) * time.Second
			rows = append(rows, fmt.Sprintf("%s %d min %02d s |", row, int(counted.Minutes()), int(counted.Seconds())%60))
		}
		mean := "| **mean ± deviation** |"
		for _, s := range scores {
			m := (s[0] + s[1] + s[2]) / 3
			deviation := math.Sqrt(((s[0]-m)*(s[0]-m) + (s[1]-m)*(s[1]-m) + (s[2]-m)*(s[2]-m)) / 2)
			mean += fmt.Sprintf(" %.2f ± %.2f |", m, deviation)
		}
		rows = append(rows, mean+" |")
		for _, page := range []string{"docs/training.md", "docs/training.zh-CN.md"} {
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			_, table, _ := strings.Cut(string(text), "\n| "+data.title)
			_, table, _ = strings.Cut(table, "|\n|---|---:|---:|---:|---:|\n")
			if page != "docs/training.md" {
				table = strings.Replace(table, "**平均 ± 标准差**", "**mean ± deviation**", 1)
			}
			if want := strings.Join(rows, "\n") + "\n"; !strings.HasPrefix(table, want) {
				t.Errorf("%s: the table of %s should be\n%s", page, data.title, want)
			}
		}
	}
}
