package serve

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// idleTime is how long a connection may be idle between requests.
const idleTime = 2 * time.Minute

// What a connection of gRPC may have under way: the bytes of messages that nobody has read yet, and calls, which are
// streams of HTTP/2, with their headers. Config.Connections bounds the calls of all connections that are not refused.
const (
	callBuffer  = 256 << 10
	callsOfOne  = 64
	callHeader  = 8 << 10
	pingAfter   = 30 * time.Second // that nothing came, to learn whether there is still a client
	pingAnswers = 15 * time.Second
)

// Run serves a listener until ctx is done, loading the models meanwhile, and then drains: the server says that it is
// not ready, goes on for LameDuck so that balancers notice, takes no more connections, and answers what it has
// accepted. An error of loading ends it. The Open Inference Protocol over gRPC has a listener of its own, calls; nil:
// it is not served.
func (s *Server) Run(ctx context.Context, listener, calls net.Listener) error {
	servers := []*http.Server{s.httpServer(s)}
	listeners := []*limitedListener{s.conns.listen(listener, s.Connections, s.Stall)}
	if calls != nil {
		over2 := s.httpServer(s.grpcHandler())
		over2.Protocols = new(http.Protocols)
		over2.Protocols.SetUnencryptedHTTP2(true)
		over2.MaxHeaderBytes = callHeader
		over2.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: callsOfOne, MaxReceiveBufferPerConnection: callBuffer,
			MaxReceiveBufferPerStream: callBuffer / 4, // so that one call does not hold up the others
			MaxReadFrameSize:          16 << 10,
			SendPingTimeout:           pingAfter, PingTimeout: pingAnswers, WriteByteTimeout: s.Stall}
		s.forCalls = int64(s.Calls) * callBytes
		servers, listeners = append(servers, over2), append(listeners, s.calls.listen(calls, s.Calls, s.Stall))
	}
	for i, l := range listeners {
		servers[i].ConnState, servers[i].ConnContext = l.state, l.context
	}
	told := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var loadError error
	ended := make([]error, len(servers))
	var loading, serving, tidying sync.WaitGroup
	loading.Go(func() {
		if loadError = s.Load(ctx); loadError != nil {
			cancel()
			return
		}
		tidying.Go(func() { s.tidy(ctx) })
		s.Log.Info("ready", "address", listener.Addr().String(), "memory_limit_bytes", s.MemoryLimit())
	})
	for i, server := range servers {
		serving.Go(func() {
			if err := server.Serve(listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				ended[i] = err
			}
			cancel()
		})
	}
	<-ctx.Done()
	loading.Wait()
	switch {
	case loadError == nil:
		s.drain()
	case told.Err() != nil: // while the models were being loaded
		loadError = nil
	}
	// No request takes longer than Timeout, and its answer not much.
	deadline, stop := context.WithTimeout(context.Background(), s.Timeout+2*s.Stall)
	defer stop()
	var ending sync.WaitGroup
	for i, server := range servers {
		ending.Go(func() {
			if err := server.Shutdown(deadline); err != nil {
				ended[i] = errors.Join(ended[i], err, server.Close())
			}
		})
	}
	ending.Wait()
	serving.Wait()
	tidying.Wait()
	err := errors.Join(loadError, errors.Join(ended...), s.Close())
	s.Log.Info("stopped")
	return err
}

// httpServer has the times of a Server.
func (s *Server) httpServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: s.Stall, IdleTimeout: idleTime, MaxHeaderBytes: 16 << 10,
		// Handlers set deadlines of their own as bytes come and go. These are for what does not.
		ReadTimeout: s.Timeout + s.Stall, WriteTimeout: s.Timeout + s.Stall,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug), // of broken connections, mostly
	}
}

// connected is how many connections are open.
func (s *Server) connected() int { return s.conns.open() + s.calls.open() }

// drain waits until the server need not take new connections any more.
func (s *Server) drain() {
	s.draining.Store(true)
	s.Log.Info("stopping", "connections", s.connected())
	const look = 10 * time.Millisecond
	for waited := time.Duration(0); waited < s.LameDuck && s.connected() > 0; waited += look {
		time.Sleep(look)
	}
}
