package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/internal/printable"
)

// The peak of a process that times VGG-16 stays within what arch and the plan predict, plus slack. Each case runs in a
// process of its own, since the peak of one says nothing about the next.
func TestMemoryWithinPrediction(t *testing.T) {
	if os.Getenv("VGGO_MEMORY_CASE") != "" {
		memoryCase(t)
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a process's peak memory")
	}
	set, err := kernel.Active()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		batch int
		mode  Mode
	}{{1, Forward}, {1, ForwardBackward}, {32, Forward}, {32, ForwardBackward}} {
		t.Run(fmt.Sprintf("%s/batch=%d", c.mode, c.batch), func(t *testing.T) {
			if raceEnabled || c.batch > 1 && (testing.Short() || set.Name == "generic") {
				t.Skip("takes minutes under the race detector or on portable kernels, and seconds that -short saves")
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestMemoryWithinPrediction$", "-test.v")
			cmd.Env = append(os.Environ(), fmt.Sprintf("VGGO_MEMORY_CASE=%d %s", c.batch, c.mode))
			cmd.Stderr = os.Stderr
			pipe, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.ExtraFiles = []*os.File{write}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			write.Close()
			var r Result
			if err := json.NewDecoder(pipe).Decode(&r); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			t.Logf("predicted %s, peak %s", printable.Bytes(r.PredictedBytes), printable.Bytes(r.PeakBytes))
			if limit := r.PredictedBytes + 100e6; r.PeakBytes > limit {
				t.Errorf("peak %d bytes, predicted %d + 100 MB", r.PeakBytes, r.PredictedBytes)
			}
			if r.PeakBytes < r.PredictedBytes/2 {
				t.Errorf("peak %d bytes is less than half of the predicted %d: is it measured?", r.PeakBytes, r.PredictedBytes)
			}
		})
	}
}

// memoryCase runs one step and writes its Result to file 3.
func memoryCase(t *testing.T) {
	var c Config
	var mode Mode
	if _, err := fmt.Sscan(os.Getenv("VGGO_MEMORY_CASE"), &c.Batch, &mode); err != nil {
		t.Fatal(err)
	}
	net, err := arch.Builtin("vgg16")
	if err != nil {
		t.Fatal(err)
	}
	if c.Placed, err = net.Place(net.Input); err != nil {
		t.Fatal(err)
	}
	c.Steps = 1
	b, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Run(context.Background(), mode, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(os.NewFile(3, "result")).Encode(r); err != nil {
		t.Fatal(err)
	}
}
