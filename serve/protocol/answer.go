package protocol

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

const fp32 = "FP32"

// answer is an HTTP response, read whole.
type answer struct {
	code   int
	header http.Header
	length int64 // Content-Length; -1 where there was none
	body   []byte
}

// modelPath is v2/models/<name>[/versions/<version>] (HTTP/REST).
func modelPath(name, version string) string {
	path := "/v2/models/" + url.PathEscape(name)
	if version != "" {
		path += "/versions/" + url.PathEscape(version)
	}
	return path
}

// do asks and reads the whole answer.
func (r *run) do(method, path string, body []byte, header http.Header) (*answer, error) {
	q, err := http.NewRequestWithContext(r.ctx, method, r.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	maps.Copy(q.Header, header)
	q.Header.Set("Accept-Encoding", "identity") // else Go's transport asks for gzip and hides lengths
	got, err := r.client.Do(q)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	a := &answer{code: got.StatusCode, header: got.Header, length: got.ContentLength}
	if a.body, err = io.ReadAll(got.Body); err != nil {
		return nil, fmt.Errorf("the answer broke off: %w", err)
	}
	if coding := got.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return nil, contentCoding.violated("the answer is in the coding %q, which was not asked for", coding)
	}
	return a, nil
}

// is wants a Content-Type. A charset may only be UTF-8, which is JSON's (RFC 8259, section 8.1).
func (a *answer) is(mediaType string) error {
	got, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil || got != mediaType || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return examples.violated("Content-Type is %q, not %q", a.header.Get("Content-Type"), mediaType)
	}
	return nil
}

// object reads a body that is a JSON object.
func (a *answer) object(what string, by clause, to any) error {
	if err := a.is("application/json"); err != nil {
		return err
	}
	return decode(a.body, what, by, to)
}

// refusal wants the answer to a request that is wrong in itself: 4xx and an error object, which the clause describes.
func (a *answer) refusal(by clause) error {
	switch {
	case a.code == http.StatusOK:
		return by.violated("the request was answered as if it were right")
	case a.code/100 != 4:
		return clientError.violated("the status is %d where the client is at fault: %s", a.code, short(a.body))
	}
	var said struct {
		Message string `json:"error"`
	}
	err := a.object("the error object", by, &said)
	if err == nil && said.Message == "" {
		err = by.violated("the error object has no message")
	}
	return err
}

// success wants the status of an answer to a right request.
func (a *answer) success() error {
	if a.code != http.StatusOK {
		return inference.violated("the status is %d: %s", a.code, short(a.body))
	}
	return nil
}

func (a *answer) serverMetadata() error {
	var m struct {
		Name       string   `json:"name"`
		Version    string   `json:"version"`
		Extensions []string `json:"extensions"`
	}
	err := a.success()
	if err == nil {
		err = a.object("the server metadata", serverMetadataObject, &m)
	}
	if tried := []string{"binary_tensor_data"}; err == nil && !slices.Equal(m.Extensions, tried) {
		err = fmt.Errorf("the server lists the extensions %q, where these checks try %q", m.Extensions, tried)
	}
	return err
}

type modelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions,omitzero"`
	Platform string           `json:"platform"`
	Inputs   []tensorMetadata `json:"inputs"`
	Outputs  []tensorMetadata `json:"outputs"`
}

type tensorMetadata struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"` // -1: of any size
}

// describes holds a tensor's shape against its metadata.
func (m *tensorMetadata) describes(shape []int) bool {
	return slices.EqualFunc(shape, m.Shape, func(d, m int) bool { return d == m || m == -1 })
}

func (a *answer) modelMetadata(name string, m *modelMetadata) error {
	err := a.success()
	if err == nil {
		err = a.object("the model metadata", modelMetadataObject, m)
	}
	project, format, _ := strings.Cut(m.Platform, "_")
	switch {
	case err != nil:
		return err
	case m.Name != name:
		return modelMetadataObject.violated("the metadata is of %q, where %q was asked", m.Name, name)
	case project == "" || format == "":
		return platforms.violated("the platform is %q, not <project>_<format>", m.Platform)
	}
	for _, tensors := range [][]tensorMetadata{m.Inputs, m.Outputs} {
		names := map[string]bool{"": true}
		for _, t := range tensors {
			if names[t.Name] || slices.ContainsFunc(t.Shape, func(d int) bool { return d < -1 }) {
				return modelMetadataObject.violated("tensor %q has no name or one that was there, or the shape %v", t.Name, t.Shape)
			}
			if t.Datatype != fp32 {
				return dataTypes.violated("tensor %q is of %q: these checks know %s alone", t.Name, t.Datatype, fp32)
			}
			names[t.Name] = true
		}
	}
	return nil
}

// response is an answer to an inference request.
type response struct {
	Model      string     `json:"model_name"`
	Version    string     `json:"model_version,omitempty"`
	ID         *string    `json:"id,omitzero"` // it may be empty
	Parameters parameters `json:"parameters,omitzero"`
	Outputs    []output   `json:"outputs"`
}

type output struct {
	Name       string          `json:"name"`
	Shape      []int           `json:"shape"`
	Datatype   string          `json:"datatype"`
	Parameters parameters      `json:"parameters,omitzero"`
	Data       json.RawMessage `json:"data,omitzero"`
	binary     bool            // how it came
	values     []byte          // as binary data has them
}

// parameters are strings, numbers and booleans, by name.
type parameters map[string]json.RawMessage

func (p parameters) check() error {
	for name, value := range p {
		if strings.ContainsRune("{[n", rune(value[0])) {
			return parametersObject.violated("the parameter %q is %s, not a string, number or boolean", name, short(value))
		}
	}
	return nil
}

func (r *response) output(name string) *output {
	for i := range r.Outputs {
		if r.Outputs[i].Name == name {
			return &r.Outputs[i]
		}
	}
	return nil
}

// response reads an answer to an inference request, by itself.
func (a *answer) response() (*response, error) {
	if err := a.success(); err != nil {
		return nil, err
	}
	text, tail := a.body, []byte(nil)
	lengths := a.header.Values(headerLength)
	if len(lengths) > 0 {
		n, err := strconv.ParseUint(lengths[0], 10, 63)
		if err != nil || len(lengths) > 1 || n > uint64(len(a.body)) {
			return nil, binaryData.violated("%s is %q, where the body has %d bytes", headerLength, lengths, len(a.body))
		}
		text, tail = a.body[:n], a.body[n:]
	}
	r := &response{}
	err := decode(text, "the inference response", responseObject, r)
	if err == nil {
		err = r.Parameters.check()
	}
	binary := false
	for i := range r.Outputs {
		out := &r.Outputs[i]
		if err == nil {
			tail, err = out.read(tail)
		}
		binary = binary || out.binary
	}
	switch {
	case err != nil:
		return nil, err
	case len(tail) > 0:
		return nil, binaryData.violated("%d bytes are left after the outputs' binary data", len(tail))
	case !binary:
		return r, a.is("application/json")
	case a.length != int64(len(a.body)):
		return nil, binaryData.violated("there is binary data and no Content-Length that tells the whole body's")
	}
	return r, a.is("application/octet-stream")
}

// read takes an output's values from its JSON or from the binary data, of which it returns the rest.
func (out *output) read(tail []byte) (rest []byte, err error) {
	count, ok := product(out.Shape)
	size, sized := out.Parameters["binary_data_size"]
	switch {
	case !ok || out.Name == "":
		return nil, responseOutput.violated("output %q has no name, or %v for a shape", out.Name, out.Shape)
	case out.Datatype != fp32:
		return nil, dataTypes.violated("output %q is of %q: these checks know %s alone", out.Name, out.Datatype, fp32)
	case sized == (out.Data != nil):
		return nil, binaryData.violated("output %q has data: %t, and binary_data_size: %t", out.Name, out.Data != nil, sized)
	case !sized:
		err = out.readJSON(count)
	case string(size) != strconv.Itoa(4*count) || 4*count > len(tail):
		return nil, binaryData.violated("output %q of %v has a binary_data_size of %s, and %d bytes to come",
			out.Name, out.Shape, size, len(tail))
	default:
		out.binary, out.values, tail = true, tail[:4*count], tail[4*count:]
	}
	if err == nil {
		err = out.Parameters.check()
	}
	return tail, err
}

// readJSON reads data: numbers, flat or nested as the shape is.
func (out *output) readJSON(count int) error {
	flat := []any{}
	for _, token := range tokens(out.Data) {
		n, _ := token.(json.Number)
		if v, err := strconv.ParseFloat(string(n), 32); err == nil { // 1e39 is no float32
			flat, out.values = append(flat, n), binary.LittleEndian.AppendUint32(out.values, math.Float32bits(float32(v)))
		}
	}
	if len(flat) == count {
		nested, _ := nest(flat, out.Shape)
		if data := tree(out.Data); reflect.DeepEqual(data, flat) || reflect.DeepEqual(data, nested) {
			return nil
		}
	}
	return tensorData.violated("output %q: the data is not %d numbers, flat or nested as %v: %s",
		out.Name, count, out.Shape, short(out.Data))
}

// product is the number of a shape's elements; ok is false where there are none, or more than an answer could hold.
func product(shape []int) (n int, ok bool) {
	n = 1
	for _, d := range shape {
		if d < 1 || d > 1<<28/max(1, n) {
			return 0, false
		}
		n *= d
	}
	return n, true
}
