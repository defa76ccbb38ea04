package lesson_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/page/lesson"
	"github.com/vggo/vggo/page/lesson/fashion"
	"github.com/vggo/vggo/train"
)

func data(t *testing.T) lesson.Data {
	t.Helper()
	d, err := fashion.Data()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func begin(t *testing.T, d lesson.Data, o lesson.Options) *lesson.Run {
	t.Helper()
	r, err := lesson.New(d, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// advance goes on until so many steps are taken and no test is under way.
func advance(t *testing.T, r *lesson.Run, steps int) lesson.State {
	t.Helper()
	for taken := 0; taken < steps; {
		stepped, err := r.Advance()
		if err != nil {
			t.Fatal(err)
		}
		if stepped {
			taken++
		}
	}
	s, err := r.State(0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLearns: some steps of the usual rate, and the network tells most test pictures apart: with seed 1 it is right in
// 82.5 % after 400 steps. It is the same run for any number of threads. A rate that is too high teaches it nothing,
// which is told.
func TestLearns(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute under the race detector")
	}
	one := advance(t, begin(t, data(t), lesson.Options{Seed: 1, Rate: lesson.Rate, Threads: 1}), 401)
	last := one.Tests[len(one.Tests)-1]
	t.Logf("%+v", last)
	if last.Step != 400 || last.Accuracy < 0.76 {
		t.Errorf("after %d steps %.1f %% are right, want 76 %% after 400", last.Step, 100*last.Accuracy)
	}
	if one.Guessing {
		t.Error("what it has learned counts as a guess")
	}
	if high := advance(t, begin(t, data(t), lesson.Options{Seed: 1, Rate: 0.5}), 120); !high.Guessing {
		t.Errorf("a rate of 0.5 teaches more than a guess: a loss of %v", high.Losses[119])
	}
	if first := one.Tests[0]; first.Step != 0 || first.Accuracy > 0.3 {
		t.Errorf("before the first step: %+v", first)
	}
	two := advance(t, begin(t, data(t), lesson.Options{Seed: 1, Rate: lesson.Rate, Threads: 2}), 401)
	if !slices.Equal(one.Losses, two.Losses) || !slices.Equal(one.Tests, two.Tests) {
		t.Error("two threads learn otherwise than one")
	}
}

// TestState tells what came after a step, and the answers to pictures of all classes.
func TestState(t *testing.T) {
	r := begin(t, data(t), lesson.Options{Seed: 3, Rate: lesson.Rate})
	first, err := r.State(0)
	if err != nil {
		t.Fatal(err)
	}
	if first.Step != 0 || len(first.Losses) != 0 || len(first.Filters) != 16*9 || len(first.Answers) != 10 {
		t.Errorf("before the first step: %+v", first)
	}
	before := first.Filters
	for class, at := range r.Fixed {
		if r.Test.Label(at) != class {
			t.Errorf("fixed picture %d is of class %d", class, r.Test.Label(at))
		}
	}
	all := advance(t, r, 3)
	some, err := r.State(2)
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Losses) != 3 || !slices.Equal(some.Losses, all.Losses[2:]) || len(all.Tests) != 1 || len(some.Tests) != 0 {
		t.Errorf("after three steps %+v, since the second %+v", all, some)
	}
	if slices.Equal(all.Filters, before) || slices.Equal(all.Answers[0], first.Answers[0]) {
		t.Error("steps change nothing")
	}
	for n, p := range all.Answers {
		sum := float32(0)
		for _, v := range p {
			sum += v
		}
		if math.Abs(float64(sum-1)) > 1e-5 {
			t.Errorf("picture %d: the probabilities come to %v", n, sum)
		}
	}
	p, err := r.Test.Picture(r.Fixed[4])
	if err != nil {
		t.Fatal(err)
	}
	if judged, err := r.Judge(p); err != nil || !slices.Equal(judged, all.Answers[4]) {
		t.Errorf("judged %v (%v), %v among the others", judged, err, all.Answers[4])
	}
}

// near compares what was worked out with what nn holds, which begin with the same float32 numbers.
func near(t *testing.T, what string, got, held float64) {
	t.Helper()
	nearOf(t, what, got, held, 1)
}

// nearOf is near for a sum whose terms have so large sizes together, 1 at least.
func nearOf(t *testing.T, what string, got, held, sizes float64) {
	t.Helper()
	if !(math.Abs(got-held) <= 1e-6*max(sizes, 1)) {
		t.Errorf("%s is worked out as %v, nn has %v", what, got, held)
	}
}

// TestOpened: each figure of an opened step is nn's, for pictures all over the step, and looking changes nothing of the
// run.
func TestOpened(t *testing.T) {
	looked, plain := begin(t, data(t), lesson.Options{Seed: 1, Rate: 0.1}), begin(t, data(t), lesson.Options{Seed: 1,
		Rate: 0.1})
	if _, err := looked.Open(lesson.Choice{}); !errors.Is(err, lesson.ErrNoStep) {
		t.Errorf("before the first step: %v", err)
	}
	for step := range 3 {
		advance(t, looked, 1)
		advance(t, plain, 1)
		for picture := 0; picture < looked.Batch; picture += 7 {
			o, err := looked.Open(lesson.Choice{Picture: picture, Class: lesson.Strongest, Unit: lesson.Strongest,
				Filter: lesson.Strongest, Row: picture % 3, Column: picture / 3 % 3})
			if err != nil {
				t.Fatal(err)
			}
			if o.Step != step+1 || o.Rate != 0.1 || len(o.Labels) != looked.Batch || o.Last.Class != o.Labels[picture] {
				t.Fatalf("step %d: %+v", step, o)
			}
			near(t, "the loss", o.Loss, o.LossHeld)
			sum := 0.0
			for _, s := range o.Scores {
				near(t, "∂L/∂z", s.Gradient/float64(looked.Batch), s.Held)
				near(t, "p - y", s.P-s.Y, s.Gradient)
				sum += s.P
			}
			near(t, "Σp", sum, 1)
			near(t, "-ln p", -math.Log(o.Scores[o.Labels[picture]].P), o.PictureLoss)
			near(t, "∂L/∂fc4/w", o.Last.Gradient, o.Last.Held)
			// Of 39,200 products; those of a step's pictures are about as large as the told one's. Fashion-MNIST's pixels
			// have the mean 0.29 and the deviation 0.35.
			sizes := 0.0
			for i, back := range o.First.Back {
				sizes += math.Abs(back * (float64(o.Pixels[i])/255 - 0.29) / 0.35)
			}
			nearOf(t, "∂L/∂conv1_1/w", o.First.Gradient, o.First.Held, sizes)
			for _, m := range []lesson.Moved{o.Last.Moved, o.First.Moved} {
				near(t, "the step of "+m.Name, m.Before-o.Rate*m.Gradient, m.After)
				near(t, "the moved "+m.Name, m.After, m.HeldNow)
			}
			mean := 0.0
			for _, term := range o.Last.Terms {
				near(t, "a product", term.Gradient*term.Unit, term.Product)
				mean += term.Product / float64(looked.Batch)
			}
			near(t, "the mean of the products", mean, o.Last.Gradient)
		}
	}
	a, b := advance(t, looked, 2), advance(t, plain, 2)
	if !slices.Equal(a.Losses, b.Losses) || !slices.Equal(a.Filters, b.Filters) {
		t.Error("a run whose steps are looked at goes on otherwise")
	}
	for _, wrong := range []lesson.Choice{{Picture: 50}, {Picture: -1}, {Class: 10}, {Unit: 576}, {Filter: 16}, {Row: 3},
		{Column: -1}} {
		var choice *lesson.ChoiceError
		if _, err := looked.Open(wrong); !errors.As(err, &choice) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
}

// TestPixels: the opened picture is the one that the step learned from.
func TestPixels(t *testing.T) {
	d := data(t)
	r := begin(t, d, lesson.Options{Seed: 2, Rate: 0.01})
	advance(t, r, 1)
	o, err := r.Open(lesson.Choice{Picture: 7})
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.Train.Len() {
		if p, err := d.Train.Picture(i); err == nil && slices.Equal(p.Pix, o.Pixels) && d.Train.Label(i) == o.Labels[7] {
			return
		}
	}
	t.Error("no such picture is among the training set's")
}

// TestDiverges: a rate that is much too high ends the run with an error that says so, and it stays ended.
func TestDiverges(t *testing.T) {
	r := begin(t, data(t), lesson.Options{Seed: 1, Rate: 1000})
	var diverged *train.DivergedError
	for range 50 {
		if _, err := r.Advance(); err != nil {
			if !errors.As(err, &diverged) {
				t.Fatal(err)
			}
			break
		}
	}
	if diverged == nil {
		t.Fatal("a rate of 1000 does not diverge")
	}
	if _, err := r.Advance(); !errors.Is(err, diverged) {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := r.Open(lesson.Choice{}); err == nil {
		t.Error("a step that diverged is opened")
	}
}

// small is data of so many pictures of each class: black, grey, …
func small(classes, each int) lesson.Pictures {
	var p lesson.Pictures
	for i := range classes * each {
		class := i % classes
		p.Labels = append(p.Labels, byte(class))
		p.Pixels = append(p.Pixels, slices.Repeat([]byte{byte(40*class + i/classes)}, lesson.Side*lesson.Side)...)
	}
	return p
}

// TestOwn: pictures of one's own are learned from, however few, and what cannot be is refused with a remedy.
func TestOwn(t *testing.T) {
	d, err := lesson.Own("mine", []string{"dark", "light"}, small(2, 6))
	if err != nil {
		t.Fatal(err)
	}
	if d.Train.Len() != 10 || d.Test.Len() != 2 || d.Test.Label(0) == d.Test.Label(1) {
		t.Errorf("%d train and %d test, of %v", d.Train.Len(), d.Test.Len(), d.Test.Labels)
	}
	r := begin(t, d, lesson.Options{Seed: 1, Rate: lesson.Rate})
	advance(t, r, r.Steps)
	for {
		if _, err := r.Advance(); err != nil {
			if !errors.Is(err, train.ErrFinished) {
				t.Error(err)
			}
			break
		}
	}
	if s, err := r.State(r.Steps); err != nil || !s.Finished || len(s.Tests) != 1 || s.Tests[0].Step != r.Steps {
		t.Errorf("at the end: %+v (%v)", s, err)
	}
	two := []string{"a", "b"}
	for _, c := range []struct {
		classes []string
		all     lesson.Pictures
		want    string
	}{
		{two, lesson.Pictures{}, "there are no pictures"},
		{nil, lesson.Pictures{}, "there are no pictures"},
		{two, lesson.Pictures{Labels: []byte{2}}, "picture 0 is of class 2, and 2 classes have names"},
		{two, lesson.Pictures{Labels: []byte{0}, Pixels: []byte{1}}, "1 pictures have 1 bytes"},
		{two[:1], small(1, 20), `all 20 pictures are of one class, "a"`},
		{two, small(2, 5), `class "a" has 5 pictures`},
		{append(two, "c"), small(2, 6), `class "c" has 0 pictures`},
		{two, small(2, 3001), "6002 pictures are more than the 6000"},
		{make([]string, 101), small(2, 6), "more than 100 classes"},
		{[]string{"a", strings.Repeat("b", 1001)}, small(2, 6), "a name is longer than 1000 bytes"},
	} {
		var fault *lesson.DataError
		if _, err := lesson.Own("", c.classes, c.all); !errors.As(err, &fault) || !strings.Contains(fault.Fault, c.want) ||
			fault.Remedy == "" {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// TestMemory: a run of the most classes and pictures takes no more than Memory says, as nn predicts its plans.
func TestMemory(t *testing.T) {
	r := begin(t, data(t), lesson.Options{Seed: 1, Rate: lesson.Rate, Threads: 8})
	total := int64(4 * lesson.MaxPictures * lesson.Side * lesson.Side)
	net := r.Network()
	for _, o := range []nn.Options{{Batch: 50, Training: true, Threads: 8}, {Batch: 100, Threads: 8},
		{Batch: 50, InputGrad: true, Threads: 8}} {
		memory, _, err := nn.Predict(net, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(memory.Total())
		total += memory.Total()
	}
	if total > lesson.Memory {
		t.Errorf("a run takes %d bytes, and Memory says %d", total, lesson.Memory)
	}
}
