package explain

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// Fooling is a small change of a picture that changes a network's answer: the smallest that was found, which is no
// proof that there is no smaller one.
type Fooling struct {
	Picture *vision.Picture // as the network sees it
	Change  []float32       // what is added to each sample of Picture.Pix at share 1, before it is rounded to 8 bits
	Was, Is vggo.Class      // the answer to Picture and to At(1)
	L2      float64         // of the difference between At(1) and Picture, white being 1
	Most    int             // its largest, in steps of a sample of 8 bits
	Steps   int             // of the search
	Course  []FoolingPoint  // how the answer moves, from no change to twice as much
}

// FoolingPoint is what a network answers to a share of the change.
type FoolingPoint struct {
	Share   float64 // of Fooling.Change
	Was, Is float64 // the probabilities of Fooling.Was and Fooling.Is
	Class   int     // the most probable one
}

// UnfooledError is a picture of which no change was found that changes the answer.
type UnfooledError struct {
	Network string
	Steps   int // that were searched
}

func (e *UnfooledError) Error() string {
	return fmt.Sprintf("no small change of this picture was found in %d steps that changes the answer of %s", e.Steps,
		e.Network)
}

const (
	rivals    = 5    // classes that the answer may change to: the most probable ones after it
	mostSteps = 20   // of the search
	overshoot = 1.02 // of a step, so that it crosses the border; as the paper has it
	widest    = 64   // times the change that the search came to and that is not rounded to nothing
	narrowing = 6    // halvings between a change that is too small and one that is not
	courseOf  = 20   // steps of Fooling.Course
)

// Fool finds a small change of a picture, which is as the network sees it (Visit.Picture, Preprocess.Fit), that changes
// the answer. It goes to the nearest border between the answer and another class, as if all were planes (DeepFool,
// Moosavi-Dezfooli et al. 2016, arXiv 1511.04599, algorithm 2): with f a class's logit less the answer's, w its
// gradient by the samples x,
//
//	l = argmin over k of |f[k]| / ‖w[k]‖
//	x += 1.02 · |f[l]| / ‖w[l]‖² · w[l]
//
// and again, until the answer changes. Unlike the paper, samples never leave 0 to 255: one that a step would take out
// has no part in w. Then as little of the whole change as still changes the answer is found by halving, each time with
// the picture rounded to 8 bits, so that every answer told is that to a real picture.
//
// inTurn, if not nil, has each piece of work computed when its turn comes; it takes so many passes through the network,
// forward or backward.
func Fool(ctx context.Context, m *vggo.Model, picture *vision.Picture,
	inTurn func(passes int, compute func(context.Context) error) error) (*Fooling, error) {
	if in := m.Input; picture.W != in.W || picture.H != in.H || picture.Channels != in.C {
		return nil, fmt.Errorf("%s sees %dx%d pixels of %d samples, not %dx%d of %d", m.Network.Name, in.H, in.W, in.C,
			picture.H, picture.W, picture.Channels)
	}
	if inTurn == nil {
		inTurn = func(_ int, compute func(context.Context) error) error { return compute(ctx) }
	}
	s := &search{m: m, inTurn: inTurn, Fooling: Fooling{Picture: picture}}
	answers, err := s.answers([]*vision.Picture{picture})
	if err != nil {
		return nil, err
	}
	s.Was = answers[0][0]
	var classes []int
	for _, c := range answers[0][:min(1+rivals, len(answers[0]))] {
		classes = append(classes, c.Index)
	}
	whole, err := s.cross(classes)
	if err != nil {
		return nil, err
	}
	if err := s.shrink(whole); err != nil {
		return nil, err
	}
	sum := 0.0
	for i, v := range s.At(1).Pix {
		off := int(v) - int(picture.Pix[i])
		s.Most = max(s.Most, off, -off)
		sum += float64(off * off)
	}
	s.L2 = math.Sqrt(sum) / 255
	return &s.Fooling, s.follow()
}

// At is the picture with a share of the change, rounded to 8 bits.
func (f *Fooling) At(share float64) *vision.Picture {
	to := vision.NewPicture(f.Picture.W, f.Picture.H, f.Picture.Channels)
	for i, v := range f.Picture.Pix {
		moved := float64(v) + float64(share*float64(f.Change[i])) // rounded before it is added, on every processor
		to.Pix[i] = uint8(math.Floor(min(max(moved, 0), 255) + 0.5))
	}
	return to
}

// search is one for a Fooling.
type search struct {
	Fooling
	m      *vggo.Model
	inTurn func(passes int, compute func(context.Context) error) error
}

// answers are those to pictures as the network sees them, in passes of the model's batch.
func (s *search) answers(pictures []*vision.Picture) (answers [][]vggo.Class, err error) {
	recipe := s.m.Preprocess.Preprocess
	recipe.Resize = recipe.Crop // they are scaled and cut out already
	for part := range slices.Chunk(pictures, s.m.Batch()) {
		batch := tensor.New(len(part), s.m.Input.C, s.m.Input.H, s.m.Input.W)
		for n, p := range part {
			if err := recipe.Put(batch, n, p); err != nil {
				return nil, err
			}
		}
		var logits *tensor.Tensor
		err := s.inTurn(len(part), func(ctx context.Context) (err error) {
			logits, err = s.m.Forward(ctx, batch)
			return err
		})
		if err != nil {
			return nil, err
		}
		for n := range part {
			ranked, err := s.m.Rank(logits.Images(n, n+1))
			if err != nil {
				return nil, err
			}
			answers = append(answers, ranked)
		}
	}
	return answers, nil
}

// cross is the search: a change of the samples, not rounded, that changes the answer, which is the first of classes.
func (s *search) cross(classes []int) (change []float64, err error) {
	samples := make([]float64, len(s.Picture.Pix)) // by channel, red first; white is 1
	pixels, channels := s.Picture.W*s.Picture.H, s.Picture.Channels
	for i, v := range s.Picture.Pix {
		samples[i%channels*pixels+i/channels] = float64(v) / 255
	}
	for ; ; s.Steps++ {
		g, err := s.gradients(samples, classes)
		if err != nil {
			return nil, err
		}
		if g.Answer.Index != s.Was.Index && s.Steps > 0 { // at once where two classes are as good as equal
			break
		}
		if s.Steps == mostSteps || !s.step(samples, g) {
			return nil, &UnfooledError{s.m.Network.Name, s.Steps}
		}
	}
	change = make([]float64, len(samples))
	for i, v := range s.Picture.Pix {
		change[i] = 255*samples[i%channels*pixels+i/channels] - float64(v)
	}
	return change, nil
}

// gradients are those of classes' logits at samples.
func (s *search) gradients(samples []float64, classes []int) (g *vggo.ImageGradients, err error) {
	image := tensor.New(1, s.m.Input.C, s.m.Input.H, s.m.Input.W)
	s.m.Preprocess.PutSamples(image, 0, samples)
	err = s.inTurn(1+len(classes), func(ctx context.Context) (err error) {
		g, err = s.m.ImageGradients(ctx, image, classes)
		return err
	})
	return g, err
}

// step moves samples across the nearest border. It is false where they cannot be moved to any.
func (s *search) step(samples []float64, g *vggo.ImageGradients) bool {
	answer := s.m.Preprocess.SampleGradient(g.Gradients, 0).Data
	nearest, direction, length := math.Inf(1), []float64(nil), 0.0
	for k := 1; k < g.Gradients.N; k++ {
		w := make([]float64, len(samples))
		square := 0.0
		for i, d := range s.m.Preprocess.SampleGradient(g.Gradients, k).Data {
			if by := float64(d) - float64(answer[i]); by < 0 && samples[i] > 0 || by > 0 && samples[i] < 1 {
				w[i] = by
				square += float64(by * by)
			}
		}
		f := math.Abs(g.Logits[k]-g.Logits[0]) + 1e-4 // on the border there is still a side to get to; the authors' program
		if distance := f / math.Sqrt(square); distance < nearest {
			nearest, direction, length = distance, w, overshoot*f/square
		}
	}
	for i, w := range direction {
		samples[i] = min(max(samples[i]+float64(length*w), 0), 1)
	}
	return direction != nil
}

// shrink sets Change to as little of a change as still changes the answer, or to more where little is rounded away.
func (s *search) shrink(whole []float64) error {
	changes := func(times float64) (bool, error) {
		s.Change = make([]float32, len(whole))
		for i, d := range whole {
			s.Change[i] = float32(times * d)
		}
		answers, err := s.answers([]*vision.Picture{s.At(1)})
		if err != nil {
			return false, err
		}
		s.Is = answers[0][0]
		return s.Is.Index != s.Was.Index, nil
	}
	largest := 0.0
	for _, d := range whole {
		largest = max(largest, math.Abs(d))
	}
	low, high := 0.0, max(1, 0.5/largest) // less is rounded to nothing
	for end := widest * high; ; {
		changed, err := changes(high)
		if err != nil {
			return err
		}
		if changed {
			break
		}
		if high >= end {
			return &UnfooledError{s.m.Network.Name, s.Steps}
		}
		low, high = high, 2*high
	}
	change, is := s.Change, s.Is
	for range narrowing {
		middle := (low + high) / 2
		changed, err := changes(middle)
		if err != nil {
			return err
		}
		if changed {
			high, change, is = middle, s.Change, s.Is
		} else {
			low = middle
		}
	}
	s.Change, s.Is = change, is
	return nil
}

// follow fills Course.
func (s *search) follow() error {
	var pictures []*vision.Picture
	for i := range courseOf + 1 {
		s.Course = append(s.Course, FoolingPoint{Share: 2 * float64(i) / courseOf})
		pictures = append(pictures, s.At(s.Course[i].Share))
	}
	answers, err := s.answers(pictures)
	if err != nil {
		return err
	}
	for i, ranked := range answers {
		point := &s.Course[i]
		point.Class = ranked[0].Index
		for _, c := range ranked {
			switch c.Index {
			case s.Was.Index:
				point.Was = c.Probability
			case s.Is.Index:
				point.Is = c.Probability
			}
		}
	}
	return nil
}

// FoolMemory is the most bytes that Fool takes beside what the model's Memory tells.
func FoolMemory(m *vggo.Model) (int64, error) {
	bytes, err := m.ImageGradientsMemory(1 + rivals)
	samples := int64(m.Input.C * m.Input.H * m.Input.W)
	// In 64 bits the samples, what was added to them and a direction to each rival, in 32 the gradients by them, the
	// change before and after and what goes through the network at once, in 8 the course.
	return bytes + samples*((2+rivals)*8+(1+rivals+2+int64(m.Batch()))*4+courseOf+1), err
}
