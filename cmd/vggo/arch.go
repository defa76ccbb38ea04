package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/embedded"
	"github.com/vggo/vggo/hub"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/report"
	"github.com/vggo/vggo/weights"
)

// archOptions are the flags of `vggo arch`.
type archOptions struct {
	input    string
	batch    int
	head     string
	formulas bool
	format   string
	json     bool
	describe bool
	list     bool
	compare  []string
	output   string
}

func newArchCommand() *cobra.Command {
	var o archOptions
	cmd := &cobra.Command{
		Use:   "arch [NAME | FILE | STRING]",
		Short: "What each layer of a network produces, costs and sees",
		Long: `Print what each layer of a network produces (output size), costs (parameters,
multiply-accumulates, memory) and sees (receptive field), each with its formula.

The network is a built-in (vggo arch --list), a YAML or JSON description
(vggo arch vgg16 --describe -o mine.yaml makes one to start from; what Keras' to_json
writes, Darknet's .cfg and Caffe's .prototxt are such too), a file of weights that tells
its network (ONNX, Keras, MatConvNet, Caffe, torchvision's names), whatever the file is
called, or a compact string: convolution part, slash, widths of the fully connected head.

  64,64,M,128,128,M/256,10

  64  3x3 convolution to 64 channels and ReLU    M  max pooling 2x2
  L   local response normalisation               A  average pooling 2x2
  G   global average pooling, last               R  padding by reflection

Options follow an item: k kernel, s stride, p padding, d dilation, g groups,
b batch norm, c (pooling) round up: 96k11s4p0,L,Mk3s2. The last width takes s: a
sigmoid in place of the softmax, 64,M/1s. A string may begin with its input:
32x32x3:64,M/10.`,
		Example: `  vggo arch vgg16
  vggo arch vgg16 --formulas
  vggo arch vgg16 --input 384x512x3 --head dense --batch 8
  vggo arch vgg16 -o vgg16.svg
  vggo arch 32x32x3:64,64,M,128,128,M/256,10
  vggo arch --compare vgg16,vgg19,alexnet`,
		Args: cobra.ArbitraryArgs, // plan knows how many make sense
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.chooseFormat(cmd.Flags().Changed); err != nil {
				return err
			}
			write, err := o.plan(args)
			if err != nil {
				return err
			}
			return writeTo(o.output, cmd.OutOrStdout(), write)
		},
		ValidArgsFunction: completeNetworks,
	}
	f := cmd.Flags()
	f.StringVar(&o.input, "input", "", "input size, `HxWxC` (default: the network's own)")
	f.IntVar(&o.batch, "batch", 1, "number of images at once, for memory and FLOP per byte")
	f.StringVar(&o.head, "head", "", "`HEAD`: paper (first fully connected layer sized from the last map), adaptive "+
		"(average the map to the design's size first) or dense (fully convolutional)")
	f.BoolVar(&o.formulas, "formulas", false, "work the figures out: (224-3+2*1)/1+1 = 224")
	f.StringVar(&o.format, "format", "", "`FORMAT`: table, markdown, csv, json or svg (default: by the ending of -o's "+
		"file, else table)")
	f.BoolVar(&o.json, "json", false, "short for --format json")
	f.BoolVar(&o.describe, "describe", false, "print the network as a YAML description (JSON with --json) to start your "+
		"own from")
	f.BoolVar(&o.list, "list", false, "list the built-in networks")
	f.StringSliceVar(&o.compare, "compare", nil, "put networks side by side: `NAME,NAME`, and any file or compact string "+
		"named besides")
	f.StringVarP(&o.output, "output", "o", "", "write to a `FILE`, which appears only once it is whole")
	cmd.MarkFlagsMutuallyExclusive("list", "compare", "describe")
	cmd.MarkFlagsMutuallyExclusive("format", "json")
	cmd.MarkFlagsMutuallyExclusive("format", "describe")
	return cmd
}

// archEndings are what -o's file may end in, and descriptionEndings with --describe.
var (
	archEndings = []ending{{".svg", "svg"}, {".json", "json"}, {".csv", "csv"}, {".md", "markdown"},
		{".txt", "table"}}
	descriptionEndings = []ending{{".yaml", "yaml"}, {".yml", "yaml"}, {".json", "json"}}
)

// chooseFormat goes by -o's ending where no flag says a format.
func (o *archOptions) chooseFormat(changed func(string) bool) (err error) {
	switch {
	case o.json:
		o.format = string(report.JSON)
	case changed("format"):
	case o.describe:
		var format string
		format, err = formatOf(o.output, "yaml", descriptionEndings)
		o.format, o.json = string(report.Table), format == "json"
	default:
		o.format, err = formatOf(o.output, string(report.Table), archEndings)
		if slices.ContainsFunc(descriptionEndings, func(e ending) bool { return strings.HasSuffix(o.output, e.name) }) &&
			err != nil {
			err = hint(err, "--describe writes a description, in YAML or JSON")
		}
	}
	return err
}

// plan checks the flags and does the arithmetic; what it returns only writes.
func (o *archOptions) plan(args []string) (func(io.Writer) error, error) {
	format := report.Format(o.format)
	if !slices.Contains(report.Formats, format) {
		return nil, usageError{fmt.Errorf("unknown format %q: want %s", o.format, printable.Or(report.Formats))}
	}
	if format == report.SVG && (o.list || len(o.compare) > 0) {
		return nil,
			usageError{errors.New("svg draws one network: a list or comparison comes as table, markdown, csv or json")}
	}
	if o.head != "" && !slices.Contains(arch.Heads, arch.Head(o.head)) {
		return nil, usageError{fmt.Errorf("unknown head %q: want %s", o.head, printable.Or(arch.Heads))}
	}
	if o.batch < 1 {
		return nil, usageError{fmt.Errorf("--batch must be at least 1, not %d", o.batch)}
	}
	switch {
	case o.list:
		if len(args) > 0 {
			return nil, usageError{errors.New("--list takes no network")}
		}
		catalog, err := arch.Catalog()
		return func(w io.Writer) error { return report.Catalog(w, catalog, format) }, err
	case len(o.compare) > 0:
		var networks []*arch.Report
		for _, spec := range append(o.compare, args...) {
			r, err := o.analyze(spec)
			if err != nil {
				return nil, err
			}
			networks = append(networks, r)
		}
		return func(w io.Writer) error { return report.Comparison(w, networks, format) }, nil
	case len(args) == 0:
		return nil, usageError{hint(errors.New("no network named"), "vggo arch vgg16, or vggo arch --list")}
	case len(args) > 1:
		return nil, usageError{hint(errors.New("more than one network named"), "vggo arch --compare "+
			strings.Join(args, ","))}
	case o.describe:
		placed, err := o.open(args[0])
		if err != nil {
			return nil, err
		}
		if o.json {
			return placed.Network.EncodeJSON, nil
		}
		return placed.Network.EncodeYAML, nil
	}
	r, err := o.analyze(args[0])
	return func(w io.Writer) error { return report.Network(w, r, format, o.formulas) }, err
}

// open finds a network with the head and the input asked for.
func (o *archOptions) open(spec string) (*arch.Placement, error) {
	placed, err := o.find(spec)
	if err != nil {
		return nil, err
	}
	if o.head != "" {
		if placed, err = placed.WithHead(arch.Head(o.head)); err != nil {
			return nil, err
		}
	}
	if o.input == "" {
		return placed, nil
	}
	input, err := arch.ParseShape(o.input)
	if err != nil {
		return nil, usageError{fmt.Errorf("--input: %w", err)}
	}
	return placed.WithInput(input)
}

// weightEndings are those of files of weights.
var weightEndings = []string{".safetensors", ".pth", ".pt", ".bin", ".onnx", ".h5", ".hdf5", ".keras", ".npz", ".npy",
	".ckpt", ".tar", ".pkl"}

// namesWeights reports whether a file is called as weights are.
func namesWeights(path string) bool {
	return slices.Contains(weightEndings, strings.ToLower(filepath.Ext(path))) || strings.HasSuffix(path, ".index.json")
}

// isText reports whether a file begins as text does: a description, which weights hardly are.
func isText(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() { // a pipe can be read only once
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 512)
	n, err := io.ReadFull(f, head)
	return (err == nil || errors.Is(err, io.ErrUnexpectedEOF)) &&
		!bytes.ContainsFunc(head[:n], func(r rune) bool { return r < ' ' && !unicode.IsSpace(r) })
}

// isBinary reports whether a path leads to a plain file that is no text.
func isBinary(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() > 0 && !isText(path)
}

// find opens a built-in network, what a file holds, by its bytes, or what a compact string says.
func (o *archOptions) find(spec string) (*arch.Placement, error) {
	if net, err := arch.Builtin(spec); err == nil {
		return net.Place(net.Input)
	}
	_, missing := os.Stat(spec)
	switch {
	case missing == nil && isText(spec):
		placed, err := weights.ReadNetwork(spec)
		if errors.Is(err, weights.ErrGraphModel) || err != nil && namesWeights(spec) { // or an index of shards, an old pickle
			return o.tellingWeights(spec)
		}
		return placed, err
	case missing == nil || namesWeights(spec) || spec == embedded.Name:
		return o.tellingWeights(spec)
	}
	return openNetwork(spec)
}

// tellingWeights opens the network that a file of weights tells.
func (o *archOptions) tellingWeights(path string) (net *arch.Placement, err error) {
	file, err := openWeights(path, "")
	if err != nil {
		return nil, hintModel(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	net, err = file.Network()
	if errors.As(err, new(*weights.OpenSizeError)) {
		var input arch.Shape
		if input, err = parseInput(o.input); err == nil {
			net, err = file.Resolve(weights.Asked{Input: input})
		}
	}
	if errors.As(err, new(*weights.UndescribedError)) { // there is no --model here
		return nil, hint(err, "a description tells it: vggo arch vgg16 --describe -o mine.yaml makes one to start from")
	}
	return net, hintModel(err)
}

func (o *archOptions) analyze(spec string) (*arch.Report, error) {
	placed, err := o.open(spec)
	if err != nil {
		return nil, err
	}
	return placed.Analyze(o.batch)
}

// networkName is a built-in's name for that of published weights, which are of it; all else stays as it is.
func networkName(spec string) string {
	if _, err := arch.Builtin(spec); err == nil {
		return spec
	}
	if e, ok := hub.Find(spec); ok {
		return e.Network
	}
	return spec
}

// openNetwork is weights.OpenNetwork with hints, which knows published weights' names too.
func openNetwork(spec string) (*arch.Placement, error) {
	n, err := weights.OpenNetwork(networkName(spec))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hint(err, "vggo arch vgg16 --describe -o "+spec+" makes one to start from")
	}
	return n, hintNetwork(err)
}

// hintNetwork adds the remedy to a name that no network has.
func hintNetwork(err error) error {
	var unknown *arch.UnknownError
	switch {
	case errors.As(err, &unknown) && len(unknown.Near) > 0:
		return hint(err, "did you mean "+strings.Join(unknown.Near, ", ")+"? vggo arch --list lists all")
	case errors.As(err, &unknown):
		return hint(err, "vggo arch --list lists all; there is no file called so, and a compact string looks like "+
			"64,M,128,M/10")
	}
	return err
}

// completeNetworks completes a network's name in the shell.
func completeNetworks(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return arch.Names(), cobra.ShellCompDirectiveDefault
}
