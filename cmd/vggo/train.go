package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/cluster"
	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/report/training"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// trainOptions are the flags of `vggo train`.
type trainOptions struct {
	recipe  string
	model   string
	set     []string
	epochs  float64
	batch   int
	rate    float64
	seed    uint64
	output  string
	resume  string
	from    string
	part    string
	take    []string
	freeze  []string
	classes int
	newHead string
	body    []string // the layers with weights before a new head
	cache   string
	notices []string // of the weights that the run begins with

	noParts    bool
	validation string
	test       bool
	threads    int
	elsewhere  bool

	rankTimeout time.Duration
	planFlags
	pictureFlags
	preprocessFlags

	changed string // what network has made of the network for the data, in words; empty where nothing
}

func newTrainCommand() *cobra.Command {
	var o trainOptions
	cmd := &cobra.Command{
		Use:   "train DATA",
		Short: "Train a network on pictures whose classes are known",
		Long: `Train a network and keep it in a folder, with its recipe, its metrics as JSON lines,
its best weights (best.safetensors), its last (model.safetensors), checkpoints, and in the end
report.html: curves, confusion matrix, the surest mistakes, all on one page.
DATA is a folder or archive with a folder of pictures for each class, CIFAR's binary or
Python version or IDX files as MNIST's, as for vggo eval. Of a set in parts (train, valid
and test, or what they are called elsewhere) the one to learn from is taken, and one for
validation validates.

A recipe says everything else: optimiser, schedule, augmentation, for how long. Those
that come along are ` + strings.Join(train.RecipeNames(), ", ") + `; a file's name ends in .yaml.
Single values are overridden by --set key=value.

An interrupted or killed run goes on with --resume FOLDER and ends with the same bits as
if nothing had happened.

Under mpirun (Open MPI or MPICH, a vggo built with -tags mpi) several processes train one
network; with --set parts=8, 1, 2, 4 and 8 of them end with the same bits.

--from begins with a file's weights. The last layer is made anew where its number of
classes is another, or the file names others; --new-head gap replaces all that is behind
the last map. --freeze keeps layers as they are, and what those before the first that
learns make of pictures is kept over epochs (--cache); --take names the only layers that
are taken from the file. Its pictures' preprocess goes on too,
unless --preprocess or its parts say another. Beside the names below, --preprocess
measured is the default recipe's: each channel's mean and deviation in the training set.`,
		Example: `  vggo train cifar10/ --recipe cifar10 --test -o cifar10-run
  vggo train fashion-mnist/ --recipe fashion-mnist --set epochs=5
  vggo train flowers/ --from vgg16.safetensors --freeze 'conv[1-4]_*' --rate 0.001 --set hold_out=200
  vggo train flowers/ --from vgg16 --freeze 'conv*' --new-head gap --set class_weights=balanced
  vggo train imagenet/ --recipe paper --model vgg11 --validation imagenet/val
  vggo train --resume cifar10-run
  mpirun -n 2 --bind-to none vggo train cifar10/ --recipe cifar10 --set parts=8`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 0 && o.resume == "" {
				return hint(fmt.Errorf("%d data sets named, not one", len(args)),
					"vggo train DIR --model tinyvgg; vggo train --resume DIR")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, args)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.recipe, "recipe", "r", "plain", "`recipe`: one that comes along, or a file")
	f.StringVarP(&o.model, "model", "m", "", "`network`: a built-in, a description or a compact string, as in vggo arch "+
		"(default: the recipe's, or what --from tells)")
	f.StringArrayVar(&o.set, "set", nil, "change a value of the recipe, as in `optimiser.rate=0.1`; may be given again")
	f.Float64Var(&o.epochs, "epochs", 0, "for how long (default: the recipe's)")
	f.IntVar(&o.batch, "batch", 0, "pictures of one step (default: the recipe's)")
	f.Float64Var(&o.rate, "rate", 0, "learning rate (default: the recipe's)")
	f.Uint64Var(&o.seed, "seed", 0, "of everything random (default: the recipe's)")
	f.StringVarP(&o.output, "output", "o", "vggo-run", "`folder` of the result")
	f.StringVar(&o.resume, "resume", "", "`folder` of a run to go on with")
	f.StringVar(&o.from, "from", "", "`file` of weights to begin with, or the name of pulled ones")
	f.StringVar(&o.part, "weights-part", "", partUsage)
	f.StringSliceVar(&o.take, "take", nil, "`patterns` of the layers to take from it (default: all)")
	f.StringSliceVar(&o.freeze, "freeze", nil, "`patterns` of layers that stay as they are, such as 'conv[1-4]_*'")
	f.StringVar(&o.newHead, "new-head", "", "the `head` that replaces the network's: gap, the average of each of the "+
		"last maps and one fully connected layer")
	f.StringVar(&o.cache, "cache", "auto", "what frozen layers make of pictures is kept over epochs in the run's folder: "+
		"auto, off or at most so many `bytes`, such as 8GB (auto: 4GB)")
	f.IntVar(&o.classes, "classes", 0, "classes of the network (default: the data's)")
	f.BoolVar(&o.noParts, "no-parts", false, "take each folder of DATA for a class, whatever it is called")
	f.StringVar(&o.validation, "validation", "", "data `set` to validate on, or none (default: what the recipe's "+
		"hold_out takes from DATA, or DATA's part for it)")
	f.BoolVar(&o.test, "test", false, "score the result on the part of DATA to test on, once, when all is done")
	f.IntVar(&o.threads, "threads", 0, "threads to compute with (default: one for each processor)")
	f.DurationVar(&o.rankTimeout, "rank-timeout", rankTimeout, "under mpirun: how long nothing may be heard of a rank; "+
		"0: as long as it takes")
	f.BoolVar(&o.elsewhere, "elsewhere", false, "resume where steps are computed otherwise than where the run began")
	o.planFlags.add(f)
	o.pictureFlags.add(f)
	o.preprocessFlags.add(f)
	_ = cmd.RegisterFlagCompletionFunc("model", completeNetworks)
	return cmd
}

// runFile keeps what a run's folder does not tell otherwise.
const runFile = "run.json"

func (o *trainOptions) run(cmd *cobra.Command, args []string) error {
	if err := checkThreads(o.threads); err != nil {
		return err
	}
	if err := o.pictureFlags.check(); err != nil {
		return err
	}
	if o.resume != "" {
		for _, name := range []string{"recipe", "model", "set", "epochs", "batch", "rate", "seed", "output", "from",
			"weights-part", "take", "freeze", "new-head", "classes", "no-parts"} {
			if cmd.Flags().Changed(name) {
				return usageError{fmt.Errorf("--resume and --%s exclude each other: a run goes on as it began", name)}
			}
		}
		if o.given() {
			return usageError{errors.New("--resume goes on as the run began: --preprocess and its parts cannot be given")}
		}
	}
	if o.from == "" && o.part != "" {
		return usageError{errors.New("--weights-part is of a file that --from names, which is missing")}
	}
	if o.noParts && o.test {
		return usageError{errors.New("--no-parts and --test exclude each other: without parts there is none to test on")}
	}
	if o.from == "" && o.take != nil {
		return usageError{errors.New("--take says what to take --from a file, which is missing")}
	}
	if o.newHead != "" && o.newHead != "gap" {
		return usageError{fmt.Errorf("--new-head: %q is not gap", o.newHead)}
	}
	features, err := o.features()
	if err != nil {
		return err
	}
	if o.rankTimeout < 0 {
		return usageError{fmt.Errorf("--rank-timeout must not be negative, not %v", o.rankTimeout)}
	}
	ctx, stop := untilTerminated(cmd.Context())
	defer stop()
	work := func(group *cluster.Group, out, faults io.Writer) error {
		options := train.Options{Group: group, Threads: o.threads, Elsewhere: o.elsewhere, Features: features}
		if launch, several := cluster.Launched(); several {
			options.Build, options.Cache = buildSum(), decodedBytes/int64(max(launch.Local, 1))
		}
		if err := o.apply(&options.Costs, &options.Budget); err != nil {
			return err
		}
		if o.resume != "" {
			return o.goOn(ctx, args, options, out, faults)
		}
		return o.begin(ctx, cmd, args[0], options, out, faults)
	}
	return asRank(&o.threads, o.rankTimeout, cmd.OutOrStdout(), cmd.ErrOrStderr(), work)
}

// begin trains from the start.
func (o *trainOptions) begin(ctx context.Context, cmd *cobra.Command, path string, options train.Options, out,
	faults io.Writer) (err error) {
	if options.Recipe, err = o.readRecipe(cmd); err != nil {
		return err
	}
	note := runNote{Test: o.test, NoParts: o.noParts, From: o.from, WeightsPart: o.part, Take: o.take,
		MaxPixels: o.maxPixels}
	if note.Data, err = filepath.Abs(path); err != nil {
		return err
	}
	if note.Validation = o.validation; o.validation != "" && o.validation != noValidation {
		if note.Validation, err = filepath.Abs(o.validation); err != nil {
			return err
		}
	}
	if err := note.open(&options, true, faults); err != nil {
		return err
	}
	note.Known = options.Classes
	close, prepared, err := o.network(&options, &note, faults)
	if err != nil {
		return hintModel(err)
	}
	defer func() { err = errors.Join(err, close()) }()
	for _, notice := range o.notices {
		fmt.Fprintf(faults, "vggo: %s\n", notice)
	}
	if note.Classes != nil {
		note.Known = note.Classes
	}
	note.Network, note.Changed = options.Network.Name, o.changed
	fitBatch(&options, faults)
	if err := fitsMemory(options); err != nil {
		return err
	}
	text, err := json.MarshalIndent(note, "", "  ")
	if err != nil {
		return err
	}
	options.Folder, options.Beside = o.output, map[string][]byte{runFile: append(text, '\n')}
	view := newTrainView(out, faults)
	options.Report = view.report
	trainer, err := train.New(options)
	if err != nil {
		return hintRanks(hintBegin(err), options.Recipe)
	}
	if o.changed != "" {
		printf(faults, "vggo: %s\n", o.changed)
	}
	printf(out, "%s, recipe %s, %d pictures of %d classes, to %s\n", trainer.Placement().Network.Name, options.Recipe.Name,
		options.Train.Len(), len(note.Known), o.output)
	prepared.Preprocess = trainer.Preprocess()
	printf(out, "%s\n", preparedLine(prepared))
	for _, told := range note.told {
		printf(out, "%s\n", told)
	}
	return finishRun(ctx, trainer, options.Folder, view)
}

// goOn resumes the run of a folder.
func (o *trainOptions) goOn(ctx context.Context, args []string, options train.Options, out, faults io.Writer) error {
	options.Folder = o.resume
	saved, err := train.ReadSaved(o.resume)
	var none *train.NoCheckpointError
	if errors.As(err, &none) {
		return hint(err, "begin the run again, without --resume")
	}
	if errors.As(err, new(*train.VersionError)) {
		return hintVersion(err, o.resume)
	}
	if err != nil {
		return err
	}
	var note runNote
	text, err := os.ReadFile(filepath.Join(o.resume, runFile))
	switch {
	case err == nil:
		if err := strict.Unmarshal(text, &note); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(o.resume, runFile), err)
		}
	case len(args) == 0:
		return hint(err, "name the data: vggo train DATA --resume "+o.resume)
	}
	if len(args) > 0 {
		note.Data = args[0]
	}
	if o.validation != "" {
		note.Validation, note.Part = o.validation, false
	}
	if o.maxPixels != vision.DefaultPixels {
		note.MaxPixels = o.maxPixels
	}
	note.Test = note.Test || o.test
	if err := note.open(&options, false, faults); err != nil {
		return err
	}
	if err := note.sameClasses(&options, saved, faults); err != nil {
		return err
	}
	view := newTrainView(out, faults)
	options.Report = view.report
	trainer, err := train.Resume(options, saved)
	if errors.As(err, new(*train.VersionError)) {
		return hintVersion(err, o.resume)
	}
	if err != nil {
		return hintRanks(hintResume(err), saved.Recipe)
	}
	for _, damaged := range saved.Damaged {
		fmt.Fprintf(faults, "vggo: %v; the run goes on from the one before, the damaged one is set aside as %s.damaged\n",
			damaged, filepath.Base(damaged.Path))
	}
	network := trainer.Placement().Network.Name
	if trainer.Finished() {
		fmt.Fprintf(out, "%s, recipe %s, is finished: all of its %d steps were taken, in %s\n", network,
			saved.Recipe.Name, saved.Step, o.resume)
		view.more = note.Data
	} else {
		fmt.Fprintf(out, "%s, recipe %s, goes on after step %d in %s\n", network, saved.Recipe.Name, saved.Step,
			o.resume)
	}
	return finishRun(ctx, trainer, o.resume, view)
}

// finishRun runs to the end and says what has come of it.
func finishRun(ctx context.Context, trainer *train.Trainer, folder string, view *trainView) error {
	result, err := trainer.Run(ctx)
	view.hide()
	if err == nil {
		err = training.Write(folder, trainer, result)
	}
	err = errors.Join(err, trainer.Close())
	var interrupted *train.InterruptedError
	var broken *train.BrokenError
	var diverged *train.DivergedError
	switch {
	case errors.As(err, &interrupted):
		return hint(err, "vggo train --resume "+shellWord(folder)+" goes on from there")
	case errors.As(err, &broken):
		return hintUnread(err, "--set broken=N leaves more out")
	case errors.As(err, new(*train.EmptyError)):
		return hintUnread(err, "")
	case errors.As(err, &diverged):
		return hint(err, "a lower --rate, a longer schedule.warm_up or a clip keeps it together")
	case err != nil:
		return err
	}
	return view.finish(result, folder)
}

// readRecipe is the recipe with what the flags change.
func (o *trainOptions) readRecipe(cmd *cobra.Command) (train.Recipe, error) {
	r, err := train.OpenRecipe(o.recipe)
	if err != nil {
		return r, err
	}
	for _, s := range o.set {
		if err := r.Set(s); err != nil {
			return r, usageError{fmt.Errorf("--set %w", err)}
		}
	}
	if o.model != "" {
		r.Model = networkName(o.model)
	}
	changed := cmd.Flags().Changed
	if changed("epochs") {
		r.Epochs = o.epochs
	}
	if changed("batch") {
		r = o.withBatch(r)
	}
	if changed("rate") {
		r.Optimiser.Rate = o.rate
	}
	if changed("seed") {
		r.Seed = o.seed
	}
	for _, pattern := range o.freeze {
		freeze := true
		r.Rules = append(r.Rules[:len(r.Rules):len(r.Rules)], train.Rule{Params: pattern, Freeze: &freeze})
	}
	return r, nil
}

// network finds the network and the values it begins with. close lets the file of these go.
func (o *trainOptions) network(options *train.Options, note *runNote, notices io.Writer) (close func() error,
	prepared root.Preparation, err error) {
	close = func() error { return nil }
	var file *weights.File
	if o.from != "" {
		if file, err = openWeights(o.from, o.part); err != nil {
			return close, prepared, err
		}
		close = file.Close
	}
	var net *arch.Network
	switch {
	case options.Recipe.Model != "":
		if net, err = options.Recipe.Network(); err == nil && file != nil {
			o.compareOwn(file, net)
		}
	case file != nil:
		if net, err = o.ownNetwork(file); err == nil {
			options.Recipe.Model = net.Name
		}
	default:
		err = hint(errors.New("no network named"), "--model tinyvgg; vggo arch --list lists all")
	}
	if err != nil {
		return close, prepared, err
	}
	anew := false
	if file != nil && o.take == nil && o.classes == 0 && o.newHead == "" {
		if anew, err = note.startClasses(file, options); err != nil {
			return close, prepared, err
		}
	}
	classes := o.classes
	classes = cmp.Or(classes, len(options.Classes))
	if classes != len(options.Classes) {
		options.Classes = nil // names for some of them would be none
	}
	whole := net
	placed, err := net.Place(net.Input)
	if err != nil {
		return close, prepared, err
	}
	head := ""
	if o.newHead != "" {
		if net, head, err = o.pooledHead(placed, classes); err != nil {
			return close, prepared, err
		}
		options.Recipe.Model = net.Name
	} else if placed.Output().C != classes || anew {
		if net, head, err = arch.WithClasses(net, classes); err != nil {
			return close, prepared, err
		}
		o.changed = fmt.Sprintf("%s tells %d classes apart, %s: its last layer, %s, is made for %[5]d", whole.Name,
			placed.Output().C, o.classesReason(classes), head, classes)
		if model, ok := arch.CompactWithClasses(options.Recipe.Model, classes); ok {
			options.Recipe.Model = model
		}
	}
	options.Network = net
	var own *root.Preparation
	if file != nil {
		if head == "" && o.take == nil {
			if err := note.keptHead(file, options); err != nil {
				return close, prepared, err
			}
		}
		var folded int
		if options.Start, own, folded, err = o.values(file, whole, head, anew, notices); err != nil {
			return close, prepared, err
		}
		options.Network = o.withoutConstants(withoutFirst(net, folded))
	}
	prepared, err = o.prepare(options, own)
	return close, prepared, err
}

// fitsMemory says before a run starts that it is too large, and what would do.
func fitsMemory(options train.Options) error {
	passes, ranks := max(options.Recipe.Accumulate, 1), options.Group.Size()
	if options.Recipe.Batch < passes*ranks || options.Recipe.Parts%ranks != 0 {
		return nil // train.New will say so
	}
	placed, err := options.Network.Place(options.Network.Input)
	if err != nil {
		return err
	}
	beside, err := options.Recipe.StateBytes(placed)
	if err != nil {
		return err
	}
	if placed, err = options.Recipe.Learning(placed); err != nil {
		return err
	}
	err = nn.CheckMemory(placed, nn.Options{
		Batch: options.Recipe.Batch / passes / ranks, Training: true, KeepProb: options.Recipe.Keep,
		Threads: options.Threads, Costs: options.Costs, Budget: options.Budget,
		Beside: beside, Share: nn.Share{Parts: options.Recipe.Parts / ranks},
	})
	var e *nn.MemoryError
	if !errors.As(err, &e) || e.Fits == 0 {
		return err
	}
	for passes++; passes < options.Recipe.Batch && (options.Recipe.Batch%passes != 0 ||
		options.Recipe.Batch/passes/ranks > e.Fits); passes++ {
	}
	return hint(err, "--set accumulate="+strconv.Itoa(passes)+" shares a batch among so many passes; a smaller --batch "+
		"needs less too")
}
