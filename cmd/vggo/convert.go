package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// convertOptions are the flags of `vggo convert`.
type convertOptions struct {
	model  string
	recipe string
	labels string
}

func newConvertCommand() *cobra.Command {
	var o convertOptions
	cmd := &cobra.Command{
		Use:   "convert IN OUT",
		Short: "Write a file of weights in another format",
		Long: `Read weights in any format that vggo knows and write them in the one that OUT's
ending names: .safetensors, .npz or .onnx. Parameters come out under vggo's names
(conv1_1/w) in PyTorch's order of axes, F32; an ONNX file holds the network as well.
safetensors and npz carry the network, the recipe of its pictures and its classes as
notes, so that vggo needs no --model for them.`,
		Example: `  vggo convert vgg16-397923af.pth vgg16.safetensors
  vggo convert vgg16.safetensors vgg16.onnx
  vggo convert tinyvgg.pth tinyvgg.npz --model tinyvgg --labels names.txt`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return hint(fmt.Errorf("two files are to be named, IN and OUT, not %d", len(args)), "vggo convert vgg16.pth vgg16.safetensors")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], args[1], cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.model, "model", "m", "", "`network`: a built-in, a description or a compact string (default: what the weights tell)")
	f.StringVar(&o.recipe, "recipe", "", "note how pictures are prepared, one `of` "+preprocessNames()+" (default: what the weights tell)")
	f.StringVarP(&o.labels, "labels", "l", "", "note the class names in `FILE`")
	_ = cmd.RegisterFlagCompletionFunc("model", completeNetworks)
	return cmd
}

func (o *convertOptions) run(ctx context.Context, in, out string, stdout io.Writer) (err error) {
	write, ok := weightWriters[strings.ToLower(filepath.Ext(out))]
	if !ok {
		return usageError{fmt.Errorf("%s: its ending must be .safetensors, .npz or .onnx", out)}
	}
	file, err := weights.Open(in)
	if err != nil {
		return hintModel(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	net, err := o.network(file)
	if err != nil {
		return err
	}
	placed, err := net.Place(net.Input)
	if err != nil {
		return err
	}
	matched, err := weights.Match(file, placed)
	if err != nil {
		return hintModel(err)
	}
	notes, err := o.notes(file, matched, net, placed[len(placed)-1].Out.C)
	if err != nil {
		return err
	}
	find := func(p arch.Param) ([]float32, error) { // which may take a while where values are unpacked or turned
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return matched.Param(p)
	}
	if err := write(ctx, out, net, placed, file, find, notes); err != nil {
		return err
	}
	return printf(stdout, "%s, under %s's names, to %s\n", net.Name, matched.Family, out)
}

func (o *convertOptions) network(file *weights.File) (*arch.Network, error) {
	if o.model != "" {
		return openNetwork(o.model)
	}
	net, err := file.Network()
	return net, hintModel(err)
}

// notes are what the new file of a network of so many classes says beside its tensors.
func (o *convertOptions) notes(file *weights.File, matched *weights.Matched, net *arch.Network, classes int) (map[string]string, error) {
	var description bytes.Buffer
	if err := net.EncodeJSON(&description); err != nil {
		return nil, err
	}
	notes := map[string]string{weights.NetworkNote: description.String()}
	if o.recipe != "" {
		if _, err := vision.PreprocessByName(o.recipe, net.Input.W, net.Input.H, net.Input.C); err != nil {
			return nil, usageError{err}
		}
		notes[weights.PreprocessNote] = o.recipe
	} else if matched.Preprocess != "" {
		notes[weights.PreprocessNote] = matched.Preprocess
	}
	if o.labels != "" {
		labels, err := vision.ReadLabelsFile(o.labels)
		if err != nil {
			return nil, err
		}
		if len(labels) != classes {
			return nil, fmt.Errorf("%s: %d names for the %d classes of %s", o.labels, len(labels), classes, net.Name)
		}
		text, err := json.Marshal(labels)
		if err != nil {
			return nil, err
		}
		notes[weights.ClassesNote] = string(text)
	} else if classes := file.Metadata[weights.ClassesNote]; classes != "" {
		notes[weights.ClassesNote] = classes
	}
	return notes, nil
}

// findParam gives a parameter's values, as weights.Matched does.
type findParam func(arch.Param) ([]float32, error)

// weightWriters are the formats that vggo writes, by a file's ending. from is the file that find reads.
var weightWriters = map[string]func(ctx context.Context, path string, net *arch.Network, placed []arch.Placed, from *weights.File, find findParam, notes map[string]string) error{
	".safetensors": func(ctx context.Context, path string, _ *arch.Network, placed []arch.Placed, from *weights.File, find findParam, notes map[string]string) error {
		tensors, err := tensorsOf(placed, find)
		if err != nil {
			return err
		}
		return weights.WriteContext(ctx, path, tensors, notes, from)
	},
	".npz": func(ctx context.Context, path string, _ *arch.Network, placed []arch.Placed, from *weights.File, find findParam, notes map[string]string) error {
		tensors, err := tensorsOf(placed, find)
		if err != nil {
			return err
		}
		return weights.WriteNPZContext(ctx, path, tensors, notes, from)
	},
	".onnx": func(ctx context.Context, path string, net *arch.Network, _ []arch.Placed, from *weights.File, find findParam, notes map[string]string) error {
		return weights.WriteONNXContext(ctx, path, net, net.Input, find, notes, from)
	},
}

// tensorsOf reads a network's parameters under our names.
func tensorsOf(placed []arch.Placed, find findParam) ([]weights.Tensor, error) {
	var tensors []weights.Tensor
	for _, layer := range placed {
		for _, p := range layer.Params {
			data, err := find(p)
			if err != nil {
				return nil, err
			}
			tensors = append(tensors, weights.Tensor{Name: p.Name, Shape: p.Shape, Data: data})
		}
	}
	return tensors, nil
}
