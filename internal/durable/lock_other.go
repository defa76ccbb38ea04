//go:build !windows && (!unix || aix || solaris)

package durable

import "os"

const locks = false

// TryLock does nothing on systems whose locks x/sys does not have: there two processes are not kept apart.
func TryLock(*os.File) error { return nil }

// FullDisk is not told apart there.
var FullDisk []error
