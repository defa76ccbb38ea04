//go:build linux

// Command uneven measures whether cores of different speeds end together. It takes two processors, and from one of
// them a share of its time: a competitor of real-time priority works and rests in turns of a few hundred microseconds,
// so that to everybody else the processor is a slower one. VGG-16 runs forward on both, and the time is held against
// what the summed speeds of the two allow, with one slowed and, to tell what is not unevenness, with neither.
//
// Speeds are summed in two ways. Either processor alone has all of the memory's bandwidth, the shared cache and the
// power to itself, so those speeds do not add up on any machine: a step of one image streams 494 MB of fully connected
// weights. What both reach at once, each on a network of its own with weights of its own, is what the machine gives to
// work that never waits; the time beyond that is lost by dividing a step among the two. The first figure says what
// a second core is worth, the second whether its share was a fair one. Needs root, for the priority, and a machine that
// has nothing else to do.
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
	"sync"
	"sync/atomic"
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

// works is a processor with what it alone computes.
type works struct {
	processor int
	plan      *nn.Plan // on one thread
}

// times is what a step takes, in seconds.
type times struct {
	alone, atOnce [2]float64 // on either processor
	both          float64
}

// allow is the time on both over what two processors need together that would take such times by themselves.
func (t *times) allow(each [2]float64) float64 { return t.both * (1/each[0] + 1/each[1]) }

func (t *times) byAlone() float64  { return t.allow(t.alone) }
func (t *times) byAtOnce() float64 { return t.allow(t.atOnce) }

// here is what a step takes on the calling thread and on some processors.
func here(plan *nn.Plan, images *tensor.Tensor, on ...int) (seconds float64, err error) {
	if err := pin(on...); err != nil {
		return 0, err
	}
	for range 2 { // the first finds other caches than it leaves
		start := time.Now()
		if err := plan.Forward(images); err != nil {
			return 0, err
		}
		seconds = time.Since(start).Seconds()
	}
	return seconds, nil
}

// together is what a step takes on either processor while the other is at work too: the mean of its steps, but for the
// first and for one that the other did not see the end of.
func together(two [2]works, images *tensor.Tensor) (seconds [2]float64, err error) {
	var steps [2]atomic.Int64
	var group sync.WaitGroup
	var failed [2]error
	enough := func() bool { return steps[0].Load() >= 2 && steps[1].Load() >= 2 }
	for i, w := range two {
		group.Go(func() {
			runtime.LockOSThread() // for good: the thread, which is pinned, ends with this function
			failed[i] = pin(w.processor)
			var start time.Time
			for failed[i] == nil {
				if failed[i] = w.plan.Forward(images); failed[i] != nil || enough() {
					break
				}
				now := time.Now()
				if done := steps[i].Add(1); done == 1 {
					start = now
				} else {
					seconds[i] = now.Sub(start).Seconds() / float64(done-1)
				}
			}
			steps[i].Add(2) // if it failed, the other does not wait for it
		})
	}
	group.Wait()
	return seconds, errors.Join(failed[:]...)
}

func run(batch, rounds int, share float64, fast, slow int) error {
	runtime.GOMAXPROCS(2)
	runtime.LockOSThread()
	if err := pin(fast, slow); err != nil { // before others are started, which inherit it
		return err
	}
	two := [2]works{{processor: fast}, {processor: slow}}
	var both *nn.Plan
	for i := range two {
		placed, params, err := standin.VGG16()
		if err != nil {
			return err
		}
		if two[i].plan, err = nn.Compile(placed, params, nn.Options{Batch: batch, Threads: 1}); err != nil {
			return err
		}
		defer two[i].plan.Close()
		if i > 0 {
			continue
		}
		if both, err = nn.Compile(placed, params, nn.Options{Batch: batch, Threads: 2}); err != nil {
			return err
		}
		defer both.Close()
	}
	images := tensor.New(batch, 3, 224, 224)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range images.Data {
		images.Data[i] = float32(r.NormFloat64())
	}
	measure := func() (t times, err error) {
		for i, w := range two {
			if t.alone[i], err = here(w.plan, images, w.processor); err != nil {
				return t, err
			}
		}
		if t.both, err = here(both, images, fast, slow); err != nil {
			return t, err
		}
		t.atOnce, err = together(two, images)
		return t, err
	}
	var slowly, evenly []times
	for range rounds {
		var s times
		err := slowed(slow, share, func() (err error) { s, err = measure(); return err })
		if err != nil {
			return err
		}
		e, err := measure()
		if err != nil {
			return err
		}
		slowly, evenly = append(slowly, s), append(evenly, e)
	}
	fmt.Printf("batch %d, %d rounds, processors %d and %d\n", batch, rounds, fast, slow)
	tell(fmt.Sprintf("processor %d slowed", slow), slowly)
	tell("neither slowed", evenly)
	return nil
}

// tell prints the medians of all rounds.
func tell(what string, rounds []times) {
	of := func(pick func(*times) float64) (values []float64) {
		for i := range rounds {
			values = append(values, pick(&rounds[i]))
		}
		return values
	}
	ms := func(pick func(*times) float64) float64 { return 1e3 * median(of(pick)) }
	fmt.Printf("%s: alone %.1f and %.1f ms, at once %.1f and %.1f ms, both %.1f ms\n", what,
		ms(func(t *times) float64 { return t.alone[0] }), ms(func(t *times) float64 { return t.alone[1] }),
		ms(func(t *times) float64 { return t.atOnce[0] }), ms(func(t *times) float64 { return t.atOnce[1] }),
		ms(func(t *times) float64 { return t.both }))
	for _, by := range []struct {
		what  string
		ratio func(*times) float64
	}{{"alone", (*times).byAlone}, {"at once", (*times).byAtOnce}} {
		ratios := of(by.ratio)
		fmt.Printf("  %.3f times what the speeds %s allow (%.3f to %.3f)\n", median(ratios), by.what, slices.Min(ratios),
			slices.Max(ratios))
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
