package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/embedded"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/sheet"
)

// classifyOptions are the flags of `vggo classify`.
type classifyOptions struct {
	modelFlags
	shardFlags
	top     int
	output  string
	json    bool
	untimed bool
}

// answerEndings are what classify and eval write, as JSON or as people read it.
var answerEndings = []ending{{".json", "json"}, {".txt", "text"}}

func newClassifyCommand() *cobra.Command {
	var o classifyOptions
	cmd := &cobra.Command{
		Use:   "classify FILE|DIR|-...",
		Short: "Say what is in a picture",
		Long: `Run a network on pictures and print their most probable classes: with no flags, the
one that is embedded in vggo and knows CIFAR-10's ten classes. A folder stands for
all pictures in and below it, - for one on standard input. A picture that cannot be
read is reported, and the others are classified all the same.

The weights are a file of safetensors, PyTorch (.pth, .pt, .bin), ONNX, Keras (.h5,
.keras) or NumPy (.npz, .npy). Where it tells its network, as ONNX does or torchvision's
names do, --model need not.

Pictures are scaled, cropped and normalised as the weights' training did it, if that can
be told; what was decided, and why, is printed. --preprocess says it instead, by name or
by a file, and the flags beside it say it part by part:

` + preprocessTable() + `
` + shardHelp,
		Example: `  vggo classify photo.jpg
  vggo classify photo.jpg --weights vgg16-397923af.pth
  vggo classify holiday/ --weights vgg16.safetensors --json
  vggo classify shirt.png --model tinyvgg --weights tinyvgg.safetensors
  vggo classify photo.jpg --model vgg16 --random-weights
  vggo classify archive/ --weights vgg16 --shard 0/64 -o archive.json`,
		Args: needPicture("vggo classify photo.jpg"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.modelFlags.add(cmd)
	f := cmd.Flags()
	o.shardFlags.add(f)
	f.IntVar(&o.top, "top", 5, "how many classes to print")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.StringVarP(&o.output, "output", "o", "", outputHelp)
	f.BoolVar(&o.untimed, "untimed", false, untimedHelp)
	return cmd
}

// outputHelp is of -o, of commands that print answers.
const outputHelp = "write the answers to a `FILE` that ends in .json or .txt, which appears only once it is whole"

// classification is what `vggo classify --json` prints.
type classification struct {
	Model   string `json:"model"`
	Input   string `json:"input"`
	Weights string `json:"weights"` // a path, "embedded", or "random weights, seed 1"
	weightsJSON
	Preprocess root.PreparationTold `json:"preprocess"`
	Kernel     string               `json:"kernel"`
	Threads    int                  `json:"threads,omitempty"` // left out by --untimed
	Batch      int                  `json:"batch"`
	// Ending is how probabilities are made: "softmax", "sigmoid" (each class by itself, or two by one output) or
	// "probabilities".
	Ending   arch.Ending         `json:"ending"`
	Pictures []classifiedPicture `json:"pictures"`

	LabelsGuess string `json:"labels_guess,omitempty"` // why the labels are a guess
}

type classifiedPicture struct {
	File    string       `json:"file"`
	Error   string       `json:"error,omitempty"` // why there is nothing else
	Width   int          `json:"width,omitempty"`
	Height  int          `json:"height,omitempty"`
	Prepare float64      `json:"prepare_seconds,omitempty"` // decode, resize, crop, normalise
	Forward float64      `json:"forward_seconds,omitempty"` // of its pass, shared among the pictures in it
	Classes []root.Class `json:"classes,omitempty"`         // the most probable first
}

// classifyHead is what stands above the answers.
type classifyHead struct {
	Answers classification `json:"answers"` // without Pictures
	Text    string         `json:"text"`    // the same for people
	Closed  int            `json:"closed"`  // folders that could not be read
}

func (o *classifyOptions) run(ctx context.Context, args []string, in io.Reader, out, faults io.Writer) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	if o.top < 1 {
		return usageError{fmt.Errorf("--top must be at least 1, not %d", o.top)}
	}
	format, err := answerFormat(o.output, o.json)
	if err != nil {
		return err
	}
	share, err := o.shardFlags.open(o.output, faults)
	if err != nil {
		return err
	}
	list, err := listPictures(args, faults)
	if err != nil {
		return err
	}
	files := list.files
	if share != nil && slices.Contains(files, stdin) {
		return usageError{errors.New("standard input cannot be shared: --shard takes files and folders")}
	}
	m, err := o.openAnswering(len(files))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }() // nil stays nil
	tellModel(faults, m, o.part)
	head, err := o.head(m)
	if err != nil {
		return err
	}
	head.Closed = list.closed
	if share != nil {
		return o.writeShard(ctx, share, m, head, files, out, faults)
	}
	if err := canWrite(o.output); err != nil {
		return err
	}
	p := classifyPrinter{head: head, faults: faults, json: format == "json", all: len(files)}
	err = writeTo(o.output, out, func(w io.Writer) error {
		p.out = w
		err := o.each(ctx, m, files, in, faults, func(answers []classifiedPicture) error {
			for _, a := range answers {
				if err := p.add(a); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return p.end()
	})
	if err != nil {
		return err
	}
	return list.end(p.failed)
}

// answerFormat is "json" or "text", by the flag or by a file's ending.
func answerFormat(output string, json bool) (string, error) {
	if json {
		return "json", nil
	}
	return formatOf(output, "text", answerEndings)
}

// timed reports whether answers tell what they took: those of shards do not, since join prints what one run would.
func (o *classifyOptions) timed() bool { return !o.untimed && o.shardFlags.text == "" }

// head says who answers.
func (o *classifyOptions) head(m *root.Model) (*classifyHead, error) {
	set, err := kernel.Active()
	if err != nil {
		return nil, err
	}
	ending, err := m.Ending()
	if err != nil {
		return nil, err
	}
	c := classification{
		Model: m.Network.Name, Input: m.Input.String(), Weights: m.Origin, weightsJSON: weightsTaken(m),
		Preprocess: m.Preprocess.Told(), Kernel: set.Name, Batch: m.Batch(), Ending: ending, LabelsGuess: m.ClassesGuess,
	}
	if o.timed() {
		if c.Threads = o.threads; c.Threads == 0 {
			c.Threads = runtime.GOMAXPROCS(0)
		}
	}
	return &classifyHead{Answers: c, Text: c.head(m)}, nil
}

// each answers for files, a group of them at a time.
func (o *classifyOptions) each(ctx context.Context, m *root.Model, files []string, in io.Reader, faults io.Writer,
	do func([]classifiedPicture) error) error {
	progress, done := progressOf(faults), 0
	progress.begin(len(files), "pictures")
	for group := range loadPictures(ctx, m, files, in, o.limits()) {
		answers, err := o.classify(ctx, m, group)
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			err = do(answers)
		}
		if err != nil {
			return err
		}
		done += len(answers)
		progress.advance(done)
	}
	if ctx.Err() != nil && done < len(files) {
		return fmt.Errorf("interrupted before %s", files[done])
	}
	return nil
}

// writeShard writes the answers for one shard of the files.
func (o *classifyOptions) writeShard(ctx context.Context, share *sharing, m *root.Model, head *classifyHead,
	files []string, out, faults io.Writer) error {
	h, err := share.header("classify", &o.modelFlags, m, files, head)
	if err != nil {
		return err
	}
	return share.write(ctx, out, h, func(from, to int, add func(...any) error) error {
		return o.each(ctx, m, files[from:to], nil, faults, func(answers []classifiedPicture) error {
			records := make([]any, len(answers))
			for i, a := range answers {
				if records[i] = a; a.Error != "" {
					printFault(faults, errors.New(a.Error))
				}
			}
			return add(records...)
		})
	})
}

// classifyPrinter prints answers as they come.
type classifyPrinter struct {
	head             *classifyHead
	out, faults      io.Writer
	json             bool
	all, failed, did int // pictures
}

func (c *classifyPrinter) add(p classifiedPicture) (err error) {
	if p.Error != "" {
		c.failed++
	}
	switch {
	case c.json:
		c.head.Answers.Pictures = append(c.head.Answers.Pictures, p)
	case p.Error != "" && c.all == 1:
		return errors.New(p.Error)
	case p.Error != "":
		printFault(c.faults, errors.New(p.Error))
	default:
		if c.did == 0 {
			_, err = io.WriteString(c.out, c.head.Text)
		}
		c.did++
		err = errors.Join(err, p.write(c.out))
	}
	return err
}

// end prints what can be printed only when all answers are there.
func (c *classifyPrinter) end() error {
	if !c.json {
		return nil
	}
	return writeJSON(c.out, c.head.Answers)
}

// classify answers for a group of pictures, in one pass.
func (o *classifyOptions) classify(ctx context.Context, m *root.Model, group []loadedPicture) ([]classifiedPicture,
	error) {
	answers := make([]classifiedPicture, len(group))
	timed := o.timed()
	for i, p := range group {
		answers[i] = classifiedPicture{File: p.path, Width: p.size.X, Height: p.size.Y}
		if timed {
			answers[i].Prepare = p.took.Seconds()
		}
		if p.err != nil {
			answers[i] = classifiedPicture{File: p.path, Error: p.err.Error()}
		}
	}
	batch, at := batchOf(group)
	if batch == nil {
		return answers, nil
	}
	start := time.Now()
	logits, err := m.Forward(ctx, batch)
	if err != nil {
		return nil, err
	}
	took := time.Since(start).Seconds() / float64(batch.N)
	for n, i := range at {
		classes, err := m.Rank(logits.Images(n, n+1))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", group[i].path, err)
		}
		answers[i].Classes = classes[:min(o.top, len(classes))]
		if timed {
			answers[i].Forward = took
		}
	}
	return answers, nil
}

// head says for people who answers; of the embedded network also what it knows, since it answers with one of that
// whatever it sees.
func (c *classification) head(m *root.Model) string {
	var text strings.Builder
	printf(&text, "%s, weights: %s, kernels: %s", c.Model, c.Weights, c.Kernel)
	if c.Threads > 0 {
		printf(&text, ", threads: %d", c.Threads)
	}
	printf(&text, "\n%s\n", preparedLine(m.Preprocess))
	if c.Weights == embedded.Name {
		printf(&text, "The embedded network knows only %s.\nFor ImageNet's thousand classes: vggo pull vgg16, then "+
			"--weights vgg16.\n", strings.Join(m.Classes, ", "))
	}
	if c.Ending == arch.EndsInSigmoid {
		how := "Each class has a probability by itself, by a sigmoid: they do not add up to 1."
		if m.Binary() {
			how = "One output, a sigmoid: the probability of class 1; that of class 0 is the rest."
		}
		text.WriteString(how + "\n")
	}
	if c.LabelsGuess != "" {
		printf(&text, "labels: %s\n", c.LabelsGuess)
	}
	return text.String()
}

func (p *classifiedPicture) write(out io.Writer) error {
	t := sheet.New("rank", "probability", "class", "label").Figures(2).Narrow(4)
	t.SkipEmpty() // without labels
	for i, r := range p.Classes {
		t.Row(i+1, fmt.Sprintf("%.2f %%", 100*r.Probability), r.Index, r.Label)
	}
	times := ""
	if p.Forward > 0 {
		times = fmt.Sprintf(", prepared in %.1f ms, classified in %.1f ms", 1000*p.Prepare, 1000*p.Forward)
	}
	return printf(out, "\n%s: %dx%d pixels%s\n%s\n", p.File, p.Height, p.Width, times,
		ownText(t.Text(sheet.Columns(out))))
}
