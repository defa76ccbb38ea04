package main

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vggo/vggo/cluster"
	"github.com/vggo/vggo/train"
)

// rankTimeout is how long nothing may be heard of a rank, where nothing else is said.
const rankTimeout = time.Minute

// decodedBytes of pictures are kept by the ranks of a machine together: train's own bound for one process.
const decodedBytes = 1 << 30

// asRank calls do as one rank of the job that a launcher has started this process in, or as a process by itself.
// Rank 0 speaks for all; the others say what is wrong with themselves.
// threads, where they are 0, become the rank's share of its machine's.
func asRank(threads *int, timeout time.Duration, out, faults io.Writer,
	do func(group *cluster.Group, out, faults io.Writer) error) error {
	group, err := cluster.Open(timeout)
	if err != nil {
		if launch, _ := cluster.Launched(); launch.Rank > 0 {
			return errSaid
		}
		return hintLaunch(err)
	}
	if group == nil {
		return do(nil, out, faults)
	}
	launch, _ := cluster.Launched()
	share, bound := launch.Threads()
	*threads = cmp.Or(*threads, share)
	if bound && group.Rank() == 0 {
		fmt.Fprintf(faults, "vggo: %s lets each rank use one core alone\nhint: mpirun --bind-to none lets them use all\n",
			launch.Launcher)
	}
	if group.Rank() > 0 {
		out, faults = io.Discard, io.Discard
	} else {
		fmt.Fprintf(out, "%d ranks, threads of each: %d\n", group.Size(), *threads)
	}
	err = do(group, out, faults)
	return spoken(group, errors.Join(err, group.Close(err)))
}

// spoken leaves an error to the rank that says it for all.
func spoken(group *cluster.Group, err error) error {
	var of *cluster.RankError
	speaker := 0
	switch {
	case errors.As(err, &of):
		if of.Rank == 0 && of.Text == "" { // it does not answer
			speaker = 1
		}
		err = hint(err, "mpirun -n N vggo train --resume goes on from the last checkpoint")
	case err != nil && !cluster.IsAgreed(err) && group.Rank() > 0:
		return fmt.Errorf("%s: %w", group.Name(group.Rank()), err)
	}
	if err != nil && group.Rank() != speaker {
		return errSaid
	}
	return err
}

// errSaid is a failure that another process tells of.
var errSaid = errors.New("another rank says why")

// hintLaunch adds remedies to what cluster.Open says.
func hintLaunch(err error) error {
	var library *cluster.LibraryError
	switch {
	case errors.As(err, new(*cluster.NoMPIError)):
		return hint(err, "CGO_ENABLED=0 go install -tags mpi github.com/vggo/vggo/cmd/vggo@latest builds one with MPI; "+
			"without mpirun one process trains")
	case errors.As(err, &library):
		return hint(err, "VGGO_MPI=/path/to/libmpi.so names the library of the mpirun in use; Debian's are in "+
			"libopenmpi3 and libmpich12")
	}
	return err
}

// hintRanks says what would do where a batch cannot be shared.
func hintRanks(err error, r train.Recipe) error {
	var of *train.RanksError
	if !errors.As(err, &of) {
		return err
	}
	var numbers []string
	for n := 2; n <= of.Of && len(numbers) < 6; n++ {
		if of.Of%n == 0 {
			numbers = append(numbers, fmt.Sprint(n))
		}
	}
	remedy := "mpirun -n " + strings.Join(numbers, ", ") + " can"
	if passes := max(r.Accumulate, 1); r.Parts == 0 && of.Of > of.Ranks {
		remedy += fmt.Sprintf("; so can these with --batch %d", of.Of/of.Ranks*of.Ranks*passes)
	}
	return hint(err, remedy)
}

// buildSum tells programs apart, those too that were built from files that had changed.
var buildSum = sync.OnceValue(func() string {
	b := currentBuild()
	name := strings.TrimSpace(b.Version + " " + b.Revision)
	path, err := os.Executable()
	if err != nil {
		return name
	}
	file, err := os.Open(path)
	if err != nil {
		return name
	}
	defer file.Close()
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	if _, err := io.Copy(h, file); err != nil {
		return name
	}
	return fmt.Sprintf("%s, crc32c %08x", name, h.Sum32())
})
