//go:build unix && !aix && !solaris

package durable

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const locks = true

// TryLock takes the lock of an open file, or says ErrLocked. The system lets go of it with the last descriptor, a killed
// process's too.
func TryLock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

// FullDisk is what a write to a full disk, or beyond a quota, ends in.
var FullDisk = []error{syscall.ENOSPC, syscall.EDQUOT}
