package oipclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fake is a server of one model, "toy", in two versions, that keeps to the specification.
//
//	x FP32 [-1, 2, 2]  ->  y FP32 [-1, 3], best INT64 [-1]
type fake struct {
	plain bool                            // no extensions
	bend  func(r *http.Request, p *reply) // what it does wrong
}

type reply struct {
	code   int
	header http.Header
	body   []byte
	chunks bool // no Content-Length
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := f.serve(r)
	if f.bend != nil {
		f.bend(r, p)
	}
	for name, values := range p.header {
		w.Header()[name] = values
	}
	if !p.chunks {
		w.Header().Set("Content-Length", strconv.Itoa(len(p.body)))
	}
	w.WriteHeader(p.code)
	if p.chunks {
		_ = http.NewResponseController(w).Flush()
	}
	_, _ = w.Write(p.body)
}

func jsonReply(code int, value any) *reply {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return &reply{code: code, header: http.Header{"Content-Type": {"application/json"}}, body: body}
}

func failReply(code int, err error) *reply { return jsonReply(code, members{"error": err.Error()}) }

// address is what a path below /v2/models names.
type address struct{ model, version, endpoint string }

func parseAddress(path string) (a address) {
	rest := strings.TrimPrefix(path, "/v2/models/")
	a.model, rest, _ = strings.Cut(rest, "/")
	if after, ok := strings.CutPrefix(rest, "versions/"); ok {
		a.version, rest, _ = strings.Cut(after, "/")
	}
	a.endpoint = rest
	return a
}

func (f *fake) serve(r *http.Request) *reply {
	want := http.MethodGet
	if strings.HasSuffix(r.URL.Path, "/infer") {
		want = http.MethodPost
	}
	if r.Method != want {
		return failReply(405, errors.New("another verb is wanted"))
	}
	switch r.URL.Path {
	case "/v2":
		extensions := []string{"binary_tensor_data", "classification"}
		if f.plain {
			extensions = []string{}
		}
		return jsonReply(200, members{"name": "fake", "version": "1", "extensions": extensions})
	case "/v2/health/live", "/v2/health/ready":
		return &reply{code: 200}
	}
	a := parseAddress(r.URL.Path)
	if a.model != "toy" || a.version != "" && a.version != "1" && a.version != "2" {
		return failReply(404, fmt.Errorf("there is no model %q in version %q", a.model, a.version))
	}
	switch a.endpoint {
	case "ready":
		return &reply{code: 200}
	case "":
		return jsonReply(200, members{
			"name": "toy", "versions": []string{"1", "2"}, "platform": "fake_go",
			"inputs": []any{members{"name": "x", "datatype": "FP32", "shape": []int{-1, 2, 2}}},
			"outputs": []any{
				members{"name": "y", "datatype": "FP32", "shape": []int{-1, 3}},
				members{"name": "best", "datatype": "INT64", "shape": []int{-1}},
			},
		})
	case "infer":
		p, err := f.infer(r, a)
		if err != nil {
			return failReply(400, err)
		}
		return p
	}
	return failReply(404, errors.New("there is no such endpoint"))
}

// infer checks a request with the client's own reader of JSON, which has its tests apart from this.
func (f *fake) infer(r *http.Request, a address) (*reply, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	got := &answer{header: r.Header, body: body}
	if r.Header.Get(headerLength) == "0" {
		in := Tensor{Name: "x", Datatype: FP32, Shape: []int{len(body) / 16, 2, 2}, Data: body}
		return f.run(a, &in, "", []Output{{Name: "y", Encoding: Binary}, {Name: "best", Encoding: Binary}})
	}
	text, tail, err := got.split()
	if err != nil {
		return nil, err
	}
	if err := validJSON(text, "the request"); err != nil {
		return nil, err
	}
	o, err := parseObject(text, "the request", inferenceRequest, []string{"inputs"}, "id", "parameters", "outputs")
	if err != nil {
		return nil, err
	}
	id, err := o.text("id")
	if err != nil {
		return nil, err
	}
	all, err := o.parameters()
	if err != nil {
		return nil, err
	}
	var in *Tensor
	err = o.list("inputs", func(text []byte) error {
		t, size, err := parseOutput(text)
		if err != nil {
			return err
		}
		if t.Binary {
			if size > len(tail) {
				return errors.New("binary data is missing")
			}
			t.Data, tail = tail[:size], tail[size:]
		}
		in = &t.Tensor
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(tail) > 0 {
		return nil, errors.New("binary data is left over")
	}
	var outputs []Output
	err = o.list("outputs", func(text []byte) error {
		o, err := parseObject(text, "an output", requestOutput, []string{"name"}, "parameters")
		if err != nil {
			return err
		}
		out := Output{Encoding: JSON}
		if out.Name, err = o.text("name"); err != nil {
			return err
		}
		if out.Name != "y" && out.Name != "best" {
			return fmt.Errorf("there is no output %q", out.Name)
		}
		p, err := o.parameters()
		if binary, said := p["binary_data"]; binary == true || !said && all["binary_data_output"] == true {
			out.Encoding = Binary
		}
		if n, ok := p["classification"].(float64); ok {
			out.Classification = int(n)
		}
		outputs = append(outputs, out)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(outputs) == 0 {
		outputs = []Output{{Name: "y"}, {Name: "best"}}
		if all["binary_data_output"] == true {
			outputs[0].Encoding, outputs[1].Encoding = Binary, Binary
		}
	}
	return f.run(a, in, id, outputs)
}

func (f *fake) run(a address, in *Tensor, id string, outputs []Output) (*reply, error) {
	if in == nil || in.Name != "x" || in.Datatype != FP32 || len(in.Shape) != 3 || in.Shape[1] != 2 || in.Shape[2] != 2 {
		return nil, errors.New("x FP32 [-1, 2, 2] is wanted")
	}
	x, err := Values[float32](in)
	if err != nil {
		return nil, err
	}
	n := in.Shape[0]
	y, best := make([]float32, 3*n), make([]int64, n)
	for i := range n {
		for k := range 3 {
			for j := range 4 {
				y[3*i+k] += x[4*i+j] / float32(3+(k+j)%5)
			}
			if y[3*i+k] > y[3*i+int(best[i])] {
				best[i] = int64(k)
			}
		}
	}
	results := map[string]Tensor{"y": TensorOf("y", []int{n, 3}, y), "best": TensorOf("best", []int{n}, best)}
	version := a.version
	if version == "" {
		version = "2"
	}
	response := members{"model_name": "toy", "model_version": version}
	if id != "" {
		response["id"] = id
	}
	var list []any
	var tail []byte
	for _, out := range outputs {
		t := results[out.Name]
		if out.Classification > 0 {
			t = classes(y, n, out.Classification)
		}
		e := members{"name": t.Name, "shape": t.Shape, "datatype": t.Datatype}
		if out.Encoding == Binary {
			e["parameters"] = members{"binary_data_size": len(t.Data)}
			tail = append(tail, t.Data...)
		} else {
			in := Input{Tensor: t}
			text, err := in.appendJSON()
			if err != nil {
				return nil, err
			}
			e["data"] = json.RawMessage(text)
		}
		list = append(list, e)
	}
	response["outputs"] = list
	p := jsonReply(200, response)
	if tail != nil {
		p.header.Set(headerLength, strconv.Itoa(len(p.body)))
		p.header.Set("Content-Type", "application/octet-stream")
		p.body = append(p.body, tail...)
	}
	return p, nil
}

// classes are the highest of y, with labels.
func classes(y []float32, n, count int) Tensor {
	var texts []string
	for i := range n {
		row := []int{0, 1, 2}
		slices.SortFunc(row, func(a, b int) int { return int(math.Copysign(1, float64(y[3*i+b]-y[3*i+a]))) })
		for _, k := range row[:count] {
			texts = append(texts, fmt.Sprintf("%f:%d:label %d", y[3*i+k], k, k))
		}
	}
	return TensorOf("y", []int{n, count}, texts)
}

// sample is one picture for the toy, whose outputs have long fractions.
func sample() Input {
	return Input{Tensor: TensorOf("x", []int{1, 2, 2}, []float32{0.1, -2.7, 1e-7, 3.3333333})}
}

func newFake(t *testing.T, f *fake) *Client {
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return New(s.URL, s.Client())
}

// edit changes the JSON of a reply, and the header that tells its length.
func (p *reply) edit(change func(m members)) {
	text, tail := p.body, []byte(nil)
	n, err := strconv.Atoi(p.header.Get(headerLength))
	if err == nil {
		text, tail = text[:n], text[n:]
	}
	var m members
	if err := json.Unmarshal(text, &m); err != nil {
		panic(err)
	}
	change(m)
	text, _ = json.Marshal(m)
	if tail != nil {
		p.header.Set(headerLength, strconv.Itoa(len(text)))
	}
	p.body = append(text, tail...)
}
