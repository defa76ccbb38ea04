package machine

import (
	"time"
	"unsafe"
)

var (
	queryPerformanceCounter   = kernel32.NewProc("QueryPerformanceCounter")
	queryPerformanceFrequency = kernel32.NewProc("QueryPerformanceFrequency")
	ticksPerSecond            = func() int64 {
		var ticks int64
		queryPerformanceFrequency.Call(uintptr(unsafe.Pointer(&ticks))) // which never fails, says Microsoft
		return max(ticks, 1)
	}()
)

// Now is the time since some moment, by a clock fine enough for a layer: package time's is read from what the system
// counts up at each of its interrupts, up to 15 ms apart.
func Now() time.Duration {
	var ticks int64
	queryPerformanceCounter.Call(uintptr(unsafe.Pointer(&ticks)))
	seconds, rest := ticks/ticksPerSecond, ticks%ticksPerSecond
	return time.Duration(seconds)*time.Second + time.Duration(rest*int64(time.Second)/ticksPerSecond)
}
