package oipclient

import (
	"bytes"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEncode compares requests with the bytes that the specification's examples describe.
func TestEncode(t *testing.T) {
	uints := TensorOf("input0", []int{2, 2}, []uint32{1, 2, 3, 4})
	bools := TensorOf("input1", []int{3}, []bool{true, false, true})
	for _, c := range []struct {
		name    string
		request Request
		json    string
		tail    string
	}{
		{
			"JSON", // OIP, Inference Request Examples, with all three elements of input1
			Request{ID: "42", Inputs: []Input{{Tensor: uints}, {Tensor: bools}}, Outputs: []Output{{Name: "output0"}}},
			`{"id":"42","inputs":[{"name":"input0","shape":[2,2],"datatype":"UINT32","data":[1,2,3,4]},` +
				`{"name":"input1","shape":[3],"datatype":"BOOL","data":[true,false,true]}],"outputs":[{"name":"output0"}]}`, "",
		},
		{
			"nested", // OIP, Tensor Data
			Request{Inputs: []Input{{Tensor: uints, Nested: true}}},
			`{"inputs":[{"name":"input0","shape":[2,2],"datatype":"UINT32","data":[[1,2],[3,4]]}]}`, "",
		},
		{
			"binary", // Binary, Examples
			Request{
				Inputs:  []Input{{Tensor: uints, Encoding: Binary}, {Tensor: bools, Encoding: Binary}},
				Outputs: []Output{{Name: "output0", Encoding: Binary}},
			},
			`{"inputs":[{"name":"input0","shape":[2,2],"datatype":"UINT32","parameters":{"binary_data_size":16}},` +
				`{"name":"input1","shape":[3],"datatype":"BOOL","parameters":{"binary_data_size":3}}],` +
				`"outputs":[{"name":"output0","parameters":{"binary_data":true}}]}`,
			"\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x01\x00\x01",
		},
		{
			"both", // Binary: BYTES, binary_data_output and its exception
			Request{
				Inputs: []Input{
					{Tensor: TensorOf("a", []int{2}, []string{"hi", ""}), Encoding: Binary},
					{Tensor: TensorOf("b", []int{}, []string{"\"ü"})},
					{Tensor: TensorOf("c", []int{1 << 30, 0}, []int8{}), Nested: true},
				},
				Outputs:      []Output{{Name: "y", Encoding: JSON, Classification: 5}},
				Parameters:   map[string]any{"priority": 3},
				BinaryOutput: true,
			},
			`{"parameters":{"binary_data_output":true,"priority":3},"inputs":[` +
				`{"name":"a","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":10}},` +
				`{"name":"b","shape":[],"datatype":"BYTES","data":["\"ü"]},` +
				`{"name":"c","shape":[1073741824,0],"datatype":"INT8","data":[]}],` +
				`"outputs":[{"name":"y","parameters":{"binary_data":false,"classification":5}}]}`,
			"\x02\x00\x00\x00hi\x00\x00\x00\x00",
		},
	} {
		body, header, err := c.request.encode()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if want := c.json + c.tail; string(body) != want {
			t.Errorf("%s:\n%q, want\n%q", c.name, body, want)
		}
		if want := len(c.json); c.tail != "" && header != want || c.tail == "" && header != -1 {
			t.Errorf("%s: the header's length is %d, not %d", c.name, header, want)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for _, c := range []struct {
		request Request
		want    string
	}{
		{Request{Inputs: []Input{{Tensor: TensorOf("x", []int{3}, []float32{1})}}}, "4 bytes of data"},
		{Request{Inputs: []Input{{Tensor: TensorOf("x", []int{-1}, []float32{1})}}}, "no number of elements"},
		{Request{Inputs: []Input{{Tensor: TensorOf("x", []int{1 << 30, 1 << 30, 16}, []float32{})}}}, "no number of elements"},
		{Request{Inputs: []Input{{Tensor: TensorOf("x", make([]int, 33), []float32{})}}}, "33 dimensions"},
		{Request{Inputs: []Input{{Tensor: TensorOf("x", []int{1}, []float64{math.NaN()})}}}, "JSON has no NaN"},
		{Request{Inputs: []Input{{Tensor: TensorOf("x", []int{1}, []float32{float32(math.Inf(-1))})}}}, "JSON has no -Inf"},
		{Request{Inputs: []Input{{Tensor: TensorOf("x", []int{1}, []string{"\xff"})}}}, "not UTF-8"},
		{Request{Inputs: []Input{{Tensor: TensorOf("x", []int{2}, []string{"a"})}}}, "ends within element 1"},
		{Request{Inputs: []Input{{Tensor: TensorOf("x", []int{0}, []string{"a"})}}}, "are left"},
		{Request{Inputs: []Input{{Tensor: Tensor{Datatype: "FLOAT"}}}}, "no datatype"},
		{Request{Inputs: []Input{{Tensor: Tensor{Datatype: Bool, Shape: []int{1}, Data: []byte{2}}}}}, "not 0 or 1"},
		{Request{Inputs: []Input{{Tensor: Tensor{Datatype: FP16, Shape: []int{1}, Data: []byte{0, 0}}}}}, "binary data"},
		{Request{Parameters: map[string]any{"a": []int{}}}, "string, a number or a bool"},
		{Request{Parameters: map[string]any{"binary_data_output": true}, BinaryOutput: true}, "set by the request's fields"},
	} {
		if _, _, err := c.request.encode(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: not %q", err, c.want)
		}
	}
}

// roundTrip sends values through JSON, flat and nested, and back.
func roundTrip[T Element](t *testing.T, values ...T) {
	t.Helper()
	in := Input{Tensor: TensorOf("x", []int{len(values), 1}, values)}
	for _, in.Nested = range []bool{false, true} {
		text, err := in.appendJSON()
		if err != nil {
			t.Errorf("%v: %v", values, err)
			continue
		}
		out := Tensor{Name: "x", Datatype: in.Datatype, Shape: in.Shape}
		if err := out.parseData(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if !bytes.Equal(out.Data, in.Data) {
			t.Errorf("%s: %x, want %x", text, out.Data, in.Data)
		}
		back, err := Values[T](&out)
		if err != nil || !slices.Equal(back, values) {
			t.Errorf("%s: %v %v, want %v", text, back, err, values)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	roundTrip(t, true, false)
	roundTrip[uint8](t, 0, math.MaxUint8)
	roundTrip[uint16](t, 0, 258, math.MaxUint16)
	roundTrip[uint32](t, 0, math.MaxUint32)
	roundTrip[uint64](t, 0, math.MaxUint64)
	roundTrip[int8](t, math.MinInt8, -1, math.MaxInt8)
	roundTrip[int16](t, math.MinInt16, -2, math.MaxInt16)
	roundTrip[int32](t, math.MinInt32, -3, math.MaxInt32)
	roundTrip[int64](t, math.MinInt64, -4, math.MaxInt64)
	roundTrip[float32](t, 0, float32(math.Copysign(0, -1)), 0.1, math.MaxFloat32, math.SmallestNonzeroFloat32, 1e21, -16777217)
	roundTrip(t, 0, 0.1, math.MaxFloat64, math.SmallestNonzeroFloat64)
	roundTrip(t, "", "a", "ü\n\"\\", "<&>\u2028")
}

// TestParse reads literal answers: those of the specification's examples, with the model_name that its schema requires, and what
// is wrong with others.
func TestParse(t *testing.T) {
	const plain = "application/json"
	for _, c := range []struct {
		name, contentType, length, body string
		want                            *Response
		err                             string
		clause                          Clause
	}{
		{
			name: "JSON", contentType: plain,
			body: `{ "model_name" : "m", "id" : "42", "outputs" : [ { "name" : "output0", "shape" : [ 3, 2 ], "datatype"  : "FP32",
				"data" : [ 1.0, 1.1, 2.0, 2.1, 3.0, 3.1 ] } ] }`,
			want: &Response{ModelName: "m", ID: "42", Outputs: []Result{
				{Tensor: TensorOf("output0", []int{3, 2}, []float32{1.0, 1.1, 2.0, 2.1, 3.0, 3.1})},
			}},
		},
		{
			name: "binary", contentType: "application/octet-stream", length: "120",
			body: pad(`{"model_name":"m","outputs":[{"name":"o","shape":[2],"datatype":"INT16","parameters":{"binary_data_size":4}}]}`, 120) +
				"\x01\x00\xff\xff",
			want: &Response{ModelName: "m", Outputs: []Result{{Tensor: withNoParameters(TensorOf("o", []int{2}, []int16{1, -1})), Binary: true}}},
		},
		{
			name: "escaped names", contentType: plain,
			body: `{"model\u005fname":"\u006d","outputs":[]}`,
			want: &Response{ModelName: "m"},
		},
		{
			name: "BYTES that are cut", contentType: "application/octet-stream", length: "112",
			body: pad(`{"model_name":"m","outputs":[{"name":"o","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":5}}]}`, 112) +
				"\x02\x00\x00\x00a",
			err: "ends within element 0", clause: binaryData,
		},
		{
			name: "BOOL of 2", contentType: "application/octet-stream", length: "112",
			body: pad(`{"model_name":"m","outputs":[{"name":"o","shape":[1],"datatype":"BOOL","parameters":{"binary_data_size":1}}]}`, 112) + "\x02",
			err:  "not 0 or 1", clause: binaryData,
		},
		{
			name: "FP16 in JSON", contentType: plain,
			body: `{"model_name":"m","outputs":[{"name":"o","shape":[1],"datatype":"FP16","data":[1.5]}]}`,
			err:  "no agreed form", clause: tensorData,
		},
		{
			name: "rank", contentType: plain,
			body: `{"model_name":"m","outputs":[{"name":"o","shape":[` + strings.Repeat("1,", 32) + `1],"datatype":"FP32","data":[1]}]}`,
			err:  "more than this client's 32 dimensions", clause: responseOutput,
		},
		{
			name: "outputs beyond counting", contentType: plain,
			body: `{"model_name":"m","outputs":[` + strings.Join(manyOutputs(maxTensors+1), ",") + `]}`,
			err:  "more outputs than this client's 1024", clause: response,
		},
		{
			name: "a vast shape", contentType: plain,
			body: `{"model_name":"m","outputs":[{"name":"o","shape":[1099511627776],"datatype":"FP32","data":[1]}]}`,
			err:  "holds more than the data", clause: tensorData,
		},
		{
			name: "a nested shape", contentType: plain,
			body: `{"model_name":"m","outputs":[{"name":"o","shape":[2,2],"datatype":"FP32","data":[[1,2],3,4]}]}`,
			err:  "neither flat nor nested", clause: tensorData,
		},
		{
			name: "no data", contentType: plain,
			body: `{"model_name":"m","outputs":[{"name":"o","shape":[1],"datatype":"FP32"}]}`,
			err:  "has no data", clause: responseOutput,
		},
		{
			name: "no name", contentType: plain,
			body: `{"model_name":"m","outputs":[{"name":"","shape":[0],"datatype":"FP32","data":[]}]}`,
			err:  "an empty name", clause: responseOutput,
		},
		{
			name: "binary data of no bytes without the header", contentType: plain,
			body: `{"model_name":"m","outputs":[{"name":"o","shape":[0],"datatype":"FP32","parameters":{"binary_data_size":0}}]}`,
			err:  "no Inference-Header-Content-Length", clause: binaryData,
		},
		{
			name: "an element out of range", contentType: plain,
			body: `{"model_name":"m","outputs":[{"name":"o","shape":[1],"datatype":"UINT8","data":[256]}]}`,
			err:  "holds 256, which is no UINT8", clause: tensorData,
		},
		{name: "depth", contentType: plain, body: strings.Repeat("[", 1<<20), err: "not JSON", clause: jsonText},
	} {
		a := &answer{code: 200, header: http.Header{"Content-Type": {c.contentType}}, length: int64(len(c.body)), body: []byte(c.body)}
		if c.length != "" {
			a.header.Set(headerLength, c.length)
		}
		got, err := parseResponse(a)
		var v *Violation
		switch {
		case c.want != nil:
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s: %+v %v, want %+v", c.name, got, err, c.want)
			}
		case !errors.As(err, &v) || v.Clause != c.clause || !strings.Contains(v.Reason, c.err):
			t.Errorf("%s: %v, want %q by %v", c.name, err, c.err, c.clause)
		}
	}
}

func pad(text string, n int) string { return text + strings.Repeat(" ", n-len(text)) }

func withNoParameters(t Tensor) Tensor {
	t.Parameters = map[string]any{}
	return t
}

func manyOutputs(n int) (texts []string) {
	for i := range n {
		texts = append(texts, `{"name":"`+strconv.Itoa(i)+`","shape":[0],"datatype":"FP32","data":[]}`)
	}
	return texts
}

// TestClient looks at what reaches a server, and at the bound of what comes back.
func TestClient(t *testing.T) {
	var seen []string
	var header http.Header
	size := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+r.URL.EscapedPath())
		header = r.Header
		if strings.HasPrefix(r.URL.Path, "/v2/models/moved") {
			http.Redirect(w, r, "/v2", http.StatusFound)
			return
		}
		block := make([]byte, 1<<20)
		for range size {
			_, _ = w.Write(block)
		}
	}))
	defer s.Close()
	ctx := t.Context()
	c := New(s.URL+"/", nil)

	for _, ask := range []func() error{
		func() error { _, err := c.Live(ctx); return err },
		func() error { _, err := c.Ready(ctx); return err },
		func() error { _, err := c.ModelReady(ctx, "a/b c", "1?"); return err },
	} {
		if err := ask(); err != nil {
			t.Error(err)
		}
	}
	for _, ask := range []func() error{
		func() error { _, err := c.Server(ctx); return err },
		func() error { _, err := c.Model(ctx, "ü", ""); return err },
		func() error { _, err := c.Infer(ctx, "m", "2", Request{Inputs: []Input{sample()}}); return err },
		func() error { _, err := c.Model(ctx, "moved", ""); return err },
	} {
		var v *Violation
		if err := ask(); !errors.As(err, &v) {
			t.Errorf("%v: no violation", err)
		}
	}
	want := []string{
		"GET /v2/health/live", "GET /v2/health/ready", "GET /v2/models/a%2Fb%20c/versions/1%3F/ready", "GET /v2",
		"GET /v2/models/%C3%BC", "POST /v2/models/m/versions/2/infer", "GET /v2/models/moved",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("asked %q, want %q", seen, want)
	}
	if got := header.Get("Accept-Encoding"); got != "identity" {
		t.Errorf("Accept-Encoding is %q", got)
	}
	for _, name := range []string{"", ".", ".."} {
		if _, err := c.Model(ctx, name, ""); err == nil || len(seen) != len(want) {
			t.Errorf("the model %q was asked for", name)
		}
	}

	size = maxBody>>20 + 1
	if _, err := c.Server(ctx); err == nil || !strings.Contains(err.Error(), "more than this client's 67108864 bytes") {
		t.Errorf("an answer beyond the bound: %v", err)
	}
}

// FuzzParse feeds an answer to every reader. What they accept must be whole and come back from JSON with the same bits.
func FuzzParse(f *testing.F) {
	in := sample()
	for _, e := range []Encoding{JSON, Binary} {
		p, err := (&fake{}).run(address{model: "toy"}, &in.Tensor, "7", []Output{{Name: "y", Encoding: e}, {Name: "best", Encoding: e}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(200, p.header.Get("Content-Type"), p.header.Get(headerLength), p.body)
	}
	for _, path := range []string{"/v2", "/v2/models/toy", "/v2/models/toi"} {
		p := (&fake{}).serve(httptest.NewRequest(http.MethodGet, path, nil))
		f.Add(p.code, p.header.Get("Content-Type"), "", p.body)
	}
	f.Add(200, "application/json", "", []byte(`{"name":"toy","ready":true}`))
	f.Add(200, "application/json", "", []byte(`{"model_name":"toy","parameters":{"a":"b","c":1e3,"d":true},"outputs":[`+
		`{"name":"s","shape":[2,1],"datatype":"BYTES","data":[["a"],["\u00fc"]]},{"name":"b","shape":[],"datatype":"BOOL","data":[true]}]}`))
	f.Fuzz(func(t *testing.T, code int, contentType, length string, body []byte) {
		a := &answer{code: code, header: http.Header{"Content-Type": {contentType}}, length: int64(len(body)), body: body}
		if length != "" {
			a.header.Set(headerLength, length)
		}
		_, _ = a.health("toy", "ready")
		_, _ = a.health("", "live")
		_, _ = parseServer(a)
		if m, err := parseModel(a, "toy"); err == nil && m.Name != "toy" {
			t.Errorf("the metadata is of %q", m.Name)
		}
		if err := a.failure(inferenceError); err == nil {
			t.Error("a failure is none")
		}
		r, err := parseResponse(a)
		if err != nil {
			return
		}
		for i := range r.Outputs {
			in := Input{Tensor: r.Outputs[i].Tensor}
			if err := in.check(); err != nil {
				t.Errorf("accepted, and %v", err)
			}
			for _, in.Nested = range []bool{false, true} {
				text, err := in.appendJSON()
				if err != nil {
					if !r.Outputs[i].Binary {
						t.Errorf("came as JSON, and %v", err)
					}
					continue
				}
				back := Tensor{Name: in.Name, Datatype: in.Datatype, Shape: in.Shape}
				if err := back.parseData(text); err != nil || !bytes.Equal(back.Data, in.Data) {
					t.Errorf("%s: %x %v, want %x", text, back.Data, err, in.Data)
				}
			}
		}
	})
}
