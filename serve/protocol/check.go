package protocol

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"slices"
	"strconv"
)

// Sample is an input of FP32 that the model answers.
type Sample struct {
	Name   string
	Shape  []int
	Values []float32 // in row-major order
}

// Finding is the outcome of one check.
type Finding struct {
	Check  string // what was tried: "infer: nested JSON"
	Err    error  // nil where it passed
	clause clause // that it tries
}

func (f Finding) String() string {
	if f.Err != nil {
		return fmt.Sprintf("FAIL %s (%s): %v", f.Check, f.clause, f.Err)
	}
	return fmt.Sprintf("ok   %s (%s)", f.Check, f.clause)
}

// unknown is no server's name of a model, a version or a tensor.
const unknown = "protocol-no-such-name"

// run is one run of checks.
type run struct {
	ctx      context.Context
	client   http.Client
	base     string // v2 lies below it
	model    string
	sample   Sample
	numbers  []float64 // the sample's: JSON then has all their digits, and a server that reads through float64 rounds once
	data     []byte    // the same as binary data has them
	findings []Finding
	metadata modelMetadata
	plain    *response // to the plain request
}

// Check tries every endpoint of a server that is live and ready, with right and wrong requests, and tells what it
// found, in the order tried. base is the URL below which v2 lies, "http://localhost:8000". The model must give the same
// bits for the same input, which the checks of the encodings compare. Without metadata that describes the sample
// nothing more can be tried.
func Check(ctx context.Context, client *http.Client, base, model string, sample Sample) []Finding {
	r := &run{ctx: ctx, client: *client, base: base, model: model, sample: sample}
	r.client.CheckRedirect = func(*http.Request, []*http.Request) error { // the protocol has none
		return http.ErrUseLastResponse
	}
	for _, v := range sample.Values {
		r.numbers, r.data = append(r.numbers, float64(v)), binary.LittleEndian.AppendUint32(r.data, math.Float32bits(v))
	}
	if r.describe() {
		r.rightRequests()
		r.wrongRequests()
		r.infer("infer: as before, after the wrong requests", inference, "")
	}
	return r.findings
}

// expectation tells what is wrong with an answer; nil: nothing.
type expectation = func(a *answer) error

// try asks, and holds the answer against what is expected.
func (r *run) try(check string, by clause, method, path string, body []byte, header http.Header, is expectation) {
	a, err := r.do(method, path, body, header)
	if err == nil {
		err = is(a)
	}
	r.findings = append(r.findings, Finding{check, err, by})
}

// describe tries health and metadata. ok tells whether the metadata describes the sample.
func (r *run) describe() (ok bool) {
	get := func(check string, by clause, path string, is expectation) {
		r.try(check, by, http.MethodGet, path, nil, nil, is)
	}
	ready := func(model string, want bool) expectation {
		return probed(want, members{"name": model, "ready": want})
	}
	get("health: the server is live", health, "/v2/health/live", probed(true, members{"live": true}))
	get("health: the server is ready", health, "/v2/health/ready",
		probed(true, members{"ready": true}, members{"live": true}))
	get("health: the model is ready", health, modelPath(r.model, "")+"/ready", ready(r.model, true))
	get("health: an unknown model is not ready", health, modelPath(unknown, "")+"/ready", ready(unknown, false))
	get("health: an unknown version is not ready", health, modelPath(r.model, unknown)+"/ready", ready(r.model, false))

	refused := func(a *answer) error { return a.refusal(modelErrorObject) }
	get("metadata: the server", serverMetadataObject, "/v2", (*answer).serverMetadata)
	described := func(m *modelMetadata) expectation {
		return func(a *answer) error { return a.modelMetadata(r.model, m) }
	}
	get("metadata: the model", modelMetadataObject, modelPath(r.model, ""), described(&r.metadata))
	for _, version := range r.metadata.Versions {
		get("metadata: version "+version, modelMetadataObject, modelPath(r.model, version), described(new(modelMetadata)))
		get("health: version "+version+" is ready", health, modelPath(r.model, version)+"/ready", ready(r.model, true))
	}
	get("metadata: an unknown model is refused", modelErrorObject, modelPath(unknown, ""), refused)
	get("metadata: an unknown version is refused", modelErrorObject, modelPath(r.model, unknown), refused)
	err := r.fits()
	r.findings = append(r.findings, Finding{"metadata: the sample fits the model's input", err, modelMetadataObject})
	return err == nil
}

// fits compares the sample with the model's metadata.
func (r *run) fits() error {
	in, s := r.metadata.Inputs, &r.sample
	count, ok := product(s.Shape)
	switch {
	case !ok || count != len(s.Values) || slices.ContainsFunc(s.Values, func(v float32) bool { return v-v != 0 }):
		return fmt.Errorf("the sample's %d values are not finite, or do not fill the shape %v", len(s.Values), s.Shape)
	case len(in) != 1 || in[0].Name != s.Name || !in[0].describes(s.Shape):
		return modelMetadataObject.violated("the inputs are %v, where the sample is %s %v", in, s.Name, s.Shape)
	case len(s.Shape) < 2 || slices.Max(in[0].Shape) < 1:
		return fmt.Errorf("the input's shape is %v: these checks want two dimensions, and one that is fixed", in[0].Shape)
	}
	return nil
}

// rightRequests tries them in JSON, and with binary data in every place.
func (r *run) rightRequests() {
	nested, _ := nest(r.numbers, r.sample.Shape)
	r.infer("infer: flat JSON", inference, "")
	r.infer("infer: nested JSON", tensorData, "", set("data", nested))
	r.infer("infer: the id comes back", responseObject, "", ask("id", `Zürich <"42">`))
	for _, version := range r.metadata.Versions {
		r.infer("infer: version "+version, inference, version)
	}
	for _, out := range r.metadata.Outputs {
		r.infer("infer: output "+out.Name+" alone", requestOutput, "", ask("outputs", []members{{"name": out.Name}}))
	}
	each := func(binary bool) bend {
		var outputs []members
		for _, out := range r.metadata.Outputs {
			outputs = append(outputs, members{"name": out.Name, "parameters": members{"binary_data": binary}})
		}
		return ask("outputs", outputs)
	}
	input, all := sized(len(r.data)), ask("parameters", members{"binary_data_output": true})
	r.infer("binary: input", binaryData, "", input)
	r.infer("binary: outputs by binary_data", binaryData, "", each(true))
	r.infer("binary: outputs by binary_data_output", binaryData, "", all)
	r.infer("binary: input and outputs", binaryData, "", ask("id", "binary"), input, all)
	r.infer("binary: binary_data overrides binary_data_output", binaryData, "", input, each(false), all)
	r.inferBody("binary: raw request", rawBinary, "", r.data, headers("0"), r.bent(all))
}

// infer tries the plain request after changes that leave it right.
func (r *run) infer(check string, by clause, version string, bends ...bend) {
	request := r.bent(bends...)
	body, header := encode(request), headers("")
	if request["inputs"].([]members)[0]["data"] == nil {
		header = headers(strconv.Itoa(len(body)))
		body = append(body, r.data...)
	}
	r.inferBody(check, by, version, body, header, request)
}

// inferBody tries a body that says what request does, whose outputs must be those of the plain one, bit by bit.
func (r *run) inferBody(check string, by clause, version string, body []byte, header http.Header, request members) {
	r.try(check, by, http.MethodPost, modelPath(r.model, version)+"/infer", body, header, func(a *answer) error {
		got, err := a.response()
		if err == nil {
			err = r.answers(got, version, request)
		}
		if err != nil {
			return err
		}
		if r.plain == nil {
			r.plain = got
		}
		for _, g := range got.Outputs {
			if w := r.plain.output(g.Name); w == nil || !slices.Equal(g.Shape, w.Shape) || !bytes.Equal(g.values, w.values) {
				return by.violated("output %q has another shape or other bits than for the plain request", g.Name)
			}
		}
		return nil
	})
}

// answers holds a response against the request that it answers and against the model's metadata.
func (r *run) answers(got *response, version string, request members) error {
	id, _ := request["id"].(string)
	known := r.metadata.Versions
	switch {
	case got.Model != r.model:
		return responseObject.violated("the model_name is %q, where %q was asked", got.Model, r.model)
	case got.Version != "" && known != nil && !slices.Contains(known, got.Version),
		got.Version != "" && version != "" && got.Version != version:
		return responseObject.violated("the model_version is %q, where %q was asked of %q", got.Version, version, known)
	case got.ID == nil && id != "", got.ID != nil && *got.ID != id:
		return responseObject.violated("the id is not the request's, which is %q", id)
	}
	count := 0
	for _, m := range r.metadata.Outputs {
		asked, binary := asks(request, m.Name)
		if !asked {
			continue
		}
		count++
		switch out := got.output(m.Name); {
		case out == nil:
			return requestOutput.violated("output %q is not there", m.Name)
		case !m.describes(out.Shape):
			return modelMetadataObject.violated("output %q has the shape %v, by the metadata %v", m.Name, out.Shape, m.Shape)
		case out.binary != binary:
			return binaryData.violated("output %q comes as binary data: %t, where %t was asked", m.Name, out.binary, binary)
		}
	}
	if count != len(got.Outputs) {
		return requestOutput.violated("%d outputs came, and %d were asked for", len(got.Outputs), count)
	}
	return nil
}

// probed expects of a health endpoint the status, and no body or one of the objects.
func probed(want bool, objects ...members) expectation {
	return func(a *answer) error {
		switch {
		case want && a.code != http.StatusOK, !want && a.code/100 != 4:
			return health.violated("the status is %d", a.code)
		case len(a.body) == 0, !want && a.refusal(health) == nil:
			return nil
		}
		var said members
		if err := a.object("the health response", health, &said); err != nil {
			return err
		}
		if !slices.ContainsFunc(objects, func(o members) bool { return reflect.DeepEqual(o, said) }) {
			return health.violated("the health response is %s, not one of %v", short(a.body), objects)
		}
		return nil
	}
}
