package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
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

An interrupted run goes on where it stopped when the same command is given again.`,
		Example: `  vggo features --layer relu7 --weights vgg16.safetensors holiday/ -o holiday.npy
  vggo features --layer pool5 --weights vgg16.safetensors photo.jpg -o maps.npy
  vggo features --layer fc7 --l2 --weights vgg16.safetensors holiday/ -o unit.npy`,
		Args: needPicture("vggo features --layer fc7 --weights vgg16.safetensors DIR -o out.npy"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	o.add(cmd)
	f := cmd.Flags()
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
	switch {
	case o.layer == "":
		return usageError{hint(errors.New("no layer named"), "--layer pool2, which most networks have; vggo arch NAME "+
			"--describe lists a network's layers")}
	case o.output == "":
		return usageError{hint(errors.New("no file named to write to"), "-o out.npy")}
	case !strings.EqualFold(filepath.Ext(o.output), ".npy"):
		return usageError{hint(fmt.Errorf("%q is no NumPy file", o.output), "-o out.npy")}
	}
	list, err := listPictures(args, faults)
	if err != nil {
		return err
	}
	files := list.files
	o.until = o.layer
	m, err := o.open(usualBatch)
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
	rows := &rowFile{path: o.output, shape: []int{shape.C, shape.H, shape.W}}
	if shape.H == 1 && shape.W == 1 {
		rows.shape = rows.shape[:1]
	}
	run := featureRun{m.Network.Name, m.Origin, m.Part, m.Preprocess.Parts(), o.layer, o.l2, m.Batch(), rows.shape}
	for _, file := range files {
		if strings.ContainsAny(file, "\n\r") {
			return fmt.Errorf("%q cannot stand on a line of the file of names: rename it", file)
		}
	}
	if info, err := os.Stat(o.output); err == nil && !info.Mode().IsRegular() {
		return hint(fmt.Errorf("%s is no file that could be replaced", o.output), "name another file with -o")
	}
	if err := rows.open(run, o.restart); err != nil {
		return err
	}
	defer rows.end()
	todo := files[:0:0]
	for _, file := range files {
		if !rows.has[file] {
			todo = append(todo, file)
		}
	}
	failed := 0
	progress, done := progressOf(faults), 0
	progress.begin(len(todo), "pictures")
	for group := range loadPictures(ctx, m, todo, nil, o.limits()) {
		for _, p := range group {
			if p.err != nil && ctx.Err() == nil {
				failed++
				printFault(faults, p.err)
			}
		}
		if err := o.extract(ctx, m, group, rows); err != nil {
			if ctx.Err() != nil {
				break
			}
			return rows.full(err)
		}
		done += len(group)
		progress.advance(done)
	}
	if ctx.Err() != nil {
		return hint(fmt.Errorf("interrupted: %d of %d pictures are done", len(rows.has), len(files)),
			"the same command goes on from there")
	}
	if len(rows.has) == 0 {
		return list.end(failed)
	}
	names, err := rows.finish()
	if err != nil {
		return rows.full(err)
	}
	printf(out, "%s of %d pictures to %s, %s float32 each; names in %s\n", o.layer, len(rows.names), o.output,
		printable.Shape(rows.shape), names)
	printf(out, "%s\n", preparedLine(m.Preprocess))
	return list.end(failed)
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
}

// rowFile is a NumPy array that grows by rows. Until it is finished it is called path.partial, beside a journal
// path.partial.names: the run, then the name of each row whose values are on the disk.
type rowFile struct {
	path  string
	shape []int // of a row
	names []string
	has   map[string]bool

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
	r.has = make(map[string]bool)
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

func (r *rowFile) took(name string) { r.names, r.has[name] = append(r.names, name), true }

// finish gives the array its number of rows and its name, and writes the rows' names beside it.
func (r *rowFile) finish() (namesPath string, err error) {
	namesPath = strings.TrimSuffix(r.path, filepath.Ext(r.path)) + ".txt"
	if _, err := r.data.WriteAt(r.header(len(r.names)), 0); err != nil {
		return "", err
	}
	if err := r.data.Sync(); err != nil {
		return "", err
	}
	err = writeTo(namesPath, nil, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(r.names, "\n")+"\n")
		return err
	})
	if err != nil {
		return "", err
	}
	r.close()
	if err := os.Rename(r.path+".partial", r.path); err != nil {
		return "", err
	}
	return namesPath, os.Remove(r.path + ".partial.names")
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
