//go:build mpi && linux

package cluster_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vggo/vggo/cluster"
)

// jobEnv tells a test binary that mpirun starts what to do as a rank.
const jobEnv = "VGGO_TEST_JOB"

func TestMain(m *testing.M) {
	if name := os.Getenv(jobEnv); name != "" {
		timeout := 20 * time.Second
		if name == "stopped" {
			timeout = 2 * time.Second
		}
		g, err := cluster.Open(timeout)
		if err == nil {
			err = jobs[name](g)
			err = errors.Join(err, g.Close(err))
		}
		if err != nil {
			fmt.Printf("%s ends: %v\n", g.Name(g.Rank()), err)
			os.Exit(1)
		}
		fmt.Printf("rank %d is right\n", g.Rank())
		return
	}
	os.Exit(m.Run())
}

// jobs are what a rank does.
var jobs = map[string]func(g *cluster.Group) error{
	"use": func(g *cluster.Group) error {
		if g.Size() < 2 {
			return errors.New("alone")
		}
		if err := faults(); err != nil {
			return err
		}
		return useGroup(g)
	},
	"fails": func(g *cluster.Group) error {
		if g.Rank() == 1 {
			return errors.New("no space left on device")
		}
		g.Sum(make([]float32, 100_000))
		return g.Wait()
	},
	"stopped": func(g *cluster.Group) error {
		if g.Rank() == 1 {
			return syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		}
		g.Sum(make([]float32, 100_000))
		return g.Wait()
	},
}

// faults: Go still gets its own signals, which MPI's libraries like to take.
func faults() (err error) {
	caught := 0
	catch := func(do func()) {
		defer func() {
			if recover() != nil {
				caught++
			}
		}()
		do()
	}
	var none *int
	catch(func() { fmt.Println(*none) })
	file, err := os.CreateTemp("", "short")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := file.Truncate(1 << 16); err != nil {
		return err
	}
	mapped, err := syscall.Mmap(int(file.Fd()), 0, 1<<16, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	catch(func() { fmt.Println(mapped[40000]) })
	if caught != 2 {
		return fmt.Errorf("of two faults %d were caught", caught)
	}
	return nil
}

// launchers are those of Debian's packages openmpi-bin and mpich.
var launchers = []string{"mpirun.openmpi", "mpirun.mpich"}

// start runs a job on so many ranks, and returns what they print.
func start(t *testing.T, launcher string, n int, job string, env ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(launcher)
	if err != nil {
		t.Skipf("there is no %s: apt-get install openmpi-bin libopenmpi-dev mpich", launcher)
	}
	args := []string{"-n", fmt.Sprint(n)}
	if launcher == "mpirun.openmpi" {
		args = append(args, "--oversubscribe", "--bind-to", "none")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, append(args, program)...)
	cmd.Env = append(os.Environ(), "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", jobEnv+"="+job)
	cmd.Env = append(cmd.Env, env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, io.Writer(&out)
	err = cmd.Run()
	return out.String(), err
}

func TestMPI(t *testing.T) {
	for _, launcher := range launchers {
		for _, n := range []int{2, 3, 4} {
			t.Run(fmt.Sprintf("%s/%d", launcher, n), func(t *testing.T) {
				out, err := start(t, launcher, n, "use")
				if err != nil || strings.Count(out, "is right") != n {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

// TestMPIFaults: a job of which a rank fails, or is stopped, ends, and says which.
func TestMPIFaults(t *testing.T) {
	for _, launcher := range launchers {
		for job, want := range map[string]string{
			"fails":   ": no space left on device",
			"stopped": "was not heard from for 2s",
		} {
			t.Run(launcher+"/"+job, func(t *testing.T) {
				out, err := start(t, launcher, 3, job)
				if err == nil || !strings.Contains(out, "rank 1 on ") || !strings.Contains(out, want) {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

// TestWrongLibrary: the library of the other MPI sees one rank, and none at all is named.
func TestWrongLibrary(t *testing.T) {
	for launcher, other := range map[string]string{"mpirun.openmpi": "libmpich.so.12", "mpirun.mpich": "libmpi.so.40"} {
		for library, want := range map[string]string{other: "it is the library of another MPI",
			filepath.Join(t.TempDir(), "libmpi.so"): "cannot be used"} {
			out, err := start(t, launcher, 2, "use", "VGGO_MPI="+library)
			if err == nil || !strings.Contains(out, want) {
				t.Errorf("%s with %s: %v\n%s", launcher, library, err, out)
			}
		}
	}
}
