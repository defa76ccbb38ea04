// Package durable writes files that are whole or not there.
package durable

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// WriteBytes is Write for what is in memory.
func WriteBytes(path string, data []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Write is WriteContext that nobody gives up.
func Write(path string, write func(io.Writer) error) error {
	return WriteContext(context.Background(), path, write)
}

// WriteContext writes a file under a name of its own, path.partial-*, brings it to the disk and only then gives it its
// name. A failure leaves what was there before, and so does ctx when it ends: the next write fails with its cause. Only
// a process that dies leaves the partial file, which the next one that writes there removes.
func WriteContext(ctx context.Context, path string, write func(io.Writer) error) (err error) {
	removeStale(path)
	partial, file, err := create(path)
	if err != nil {
		return &Error{path, bare(err)}
	}
	defer func() {
		if err != nil {
			file.Close()
			os.Remove(partial)
		}
	}()
	w := &writer{ctx, path, bufio.NewWriterSize(file, 1<<20)}
	if err := write(w); err != nil {
		return err
	}
	if err := w.buffer.Flush(); err != nil {
		return w.failed(err)
	}
	if err := file.Sync(); err != nil {
		return w.failed(err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	now := time.Now() // between its lock and its name it must not look forgotten
	_ = os.Chtimes(partial, now, now)
	if err := file.Close(); err != nil {
		return w.failed(err)
	}
	return Name(partial, path)
}

// Name gives a closed file that is whole its name, in place of what was there.
func Name(partial, path string) error {
	if err := os.Rename(partial, path); err != nil {
		return &Error{path, whyNotRenamed(bare(err))}
	}
	// The new name is on the disk once its folder is. Not every system lets a folder be opened or synced; there the
	// file is whole all the same.
	if folder, err := os.Open(filepath.Dir(path)); err == nil {
		_ = folder.Sync()
		folder.Close()
	}
	return nil
}

// create makes a partial file and holds its lock, which goes with the process.
func create(path string) (partial string, file *os.File, err error) {
	for {
		// Not os.CreateTemp, whose files nobody else may read.
		partial = path + partialMark + strconv.FormatUint(rand.Uint64(), 36)
		if file, err = os.OpenFile(partial, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666); err != nil {
			return "", nil, err
		}
		// A file system may have no locks. Then its partial files are never taken for forgotten ones either.
		if err := TryLock(file); !errors.Is(err, ErrLocked) && Stands(file, partial) {
			return partial, file, nil
		}
		file.Close() // somebody has just looked whether it was forgotten
		os.Remove(partial)
	}
}

// Check is an error if no file can be written there now. It leaves nothing behind.
func Check(path string) error {
	partial, file, err := create(path)
	if err != nil {
		return &Error{path, bare(err)}
	}
	return errors.Join(file.Close(), os.Remove(partial))
}

// writer gives up when its context ends, and names the file in errors.
type writer struct {
	ctx    context.Context
	path   string
	buffer *bufio.Writer
}

func (w *writer) Write(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	n, err := w.buffer.Write(p)
	if err != nil {
		err = w.failed(err)
	}
	return n, err
}

func (w *writer) failed(err error) error { return &Error{w.path, bare(err)} }

// Error is a file that could not be written.
type Error struct {
	Path string
	Err  error
}

func (e *Error) Error() string { return "cannot write " + e.Path + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// bare is an error without the partial file's name.
func bare(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

const (
	partialMark = ".partial-"
	staleAfter  = time.Minute // without a write
)

// partialEnd is what create appends to partialMark.
var partialEnd = regexp.MustCompile(`^[0-9a-z]+$`)

// removeStale removes what processes that were killed left of a file: partial files that nobody has written to for a
// while and whose locks nobody holds. What it cannot be sure of stays.
func removeStale(path string) {
	if !locks {
		return
	}
	dir, name := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return
	}
	for _, entry := range entries {
		end, ok := strings.CutPrefix(entry.Name(), name+partialMark)
		if !ok || !partialEnd.MatchString(end) || !entry.Type().IsRegular() {
			continue
		}
		if info, err := entry.Info(); err != nil || time.Since(info.ModTime()) < staleAfter {
			continue
		}
		partial := dir + entry.Name()
		file, err := os.OpenFile(partial, os.O_WRONLY, 0)
		if err != nil {
			continue
		}
		if TryLock(file) == nil {
			RemoveHeld(file, partial)
		} else {
			file.Close()
		}
	}
}
