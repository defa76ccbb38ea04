// Command coldstart measures what a user of the command line waits for: one picture, one process, from its start to its
// exit, with the weights in the page cache. It builds vggo, writes a VGG-16 of random weights (553 MB, kept between
// runs) and a picture, and runs vggo classify on them, with the flags after --.
//
//	go run ./benchmarks/coldstart
//	go run ./benchmarks/coldstart -runs 20 -- --low-memory
package main

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vggo/vggo/benchmarks/internal/standin"
	"github.com/vggo/vggo/internal/printable"
)

func main() {
	dir := flag.String("dir", filepath.Join(os.TempDir(), "vggo-coldstart"),
		"`folder` for the weights and the picture, which stay there")
	runs := flag.Int("runs", 11, "how often")
	picture := flag.String("picture", "", "`file` to classify (default: one of 640x480 pixels that is written)")
	flag.Parse()
	if err := run(*dir, *picture, *runs, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "coldstart:", err)
		os.Exit(1)
	}
}

// figures are what one process took.
type figures struct {
	wall, cpu        time.Duration
	private, largest int64 // bytes: the peak of its memory but mapped files, and with them
}

func run(dir, picture string, runs int, flags []string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	file := filepath.Join(dir, "vgg16.safetensors")
	if err := standin.Weights(file); err != nil {
		return err
	}
	if picture == "" {
		picture = filepath.Join(dir, "photo.jpg")
		if err := standin.Picture(picture); err != nil {
			return err
		}
	}
	vggo := filepath.Join(dir, "vggo")
	build := exec.Command("go", "build", "-o", vggo, "github.com/vggo/vggo/cmd/vggo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	args := append([]string{"classify", picture, "--model", "vgg16", "--weights", file}, flags...)
	var all []figures
	for i := range runs + 1 {
		f, err := once(vggo, args)
		if err != nil {
			return err
		}
		if i > 0 { // the first may read the disk
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b figures) int { return cmp.Compare(a.wall, b.wall) })
	median := all[len(all)/2]
	var private, largest int64
	for _, f := range all {
		private, largest = max(private, f.private), max(largest, f.largest)
	}
	fmt.Printf("%d runs: median %.3f s (%.3f to %.3f), %.2f s of processor time; memory: %s private, %s with "+
		"mapped files\n",
		runs, median.wall.Seconds(), all[0].wall.Seconds(), all[len(all)-1].wall.Seconds(), median.cpu.Seconds(),
		printable.Bytes(private), printable.Bytes(largest))
	return nil
}

// once runs one process and watches its memory.
func once(vggo string, args []string) (figures, error) {
	cmd := exec.Command(vggo, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	var f figures
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return f, err
	}
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)) // empty where there is no such thing
			f.private = max(f.private, kilobytes(status, "RssAnon:"))
			f.largest = max(f.largest, kilobytes(status, "VmHWM:"))
			select {
			case <-ended:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	err := cmd.Wait()
	f.wall = time.Since(start)
	close(ended)
	<-watched
	if err != nil {
		return f, fmt.Errorf("%w: %s", err, &stderr)
	}
	f.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return f, nil
}

// kilobytes is a line of /proc/PID/status, in bytes.
func kilobytes(status []byte, key string) int64 {
	_, rest, _ := strings.Cut(string(status), key)
	line, _, _ := strings.Cut(rest, "\n")
	n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(line), " kB"), 10, 64)
	return n << 10
}
