//go:build linux || darwin || windows

package machine

import "testing"

// TestTold: the system tells what it is asked, in bytes: a process takes at least a megabyte, and finds one.
func TestTold(t *testing.T) {
	if peak := PeakMemory(); peak < 1<<20 || peak > 1<<50 {
		t.Errorf("peak memory %d", peak)
	}
	if available := AvailableMemory(); available < 1<<20 || available > 1<<50 {
		t.Errorf("available memory %d", available)
	}
	if Processor() == "" {
		t.Error("the processor has no name")
	}
}

// TestNow: the clock goes on, and never back.
func TestNow(t *testing.T) {
	begin := Now()
	for last := begin; last == begin; {
		now := Now()
		if now < last {
			t.Fatalf("%v after %v", now, last)
		}
		last = now
	}
}
