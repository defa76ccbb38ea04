package oipclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxBody bounds the body of a response, in bytes. With what JSON of that size can hold, a response takes at most five times as much.
const maxBody = 64 << 20

// Client speaks to one server. It is safe for concurrent use.
//
// Its methods' errors are a *StatusError where the server refused in the way that the specification wants, a *Violation where
// it departed from the specification, and others where there was no answer or the request cannot be sent.
type Client struct {
	base string
	http http.Client
}

// New is a client of the server whose v2 lies below base, "http://localhost:8000". A nil client is http.DefaultClient. Redirects
// are not followed, and no compressed answers are asked for: the protocol knows neither.
func New(base string, client *http.Client) *Client {
	if client == nil {
		client = http.DefaultClient
	}
	c := &Client{strings.TrimRight(base, "/"), *client}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// Live asks whether the server can receive requests (Server Live).
func (c *Client) Live(ctx context.Context) (bool, error) {
	return c.probe(ctx, "/v2/health/live", "", "live")
}

// Ready asks whether all models are ready (Server Ready).
func (c *Client) Ready(ctx context.Context) (bool, error) {
	return c.probe(ctx, "/v2/health/ready", "", "ready")
}

// ModelReady asks whether a model is ready (Model Ready). An empty version leaves it to the server.
func (c *Client) ModelReady(ctx context.Context, name, version string) (bool, error) {
	path, err := modelPath(name, version)
	if err != nil {
		return false, err
	}
	return c.probe(ctx, path+"/ready", name, "ready")
}

// probe asks a health endpoint. Its body, if any, may say the same in the member of this name, and then the model's name.
func (c *Client) probe(ctx context.Context, path, model, member string) (bool, error) {
	a, err := c.do(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return false, err
	}
	return a.health(model, member)
}

func (a *answer) health(model, member string) (bool, error) {
	healthy := a.code == http.StatusOK
	if !healthy && (a.code < 400 || a.code > 499) {
		return false, health.violated("the status is %d: neither 200 nor 4xx", a.code)
	}
	if len(a.body) == 0 {
		return healthy, nil
	}
	text, err := a.json("the health response")
	if err != nil {
		return false, err
	}
	o, err := parseObject(text, "the health response", health, nil, "name", "error", "ready", "live")
	if err != nil {
		return false, err
	}
	if !healthy && len(o.members) == 1 && o.members["error"] != nil {
		var refused *StatusError
		if err := a.failure(health); !errors.As(err, &refused) {
			return false, err
		}
		return false, nil
	}
	said, ok := o.members[member]
	if live, isLive := o.members["live"]; !ok && isLive && model == "" { // OIP's object for server ready
		said, ok = live, true
	}
	want := 1
	if model != "" {
		want = 2
		name, err := o.text("name")
		if err != nil {
			return false, err
		}
		if name != model {
			return false, health.violated("the health response is of %q, where %q was asked", name, model)
		}
	}
	if !ok || len(o.members) != want || string(said) != strconv.FormatBool(healthy) {
		return false, health.violated("the health response is %s, where the status %d says %q: %t", short(text), a.code, member, healthy)
	}
	return healthy, nil
}

// ServerMetadata describes a server (Server Metadata Response JSON Object).
type ServerMetadata struct {
	Name, Version string
	Extensions    []string
}

// Server asks for the server's metadata.
func (c *Client) Server(ctx context.Context) (*ServerMetadata, error) {
	a, err := c.do(ctx, http.MethodGet, "/v2", nil, nil)
	if err != nil {
		return nil, err
	}
	return parseServer(a)
}

func parseServer(a *answer) (*ServerMetadata, error) {
	if a.code != http.StatusOK {
		return nil, a.failure(serverError)
	}
	text, err := a.json("the server metadata")
	if err != nil {
		return nil, err
	}
	o, err := parseObject(text, "the server metadata", serverMetadata, []string{"name", "version", "extensions"})
	if err != nil {
		return nil, err
	}
	var m ServerMetadata
	if m.Name, err = o.text("name"); err != nil {
		return nil, err
	}
	if m.Version, err = o.text("version"); err != nil {
		return nil, err
	}
	m.Extensions, err = o.texts("extensions")
	return &m, err
}

// ModelMetadata describes a model (Model Metadata Response JSON Object).
type ModelMetadata struct {
	Name            string
	Versions        []string // that may be asked for
	Platform        string   // <project>_<format>
	Inputs, Outputs []Tensor // without Data; a dimension of -1 may have any size
}

// Model asks for a model's metadata. An empty version leaves it to the server.
func (c *Client) Model(ctx context.Context, name, version string) (*ModelMetadata, error) {
	path, err := modelPath(name, version)
	if err != nil {
		return nil, err
	}
	a, err := c.do(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return nil, err
	}
	return parseModel(a, name)
}

func parseModel(a *answer, name string) (*ModelMetadata, error) {
	if a.code != http.StatusOK {
		return nil, a.failure(modelError)
	}
	text, err := a.json("the model metadata")
	if err != nil {
		return nil, err
	}
	o, err := parseObject(text, "the model metadata", modelMetadata, []string{"name", "platform", "inputs", "outputs"}, "versions")
	if err != nil {
		return nil, err
	}
	var m ModelMetadata
	if m.Name, err = o.text("name"); err != nil {
		return nil, err
	}
	if m.Name != name {
		return nil, modelMetadata.violated("the metadata is of %q, where %q was asked", m.Name, name)
	}
	if m.Platform, err = o.text("platform"); err != nil {
		return nil, err
	}
	if project, format, ok := strings.Cut(m.Platform, "_"); !ok || project == "" || format == "" {
		return nil, platforms.violated("the platform is %q, not <project>_<format>", m.Platform)
	}
	if m.Versions, err = o.texts("versions"); err != nil {
		return nil, err
	}
	if m.Inputs, err = o.tensors("inputs"); err != nil {
		return nil, err
	}
	m.Outputs, err = o.tensors("outputs")
	return &m, err
}

// texts is an array of strings, nil where there is none.
func (o object) texts(name string) (texts []string, err error) {
	err = o.list(name, func(text []byte) error {
		s, ok := parseString(text)
		if !ok {
			return o.clause.violated("%s: %q holds %s, not a string", o.what, name, short(text))
		}
		texts = append(texts, s)
		return nil
	})
	return texts, err
}

// tensors is an array of $metadata_tensor.
func (o object) tensors(name string) (tensors []Tensor, err error) {
	names := map[string]bool{}
	err = o.list(name, func(text []byte) error {
		e, err := parseObject(text, "an element of "+name, modelMetadata, []string{"name", "datatype", "shape"})
		if err != nil {
			return err
		}
		const anySize = -1
		t, err := e.tensor(anySize)
		if err != nil {
			return err
		}
		if names[t.Name] {
			return modelMetadata.violated("%s has %q twice", name, t.Name)
		}
		names[t.Name] = true
		tensors = append(tensors, t)
		return nil
	})
	return tensors, err
}

// Infer runs a model (Inference). An empty version leaves it to the server. The response answers the request: its model, id and
// outputs are those that were asked for, and came as asked.
func (c *Client) Infer(ctx context.Context, model, version string, request Request) (*Response, error) {
	body, header, err := request.encode()
	if err != nil {
		return nil, err
	}
	a, err := c.infer(ctx, model, version, body, headers(header))
	if err != nil {
		return nil, err
	}
	r, err := a.inference()
	if err != nil {
		return nil, err
	}
	return r, r.answers(model, version, &request)
}

// headers are those of a request, by the length of its JSON where binary data follows it, else -1.
func headers(length int) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	if length >= 0 {
		h.Set("Content-Type", "application/octet-stream")
		h.Set(headerLength, strconv.Itoa(length))
	}
	return h
}

// infer posts a body as it is.
func (c *Client) infer(ctx context.Context, model, version string, body []byte, header http.Header) (*answer, error) {
	path, err := modelPath(model, version)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, http.MethodPost, path+"/infer", body, header)
}

// inference reads an answer of the inference endpoint, by itself.
func (a *answer) inference() (*Response, error) {
	if a.code != http.StatusOK {
		return nil, a.failure(inferenceError)
	}
	return parseResponse(a)
}

// modelPath is v2/models/<name>[/versions/<version>] (HTTP/REST).
func modelPath(name, version string) (string, error) {
	for _, segment := range []string{name, version} {
		if segment == "." || segment == ".." {
			return "", fmt.Errorf("%q cannot be part of a path", segment)
		}
	}
	if name == "" {
		return "", errors.New("the model has no name")
	}
	path := "/v2/models/" + url.PathEscape(name)
	if version != "" {
		path += "/versions/" + url.PathEscape(version)
	}
	return path, nil
}

// do asks and reads the whole answer.
func (c *Client) do(ctx context.Context, method, path string, body []byte, header http.Header) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("Accept-Encoding", "identity") // else Go's transport asks for gzip and hides lengths
	response, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	a := &answer{code: response.StatusCode, header: response.Header, length: response.ContentLength}
	if a.body, err = io.ReadAll(io.LimitReader(response.Body, maxBody+1)); err != nil {
		return nil, fmt.Errorf("%s %s: the answer broke off: %w", method, path, err)
	}
	if len(a.body) > maxBody {
		return nil, fmt.Errorf("%s %s: the answer has more than this client's %d bytes", method, path, maxBody)
	}
	if coding := response.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return nil, contentCoding.violated("%s %s: the answer is in the coding %q, which was not asked for", method, path, coding)
	}
	return a, nil
}
