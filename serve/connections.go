package serve

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// spareConnections are open beside the others while all of those have requests in progress. They are told so, but for
// probes.
const spareConnections = 16

// connections is what is known of the open ones. The zero value has none.
type connections struct {
	mu    sync.Mutex
	all   map[*connection]struct{}
	room  chan struct{} // holds a token when one was closed, or may be
	stall time.Duration // that a first header may take once it has begun
}

// connection is an open one.
type connection struct {
	net.Conn
	of      *connections
	silent  bool      // nothing has come yet
	spare   bool      // beyond the limit
	busy    bool      // from a request's header, once it is whole, to the last byte of the answer
	resting time.Time // when it was opened, or its last request ended
}

// open is how many there are.
func (c *connections) open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

// limitedListener has so many connections open at once. One more closes the one that has been idle longest, so that
// nobody keeps others out by doing nothing. None with a request in progress is closed.
type limitedListener struct {
	net.Listener
	*connections
	most   int
	closed chan struct{}
	once   sync.Once
}

func (c *connections) listen(l net.Listener, most int, stall time.Duration) *limitedListener {
	c.all, c.room, c.stall = map[*connection]struct{}{}, make(chan struct{}, 1), stall
	return &limitedListener{Listener: l, connections: c, most: most, closed: make(chan struct{})}
}

// Accept waits for the next connection, and then for a place.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			// The process has no more files. Its connections are what it can give up; without one, net/http tries again
			// later.
			if l.evict() {
				continue
			}
			return nil, err
		}
		if err != nil {
			return nil, err
		}
		placed, ok := l.place(conn)
		if !ok {
			return nil, errors.Join(net.ErrClosed, conn.Close())
		}
		return placed, nil
	}
}

// place makes room for a connection. It waits only while all others, the spare ones too, have requests in progress.
func (l *limitedListener) place(conn net.Conn) (*connection, bool) {
	for {
		if c := l.enter(conn); c != nil {
			return c, true
		}
		if l.evict() {
			continue
		}
		select {
		case <-l.room:
		case <-l.closed:
			return nil, false
		}
	}
}

// enter takes a connection in if there is room, or if only spare places are left and none can be made.
func (l *limitedListener) enter(conn net.Conn) *connection {
	l.mu.Lock()
	defer l.mu.Unlock()
	spare := len(l.all) >= l.most
	if spare && (len(l.all) >= l.most+spareConnections || l.idlest() != nil) {
		return nil
	}
	c := &connection{Conn: conn, of: l.connections, silent: true, spare: spare, resting: time.Now()}
	l.all[c] = struct{}{}
	return c
}

// evict closes the connection that has been idle longest; false says that none is.
func (l *limitedListener) evict() bool {
	l.mu.Lock()
	c := l.idlest()
	l.mu.Unlock()
	if c == nil {
		return false
	}
	_ = c.Close() // nobody reads on it
	return true
}

// idlest is the connection that has been idle longest, nil without one. The caller has the lock.
func (c *connections) idlest() (idlest *connection) {
	for one := range c.all {
		if !one.busy && (idlest == nil || one.resting.Before(idlest.resting)) {
			idlest = one
		}
	}
	return idlest
}

// Close ends Accept too where it waits for a place.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// state hears from net/http. A connection is active once a header is read: one that sends its header byte by byte is
// idle here.
func (l *limitedListener) state(conn net.Conn, state http.ConnState) {
	c, ok := conn.(*connection)
	if !ok {
		return
	}
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	switch state {
	case http.StateActive:
		c.busy = true
	case http.StateIdle:
		c.busy, c.resting = false, time.Now()
		c.of.changed()
	}
}

type connectionKey struct{}

// context lets a request know its connection.
func (l *limitedListener) context(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, conn)
}

// spare reports whether a request's connection is one too many.
func spare(r *http.Request) bool {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	return ok && c.spare
}

// changed wakes whoever waits for a place. The caller has the lock.
func (c *connections) changed() {
	select {
	case c.room <- struct{}{}:
	default:
	}
}

// SetReadDeadline lets a connection that nothing has come by rest like one between two requests. net/http would time
// the header from when it was opened, but clients open connections ahead of need (browsers, and Go's when another one
// becomes free first) and send a request by them later: it would meet a connection that is being closed, and be lost.
func (c *connection) SetReadDeadline(t time.Time) error {
	if c.silent {
		t = time.Now().Add(idleTime)
	}
	return c.Conn.SetReadDeadline(t)
}

// Read begins the first header's time with its first byte.
func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.silent && n > 0 {
		c.silent = false
		err = errors.Join(err, c.SetReadDeadline(time.Now().Add(c.of.stall)))
	}
	return n, err
}

// CloseWrite lets net/http end an answer to a client that is still sending.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.all, c)
	c.of.changed()
	c.of.mu.Unlock()
	return c.Conn.Close()
}
