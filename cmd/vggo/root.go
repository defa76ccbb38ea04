package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vggo/vggo/bench"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // the command was understood and could not be done
	exitUsage   = 2 // the command line is wrong
)

// newRootCommand is vggo with all its commands.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "vggo",
		Short:         "VGG on an ordinary computer: understand it, run it, train it, serve it",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			remedy := "vggo --help lists the commands"
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				remedy = "did you mean " + strings.Join(near, " or ") + "?"
			}
			return hint(fmt.Errorf("unknown command %q", args[0]), remedy)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		var invalid *pflag.InvalidValueError
		if errors.As(err, &invalid) { // its cause speaks of Go's strconv
			err = fmt.Errorf("--%s: %q is no %s in range", invalid.GetFlag().Name, invalid.GetValue(), flagWords[invalid.GetFlag().Value.Type()])
		}
		return usageError{hint(err, cmd.CommandPath()+" --help lists the flags")}
	})
	root.AddCommand(
		newArchCommand(),
		newClassifyCommand(),
		newConvertCommand(),
		newEvalCommand(),
		newExplainCommand(),
		newFeaturesCommand(),
		newFieldCommand(),
		newTrainCommand(),
		newModelsCommand(),
		newPullCommand(),
		newServeCommand(),
		newBenchCommand(),
		newCalibrateCommand(),
		newVersionCommand(),
	)
	return root
}

// flagWords are the types of pflag in words.
var flagWords = map[string]string{"int": "whole number", "uint64": "whole number", "float64": "number", "bool": "truth value", "stringSlice": "list", "duration": "time, such as 2ms or 30s,"}

// exclusive is what cobra says of flags that exclude each other, of which those in the last brackets were given.
var exclusive = regexp.MustCompile(`^if any flags in the group \[.*\] are set none of the others can be; \[(.*)\] were all set$`)

// checkThreads refuses a number of threads that no machine has: each takes memory of its own.
func checkThreads(n int) error {
	if n < 0 || n > bench.MaxThreads {
		return usageError{fmt.Errorf("--threads must lie between 0 and %d, not %d", bench.MaxThreads, n)}
	}
	return nil
}

// run executes a command line and returns the exit code. Errors are printed here and nowhere else: "vggo: …", then
// "hint: …" where there is a remedy.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	understood := false // cobra checks names, flags and arguments before RunE: what fails earlier is a usage error
	for _, cmd := range append(root.Commands(), root) {
		runE := cmd.RunE
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			understood = true
			sayNewName(cmd, stderr)
			return runE(cmd, args)
		}
	}
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if set := exclusive.FindStringSubmatch(err.Error()); set != nil {
		err = fmt.Errorf("--%s exclude each other", strings.Join(strings.Fields(set[1]), " and --"))
	}
	fmt.Fprintf(stderr, "vggo: %v\n", err)
	var hinted hintedError
	if errors.As(err, &hinted) {
		fmt.Fprintf(stderr, "hint: %s\n", hinted.remedy)
	}
	var usage usageError
	if !understood || errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

// hintedError is an error with a remedy.
type hintedError struct {
	error
	remedy string
}

func (e hintedError) Unwrap() error { return e.error }

// hint adds a remedy to an error, printed on a line of its own.
func hint(err error, remedy string) error { return hintedError{err, remedy} }

// usageError is a wrong command line found after parsing, such as two flags that exclude each other: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }
