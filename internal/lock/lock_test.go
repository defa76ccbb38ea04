package lock_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vggo/vggo/internal/lock"
)

// TestTake: one holds the lock at a time, the next has it as soon as it is let go, and nothing is left behind.
func TestTake(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	unlock, err := lock.Take(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Take(path); !errors.Is(err, lock.ErrHeld) {
		t.Errorf("a second one gets %v, want ErrHeld", err)
	}
	unlock()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock's file is left (%v)", err)
	}
	if unlock, err = lock.Take(path); err != nil {
		t.Fatalf("after it was let go: %v", err)
	}
	unlock()
	if _, err := lock.Take(filepath.Join(t.TempDir(), "no", "folder")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}

// TestTakenByOneOnly: of many that try at once, while locks come and go, never do two hold it.
func TestTakenByOneOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".lock")
	var holders, taken atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				unlock, err := lock.Take(path)
				if errors.Is(err, lock.ErrHeld) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if holders.Add(1) != 1 {
					t.Error("two hold the lock")
				}
				taken.Add(1)
				holders.Add(-1)
				unlock()
			}
		})
	}
	all.Wait()
	t.Logf("taken %d times", taken.Load())
}
