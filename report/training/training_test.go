package training_test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/vggo/vggo/report/training"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

// stripes are pictures of lines at four angles, each a class.
type stripes int

func (d stripes) Len() int        { return int(d) }
func (d stripes) Label(i int) int { return i % 4 }
func (d stripes) Picture(i int) (*vision.Picture, error) {
	p := vision.NewPicture(8, 8, 1)
	for y := range 8 {
		for x := range 8 {
			along := []int{y, x, x + y, x + 7 - y}[i%4]
			p.Pix[y*8+x] = uint8(60*((along+i/4)%4) + i%13)
		}
	}
	return p, nil
}

// tiny is a recipe of a few short steps.
func tiny() train.Recipe {
	r := train.Default()
	r.Name, r.Model = "tiny", "8x8x1:8b,M,16/20,4"
	r.Epochs, r.Batch, r.HoldOut, r.Views = 2, 16, 30, "flip+shift"
	r.Optimiser = train.Optimise{Kind: "sgd", Rate: 0.05, Momentum: 0.9}
	r.Augment = train.Augment{Crop: "pad", Pad: 1, Edge: "reflect", Flip: "random", Cutout: 3}
	return r
}

const tinySet = stripes(190)

// run trains to the end and shows the run.
func run(t *testing.T, o train.Options) (*train.Trainer, train.Result) {
	t.Helper()
	trainer, err := train.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { trainer.Close() })
	result, err := trainer.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := training.Write(o.Folder, trainer, result); err != nil {
		t.Fatal(err)
	}
	return trainer, result
}

func read(t *testing.T, folder, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReport: the page about a run tells its scores, all of the test set's answers and the recipe, and needs no other
// file.
func TestReport(t *testing.T) {
	o := train.Options{
		Recipe: tiny(), Train: tinySet, Test: stripes(40), Folder: t.TempDir(),
		Classes: []string{"lying", "standing", "rising", "<falling>"},
	}
	_, result := run(t, o)
	a := result.Answers
	if a == nil || a.Set != "test" || a.Score != result.Test[len(result.Test)-1] {
		t.Fatalf("answers %+v, scores %+v", a, result.Test)
	}
	all, right := 0, 0
	for i, row := range a.Confusion {
		for j, n := range row {
			all += n
			if i == j {
				right += n
			}
		}
	}
	if all != 40 || float64(right)/40 != a.Score.Accuracy || len(a.Mistakes) != min(40-right, 24) {
		t.Errorf("%d answers, %d right, %d mistakes shown, accuracy %v", all, right, len(a.Mistakes), a.Score.Accuracy)
	}
	for i, m := range a.Mistakes {
		if m.Label != o.Test.Label(m.Sample) || m.Answer == m.Label || i > 0 && m.Probability > a.Mistakes[i-1].Probability {
			t.Errorf("mistake %d: %+v", i, m)
		}
	}
	page := read(t, o.Folder, train.ReportFile)
	for _, want := range []string{"8x8x1:8b,M,16/20,4", "flip&#43;shift", "&lt;falling&gt;",
		`class="training"`, `class="validation"`, "cutout: 3"} {
		if !strings.Contains(page, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	sum := 0
	cells := regexp.MustCompile(`<td style="--n: [0-9.]+"(?: class="right")?>(\d+)</td>`)
	for _, cell := range cells.FindAllStringSubmatch(page, -1) {
		n, _ := strconv.Atoi(cell[1])
		sum += n
	}
	if sum != 40 || strings.Count(page, `<img src="data:image/png;base64,`) != len(a.Mistakes) {
		t.Errorf("the matrix counts %d pictures of 40; %d pictures of %d mistakes", sum, strings.Count(page, "<img"),
			len(a.Mistakes))
	}
	for _, link := range regexp.MustCompile(`(?:src|href)="([^"]*)"|url\(`).FindAllString(page, -1) {
		if !strings.HasPrefix(link, `src="data:image/png;base64,`) {
			t.Errorf("the report needs %s", link)
		}
	}
	dec := xml.NewDecoder(strings.NewReader(read(t, o.Folder, train.CurvesFile)))
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestReportWithoutScores: a run that nothing was held out from has a report too.
func TestReportWithoutScores(t *testing.T) {
	o := train.Options{Recipe: tiny(), Train: tinySet, Folder: t.TempDir()}
	o.Recipe.HoldOut, o.Recipe.Schedule = 0, train.Schedule{Kind: "constant"}
	_, result := run(t, o)
	page := read(t, o.Folder, train.ReportFile)
	if result.Answers != nil || strings.Contains(page, "Confusion") || !strings.Contains(page, `class="training"`) {
		t.Errorf("%+v\n%s", result.Answers, page)
	}
}

// TestReportOfManyClasses: beyond a thousand classes there is no matrix, but scores and curves.
func TestReportOfManyClasses(t *testing.T) {
	o := train.Options{Recipe: tiny(), Train: tinySet, Folder: t.TempDir()}
	o.Recipe.Model, o.Recipe.Epochs = "8x8x1:8b,M/1001", 1
	for _, set := range []train.Dataset{nil, stripes(40)} {
		o.Test, o.Folder = set, t.TempDir()
		_, result := run(t, o)
		page := read(t, o.Folder, train.ReportFile)
		if result.Answers != nil || strings.Contains(page, "Confusion") || !strings.Contains(page, "flip&#43;shift") {
			t.Errorf("%+v\n%s", result.Answers, page)
		}
	}
}

// TestReportOfChance: the page says of a run that ended above guessing that it has learned nothing, of others not.
func TestReportOfChance(t *testing.T) {
	o := train.Options{Recipe: tiny(), Train: tinySet, Folder: t.TempDir()}
	trainer, result := run(t, o)
	for _, chance := range []*train.Chance{nil, {Loss: 3, Guess: 1.4, Classes: 4}} {
		result.Chance = chance
		if err := training.Write(o.Folder, trainer, result); err != nil {
			t.Fatal(err)
		}
		page := read(t, o.Folder, train.ReportFile)
		if strings.Contains(page, "the network has learned nothing") != (chance != nil) {
			t.Errorf("chance %v:\n%s", chance, page)
		}
	}
}
