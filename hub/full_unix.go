//go:build unix && !aix && !solaris

package hub

import "syscall"

// diskFull is what a write to a full disk, or beyond a quota, ends in.
var diskFull = []error{syscall.ENOSPC, syscall.EDQUOT}
