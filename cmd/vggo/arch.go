package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vggo/vggo/arch"
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
writes is one too), a file of weights that tells its network (ONNX, Keras,
torchvision's names), or a compact string: convolution part, slash, widths of the
fully connected head.

  64,64,M,128,128,M/256,10

  64  3x3 convolution to 64 channels and ReLU    M  max pooling 2x2
  L   local response normalisation               A  average pooling 2x2
  G   global average pooling, last

Options follow an item: k kernel, s stride, p padding, d dilation, g groups,
b batch norm, c (pooling) round up: 96k11s4p0,L,Mk3s2. The last width takes s: a
sigmoid in place of the softmax, 64,M/1s. A string may begin with its input:
32x32x3:64,M/10.`,
		Example: `  vggo arch vgg16
  vggo arch vgg16 --formulas
  vggo arch vgg16 --input 384x512x3 --head dense --batch 8
  vggo arch vgg16 --format svg -o vgg16.svg
  vggo arch 32x32x3:64,64,M,128,128,M/256,10
  vggo arch --compare vgg16,vgg19,alexnet`,
		Args: cobra.ArbitraryArgs, // plan knows how many make sense
		RunE: func(cmd *cobra.Command, args []string) error {
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
	f.StringVar(&o.head, "head", "", "`HEAD`: paper (first fully connected layer sized from the last map), adaptive (average the map to the design's size first) or dense (fully convolutional)")
	f.BoolVar(&o.formulas, "formulas", false, "work the figures out: (224-3+2*1)/1+1 = 224")
	f.StringVar(&o.format, "format", string(arch.Table), "`FORMAT`: table, markdown, csv, json or svg")
	f.BoolVar(&o.json, "json", false, "short for --format json")
	f.BoolVar(&o.describe, "describe", false, "print the network as a YAML description (JSON with --json) to start your own from")
	f.BoolVar(&o.list, "list", false, "list the built-in networks")
	f.StringSliceVar(&o.compare, "compare", nil, "put networks side by side: `NAME,NAME`, and any file or compact string named besides")
	f.StringVarP(&o.output, "output", "o", "", "write to a `FILE`, which appears only once it is whole")
	cmd.MarkFlagsMutuallyExclusive("list", "compare", "describe")
	cmd.MarkFlagsMutuallyExclusive("format", "json")
	cmd.MarkFlagsMutuallyExclusive("format", "describe")
	return cmd
}

// plan checks the flags and does the arithmetic; what it returns only writes.
func (o *archOptions) plan(args []string) (func(io.Writer) error, error) {
	format := arch.Format(o.format)
	if o.json {
		format = arch.JSON
	}
	if !slices.Contains(arch.Formats, format) {
		return nil, usageError{fmt.Errorf("unknown format %q: want one of %v", o.format, arch.Formats)}
	}
	if format == arch.SVG && (o.list || len(o.compare) > 0) {
		return nil, usageError{errors.New("svg draws one network: a list or comparison comes as table, markdown, csv or json")}
	}
	if o.head != "" && !slices.Contains(arch.Heads, arch.Head(o.head)) {
		return nil, usageError{fmt.Errorf("unknown head %q: want one of %v", o.head, arch.Heads)}
	}
	if o.batch < 1 {
		return nil, usageError{fmt.Errorf("--batch must be at least 1, not %d", o.batch)}
	}
	switch {
	case o.list:
		if len(args) > 0 {
			return nil, usageError{errors.New("--list takes no network")}
		}
		catalog, err := arch.Builtins()
		if err != nil {
			return nil, err
		}
		return func(w io.Writer) error { return catalog.Write(w, format) }, nil
	case len(o.compare) > 0:
		var c arch.Comparison
		for _, spec := range append(o.compare, args...) {
			r, err := o.analyze(spec)
			if err != nil {
				return nil, err
			}
			c = append(c, r)
		}
		return func(w io.Writer) error { return c.Write(w, format) }, nil
	case len(args) == 0:
		return nil, usageError{hint(errors.New("no network named"), "vggo arch vgg16, or vggo arch --list")}
	case len(args) > 1:
		return nil, usageError{hint(errors.New("more than one network named"), "vggo arch --compare "+strings.Join(args, ","))}
	case o.describe:
		n, input, err := o.open(args[0])
		if err != nil {
			return nil, err
		}
		n.Input = input
		if o.json || strings.EqualFold(filepath.Ext(o.output), ".json") {
			return n.EncodeJSON, nil
		}
		return n.EncodeYAML, nil
	}
	r, err := o.analyze(args[0])
	if err != nil {
		return nil, err
	}
	return func(w io.Writer) error { return r.Write(w, format, o.formulas) }, nil
}

// open finds a network with the head and the input asked for.
func (o *archOptions) open(spec string) (*arch.Network, arch.Shape, error) {
	n, err := o.find(spec)
	if err != nil {
		return nil, arch.Shape{}, err
	}
	if o.head != "" {
		if n, err = arch.WithHead(n, arch.Head(o.head)); err != nil {
			return nil, arch.Shape{}, err
		}
	}
	if o.input == "" {
		return n, n.Input, nil
	}
	input, err := arch.ParseShape(o.input)
	if err != nil {
		return nil, arch.Shape{}, usageError{fmt.Errorf("--input: %w", err)}
	}
	return n, input, nil
}

// weightEndings are those of files of weights, and descriptions' are others.
var (
	weightEndings      = []string{".safetensors", ".pth", ".pt", ".bin", ".onnx", ".h5", ".hdf5", ".keras", ".npz", ".npy", ".ckpt", ".tar", ".pkl"}
	descriptionEndings = []string{".yaml", ".yml", ".json"}
)

// isWeights reports whether arch looks for a network in a file of weights: what is called so, and any other that is there and no
// description. A built-in's name has neither dot nor slash.
func isWeights(spec string) bool {
	ending := strings.ToLower(filepath.Ext(spec))
	if slices.Contains(weightEndings, ending) || strings.HasSuffix(spec, ".index.json") {
		return true
	}
	_, err := os.Stat(spec)
	return err == nil && strings.ContainsAny(spec, `/\.`) && !slices.Contains(descriptionEndings, ending)
}

// find opens a network, or the one that a file of weights tells.
func (o *archOptions) find(spec string) (net *arch.Network, err error) {
	if !isWeights(spec) {
		return openNetwork(spec)
	}
	file, err := weights.Open(spec)
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
	return net, hintModel(err)
}

func (o *archOptions) analyze(spec string) (*arch.Report, error) {
	n, input, err := o.open(spec)
	if err != nil {
		return nil, err
	}
	return arch.Analyze(n, input, o.batch)
}

// openNetwork is arch.Open with hints.
func openNetwork(spec string) (*arch.Network, error) {
	n, err := arch.Open(spec)
	var unknown *arch.UnknownError
	switch {
	case errors.As(err, &unknown) && len(unknown.Near) > 0:
		return nil, hint(err, "did you mean "+strings.Join(unknown.Near, ", ")+"? vggo arch --list lists all")
	case errors.As(err, &unknown):
		return nil, hint(err, "vggo arch --list lists all; a description ends in .yaml or .json; a compact string looks like 64,M,128,M/10")
	case errors.Is(err, fs.ErrNotExist):
		return nil, hint(err, "vggo arch vgg16 --describe -o "+spec+" makes one to start from")
	}
	return n, err
}

// completeNetworks completes a network's name in the shell.
func completeNetworks(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return arch.Names(), cobra.ShellCompDirectiveDefault
}
