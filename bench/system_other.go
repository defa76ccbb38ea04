//go:build !linux

package bench

import "runtime"

// These systems are not asked: 0 means unknown.

func peakMemory() int64 { return 0 }

func resetPeakMemory() {}

func availableMemory() int64 { return 0 }

// Processor is the model's name.
func Processor() string { return runtime.GOARCH }
