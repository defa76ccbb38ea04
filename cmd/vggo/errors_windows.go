package main

import (
	"errors"

	"golang.org/x/sys/windows"
)

// What the system says of an address to listen at: package syscall's names of them are not Windows' own.
const (
	addressTaken   = windows.WSAEADDRINUSE
	addressNotOurs = windows.WSAEADDRNOTAVAIL
	portForbidden  = windows.WSAEACCES
)

// readerGone reports whether a write failed because whoever reads the pipe has seen enough.
func readerGone(err error) bool {
	return errors.Is(err, windows.ERROR_NO_DATA) || errors.Is(err, windows.ERROR_BROKEN_PIPE)
}
