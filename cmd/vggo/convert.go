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

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// convertOptions are the flags of `vggo convert`.
type convertOptions struct {
	model  string
	labels string
	part   string
	names  string
	readFlags
	preprocessFlags

	relabel bool
}

func newConvertCommand() *cobra.Command {
	var o convertOptions
	cmd := &cobra.Command{
		Use:   "convert IN OUT",
		Short: "Write a file of weights in another format",
		Long: `Read weights in any format that vggo knows and write them in the one that OUT's
ending names: .safetensors, .npz, .onnx, Darknet's .weights with a .cfg beside it, or
.ckpt, a checkpoint of TensorFlow's. Parameters come out under vggo's names (conv1_1/w) in
PyTorch's order of axes, F32; a checkpoint has them in TensorFlow's order, under the names
of the article's program, which are the same, or of TF-slim's. ONNX and Darknet hold the
network as well. All carry notes of the classes and of how pictures become the network's
input; Darknet's are comments of the .cfg. The others note the network too, so that vggo
needs no --model for them. The first layer keeps the order of channels that it has.`,
		Example: `  vggo convert vgg16-397923af.pth vgg16.safetensors
  vggo convert vgg16.safetensors vgg16.onnx
  vggo convert vgg16.safetensors vgg16.weights
  vggo convert vgg16.safetensors vgg16.ckpt --names slim
  vggo convert tinyvgg.pth tinyvgg.npz --model tinyvgg --labels names.txt`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return hint(fmt.Errorf("two files are to be named, IN and OUT, not %d", len(args)),
					"vggo convert vgg16.pth vgg16.safetensors")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], args[1], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.model, "model", "m", "", "`network`: a built-in, a description or a compact string (default: what "+
		"the weights tell)")
	f.StringVarP(&o.labels, "labels", "l", "", "note the class names in `FILE`, for weights that have none: in any form "+
		"that vggo classify takes")
	f.BoolVar(&o.relabel, "relabel", false, "note the names of --labels although the weights have others")
	f.StringVar(&o.names, "names", "article", "`names` of a checkpoint's variables: article (conv1_1/w) or slim "+
		"(vgg_16/conv1/conv1_1/weights)")
	o.readFlags.add(f)
	o.preprocessFlags.add(f)
	addAlias(cmd)
	f.StringVar(&o.part, "weights-part", "", partUsage)
	_ = cmd.RegisterFlagCompletionFunc("model", completeNetworks)
	return cmd
}

func (o *convertOptions) run(ctx context.Context, in, out string, stdout, notices io.Writer) (err error) {
	ending := strings.ToLower(filepath.Ext(out))
	write, ok := weightWriters[ending]
	switch {
	case !ok:
		return usageError{fmt.Errorf("%s: its ending must be .safetensors, .npz, .onnx, .weights or .ckpt", out)}
	case o.names != "article" && o.names != "slim":
		return usageError{fmt.Errorf("--names %s: article and slim are known", o.names)}
	case o.names == "slim" && ending != ".ckpt":
		return usageError{fmt.Errorf("--names is for a checkpoint, whose ending is .ckpt")}
	}
	file, err := openWeights(in, o.part)
	if err != nil {
		return hintModel(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	placed, err := o.network(file)
	if err != nil {
		return err
	}
	net := placed.Network
	matched, err := weights.Match(file, placed.Layers)
	if err != nil {
		return hintModel(err)
	}
	tellWeights(notices, in, file.Part, file.Others, matched.Guess, o.part)
	asked, err := o.parts()
	if err != nil {
		return err
	}
	var prepared root.Preparation
	if pictures := net.Input.C == 1 || net.Input.C == 3; pictures || o.given() {
		if prepared, err = root.Prepare(asked, placed, file, matched); err != nil {
			return err
		}
	}
	notes, err := o.notes(file, prepared, net, placed.Classes())
	if err != nil {
		return err
	}
	find := func(p arch.Param) ([]float32, error) { // which may take a while where values are unpacked or turned
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return matched.Param(p)
	}
	if err := write(&conversion{ctx, out, placed, file, find, notes, o.names == "slim"}); err != nil {
		return err
	}
	names := "under " + matched.Family + "'s names"
	if matched.Guess {
		names = "by order and shapes"
	}
	err = printf(stdout, "%s, %s, to %s\n", net.Name, names, out)
	if err == nil && prepared.Reason != "" {
		err = printf(stdout, "%s\n", preparedLine(prepared))
	}
	return err
}

func (o *convertOptions) network(file *weights.File) (*arch.Placement, error) {
	asked, err := o.stated()
	if err != nil {
		return nil, err
	}
	if o.model != "" {
		if asked.Network, err = openNetwork(o.model); err != nil {
			return nil, err
		}
	}
	net, err := file.Resolve(asked)
	return net, hintModel(err)
}

// notes are what the new file of a network of so many classes says beside its tensors.
func (o *convertOptions) notes(file *weights.File, prepared root.Preparation, net *arch.Network,
	classes int) (map[string]string, error) {
	var description bytes.Buffer
	if err := net.EncodeJSON(&description); err != nil {
		return nil, err
	}
	notes := map[string]string{weights.NetworkNote: description.String()}
	if prepared.Reason != "" && !prepared.Blind { // what a reader would guess likewise is no note
		told, err := json.Marshal(prepared.Told())
		if err != nil {
			return nil, err
		}
		notes[weights.PreprocessNote] = string(told)
	}
	own, err := root.NotedLabels(file)
	if err != nil {
		return nil, err
	}
	var given vision.Labels
	if o.labels != "" {
		if given, err = vision.ReadLabelsFile(o.labels); err != nil {
			return nil, err
		}
	}
	labels, err := root.ChooseLabels(own, given, o.relabel, net.Name, classes)
	if other, ok := err.(*root.LabelsError); ok {
		other.File = file.Path
	}
	if err != nil {
		return nil, hintLabels(err, o.labels)
	}
	for note, list := range map[string][]string{weights.ClassesNote: labels.Names, weights.SynsetsNote: labels.Synsets} {
		if list == nil {
			continue
		}
		text, err := json.Marshal(list)
		if err != nil {
			return nil, err
		}
		notes[note] = string(text)
	}
	return notes, nil
}

// conversion is what is written: a network's parameters as find has them of a file, and notes.
type conversion struct {
	ctx    context.Context
	path   string
	placed *arch.Placement
	from   *weights.File
	find   func(arch.Param) ([]float32, error)
	notes  map[string]string
	slim   bool // names, of a checkpoint
}

// weightWriters are the formats that vggo writes, by a file's ending.
var weightWriters = map[string]func(c *conversion) error{
	".safetensors": func(c *conversion) error {
		tensors, err := c.tensors()
		if err != nil {
			return err
		}
		return weights.WriteContext(c.ctx, c.path, tensors, c.notes, c.from)
	},
	".npz": func(c *conversion) error {
		tensors, err := c.tensors()
		if err != nil {
			return err
		}
		return weights.WriteNPZ(c.ctx, c.path, tensors, c.notes, c.from)
	},
	".weights": func(c *conversion) error {
		return weights.WriteDarknet(c.ctx, c.path, c.placed, c.find, c.notes, c.from)
	},
	".ckpt": func(c *conversion) error {
		return weights.WriteTensorFlow(c.ctx, c.path, c.placed, c.find, c.notes, c.slim, c.from)
	},
	".onnx": func(c *conversion) error {
		return weights.WriteONNX(c.ctx, c.path, c.placed, c.find, c.notes, c.from)
	},
}

// tensors reads the network's parameters under our names.
func (c *conversion) tensors() ([]weights.Tensor, error) {
	var tensors []weights.Tensor
	for _, layer := range c.placed.Layers {
		for _, p := range layer.Params {
			data, err := c.find(p)
			if err != nil {
				return nil, err
			}
			tensors = append(tensors, weights.Tensor{Name: p.Name, Shape: p.Shape, Data: data})
		}
	}
	return tensors, nil
}
