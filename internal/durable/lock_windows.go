package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

const locks = true

// TryLock takes the lock of an open file, or says ErrLocked. The system lets go of it with the handle, a killed
// process's too.
func TryLock(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}

// FullDisk is what a write to a full disk ends in.
var FullDisk = []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL}
