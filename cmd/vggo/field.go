package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/vggo/vggo/arch"
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
			write, err := o.plan(args)
			if err != nil {
				return err
			}
			format := arch.Table
			if o.json {
				format = arch.JSON
			}
			return write(cmd.OutOrStdout(), format)
		},
		ValidArgsFunction: completeNetworks,
	}
	f := cmd.Flags()
	f.StringVar(&o.layer, "layer", "", "show the way from this `LAYER` down to the pixels")
	f.StringVar(&o.input, "input", "", "input size, `HxWxC` (default: the network's own)")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// plan does the arithmetic; what it returns only writes.
func (o *fieldOptions) plan(args []string) (func(io.Writer, arch.Format) error, error) {
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
		return nil, usageError{errors.New("--layer and --input are for a network, not for a stack of kernels")}
	case notKernel == nil:
		r, err := arch.AnalyzeStack(kernels...)
		if err != nil {
			return nil, err
		}
		return r.Write, nil
	case len(args) > 1:
		return nil, usageError{hint(notKernel, "name one network, or a stack of kernels such as 3 3 3")}
	}
	a := archOptions{input: o.input, batch: 1}
	r, err := a.analyze(args[0])
	if err != nil {
		return nil, err
	}
	if o.layer == "" {
		return r.WriteFields, nil
	}
	f, err := r.LayerField(o.layer)
	if err != nil {
		return nil, hintLayer(err, args[0])
	}
	return f.Write, nil
}
