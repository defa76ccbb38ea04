package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/report"
)

// fieldOptions are the flags of `vggo field`.
type fieldOptions struct {
	layer string
	input string
	json  bool
}

func newFieldCommand() *cobra.Command {
	var o fieldOptions
	cmd := &cobra.Command{
		Use:   "field NAME | KERNEL...",
		Short: "How many pixels a layer sees: its receptive field",
		Long: `Print the receptive field of every layer of a network, or the way there for one
of them. Numbers instead of a name are a stack of kernels, the first nearest the
image, each with an optional stride and dilation: 3, 7s2, 3d2.`,
		Example: `  vggo field 3 3 3
  vggo field vgg16
  vggo field vgg16 --layer conv5_3`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return hint(errors.New("neither a network nor kernels named"), "vggo field vgg16, or vggo field 3 3 3")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			format := report.Table
			if o.json {
				format = report.JSON
			}
			return o.write(cmd.OutOrStdout(), args, format)
		},
		ValidArgsFunction: completeNetworks,
	}
	f := cmd.Flags()
	f.StringVar(&o.layer, "layer", "", "show the way from this `LAYER` down to the pixels")
	f.StringVar(&o.input, "input", "", "input size, `HxWxC` (default: the network's own)")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// write works out what the arguments name and writes it.
func (o *fieldOptions) write(w io.Writer, args []string, format report.Format) error {
	var kernels []arch.Kernel
	var notKernel error
	for _, arg := range args {
		k, err := arch.ParseKernel(arg)
		if err != nil {
			notKernel = err
			break
		}
		kernels = append(kernels, k)
	}
	switch {
	case notKernel == nil && (o.layer != "" || o.input != ""):
		return usageError{errors.New("--layer and --input are for a network, not for a stack of kernels")}
	case notKernel == nil:
		r, err := arch.AnalyzeStack(kernels...)
		if err != nil {
			return err
		}
		return report.Stack(w, r, format)
	case len(args) > 1:
		return usageError{hint(notKernel, "name one network, or a stack of kernels such as 3 3 3")}
	}
	a := archOptions{input: o.input, batch: 1}
	r, err := a.analyze(args[0])
	if err != nil {
		return err
	}
	if o.layer == "" {
		return report.Fields(w, r, format)
	}
	f, err := r.LayerField(o.layer)
	if err != nil {
		return hintLayer(err, args[0])
	}
	return report.Field(w, f, format)
}
