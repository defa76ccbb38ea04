package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// running is a Server behind a listener of its own, until the test ends.
func running(t *testing.T, config Config) (s *Server, address string) {
	t.Helper()
	return startRunning(t, config, func(*Server) {})
}

// startRunning is running with a look at the Server before it starts.
func startRunning(t *testing.T, config Config, before func(*Server)) (s *Server, address string) {
	t.Helper()
	if config.Models == nil {
		config.Models = []Source{tiny("tiny"), colour("colour")}
	}
	config.LameDuck = time.Nanosecond
	s = New(config)
	before(s)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error)
	go func() { ran <- s.Run(ctx, listener, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	for !s.usable() {
		time.Sleep(time.Millisecond)
	}
	return s, listener.Addr().String()
}

// dial opens a connection that is closed with the test, and sends something on it.
func dial(t *testing.T, address, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Skipf("this machine opens no more connections: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// probe asks for health on a connection of its own.
func probe(t *testing.T, address string) (status int, took time.Duration) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	start := time.Now()
	answer, err := client.Get("http://" + address + "/healthz")
	if err != nil {
		t.Errorf("a probe after %v: %v", time.Since(start), err)
		return 0, time.Since(start)
	}
	answer.Body.Close()
	return answer.StatusCode, time.Since(start)
}

// TestIdleConnections: 1,100 connections that do nothing, or send half a header, or are kept after a request, keep no
// probe waiting. Those that were idle longest are closed.
func TestIdleConnections(t *testing.T) {
	const half = "POST /v1/classify HTTP/1.1\r\nHost: local"
	for _, c := range []struct{ name, text string }{
		{"silent", ""},
		{"half a header", half},
		{"kept after a request", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, address := running(t, Config{Stall: time.Minute})
			var opened []net.Conn
			for range 1100 {
				conn := dial(t, address, c.text)
				if c.text != "" && c.text != half { // until it is answered, the request is in progress
					if _, err := conn.Read(make([]byte, 4096)); err != nil {
						t.Fatal(err)
					}
				}
				opened = append(opened, conn)
			}
			if status, took := probe(t, address); status != 200 || took > time.Second {
				t.Errorf("a probe behind 1,100 connections: status %d after %v", status, took)
			}
			if n := s.conns.open(); n > 1024 {
				t.Errorf("%d connections are open", n)
			}
			opened[0].SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.ReadAll(opened[0]); err != nil && !closedByPeer(err) {
				t.Errorf("the connection that was idle longest is still open: %v", err)
			}
			last := opened[len(opened)-1]
			last.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			if _, err := last.Read(make([]byte, 1)); err == io.EOF || closedByPeer(err) {
				t.Errorf("the newest connection is closed: %v", err)
			}
		})
	}
}

func closedByPeer(err error) bool {
	timeout, ok := err.(net.Error)
	return err != nil && !(ok && timeout.Timeout())
}

// TestBusyConnections: a request in progress keeps its connection, whatever comes. While all places are taken so,
// probes are answered and others told to come again.
func TestBusyConnections(t *testing.T) {
	const most = 8
	s, address := running(t, Config{Connections: most, Stall: time.Minute})
	file := boot(t)
	var busy []net.Conn
	for range most {
		conn := dial(t, address, fmt.Sprintf("POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nConnection: "+
			"close\r\nContent-Length: %d\r\n\r\n", len(file)))
		busy = append(busy, conn)
	}
	inProgress := func() (n int) {
		s.conns.mu.Lock()
		defer s.conns.mu.Unlock()
		for c := range s.conns.all {
			if c.busy {
				n++
			}
		}
		return n
	}
	for inProgress() < most {
		time.Sleep(time.Millisecond)
	}
	for range 3 * spareConnections { // idle ones come and go
		dial(t, address, "")
	}
	if status, took := probe(t, address); status != 200 || took > time.Second {
		t.Errorf("a probe: status %d after %v", status, took)
	}
	answer, text := sent{method: "POST", path: "/v1/classify", body: file}.do(t, "http://"+address)
	if answer.StatusCode != 429 || answer.Header.Get("Retry-After") == "" {
		t.Errorf("one request too many: %d %s", answer.StatusCode, text)
	}
	var all sync.WaitGroup
	for _, conn := range busy {
		all.Go(func() {
			conn.Write(file)
			if got, err := io.ReadAll(conn); err != nil || string(got[:min(len(got), 15)]) != "HTTP/1.1 200 OK" {
				t.Errorf("a request that was in progress: %.100s, %v", got, err)
			}
		})
	}
	all.Wait()
	if answer, text := (sent{method: "POST", path: "/v1/classify", body: file}).do(t,
		"http://"+address); answer.StatusCode != 200 {
		t.Errorf("afterwards: %d %s", answer.StatusCode, text)
	}
}

// TestSilentConnection: a connection opened ahead of need is answered when the client comes to ask by it, however late;
// a header that has begun has its time from then on.
func TestSilentConnection(t *testing.T) {
	const stall = 200 * time.Millisecond
	_, address := running(t, Config{Stall: stall})
	for _, c := range []struct {
		name, text string
		answered   bool
	}{
		{"a whole request", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", true},
		{"half a header", "GET /healthz HTTP/1.1\r\nHost: local", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, address, "")
			time.Sleep(3 * stall)
			if _, err := io.WriteString(conn, c.text); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(idleTime / 2)); err != nil {
				t.Fatal(err)
			}
			begins := make([]byte, len("HTTP/1.1 200"))
			n, err := io.ReadFull(conn, begins)
			if got := string(begins[:n]); c.answered != (got == "HTTP/1.1 200") {
				t.Errorf("the answer begins with %q, %v", got, err)
			}
			if err, ok := errors.AsType[net.Error](err); ok && err.Timeout() {
				t.Error("the server keeps a connection that it should cut")
			}
		})
	}
}
