package serve

import (
	"bytes"
	_ "embed"
	"errors"
	"net/http"
	"strings"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/report"
)

// openAPI describes every endpoint.
//
//go:embed openapi.yaml
var openAPI []byte

// methods are those that routes have.
var methods = []string{http.MethodGet, http.MethodPost}

// routes are all endpoints, as openapi.yaml lists them: those of programs, and what the page asks, which is the same
// wherever it runs.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	route := func(pattern string, serve endpoint) {
		s.routed = append(s.routed, pattern)
		mux.Handle(pattern, s.handle(checked(pattern, serve)))
	}
	s.routePrograms(route)
	route("GET /v1/arch/{model}", (*call).arch)
	route("POST /v1/arch", (*call).archOf)
	route("GET /v1/arch/{model}/field", (*call).field)
	route("GET /v1/models", (*call).models)
	route("GET /v1/models/{model}/filters", (*call).filters)
	route("POST /v1/models/{model}/patches", (*call).patches)
	route("POST /v1/models/{model}/dream", (*call).dream)
	route("POST /v1/inside", (*call).inside)
	route("GET /v1/inside/{id}/input", (*call).insideInput)
	route("GET /v1/inside/{id}/maps", (*call).insideMaps)
	route("GET /v1/inside/{id}/map", (*call).insideMap)
	route("GET /v1/inside/{id}/cell", (*call).insideCell)
	route("GET /v1/inside/{id}/pixel", (*call).pixel)
	route("GET /v1/inside/{id}/scores", (*call).scores)
	route("POST /v1/inside/{id}/gradcam", (*call).gradCAM)
	route("POST /v1/inside/{id}/occlusion", (*call).occlusion)
	route("POST /v1/inside/{id}/effective", (*call).effective)
	route("POST /v1/inside/{id}/fool", (*call).fool)
	route("GET /v1/train", (*call).trainOffer)
	route("POST /v1/train", (*call).trainBegin)
	route(trainStepsRoute, (*call).trainSteps)
	route("GET /v1/train/{id}/step", (*call).trainOpen)
	route("POST /v1/train/{id}/judge", (*call).trainJudge)
	route("POST /v1/train/{id}/end", (*call).trainEnd)
	servePage(route)

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
			return refuse(notFound, "GET /openapi.yaml lists what there is", "there is nothing at %s", clip(c.r.URL.Path))
		}
		list := strings.Join(allowed, ", ")
		c.w.Header().Set("Allow", list)
		return refuse(method, "use "+list, "%s does not take %s", clip(c.r.URL.Path), clip(c.r.Method))
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
	Name       string               `json:"name"`
	Network    string               `json:"network"`
	Input      string               `json:"input"`
	Preprocess vggo.PreparationTold `json:"preprocess"`
	Batch      int                  `json:"batch"`
}

func (c *call) healthz() error {
	ready := c.usable()
	state := healthState{Status: "loading", Build: c.Build, Models: []modelHealth{}, Memory: c.MemoryLimit()}
	if l := c.loaded.Load(); l != nil {
		if state.Status = "ready"; !ready {
			state.Status = "broken"
		}
		for _, m := range l.models {
			state.Models = append(state.Models, modelHealth{m.name, m.Network.Name, m.Input.String(), m.Preprocess.Told(),
				m.Batch()})
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
var archTypes = map[report.Format]string{
	report.JSON: "application/json", report.CSV: "text/csv; charset=utf-8", report.SVG: "image/svg+xml",
	report.Markdown: "text/markdown; charset=utf-8", report.Table: "text/plain; charset=utf-8",
}

// arch tells what each layer of a network produces, costs and sees: of a model that is served, or of a built-in.
func (c *call) arch() error {
	net, err := c.network(c.r.PathValue("model"))
	if err != nil {
		return err
	}
	return c.answerArch(net)
}

// network finds that of a model, or a built-in one.
func (c *call) network(name string) (*arch.Network, error) {
	m, err := c.model(name)
	if err == nil {
		return m.Network, nil
	}
	if net, _ := arch.Builtin(name); net != nil { // never arch.Open: a client must not name files
		return net, nil
	}
	return nil, err
}

// analysed works a network out, for the input and the batch that the URL names.
func (c *call) analysed(net *arch.Network) (*arch.Report, error) {
	input := net.Input
	if text := c.text("input"); text != "" {
		var err error
		if input, err = arch.ParseShape(text); err != nil {
			return nil, refuse(badRequest, "input=224x224x3 is height, width and channels", "%v", err)
		}
	}
	batch := 1 // where the endpoint takes none
	if n, given := c.number("batch"); given {
		batch = n
	}
	r, err := arch.Analyze(net, input, batch)
	if err != nil {
		return nil, impossible(err)
	}
	return r, nil
}

// answerArch answers with a network's report, or its description.
func (c *call) answerArch(net *arch.Network) error {
	r, err := c.analysed(net)
	if err != nil {
		return err
	}
	format := report.Format(c.text("format"))
	var text bytes.Buffer
	if format == "yaml" {
		described := *net
		described.Input = r.Input
		if err := described.EncodeYAML(&text); err != nil {
			return err
		}
		return c.answer("application/yaml", http.StatusOK, text.Bytes())
	}
	if err := report.Network(&text, r, format, false); err != nil {
		return err
	}
	return c.answer(archTypes[format], http.StatusOK, text.Bytes())
}

// impossible is the refusal of a network that cannot exist, with the layer that breaks a rule.
func impossible(err error) error {
	var shape *arch.ShapeError
	if !errors.As(err, &shape) {
		return refuse(badRequest, "without input and batch it is what the network was designed for",
			"%s", clipLong(err.Error()))
	}
	hint := "the network cannot take this input: try another input=HxWxC"
	if shape.Layer != "" {
		hint = "layer " + clip(shape.Layer) + " cannot follow what is before it: change it, what is before it, or the input"
	}
	return refuse(badRequest, hint, "%s", clipLong(err.Error()))
}
