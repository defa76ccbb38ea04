// Package serve is networks behind HTTP: the Open Inference Protocol for programs, a few endpoints for people, and what
// a service needs beside them. Work is bounded before it is taken on: by bytes, by pixels, by multiply-accumulates and
// by time.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/page"
	"github.com/vggo/vggo/page/lesson"
)

// Config says what a Server serves, and within which limits. A zero limit counts as its default.
type Config struct {
	Models []Source
	// Indexes are files of similar.Index, in which POST /v1/similar looks for pictures, by the Names of their Models.
	Indexes map[string]string

	Timeout time.Duration // of a request, from its first byte to the last of its answer's; 30 s
	Stall   time.Duration // that a header may take, and a body or an answer make no progress; 5 s
	// that a request waits for others, to be computed with them, if any are on their way; 2 ms, negative: none
	MaxWait    time.Duration
	Queue      int           // images, of the costliest model, that may be waiting or computed at once; 64
	MaxBody    int64         // bytes of a request; 32 MiB
	Buffers    int64         // bytes of all requests and their answers together; 8 times MaxBody
	MaxPixels  int           // of a picture; 25 million
	Kept       int64         // bytes of what layers made of pictures, kept for the page to ask about; 256 MiB
	KeptFor    time.Duration // that nobody asks; 45 s
	DecodeTime time.Duration // of a picture; 5 s
	// pictures decoded at once, no fewer than 2, one of which is always small; one for each processor that Go may use
	Decoders    int
	Connections int // open at once; one more closes that which was idle longest; 1024
	// Calls are connections of gRPC open at once, beside the others, likewise; an eighth of Connections. Requests of all
	// kinds are answered at once up to Connections and a few more.
	Calls int
	// Training is what networks learn from in the page, where nothing else is given; nil: none learns. Who reaches the
	// server can then have it compute as long as they look.
	Training func() (lesson.Data, error)
	// LameDuck is how long a draining server still takes connections, for balancers that have not noticed. Without open
	// connections it ends at once. Default: 1 s.
	LameDuck time.Duration

	// Hosts are names by which the server may be called, beside localhost and IP addresses; "*" is any. A web page
	// elsewhere can give its own name this server's address, and would then be of the same origin.
	Hosts   []string
	Loaded  func()       // is told once the models are, if not nil
	Version string       // of the program
	Build   any          // what /healthz tells of the program, as JSON
	Log     *slog.Logger // nil: nothing is logged
}

// Source is a model to be opened.
type Source struct {
	Name string // in URLs; empty: its network's
	Open func() (*vggo.Model, error)
}

func (c *Config) complete() {
	c.Timeout = either(c.Timeout, 30*time.Second)
	c.Stall = either(c.Stall, 5*time.Second)
	c.MaxWait = either(c.MaxWait, 2*time.Millisecond)
	c.Queue = either(c.Queue, 64)
	c.MaxBody = either(c.MaxBody, 32<<20)
	c.Buffers = either(c.Buffers, 8*c.MaxBody)
	c.MaxPixels = either(c.MaxPixels, 25_000_000)
	c.Kept = either(c.Kept, 256<<20)
	c.KeptFor = either(c.KeptFor, 45*time.Second)
	c.DecodeTime = either(c.DecodeTime, 5*time.Second)
	c.Decoders = either(c.Decoders, runtime.GOMAXPROCS(0))
	c.Connections = either(c.Connections, 1024)
	c.Calls = either(c.Calls, max(c.Connections/8, 1))
	c.LameDuck = either(c.LameDuck, time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

func either[T comparable](v, otherwise T) T {
	if v == *new(T) {
		return otherwise
	}
	return v
}

// Server is an http.Handler. Load makes its models ready, Run gives it listeners, Close ends it.
type Server struct {
	Config
	handler http.Handler
	engine  *engine
	routed  []string // the patterns of all endpoints
	metrics *metrics
	buffers *gate        // bytes
	visits  *page.Visits // of the page
	decode  *decoders
	turn    chan struct{} // for the batchers and the learner: one computes
	learner learner       // of the page

	loaded   atomic.Pointer[loaded] // nil until all models are
	draining atomic.Bool
	inFlight atomic.Int64 // requests being answered
	asked    atomic.Int64 // requests that have come, probes not counted
	answered atomic.Int64 // those of them that are over
	heard    atomic.Int64 // when the last was, in nanoseconds of Unix
	conns    connections
	calls    connections // of gRPC
	forCalls int64       // bytes that those may take

	tidyEvery, quietAfter time.Duration // shorter in tests
}

// loaded is what there is once the models are.
type loaded struct {
	models []*model
	work   *gate // multiply-accumulates
	memory int64 // bytes, see Server.Memory
}

// New makes a Server, which answers that it is not ready yet.
func New(config Config) *Server {
	config.complete()
	s := &Server{
		Config: config, buffers: newGate(config.Buffers, "bytes"), visits: page.NewVisits(config.Kept),
		decode: newDecoders(config.Decoders, config.Timeout/3), turn: make(chan struct{}, 1),
		learner:   learner{silence: trainSilence},
		tidyEvery: tidyEvery, quietAfter: quietAfter,
	}
	s.metrics = newMetrics(s)
	s.handler, s.engine = s.guard(overHTTP, s.routes()), s.newEngine()
	return s
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// modelName is what a URL takes without escapes.
var modelName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Load opens the models and runs each once, which packs its weights and brings them into memory. Then the Server is
// ready. It stops between two models when ctx is done.
func (s *Server) Load(ctx context.Context) (err error) {
	l := &loaded{}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	var costliest int64
	for _, source := range s.Models {
		if err := ctx.Err(); err != nil {
			return err
		}
		start := time.Now()
		m, err := s.open(source)
		if m != nil {
			l.models = append(l.models, m)
		}
		if err != nil {
			return err
		}
		if slices.ContainsFunc(l.models[:len(l.models)-1], func(other *model) bool { return other.name == m.name }) {
			return fmt.Errorf("two models are called %s: give them names", m.name)
		}
		costliest = max(costliest, m.cost, m.index.cost())
		s.Log.Info("model ready", "model", m.name, "network", m.Network.Name, "weights", m.Origin, "batch", m.Batch(),
			"seconds", time.Since(start).Seconds())
	}
	if len(l.models) == 0 {
		return errors.New("no model to serve")
	}
	for name, path := range s.Indexes {
		if !slices.ContainsFunc(s.Models, func(m Source) bool { return m.Name == name }) {
			return fmt.Errorf("the index %s is for a model %q, which is not served", path, name)
		}
	}
	l.work = newGate(int64(s.Queue)*costliest, "multiply-accumulates")
	l.memory = s.memoryOf(l.models)
	s.loaded.Store(l)
	if s.Loaded != nil {
		s.Loaded()
	}
	return nil
}

// usable says whether requests are taken: all models are loaded and their files whole, and the server does not drain.
func (s *Server) usable() bool {
	l := s.loaded.Load()
	return l != nil && !s.draining.Load() &&
		!slices.ContainsFunc(l.models, func(m *model) bool { return m.Check() != nil })
}

// Close ends the batchers and what learns, and closes the models. No request may be running.
func (s *Server) Close() error {
	s.learner.put(nil)
	if l := s.loaded.Swap(nil); l != nil {
		return l.close()
	}
	return nil
}

func (l *loaded) close() (err error) {
	for _, m := range l.models {
		m.batches.close()
		err = errors.Join(err, m.Close())
	}
	return err
}

// decodeBytes is the most that a picture takes while it is decoded, whatever its format: see vision.Expect, and three
// copies of the file.
func (s *Server) decodeBytes() int64 { return 16*int64(s.MaxPixels) + 161<<20 + 3*s.MaxBody }

// connectionBytes is what an open connection takes: two buffers of 4 KiB, a goroutine's stack, its header of at most 16
// KiB.
const connectionBytes = 64 << 10

// callBytes is what one of gRPC takes: what may arrive before it is read, as much as another for its frames and tables
// of headers, and for each call under way, refused ones too, its header and the stacks of its goroutines.
const callBytes = callBuffer + connectionBytes + callsOfOne*(callHeader+16<<10)

// MemoryLimit is the most bytes that the process takes beside mapped files, by these limits: the models' packed
// weights, maps and workspace (of random weights the parameters), the buffers, what is kept of pictures, the pictures
// being decoded, the connections, and 100 MB for the program. 0 until the models are loaded. The Go runtime needs
// telling (debug.SetMemoryLimit), or garbage comes on top.
func (s *Server) MemoryLimit() int64 {
	if l := s.loaded.Load(); l != nil {
		return l.memory
	}
	return 0
}

func (s *Server) memoryOf(models []*model) int64 {
	total := s.Buffers + s.Kept + s.decode.bytes(s.decodeBytes()) + 100e6 + int64(s.Connections)*connectionBytes +
		s.forCalls
	if s.Training != nil {
		total += lesson.Memory
	}
	for _, m := range models {
		total += m.bytes
	}
	return total
}
