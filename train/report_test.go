package train_test

import (
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/vggo/vggo/train"
)

// TestReport: the page about a run tells its scores, all of the test set's answers and the recipe, and needs no other
// file.
func TestReport(t *testing.T) {
	o := train.Options{
		Recipe: tiny(), Train: tinySet, Test: stripes{n: 40, side: 8, channels: 1}, Folder: t.TempDir(),
		Classes: []string{"lying", "standing", "rising", "<falling>"}, Machine: "a test's machine",
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
	page := string(read(t, filepath.Join(o.Folder, train.ReportFile)))
	for _, want := range []string{"8x8x1:8b,M,16/20,4", "a test&#39;s machine", "flip&#43;shift", "&lt;falling&gt;",
		`class="training"`, `class="validation"`, "cutout: 3"} {
		if !strings.Contains(page, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	sum := 0
	for _, cell := range regexp.MustCompile(`<td style="--n: [0-9.]+"(?: class="right")?>(\d+)</td>`).FindAllStringSubmatch(page, -1) {
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
	dec := xml.NewDecoder(strings.NewReader(string(read(t, filepath.Join(o.Folder, train.CurvesFile)))))
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
	page := string(read(t, filepath.Join(o.Folder, train.ReportFile)))
	if result.Answers != nil || strings.Contains(page, "Confusion") || !strings.Contains(page, `class="training"`) {
		t.Errorf("%+v\n%s", result.Answers, page)
	}
}

// TestReportOfManyClasses: beyond a thousand classes there is no matrix, but scores and curves.
func TestReportOfManyClasses(t *testing.T) {
	o := train.Options{Recipe: tiny(), Train: tinySet, Folder: t.TempDir()}
	o.Recipe.Model, o.Recipe.Epochs = "8x8x1:8b,M/1001", 1
	for _, set := range []train.Dataset{nil, stripes{n: 40, side: 8, channels: 1}} {
		o.Test, o.Folder = set, t.TempDir()
		_, result := run(t, o)
		page := string(read(t, filepath.Join(o.Folder, train.ReportFile)))
		if result.Answers != nil || strings.Contains(page, "Confusion") || !strings.Contains(page, "flip&#43;shift") {
			t.Errorf("%+v\n%s", result.Answers, page)
		}
	}
}
