package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/bench"
	"github.com/vggo/vggo/cluster"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/internal/sheet"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/report"
	"github.com/vggo/vggo/report/roofline"
	"github.com/vggo/vggo/train"
)

// benchOptions are the flags of `vggo bench`.
type benchOptions struct {
	model    string
	input    string
	batch    int
	steps    int
	burnIn   int
	mode     string
	recipe   string
	algo     string
	threads  int
	keepProb float64
	seed     uint64
	layers   bool
	explain  bool
	format   string
	output   string
	json     bool
	planFlags
	halfFlag
}

func newBenchCommand() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Time a network forward and forward-backward, as the article does, or training",
		Long: `Print the network's layers, then time it on a batch of random images: burn-in
steps that do not count, then a line every ten steps, mean and standard
deviation. Forward computes the predictions; forward-backward the gradient of
sum(logits²)/2 with respect to every parameter, dropout on. Beforehand it says
about how long that takes and, if more than a minute, how to see a figure sooner.

--mode train times what vggo train does with a batch: it augments pictures (random
ones), goes forward and backward, moves the weights and packs them anew, as --recipe
says. As many steps again are taken part by part to tell where the time goes. Under
mpirun the ranks share each batch, and it tells for how long sums of gradients are under
way: exposed, while a step waits, and hidden behind the backward pass.

GFLOP/s count 2 for each multiply-accumulate of a direct convolution; the peak is
this machine's own, measured in the same run on the same threads. Winograd's
algorithm multiplies less often, so that more than 100 % of the peak is possible.

--layers also holds each pass of each layer against the read bandwidth measured
in the same run: the bytes that must cross memory at least once (weights as the
algorithm reads them, input and output, or their gradients) over its time. Maps
that stay in the cache between layers make more than 100 % possible here too.
-o roofline.svg draws both as a roofline.

--explain-plan times nothing: it tells how each convolution would be computed,
what that was chosen from, and why. vggo calibrate measures this machine's prices.`,
		Example: `  vggo bench --steps 10
  vggo bench --model vgg19 --batch 1 --mode forward
  vggo bench --layers --steps 5 --mode forward
  vggo bench --mode train --recipe cifar10 --steps 20
  vggo bench --steps 5 -o roofline.svg
  vggo bench --explain-plan --batch 1 --memory 700MB --mode forward`,
		Args: noArguments("--model"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.model, "model", "vgg16-article", "built-in `network`, description file or compact string")
	f.StringVar(&o.input, "input", "", "input size, `HxWxC` (default: the network's own)")
	f.IntVar(&o.batch, "batch", 32, "images in a step")
	f.IntVar(&o.steps, "steps", 100, "steps that count")
	f.IntVar(&o.burnIn, "burn-in", 10, "steps before them that do not")
	f.StringVar(&o.mode, "mode", "both", "`forward`, forward-backward, both or train")
	f.StringVarP(&o.recipe, "recipe", "r", "", "for --mode train, the `recipe`; it brings model, batch and dropout where "+
		"they are not given")
	f.StringVar(&o.algo, "algo", "auto", "of convolutions: `auto` (the quickest by shape, batch and prices), direct, "+
		"winograd2, winograd4 or winograd6")
	f.IntVar(&o.threads, "threads", 0, "threads (default: one for each processor)")
	f.Float64Var(&o.keepProb, "keep-prob", 0.5, "dropout's keep probability, forward-backward; forward always has 1")
	f.Uint64Var(&o.seed, "seed", 1, "seed of weights, images and dropout")
	f.BoolVar(&o.layers, "layers", false, "also time each layer")
	f.BoolVar(&o.explain, "explain-plan", false, "time nothing: tell how each convolution would be computed, and why")
	f.StringVar(&o.format, "format", "", "`FORMAT`: table, json or svg, a roofline of the layers (default: by the ending "+
		"of -o's file, else table)")
	f.BoolVar(&o.json, "json", false, "short for --format json; the steps go to standard error, as for svg")
	f.StringVarP(&o.output, "output", "o", "", "write the result to a `FILE`, which appears only once it is whole")
	o.planFlags.add(f)
	o.halfFlag.add(f)
	cmd.MarkFlagsMutuallyExclusive("format", "json")
	_ = cmd.RegisterFlagCompletionFunc("model", completeNetworks)
	return cmd
}

// benchOutput is what --json prints.
type benchOutput struct {
	Model   string          `json:"model"`
	Input   arch.Shape      `json:"input"`
	Batch   int             `json:"batch"`
	Algo    string          `json:"algo"`
	Half    string          `json:"half"`
	BurnIn  int             `json:"burn_in"`
	Machine bench.Machine   `json:"machine"`
	Results []*bench.Result `json:"results"`
}

var (
	benchFormats = []string{"table", "json", "svg"}
	benchEndings = []ending{{".svg", "svg"}, {".json", "json"}, {".txt", "table"}}
)

func (o *benchOptions) modes() ([]bench.Mode, error) {
	switch o.mode {
	case "both":
		return []bench.Mode{bench.Forward, bench.ForwardBackward}, nil
	case string(bench.Forward), string(bench.ForwardBackward), string(bench.Training):
		return []bench.Mode{bench.Mode(o.mode)}, nil
	}
	return nil, usageError{fmt.Errorf("unknown mode %q: forward, forward-backward, both or train", o.mode)}
}

// training makes the recipe of --mode train, and takes what it says where no flag says otherwise.
func (o *benchOptions) training(changed func(string) bool) (*train.Recipe, error) {
	if o.mode != string(bench.Training) {
		if o.recipe != "" {
			return nil, usageError{errors.New("--recipe is for --mode train")}
		}
		return nil, nil
	}
	if o.explain || changed("algo") || changed("input") {
		return nil, usageError{errors.New("--mode train runs as vggo train does: without --algo, --input and --explain-plan")}
	}
	r, err := train.OpenRecipe(cmp.Or(o.recipe, "plain"))
	if err != nil {
		return nil, err
	}
	if changed("model") || r.Model == "" {
		r.Model = networkName(o.model)
	}
	o.model = r.Model
	if !changed("batch") {
		o.batch = r.Batch
	}
	r.Batch = o.batch
	if changed("keep-prob") {
		r.Keep = o.keepProb
	}
	return &r, nil
}

func (o *benchOptions) config(recipe *train.Recipe) (bench.Config, error) {
	c := bench.Config{Recipe: recipe, Batch: o.batch, Steps: o.steps, BurnIn: o.burnIn, Threads: o.threads,
		KeepProb: o.keepProb, Seed: o.seed}
	switch {
	case o.batch < 1:
		return c, usageError{fmt.Errorf("--batch must be at least 1, not %d", o.batch)}
	case o.steps < 1:
		return c, usageError{fmt.Errorf("--steps must be at least 1, not %d", o.steps)}
	case o.burnIn < 0:
		return c, usageError{fmt.Errorf("--burn-in must not be negative, not %d", o.burnIn)}
	case !(o.keepProb > 0 && o.keepProb <= 1):
		return c, usageError{fmt.Errorf("--keep-prob must lie in (0, 1], not %v", o.keepProb)}
	}
	var err error
	switch {
	case o.json:
		o.format = "json"
	case o.format == "":
		if o.format, err = formatOf(o.output, "table", benchEndings); err != nil {
			return c, err
		}
	}
	switch {
	case !slices.Contains(benchFormats, o.format):
		return c, usageError{fmt.Errorf("unknown format %q: want %s", o.format, printable.Or(benchFormats))}
	case o.format == "svg" && o.explain:
		return c, usageError{errors.New("--explain-plan has nothing to draw: table or json")}
	}
	c.Layers = o.layers || o.format == "svg" // which draws them
	if err := checkThreads(o.threads); err != nil {
		return c, err
	}
	if err = o.apply(&c.Costs, &c.Budget); err != nil {
		return c, err
	}
	if c.Half = o.Half; c.Half != nn.HalfNone && o.mode != string(bench.Forward) {
		return c, usageError{errors.New("--half is of networks in use, which learn nothing: --mode forward")}
	}
	if c.Algo, err = nn.ParseAlgo(o.algo); err != nil {
		return c, usageError{fmt.Errorf("--algo: %w", err)}
	}
	if c.Recipe != nil {
		net, err := c.Recipe.Network()
		if err != nil {
			return c, err
		}
		if c.Placed, err = net.Place(net.Input); err != nil {
			return c, err
		}
	} else {
		a := archOptions{input: o.input}
		if c.Placed, err = a.open(o.model); err != nil {
			return c, err
		}
	}
	set, err := kernel.Active()
	if err != nil {
		return c, err
	}
	c.Set = set.Name
	return c, nil
}

func (o *benchOptions) run(cmd *cobra.Command) error {
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	modes, err := o.modes()
	if err != nil {
		return err
	}
	recipe, err := o.training(cmd.Flags().Changed)
	if err != nil {
		return err
	}
	config, err := o.config(recipe)
	if err != nil {
		return err
	}
	if o.explain {
		e, err := explainPlan(&config, modes)
		if err != nil {
			return err
		}
		return writeTo(o.output, stdout, func(w io.Writer) error {
			if o.format == "json" {
				return writeJSON(w, e)
			}
			return e.write(w)
		})
	}
	if recipe == nil {
		return o.time(cmd, config, modes, stdout, stderr)
	}
	return asRank(&o.threads, rankTimeout, stdout, stderr, func(group *cluster.Group, out, faults io.Writer) error {
		config.Group, config.Threads = group, o.threads
		return hintRanks(o.time(cmd, config, modes, out, faults), *recipe)
	})
}

// time times a network, and writes what came of it; of several ranks the first does.
func (o *benchOptions) time(cmd *cobra.Command, config bench.Config, modes []bench.Mode,
	stdout, stderr io.Writer) error {
	ctx := cmd.Context()
	for _, mode := range modes {
		if err := nn.CheckMemory(config.Placed, config.Options(mode)); err != nil {
			return hintSmaller(err)
		}
	}
	if config.Group.Rank() == 0 {
		if err := canWrite(o.output); err != nil {
			return err
		}
	}
	b, err := bench.New(config)
	if err != nil {
		return err
	}
	log := stdout
	if o.format != "table" || o.output != "" {
		log = stderr
	} else if err := report.Network(stdout, b.Report, report.Table, false); err != nil {
		return err
	}
	m := b.Machine
	threads := "1 thread"
	if m.Threads > 1 {
		threads = fmt.Sprintf("%d threads", m.Threads)
	}
	if m.PerformanceCores > 0 {
		threads += fmt.Sprintf(" (%d performance cores)", m.PerformanceCores)
	}
	fmt.Fprintf(log, "\n%s, %s, kernel set %s: %.0f GFLOP/s peak, %.0f GB/s read\n", m.Processor, threads, m.Set, m.Peak,
		m.Bandwidth)
	if err := announce(ctx, stderr, b, modes, cmd.Flags()); err != nil {
		return err
	}

	out := benchOutput{Model: b.Placed.Network.Name, Input: b.Placed.Input, Batch: b.Batch, Algo: b.Algo.String(),
		Half: b.Half.String(), BurnIn: b.BurnIn, Machine: m, Results: []*bench.Result{}}
	var stopped error
	for _, mode := range modes {
		progress, done := newBenchProgress(b, mode, log, stderr)
		result, err := b.Run(ctx, mode, progress)
		done()
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		if result.Steps > 0 {
			out.Results = append(out.Results, result)
			digits := decimals(result.Mean)
			fmt.Fprintf(log, "%s: %s across %d steps, %.*f +/- %.*f sec/batch\n", stamp(), mode.Title(), result.Steps, digits,
				result.Mean, digits, result.Deviation)
		}
		if err != nil {
			stopped = fmt.Errorf("interrupted after %d of %d steps %s", result.Steps, b.Steps, mode)
			break
		}
	}
	if len(out.Results) == 0 && o.format != "json" || config.Group.Rank() > 0 {
		return stopped
	}
	return errors.Join(writeTo(o.output, stdout, func(w io.Writer) error {
		switch o.format {
		case "json":
			return writeJSON(w, out)
		case "svg":
			return roofline.Write(w, b, out.Results, time.Now())
		}
		return writeBenchSummary(w, b, out.Results)
	}), stopped)
}

// quiet is how long a bench says nothing of its steps.
const quiet = 10 * time.Second

// newBenchProgress prints a line every ten counted steps, as the article does, and keeps a bar below them on a terminal
// until done. Between them, in burn-in too, a long step is told on standard error.
func newBenchProgress(b *bench.Bench, mode bench.Mode, log, stderr io.Writer) (progress bench.Progress, done func()) {
	var bar *progressbar.ProgressBar
	if f := terminalOf(stderr); f != nil {
		progressOf(stderr).silence()
		bar = progressbar.NewOptions(b.BurnIn+b.Steps,
			progressbar.OptionSetWriter(f), progressbar.OptionSetDescription(string(mode)), progressbar.OptionShowCount(),
			progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30), progressbar.OptionSetPredictTime(true))
		_ = bar.RenderBlank()
	}
	hide := func() {
		if bar != nil {
			_ = bar.Clear()
		}
	}
	silent := time.Duration(0)
	progress = func(_ bench.Mode, step int, took time.Duration) {
		silent += took
		switch seconds := took.Seconds(); {
		case step >= 0 && step%10 == 0:
			hide()
			fmt.Fprintf(log, "%s: step %d, duration = %.*f\n", stamp(), step, decimals(seconds), seconds)
			silent = 0
		case silent >= quiet:
			hide()
			name := fmt.Sprintf("step %d", step)
			if step < 0 {
				name = fmt.Sprintf("burn-in step %d of %d", b.BurnIn+step+1, b.BurnIn)
			}
			fmt.Fprintf(stderr, "vggo: %s, %s: %.*f s\n", mode, name, decimals(seconds), seconds)
			silent = 0
		}
		if bar != nil {
			_ = bar.Add(1)
		}
	}
	return progress, hide
}

// decimals is how many digits after the point show a time as the article does, three, or a short one to three figures.
func decimals(seconds float64) int {
	if seconds <= 0 {
		return 3
	}
	return min(max(3, 2-int(math.Floor(math.Log10(seconds)))), 9)
}

func stamp() string { return time.Now().Format("2006-01-02 15:04:05.000") }

// roughly is a duration as one says it: "3 h 20 min".
func roughly(d time.Duration) string {
	switch {
	case d < time.Second:
		return "a second"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d.Round(time.Minute) < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()+0.5))
	}
	minutes := int(d.Minutes()+5) / 10 * 10
	return fmt.Sprintf("%d h %d min", minutes/60, minutes%60)
}

func writeBenchSummary(w io.Writer, b *bench.Bench, results []*bench.Result) error {
	t := sheet.New(b.Placed.Network.Name, "median s", "images/s", "GFLOP/s", "of peak", "peak memory", "predicted").
		Figures(2, 3, 4, 5, 6, 7).Narrow(0, 7, 5, 4, 6)
	for _, r := range results {
		peak := "not told"
		if r.PeakBytes > 0 {
			peak = printable.Bytes(r.PeakBytes)
		}
		t.Row(r.Mode, fmt.Sprintf("%.*f", decimals(r.Median), r.Median), fmt.Sprintf("%.1f", r.ImagesPerSecond),
			fmt.Sprintf("%.0f", r.GFLOPs),
			fmt.Sprintf("%.0f %%", r.PercentOfPeak), peak, printable.Bytes(r.PredictedBytes))
	}
	note := ""
	if slices.ContainsFunc(results, func(r *bench.Result) bool { return r.PercentOfPeak > 100 }) {
		note = "Above 100 %: Winograd's algorithm multiplies less often than the direct convolution that GFLOP/s count.\n"
	}
	if _, err := fmt.Fprintf(w, "\n%s\n%s", t.Text(sheet.Columns(w)), note); err != nil {
		return err
	}
	for _, r := range results {
		if len(r.Parts) > 0 {
			if err := writeParts(w, r); err != nil {
				return err
			}
		}
		if len(r.Layers) == 0 {
			continue
		}
		t := sheet.New("layer", "pass", "algorithm", "ms", "GFLOP/s", "of peak", "of bandwidth").Figures(4, 5, 6,
			7).Narrow(0, 5, 7)
		for _, l := range r.Layers {
			row := []any{l.Label(), l.Pass, l.Algo, fmt.Sprintf("%.2f", l.Seconds*1e3), "", "",
				fmt.Sprintf("%.0f %%", l.PercentOfBandwidth)}
			if l.GFLOPs > 0 {
				row[4], row[5] = fmt.Sprintf("%.0f", l.GFLOPs), fmt.Sprintf("%.0f %%", l.PercentOfPeak)
			}
			t.Row(row...)
		}
		if _, err := fmt.Fprintf(w, "\n%s, median of each layer\n%s\n", r.Mode.Title(),
			t.Text(sheet.Columns(w))); err != nil {
			return err
		}
	}
	return nil
}

// writeParts says where a training step goes.
func writeParts(w io.Writer, r *bench.Result) error {
	t := sheet.New("part of a step", "ms", "share").Figures(2, 3)
	for _, p := range r.Parts {
		t.Row(p.Kind, fmt.Sprintf("%.2f", p.Seconds*1e3), fmt.Sprintf("%.1f %%", p.Percent))
	}
	_, err := fmt.Fprintf(w, "\n%s\nOf a step %.1f %% are neither convolution nor matrix products.\n",
		t.Text(sheet.Columns(w)), r.Beside())
	if c := r.Communication; c != nil && err == nil {
		_, err = fmt.Fprintf(w, "communication exposed: %.2f ms of a step, which waits for the other ranks' gradients\n"+
			"communication hidden: %.2f ms, beside the backward pass\n", c.Exposed*1e3, c.Hidden*1e3)
	}
	return err
}
