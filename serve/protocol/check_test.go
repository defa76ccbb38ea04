package protocol

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// reply is an answer of the server that a test can bend.
type reply struct {
	code   int
	header http.Header
	body   []byte
	chunks bool // no Content-Length
}

// actor plays the server's part: it gives vggo's own answers, which it asks for once, bent.
type actor struct {
	server  http.Handler
	answers map[string]reply
	bend    func(r *http.Request, p *reply)
}

func (a *actor) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	key := fmt.Sprint(r.Method, r.URL, r.Header, string(body))
	p, ok := a.answers[key]
	if !ok {
		asked := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), bytes.NewReader(body))
		asked.Header = r.Header
		recorder := httptest.NewRecorder()
		a.server.ServeHTTP(recorder, asked)
		p = reply{code: recorder.Code, header: recorder.Header(), body: recorder.Body.Bytes()}
		a.answers[key] = p
	}
	p.header, p.body = p.header.Clone(), slices.Clone(p.body)
	a.bend(r, &p)
	answer := &http.Response{StatusCode: p.code, Header: p.header, Body: io.NopCloser(bytes.NewReader(p.body)), Request: r}
	if answer.ContentLength = int64(len(p.body)); p.chunks {
		answer.ContentLength = -1
	}
	return answer, nil
}

// say makes a reply a JSON text.
func (p *reply) say(code int, text string) {
	*p = reply{code: code, header: http.Header{"Content-Type": {"application/json"}}, body: []byte(text)}
}

// edit changes the JSON of an answer that is no error, and the header that tells its length.
func (p *reply) edit(change func(m members)) {
	if p.code != 200 {
		return
	}
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

// The places where a server is bent: by path, or what answers a right request for inference, with binary data or any.
type fault = func(r *http.Request, p *reply)

func at(path string, bend func(p *reply)) fault {
	return func(r *http.Request, p *reply) {
		if r.URL.Path == path {
			bend(p)
		}
	}
}

func editAt(path string, change func(m members)) fault {
	return at(path, func(p *reply) { p.edit(change) })
}

func inferred(bend func(p *reply)) fault {
	return func(r *http.Request, p *reply) {
		if p.code == 200 && strings.HasSuffix(r.URL.Path, "/infer") {
			bend(p)
		}
	}
}

func inBinary(bend func(p *reply)) fault {
	return inferred(func(p *reply) {
		if p.header.Get(headerLength) != "" {
			bend(p)
		}
	})
}

func editResponse(change func(m members)) fault {
	return inferred(func(p *reply) { p.edit(change) })
}

func outputs(m members) []any { return m["outputs"].([]any) }

// editOutput changes the first output.
func editOutput(change func(o members)) fault {
	return editResponse(func(m members) { change(outputs(m)[0].(members)) })
}

func editSize(change func(n float64) any) fault {
	return inBinary(func(p *reply) {
		p.edit(func(m members) {
			parameters := outputs(m)[0].(members)["parameters"].(members)
			parameters["binary_data_size"] = change(parameters["binary_data_size"].(float64))
		})
	})
}

func put(name string, value any) func(m members) { return func(m members) { m[name] = value } }

func drop(name string) func(m members) { return func(m members) { delete(m, name) } }

func replace(old, new string) func(p *reply) {
	return func(p *reply) { p.body = bytes.Replace(p.body, []byte(old), []byte(new), 1) }
}

func status(code int) func(p *reply) { return func(p *reply) { p.code = code } }

func header(name string, values ...string) func(p *reply) {
	return func(p *reply) { p.header[name] = values }
}

func says(text string) func(p *reply) { return func(p *reply) { p.say(200, text) } }

const (
	live, ready, server             = "/v2/health/live", "/v2/health/ready", "/v2"
	model, modelReady, versionReady = "/v2/models/toy", "/v2/models/toy/ready", "/v2/models/toy/versions/1/ready"
	noModelReady, noVersionReady    = "/v2/models/" + unknown + "/ready", "/v2/models/toy/versions/" + unknown + "/ready"

	isLive, isReady        = "health: the server is live", "health: the server is ready"
	isModelReady           = "health: the model is ready"
	isNoModel, isNoVersion = "health: an unknown model is not ready", "health: an unknown version is not ready"
	aServer, aModel        = "metadata: the server", "metadata: the model"
	aSample                = "metadata: the sample fits the model's input"
	plainRequest           = "infer: flat JSON"
	outputAlone            = "infer: output logits alone"
	binaryOutputs          = "binary: outputs by binary_data"
)

// faults bend one thing at a time.
var faults = []struct {
	name  string
	bend  fault
	check string // one that fails
}{
	{"not live", at(live, status(400)), isLive},
	{"live 500", at(live, status(500)), isLive},
	{"live 204", at(live, status(204)), isLive},
	{"live says ok", at(live, says("ok")), isLive},
	{"live says no", at(live, says(`{"live":false}`)), isLive},
	{"live says ready", at(live, says(`{"ready":true}`)), isLive},
	{"live says status", at(live, says(`{"status":"alive"}`)), isLive},
	{"live says more", at(live, says(`{"live":true,"name":"toy"}`)), isLive},
	{"live says it twice", at(live, says(`{"live":false,"live":true}`)), isLive},
	{"live as text", at(live, header("Content-Type", "text/plain")), isLive},
	{"ready says no", at(ready, says(`{"ready":false}`)), isReady},
	{"ready says both", at(ready, says(`{"ready":true,"live":true}`)), isReady},
	{"model ready has no name", at(modelReady, says(`{"ready":true}`)), isModelReady},
	{"model ready has another name", at(modelReady, says(`{"name":"toi","ready":true}`)), isModelReady},
	{"model not ready", at(modelReady, status(404)), isModelReady},
	{"a version not ready", at(versionReady, status(400)), "health: version 1 is ready"},
	{"every model is ready", at(noModelReady, func(p *reply) { *p = reply{code: 200} }), isNoModel},
	{"500 of an unknown model", at(noModelReady, status(500)), isNoModel},
	{"an error without a message", at(noModelReady, func(p *reply) { p.say(404, `{"error":""}`) }), isNoModel},
	{"every version is ready", at(noVersionReady, func(p *reply) { *p = reply{code: 200} }), isNoVersion},

	{"server metadata moved", at(server, func(p *reply) { p.code = 301; p.header.Set("Location", "/v2/") }), aServer},
	{"server metadata missing", at(server, status(404)), aServer},
	{"server metadata as text", at(server, header("Content-Type", "text/plain")), aServer},
	{"server metadata in Latin-1", at(server, header("Content-Type", "application/json; charset=iso-8859-1")), aServer},
	{"server metadata without a type", at(server, header("Content-Type")), aServer},
	{"server metadata in gzip, not asked for", at(server, header("Content-Encoding", "gzip")), aServer},
	{"server metadata twice", at(server, func(p *reply) { p.body = slices.Repeat(p.body, 2) }), aServer},
	{"server metadata not UTF-8", at(server, replace("vggo", "v\xffgo")), aServer},
	{"server metadata a list", at(server, says("[]")), aServer},
	{"server without name", editAt(server, drop("name")), aServer},
	{"server without version", editAt(server, drop("version")), aServer},
	{"server without extensions", editAt(server, drop("extensions")), aServer},
	{"server version a number", editAt(server, put("version", 1)), aServer},
	{"server version null", editAt(server, put("version", nil)), aServer},
	{"server extensions null", editAt(server, put("extensions", nil)), aServer},
	{"server extensions numbers", editAt(server, put("extensions", []int{1})), aServer},
	{"server extensions not tried", editAt(server, put("extensions", []string{"binary_tensor_data", "more"})), aServer},
	{"server has more", editAt(server, put("uptime", 1)), aServer},
	{"server name in capitals", at(server, replace(`"name"`, `"Name"`)), aServer},
	{"server name twice", at(server, replace(`{`, `{"name":"vggo",`)), aServer},

	{"model of another name", editAt(model, put("name", "toi")), aModel},
	{"model without platform", editAt(model, drop("platform")), aModel},
	{"model of a platform without format", editAt(model, put("platform", "vggo")), aModel},
	{"model without inputs", editAt(model, drop("inputs")), aModel},
	{"model without outputs", editAt(model, drop("outputs")), aModel},
	{"model versions numbers", editAt(model, put("versions", []int{1})), aModel},
	{"model versions one text", editAt(model, put("versions", "1")), aModel},
	{"model has more", editAt(model, put("state", "READY")), aModel},
	{"model datatype unknown", at(model, replace("FP32", "FLOAT")), aModel},
	{"model dimension -2", at(model, replace("-1", "-2")), aModel},
	{"model dimension broken", at(model, replace("-1", "1.5")), aModel},
	{"model dimension with a point", at(model, replace("4,4", "4.0,4")), aModel},
	{"model dimension text", at(model, replace("-1", `"-1"`)), aModel},
	{"model input twice", editAt(model, func(m members) { m["inputs"] = slices.Repeat(m["inputs"].([]any), 2) }), aModel},
	{"model output twice", editAt(model, func(m members) { m["outputs"] = append(outputs(m), outputs(m)[0]) }), aModel},
	{"model input with more", at(model, replace(`"datatype":"FP32"`, `"datatype":"FP32","layout":"NCHW"`)), aModel},
	{"model input without name", at(model, replace(`"name":"images",`, ``)), aModel},
	{"model input of an empty name", at(model, replace(`"images"`, `""`)), aModel},
	{"model input of another datatype", at(model, replace(`FP32`, `FP64`)), aModel},
	{"model has another input", at(model, replace(`"images"`, `"z"`)), aSample},
	{"model input of another shape", at(model, replace(`4,4`, `4,5`)), aSample},
	{"model lists a version that is not", at(model, replace(`"1"`, `"7"`)), "metadata: version 7"},
	{"a version without metadata", at(model+"/versions/1", status(404)), "metadata: version 1"},
	{"model lists an output that is not", at(model, replace(`"logits"`, `"worst"`)), plainRequest},
	{"model does not list an output", editAt(model, func(m members) { m["outputs"] = outputs(m)[:1] }), plainRequest},
	{"model output of another shape", at(model, replace(`[-1,3]`, `[-1,4]`)), plainRequest},

	{"no model_name", editResponse(drop("model_name")), plainRequest},
	{"another model_name", editResponse(put("model_name", "toi")), plainRequest},
	{"an unknown model_version", editResponse(put("model_version", "9")), plainRequest},
	{"always one model_version", func(r *http.Request, p *reply) {
		editAt(model, put("versions", []string{"1", "2"}))(r, p)
		editResponse(put("model_version", "2"))(r, p)
	}, "infer: version 1"},
	{"model_version a number", editResponse(put("model_version", 2)), plainRequest},
	{"the id is lost", editResponse(drop("id")), "infer: the id comes back"},
	{"an id of its own", editResponse(put("id", "7")), plainRequest},
	{"the id is a number", editResponse(put("id", 42)), plainRequest},
	{"the id is null", editResponse(put("id", nil)), plainRequest},
	{"no outputs", editResponse(drop("outputs")), plainRequest},
	{"outputs an object", editResponse(put("outputs", members{})), plainRequest},
	{"outputs null", editResponse(put("outputs", nil)), plainRequest},
	{"empty outputs", inferred(says(`{"model_name":"toy","outputs":[]}`)), plainRequest},
	{"more in the response", editResponse(put("time", 1)), plainRequest},
	{"parameters a list", editResponse(put("parameters", []int{})), plainRequest},
	{"parameters nested", editResponse(put("parameters", members{"a": members{}})), plainRequest},
	{"parameters null", editResponse(put("parameters", members{"a": nil})), plainRequest},
	{"parameters null of an output", editOutput(put("parameters", members{"a": nil})), plainRequest},
	{"status 201", inferred(status(201)), plainRequest},
	{"status 500", inferred(status(500)), plainRequest},
	{"response as text", inferred(header("Content-Type", "text/plain")), plainRequest},
	{"output twice", editResponse(func(m members) { m["outputs"] = slices.Repeat(outputs(m), 2) }), plainRequest},
	{"output missing", editResponse(func(m members) { m["outputs"] = outputs(m)[:1] }), plainRequest},
	{"output unasked", editResponse(func(m members) {
		other := members{"name": "probabilities", "shape": []int{1, 3}, "datatype": "FP32", "data": []int{0, 0, 1}}
		if len(outputs(m)) == 1 {
			m["outputs"] = append(outputs(m), other)
		}
	}), outputAlone},
	{"no output where one is asked", editResponse(func(m members) {
		if len(outputs(m)) == 1 {
			m["outputs"] = []any{}
		}
	}), outputAlone},
	{"output without name", editOutput(drop("name")), plainRequest},
	{"output of an empty name", editOutput(put("name", "")), plainRequest},
	{"output without shape", editOutput(drop("shape")), plainRequest},
	{"output without datatype", editOutput(drop("datatype")), plainRequest},
	{"output without data", editOutput(drop("data")), plainRequest},
	{"output with more", editOutput(put("labels", "none")), plainRequest},
	{"output of an unknown datatype", editOutput(put("datatype", "FLOAT")), plainRequest},
	{"output of another datatype", editOutput(put("datatype", "FP64")), plainRequest},
	{"output of another shape", editOutput(put("shape", []int{3})), plainRequest},
	{"output of a larger shape", editOutput(put("shape", []int{1, 4})), plainRequest},
	{"output of a smaller shape", editOutput(put("shape", []int{1, 2})), plainRequest},
	{"output of a negative dimension", editOutput(put("shape", []int{-1, 3})), plainRequest},
	{"output of a dimension with a point", inferred(replace(`"shape":[1,3]`, `"shape":[1.0,3]`)), plainRequest},
	{"output of an impossible shape", inferred(replace(`[1,3]`, `[4294967296,4294967296]`)), plainRequest},
	{"data null", editOutput(put("data", nil)), plainRequest},
	{"data text", editOutput(put("data", "AAAA")), plainRequest},
	{"data as texts", editOutput(put("data", []string{"1", "2", "3"})), plainRequest},
	{"data NaN as null", editOutput(put("data", []any{1, 2, nil})), plainRequest},
	{"data with an object", editOutput(put("data", []any{1, 2, 3, members{}})), plainRequest},
	{"data half nested", editOutput(put("data", []any{[]any{1}, []any{2, 3}})), plainRequest},
	{"data too deeply nested", editOutput(put("data", []any{[]any{[]int{1, 2, 3}}})), plainRequest},
	{"data with an overflow", editOutput(put("data", []any{1, 2, 1e39})), plainRequest},
	{"four digits in JSON", editOutput(func(o members) {
		if data, ok := o["data"].([]any); ok {
			for i, v := range data {
				data[i], _ = strconv.ParseFloat(strconv.FormatFloat(v.(float64), 'g', 4, 64), 64)
			}
		}
	}), binaryOutputs},

	{"binary data refused", inBinary(func(p *reply) { p.say(400, `{"error":"no binary data"}`) }), binaryOutputs},
	{"binary data as JSON", inBinary(header("Content-Type", "application/json")), binaryOutputs},
	{"JSON as binary data", inferred(header("Content-Type", "application/octet-stream")), plainRequest},
	{"no header length", inBinary(header(headerLength)), binaryOutputs},
	{"header length too small", inBinary(addLength(-1)), binaryOutputs},
	{"header length too large", inBinary(addLength(1)), binaryOutputs},
	{"header length beyond the body", inBinary(header(headerLength, "100000")), binaryOutputs},
	{"header length no number", inBinary(header(headerLength, "all")), binaryOutputs},
	{"header length twice", inBinary(func(p *reply) {
		p.header.Add(headerLength, p.header.Get(headerLength))
	}), binaryOutputs},
	{"header length 0", inferred(header(headerLength, "0")), plainRequest},
	{"no Content-Length", inBinary(func(p *reply) { p.chunks = true }), binaryOutputs},
	{"a byte more", inBinary(func(p *reply) { p.body = append(p.body, 0) }), binaryOutputs},
	{"a byte less", inBinary(func(p *reply) { p.body = p.body[:len(p.body)-1] }), binaryOutputs},
	{"another bit", inBinary(func(p *reply) { p.body[len(p.body)-8] ^= 1 }), binaryOutputs},
	{"big-endian", inBinary(func(p *reply) {
		for float := range slices.Chunk(p.body[len(p.body)-12:], 4) {
			slices.Reverse(float)
		}
	}), binaryOutputs},
	{"a size that is text", editSize(func(n float64) any { return fmt.Sprint(n) }), binaryOutputs},
	{"a size too small", editSize(func(n float64) any { return n - 1 }), binaryOutputs},
	{"a size beyond the body", editSize(func(float64) any { return 1e6 }), binaryOutputs},
	{"a negative size", editSize(func(float64) any { return -1 }), binaryOutputs},
	{"half a byte", editSize(func(float64) any { return 0.5 }), binaryOutputs},
	{"data beside a size", inBinary(func(p *reply) {
		p.edit(func(m members) { outputs(m)[0].(members)["data"] = []int{1, 2, 3} })
	}), binaryOutputs},
	{"JSON where binary data was asked", inBinary(func(p *reply) {
		length, _ := strconv.Atoi(p.header.Get(headerLength))
		tail := p.body[length:]
		p.say(200, string(p.body[:length]))
		p.edit(func(m members) {
			for _, o := range outputs(m) {
				var values [3]float32
				n, _ := binary.Decode(tail, binary.LittleEndian, &values)
				tail = tail[n:]
				delete(o.(members), "parameters")
				o.(members)["data"] = values
			}
		})
	}), binaryOutputs},
	{"binary data where JSON was asked", inferred(func(p *reply) {
		if p.header.Get(headerLength) == "" {
			text := `{"model_name":"toy","outputs":[{"name":"logits","shape":[1,3],"datatype":"FP32",` +
				`"parameters":{"binary_data_size":12}}]}`
			p.say(200, text+"............")
			p.header = http.Header{"Content-Type": {"application/octet-stream"}, headerLength: {strconv.Itoa(len(text))}}
		}
	}), outputAlone},
	{"raw requests misread", func(r *http.Request, p *reply) {
		if r.Header.Get(headerLength) == "0" {
			p.body[len(p.body)-1] ^= 1
		}
	}, "binary: raw request"},
}

func addLength(n int) func(p *reply) {
	return func(p *reply) {
		length, _ := strconv.Atoi(p.header.Get(headerLength))
		p.header.Set(headerLength, strconv.Itoa(length+n))
	}
}

// accepted are what the package comment says is right too.
var accepted = []struct {
	name string
	bend fault
}{
	{"no body of health", func(r *http.Request, p *reply) {
		if strings.HasSuffix(r.URL.Path, "/ready") || r.URL.Path == live {
			p.body = nil
		}
	}},
	{"ready by OIP's letter", at(ready, says(`{"live":true}`))},
	{"an error of an unknown model's health", at(noModelReady, func(p *reply) { p.say(404, `{"error":"none"}`) })},
	{"charset", func(r *http.Request, p *reply) {
		if p.header.Get("Content-Type") == "application/json" {
			p.header.Set("Content-Type", "application/json; charset=utf-8")
		}
	}},
	{"no versions", func(r *http.Request, p *reply) {
		editAt(model, drop("versions"))(r, p)
		editResponse(drop("model_version"))(r, p)
	}},
	{"an empty id", editResponse(func(m members) {
		if m["id"] == nil {
			m["id"] = ""
		}
	})},
	{"escaped names", at(model, replace(`"platform"`, `"plat\u0066orm"`))},
	{"parameters", editResponse(put("parameters", members{"took": 1.5, "cached": true, "host": "a"}))},
	{"data nested", editOutput(func(o members) {
		if data, ok := o["data"].([]any); ok {
			o["data"] = []any{data}
		}
	})},
	{"outputs in another order", editResponse(func(m members) {
		if outputs(m)[0].(members)["data"] != nil {
			slices.Reverse(outputs(m))
		}
	})},
	{"header length of the whole", inferred(func(p *reply) {
		if p.header.Get(headerLength) == "" {
			p.header.Set(headerLength, strconv.Itoa(len(p.body)))
		}
	})},
	{"chunks of JSON", inferred(func(p *reply) { p.chunks = p.header.Get(headerLength) == "" })},
}

// answersToAll are other answers to every request that is wrong. verbs tells whether the checks of verbs see it too.
var answersToAll = []struct {
	name  string
	bend  func(p *reply)
	verbs bool
}{
	{"as if it were right", func(p *reply) { p.say(200, `{"model_name":"toy","outputs":[]}`) }, true},
	{"500", status(500), true},
	{"200 with the error", status(200), true},
	{"302", func(p *reply) { p.code = 302; p.header.Set("Location", "/v2") }, true},
	{"plain text", header("Content-Type", "text/plain"), false},
	{"no body", func(p *reply) { p.body = nil }, false},
	{"no message", func(p *reply) { p.body = []byte(`{"error":""}`) }, false},
	{"message for error", func(p *reply) { p.body = []byte(`{"message":"no"}`) }, false},
	{"more than the error", func(p *reply) { p.body = []byte(`{"error":"no","code":3}`) }, false},
	{"an object for the error", func(p *reply) { p.body = []byte(`{"error":{"message":"no"}}`) }, false},
}

// TestCheckCatches plants faults in the server's answers, one at a time. Each must be found by the check that it
// concerns, and none where there is none; and no check may be left that never failed.
func TestCheckCatches(t *testing.T) {
	a := &actor{server: start(t, map[string]string{"toy": "4x4x1:2,M/3"}).Config.Handler, answers: map[string]reply{}}
	client := &http.Client{Transport: a}
	caught := map[string]bool{}
	failed := func(bend fault) (failed, passed []string) {
		a.bend = bend
		for _, f := range Check(t.Context(), client, "http://localhost", "toy", sample(1, 1, 4, 4)) {
			if f.Err == nil {
				passed = append(passed, f.Check)
			} else {
				failed = append(failed, f.Check)
				caught[f.Check] = true
			}
		}
		return failed, passed
	}
	for _, c := range faults {
		if got, _ := failed(c.bend); !slices.Contains(got, c.check) {
			t.Errorf("%s: %q does not fail, but %q", c.name, c.check, got)
		}
	}
	for _, c := range answersToAll {
		_, passed := failed(func(r *http.Request, p *reply) {
			if p.code >= 400 {
				c.bend(p)
			}
		})
		for _, check := range passed {
			verb := check == "refused: GET of infer" || check == "refused: POST of the metadata"
			wrong := strings.HasPrefix(check, "refused:") || strings.HasSuffix(check, "is refused")
			if wrong && (!verb || c.verbs) {
				t.Errorf("%s: not caught by %q", c.name, check)
			}
		}
	}
	for _, c := range accepted {
		got, passed := failed(c.bend)
		if len(got) > 0 {
			t.Errorf("%s: %q fail", c.name, got)
		}
		for _, check := range passed {
			if !caught[check] {
				t.Errorf("no fault makes %q fail", check)
			}
		}
	}
}

// FuzzAnswer feeds an answer to every reader. What they accept must be whole.
func FuzzAnswer(f *testing.F) {
	const inBinary = `{"model_name":"toy","outputs":` +
		`[{"name":"y","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}`
	f.Add(200, "application/octet-stream", strconv.Itoa(len(inBinary)), []byte(inBinary+"\x00\x00\x80\x3f"))
	f.Add(200, "application/json", "", []byte(`{"model_name":"toy","id":"7","parameters":{"a":"b","c":1e3,"d":true},`+
		`"outputs":[{"name":"y","shape":[2,1],"datatype":"FP32","data":[[1],[-2.5e-3]]},`+
		`{"name":"z","shape":[],"datatype":"FP32","data":[3]},{"name":"e","shape":[268435456,0],"datatype":"FP32","data":[]}]}`))
	f.Add(200, "application/json", "", []byte(`{"name":"vggo","version":"1","extensions":["binary_tensor_data"]}`))
	f.Add(200, "application/json; charset=utf-8", "", []byte(`{"name":"toy","versions":["1"],"platform":"vggo_toy",`+
		`"inputs":[{"name":"x","datatype":"FP32","shape":[-1,2]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1]}]}`))
	f.Add(404, "application/json", "", []byte(`{"error":"no"}`))
	f.Fuzz(func(t *testing.T, code int, contentType, length string, body []byte) {
		a := &answer{code: code, header: http.Header{"Content-Type": {contentType}}, length: int64(len(body)), body: body}
		if length != "" {
			a.header.Set(headerLength, length)
		}
		_ = probed(true, members{"live": true})(a)
		_ = a.serverMetadata()
		if m := (modelMetadata{}); a.modelMetadata("toy", &m) == nil && m.Name != "toy" {
			t.Errorf("the metadata is of %q", m.Name)
		}
		if a.refusal(errorObject) == nil && code/100 != 4 {
			t.Errorf("%d is a refusal", code)
		}
		r, err := a.response()
		if err != nil {
			return
		}
		for _, out := range r.Outputs {
			if count, ok := product(out.Shape); !ok || len(out.values) != 4*count {
				t.Errorf("output %q of %v has %d bytes", out.Name, out.Shape, len(out.values))
			}
		}
	})
}
