//go:build mpi && linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vggo/vggo/cluster"
)

// The environment of a test binary that mpirun starts: its command line, one line each, what one rank has instead, and
// a folder in which each rank leaves its process number.
const (
	rankLine  = "VGGO_TEST_RANK_LINE"
	otherLine = "VGGO_TEST_OTHER_LINE"
	rankPIDs  = "VGGO_TEST_RANK_PIDS"
)

// dropped is a network with batch norm and dropout.
const dropped = `name: dropped
input: 8x8x1
layers:
  - {name: conv1, op: conv, out: 18, kernel: 3, pad: 1}
  - {name: bn1, op: batchnorm}
  - {name: relu1, op: relu}
  - {name: pool1, op: maxpool, kernel: 2, stride: 2}
  - {name: flatten, op: flatten}
  - {name: drop2, op: dropout, keep: 0.5}
  - {name: fc2, op: linear, out: 30}
  - {name: bn2, op: batchnorm}
  - {name: relu2, op: relu}
  - {name: fc3, op: linear, out: 4}
`

// TestRankProcess is what mpirun starts.
func TestRankProcess(t *testing.T) {
	line := os.Getenv(rankLine)
	if line == "" {
		t.Skip("started by the tests of ranks")
	}
	launch, _ := cluster.Launched()
	if other := os.Getenv(otherLine); other != "" && launch.Rank == 1 {
		line = other
	}
	pid := filepath.Join(os.Getenv(rankPIDs), strconv.Itoa(launch.Rank))
	if err := os.WriteFile(pid, []byte(strconv.Itoa(os.Getpid())), 0o666); err != nil {
		t.Fatal(err)
	}
	os.Args = append([]string{"vggo"}, strings.Split(line, "\n")...)
	os.Exit(interruptible())
}

// job is vggo on several ranks.
type job struct {
	*exec.Cmd
	out  bytes.Buffer
	pids string
}

// startRanks starts vggo on n ranks, or by itself without a launcher. other, if not nil, is what rank 1 is told.
func startRanks(t *testing.T, launcher string, n int, args, other []string) *job {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := []string{program, "-test.run=^TestRankProcess$"}
	if launcher != "" {
		path, err := exec.LookPath(launcher)
		if err != nil {
			t.Skipf("there is no %s: apt-get install openmpi-bin libopenmpi-dev mpich", launcher)
		}
		how := []string{path, "-n", fmt.Sprint(n)}
		if launcher == "mpirun.openmpi" {
			how = append(how, "--oversubscribe", "--bind-to", "none")
		}
		run = append(how, run...)
	}
	j := &job{Cmd: exec.CommandContext(t.Context(), run[0], run[1:]...), pids: t.TempDir()}
	j.Env = append(os.Environ(), "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", rankPIDs+"="+j.pids,
		rankLine+"="+strings.Join(args, "\n"), otherLine+"="+strings.Join(other, "\n"))
	j.Stdout, j.Stderr = &j.out, &j.out
	j.WaitDelay = 20 * time.Second
	if err := j.Start(); err != nil {
		t.Fatal(err)
	}
	return j
}

// ends waits for a job and holds whether it succeeds.
func (j *job) ends(t *testing.T, well bool) {
	t.Helper()
	if err := j.Wait(); (err == nil) != well {
		t.Fatalf("%v\n%s", err, &j.out)
	}
}

// signal sends a signal to a rank.
func (j *job) signal(t *testing.T, rank int, sig syscall.Signal) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(j.pids, strconv.Itoa(rank)))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}

// until waits for a run to have taken steps.
func (j *job) until(t *testing.T, folder string) {
	t.Helper()
	for range 3000 {
		if list, _ := filepath.Glob(filepath.Join(folder, "step-*[1-9]*.safetensors")); len(list) > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the run saves nothing")
}

// ranksData is a folder with data and a network, and a command line to train it in so many epochs of two steps.
func ranksData(t *testing.T, epochs int) (dir string, line func(folder string) []string) {
	t.Helper()
	dir = t.TempDir()
	data, model := filepath.Join(dir, "data"), filepath.Join(dir, "dropped.yaml")
	if err := errors.Join(os.Mkdir(data, 0o777), os.WriteFile(model, []byte(dropped), 0o666)); err != nil {
		t.Fatal(err)
	}
	writeIDX(t, data, "train", 80, 4)
	return dir, func(folder string) []string {
		return []string{"train", data, "--model", model, "--batch", "32", "--epochs", fmt.Sprint(epochs), "--set",
			"hold_out=16", "--set", "parts=8", "--set", "validate=5", "--set", "checkpoint.every=10", "-o", folder,
			"--rank-timeout", "3s"}
	}
}

func sameFile(t *testing.T, what, a, b string) {
	t.Helper()
	want, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: other bits", what)
	}
}

var mpiLaunchers = []string{"mpirun.openmpi", "mpirun.mpich"}

// TestRanksOfMPI: ranks of both MPIs train to the bits of one process with the same parts.
func TestRanksOfMPI(t *testing.T) {
	dir, line := ranksData(t, 10)
	one := filepath.Join(dir, "one")
	startRanks(t, "", 1, line(one), nil).ends(t, true)
	for _, launcher := range mpiLaunchers {
		for _, n := range []int{2, 4} {
			folder := filepath.Join(dir, fmt.Sprint(launcher, n))
			startRanks(t, launcher, n, line(folder), nil).ends(t, true)
			sameFile(t, fmt.Sprint(launcher, n), filepath.Join(one, "model.safetensors"),
				filepath.Join(folder, "model.safetensors"))
		}
	}
}

// TestRanksDisturbed: ranks that are killed, stopped, or told to end in the midst of a run: the job ends, leaves
// nothing half written, and goes on to the bits of a run that nobody disturbed.
func TestRanksDisturbed(t *testing.T) {
	dir, line := ranksData(t, 400)
	one := filepath.Join(dir, "one")
	startRanks(t, "", 1, line(one), nil).ends(t, true)
	r := rand.New(rand.NewPCG(rand.Uint64(), 1))
	for _, launcher := range mpiLaunchers {
		for name, c := range map[string]struct {
			disturb func(j *job)
			says    string
			mayBeOK bool // MPICH's mpirun ends with 0 if the ranks it interrupts have saved before it gives them up
			mayEnd  bool // mpirun gives the ranks time, in which a quick machine comes to the end of the run
		}{
			"killed":      {func(j *job) { j.signal(t, r.IntN(2), syscall.SIGKILL) }, "", false, false},
			"stopped":     {func(j *job) { j.signal(t, 1, syscall.SIGSTOP) }, "was not heard from for 3s", false, false},
			"told to end": {func(j *job) { j.signal(t, 1, syscall.SIGTERM) }, "interrupted after step", false, false},
			"interrupted": {func(j *job) {
				if err := j.Process.Signal(os.Interrupt); err != nil {
					t.Fatal(err)
				}
			}, "", launcher == "mpirun.mpich", true},
		} {
			t.Run(launcher+"/"+name, func(t *testing.T) {
				folder := filepath.Join(t.TempDir(), "run")
				j := startRanks(t, launcher, 2, line(folder), nil)
				j.until(t, folder)
				time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
				c.disturb(j)
				begun := time.Now()
				if err := j.Wait(); err == nil && !c.mayBeOK {
					t.Fatalf("it ended as if nothing had happened:\n%s", &j.out)
				}
				t.Logf("ended after %v", time.Since(begun).Round(10*time.Millisecond))
				if !strings.Contains(j.out.String(), c.says) {
					t.Errorf("it does not say %q:\n%s", c.says, &j.out)
				}
				j = startRanks(t, launcher, 2, []string{"train", "--resume", folder}, nil)
				j.ends(t, true)
				if !strings.Contains(j.out.String(), "goes on after step") &&
					!(c.mayEnd && strings.Contains(j.out.String(), "is finished")) {
					t.Errorf("%s", &j.out)
				}
				sameFile(t, name, filepath.Join(one, "model.safetensors"), filepath.Join(folder, "model.safetensors"))
				if left, _ := filepath.Glob(filepath.Join(folder, "*.partial-*")); left != nil {
					t.Errorf("%v is left", left)
				}
			})
		}
	}
}

// TestRanksBench: bench on several ranks tells what the sums of their gradients take, once.
func TestRanksBench(t *testing.T) {
	for _, launcher := range mpiLaunchers {
		j := startRanks(t, launcher, 2, []string{"bench", "--mode", "train", "--model", "tinyvgg", "--batch", "8",
			"--steps", "2", "--burn-in", "1"}, nil)
		j.ends(t, true)
		for _, want := range []string{"2 ranks, threads of each: ", "communication exposed: ", "communication hidden: "} {
			if n := strings.Count(j.out.String(), want); n != 1 {
				t.Errorf("%s: %q is said %d times:\n%s", launcher, want, n, &j.out)
			}
		}
	}
}

// TestRanksRefusedByName: a rank with other data is named once, by rank 0, and nothing is left.
func TestRanksRefusedByName(t *testing.T) {
	dir, line := ranksData(t, 10)
	writeIDX(t, t.TempDir(), "train", 80, 4)
	other := filepath.Join(dir, "other")
	if err := os.Mkdir(other, 0o777); err != nil {
		t.Fatal(err)
	}
	writeIDX(t, other, "train", 96, 4)
	for _, launcher := range mpiLaunchers {
		folder := filepath.Join(dir, "run")
		args := line(folder)
		changed := append([]string{"train", other}, args[2:]...)
		j := startRanks(t, launcher, 2, args, changed)
		j.ends(t, false)
		if n := strings.Count(j.out.String(), "has another training set than rank 0: 80 samples"); n != 1 {
			t.Errorf("%s: said %d times\n%s", launcher, n, &j.out)
		}
		if _, err := os.Stat(folder); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %s is left (%v)", launcher, folder, err)
		}
	}
}
