package kernel

import (
	"math"
	"testing"
	"testing/synctest"
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

// TestBestRate holds that threads of different speeds each count for what they do, and the best round for all: one that
// takes 3 ms for what the other does in 1 ms does not hold it back.
func TestBestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in whose time a pause takes what it should
		var calls [2]int
		began := time.Now()
		now := func() time.Duration { return time.Since(began) }
		rate := bestRate(2, 3, 12*time.Millisecond, now, func(thread, i int) {
			if calls[thread]++; thread == 1 {
				time.Sleep(3 * time.Millisecond)
			} else if calls[thread] <= 12 { // the first round is disturbed
				time.Sleep(2 * time.Millisecond)
			} else {
				time.Sleep(time.Millisecond)
			}
		})
		if want := 1e-6 + 1e-6/3; math.Abs(rate-want) > 1e-12 {
			t.Errorf("%v pieces per ns, want %v", rate, want)
		}
	})
}
