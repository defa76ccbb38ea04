package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/explain"
	"github.com/vggo/vggo/internal/sheet"
	"github.com/vggo/vggo/perceptual"
	"github.com/vggo/vggo/vision"
)

// compareOptions are the flags of `vggo compare`. Of those of other networks it lacks what is about classes, and about
// how pictures are prepared: they are measured as they are.
type compareOptions struct {
	modelFlags
	metrics []string
	heat    string
	byLayer bool
	resize  bool
	all     bool
	strict  bool
	most    float64
	limited bool // most was given
	json    bool
	csv     bool
}

func newCompareCommand() *cobra.Command {
	var o compareOptions
	cmd := &cobra.Command{
		Use:   "compare A B",
		Short: "Measure how different two pictures look",
		Long: `Measure how different two pictures look to people, by LPIPS 0.1 or DISTS: 0 is the same.
A and B are files, or folders whose pictures are paired by their names, whatever these
end in. With --all it is one folder, and each pair of pictures in it.

Both metrics were fitted to the weights that torchvision publishes: vggo pull vgg16, or
vggo pull alexnet for --model alexnet-torchvision (LPIPS alone). Other weights of these
networks are used with a warning; their distances compare with one another alone.
--strict refuses them.

With --max, a distance beyond it ends the command with exit code 3.`,
		Example: `  vggo compare original.png compressed.jpg
  vggo compare original.png compressed.jpg --map heat.png --by-layer
  vggo compare expected/ rendered/ --max 0.02 --strict
  vggo compare originals/ compressed/ --metric lpips,dists --csv
  vggo compare --all photos/ --model alexnet-torchvision --json`,
		Args: func(_ *cobra.Command, args []string) error {
			if want := map[bool]int{false: 2, true: 1}[o.all]; len(args) != want {
				return hint(fmt.Errorf("%d pictures or folders named, and not %d", len(args), want),
					"vggo compare A B, or vggo compare --all FOLDER")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.limited = cmd.Flags().Changed("max")
			return o.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.metrics, "metric", []string{string(perceptual.LPIPS)}, "what to measure: lpips, dists or "+
		"both, as `lpips,dists`")
	f.StringVarP(&o.model, "model", "m", "", "`network`: vgg16 or alexnet-torchvision (default: what the weights tell)")
	f.StringVarP(&o.weights, "weights", "w", "", "`file` of weights, or the name of pulled ones (default: vgg16, or "+
		"alexnet for --model alexnet-torchvision)")
	f.StringVar(&o.part, "weights-part", "", partUsage)
	f.BoolVar(&o.random, "random-weights", false, "weights drawn at random instead of a file: a trial run, whose "+
		"distances mean little")
	f.Uint64Var(&o.seed, "seed", 1, "of random weights")
	f.IntVar(&o.threads, "threads", 0, "threads to compute with (default: one for each processor)")
	f.StringVar(&o.heat, "map", "", "PNG `file` that shows where two pictures differ, drawn over the first (lpips)")
	f.BoolVar(&o.byLayer, "by-layer", false, "tell each layer's part of a distance")
	f.BoolVar(&o.resize, "resize", false, "scale the larger of two pictures to the size of the smaller")
	f.BoolVar(&o.all, "all", false, "compare each picture of one folder with each other")
	f.BoolVar(&o.strict, "strict", false, "refuse weights that the metric was not fitted to")
	f.Float64Var(&o.most, "max", 0, "`distance` beyond which the command ends with exit code 3")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.csv, "csv", false, "print CSV")
	o.planFlags.add(f)
	o.pictureFlags.add(f)
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	cmd.MarkFlagsMutuallyExclusive("all", "map")
	_ = cmd.RegisterFlagCompletionFunc("metric", cobra.FixedCompletions([]string{"lpips", "dists"},
		cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// compared is what `vggo compare --json` prints.
type compared struct {
	Model   string `json:"model"`
	Weights string `json:"weights"` // a path, or "random weights, seed 1"
	weightsJSON
	Pairs []comparedPair `json:"pairs"`
}

// comparedPair is a pair of pictures by one metric.
type comparedPair struct {
	A       string `json:"a"`
	B       string `json:"b"`
	Error   string `json:"error,omitempty"` // why there is nothing else
	Weights string `json:"weights,omitempty"`
	*perceptual.Told
}

// beyondError is a distance beyond --max: exit code 3.
type beyondError struct{ error }

func (o *compareOptions) check() error {
	for _, metric := range o.metrics {
		if !slices.Contains(perceptual.Metrics(), perceptual.Metric(metric)) {
			return usageError{fmt.Errorf("unknown metric %q: want lpips or dists", metric)}
		}
	}
	switch {
	case len(o.metrics) == 0:
		return usageError{errors.New("--metric names none: want lpips or dists")}
	case o.heat != "" && !slices.Contains(o.metrics, string(perceptual.LPIPS)):
		return usageError{errors.New("--map is of lpips: dists compares statistics of whole pictures")}
	case o.limited && !(o.most >= 0):
		return usageError{fmt.Errorf("--max must be at least 0, not %v", o.most)}
	}
	if o.heat != "" {
		if _, err := formatOf(o.heat, "png", []ending{{".png", "png"}}); err != nil {
			return usageError{fmt.Errorf("--map %s: its ending must be .png", o.heat)}
		}
		if err := canWrite(o.heat); err != nil {
			return err
		}
	}
	if o.weights == "" && !o.random {
		if o.weights = "vgg16"; networkName(o.model) == "alexnet-torchvision" {
			o.weights = "alexnet"
		}
	}
	// The convolutions are enough.
	if o.until = "relu5_3"; networkName(o.model) == "alexnet-torchvision" {
		o.until = "relu5"
	}
	return o.modelFlags.check()
}

func (o *compareOptions) run(ctx context.Context, args []string, out, faults io.Writer) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	pairs, lone, err := o.pairs(args, faults)
	if err != nil {
		return err
	}
	if o.heat != "" && len(pairs) > 1 {
		return usageError{errors.New("--map is of one pair of pictures: name two files")}
	}
	m, err := o.open(1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	tellModel(faults, m, o.part)
	meters, err := o.meters(m, faults)
	if err != nil {
		return err
	}
	result := compared{Model: m.Network.Name, Weights: m.Origin, weightsJSON: weightsTaken(m)}
	failed, beyond := 0, 0
	progress := progressOf(faults)
	progress.begin(len(pairs), "pairs")
	for i, pair := range pairs {
		told, err := o.compare(ctx, m, meters, pair)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("interrupted before %s and %s", pair.a, pair.b)
		case err != nil && len(pairs) == 1:
			return o.hintPair(err)
		case err != nil:
			failed++
			told = []comparedPair{{A: pair.a, B: pair.b, Error: err.Error()}}
			printFault(faults, err)
		}
		for _, t := range told {
			if t.Told != nil && o.limited && !(t.Distance <= o.most) { // NaN is beyond
				beyond++
			}
		}
		result.Pairs = append(result.Pairs, told...)
		progress.advance(i + 1)
	}
	if err := o.write(out, &result); err != nil {
		return err
	}
	var ends []string
	if failed > 0 {
		ends = append(ends, fmt.Sprintf("%d of %d pairs could not be compared", failed, len(pairs)))
	}
	switch {
	case lone == 1:
		ends = append(ends, "1 picture has no counterpart")
	case lone > 1:
		ends = append(ends, fmt.Sprintf("%d pictures have no counterpart", lone))
	}
	switch {
	case len(ends) > 0:
		return errors.New(strings.Join(ends, ", and "))
	case beyond == 1 && len(result.Pairs) == 1:
		return beyondError{fmt.Errorf("%.6g is beyond --max %v", result.Pairs[0].Distance, o.most)}
	case beyond > 0:
		return beyondError{fmt.Errorf("%d of %d distances are beyond --max %v", beyond, len(result.Pairs), o.most)}
	}
	return nil
}

// meters makes one for each metric, and says of weights that they do not belong to.
func (o *compareOptions) meters(m *root.Model, faults io.Writer) (meters []*perceptual.Meter, err error) {
	for _, metric := range o.metrics {
		meter, err := perceptual.New(m, perceptual.Options{Metric: perceptual.Metric(metric),
			Map: o.heat != "" && perceptual.Metric(metric) == perceptual.LPIPS})
		var other *perceptual.NetworkError
		if errors.As(err, &other) {
			return nil, hint(err, "--model "+strings.Join(other.Have, " or --model ")+", and weights of it")
		}
		if err != nil {
			return nil, err
		}
		if why := meter.Uncalibrated(); why != "" && o.strict {
			return nil, hint(fmt.Errorf("%s: %s: %s", m.Origin, metric, why), "vggo pull vgg16 (or alexnet) fetches them, and "+
				"leave --weights out")
		} else if why != "" {
			fmt.Fprintf(faults, "vggo: %s: %s: %s; distances compare with one another alone\n", m.Origin, metric, why)
		}
		meters = append(meters, meter)
	}
	return meters, nil
}

// compare measures a pair by each metric.
func (o *compareOptions) compare(ctx context.Context, m *root.Model, meters []*perceptual.Meter,
	pair picturePair) (told []comparedPair, err error) {
	a, err := pair.first.decode(pair.a, o.limits())
	if err != nil {
		return nil, err
	}
	b, _, err := decodePicture(pair.b, nil, o.limits())
	if err != nil {
		return nil, err
	}
	if o.resize && !a.Transparent && !b.Transparent {
		a, b = sameSize(a, b)
	}
	for _, meter := range meters {
		d, err := meter.Distance(ctx, a, b)
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", pair.a, pair.b, err)
		}
		t := comparedPair{A: pair.a, B: pair.b, Weights: m.Origin, Told: meter.Tell(d)}
		if !o.byLayer {
			t.Layers = nil
		}
		told = append(told, t)
		if d.Map == nil {
			continue
		}
		err = writeTo(o.heat, nil, func(w io.Writer) error { return png.Encode(w, explain.Overlay(a, d.Map, 0.6)) })
		if err != nil {
			return nil, err
		}
	}
	return told, nil
}

// opaqueHint is the remedy for a picture with transparency.
const opaqueHint = "save it on the background that it is seen on: magick in.png -background white -flatten out.png"

// hintPair adds the remedy to what two pictures are refused for.
func (o *compareOptions) hintPair(err error) error {
	switch {
	case errors.As(err, new(*perceptual.SizesError)):
		return hint(err, "--resize scales the larger to the size of the smaller")
	case errors.As(err, new(*perceptual.TransparentError)):
		return hint(err, opaqueHint)
	case errors.As(err, new(*perceptual.SmallError)):
		return hint(err, "enlarge both by the same factor: what is measured then is how they look enlarged")
	}
	return hintSmaller(err)
}

// sameSize scales the picture of more pixels (of as many, the wider one) to the size of the other, so that the order of
// the two makes no difference.
func sameSize(a, b *vision.Picture) (*vision.Picture, *vision.Picture) {
	sa, sb := image.Pt(a.W, a.H), image.Pt(b.W, b.H)
	larger := a.W*a.H > b.W*b.H || a.W*a.H == b.W*b.H && a.W > b.W
	switch {
	case sa == sb:
	case larger:
		a = a.Resize(sb.X, sb.Y, vision.Bilinear)
	default:
		b = b.Resize(sa.X, sa.Y, vision.Bilinear)
	}
	return a, b
}

// write prints the result.
func (o *compareOptions) write(out io.Writer, c *compared) error {
	if o.json {
		return writeJSON(out, c)
	}
	var layers []string // of all metrics, in order
	for _, p := range c.Pairs {
		if p.Told == nil {
			continue
		}
		for _, l := range p.Layers {
			if !slices.Contains(layers, l.Name) {
				layers = append(layers, l.Name)
			}
		}
	}
	if i := slices.Index(layers, "picture"); i > 0 {
		layers = slices.Insert(slices.Delete(layers, i, i+1), 0, "picture")
	}
	value := func(p comparedPair, layer string) string {
		if i := slices.IndexFunc(p.Layers, func(l perceptual.Layer) bool { return l.Name == layer }); i >= 0 {
			return strconv.FormatFloat(p.Layers[i].Value, 'g', 7, 64)
		}
		return ""
	}
	if o.csv {
		w := csv.NewWriter(out)
		err := w.Write(append([]string{"a", "b", "metric", "version", "network", "weights", "calibrated", "height", "width",
			"distance", "error"}, layers...))
		for _, p := range c.Pairs {
			record := make([]string, 11+len(layers))
			record[0], record[1], record[10] = p.A, p.B, p.Error
			if p.Told != nil {
				copy(record[2:], []string{string(p.Metric), p.Version, p.Network, p.Weights, strconv.FormatBool(p.Calibrated),
					strconv.Itoa(p.Height), strconv.Itoa(p.Width), strconv.FormatFloat(p.Distance, 'g', -1, 64)})
				for i, l := range layers {
					record[11+i] = value(p, l)
				}
			}
			err = errors.Join(err, w.Write(record))
		}
		w.Flush()
		return errors.Join(err, w.Error())
	}
	t := sheet.New(append([]string{"A", "B", "metric", "network", "weights", "size", "distance"}, layers...)...).Figures(7)
	for _, p := range c.Pairs {
		if p.Told == nil { // why has been said
			continue
		}
		row := []any{p.A, p.B, string(p.Metric) + " " + p.Version, p.Network, p.Weights,
			fmt.Sprintf("%dx%d", p.Height, p.Width), fmt.Sprintf("%.6f", p.Distance)}
		for _, l := range layers {
			row = append(row, value(p, l))
		}
		t.Row(row...)
	}
	return printf(out, "%s\n", ownText(t.Text(sheet.Columns(out))))
}
