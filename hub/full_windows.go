package hub

import "golang.org/x/sys/windows"

// diskFull is what a write to a full disk ends in.
var diskFull = []error{windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL}
