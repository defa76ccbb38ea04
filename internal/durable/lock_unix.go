//go:build unix && !aix && !solaris

package durable

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const locks = true

// TryLock takes the lock of an open file, or says ErrLocked. The system lets go of it with the last descriptor, a
// killed process's too.
func TryLock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return ErrLocked
	case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS):
		return nil // some network file systems have no locks
	}
	return err
}

// RemoveHeld removes the file of that name, whose lock is held, and closes it. In this order: who waits for the lock
// then sees that the file no longer stands.
func RemoveHeld(f *os.File, path string) {
	os.Remove(path)
	f.Close()
}

// InRemoval never holds: a file that is being removed can be opened.
func InRemoval(error) bool { return false }

// whyNotRenamed has nothing to add: an open file can be replaced.
func whyNotRenamed(err error) error { return err }

// FullDisk is what a write to a full disk, or beyond a quota, ends in.
var FullDisk = []error{syscall.ENOSPC, syscall.EDQUOT}
