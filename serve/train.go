package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/page/lesson"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

// A network learns while a page watches. The page asks for one stretch of steps after the other, so that the run goes
// on as long as somebody looks and no longer. Each step waits until no other request has work here.

// trainStepsRoute is asked some times a second while a network learns.
const trainStepsRoute = "POST /v1/train/{id}/steps"

// trainStretch is how long one request for steps goes on.
const trainStretch = 200 * time.Millisecond

// trainSilence is how long a run is kept that nobody asks about: a page that is closed without a word.
const trainSilence = 30 * time.Second

// learner is the one run that there may be.
type learner struct {
	silence time.Duration // trainSilence; shorter in tests

	mu    sync.Mutex
	id    string
	run   *lesson.Run // nil: none. Whoever uses it has the turn
	heard time.Time   // when it was last asked for
}

// get finds the run and notes that it is asked for; nil if it is another or none.
func (l *learner) get(id string) *lesson.Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.run == nil || l.id != id {
		return nil
	}
	l.heard = time.Now()
	return l.run
}

// taken says whether there is a run whose page is still heard of.
func (l *learner) taken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.run != nil && time.Since(l.heard) < l.silence
}

// put ends the run there is and puts another in its place, nil for none. The caller has the turn.
func (l *learner) put(run *lesson.Run) (id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.run != nil {
		l.run.Close()
	}
	l.run, l.id, l.heard = run, rand.Text(), time.Now()
	return l.id
}

// silent is the run whose page is not heard of any more; empty: none.
func (l *learner) silent() (id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.run != nil && time.Since(l.heard) >= l.silence {
		return l.id
	}
	return ""
}

// endRun ends a run, if there is one of this id, and says so.
func (s *Server) endRun(id string) bool {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.learner.get(id) == nil {
		return false
	}
	s.learner.put(nil)
	return true
}

// trainJSON is what GET /v1/train tells.
type trainJSON struct {
	On       bool    `json:"on"`
	Rate     float64 `json:"rate"` // that suits the network
	Side     int     `json:"side"` // of the pictures
	Pictures int     `json:"most_pictures"`
	Classes  int     `json:"most_classes"`
}

func (c *call) trainOffer() error {
	return c.answerJSON(http.StatusOK, trainJSON{c.Training != nil, lesson.Rate, lesson.Side, lesson.MaxPictures,
		lesson.MaxClasses})
}

// runJSON is a run that has begun.
type runJSON struct {
	ID         string       `json:"id"`
	Data       string       `json:"data"`
	Classes    []string     `json:"classes"`
	Network    string       `json:"network"` // compact
	Parameters int          `json:"parameters"`
	Train      int          `json:"train"` // pictures
	Test       int          `json:"test"`
	Batch      int          `json:"batch"`
	Steps      int          `json:"steps"`
	PerEpoch   int          `json:"steps_per_epoch"`
	Seed       uint64       `json:"seed"`
	Rate       float64      `json:"rate"`
	Fixed      []fixedJSON  `json:"fixed"`
	State      lesson.State `json:"state"`
}

// fixedJSON is a picture whose answers are told all along.
type fixedJSON struct {
	Class  int    `json:"class"`
	Pixels []byte `json:"pixels"`
}

// errTaken is a run that there is already.
func errTaken(silence time.Duration) error {
	return &refusal{Kind: busy, After: silence,
		Fault: "a network is learning already, in another page: one learns at a time",
		Hint:  fmt.Sprintf("close that page, or wait: its run ends %.0f s after it was last heard of", silence.Seconds())}
}

// trainBegin makes a network that is to learn, from pictures in the body or those that the server has.
func (c *call) trainBegin() error {
	if c.Training == nil {
		return refuse(forbidden, "vggo serve --train-page allows it",
			"no network learns here")
	}
	if _, err := c.model(""); err != nil {
		return err
	}
	if c.learner.taken() {
		return errTaken(c.learner.silence)
	}
	unpack, err := c.trainData()
	if err != nil {
		return err
	}
	seed, _ := c.number("seed")
	var told runJSON
	_, err = c.inTurn(func(context.Context) error {
		if c.learner.taken() {
			return errTaken(c.learner.silence)
		}
		c.learner.put(nil) // a silent one, before another takes as much memory
		data, err := unpack()
		if err != nil {
			return err
		}
		run, err := lesson.New(data, lesson.Options{Seed: uint64(seed), Rate: c.fraction("rate")})
		if err != nil {
			return err
		}
		told = runJSON{Data: data.Name, Classes: data.Classes, Train: data.Train.Len(), Test: data.Test.Len(),
			Batch: run.Batch, Steps: run.Steps, PerEpoch: run.PerEpoch, Seed: run.Seed, Rate: run.Rate,
			ID: c.learner.put(run)}
		if told.Network, err = run.Network().Network.CompactString(); err != nil {
			return err
		}
		for _, layer := range run.Network().Layers {
			for _, p := range layer.Params {
				told.Parameters += p.Count()
			}
		}
		for _, i := range run.Fixed {
			p, err := data.Test.Picture(i)
			if err != nil {
				return err
			}
			told.Fixed = append(told.Fixed, fixedJSON{data.Test.Label(i), p.Pix})
		}
		told.State, err = run.State(0)
		return err
	})
	if err != nil {
		return err
	}
	return c.answerJSON(http.StatusOK, told)
}

// trainData are the pictures in the body, or the server's where it is empty. Those are unpacked in the run's turn,
// since no account is kept of them before.
func (c *call) trainData() (unpack func() (lesson.Data, error), err error) {
	body, err := c.readBody()
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return c.lesson, nil
	}
	if err := c.bytes.add(3 * int64(len(body))); err != nil { // what base64 stands for, and the same divided
		return nil, err
	}
	data, err := ownData(body)
	return func() (lesson.Data, error) { return data, nil }, err
}

// lesson unpacks the server's pictures to learn from.
func (c *call) lesson() (lesson.Data, error) {
	data, err := c.Training()
	if err != nil {
		return data, &refusal{Kind: loading, After: time.Second, Cause: err,
			Fault: "the pictures to learn from cannot be loaded", Hint: "try again, or choose a folder of your own"}
	}
	return data, nil
}

// ownData reads pictures of one's own: a name, the classes' names, the pictures' labels and their pixels.
func ownData(body []byte) (data lesson.Data, err error) {
	text, err := validJSON(body)
	if err != nil {
		return data, err
	}
	var name string
	var classes []string
	var all lesson.Pictures
	to := map[string]any{"name": &name, "labels": &all.Labels, "pixels": &all.Pixels}
	read := func(name string, value jsonText, to any) error {
		if err := strict.Unmarshal(value, to); err != nil {
			return refuse(badJSON, jsonHint, "the JSON's %q cannot be read: %s", name, clipLong(err.Error()))
		}
		return nil
	}
	err = text.members("the JSON", func(name string, value jsonText) error {
		switch {
		case name == "classes":
			return value.elements("classes", func(value jsonText) error {
				if len(classes) > lesson.MaxClasses { // too many: of more, each takes several times its text
					return nil
				}
				classes = append(classes, "")
				return read(name, value, &classes[len(classes)-1])
			})
		case to[name] == nil:
			return refuse(badJSON, "it takes name, classes, labels and pixels",
				"the JSON has a member %q, which is not known here", clip(name))
		}
		return read(name, value, to[name])
	})
	var told *refusal
	switch {
	case errors.As(err, &told):
		return data, told
	case err != nil:
		return data, refuse(badJSON, jsonHint, "%v", err)
	}
	data, err = lesson.Own(name, classes, all)
	var fault *lesson.DataError
	if errors.As(err, &fault) {
		return data, refuse(badRequest, fault.Remedy, "%s", clipLong(fault.Fault))
	}
	return data, err
}

// learning computes something of the run that the URL names, in its turn.
func (c *call) learning(compute func(*lesson.Run) error) error {
	_, err := c.inTurn(func(context.Context) error {
		run := c.learner.get(c.r.PathValue("id"))
		if run == nil {
			return refuse(notFound, "begin another: POST /v1/train",
				"this run is over: its page was closed, or silent for %.0f s, or the models were loaded anew",
				c.learner.silence.Seconds())
		}
		return compute(run)
	})
	var (
		diverged *train.DivergedError
		choice   *lesson.ChoiceError
	)
	switch {
	case errors.As(err, &diverged):
		return refuse(notFinite, fmt.Sprintf("begin again at a smaller rate: %v suits this network", lesson.Rate),
			"step %d: %s: training has diverged", diverged.Step, diverged.What)
	case errors.As(err, &choice):
		return refuse(badRequest, "leave it out for what the picture moves most", "%s", choice.Fault)
	case errors.Is(err, lesson.ErrNoStep):
		return refuse(badRequest, "POST /v1/train/ID/steps takes one", "%v", err)
	}
	return err
}

// stateJSON is a run after some steps.
type stateJSON struct {
	lesson.State
	// Yielded says that nothing was done, since other requests had work here.
	Yielded bool `json:"yielded"`
}

// trainSteps lets the run go on, so many steps at most, and tells what came of it.
func (c *call) trainSteps() error {
	n := c.numbers("most", "since")
	yielded, err := c.steps(n[0])
	if err != nil {
		if errors.Is(err, context.Canceled) { // a tab that was closed
			c.endRun(c.r.PathValue("id"))
		}
		return err
	}
	told := stateJSON{Yielded: yielded}
	err = c.learning(func(run *lesson.Run) (err error) {
		told.State, err = run.State(n[1])
		return err
	})
	if err != nil {
		return err
	}
	return c.answerJSON(http.StatusOK, told)
}

// steps takes so many steps at most, for a stretch of time. Each waits until nothing that was admitted is left, so that
// a request finds at most one step before it. yielded says that nothing but waiting was done.
func (c *call) steps(most int) (yielded bool, err error) {
	end := time.Now().Add(trainStretch)
	worked := false
	for taken := 0; taken < most && time.Now().Before(end); {
		if l := c.loaded.Load(); l == nil {
			return false, errClosed
		} else if l.work.inUse() > 0 {
			yielded = !worked
			select {
			case <-time.After(time.Millisecond):
				continue
			case <-c.ctx.Done():
				return false, context.Cause(c.ctx)
			}
		}
		worked, yielded = true, false
		err := c.learning(func(run *lesson.Run) error {
			stepped, err := run.Advance()
			if stepped {
				taken++
			}
			return err
		})
		if errors.Is(err, train.ErrFinished) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	c.timings = nil // of each step
	return yielded, nil
}

// trainOpen works the last step out.
func (c *call) trainOpen() error {
	n := c.numbers("picture", "row", "column")
	choice := lesson.Choice{Picture: n[0], Row: n[1], Column: n[2], Class: lesson.Strongest, Unit: lesson.Strongest,
		Filter: lesson.Strongest}
	for name, to := range map[string]*int{"class": &choice.Class, "unit": &choice.Unit, "filter": &choice.Filter} {
		if n, given := c.number(name); given {
			*to = n
		}
	}
	var opened *lesson.Opened
	err := c.learning(func(run *lesson.Run) (err error) {
		opened, err = run.Open(choice)
		return err
	})
	if err != nil {
		return err
	}
	return c.answerJSON(http.StatusOK, opened)
}

// judgedJSON is what the network says to a picture.
type judgedJSON struct {
	Probabilities []float32 `json:"probabilities"` // by class
}

// trainJudge answers a picture by the network as far as it has learned.
func (c *call) trainJudge() error {
	file, name, err := c.readPicture()
	if err != nil {
		return err
	}
	if name != "" {
		return refuse(badRequest, "leave it out", "model %q is named, and the URL names the run that is asked", clip(name))
	}
	var picture *vision.Picture
	if err := c.decoded(file, func(p *vision.Picture) error { picture = p; return nil }); err != nil {
		return err
	}
	var told judgedJSON
	err = c.learning(func(run *lesson.Run) (err error) {
		told.Probabilities, err = run.Judge(picture)
		return err
	})
	if err != nil {
		return err
	}
	return c.answerJSON(http.StatusOK, told)
}

// trainEnd ends a run, whose page is being closed or begins another.
func (c *call) trainEnd() error {
	c.endRun(c.r.PathValue("id"))
	return c.answerJSON(http.StatusOK, struct{}{})
}
