package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/vggo/vggo/embedded"
	"github.com/vggo/vggo/hub"
	"github.com/vggo/vggo/internal/near"
	"github.com/vggo/vggo/weights"
)

func newPullCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "pull NAME...",
		Short: "Download published weights",
		Long: `Download weights from their publishers' sites, by the names that vggo models lists,
into vggo's cache, where --weights NAME finds them. A download that is interrupted goes
on where it stopped. The file is checked against its published checksum, and appears
under its name only when it is whole. Proxies are taken from HTTPS_PROXY.`,
		Example: `  vggo pull vgg16
  vggo classify photo.jpg --weights vgg16`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return hint(errors.New("no weights named"), "vggo models lists them")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				if _, err := findEntry(name); err != nil {
					return err
				}
			}
			for _, name := range args {
				if err := pull(cmd.Context(), name, dir, cmd.OutOrStdout(), cmd.ErrOrStderr()); err != nil {
					return err
				}
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return publishedNames(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "`folder` to download to (default: the cache)")
	return cmd
}

// findEntry is hub.Find with a remedy.
func findEntry(name string) (hub.Entry, error) {
	e, ok := hub.Find(name)
	if !ok {
		return e, hint(fmt.Errorf("no published weights are called %q", name), nearWeights(name)+"vggo models lists them")
	}
	return e, nil
}

// publishedNames are those of all published weights.
func publishedNames() []string {
	var names []string
	for _, e := range hub.All() {
		names = append(names, e.Name)
	}
	return names
}

// nearWeights asks whether others were meant than a name that no weights have; empty where it is like none.
func nearWeights(name string) string {
	if meant := near.Names(name, publishedNames(), 3, strings.ToLower); len(meant) > 0 {
		return "did you mean " + strings.Join(meant, ", ") + "? "
	}
	return ""
}

func pull(ctx context.Context, name, dir string, out, notes io.Writer) error {
	e, err := findEntry(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(notes, "%s from %s\nlicence %s, by %s; held against %s\n", e.File, e.URL.Value, e.Licence.Value,
		e.Credit, e.Trust())
	options := hub.Options{Dir: dir, Notice: func(s string) { fmt.Fprintln(notes, s) }}
	if f := terminalOf(notes); f != nil {
		var bar *progressbar.ProgressBar
		options.Progress = func(done, total int64) {
			if bar == nil {
				progressOf(notes).silence()
				total = cmp.Or(total, -1)
				bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(f), progressbar.OptionShowBytes(true),
					progressbar.OptionSetWidth(30), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
			}
			_ = bar.Set64(done)
		}
	} else {
		options.Progress = plainProgress(notes)
	}
	path, err := hub.Pull(ctx, e, options)
	var interrupted *hub.InterruptedError
	if errors.As(err, &interrupted) {
		return hint(err, "vggo pull "+name+" goes on from there")
	}
	if err != nil && ctx.Err() != nil {
		return hint(err, "vggo pull "+name+" begins again: nothing had come yet that it could go on from")
	}
	if err != nil {
		return err
	}
	if sum := hub.Recorded(path); sum != "" {
		fmt.Fprintf(notes, "SHA-256 %s\n", sum)
	}
	_, err = fmt.Fprintln(out, path)
	return err
}

// plainProgress prints a line for each tenth of a download, for logs; each 100 MB where its length is not told.
func plainProgress(notes io.Writer) func(done, total int64) {
	last := int64(-1)
	return func(done, total int64) {
		step, line := done/100e6, fmt.Sprintf("%d MB\n", done/1e6)
		if total > 0 {
			step = done * 10 / total
			line = fmt.Sprintf("%3d %% of %.1f MB\n", done*100/total, float64(total)/1e6)
		}
		if step > last {
			if last >= 0 { // not at the first bytes, of a download or of what is left of it
				io.WriteString(notes, line)
			}
			last = step
		}
	}
}

// isEmbedded reports whether a name is that of the embedded network's weights, as vggo prints it, and not a file's.
func isEmbedded(name string) bool {
	_, err := os.Stat(name)
	return name == embedded.Name && err != nil
}

// openWeights opens the part of the weights that a flag names: the embedded network's, published ones in the cache, or
// a file.
func openWeights(name, part string) (*weights.File, error) {
	if isEmbedded(name) && part == "" {
		return embedded.Weights()
	}
	path, err := weightsPath(name)
	if err != nil {
		return nil, err
	}
	return weights.OpenPart(path, part)
}

// weightsPath is a file of weights that a flag names: a path, or the name of published weights in the cache.
func weightsPath(name string) (string, error) {
	if _, err := os.Stat(name); err == nil || strings.ContainsAny(name, `/\.`) {
		return name, nil // or a missing file, which opening says
	}
	e, ok := hub.Find(name)
	if !ok {
		return "", hint(fmt.Errorf("%s: there is no such file, nor are published weights called so", name), nearWeights(name)+
			"vggo models lists those that are published")
	}
	path, ok := hub.Path(e)
	if !ok {
		return "", hint(fmt.Errorf("%s is not in the cache", name), "vggo pull "+name)
	}
	return path, nil
}
