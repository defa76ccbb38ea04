// Package fault turns a read of memory that is no longer there into an error. Weights are mapped from files, and when a
// file is shortened its last pages are gone: the processor's fault would end the process.
//
// It rests on what Go's runtime does with such a fault in Go's own code and assembly (debug.SetPanicOnFault). On Linux
// it is SIGBUS with its address; tests hold that. On macOS it is SIGBUS too, made of a Mach exception, and goes the
// same way through the runtime: not measured. Windows shortens no mapped file; a page that a network drive no longer
// gives is the exception EXCEPTION_IN_PAGE_ERROR, which the runtime takes like an access violation: not measured. Where
// the first 4096 addresses are told in place of the true one, as qemu does, a fault is taken for a nil pointer and the
// process ends.
package fault

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// Error is memory that could not be read.
type Error struct{ Addr uintptr }

func (e *Error) Error() string {
	return fmt.Sprintf("memory at %#x cannot be read: a mapped file was shortened while it was open, or its drive is gone",
		e.Addr)
}

// Of is the fault that a recovered panic came of; nil for any other panic, nil pointers among them. The goroutine must
// have been told to panic on faults (debug.SetPanicOnFault).
func Of(recovered any) *Error {
	if err, ok := recovered.(runtime.Error); ok {
		if at, ok := err.(interface{ Addr() uintptr }); ok {
			return &Error{at.Addr()}
		}
	}
	return nil
}

// Catch calls do, and returns the fault that ended it, if any. Other panics go on.
func Catch(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			fault := Of(r)
			if fault == nil {
				panic(r)
			}
			err = fault
		}
	}()
	return do()
}
