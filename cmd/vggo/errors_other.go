//go:build !windows

package main

import (
	"errors"
	"syscall"
)

// What the system says of an address to listen at.
const (
	addressTaken   = syscall.EADDRINUSE
	addressNotOurs = syscall.EADDRNOTAVAIL
	portForbidden  = syscall.EACCES
)

// readerGone reports whether a write failed because whoever reads the pipe has seen enough, as head has.
func readerGone(err error) bool { return errors.Is(err, syscall.EPIPE) }
