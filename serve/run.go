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

// Run serves a listener until ctx is done, loading the models meanwhile, and then drains: the server says that it is
// not ready, goes on for LameDuck so that balancers notice, takes no more connections, and answers what it has
// accepted. An error of loading ends it.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: s.Stall, IdleTimeout: idleTime, MaxHeaderBytes: 16 << 10,
		// Handlers set deadlines of their own as bytes come and go. These are for what does not.
		ReadTimeout: s.Timeout + s.Stall, WriteTimeout: s.Timeout + s.Stall,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug), // of broken connections, mostly
	}
	limitedListener := s.conns.listen(listener, s.Connections)
	server.ConnState, server.ConnContext = limitedListener.state, limitedListener.context
	told := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var loadError, serveError error
	var loading, serving, tidying sync.WaitGroup
	loading.Go(func() {
		if loadError = s.Load(ctx); loadError != nil {
			cancel()
			return
		}
		tidying.Go(func() { s.tidy(ctx) })
		s.Log.Info("ready", "address", listener.Addr().String(), "memory_limit_bytes", s.MemoryLimit())
	})
	serving.Go(func() {
		if serveError = server.Serve(limitedListener); errors.Is(serveError, http.ErrServerClosed) {
			serveError = nil
		}
		cancel()
	})
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
	err := server.Shutdown(deadline)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	serving.Wait()
	tidying.Wait()
	err = errors.Join(loadError, serveError, err, s.Close())
	s.Log.Info("stopped")
	return err
}

// drain waits until the server need not take new connections any more.
func (s *Server) drain() {
	s.draining.Store(true)
	s.Log.Info("stopping", "connections", s.conns.open())
	const look = 10 * time.Millisecond
	for waited := time.Duration(0); waited < s.LameDuck && s.conns.open() > 0; waited += look {
		time.Sleep(look)
	}
}
