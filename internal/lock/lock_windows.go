package lock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// try takes the lock of an open file, or says ErrHeld. The system lets go of it with the handle, a killed process's too.
func try(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrHeld
	}
	return err
}
