package oipclient

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// members are a JSON object that can be bent.
type members = map[string]any

// wrong is a request that a server has to refuse.
type wrong struct {
	check          string
	clause         Clause
	model, version string // empty for the right ones
	body           []byte
	header         http.Header
}

// refusals tries wrong requests.
func (r *run) refusals(binary bool) {
	in := r.as(JSON)[0]
	data, err := in.appendJSON()
	if err != nil {
		r.found("refused: all", inference, err)
		return
	}
	all := slices.Concat(r.wrongAddresses(data), r.wrongTensors(data), r.wrongTexts(data))
	for _, w := range all {
		r.refuse(w)
	}
	for _, w := range r.wrongBinary(data) {
		if binary {
			r.refuse(w)
		} else {
			r.skip(w.check, w.clause, `the server does not list the extension "binary_tensor_data"`)
		}
	}
	r.wrongVerb("refused: GET of infer", http.MethodGet, "/infer")
	r.wrongVerb("refused: POST of the metadata", http.MethodPost, "")
}

func (r *run) refuse(w wrong) {
	if w.model == "" {
		w.model = r.model
	}
	a, err := r.client.infer(r.ctx, w.model, w.version, w.body, w.header)
	if err == nil {
		_, err = a.inference()
		err = refused(err, inferenceError)
	}
	r.found(w.check, w.clause, err)
}

// wrongVerb wants a 4xx: what the body says of another verb than an endpoint's is not the protocol's affair.
func (r *run) wrongVerb(check, method, endpoint string) {
	path, err := modelPath(r.model, "")
	if err == nil {
		var a *answer
		a, err = r.client.do(r.ctx, method, path+endpoint, nil, nil)
		if err == nil && (a.code < 400 || a.code > 499) {
			err = paths.violated("the status is %d", a.code)
		}
	}
	r.found(check, paths, err)
}

// bent is the plain request's JSON after a change to it or to its input.
func (r *run) bent(data json.RawMessage, bend func(request, input members)) []byte {
	input := members{"name": r.sample.Name, "shape": append([]int{}, r.sample.Shape...), "datatype": r.sample.Datatype, "data": data}
	request := members{"inputs": []any{input}}
	bend(request, input)
	body, err := json.Marshal(request)
	if err != nil {
		panic("oipclient: a request of texts and numbers has no JSON: " + err.Error())
	}
	return body
}

func (r *run) wrongAddresses(data []byte) []wrong {
	body := r.bent(data, func(_, _ members) {})
	return []wrong{
		{check: "refused: an unknown model", clause: paths, model: noModel, body: body, header: headers(-1)},
		{check: "refused: an unknown version", clause: paths, version: noVersion, body: body, header: headers(-1)},
	}
}

// wrongTensors are requests in JSON whose members say what cannot be.
func (r *run) wrongTensors(data []byte) (all []wrong) {
	add := func(check string, clause Clause, bend func(request, input members)) {
		all = append(all, wrong{check: "refused: " + check, clause: clause, body: r.bent(data, bend), header: headers(-1)})
	}
	set := func(name string, value any) func(request, input members) {
		return func(_, input members) { input[name] = value }
	}
	without := func(name string) func(request, input members) {
		return func(request, input members) {
			delete(request, name)
			delete(input, name)
		}
	}
	rename := func(from, to string) func(request, input members) {
		return func(request, input members) {
			for _, m := range []members{request, input} {
				if v, ok := m[from]; ok {
					delete(m, from)
					m[to] = v
				}
			}
		}
	}
	count, _ := product(r.sample.Shape) // fits has seen to it
	add("an unknown input", requestInput, set("name", noTensor))
	add("an unknown output", requestOutput, func(request, _ members) { request["outputs"] = []any{members{"name": noTensor}} })
	add("no inputs", inferenceRequest, without("inputs"))
	add("an empty list of inputs", inferenceRequest, func(request, _ members) { request["inputs"] = []any{} })
	for _, name := range []string{"name", "shape", "datatype", "data"} {
		add("an input without "+name, requestInput, without(name))
	}
	add("Inputs for inputs", caseSensitive, rename("inputs", "Inputs"))
	add("Data for data", caseSensitive, rename("data", "Data"))
	add("a datatype in small letters", caseSensitive, set("datatype", strings.ToLower(string(r.sample.Datatype))))
	add("an unknown datatype", dataTypes, set("datatype", "FLOAT"))
	other := FP64
	if r.sample.Datatype == FP64 {
		other = FP32
	}
	add("another datatype than the model's", modelMetadata, set("datatype", other))
	flat := []int{count}
	if len(r.sample.Shape) == 1 {
		flat = []int{count, 1}
	}
	add("another rank than the model's", modelMetadata, set("shape", flat))
	if bend := r.widened(); bend != nil {
		add("another dimension than the model's", modelMetadata, bend)
	} else {
		r.skip("refused: another dimension than the model's", modelMetadata, "the model has no fixed dimension of numbers")
	}
	add("more elements than the shape has", tensorData, func(_, input members) {
		input["data"] = json.RawMessage(strings.TrimSuffix(string(data), "]") + "," + strings.TrimPrefix(string(data), "["))
	})
	add("no elements where the shape has some", tensorData, set("data", []int{}))
	add("data that is no array", tensorData, set("data", members{"values": json.RawMessage(data)}))
	add("elements of another kind", tensorData, set("data", slices.Repeat([]any{members{}}, max(1, count))))
	add("ragged data", tensorData, set("data", []any{json.RawMessage(data), []any{json.RawMessage(data)}}))
	first := func(d any) []any {
		shape := []any{d}
		for _, d := range r.sample.Shape[min(1, len(r.sample.Shape)):] {
			shape = append(shape, d)
		}
		return shape
	}
	add("a negative dimension", requestInput, set("shape", first(-1)))
	add("a broken dimension", requestInput, set("shape", first(json.RawMessage("1.5"))))
	add("a dimension that is text", requestInput, set("shape", first("1")))
	add("a dimension beyond 64 bits", requestInput, set("shape", first(json.RawMessage("18446744073709551617"))))
	add("a shape whose product is 2^64", requestInput, func(_, input members) {
		input["shape"], input["data"] = json.RawMessage("[4294967296, 4294967296]"), []int{} // 0 elements where it wraps
	})
	return all
}

// widened makes a dimension that the model fixes one larger, with zeros to fill it; nil where there is none.
func (r *run) widened() func(request, input members) {
	at := slices.IndexFunc(r.metadata.Inputs, func(t Tensor) bool { return t.Name == r.sample.Name })
	fixed := slices.IndexFunc(r.metadata.Inputs[at].Shape, func(d int) bool { return d > 0 })
	if fixed < 0 || r.sample.Datatype == Bytes {
		return nil
	}
	wide := Input{Tensor: Tensor{Datatype: r.sample.Datatype, Shape: slices.Clone(r.sample.Shape)}}
	wide.Shape[fixed]++
	count, ok := product(wide.Shape)
	if !ok || count > maxBody {
		return nil
	}
	wide.Data = make([]byte, count*sizes[wide.Datatype])
	data, err := wide.appendJSON()
	if err != nil {
		return nil
	}
	return func(_, input members) {
		input["shape"], input["data"] = wide.Shape, json.RawMessage(data)
	}
}

// wrongTexts are bodies that are no JSON object.
func (r *run) wrongTexts(data []byte) (all []wrong) {
	plain := r.bent(data, func(_, _ members) {})
	for _, text := range []struct{ name, body string }{
		{"an empty body", ""},
		{"cut JSON", string(plain[:len(plain)-1])},
		{"JSON with more behind it", string(plain) + "{}"},
		{"an array for the request", "[" + string(plain) + "]"},
		{"null for the request", "null"},
		{"deeply nested JSON", strings.Repeat("[", 100_000)},
		{"text that is no JSON", "inputs"},
	} {
		all = append(all, wrong{check: "refused: " + text.name, clause: inferenceRequest, body: []byte(text.body), header: headers(-1)})
	}
	return all
}

// wrongBinary are requests whose lengths do not agree.
func (r *run) wrongBinary(data []byte) (all []wrong) {
	sized := func(size any) []byte {
		return r.bent(data, func(_, input members) {
			delete(input, "data")
			input["parameters"] = members{"binary_data_size": size}
		})
	}
	add := func(check string, text, tail []byte, length string) {
		h := headers(0)
		h.Set(headerLength, length)
		if length == "" {
			h.Del(headerLength)
		}
		all = append(all, wrong{check: "refused: binary: " + check, clause: binaryData, body: slices.Concat(text, tail), header: h})
	}
	length := func(text []byte) string { return fmt.Sprint(len(text)) }
	right, tail := sized(len(r.sample.Data)), r.sample.Data
	smaller, larger := tail[:max(0, len(tail)-1)], append(slices.Clone(tail), 0)
	for _, c := range []struct {
		check string
		size  any
		tail  []byte
	}{
		{"a size smaller than the shape's", len(smaller), smaller},
		{"a size larger than the shape's", len(larger), larger},
		{"a size smaller than the data", len(tail), larger},
		{"a size larger than the data", len(tail), smaller},
		{"a size of -1", -1, tail},
		{"a size beyond 64 bits", json.RawMessage("18446744073709551617"), tail},
		{"a size that is text", fmt.Sprint(len(tail)), tail},
	} {
		text := sized(c.size)
		add(c.check, text, c.tail, length(text))
	}
	both := r.bent(data, func(_, input members) { input["parameters"] = members{"binary_data_size": len(tail)} })
	add("both data and a size", both, tail, length(both))
	add("no "+headerLength, right, tail, "")
	add(headerLength+" within the JSON", right, tail, fmt.Sprint(len(right)-1))
	add(headerLength+" beyond the body", right, tail, fmt.Sprint(len(right)+len(tail)+1))
	add(headerLength+" of -1", right, tail, "-1")
	add(headerLength+" beyond 64 bits", right, tail, "18446744073709551617")
	add(headerLength+" that is no number", right, tail, "all")
	return all
}
