package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var roughFor = flag.Duration("rough", 0, "how long TestServeRough lasts, and whether it waits for memory to fall back "+
	"(default: 5 s, and no)")

// rough is the abuse of a server by 16 clients, among their good requests.
type rough struct {
	t       *testing.T
	ctx     context.Context // until the abuse is over
	address string
	web     *http.Client
	good    []roughRequest
	acts    []func(*rand.Rand)

	mu     sync.Mutex
	took   []time.Duration // of good small requests that were answered
	probes []time.Duration
	busy   int
}

type roughRequest struct {
	path string
	body []byte
}

// TestServeRough: idle connections, small files that cost much, truncated bodies, huge headers, slow readers and
// writers, wrong JSON, hostile pictures, given up requests. Good small requests are answered soon, or told to come
// again; probes always are; memory stays within what the server says and falls back once it is over. With -rough 3m it
// is the campaign of the acceptance.
func TestServeRough(t *testing.T) {
	s := serveProcess(t, "--addr", "127.0.0.1:0")
	go func() {
		for range s.lines { // or the server waits for whoever reads its log
		}
	}()
	r := newRough(t, strings.TrimPrefix(s.url, "http://"))
	health, err := r.web.Get(s.url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(health.Body)
	health.Body.Close()
	limit, _ := strconv.ParseInt(regexp.MustCompile(`"memory_limit_bytes":(\d+)`).FindStringSubmatch(string(text))[1], 10,
		64)
	time.Sleep(time.Second)
	idle := resident(t, s.Process.Pid)

	last := *roughFor
	if last == 0 {
		last = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(t.Context(), last)
	defer cancel()
	r.ctx = ctx
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() { r.client(ctx, rand.New(rand.NewPCG(2, uint64(i)))) })
	}
	all.Go(func() { r.crowd(ctx) })
	all.Go(func() { r.probe(ctx) })
	highest := int64(0)
	all.Go(func() {
		for ctx.Err() == nil {
			highest = max(highest, resident(t, s.Process.Pid))
			time.Sleep(50 * time.Millisecond)
		}
	})
	all.Wait()
	r.web.CloseIdleConnections()
	slices.Sort(r.took)
	slices.Sort(r.probes)
	if len(r.took) == 0 || len(r.probes) == 0 {
		t.Fatal("nothing is answered")
	}
	median, most := r.took[len(r.took)/2], r.took[len(r.took)-1]
	t.Logf("%d good small requests answered in %v in the median and %v at most, %d told to come again; probes in %v at "+
		"most; memory %d MB idle, %d MB at most of %d MB",
		len(r.took), median, most, r.busy, r.probes[len(r.probes)-1], idle>>20, highest>>20, limit>>20)
	slack := time.Duration(1)
	if *roughFor == 0 { // among other tests on a busy machine
		slack = 5
	}
	if median > slack*time.Second || most > slack*3*time.Second {
		t.Errorf("good small requests took %v in the median, %v at most", median, most)
	}
	if p := r.probes[len(r.probes)-1]; p > slack*3*time.Second {
		t.Errorf("a probe took %v", p)
	}
	if highest > limit {
		t.Errorf("the process took %d MB, the server says %d MB", highest>>20, limit>>20)
	}
	if *roughFor == 0 {
		return
	}
	for start := time.Now(); resident(t, s.Process.Pid) > idle*3/2; time.Sleep(100 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			if answer, err := r.web.Get(s.url + "/metrics"); err == nil {
				text, _ := io.ReadAll(answer.Body)
				answer.Body.Close()
				t.Logf("%s",
					regexp.MustCompile(`(?m)^(go_memstats|go_goroutines|vggo_(connections|buffer|requests_in|work)).*$`).FindAll(text,
						-1))
			}
			t.Fatalf("a minute afterwards the process takes %d MB, idle it was %d MB", resident(t, s.Process.Pid)>>20, idle>>20)
		}
	}
	t.Logf("afterwards %d MB", resident(t, s.Process.Pid)>>20)
}

// resident is what a process has in memory, in bytes.
func resident(t *testing.T, pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Error(err)
		return 0
	}
	found := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	if found == nil {
		t.Errorf("no VmRSS in %s", text)
		return 0
	}
	kb, _ := strconv.ParseInt(string(found[1]), 10, 64)
	return kb << 10
}

func newRough(t *testing.T, address string) *rough {
	r := &rough{t: t, address: address, web: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4},
		Timeout: time.Minute}}
	file := func(path string) []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	noise := func(side int) *image.RGBA {
		m := image.NewRGBA(image.Rect(0, 0, side, side))
		random := rand.New(rand.NewPCG(3, 3))
		for i := range m.Pix {
			m.Pix[i] = uint8(random.Uint32())
		}
		return m
	}
	var photo, large, flat bytes.Buffer
	even := image.NewUniform(color.Gray{100})
	for _, err := range []error{
		jpeg.Encode(&photo, noise(200), nil), jpeg.Encode(&large, noise(2500), nil),
		png.Encode(&flat, subImage{even, image.Rect(0, 0, 4900, 4900)}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	boot := file("../../docs/examples/boot.png")
	r.good = []roughRequest{
		{"/v1/classify", boot}, {"/v1/classify", boot}, {"/v1/classify", photo.Bytes()}, {"/v1/features?layer=pool5", boot},
		{"/v1/inside", boot},
	}
	bombs := [][]byte{flat.Bytes(), large.Bytes()}
	if data := os.Getenv("VGGO_TESTDATA"); data != "" {
		hostile, err := filepath.Glob(filepath.Join(data, "reports", "hostile", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range hostile {
			bombs = append(bombs, file(path))
			if name := filepath.Base(path); name == "jpgscans.jpg" || name == "tif.tif" { // more often
				bombs = append(bombs, file(path), file(path))
			}
		}
	}
	post := "POST /v1/classify HTTP/1.1\r\nHost: localhost\r\n"
	ask := func(path, kind string, body []byte) func(*rand.Rand) {
		return func(*rand.Rand) { r.send(r.ctx, path, kind, body) }
	}
	r.acts = []func(*rand.Rand){
		func(random *rand.Rand) { r.send(r.ctx, "/v1/classify", "", bombs[random.IntN(len(bombs))]) },
		func(random *rand.Rand) { r.send(r.ctx, "/v1/classify", "", bombs[random.IntN(len(bombs))]) },
		func(random *rand.Rand) { r.send(r.ctx, "/v1/inside", "", bombs[random.IntN(len(bombs))]) },
		func(random *rand.Rand) { // given up
			ctx, cancel := context.WithTimeout(r.ctx, time.Duration(random.IntN(300))*time.Millisecond)
			defer cancel()
			r.send(ctx, "/v1/classify", "", bombs[random.IntN(len(bombs))])
		},
		func(random *rand.Rand) { r.send(r.ctx, "/v1/classify", "", photo.Bytes()[:random.IntN(photo.Len())]) },
		ask("/v1/classify", "application/json", []byte(`{"image":"`+strings.Repeat("A", 1<<20))),
		ask("/v1/classify", "application/json", bytes.Repeat([]byte("["), 1<<20)),
		ask("/v2/models/vgg-cifar10/infer", "application/json", bytes.Repeat([]byte(`{"inputs":[`), 10_000)),
		ask("/v1/classify", "", make([]byte, 33<<20)),
		ask("/v1/arch", "", bytes.Repeat([]byte("64,"), 100_000)),
		// Huge headers, a header and a body that come by the byte and then no more, a body that ends early, an answer
		// that is read by the byte.
		func(*rand.Rand) { r.raw(post + "X-Large: " + strings.Repeat("x", 1<<20) + "\r\n\r\n") },
		func(*rand.Rand) { r.drip(post+"X-Slow: "+strings.Repeat("x", 1000), 30*time.Millisecond) },
		func(*rand.Rand) {
			r.drip(post+"Content-Length: 100000\r\n\r\n"+strings.Repeat("x", 1000), 10*time.Millisecond)
		},
		func(*rand.Rand) { r.raw(post + "Content-Length: 100000\r\n\r\nabc") },
		func(*rand.Rand) {
			r.slowly(fmt.Sprintf("POST /v1/features?layer=conv1_1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s",
				len(boot), boot))
		},
	}
	return r
}

// subImage is a part of an endless picture.
type subImage struct {
	image.Image
	rect image.Rectangle
}

func (s subImage) Bounds() image.Rectangle { return s.rect }

// client sends a good request in two, and abuses the server otherwise.
func (r *rough) client(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		if random.IntN(2) == 0 {
			r.acts[random.IntN(len(r.acts))](random)
			continue
		}
		g := r.good[random.IntN(len(r.good))]
		start := time.Now()
		status, text := r.send(context.Background(), g.path, "", g.body)
		r.mu.Lock()
		switch status {
		case 200:
			r.took = append(r.took, time.Since(start))
		case 429:
			r.busy++
		default:
			r.t.Errorf("%s: %d %.200s", g.path, status, text)
		}
		r.mu.Unlock()
	}
}

// send posts a body and reads the answer; 0 for a connection that broke.
func (r *rough) send(ctx context.Context, path, kind string, body []byte) (int, string) {
	request, err := http.NewRequestWithContext(ctx, "POST", "http://"+r.address+path, bytes.NewReader(body))
	if err != nil {
		r.t.Error(err)
		return 0, ""
	}
	request.Header.Set("Content-Type", kind)
	request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	answer, err := r.web.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	if answer.StatusCode == 500 {
		r.t.Errorf("%s: 500 %s", path, text)
	}
	return answer.StatusCode, string(text)
}

func (r *rough) dial() net.Conn {
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Error(err)
		return nil
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	context.AfterFunc(r.ctx, func() { conn.Close() })
	return conn
}

// raw sends bytes and waits until the server ends the connection, or for some seconds.
func (r *rough) raw(text string) {
	if conn := r.dial(); conn != nil {
		defer conn.Close()
		io.WriteString(conn, text)
		io.Copy(io.Discard, conn)
	}
}

// drip sends bytes one by one, until the server has had enough.
func (r *rough) drip(text string, pause time.Duration) {
	if conn := r.dial(); conn != nil {
		defer conn.Close()
		for i := range len(text) {
			if _, err := conn.Write([]byte{text[i]}); err != nil {
				return
			}
			time.Sleep(pause)
		}
	}
}

// slowly sends a request and reads its answer byte by byte, for some seconds.
func (r *rough) slowly(text string) {
	if conn := r.dial(); conn != nil {
		defer conn.Close()
		io.WriteString(conn, text)
		one := make([]byte, 1)
		for range 300 {
			if _, err := conn.Read(one); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// crowd keeps 1,100 connections open that do nothing.
func (r *rough) crowd(ctx context.Context) {
	var open []net.Conn
	for ctx.Err() == nil {
		if conn, err := net.Dial("tcp", r.address); err == nil {
			open = append(open, conn)
		}
		if len(open) > 1100 {
			open[0].Close()
			open = open[1:]
			time.Sleep(10 * time.Millisecond)
		}
	}
	for _, conn := range open {
		conn.Close()
	}
}

// probe asks for health ten times a second, each time on a connection of its own.
func (r *rough) probe(ctx context.Context) {
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	for ctx.Err() == nil {
		start := time.Now()
		answer, err := web.Get("http://" + r.address + "/v2/health/live")
		if err != nil || answer.StatusCode != 200 {
			r.t.Errorf("a probe after %v: %v", time.Since(start), err)
			continue
		}
		answer.Body.Close()
		r.mu.Lock()
		r.probes = append(r.probes, time.Since(start))
		r.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
	}
}
