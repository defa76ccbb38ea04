package durable

import (
	"errors"
	"os"
	"slices"
)

// ErrLocked is TryLock's, of a file that another holds.
var ErrLocked = errors.New("another process holds it")

// Stands tells whether an open file is still the one of that name: whoever held its lock may have removed it.
func Stands(f *os.File, path string) bool {
	opened, err1 := f.Stat()
	named, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(opened, named)
}

// Full reports whether an error is a full disk's, or a quota's.
func Full(err error) bool {
	return slices.ContainsFunc(FullDisk, func(one error) bool { return errors.Is(err, one) })
}
