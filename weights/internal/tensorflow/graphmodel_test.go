package tensorflow

import (
	"bytes"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/format/formattest"
	"github.com/vggo/vggo/weights/internal/proto"
)

// graphModel is one of TensorFlow.js', with its shards.
func graphModel(t testing.TB) *format.Input {
	in := formattest.File(t, "tfjs-graph/float32.json")
	files := in.Beside
	in.Beside = func(name string) ([]byte, error) { return files("tfjs-graph/" + name) }
	return in
}

// TestGraphModelRefuses: what a graph-model says wrongly, or no layer computes, is named.
func TestGraphModelRefuses(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{`"name": "gamma", "op"`, `"name": "other", "op"`, "the values of Const other are not in the shards"},
		{`"name": "relu1"`, `"name": "bn1"`, `two nodes are called "bn1"`},
		{`"i": ["1", "2"`, `"i": ["1", "2.5"`, "i: strconv.ParseInt"},
		{`"i": ["1", "2"`, `"i": [["1"], "2"`, "i: a list in a list"},
		{`{"f": 0.001}`, `{"f": "much"}`, "f: strconv.ParseFloat"},
		{`{"s": "TkhXQw=="}`, `{"s": "?"}`, "s: illegal base64"},
		{`{"b": false}`, `{"b": {}}`, "b: a message where"},
		{`"attr": {"T"`, `"attr": 1, "x": {"T"`, "attr: a number where a graph has none"},
		{`"format"`, `"format": 1, "format"`, "duplicate"},
		{`"UmVsdQ=="`, `"RWx1"`, "no layer computes: tensorflow.Elu (relu2)"},
		{`"op": "Softmax"`, `"op": "Erf"`, "no layer computes: tensorflow.Erf (prob)"},
		{`"num_args"`, `"fused_ops": {}, "num_args"`, "duplicate"},
		{`{"type": "DT_FLOAT"}, "shape"`, `{"type": "DT_STRING"}, "shape"`, "pictures of TensorFlow's type"},
	} {
		in := graphModel(t)
		if !bytes.Contains(in.Data, []byte(c.from)) {
			t.Fatalf("there is no %s", c.from)
		}
		in.Data = bytes.Replace(in.Data, []byte(c.from), []byte(c.to), 1)
		contents, err := Reader.Read(in)
		if err == nil {
			err = contents.Unrunnable
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.to, err, c.want)
		}
	}
	in := graphModel(t)
	in.Data = bytes.Replace(in.Data, []byte(`"node"`), []byte(`"layers": [], "x": "node", "none"`), 1)
	if c, err := Reader.Read(in); err != nil || c.Network != nil {
		t.Errorf("a layers-model: %+v, %v", c, err)
	}
}

// TestGraphModelValues: numbers come as JSON has them, or as texts.
func TestGraphModelValues(t *testing.T) {
	m := proto.Message{}
	text := `{"a": {"f": 0.0010000000474974513}, "b": {"f": "NaN"}, "c": {"i": "-1"}, "d": {"i": 7}, "e": {"b": true}}`
	decode := func(m proto.Message, text []byte) error {
		d := jsonDecoder{Decoder: strict.Decoder(text)}
		return d.field(m, proto.Field{"node", nodeDef})
	}
	if err := decode(m, []byte(`{"name": null, "attr": `+text+`}`)); err != nil {
		t.Fatal(err)
	}
	_, order, err := nodesOf(m["node"])
	if err != nil {
		t.Fatal(err)
	}
	n := order[0]
	if f := n.attr("a").Number("f", 0); f != 0.001 {
		t.Errorf("a is %v", f)
	}
	if f := n.attr("b").Number("f", 0); !math.IsNaN(f) {
		t.Errorf("b is %v", f)
	}
	if c, d, e := n.attr("c").Number("i", 0), n.attr("d").Number("i", 0), n.attr("e").Number("b", 0); c != -1 || d != 7 ||
		e != 1 {
		t.Errorf("c to e are %v, %v, %v", c, d, e)
	}
	for _, many := range []string{`[` + strings.Repeat(`{},`, 1<<22) + `{}]`,
		`{"input": [` + strings.Repeat(`"",`, 1<<22) + `""]}`} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := decode(proto.Message{}, []byte(many))
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; err == nil || !strings.Contains(err.Error(), "more than") ||
			took > 200<<20 {
			t.Errorf("%.20s: %v, in %d bytes of memory", many, err, took)
		}
	}
}

// TestFusedNodes: a node that stands for several is these, unless something of it is then lost.
func TestFusedNodes(t *testing.T) {
	for _, c := range []struct {
		inputs []string
		ops    []string
		want   string
	}{
		{[]string{"x", "w"}, []string{"Relu"}, "Conv2D Relu"},
		{[]string{"x", "w", "b"}, []string{"BiasAdd", "Relu"}, "Conv2D BiasAdd Relu"},
		{[]string{"x", "w", "gamma", "beta", "mean", "var"}, []string{"FusedBatchNorm"}, "_FusedConv2D"},
		{[]string{"x", "w", "b"}, []string{"Relu"}, "_FusedConv2D"},
		{[]string{"x", "w"}, slices.Repeat([]string{"Relu"}, 1<<20), "_FusedConv2D"},
	} {
		var list []proto.Value
		for _, op := range c.ops {
			list = append(list, proto.Value{Text: op})
		}
		n := &node{"c", "_FusedConv2D", c.inputs,
			map[string]proto.Message{"fused_ops": {"list": {{Message: proto.Message{"s": list}}}}}}
		var got []string
		for _, n := range n.unfused() {
			got = append(got, n.op)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v with %d operations: %v, want %s", c.inputs, len(c.ops), got, c.want)
		}
	}
}

func FuzzGraphModel(f *testing.F) {
	in := graphModel(f)
	f.Add(in.Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 || !isGraphModel(data) {
			return
		}
		_ = formattest.Use(t, Reader, &format.Input{Name: "model.json", Data: data, Beside: in.Beside})
	})
}
