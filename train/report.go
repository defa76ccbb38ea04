package train

import (
	"bytes"
	"cmp"
	_ "embed" // the report's template
	"encoding/base64"
	"fmt"
	"html/template"
	"image/png"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/vggo/vggo/internal/durable"
)

// Files that show a run, beside its weights.
const (
	ReportFile = "report.html" // everything on one page that needs no other file
	CurvesFile = "curves.svg"
)

// Answers are what a finished network says to a data set.
type Answers struct {
	Set   string // test or validation
	Score Score
	// Confusion[i][j] counts the pictures of class i that were taken for class j.
	Confusion [][]int
	Mistakes  []Mistake // the surest, first the worst
}

// Mistake is a wrong answer.
type Mistake struct {
	Sample, Label, Answer int
	Probability           float64 // of the answer
}

const (
	shownMistakes = 24   // are kept of all
	maxConfusion  = 1000 // classes, for a matrix of 8 MB
	shownClasses  = 100  // as columns of the matrix
)

// newAnswers is nil for a network of more classes than a matrix is kept for.
func newAnswers(set string, classes int) *Answers {
	if classes > maxConfusion {
		return nil
	}
	a := &Answers{Set: set, Confusion: make([][]int, classes)}
	for i := range a.Confusion {
		a.Confusion[i] = make([]int, classes)
	}
	return a
}

// see counts one answer in.
func (a *Answers) see(sample, label int, logits []float32) {
	if a == nil {
		return
	}
	answer, sum := 0, 0.0
	for c := range logits {
		if rank(logits, c) == 0 {
			answer = c
		}
	}
	for _, v := range logits {
		sum += math.Exp(float64(v - logits[answer]))
	}
	a.Confusion[label][answer]++
	if answer == label {
		return
	}
	m := Mistake{sample, label, answer, 1 / sum}
	at, _ := slices.BinarySearchFunc(a.Mistakes, m, func(x, y Mistake) int {
		if x.Probability >= y.Probability {
			return -1
		}
		return 1
	})
	a.Mistakes = slices.Insert(a.Mistakes, at, m)
	a.Mistakes = a.Mistakes[:min(len(a.Mistakes), shownMistakes)]
}

//go:embed report.html.tmpl
var reportText string

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"percent": func(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) },
}).Parse(reportText))

// reportData is what the page's template shows.
type reportData struct {
	Title, Summary   string
	Warning          string
	Facts            [][2]string
	Curves           template.HTML
	Scores           []Score
	Answers          *Answers
	Classes, Columns []string
	Rows             []confusionRow
	Mistakes         []mistakeView
	Recipe           string
}

type confusionRow struct {
	Class    string
	Cells    []confusionCell
	Accuracy string
}

type confusionCell struct {
	Count int
	Shade string // the share of the row, as CSS has it
	Right bool
}

type mistakeView struct {
	Picture              template.URL
	Class, Answer, Share string
}

// writeReport leaves the page and the curves beside the result.
func (t *Trainer) writeReport(result Result) error {
	metrics, err := ReadMetrics(filepath.Join(t.options.Folder, MetricsFile))
	if err != nil {
		return err
	}
	curves := curvesSVG(metrics)
	d, err := t.reportData(result)
	if err != nil {
		return err
	}
	d.Curves = template.HTML(curves) // of numbers alone
	if err := durable.WriteBytes(filepath.Join(t.options.Folder, CurvesFile), []byte(curves)); err != nil {
		return err
	}
	return durable.Write(filepath.Join(t.options.Folder, ReportFile),
		func(w io.Writer) error { return reportPage.Execute(w, d) })
}

func (t *Trainer) reportData(result Result) (*reportData, error) {
	var recipe strings.Builder
	if err := t.recipe.Write(&recipe); err != nil {
		return nil, err
	}
	analysis, err := t.placed.Analyze(t.recipe.Batch)
	if err != nil {
		return nil, err
	}
	var params, flops int64
	for _, l := range analysis.Layers {
		params += l.Weights + l.Biases
		flops += l.FLOPs
	}
	seconds := t.seconds()
	d := &reportData{
		Title: t.net.Name, Recipe: recipe.String(), Scores: result.Test, Answers: result.Answers,
		Summary: fmt.Sprintf("%d steps of %d pictures in %s.", t.steps, t.recipe.Batch,
			time.Duration(seconds*float64(time.Second)).Round(time.Second)),
		Facts: [][2]string{
			{"Network", fmt.Sprintf("%s, input %v, %d parameters, %.1f million multiply-accumulates for a picture", t.net.Name,
				t.net.Input, params, float64(flops)/2e6)},
			{"Pictures", fmt.Sprintf("%d to learn from", t.train.Len())},
			{"Speed", fmt.Sprintf("%.0f pictures a second, decoding, validation and checkpoints included",
				float64(t.steps*t.recipe.Batch)/seconds)},
			{"Machine", fmt.Sprintf("%s, %d threads, kernel set %s, %s/%s, %s", cmp.Or(t.options.Machine,
				"a processor without a name"), t.threads, t.plan.Set.Name, runtime.GOOS, runtime.GOARCH, runtime.Version())},
			{"Finished", time.Now().Format(time.DateTime)},
		},
	}
	if result.Chance != nil {
		d.Warning = result.Chance.String()
	}
	if len(d.Scores) == 0 && result.Validation != nil {
		d.Scores = []Score{*result.Validation}
	}
	a := result.Answers
	if a == nil {
		return d, nil
	}
	d.Classes = make([]string, len(a.Confusion))
	for c := range d.Classes {
		d.Classes[c] = fmt.Sprint(c)
		if c < len(t.options.Classes) {
			d.Classes[c] = t.options.Classes[c]
		}
	}
	if len(d.Classes) <= shownClasses {
		d.Columns = d.Classes
	}
	for c, counts := range a.Confusion {
		row, sum := confusionRow{Class: d.Classes[c], Accuracy: "none seen"}, 0
		for _, n := range counts {
			sum += n
		}
		for k, n := range counts[:len(d.Columns)] {
			row.Cells = append(row.Cells, confusionCell{n, fmt.Sprintf("%.3f", float64(n)/float64(max(sum, 1))), k == c})
		}
		if sum > 0 {
			row.Accuracy = fmt.Sprintf("%.2f %%", 100*float64(counts[c])/float64(sum))
		}
		d.Rows = append(d.Rows, row)
	}
	set := t.validation
	if a.Set == "test" {
		set = t.test
	}
	for _, m := range a.Mistakes {
		p, err := set.Picture(m.Sample)
		if err != nil {
			return nil, err
		}
		var file bytes.Buffer
		if err := png.Encode(&file, p.Image()); err != nil {
			return nil, err
		}
		d.Mistakes = append(d.Mistakes, mistakeView{
			template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(file.Bytes())),
			d.Classes[m.Label], d.Classes[m.Answer], fmt.Sprintf("%.1f %%", 100*m.Probability),
		})
	}
	return d, nil
}
