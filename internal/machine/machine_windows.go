package machine

import (
	"cmp"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

var (
	kernel32             = windows.NewLazySystemDLL("kernel32.dll")
	globalMemoryStatusEx = kernel32.NewProc("GlobalMemoryStatusEx")
	getProcessMemoryInfo = kernel32.NewProc("K32GetProcessMemoryInfo")
)

// memoryCounters is PROCESS_MEMORY_COUNTERS.
type memoryCounters struct {
	size, pageFaults                                         uint32
	peakWorkingSet, workingSet                               uintptr
	peakPagedPool, pagedPool, peakNonPagedPool, nonPagedPool uintptr
	pagefile, peakPagefile                                   uintptr
}

// PeakMemory is the most resident memory since the process began.
func PeakMemory() int64 {
	var counters memoryCounters
	counters.size = uint32(unsafe.Sizeof(counters))
	ok, _, _ := getProcessMemoryInfo.Call(uintptr(windows.CurrentProcess()), uintptr(unsafe.Pointer(&counters)),
		uintptr(counters.size))
	if ok == 0 {
		return 0
	}
	return int64(counters.peakWorkingSet)
}

// ResetPeakMemory does nothing: the mark is the process's own, which is never too low.
func ResetPeakMemory() {}

// memoryStatus is MEMORYSTATUSEX.
type memoryStatus struct {
	size, load                                                                           uint32
	total, available, totalPage, availablePage, totalVirtual, availableVirtual, extended uint64
}

// AvailableMemory is what the system can give: free memory, and no more than a process may still commit.
func AvailableMemory() int64 {
	var status memoryStatus
	status.size = uint32(unsafe.Sizeof(status))
	if ok, _, _ := globalMemoryStatusEx.Call(uintptr(unsafe.Pointer(&status))); ok == 0 {
		return 0
	}
	return int64(min(status.available, status.availablePage))
}

// Processor is the model's name as the registry has it.
func Processor() string {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, `HARDWARE\DESCRIPTION\System\CentralProcessor\0`,
		registry.QUERY_VALUE)
	if err != nil {
		return runtime.GOARCH
	}
	defer key.Close()
	name, _, _ := key.GetStringValue("ProcessorNameString")
	return cmp.Or(strings.TrimSpace(name), runtime.GOARCH)
}

// PerformanceCores is how many processors are of the fastest kind; 0, since this system is not asked.
func PerformanceCores() int { return 0 }
