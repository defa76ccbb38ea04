//go:build !linux && !darwin && !windows

package machine

import "runtime"

// PeakMemory is the most resident memory since ResetPeakMemory; 0, since this system is not asked.
func PeakMemory() int64 { return 0 }

// ResetPeakMemory does nothing here.
func ResetPeakMemory() {}

// AvailableMemory is what the system can give; 0, since this system is not asked.
func AvailableMemory() int64 { return 0 }

// Processor is the model's name.
func Processor() string { return runtime.GOARCH }

// PerformanceCores is how many processors are of the fastest kind; 0, since this system is not asked.
func PerformanceCores() int { return 0 }
