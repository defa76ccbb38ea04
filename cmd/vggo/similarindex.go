package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vggo/vggo/similar"
)

// similarIndexOptions are the flags of `vggo similar index`.
type similarIndexOptions struct {
	modelFlags
	layer   string
	output  string
	bytes   bool
	restart bool
}

func newSimilarIndexCommand() *cobra.Command {
	var o similarIndexOptions
	cmd := &cobra.Command{
		Use:   "index FILE|DIR... -o INDEX",
		Short: "Make an index of pictures, or bring one up to date",
		Long: `Make an index of pictures: of each a vector by a layer of a network, and the small picture
that tells copies. A picture that cannot be read is reported and left out.

Where the index exists it is brought up to date: pictures whose size and time are those
that it notes are not even read, and those whose bytes it knows are not decoded. It then
holds the pictures that are named now and no others. One of other weights, another layer
or another preparation is refused.

The file is NumPy's: numpy.load gives the vectors, a row for each picture.

` + layersHelp,
		Example: `  vggo similar index photos/ -o photos.index
  vggo similar index photos/ more/ -o photos.index --weights vgg16.safetensors
  vggo similar index photos/ -o photos.index --layer relu5_3 --weights vgg16.safetensors`,
		Args: needPicture("vggo similar index DIR -o photos.index"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.modelFlags.add(cmd)
	f := cmd.Flags()
	f.StringVar(&o.layer, "layer", "", "`layer` whose output is averaged (default: the last with rows and columns, pool5 "+
		"of vgg16)")
	f.StringVarP(&o.output, "output", "o", "", "`file` of the index")
	f.BoolVar(&o.bytes, "bytes", false, "read each picture to see whether it has changed, whatever its size and time say")
	f.BoolVar(&o.restart, "restart", false, "make the index anew")
	return cmd
}

func (o *similarIndexOptions) run(ctx context.Context, args []string, out, faults io.Writer) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	if o.output == "" {
		return usageError{hint(errors.New("no file named to write to"), "-o photos.index")}
	}
	if slices.Contains(args, stdin) {
		return usageError{errors.New("pictures of an index are files: standard input is none")}
	}
	if err := canWrite(o.output); err != nil {
		return err
	}
	build := similar.Build{Bytes: o.bytes, Limits: o.limits()}
	if !o.restart {
		build.Old, err = similar.Open(o.output)
		var damaged *similar.DamagedError
		switch {
		case errors.As(err, &damaged) && damaged.Foreign:
			return hint(err, "name another file with -o")
		case errors.As(err, &damaged):
			return hint(err, "--restart makes it anew")
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	list, err := listPictures(args, faults)
	if err != nil {
		return err
	}
	o.until = o.layer
	m, err := o.open(usualBatch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	tellModel(faults, m, o.part)
	d, err := similar.New(m, o.layer)
	if err != nil {
		return hintLayer(err, o.archSpec(m))
	}
	progress := progressOf(faults)
	progress.begin(len(list.files), "pictures")
	build.Done = progress.advance
	build.Failed = func(_ string, err error) { printFault(faults, nameFlag(err)) }
	x, built, err := d.Index(ctx, list.files, build)
	interrupted := ctx.Err() != nil && x != nil
	if err != nil && !interrupted {
		return hintOther(fmt.Errorf("%s: %w", o.output, err), "; or --restart, or another file with -o")
	}
	if len(x.Pictures) > 0 && (build.Old == nil || !slices.Equal(x.Pictures, build.Old.Pictures)) {
		if err := x.Write(o.output); err != nil {
			return err
		}
	}
	if interrupted {
		return hint(fmt.Errorf("interrupted: %d of %d pictures are in %s", len(x.Pictures), len(list.files), o.output),
			"the same command goes on from there")
	}
	if len(x.Pictures) > 0 {
		err := printf(out, "%s of %d pictures in %s, %d float32 each: decoded %d, unchanged %d, known by their bytes %d, "+
			"gone %d\n%s\n", d.Note.Layer, len(x.Pictures), o.output, x.Dims, built.Decoded, built.Kept, built.Read, built.Gone,
			preparedLine(m.Preprocess))
		if err != nil {
			return err
		}
	}
	return list.end(built.Failed)
}
