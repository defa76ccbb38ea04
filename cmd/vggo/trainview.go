package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/vggo/vggo/train"
)

// trainView shows a run: on a terminal a bar below a line for each validation, elsewhere such lines, and now and then
// one of the steps between.
type trainView struct {
	out, faults io.Writer
	terminal    *os.File // nil: no bar
	bar         *progressbar.ProgressBar
	told        time.Duration // of the last plain line
	more        string        // the data of a run that was finished already, which can be trained on; empty for others
}

// plainEvery is how often a pipe is told of steps.
const plainEvery = 10 * time.Second

func newTrainView(out, faults io.Writer) *trainView {
	return &trainView{out: out, faults: faults, terminal: terminalOf(faults)}
}

// newBar is a bar of so many steps that leaves nothing behind.
func newBar(terminal *os.File, steps int) *progressbar.ProgressBar {
	return progressbar.NewOptions(steps, progressbar.OptionSetWriter(terminal), progressbar.OptionShowCount(),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30), progressbar.OptionSetPredictTime(false),
		progressbar.OptionThrottle(100*time.Millisecond))
}

func (v *trainView) report(r train.Report) {
	switch {
	case r.Fault != nil:
		v.hide()
		printFault(v.faults, fmt.Errorf("left out: %w", nameFlag(r.Fault)))
	case r.Notice != "":
		v.hide()
		printf(v.faults, "vggo: %s\n", r.Notice)
	case r.Saved != "":
	case r.Validation != nil:
		v.hide()
		fmt.Fprintf(v.out, "%s, validation: loss %.4f, accuracy %.2f %%\n", v.line(r), r.Validation.Loss,
			100*r.Validation.Accuracy)
		v.told = r.Elapsed
	case v.terminal != nil:
		v.draw(r)
	case r.Elapsed-v.told >= plainEvery:
		fmt.Fprintln(v.out, v.line(r))
		v.told = r.Elapsed
	}
}

// line is where a run is.
func (v *trainView) line(r train.Report) string {
	line := fmt.Sprintf("epoch %.2f, step %d of %d: loss %.4f, rate %.3g", r.Epoch, r.Step, r.Steps, r.Loss, r.Rate)
	if r.Images > 0 {
		line += fmt.Sprintf(", %.0f images/s", pace(r))
	}
	if r.Step < r.Steps {
		line += ", " + soon(r.Left) + " left"
	}
	return line
}

// soon is a duration as one says it, seconds too.
func soon(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%d s", int(d.Seconds()+0.5))
	}
	return roughly(d)
}

func pace(r train.Report) float64 { return float64(r.Images) / max(r.Elapsed.Seconds(), 1e-3) }

func (v *trainView) draw(r train.Report) {
	if v.bar == nil {
		progressOf(v.faults).silence()
		v.bar = newBar(v.terminal, r.Steps)
	}
	v.bar.Describe(fmt.Sprintf("epoch %.1f, loss %.3f, %.0f images/s, %s left", r.Epoch, r.Loss, pace(r), soon(r.Left)))
	_ = v.bar.Set(r.Step)
}

func (v *trainView) hide() {
	if v.bar != nil {
		_ = v.bar.Clear()
	}
}

// finish says what a run has come to.
func (v *trainView) finish(result train.Result, folder string) error {
	if result.Loss > 0 {
		fmt.Fprintf(v.out, "the last step's loss was %.4g\n", result.Loss)
	}
	if result.Summing > 0 {
		fmt.Fprintf(v.out, "gradients were on their way between ranks for %.1f s, for %.1f s of which the steps waited\n",
			result.Summing.Seconds(), result.Waited.Seconds())
	}
	if result.Stopped {
		fmt.Fprintf(v.out, "stopped after step %d by the recipe's patience: no validation after step %d was better\n",
			result.Steps, result.BestStep)
	}
	if result.BestStep == 0 {
		fmt.Fprintf(v.out, "nothing was validated, so %s/%s is the last state too: --validation or --set hold_out=N chooses "+
			"the best\n", folder, train.BestFile)
	} else {
		printf(v.out, "best validation: accuracy %.2f %% after step %d, in %s/%s\n", 100*result.Best, result.BestStep, folder,
			train.BestFile)
	}
	for _, score := range result.Test {
		fmt.Fprintf(v.out, "test, views %s: accuracy %.2f %%, loss %.4f, %d pictures\n", score.Views, 100*score.Accuracy,
			score.Loss, score.Pictures)
	}
	if result.Chance != nil {
		printf(v.faults, "vggo: %v\nhint: a lower --rate, a longer schedule.warm_up or --set clip=1; more --epochs, if it "+
			"was still falling\n", result.Chance)
	}
	err := printf(v.out, "the network is %s/%s, its report %[1]s/%[3]s\n", folder, train.ModelFile, train.ReportFile)
	if v.more != "" && err == nil {
		err = printf(v.out, "to train it on: vggo train %s --from %s/%s --epochs N -o another folder\n", v.more, folder,
			train.ModelFile)
	}
	return err
}
