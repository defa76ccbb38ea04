//go:build unix

package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestTrainTerminated: SIGTERM, and a terminal that closes, save a run as Ctrl-C does, and a second trainer is refused
// meanwhile.
func TestTrainTerminated(t *testing.T) {
	if dir := os.Getenv("VGGO_TEST_TRAIN"); dir != "" {
		os.Args = []string{"vggo", "train", filepath.Join(dir, "data"), "--model", "8x8x1:8/4", "--batch", "16", "--epochs",
			"1e6", "--set", "checkpoint.every=1e6", "-o", filepath.Join(dir, "run")}
		os.Exit(interruptible())
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		if signal.Ignored(sig) {
			t.Logf("%v is ignored here, as under nohup, and so it is by what is started here", sig)
			continue
		}
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "data"), 0o777); err != nil {
			t.Fatal(err)
		}
		writeIDX(t, filepath.Join(dir, "data"), "train", 64, 4)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // which kills a run that a signal does not end
		defer cancel()
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestTrainTerminated$")
		cmd.Env = append(os.Environ(), "VGGO_TEST_TRAIN="+dir)
		var faults bytes.Buffer
		cmd.Stderr = &faults
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		metrics := filepath.Join(dir, "run", "metrics.jsonl")
		for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			if info, err := os.Stat(metrics); err == nil && info.Size() > 0 {
				break
			}
			if time.Since(start) > time.Minute {
				t.Fatal("the run takes no step")
			}
		}
		code, _, refused := vggo(t.Context(), "train", "--resume", filepath.Join(dir, "run"))
		if code != exitFailure || !strings.Contains(refused, "another process trains in") {
			t.Errorf("a second trainer: exit %d, %q", code, refused)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // its exit code is looked at
		saved, err := filepath.Glob(filepath.Join(dir, "run", "step-*.safetensors"))
		if cmd.ProcessState.ExitCode() != exitFailure || !strings.Contains(faults.String(), "interrupted after step") ||
			err != nil || len(saved) != 2 {
			t.Errorf("%v: exit %d, %q, saved %v (%v)", sig, cmd.ProcessState.ExitCode(), faults.String(), saved, err)
		}
	}
}
