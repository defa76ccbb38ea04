package machine

import (
	"cmp"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// PeakMemory is the most resident memory since the process began.
func PeakMemory() int64 {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return usage.Maxrss // in bytes, unlike elsewhere
}

// ResetPeakMemory does nothing: the mark is the process's own, which is never too low.
func ResetPeakMemory() {}

// AvailableMemory is what the system can give without swapping: free pages, and those that files fill or that their
// owners have given up.
func AvailableMemory() int64 {
	pages := int64(0)
	for _, name := range []string{"vm.page_free_count", "vm.page_pageable_external_count", "vm.page_purgeable_count"} {
		n, err := unix.SysctlUint32(name)
		if err != nil {
			return 0
		}
		pages += int64(n)
	}
	available := pages * int64(os.Getpagesize())
	if total, err := unix.SysctlUint64("hw.memsize"); err == nil {
		available = min(available, int64(total))
	}
	return available
}

// Processor is the model's name, "Apple M1" for one.
func Processor() string {
	name, _ := unix.Sysctl("machdep.cpu.brand_string")
	return cmp.Or(name, runtime.GOARCH)
}

// PerformanceCores is how many of the processors that the system counts are of the fastest kind; 0 where all are alike.
func PerformanceCores() int {
	if levels, err := unix.SysctlUint32("hw.nperflevels"); err != nil || levels < 2 {
		return 0
	}
	n, err := unix.SysctlUint32("hw.perflevel0.physicalcpu")
	if err != nil {
		return 0
	}
	return int(n)
}
