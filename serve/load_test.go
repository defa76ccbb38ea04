package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var loadFor = flag.Duration("load", 0, "how long TestLoad lasts (default: 30 requests of each client)")

// crowd is 64 clients of a server, one request in ten hostile.
type crowd struct {
	t        *testing.T
	address  string
	http     *http.Client
	good     []sent
	want     []string // answers of good
	hostile  []func(*rand.Rand)
	ended    func(round int) bool
	ok, busy atomic.Int64
}

// TestLoad: 64 clients at once, one request in ten hostile. No good request fails but by 429, and each gets its own
// answer; memory stays within what the server says; when all is over, nothing is held and no goroutine is left.
func TestLoad(t *testing.T) {
	before := runtime.NumGoroutine()
	stall := time.Second
	if *loadFor > 0 {
		stall *= 2 // in a minute, a machine with other work to do may once not get to a connection for a while
	}
	s := New(Config{
		Models: []Source{tiny("tiny"), colour("colour")}, Queue: 8, MaxBody: 1 << 20, MaxPixels: 1 << 20, Buffers: 16 << 20,
		Stall: stall, LameDuck: time.Nanosecond,
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- s.Run(ctx, listener) }()
	for !s.usable() {
		time.Sleep(time.Millisecond)
	}

	c := newCrowd(t, listener.Addr().String())
	c.ended = func(round int) bool { return round == 30 }
	if *loadFor > 0 {
		end := time.Now().Add(*loadFor)
		c.ended = func(int) bool { return time.Now().After(end) }
	}
	var highest uint64
	watched := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			highest = max(highest, residentBytes())
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() { c.run(rand.New(rand.NewPCG(1, uint64(i)))) })
	}
	all.Wait()
	close(stop)
	<-watched
	t.Logf("%d answered, %d told to come again, at most %d MB of %d MB", c.ok.Load(), c.busy.Load(), highest>>20,
		s.MemoryLimit()>>20)
	if c.ok.Load() == 0 {
		t.Error("nothing is answered")
	}
	if bound := uint64(s.MemoryLimit()); highest > bound {
		t.Errorf("the process took %d MB, the server says %d MB", highest>>20, bound>>20)
	}
	c.http.CloseIdleConnections()
	l := s.loaded.Load()
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if s.buffers.inUse() != 0 || l.work.inUse() != 0 || s.conns.open() != 0 {
		t.Errorf("in the end %d bytes, %d multiply-accumulates and %d connections are held", s.buffers.inUse(),
			l.work.inUse(),
			s.conns.open())
	}
	for _, m := range l.models {
		if m.batches.waiting() != 0 || m.batches.coming != 0 {
			t.Errorf("%s: %d images wait, %d are expected", m.name, m.batches.waiting(), m.batches.coming)
		}
	}
	// Goroutines end a moment after what they were for.
	for wait := time.Millisecond; runtime.NumGoroutine() > before; wait *= 2 {
		if wait > 5*time.Second {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
		time.Sleep(wait)
	}
}

func newCrowd(t *testing.T, address string) *crowd {
	c := &crowd{t: t, address: address, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	file := boot(t)
	values := make([]float32, 3*3*16*16)
	for i := range values {
		values[i] = float32(i%89) / 89
	}
	request := func(data string) []byte {
		return fmt.Appendf(nil, `{"id":"7","inputs":[{"name":"images","shape":[3,3,16,16],"datatype":"FP32",%s}]}`, data)
	}
	text, err := json.Marshal(floatsAsJSON(values))
	if err != nil {
		t.Fatal(err)
	}
	head := request(`"parameters":{"binary_data_size":9216}`)
	c.good = []sent{
		{method: "POST", path: "/v1/classify", body: file},
		{method: "POST", path: "/v1/classify?model=colour", body: jpegOf(t, 200, 150)},
		{method: "POST", path: "/v1/features?layer=pool2", body: file},
		{method: "POST", path: "/v1/features?layer=pool1&model=colour", body: file},
		{method: "POST", path: "/v2/models/colour/infer", body: request(`"data":` + string(text))},
		{method: "POST", path: "/v2/models/colour/infer", body: append(head, floatBytes(values)...),
			header: []string{headerLength, fmt.Sprint(len(head))}},
		{method: "GET", path: "/v2/models/tiny"},
	}
	for _, g := range c.good { // alone
		status, answer := c.send(g)
		if status != 200 {
			t.Fatalf("%s: %d %s", g.path, status, answer)
		}
		c.want = append(c.want, answer)
	}
	refused := func(status int, s sent) func(*rand.Rand) {
		s.method = "POST"
		return func(*rand.Rand) {
			if got, answer := c.send(s); got != status && got != 429 {
				t.Errorf("hostile %s: %d %s, want %d", s.path, got, answer, status)
			}
		}
	}
	photo := jpegOf(t, 400, 300)
	post := "POST /v1/classify HTTP/1.1\r\nHost: localhost\r\n"
	c.hostile = []func(*rand.Rand){
		refused(422, sent{path: "/v1/classify", body: photo[:len(photo)/2]}),
		refused(422, sent{path: "/v1/classify?model=colour", body: pngHeader(t, 30000, 30000)}),
		refused(422, sent{path: "/v1/classify", body: pngHeader(t, 1000, 1000)}),
		refused(415, sent{path: "/v1/classify", body: file, header: []string{"Content-Type", "text/html"}}),
		refused(400, sent{path: "/v1/classify", body: []byte("{"), header: []string{"Content-Type", "application/json"}}),
		refused(400, sent{path: "/v2/models/colour/infer", body: request(`"data":[1,2,3]`)}),
		refused(400, sent{path: "/v2/models/colour/infer", body: bytes.Repeat([]byte("["), 50000)}),
		refused(413, sent{path: "/v1/classify", header: []string{"X-Big", "1"}, body: make([]byte, 1<<20+1)}),
		// A body that does not come, one that comes slowly and then stops, a header that does not end.
		func(*rand.Rand) { c.raw(post, true) },
		func(*rand.Rand) { c.raw(post+"Content-Length: 1000\r\n\r\nabc", true) },
		func(*rand.Rand) { c.raw(post+"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true) },
		// Connections dropped in the middle of a header, of a body, and of an answer.
		func(*rand.Rand) { c.raw(post[:20], false) },
		func(r *rand.Rand) {
			c.raw(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", post, len(photo), photo[:r.IntN(len(photo))]), false)
		},
		func(*rand.Rand) { c.raw(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", post, len(file), file), false) },
		// More than the limit, without saying so before.
		func(*rand.Rand) {
			c.raw(post+"Transfer-Encoding: chunked\r\n\r\n"+strings.Repeat("10000\r\n"+strings.Repeat("x", 0x10000)+"\r\n", 20),
				true)
		},
	}
	return c
}

// run is one client.
func (c *crowd) run(r *rand.Rand) {
	for round := 0; !c.ended(round); round++ {
		if r.IntN(10) == 0 {
			c.hostile[r.IntN(len(c.hostile))](r)
			continue
		}
		i := r.IntN(len(c.good))
		status, answer := c.send(c.good[i])
		switch {
		case status == 429:
			c.busy.Add(1)
		case status != 200 || answer != c.want[i]:
			c.t.Errorf("%s: %d %.300s, want %.300s", c.good[i].path, status, answer, c.want[i])
		default:
			c.ok.Add(1)
		}
	}
}

// send sends a request and returns its answer; 0 for a connection that broke.
func (c *crowd) send(s sent) (status int, answer string) {
	r, err := http.NewRequest(s.method, "http://"+c.address+s.path, bytes.NewReader(s.body))
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	for i := 0; i < len(s.header); i += 2 {
		r.Header.Set(s.header[i], s.header[i+1])
	}
	got, err := c.http.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		return 0, err.Error()
	}
	if got.StatusCode == 429 && got.Header.Get("Retry-After") == "" {
		c.t.Error("429 without Retry-After")
	}
	return got.StatusCode, string(text)
}

// raw sends bytes over a connection of its own, and drops it or waits until the server does.
func (c *crowd) raw(text string, wait bool) {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		c.t.Error(err)
		return
	}
	defer conn.Close()
	io.WriteString(conn, text) // the server may have had enough before the end
	if wait {
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := io.Copy(io.Discard, conn); err != nil && !strings.Contains(err.Error(), "reset") {
			c.t.Errorf("the server keeps a connection that it should cut: %v", err)
		}
	}
}
