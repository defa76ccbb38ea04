package shard

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/vggo/vggo/internal/durable"
)

// Ending is what the names of shards' files end in: they are lines of JSON, the Header and then a record for each
// picture, in the order of the list. Until a shard is whole its file is called by another ending behind that.
const (
	Ending  = ".jsonl"
	partial = ".partial"
)

// Header is a shard's first line.
type Header struct {
	Command  string `json:"command"` // "eval"
	Index    int    `json:"shard"`
	Of       int    `json:"of"`
	Pictures int    `json:"pictures"` // of all shards
	// Run is what must be the same in all shards of a run, each by its name.
	Run  []Fact          `json:"run"`
	Head json.RawMessage `json:"head"` // what the command makes one answer of all with
}

// Fact is something that answers depend on.
type Fact struct {
	Name  string `json:"name"` // "weights"
	Value string `json:"value"`
}

// Shard is the header's.
func (h *Header) Shard() Shard { return Shard{h.Index, h.Of} }

func (h *Header) count() int {
	from, to := h.Shard().Range(h.Pictures)
	return to - from
}

// OtherError is a shard's file that is of another run.
type OtherError struct {
	Path, Of string // Of is the file of the run that was expected; empty: the one that is asked for
	Fact     Fact   // of Path
	Want     string
}

func (e *OtherError) Error() string {
	of := e.Of
	if of == "" {
		of = "the one asked for"
	}
	return fmt.Sprintf("%s is of another run than %s: its %s is %s, not %s", e.Path, of, e.Fact.Name, e.Fact.Value, e.Want)
}

// differs is an *OtherError unless two headers are of the same run.
func differs(path string, h *Header, of string, want *Header) error {
	other := func(name string, value, wanted any) error {
		return &OtherError{path, of, Fact{name, fmt.Sprint(value)}, fmt.Sprint(wanted)}
	}
	switch {
	case h.Command != want.Command:
		return other("command", h.Command, want.Command)
	case h.Of != want.Of:
		return other("number of shards", h.Of, want.Of)
	}
	for i, f := range want.Run {
		if i >= len(h.Run) || h.Run[i].Name != f.Name {
			return other("list of facts", len(h.Run), len(want.Run))
		}
		if h.Run[i] != f {
			return other(f.Name, h.Run[i].Value, f.Value)
		}
	}
	switch {
	case len(h.Run) != len(want.Run):
		return other("list of facts", len(h.Run), len(want.Run))
	case h.Pictures != want.Pictures:
		return other("number of pictures", h.Pictures, want.Pictures)
	case !bytes.Equal(h.Head, want.Head):
		return other("head", short(h.Head), short(want.Head))
	}
	return nil
}

// short stands for a text that is too long to be shown.
func short(text []byte) string { return fmt.Sprintf("sha256 %.6x", sha256.Sum256(text)) }

// Writer writes a shard's file. It is whole under its name, or goes on from where it was killed.
type Writer struct {
	path        string
	file        *os.File
	done, count int
}

// Begin begins a shard's file, or goes on with one of the same run. w is nil where the shard is whole already. One of
// another run is an *OtherError.
func Begin(path string, h Header) (w *Writer, err error) {
	switch whole, err := Whole(path, h); {
	case err != nil || whole:
		return nil, err
	}
	file, err := os.OpenFile(path+partial, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	w = &Writer{path: path, file: file, count: h.count()}
	if err := durable.TryLock(file); errors.Is(err, durable.ErrLocked) || !durable.Stands(file, path+partial) {
		return nil, errors.Join(fmt.Errorf("another process is writing %s", path), file.Close())
	}
	info, err := file.Stat()
	if err == nil {
		err = w.recover(&h)
	}
	if err != nil {
		file.Close()
		if info != nil && info.Size() == 0 { // of this call's making
			os.Remove(path + partial)
		}
		return nil, err
	}
	return w, nil
}

// Whole reports whether a shard is there. A file of another run is an *OtherError.
func Whole(path string, h Header) (bool, error) {
	there, err := readHeader(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = differs(path, there, "", &h)
	}
	return err == nil, err
}

// recover reads what there is, and cuts off what was not finished.
func (w *Writer) recover(h *Header) error {
	first, err := json.Marshal(h)
	if err != nil {
		return err
	}
	lines := bufio.NewReader(w.file)
	line, err := readLine(lines)
	end := int64(len(line))
	switch {
	case errors.Is(err, io.EOF): // new, or killed at once
		if err := w.file.Truncate(0); err != nil {
			return err
		}
		if _, err := w.file.WriteAt(append(first, '\n'), 0); err != nil {
			return err
		}
		_, err := w.file.Seek(0, io.SeekEnd)
		return err
	case err != nil:
		return err
	}
	there, err := parseHeader(w.path+partial, line)
	if err == nil {
		err = differs(w.path+partial, there, "", h)
	}
	if err != nil {
		return err
	}
	for w.done < w.count {
		line, err := readLine(lines)
		if err != nil || !json.Valid(line) {
			break
		}
		end += int64(len(line))
		w.done++
	}
	if err := w.file.Truncate(end); err != nil {
		return err
	}
	_, err = w.file.Seek(end, io.SeekStart)
	return err
}

// Done is for how many pictures there are records.
func (w *Writer) Done() int { return w.done }

// Append adds records, one for each of the pictures that come next, and brings them to the disk.
func (w *Writer) Append(records ...any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	for _, r := range records {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	if _, err := w.file.Write(text.Bytes()); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	w.done += len(records)
	return nil
}

// Finish gives the file its name.
func (w *Writer) Finish() error {
	if w.done != w.count {
		return fmt.Errorf("%s: %d records for %d pictures", w.path, w.done, w.count)
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	if err := w.file.Close(); err != nil {
		return err
	}
	return durable.Name(w.path+partial, w.path)
}

// Close lets go of a file that is not finished, and removes it where nothing is in it.
func (w *Writer) Close() {
	w.file.Close()
	if w.done == 0 {
		os.Remove(w.path + partial)
	}
}
