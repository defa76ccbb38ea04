package serve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vggo/vggo"
)

// TestBusy: what does not fit into the budgets is told to come again, after its body has been read; what never will, is
// told so.
func TestBusy(t *testing.T) {
	s, web := start(t, Config{Queue: 4, MaxBody: 1 << 20, Buffers: 2 << 20})
	l := s.loaded.Load()
	busy := func(name string, c sent) {
		answer, text := c.do(t, web.URL)
		if after := answer.Header.Get("Retry-After"); answer.StatusCode != 429 || after == "" ||
			!strings.Contains(string(text), "no room for more work") {
			t.Errorf("%s: %d, Retry-After %q, %s", name, answer.StatusCode, after, text)
		}
	}
	classify := sent{method: "POST", path: "/v1/classify", body: boot(t)}
	all, err := l.work.enter(l.work.budget)
	if err != nil {
		t.Fatal(err)
	}
	busy("no work", classify)
	busy("no work for the protocol", sent{method: "POST", path: "/v2/models/tiny/infer", header: []string{headerLength,
		"0"}, body: make([]byte, 4*28*28)})
	all.leave()
	if all, err = s.buffers.enter(s.Buffers - 100<<10); err != nil {
		t.Fatal(err)
	}
	busy("no room for a body", sent{method: "POST", path: "/v1/classify", body: make([]byte, 1<<20)})
	all.leave()
	answer, text := sent{method: "POST", path: "/v2/models/tiny/infer", header: []string{headerLength, "0"},
		body: make([]byte, 300*4*28*28)}.do(t, web.URL)
	if answer.StatusCode != 413 || !strings.Contains(string(text), " multiply-accumulates, and this server takes on ") {
		t.Errorf("300 images for a queue of 4: %d %s", answer.StatusCode, text)
	}
	// What is more by little is told apart.
	for _, c := range []struct {
		err  error
		want string
	}{
		{&costError{1001, 1000, "bytes"}, "the request takes 1,001 bytes, and this server takes on 1,000 at once"},
		{&fullError{Cost: 1000, Used: 1, Budget: 1000, Unit: "bytes"},
			"no room for more work: it takes 1,000 bytes, and of " +
				"1,000 there are 999 left"},
	} {
		if got := refusalOf(c.err).Fault; got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if answer, text := classify.do(t, web.URL); answer.StatusCode != 200 || s.buffers.inUse() != 0 || l.work.inUse() != 0 {
		t.Errorf("afterwards %d %s, %d bytes and %d work held", answer.StatusCode, text, s.buffers.inUse(), l.work.inUse())
	}
}

// TestTimeout: a request that is not computed in time is told so, and leaves nothing behind.
func TestTimeout(t *testing.T) {
	s, web := start(t, Config{Timeout: 300 * time.Millisecond})
	l := s.loaded.Load()
	s.turn <- struct{}{} // somebody computes, without end
	answer, text := sent{method: "POST", path: "/v1/classify", body: boot(t)}.do(t, web.URL)
	if answer.StatusCode != 504 || !strings.Contains(string(text), "ran out of time") {
		t.Errorf("%d %s", answer.StatusCode, text)
	}
	if n := l.models[0].batches.waiting(); n != 0 || l.work.inUse() != 0 {
		t.Errorf("%d images wait, %d work is held", n, l.work.inUse())
	}
	<-s.turn
	s.decode.running += s.decode.all // all decoders are busy
	if answer, text := (sent{method: "POST", path: "/v1/classify", body: boot(t)}).do(t,
		web.URL); answer.StatusCode != 504 {
		t.Errorf("without a decoder: %d %s", answer.StatusCode, text)
	}
	s.decode.running -= s.decode.all
}

// TestDecodeTime: decoding has a time of its own.
func TestDecodeTime(t *testing.T) {
	_, web := start(t, Config{DecodeTime: time.Nanosecond})
	answer, text := sent{method: "POST", path: "/v1/classify", body: boot(t)}.do(t, web.URL)
	if answer.StatusCode != 422 || !strings.Contains(string(text), "28x28 pixels: decoding was given up: it takes too "+
		"long to decode") {
		t.Errorf("%d %s", answer.StatusCode, text)
	}
}

// TestSlowReader: a client that does not take its answer is cut off, and its memory is free again.
func TestSlowReader(t *testing.T) {
	s := New(Config{Stall: 200 * time.Millisecond, LameDuck: time.Nanosecond,
		Models: []Source{{"wide", func() (*vggo.Model, error) {
			return vggo.New("512x512x3:16,M/10", vggo.Options{Seed: 1})
		}}}})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- s.Run(ctx, listener, nil) }()
	for !s.usable() {
		runtime.Gosched()
	}
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	file := jpegOf(t, 512, 512)
	// 40 MB
	fmt.Fprintf(conn, "POST /v1/features?layer=conv1_1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s",
		len(file), file)
	for s.conns.open() > 0 || s.buffers.inUse() > 0 {
		time.Sleep(time.Millisecond) // the test's own time limit ends a server that waits for ever
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// TestBrokenWeights: a server whose file of weights is shortened is not ready, and is again when the file is whole.
func TestBrokenWeights(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file cannot be shortened")
	}
	whole, err := os.ReadFile(tinyWeights)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tiny.safetensors")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	_, web := start(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil)),
		Models: []Source{{"", func() (*vggo.Model, error) { return vggo.Open(path, vggo.Options{}) }}}})
	want := func(path string, status int, contains string) {
		t.Helper()
		c := sent{method: "GET", path: path}
		if strings.HasPrefix(path, "/v1/") {
			c.method, c.body = "POST", boot(t)
		}
		if answer, text := c.do(t, web.URL); answer.StatusCode != status || !strings.Contains(string(text), contains) {
			t.Errorf("%s: %d %s, want %d and %s", path, answer.StatusCode, text, status, contains)
		}
	}
	want("/healthz", 200, `"status":"ready"`)
	if err := os.Truncate(path, int64(len(whole)/2)); err != nil {
		t.Fatal(err)
	}
	want("/healthz", 503, `"status":"broken"`)
	want("/v2/health/ready", 400, "false")
	want("/v2/models/tinyvgg/ready", 400, "false")
	want("/v1/classify", 500, "its log tells more under this request_id")
	if !strings.Contains(log.String(), "tiny.safetensors") {
		t.Errorf("the log does not name the file: %s", &log)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	want("/v2/health/ready", 200, "true")
	want("/v1/classify", 200, `"class":9`)
}

// TestLogAndMetrics: a request has a line in the log under its id, and counts.
func TestLogAndMetrics(t *testing.T) {
	var log bytes.Buffer
	_, web := start(t, Config{Log: slog.New(slog.NewJSONHandler(&log, nil))})
	sent{method: "POST", path: "/v1/classify", body: boot(t), header: []string{"X-Request-Id", "good-1"}}.do(t, web.URL)
	sent{method: "POST", path: "/v1/classify", body: []byte("hello"), header: []string{"X-Request-Id", "bad-1"}}.do(t,
		web.URL)
	sent{method: "GET", path: "/nothing", header: []string{"X-Request-Id", "not\"an id"}}.do(t, web.URL)
	answer, err := http.Get(web.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"level":"INFO","msg":"request","id":"good-1","method":"POST","path":"/v1/classify","status":200,`,
		`"model":"tiny","images":1,"batch":1,`,
		`"level":"WARN","msg":"request","id":"bad-1","method":"POST","path":"/v1/classify","status":422,`,
		`"kind":"bad_image"`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, &log)
		}
	}
	if strings.Contains(log.String(), "an id") {
		t.Errorf("what is no id is logged as one: %s", &log)
	}
	for _, want := range []string{
		`vggo_request_seconds_count{code="200",protocol="http",route="POST /v1/classify"} 1`,
		`vggo_request_seconds_count{code="422",protocol="http",route="POST /v1/classify"} 1`,
		`vggo_request_seconds_count{code="404",protocol="http",route="/"} 1`,
		`vggo_errors_total{kind="bad_image",protocol="http"} 1`,
		`vggo_errors_total{kind="not_found",protocol="http"} 1`,
		`vggo_batch_images_count{model="tiny"} 2`, `vggo_queue_seconds_count{model="tiny"} 1`,
		`vggo_queue_images{model="colour"} 0`,
		`vggo_decode_seconds_count 1`, "vggo_ready 1", "vggo_buffer_bytes 0", "vggo_work_used_ratio 0",
		"vggo_requests_in_flight 1", "go_goroutines ",
	} {
		if !strings.Contains(string(text), "\n"+want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}
