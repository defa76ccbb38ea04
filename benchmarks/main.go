// Command benchmarks times vggo beside ONNX Runtime and PyTorch, in turn on one machine, and writes down what came out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/vggo/vggo/bench"
)

const usage = `Usage: go run ./benchmarks [flags]

Install ONNX Runtime (by npm) and PyTorch (by apt-get) where they are missing, time
them and vggo in turn, one process after the other, round after round, and write
results.json and the tables made of it. About 15 minutes.

`

// options are the flags.
type options struct {
	rows, peers            string
	rounds, steps, threads int
	cache                  string
	render, print          bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "benchmarks: %v\n", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o options
	f := flag.NewFlagSet("benchmarks", flag.ContinueOnError)
	f.SetOutput(io.Discard) // main prints the error
	f.StringVar(&o.rows, "rows", "", "measure these `rows` alone, separated by commas: "+strings.Join(rowNames(), ", "))
	f.StringVar(&o.peers, "peers", onnxRuntime+","+pyTorch, "`peers` to measure, separated by commas; empty: none")
	f.IntVar(&o.rounds, "rounds", 5, "rounds, each of which measures everything once")
	f.IntVar(&o.steps, "steps", 2, "steps that count in a process, of 32 images of 224x224; of less work up to ten "+
		"times as many")
	f.IntVar(&o.threads, "threads", runtime.GOMAXPROCS(0), "threads of vggo and of the peers")
	f.StringVar(&o.cache, "cache", "", "`folder` for the peers (default: vggo-peers in the user's cache folder)")
	f.BoolVar(&o.print, "print", false, "print the table and leave the files as they are")
	f.BoolVar(&o.render, "render", false, "measure nothing: make the tables again from results.json")
	f.Usage = func() {}
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		f.SetOutput(stdout)
		f.PrintDefaults()
		return nil
	} else if err != nil {
		return fmt.Errorf("%w; --help lists the flags", err)
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected %q; --help lists the flags", f.Arg(0))
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	file := filepath.Join(root, "benchmarks", "results.json")
	var r *results
	if o.render {
		r, err = readResults(file)
	} else {
		r, err = o.sit(ctx, root, stderr)
	}
	if ctx.Err() != nil {
		return errors.New("interrupted: nothing is written")
	}
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, table(r))
	if o.print {
		return nil
	}
	if !o.render {
		if err := r.write(file); err != nil {
			return err
		}
	}
	return updateDocuments(root, r)
}

// moduleRoot is vggo's folder, where the scripts and the documents are; go run puts the program elsewhere.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/vggo/vggo").Output()
	if err != nil {
		return "", fmt.Errorf("go list: %w: change into vggo's folder and start go run ./benchmarks there", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// words takes a flag's list apart.
func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// sit measures what the flags ask for.
func (o *options) sit(ctx context.Context, root string, log io.Writer) (*results, error) {
	if o.rounds < 1 || o.steps < 1 || o.threads < 1 {
		return nil, fmt.Errorf("--rounds, --steps and --threads must be at least 1, not %d, %d and %d", o.rounds,
			o.steps, o.threads)
	}
	subjects, err := subjectsOf(words(o.rows), words(o.peers))
	if err != nil {
		return nil, err
	}
	if o.cache == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("%w: name a folder by --cache", err)
		}
		o.cache = filepath.Join(cache, "vggo-peers")
	}
	if o.cache, err = filepath.Abs(o.cache); err != nil {
		return nil, err
	}
	s := &sitting{root: root, cache: o.cache, threads: o.threads, steps: o.steps, log: log}
	dir, err := os.MkdirTemp("", "vggo-benchmarks-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := s.build(ctx, dir); err != nil {
		return nil, err
	}
	// What the machine is, whichever rows are asked for.
	first, err := s.bench(ctx, subject{model: "tinyvgg-food", mode: bench.Forward, size: 64, batch: 1}, 1, 0)
	if err != nil {
		return nil, err
	}
	s.set = first.Machine.Set
	r := &results{
		Date: time.Now().Format(time.DateOnly), Processor: first.Machine.Processor, Platform: runtime.GOOS + "/" +
			runtime.GOARCH,
		Threads: first.Machine.Threads, Set: s.set, Rounds: o.rounds, Steps: o.steps,
		Versions: map[string]string{"go": runtime.Version(), vggo: s.commit(ctx)},
	}
	s.rounds(ctx, r, subjects, s.install(ctx, subjects))
	return r, ctx.Err()
}
