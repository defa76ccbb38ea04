package serve

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// document is openapi.yaml, checked against OpenAPI's rules, with a router over its paths.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(openAPI)
	if err != nil {
		return nil, err
	}
	for _, kind := range []string{numpyType, "image/svg+xml", "text/csv", "text/markdown", "application/yaml", "text/html",
		"text/css", "text/javascript", "image/png", "image/jpeg"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.FileBodyDecoder)
	}
	return doc, doc.Validate(loader.Context)
})

// validating is a client's transport that holds every answer against openapi.yaml.
type validating struct {
	t      *testing.T
	doc    *openapi3.T
	router routers.Router
}

// client is one whose answers are held against openapi.yaml.
func client(t *testing.T) *http.Client {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: &validating{t, doc, router}}
}

func (v *validating) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	if err := v.validate(r, answer, body); err != nil {
		v.t.Errorf("%s %s: %d %.300s\nis not what openapi.yaml says: %v", r.Method, r.URL.Path, answer.StatusCode, body, err)
	}
	return answer, nil
}

func (v *validating) validate(r *http.Request, answer *http.Response, body []byte) error {
	if answer.Header.Get("X-Request-Id") == "" {
		return fmt.Errorf("no X-Request-Id")
	}
	asked := r.Clone(r.Context())
	asked.Host, asked.URL.Scheme, asked.URL.Host, asked.Header = "", "", "", http.Header{}
	route, params, err := v.router.FindRoute(asked)
	if err != nil { // no such path, or not by this method
		if answer.StatusCode != http.StatusNotFound && answer.StatusCode != http.StatusMethodNotAllowed &&
			answer.StatusCode != http.StatusForbidden {
			return fmt.Errorf("the document has no such route, and it answers %d", answer.StatusCode)
		}
		return nil
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 answer.StatusCode, Header: answer.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(r.Context(), in.SetBodyBytes(body)); err != nil {
		return err
	}
	if length := answer.Header.Get(headerLength); length != "" { // JSON before bytes
		n, err := strconv.Atoi(length)
		if err != nil || n > len(body) {
			return fmt.Errorf("%s %s of %d bytes", headerLength, length, len(body))
		}
		value, err := openapi3filter.JSONBodyDecoder(bytes.NewReader(body[:n]), nil, nil, nil)
		if err != nil {
			return err
		}
		return v.doc.Components.Schemas["InferenceResponse"].Value.VisitJSON(value)
	}
	return nil
}

// TestOpenAPI: the document keeps OpenAPI's rules, is served, and has the routes that the server has, with every kind
// of error.
func TestOpenAPI(t *testing.T) {
	s, web := start(t, Config{})
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	answer, text := sent{method: "GET", path: "/openapi.yaml"}.do(t, web.URL)
	if answer.StatusCode != 200 || !bytes.Equal(text, openAPI) {
		t.Errorf("it is served as %d, %d bytes of %d", answer.StatusCode, len(text), len(openAPI))
	}
	var described []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if strings.HasSuffix(path, "/") {
				path += "{$}" // ServeMux's word for no more than that
			}
			described = append(described, method+" "+path)
		}
	}
	slices.Sort(described)
	slices.Sort(s.routed)
	if !slices.Equal(described, s.routed) {
		t.Errorf("openapi.yaml describes\n%v\nand the server has\n%v", described, s.routed)
	}
	kinds := doc.Components.Responses["Error"].Value.Content["application/json"].Schema.Value.Properties["kind"].Value.Enum
	var listed []string
	for _, k := range kinds {
		listed = append(listed, k.(string))
	}
	slices.Sort(listed)
	if want := kindsInSource(t); !slices.Equal(listed, want) {
		t.Errorf("openapi.yaml lists the kinds %v, the sources have %v", listed, want)
	}
}

// kindsInSource finds the kinds of refusals in this package's files.
func kindsInSource(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	kind := regexp.MustCompile(`kind\{"(\w+)", `)
	found := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range kind.FindAllSubmatch(text, -1) {
			found[string(m[1])] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}
