package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vggo/vggo/page/lesson"
	"github.com/vggo/vggo/page/lesson/fashion"
)

// learning is a server on which networks may learn.
func learning(t *testing.T) (*Server, string) {
	t.Helper()
	s, web := start(t, Config{Training: fashion.Data})
	return s, web.URL
}

// ask sends a request that is to be answered with a status, and decodes the answer.
func ask[T any](t *testing.T, base, method, path string, body []byte, status int) (told T) {
	t.Helper()
	answer, text := sent{method: method, path: path, body: body}.do(t, base)
	if answer.StatusCode != status {
		t.Fatalf("%s %s: %d %.300s", method, path, answer.StatusCode, text)
	}
	if err := json.Unmarshal(text, &told); err != nil {
		t.Fatalf("%s %s: %v in %.300s", method, path, err, text)
	}
	return told
}

// steps asks until so many steps are taken.
func steps(t *testing.T, base, id string, upTo int) (told stateJSON) {
	t.Helper()
	for told.Step < upTo {
		told = ask[stateJSON](t, base, "POST", "/v1/train/"+id+"/steps?most=1", nil, 200)
	}
	return told
}

// TestTrain goes through a run as the page does.
func TestTrain(t *testing.T) {
	_, base := learning(t)
	if offer := ask[trainJSON](t, base, "GET", "/v1/train", nil, 200); !offer.On || offer.Rate != lesson.Rate {
		t.Errorf("it is offered as %+v", offer)
	}
	run := ask[runJSON](t, base, "POST", "/v1/train?seed=2&rate=0.1", nil, 200)
	if run.Train != 5000 || run.Test != 1000 || run.Rate != 0.1 || run.Seed != 2 || len(run.Fixed) != 10 ||
		run.Network != "28x28x1:16,M,32,M,64,M/10" || run.Parameters != 29066 || run.State.Step != 0 {
		t.Errorf("it begins as %+v", run)
	}
	state := steps(t, base, run.ID, 2)
	if len(state.Losses) != 2 || len(state.Tests) != 1 || state.Tests[0].Step != 0 {
		t.Errorf("after two steps: %+v", state)
	}
	if again := ask[stateJSON](t, base, "POST", "/v1/train/"+run.ID+"/steps?most=0&since=1", nil, 200); again.Step != 2 ||
		!slices.Equal(again.Losses, state.Losses[1:]) || again.Yielded {
		t.Errorf("asked again: %+v", again)
	}
	opened := ask[lesson.Opened](t, base, "GET", "/v1/train/"+run.ID+
		"/step?picture=3&class=2&unit=5&filter=1&row=0&column=2", nil, 200)
	if opened.Step != 2 || opened.Last.Class != 2 || opened.Last.Unit != 5 || opened.First.Filter != 1 ||
		opened.First.Row != 0 || opened.First.Column != 2 || len(opened.Last.Terms) != 50 {
		t.Errorf("opened: %+v", opened)
	}
	if judged := ask[judgedJSON](t, base, "POST", "/v1/train/"+run.ID+"/judge", boot(t), 200); len(judged.Probabilities) !=
		10 {
		t.Errorf("judged: %+v", judged)
	}
	ask[struct{}](t, base, "POST", "/v1/train/"+run.ID+"/end", nil, 200)
	ask[refusalJSON](t, base, "POST", "/v1/train/"+run.ID+"/steps", nil, 404)
	ask[struct{}](t, base, "POST", "/v1/train/"+run.ID+"/end", nil, 200)
}

// refusalJSON is an error as clients read it.
type refusalJSON struct {
	Kind, Error, Hint string
}

// TestTrainFaults: each has its word and its remedy.
func TestTrainFaults(t *testing.T) {
	_, closed := start(t, Config{})
	if offer := ask[trainJSON](t, closed.URL, "GET", "/v1/train", nil, 200); offer.On {
		t.Error("a server that was not asked to lets networks learn")
	}
	_, base := learning(t)
	own := func(classes ...string) []byte {
		return jsonOf(t, map[string]any{"name": "mine", "classes": classes, "labels": make([]byte, 9),
			"pixels": make([]byte, 9*784)})
	}
	for _, c := range []struct {
		base, path string
		body       []byte
		status     int
		fault      string
	}{
		{closed.URL, "/v1/train", nil, 403, "no network learns here"},
		{base, "/v1/train?rate=fast", nil, 400, "rate=fast is no number"},
		{base, "/v1/train?rate=NaN", nil, 400, "rate=NaN is no number"},
		{base, "/v1/train?rate=0", nil, 400, "rate=0 is not more than 0"},
		{base, "/v1/train?rate=1e9", nil, 400, "rate=1e9 is more than 1000000"},
		{base, "/v1/train?speed=1", nil, 400, `there is no parameter "speed"`},
		{base, "/v1/train", []byte("{"), 400, "the JSON breaks off"},
		{base, "/v1/train", []byte(`[]`), 400, "the JSON is no object"},
		{base, "/v1/train", []byte(`{"folder": "/etc"}`), 400, `the JSON has a member "folder", which is not known here`},
		{base, "/v1/train", []byte(`{"labels": "?"}`), 400, `the JSON's "labels" cannot be read`},
		{base, "/v1/train", []byte(`{"classes": ["a", "b"]}`), 400, "there are no pictures"},
		{base, "/v1/train", own("cat", "dog"), 400, `class "dog" has 0 pictures`},
		{base, "/v1/train", own("cat"), 400, `all 9 pictures are of one class, "cat": a network learns to tell classes ` +
			`apart`},
	} {
		told := ask[refusalJSON](t, c.base, "POST", c.path, c.body, c.status)
		if !strings.Contains(told.Error, c.fault) || told.Hint == "" {
			t.Errorf("%s: %+v, want %q", c.path, told, c.fault)
		}
	}
	run := ask[runJSON](t, base, "POST", "/v1/train?rate=1000", nil, 200)
	at := "/v1/train/" + run.ID
	for path, fault := range map[string]string{
		"/step":          "no step is taken yet",
		"/step?picture=": "picture is empty",
	} {
		if told := ask[refusalJSON](t, base, "GET", at+path, nil, 400); told.Error != fault {
			t.Errorf("%s: %+v", path, told)
		}
	}
	var told refusalJSON
	for told.Error == "" {
		answer, text := sent{method: "POST", path: at + "/steps"}.do(t, base)
		if answer.StatusCode != 200 {
			if err := json.Unmarshal(text, &told); err != nil || answer.StatusCode != 422 {
				t.Fatalf("%d %s", answer.StatusCode, text)
			}
		}
	}
	if !strings.HasSuffix(told.Error, "training has diverged") ||
		told.Hint != "begin again at a smaller rate: 0.05 suits this network" {
		t.Errorf("a rate of 1000: %+v", told)
	}
	if told := ask[refusalJSON](t, base, "POST", at+"/judge", []byte("no picture"), 422); told.Kind != "bad_image" {
		t.Errorf("no picture: %+v", told)
	}
}

// TestOwnDataMemory: a body of nothing but classes' names takes no more than is counted of it.
func TestOwnDataMemory(t *testing.T) {
	body := []byte(`{"classes": [` + strings.Repeat(`"",`, 1<<20) + `""]}`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := ownData(body)
	runtime.ReadMemStats(&after)
	if told := new(refusal); !errors.As(err, &told) || told.Fault != "more than 100 classes" {
		t.Error(err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 3*uint64(len(body)) {
		t.Errorf("%d bytes take %d", len(body), took)
	}
}

// TestTrainNoData: pictures that cannot be loaded now may be later.
func TestTrainNoData(t *testing.T) {
	lost := func() (lesson.Data, error) { return lesson.Data{}, errors.New("no network") }
	_, web := start(t, Config{Training: lost})
	told := ask[refusalJSON](t, web.URL, "POST", "/v1/train", nil, 503)
	if told.Error != "the pictures to learn from cannot be loaded" || told.Hint == "" {
		t.Errorf("%+v", told)
	}
}

// FuzzOwnData: whatever a body holds, what comes of it is whole pictures of classes that have names.
func FuzzOwnData(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"classes": ["a", "b"], "labels": "AAE=", "pixels": ""}`, `{"classes": {}, "labels": 3}`,
		`{"name": "x", "name": "y"}`, `{"classes": [], "labels": "/w==", "pixels": "AA=="}`,
	} {
		f.Add([]byte(text))
	}
	var small struct {
		Classes []string `json:"classes"`
		Labels  []byte   `json:"labels"`
		Pixels  []byte   `json:"pixels"`
	}
	small.Classes, small.Labels = []string{"a", "b"}, bytes.Repeat([]byte{0, 1}, 6)
	small.Pixels = make([]byte, 12*784)
	text, err := json.Marshal(small)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, body []byte) {
		data, err := ownData(body)
		if err != nil {
			return
		}
		for _, part := range []lesson.Pictures{data.Train, data.Test} {
			if part.Len() == 0 || len(part.Pixels) != part.Len()*lesson.Side*lesson.Side {
				t.Errorf("%d pictures of %d bytes", part.Len(), len(part.Pixels))
			}
			for _, label := range part.Labels {
				if int(label) >= len(data.Classes) {
					t.Errorf("a picture of class %d of %d", label, len(data.Classes))
				}
			}
		}
	})
}

// TestTrainOne: one run goes on at a time, which ends with its page, whether that says so, closes the connection or
// falls silent.
func TestTrainOne(t *testing.T) {
	s, base := learning(t)
	first := ask[runJSON](t, base, "POST", "/v1/train", nil, 200)
	if told := ask[refusalJSON](t, base, "POST", "/v1/train", nil, 429); !strings.Contains(told.Error, "in another page") {
		t.Errorf("a second run: %+v", told)
	}
	// A tab is closed while it waits for steps, which wait for other work.
	work, err := s.loaded.Load().work.enter(1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.learner.mu.Lock()
	s.learner.heard = time.Time{}
	s.learner.mu.Unlock()
	gone := make(chan error, 1)
	go func() {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/train/"+first.ID+"/steps", nil)
		if err == nil {
			_, err = http.DefaultClient.Do(r)
		}
		gone <- err
	}()
	for s.inFlight.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for s.inFlight.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	work.leave()
	if s.learner.get(first.ID) != nil {
		t.Error("a run goes on whose tab was closed")
	}
	// A page falls silent.
	second := ask[runJSON](t, base, "POST", "/v1/train", nil, 200)
	if s.learner.silent() != "" {
		t.Error("a run counts as silent at once")
	}
	s.learner.silence = 0
	if id := s.learner.silent(); id != second.ID || !s.endRun(id) || s.endRun(id) {
		t.Error("a silent run does not end once")
	}
	third := ask[runJSON](t, base, "POST", "/v1/train", nil, 200)
	ask[runJSON](t, base, "POST", "/v1/train", nil, 200) // takes a silent one's place
	if told := ask[refusalJSON](t, base, "POST", "/v1/train/"+third.ID+"/steps", nil, 404); !strings.Contains(told.Error,
		"this run is over") {
		t.Errorf("its page comes back: %+v", told)
	}
}

// TestTrainAtOnce: of several that begin at once one unpacks the server's pictures.
func TestTrainAtOnce(t *testing.T) {
	var unpacked atomic.Int64
	s, web := start(t, Config{Training: func() (lesson.Data, error) {
		unpacked.Add(1)
		return fashion.Data()
	}})
	s.turn <- struct{}{}
	const pages = 4
	answers := make(chan int, pages)
	for range pages {
		go func() {
			answer, _ := sent{method: "POST", path: "/v1/train"}.do(t, web.URL)
			answers <- answer.StatusCode
		}()
	}
	for s.inFlight.Load() < pages {
		time.Sleep(time.Millisecond)
	}
	<-s.turn
	begun := 0
	for range pages {
		if <-answers == 200 {
			begun++
		}
	}
	if begun != 1 || unpacked.Load() != 1 {
		t.Errorf("%d runs begin, and pictures are unpacked %d times", begun, unpacked.Load())
	}
}

// TestTrainYields: no step is taken while other requests have work, and one finds at most a step before it.
func TestTrainYields(t *testing.T) {
	s, base := learning(t)
	run := ask[runJSON](t, base, "POST", "/v1/train", nil, 200)
	work, err := s.loaded.Load().work.enter(1)
	if err != nil {
		t.Fatal(err)
	}
	at := "/v1/train/" + run.ID + "/steps"
	if told := ask[stateJSON](t, base, "POST", at, nil, 200); told.Step != 0 || !told.Yielded || len(told.Tests) != 0 {
		t.Errorf("while there is other work: %+v", told)
	}
	work.leave()
	if told := ask[stateJSON](t, base, "POST", at, nil, 200); told.Yielded {
		t.Errorf("at work on the first test: %+v", told)
	}
	done := make(chan bool)
	go func() { // pictures are answered while steps are asked for
		defer close(done)
		for range 20 {
			if answer, text := (sent{method: "POST", path: "/v1/classify", body: boot(t)}).do(t, base); answer.StatusCode !=
				200 || !bytes.Contains(text, []byte("Ankle boot")) {
				t.Errorf("%d %.200s", answer.StatusCode, text)
			}
		}
	}()
	for going := true; going; {
		ask[stateJSON](t, base, "POST", at+"?most=5", nil, 200)
		select {
		case <-done:
			going = false
		default:
		}
	}
	if told := steps(t, base, run.ID, 1); told.Yielded {
		t.Errorf("with no other work: %+v", told)
	}
}
