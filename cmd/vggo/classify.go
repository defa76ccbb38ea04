package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
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
	top  int
	json bool
}

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

` + preprocessTable(),
		Example: `  vggo classify photo.jpg
  vggo classify photo.jpg --weights vgg16-397923af.pth
  vggo classify holiday/ --weights vgg16.safetensors --json
  vggo classify shirt.png --model tinyvgg --weights tinyvgg.safetensors
  vggo classify photo.jpg --model vgg16 --random-weights`,
		Args: needPicture("vggo classify photo.jpg"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.add(cmd)
	f := cmd.Flags()
	f.IntVar(&o.top, "top", 5, "how many classes to print")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// classification is what `vggo classify --json` prints.
type classification struct {
	Model   string `json:"model"`
	Input   string `json:"input"`
	Weights string `json:"weights"` // a path, "embedded", or "random weights, seed 1"
	weightsJSON
	Preprocess root.PreparationTold `json:"preprocess"`
	Kernel     string               `json:"kernel"`
	Threads    int                  `json:"threads"`
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

func (o *classifyOptions) run(ctx context.Context, args []string, in io.Reader, out, faults io.Writer) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	if o.top < 1 {
		return usageError{fmt.Errorf("--top must be at least 1, not %d", o.top)}
	}
	list, err := listPictures(args, faults)
	if err != nil {
		return err
	}
	files := list.files
	m, err := o.openAnswering(len(files))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }() // nil stays nil
	tellModel(faults, m, o.part)
	set, err := kernel.Active()
	if err != nil {
		return err
	}
	ending, err := m.Ending()
	if err != nil {
		return err
	}
	result := classification{
		Model: m.Network.Name, Input: m.Input.String(), Weights: m.Origin, weightsJSON: weightsTaken(m),
		Preprocess: m.Preprocess.Told(), Kernel: set.Name, Threads: o.threads, Batch: m.Batch(), Ending: ending,
	}
	result.LabelsGuess = m.ClassesGuess
	if result.Threads == 0 {
		result.Threads = runtime.GOMAXPROCS(0)
	}
	failed, done := 0, 0
	progress := progressOf(faults)
	progress.begin(len(files), "pictures")
	for group := range loadPictures(ctx, m, files, in, o.limits()) {
		answers, err := o.classify(ctx, m, group)
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted before %s", files[done])
		}
		if err != nil {
			return err
		}
		for _, p := range answers {
			done++
			progress.advance(done)
			if p.Error != "" {
				failed++
			}
			switch {
			case o.json:
				result.Pictures = append(result.Pictures, p)
				continue
			case p.Error != "" && len(files) == 1:
				return errors.New(p.Error)
			case p.Error != "":
				printFault(faults, errors.New(p.Error))
			default:
				if done-failed == 1 {
					err = result.writeHead(out, m)
				}
				err = errors.Join(err, p.write(out))
			}
			if err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted before %s", files[done])
	}
	if o.json {
		if err := writeJSON(out, result); err != nil {
			return err
		}
	}
	return list.end(failed)
}

// classify answers for a group of pictures, in one pass.
func (o *classifyOptions) classify(ctx context.Context, m *root.Model, group []loadedPicture) ([]classifiedPicture,
	error) {
	answers := make([]classifiedPicture, len(group))
	for i, p := range group {
		answers[i] = classifiedPicture{File: p.path, Width: p.size.X, Height: p.size.Y, Prepare: p.took.Seconds()}
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
		answers[i].Forward, answers[i].Classes = took, classes[:min(o.top, len(classes))]
	}
	return answers, nil
}

// writeHead says who answers; of the embedded network also what it knows, since it answers with one of that whatever it
// sees.
func (c *classification) writeHead(out io.Writer, m *root.Model) error {
	err := printf(out, "%s, weights: %s, kernels: %s, threads: %d\n%s\n", c.Model, c.Weights, c.Kernel, c.Threads,
		preparedLine(m.Preprocess))
	if err == nil && c.Weights == embedded.Name {
		err = printf(out, "The embedded network knows only %s.\nFor ImageNet's thousand classes: vggo pull vgg16, then "+
			"--weights vgg16.\n", strings.Join(m.Classes, ", "))
	}
	if err == nil && c.Ending == arch.EndsInSigmoid {
		how := "Each class has a probability by itself, by a sigmoid: they do not add up to 1."
		if m.Binary() {
			how = "One output, a sigmoid: the probability of class 1; that of class 0 is the rest."
		}
		_, err = fmt.Fprintln(out, how)
	}
	if err == nil && c.LabelsGuess != "" {
		_, err = fmt.Fprintf(out, "labels: %s\n", c.LabelsGuess)
	}
	return err
}

func (p *classifiedPicture) write(out io.Writer) error {
	t := sheet.New("rank", "probability", "class", "label").Figures(2).Narrow(4)
	t.SkipEmpty() // without labels
	for i, r := range p.Classes {
		t.Row(i+1, fmt.Sprintf("%.2f %%", 100*r.Probability), r.Index, r.Label)
	}
	return printf(out, "\n%s: %dx%d pixels, prepared in %.1f ms, classified in %.1f ms\n%s\n",
		p.File, p.Height, p.Width, 1000*p.Prepare, 1000*p.Forward, ownText(t.Text(sheet.Columns(out))))
}
