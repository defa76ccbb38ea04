//go:build linux

// Command uneven measures whether cores of different speeds end together. It takes two processors, and from one of
// them a share of its time: a competitor of real-time priority works and rests in turns of a few hundred microseconds,
// so that to everybody else the processor is a slower one. VGG-16 runs forward on either processor alone and on both,
// in turn; the time on both is held against what the summed speeds of the two allow. Needs root, for the priority, and
// a machine that has nothing else to do.
//
//	go run ./benchmarks/uneven
//	go run ./benchmarks/uneven -batch 32 -rounds 5 -share 0.3
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vggo/vggo/benchmarks/internal/standin"
	"github.com/vggo/vggo/nn"
	"github.com/vggo/vggo/tensor"
)

func main() {
	batch := flag.Int("batch", 1, "images of a step")
	rounds := flag.Int("rounds", 11, "how often each is measured")
	share := flag.Float64("share", 0.5, "of the slow processor's time that the competitor takes")
	fast := flag.Int("fast", 0, "processor that stays as it is")
	slow := flag.Int("slow", 1, "processor that is slowed")
	compete := flag.Bool("compete", false, "be the competitor: what this command starts itself as")
	flag.Parse()
	work := func() error { return run(*batch, *rounds, *share, *fast, *slow) }
	if *compete {
		work = func() error { return competitor(*slow, *share) }
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, "uneven:", err)
		os.Exit(1)
	}
}

// period is that of the competitor's turns: short beside any task, so that none meets a whole turn more than another.
const period = 200 * time.Microsecond

// competitor works for a share of each period on a processor, before everybody else, until its input ends.
func competitor(processor int, share float64) error {
	runtime.LockOSThread()
	if err := pin(processor); err != nil {
		return err
	}
	attributes := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 10}
	if err := unix.SchedSetAttr(0, &attributes, 0); err != nil {
		return fmt.Errorf("real-time priority: %w", err)
	}
	fmt.Println("ready")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for begin := time.Now(); ; {
		for time.Since(begin) < time.Duration(share*float64(period)) {
		}
		rest := unix.NsecToTimespec((period - time.Since(begin)).Nanoseconds())
		if err := unix.Nanosleep(&rest, nil); err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EINVAL) {
			return err
		}
		begin = time.Now()
	}
}

// pin keeps the calling thread on some processors.
func pin(processors ...int) error {
	var set unix.CPUSet
	for _, p := range processors {
		set.Set(p)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("processors %v: %w", processors, err)
	}
	return nil
}

// slowed calls do while the competitor runs.
func slowed(processor int, share float64, do func() error) error {
	self := exec.Command("/proc/self/exe", "-compete", fmt.Sprint("-slow=", processor), fmt.Sprint("-share=", share))
	self.Stderr = os.Stderr
	stdin, err := self.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := self.StdoutPipe()
	if err != nil {
		return err
	}
	if err := self.Start(); err != nil {
		return err
	}
	if _, err = bufio.NewReader(stdout).ReadString('\n'); err == nil {
		err = do()
	}
	stdin.Close()
	return errors.Join(err, self.Wait())
}

func run(batch, rounds int, share float64, fast, slow int) error {
	runtime.GOMAXPROCS(2)
	runtime.LockOSThread()
	both := []int{fast, slow}
	if err := pin(both...); err != nil { // before others are started, which inherit it
		return err
	}
	placed, params, err := standin.VGG16()
	if err != nil {
		return err
	}
	images := tensor.New(batch, placed.Input.C, placed.Input.H, placed.Input.W)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range images.Data {
		images.Data[i] = float32(r.NormFloat64())
	}
	plans := map[int]*nn.Plan{}
	for _, threads := range []int{1, 2} {
		plan, err := nn.Compile(placed, params, nn.Options{Batch: batch, Threads: threads})
		if err != nil {
			return err
		}
		defer plan.Close()
		plans[threads] = plan
	}
	step := func(threads int, on ...int) (seconds float64, err error) {
		if err := pin(on...); err != nil {
			return 0, err
		}
		for range 2 { // the first finds other caches than it leaves
			start := time.Now()
			if err := plans[threads].Forward(images); err != nil {
				return 0, err
			}
			seconds = time.Since(start).Seconds()
		}
		return seconds, pin(both...)
	}
	var alone, slowly, together, even, ratios, evenly []float64
	for range rounds {
		var a, s, t, e float64
		err := slowed(slow, share, func() (err error) {
			if s, err = step(1, slow); err == nil {
				t, err = step(2, both...)
			}
			return err
		})
		if err != nil {
			return err
		}
		if a, err = step(1, fast); err != nil {
			return err
		}
		if e, err = step(2, both...); err != nil {
			return err
		}
		alone, slowly, together, even = append(alone, a), append(slowly, s), append(together, t), append(even, e)
		ratios, evenly = append(ratios, t*(1/a+1/s)), append(evenly, 2*e/a)
	}
	fmt.Printf("batch %d, %d rounds; by round %.3f times what the speeds allow (%.3f to %.3f), not slowed %.3f times\n",
		batch, rounds, median(ratios), slices.Min(ratios), slices.Max(ratios), median(evenly))
	for _, of := range []struct {
		what string
		pick func([]float64) float64
	}{{"medians", median}, {"shortest, least disturbed", slices.Min[[]float64]}} {
		a, s, t, e := of.pick(alone), of.pick(slowly), of.pick(together), of.pick(even)
		fmt.Printf("%s: processor %d alone %.1f ms, processor %d slowed %.1f ms, both %.1f ms: %.3f times what they allow; "+
			"not slowed both %.1f ms, %.3f times half of one's\n", of.what, fast, 1e3*a, slow, 1e3*s, 1e3*t, t*(1/a+1/s),
			1e3*e, 2*e/a)
	}
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
