package vggo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/fault"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// Model is a network with its weights. Its methods may be called from several goroutines: pictures are prepared side by
// side, the network takes one batch at a time on all its threads. A result does not depend on what else is asked
// meanwhile.
type Model struct {
	Network    *arch.Network
	Input      arch.Shape      // of one image
	Placed     *arch.Placement // Network on Input
	Preprocess Preparation     // how a picture becomes the network's input, and how that is known
	Classes    []string        // a name for each class; nil where nothing tells them
	Origin     string          // the file of weights, or "random weights, seed 1"
	// whose names the file uses: "torchvision", "Keras" …; empty for random weights and names that say nothing
	Family string
	Guess  bool // the file's names say nothing: parameters were found by their order and shapes
	// the part that was taken of a file with several networks' weights, as weights.File has it; else empty
	Part   string
	Others []weights.Part // that were not

	Synsets      []string // WordNet's number for each of Classes, as n01440764; nil where nothing tells them
	ClassesGuess string   // why Classes are a guess; empty where the file or the options name them

	classes  int         // that the outputs tell apart
	ending   arch.Ending // how they are read
	features bool        // they are a map, and no classes

	file *weights.File // that params are mapped from; nil for random weights
	// what the file has not of the whole network, of which Network then is the beginning; nil for a whole one
	lacks     error
	params    *nn.Params
	options   nn.Options
	lowMemory bool // options.Budget is what can be done with little, not a limit

	turn       chan struct{} // holds one token: whoever takes it runs the network
	whole      *nn.Plan      // nil until it is asked for, as dense and inside
	beginnings recent[string]
	dense      *dense
	inside     *nn.Plan // that keeps every map
	tapped     recent[*Taps]
	laps       []time.Duration // of its steps
	once       sync.Once
}

// beginningPlans are kept at once, each for one layer that Features stops at. They share the network's packed weights;
// their own are maps and workspace.
const beginningPlans = 2

// Options say how a Model is made and run. The zero value has a sensible meaning for every field.
type Options struct {
	// Network is a built-in's name, a description's path or a compact string, as arch.Open takes; empty: what the file
	// tells. It does not overrule a file that describes its network (ONNX, Keras with its configuration, vggo's own note):
	// where the two compute differently, Open is a *weights.DisagreeError.
	Network string
	// Input is the size of the network's pictures where the file leaves it open; zero: as the network says.
	Input arch.Shape
	// Sigmoid reads the outputs as probabilities each by itself, where nothing else states it. A single output is then the
	// second of two classes. A file that states a softmax over several outputs is a *weights.DisagreeError.
	Sigmoid    bool
	Preprocess vision.PreprocessParts // of how a picture becomes the input; what is left out is as Prepare decides
	Classes    []string               // names; nil: the file's, or ImageNet's for a network trained on it
	Seed       uint64                 // of New's random weights
	Threads    int                    // 0: one for each processor that Go may use
	// Batch is the most images of one pass; 0 counts as 1. A network of many images may compute by other algorithms than
	// one of a single image, whose roundings differ.
	Batch  int
	Memory int64 // most bytes that the network may take, parameters included; 0: any
	// LowMemory keeps what the network takes beside its parameters under LowMemoryLimit, or as little over it as can be,
	// by slower algorithms. Parameters that are mapped from a file are not private: the system drops their pages when it
	// is short.
	LowMemory bool
	// Half keeps weights in 16 bits, half the bytes that a single image waits for. VGG-16's logits differ by some 4e-4 of
	// themselves with fully connected layers' weights, by 3e-3 with all. Weights that float16 has no room for are an
	// *nn.HalfError.
	Half  nn.Half
	Costs nn.CostTable
	// Part is the part to take of a file with several networks' weights, as weights.OpenPart takes it; empty: the plain
	// ones.
	Part string
	// Until is the last layer whose output will be asked for. Where the file lacks layers behind it, as weights without a
	// classifier do, the Model's Network ends there. Empty: the file must have all.
	Until string

	Synsets []string // WordNet's numbers of Classes, if they are known
	// Relabel takes Classes whatever the file notes. Without it classes that are called otherwise than in the file's notes
	// are a *LabelsError. Numbers, which a network has that learned from MNIST's files, are no names.
	Relabel bool
}

// Open makes a Model of a file of weights in any format that weights.Open reads. The network is the one that the file
// describes or whose names it follows; a file that tells none needs Options.Network. A file that is shortened before
// Close makes errors, not crashes.
func Open(path string, options Options) (*Model, error) {
	file, err := weights.OpenPart(path, options.Part)
	if err != nil {
		return nil, err
	}
	return opened(file, options)
}

// Read is Open for the bytes of a file, which name stands for. They must not change until Close.
func Read(name string, data []byte, options Options) (*Model, error) {
	file, err := weights.ReadPart(name, data, options.Part)
	if err != nil {
		return nil, err
	}
	return opened(file, options)
}

// opened makes a Model of a file, which it closes where it cannot.
func opened(file *weights.File, options Options) (*Model, error) {
	m, err := open(file, options)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return m, nil
}

func open(file *weights.File, options Options) (*Model, error) {
	placed, err := options.network(file)
	if err != nil {
		return nil, err
	}
	matched, err := weights.Match(file, placed.Layers)
	var lacks error
	if err != nil && options.Until != "" {
		if beginning, part := begins(file, placed, options.Until); part != nil {
			placed, matched, lacks, err = beginning, part, err, nil
		}
	}
	if err != nil {
		return nil, err
	}
	m, err := newModel(placed, options)
	if err != nil {
		return nil, err
	}
	if err := m.params.LoadFrom(matched); err != nil {
		return nil, cmp.Or(file.Check(), err)
	}
	if err := file.Check(); err != nil {
		return nil, err
	}
	m.file, m.Origin, m.Family = file, file.Path, matched.Family
	m.lacks, m.Guess, m.Part, m.Others = lacks, matched.Guess, file.Part, file.Others
	if m.Preprocess, err = Prepare(options.Preprocess, placed, file, matched); err != nil {
		return nil, err
	}
	name, _, _ := strings.Cut(m.Preprocess.Name, "-")
	return m, m.nameClasses(options, file, name == "imagenet" || name == "caffe")
}

// begins is a network up to a layer where a file has just that of it, else nil.
func begins(file *weights.File, placed *arch.Placement, until string) (*arch.Placement, *weights.Matched) {
	beginning, err := placed.Until(until)
	if err != nil {
		return nil, nil
	}
	wanted := func(layer string) bool { _, ok := beginning.Layer(layer); return ok }
	matched, err := weights.MatchLayers(file, placed.Layers, weights.Layers{Wanted: wanted})
	if err != nil {
		return nil, nil
	}
	return beginning, matched
}

// incomplete says what a Model of a network's beginning cannot do.
func (m *Model) incomplete() error {
	if m.lacks == nil {
		return nil
	}
	last := m.Network.Layers[len(m.Network.Layers)-1].Name
	return fmt.Errorf("%s is here up to %s alone: %w", m.Network.Name, last, m.lacks)
}

// New makes a Model with random weights, for trying out and timing: its answers mean nothing. The network is as
// arch.Open takes it, "vgg16" for one.
func New(network string, options Options) (*Model, error) {
	options.Network = network
	placed, err := options.network(nil)
	if err != nil {
		return nil, err
	}
	m, err := newModel(placed, options)
	if err != nil {
		return nil, err
	}
	m.params.Init(nn.He, options.Seed)
	m.Origin = fmt.Sprintf("random weights, seed %d", options.Seed)
	if m.Preprocess, err = Prepare(options.Preprocess, placed, nil, nil); err != nil {
		return nil, err
	}
	return m, m.nameClasses(options, nil, false)
}

// network is the one to run with a file's weights, or where there is no file the one that is asked for.
func (o Options) network(file *weights.File) (*arch.Placement, error) {
	asked := weights.Asked{Input: o.Input, Sigmoid: o.Sigmoid}
	if o.Network != "" || file == nil {
		var err error
		if asked.Network, err = weights.OpenNetwork(o.Network); err != nil {
			return nil, err
		}
	}
	if file == nil {
		file = new(weights.File) // which tells nothing
	}
	return file.Resolve(asked)
}

// newModel is a Model without values in its parameters.
func newModel(placed *arch.Placement, o Options) (*Model, error) {
	m := &Model{
		Network: placed.Network, Input: placed.Input, Placed: placed,
		options: nn.Options{Batch: max(o.Batch, 1), Threads: o.Threads, Budget: o.Memory, Costs: o.Costs, Half: o.Half},
		turn:    make(chan struct{}, 1), beginnings: recent[string]{most: beginningPlans},
		tapped: recent[*Taps]{most: tappedPlans},
	}
	if o.LowMemory && o.Memory == 0 {
		m.lowMemory = true
		if err := m.economise(); err != nil {
			return nil, err
		}
	}
	if err := nn.CheckMemory(placed, m.options); err != nil {
		return nil, err
	}
	m.params = nn.NewParams(placed)
	if o.Half != nn.HalfNone {
		m.params = nn.NewHalfParams(placed)
	}
	m.ending, _ = placed.Ending()
	m.features, m.classes = placed.EndsInMap(), placed.Classes()
	m.turn <- struct{}{}
	return m, nil
}

// LowMemoryLimit is what Options.LowMemory allows beside the parameters: with the program itself, which takes about 30
// MB, a process of VGG-16 stays under 250 MB of private memory.
const LowMemoryLimit = 128 << 20

// economise sets the plans' budget for Options.LowMemory.
func (m *Model) economise() error {
	memory, _, err := nn.Predict(m.Placed, m.options)
	if err != nil {
		return err
	}
	m.options.Budget = memory.Weights + LowMemoryLimit
	m.options, _, err = sufficient(m.Placed, m.options)
	return err
}

// sufficient raises a budget that a network's plan does not fit into to the least that it takes, and tells the plan's
// memory.
func sufficient(placed *arch.Placement, options nn.Options) (nn.Options, nn.Memory, error) {
	memory, _, err := nn.Predict(placed, options)
	var short *nn.MemoryError
	if errors.As(err, &short) {
		options.Budget = short.Need
		memory, _, err = nn.Predict(placed, options)
	}
	return options, memory, err
}

// Batch is the most images of one pass.
func (m *Model) Batch() int { return m.options.Batch }

// Memory is the most bytes that the model takes, beside a mapped file of weights: packed weights, maps and workspace of
// the network and of whichever beginnings Features keeps. ClassifyDense's plans come on top, and what GradientCost
// tells.
func (m *Model) Memory() (int64, error) {
	whole, _, err := nn.Predict(m.Placed, m.options)
	if err != nil {
		return 0, err
	}
	bytes := whole.Total()
	if m.file != nil {
		bytes -= whole.Weights - m.params.Rounded()
	}
	var extra []int64
	for _, layer := range m.Network.Layers {
		beginning, err := m.Placed.Until(layer.Name)
		if err != nil {
			return 0, err
		}
		part, groups, err := nn.Predict(beginning, m.options)
		if err != nil {
			return 0, err
		}
		n := part.Activations + part.Workspace
		choices := nn.Choices(groups)
		switch {
		case m.options.Budget > 0: // its convolutions may go by other algorithms than the whole network's
			n += part.Packing
		case len(choices) > 0: // it may end before the batch norm that is folded into its last convolution
			last := choices[len(choices)-1]
			for _, c := range last.Candidates {
				if c.Algo == last.Algo {
					n += c.Bytes
				}
			}
		}
		extra = append(extra, n)
	}
	slices.Sort(extra)
	for _, n := range extra[max(len(extra)-beginningPlans, 0):] {
		bytes += n
	}
	return bytes, nil
}

// Check is an error if the file of weights has been shortened: a pass would fail. The model goes on when it is whole
// again.
func (m *Model) Check() error {
	if m.file == nil {
		return nil
	}
	return m.file.Check()
}

// Close lets the file of weights go. No method may run or be called after it.
func (m *Model) Close() (err error) {
	m.once.Do(func() {
		if m.whole != nil {
			m.whole.Close()
		}
		m.closeSeldom()
		if m.file != nil {
			err = m.file.Close()
		}
	})
	return err
}

// Trim lets go of the memory that is laid out for Features, Inside and ClassifyDense, which lay it out again when they
// are called. It does nothing while the model computes. Forward's memory stays.
func (m *Model) Trim() {
	select {
	case <-m.turn:
		defer func() { m.turn <- struct{}{} }()
		m.closeSeldom()
	default:
	}
}

// closeSeldom closes the plans beside Forward's. The caller has the turn.
func (m *Model) closeSeldom() {
	m.beginnings.close()
	m.tapped.close()
	if m.inside != nil {
		m.inside.Close()
		m.inside = nil
	}
	if m.dense != nil {
		m.dense.plans.close()
	}
}

// Classify returns all classes of a picture, the most probable first.
func (m *Model) Classify(ctx context.Context, picture image.Image) ([]Class, error) {
	ranked, err := m.ClassifyAll(ctx, []*vision.Picture{vision.FromImage(picture)})
	if err != nil {
		return nil, err
	}
	return ranked[0], nil
}

// ClassifyAll is Classify for several pictures, in passes of up to Options.Batch.
func (m *Model) ClassifyAll(ctx context.Context, pictures []*vision.Picture) ([][]Class, error) {
	batch, err := m.Prepare(ctx, pictures)
	if err != nil {
		return nil, err
	}
	logits, err := m.Forward(ctx, batch)
	if err != nil {
		return nil, err
	}
	ranked := make([][]Class, len(pictures))
	for n := range ranked {
		if ranked[n], err = m.Rank(logits.Images(n, n+1)); err != nil {
			return nil, err
		}
	}
	return ranked, nil
}

// Prepare makes a batch of pictures by the model's pre-processing.
func (m *Model) Prepare(ctx context.Context, pictures []*vision.Picture) (*tensor.Tensor, error) {
	batch := tensor.New(len(pictures), m.Input.C, m.Input.H, m.Input.W)
	for n, p := range pictures {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := m.Preprocess.Put(batch, n, p); err != nil {
			return nil, err
		}
	}
	return batch, nil
}

// Forward returns the logits, N x classes x 1 x 1, of a batch of prepared images, N x C x H x W, in passes of up to
// Options.Batch. ctx is looked at before each pass and between its layers.
func (m *Model) Forward(ctx context.Context, images *tensor.Tensor) (*tensor.Tensor, error) {
	if err := m.incomplete(); err != nil {
		return nil, err
	}
	return m.forward(ctx, m.Placed, "", images)
}

// Features returns the output of a layer, N x C x H x W, for a batch of prepared images. The layers after it are not
// computed. Names are those of the network's table: "fc7" is the fully connected layer's own output, "relu7" the same
// without its negative values.
func (m *Model) Features(ctx context.Context, layer string, images *tensor.Tensor) (*tensor.Tensor, error) {
	beginning, err := m.Placed.Until(layer)
	if err != nil {
		return nil, cmp.Or(m.incomplete(), err)
	}
	return m.forward(ctx, beginning, layer, images)
}

// forward runs the network or its beginning, up to a layer.
func (m *Model) forward(ctx context.Context, placed *arch.Placement, until string,
	images *tensor.Tensor) (*tensor.Tensor, error) {
	if images.N == 0 {
		return tensor.New(0, 0, 0, 0), nil
	}
	select {
	case <-m.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { m.turn <- struct{}{} }()
	plan, err := m.plan(placed, until)
	if err != nil {
		return nil, err
	}
	_, logits := placed.Ending()
	var out *tensor.Tensor
	for from := 0; from < images.N; from += plan.Batch {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		to := min(from+plan.Batch, images.N)
		if err := m.intact(plan.ForwardContext(ctx, images.Images(from, to))); err != nil {
			return nil, err
		}
		result := plan.Logits()
		if until != "" && logits < len(placed.Layers) { // a softmax is a layer like any other when it is asked for
			result = plan.Probabilities()
		}
		if out == nil {
			out = tensor.New(images.N, result.C, result.H, result.W)
		}
		copy(out.Images(from, to).Data, result.Data)
	}
	return out, nil
}

// plan returns the plan of the network or of its beginning, laid out when it is first asked for. The caller has the
// turn.
func (m *Model) plan(placed *arch.Placement, until string) (*nn.Plan, error) {
	compile := func() (*nn.Plan, error) {
		p, err := nn.Compile(placed, m.params, m.options)
		return p, m.intact(err)
	}
	if until != "" {
		return m.beginnings.get(until, compile)
	}
	if m.whole == nil {
		p, err := compile()
		if err != nil {
			return nil, err
		}
		m.whole = p
	}
	return m.whole, nil
}

// intact is err, or what was done to the file of weights meanwhile. A shortened file is not always a fault: the rest of
// its last page reads as zeros.
func (m *Model) intact(err error) error {
	if short := m.Check(); short != nil {
		return short
	}
	if errors.As(err, new(*fault.Error)) { // and is whole again
		return fmt.Errorf("%s: %w", m.Origin, err)
	}
	return err
}
