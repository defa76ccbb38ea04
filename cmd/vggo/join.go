package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vggo/vggo/internal/durable"
	"github.com/vggo/vggo/internal/shard"
	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/weights"
)

// joinOptions are the flags of `vggo join`.
type joinOptions struct {
	output string
	json   bool
}

func newJoinCommand() *cobra.Command {
	var o joinOptions
	cmd := &cobra.Command{
		Use:   "join features|classify|eval [SHARD...]",
		Short: "Put together what the shards of a command wrote",
		Long: `Make of all shards of vggo features, classify or eval what one run of the command
would have written, byte for byte, its exit code too; of classify and eval that is what
--untimed prints. Without SHARD, which are files that end in .jsonl, those beside -o's
file are taken, where --shard with the same -o put them.

Shards of different runs are refused by name: each notes the build and its kernel set,
checksums of the list of pictures, of the weights and of class names, the preparation
and the flags. A shard that is missing, or there twice, is named too.`,
		Example: `  vggo join features -o archive.npy
  vggo join classify archive.shard-*.jsonl --json
  vggo join eval -o val.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || joiners[args[0]] == nil {
				return hint(errors.New("which command's shards?"), "vggo join features, classify or eval")
			}
			return nil
		},
		ValidArgs: []string{"features", "classify", "eval"},
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(args[0], args[1:], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "`file` to write: .npy of features; .json or .txt of the others, which "+
		"are printed else")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// joiners make one answer of a command's shards.
var joiners = map[string]func(o *joinOptions, set *shard.Set, out, faults io.Writer) error{
	"features": (*joinOptions).features, "classify": (*joinOptions).classify, "eval": (*joinOptions).eval,
}

func (o *joinOptions) run(command string, paths []string, out, faults io.Writer) error {
	if command == "features" {
		if err := needNPY(o.output); err != nil {
			return err
		}
		if o.json {
			return usageError{errors.New("--json is for classify and eval: features are an array")}
		}
	}
	var unfinished []string
	if len(paths) == 0 {
		if o.output == "" {
			return usageError{hint(errors.New("no shards named"), "name them, or -o as it was for the shards, which lie "+
				"beside it")}
		}
		var err error
		if paths, unfinished, err = shard.Beside(o.output); err != nil {
			return err
		}
		if len(paths) == 0 {
			return hint(fmt.Errorf("no finished shard lies beside %s", o.output), "name the shards, or -o as it was for them")
		}
	}
	set, err := shard.OpenSet(command, paths)
	if err != nil {
		var lack *shard.MissingError
		if errors.As(err, &lack) {
			lack.Unfinished = unfinished
		}
		return hintShard(err)
	}
	if err := canWrite(o.output); err != nil {
		return err
	}
	return joiners[command](o, set, out, faults)
}

// records calls do for what each shard says of each of its pictures, in the order of the list.
func records[T any](set *shard.Set, do func(index int, record T) error) error {
	for i := range set.Paths {
		err := set.Records(i, func(line []byte) error {
			var record T
			if err := strict.Unmarshal(line, &record); err != nil {
				return err
			}
			return do(i, record)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// headOf reads what a command keeps for all shards.
func headOf[T any](set *shard.Set) (*T, error) {
	var head T
	if err := strict.Unmarshal(set.Head, &head); err != nil {
		return nil, fmt.Errorf("%s: %w", set.Paths[0], err)
	}
	return &head, nil
}

func (o *joinOptions) classify(set *shard.Set, out, faults io.Writer) error {
	format, err := answerFormat(o.output, o.json)
	if err != nil {
		return err
	}
	head, err := headOf[classifyHead](set)
	if err != nil {
		return err
	}
	p := classifyPrinter{head: head, faults: faults, json: format == "json", all: set.Pictures}
	err = writeTo(o.output, out, func(w io.Writer) error {
		p.out = w
		if err := records(set, func(_ int, a classifiedPicture) error { return p.add(a) }); err != nil {
			return err
		}
		return p.end()
	})
	if err != nil {
		return err
	}
	return someUnread(p.failed, set.Pictures, head.Closed)
}

// maxClasses bounds the confusion matrix that a shard may ask for.
const maxClasses = 1 << 15

func (o *joinOptions) eval(set *shard.Set, out, faults io.Writer) error {
	format, err := answerFormat(o.output, o.json)
	if err != nil {
		return err
	}
	head, err := headOf[evalHead](set)
	if err != nil {
		return err
	}
	fits := head.Classes > 0 && head.Classes <= maxClasses && len(head.Labels) == len(head.Of)
	for _, class := range head.Of {
		fits = fits && class < head.Classes
	}
	if !fits {
		return fmt.Errorf("%s: no shard of an evaluation: %d classes, %d labels of %d", set.Paths[0], head.Classes,
			len(head.Labels), len(head.Of))
	}
	t := newTally(head, faults)
	if err := records(set, func(_ int, p seenPicture) error { return t.add(p) }); err != nil {
		return err
	}
	return t.write(o.output, format, out)
}

func (o *joinOptions) features(set *shard.Set, out, faults io.Writer) error {
	head, err := headOf[featuresHead](set)
	if err != nil {
		return err
	}
	var names []string
	rows, failed := make([]int, set.Of), 0
	err = records(set, func(i int, r featureRecord) error {
		if r.Error != "" {
			failed++
			printFault(faults, errors.New(r.Error))
			return nil
		}
		rows[i]++
		names = append(names, r.File)
		return nil
	})
	if err != nil {
		return err
	}
	if len(names) > 0 {
		err := durable.Write(o.output, func(w io.Writer) error {
			if _, err := w.Write(weights.NPYHeader(append([]int{len(names)}, head.Shape...)...)); err != nil {
				return err
			}
			for i, n := range rows {
				if n == 0 {
					continue
				}
				path := strings.TrimSuffix(set.Paths[i], shard.Ending) + ".npy"
				if err := copyRows(w, path, append([]int{n}, head.Shape...)); err != nil {
					return err
				}
			}
			return writeNames(o.output, names)
		})
		if err != nil {
			return err
		}
		if err := head.say(out, len(names), o.output); err != nil {
			return err
		}
	}
	return someUnread(failed, set.Pictures, head.Closed)
}

// copyRows copies the values of an array that must have a shape.
func copyRows(w io.Writer, path string, shape []int) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	want := weights.NPYHeader(shape...)
	head, bytesOf := make([]byte, len(want)), int64(4)
	for _, d := range shape {
		bytesOf *= int64(d)
	}
	if _, err := io.ReadFull(file, head); err != nil || !bytes.Equal(head, want) {
		return fmt.Errorf("%s is not the array of its shard, of shape %v", path, shape)
	}
	switch n, err := io.Copy(w, file); {
	case err != nil:
		return err
	case n != bytesOf:
		return fmt.Errorf("%s is cut off: it holds %d bytes of values, not %d", path, n, bytesOf)
	}
	return nil
}
