package durable

import (
	"errors"
	"fmt"
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

// RemoveHeld closes a file, whose lock is held, and removes it by its name. In this order: Windows removes no open
// file, so one that another has opened meanwhile stays.
func RemoveHeld(f *os.File, path string) {
	f.Close()
	os.Remove(path)
}

// InRemoval reports whether a file could not be opened because another has it open to remove it, or alone.
func InRemoval(err error) bool { return errors.Is(err, windows.ERROR_SHARING_VIOLATION) }

// whyNotRenamed says what keeps a file from being replaced where Windows only says that it is not allowed.
func whyNotRenamed(err error) error {
	for _, busy := range []error{windows.ERROR_ACCESS_DENIED, windows.ERROR_SHARING_VIOLATION,
		windows.ERROR_USER_MAPPED_FILE} {
		if errors.Is(err, busy) {
			return fmt.Errorf("%w (Windows replaces no file that is read-only or that a program has open, this one perhaps, "+
				"and no folder: write under another name)", err)
		}
	}
	return err
}

// FullDisk is what a write to a full disk ends in.
var FullDisk = []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL}
