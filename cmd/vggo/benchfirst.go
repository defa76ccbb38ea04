package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/vggo/vggo/bench"
)

// announce says how long a bench will take, and where that is more than a minute how to get a first figure sooner, and
// the first figure of this run: one image.
func announce(ctx context.Context, stderr io.Writer, b *bench.Bench, modes []bench.Mode, flags *pflag.FlagSet) error {
	estimate, err := b.Estimate(modes)
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "vggo: by the prices for kernel set %s this takes about %s\n", b.Set, roughly(estimate))
	if estimate <= time.Minute {
		return nil
	}
	fmt.Fprintf(stderr, "hint: --batch, --steps, --burn-in and --mode make it shorter: %s\n", sooner(b, flags))
	took, pace, err := b.First(ctx)
	if errors.Is(err, context.Canceled) {
		return nil // which the steps say
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "vggo: one image forward takes %.*f s: at this pace it is %s\n", decimals(took.Seconds()),
		took.Seconds(), roughly(time.Duration(pace*float64(estimate))))
	return nil
}

// sooner is the command of a first figure: of the same network, computed in the same way.
func sooner(b *bench.Bench, flags *pflag.FlagSet) string {
	command := []string{"vggo bench"}
	if model := b.Placed.Network.Name; b.Recipe != nil && !flags.Changed("model") {
		command = append(command, "--model "+model)
	}
	flags.Visit(func(f *pflag.Flag) {
		if slices.Contains([]string{"model", "input", "algo", "threads", "memory", "costs"}, f.Name) {
			command = append(command, "--"+f.Name+" "+f.Value.String())
		}
	})
	return strings.Join(append(command, "--batch 1 --steps 2 --burn-in 0 --mode forward"), " ")
}
