package main

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/embedded"
	"github.com/vggo/vggo/hub"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// modelFlags are the flags of commands that ask a trained network.
type modelFlags struct {
	model   string
	weights string
	part    string
	until   string // the last layer that is asked for; empty: the network is needed whole
	random  bool
	seed    uint64
	labels  string
	relabel bool
	threads int
	batch   int
	low     bool
	readFlags
	planFlags
	halfFlag
	pictureFlags
	preprocessFlags
}

func (o *modelFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&o.model, "model", "m", "", "`network`: a built-in, a description or a compact string, as in vggo arch "+
		"(default: what the weights tell)")
	f.StringVarP(&o.weights, "weights", "w", "", "`file` of weights (safetensors, PyTorch, ONNX, Keras or NumPy), or the "+
		"name of pulled ones (default: the embedded network, which knows CIFAR-10's ten classes)")
	f.StringVar(&o.part, "weights-part", "", partUsage)
	f.BoolVar(&o.random, "random-weights", false, "weights drawn at random instead of a file: a trial run, whose answers "+
		"mean nothing")
	f.Uint64Var(&o.seed, "seed", 1, "of random weights")
	f.StringVarP(&o.labels, "labels", "l", "", labelsHelp)
	f.BoolVar(&o.relabel, "relabel", false, "take the names of --labels although the weights have others")
	f.IntVar(&o.threads, "threads", 0, "threads to compute with (default: one for each processor)")
	f.IntVar(&o.batch, "batch", 0, "most pictures at once (default: as many as there are, up to 16)")
	f.BoolVar(&o.low, "low-memory", false, "take little memory beside the file of weights, and more time")
	o.readFlags.add(f)
	o.planFlags.add(f)
	o.halfFlag.add(f)
	o.pictureFlags.add(f)
	o.preprocessFlags.add(f)
	addAlias(cmd)
	cmd.MarkFlagsMutuallyExclusive("low-memory", "memory")
	_ = cmd.RegisterFlagCompletionFunc("model", completeNetworks)
}

// labelsHelp says what files of class names there are.
const labelsHelp = "`file` of class names, for weights that have none: one on each line, JSON (a list, " +
	"class_indices, imagenet_class_index, id2label) or YAML (names)"

// check refuses flags that make no sense together.
func (o *modelFlags) check() error {
	switch {
	case o.model != "" && isBinary(o.model):
		return usageError{hint(fmt.Errorf("--model %s: a network's description is text, and this file is not", o.model),
			"--weights "+o.model)}
	case o.weights == "" && o.model != "" && !o.random:
		return usageError{hint(fmt.Errorf("no weights for %s: a network without them knows nothing", o.model),
			"--weights FILE"+published(networkName(o.model))+"; --random-weights only tries out the way from picture to answer")}
	case o.weights != "" && o.random:
		return usageError{errors.New("--weights and --random-weights exclude each other")}
	case o.part != "" && o.weights == "":
		return usageError{errors.New("--weights-part is of a file that --weights names, which is missing")}
	case o.relabel && o.labels == "":
		return usageError{errors.New("--relabel is for --labels, which is missing")}
	case o.batch < 0:
		return usageError{fmt.Errorf("--batch must be at least 1, not %d", o.batch)}
	}
	if err := o.pictureFlags.check(); err != nil {
		return err
	}
	return checkThreads(o.threads)
}

// published names the first weights of a network that can be pulled, as another way; empty where there are none.
func published(network string) string {
	for _, e := range hub.All() {
		if e.Network == network {
			return fmt.Sprintf(", or vggo pull %s and --weights %[1]s", e.Name)
		}
	}
	return ""
}

// usualBatch is as many pictures as a pass takes where nothing else is asked for: beyond it VGG gains little.
const usualBatch = 16

// open makes the model, for passes of the given number of pictures where --batch does not say.
func (o *modelFlags) open(pictures int) (*root.Model, error) {
	options := root.Options{Network: networkName(o.model), Seed: o.seed, Threads: o.threads, Batch: o.batch,
		LowMemory: o.low, Part: o.part, Until: o.until, Half: o.Half}
	options.Batch = cmp.Or(options.Batch, min(max(pictures, 1), usualBatch))
	asked, err := o.stated()
	if err != nil {
		return nil, err
	}
	options.Input, options.Sigmoid = asked.Input, asked.Sigmoid
	if err := o.apply(&options.Costs, &options.Memory); err != nil {
		return nil, err
	}
	if options.Preprocess, err = o.parts(); err != nil {
		return nil, err
	}
	if o.labels != "" {
		labels, err := vision.ReadLabelsFile(o.labels)
		if err != nil {
			return nil, err
		}
		options.Classes, options.Synsets, options.Relabel = labels.Names, labels.Synsets, o.relabel
	}
	if o.random {
		options.Network = cmp.Or(options.Network, "vgg16")
		m, err := root.New(options.Network, options)
		return m, hintLabels(hintModel(err), o.labels)
	}
	if o.weights == "" || isEmbedded(o.weights) && o.part == "" {
		m, err := embedded.Open(options)
		return m, hintLabels(hintModel(err), o.labels)
	}
	path, err := weightsPath(o.weights)
	if err != nil {
		return nil, err
	}
	m, err := root.Open(path, options)
	return m, hintLabels(hintModel(err), o.labels)
}

// openAnswering opens the model for commands that ask for its classes: it must say how its outputs are read.
func (o *modelFlags) openAnswering(pictures int) (*root.Model, error) {
	m, err := o.open(pictures)
	if err != nil {
		return nil, err
	}
	if _, err := m.Ending(); err != nil {
		return nil, errors.Join(hintModel(err), m.Close())
	}
	return m, nil
}

// hintModel adds the remedy to what root.Open and root.New complain of.
func hintModel(err error) error {
	var (
		format      *weights.FormatError
		fit         *weights.MatchError
		undescribed *weights.UndescribedError
		unknown     *arch.UnknownError
		open        *weights.OpenSizeError
		unreadable  *weights.UnreadableError
		disagree    *weights.DisagreeError
		single      *root.OneOutputError
		features    *root.NoClassesError
	)
	if errors.As(err, new(hintedError)) {
		return err
	}
	if hinted, ok := hintPart(err); ok {
		return hinted
	}
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		return hintNetwork(err)
	case errors.As(err, &undescribed):
		return hint(err, "--model names it: a built-in (vggo arch --list), a description (Keras' to_json too), or a compact "+
			"string such as 32x32x3:64,M,128,M/10")
	case errors.As(err, &open):
		channels := "3"
		if open.Channels > 0 {
			channels = strconv.Itoa(open.Channels)
		}
		return hint(err, "--input tells it, as --input 224x224x"+channels+"; so does a --model that begins with it")
	case errors.As(err, &unreadable) && unreadable.Input != (arch.Shape{}):
		return hint(err, "another size may be the network's own: --input tells it")
	case errors.As(err, &unreadable) && unreadable.Remedied():
		return err
	case errors.As(err, &unreadable):
		return hint(err, "there is no way round it: what these layers compute vggo does not, and --model does not overrule "+
			"what a file states")
	case errors.As(err, &disagree) && disagree.Network == weights.AskedSigmoid:
		return hint(err, "leave --sigmoid out")
	case errors.As(err, &disagree) && disagree.Network == weights.AskedInput:
		return hint(err, "leave --input out")
	case errors.As(err, &disagree):
		return hint(err, "leave --model out: the file tells its network, which vggo arch shows")
	case errors.As(err, &single):
		return hint(err, "--sigmoid reads it as the probability of the second of two classes; vggo features writes the "+
			"number itself")
	case errors.As(err, &features):
		return hint(err, "vggo features --layer "+features.Layer+" writes the map; vggo train --from takes these weights "+
			"into a network with a classifier")
	case errors.As(err, &fit) && fit.Empty():
		return hint(err, "they are in another file, as model.state_dict() gives them; the settings of a training or its "+
			"optimiser's values are none")
	case errors.As(err, &fit):
		return hint(err, "--model must name the network that these weights were trained for")
	case errors.As(err, &format) && strings.HasPrefix(format.Reason, "no format"):
		return hint(err, "vggo reads safetensors, PyTorch (.pth, .pt, .bin), TensorFlow (checkpoints, .pb), ONNX, Keras "+
			"(.h5, .keras), NumPy (.npz, .npy, .pkl), MatConvNet (.mat), Caffe (.caffemodel), Torch7 (.t7), "+
			"Darknet (.weights) and MXNet (.params)")
	}
	return hintSmaller(err)
}

// hintLayer adds the remedy to a layer's name that a network has not; spec is what vggo arch knows the network by.
func hintLayer(err error, spec string) error {
	var none *arch.NoLayerError
	if !errors.As(err, &none) {
		return err
	}
	remedy := "vggo arch " + spec + " --describe lists all, in their order"
	if len(none.Near) > 0 {
		remedy = "did you mean " + strings.Join(none.Near, ", ") + "? " + remedy
	}
	return hint(err, remedy)
}

// archSpec is what vggo arch knows a model's network by.
func (o *modelFlags) archSpec(m *root.Model) string {
	switch {
	case o.weights != "" && !isEmbedded(o.weights):
		if path, err := weightsPath(o.weights); err == nil && o.model == "" {
			return path
		}
	case o.weights == "" && o.model == "":
		return m.Network.Name
	}
	return cmp.Or(o.model, m.Network.Name)
}

// layersHelp says how layers are called.
const layersHelp = `Layers have the names of vggo arch's table. The ReLU behind conv5_3 is a layer of its own,
relu5_3: the same output with its negative values at zero. vggo arch NAME --describe
lists them all.`
