package protocol

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// wrongRequests tries what a server has to refuse.
func (r *run) wrongRequests() {
	plain := encode(r.bent())
	r.refuse("an unknown model", paths, modelPath(unknown, ""), plain, headers(""))
	r.refuse("an unknown version", paths, modelPath(r.model, unknown), plain, headers(""))
	r.wrongTensors()
	for _, text := range []struct{ check, body string }{
		{"an empty body", ""},
		{"cut JSON", string(plain[:len(plain)-1])},
		{"JSON with more behind it", string(plain) + "{}"},
		{"an array for the request", "[" + string(plain) + "]"},
		{"null for the request", "null"},
		{"deeply nested JSON", strings.Repeat("[", 100_000)},
		{"text that is no JSON", "inputs"},
	} {
		r.refuse(text.check, requestObject, modelPath(r.model, ""), []byte(text.body), headers(""))
	}
	r.wrongBinary()
	r.wrongVerb("GET of infer", http.MethodGet, "/infer")
	r.wrongVerb("POST of the metadata", http.MethodPost, "")
}

// refuse wants a request for inference by a model to be refused.
func (r *run) refuse(check string, by clause, model string, body []byte, header http.Header) {
	r.try("refused: "+check, by, http.MethodPost, model+"/infer", body, header, func(a *answer) error {
		return a.refusal(errorObject)
	})
}

// wrongVerb wants a 4xx: what the body says of another verb than an endpoint's is not the protocol's affair.
func (r *run) wrongVerb(check, method, endpoint string) {
	r.try("refused: "+check, paths, method, modelPath(r.model, "")+endpoint, nil, nil, func(a *answer) error {
		if a.code/100 != 4 {
			return paths.violated("the status is %d", a.code)
		}
		return nil
	})
}

// wrongTensors tries requests in JSON whose members say what cannot be.
func (r *run) wrongTensors() {
	reshaped := func(shape, data any) bend {
		return func(_, input members) { input["shape"], input["data"] = shape, data }
	}
	first := func(d any) bend { // in place of the first dimension
		shape := []any{d}
		for _, d := range r.sample.Shape[1:] {
			shape = append(shape, d)
		}
		return set("shape", shape)
	}
	count := len(r.numbers)
	wide := slices.Clone(r.sample.Shape)
	wide[slices.IndexFunc(r.metadata.Inputs[0].Shape, func(d int) bool { return d > 0 })]++ // fits wants one that is fixed
	wideCount, _ := product(wide)
	for _, w := range []struct {
		check string
		by    clause
		bend  bend
	}{
		{"an unknown input", requestInput, set("name", unknown)},
		{"an unknown output", requestOutput, ask("outputs", []members{{"name": unknown}})},
		{"no inputs", requestObject, without("inputs")},
		{"an empty list of inputs", requestObject, ask("inputs", []members{})},
		{"an input without name", requestInput, without("name")},
		{"an input without shape", requestInput, without("shape")},
		{"an input without datatype", requestInput, without("datatype")},
		{"an input without data", requestInput, without("data")},
		{"Inputs for inputs", caseSensitive, func(request, input members) {
			delete(request, "inputs")
			request["Inputs"] = []members{input}
		}},
		{"Data for data", caseSensitive, func(_, input members) {
			delete(input, "data")
			input["Data"] = r.numbers
		}},
		{"a datatype in small letters", caseSensitive, set("datatype", strings.ToLower(fp32))},
		{"an unknown datatype", dataTypes, set("datatype", "FLOAT")},
		{"another datatype than the model's", modelMetadataObject, set("datatype", "FP64")},
		{"another rank than the model's", modelMetadataObject, set("shape", []int{count})},
		{"another dimension than the model's", modelMetadataObject, reshaped(wide, make([]int, wideCount))},
		{"more elements than the shape has", tensorData, set("data", slices.Concat(r.numbers, r.numbers))},
		{"no elements where the shape has some", tensorData, set("data", []int{})},
		{"data that is no array", tensorData, set("data", members{"values": r.numbers})},
		{"elements of another kind", tensorData, set("data", slices.Repeat([]any{members{}}, count))},
		{"ragged data", tensorData, set("data", []any{r.numbers, []any{r.numbers}})},
		{"a negative dimension", requestInput, first(-1)},
		{"a broken dimension", requestInput, first(1.5)},
		{"a dimension that is text", requestInput, first("1")},
		{"a dimension beyond 64 bits", requestInput, first(json.Number("18446744073709551617"))},
		{"a shape whose product is 2^64", requestInput, reshaped([]int64{1 << 32, 1 << 32}, []int{})}, // 0 where it wraps
	} {
		r.refuse(w.check, w.by, modelPath(r.model, ""), encode(r.bent(w.bend)), headers(""))
	}
}

// wrongBinary tries requests whose lengths do not agree.
func (r *run) wrongBinary() {
	refuse := func(check string, text, tail []byte, header http.Header) {
		r.refuse("binary: "+check, binaryData, modelPath(r.model, ""), slices.Concat(text, tail), header)
	}
	length := func(text []byte) http.Header { return headers(strconv.Itoa(len(text))) }
	data := r.data
	smaller, larger := data[:len(data)-1], append(slices.Clone(data), 0)
	for _, w := range []struct {
		check string
		size  any
		tail  []byte
	}{
		{"a size smaller than the shape's", len(smaller), smaller},
		{"a size larger than the shape's", len(larger), larger},
		{"a size smaller than the data", len(data), larger},
		{"a size larger than the data", len(data), smaller},
		{"a size of -1", -1, data},
		{"a size beyond 64 bits", json.Number("18446744073709551617"), data},
		{"a size that is text", strconv.Itoa(len(data)), data},
	} {
		text := encode(r.bent(sized(w.size)))
		refuse(w.check, text, w.tail, length(text))
	}
	both := encode(r.bent(set("parameters", members{"binary_data_size": len(data)})))
	refuse("both data and a size", both, data, length(both))

	text := encode(r.bent(sized(len(data))))
	refuse("no "+headerLength, text, data, http.Header{"Content-Type": {"application/octet-stream"}})
	for _, w := range []struct{ check, length string }{
		{"within the JSON", strconv.Itoa(len(text) - 1)},
		{"beyond the body", strconv.Itoa(len(text) + len(data) + 1)},
		{"of -1", "-1"},
		{"beyond 64 bits", "18446744073709551617"},
		{"that is no number", "all"},
	} {
		refuse(headerLength+" "+w.check, text, data, headers(w.length))
	}
}
