package cluster

import (
	"os"
	"strconv"
)

// Launch is what a launcher has told a process of its job.
type Launch struct {
	Launcher   string // "Open MPI's mpirun"
	Rank, Size int
	Local      int // ranks on this machine; 0 where it does not tell
}

// launchers are known by the environment that they give their processes.
var launchers = []struct{ name, rank, size, local string }{
	{openMPI, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"},
	{mpich, "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"}, // of its launcher hydra
}

const (
	openMPI = "Open MPI's mpirun"
	mpich   = "MPICH's mpirun"
)

// Launched tells which launcher has started this process as one of several. ok is false for a process by itself, by
// mpirun -n 1 too.
func Launched() (l Launch, ok bool) {
	for _, known := range launchers {
		size, err := strconv.Atoi(os.Getenv(known.size))
		if err != nil || size < 2 {
			continue
		}
		rank, err := strconv.Atoi(os.Getenv(known.rank))
		if err != nil || rank < 0 || rank >= size {
			continue
		}
		local, _ := strconv.Atoi(os.Getenv(known.local))
		return Launch{known.name, rank, size, max(local, 0)}, true
	}
	return Launch{}, false
}
