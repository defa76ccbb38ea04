package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/internal/parallel"
	"github.com/vggo/vggo/internal/sheet"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// evalOptions are the flags of `vggo eval`.
type evalOptions struct {
	modelFlags
	shardFlags
	train   bool
	match   string
	dense   bool
	scales  []int
	noFlip  bool
	output  string
	json    bool
	untimed bool

	noParts bool
}

func newEvalCommand() *cobra.Command {
	var o evalOptions
	cmd := &cobra.Command{
		Use:   "eval DATA",
		Short: "Count how often a network is right on pictures whose classes are known",
		Long: `Classify every picture of a data set and count: top-1 and top-5, each class, the
confusion matrix, pictures a second. DATA is a folder (or .tar, .tar.gz, .zip) with a folder
of pictures for each class, perhaps in test/ and train/; a file or folder of CIFAR's
binary or Python version; or a folder of IDX files as MNIST's, or its images alone, the
labels being beside them.

The parts of a data set are known by their usual names (train, Training, valid, Test,
seg_test …); the one to test on is taken, or the one to validate on where there is none.

Classes are matched with the network's by name, and refused where one of the data's is
none of the network's. By number or order they are matched only where one side has no
names, which is said; --match overrules.

--dense is the VGG paper's evaluation: each picture goes whole through the network as a
fully convolutional one, at several scales of its shorter side and mirrored, and the
probabilities are averaged.

` + shardHelp,
		Example: `  vggo eval val/ --weights vgg16.safetensors
  vggo eval val/ --weights vgg16.safetensors --dense --scales 256,384,512
  vggo eval t10k-images-idx3-ubyte.gz --weights tinyvgg.pth
  vggo eval val/ --weights vgg16.safetensors --shard 0/64 -o val.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return hint(fmt.Errorf("%d data sets named, not one", len(args)), "vggo eval DIR --weights vgg16.safetensors")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, args[0])
		},
	}
	o.modelFlags.add(cmd)
	f := cmd.Flags()
	o.shardFlags.add(f)
	f.BoolVar(&o.train, "train", false, "the part to learn from, of data that holds both")
	f.BoolVar(&o.noParts, "no-parts", false, "take each folder for a class, whatever it is called")
	f.StringVar(&o.match, "match", matchAuto, "`how` the data's classes are matched with the network's: auto, number "+
		"(the data's own) or order")
	f.BoolVar(&o.dense, "dense", false, "evaluate fully convolutionally, as the paper does")
	f.IntSliceVar(&o.scales, "scales", nil, "shorter sides for --dense, in `pixels` (default: 8/7, 12/7 and 16/7 of the "+
		"network's input, the paper's 256, 384 and 512 for 224)")
	f.BoolVar(&o.noFlip, "no-flip", false, "leave the mirrored pictures out of --dense")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.StringVarP(&o.output, "output", "o", "", outputHelp)
	f.BoolVar(&o.untimed, "untimed", false, untimedHelp)
	return cmd
}

// evaluation is what `vggo eval --json` prints.
type evaluation struct {
	Model   string `json:"model"`
	Weights string `json:"weights"`
	weightsJSON
	Preprocess root.PreparationTold `json:"preprocess"`
	Data       string               `json:"data"`
	Pictures   int                  `json:"pictures"`
	Failed     int                  `json:"failed,omitempty"`
	Top1       float64              `json:"top1"`
	Top5       float64              `json:"top5"`
	Seconds    float64              `json:"seconds,omitempty"` // left out by --untimed, as the next
	PerSecond  float64              `json:"pictures_per_second,omitempty"`
	Dense      []int                `json:"dense_scales,omitempty"`
	dataJSON
	Match       vision.Matching `json:"match"` // of the data's classes with the network's
	LabelsGuess string          `json:"labels_guess,omitempty"`
	// Enlarged counts the pictures whose shorter side is less than one of the scales.
	Enlarged int          `json:"enlarged,omitempty"`
	Classes  []classScore `json:"classes"`
	// Confusion[i][j] counts the pictures of class i that were taken for class j, both by the network's numbers.
	Confusion [][]int `json:"confusion"`
}

type classScore struct {
	Class    int     `json:"class"` // the network's number
	Label    string  `json:"label"`
	Pictures int     `json:"pictures"`
	Top1     float64 `json:"top1"`
	Top5     float64 `json:"top5"`
}

func (o *evalOptions) run(cmd *cobra.Command, path string) (err error) {
	ctx, out, faults := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	if err := o.check(); err != nil {
		return err
	}
	if o.train && o.noParts {
		return usageError{errors.New("--train and --no-parts exclude each other")}
	}
	if !o.dense && (cmd.Flags().Changed("scales") || o.noFlip) {
		return usageError{errors.New("--scales and --no-flip are for --dense")}
	}
	if o.dense && o.Half != nn.HalfNone {
		return usageError{errors.New("--dense makes convolutions of the fully connected layers, from weights in float32: " +
			"leave --half out")}
	}
	if !slices.Contains([]string{matchAuto, matchNumber, matchOrder}, o.match) {
		return usageError{fmt.Errorf("--match must be %s, %s or %s, not %q", matchAuto, matchNumber, matchOrder, o.match)}
	}
	format, err := answerFormat(o.output, o.json)
	if err != nil {
		return err
	}
	share, err := o.shardFlags.open(o.output, faults)
	if err != nil {
		return err
	}
	data, err := o.data(path, nil, faults)
	var parts *vision.PartsError
	if err != nil && !errors.As(err, &parts) { // before the weights are read
		return err
	}
	m, err := o.openAnswering(usualBatch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	tellModel(faults, m, o.part)
	if parts != nil {
		if data, err = o.data(path, m, faults); err != nil {
			return err
		}
	}
	if o.dense { // once, not for each picture
		shortest := min(m.Input.H, m.Input.W)
		if !cmd.Flags().Changed("scales") {
			o.scales = usualScales(shortest)
		}
		if len(o.scales) == 0 || slices.Min(o.scales) < shortest {
			return usageError{fmt.Errorf("--scales must be %d, which %s takes, or more, not %s", shortest, m.Network.Name,
				scalesText(o.scales))}
		}
	}
	match, err := o.matchClasses(data, path, m)
	if err != nil {
		return err
	}
	head := o.head(m, data, path, match)
	if share != nil {
		return o.writeShard(ctx, share, m, head, data, out, faults)
	}
	if err := canWrite(o.output); err != nil {
		return err
	}
	t := newTally(head, faults)
	start := time.Now()
	err = o.each(ctx, m, head.Of, data, 0, data.Len(), faults, func(pictures []seenPicture) error {
		for _, p := range pictures {
			if err := t.add(p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !o.untimed {
		t.Seconds = time.Since(start).Seconds()
	}
	return t.write(o.output, format, out)
}

// evalHead is what an evaluation is printed with, beside the pictures.
type evalHead struct {
	Evaluation evaluation `json:"evaluation"` // without what pictures are counted in
	Of         []int      `json:"of"`         // the network's number of each of the data's classes
	Labels     []string   `json:"labels"`     // of these
	Classes    int        `json:"classes"`    // of the network
	Prepared   string     `json:"prepared"`
	Pictures   int        `json:"pictures"`
	Shortest   int        `json:"shortest"` // side of the network's input
}

func (o *evalOptions) head(m *root.Model, data *vision.Dataset, path string, match vision.Matching) *evalHead {
	e := evaluation{Model: m.Network.Name, Weights: m.Origin, weightsJSON: weightsTaken(m),
		Preprocess: m.Preprocess.Told(), Data: path, dataJSON: dataTaken(data), Match: match, LabelsGuess: m.ClassesGuess}
	if o.dense {
		e.Dense = o.scales
	}
	labels := data.Classes
	if m.Classes != nil {
		labels = make([]string, len(match.Of))
		for i, class := range match.Of {
			if class >= 0 {
				labels[i] = m.Classes[class]
			}
		}
	}
	return &evalHead{e, match.Of, labels, m.ClassCount(), preparedLine(m.Preprocess), data.Len(),
		min(m.Input.H, m.Input.W)}
}

// seenPicture is what a network said of a picture.
type seenPicture struct {
	Picture  string `json:"picture"`
	Class    int    `json:"class"`          // the network's number of what it shows
	Seen     []int  `json:"seen,omitempty"` // the five likeliest classes
	Enlarged bool   `json:"enlarged,omitempty"`
	Error    string `json:"error,omitempty"` // why nothing was seen
}

// each has pictures of a data set seen, some at a time.
func (o *evalOptions) each(ctx context.Context, m *root.Model, of []int, data *vision.Dataset, from, to int,
	faults io.Writer, do func([]seenPicture) error) error {
	progress, first := progressOf(faults), from
	progress.begin(to-from, "pictures")
	for ; from < to; from += m.Batch() {
		part := make([]int, min(m.Batch(), to-from))
		for i := range part {
			part[i] = from + i
		}
		answers, errs, enlarged := o.answer(ctx, m, data, part)
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted at picture %d of %d", from+1, data.Len())
		}
		pictures := make([]seenPicture, len(part))
		for i, ranked := range answers {
			p := &pictures[i]
			*p = seenPicture{Picture: data.Name(part[i]), Class: of[data.Label(part[i])], Enlarged: enlarged[i]}
			if errs[i] != nil {
				p.Error = nameFlag(errs[i]).Error()
				continue
			}
			for _, c := range ranked[:min(5, len(ranked))] {
				p.Seen = append(p.Seen, c.Index)
			}
		}
		if err := do(pictures); err != nil {
			return err
		}
		progress.advance(from + len(part) - first)
	}
	return nil
}

// writeShard writes what is seen on one shard of the pictures.
func (o *evalOptions) writeShard(ctx context.Context, share *sharing, m *root.Model, head *evalHead,
	data *vision.Dataset, out, faults io.Writer) error {
	list := make([]string, data.Len())
	for i := range list {
		list[i] = fmt.Sprintf("%d %s", data.Label(i), data.Name(i))
	}
	h, err := share.header("eval", &o.modelFlags, m, list, head)
	if err != nil {
		return err
	}
	return share.write(ctx, out, h, func(from, to int, add func(...any) error) error {
		return o.each(ctx, m, head.Of, data, from, to, faults, func(pictures []seenPicture) error {
			records := make([]any, len(pictures))
			for i, p := range pictures {
				if records[i] = p; p.Error != "" {
					printFault(faults, fmt.Errorf("%s: %s", p.Picture, p.Error))
				}
			}
			return add(records...)
		})
	})
}

// tally counts what a network said of pictures.
type tally struct {
	evaluation
	head   *evalHead
	top5   []int // by class
	faults io.Writer
}

func newTally(head *evalHead, faults io.Writer) *tally {
	t := &tally{evaluation: head.Evaluation, head: head, top5: make([]int, head.Classes), faults: faults}
	t.Confusion = make([][]int, head.Classes)
	for i := range t.Confusion {
		t.Confusion[i] = make([]int, head.Classes)
	}
	return t
}

func (t *tally) add(p seenPicture) error {
	if p.Enlarged {
		t.Enlarged++
	}
	if p.Error != "" {
		t.Failed++
		printFault(t.faults, fmt.Errorf("%s: %s", p.Picture, p.Error))
		return nil
	}
	known := func(class int) bool { return class >= 0 && class < len(t.top5) }
	if !known(p.Class) || len(p.Seen) == 0 || !known(p.Seen[0]) {
		return fmt.Errorf("%s: class %d taken for %v, of %d classes", p.Picture, p.Class, p.Seen, len(t.top5))
	}
	t.Confusion[p.Class][p.Seen[0]]++
	if slices.Contains(p.Seen, p.Class) {
		t.top5[p.Class]++
	}
	return nil
}

// write adds up and prints.
func (t *tally) write(output, format string, out io.Writer) error {
	t.count(t.top5, t.head.Of, t.head.Labels)
	if t.Enlarged > 0 {
		fmt.Fprintf(t.faults, "vggo: %d of %d pictures were enlarged beyond their own size, up to a shorter side of %d "+
			"pixels: --scales %d does not\n", t.Enlarged, t.head.Pictures, slices.Max(t.Dense), t.head.Shortest)
	}
	err := writeTo(output, out, func(w io.Writer) error {
		if format == "json" {
			return writeJSON(w, t.evaluation)
		}
		return t.evaluation.write(w, t.head.Prepared)
	})
	if err != nil {
		return err
	}
	return someUnread(t.Failed, t.head.Pictures, 0)
}

// usualScales are the paper's Q of 256, 384 and 512 (section 4.2), which trained networks of 224, for a network of
// another input.
func usualScales(input int) []int {
	scales := []int{256, 384, 512}
	for i, q := range scales {
		scales[i] = (q*input + 112) / 224
	}
	return scales
}

func scalesText(scales []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(scales), " ", ", "), "[]")
}

// data opens the data set. Where its folders may be parts or classes, the network's names tell, if they are among the
// folders'.
func (o *evalOptions) data(path string, m *root.Model, faults io.Writer) (*vision.Dataset, error) {
	split := vision.Test
	switch {
	case o.noParts:
		split = vision.Whole
	case o.train:
		split = vision.Train
	}
	data, err := openPictures(path, split, o.limits(), faults)
	var parts *vision.PartsError
	if errors.As(err, &parts) && m != nil {
		named := m.Labels().Finder()
		for _, folder := range parts.Folders {
			if found, _ := named(folder); len(found) > 0 {
				if _, err := os.Stat(parts.Path); err == nil {
					path = parts.Path
				}
				return openPictures(path, vision.Whole, o.limits(), faults)
			}
		}
	}
	return data, hintData(err, "eval")
}

// answer classifies some pictures. One that fails has an error in its place. enlarged tells those that --dense scales
// up.
func (o *evalOptions) answer(ctx context.Context, m *root.Model, data *vision.Dataset,
	part []int) (answers [][]root.Class, errs []error, enlarged []bool) {
	pictures := make([]*vision.Picture, len(part))
	answers, errs, enlarged = make([][]root.Class, len(part)), make([]error, len(part)), make([]bool, len(part))
	inputs := make([]*tensor.Tensor, len(part))
	parallel.Each(runtime.GOMAXPROCS(0), len(part), func(i int) {
		if pictures[i], errs[i] = data.Picture(part[i]); errs[i] == nil && !o.dense {
			inputs[i], errs[i] = m.Prepare(ctx, pictures[i:i+1])
		}
	})
	if o.dense {
		for i, p := range pictures {
			if errs[i] == nil {
				enlarged[i] = min(p.W, p.H) < slices.Max(o.scales)
				answers[i], errs[i] = m.ClassifyDense(ctx, p, o.scales, !o.noFlip)
			}
		}
		return answers, errs, enlarged
	}
	group := make([]loadedPicture, len(part))
	for i := range group {
		group[i] = loadedPicture{input: inputs[i], err: errs[i]}
	}
	batch, at := batchOf(group)
	if batch == nil {
		return answers, errs, enlarged
	}
	logits, err := m.Forward(ctx, batch)
	for n, i := range at {
		if errs[i] = err; err == nil {
			answers[i], errs[i] = m.Rank(logits.Images(n, n+1))
		}
	}
	return answers, errs, enlarged
}

// count adds up.
func (e *evaluation) count(top5, of []int, names []string) {
	right, right5 := 0, 0
	for i, class := range of {
		if class < 0 { // the data has no picture of it
			continue
		}
		s := classScore{Class: class, Label: names[i]}
		for _, n := range e.Confusion[class] {
			s.Pictures += n
		}
		if s.Pictures > 0 {
			s.Top1 = float64(e.Confusion[class][class]) / float64(s.Pictures)
			s.Top5 = float64(top5[class]) / float64(s.Pictures)
		}
		e.Pictures += s.Pictures
		right += e.Confusion[class][class]
		right5 += top5[class]
		e.Classes = append(e.Classes, s)
	}
	if e.Pictures > 0 {
		e.Top1, e.Top5 = float64(right)/float64(e.Pictures), float64(right5)/float64(e.Pictures)
	}
	if e.Pictures > 0 && e.Seconds > 0 {
		e.PerSecond = float64(e.Pictures) / e.Seconds
	}
}

// maxMatrix is the largest confusion matrix that is printed as a table.
const maxMatrix = 20

func (e *evaluation) write(out io.Writer, prepared string) error {
	how := ""
	if len(e.Dense) > 0 {
		how = ", dense at " + scalesText(e.Dense)
	}
	decided := matchWords(e.Match)
	if e.LabelsGuess != "" {
		decided += "\nlabels: " + e.LabelsGuess
	}
	decided = strings.Join(append(e.dataJSON.lines(), decided), "\n")
	times := ""
	if e.Seconds > 0 {
		times = fmt.Sprintf(" in %.1f s, %.1f a second", e.Seconds, e.PerSecond)
	}
	err := printf(out, "%s, weights: %s%s\n%s\n%s: %d pictures%s\n%s\n\ntop-1 %.2f %%, top-5 %.2f %%\n",
		e.Model, e.Weights, how, prepared, e.Data, e.Pictures, times, ownText(decided), 100*e.Top1, 100*e.Top5)
	if err != nil {
		return err
	}
	t := sheet.New("class", "label", "pictures", "top-1", "top-5").Figures(1, 3, 4, 5).Narrow(2, 5, 1)
	for _, s := range e.Classes {
		t.Row(s.Class, s.Label, s.Pictures, fmt.Sprintf("%.2f %%", 100*s.Top1), fmt.Sprintf("%.2f %%", 100*s.Top5))
	}
	if _, err := fmt.Fprintf(out, "\n%s\n", t.Text(sheet.Columns(out))); err != nil || len(e.Classes) > maxMatrix ||
		len(e.Confusion) > maxMatrix {
		return err
	}
	figures := make([]int, len(e.Confusion)+1)
	head := []string{"is \\ seen as"}
	for i := range e.Confusion {
		figures[i] = i + 1
		head = append(head, strconv.Itoa(i))
	}
	figures[len(e.Confusion)] = len(e.Confusion) + 1
	t = sheet.New(head...).Figures(figures...)
	for i, row := range e.Confusion {
		line := []any{i}
		for _, n := range row {
			line = append(line, n)
		}
		t.Row(line...)
	}
	matrix, columns := t.Text(0), sheet.Columns(out)
	if wide := sheet.Width(matrix); columns > 0 && wide > columns { // each of its columns is needed
		matrix = fmt.Sprintf("The confusion matrix takes %d columns, which this terminal has not: --json has it too.", wide)
	}
	_, err = fmt.Fprintf(out, "\n%s\n", matrix)
	return err
}
