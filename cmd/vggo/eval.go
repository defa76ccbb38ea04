package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// evalOptions are the flags of `vggo eval`.
type evalOptions struct {
	modelFlags
	train  bool
	dense  bool
	scales []int
	noFlip bool
	json   bool
}

func newEvalCommand() *cobra.Command {
	var o evalOptions
	cmd := &cobra.Command{
		Use:   "eval DATA",
		Short: "Count how often a network is right on pictures whose classes are known",
		Long: `Classify every picture of a data set and count: top-1 and top-5, each class, the
confusion matrix, pictures a second. DATA is a folder (or .tar, .tar.gz) with a folder
of pictures for each class, perhaps in test/ and train/; a file or folder of CIFAR's
binary or Python version; or a folder of IDX files as MNIST's, or its images alone, the
labels being beside them.

Classes are matched with the network's by name where its names are known and hold all
of the data's, else by number.

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
	f.BoolVar(&o.dense, "dense", false, "evaluate fully convolutionally, as the paper does")
	f.IntSliceVar(&o.scales, "scales", []int{256, 384, 512}, "shorter sides for --dense, in `pixels`")
	f.BoolVar(&o.noFlip, "no-flip", false, "leave the mirrored pictures out of --dense")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// evaluation is what `vggo eval --json` prints.
type evaluation struct {
	Model     string       `json:"model"`
	Weights   string       `json:"weights"`
	Recipe    string       `json:"recipe"`
	Data      string       `json:"data"`
	Pictures  int          `json:"pictures"`
	Failed    int          `json:"failed,omitempty"`
	Top1      float64      `json:"top1"`
	Top5      float64      `json:"top5"`
	Seconds   float64      `json:"seconds"`
	PerSecond float64      `json:"pictures_per_second"`
	Dense     []int        `json:"dense_scales,omitempty"`
	Classes   []classScore `json:"classes"`
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
	if !o.dense && (cmd.Flags().Changed("scales") || o.noFlip) {
		return usageError{errors.New("--scales and --no-flip are for --dense")}
	}
	split := vision.Test
	if o.train {
		split = vision.Train
	}
	data, err := vision.OpenDataset(path, split)
	if err != nil {
		return err
	}
	m, err := o.open(usualBatch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if o.dense { // once, not for each picture
		shortest := min(m.Input.H, m.Input.W)
		if len(o.scales) == 0 || slices.Min(o.scales) < shortest {
			return usageError{fmt.Errorf("--scales must be %d, which %s takes, or more, not %v", shortest, m.Network.Name, o.scales)}
		}
	}
	of, classes, err := matchClasses(data.Classes, m)
	if err != nil {
		return err
	}
	e := evaluation{Model: m.Network.Name, Weights: m.Origin, Recipe: m.Preprocess.Name, Data: path, Confusion: make([][]int, classes)}
	for i := range e.Confusion {
		e.Confusion[i] = make([]int, classes)
	}
	top5 := make([]int, classes)
	if o.dense {
		e.Dense = o.scales
	}
	start := time.Now()
	for from := 0; from < data.Len(); from += m.Batch() {
		part := make([]int, min(m.Batch(), data.Len()-from))
		for i := range part {
			part[i] = from + i
		}
		answers, errs := o.answer(ctx, m, data, part)
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted at picture %d of %d", from+1, data.Len())
		}
		for i, ranked := range answers {
			if errs[i] != nil {
				e.Failed++
				printFault(faults, fmt.Errorf("%s: %w", data.Name(part[i]), errs[i]))
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
			labels[i] = m.Classes[class]
		}
	}
	e.count(top5, of, labels)
	if o.json {
		err = writeJSON(out, e)
	} else {
		err = e.write(out)
	}
	if err != nil {
		return err
	}
	return errSomeFailed(e.Failed, data.Len())
}

// matchClasses gives the data's classes the network's numbers.
func matchClasses(names []string, m *root.Model) (of []int, classes int, err error) {
	placed, err := m.Network.Place(m.Input)
	if err != nil {
		return nil, 0, err
	}
	classes = placed[len(placed)-1].Out.C
	of = make([]int, len(names))
	for i, name := range names {
		of[i] = slices.Index(m.Classes, name)
	}
	if !slices.Contains(of, -1) {
		return of, classes, nil
	}
	if len(names) != classes {
		return nil, 0, hint(fmt.Errorf("%s has %d classes, the data %d: which is which?", m.Network.Name, classes, len(names)),
			"--labels names the network's classes; the data's must be among them")
	}
	for i := range of {
		of[i] = i
	}
	return of, classes, nil
}

// answer classifies some pictures. One that fails has an error in its place.
func (o *evalOptions) answer(ctx context.Context, m *root.Model, data *vision.Dataset, part []int) ([][]root.Class, []error) {
	pictures, errs := make([]*vision.Picture, len(part)), make([]error, len(part))
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
	answers := make([][]root.Class, len(part))
	if o.dense {
		for i, p := range pictures {
			if errs[i] == nil {
				answers[i], errs[i] = m.ClassifyDense(ctx, p, o.scales, !o.noFlip)
			}
		}
		return answers, errs
	}
	group := make([]loadedPicture, len(part))
	for i := range group {
		group[i] = loadedPicture{input: inputs[i], err: errs[i]}
	}
	batch, at := batchOf(group)
	if batch == nil {
		return answers, errs
	}
	logits, err := m.Forward(ctx, batch)
	for n, i := range at {
		if errs[i] = err; err == nil {
			answers[i], errs[i] = m.Rank(logits.Images(n, n+1))
		}
	}
	return answers, errs
}

// count adds up.
func (e *evaluation) count(top5, of []int, names []string) {
	right, right5 := 0, 0
	for i, class := range of {
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

func (e *evaluation) write(out io.Writer) error {
	how := ""
	if len(e.Dense) > 0 {
		how = fmt.Sprintf(", dense at %s", strings.Trim(strings.ReplaceAll(fmt.Sprint(e.Dense), " ", ", "), "[]"))
	}
	err := printf(out, "%s, weights: %s, recipe: %s%s\n%s: %d pictures in %.1f s, %.1f a second\n\ntop-1 %.2f %%, top-5 %.2f %%\n",
		e.Model, e.Weights, e.Recipe, how, e.Data, e.Pictures, e.Seconds, e.PerSecond, 100*e.Top1, 100*e.Top5)
	if err != nil {
		return err
	}
	t := newTable(1, 3, 4, 5)
	t.AppendHeader(table.Row{"class", "label", "pictures", "top-1", "top-5"})
	for _, s := range e.Classes {
		t.AppendRow(table.Row{s.Class, s.Label, s.Pictures, fmt.Sprintf("%.2f %%", 100*s.Top1), fmt.Sprintf("%.2f %%", 100*s.Top5)})
	}
	if _, err := fmt.Fprintf(out, "\n%s\n", t.Render()); err != nil || len(e.Classes) > maxMatrix || len(e.Confusion) > maxMatrix {
		return err
	}
	figures := make([]int, len(e.Confusion)+1)
	head := table.Row{"is \\ seen as"}
	for i := range e.Confusion {
		figures[i] = i + 1
		head = append(head, strconv.Itoa(i))
	}
	figures[len(e.Confusion)] = len(e.Confusion) + 1
	t = newTable(figures...)
	t.AppendHeader(head)
	for i, row := range e.Confusion {
		line := table.Row{i}
		for _, n := range row {
			line = append(line, n)
		}
		t.AppendRow(line)
	}
	_, err = fmt.Fprintf(out, "\n%s\n", t.Render())
	return err
}
