// Package tensorflow reads TensorFlow's checkpoints of both editions, its frozen graphs and SavedModels, and the
// graph-models of TensorFlow.js; it writes checkpoints of the second edition. Kernels are rows, columns, in, out; fully
// connected weights in, out, over a map in H,W,C order.
package tensorflow

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/onnx"
	"github.com/vggo/vggo/weights/internal/proto"
)

// Reader reads them.
var Reader = format.Reader{
	Name: "TensorFlow",
	Knows: func(in *format.Input) bool {
		return isTable(in.Data) || isSavedModel(in.Data) || isGraph(in.Data) || isGraphModel(in.Data)
	},
	Read: func(in *format.Input) (*format.Contents, error) {
		switch {
		case isTable(in.Data):
			c, err := readCheckpoint(in)
			if err != nil {
				return nil, err
			}
			return c.contents()
		case isSavedModel(in.Data):
			return readSavedModel(in)
		case isGraphModel(in.Data):
			return readGraphModel(in)
		}
		graph, err := proto.Decode(in.Data, 0, graphDef)
		if err != nil {
			return nil, err
		}
		l, err := newLibrary(graph)
		if err != nil {
			return nil, err
		}
		return describe(l, &format.List{}, l.ends())
	},
}

// isSavedModel knows schema version 1, all that there is, and a graph behind it.
func isSavedModel(data []byte) bool { return bytes.HasPrefix(data, []byte{1 << 3, 1, 2<<3 | 2}) }

// isGraph knows a GraphDef (tensorflow/core/framework/graph.proto): nodes, message 1, with a name and an operation.
func isGraph(data []byte) bool {
	for field, value := range format.Fields(data) {
		return field == 1 && format.HasTexts(value, 1, 2)
	}
	return false
}

// readSavedModel reads the graph for serving and, where it has variables, the checkpoint of these.
func readSavedModel(in *format.Input) (*format.Contents, error) {
	m, err := proto.Decode(in.Data, 0, savedModel)
	if err != nil {
		return nil, err
	}
	if !m.Has("meta_graph") {
		return nil, format.Fail(0, "a SavedModel without a graph")
	}
	meta := m["meta_graph"][0].Message
	for _, v := range m["meta_graph"] {
		if slices.Contains(v.Message.Message("info").Texts("tag"), "serve") {
			meta = v.Message
			break
		}
	}
	l, err := newLibrary(meta.Message("graph"))
	if err != nil {
		return nil, err
	}
	file := &format.List{}
	const folder = "variables/"
	data, err := in.Beside(folder + "variables.index")
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case !isTable(data):
		return nil, format.Fail(0, "%svariables.index beside it is no table, or truncated", folder)
	default:
		c, err := readCheckpoint(&format.Input{Name: "variables.index", Data: data,
			Beside: func(name string) ([]byte, error) { return in.Beside(folder + name) }})
		if err == nil {
			err = c.list(file)
		}
		if err != nil {
			return nil, fmt.Errorf("%svariables.index beside it: %w", folder, err)
		}
	}
	return describe(l, file, outputs(meta["signature"]))
}

// list adds the variables that are not the optimiser's.
func (c *checkpoint) list(file *format.List) error {
	for _, t := range c.tensors {
		if c.set[t.Name] {
			continue
		}
		if err := file.Add(t); err != nil {
			return err
		}
	}
	return nil
}

// outputs are what the signature for serving names.
func outputs(signatures []proto.Value) (list []string) {
	named := map[string]proto.Message{}
	for _, s := range signatures {
		if name := s.Message.Text("key"); !strings.HasPrefix(name, "__") {
			named[name] = s.Message.Message("value")
		}
	}
	names := slices.Sorted(maps.Keys(named))
	if len(names) == 0 {
		return nil
	}
	of, ok := named["serving_default"]
	if !ok {
		of = named[names[0]]
	}
	for _, output := range of["output"] {
		list = append(list, output.Message.Message("value").Text("name"))
	}
	return list
}

// describe adds the graph's constants to file, and says what network it is.
func describe(l *library, file *format.List, outputs []string) (*format.Contents, error) {
	for _, n := range l.order {
		if _, ok := file.Get(n.name); ok || n.op != "Const" {
			continue
		}
		if k, err := constantOf(n.name, n.attr("value").Message("tensor")); err == nil { // else it is told where it is read
			if err := file.Add(k); err != nil {
				return nil, err
			}
		}
	}
	c := &format.Contents{Tensors: file.Tensors, HWIO: true}
	model, err := translate(l, file, outputs)
	if err == nil {
		err = onnx.Describe(c, model, file, "TensorFlow")
	}
	var unrunnable *format.UnrunnableError
	if errors.As(err, &unrunnable) {
		err = unrunnable.Err
	}
	c.Unrunnable = err
	return c, nil
}

// watching are the ends of operations that only look on.
var watching = []string{"Summary", "SaveV2", "Save", "Assert", "NoOp", "Print", "WriteFile"}

func (n *node) watches() bool {
	return slices.ContainsFunc(watching, func(end string) bool { return strings.HasSuffix(n.op, end) })
}

// ends are the values of a graph that nothing computes with, as far as they depend on pictures.
func (l *library) ends() (list []string) {
	readers := map[string][]*node{}
	var queue []*node
	for _, n := range l.order {
		if n.op == "Placeholder" && len(shapeOf(n.attr("shape").Message("shape"))) != 0 {
			queue = append(queue, n)
		}
		for _, ref := range n.inputs {
			of, _, _ := strings.Cut(ref, ":")
			if !n.watches() && of != n.name {
				readers[of] = append(readers[of], n)
			}
		}
	}
	depends := map[*node]bool{}
	for len(queue) > 0 {
		n := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if !depends[n] {
			depends[n] = true
			queue = append(queue, readers[n.name]...)
		}
	}
	for _, n := range l.order {
		if depends[n] && len(readers[n.name]) == 0 {
			list = append(list, n.name)
		}
	}
	return list
}
