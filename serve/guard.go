package serve

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// policy is what a page from this server may do: load what the server itself has, and pictures that the page made. It
// may not be framed.
const policy = "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action " +
	"'self'; frame-ancestors 'none'"

// logEntry is a request's line in the log, as its handler fills it.
type logEntry struct {
	id       string
	protocol string
	kind     string // of the error; empty: none
	status   int    // of the answer over REST, where gRPC's own is another; 0: the answer's
	attrs    []slog.Attr
}

// The protocols that requests come by, as metrics tell them apart.
const (
	overHTTP = "http"
	overGRPC = "grpc"
)

func (e *logEntry) note(attrs ...slog.Attr) { e.attrs = append(e.attrs, attrs...) }

type entryKey struct{}

func entryOf(r *http.Request) *logEntry { return r.Context().Value(entryKey{}).(*logEntry) }

// requestID is what a client may call its request.
var requestID = regexp.MustCompile(`^[A-Za-z0-9._:/+=-]{1,128}$`)

// newRequestID is random, so that logs of several servers can be put together.
func newRequestID() string { return rand.Text() }

// guard is what every request passes: its name and its line in the log, the headers of every answer, and the refusal of
// what a web page elsewhere may have sent.
func (s *Server) guard(protocol string, next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		inFlight := s.inFlight.Add(1)
		if !probes(r) {
			s.asked.Add(1)
		}
		e := &logEntry{id: r.Header.Get("X-Request-Id"), protocol: protocol}
		if !requestID.MatchString(e.id) {
			e.id = newRequestID()
		}
		r = r.WithContext(context.WithValue(r.Context(), entryKey{}, e))
		rec := &recorder{ResponseWriter: w}
		defer func() {
			failure := recover()
			if failure != nil && failure != http.ErrAbortHandler {
				s.Log.Error("panic", "id", e.id, "panic", failure, "stack", string(debug.Stack()))
			}
			if failure != nil && rec.status == 0 {
				rec.status = http.StatusInternalServerError
			}
			s.inFlight.Add(-1)
			if !probes(r) {
				s.heard.Store(time.Now().UnixNano())
				s.answered.Add(1)
			}
			s.record(r, rec, e, time.Since(start))
			if failure != nil {
				panic(failure) // net/http closes the connection
			}
		}()
		h := rec.Header()
		h.Set("X-Request-Id", e.id)
		if protocol == overHTTP {
			h.Set("Content-Security-Policy", policy)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Referrer-Policy", "no-referrer")
			h.Set("Cross-Origin-Resource-Policy", "same-origin")
			h.Set("Cross-Origin-Opener-Policy", "same-origin")
			h.Set("Cache-Control", "no-store")
		}
		if s.draining.Load() || spare(r) {
			h.Set("Connection", "close") // the client's next request goes elsewhere
		}
		// HTTP/1.0 has no Host; a browser's requests always have
		if !s.allowed(r.Host) && !(r.Host == "" && !r.ProtoAtLeast(1, 1)) {
			s.handle(func(*call) error {
				return refuse(forbidden, "call it by an IP address or localhost; its --allow-host takes other names",
					"this server is not called %q", clip(r.Host))
			})(rec, r)
			return
		}
		if err := origin.Check(r); err != nil {
			s.handle(func(*call) error {
				return refuse(forbidden, "requests come from programs, or from this server's own page",
					"a web page elsewhere may not send this: %v", err)
			})(rec, r)
			return
		}
		// a connection of HTTP/1 has one request in progress, one of HTTP/2 many
		if (spare(r) || inFlight > int64(s.Connections+spareConnections)) && !probes(r) {
			s.handle(func(*call) error {
				return &refusal{Kind: busy,
					Fault: "all connections that this server takes have requests in progress",
					Hint:  "try again after the seconds in Retry-After", After: time.Second}
			})(rec, r)
			return
		}
		next.ServeHTTP(rec, r)
	})
}

// probes reports whether a request is of whatever watches the server, every few seconds.
func probes(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/v2/health/") || r.URL.Path == "/healthz" || r.URL.Path == "/metrics" ||
		grpcProbes[r.URL.Path]
}

// allowed reports whether a Host header names this server. A page elsewhere that has its own name lead here (DNS
// rebinding) sends that name; nobody's name is an address.
func (s *Server) allowed(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "localhost" || slices.Contains(s.Hosts, "*") {
		return true
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	return slices.ContainsFunc(s.Hosts, func(allowed string) bool { return strings.EqualFold(allowed, name) })
}

// record counts an answered request, and logs it.
func (s *Server) record(r *http.Request, rec *recorder, e *logEntry, took time.Duration) {
	route := r.Pattern
	if route == "" {
		route = "none"
	}
	status := either(either(e.status, rec.status), http.StatusOK)
	s.metrics.request(e.protocol, route, status, took)
	level := slog.LevelInfo
	switch {
	case status >= 500 && status != http.StatusServiceUnavailable:
		level = slog.LevelError
	case status >= 400:
		level = slog.LevelWarn
	case probes(r), route == trainStepsRoute:
		level = slog.LevelDebug
	}
	attrs := append([]slog.Attr{
		slog.String("id", e.id), slog.String("method", r.Method), slog.String("path", clip(r.URL.Path)),
		slog.Int("status", status),
		slog.Int64("bytes", rec.bytes), slog.Float64("seconds", took.Seconds()), slog.String("client", r.RemoteAddr),
	}, e.attrs...)
	if e.kind != "" {
		attrs = append(attrs, slog.String("kind", e.kind))
	}
	s.Log.LogAttrs(r.Context(), level, "request", attrs...)
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Flush is for gRPC's engine, which sends what it has before the trailers.
func (r *recorder) Flush() { _ = http.NewResponseController(r.ResponseWriter).Flush() }

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
