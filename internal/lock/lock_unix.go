//go:build unix && !aix && !solaris

package lock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// try takes the lock of an open file, or says ErrHeld. The system lets go of it with the last descriptor, a killed process's too.
func try(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return ErrHeld
	case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS):
		return nil // some network file systems have no locks
	}
	return err
}
