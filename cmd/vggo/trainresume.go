package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/train"
	"github.com/vggo/vggo/vision"
)

// untilTerminated is ctx until a signal asks the process to end, as systems that shut down and terminals that close do:
// a run then saves its state, as after Ctrl-C. A second signal ends the process at once.
func untilTerminated(ctx context.Context) (context.Context, context.CancelFunc) {
	signals := []os.Signal{syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup has a run outlive its terminal
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(ctx, signals...)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// classesReason says who wants a network to have so many classes.
func (o *trainOptions) classesReason(classes int) string {
	if o.classes > 0 {
		return fmt.Sprintf("--classes says %d", classes)
	}
	return fmt.Sprintf("the data has %d", classes)
}

// withBatch is a recipe with the batch that --batch gives. Passes that cannot share it are made fewer, unless --set
// gives them.
func (o *trainOptions) withBatch(r train.Recipe) train.Recipe {
	given := slices.ContainsFunc(o.set, func(s string) bool { return strings.HasPrefix(s, "accumulate") })
	if !given && r.Accumulate > 1 && o.batch%r.Accumulate != 0 {
		return r.WithBatch(o.batch)
	}
	r.Batch = o.batch
	return r
}

// fitBatch lets a batch be all pictures to learn from where there are fewer.
func fitBatch(options *train.Options, faults io.Writer) {
	r := &options.Recipe
	have := options.Train.Len()
	if options.Validation == nil {
		have -= r.HoldOut
	}
	if r.Batch <= have || have < 1 { // where nothing is left, train says what is wrong
		return
	}
	fmt.Fprintf(faults, "vggo: a batch is all of the %d pictures to learn from: there are fewer than the %d of the "+
		"recipe\n", have, r.Batch)
	*r = r.WithBatch(have)
}

// hintBegin adds remedies to what train.New says.
func hintBegin(err error) error {
	var occupied *train.OccupiedError
	var running *train.RunningError
	switch {
	case errors.As(err, &occupied):
		return hint(err, "--resume "+occupied.Folder+" goes on with it; -o names another folder")
	case errors.As(err, &running):
		return hint(err, "-o names another folder")
	case errors.As(err, new(*train.EndingError)):
		return hint(err, "--model names one with an output for each class and no sigmoid, such as 16x16x3:8,M/16,2 for two")
	case errors.As(err, new(*train.EmptyError)):
		return hintUnread(err, "")
	case errors.As(err, new(*nn.MemoryError)):
		return hint(err, "a larger --memory; a smaller --batch and --set init.level=false need less")
	case errors.Is(err, train.ErrNothingLearns):
		return hint(err, "--freeze, rates and rules must leave a layer to learn")
	case errors.Is(err, train.ErrNoValidation), errors.Is(err, train.ErrNoPatience):
		return hint(err, "--validation names a set; --set hold_out=N takes N of the pictures for it")
	}
	return err
}

// hintUnread says how pictures that cannot be read may be: let in, where they are too large, or as else says.
func hintUnread(err error, otherwise string) error {
	var large *vision.SizeError
	var remedies []string
	if errors.As(err, &large) && !large.CutOff {
		remedies = append(remedies, "--max-pixels "+strconv.Itoa(large.W*large.H)+" takes it")
	}
	if otherwise != "" {
		remedies = append(remedies, otherwise)
	}
	if remedies == nil {
		return err
	}
	return hint(err, strings.Join(remedies, "; "))
}

// hintResume adds remedies to what train.Resume says.
func hintResume(err error) error {
	var machine *train.MachineError
	var running *train.RunningError
	var other *train.OtherDataError
	switch {
	case errors.As(err, &machine):
		return hint(err, "--elsewhere goes on all the same; VGGO_KERNEL chooses the kernels")
	case errors.As(err, &running):
		return hint(err, "wait until it ends, or end it: it saves its state")
	case errors.As(err, &other):
		return hint(err, "a run goes on with the data that it began with; for other data begin one, without --resume and "+
			"with another -o")
	}
	return err
}

// sameClasses refuses to go on with classes of other names, and says what an older checkpoint does not tell. Where the
// network has more classes than names, the run's note alone knows these.
func (n runNote) sameClasses(options *train.Options, saved *train.Saved, faults io.Writer) error {
	if unchecked := saved.Unchecked(); unchecked != nil {
		fmt.Fprintf(faults, "vggo: the checkpoint is of an older vggo, and does not tell whether these are the same as when "+
			"the run began: %s\n", strings.Join(unchecked, ", "))
	}
	if n.Known != nil {
		if err := train.SameClasses(saved.Path, n.Known, options.Classes); err != nil {
			return hintResume(err)
		}
	}
	if saved.Classes == nil {
		options.Classes = nil // names for some of its classes would be none
	}
	return nil
}

// hintVersion says how to use a run that this version does not go on with.
func hintVersion(err error, folder string) error {
	remedy := "the vggo that began the run goes on with it"
	best := filepath.Join(folder, train.BestFile)
	if _, fault := os.Stat(best); fault == nil {
		remedy += "; --from " + shellWord(best) + ", with the data and another -o, begins a new one with its weights"
	}
	return hint(err, remedy)
}
