// Package durable writes files that are whole or not there.
package durable

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

// WriteBytes is Write for what is in memory.
func WriteBytes(path string, data []byte) error {
	return Write(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Write writes a file under a name of its own, path.partial-*, brings it to the disk and only then gives it its name. A
// failure leaves what was there before; only a process that dies leaves the partial file.
func Write(path string, write func(io.Writer) error) (err error) {
	// Not os.CreateTemp, whose files nobody else may read.
	partial := path + ".partial-" + strconv.FormatUint(rand.Uint64(), 36)
	file, err := os.OpenFile(partial, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		var cause *fs.PathError
		if errors.As(err, &cause) { // its path is the partial file's
			err = cause.Err
		}
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			file.Close()
			os.Remove(partial)
		}
	}()
	w := bufio.NewWriterSize(file, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	if err := os.Rename(partial, path); err != nil {
		return err
	}
	// The new name is on the disk once its folder is. Not every system lets a folder be opened or synced; there the
	// file is whole all the same.
	if folder, err := os.Open(filepath.Dir(path)); err == nil {
		_ = folder.Sync()
		folder.Close()
	}
	return nil
}
