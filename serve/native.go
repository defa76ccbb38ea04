//go:build !js

package serve

import (
	"net/http"

	"google.golang.org/grpc"

	"github.com/vggo/vggo/page"
)

// What a Server has beside the answers that the page asks for, where it is a process of its own. In a browser it has
// less: browser.go.

// engine is that of gRPC.
type engine = grpc.Server

// routePrograms are the endpoints that programs ask.
func (s *Server) routePrograms(route func(pattern string, serve endpoint)) {
	route("GET /healthz", (*call).healthz)
	route("GET /openapi.yaml", func(c *call) error { return c.answer("application/yaml", http.StatusOK, openAPI) })
	metrics := s.metrics.handler()
	route("GET /metrics", func(c *call) error {
		metrics.ServeHTTP(c.w, c.r)
		return nil
	})

	route("GET /v2", (*call).serverMetadata)
	route("GET /v2/{$}", (*call).serverMetadata)
	route("GET /v2/health/live", (*call).live)
	route("GET /v2/health/ready", (*call).ready)
	for _, model := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		route("GET "+model, (*call).modelMetadata)
		route("GET "+model+"/ready", (*call).modelReady)
		route("POST "+model+"/infer", (*call).infer)
	}

	route("POST /v1/classify", (*call).classify)
	route("POST /v1/features", (*call).features)
	route("POST /v1/compare", (*call).compare)
	route("POST /v1/similar", (*call).similar)
}

// servePage answers with the page's files.
func servePage(route func(pattern string, serve endpoint)) {
	files := page.Files()
	route("GET /{$}", func(c *call) error {
		files["index.html"].ServeHTTP(c.w, c.r)
		return nil
	})
	route("GET /page/{file}", func(c *call) error {
		name := c.r.PathValue("file")
		file, ok := files[name]
		if !ok {
			return refuse(notFound, "the page is at /", "the page has no file %q", clip(name))
		}
		file.ServeHTTP(c.w, c.r)
		return nil
	})
}
