package oipclient

import (
	"bytes"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
)

const headerLength = "Inference-Header-Content-Length"

// Response is what a server answered to an inference request (Inference Response JSON Object).
type Response struct {
	ModelName    string
	ModelVersion string // empty where the server tells none
	ID           string
	Parameters   map[string]any // strings, float64s and bools
	Outputs      []Result
}

// Result is an output (Response Output).
type Result struct {
	Tensor
	Binary bool // whether it came as binary data
}

// Output is the output of a name, nil where there is none.
func (r *Response) Output(name string) *Tensor {
	for i := range r.Outputs {
		if r.Outputs[i].Name == name {
			return &r.Outputs[i].Tensor
		}
	}
	return nil
}

// answer is an HTTP response, read whole.
type answer struct {
	code   int
	header http.Header
	length int64 // Content-Length; -1 where there was none
	body   []byte
}

// contentType wants one media type. A charset may only be UTF-8, which is JSON's (RFC 8259, section 8.1).
func (a *answer) contentType(want string) error {
	got, params, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || got != want || charset != "" && charset != "utf-8" && charset != "UTF-8" {
		return examples.violated("Content-Type is %q, not %q", a.header.Get("Content-Type"), want)
	}
	return nil
}

// json is the body as one JSON text under its Content-Type.
func (a *answer) json(what string) ([]byte, error) {
	if err := a.contentType("application/json"); err != nil {
		return nil, err
	}
	return a.body, validJSON(a.body, what)
}

// failure reads an error object under an HTTP error status, which the clause describes. The result is a *StatusError if both are
// as they should be, else a *Violation.
func (a *answer) failure(clause Clause) error {
	if a.code < 400 || a.code > 599 {
		return clause.violated("the status is %d: neither 200 nor an HTTP error", a.code)
	}
	what := fmt.Sprintf("the error object of status %d", a.code)
	text, err := a.json(what)
	if err != nil {
		return err
	}
	o, err := parseObject(text, what, clause, []string{"error"})
	if err != nil {
		return err
	}
	message, err := o.text("error")
	if err != nil {
		return err
	}
	if message == "" {
		return clause.violated("%s has no message", what)
	}
	return &StatusError{a.code, message}
}

// parseResponse reads a successful answer to an inference request.
func parseResponse(a *answer) (*Response, error) {
	text, tail, err := a.split()
	if err != nil {
		return nil, err
	}
	what := "the inference response"
	if len(text) < len(a.body) {
		what = fmt.Sprintf("the inference response, %d bytes by %s,", len(text), headerLength)
	}
	if err := validJSON(text, what); err != nil {
		return nil, err
	}
	o, err := parseObject(text, "the inference response", response,
		[]string{"model_name", "outputs"}, "model_version", "id", "parameters")
	if err != nil {
		return nil, err
	}
	r := &Response{}
	for _, text := range []struct {
		name  string
		field *string
	}{{"model_name", &r.ModelName}, {"model_version", &r.ModelVersion}, {"id", &r.ID}} {
		if *text.field, err = o.text(text.name); err != nil {
			return nil, err
		}
	}
	if r.Parameters, err = o.parameters(); err != nil {
		return nil, err
	}
	anyBinary := false
	err = o.list("outputs", func(text []byte) error {
		out, size, err := parseOutput(text)
		if err != nil {
			return err
		}
		if r.Output(out.Name) != nil {
			return response.violated("output %q is there twice", out.Name)
		}
		if len(r.Outputs) == maxTensors {
			return response.violated("there are more outputs than this client's %d", maxTensors)
		}
		if out.Binary {
			anyBinary = true
			if size > len(tail) {
				return binaryData.violated("output %q has %d bytes of binary data, of which the body holds %d", out.Name, size, len(tail))
			}
			out.Data, tail = tail[:size:size], tail[size:]
		}
		if err := out.check(); err != nil {
			return err
		}
		r.Outputs = append(r.Outputs, out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(tail) != 0 {
		return nil, binaryData.violated("%d bytes are left after the outputs' binary data", len(tail))
	}
	if !anyBinary {
		return r, a.contentType("application/json")
	}
	if len(a.header.Values(headerLength)) == 0 {
		return nil, binaryData.violated("there is binary data and no %s", headerLength)
	}
	if a.length != int64(len(a.body)) {
		return nil, binaryData.violated("there is binary data and no Content-Length that tells the whole body's")
	}
	return r, a.contentType("application/octet-stream")
}

// maxTensors bounds the tensors of a message, whose names are compared with each other. It is far beyond any network's.
const maxTensors = 1024

// split parts the body where Inference-Header-Content-Length says.
func (a *answer) split() (text, tail []byte, err error) {
	lengths := a.header.Values(headerLength)
	switch {
	case len(lengths) > 0:
	case a.contentType("application/octet-stream") == nil:
		return nil, nil, binaryData.violated("the body is application/octet-stream and there is no %s", headerLength)
	default:
		return a.body, nil, nil
	}
	n, err := strconv.ParseUint(lengths[0], 10, 63)
	if len(lengths) != 1 || err != nil {
		return nil, nil, binaryData.violated("%s is %q, not a length", headerLength, lengths)
	}
	if n > uint64(len(a.body)) {
		return nil, nil, binaryData.violated("%s is %d, more than the body's %d bytes", headerLength, n, len(a.body))
	}
	return a.body[:n], a.body[n:], nil
}

// parseOutput reads an output, but for binary data, of which it tells the size.
func parseOutput(text []byte) (out Result, size int, err error) {
	o, err := parseObject(text, "an output", responseOutput, []string{"name", "shape", "datatype"}, "parameters", "data")
	if err != nil {
		return out, 0, err
	}
	if out.Tensor, err = o.tensor(0); err != nil {
		return out, 0, err
	}
	o.what = "output " + strconv.Quote(out.Name)
	if out.Parameters, err = o.parameters(); err != nil {
		return out, 0, err
	}
	declared, sized := out.Parameters["binary_data_size"]
	data, given := o.members["data"]
	switch {
	case sized && given:
		return out, 0, binaryData.violated("%s has both data and binary_data_size", o.what)
	case !sized && !given:
		return out, 0, responseOutput.violated("%s has no data", o.what)
	case given:
		return out, 0, out.parseData(data)
	}
	delete(out.Parameters, "binary_data_size")
	n, ok := declared.(float64)
	if !ok || n < 0 || n > maxBody || n != float64(int(n)) {
		return out, 0, binaryData.violated("%s: binary_data_size is %#v, not a number of bytes within the body", o.what, declared)
	}
	out.Binary = true
	return out, int(n), nil
}

// tensor reads name, datatype and shape, whose dimensions are at least least.
func (o object) tensor(least int) (t Tensor, err error) {
	if t.Name, err = o.text("name"); err != nil {
		return t, err
	}
	what := "tensor " + strconv.Quote(t.Name)
	if t.Name == "" {
		return t, o.clause.violated("%s has an empty name", o.what)
	}
	datatype, err := o.text("datatype")
	if err != nil {
		return t, err
	}
	t.Datatype = Datatype(datatype)
	if _, ok := sizes[t.Datatype]; !ok {
		return t, dataTypes.violated("%s: %q is no datatype", what, datatype)
	}
	t.Shape = []int{}
	err = o.list("shape", func(text []byte) error {
		d, err := strconv.Atoi(string(text))
		if err != nil || !isNumber(text) || d < least {
			return o.clause.violated("%s: the shape has the dimension %s, not an integer of at least %d", what, short(text), least)
		}
		if len(t.Shape) == maxRank {
			return o.clause.violated("%s: the shape has more than this client's %d dimensions", what, maxRank)
		}
		t.Shape = append(t.Shape, d)
		return nil
	})
	return t, err
}

// parameters reads $parameters, whose values are strings, numbers and booleans (Parameters).
func (o object) parameters() (map[string]any, error) {
	raw, ok := o.members["parameters"]
	if !ok {
		return nil, nil
	}
	p := object{"parameters of " + o.what, parameters, map[string][]byte{}}
	if err := p.read(raw, func(string) error { return nil }); err != nil {
		return nil, err
	}
	values := map[string]any{}
	for name, text := range p.members {
		number, err := strconv.ParseFloat(string(text), 64)
		s, isText := parseString(text)
		switch {
		case isText:
			values[name] = s
		case bytes.Equal(text, []byte("true")), bytes.Equal(text, []byte("false")):
			values[name] = text[0] == 't'
		case isNumber(text) && err == nil:
			values[name] = number
		default:
			return nil, parameters.violated("%s: %q is %s, not a string, number or boolean", p.what, name, short(text))
		}
	}
	return values, nil
}

// answers holds a response against the request that it answers.
func (r *Response) answers(model, version string, request *Request) error {
	if r.ModelName != model {
		return response.violated("the model_name is %q, where %q was asked", r.ModelName, model)
	}
	if version != "" && r.ModelVersion != "" && r.ModelVersion != version {
		return response.violated("the model_version is %q, where %q was asked", r.ModelVersion, version)
	}
	if r.ID != request.ID {
		return response.violated("the id is %q, where the request's is %q", r.ID, request.ID)
	}
	for i := range r.Outputs {
		out := &r.Outputs[i]
		asked := Output{Name: out.Name}
		if len(request.Outputs) > 0 {
			at := slices.IndexFunc(request.Outputs, func(o Output) bool { return o.Name == out.Name })
			if at < 0 {
				return requestOutput.violated("output %q was not asked for", out.Name)
			}
			asked = request.Outputs[at]
		}
		if want := asked.binary(request); out.Binary != want {
			return binaryData.violated("output %q comes as binary data: %t, where %t was asked", out.Name, out.Binary, want)
		}
		if asked.Classification > 0 {
			if err := out.checkClasses(asked.Classification); err != nil {
				return err
			}
		}
	}
	for _, asked := range request.Outputs {
		if r.Output(asked.Name) == nil {
			return requestOutput.violated("output %q was asked for and is not there", asked.Name)
		}
	}
	return nil
}

// checkClasses wants count classes for each row.
func (t *Tensor) checkClasses(count int) error {
	n := len(t.Shape)
	if t.Datatype != Bytes || n != 1 && n != 2 || t.Shape[n-1] != count {
		return classification.violated("output %q is %s %v, where %d classes are BYTES [batch, %d]", t.Name, t.Datatype, t.Shape, count, count)
	}
	return nil
}
