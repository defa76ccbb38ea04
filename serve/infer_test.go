//go:build !js

package serve

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/arch"
)

// two is a model of 1x2x2 inputs, for requests that are only read.
var two = &model{Model: &vggo.Model{Input: arch.Shape{C: 1, H: 2, W: 2}}, name: "two"}

// read is what the infer endpoint does to a body before work is admitted.
func read(m *model, body []byte, headerLength string) ([]float32, inferRequest, error) {
	header, data, err := splitBody(body, headerLength)
	if err != nil {
		return nil, inferRequest{}, err
	}
	var in inferRequest
	if len(header) == 0 {
		in, err = m.rawRequest(data)
	} else {
		var text jsonText
		if text, err = validJSON(header); err == nil {
			in, err = m.parseRequest(text)
		}
	}
	if err != nil {
		return nil, in, err
	}
	n, err := m.checkInput(in.input, len(data))
	if err != nil {
		return nil, in, err
	}
	c := &call{bytes: &admission{gate: newGate(1<<20, "bytes")}}
	x, err := c.inputTensor(m, in.input, data, n)
	if err != nil {
		return nil, in, err
	}
	return x.Data, in, nil
}

// TestInferRefuses: what is wrong in an inference request is named.
func TestInferRefuses(t *testing.T) {
	request := func(data string) string {
		return `{"inputs":[{"name":"images","shape":[1,1,2,2],"datatype":"FP32",` + data + `}]}`
	}
	sized := request(`"parameters":{"binary_data_size":16}`)
	header := strconv.Itoa(len(sized))
	for _, c := range []struct{ body, header, want string }{
		{"", "", "the body is empty"},
		{"{", "", "byte 1"},
		{"[]", "", "the request is no object"},
		{"{}", "", "there is no input"},
		{`{"inputs":{}}`, "", "inputs is no array"},
		{`{"inputs":[1]}`, "", "an input is no object"},
		{`{"inputs":[],"inputs":[]}`, "", "inputs comes twice"},
		{`{"id":7,"inputs":[]}`, "", "id is 7, which it cannot be"},
		{`{"id":null,"inputs":[]}`, "", "id is null"},
		{`{"parameters":[]}`, "", "parameters is no object"},
		{`{"parameters":{"binary_data_output":"yes"}}`, "", `binary_data_output is "yes"`},
		{strings.Replace(request(`"data":[1,2,3,4]`), "images", "x", 1), "", `there is no input "x"`},
		{strings.Replace(request(`"data":[1,2,3,4]`), "FP32", "fp32", 1), "", `the datatype of images is "fp32"`},
		{strings.Replace(request(`"data":[1,2,3,4]`), "[1,1,2,2]", "[1,1,2]", 1), "", "the shape of images is 1x1x2"},
		{strings.Replace(request(`"data":[1,2,3,4]`), "[1,1,2,2]", "[1,1,2,2,1]", 1), "", "more than 4 dimensions"},
		{strings.Replace(request(`"data":[1,2,3,4]`), "[1,1,2,2]", "[1.0,1,2,2]", 1), "",
			"a dimension of an input's shape is 1.0"},
		{strings.Replace(request(`"data":[1,2,3,4]`), "[1,", "[-1,", 1), "", "which its data cannot fill"},
		{strings.Replace(request(`"data":[1,2,3,4]`), "[1,", "[9223372036854775807,", 1), "", "which its data cannot fill"},
		{request(`"data":[1,2,3]`), "", "ends with value 3 has 3 elements, not 4"},
		{request(`"data":[1,2,3,4,5]`), "", "more than its 4 elements"},
		{request(`"data":[[[[1,2],[3]]]]`), "", "has 1 elements, not 2"},
		{request(`"data":[[[[1,2],[3,4]],[]]]`), "", "more than its 1 elements"},
		{request(`"data":[[[[1,2],3]]]`), "", "want an array of 2"},
		{request(`"data":[1,2,3,"4"]`), "", `value 3, "4", is no number`},
		{request(`"data":[1,2,3,null]`), "", "value 3, null, is no number"},
		{request(`"data":[1,2,3,[4]]`), "", "value 3, [4, is no number"},
		{request(`"data":[1,2,3,1e39]`), "", "value 3, 1e39, is beyond float32"},
		{request(`"data":"1234"`), "", "the data is no array"},
		{request(`"data":[1,2,3,4],"data":[1,2,3,4]`), "", "data comes twice"},
		{`{"outputs":[{"name":"labels"}],` + request(`"data":[1,2,3,4]`)[1:], "", `no output "labels"`},
		{`{"outputs":[{"name":"logits"},{"name":"logits"}],` + request(`"data":[1,2,3,4]`)[1:], "",
			"logits is asked for twice"},
		{sized + "0123456789abcdef", "x", "Inference-Header-Content-Length x"},
		{sized + "0123456789abcdef", "-1", "Inference-Header-Content-Length -1"},
		{sized + "0123456789abcdef", "9999", "the body has"},
		{sized + "0123456789abcde", header, "binary_data_size of images is 16, and 15 bytes follow"},
		{sized, "", "which its data cannot fill"},
		{request(`"parameters":{"binary_data_size":8}`) + "01234567", strconv.Itoa(len(sized) - 1),
			"1x1x2x2 is 16 bytes, not 8"},
		{request(`"parameters":{"binary_data_size":16},"data":[1,2,3,4]`) + "0123456789abcdef",
			strconv.Itoa(len(request(`"parameters":{"binary_data_size":16},"data":[1,2,3,4]`))),
			"comes both as data and as bytes"},
		{"0123456789", "0", "10 bytes are no whole number of images"},
		{"", "0", "0 bytes are no whole number of images"},
	} {
		_, _, err := read(two, []byte(c.body), c.header)
		var p *refusal
		if !errors.As(err, &p) || !strings.Contains(p.Fault, c.want) || p.Kind.status != http.StatusBadRequest ||
			p.Hint == "" {
			t.Errorf("%s (%s): %v, want %q", c.body, c.header, err, c.want)
		}
	}
}

// FuzzInfer: no body makes the reading of inference requests panic, and what it reads is what encoding/json reads.
func FuzzInfer(f *testing.F) {
	for _, body := range []string{
		`{"id":"42","parameters":{"binary_data_output":true},"inputs":[{"name":"images","shape":[1,1,2,2],"datatype":"FP32","data":[1,-2.5,3e2,0]}],"outputs":[{"name":"logits","parameters":{"binary_data":false}}]}`,
		` {"inputs" : [ {"shape":[2,1,2,2],"name":"images","datatype":"FP32", "data" : [[[[1,2],[3,4]]],[[[5,6],[7,8]]]] ` +
			`} ] } `,
		`{"inp\u0075ts":[{"name":"images","shape":[1,1,2,2],"datatype":"FP32","data":[ 1e-50 , ` +
			`1.17549435E-38,-0,0.1]}],"x":{"y":["]}\"",{}]}}`,
	} {
		f.Add([]byte(body), "")
	}
	sized := `{"inputs":[{"name":"images","shape":[1,1,2,2],"datatype":"FP32","parameters":{"binary_data_size":16}}]}`
	f.Add([]byte(sized+"0123456789abcdef"), strconv.Itoa(len(sized)))
	f.Add([]byte("0123456789abcdef"), "0")
	f.Fuzz(func(t *testing.T, body []byte, length string) {
		got, in, err := read(two, body, length)
		if err != nil {
			var p *refusal
			if !errors.As(err, &p) || p.Kind.status >= 500 {
				t.Fatalf("%v", err)
			}
			return
		}
		if len(got) == 0 || len(got)%4 != 0 || len(got) > 2*len(body) {
			t.Fatalf("%d values of %d bytes", len(got), len(body))
		}
		if in.input.data == nil {
			return
		}
		var want any
		if err := json.Unmarshal(in.input.data, &want); err != nil {
			t.Fatalf("data %s: %v", in.input.data, err)
		}
		at := 0
		var compare func(any)
		compare = func(v any) {
			switch v := v.(type) {
			case []any:
				for _, x := range v {
					compare(x)
				}
			case float64:
				// Reading by way of float64 rounds twice.
				if d := math.Abs(float64(got[at]) - v); d > math.Abs(v)*1e-6+1e-44 {
					t.Fatalf("value %d is %v, encoding/json reads %v", at, got[at], v)
				}
				at++
			default:
				t.Fatalf("%v was taken for a number", v)
			}
		}
		compare(want)
		if at != len(got) {
			t.Fatalf("%d values, encoding/json reads %d", len(got), at)
		}
	})
}
