package cluster

import (
	"os"
	"runtime"
	"strconv"
	"strings"
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

// Threads is how many threads suit a rank: its share of this machine's cores, as far as it may use them. bound says
// that the launcher lets it use one of several alone.
func (l Launch) Threads() (threads int, bound bool) {
	may, online := runtime.NumCPU(), cores()
	return min(may, max(1, online/max(l.Local, 1))), may == 1 && online > 1
}

// cores are those of this machine, whichever a process may use.
func cores() int {
	text, err := os.ReadFile("/sys/devices/system/cpu/online") // 0-3,6
	if err != nil {
		return runtime.NumCPU()
	}
	n := 0
	for span := range strings.SplitSeq(strings.TrimSpace(string(text)), ",") {
		first, last, two := strings.Cut(span, "-")
		if !two {
			last = first
		}
		from, err := strconv.Atoi(first)
		to, failed := strconv.Atoi(last)
		if err != nil || failed != nil {
			return runtime.NumCPU()
		}
		n += max(0, to-from+1)
	}
	return max(n, 1)
}
