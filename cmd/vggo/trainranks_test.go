//go:build !mpi || !linux

package main

import (
	"strings"
	"testing"
)

// TestRanksWithoutMPI: a build without MPI does not train as many networks as mpirun starts processes.
func TestRanksWithoutMPI(t *testing.T) {
	for _, env := range [][2]string{{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"}, {"PMI_SIZE", "PMI_RANK"}} {
		t.Run(env[0], func(t *testing.T) {
			t.Setenv(env[0], "2")
			t.Setenv(env[1], "0")
			code, _, stderr := vggo(t.Context(), "train", t.TempDir(), "--model", "8x8x1:8/4")
			if code != exitFailure || !strings.Contains(stderr, "was built without MPI") ||
				!strings.Contains(stderr, "-tags mpi") {
				t.Errorf("exit %d: %s", code, stderr)
			}
			t.Setenv(env[1], "1")
			if code, _, stderr := vggo(t.Context(), "train", t.TempDir(), "--model", "8x8x1:8/4"); code != exitFailure ||
				stderr != "" {
				t.Errorf("the other rank says it again: exit %d: %s", code, stderr)
			}
		})
	}
}
