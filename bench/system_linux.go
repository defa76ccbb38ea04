package bench

import (
	"bufio"
	"os"
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

// peakMemory is the most resident memory since resetPeakMemory.
func peakMemory() int64 { return kilobytes(field("/proc/self/status", "VmHWM")) }

// resetPeakMemory starts the high-water mark afresh (proc(5), clear_refs). Where that is forbidden the mark is the
// process's own, which is never too low.
func resetPeakMemory() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

func availableMemory() int64 { return kilobytes(field("/proc/meminfo", "MemAvailable")) }

func processor() string { return field("/proc/cpuinfo", "model name") }
