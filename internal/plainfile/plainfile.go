// Package plainfile opens the files that a user names, without waiting: to open a pipe lasts until somebody writes to
// it, and a device may do anything.
package plainfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// KindError is of a path that leads to no file.
type KindError struct {
	Path string
	Kind string // what it leads to: "a folder"
}

func (e *KindError) Error() string {
	if e.Kind == pipe {
		return fmt.Sprintf("%s: a pipe, not a plain file: write what it gives into a file first", e.Path)
	}
	return fmt.Sprintf("%s: %s, not a plain file", e.Path, e.Kind)
}

const pipe = "a pipe"

// Open opens a file to read, or a pipe that this process was given open (/dev/stdin, /dev/fd/63). Everything else is a
// *KindError; other errors are of package os.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path) // before it is opened, which might wait
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: cause(err)} // "stat" tells its reader nothing
	}
	if kind := kindOf(info.Mode()); kind != "" && !(info.Mode().Type() == fs.ModeNamedPipe && isOurs(path)) {
		return nil, &KindError{path, kind}
	}
	return os.Open(path)
}

// Read opens a file and reads it, and names it in errors of read.
func Read[T any](path string, read func(io.Reader) (T, error)) (result T, err error) {
	file, err := Open(path)
	if err != nil {
		return result, err
	}
	defer file.Close()
	result, err = read(file)
	var unreadable *fs.PathError // which names the file itself
	if err != nil && !errors.As(err, &unreadable) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return result, err
}

func cause(err error) error {
	if named, ok := err.(*fs.PathError); ok {
		return named.Err
	}
	return err
}

// kindOf says what a path leads to, nothing of a file.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return ""
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return pipe
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}

// isOurs reports whether a path stands for what this process has open.
func isOurs(path string) bool {
	clean := filepath.ToSlash(filepath.Clean(path))
	return clean == "/dev/stdin" || strings.HasPrefix(clean, "/dev/fd/") || strings.HasPrefix(clean, "/proc/self/fd/")
}

// Like lists what lies in a folder by a pattern of path.Match, in order; nothing where there is no such folder. Unlike
// filepath.Glob it does not take the folder's own name for a pattern: "runs [old]" is one.
func Like(folder, pattern string) ([]string, error) {
	names, err := fs.Glob(os.DirFS(folder), pattern)
	for i, name := range names {
		names[i] = filepath.Join(folder, name)
	}
	return names, err
}
