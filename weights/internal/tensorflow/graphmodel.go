package tensorflow

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vggo/vggo/internal/strict"
	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/keras"
	"github.com/vggo/vggo/weights/internal/proto"
)

// A graph-model of TensorFlow.js is a GraphDef as JSON, in protocol buffers' own way of writing messages so
// (protobuf.dev, ProtoJSON). Its constants' values lie in the shards, under their nodes' names.

// isGraphModel knows one, and a layers-model that has a member of that name.
func isGraphModel(data []byte) bool {
	return format.IsJSON(data, "weightsManifest") && format.IsJSON(data, "node")
}

func readGraphModel(in *format.Input) (*format.Contents, error) {
	nodes, file, err := keras.Graph(in)
	switch {
	case err != nil:
		return nil, err
	case nodes == nil:
		return keras.TensorFlowJS.Read(in)
	}
	graph := proto.Message{}
	decoder := jsonDecoder{Decoder: strict.Decoder(nodes)}
	if err := decoder.field(graph, proto.Field{"node", nodeDef}); err != nil {
		return nil, err
	}
	l, err := newLibrary(graph)
	if err != nil {
		return nil, err
	}
	for _, n := range l.order {
		if _, ok := file.Get(n.name); !ok && n.op == "Const" {
			return nil, format.Fail(0, "the values of %s are not in the shards", n.label())
		}
	}
	c, err := describe(l, file, l.ends())
	if err == nil {
		c.Format = keras.TensorFlowJS.Name
	}
	return c, err
}

// jsonTypes are dtypes' words for those that networks have.
var jsonTypes = map[string]float64{"DT_FLOAT": 1, "DT_DOUBLE": 2, "DT_INT32": 3, "DT_UINT8": 4, "DT_INT64": 9,
	"DT_BOOL": 10, "DT_BFLOAT16": 14, "DT_HALF": 19}

// jsonDecoder makes of JSON what package proto makes of the binary form. keras.Graph has checked the text.
type jsonDecoder struct {
	*jsontext.Decoder
	values int
}

// maxJSONValues bounds them: some twenty for each node.
const maxJSONValues = 1 << 18

// field adds a field's value, all of a list's, or those of a map, which is a list of keys and values.
func (d *jsonDecoder) field(m proto.Message, f proto.Field) error {
	if d.values++; d.values > maxJSONValues {
		return fmt.Errorf("a graph of more than %d values", maxJSONValues)
	}
	name := f[0].(string)
	switch d.PeekKind() {
	case 'n': // as if it were not there
		return d.SkipValue()
	case '[':
		_, err := d.ReadToken()
		for err == nil && d.PeekKind() != ']' {
			if d.PeekKind() == '[' {
				return fmt.Errorf("%s: a list in a list", name)
			}
			err = d.field(m, f)
		}
		if err == nil {
			_, err = d.ReadToken()
		}
		return err
	case '{':
		fields, ok := f[1].(schema)
		if !ok {
			return fmt.Errorf("%s: a message where a graph has none", name)
		}
		return d.message(m, name, fields)
	}
	text, err := d.ReadValue()
	if err != nil {
		return err
	}
	v, err := single(f, text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	m[name] = append(m[name], v)
	return nil
}

// message adds one, or a map's entries.
func (d *jsonDecoder) message(m proto.Message, name string, fields schema) error {
	known := map[string]proto.Field{}
	for _, of := range fields {
		known[of[0].(string)] = of
	}
	_, isMap := known["key"]
	inner := proto.Message{}
	_, err := d.ReadToken()
	for err == nil && d.PeekKind() != '}' {
		var key jsontext.Token
		if key, err = d.ReadToken(); err != nil {
			break
		}
		word := key.String()
		if of, ok := known[word]; isMap {
			entry := proto.Message{"key": {{Text: word}}}
			err = d.field(entry, known["value"])
			m[name] = append(m[name], proto.Value{Message: entry})
		} else if ok {
			err = d.field(inner, of)
		} else {
			err = d.SkipValue()
		}
	}
	if err != nil {
		return err
	}
	if !isMap {
		m[name] = append(m[name], proto.Value{Message: inner})
	}
	_, err = d.ReadToken()
	return err
}

// single is a number, a truth, a word or a text. Texts of an attribute are bytes to protocol buffers.
func single(f proto.Field, text jsontext.Value) (v proto.Value, err error) {
	word := text.String()
	if text.Kind() == '"' {
		raw, err := jsontext.AppendUnquote(nil, text)
		if err != nil {
			return v, strict.Error(err)
		}
		word = string(raw)
	}
	switch of := f[1]; {
	case of == proto.Text && f[0] == "s":
		var raw []byte
		raw, err = base64.StdEncoding.DecodeString(word)
		v.Text = string(raw)
	case of == proto.Text:
		v.Text = word
	case of == proto.Float:
		var x float64
		x, err = strconv.ParseFloat(word, 32)
		v.Number = format.Shortest(float32(x))
	case of == proto.Number && (text.Kind() == 't' || text.Kind() == 'f'):
		if text.Kind() == 't' {
			v.Number = 1
		}
	case of == proto.Number && strings.HasPrefix(word, "DT_"):
		v.Number = jsonTypes[word] // 0 for one that no network has
	case of == proto.Number:
		var n int64
		n, err = strconv.ParseInt(word, 10, 64)
		v.Number = float64(n)
	default: // a message, or values, which lie in the shards
		err = fmt.Errorf("a %s where a graph has none", text.Kind())
	}
	return v, err
}
