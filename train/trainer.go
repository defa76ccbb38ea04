package train

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/cluster"
	"github.com/vggo/vggo/internal/durable"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// Options say what a Trainer works on.
type Options struct {
	Recipe     Recipe
	Network    *arch.Network // nil: the recipe's
	Train      Dataset
	Validation Dataset  // nil: what the recipe holds out, if anything
	Test       Dataset  // nil: none; scored once, when all is done, by all Views
	Classes    []string // names, kept in the files of weights; may be nil
	// Start tells first values of parameters instead of the recipe; for a parameter that it leaves to the recipe it
	// returns nil.
	Start func(arch.Param) ([]float32, error)

	// Group is the processes that train together, each with a Trainer of the same Options; nil: this one alone. They may
	// differ in Threads, Report and Observe. Of several, rank 0 alone writes to Folder.
	Group *cluster.Group
	Build string // the program's, which the ranks' must share; may be empty

	Folder  string            // of checkpoints, metrics and the result; empty: nothing is kept
	Beside  map[string][]byte // files that New writes beside the recipe, by name; may be nil
	Threads int               // 0: one for each processor that Go may use
	Costs   nn.CostTable
	Budget  int64 // most bytes that the network may take while it trains, as of nn.Options; 0: any
	Cache   int64 // bytes of decoded pictures that are kept; 0: 1 GiB
	// Features is the bytes of what frozen layers make of pictures that are kept in Folder over epochs; 0: 4 GB, where
	// reading them back is quicker than computing them; below 0: none.
	Features int64
	// Elsewhere lets Resume go on where steps round otherwise than where the run began.
	Elsewhere bool
	Report    func(Report) // news, told by the goroutine that runs; may be nil
	// Observe, if not nil, is told how long each part of a step took. A batch is then made before its step instead of
	// beside the one before, so that no part shares the processors with another.
	Observe func(part Part, took time.Duration)

	write func(path string, tensors []weights.Tensor, notes map[string]string) error // a test's; nil: weights.Write
	chunk int                                                                        // a test's; 0: featuresChunk
}

const defaultCache = 1 << 30

// Report is news of a run.
type Report struct {
	Step, Steps int // taken, of all
	Epoch       float64
	Images      int           // learned from since Run began
	Elapsed     time.Duration // since Run began
	Left        time.Duration // at the pace since then; 0 before there is one
	Rate, Loss  float64       // of the last step
	// Summing and Waited are Result's, so far.
	Summing, Waited time.Duration

	// One of these, or none after an ordinary step.
	Validation *Score
	Saved      string // a checkpoint's path
	Fault      error  // a picture that cannot be read and is left out
	Notice     string // how the run computes, or why otherwise than it was to
}

// Trainer is one run.
type Trainer struct {
	options Options
	recipe  Recipe
	net     *arch.Network
	placed  *arch.Placement
	small   *arch.Placement // on the middles of the first epochs' pictures; nil: there are none
	threads int

	train            Dataset // as given, less what is held out
	validation, test *cachedSet
	augmenter        *augmenter
	evaluator        *evaluator
	feed             *feed
	ranks            ranks
	slots            map[*nn.Param]*slot // those of the optimiser
	passed           int                 // passes of the step, so far
	batch            *batch              // that was learned from last
	byStep           bool                // Step takes the steps

	params *nn.Params
	rules  []Rule          // the recipe's, and before and after them what Init makes
	plan   *nn.Plan        // of the layers that learn, and those behind them
	frozen *frozen         // of those before; nil where there are none with parameters
	learns string          // the first layer that does
	sees   *arch.Placement // what both plans are of: placed, or small
	// classWeights are what the recipe's make of the classes; nil: all count alike
	classWeights []float64
	optimiser    *Optimiser
	average      *averager
	grad         *tensor.Tensor
	sums         [][]float32 // gradients of several passes, as optimiser.slots

	perEpoch, steps int
	state           state
	saved           string      // path of the last checkpoint
	folder          *folderLock // nil where nothing is kept
	journal         *journal
	last            *Score
	elapsed         func() time.Duration // since Run began; nil before
	images          int
	loss            float64 // of the step that is being taken
}

// New prepares a run from its beginning. A folder that holds a run already is an *OccupiedError, one in which a run
// goes on a
// *RunningError. After an error nothing is left in the folder that was not there before.
func New(o Options) (_ *Trainer, err error) {
	var folder *folderLock
	if o.Group.Rank() > 0 {
		o.Folder = ""
	}
	if o.Folder != "" {
		if folder, err = takeNew(o.Folder); err != nil {
			return nil, err
		}
	}
	names := append(slices.Sorted(maps.Keys(o.Beside)), RecipeFile, MetricsFile, checkpointName(0))
	t, err := prepare(o, 0)
	if err != nil {
		return nil, errors.Join(err, folder.undo(names...))
	}
	if err := t.start(); err != nil {
		return nil, errors.Join(err, t.Close(), folder.undo(names...))
	}
	t.folder = folder
	return t, nil
}

// start gives a new run its first state, which is saved at once: what comes later can be gone back from.
func (t *Trainer) start() error {
	if err := t.begin(); err != nil {
		return err
	}
	t.average = newAverager(t.recipe.Average, t.params, t.threads)
	if err := t.refresh(); err != nil {
		return err
	}
	t.state = state{Version: stateVersion, Best: -1, sets: t.sets(), Machine: t.machine()}
	if err := t.agree(); err != nil {
		return err
	}
	if t.options.Folder != "" {
		// The recipe, with everything that has changed it, lies beside the result.
		if err := durable.Write(filepath.Join(t.options.Folder, RecipeFile), t.recipe.Write); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(t.options.Beside)) {
			if err := durable.WriteBytes(filepath.Join(t.options.Folder, name), t.options.Beside[name]); err != nil {
				return err
			}
		}
	}
	var err error
	if t.journal, err = openJournal(t.options.Folder, -1); err != nil {
		return err
	}
	return t.save()
}

// Resume prepares a run to go on from a checkpoint of its folder. Recipe and network are the checkpoint's; data that is
// not what it was is an *OtherDataError, a folder in which the run goes on already a *RunningError.
func Resume(o Options, s *Saved) (_ *Trainer, err error) {
	o.Recipe, o.Network = s.Recipe, s.Network
	if o.Classes == nil {
		o.Classes = s.Classes
	}
	var folder *folderLock
	if o.Group.Rank() > 0 {
		o.Folder = ""
	} else if folder, err = take(o.Folder); err != nil {
		return nil, err
	}
	t, err := prepare(o, s.Step)
	if err != nil {
		folder.release()
		return nil, err
	}
	t.folder = folder
	if err := t.resume(s); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// resume gives a run the state of a checkpoint.
func (t *Trainer) resume(s *Saved) (err error) {
	t.average = newAverager(t.recipe.Average, t.params, t.threads)
	if err := t.restore(s); err != nil {
		return err
	}
	if err := t.agree(); err != nil {
		return err
	}
	if t.ranks.Rank() == 0 {
		if err := setAside(s.Damaged); err != nil {
			return err
		}
	}
	if err := t.refresh(); err != nil {
		return err
	}
	if t.journal, err = openJournal(t.options.Folder, t.state.Step); err != nil {
		return err
	}
	t.last = t.journal.last
	if len(t.state.Losses) == 0 && t.journal.loss > 0 { // an older vggo's checkpoint
		t.state.Losses = []float64{t.journal.loss}
	}
	return nil
}

// prepare does what beginning and resuming after a step have in common: everything but the parameters' values.
func prepare(o Options, step int) (*Trainer, error) {
	t := &Trainer{options: o, recipe: o.Recipe, net: o.Network, threads: o.Threads, train: o.Train}
	if t.threads <= 0 {
		t.threads = runtime.GOMAXPROCS(0)
	}
	if t.options.write == nil {
		t.options.write = func(path string, tensors []weights.Tensor, notes map[string]string) error {
			return weights.Write(path, tensors, notes)
		}
	}
	var err error
	if t.net == nil {
		if t.net, err = t.recipe.Network(); err != nil {
			return nil, err
		}
	}
	if err := t.recipe.check(t.net.Input); err != nil {
		return nil, err
	}
	if t.ranks, err = newRanks(o.Group, t.recipe); err != nil {
		return nil, err
	}
	if t.placed, err = t.net.Place(t.net.Input); err != nil {
		return nil, err
	}
	if t.recipe.Small != (Small{}) {
		if t.small, err = t.recipe.Small.place(t.placed); err != nil {
			return nil, err
		}
	}
	if ending, _ := t.placed.Ending(); ending == arch.EndsInSigmoid || ending == arch.EndsInProbabilities {
		return nil, &EndingError{t.net.Name, ending}
	}
	if t.train == nil {
		return nil, errors.New("there is no training set")
	}
	validation := o.Validation
	if validation == nil && t.recipe.HoldOut > 0 {
		if t.train, validation, err = HoldOut(t.train, t.recipe.HoldOut, t.recipe.Seed); err != nil {
			return nil, err
		}
	}
	if t.recipe.Schedule.Kind == "plateau" && validation == nil {
		return nil, ErrNoValidation
	}
	if err := t.checkData(validation, o.Test); err != nil {
		return nil, err
	}
	if t.recipe.Patience > 0 && validation == nil {
		return nil, ErrNoPatience
	}
	if t.classWeights, err = t.recipe.ClassWeights.weigh(t.train, o.Classes, t.placed.Output().C); err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	if err := t.recipe.measure(t.train, t.net.Input, t.threads); err != nil {
		return nil, err
	}
	pictures, err := t.recipe.pictures(t.net.Input)
	if err != nil {
		return nil, err
	}
	left := new(atomic.Int64)
	left.Store(o.Cache)
	if o.Cache == 0 {
		left.Store(defaultCache)
	}
	t.augmenter = newAugmenter(t.recipe.Augment, pictures, t.recipe.Seed)
	t.evaluator = &evaluator{augmenter: newAugmenter(Augment{}, pictures, 0), threads: t.threads, group: o.Group}
	if validation != nil {
		t.validation = newCachedSet(validation, t.evaluator.augmenter.prepare, left)
	}
	if o.Test != nil {
		t.test = newCachedSet(o.Test, t.evaluator.augmenter.prepare, left)
	}
	t.params = nn.NewParams(t.placed)
	passes := t.recipe.accumulate()
	t.perEpoch = t.train.Len() / t.recipe.Batch
	t.steps = int(math.Ceil(t.recipe.Epochs * float64(t.perEpoch)))
	t.feed = &feed{
		source: newCachedSet(t.train, t.augmenter.prepare, left),
		broken: &broken{limit: t.recipe.mayBreak()}, seed: t.recipe.Seed, threads: t.threads,
		first: t.ranks.Rank() * t.ranks.images, batch: t.ranks.images, whole: t.recipe.Batch / passes,
		perEpoch: t.perEpoch * passes, serial: o.Observe != nil,
	}
	if err := t.makeRules(); err != nil {
		return nil, err
	}
	if err := t.layOut(step); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	if t.optimiser, err = NewOptimiser(t.recipe.Optimiser, t.rules, t.params, t.threads); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	t.slots = map[*nn.Param]*slot{}
	for _, s := range t.optimiser.slots {
		t.slots[s.Param] = s
	}
	if passes > 1 {
		for _, s := range t.optimiser.slots {
			t.sums = append(t.sums, make([]float32, s.Count()))
		}
	}
	return t, nil
}

// checkData refuses data sets that the network has no class for, and one too small for a step.
func (t *Trainer) checkData(others ...Dataset) error {
	out := t.placed.Output()
	if out.H != 1 || out.W != 1 {
		return fmt.Errorf("%s answers with maps of %v, not with a class", t.net.Name, out)
	}
	if t.train.Len() < t.recipe.Batch {
		return fmt.Errorf("a batch of %d is larger than the training set of %d", t.recipe.Batch, t.train.Len())
	}
	if oneClass(t.train) {
		return fmt.Errorf("all %d samples are of class %d: a network learns to tell classes apart, and needs two at least",
			t.train.Len(), t.train.Label(0))
	}
	for _, d := range append(others, t.train) {
		if d == nil {
			continue
		}
		for i := range d.Len() {
			if label := d.Label(i); label < 0 || label >= out.C {
				return fmt.Errorf("sample %d is of class %d, %s has %d classes: give it as many as the data", i, label,
					t.net.Name, out.C)
			}
		}
	}
	return nil
}

// Close lets the run's memory and files go.
func (t *Trainer) Close() error {
	defer t.folder.release()
	t.feed.close()
	t.feed.kept.close()
	t.closePlans()
	if t.evaluator.plan != nil {
		t.evaluator.plan.Close()
	}
	if t.journal != nil {
		return t.journal.close()
	}
	return nil
}

func (t *Trainer) diverged(what string, args ...any) error {
	return &DivergedError{t.state.Step, fmt.Sprintf(what, args...), t.saved}
}

// finite is a *DivergedError if a parameter is not a finite number.
func (t *Trainer) finite() error {
	for _, p := range t.params.List {
		for _, v := range p.Data {
			if v-v != 0 {
				return t.diverged("%s holds %v", p.Name, v)
			}
		}
	}
	return nil
}

func (t *Trainer) seconds() float64 {
	if t.elapsed == nil {
		return t.state.Seconds
	}
	return t.state.Seconds + t.elapsed().Seconds()
}

func (t *Trainer) epoch() float64 { return float64(t.state.Step) / float64(t.perEpoch) }

func (t *Trainer) report(r Report) {
	if t.options.Report == nil {
		return
	}
	r.Step, r.Steps, r.Epoch, r.Images, r.Rate, r.Loss = t.state.Step, t.steps, t.epoch(), t.images, t.state.Rate,
		t.state.loss()
	r.Summing, r.Waited = t.ranks.Took(), t.ranks.waited
	if t.elapsed != nil {
		r.Elapsed = t.elapsed()
	}
	if t.images > 0 {
		done, before := t.work(t.state.Step), t.work(t.state.Step-t.images/t.recipe.Batch)
		r.Left = time.Duration(float64(r.Elapsed) * (t.work(t.steps) - done) / (done - before))
	}
	t.options.Report(r)
}

// Finished reports whether no step is left to take.
func (t *Trainer) Finished() bool { return t.state.Step == t.steps || t.state.Stopped }

// Params are the network's parameters: the result once Run has returned without an error.
func (t *Trainer) Params() *nn.Params { return t.params }

// Recipe is how it is trained, with what New has measured.
func (t *Trainer) Recipe() Recipe { return t.recipe }

// Classes are the names of Options; they may be fewer than the network's classes.
func (t *Trainer) Classes() []string { return t.options.Classes }

// Placement is the network that is trained, on its input.
func (t *Trainer) Placement() *arch.Placement { return t.placed }

// Preprocess is how pictures become the network's input.
func (t *Trainer) Preprocess() vision.Preprocess { return t.augmenter.preprocess }

// Plan is what computes the steps, from the first layer that learns on.
func (t *Trainer) Plan() *nn.Plan { return t.plan }

// Frozen is what computes the layers before; nil where none with parameters is before it.
func (t *Trainer) Frozen() *nn.Plan {
	if t.frozen == nil {
		return nil
	}
	return t.frozen.plan
}
