//go:build !windows && (!unix || aix || solaris)

package durable

import "os"

const locks = false

// TryLock does nothing on systems whose locks x/sys does not have: there two processes are not kept apart.
func TryLock(*os.File) error { return nil }

// RemoveHeld removes the file of that name and closes it.
func RemoveHeld(f *os.File, path string) {
	f.Close()
	os.Remove(path)
}

// InRemoval is not told apart there.
func InRemoval(error) bool { return false }

// whyNotRenamed has nothing to add.
func whyNotRenamed(err error) error { return err }

// FullDisk is not told apart there.
var FullDisk []error
