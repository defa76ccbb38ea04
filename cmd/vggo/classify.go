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

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// classifyOptions are the flags of `vggo classify`.
type classifyOptions struct {
	model   string
	weights string
	random  bool
	seed    uint64
	labels  string
	recipe  string
	top     int
	threads int
	json    bool
}

func newClassifyCommand() *cobra.Command {
	var o classifyOptions
	cmd := &cobra.Command{
		Use:   "classify FILE...",
		Short: "Say what is in a picture",
		Long: `Run a network on JPEG or PNG pictures and print its most probable classes.

The weights are a safetensors file under vggo's own parameter names (conv1_1/w),
torchvision's (features.0.weight) or TinyVGG's. The pictures are scaled, cropped
and normalised as the weights' training was: the recipe imagenet is torchvision's
for its VGG and AlexNet, unit scales samples to 0..1 and nothing else.`,
		Example: `  vggo classify photo.jpg --model vgg16 --weights vgg16.safetensors --labels imagenet.txt
  vggo classify shirt.png --model tinyvgg --weights tinyvgg.safetensors
  vggo classify photo.jpg --model vgg16 --random-weights`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return hint(errors.New("no picture named"), "vggo classify photo.jpg --model vgg16 --weights vgg16.safetensors")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args, cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.model, "model", "m", "vgg16", "`network`: a built-in, a description or a compact string, as in vggo arch")
	f.StringVarP(&o.weights, "weights", "w", "", "safetensors `file`")
	f.BoolVar(&o.random, "random-weights", false, "weights drawn at random instead of a file: a trial run, whose classes mean nothing")
	f.Uint64Var(&o.seed, "seed", 1, "of random weights")
	f.StringVarP(&o.labels, "labels", "l", "", "`file` of class names: one on each line, or a JSON array")
	f.StringVar(&o.recipe, "recipe", "", "`imagenet` or unit (default: imagenet for colour networks, unit for grey ones)")
	f.IntVar(&o.top, "top", 5, "how many classes to print")
	f.IntVar(&o.threads, "threads", 0, "threads to compute with (default: one for each processor)")
	f.BoolVar(&o.json, "json", false, "print JSON")
	_ = cmd.RegisterFlagCompletionFunc("model", completeNetworks)
	return cmd
}

// classification is what `vggo classify --json` prints.
type classification struct {
	Model    string              `json:"model"`
	Input    string              `json:"input"`
	Weights  string              `json:"weights"` // a path, or "random, seed 1"
	Recipe   string              `json:"recipe"`
	Kernel   string              `json:"kernel"`
	Threads  int                 `json:"threads"`
	Pictures []classifiedPicture `json:"pictures"`
}

type classifiedPicture struct {
	File    string         `json:"file"`
	Width   int            `json:"width"`
	Height  int            `json:"height"`
	Prepare float64        `json:"prepare_seconds"` // decode, resize, crop, normalise
	Forward float64        `json:"forward_seconds"`
	Classes []rankedResult `json:"classes"` // the most probable first
}

type rankedResult struct {
	Class       int     `json:"class"` // from 0
	Label       string  `json:"label,omitempty"`
	Probability float64 `json:"probability"`
}

func (o *classifyOptions) run(ctx context.Context, files []string, out io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	net, err := openNetwork(o.model)
	if err != nil {
		return err
	}
	placed, err := net.Place(net.Input)
	if err != nil {
		return err
	}
	recipe, err := o.openRecipe(net)
	if err != nil {
		return err
	}
	labels, err := o.openLabels(net, placed[len(placed)-1].Out.C)
	if err != nil {
		return err
	}

	batch := tensor.New(1, net.Input.C, net.Input.H, net.Input.W)
	result := classification{Model: net.Name, Input: net.Input.String(), Weights: o.weightsText(), Recipe: recipe.Name}
	var plan *nn.Plan
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped before %s: %w", file, err)
		}
		start := time.Now()
		picture, err := vision.DecodeFile(file, vision.Limits{})
		if err != nil {
			return err
		}
		if err := recipe.Put(batch, 0, picture); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		prepared := time.Since(start)
		if plan == nil { // after the first picture, so that one that cannot be read is said before a long start
			var done func() error
			if plan, done, err = o.compile(net, placed); err != nil {
				return err
			}
			defer done()
			result.Kernel, result.Threads = plan.Set.Name, plan.Threads
		}
		start = time.Now()
		if err := plan.Forward(batch); err != nil {
			return err
		}
		forward := time.Since(start)
		classes, err := rank(plan.Softmax(), labels, o.top)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		result.Pictures = append(result.Pictures, classifiedPicture{
			file, picture.W, picture.H, prepared.Seconds(), forward.Seconds(), classes,
		})
	}
	if o.json {
		return writeJSON(out, result)
	}
	return result.write(out)
}

// check refuses flags that make no sense together.
func (o *classifyOptions) check() error {
	switch {
	case o.weights == "" && !o.random:
		return usageError{hint(errors.New("no weights: a network without them knows nothing"),
			"--weights FILE.safetensors; --random-weights only tries out the way from picture to answer")}
	case o.weights != "" && o.random:
		return usageError{errors.New("--weights and --random-weights exclude each other")}
	case o.top < 1:
		return usageError{fmt.Errorf("--top must be at least 1, not %d", o.top)}
	case o.threads < 0:
		return usageError{fmt.Errorf("--threads must not be negative, as %d is", o.threads)}
	}
	return nil
}

func (o *classifyOptions) weightsText() string {
	if o.random {
		return fmt.Sprintf("random, seed %d", o.seed)
	}
	return o.weights
}

func (o *classifyOptions) openRecipe(net *arch.Network) (vision.Recipe, error) {
	in := net.Input
	name := o.recipe
	if name == "" {
		name = "imagenet"
		if in.C == 1 {
			name = "unit"
		}
	}
	switch {
	case in.C != 1 && in.C != 3:
		return vision.Recipe{}, fmt.Errorf("%s takes %d channels: a picture has 1 or 3", net.Name, in.C)
	case name == "imagenet" && in.C != 3:
		return vision.Recipe{}, usageError{hint(fmt.Errorf("recipe imagenet is for colour: %s takes grey pictures", net.Name), "--recipe unit")}
	case name == "imagenet":
		return vision.ImageNet(in.W, in.H), nil
	case name == "unit":
		return vision.Unit(in.W, in.H, in.C), nil
	}
	return vision.Recipe{}, usageError{fmt.Errorf("unknown recipe %q: want imagenet or unit", name)}
}

// openLabels reads the class names, if any; there must be one for each class.
func (o *classifyOptions) openLabels(net *arch.Network, classes int) ([]string, error) {
	if o.labels == "" {
		return nil, nil
	}
	labels, err := vision.ReadLabelsFile(o.labels)
	if err != nil {
		return nil, err
	}
	if len(labels) != classes {
		return nil, fmt.Errorf("%s: %d labels, but %s has %d classes", o.labels, len(labels), net.Name, classes)
	}
	return labels, nil
}

// compile makes a plan for one picture at a time. done frees it and the weights.
func (o *classifyOptions) compile(net *arch.Network, placed []arch.Placed) (plan *nn.Plan, done func() error, err error) {
	params, err := nn.NewParams(net, net.Input)
	if err != nil {
		return nil, nil, err
	}
	done = func() error { return nil }
	if o.random {
		params.Init(nn.He, o.seed)
	} else if done, err = load(params, placed, o.weights); err != nil {
		return nil, nil, err
	}
	plan, err = nn.Compile(net, params, nn.Options{Batch: 1, Threads: o.threads})
	if err != nil {
		return nil, nil, errors.Join(err, done())
	}
	return plan, func() error { plan.Close(); return done() }, nil
}

// load sets parameters to a file's, which stays mapped until done is called.
func load(params *nn.Params, placed []arch.Placed, path string) (done func() error, err error) {
	file, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	matched, err := weights.Match(file, placed)
	if err == nil {
		err = params.Load(matched.Param)
	}
	if err == nil {
		return file.Close, nil
	}
	err = errors.Join(err, file.Close())
	var mismatch *weights.MatchError
	if errors.As(err, &mismatch) {
		err = hint(err, "--model must name the network that these weights were trained for, not "+params.Network.Name)
	}
	return nil, err
}

// rank sorts the classes of one picture, of equals the first. A fully convolutional network's maps are averaged.
func rank(probabilities *tensor.Tensor, labels []string, top int) ([]rankedResult, error) {
	pixels := probabilities.H * probabilities.W
	results := make([]rankedResult, probabilities.C)
	for c := range results {
		sum := 0.0
		for _, p := range probabilities.Data[c*pixels : (c+1)*pixels] {
			sum += float64(p)
		}
		if math.IsNaN(sum) {
			return nil, errors.New("the network answers NaN: the weights are broken or not this network's")
		}
		results[c] = rankedResult{Class: c, Probability: sum / float64(pixels)}
		if labels != nil {
			results[c].Label = labels[c]
		}
	}
	slices.SortStableFunc(results, func(a, b rankedResult) int { return cmp.Compare(b.Probability, a.Probability) })
	return results[:min(top, len(results))], nil
}

func (c *classification) write(out io.Writer) error {
	head := fmt.Sprintf("%s, weights: %s, recipe: %s, kernels: %s, threads: %d\n", c.Model, c.Weights, c.Recipe, c.Kernel, c.Threads)
	if _, err := io.WriteString(out, head); err != nil {
		return err
	}
	for _, p := range c.Pictures {
		t := table.NewWriter()
		t.SetStyle(table.StyleLight)
		t.Style().Format = table.FormatOptions{}
		t.Style().Options = table.Options{SeparateHeader: true}
		t.Style().Box.PaddingLeft, t.Style().Box.PaddingRight = "", "  "
		t.AppendHeader(table.Row{"rank", "probability", "class", "label"})
		for i, r := range p.Classes {
			t.AppendRow(table.Row{i + 1, fmt.Sprintf("%.2f %%", 100*r.Probability), r.Class, r.Label})
		}
		t.SetColumnConfigs([]table.ColumnConfig{{Number: 2, Align: text.AlignRight, AlignHeader: text.AlignRight}})
		t.SuppressTrailingSpaces()
		t.SuppressEmptyColumns()
		_, err := fmt.Fprintf(out, "\n%s: %dx%d pixels, prepared in %.3f s, classified in %.3f s\n%s\n", p.File, p.Width, p.Height, p.Prepare, p.Forward, t.Render())
		if err != nil {
			return err
		}
	}
	return nil
}
