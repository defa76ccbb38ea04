package machine

import (
	"bufio"
	"cmp"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// field returns the value of a "name: value" line of a file under /proc; empty if there is none.
func field(file, name string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// kilobytes reads "123 kB" as bytes, 0 if it is none.
func kilobytes(value string) int64 {
	n, err := strconv.ParseInt(strings.TrimSuffix(value, " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// PeakMemory is the most resident memory since ResetPeakMemory.
func PeakMemory() int64 { return kilobytes(field("/proc/self/status", "VmHWM")) }

// ResetPeakMemory starts the high-water mark afresh (proc(5), clear_refs). Where that is forbidden the mark is the
// process's own, which is never too low.
func ResetPeakMemory() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// AvailableMemory is what the system can give, and no more than a container's limit.
func AvailableMemory() int64 {
	available := kilobytes(field("/proc/meminfo", "MemAvailable"))
	// cgroup v2, v1
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, _ := os.ReadFile(file)
		if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil { // "max" is none
			available = min(available, limit)
		}
	}
	return available
}

// Processor is the model's name, which Arm's /proc/cpuinfo does not have.
func Processor() string { return cmp.Or(field("/proc/cpuinfo", "model name"), runtime.GOARCH) }
