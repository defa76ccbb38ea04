//go:build !js

package serve

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/vggo/vggo"
)

// framed is a message with gRPC's prefix.
func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// over2 speaks HTTP/2 without gRPC's library.
func over2(t testing.TB) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// post sends a body as a call, and returns gRPC's status, or HTTP's where there is none.
func post(
	t testing.TB,
	c *http.Client,
	address, method string,
	body io.Reader,
	header ...string,
) (code, message string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+address+"/"+inferenceService+"/"+method, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := c.Do(r)
	if err != nil {
		return "", err.Error()
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return "", err.Error()
	}
	for _, h := range []http.Header{answer.Trailer, answer.Header} {
		if code := h.Get("Grpc-Status"); code != "" {
			return code, h.Get("Grpc-Message")
		}
	}
	return strconv.Itoa(answer.StatusCode), ""
}

// TestGRPCHostile: bytes that are no call, or no message, are refused; the server goes on.
func TestGRPCHostile(t *testing.T) {
	b := startBoth(t, Config{MaxBody: 1 << 20, Stall: 300 * time.Millisecond})
	c := over2(t)
	m := b.loaded.Load().models[0]
	in := newMessage(t, "ModelInferRequest")
	if err := protojson.Unmarshal([]byte(inferText(m, 1, true, "")), in); err != nil {
		t.Fatal(err)
	}
	good, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	group := protowire.AppendTag(nil, 9, protowire.StartGroupType)
	const wrong, full, forbidden = codes.InvalidArgument, codes.ResourceExhausted, codes.PermissionDenied
	empties := func(num byte) []byte { return bytes.Repeat([]byte{num<<3 | 2, 0}, 300000) }
	for name, x := range map[string]struct {
		body        []byte
		code        codes.Code
		want        string
		header      []string
		method, got string
	}{
		"good":              {body: framed(good)},
		"nothing":           {code: wrong, want: "no message"},
		"half a prefix":     {body: []byte{0, 0}, code: wrong, want: "ended early"},
		"half a message":    {body: framed(good)[:1000], code: wrong, want: "bytes by its prefix, and 995 came"},
		"two messages":      {body: append(framed(good), framed(good)...), code: wrong, want: "bytes follow"},
		"4 GB announced":    {body: []byte{0, 255, 255, 255, 255, 1}, code: full, want: "the limit is 1048576"},
		"compressed":        {body: append([]byte{1}, framed(good)[1:]...), code: codes.Unimplemented, want: "compressed"},
		"no protobuf":       {body: framed([]byte("hello, world")), code: wrong, want: "inference.proto"},
		"cut off within":    {body: framed(good[:1000]), code: wrong, want: "cut off"},
		"a group":           {body: framed(append(good, group...)), code: wrong, want: "field 9"},
		"groups in groups":  {body: framed(bytes.Repeat(group, 100000)), code: wrong, want: "field 9"},
		"unknown field":     {body: framed(appendText(good, 99, "x")), code: wrong, want: "field 99"},
		"300,000 inputs":    {body: framed(empties(5)), code: wrong, want: "more than one input"},
		"300,000 outputs":   {body: framed(empties(6)), code: wrong, want: "no output"},
		"300,000 raws":      {body: framed(empties(7)), code: wrong, want: "more than one element"},
		"300,000 params":    {body: framed(empties(4)), code: wrong, want: "has no value"},
		"no UTF-8":          {body: framed(appendText(nil, 1, "\xff")), code: wrong, want: "no UTF-8"},
		"number for a name": {body: framed([]byte{1 << 3, 1}), code: wrong, want: "wire type 0"},
		"timeout of words":  {body: framed(good), header: []string{"grpc-timeout", "soon"}, got: "400"},
		"not gRPC":          {body: framed(good), header: []string{"Content-Type", "text/plain"}, got: "415"},
		"another name": {body: framed(good), header: []string{"Host", "evil.example"}, code: forbidden,
			want: "evil.example"},
		"another origin": {body: framed(good), header: []string{"Origin", "http://evil.example"}, code: forbidden,
			want: "web page elsewhere"},
		"fields of a message without": {method: "ServerLive", body: framed(appendText(nil, 1, "x")), code: wrong,
			want: "field 1"},
		"unknown call": {method: "../v2", body: framed(nil), code: codes.Unimplemented, want: "no call of this name"},
	} {
		code, message := post(t, c, b.calls, either(x.method, "ModelInfer"), bytes.NewReader(x.body), x.header...)
		if want := either(x.got, strconv.Itoa(int(x.code))); code != want || !strings.Contains(message, x.want) {
			t.Errorf("%s: %s %s, want %s and %q", name, code, message, want, x.want)
		}
	}
	// A message that stops coming.
	reader, writer := io.Pipe()
	go writer.Write(framed(good)[:1000])
	if code, message := post(t, c, b.calls, "ModelInfer", reader); code != "4" || !strings.Contains(message, "in time") {
		t.Errorf("half a message and no end: %s %s", code, message)
	}
	writer.Close()
	if want := b.restOutputs(t, m, 1); len(want) == 0 || b.buffers.inUse() != 0 {
		t.Errorf("afterwards %d bytes are held", b.buffers.inUse())
	}
	if conn, err := net.Dial("tcp", b.calls); err != nil {
		t.Error(err)
	} else { // no HTTP/2 at all
		defer conn.Close()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		if text, _ := io.ReadAll(conn); bytes.Contains(text, []byte(" 200 ")) {
			t.Errorf("HTTP/1.1 is answered: %s", text)
		}
	}
}

// TestGRPCBounds: no room, no time, a client that leaves, and the end: as over REST.
func TestGRPCBounds(t *testing.T) {
	var log bytes.Buffer
	b := startBoth(t, Config{Queue: 4, MaxBody: 1 << 20, Buffers: 2 << 20, Timeout: 400 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	l := b.loaded.Load()
	m := l.models[0]
	good := inferText(m, 1, true, "")
	refused := func(name string, ctx context.Context, code codes.Code, want string, again bool) {
		t.Helper()
		_, err := b.ask(ctx, t, "ModelInfer", good)
		st := status.Convert(err)
		retry := false
		for _, d := range st.Details() {
			info, ok := d.(*errdetails.RetryInfo)
			retry = retry || ok && info.RetryDelay.AsDuration() >= time.Second
		}
		if st.Code() != code || !strings.Contains(st.Message(), want) || retry != again {
			t.Errorf("%s: %v, to come again %t; want %v and %q", name, err, retry, code, want)
		}
		if b.buffers.inUse() != 0 && name != "no bytes" || m.batches.waiting() != 0 {
			t.Errorf("%s: %d bytes held, %d images wait", name, b.buffers.inUse(), m.batches.waiting())
		}
	}
	all, err := l.work.enter(l.work.budget)
	if err != nil {
		t.Fatal(err)
	}
	refused("no work", t.Context(), codes.ResourceExhausted, "no room for more work", true)
	all.leave()
	if all, err = b.buffers.enter(b.Buffers - 1); err != nil {
		t.Fatal(err)
	}
	refused("no bytes", t.Context(), codes.ResourceExhausted, "no room for more work", true)
	all.leave()

	b.turn <- struct{}{} // somebody computes, without end
	refused("the server's time", t.Context(), codes.DeadlineExceeded, "ran out of time", true)
	code, message := post(t, over2(t), b.calls, "ModelInfer", bytes.NewReader(framed(requestOf(t, good))),
		"grpc-timeout", "20m")
	if code != "4" || !strings.Contains(message, "ran out of time") {
		t.Errorf("a client's 20 ms: %s %s", code, message)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := b.ask(ctx, t, "ModelInfer", good); status.Code(err) != codes.Canceled {
		t.Errorf("a client that leaves: %v", err)
	}
	for m.batches.waiting() != 0 || l.work.inUse() != 0 || b.buffers.inUse() != 0 {
		time.Sleep(time.Millisecond) // the test's own time limit ends a server that holds on to them
	}
	<-b.turn

	b.inFlight.Add(int64(b.Connections + spareConnections)) // as many calls are under way
	refused("too many calls", t.Context(), codes.ResourceExhausted, "requests in progress", true)
	if _, err := b.ask(t.Context(), t, "ServerReady", "{}"); err != nil {
		t.Errorf("a probe: %v", err)
	}
	b.inFlight.Add(-int64(b.Connections + spareConnections))

	// SIGTERM: what was accepted is answered, and nothing more is taken.
	b.turn <- struct{}{}
	answered := make(chan error)
	go func() {
		_, err := b.ask(context.Background(), t, "ModelInfer", good)
		answered <- err
	}()
	for m.batches.waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	go b.stop()
	for !b.draining.Load() {
		time.Sleep(time.Millisecond)
	}
	<-b.turn
	if err := <-answered; err != nil {
		t.Errorf("what was accepted before the end: %v", err)
	}
	b.stop()
	if _, err := b.ask(t.Context(), t, "ModelInfer", good); status.Code(err) != codes.Unavailable {
		t.Errorf("after the end: %v", err)
	}
	for _, want := range []string{"path=/inference.GRPCInferenceService/ModelInfer status=429 ", "status=504 ",
		"status=499 ", "kind=busy", "status=200 ", "network_seconds="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, &log)
		}
	}
}

// TestGRPCConnections: idle ones make room for others, and who does not take an answer is cut off.
func TestGRPCConnections(t *testing.T) {
	wide := func() (*vggo.Model, error) { // 13 MB of answer below
		return vggo.New("8x8x3:4,M/200000", vggo.Options{Seed: 1})
	}
	b := startBoth(t, Config{Calls: 2, Stall: 200 * time.Millisecond, Models: []Source{{"wide", wide}}})
	for range 2 * (b.Calls + spareConnections) {
		conn, err := net.Dial("tcp", b.calls)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if _, err := b.ask(t.Context(), t, "ServerReady", "{}"); err != nil {
		t.Errorf("beside idle connections: %v", err)
	}
	c := over2(t)
	body := framed(requestOf(t, inferText(b.loaded.Load().models[0], 8, true, "")))
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+b.calls+"/"+inferenceService+"/ModelInfer",
		bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	for b.buffers.inUse() > 0 || b.inFlight.Load() > 0 {
		time.Sleep(time.Millisecond) // the test's own time limit ends a server that waits for ever
	}
	if n, err := io.Copy(io.Discard, answer.Body); err == nil && answer.Trailer.Get("Grpc-Status") == "0" {
		t.Errorf("all of %d bytes were sent to nobody", n)
	}
}
