package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/vision"
)

// preprocessFlags say how pictures become a network's input: as a whole, and part by part.
type preprocessFlags struct {
	preprocess, order, scale, mean, std, resize, crop, filter string
}

// preprocessFlag is one of them.
type preprocessFlag struct {
	name  string
	value *string
	help  string
}

func (o *preprocessFlags) list() []preprocessFlag {
	return []preprocessFlag{
		{"preprocess", &o.preprocess, "how pictures become the network's input, one `of` " + preprocessNames() +
			", or a file of parts ending in .yaml (default: as the weights' training did it, see docs/preprocess.md)"},
		{"channel-order", &o.order, "`rgb` or bgr, the order of channels that the network takes"},
		{"scale", &o.scale, "`number` that samples of 0 to 255 are divided by: 255 makes 0 to 1, 1 leaves them"},
		{"mean", &o.mean, "`numbers` taken away from scaled samples, one for each channel in the network's order, or one " +
			"for all: 0.5,0.5,0.5"},
		{"std", &o.std, "`numbers` that they are divided by after that"},
		{"resize", &o.resize, "`size` that a picture is scaled to first: 256 is its shorter side, 256x320 its height and " +
			"width, whatever its proportions"},
		{"crop", &o.crop, "`size` cut out of the centre of that: what the network takes"},
		{"filter", &o.filter, "`bilinear` or bicubic, how pictures are scaled"},
	}
}

// preprocessAlias is what --preprocess was called until November 2026.
const preprocessAlias = "recipe"

func (o *preprocessFlags) add(f *pflag.FlagSet) {
	for _, each := range o.list() {
		f.StringVar(each.value, each.name, "", each.help)
	}
}

// addAlias lets --recipe do what --preprocess does, in commands where it does not mean training.
func addAlias(cmd *cobra.Command) {
	f := cmd.Flags()
	f.AddFlag(&pflag.Flag{Name: preprocessAlias, Hidden: true, Usage: "the old name of --preprocess",
		Value: f.Lookup("preprocess").Value})
	cmd.MarkFlagsMutuallyExclusive("preprocess", preprocessAlias)
}

// sayNewName tells whoever used the old name the new one.
func sayNewName(cmd *cobra.Command, stderr io.Writer) {
	if f := cmd.Flags().Lookup(preprocessAlias); f != nil && f.Hidden && f.Changed {
		fmt.Fprintln(stderr, "vggo: --recipe is called --preprocess now; --recipe is for training")
	}
}

// preprocessNames lists the named ones for help texts, with their orders of channels.
func preprocessNames() string {
	var names []string
	for name := range vision.Preprocesses() {
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// preprocessTable tells what each of the named ones does.
func preprocessTable() string {
	var text strings.Builder
	for name, about := range vision.Preprocesses() {
		fmt.Fprintf(&text, "  %-14s %s\n", name, about)
	}
	return text.String()
}

// parts are what the flags ask for.
func (o *preprocessFlags) parts() (vision.PreprocessParts, error) {
	asked := vision.PreprocessParts{Order: o.order, Resize: o.resize, Crop: o.crop, Filter: o.filter}
	for _, list := range []struct {
		flag, text string
		to         *vision.Numbers
	}{{"mean", o.mean, &asked.Mean}, {"std", o.std, &asked.Std}} {
		for _, word := range strings.FieldsFunc(list.text, func(r rune) bool { return r == ',' || r == ' ' }) {
			n, err := strconv.ParseFloat(word, 32)
			if err != nil {
				return asked, usageError{fmt.Errorf("--%s: %q is no number: want such as 0.485,0.456,0.406", list.flag, word)}
			}
			*list.to = append(*list.to, float32(n))
		}
	}
	if o.scale != "" {
		n, err := strconv.ParseFloat(o.scale, 32)
		if err != nil || n == 0 {
			return asked, usageError{fmt.Errorf("--scale: %q is no number that samples can be divided by: want such as 255",
				o.scale)}
		}
		asked.Scale = float32(n)
	}
	if o.preprocess == "" {
		return asked, nil
	}
	whole, err := vision.ReadPreprocess(o.preprocess)
	if err != nil {
		return asked, fmt.Errorf("--preprocess: %w", err)
	}
	return asked.Over(whole), nil
}

// given reports whether any of the flags is.
func (o *preprocessFlags) given() bool {
	return slices.ContainsFunc(o.list(), func(f preprocessFlag) bool { return *f.value != "" })
}

// preparedLine is how commands print what was decided about a network's pictures.
func preparedLine(p root.Preparation) string {
	return fmt.Sprintf("preprocess: %s: %s", p, p.Describe())
}
