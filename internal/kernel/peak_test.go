package kernel

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestRoofs(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 256 MB a few times")
	}
	eachSet(t, func(t *testing.T, s *Set) {
		for _, threads := range []int{1, 3} {
			if peak := s.FMAPeak(threads); !(peak > 0) || math.IsInf(peak, 0) {
				t.Errorf("FMAPeak(%d) = %v", threads, peak)
			}
		}
		if bandwidth := s.ReadBandwidth(3); !(bandwidth > 0) || math.IsInf(bandwidth, 0) {
			t.Errorf("ReadBandwidth(3) = %v", bandwidth)
		}
	})
}

// TestBestRound holds that every thread works once a round and that a round lasts until the slowest is done.
func TestBestRound(t *testing.T) {
	const threads, rounds, pause = 3, 4, time.Millisecond
	var mu sync.Mutex
	var calls [threads]int
	best := bestRound(threads, rounds, func(thread int) {
		mu.Lock()
		calls[thread]++
		mu.Unlock()
		if thread == threads-1 {
			time.Sleep(pause)
		}
	})
	if slices.Max(calls[:]) != rounds || slices.Min(calls[:]) != rounds {
		t.Errorf("calls by thread: %v, want %d each", calls, rounds)
	}
	if best < pause {
		t.Errorf("best round took %v, less than its slowest thread's %v", best, pause)
	}
}
