package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/internal/durable"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/tensor"
	"github.com/vggo/vggo/vision"
	"github.com/vggo/vggo/weights"
)

// featuresOptions are the flags of `vggo features`.
type featuresOptions struct {
	modelFlags
	shardFlags
	layer   string
	l2      bool
	output  string
	restart bool
}

func newFeaturesCommand() *cobra.Command {
	var o featuresOptions
	cmd := &cobra.Command{
		Use:   "features FILE|DIR...",
		Short: "Write what a layer makes of pictures, as a NumPy array",
		Long: `Run pictures through a network up to a layer and write its output, a row for each
picture, to a NumPy file of float32: N x C for a fully connected layer, N x C x H x W
for a map. The pictures' names stand in the same order in a text file beside it, one
on each line. A picture that cannot be read is reported and has no row.

` + layersHelp + `
So fc7 is the fully connected layer itself, and relu7 what most papers use.

An interrupted run goes on where it stopped when the same command is given again.

` + shardHelp,
		Example: `  vggo features --layer relu7 --weights vgg16.safetensors holiday/ -o holiday.npy
  vggo features --layer pool5 --weights vgg16.safetensors photo.jpg -o maps.npy
  vggo features --layer fc7 --l2 --weights vgg16.safetensors holiday/ -o unit.npy
  vggo features --layer relu7 --weights vgg16.safetensors archive/ --shard 0/64 -o archive.npy`,
		Args: needPicture("vggo features --layer fc7 --weights vgg16.safetensors DIR -o out.npy"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.modelFlags.add(cmd)
	f := cmd.Flags()
	o.shardFlags.add(f)
	f.StringVar(&o.layer, "layer", "", "`layer` whose output is written")
	f.BoolVar(&o.l2, "l2", false, "scale each row to length 1")
	f.StringVarP(&o.output, "output", "o", "", "NumPy `file` to write, ending in .npy")
	f.BoolVar(&o.restart, "restart", false, "begin again instead of going on with an interrupted run")
	return cmd
}

func (o *featuresOptions) run(ctx context.Context, args []string, out, faults io.Writer) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	if o.layer == "" {
		return usageError{hint(errors.New("no layer named"), "--layer pool2, which most networks have; vggo arch NAME "+
			"--describe lists a network's layers")}
	}
	if err := needNPY(o.output); err != nil {
		return err
	}
	share, err := o.shardFlags.open(o.output, faults)
	if err != nil {
		return err
	}
	list, err := listPictures(args, faults)
	if err != nil {
		return err
	}
	files := list.files
	if slices.Contains(files, stdin) {
		return usageError{hint(errors.New("rows are named after files, and standard input is none"), "vggo features FILE")}
	}
	o.until = o.layer
	m, err := o.modelFlags.open(usualBatch)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	tellModel(faults, m, o.part)
	until, err := m.Placed.Until(o.layer)
	if err != nil {
		return hintLayer(err, o.archSpec(m))
	}
	shape := until.Output()
	head := &featuresHead{o.layer, []int{shape.C, shape.H, shape.W}, preparedLine(m.Preprocess), list.closed}
	if shape.H == 1 && shape.W == 1 {
		head.Shape = head.Shape[:1]
	}
	for _, file := range files {
		if strings.ContainsAny(file, "\n\r") {
			return fmt.Errorf("%q cannot stand on a line of the file of names: rename it", file)
		}
	}
	if share != nil {
		return o.writeShard(ctx, share, m, head, files, out, faults)
	}
	if info, err := os.Stat(o.output); err == nil && !info.Mode().IsRegular() {
		return hint(fmt.Errorf("%s is no file that could be replaced", o.output), "name another file with -o")
	}
	rows := &rowFile{path: o.output, shape: head.Shape}
	if _, err := o.each(ctx, m, files, rows, "", faults); err != nil {
		return err
	}
	if len(rows.names) > 0 {
		if err := head.say(out, len(rows.names), o.output); err != nil {
			return err
		}
	}
	return list.end(len(files) - len(rows.names))
}

// needNPY refuses what is no name for the array.
func needNPY(output string) error {
	switch {
	case output == "":
		return usageError{hint(errors.New("no file named to write to"), "-o out.npy")}
	case !strings.EqualFold(filepath.Ext(output), ".npy"):
		return usageError{hint(fmt.Errorf("%q is no NumPy file", output), "-o out.npy")}
	}
	return nil
}

// featuresHead is what is said of an array.
type featuresHead struct {
	Layer    string `json:"layer"`
	Shape    []int  `json:"shape"` // of a row
	Prepared string `json:"prepared"`
	Closed   int    `json:"closed"` // folders that could not be read
}

func (h *featuresHead) say(out io.Writer, rows int, output string) error {
	return printf(out, "%s of %d pictures to %s, %s float32 each; names in %s\n%s\n", h.Layer, rows, output,
		printable.Shape(h.Shape), namesPath(output), h.Prepared)
}

// namesPath is where the names of an array's rows go.
func namesPath(output string) string {
	return strings.TrimSuffix(output, filepath.Ext(output)) + ".txt"
}

// each writes the features of files that have none, and finishes the array; none is written where no file could be
// read. failed are those, by their names. of tells a shard's run from others.
func (o *featuresOptions) each(ctx context.Context, m *root.Model, files []string, rows *rowFile, of string,
	faults io.Writer) (failed map[string]string, err error) {
	run := featureRun{m.Network.Name, m.Origin, m.Part, m.Preprocess.Parts(), o.layer, o.l2, m.Batch(), rows.shape, of}
	if err := rows.open(run, o.restart); err != nil {
		return nil, err
	}
	defer rows.end()
	todo, has := files[:0:0], maps.Clone(rows.has)
	for _, file := range files {
		if has[file] == 0 {
			todo = append(todo, file)
		} else {
			has[file]--
		}
	}
	failed = map[string]string{}
	progress, done := progressOf(faults), 0
	progress.begin(len(todo), "pictures")
	for group := range loadPictures(ctx, m, todo, nil, o.limits()) {
		for _, p := range group {
			if p.err != nil && ctx.Err() == nil {
				failed[p.path] = p.err.Error()
				printFault(faults, p.err)
			}
		}
		if err := o.extract(ctx, m, group, rows); err != nil {
			if ctx.Err() != nil {
				break
			}
			return nil, rows.full(err)
		}
		done += len(group)
		progress.advance(done)
	}
	if ctx.Err() != nil {
		return nil, hint(fmt.Errorf("interrupted: %d of %d pictures are done", len(rows.names), len(files)),
			"the same command goes on from there")
	}
	if len(rows.names) == 0 {
		return failed, nil
	}
	return failed, rows.full(rows.finish())
}

// featureRecord is a picture in a shard of features: a row, or why there is none.
type featureRecord struct {
	File  string `json:"file"`
	Error string `json:"error,omitempty"`
}

// writeShard writes the features of one shard of the files: their rows as an array, and what they are.
func (o *featuresOptions) writeShard(ctx context.Context, share *sharing, m *root.Model, head *featuresHead,
	files []string, out, faults io.Writer) error {
	h, err := share.header("features", &o.modelFlags, m, files, head)
	if err != nil {
		return err
	}
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	of := fmt.Sprintf("sha256 %x", sha256.Sum256(text))
	return share.write(ctx, out, h, func(left, to int, add func(...any) error) error {
		from, _ := share.Range(len(files)) // rows have a journal of their own; records come when all of them are there
		files := files[from:to]
		rows := &rowFile{path: share.Path(o.output, ".npy"), shape: head.Shape}
		failed, err := o.each(ctx, m, files, rows, of, faults)
		if err != nil {
			return err
		}
		records, row := make([]any, len(files)), 0
		for i, file := range files {
			records[i] = featureRecord{file, failed[file]}
			if failed[file] != "" {
				continue
			}
			if row == len(rows.names) || rows.names[row] != file {
				return hint(fmt.Errorf("%s: its rows are not in the order of the list: %s could not be read once, and then could",
					rows.path, file), "--restart")
			}
			row++
		}
		return add(records[left-from:]...)
	})
}

// extract appends the features of a group of pictures.
func (o *featuresOptions) extract(ctx context.Context, m *root.Model, group []loadedPicture, rows *rowFile) error {
	batch, at := batchOf(group)
	if batch == nil {
		return ctx.Err()
	}
	features, err := m.Features(ctx, o.layer, batch)
	if err != nil {
		return err
	}
	names := make([]string, len(at))
	for n, i := range at {
		names[n] = group[i].path
		if o.l2 {
			normalise(features.Images(n, n+1))
		}
	}
	return rows.append(features.Data, names)
}

// normalise scales a tensor to length 1; one of zeros stays.
func normalise(t *tensor.Tensor) {
	sum := 0.0
	for _, v := range t.Data {
		sum += float64(v) * float64(v)
	}
	if sum == 0 {
		return
	}
	for i, v := range t.Data {
		t.Data[i] = float32(float64(v) / math.Sqrt(sum))
	}
}

// featureRun is what must be equal for a run to go on with another's rows.
type featureRun struct {
	Model      string                 `json:"model"`
	Weights    string                 `json:"weights"`
	Part       string                 `json:"weights_part,omitempty"`
	Preprocess vision.PreprocessParts `json:"preprocess"`
	Layer      string                 `json:"layer"`
	L2         bool                   `json:"l2"`
	Batch      int                    `json:"batch"` // a plan of another capacity may round differently
	Shape      []int                  `json:"shape"`
	Shard      string                 `json:"shard,omitempty"`
}

// rowFile is a NumPy array that grows by rows. Until it is finished it is called path.partial, beside a journal
// path.partial.names: the run, then the name of each row whose values are on the disk.
type rowFile struct {
	path  string
	shape []int // of a row
	names []string
	has   map[string]int // how often

	data, journal *os.File
	begun         bool // by this run, which removes what holds no row
}

func (r *rowFile) rowBytes() int64 {
	n := int64(4)
	for _, d := range r.shape {
		n *= int64(d)
	}
	return n
}

func (r *rowFile) header(rows int) []byte {
	return weights.NPYHeader(append([]int{rows}, r.shape...)...)
}

// open begins an array, or goes on with an interrupted one of the same run.
func (r *rowFile) open(run featureRun, restart bool) (err error) {
	r.has = make(map[string]int)
	first, err := json.Marshal(run)
	if err != nil {
		return err
	}
	const flags = os.O_RDWR | os.O_CREATE
	if r.data, err = os.OpenFile(r.path+".partial", flags, 0o666); err != nil {
		return err
	}
	if info, err := r.data.Stat(); err == nil {
		r.begun = info.Size() == 0
	}
	// Two runs into one file would write over each other. Where a file system has no locks they are not kept apart.
	if err := durable.TryLock(r.data); errors.Is(err, durable.ErrLocked) || !durable.Stands(r.data, r.path+".partial") {
		return errors.Join(hint(fmt.Errorf("another vggo features is writing %s", r.path),
			"wait until it is done, or name another file"), r.data.Close())
	}
	if r.journal, err = os.OpenFile(r.path+".partial.names", flags, 0o666); err == nil && restart {
		err = errors.Join(r.data.Truncate(0), r.journal.Truncate(0))
	}
	if err == nil {
		err = r.recover(string(first))
	}
	if err != nil {
		r.end()
	}
	return r.full(err)
}

// full says of a full disk what becomes of the rows that are written.
func (r *rowFile) full(err error) error {
	if !durable.Full(err) {
		return err
	}
	if len(r.names) == 0 {
		return hint(err, "make room there, or name another place")
	}
	return hint(fmt.Errorf("%d rows are written: %w", len(r.names), err), "make room there: the same command goes on then")
}

// recover reads the journal and cuts off whatever was not finished, in it and in the rows.
func (r *rowFile) recover(first string) error {
	head := r.header(0)
	lines := bufio.NewReader(r.journal)
	line, err := lines.ReadString('\n')
	if err != nil { // a new run, or one that did not get as far as its first line
		line = first + "\n"
		if err := errors.Join(r.data.Truncate(0), r.journal.Truncate(0)); err != nil {
			return err
		}
		if _, err := r.data.WriteAt(head, 0); err != nil {
			return err
		}
		if _, err := r.journal.WriteAt([]byte(line), 0); err != nil {
			return err
		}
	}
	if line != first+"\n" {
		return hint(fmt.Errorf("%s.partial is of another run: %s", r.path, strings.TrimSpace(line)),
			"give that run's flags again, or --restart")
	}
	info, err := r.data.Stat()
	if err != nil {
		return err
	}
	end := int64(len(line))
	for rows := (info.Size() - int64(len(head))) / r.rowBytes(); int64(len(r.names)) < rows; {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		end += int64(len(line))
		r.took(strings.TrimSuffix(line, "\n"))
	}
	size := int64(len(head)) + int64(len(r.names))*r.rowBytes()
	if err := errors.Join(r.data.Truncate(size), r.journal.Truncate(end)); err != nil {
		return err
	}
	if _, err := r.data.Seek(size, io.SeekStart); err != nil {
		return err
	}
	_, err = r.journal.Seek(end, io.SeekStart)
	return err
}

// append adds rows: first their values, and once these are on the disk their names.
func (r *rowFile) append(values []float32, names []string) error {
	text, err := binary.Append(nil, binary.LittleEndian, values)
	if err != nil {
		return err
	}
	if _, err := r.data.Write(text); err != nil {
		return err
	}
	if err := r.data.Sync(); err != nil {
		return err
	}
	if _, err := r.journal.WriteString(strings.Join(names, "\n") + "\n"); err != nil {
		return err
	}
	if err := r.journal.Sync(); err != nil {
		return err
	}
	for _, name := range names {
		r.took(name)
	}
	return nil
}

func (r *rowFile) took(name string) {
	r.names = append(r.names, name)
	r.has[name]++
}

// finish gives the array its number of rows and its name, and writes the rows' names beside it.
func (r *rowFile) finish() error {
	if _, err := r.data.WriteAt(r.header(len(r.names)), 0); err != nil {
		return err
	}
	if err := r.data.Sync(); err != nil {
		return err
	}
	if err := writeNames(r.path, r.names); err != nil {
		return err
	}
	r.close()
	if err := os.Rename(r.path+".partial", r.path); err != nil {
		return err
	}
	return os.Remove(r.path + ".partial.names")
}

// writeNames writes the names of an array's rows.
func writeNames(output string, names []string) error {
	return writeTo(namesPath(output), nil, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(names, "\n")+"\n")
		return err
	})
}

func (r *rowFile) close() {
	r.data.Close()
	if r.journal != nil {
		r.journal.Close()
	}
}

// end closes the files, and removes them if this run has begun them and has come to no row.
func (r *rowFile) end() {
	r.close()
	if r.begun && len(r.names) == 0 {
		os.Remove(r.path + ".partial.names")
		os.Remove(r.path + ".partial")
	}
}
