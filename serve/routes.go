package serve

import (
	"bytes"
	_ "embed"
	"net/http"
	"strconv"
	"strings"

	"github.com/vggo/vggo/arch"
)

// openAPI describes every endpoint.
//
//go:embed openapi.yaml
var openAPI []byte

// methods are those that routes have.
var methods = []string{http.MethodGet, http.MethodPost}

// routes are all endpoints, as openapi.yaml lists them.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, h http.Handler) {
		s.routed = append(s.routed, pattern)
		mux.Handle(pattern, h)
	}
	route := func(pattern string, serve endpoint) { handle(pattern, s.handle(serve)) }
	route("GET /healthz", (*call).healthz)
	route("GET /openapi.yaml", func(c *call) error { return c.answer("application/yaml", http.StatusOK, openAPI) })
	handle("GET /metrics", s.metrics.handler())

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
	route("GET /v1/arch/{model}", (*call).arch)

	mux.Handle("/", s.handle(func(c *call) error {
		var allowed []string
		for _, method := range methods {
			other := *c.r
			other.Method = method
			if _, pattern := mux.Handler(&other); pattern != "/" {
				allowed = append(allowed, method)
			}
		}
		if allowed == nil {
			return refuse(http.StatusNotFound, "not_found", "GET /openapi.yaml lists what there is", "there is nothing at %s", clip(c.r.URL.Path))
		}
		list := strings.Join(allowed, ", ")
		c.w.Header().Set("Allow", list)
		return refuse(http.StatusMethodNotAllowed, "method", "use "+list, "%s does not take %s", clip(c.r.URL.Path), clip(c.r.Method))
	}))
	return mux
}

// healthState answers GET /healthz.
type healthState struct {
	Status string        `json:"status"` // "loading", "ready", "broken" or "stopping"
	Build  any           `json:"build,omitempty"`
	Models []modelHealth `json:"models"`
	Memory int64         `json:"memory_limit_bytes,omitempty"`
}

type modelHealth struct {
	Name    string `json:"name"`
	Network string `json:"network"`
	Input   string `json:"input"`
	Recipe  string `json:"recipe"`
	Batch   int    `json:"batch"`
}

func (c *call) healthz() error {
	ready := c.Ready()
	state := healthState{Status: "loading", Build: c.Build, Models: []modelHealth{}, Memory: c.Memory()}
	if l := c.loaded.Load(); l != nil {
		if state.Status = "ready"; !ready {
			state.Status = "broken"
		}
		for _, m := range l.models {
			state.Models = append(state.Models, modelHealth{m.name, m.Network.Name, m.Input.String(), m.Recipe.Name, m.Batch()})
		}
	}
	if c.draining.Load() {
		state.Status = "stopping"
	}
	status := http.StatusServiceUnavailable
	if ready {
		status = http.StatusOK
	}
	return c.answerJSON(status, state)
}

// archTypes are the formats of a network's report.
var archTypes = map[arch.Format]string{
	arch.JSON: "application/json", arch.CSV: "text/csv; charset=utf-8", arch.Markdown: "text/markdown; charset=utf-8",
	arch.Table: "text/plain; charset=utf-8", arch.SVG: "image/svg+xml",
}

// arch tells what each layer of a network produces, costs and sees: of a model that is served, or of a built-in.
func (c *call) arch() error {
	name, query := c.r.PathValue("model"), c.r.URL.Query()
	var net *arch.Network
	m, err := c.model(name)
	if err == nil {
		net = m.Network
	} else if net, _ = arch.Builtin(name); net == nil { // never arch.Open: a client must not name files
		return err
	}
	input := net.Input
	if text := query.Get("input"); text != "" {
		if input, err = arch.ParseShape(text); err != nil {
			return refuse(http.StatusBadRequest, "bad_request", "input=224x224x3 is height, width and channels", "%v", err)
		}
	}
	batch := 1
	if text := query.Get("batch"); text != "" {
		if batch, err = strconv.Atoi(text); err != nil {
			return refuse(http.StatusBadRequest, "bad_request", "batch=1 is what is told without it", "batch=%s is no number of images", clip(text))
		}
	}
	format := either(arch.Format(query.Get("format")), arch.JSON)
	kind, ok := archTypes[format]
	if !ok {
		return refuse(http.StatusBadRequest, "bad_request", "format is one of json, csv, markdown, table and svg", "there is no format %q", clip(string(format)))
	}
	report, err := arch.Analyze(net, input, batch)
	if err != nil {
		return refuse(http.StatusBadRequest, "bad_request", "without input and batch it is what the network was designed for", "%v", err)
	}
	var text bytes.Buffer
	if err := report.Write(&text, format, false); err != nil {
		return err
	}
	return c.answer(kind, http.StatusOK, text.Bytes())
}
