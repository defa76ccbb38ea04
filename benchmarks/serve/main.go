// Command serve measures vggo serve with VGG-16: images a second by tensors as bytes and by JPEGs, beside vggo bench at
// the same batch size, what decoding takes of it, and how soon the server is ready after kill -9. It builds vggo and
// writes a VGG-16 of random weights (553 MB, kept between runs). Its clients are a process of their own, whose
// processor time is told apart.
//
//	go run ./benchmarks/serve
//	go run ./benchmarks/serve -batch 16 -for 60s
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/vggo/vggo/benchmarks/internal/standin"
)

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", filepath.Join(os.TempDir(), "vggo-coldstart"),
		"`folder` for the weights, which stay there; the one of benchmarks/coldstart")
	flag.IntVar(&o.batch, "batch", 8, "images computed at once")
	flag.DurationVar(&o.length, "for", 20*time.Second, "how long each measurement lasts")
	flag.IntVar(&o.steps, "steps", 20, "steps of vggo bench")
	flag.StringVar(&o.picture, "picture", "", "`file` of a JPEG (default: one of 640x480 pixels that is written)")
	clients := flag.String("clients", "", "internal: be the clients, as this JSON says")
	flag.Parse()
	var err error
	if *clients != "" {
		err = beClients(*clients, os.Stdout)
	} else {
		err = o.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

type options struct {
	dir, picture string
	batch, steps int
	length       time.Duration
	vggo         string
}

func (o *options) run() error {
	if err := os.MkdirAll(o.dir, 0o777); err != nil {
		return err
	}
	weights := filepath.Join(o.dir, "vgg16.safetensors")
	if err := standin.Weights(weights); err != nil {
		return err
	}
	if o.picture == "" {
		o.picture = filepath.Join(o.dir, "photo.jpg")
		if err := standin.Picture(o.picture); err != nil {
			return err
		}
	}
	o.vggo = filepath.Join(o.dir, "vggo")
	if runtime.GOOS == "windows" {
		o.vggo += ".exe"
	}
	build := exec.Command("go", "build", "-o", o.vggo, "github.com/vggo/vggo/cmd/vggo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}

	bench, machine, err := o.bench()
	if err != nil {
		return err
	}
	fmt.Printf("%s\nvggo bench, forward, batch %d: %.2f images/s\n\n", machine, o.batch, bench)

	s, took, err := o.serve(weights)
	if err != nil {
		return err
	}
	defer func() { s.kill() }()
	fmt.Printf("first start, ready after %.2f s\n", took.Seconds())
	for i := range 3 {
		s.kill()
		if s, took, err = o.serve(weights); err != nil {
			return err
		}
		fmt.Printf("kill -9 and start %d, ready after %.2f s\n", i+1, took.Seconds())
	}
	decode, err := o.alone(s)
	if err != nil {
		return err
	}
	fmt.Printf("\n%-24s images/s  of bench  decoding  server CPU  clients' CPU  memory\n", "")
	for _, l := range []load{
		{Kind: "tensors", Images: o.batch, Clients: 3},
		{Kind: "tensors", Images: 1, Clients: 3 * o.batch},
		{Kind: "jpeg", Images: 1, Clients: 3 * o.batch},
	} {
		l.URL, l.Picture, l.For = s.url, o.picture, o.length
		if err := o.measure(s, l, bench, decode); err != nil {
			return err
		}
	}
	return nil
}

// bench asks vggo bench for images a second.
func (o *options) bench() (imagesPerSecond float64, machine string, err error) {
	cmd := exec.Command(o.vggo, "bench", "--model", "vgg16", "--mode", "forward", "--batch", strconv.Itoa(o.batch),
		"--steps", strconv.Itoa(o.steps), "--json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, "", fmt.Errorf("vggo bench: %w: %s", err, &stderr)
	}
	var told struct {
		Machine struct {
			Processor string `json:"processor"`
			Threads   int    `json:"threads"`
			Set       string `json:"kernel_set"`
		} `json:"machine"`
		Results []struct {
			ImagesPerSecond float64 `json:"images_per_second"`
		} `json:"results"`
	}
	if err := json.Unmarshal(out, &told); err != nil {
		return 0, "", err
	}
	if len(told.Results) != 1 || told.Results[0].ImagesPerSecond <= 0 {
		return 0, "", fmt.Errorf("vggo bench --json prints %s", out)
	}
	return told.Results[0].ImagesPerSecond, fmt.Sprintf("%s, %d threads, kernel set %s", told.Machine.Processor,
		told.Machine.Threads, told.Machine.Set), nil
}

// server is a vggo serve.
type server struct {
	cmd *exec.Cmd
	url string
}

func (s *server) kill() {
	if s != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
}

// serve starts a server and waits until it is ready.
func (o *options) serve(weights string) (*server, time.Duration, error) {
	start := time.Now()
	s := &server{cmd: exec.Command(o.vggo, "serve", "--model", "vgg16", "--weights", weights, "--addr", "127.0.0.1:0",
		"--batch", strconv.Itoa(o.batch), "--queue", strconv.Itoa(8*o.batch))}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, 0, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, 0, err
	}
	log := bufio.NewScanner(stderr)
	for log.Scan() {
		var line struct{ Msg, Address string }
		if json.Unmarshal(log.Bytes(), &line) != nil || line.Msg != "ready" {
			continue
		}
		s.url = "http://" + line.Address
		answer, err := http.Get(s.url + "/v2/health/ready")
		if err != nil {
			s.kill()
			return nil, 0, err
		}
		answer.Body.Close()
		took := time.Since(start)
		go io.Copy(io.Discard, stderr)
		if answer.StatusCode != http.StatusOK {
			s.kill()
			return nil, 0, fmt.Errorf("ready is %s", answer.Status)
		}
		return s, took, nil
	}
	s.kill()
	return nil, 0, errors.New("vggo serve ended before it was ready")
}

// metrics reads figures of the server.
func (s *server) metrics(names ...string) ([]float64, error) {
	answer, err := http.Get(s.url + "/metrics")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	values := make([]float64, len(names))
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		for i := range names {
			if name == names[i] {
				if values[i], err = strconv.ParseFloat(value, 64); err != nil {
					return nil, err
				}
			}
		}
	}
	return values, nil
}

// measure runs clients in a process of their own. decode is what decoding a picture takes when nothing else runs: under
// load its time would hold that of whatever ran in between.
func (o *options) measure(s *server, l load, bench, decode float64) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	names := []string{"process_cpu_seconds_total", "process_resident_memory_bytes"}
	before, err := s.metrics(names...)
	if err != nil {
		return err
	}
	clients := exec.Command(self, "-clients", string(text))
	var stderr bytes.Buffer
	clients.Stderr = &stderr
	out, err := clients.Output()
	if err != nil {
		return fmt.Errorf("the clients: %w: %s", err, &stderr)
	}
	after, err := s.metrics(names...)
	if err != nil {
		return err
	}
	var got outcome
	if err := json.Unmarshal(out, &got); err != nil {
		return err
	}
	rate := float64(got.Images) / got.Seconds
	cpu := clients.ProcessState.UserTime() + clients.ProcessState.SystemTime()
	share := "        "
	if l.Kind == "jpeg" {
		share = fmt.Sprintf("%6.1f %%", 100*decode*float64(got.All)/(after[0]-before[0]))
	}
	fmt.Printf("%-24s %8.2f  %6.1f %%  %s  %8.1f s  %10.2f s  %4.0f MB\n", l.String(), rate, 100*rate/bench, share,
		after[0]-before[0], cpu.Seconds(), after[1]/1e6)
	return nil
}

// alone asks for one JPEG after the other, tells where the time goes, and returns the seconds that decoding takes.
func (o *options) alone(s *server) (decode float64, err error) {
	file, err := os.ReadFile(o.picture)
	if err != nil {
		return 0, err
	}
	const times = 20
	sums := map[string]float64{}
	total := 0.0
	for range times {
		start := time.Now()
		answer, err := http.Post(s.url+"/v1/classify", "image/jpeg", bytes.NewReader(file))
		if err != nil {
			return 0, err
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		total += 1000 * time.Since(start).Seconds()
		for _, item := range strings.Split(answer.Header.Get("Server-Timing"), ", ") {
			name, dur, _ := strings.Cut(item, ";dur=")
			ms, _ := strconv.ParseFloat(dur, 64)
			sums[name] += ms
		}
	}
	fmt.Printf("one JPEG at a time, mean of %d: %.1f ms, of which network %.1f, decoding and scaling %.1f (%.1f %%), "+
		"queue %.2f, the rest %.2f\n", times, total/times,
		sums["network"]/times, sums["decode"]/times, 100*sums["decode"]/total, sums["queue"]/times,
		(total-sums["network"]-sums["decode"]-sums["queue"])/times)
	return sums["decode"] / times / 1000, nil
}
