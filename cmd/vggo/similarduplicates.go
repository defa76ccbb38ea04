package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/vggo/vggo/internal/sheet"
	"github.com/vggo/vggo/similar"
)

// similarDuplicatesOptions are the flags of `vggo similar duplicates`.
type similarDuplicatesOptions struct {
	rule    similar.Rule
	confirm string
	threads int
	sheet   sheetFlag
	json    bool
	csv     bool
	pictureFlags
}

func newSimilarDuplicatesCommand() *cobra.Command {
	o := similarDuplicatesOptions{rule: similar.DefaultRule()}
	cmd := &cobra.Command{
		Use:   "duplicates INDEX",
		Short: "Find the pictures of an index that are copies of each other",
		Long: `Find the pictures of an index that are copies of each other: compressed, scaled, lighter
or darker, cropped by up to 5 %. Candidates are pairs whose vectors have a cosine of
--cosine or more. They are confirmed by their pixels: both pictures at 16 x 16 grey
samples, brightness and contrast made equal, have a correlation of --pixels or more, the
whole of one with the whole of the other or with 95 % of its width, height or both. Each
pair is told with its cosine and that correlation.

--confirm bytes takes files of the same bytes alone, and none whatever is similar. The
rule sees no colours, and takes a mirrored or turned picture for another.`,
		Example: `  vggo similar duplicates photos.index
  vggo similar duplicates photos.index --sheet duplicates.html
  vggo similar duplicates photos.index --confirm none --cosine 0.98 --csv`,
		Args: oneIndex("vggo similar duplicates photos.index", 1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.Float64Var(&o.rule.Cosine, "cosine", o.rule.Cosine, "least `cosine` of candidates")
	f.StringVar(&o.confirm, "confirm", string(o.rule.Confirm), "what confirms them: `pixels`, bytes or none")
	f.Float64Var(&o.rule.Pixels, "pixels", o.rule.Pixels, "least `correlation` of the pixels, from 0.65 to 1")
	f.IntVar(&o.threads, "threads", 0, "threads to compute with (default: one for each processor)")
	o.sheet.add(cmd)
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.csv, "csv", false, "print CSV")
	o.pictureFlags.add(f)
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	_ = cmd.RegisterFlagCompletionFunc("confirm", cobra.FixedCompletions([]string{"pixels", "bytes", "none"},
		cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// duplicates is what `vggo similar duplicates --json` prints.
type duplicates struct {
	Index    string          `json:"index"`
	Pictures int             `json:"pictures"`
	Cosine   float64         `json:"least_cosine"`
	Confirm  similar.Confirm `json:"confirm"`
	Pixels   float64         `json:"least_correlation"`
	Pairs    []duplicatePair `json:"pairs"`
}

type duplicatePair struct {
	A           string  `json:"a"`
	B           string  `json:"b"`
	Cosine      float64 `json:"cosine"`
	Correlation float64 `json:"correlation"`
	Same        bool    `json:"same_bytes"`
}

func (o *similarDuplicatesOptions) check() error {
	o.rule.Confirm = similar.Confirm(o.confirm)
	switch {
	case !slices.Contains(similar.Confirms(), o.rule.Confirm):
		return usageError{fmt.Errorf("--confirm %q: want pixels, bytes or none", o.confirm)}
	case !(o.rule.Cosine >= -1 && o.rule.Cosine <= 1):
		return usageError{fmt.Errorf("--cosine must lie between -1 and 1, not %v", o.rule.Cosine)}
	case !(o.rule.Pixels >= similar.LeastPixels && o.rule.Pixels <= 1):
		return usageError{fmt.Errorf("--pixels must lie between %v and 1, not %v", similar.LeastPixels, o.rule.Pixels)}
	}
	if err := o.pictureFlags.check(); err != nil {
		return err
	}
	if err := checkThreads(o.threads); err != nil {
		return err
	}
	return o.sheet.check()
}

func (o *similarDuplicatesOptions) run(ctx context.Context, path string, out, faults io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	x, err := openIndex(path)
	if err != nil {
		return err
	}
	pairs, err := x.Duplicates(ctx, o.rule, o.threads)
	var many similar.TooManyError
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted before all pictures were compared")
	case errors.As(err, &many) && o.rule.Confirm == similar.ByNone:
		return hint(fmt.Errorf("%s: %w", path, err), "a larger --cosine takes fewer")
	case errors.As(err, &many):
		return hint(fmt.Errorf("%s: %w", path, err), "an index of fewer pictures; a larger --pixels takes fewer")
	case err != nil:
		return err
	}
	result := duplicates{path, len(x.Pictures), o.rule.Cosine, o.rule.Confirm, o.rule.Pixels, []duplicatePair{}}
	for _, p := range pairs {
		result.Pairs = append(result.Pairs, duplicatePair{x.Pictures[p.A].Path, x.Pictures[p.B].Path, p.Cosine,
			p.Correlation, p.Same})
	}
	if err := o.write(out, &result); err != nil || o.sheet.path == "" {
		return err
	}
	return o.draw(&result, faults)
}

func (o *similarDuplicatesOptions) write(out io.Writer, result *duplicates) error {
	if o.json {
		return writeJSON(out, result)
	}
	if o.csv {
		w := csv.NewWriter(out)
		err := w.Write([]string{"a", "b", "cosine", "correlation", "same_bytes"})
		for _, p := range result.Pairs {
			err = errors.Join(err, w.Write([]string{p.A, p.B, strconv.FormatFloat(p.Cosine, 'g', -1, 64),
				strconv.FormatFloat(p.Correlation, 'g', -1, 64), strconv.FormatBool(p.Same)}))
		}
		w.Flush()
		return errors.Join(err, w.Error())
	}
	if len(result.Pairs) == 0 {
		return printf(out, "no two of %d pictures are taken for the same\n", result.Pictures)
	}
	t := sheet.New("A", "B", "cosine", "pixels", "").Figures(3, 4)
	for _, p := range result.Pairs {
		t.Row(p.A, p.B, fmt.Sprintf("%.4f", p.Cosine), fmt.Sprintf("%.4f", p.Correlation),
			map[bool]string{true: "same bytes"}[p.Same])
	}
	return printf(out, "%s\n", ownText(t.Text(sheet.Columns(out))))
}

// draw writes the contact sheet, the least alike first: those are to be looked at.
func (o *similarDuplicatesOptions) draw(result *duplicates, faults io.Writer) error {
	const wide = 3 // pairs
	pairs := slices.Clone(result.Pairs)
	slices.SortStableFunc(pairs, func(p, q duplicatePair) int { return cmp.Compare(p.Correlation, q.Correlation) })
	if most := similar.MaxCells / (2 * wide) * wide; len(pairs) > most {
		fmt.Fprintf(faults, "vggo: %s shows the %d of %d pairs that are least alike\n", o.sheet.path, most, len(pairs))
		pairs = pairs[:most]
	}
	s := &similar.Sheet{Title: "pairs of " + result.Index + ", the least alike first"}
	for some := range slices.Chunk(pairs, wide) {
		var row []similar.Cell
		for _, p := range some {
			figures := fmt.Sprintf("cos %.4f  px %.4f", p.Cosine, p.Correlation)
			row = append(row, sheetCell(p.A, o.limits(), figures), sheetCell(p.B, o.limits(), figures))
		}
		s.Rows = append(s.Rows, row)
	}
	return o.sheet.write(s)
}
