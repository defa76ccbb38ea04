package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"slices"

	"github.com/spf13/cobra"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/style"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// styleOptions are the flags of `vggo style`. Of those of other networks it lacks what is about classes and batches.
type styleOptions struct {
	modelFlags
	output       string
	size         int
	iterations   int
	every        int
	init         string
	optimiser    string
	pooling      string
	algo         string
	ratio        float64
	tv           float64
	shares       []float64
	contentLayer string
	styleLayers  []string
	texture      bool
	invert       bool
	colours      bool
	json         bool
}

func newStyleCommand() *cobra.Command {
	var o styleOptions
	cmd := &cobra.Command{
		Use:   "style CONTENT STYLE...",
		Short: "Paint a picture in the style of another",
		Long: `Paint the content of one picture in the style of others, as Gatys, Ecker and Bethge did
(2016): the painting begins as the content or as noise and is changed, iteration by
iteration, until a VGG sees in it the content's shapes and the styles' textures.

With --texture all pictures are styles, and a texture is painted. With --invert there is
no style: the painting is what --content-layer has kept of the picture.

The layers are the paper's, conv4_2 and conv1_1 to conv5_1 behind their ReLUs, or what
the weights have of them, which is said. The weights are those of VGG-19 that vggo pull
vgg19 fetches; --weights takes any VGG's, its convolutions are enough.

Ctrl-C ends it and keeps what is painted so far.`,
		Example: `  vggo style photo.jpg painting.jpg -o out.png
  vggo style photo.jpg painting.jpg -o out.png --size 768 --iterations 300 --save-every 50
  vggo style photo.jpg a.jpg b.jpg --style-weights 3,1 --colours -o out.png
  vggo style --texture pebbles.jpg -o more.png
  vggo style --invert photo.jpg --content-layer relu5_1 -o seen.png`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("init") && (o.texture || o.invert) {
				o.init = string(style.FromNoise)
			}
			return o.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "`file` to write, .png or .jpg")
	f.IntVar(&o.size, "size", 512, "longer side of the painting, and of the styles, in `pixels`")
	f.IntVar(&o.iterations, "iterations", 300, "of the optimiser")
	f.IntVar(&o.every, "save-every", 0, "write the painting after so many `iterations` each (default: at the end)")
	f.StringVar(&o.init, "init", string(style.FromContent), "what it begins with: content, `noise` or style")
	f.Uint64Var(&o.seed, "seed", 1, "of noise, and of random weights")
	f.Float64Var(&o.ratio, "ratio", 0, "the paper's α/β: how much the content's loss counts beside the style's "+
		"(default: its 1e-3 for its authors' weights, for others the same balance)")
	f.Float64Var(&o.tv, "tv", 0, "`weight` of total variation, which makes smooth: about 1 for the authors' weights")
	f.Float64SliceVar(&o.shares, "style-weights", nil, "of several styles, as `3,1` (default: equal ones)")
	f.StringVar(&o.contentLayer, "content-layer", "", "`layer` of the content (default: relu4_2)")
	f.StringSliceVar(&o.styleLayers, "style-layers", nil, "`layers` of the style (default: relu1_1 to relu5_1)")
	f.BoolVar(&o.texture, "texture", false, "paint a texture: all pictures are styles")
	f.BoolVar(&o.invert, "invert", false, "paint what a layer has kept of a content, without a style")
	f.BoolVar(&o.colours, "colours", false, "keep the content's colours: paint luminance alone")
	f.StringVar(&o.pooling, "pooling", "average", "`average` or max, as the weights were trained")
	f.StringVar(&o.optimiser, "optimiser", string(style.LBFGS), "`lbfgs`, or adam, which takes less memory")
	f.StringVar(&o.algo, "algo", "auto", "of convolutions: `auto`, direct, winograd2, winograd4 or winograd6")
	f.StringVarP(&o.model, "model", "m", "", "`network` of the weights (default: what they tell)")
	f.StringVarP(&o.weights, "weights", "w", "", "`file` of weights, or the name of pulled ones (default: vgg19)")
	f.StringVar(&o.part, "weights-part", "", partUsage)
	f.BoolVar(&o.random, "random-weights", false, "weights drawn at random instead of a file: a trial run")
	f.IntVar(&o.threads, "threads", 0, "threads to compute with (default: one for each processor)")
	f.BoolVar(&o.json, "json", false, "print JSON")
	o.planFlags.add(f)
	o.pictureFlags.add(f)
	o.preprocessFlags.add(f)
	cmd.MarkFlagsMutuallyExclusive("texture", "invert")
	cmd.MarkFlagsMutuallyExclusive("texture", "colours")
	cmd.MarkFlagsMutuallyExclusive("texture", "content-layer")
	cmd.MarkFlagsMutuallyExclusive("invert", "colours")
	cmd.MarkFlagsMutuallyExclusive("invert", "style-layers")
	cmd.MarkFlagsMutuallyExclusive("invert", "style-weights")
	for flag, values := range map[string][]string{"init": {"content", "noise", "style"}, "pooling": {"average", "max"},
		"optimiser": {"lbfgs", "adam"}, "algo": {"auto", "direct", "winograd2", "winograd4",
			"winograd6"}} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

// painted is what `vggo style --json` prints.
type painted struct {
	Model   string `json:"model"`
	Weights string `json:"weights"` // a path, or "random weights, seed 1"
	weightsJSON
	Content      string         `json:"content,omitempty"`
	Styles       []string       `json:"styles,omitempty"`
	ContentLayer string         `json:"content_layer,omitempty"`
	StyleLayers  []string       `json:"style_layers,omitempty"`
	Output       string         `json:"output"`
	Height       int            `json:"height"`
	Width        int            `json:"width"`
	Seed         uint64         `json:"seed"`
	Ratio        float64        `json:"ratio,omitempty"` // of content to style
	Iterations   int            `json:"iterations"`
	Evaluations  int            `json:"evaluations"`
	Losses       []style.Losses `json:"losses"` // of the picture that it began with, and after each iteration
}

func (o *styleOptions) check(args []string) error {
	want, least := "a content and at least one style", 2
	switch {
	case o.texture:
		want, least = "at least one style", 1
	case o.invert:
		want, least = "a content", 1
	}
	switch {
	case len(args) < least || o.invert && len(args) > 1:
		return usageError{hint(fmt.Errorf("%d pictures named: want %s", len(args), want),
			"vggo style photo.jpg painting.jpg -o out.png")}
	case slices.Contains(args, stdin):
		return usageError{errors.New("pictures to paint from are files: standard input is none")}
	case o.output == "":
		return usageError{hint(errors.New("no file to write the painting to"), "-o out.png")}
	case o.resize != "" || o.crop != "" || o.filter != "":
		return usageError{hint(errors.New("--resize, --crop and --filter mean nothing here: pictures are painted whole"),
			"--size tells how large")}
	case o.size < 1:
		return usageError{fmt.Errorf("--size must be at least 1, not %d", o.size)}
	case o.every < 0:
		return usageError{fmt.Errorf("--save-every must be at least 1, not %d", o.every)}
	case o.pooling != "average" && o.pooling != "max":
		return usageError{fmt.Errorf("unknown pooling %q: want average or max", o.pooling)}
	}
	if _, err := o.format(); err != nil {
		return err
	}
	if err := canWrite(o.output); err != nil {
		return err
	}
	if o.weights == "" && !o.random {
		o.weights = "vgg19"
	}
	o.until = "relu5_1" // the convolutions are enough
	return o.modelFlags.check()
}

// format is what the output's ending names.
func (o *styleOptions) format() (string, error) {
	return formatOf(o.output, "png", []ending{{".png", "png"}, {".jpg", "jpeg"}, {".jpeg", "jpeg"}})
}

// job decodes the pictures.
func (o *styleOptions) job(args []string) (job style.Job, err error) {
	job = style.Job{Shares: o.shares, Ratio: o.ratio, TV: o.tv, Init: style.Init(o.init), Seed: o.seed,
		Optimiser: style.Optimiser(o.optimiser), Iterations: o.iterations, Colours: o.colours}
	for i, path := range args {
		p, _, err := decodePicture(path, nil, o.limits())
		switch {
		case err != nil:
			return job, err
		case p.Transparent:
			return job, hint(fmt.Errorf("%s has transparent parts: how it looks depends on what is behind it", path),
				opaqueHint)
		}
		size := longer(image.Pt(p.W, p.H), o.size)
		if i == 0 {
			job.Size = size
		}
		if i == 0 && !o.texture {
			job.Content = p
		} else {
			job.Styles = append(job.Styles, p.Resize(size.X, size.Y, vision.Bilinear))
		}
	}
	return job, nil
}

// longer scales a size until its longer side is so many pixels.
func longer(size image.Point, side int) image.Point {
	if size.X >= size.Y {
		return image.Pt(side, max(1, (size.Y*side+size.X/2)/size.X))
	}
	return image.Pt(max(1, (size.X*side+size.Y/2)/size.Y), side)
}

func (o *styleOptions) run(ctx context.Context, args []string, out, faults io.Writer) (err error) {
	if err := o.check(args); err != nil {
		return err
	}
	algo, err := nn.ParseAlgo(o.algo)
	if err != nil {
		return usageError{fmt.Errorf("--algo: %w", err)}
	}
	job, err := o.job(args)
	if err != nil {
		return err
	}
	m, err := o.open(1)
	if errors.As(err, new(*weights.OpenSizeError)) { // pictures are of any size, so this is as good as another
		o.input = "224x224x3"
		m, err = o.open(1)
	}
	if err != nil {
		var fit *weights.MatchError
		if errors.As(err, &fit) && o.model != "" {
			return hint(fit, "leave --model out: the network is then as far as the weights go")
		}
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	tellModel(faults, m, o.part)
	painter, err := style.New(m, style.Options{Content: o.contentLayer, Style: o.styleLayers,
		MaxPooling: o.pooling == "max", Algo: algo})
	if err != nil {
		return hintLayer(err, o.archSpec(m))
	}
	bytes, err := painter.Memory(&job)
	if err != nil {
		return hintPainting(err)
	}
	if painter.Instead != "" {
		fmt.Fprintf(faults, "vggo: %s: %s\n", m.Origin, painter.Instead)
	}
	fmt.Fprintf(faults, "%dx%d pixels, %d iterations, about %s of memory\n", job.Size.Y, job.Size.X, job.Iterations,
		printable.Bytes(bytes))
	return o.paint(ctx, m, painter, job, args, out, faults)
}

func (o *styleOptions) paint(ctx context.Context, m *root.Model, painter *style.Painter, job style.Job, args []string,
	out, faults io.Writer) error {
	told := painted{Model: m.Network.Name, Weights: m.Origin, weightsJSON: weightsTaken(m), Output: o.output,
		Height: job.Size.Y, Width: job.Size.X, Seed: o.seed, Styles: args}
	if job.Content != nil {
		told.Content, told.Styles, told.ContentLayer = args[0], args[1:], painter.Content
	}
	if len(job.Styles) > 0 {
		told.StyleLayers = painter.Style
	}
	progress := progressOf(faults)
	progress.begin(job.Iterations, "iterations")
	often := max(1, job.Iterations/10)
	picture, failed := painter.Paint(ctx, job, func(p style.Progress) error {
		told.Iterations, told.Evaluations, told.Ratio = p.Iteration, p.Evaluations, p.Ratio
		told.Losses = append(told.Losses, p.Losses)
		if p.Iteration == 0 && job.Content != nil && len(job.Styles) > 0 {
			fmt.Fprintf(faults, "ratio of content to style %.3g\n", p.Ratio)
		}
		progress.advance(p.Iteration)
		if p.Iteration%often == 0 {
			fmt.Fprintf(faults, "iteration %d: loss %.4g, content %.4g, style %.4g\n", p.Iteration, p.Total, p.Losses.Content,
				p.Losses.Style)
		}
		if o.every > 0 && p.Iteration > 0 && p.Iteration%o.every == 0 && p.Iteration < job.Iterations {
			return o.write(p.Picture())
		}
		return nil
	})
	if picture == nil {
		if ctx.Err() != nil {
			return errors.New("interrupted before the first iteration: nothing is written")
		}
		return hintPainting(failed)
	}
	if err := o.write(picture); err != nil {
		return errors.Join(failed, err)
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted after %d of %d iterations: %s is the painting so far", told.Iterations, job.Iterations,
			o.output)
	case failed != nil:
		return fmt.Errorf("%w: %s is the painting after %d iterations", failed, o.output, told.Iterations)
	case o.json:
		return writeJSON(out, told)
	}
	last := told.Losses[len(told.Losses)-1]
	return printf(out, "%s: %dx%d, %d iterations, loss %.4g of %.4g\npreprocess: %s\n", o.output, told.Height, told.Width,
		told.Iterations, last.Total, told.Losses[0].Total, m.Preprocess)
}

// write writes the painting.
func (o *styleOptions) write(p *vision.Picture) error {
	format, err := o.format()
	if err != nil {
		return err
	}
	return writeTo(o.output, nil, func(w io.Writer) error {
		if format == "jpeg" {
			return jpeg.Encode(w, p.Image(), &jpeg.Options{Quality: 90})
		}
		return png.Encode(w, p.Image())
	})
}

// hintPainting adds the remedy to what a painting is refused for.
func hintPainting(err error) error {
	switch {
	case errors.As(err, new(*nn.MemoryError)):
		return hint(err, "a smaller --size, or --optimiser adam, which remembers no iterations")
	case errors.As(err, new(*style.NaNError)):
		return hint(err, "another --ratio, or weights whose preparation is another: --preprocess tells it")
	case errors.As(err, new(*arch.ShapeError)):
		return hint(err, "a larger --size")
	}
	return err
}
