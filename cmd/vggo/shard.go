package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/internal/durable"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/plainfile"
	"github.com/vggo/vggo/internal/shard"
)

// shardFlags are the flags of commands whose pictures several processes may share.
type shardFlags struct {
	text  string
	flags *pflag.FlagSet
}

func (o *shardFlags) add(f *pflag.FlagSet) {
	o.flags = f
	f.StringVar(&o.text, "shard", "", "do one shard of the pictures alone, `i/n` from 0/n on, and write it beside -o's "+
		"file, for vggo join; auto/n in a Slurm array or an indexed job of Kubernetes, which tell i")
}

// untimedHelp is of --untimed.
const untimedHelp = "leave out times and the number of threads: the same run prints the same bytes then, and so does " +
	"vggo join"

// shardHelp tells in a command's help how pictures are shared.
const shardHelp = `--shard 3/64 does the fourth of 64 equal stretches of the pictures, in a process that knows
nothing of the others, and vggo join puts all of them together. A shard that was
interrupted or killed goes on where it stopped when the same command is given again, and
one that is there already is left alone. Pictures that cannot be read are noted in the
shard: it has failed only if it is not there.`

// sharing is the shard that a process does.
type sharing struct {
	shard.Shard
	output string
	flags  *pflag.FlagSet
}

// open reads --shard; nil where it is not given. output is -o's file.
func (o *shardFlags) open(output string, faults io.Writer) (*sharing, error) {
	if o.text == "" {
		return nil, nil
	}
	s, source, err := shard.Parse(o.text, os.Getenv)
	if err != nil {
		return nil, usageError{fmt.Errorf("--shard: %w", err)}
	}
	if output == "" {
		return nil, usageError{hint(errors.New("no file named that the shards are written beside"), "-o, the same for "+
			"all of them and for vggo join")}
	}
	if source != "" {
		fmt.Fprintf(faults, "vggo: shard %s, as %s tells\n", s, source)
	}
	return &sharing{s, output, o.flags}, nil
}

// unshared are flags that answers do not depend on, or that the facts tell by what they stand for.
var unshared = []string{"shard", "output", "json", "untimed", "restart", "threads", "weights", "labels", "costs"}

// header tells what the shards of a run must have in common, so that those of different runs are not taken together.
// list holds what tells the pictures apart, in their order; head is what join needs.
func (s *sharing) header(command string, o *modelFlags, m *root.Model, list []string, head any) (shard.Header, error) {
	h := shard.Header{Command: command, Index: s.Index, Of: s.Of, Pictures: len(list)}
	set, err := kernel.Active()
	if err != nil {
		return h, err
	}
	sum, err := m.Fingerprint()
	if err != nil {
		return h, err
	}
	prepared, err := json.Marshal(m.Preprocess.Told())
	if err != nil {
		return h, err
	}
	flags, costs := []string{}, "none"
	s.flags.Visit(func(f *pflag.Flag) {
		if !slices.Contains(unshared, f.Name) {
			flags = append(flags, fmt.Sprintf("--%s=%s", f.Name, f.Value))
		}
	})
	if o.costs != "" {
		text, err := plainfile.Read(o.costs, io.ReadAll)
		if err != nil {
			return h, err
		}
		costs = fmt.Sprintf("%s, sha256 %x", o.costs, sha256.Sum256(text))
	}
	h.Run = []shard.Fact{ // what others follow from comes first
		{Name: "build", Value: buildSum()}, {Name: "kernel set", Value: set.Name + ", " + runtime.GOARCH},
		{Name: "list of pictures", Value: fmt.Sprintf("%d, %s", len(list), sumOf(list))},
		{Name: "file of weights", Value: m.Origin},
		{Name: "network with its weights", Value: fmt.Sprintf("sha256 %x", sum)},
		{Name: "preparation", Value: string(prepared)}, {Name: "list of classes", Value: sumOf(m.Classes)},
		{Name: "table of prices", Value: costs}, {Name: "list of flags", Value: cmp.Or(strings.Join(flags, " "), "none")},
	}
	h.Head, err = json.Marshal(head)
	return h, err
}

// sumOf stands for a list of texts.
func sumOf(list []string) string {
	h := sha256.New()
	for _, text := range list {
		fmt.Fprintf(h, "%d:%s", len(text), text)
	}
	return fmt.Sprintf("sha256 %x", h.Sum(nil))
}

// write has the records of a shard made that are not there, those of pictures from one to before another, and writes
// them as they come.
func (s *sharing) write(ctx context.Context, out io.Writer, h shard.Header,
	answer func(from, to int, add func(...any) error) error) error {
	path := s.Path(s.output, shard.Ending)
	w, err := shard.Begin(path, h)
	if err != nil {
		return hintShard(err)
	}
	if w != nil {
		defer w.Close()
		from, to := s.Range(h.Pictures)
		err := answer(from+w.Done(), to, w.Append)
		if said := errors.As(err, new(hintedError)); !said && (ctx.Err() != nil || durable.Full(err)) {
			err = hint(err, fmt.Sprintf("%d of the %d pictures of shard %s are done: the same command goes on from there",
				w.Done(), to-from, s))
		}
		if err != nil {
			return err
		}
		if err := w.Finish(); err != nil {
			return err
		}
	}
	return s.say(out, h.Pictures, path, w == nil)
}

// say says what a shard is and where.
func (s *sharing) say(out io.Writer, pictures int, path string, before bool) error {
	from, to := s.Range(pictures)
	where := "in " + path
	if before {
		where = "there already, in " + path
	}
	if from == to {
		return printf(out, "shard %s: none of %d pictures, %s\n", s, pictures, where)
	}
	return printf(out, "shard %s: pictures %d to %d of %d, %s\n", s, from+1, to, pictures, where)
}

// hintShard adds remedies to what is wrong with shards.
func hintShard(err error) error {
	var other *shard.OtherError
	var lack *shard.MissingError
	switch {
	case errors.As(err, &other):
		return hint(err, "the shards of a run are made by one build from the same pictures and weights with the same flags; "+
			"remove "+other.Path+", or name another file with -o")
	case errors.As(err, &lack):
		return hint(err, fmt.Sprintf("give the command of the others again, with --shard %d/%d for one; in Slurm sbatch "+
			"--array=%s starts all of them", lack.Missing[0], lack.Of, lack.List()))
	}
	return err
}
