package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/vggo/vggo/internal/durable"
	"github.com/vggo/vggo/internal/printable"
)

// writeJSON prints a value as indented JSON.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// writeJSONLine writes a value as one line of JSON.
func writeJSONLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// ending is what a file may end in, and the format that is written to it then.
type ending struct{ name, format string }

// formatOf is the format that a file's ending names, of those that a command writes; usual without an ending. Any other
// ending is refused: what lies in the file would not be what it is called.
func formatOf(path, usual string, endings []ending) (string, error) {
	named := strings.ToLower(filepath.Ext(path))
	if info, err := os.Stat(path); named == "" || err == nil && !info.Mode().IsRegular() {
		return usual, nil
	}
	var names []string
	for _, e := range endings {
		if e.name == named {
			return e.format, nil
		}
		names = append(names, e.name)
	}
	return "", usageError{fmt.Errorf("-o %s: its ending must be %s", path, printable.Or(names))}
}

// canWrite is an error if writeTo will have one, as far as that can be told before: of a folder that is not there or
// not to be written to. It is asked before work that takes long.
func canWrite(path string) error {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil
	}
	return durable.Check(path)
}

// writeTo calls write with stdout or, where path is not empty, with a file that takes its name only once it is whole:
// a failure leaves whatever was there before. What is not a file (/dev/stdout, a pipe) is written straight.
func writeTo(path string, stdout io.Writer, write func(io.Writer) error) error {
	if path == "" {
		return write(stdout)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	return durable.Write(path, write)
}
