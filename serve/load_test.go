//go:build !js

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
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

var loadFor = flag.Duration("load", 0, "how long TestLoad lasts (default: 30 requests of each client)")

// crowd is 64 clients of a server, one request in ten hostile.
type crowd struct {
	t        *testing.T
	address  string
	calls    string // where gRPC is answered
	http     *http.Client
	http2    *http.Client
	conn     *grpc.ClientConn
	good     []sent
	want     []string // answers of good
	hostile  []func(*rand.Rand)
	ended    func(round int) bool
	wanted   [][]byte // answers of goodCalls
	ok, busy atomic.Int64
	called   atomic.Int64 // of ok, those over gRPC

	goodCalls []*dynamicpb.Message
}

// TestLoad: 64 clients at once by both protocols, one request in ten hostile. No good request fails but by being told
// to come again, and each gets its own answer; memory stays within what the server says; when all is over, nothing is
// held and no goroutine is left.
func TestLoad(t *testing.T) {
	before := runtime.NumGoroutine()
	s := New(Config{
		Models: []Source{tiny("tiny"), colour("colour")}, Queue: 8, MaxBody: 1 << 20, MaxPixels: 1 << 20, Buffers: 16 << 20,
		LameDuck: time.Nanosecond,
	})
	listener, calls := listenHere(t), listenHere(t)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- s.Run(ctx, listener, calls) }()
	for !s.usable() {
		time.Sleep(time.Millisecond)
	}

	c := newCrowd(t, listener.Addr().String(), calls.Addr().String())
	c.newCalls(s.loaded.Load().models)
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
	t.Logf(
		"%d answered, %d of them over gRPC, %d told to come again, at most %d MB of %d MB",
		c.ok.Load(),
		c.called.Load(),
		c.busy.Load(),
		highest>>20,
		s.MemoryLimit()>>20,
	)
	if c.ok.Load() == 0 || c.called.Load() == 0 {
		t.Error("nothing is answered, or nothing over gRPC")
	}
	if bound := uint64(s.MemoryLimit()); highest > bound {
		t.Errorf("the process took %d MB, the server says %d MB", highest>>20, bound>>20)
	}
	c.http.CloseIdleConnections()
	c.http2.CloseIdleConnections()
	if err := c.conn.Close(); err != nil {
		t.Error(err)
	}
	l := s.loaded.Load()
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	if s.buffers.inUse() != 0 || l.work.inUse() != 0 || s.connected() != 0 {
		t.Errorf("in the end %d bytes, %d multiply-accumulates and %d connections are held", s.buffers.inUse(),
			l.work.inUse(), s.connected())
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

func newCrowd(t *testing.T, address, calls string) *crowd {
	c := &crowd{
		t:       t,
		address: address,
		calls:   calls,
		http2:   over2(t),
		conn:    grpcDial(t, calls),
		http:    &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
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
		i := r.IntN(len(c.good) + len(c.goodCalls))
		if i >= len(c.good) {
			c.call(i - len(c.good))
			continue
		}
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

// newCalls are what is asked over gRPC, and what hostile clients send there.
func (c *crowd) newCalls(models []*model) {
	for _, m := range models {
		for _, raw := range []bool{true, false} {
			in := newMessage(c.t, "ModelInferRequest")
			if err := protojson.Unmarshal([]byte(inferText(m, 3, raw, "")), in); err != nil {
				c.t.Fatal(err)
			}
			c.goodCalls = append(c.goodCalls, in)
			answer, err := c.infer(in)
			if err != nil {
				c.t.Fatal(err)
			}
			c.wanted = append(c.wanted, answer)
		}
	}
	good, err := proto.Marshal(c.goodCalls[0])
	if err != nil {
		c.t.Fatal(err)
	}
	refused := func(code codes.Code, body []byte) func(*rand.Rand) {
		return func(*rand.Rand) {
			got, message := post(c.t, c.http2, c.calls, "ModelInfer", bytes.NewReader(body))
			if got != strconv.Itoa(int(code)) && got != strconv.Itoa(int(codes.ResourceExhausted)) {
				c.t.Errorf("hostile call: %s %s, want %v", got, message, code)
			}
		}
	}
	c.hostile = append(c.hostile,
		refused(codes.InvalidArgument, framed(good[:len(good)/2])),
		refused(codes.InvalidArgument, framed(good)[:len(good)/2]),
		refused(codes.InvalidArgument, framed(bytes.Repeat([]byte{5<<3 | 2, 0}, 300000))),
		refused(codes.ResourceExhausted, []byte{0, 255, 255, 255, 255, 1}),
		refused(codes.ResourceExhausted, framed(make([]byte, 1<<20+1))),
		// A message that stops coming, and one that is dropped.
		func(*rand.Rand) {
			reader, writer := io.Pipe()
			defer writer.Close()
			go writer.Write(framed(good)[:1000])
			if got, message := post(c.t, c.http2, c.calls, "ModelInfer", reader); got != "4" && got != "8" {
				c.t.Errorf("half a call: %s %s", got, message)
			}
		},
		func(r *rand.Rand) {
			ctx, cancel := context.WithTimeout(c.t.Context(), time.Duration(r.IntN(3000))*time.Microsecond)
			defer cancel()
			_ = c.conn.Invoke(ctx, "/"+inferenceService+"/ModelInfer", c.goodCalls[0], newMessage(c.t, "ModelInferResponse"))
		})
}

// infer asks over gRPC.
func (c *crowd) infer(in *dynamicpb.Message) ([]byte, error) {
	out := newMessage(c.t, "ModelInferResponse")
	if err := c.conn.Invoke(c.t.Context(), "/"+inferenceService+"/ModelInfer", in, out); err != nil {
		return nil, err
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(out)
}

// call is a good request over gRPC.
func (c *crowd) call(i int) {
	answer, err := c.infer(c.goodCalls[i])
	switch {
	case status.Code(err) == codes.ResourceExhausted:
		c.busy.Add(1)
	case err != nil || !bytes.Equal(answer, c.wanted[i]):
		c.t.Errorf("call %d: %v, %d bytes, want %d", i, err, len(answer), len(c.wanted[i]))
	default:
		c.ok.Add(1)
		c.called.Add(1)
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
