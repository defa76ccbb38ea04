//go:build unix && !aix && !solaris

package hub

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// tryLock takes the lock of an open file, or says errLocked. The system lets go of it with the last descriptor, a killed
// process's too.
func tryLock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errLocked
	}
	return err
}

// diskFull is what a write to a full disk, or beyond a quota, ends in.
var diskFull = []error{syscall.ENOSPC, syscall.EDQUOT}
