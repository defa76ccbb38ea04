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
	"github.com/spf13/cobra"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/bench"
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
	planFlags
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
	o.add(f)
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

func (o *classifyOptions) run(ctx context.Context, files []string, out io.Writer) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	c, err := o.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }() // nil stays nil
	result := classification{Model: c.net.Name, Input: c.net.Input.String(), Weights: o.weights, Recipe: c.recipe.Name}
	if o.random {
		result.Weights = fmt.Sprintf("random, seed %d", o.seed)
	}
	for i, file := range files {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("interrupted before %s", file)
		}
		p, err := c.classify(file)
		if err != nil {
			return err
		}
		if i == 0 {
			result.Kernel, result.Threads = c.plan.Set.Name, c.plan.Threads
		}
		result.Pictures = append(result.Pictures, p)
		if o.json {
			continue
		}
		if i == 0 {
			err = result.writeHead(out)
		}
		if err = errors.Join(err, p.write(out)); err != nil {
			return err
		}
	}
	if o.json {
		return writeJSON(out, result)
	}
	return nil
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
	}
	return checkThreads(o.threads)
}

// classifier is a network with all it needs to answer.
type classifier struct {
	*classifyOptions
	net     *arch.Network
	placed  []arch.Placed
	recipe  vision.Recipe
	labels  []string   // nil without a file of them
	options nn.Options // of the plan
	batch   *tensor.Tensor
	plan    *nn.Plan      // nil until the first picture is there
	file    *weights.File // that the plan's weights are mapped from; nil while there is none
}

func (o *classifyOptions) open() (*classifier, error) {
	net, err := openNetwork(o.model)
	if err != nil {
		return nil, err
	}
	c := &classifier{classifyOptions: o, net: net}
	if c.placed, err = net.Place(net.Input); err != nil {
		return nil, err
	}
	if c.recipe, err = o.openRecipe(net); err != nil {
		return nil, err
	}
	if c.labels, err = o.openLabels(net, c.placed[len(c.placed)-1].Out.C); err != nil {
		return nil, err
	}
	c.options = nn.Options{Batch: 1, Threads: o.threads}
	if err := o.apply(&c.options.Costs, &c.options.Budget); err != nil {
		return nil, err
	}
	if err := bench.CheckMemory(net, c.options); err != nil {
		return nil, hintSmaller(err)
	}
	c.batch = tensor.New(1, net.Input.C, net.Input.H, net.Input.W)
	return c, nil
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

func (c *classifier) classify(path string) (classifiedPicture, error) {
	p := classifiedPicture{File: path}
	start := time.Now()
	picture, err := vision.DecodeFile(path, vision.Limits{})
	if err != nil {
		return p, err
	}
	p.Width, p.Height = picture.W, picture.H
	if err := c.recipe.Put(c.batch, 0, picture); err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	p.Prepare = time.Since(start).Seconds()
	if c.plan == nil { // only now, so that a picture that cannot be read is said before a long start
		if err := c.compile(); err != nil {
			return p, err
		}
	}
	start = time.Now()
	if err := c.plan.Forward(c.batch); err != nil {
		return p, err
	}
	p.Forward = time.Since(start).Seconds()
	if p.Classes, err = rank(c.plan.Softmax(), c.labels, c.top); err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// compile makes the plan, for one picture at a time.
func (c *classifier) compile() error {
	params, err := nn.NewParams(c.net, c.net.Input)
	if err != nil {
		return err
	}
	if c.random {
		params.Init(nn.He, c.seed)
	} else if err := c.load(params); err != nil {
		return err
	}
	c.plan, err = nn.Compile(c.net, params, c.options)
	return err
}

// load sets parameters to those in the file of weights, which must stay open as long as they are used.
func (c *classifier) load(params *nn.Params) (err error) {
	if c.file, err = weights.Open(c.weights); err != nil {
		var format *weights.FormatError
		if errors.As(err, &format) && format.Offset == 0 {
			return hint(err, `PyTorch writes safetensors: safetensors.torch.save_file(model.state_dict(), "weights.safetensors")`)
		}
		return err
	}
	matched, err := weights.Match(c.file, c.placed)
	if err != nil {
		return hint(err, "--model must name the network that these weights were trained for, not "+c.net.Name)
	}
	return params.Load(matched.Param)
}

func (c *classifier) close() error {
	if c.plan != nil {
		c.plan.Close()
	}
	if c.file != nil {
		return c.file.Close()
	}
	return nil
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

func (c *classification) writeHead(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%s, weights: %s, recipe: %s, kernels: %s, threads: %d\n", c.Model, c.Weights, c.Recipe, c.Kernel, c.Threads)
	return err
}

func (p *classifiedPicture) write(out io.Writer) error {
	t := newTable(2)
	t.SuppressEmptyColumns() // without labels
	t.AppendHeader(table.Row{"rank", "probability", "class", "label"})
	for i, r := range p.Classes {
		t.AppendRow(table.Row{i + 1, fmt.Sprintf("%.2f %%", 100*r.Probability), r.Class, r.Label})
	}
	_, err := fmt.Fprintf(out, "\n%s: %dx%d pixels, prepared in %.1f ms, classified in %.1f ms\n%s\n",
		p.File, p.Width, p.Height, 1000*p.Prepare, 1000*p.Forward, t.Render())
	return err
}
