package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/internal/sheet"
	"github.com/vggo/vggo/similar"
	"github.com/vggo/vggo/vision"
)

// similarFindOptions are the flags of `vggo similar find`.
type similarFindOptions struct {
	modelFlags
	sheet sheetFlag
	n     int
	json  bool
	csv   bool
}

func newSimilarFindCommand() *cobra.Command {
	var o similarFindOptions
	cmd := &cobra.Command{
		Use:   "find INDEX FILE|DIR...",
		Short: "Find the pictures of an index that are nearest to a picture",
		Long: `Find the pictures of an index that are nearest to a picture: those whose vectors have the
largest cosine with its own, 1 at most. Every picture is looked at; of equally near ones
those come first that do so in the index. The network must be the one that the index was
made with.`,
		Example: `  vggo similar find photos.index photo.jpg
  vggo similar find photos.index photo.jpg -n 3 --json
  vggo similar find photos.index photo.jpg --sheet near.html
  vggo similar find photos.index photo.jpg --weights vgg16.safetensors`,
		Args: oneIndex("vggo similar find photos.index photo.jpg", 2, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.modelFlags.add(cmd)
	f := cmd.Flags()
	f.IntVarP(&o.n, "number", "n", 10, "how many to find")
	o.sheet.add(cmd)
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.csv, "csv", false, "print CSV")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	return cmd
}

// nearest is what `vggo similar find --json` prints.
type nearest struct {
	Index    string        `json:"index"`
	Note     similar.Note  `json:"made_with"`
	Pictures []foundByFile `json:"pictures"`
}

// foundByFile is what is nearest to one picture.
type foundByFile struct {
	File  string        `json:"file"`
	Error string        `json:"error,omitempty"`
	Found []similar.Hit `json:"found,omitempty"`

	picture *vision.Picture // for the sheet
}

func (o *similarFindOptions) run(ctx context.Context, args []string, in io.Reader, out, faults io.Writer) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	if o.n < 1 {
		return usageError{fmt.Errorf("-n must be at least 1, not %d", o.n)}
	}
	if err := o.sheet.check(); err != nil {
		return err
	}
	x, err := openIndex(args[0])
	if err != nil {
		return err
	}
	list, err := listPictures(args[1:], faults)
	if err != nil {
		return err
	}
	o.until = x.Note.Layer
	m, err := o.open(1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	tellModel(faults, m, o.part)
	d, err := x.Describer(m)
	if err != nil {
		return hintOther(fmt.Errorf("%s: %w", args[0], err), "")
	}
	result := nearest{Index: args[0], Note: x.Note}
	failed := 0
	progress := progressOf(faults)
	progress.begin(len(list.files), "pictures")
	for i, file := range list.files {
		found, err := o.find(ctx, x, d, m, file, in)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("interrupted before %s", file)
		case err != nil && len(list.files) == 1:
			return err
		case err != nil:
			failed++
			found.Error = err.Error()
			printFault(faults, err)
		}
		result.Pictures = append(result.Pictures, found)
		progress.advance(i + 1)
	}
	if err := o.write(out, &result); err != nil {
		return err
	}
	if o.sheet.path != "" {
		if err := o.draw(&result, faults); err != nil {
			return err
		}
	}
	return list.end(failed)
}

// find looks for one picture.
func (o *similarFindOptions) find(ctx context.Context, x *similar.Index, d *similar.Describer, m *root.Model,
	file string, in io.Reader) (foundByFile, error) {
	picture, name, err := decodePicture(file, in, o.limits())
	found := foundByFile{File: name}
	if err != nil {
		return found, err
	}
	if o.sheet.path != "" {
		found.picture = picture
	}
	input, err := m.Prepare(ctx, []*vision.Picture{picture})
	if err != nil {
		return found, fmt.Errorf("%s: %w", name, err)
	}
	vector, err := d.Describe(ctx, input)
	if err != nil {
		return found, fmt.Errorf("%s: %w", name, err)
	}
	found.Found, err = x.Find(ctx, vector, o.n, o.threads)
	return found, err
}

func (o *similarFindOptions) write(out io.Writer, result *nearest) error {
	if o.json {
		return writeJSON(out, result)
	}
	if o.csv {
		w := csv.NewWriter(out)
		err := w.Write([]string{"file", "rank", "cosine", "found", "error"})
		for _, p := range result.Pictures {
			if p.Error != "" {
				err = errors.Join(err, w.Write([]string{p.File, "", "", "", p.Error}))
			}
			for i, h := range p.Found {
				err = errors.Join(err, w.Write([]string{p.File, strconv.Itoa(i + 1), strconv.FormatFloat(h.Cosine, 'g', -1, 64),
					h.Path, ""}))
			}
		}
		w.Flush()
		return errors.Join(err, w.Error())
	}
	t := sheet.New("near", "", "cosine", "picture").Figures(2, 3)
	for _, p := range result.Pictures {
		for i, h := range p.Found {
			t.Row(p.File, i+1, fmt.Sprintf("%.4f", h.Cosine), h.Path)
		}
	}
	return printf(out, "%s\n", ownText(t.Text(sheet.Columns(out))))
}

// draw writes the contact sheet: each picture, and below it what is near.
func (o *similarFindOptions) draw(result *nearest, faults io.Writer) error {
	const wide = 6
	s := &similar.Sheet{Title: "nearest in " + result.Index}
	shown := 0
	for _, p := range result.Pictures {
		if p.picture == nil {
			continue
		}
		rows := 1 + (len(p.Found)+wide-1)/wide
		if (len(s.Rows)+rows)*wide > similar.MaxCells {
			break
		}
		s.Rows = append(s.Rows, []similar.Cell{{Picture: p.picture, Path: p.File}})
		for hits := range slices.Chunk(p.Found, wide) {
			var row []similar.Cell
			for _, h := range hits {
				row = append(row, sheetCell(h.Path, o.limits(), fmt.Sprintf("cosine %.4f", h.Cosine)))
			}
			s.Rows = append(s.Rows, row)
		}
		shown++
	}
	if left := len(result.Pictures) - shown; left > 0 {
		fmt.Fprintf(faults, "vggo: %s: %d of %d pictures are not on it\n", o.sheet.path, left, len(result.Pictures))
	}
	return o.sheet.write(s)
}
