//go:build js

package serve

import (
	"net/http"
	"time"
)

// A Server in a browser has one client, the page that it came with. Prometheus and gRPC, which nobody could ask there,
// would be 21 of the 38 MB of the program.

type metrics struct{}

func newMetrics(*Server) *metrics { return nil }

func (*metrics) refused(protocol, kind string)                                  {}
func (*metrics) queued(model string, waited time.Duration)                      {}
func (*metrics) decoded(took time.Duration)                                     {}
func (*metrics) batch(model string, images int, took time.Duration)             {}
func (*metrics) request(protocol, route string, status int, took time.Duration) {}

func (s *Server) routePrograms(func(pattern string, serve endpoint)) {}

// servePage has nothing to do: the page's files lie beside the program.
func servePage(func(pattern string, serve endpoint)) {}

// engine is that of gRPC.
type engine struct{}

func (s *Server) newEngine() *engine { return nil }

// grpcHandler is of a listener, of which there is none.
func (s *Server) grpcHandler() http.Handler { return http.NotFoundHandler() }

type grpcCall struct{ err error }

func (c *call) dispatch() {}

// grpcProbes are the paths of what watches the server.
var grpcProbes map[string]bool
