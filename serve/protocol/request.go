package protocol

import (
	"encoding/json"
	"net/http"
)

const headerLength = "Inference-Header-Content-Length"

// members are a JSON object, and bend changes those of a request or of its input.
type (
	members = map[string]any
	bend    = func(request, input members)
)

func ask(name string, value any) bend { return func(request, _ members) { request[name] = value } }

func set(name string, value any) bend { return func(_, input members) { input[name] = value } }

func without(name string) bend {
	return func(request, input members) {
		delete(request, name)
		delete(input, name)
	}
}

// sized puts binary_data_size in the place of an input's data.
func sized(size any) bend {
	return func(_, input members) {
		delete(input, "data")
		input["parameters"] = members{"binary_data_size": size}
	}
}

// bent is the plain request, the sample as flat JSON, after changes.
func (r *run) bent(bends ...bend) members {
	input := members{"name": r.sample.Name, "shape": r.sample.Shape, "datatype": fp32, "data": r.numbers}
	request := members{"inputs": []members{input}}
	for _, bend := range bends {
		bend(request, input)
	}
	return request
}

func encode(request members) []byte {
	text, _ := json.Marshal(request) // texts and finite numbers have JSON
	return text
}

// headers are those of a request: with the length of its JSON where binary data follows, else without.
func headers(length string) http.Header {
	if length == "" {
		return http.Header{"Content-Type": {"application/json"}}
	}
	return http.Header{"Content-Type": {"application/octet-stream"}, headerLength: {length}}
}

// asks tells whether a request asks for an output, and for binary data: what it says of the output, else of all.
func asks(request members, output string) (asked, binary bool) {
	all, _ := request["parameters"].(members)
	binary = all["binary_data_output"] == true
	outputs, some := request["outputs"].([]members)
	for _, o := range outputs {
		if o["name"] == output {
			if p, told := o["parameters"].(members); told {
				binary = p["binary_data"] == true
			}
			return true, binary
		}
	}
	return !some, binary
}

// nest puts numbers into arrays as deep as the shape, and returns those that are left.
func nest[T any](numbers []T, shape []int) (nested any, rest []T) {
	if len(shape) == 0 {
		return numbers[0], numbers[1:]
	}
	list := make([]any, shape[0])
	for i := range list {
		list[i], numbers = nest(numbers, shape[1:])
	}
	return list, numbers
}
