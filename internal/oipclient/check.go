package oipclient

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Finding is the outcome of one check: passed if neither Err nor Skipped says otherwise.
type Finding struct {
	Check   string // what was tried: "infer: nested JSON"
	Clause  Clause // that it tries
	Skipped string // why it was not tried
	Err     error
}

func (f Finding) String() string {
	switch {
	case f.Err != nil:
		return fmt.Sprintf("FAIL %s (%v): %v", f.Check, f.Clause, f.Err)
	case f.Skipped != "":
		return fmt.Sprintf("skip %s (%v): %s", f.Check, f.Clause, f.Skipped)
	}
	return fmt.Sprintf("ok   %s (%v)", f.Check, f.Clause)
}

// Names that no server has.
const (
	noModel   = "oipclient-no-such-model"
	noVersion = "oipclient-no-such-version"
	noTensor  = "oipclient-no-such-tensor"
)

// run is one run of checks.
type run struct {
	ctx      context.Context
	client   *Client
	model    string
	sample   Tensor
	findings []Finding
	metadata *ModelMetadata
	want     *Response // the outputs for the sample, asked for as plainly as can be
}

// Check tries every endpoint of a server that is live and ready, with right and wrong requests, and tells what it found, in the order
// tried. sample is the input that the model answers; it travels in every way, so its Encoding and Nested count for nothing, and its
// datatype must have a form in JSON. The model must give the same bits for the same input, which the checks of the
// encodings compare. What does not depend on a failed step is still tried.
func Check(ctx context.Context, client *Client, model string, sample Input) []Finding {
	r := &run{ctx: ctx, client: client, model: model, sample: sample.Tensor}
	extensions := r.describe()
	if r.metadata == nil || !r.fits() {
		return r.findings
	}
	r.inferJSON()
	r.inferBinary(extensions)
	r.classify(extensions)
	r.refusals(slices.Contains(extensions, "binary_tensor_data"))
	r.infer("infer: as before, after the wrong requests", inference, "", Request{Inputs: r.as(JSON)})
	return r.findings
}

func (r *run) found(check string, clause Clause, err error) {
	r.findings = append(r.findings, Finding{Check: check, Clause: clause, Err: err})
}

func (r *run) skip(check string, clause Clause, reason string) {
	r.findings = append(r.findings, Finding{Check: check, Clause: clause, Skipped: reason})
}

// as is the sample as the only input.
func (r *run) as(e Encoding) []Input { return []Input{{Tensor: r.sample, Encoding: e}} }

// describe tries health and metadata, and tells the server's extensions.
func (r *run) describe() (extensions []string) {
	probed := func(check string, want bool) func(bool, error) {
		return func(got bool, err error) {
			if err == nil && got != want {
				err = health.violated("the answer is %t", got)
			}
			r.found(check, health, err)
		}
	}
	probed("health: the server is live", true)(r.client.Live(r.ctx))
	probed("health: the server is ready", true)(r.client.Ready(r.ctx))
	probed("health: the model is ready", true)(r.client.ModelReady(r.ctx, r.model, ""))
	probed("health: an unknown model is not ready", false)(r.client.ModelReady(r.ctx, noModel, ""))
	probed("health: an unknown version is not ready", false)(r.client.ModelReady(r.ctx, r.model, noVersion))

	server, err := r.client.Server(r.ctx)
	r.found("metadata: the server", serverMetadata, err)
	if err == nil {
		extensions = server.Extensions
	}
	metadata, err := r.client.Model(r.ctx, r.model, "")
	r.found("metadata: the model", modelMetadata, err)
	if err == nil {
		r.metadata = metadata
		for _, version := range metadata.Versions {
			_, err := r.client.Model(r.ctx, r.model, version)
			r.found("metadata: version "+version, modelMetadata, err)
			probed("health: version "+version+" is ready", true)(r.client.ModelReady(r.ctx, r.model, version))
		}
	}
	_, err = r.client.Model(r.ctx, noModel, "")
	r.found("metadata: an unknown model is refused", modelError, refused(err, modelError))
	_, err = r.client.Model(r.ctx, r.model, noVersion)
	r.found("metadata: an unknown version is refused", modelError, refused(err, modelError))
	return extensions
}

// refused wants the error of a request that is wrong in itself, as the clause describes it.
func refused(err error, clause Clause) error {
	var status *StatusError
	switch {
	case err == nil:
		return clause.violated("the request was answered as if it were right")
	case !errors.As(err, &status):
		return err
	case status.Code > 499:
		return clientError.violated("the status is %d where the client is at fault: %s", status.Code, status.Message)
	}
	return nil
}

// fits compares the sample with the model's metadata.
func (r *run) fits() bool {
	const check = "metadata: the sample fits the model's input"
	at := slices.IndexFunc(r.metadata.Inputs, func(t Tensor) bool { return t.Name == r.sample.Name })
	if at < 0 {
		r.found(check, modelMetadata, fmt.Errorf("there is no input %q", r.sample.Name))
		return false
	}
	err := r.sample.check()
	if err == nil {
		err = described(&r.sample, &r.metadata.Inputs[at])
	}
	r.found(check, modelMetadata, err)
	return err == nil
}

// described holds a tensor against its metadata.
func described(t, metadata *Tensor) error {
	if t.Datatype != metadata.Datatype {
		return modelMetadata.violated("tensor %q is %s, by the metadata %s", t.Name, t.Datatype, metadata.Datatype)
	}
	if !slices.EqualFunc(t.Shape, metadata.Shape, func(d, m int) bool { return d == m || m == -1 }) {
		return modelMetadata.violated("tensor %q has the shape %v, by the metadata %v", t.Name, t.Shape, metadata.Shape)
	}
	return nil
}

// infer tries a request whose outputs must be those of the plain one, bit by bit. The first is the plain one.
func (r *run) infer(check string, clause Clause, version string, request Request) {
	got, err := r.client.Infer(r.ctx, r.model, version, request)
	if err == nil {
		err = r.asDescribed(got, request.Outputs)
	}
	switch {
	case err != nil:
	case r.want == nil:
		r.want = got
	default:
		err = r.sameOutputs(got, clause)
	}
	r.found(check, clause, err)
}

// asDescribed compares outputs with the model's metadata: all of them, unless some were asked for.
func (r *run) asDescribed(got *Response, asked []Output) error {
	for i := range r.metadata.Outputs {
		m := &r.metadata.Outputs[i]
		out := got.Output(m.Name)
		if out == nil {
			if len(asked) == 0 {
				return inferenceRequest.violated("output %q is in the metadata and not in the response, which was to have all", m.Name)
			}
			continue
		}
		if err := described(out, m); err != nil {
			return err
		}
	}
	for i := range got.Outputs {
		name := got.Outputs[i].Name
		if !slices.ContainsFunc(r.metadata.Outputs, func(m Tensor) bool { return m.Name == name }) {
			return modelMetadata.violated("output %q is not in the metadata", name)
		}
	}
	if v := got.ModelVersion; v != "" && len(r.metadata.Versions) > 0 && !slices.Contains(r.metadata.Versions, v) {
		return response.violated("the model_version %q is not in the metadata", v)
	}
	return nil
}

// sameOutputs compares outputs with those of the plain request.
func (r *run) sameOutputs(got *Response, clause Clause) error {
	for i := range got.Outputs {
		g := &got.Outputs[i].Tensor
		w := r.want.Output(g.Name)
		if w == nil || !slices.Equal(g.Shape, w.Shape) {
			return clause.violated("output %q has another shape than for the plain request", g.Name)
		}
		if !bytes.Equal(g.Data, w.Data) {
			return clause.violated("output %q has other bits than for the plain request", g.Name)
		}
	}
	return nil
}

// inferJSON tries right requests in JSON.
func (r *run) inferJSON() {
	r.infer("infer: flat JSON", inference, "", Request{Inputs: r.as(JSON)})
	r.infer("infer: nested JSON", tensorData, "", Request{Inputs: []Input{{Tensor: r.sample, Nested: true}}})
	r.infer("infer: the id comes back", response, "", Request{ID: `Zürich <"42">`, Inputs: r.as(JSON)})
	for _, version := range r.metadata.Versions {
		r.infer("infer: version "+version, inference, version, Request{Inputs: r.as(JSON)})
	}
	for _, out := range r.metadata.Outputs {
		r.infer("infer: output "+out.Name+" alone", requestOutput, "", Request{Inputs: r.as(JSON), Outputs: []Output{{Name: out.Name}}})
	}
}

// inferBinary tries right requests with binary data in every place.
func (r *run) inferBinary(extensions []string) {
	each := func(e Encoding) (outputs []Output) {
		for _, out := range r.metadata.Outputs {
			outputs = append(outputs, Output{Name: out.Name, Encoding: e})
		}
		return outputs
	}
	for _, c := range []struct {
		check   string
		request Request
	}{
		{"binary: input", Request{Inputs: r.as(Binary)}},
		{"binary: outputs by binary_data", Request{Inputs: r.as(JSON), Outputs: each(Binary)}},
		{"binary: outputs by binary_data_output", Request{Inputs: r.as(JSON), BinaryOutput: true}},
		{"binary: input and outputs", Request{ID: "binary", Inputs: r.as(Binary), BinaryOutput: true}},
		{"binary: binary_data overrides binary_data_output", Request{Inputs: r.as(Binary), Outputs: each(JSON), BinaryOutput: true}},
	} {
		if !slices.Contains(extensions, "binary_tensor_data") {
			r.skip(c.check, binaryData, `the server does not list the extension "binary_tensor_data"`)
			continue
		}
		r.infer(c.check, binaryData, "", c.request)
	}
	r.inferRaw(extensions)
}

// inferRaw tries the sample's bytes without a header. Servers by KServe's text may refuse that, but no server may misread it.
func (r *run) inferRaw(extensions []string) {
	const check = "binary: raw request"
	variable := 0
	for _, d := range r.metadata.Inputs[0].Shape {
		if d == -1 {
			variable++
		}
	}
	switch {
	case !slices.Contains(extensions, "binary_tensor_data"):
		r.skip(check, rawBinary, `the server does not list the extension "binary_tensor_data"`)
		return
	case len(r.metadata.Inputs) != 1 || variable > 1 || r.sample.Datatype == Bytes:
		r.skip(check, rawBinary, "the model's inputs do not follow from a number of bytes")
		return
	}
	a, err := r.client.infer(r.ctx, r.model, "", r.sample.Data, headers(0))
	if err != nil {
		r.found(check, rawBinary, err)
		return
	}
	got, err := a.inference()
	if refusal := refused(err, inferenceError); err != nil {
		if refusal == nil {
			r.skip(check, rawBinary, "the server refuses it: "+err.Error())
		} else {
			r.found(check, rawBinary, refusal)
		}
		return
	}
	if err = got.answers(r.model, "", &Request{BinaryOutput: true}); err == nil {
		err = r.asDescribed(got, nil)
	}
	if err == nil && r.want != nil {
		err = r.sameOutputs(got, rawBinary)
	}
	r.found(check, rawBinary, err)
}

// classify tries the classification of every output that has a row of float32 for each image.
func (r *run) classify(extensions []string) {
	for _, out := range r.metadata.Outputs {
		check := "classification: output " + out.Name
		var want *Tensor
		if r.want != nil {
			want = r.want.Output(out.Name)
		}
		switch {
		case !slices.Contains(extensions, "classification"):
			r.skip(check, classification, `the server does not list the extension "classification"`)
			continue
		case want == nil || want.Datatype != FP32 || len(want.Shape) < 1 || len(want.Shape) > 2 || slices.Contains(want.Shape, 0):
			r.skip(check, classification, "the output is no rows of FP32")
			continue
		}
		count := min(3, want.Shape[len(want.Shape)-1])
		got, err := r.client.Infer(r.ctx, r.model, "", Request{
			Inputs: r.as(JSON), Outputs: []Output{{Name: out.Name, Classification: count}},
		})
		if err == nil {
			err = sameClasses(want, got.Output(out.Name), count)
		}
		r.found(check, classification, err)
	}
}

// sameClasses compares "value:index[:label]" with the count highest values of each row.
func sameClasses(want, got *Tensor, count int) error {
	values, err := Values[float32](want)
	if err != nil {
		return err
	}
	classes, err := Values[string](got)
	if err != nil {
		return err
	}
	width := want.Shape[len(want.Shape)-1]
	if len(classes) != len(values)/width*count {
		return classification.violated("output %q has %d classes, where %d rows have %d each", got.Name, len(classes), len(values)/width, count)
	}
	for i, class := range classes {
		row := values[i/count*width:][:width]
		sorted := slices.SortedFunc(slices.Values(row), func(a, b float32) int { return cmp.Compare(b, a) })
		parts := strings.SplitN(class, ":", 3)
		if len(parts) < 2 {
			return classification.violated("output %q: the class is %q, not value:index[:label]", got.Name, class)
		}
		value, err := strconv.ParseFloat(parts[0], 64)
		index, indexErr := strconv.Atoi(parts[1])
		if err != nil || indexErr != nil || index < 0 || index >= width {
			return classification.violated("output %q: the class is %q, not value:index[:label]", got.Name, class)
		}
		x := float64(row[index])
		if row[index] != sorted[i%count] {
			return classification.violated("output %q: class %d of its row is %q, which is not the next highest", got.Name, i%count, class)
		}
		const digits = 1e-5 // how many are written is not said; six are what %f and %g write
		if math.Abs(value-x) > digits*(1+math.Abs(x)) {
			return classification.violated("output %q: the class is %q, where the value is %v", got.Name, class, x)
		}
	}
	return nil
}
