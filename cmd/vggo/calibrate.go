package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vggo/vggo/bench"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/plainfile"
	"github.com/vggo/vggo/internal/sheet"
	"github.com/vggo/vggo/nn"
)

// calibrateOptions are the flags of `vggo calibrate`.
type calibrateOptions struct {
	set     string
	threads int
	output  string
	json    bool
}

func newCalibrateCommand() *cobra.Command {
	var o calibrateOptions
	cmd := &cobra.Command{
		Use:   "calibrate",
		Short: "Measure the prices that choose how convolutions are computed",
		Long: `Measure what one thread pays for a convolution's work: a multiply-accumulate, a
transformed tile, a byte of weights from memory. By these prices each layer's
algorithm is chosen (vggo bench --explain-plan tells how). It times layers of
VGG-16's shapes by every algorithm, 15 to 30 s for a kernel set, and wants the
machine to itself.

The table that -o writes serves --costs of bench and classify. Kernel sets that
were not measured keep what the file had or, in a new one, what comes with vggo.
In a clone of the repository, -o nn/costs.json makes it what comes with vggo.`,
		Example: `  vggo calibrate
  vggo calibrate -o costs.json && vggo bench --costs costs.json
  go run ./cmd/vggo calibrate -o nn/costs.json`,
		Args: noArguments("-o"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.set, "set", "all", "kernel `SET`: avx512, avx2, neon, generic, or all that this machine runs")
	f.IntVar(&o.threads, "threads", 0, "threads to measure with, which compete for memory (default: one for each "+
		"processor)")
	f.StringVarP(&o.output, "output", "o", "", "write the table to a `FILE`, which appears only once it is whole")
	f.BoolVar(&o.json, "json", false, "print the table as JSON")
	return cmd
}

func (o *calibrateOptions) run(ctx context.Context, stdout, stderr io.Writer) error {
	if err := checkThreads(o.threads); err != nil {
		return err
	}
	sets := kernel.Sets()
	if o.set != "all" {
		set, err := kernel.Lookup(o.set)
		if err != nil {
			return usageError{fmt.Errorf("--set: %w", err)}
		}
		sets = []*kernel.Set{set}
	}
	if _, err := formatOf(o.output, "json", []ending{{".json", "json"}}); err != nil {
		return err
	}
	whole, err := o.before() // first, so that a file that cannot be read is said before a long start
	if err != nil {
		return err
	}
	if err := canWrite(o.output); err != nil {
		return err
	}
	measured := nn.CostTable{}
	for _, set := range sets {
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted before kernel set %s", set)
		}
		fmt.Fprintf(stderr, "measuring kernel set %s\n", set)
		costs, err := bench.Calibrate(ctx, set.Name, o.threads)
		if err != nil {
			return fmt.Errorf("kernel set %s: %w", set, err)
		}
		measured[set.Name], whole[set.Name] = costs, costs
	}
	if o.output != "" {
		if err := writeTo(o.output, stdout, whole.Write); err != nil {
			return err
		}
	}
	if o.json {
		return measured.Write(stdout)
	}
	return writePrices(stdout, measured)
}

// before is the table to be written as it was: the file's, else what comes with vggo.
func (o *calibrateOptions) before() (nn.CostTable, error) {
	if o.output == "" {
		return nn.CostTable{}, nil
	}
	info, err := os.Stat(o.output)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return maps.Clone(nn.DefaultCosts()), nil
	}
	table, err := plainfile.Read(o.output, nn.ReadCosts)
	if err != nil {
		return nil, hint(err, "-o takes a new file, or a cost table to renew")
	}
	return table, nil
}

// writePrices prints a table's prices side by side.
func writePrices(w io.Writer, measured nn.CostTable) error {
	sets := slices.Sorted(maps.Keys(measured))
	header := []string{"price of", "unit"}
	figures := []int{}
	for _, set := range sets {
		header = append(header, set)
		figures = append(figures, len(header))
	}
	t := sheet.New(header...).Figures(figures...).Narrow(1)
	first := measured[sets[0]]
	for i, p := range first.Prices() {
		row := []any{p.What, p.Unit}
		for _, set := range sets {
			row = append(row, fmt.Sprintf("%g", *measured[set].Prices()[i].Value))
		}
		t.Row(row...)
	}
	_, err := fmt.Fprintf(w, "One thread's prices on %s, %s; tiles are of 16 channels\n\n%s\n", first.Processor,
		first.Date, t.Text(sheet.Columns(w)))
	return err
}
