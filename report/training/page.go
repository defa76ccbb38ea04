// Package training shows a run of package train: its curves, and a page with what the finished network answers.
package training

import (
	"bytes"
	"cmp"
	_ "embed" // the page's template
	"encoding/base64"
	"fmt"
	"html/template"
	"image/png"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/vggo/vggo/internal/durable"
	"github.com/vggo/vggo/internal/machine"
	"github.com/vggo/vggo/train"
)

const shownClasses = 100 // as columns of the confusion matrix

//go:embed page.html.tmpl
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"percent": func(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) },
}).Parse(pageText))

// pageData is what the page's template shows.
type pageData struct {
	Title, Summary   string
	Warning          string
	Facts            [][2]string
	Curves           template.HTML
	Scores           []train.Score
	Answers          *train.Answers
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

// Write leaves the page about a finished run, train.ReportFile, and its curves, train.CurvesFile, in the run's folder.
func Write(folder string, t *train.Trainer, result train.Result) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot save %s: %w; the network is saved", train.ReportFile, err)
		}
	}()
	metrics, err := train.ReadMetrics(filepath.Join(folder, train.MetricsFile))
	if err != nil {
		return err
	}
	var curves bytes.Buffer
	if err := drawCurves(&curves, metrics); err != nil {
		return err
	}
	d, err := dataOf(t, result)
	if err != nil {
		return err
	}
	d.Curves = template.HTML(curves.String()) // of numbers alone
	if err := durable.WriteBytes(filepath.Join(folder, train.CurvesFile), curves.Bytes()); err != nil {
		return err
	}
	return durable.Write(filepath.Join(folder, train.ReportFile),
		func(w io.Writer) error { return page.Execute(w, d) })
}

// dataOf is what the page tells of a run, but for its curves.
func dataOf(t *train.Trainer, result train.Result) (*pageData, error) {
	var text strings.Builder
	recipe, net, plan := t.Recipe(), t.Placement().Network, t.Plan()
	if err := recipe.Write(&text); err != nil {
		return nil, err
	}
	analysis, err := t.Placement().Analyze(recipe.Batch)
	if err != nil {
		return nil, err
	}
	seconds := result.Seconds
	d := &pageData{
		Title: net.Name, Recipe: text.String(), Scores: result.Test, Answers: result.Answers,
		Summary: fmt.Sprintf("%d steps of %d pictures in %s.", result.Steps, recipe.Batch,
			time.Duration(seconds*float64(time.Second)).Round(time.Second)),
		Facts: [][2]string{
			{"Network", fmt.Sprintf("%s, input %v, %d parameters, %.1f million multiply-accumulates for a picture", net.Name,
				net.Input, analysis.Total.Parameters, float64(analysis.Total.MACs)/1e6)},
			{"Pictures", fmt.Sprintf("%d to learn from", result.Pictures)},
			{"Speed", fmt.Sprintf("%.0f pictures a second, decoding, validation and checkpoints included",
				float64(result.Steps*recipe.Batch)/seconds)},
			{"Machine", fmt.Sprintf("%s, %d threads, kernel set %s, %s/%s, %s", cmp.Or(machine.Processor(),
				"a processor without a name"), plan.Threads, plan.Set, runtime.GOOS, runtime.GOARCH, runtime.Version())},
			{"Finished", time.Now().Format(time.DateTime)},
		},
	}
	if result.Stopped {
		d.Summary += fmt.Sprintf(" The recipe's patience ended it: no validation after step %d was better.", result.BestStep)
	}
	if result.Chance != nil {
		d.Warning = result.Chance.String()
	}
	if len(d.Scores) == 0 && result.Validation != nil {
		d.Scores = []train.Score{*result.Validation}
	}
	a := result.Answers
	if a == nil {
		return d, nil
	}
	d.Classes = make([]string, len(a.Confusion))
	for c := range d.Classes {
		d.Classes[c] = fmt.Sprint(c)
		if c < len(t.Classes()) {
			d.Classes[c] = t.Classes()[c]
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
	for _, m := range a.Mistakes {
		p, err := a.Data.Picture(m.Sample)
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
