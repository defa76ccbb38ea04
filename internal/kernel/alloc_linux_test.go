package kernel

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// TestAdviseHuge reads back from the system that it took the advice, whose errors Alloc drops.
func TestAdviseHuge(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		t.Skip("this Linux has no huge pages:", err)
	}
	s := Alloc(2 * hugePage / 4)
	page := uintptr(unsafe.Pointer(&hugePages(s)[0]))
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	defer maps.Close()
	inside := false
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to uintptr
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x", &from, &to); n == 2 {
			inside = from <= page && page < to
		}
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok && inside {
			if !slices.Contains(strings.Fields(flags), "hg") {
				t.Errorf("a huge page inside Alloc's memory has flags%s, without hg", flags)
			}
			return
		}
	}
	t.Error("Alloc's memory is not in the process's map")
}
