package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vggo/vggo/bench"
	"github.com/vggo/vggo/internal/durable"
	"github.com/vggo/vggo/internal/near"
	"github.com/vggo/vggo/nn"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // the command was understood and could not be done
	exitUsage   = 2 // the command line is wrong
	exitBeyond  = 3 // compare: a distance is beyond --max
)

// newRootCommand is vggo with all its commands.
func newRootCommand() *cobra.Command {
	var version bool
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
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				return writeVersion(cmd.OutOrStdout(), false)
			}
			return cmd.Help()
		},
	}
	root.Flags().BoolVar(&version, "version", false, "name the build and the kernel set in use, as vggo version does")
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(flagFault)
	root.AddCommand(
		newArchCommand(),
		newClassifyCommand(),
		newCompareCommand(),
		newConvertCommand(),
		newEvalCommand(),
		newExplainCommand(),
		newFeaturesCommand(),
		newFieldCommand(),
		newJoinCommand(),
		newTrainCommand(),
		newModelsCommand(),
		newPullCommand(),
		newServeCommand(),
		newSimilarCommand(),
		newStyleCommand(),
		newBenchCommand(),
		newCalibrateCommand(),
		newVersionCommand(),
	)
	return root
}

// answerUnknown has the commands that cobra brings refuse what they do not know: it answers with help, and exit 0. They
// write where root writes when they are made.
func answerUnknown(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Run, cmd.RunE = nil, func(cmd *cobra.Command, args []string) error { return help(root, args) }
		case "completion":
			cmd.Args = func(cmd *cobra.Command, args []string) error {
				if len(args) == 0 {
					return nil
				}
				return usageError{hint(fmt.Errorf("vggo completes for no shell %q", args[0]),
					"vggo completion bash, fish, powershell or zsh")}
			}
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
}

// noArguments refuses arguments of a command that takes none; flag is where they may have been meant to go.
func noArguments(flag string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		remedy := cmd.CommandPath() + " --help lists the flags"
		if flag != "" {
			remedy = flag + " " + args[0]
		}
		return hint(fmt.Errorf("%s takes flags alone, and %q is none", cmd.CommandPath(), args[0]), remedy)
	}
}

// needPicture refuses a command without arguments.
func needPicture(example string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return hint(errors.New("no picture named"), example)
		}
		return nil
	}
}

// help is vggo help COMMAND.
func help(root *cobra.Command, args []string) error {
	cmd, rest, err := root.Find(args)
	if err == nil && len(rest) == 0 {
		cmd.InitDefaultHelpFlag()
		return cmd.Help()
	}
	remedy := "vggo --help lists the commands"
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		remedy = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usageError{hint(fmt.Errorf("there is no command %q to help with", strings.Join(args, " ")), remedy)}
}

// flagFault says what is wrong with a flag, and what could have been meant.
func flagFault(cmd *cobra.Command, err error) error {
	remedy := cmd.CommandPath() + " --help lists the flags"
	var invalid *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &invalid):
		f := invalid.GetFlag()
		if words, ok := flagWords[f.Value.Type()]; ok { // its cause speaks of Go's strconv
			err = fmt.Errorf("--%s: %q is no %s in range", f.Name, invalid.GetValue(), words)
		} else {
			err = fmt.Errorf("--%s: %w", f.Name, invalid.Unwrap())
		}
	case errors.As(err, &unknown):
		if meant := nearFlags(cmd, unknown); len(meant) > 0 {
			remedy = "did you mean " + strings.Join(meant, " or ") + "? " + remedy
		}
	}
	return usageError{hint(err, remedy)}
}

// nearFlags are the flags of a command that one which it has not may stand for.
func nearFlags(cmd *cobra.Command, unknown *pflag.NotExistError) []string {
	const most = 3
	word := unknown.GetSpecifiedName()
	if short := unknown.GetSpecifiedShortnames(); short != "" { // -formulas for --formulas
		if word = short; len(short) == 1 {
			return nil
		}
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	meant := near.Names(word, names, most, strings.ToLower)
	for i, name := range meant {
		meant[i] = "--" + name
	}
	return meant
}

// detached refuses the value of a flag that may stand without one, where a blank keeps it from the flag: --half all,
// whose all would be taken for a picture's name. line is the command line.
func detached(flags *pflag.FlagSet, line []string) error {
	for i, word := range line {
		if word == "--" || i+1 == len(line) {
			break
		}
		name, long := strings.CutPrefix(word, "--")
		f, value := flags.Lookup(name), line[i+1]
		if !long || f == nil || f.NoOptDefVal == "" || strings.HasPrefix(value, "-") {
			continue
		}
		meant := value == "true" || value == "false"
		if f.Value.Type() != "bool" { // whose Set takes 1 and t too, which are names
			meant = f.Value.Set(value) == nil
		}
		if meant {
			return usageError{hint(fmt.Errorf("%s %s: the value of %[1]s follows an equals sign", word, value),
				fmt.Sprintf("%s=%s; a file or folder of that name is ./%[2]s", word, value))}
		}
	}
	return nil
}

// flagWords are the types of pflag in words.
var flagWords = map[string]string{"int": "whole number", "uint64": "whole number", "float64": "number",
	"bool": "truth value", "stringSlice": "list", "duration": "time, such as 2ms or 30s,"}

// exclusive is what cobra says of flags that exclude each other, of which those in the last brackets were given.
var exclusive = regexp.MustCompile(`^if any flags in the group \[.*\] are set none of the others can be; \[(.*)\] ` +
	`were all set$`)

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
	answerUnknown(root)
	understood := false // cobra checks names, flags and arguments before RunE: what fails earlier is a usage error
	for _, cmd := range withBelow(root) {
		runE, arguments := cmd.RunE, cmd.Args
		if runE == nil {
			continue
		}
		cmd.Args = func(cmd *cobra.Command, rest []string) error {
			if err := detached(cmd.Flags(), args); err != nil || arguments == nil {
				return err
			}
			return arguments(cmd, rest)
		}
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			understood = true
			sayNewName(cmd, stderr)
			if cmd.Name() == "serve" { // which ends when somebody ends it
				return runE(cmd, args)
			}
			p := newProgress(stderr)
			defer p.end()
			out.to.progress, faults.to.progress = p, p
			return runE(cmd, args)
		}
	}
	err := root.ExecuteContext(ctx)
	if unwritten := out.close(); unwritten != nil && (err == nil || strings.Contains(err.Error(), unwritten.Error())) {
		if readerGone(unwritten) {
			return exitFailure
		}
		understood = true // help is printed before RunE
		err = fmt.Errorf("cannot write to standard output: %w", withoutPath(unwritten))
	}
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errSaid) {
		return exitFailure
	}
	if set := exclusive.FindStringSubmatch(err.Error()); set != nil {
		err = fmt.Errorf("--%s exclude each other", strings.Join(strings.Fields(set[1]), " and --"))
	}
	printFault(faults, err)
	var hinted hintedError
	switch {
	case errors.As(err, &hinted):
		printf(faults, "hint: %s\n", hinted.remedy)
	case errors.As(err, new(*nn.HalfError)): // of a convolution it shows where pictures are computed
		fmt.Fprintln(faults, "hint: leave --half out")
	case durable.Full(err):
		fmt.Fprintln(faults, "hint: make room there, or name another place")
	}
	var usage usageError
	if !understood || errors.As(err, &usage) {
		return exitUsage
	}
	if errors.As(err, new(beyondError)) {
		return exitBeyond
	}
	return exitFailure
}

// withBelow are a command and all below it.
func withBelow(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, below := range cmd.Commands() {
		all = append(all, withBelow(below)...)
	}
	return all
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
