package oipclient

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// failed are the names of the checks that failed.
func failed(findings []Finding) (names []string) {
	for _, f := range findings {
		if f.Err != nil {
			names = append(names, f.Check)
		}
	}
	return names
}

func TestCheckPassesARightServer(t *testing.T) {
	two := Input{Tensor: TensorOf("x", []int{2, 2, 2}, []float32{1, 2, 3, 4, -0.1, -0.2, 1e10, 1e-10})}
	for _, c := range []struct {
		name   string
		server fake
		sample Input
		ran    int // checks at least
	}{
		{"all extensions", fake{}, sample(), 75},
		{"two pictures", fake{}, two, 75},
		{"no extensions", fake{plain: true}, sample(), 50},
	} {
		ran := 0
		for _, f := range Check(t.Context(), newFake(t, &c.server), "toy", c.sample) {
			if f.Err != nil {
				t.Errorf("%s: %v", c.name, f)
			}
			if f.Skipped == "" {
				ran++
			} else if !c.server.plain && f.Check != "classification: output best" {
				t.Errorf("%s: %v", c.name, f)
			}
		}
		if ran < c.ran {
			t.Errorf("%s: %d checks ran, not %d", c.name, ran, c.ran)
		}
	}
}

// TestCheckCatchesServersThatAnswerAnything turns the answers to all wrong requests into others: each check of one must see it.
func TestCheckCatchesServersThatAnswerAnything(t *testing.T) {
	right := func(p *reply) {
		f := &fake{}
		in := sample()
		ok, err := f.run(address{model: "toy"}, &in.Tensor, "", []Output{{Name: "y"}, {Name: "best"}})
		if err != nil {
			panic(err)
		}
		*p = *ok
	}
	for _, c := range []struct {
		name string
		bend func(p *reply)
		verb bool // whether the checks of verbs see it too
	}{
		{"answers as if it were right", right, true},
		{"500", func(p *reply) { p.code = 500 }, true},
		{"200 with the error", func(p *reply) { p.code = 200 }, true},
		{"302", func(p *reply) { p.code = 302; p.header.Set("Location", "/v2") }, true},
		{"plain text", func(p *reply) { p.header.Set("Content-Type", "text/plain") }, false},
		{"no body", func(p *reply) { p.body = nil }, false},
		{"no message", func(p *reply) { p.body = []byte(`{"error":""}`) }, false},
		{"message for error", func(p *reply) { p.body = []byte(`{"message":"no"}`) }, false},
		{"more than the error", func(p *reply) { p.body = []byte(`{"error":"no","code":3}`) }, false},
		{"an object for the error", func(p *reply) { p.body = []byte(`{"error":{"message":"no"}}`) }, false},
	} {
		client := newFake(t, &fake{bend: func(r *http.Request, p *reply) {
			if p.code >= 400 {
				c.bend(p)
			}
		}})
		for _, f := range Check(t.Context(), client, "toy", sample()) {
			isVerb := f.Check == "refused: GET of infer" || f.Check == "refused: POST of the metadata"
			wrong := strings.HasPrefix(f.Check, "refused:") || strings.HasSuffix(f.Check, "is refused")
			if wrong && (!isVerb || c.verb) && f.Err == nil {
				t.Errorf("%s: not caught by %q: %v", c.name, f.Check, f)
			}
		}
	}
}

// TestCheckCatches bends one thing of a right server at a time.
func TestCheckCatches(t *testing.T) {
	// The places where a server is bent: replies of 200 that a test chooses by path or by what the reply is.
	at := func(path string, bend func(p *reply)) func(*http.Request, *reply) {
		return func(r *http.Request, p *reply) {
			if r.URL.Path == path {
				bend(p)
			}
		}
	}
	edit := func(path string, change func(m members)) func(*http.Request, *reply) {
		return at(path, func(p *reply) { p.edit(change) })
	}
	const live, ready, modelReady, server, model = "/v2/health/live", "/v2/health/ready", "/v2/models/toy/ready", "/v2", "/v2/models/toy"
	body := func(text string) func(p *reply) {
		return func(p *reply) {
			p.header = http.Header{"Content-Type": {"application/json"}}
			p.body = []byte(text)
		}
	}
	infer := func(bend func(p *reply)) func(*http.Request, *reply) {
		return func(r *http.Request, p *reply) {
			if p.code == 200 && strings.HasSuffix(r.URL.Path, "/infer") {
				bend(p)
			}
		}
	}
	binary := func(bend func(p *reply)) func(*http.Request, *reply) {
		return infer(func(p *reply) {
			if p.header.Get(headerLength) != "" {
				bend(p)
			}
		})
	}
	response := func(change func(m members)) func(*http.Request, *reply) {
		return infer(func(p *reply) { p.edit(change) })
	}
	// output changes the first output.
	output := func(change func(o members)) func(*http.Request, *reply) {
		return response(func(m members) { change(m["outputs"].([]any)[0].(members)) })
	}
	set := func(name string, value any) func(m members) { return func(m members) { m[name] = value } }
	drop := func(name string) func(m members) { return func(m members) { delete(m, name) } }
	// replace replaces text in the JSON of the same length or without binary data.
	replace := func(old, new string) func(p *reply) {
		return func(p *reply) { p.body = []byte(strings.Replace(string(p.body), old, new, 1)) }
	}
	status := func(code int) func(p *reply) { return func(p *reply) { p.code = code } }
	header := func(name string, values ...string) func(p *reply) { return func(p *reply) { p.header[name] = values } }

	const (
		isLive, isReady, isModelReady = "health: the server is live", "health: the server is ready", "health: the model is ready"
		aServer, aModel, anInfer      = "metadata: the server", "metadata: the model", "infer: flat JSON"
		outputsBinary                 = "binary: outputs by binary_data"
	)
	for _, c := range []struct {
		name  string
		bend  func(*http.Request, *reply)
		check string // one that fails
	}{
		{"not live", at(live, status(400)), isLive},
		{"live 500", at(live, status(500)), isLive},
		{"live 204", at(live, status(204)), isLive},
		{"live says ok", at(live, body("ok")), isLive},
		{"live says no", at(live, body(`{"live":false}`)), isLive},
		{"live says ready", at(live, body(`{"ready":true}`)), isLive},
		{"live says status", at(live, body(`{"status":"alive"}`)), isLive},
		{"live says more", at(live, body(`{"live":true,"name":"toy"}`)), isLive},
		{"ready says no", at(ready, body(`{"ready":false}`)), isReady},
		{"ready says both", at(ready, body(`{"ready":true,"live":true}`)), isReady},
		{"model ready has no name", at(modelReady, body(`{"ready":true}`)), isModelReady},
		{"model ready has another name", at(modelReady, body(`{"name":"toi","ready":true}`)), isModelReady},
		{"model ready of a version", at(modelReady, status(404)), isModelReady},
		{"a version not ready", at("/v2/models/toy/versions/1/ready", status(400)), "health: version 1 is ready"},
		{"every model is ready", at("/v2/models/"+noModel+"/ready", func(p *reply) { *p = reply{code: 200} }), "health: an unknown model is not ready"},
		{"500 of an unknown model", at("/v2/models/"+noModel+"/ready", status(500)), "health: an unknown model is not ready"},
		{"every version is ready", at("/v2/models/toy/versions/"+noVersion+"/ready", func(p *reply) { *p = reply{code: 200} }),
			"health: an unknown version is not ready"},

		{"server metadata moved", at(server, func(p *reply) { p.code = 301; p.header.Set("Location", "/v2/") }), aServer},
		{"server metadata missing", at(server, status(404)), aServer},
		{"server metadata as text", at(server, header("Content-Type", "text/plain")), aServer},
		{"server metadata in Latin-1", at(server, header("Content-Type", "application/json; charset=iso-8859-1")), aServer},
		{"server metadata without a type", at(server, header("Content-Type")), aServer},
		{"server metadata not asked for in gzip", at(server, header("Content-Encoding", "gzip")), aServer},
		{"server metadata twice", at(server, func(p *reply) { p.body = slices.Repeat(p.body, 2) }), aServer},
		{"server metadata not UTF-8", at(server, replace("fake", "f\xffke")), aServer},
		{"server metadata a list", at(server, body("[]")), aServer},
		{"server without name", edit(server, drop("name")), aServer},
		{"server without version", edit(server, drop("version")), aServer},
		{"server without extensions", edit(server, drop("extensions")), aServer},
		{"server version a number", edit(server, set("version", 1)), aServer},
		{"server extensions null", edit(server, set("extensions", nil)), aServer},
		{"server extensions numbers", edit(server, set("extensions", []int{1})), aServer},
		{"server has more", edit(server, set("uptime", 1)), aServer},
		{"server name in capitals", at(server, replace(`"name"`, `"Name"`)), aServer},
		{"server name twice", at(server, replace(`{`, `{"name":"fake",`)), aServer},

		{"model of another name", edit(model, set("name", "toi")), aModel},
		{"model without platform", edit(model, drop("platform")), aModel},
		{"model of a platform without format", edit(model, set("platform", "fake")), aModel},
		{"model without inputs", edit(model, drop("inputs")), aModel},
		{"model without outputs", edit(model, drop("outputs")), aModel},
		{"model versions numbers", edit(model, set("versions", []int{1})), aModel},
		{"model versions one text", edit(model, set("versions", "1")), aModel},
		{"model has more", edit(model, set("state", "READY")), aModel},
		{"model datatype unknown", at(model, replace("FP32", "FLOAT")), aModel},
		{"model dimension -2", at(model, replace("-1", "-2")), aModel},
		{"model dimension broken", at(model, replace("-1", "1.5")), aModel},
		{"model dimension with a point", at(model, replace("2,2", "2.0,2")), aModel},
		{"model dimension text", at(model, replace("-1", `"-1"`)), aModel},
		{"model input twice", at(model, replace(`"inputs":[`, `"inputs":[{"name":"x","datatype":"FP32","shape":[]},`)), aModel},
		{"model input with more", at(model, replace(`"datatype":"FP32"`, `"datatype":"FP32","layout":"NCHW"`)), aModel},
		{"model input without name", at(model, replace(`"name":"x",`, ``)), aModel},
		{"model has another input", at(model, replace(`"x"`, `"z"`)), "metadata: the sample fits the model's input"},
		{"model input of another shape", at(model, replace(`2,2`, `2,3`)), "metadata: the sample fits the model's input"},
		{"model input of another datatype", at(model, replace(`FP32`, `FP64`)), "metadata: the sample fits the model's input"},
		{"model lists a version that is not", at(model, replace(`"1"`, `"7"`)), "metadata: version 7"},
		{"model lists an output that is not", at(model, replace(`"best"`, `"worst"`)), anInfer},
		{"model does not list an output", edit(model, func(m members) { m["outputs"] = m["outputs"].([]any)[:1] }), anInfer},
		{"model output of another shape", at(model, replace(`[-1,3]`, `[-1,4]`)), anInfer},
		{"model output of another datatype", at(model, replace(`INT64`, `INT32`)), anInfer},

		{"no model_name", response(drop("model_name")), anInfer},
		{"another model_name", response(set("model_name", "toi")), anInfer},
		{"an unknown model_version", response(set("model_version", "9")), anInfer},
		{"always one model_version", response(set("model_version", "2")), "infer: version 1"},
		{"model_version a number", response(set("model_version", 2)), anInfer},
		{"the id is lost", response(drop("id")), "infer: the id comes back"},
		{"an id of its own", response(set("id", "7")), anInfer},
		{"the id is a number", response(set("id", 42)), anInfer},
		{"no outputs", response(drop("outputs")), anInfer},
		{"outputs an object", response(set("outputs", members{})), anInfer},
		{"empty outputs", infer(body(`{"model_name":"toy","outputs":[]}`)), anInfer},
		{"more in the response", response(set("time", 1)), anInfer},
		{"parameters a list", response(set("parameters", []int{})), anInfer},
		{"parameters nested", response(set("parameters", members{"a": members{}})), anInfer},
		{"parameters null", response(set("parameters", members{"a": nil})), anInfer},
		{"status 201", infer(status(201)), anInfer},
		{"status 500", infer(status(500)), anInfer},
		{"response as text", infer(header("Content-Type", "text/plain")), anInfer},
		{"output twice", response(func(m members) { m["outputs"] = slices.Repeat(m["outputs"].([]any), 2) }), anInfer},
		{"output missing", response(func(m members) { m["outputs"] = m["outputs"].([]any)[:1] }), anInfer},
		{"outputs unasked", func(r *http.Request, p *reply) {
			if p.code == 200 && strings.HasSuffix(r.URL.Path, "/infer") && p.header.Get(headerLength) == "" {
				in := sample()
				ok, _ := (&fake{}).run(parseAddress(r.URL.Path), &in.Tensor, "", []Output{{Name: "y"}, {Name: "best"}})
				*p = *ok
			}
		}, "infer: output y alone"},
		{"no output where one is asked", response(func(m members) {
			if outputs := m["outputs"].([]any); len(outputs) == 1 {
				m["outputs"] = []any{}
			}
		}), "infer: output y alone"},
		{"output without name", output(drop("name")), anInfer},
		{"output without shape", output(drop("shape")), anInfer},
		{"output without datatype", output(drop("datatype")), anInfer},
		{"output without data", output(drop("data")), anInfer},
		{"output with more", output(set("labels", "none")), anInfer},
		{"output of an unknown datatype", output(set("datatype", "FLOAT")), anInfer},
		{"output of another datatype", output(set("datatype", "FP64")), anInfer},
		{"output of another shape", output(set("shape", []int{3})), anInfer},
		{"output of a larger shape", output(set("shape", []int{1, 4})), anInfer},
		{"output of a smaller shape", output(set("shape", []int{1, 2})), anInfer},
		{"output of a negative dimension", output(set("shape", []int{-1, 3})), anInfer},
		{"output of a dimension with a point", infer(replace(`"shape":[1,3]`, `"shape":[1.0,3]`)), anInfer},
		{"output of an impossible shape", infer(replace(`"shape":[1,3]`, `"shape":[4611686018427387904,4611686018427387904]`)), anInfer},
		{"data null", output(set("data", nil)), anInfer},
		{"data text", output(set("data", "AAAA")), anInfer},
		{"data as texts", output(set("data", []string{"1", "2", "3"})), anInfer},
		{"data NaN as null", output(set("data", []any{1, 2, nil})), anInfer},
		{"data half nested", output(set("data", []any{[]any{1}, []any{2, 3}})), anInfer},
		{"data with an overflow", output(set("data", []any{1, 2, 1e39})), anInfer},
		{"integers with a point", infer(replace(`"data":[2]`, `"data":[2.0]`)), anInfer},
		{"four digits in JSON", output(func(o members) {
			if data, ok := o["data"].([]any); ok && o["datatype"] == "FP32" {
				for i, v := range data {
					data[i], _ = strconv.ParseFloat(strconv.FormatFloat(v.(float64), 'g', 4, 64), 64)
				}
			}
		}), outputsBinary},

		{"binary data refused", infer(func(p *reply) {
			if p.header.Get(headerLength) != "" {
				*p = *failReply(400, errors.New("no binary data"))
			}
		}), outputsBinary},
		{"binary data as JSON", binary(header("Content-Type", "application/json")), outputsBinary},
		{"JSON as binary data", infer(header("Content-Type", "application/octet-stream")), anInfer},
		{"no header length", binary(header(headerLength)), outputsBinary},
		{"header length too small", binary(func(p *reply) { addLength(p, -1) }), outputsBinary},
		{"header length too large", binary(func(p *reply) { addLength(p, 1) }), outputsBinary},
		{"header length beyond the body", binary(header(headerLength, "100000")), outputsBinary},
		{"header length no number", binary(header(headerLength, "all")), outputsBinary},
		{"header length twice", binary(func(p *reply) { p.header.Add(headerLength, p.header.Get(headerLength)) }), outputsBinary},
		{"header length 0", infer(header(headerLength, "0")), anInfer},
		{"no Content-Length", binary(func(p *reply) { p.chunks = true }), outputsBinary},
		{"a byte more", binary(func(p *reply) { p.body = append(p.body, 0) }), outputsBinary},
		{"a byte less", binary(func(p *reply) { p.body = p.body[:len(p.body)-1] }), outputsBinary},
		{"another bit", binary(func(p *reply) { p.body[len(p.body)-8] ^= 1 }), outputsBinary},
		{"big-endian", binary(func(p *reply) {
			end := p.body[len(p.body)-20:]
			for i := range 3 {
				slices.Reverse(end[4*i : 4*i+4])
			}
		}), outputsBinary},
		{"a size that is text", binary(func(p *reply) { p.edit(bendSize(func(n float64) any { return strconv.Itoa(int(n)) })) }), outputsBinary},
		{"a size too small", binary(func(p *reply) { p.edit(bendSize(func(n float64) any { return n - 1 })) }), outputsBinary},
		{"a size beyond the body", binary(func(p *reply) { p.edit(bendSize(func(n float64) any { return 1e6 })) }), outputsBinary},
		{"a negative size", binary(func(p *reply) { p.edit(bendSize(func(n float64) any { return -1 })) }), outputsBinary},
		{"half a byte", binary(func(p *reply) { p.edit(bendSize(func(n float64) any { return 0.5 })) }), outputsBinary},
		{"data beside a size", binary(func(p *reply) {
			p.edit(func(m members) { m["outputs"].([]any)[0].(members)["data"] = []int{1, 2, 3} })
		}), outputsBinary},
		{"binary data always JSON", infer(func(p *reply) {
			if p.header.Get(headerLength) != "" {
				in := sample()
				ok, _ := (&fake{}).run(address{model: "toy"}, &in.Tensor, "", []Output{{Name: "y"}, {Name: "best"}})
				*p = *ok
			}
		}), outputsBinary},

		{"classes of STRING", infer(replace("BYTES", "STRING")), "classification: output y"},
		{"classes in another order", infer(swapClasses), "classification: output y"},
		{"classes of another shape", infer(replace(`"BYTES","name":"y","shape":[1,3]`, `"BYTES","name":"y","shape":[3,1]`)),
			"classification: output y"},
		{"classes of a picture more", output(func(o members) {
			if o["datatype"] == "BYTES" {
				o["shape"], o["data"] = []int{2, 3}, slices.Repeat(o["data"].([]any), 2)
			}
		}), "classification: output y"},
		{"classes without index", infer(replace(":2:label 2", "")), "classification: output y"},
		{"classes of another value", infer(replace("0.681111:2", "0.691111:2")), "classification: output y"},
		{"classes of another index", infer(replace("0.681111:2", "0.681111:3")), "classification: output y"},

		// What the package comment says is accepted.
		{"live in JSON", at(live, body(`{"live":true}`)), ""},
		{"ready in JSON", at(ready, body(`{"ready":true}`)), ""},
		{"ready in JSON by OIP's letter", at(ready, body(`{"live":true}`)), ""},
		{"model ready in JSON", at(modelReady, body(`{"name":"toy","ready":true}`)), ""},
		{"unknown model not ready in JSON", at("/v2/models/"+noModel+"/ready",
			body(`{"name":"`+noModel+`","ready":false}`)), ""},
		{"charset", infer(func(p *reply) {
			if p.header.Get("Content-Type") == "application/json" {
				p.header.Set("Content-Type", "application/json; charset=utf-8")
			}
		}), ""},
		{"no versions", func(r *http.Request, p *reply) {
			switch {
			case r.URL.Path == model:
				p.edit(drop("versions"))
			case p.code == 200 && strings.HasSuffix(r.URL.Path, "/infer"):
				p.edit(drop("model_version"))
			}
		}, ""},
		{"an empty id", response(func(m members) {
			if m["id"] == nil {
				m["id"] = ""
			}
		}), ""},
		{"parameters", response(set("parameters", members{"took": 1.5, "cached": true, "host": "a"})), ""},
		{"data nested", output(func(o members) {
			if data, ok := o["data"].([]any); ok && o["datatype"] != "INT64" {
				o["data"] = []any{data}
			}
		}), ""},
		{"header length of the whole", infer(func(p *reply) {
			if p.header.Get(headerLength) == "" {
				p.header.Set(headerLength, strconv.Itoa(len(p.body)))
			}
		}), ""},
		{"chunks of JSON", infer(func(p *reply) { p.chunks = p.header.Get(headerLength) == "" }), ""},
		{"raw requests refused", func(r *http.Request, p *reply) {
			if r.Header.Get(headerLength) == "0" {
				*p = *failReply(400, errors.New("there is no header"))
			}
		}, ""},
		{"raw requests misread", func(r *http.Request, p *reply) {
			if r.Header.Get(headerLength) == "0" {
				p.body[len(p.body)-1] ^= 1
			}
		}, "binary: raw request"},
		{"classes without labels", infer(func(p *reply) {
			p.body = regexp.MustCompile(":label [0-9]").ReplaceAll(p.body, nil)
		}), ""},
		{"classes of one picture without its dimension", infer(func(p *reply) {
			p.body = []byte(strings.Replace(string(p.body), `"BYTES","name":"y","shape":[1,3]`, `"BYTES","name":"y","shape":[3]`, 1))
		}), ""},
	} {
		client := newFake(t, &fake{bend: c.bend})
		got := failed(Check(t.Context(), client, "toy", sample()))
		if c.check != "" && !slices.Contains(got, c.check) {
			t.Errorf("%s: %q does not fail, but %q", c.name, c.check, got)
		}
		if c.check == "" && len(got) > 0 {
			t.Errorf("%s: %q fail", c.name, got)
		}
	}
}

func addLength(p *reply, n int) {
	length, _ := strconv.Atoi(p.header.Get(headerLength))
	p.header.Set(headerLength, strconv.Itoa(length+n))
}

func bendSize(change func(n float64) any) func(m members) {
	return func(m members) {
		if p, ok := m["outputs"].([]any)[0].(members)["parameters"].(members); ok {
			p["binary_data_size"] = change(p["binary_data_size"].(float64))
		}
	}
}

func swapClasses(p *reply) {
	p.edit(func(m members) {
		o := m["outputs"].([]any)[0].(members)
		if data, ok := o["data"].([]any); ok && o["datatype"] == "BYTES" {
			slices.Reverse(data)
		}
	})
}
