package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vggo/vggo/bench"
	"github.com/vggo/vggo/internal/durable"
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
	out, faults := newConsole(stdout), newConsole(stderr)
	defer faults.close() // where errors cannot be told nobody is told so
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(faults)
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
	if unwritten := out.close(); unwritten != nil && (err == nil || strings.Contains(err.Error(), unwritten.Error())) {
		if errors.Is(unwritten, syscall.EPIPE) { // as of head, which has seen enough
			return exitFailure
		}
		understood = true // help is printed before RunE
		err = fmt.Errorf("cannot write to standard output: %w", withoutPath(unwritten))
	}
	if err == nil {
		return exitOK
	}
	if set := exclusive.FindStringSubmatch(err.Error()); set != nil {
		err = fmt.Errorf("--%s exclude each other", strings.Join(strings.Fields(set[1]), " and --"))
	}
	printFault(faults, err)
	var hinted hintedError
	switch {
	case errors.As(err, &hinted):
		printf(faults, "hint: %s\n", hinted.remedy)
	case durable.Full(err):
		fmt.Fprintln(faults, "hint: make room there, or name another place")
	}
	var usage usageError
	if !understood || errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

// printFault prints an error, each of those that were joined on a line of its own.
func printFault(w io.Writer, err error) {
	for _, err := range joined(err) {
		text := err.Error()
		if errors.Is(err, context.Canceled) { // of Go's own words
			text = strings.ReplaceAll(text, context.Canceled.Error(), "interrupted")
		}
		printf(w, "vggo: %s\n", text)
	}
}

// joined are the errors that errors.Join made one of.
func joined(err error) []error {
	several, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	var lines []string
	for _, one := range several.Unwrap() {
		all = append(all, joined(one)...)
		lines = append(lines, one.Error())
	}
	if err.Error() != strings.Join(lines, "\n") { // fmt.Errorf with several %w
		return []error{err}
	}
	return all
}

// withoutPath is an error without the name that Go gives the file: /dev/stdout.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
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
