package serve

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestEveryParameter walks openapi.yaml, as kin-openapi reads it, and sends each endpoint every kind of wrong value for
// each of its parameters, and parameters that it does not have: each is refused by name, in the shape of the server's
// other refusals.
func TestEveryParameter(t *testing.T) {
	_, web := start(t, Config{})
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	visit := visited(t, web.URL, "tiny")
	fill := strings.NewReplacer("{model}", "tiny", "{version}", "1", "{id}", visit.ID, "{file}", "main.js")
	tried := 0
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			right := url.Values{} // what the endpoint asks for
			type wrong struct {
				query  url.Values
				header []string
				named  string
			}
			var wrongs []wrong
			with := func(name string, values ...string) url.Values {
				all := url.Values{}
				for n, v := range right {
					all[n] = v
				}
				all[name] = values
				return all
			}
			all := append(append(item.Parameters[:0:0], item.Parameters...), op.Parameters...)
			for _, p := range all {
				if p.Value.In == "query" && p.Value.Required {
					right.Set(p.Value.Name, "conv1_1")
				}
			}
			for _, p := range all {
				name, schema := p.Value.Name, p.Value.Schema.Value
				bad := []string{}
				switch {
				case schema.Enum != nil:
					bad = append(bad, "xx", strings.ToUpper(fmt.Sprint(schema.Enum[0])), " "+fmt.Sprint(schema.Enum[0]))
				case schema.Type.Is("integer"):
					bad = append(bad, "x", "1.0", "1e1", "0x1", "+1", " 1", "1 ", "٣", "99999999999999999999",
						"-99999999999999999999",
						"true", "null")
					bad = append(bad, fmt.Sprintf("%.0f", *schema.Min-1), "-0x", "--1")
					if *schema.Max < 1<<40 {
						bad = append(bad, fmt.Sprintf("%.0f", *schema.Max+1), "9223372036854775807")
					}
				}
				switch p.Value.In {
				case "query":
					for _, v := range append(bad, "") {
						wrongs = append(wrongs, wrong{query: with(name, v), named: name})
					}
					good := fmt.Sprint(schema.Default)
					if schema.Default == nil {
						good = "conv1_1"
					}
					wrongs = append(wrongs, wrong{query: with(name, good, good), named: name + " comes 2 times"})
					wrongs = append(wrongs, wrong{query: with(strings.ToUpper(name), good), named: strings.ToUpper(name)})
					if p.Value.Required {
						wrongs = append(wrongs, wrong{named: "no " + name})
					}
				case "header":
					for _, v := range bad {
						if strings.TrimSpace(v) == v && v != "٣" { // which HTTP cuts off, or does not carry
							wrongs = append(wrongs, wrong{header: []string{name, v}, named: name})
						}
					}
				}
			}
			wrongs = append(wrongs, wrong{query: with("topk", "1"), named: `\"topk\"`}, wrong{query: with("", "1"),
				named: `\"\"`})
			for _, w := range wrongs {
				tried++
				s := sent{method: method, path: fill.Replace(path) + "?" + w.query.Encode(), header: w.header}
				if op.RequestBody != nil {
					s.body = boot(t)
				}
				s.refused(t, web.URL, w.named)
			}
			for _, query := range []string{"a;b", "%zz=1", "a=%"} {
				s := sent{method: method, path: fill.Replace(path) + "?" + query}
				s.refused(t, web.URL, "the URL's query cannot be read")
			}
			if op.RequestBody == nil && method == http.MethodPost {
				s := sent{method: method, path: fill.Replace(path) + "?" + right.Encode(), body: []byte(`{"class": 3}`)}
				s.refused(t, web.URL, "takes no body")
			}
		}
	}
	if tried < 300 {
		t.Errorf("%d wrong values were tried", tried)
	}
	t.Logf("%d wrong values", tried)
}

// refused sends a request that must be refused with 400, and names what is wrong.
func (s sent) refused(t *testing.T, base, named string) {
	t.Helper()
	answer, text := s.do(t, base)
	var told struct{ Kind, Error, Hint string }
	if err := json.Unmarshal(text, &told); err != nil || answer.StatusCode != http.StatusBadRequest {
		t.Errorf("%s %s %v: %d %.200s", s.method, s.path, s.header, answer.StatusCode, text)
		return
	}
	if protocol := strings.HasPrefix(s.path, "/v2"); !protocol && (told.Hint == "" || told.Kind == "") ||
		!strings.Contains(string(text), named) {
		t.Errorf("%s %s %v: %s, want %s", s.method, s.path, s.header, text, named)
	}
}

// parts is a form of several parts, name and value.
func parts(t *testing.T, fields ...[2]string) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		part, err := w.CreateFormField(f[0])
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(part, f[1])
	}
	w.Close()
	return w.FormDataContentType(), b.Bytes()
}

// TestBodies: what a form or a JSON body holds beside the picture is refused by name, on every endpoint that takes a
// picture.
func TestBodies(t *testing.T) {
	_, web := start(t, Config{})
	file := string(boot(t))
	encoded := string(jsonOf(t, boot(t)))
	form := func(fields ...[2]string) sent {
		kind, body := parts(t, fields...)
		return sent{header: []string{"Content-Type", kind}, body: body}
	}
	text := func(body string) sent {
		return sent{header: []string{"Content-Type", "application/json"}, body: []byte(body)}
	}
	image := [2]string{"image", file}
	for name, c := range map[string]struct {
		sent
		named string
	}{
		"two pictures":        {form(image, image), "two pictures"},
		"three pictures":      {form(image, image, image), "image comes twice"},
		"a picture and text":  {form(image, [2]string{"model", "colour"}), `\"model\"`},
		"text and a picture":  {form([2]string{"top", "3"}, image), `\"top\"`},
		"another name":        {form([2]string{"Image", file}), `\"Image\"`},
		"no name":             {form([2]string{"", file}, image), `\"\"`},
		"20 fields":           {form(append(make([][2]string, 20), image)...), `\"\"`},
		"no part":             {form(), `no part called \"image\"`},
		"a member twice":      {text(`{"image":` + encoded + `,"image":` + encoded + `}`), "image comes twice"},
		"escaped, twice":      {text(`{"image":` + encoded + `,"im\u0061ge":` + encoded + `}`), "image comes twice"},
		"model twice":         {text(`{"model":"tiny","image":` + encoded + `,"model":"colour"}`), "model comes twice"},
		"an unknown member":   {text(`{"image":` + encoded + `,"top":3}`), `\"top\"`},
		"other case":          {text(`{"Image":` + encoded + `}`), `\"Image\"`},
		"null":                {text(`{"image":null}`), `\"image\" is null`},
		"an array of numbers": {text(`{"image":[1,2]}`), `\"image\" is an array`},
		"an object":           {text(`{"image":` + encoded + `,"model":{"a":1,"a":2}}`), `\"model\" is an object`},
		"an empty model":      {text(`{"image":` + encoded + `,"model":""}`), "model is empty"},
		"no object":           {text(`[` + encoded + `]`), "no object"},
		"more than one value": {text(`{"image":` + encoded + `}{}`), "wrong at byte"},
	} {
		for _, path := range []string{"/v1/classify", "/v1/features?layer=fc3", "/v1/inside"} {
			t.Run(name, func(t *testing.T) {
				c.method, c.path = "POST", path
				c.refused(t, web.URL, c.named)
			})
		}
	}
	both := text(`{"image":` + encoded + `,"model":"tiny"}`)
	both.method, both.path = "POST", "/v1/classify?model=tiny"
	both.refused(t, web.URL, "model comes twice: in the URL and in the JSON")
	// A network's description is as strict.
	for body, named := range map[string]string{
		"name: a\nname: b\ninput: 8x8x3\nlayers:\n- {name: c, op: conv, out: 4, kernel: 3}\n":                   "name",
		"name: a\ninput: 8x8x3\nlayers:\n- {name: c, op: conv, out: 4, out: 5, kernel: 3}\n":                    "out",
		"name: a\ninput: 8x8x3\nlayers:\n- {name: c, op: conv, out: 4, kernel: 3, kernal: 5}\n":                 "kernal",
		`{"name":"a","input":"8x8x3","size":1,"layers":[{"name":"c","op":"conv","out":4,"kernel":3}]}`:          "size",
		`{"name":"a","input":"8x8x3","layers":[{"name":"c","op":"conv","out":4,"kernel":3,"kernel":5}]}`:        "kernel",
		`{"name":"a","input":"8x8x3","layers":[{"name":"c","op":"relu","kernel":3}]}`:                           "kernel",
		`{"name":"a","input":"8x8x3","layers":[{"name":"c","op":"conv","out":4,"kernel":3}],"layers":[]}`:       "layers",
		`{"name":"a","input":"8x8x3","layers":[{"name":"c","op":"conv","out":4,"kernel":{"h":3,"h":3,"w":3}}]}`: "no size",
	} {
		sent{method: "POST", path: "/v1/arch", header: []string{"Content-Type", "text/plain"}, body: []byte(body)}.refused(t,
			web.URL, named)
	}
}

// TestInferenceMembers: what an inference request holds beside the protocol's members is refused by name; further
// parameters, which the protocol allows, are passed over unless they ask for another answer.
func TestInferenceMembers(t *testing.T) {
	_, web := start(t, Config{})
	zeros := strings.TrimSuffix(strings.Repeat("0,", 28*28), ",")
	input := `"name":"images","shape":[1,1,28,28],"datatype":"FP32","data":[` + zeros + `]`
	request := func(top, in, out string) sent {
		return sent{method: "POST", path: "/v2/models/tiny/infer", header: []string{"Content-Type", "application/json"},
			body: []byte(`{` + top + `"inputs":[{` + input + in + `}],"outputs":[{"name":"logits"` + out + `}]}`)}
	}
	for _, c := range []struct {
		sent
		named string
	}{
		{request(`"model_name":"tiny",`, "", ""), `\"model_name\"`},
		{request(`"Id":"1",`, "", ""), `\"Id\"`},
		{request(`"id":"1","id":"1",`, "", ""), "id comes twice in the request"},
		{request(`"parameters":{},"parameters":{},`, "", ""), "parameters comes twice in the request"},
		{request(`"parameters":{"x":1,"x":1},`, "", ""), "x comes twice in parameters"},
		{request(`"parameters":{"binary_data_output":true,"binary_data_output":true},`, "", ""),
			"binary_data_output comes twice"},
		{request(`"parameters":{"x":{"a":1,"a":1}},`, "", ""), "the parameter x is an object"},
		{request(`"parameters":{"x":null},`, "", ""), "the parameter x is null"},
		{request(`"parameters":{"sequence_id":7},`, "", ""), "the parameter sequence_id"},
		{request("", `,"name":"images"`, ""), "name comes twice in an input"},
		{request("", `,"size":1`, ""), `an input has a member \"size\"`},
		{request("", `,"parameters":{"y":1,"y":1}`, ""), "y comes twice in an input's parameters"},
		{request("", `,"parameters":{"shared_memory_region":"a"}`, ""), "the parameter shared_memory_region"},
		{request("", "", `,"name":"logits"`), "name comes twice in an output"},
		{request("", "", `,"data":[]`), `an output has a member \"data\"`},
		{request("", "", `,"parameters":{"classification":3}`), "the parameter classification"},
		{request("", "", `,"parameters":{"z":1,"z":1}`), "z comes twice in an output's parameters"},
	} {
		c.refused(t, web.URL, c.named)
	}
	many := make([]string, maxMembers+1)
	for i := range many {
		many[i] = fmt.Sprintf(`"p%d":1`, i)
	}
	request(`"parameters":{`+strings.Join(many, ",")+`},`, "", "").refused(t, web.URL, "more than 64 members")
	right := request(`"parameters":{"timeout":5,"priority":"high"},`, `,"parameters":{"content_type":"np"}`,
		`,"parameters":{"note":true}`)
	if answer, text := right.do(t, web.URL); answer.StatusCode != 200 {
		t.Errorf("parameters that the protocol allows: %d %s", answer.StatusCode, text)
	}
	// The header that parts JSON from bytes.
	r, err := http.NewRequestWithContext(t.Context(), "POST", web.URL+"/v2/models/tiny/infer",
		bytes.NewReader(make([]byte, 4*28*28)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header[headerLength] = []string{"0", "0"}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != 400 || !strings.Contains(string(text), headerLength+
		" comes 2 times") {
		t.Errorf("the header twice: %d %s", answer.StatusCode, text)
	}
}

// TestHTTP10: a probe of HTTP/1.0 has no Host, and is answered; a browser's request always has one.
func TestHTTP10(t *testing.T) {
	_, web := start(t, Config{})
	for request, want := range map[string]string{
		"GET /healthz HTTP/1.0\r\n\r\n":                       "200 OK",
		"GET /v2/health/ready HTTP/1.0\r\n\r\n":               "200 OK",
		"GET /healthz HTTP/1.0\r\nHost: evil.example\r\n\r\n": "403 Forbidden",
		"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n":    "200 OK",
		"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n":              "403 Forbidden",
		"GET /healthz HTTP/1.1\r\n\r\n":                       "400 Bad Request",
		"POST /v1/inside/x/gradcam HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n": "400 Bad Request",
		"POST /v1/inside/x/gradcam HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n":             "404 Not Found",
	} {
		conn, err := net.Dial("tcp", web.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(conn, request)
		status, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.Contains(status, want) {
			t.Errorf("%q: %q %v, want %s", request, status, err, want)
		}
		conn.Close()
	}
}
