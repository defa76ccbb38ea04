package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/similar"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// similarOptions are the flags of `vggo similar` itself.
type similarOptions struct {
	export string
	output string
}

func newSimilarCommand() *cobra.Command {
	var o similarOptions
	cmd := &cobra.Command{
		Use:   "similar INDEX --export csv|jsonl|npy",
		Short: "Find pictures by what a network makes of them, and copies of pictures",
		Long: `Find pictures that are near a picture, and those that are copies of each other.

vggo similar index makes an index of pictures: of each a vector, the output of a layer
averaged over its rows and columns and scaled to length 1. vggo similar find tells which
are nearest to a picture, by the cosine. vggo similar duplicates tells which are copies:
similar is not the same, so their pixels have to agree as well. Both are exact: every
picture is looked at.

By itself the command writes an index' vectors for other programs.`,
		Example: `  vggo similar index photos/ -o photos.index
  vggo similar find photos.index photo.jpg -n 5
  vggo similar duplicates photos.index --sheet duplicates.html
  vggo similar photos.index --export npy -o photos.npy`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && o.export == "" {
				return cmd.Help()
			}
			return o.run(args, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.export, "export", "", "write an index' vectors as `csv`, jsonl or npy")
	f.StringVarP(&o.output, "output", "o", "", "`file` to write instead of standard output; of npy the paths go into a "+
		"text file beside it")
	cmd.AddCommand(newSimilarIndexCommand(), newSimilarFindCommand(), newSimilarDuplicatesCommand())
	return cmd
}

// openIndex opens an index, and says what helps where it cannot.
func openIndex(path string) (*similar.Index, error) {
	x, err := similar.Open(path)
	var damaged *similar.DamagedError
	if errors.As(err, &damaged) {
		return nil, hint(err, "vggo similar index DIR -o FILE writes one"+map[bool]string{false: "; --restart in place of " +
			"this one"}[damaged.Foreign])
	}
	return x, err
}

// oneIndex refuses arguments that are not one index, and what follows it.
func oneIndex(example string, least, most int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return hint(errors.New("no index named"), example)
		case len(args) < least:
			return hint(errors.New("no picture named"), example)
		case most > 0 && len(args) > most:
			return hint(fmt.Errorf("%q: one index is enough", args[most]), example)
		}
		return nil
	}
}

func (o *similarOptions) run(args []string, out io.Writer) error {
	const example = "vggo similar INDEX --export csv, jsonl or npy; vggo similar --help lists the other ways"
	switch {
	case len(args) != 1 || o.export == "":
		return usageError{hint(fmt.Errorf("%q is nothing that vggo similar does", strings.Join(args, " ")), example)}
	case !slices.Contains([]string{"csv", "jsonl", "npy"}, o.export):
		return usageError{hint(fmt.Errorf("unknown format %q", o.export), example)}
	case o.export == "npy":
		if err := needNPY(o.output); err != nil {
			return err
		}
	}
	if err := canWrite(o.output); err != nil {
		return err
	}
	x, err := openIndex(args[0])
	if err != nil {
		return err
	}
	write := map[string]func(io.Writer, *similar.Index) error{"csv": exportCSV, "jsonl": exportJSONL, "npy": exportNPY}
	if err := writeTo(o.output, out, func(w io.Writer) error { return write[o.export](w, x) }); err != nil ||
		o.export != "npy" {
		return err
	}
	var names []string
	for _, p := range x.Pictures {
		if strings.ContainsAny(p.Path, "\n\r") {
			return fmt.Errorf("%q cannot stand on a line of the file of names: rename it", p.Path)
		}
		names = append(names, p.Path)
	}
	return writeNames(o.output, names)
}

func exportNPY(w io.Writer, x *similar.Index) error {
	if _, err := w.Write(weights.NPYHeader(len(x.Pictures), x.Dims)); err != nil {
		return err
	}
	return weights.WriteNPYValues(w, x.Vectors)
}

func exportCSV(w io.Writer, x *similar.Index) error {
	c := csv.NewWriter(w)
	row := []string{"path", "sha256"}
	for i := range x.Dims {
		row = append(row, "v"+strconv.Itoa(i))
	}
	err := c.Write(row)
	for i, p := range x.Pictures {
		row[0], row[1] = p.Path, fmt.Sprintf("%x", p.Sum)
		for j, v := range x.Vector(i) {
			row[2+j] = strconv.FormatFloat(float64(v), 'g', -1, 32)
		}
		err = errors.Join(err, c.Write(row))
	}
	c.Flush()
	return errors.Join(err, c.Error())
}

func exportJSONL(w io.Writer, x *similar.Index) error {
	b := bufio.NewWriter(w)
	for i, p := range x.Pictures {
		if err := writeJSONLine(b, struct {
			Path   string      `json:"path"`
			Sum    similar.Sum `json:"sha256"`
			Vector []float32   `json:"vector"`
		}{p.Path, p.Sum, x.Vector(i)}); err != nil {
			return err
		}
	}
	return b.Flush()
}

// sheetFlag is where a contact sheet goes.
type sheetFlag struct{ path string }

func (o *sheetFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.path, "sheet", "", "contact sheet of what is found: a `file` ending in .png or .html")
}

func (o *sheetFlag) check() error {
	if o.path == "" {
		return nil
	}
	if ending := strings.ToLower(filepath.Ext(o.path)); ending != ".png" && ending != ".html" {
		return usageError{fmt.Errorf("--sheet %s: its ending must be .png or .html", o.path)}
	}
	return canWrite(o.path)
}

// write draws a sheet.
func (o *sheetFlag) write(s *similar.Sheet) error {
	draw := s.HTML
	if strings.EqualFold(filepath.Ext(o.path), ".png") {
		draw = s.PNG
	}
	return writeTo(o.path, nil, draw)
}

// sheetCell is a picture of a sheet, or why it cannot be shown.
func sheetCell(path string, limits vision.Limits, lines ...string) similar.Cell {
	picture, err := vision.DecodeFile(path, limits)
	if err != nil {
		lines = append(lines, "cannot be shown now")
	}
	return similar.Cell{Picture: picture, Path: path, Lines: lines}
}

// hintOther adds the remedy to an index of other vectors. otherwise is what else would do.
func hintOther(err error, otherwise string) error {
	var other *similar.OtherError
	if !errors.As(err, &other) {
		return err
	}
	remedy := "give the flags that it was made with"
	if other.What == "file of weights" || other.What == "network" {
		if remedy = "--random-weights, as it was made with"; !strings.HasPrefix(other.Origin, "random weights") {
			remedy = "--weights " + printable.Text(other.Origin) + ", as it was made with"
		}
		if other.What == "file of weights" { // or the same, rounded
			remedy += ", and the same --half"
		}
	}
	return hint(err, remedy+otherwise)
}
