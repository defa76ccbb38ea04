package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
)

// explainOptions are the flags of `vggo explain`.
type explainOptions struct {
	modelFlags
	method  string
	layer   string
	class   string
	opacity float64
	size    int
	stride  int
	unit    []int
	channel int
	count   int
	grow    int
	output  string
}

// explainMethod is a way to look into a network.
type explainMethod struct {
	name, about string
	flags       []string // that it takes beside those of all; others are refused
	run         func(*explainRun) error
}

// explainMethods are all, the usual one first.
func explainMethods() []explainMethod {
	return []explainMethod{
		{"gradcam", "where a layer's maps speak for a class (Grad-CAM)", []string{"layer", "class", "opacity"},
			(*explainRun).gradCAM},
		{"occlusion", "how far a class's probability falls as parts are covered", []string{"class", "opacity", "size",
			"stride"}, (*explainRun).occlusion},
		{"maps", "a layer's output, a tile for each channel", []string{"layer", "channel"}, (*explainRun).maps},
		{"filters", "a convolution's weights; needs no picture", []string{"layer", "channel"}, (*explainRun).filters},
		{"field", "the pixels that a unit of a layer sees", []string{"layer", "unit"}, (*explainRun).field},
		{"patches", "the parts of a folder's pictures that excite a channel most", []string{"layer", "channel", "count"},
			(*explainRun).patches},
		{"dream", "a picture that grows to excite a channel or a class; from noise, without a picture",
			[]string{"layer", "channel", "class", "iterations"}, (*explainRun).dream},
	}
}

func newExplainCommand() *cobra.Command {
	var o explainOptions
	var methods strings.Builder
	var names []string
	for _, m := range explainMethods() {
		fmt.Fprintf(&methods, "\n  %-10s %s", m.name, m.about)
		names = append(names, m.name)
	}
	cmd := &cobra.Command{
		Use:   "explain PICTURE|DIR...",
		Short: "Show what a network saw in a picture",
		Long: `Draw what a network saw, to a PNG file. Methods:
` + methods.String() + `

Heat is drawn over what the network sees of the picture, cut out as its input is, in
colours from dark blue (nothing) by green to yellow (the most).

` + layersHelp + ` Where none is named it is the last convolution, behind its ReLU.

Without --weights the network is the embedded one, as in vggo classify.`,
		Example: `  vggo explain photo.jpg
  vggo explain photo.jpg --weights vgg16.safetensors
  vggo explain photo.jpg --weights vgg16.safetensors --class "tabby cat" -o cat.png
  vggo explain photo.jpg --weights vgg16.safetensors --method occlusion --size 48
  vggo explain photo.jpg --weights vgg16.safetensors --method maps --layer conv1_1
  vggo explain --method filters --weights vgg16.safetensors
  vggo explain holiday/ --method patches --channel 17 --weights vgg16.safetensors
  vggo explain --method dream --layer conv3_1 --channel 17 --weights vgg16.safetensors
  vggo explain photo.jpg --method dream --layer conv3_1 --channel 17 --weights vgg16.safetensors
  vggo explain --method dream --class owl --iterations 200 -o owl.png`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd, args)
		},
	}
	o.add(cmd)
	f := cmd.Flags()
	f.Lookup("seed").Usage = "of noise, and of random weights"
	f.StringVar(&o.method, "method", names[0], "what to draw, one `of` "+strings.Join(names, ", "))
	f.StringVar(&o.layer, "layer", "", "`layer` to look at (default: the last convolution, behind its ReLU; of filters, "+
		"the first)")
	f.StringVar(&o.class, "class", "", "`class` to explain, by label or number; a label comes first (default: the most "+
		"probable one)")
	f.Float64Var(&o.opacity, "opacity", 0.6, "of the heat over the picture, 0 to 1")
	f.IntVar(&o.size, "size", 0, "side of the square that covers the picture, in `pixels` of the network's input "+
		"(default: a seventh of it)")
	f.IntVar(&o.stride, "stride", 0, "`pixels` from one place of the square to the next (default: half of its side)")
	f.IntSliceVar(&o.unit, "unit", nil, "`row,column` of a unit in the layer's map (default: the middle one)")
	f.IntVar(&o.channel, "channel", 0, "`channel` of the layer, from 0 (default: of maps and filters, all)")
	f.IntVar(&o.grow, "iterations", 100, "for which a picture grows")
	f.IntVar(&o.count, "count", 9, "how many patches to find")
	f.StringVarP(&o.output, "output", "o", "", "PNG `file` to write (default: the picture's name and the method's)")
	_ = cmd.RegisterFlagCompletionFunc("method", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// explainRun is a run of `vggo explain`.
type explainRun struct {
	*explainOptions
	ctx         context.Context
	in          io.Reader
	out, faults io.Writer
	list        *pictureList
	model       *root.Model
	changed     func(flag string) bool

	name  string // of the picture, for people
	whole *vision.Picture
	seen  *vision.Picture // what the network sees of it, larger
	pixel int             // how long one of the network's is there
	input *tensor.Tensor
}

func (o *explainOptions) run(cmd *cobra.Command, args []string) (err error) {
	methods := explainMethods()
	at := slices.IndexFunc(methods, func(m explainMethod) bool { return m.name == o.method })
	if at < 0 {
		var names []string
		for _, m := range methods {
			names = append(names, m.name)
		}
		return usageError{fmt.Errorf("unknown method %q: want one of %s", o.method, strings.Join(names, ", "))}
	}
	method := methods[at]
	for _, m := range methods {
		for _, flag := range m.flags {
			if cmd.Flags().Changed(flag) && !slices.Contains(method.flags, flag) {
				return usageError{fmt.Errorf("--%s means nothing to --method %s", flag, o.method)}
			}
		}
	}
	switch {
	case o.method == "filters" && len(args) > 0:
		return usageError{errors.New("filters are the network's, of no picture: name none")}
	case o.method != "filters" && o.method != "dream" && len(args) == 0:
		return usageError{hint(errors.New("no picture named"), "vggo explain photo.jpg")}
	case !(o.opacity >= 0 && o.opacity <= 1):
		return usageError{fmt.Errorf("--opacity must lie between 0 and 1, not %v", o.opacity)}
	case o.method == "field" && cmd.Flags().Changed("unit") && len(o.unit) != 2:
		return usageError{fmt.Errorf("--unit is a row and a column, as in 7,7, not %d numbers", len(o.unit))}
	case o.method == "patches" && (o.count < 1 || o.count > explain.MaxPatches):
		return usageError{fmt.Errorf("--count must lie between 1 and %d, not %d", explain.MaxPatches, o.count)}
	case o.grow < 1:
		return usageError{fmt.Errorf("--iterations must be at least 1, not %d", o.grow)}
	case o.method == "dream" && o.class != "" && (o.layer != "" || cmd.Flags().Changed("channel")):
		return usageError{hint(errors.New("--class is a channel of the last layer: --layer and --channel name another"),
			"leave out the one or the others")}
	case o.output != "" && !strings.EqualFold(filepath.Ext(o.output), ".png"):
		return usageError{hint(fmt.Errorf("%q is no PNG file", o.output), "-o heat.png")}
	}
	if err := o.check(); err != nil {
		return err
	}
	e := &explainRun{explainOptions: o, ctx: cmd.Context(), in: cmd.InOrStdin(), out: cmd.OutOrStdout(),
		faults: cmd.ErrOrStderr(), changed: cmd.Flags().Changed}
	pictures := 1
	switch o.method {
	case "patches", "occlusion":
		pictures = usualBatch
	}
	if len(args) > 0 {
		if e.list, err = listPictures(args, e.faults); err != nil {
			return err
		}
		if o.method != "patches" && len(e.list.files) > 1 {
			return usageError{hint(fmt.Errorf("%d pictures: --method %s explains one", len(e.list.files), o.method),
				"--method patches searches many")}
		}
	}
	if slices.Contains(headless, o.method) {
		o.until = o.layer
	}
	open := o.open
	if o.method == "gradcam" || o.method == "occlusion" || o.class != "" { // which explain a class
		open = o.openAnswering
	}
	if err := canWrite(o.output); err != nil {
		return err
	}
	if e.model, err = open(pictures); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.model.Close()) }()
	tellModel(e.faults, e.model, o.part)
	if len(args) > 0 && o.method != "patches" {
		err = e.load()
	}
	if err == nil {
		err = method.run(e)
	}
	if err == nil && o.method != "filters" {
		_, err = fmt.Fprintln(e.out, preparedLine(e.model.Preprocess))
	}
	if err != nil && e.ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// headless are the methods that ask for a layer and nothing behind it.
var headless = []string{"maps", "filters", "field", "patches", "dream"}

// stem is the picture's name without folders and ending.
func (e *explainRun) stem() string {
	base := filepath.Base(e.name)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// load decodes and prepares the one picture.
func (e *explainRun) load() error {
	picture, name, err := decodePicture(e.list.files[0], e.in, e.limits())
	if err != nil {
		return err
	}
	e.name, e.whole = name, picture
	if e.seen, e.pixel, err = explain.Seen(e.model.Preprocess.Preprocess, picture, drawnSide); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	e.input, err = e.model.Prepare(e.ctx, []*vision.Picture{picture})
	return err
}

// chooseLayer is --layer or the usual one, and its output.
func (e *explainRun) chooseLayer() (string, arch.Shape, error) {
	layer := e.layer
	if layer == "" {
		var err error
		if layer, err = explain.LastMap(e.model); err != nil {
			return "", arch.Shape{}, err
		}
	}
	until, err := e.model.Placed.Until(layer)
	if err != nil {
		return "", arch.Shape{}, hintLayer(err, e.archSpec(e.model))
	}
	return layer, until.Output(), nil
}

// chooseClass is --class as a number, -1 for the most probable one.
func (e *explainRun) chooseClass() (int, error) {
	if e.class == "" {
		return -1, nil
	}
	return chooseClass(e.model, e.class, e.faults)
}

func classWords(c root.Class) string {
	words := fmt.Sprintf("class %d", c.Index)
	if c.Label != "" {
		words += " (" + c.Label + ")"
	}
	return fmt.Sprintf("%s, probability %.2f %%", words, 100*c.Probability)
}

func (e *explainRun) gradCAM() error {
	layer, _, err := e.chooseLayer()
	if err != nil {
		return err
	}
	class, err := e.chooseClass()
	if err != nil {
		return err
	}
	heat, err := explain.GradCAM(e.ctx, e.model, e.input, layer, class)
	if err != nil {
		return hintSmaller(err)
	}
	what := fmt.Sprintf("Grad-CAM of %s, %dx%d", layer, heat.Height, heat.Width)
	if heat.Most() <= 0 {
		what = fmt.Sprintf("nothing in %s speaks for it", layer)
	}
	return e.drawHeat(heat, what)
}

func (e *explainRun) occlusion() error {
	class, err := e.chooseClass()
	if err != nil {
		return err
	}
	o := explain.Occluder{Size: e.size, Stride: e.stride}
	passes, err := o.Passes(e.model)
	if err != nil {
		return usageError{err}
	}
	p := progressOf(e.faults)
	p.begin(passes, "passes")
	heat, err := explain.Occlusion(e.ctx, e.model, e.input, o, class, func(done, _ int) { p.advance(done) })
	if err != nil {
		return err
	}
	what := fmt.Sprintf("covering a part takes up to %.2f %% away, map of %dx%d", 100*heat.Most(), heat.Height, heat.Width)
	if heat.Most() <= 0 {
		what = "covering no part lowers it"
	}
	return e.drawHeat(heat, what)
}

func (e *explainRun) drawHeat(heat *explain.Heat, what string) error {
	if e.model.ClassesGuess != "" {
		fmt.Fprintf(e.faults, "vggo: labels: %s\n", e.model.ClassesGuess)
	}
	return e.write(e.stem(), explain.Overlay(e.seen, &heat.Map, e.opacity), fmt.Sprintf("%s: %s; %s", e.name,
		classWords(heat.Class), what))
}

func (e *explainRun) maps() error {
	layer, out, err := e.chooseLayer()
	if err != nil {
		return err
	}
	tiles, err := explain.Maps(e.ctx, e.model, e.input, layer)
	if err != nil {
		return err
	}
	return e.drawTiles(e.stem(), fmt.Sprintf("%s: output %v of %s", e.name, out, layer), tiles)
}

func (e *explainRun) filters() error {
	if e.layer == "" {
		at := slices.IndexFunc(e.model.Network.Layers, func(l arch.Layer) bool { _, ok := l.Op.(arch.Conv); return ok })
		if at < 0 {
			return fmt.Errorf("%s has no convolution, so no filters", e.model.Network.Name)
		}
		e.layer = e.model.Network.Layers[at].Name
	}
	layer, _, err := e.chooseLayer()
	if err != nil {
		return err
	}
	tiles, err := explain.Filters(e.model, layer)
	if err != nil {
		return err
	}
	return e.drawTiles(layer, fmt.Sprintf("filters of %s of %s", layer, e.model.Network.Name), tiles)
}

// drawTiles draws all tiles, or as many as fit, or those of --channel.
func (e *explainRun) drawTiles(of, what string, tiles *explain.Tiles) error {
	from, n, all := 0, tiles.Count, tiles.Count
	if e.changed("channel") {
		channels := tiles.Count / tiles.Each
		if e.channel < 0 || e.channel >= channels {
			return usageError{fmt.Errorf("--channel must lie between 0 and %d, not %d: %s has %d channels", channels-1,
				e.channel, tiles.Layer, channels)}
		}
		from, n, all = e.channel*tiles.Each, tiles.Each, tiles.Each
		what += fmt.Sprintf(", channel %d", e.channel)
	}
	n = min(n, explain.MaxTiles)
	grid, err := tiles.Grid(from, n)
	if err != nil {
		return hint(err, "--channel draws one channel's")
	}
	count := fmt.Sprintf("%d tiles", n)
	switch {
	case n < all:
		count = fmt.Sprintf("the first %d of %d tiles", n, all)
	case n == 1:
		count = "1 tile"
	}
	return e.write(of, grid.Image(), fmt.Sprintf("%s, %s of %dx%d", what, count, tiles.Height, tiles.Width))
}

func (e *explainRun) field() error {
	layer, out, err := e.chooseLayer()
	if err != nil {
		return err
	}
	x, y := out.W/2, out.H/2
	if len(e.unit) == 2 {
		y, x = e.unit[0], e.unit[1]
	}
	box, err := explain.Field(e.model, layer, x, y)
	if err != nil {
		return err
	}
	sees := fmt.Sprintf("rows %d to %d and columns %d to %d", box.Min.Y, box.Max.Y-1, box.Min.X, box.Max.X-1)
	if box.Empty() {
		sees = "padding alone"
	}
	frame := explain.Frame(e.seen, image.Rectangle{Min: box.Min.Mul(e.pixel), Max: box.Max.Mul(e.pixel)})
	return e.write(e.stem(), frame, fmt.Sprintf("%s: unit (%d, %d) of %s sees %s of %dx%d pixels", e.name, y, x, layer,
		sees, e.model.Input.H, e.model.Input.W))
}

func (e *explainRun) patches() error {
	layer, _, err := e.chooseLayer()
	if err != nil {
		return err
	}
	failed := 0
	patches, err := explain.TopPatches(e.ctx, e.model, e.pictures(&failed), layer, e.channel, e.count)
	if err != nil {
		return err
	}
	if len(patches) == 0 {
		return e.list.end(failed)
	}
	var parts []*vision.Picture
	for _, p := range patches {
		parts = append(parts, p.Picture)
	}
	mosaic, err := explain.Mosaic(parts)
	if err != nil {
		return hint(err, "a smaller --count, or a layer nearer the picture, whose units see less")
	}
	first, last := patches[0], patches[len(patches)-1]
	err = e.write(fmt.Sprintf("%s-%d", layer, e.channel), mosaic.Image(),
		fmt.Sprintf("channel %d of %s: %d parts of %d pictures excite it most, from %.4g (%s) to %.4g (%s)",
			e.channel, layer, len(patches), len(e.list.files)-failed, first.Value, first.Name, last.Value, last.Name))
	return errors.Join(err, e.list.end(failed))
}

// pictures decodes one after the other. One that cannot be read is reported and counted.
func (e *explainRun) pictures(failed *int) iter.Seq2[string, *vision.Picture] {
	return func(yield func(string, *vision.Picture) bool) {
		p := progressOf(e.faults)
		p.begin(len(e.list.files), "pictures")
		for i, file := range e.list.files {
			p.advance(i)
			picture, name, err := decodePicture(file, e.in, e.limits())
			if err != nil {
				*failed++
				printFault(e.faults, err)
				continue
			}
			if !yield(name, picture) {
				return
			}
		}
	}
}

// write writes a picture, called after what it is of where no name is given, and says so.
func (e *explainRun) write(of string, picture image.Image, what string) error {
	path := e.output
	path = cmp.Or(path, of+"-"+e.method+".png")
	if err := writeTo(path, nil, func(w io.Writer) error { return png.Encode(w, picture) }); err != nil {
		return err
	}
	return printf(e.out, "%s: %s\n", what, path)
}

// drawnSide is how long the longer side of what is drawn over is at least.
const drawnSide = 448
