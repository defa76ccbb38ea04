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
	"sync"
	"time"

	"github.com/spf13/cobra"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/internal/sheet"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// evalOptions are the flags of `vggo eval`.
type evalOptions struct {
	modelFlags
	train  bool
	match  string
	dense  bool
	scales []int
	noFlip bool
	json   bool

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
probabilities are averaged.`,
		Example: `  vggo eval val/ --weights vgg16.safetensors
  vggo eval val/ --weights vgg16.safetensors --dense --scales 256,384,512
  vggo eval t10k-images-idx3-ubyte.gz --weights tinyvgg.pth`,
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
	o.add(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.train, "train", false, "the part to learn from, of data that holds both")
	f.BoolVar(&o.noParts, "no-parts", false, "take each folder for a class, whatever it is called")
	f.StringVar(&o.match, "match", matchAuto, "`how` the data's classes are matched with the network's: auto, number "+
		"(the data's own) or order")
	f.BoolVar(&o.dense, "dense", false, "evaluate fully convolutionally, as the paper does")
	f.IntSliceVar(&o.scales, "scales", nil, "shorter sides for --dense, in `pixels` (default: 8/7, 12/7 and 16/7 of the "+
		"network's input, the paper's 256, 384 and 512 for 224)")
	f.BoolVar(&o.noFlip, "no-flip", false, "leave the mirrored pictures out of --dense")
	f.BoolVar(&o.json, "json", false, "print JSON")
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
	Seconds    float64              `json:"seconds"`
	PerSecond  float64              `json:"pictures_per_second"`
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
	if !slices.Contains([]string{matchAuto, matchNumber, matchOrder}, o.match) {
		return usageError{fmt.Errorf("--match must be %s, %s or %s, not %q", matchAuto, matchNumber, matchOrder, o.match)}
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
	match, err := matchClasses(data, path, m, o.match)
	if err != nil {
		return err
	}
	of, classes := match.Of, m.ClassCount()
	e := evaluation{Model: m.Network.Name, Weights: m.Origin, weightsJSON: weightsTaken(m),
		Preprocess: m.Preprocess.Told(), Data: path, Confusion: make([][]int, classes)}
	e.dataJSON, e.Match, e.LabelsGuess = dataTaken(data), match, m.ClassesGuess
	for i := range e.Confusion {
		e.Confusion[i] = make([]int, classes)
	}
	top5 := make([]int, classes)
	if o.dense {
		e.Dense = o.scales
	}
	start := time.Now()
	progress := progressOf(faults)
	progress.begin(data.Len(), "pictures")
	for from := 0; from < data.Len(); from += m.Batch() {
		part := make([]int, min(m.Batch(), data.Len()-from))
		for i := range part {
			part[i] = from + i
		}
		answers, errs, enlarged := o.answer(ctx, m, data, part)
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted at picture %d of %d", from+1, data.Len())
		}
		progress.advance(from + len(part))
		e.Enlarged += enlarged
		for i, ranked := range answers {
			if errs[i] != nil {
				e.Failed++
				printFault(faults, fmt.Errorf("%s: %w", data.Name(part[i]), nameFlag(errs[i])))
				continue
			}
			truth := of[data.Label(part[i])]
			e.Confusion[truth][ranked[0].Index]++
			if slices.ContainsFunc(ranked[:min(5, len(ranked))], func(c root.Class) bool { return c.Index == truth }) {
				top5[truth]++
			}
		}
	}
	e.Seconds = time.Since(start).Seconds()
	labels := data.Classes
	if m.Classes != nil {
		labels = make([]string, len(of))
		for i, class := range of {
			if class >= 0 {
				labels[i] = m.Classes[class]
			}
		}
	}
	e.count(top5, of, labels)
	if e.Enlarged > 0 {
		fmt.Fprintf(faults, "vggo: %d of %d pictures were enlarged beyond their own size, up to a shorter side of %d "+
			"pixels: --scales %d does not\n",
			e.Enlarged, data.Len(), slices.Max(o.scales), min(m.Input.H, m.Input.W))
	}
	if o.json {
		err = writeJSON(out, e)
	} else {
		err = e.write(out, m.Preprocess)
	}
	if err != nil {
		return err
	}
	return errSomeFailed(e.Failed, data.Len())
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

// answer classifies some pictures. One that fails has an error in its place. enlarged counts those that --dense scales
// up.
func (o *evalOptions) answer(ctx context.Context, m *root.Model, data *vision.Dataset,
	part []int) (answers [][]root.Class, errs []error, enlarged int) {
	pictures := make([]*vision.Picture, len(part))
	answers, errs = make([][]root.Class, len(part)), make([]error, len(part))
	inputs := make([]*tensor.Tensor, len(part))
	var workers sync.WaitGroup
	turn := make(chan int, len(part))
	for i := range part {
		turn <- i
	}
	close(turn)
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range turn {
				if pictures[i], errs[i] = data.Picture(part[i]); errs[i] == nil && !o.dense {
					inputs[i], errs[i] = m.Prepare(ctx, pictures[i:i+1])
				}
			}
		})
	}
	workers.Wait()
	if o.dense {
		for i, p := range pictures {
			if errs[i] == nil {
				if min(p.W, p.H) < slices.Max(o.scales) {
					enlarged++
				}
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
		e.PerSecond = float64(e.Pictures) / e.Seconds
	}
}

// maxMatrix is the largest confusion matrix that is printed as a table.
const maxMatrix = 20

func (e *evaluation) write(out io.Writer, prepared root.Preparation) error {
	how := ""
	if len(e.Dense) > 0 {
		how = ", dense at " + scalesText(e.Dense)
	}
	decided := matchWords(e.Match)
	if e.LabelsGuess != "" {
		decided += "\nlabels: " + e.LabelsGuess
	}
	decided = strings.Join(append(e.dataJSON.lines(), decided), "\n")
	err := printf(out, "%s, weights: %s%s\n%s\n%s: %d pictures in %.1f s, %.1f a second\n%s\n\ntop-1 %.2f %%, top-5 "+
		"%.2f %%\n",
		e.Model, e.Weights, how, preparedLine(prepared), e.Data, e.Pictures, e.Seconds, e.PerSecond, ownText(decided),
		100*e.Top1, 100*e.Top5)
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
