// Package lesson is a small network that learns while somebody watches: a run of package train that goes on by pieces
// no longer than a step, and what there is to see of it in between. It knows no server and starts no goroutine of its
// own, so that it works in a browser too.
package lesson

import (
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

// How a run goes. By plain SGD, without momentum or decay, a step is w - rate·gradient and nothing else.
const (
	Rate = 0.05 // that suits the network

	batch     = 50
	epochs    = 100
	testEvery = 50  // steps
	testPiece = 100 // pictures that one piece of a test takes
	fixed     = 10  // pictures whose answers are told all along
	// mostThreads are enough for a step of milliseconds, and leave larger machines to others.
	mostThreads = 8
)

// Memory is the most bytes that a run takes: its plans, and the pictures thrice, as they came, divided and prepared.
const Memory = 80 << 20

// layers are three blocks as in VGG, each with half of the side and twice the maps of the one before.
const layers = "16,M,32,M,64,M"

// Options are what is up to who watches.
type Options struct {
	Seed    uint64
	Rate    float64 // that gradients are taken by
	Threads int     // 0: one for each processor that Go may use, up to 8
}

// Run is a network that learns. One call runs at a time. After an error of Advance it goes no further.
type Run struct {
	Data
	Options
	Batch    int // pictures of a step
	Steps    int // of the whole run
	PerEpoch int
	// Fixed are test pictures, of different classes as far as they go, whose answers State tells.
	Fixed []int

	trainer *train.Trainer
	use     *nn.Plan // the network in use, for testPiece pictures
	stale   bool     // use has yet to take over the last step's weights
	input   *tensor.Tensor
	fault   error

	taken  train.Taken // the last step
	before [][]float32 // the parameters before it
	losses []float64   // of all steps
	tests  []Test      // that are over
	test   *partTest   // that is under way
}

// Test is how the network answered the test pictures.
type Test struct {
	Step     int     `json:"step"` // after how many
	Loss     float64 `json:"loss"`
	Accuracy float64 `json:"accuracy"` // share of right answers
}

// partTest is a test that is under way.
type partTest struct {
	done, right int // pictures
	loss        float64
}

// New makes a network and its first weights, by the seed.
func New(data Data, o Options) (*Run, error) {
	if o.Threads == 0 {
		o.Threads = min(runtime.GOMAXPROCS(0), mostThreads)
	}
	recipe := train.Recipe{
		Name: "page", Model: fmt.Sprintf("%dx%dx1:%s/%d", Side, Side, layers, len(data.Classes)),
		Preprocess: vision.PreprocessParts{Base: train.Measured}, Init: train.Init{Kind: "he", Level: true},
		Epochs: epochs, Batch: min(batch, data.Train.Len()), Seed: o.Seed,
		Optimiser: train.Optimise{Kind: "sgd", Rate: o.Rate}, Schedule: train.Schedule{Kind: "constant"},
	}
	trainer, err := train.New(train.Options{Recipe: recipe, Train: data.Train, Classes: data.Classes, Threads: o.Threads,
		Cache: pixels * MaxPictures})
	if err != nil {
		return nil, err
	}
	r := &Run{Data: data, Options: o, Batch: recipe.Batch, trainer: trainer, test: &partTest{}}
	r.PerEpoch = data.Train.Len() / r.Batch
	r.Steps = epochs * r.PerEpoch
	r.use, err = nn.Compile(trainer.Placement(), trainer.Params(), nn.Options{Batch: testPiece, Threads: o.Threads})
	if err != nil {
		r.Close()
		return nil, err
	}
	r.input = tensor.New(testPiece, 1, Side, Side)
	for _, p := range trainer.Params().List {
		r.before = append(r.before, make([]float32, p.Count()))
	}
	for class := range data.Classes {
		if i := slices.Index(data.Test.Labels, byte(class)); i >= 0 && len(r.Fixed) < fixed {
			r.Fixed = append(r.Fixed, i)
		}
	}
	return r, nil
}

// Close lets the run's memory go.
func (r *Run) Close() {
	_ = r.trainer.Close() // it keeps no files
	if r.use != nil {
		r.use.Close()
	}
}

// Network is what learns.
func (r *Run) Network() *arch.Placement { return r.trainer.Placement() }

// Advance does the next piece of work: a step, or a piece of a test, which comes before the first step and after every
// so many. stepped tells which. Weights that are no finite numbers any more are a *train.DivergedError, the end of the
// run train.ErrFinished.
func (r *Run) Advance() (stepped bool, err error) {
	if r.fault == nil && r.test != nil {
		r.fault = r.testOn()
		return false, r.fault
	}
	if r.fault == nil {
		r.fault = r.step()
	}
	return r.fault == nil, r.fault
}

func (r *Run) step() (err error) {
	params := r.trainer.Params().List
	for i, p := range params {
		copy(r.before[i], p.Data)
	}
	r.stale = true
	if r.taken, err = r.trainer.Step(); err != nil {
		return err
	}
	r.losses = append(r.losses, r.taken.Loss)
	for _, p := range params {
		for _, v := range p.Data {
			if v-v != 0 {
				return &train.DivergedError{Step: r.taken.Step, What: fmt.Sprintf("%s holds %v", p.Name, v)}
			}
		}
	}
	if r.taken.Step%testEvery == 0 || r.taken.Step == r.Steps {
		r.test = &partTest{}
	}
	return nil
}

// answer computes the logits of the first n pictures of input with the weights as they are. Such as are no finite
// numbers end the run.
func (r *Run) answer(n int) (*tensor.Tensor, error) {
	if r.stale {
		if err := r.use.Refresh(); err != nil {
			return nil, err
		}
		r.stale = false
	}
	if err := r.use.Forward(r.input.Images(0, n)); err != nil {
		return nil, err
	}
	logits := r.use.Logits()
	for _, v := range logits.Data {
		if v-v != 0 {
			r.fault = &train.DivergedError{Step: len(r.losses), What: fmt.Sprintf("a score is %v", v)}
			return nil, r.fault
		}
	}
	return logits, nil
}

// put makes a picture the network's input.
func (r *Run) put(n int, p *vision.Picture) error { return r.trainer.Preprocess().Put(r.input, n, p) }

// testOn answers the next test pictures.
func (r *Run) testOn() error {
	t := r.test
	n := min(testPiece, r.Test.Len()-t.done)
	labels := make([]int, n)
	for i := range n {
		p, _ := r.Test.Picture(t.done + i) // it is in memory
		if err := r.put(i, p); err != nil {
			return err
		}
		labels[i] = r.Test.Label(t.done + i)
	}
	logits, err := r.answer(n)
	if err != nil {
		return err
	}
	loss, err := nn.CrossEntropy(logits, labels, nil)
	if err != nil {
		return err
	}
	for i, class := range r.use.Predictions() {
		if class == labels[i] {
			t.right++
		}
	}
	t.loss += float64(loss * float64(n))
	if t.done += n; t.done == r.Test.Len() {
		of := float64(t.done)
		r.tests = append(r.tests, Test{len(r.losses), t.loss / of, float64(t.right) / of})
		r.test = nil
	}
	return nil
}

// State is what there is to see of a run between two pieces of work.
type State struct {
	Step   int       `json:"step"`
	Epoch  float64   `json:"epoch"`
	Losses []float64 `json:"losses"` // of the steps from the asked one on
	Tests  []Test    `json:"tests"`  // that came after the asked step
	// Filters are the first convolution's, one after the other, row by row.
	Filters []float32 `json:"filters"`
	// Answers are the classes' probabilities for each of Run.Fixed.
	Answers [][]float32 `json:"answers"`
	// Guessing says that many steps have not taught the network more than a guess: the rate is too high, or far too low.
	Guessing bool `json:"guessing"`
	Finished bool `json:"finished"`
}

// State tells the losses of the steps after the first so many, and the tests since. Tests of the state before the first
// step are told to who knows of no step.
func (r *Run) State(since int) (State, error) {
	s := State{Step: len(r.losses), Epoch: float64(len(r.losses)) / float64(r.PerEpoch), Tests: []Test{},
		Losses: append([]float64{}, r.losses[min(since, len(r.losses)):]...), Guessing: r.guessing(),
		Finished: len(r.losses) == r.Steps && r.test == nil}
	for _, t := range r.tests {
		if t.Step >= since {
			s.Tests = append(s.Tests, t)
		}
	}
	s.Filters = slices.Clone(r.trainer.Params().Get(r.Network().Layers[0].Name + "/w").Data)
	for i, at := range r.Fixed {
		p, _ := r.Test.Picture(at) // it is in memory
		if err := r.put(i, p); err != nil {
			return State{}, err
		}
	}
	logits, err := r.answer(len(r.Fixed))
	if err != nil {
		return State{}, err
	}
	s.Answers = probabilities(logits)
	return s, nil
}

// guessing compares the mean loss of the last epoch with that of an equal guess, when there were enough steps.
func (r *Run) guessing() bool {
	if len(r.losses) < 2*testEvery {
		return false
	}
	sum := 0.0
	last := r.losses[len(r.losses)-testEvery:]
	for _, loss := range last {
		sum += loss
	}
	return sum/float64(len(last)) > 0.98*math.Log(float64(len(r.Classes)))
}

// probabilities are the softmax of each image's logits.
func probabilities(logits *tensor.Tensor) (all [][]float32) {
	p := tensor.New(logits.N, logits.C, 1, 1)
	nn.Probabilities(p, logits, arch.EndsInSoftmax)
	for n := range p.N {
		all = append(all, p.Images(n, n+1).Data)
	}
	return all
}

// Judge is the probability of each class for a picture, whatever its size.
func (r *Run) Judge(p *vision.Picture) ([]float32, error) {
	if err := r.put(0, p); err != nil {
		return nil, err
	}
	logits, err := r.answer(1)
	if err != nil {
		return nil, err
	}
	return probabilities(logits)[0], nil
}
