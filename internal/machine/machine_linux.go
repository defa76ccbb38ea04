package machine

import (
	"bufio"
	"cmp"
	"io/fs"
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

// PerformanceCores is how many of the processors that the system counts are of the fastest kind; 0 where all are alike.
func PerformanceCores() int { return performanceCores(os.DirFS("/sys/devices")) }

// performanceCores looks for what Linux works out for cores of different kinds, Arm's and lately Intel's, for the cores
// that it counts apart on Intel's hybrids, and for the highest clock.
func performanceCores(devices fs.FS) int {
	if n := fastest(numbers(devices, "system/cpu/cpu[0-9]*/cpu_capacity")); n > 0 {
		return n
	}
	if list, err := fs.ReadFile(devices, "cpu_core/cpus"); err == nil {
		return listed(strings.TrimSpace(string(list)))
	}
	return fastest(numbers(devices, "system/cpu/cpu[0-9]*/cpufreq/cpuinfo_max_freq"))
}

// numbers are those in the files of a pattern, one in each.
func numbers(files fs.FS, pattern string) (found []int64) {
	names, _ := fs.Glob(files, pattern) // whose only error is a bad pattern
	for _, name := range names {
		text, _ := fs.ReadFile(files, name)
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil {
			found = append(found, n)
		}
	}
	return found
}

// listed counts the processors of a list as Linux writes it, "0-7,16"; 0 if it is none.
func listed(list string) (count int) {
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || to < from {
			return 0
		}
		count += to - from + 1
	}
	return count
}

// fastest counts the cores whose speed, in any unit, is at least three quarters of the highest: the clocks of cores
// that are alike differ less, those of performance and efficiency cores more. 0 if all are.
func fastest(speeds []int64) (count int) {
	highest := int64(0)
	for _, s := range speeds {
		highest = max(highest, s)
	}
	for _, s := range speeds {
		if 4*s >= 3*highest {
			count++
		}
	}
	if count == len(speeds) {
		return 0
	}
	return count
}
