package cluster

import (
	"fmt"
	"time"
)

// RankError is why a job ends: a rank that has failed, or that was not heard from.
type RankError struct {
	Rank int
	Name string        // "rank 3 on node7"
	Text string        // what it said of itself; empty where it said nothing
	For  time.Duration // how long it was not heard from, where it said nothing
}

func (e *RankError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("%s was not heard from for %v: it hangs, or the network between is cut", e.Name, e.For)
	}
	return fmt.Sprintf("%s has failed: %s", e.Name, e.Text)
}

// NoMPIError is a launcher that has started several processes of a build that cannot speak with them.
type NoMPIError struct{ Launch Launch }

func (e *NoMPIError) Error() string {
	return fmt.Sprintf("%s has started this as rank %d of %d, and this vggo was built without MPI: %[3]d processes would "+
		"train %[3]d networks", e.Launch.Launcher, e.Launch.Rank, e.Launch.Size)
}

// LibraryError is an MPI library that cannot be loaded, or that is not the launcher's.
type LibraryError struct {
	Launch  Launch
	Library string
	Err     error // of loading; nil where it sees other ranks than the launcher has started
	Size    int   // the ranks that it sees
}

func (e *LibraryError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s has started this, and its library cannot be used: %v", e.Launch.Launcher, e.Err)
	}
	return fmt.Sprintf("%s has started %d processes, of which %s sees %d: it is the library of another MPI",
		e.Launch.Launcher, e.Launch.Size, e.Library, e.Size)
}

func (e *LibraryError) Unwrap() error { return e.Err }
