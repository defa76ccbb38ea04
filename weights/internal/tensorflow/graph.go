package tensorflow

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/proto"
)

// A graph is followed from its output back to the pictures. Its functions, of which a SavedModel is made since 2019,
// are entered where they are called; what only hands a value on is passed over.

// Limits of a graph: functions that call functions may be far larger than the file.
const (
	maxSteps = 1 << 17 // nodes that are looked at on the way
	maxCalls = 16      // functions within functions
)

// node is a NodeDef.
type node struct {
	name, op string
	inputs   []string // without those that only order what is run
	attrs    map[string]proto.Message
}

func (n *node) attr(name string) proto.Message { return n.attrs[name] }

// numbers is an attribute's list.
func (n *node) numbers(name string) []float64 { return n.attr(name).Message("list").Numbers("i") }

func (n *node) input(i int) string {
	if i < len(n.inputs) {
		return n.inputs[i]
	}
	return ""
}

// label names a node for messages.
func (n *node) label() string { return fmt.Sprintf("%s %s", format.Clip(n.op), format.Clip(n.name)) }

// function is a FunctionDef.
type function struct {
	args    []string
	outputs []string
	returns map[string]string // an output's value
	nodes   map[string]*node
}

// library is a GraphDef.
type library struct {
	order     []*node
	top       *scope
	functions map[string]*function
}

// scope is one call of a function, or the graph itself.
type scope struct {
	nodes  map[string]*node
	of     *function
	args   map[string]value
	caller *scope
	calls  map[*node]*scope
	depth  int
}

// value is a node's output where it is called.
type value struct {
	in  *scope
	ref string
}

func newLibrary(graph proto.Message) (*library, error) {
	l := &library{functions: map[string]*function{}}
	top, order, err := nodesOf(graph["node"])
	if err != nil {
		return nil, err
	}
	l.order, l.top = order, &scope{nodes: top, calls: map[*node]*scope{}}
	for _, v := range graph.Message("library")["function"] {
		signature := v.Message.Message("signature")
		f := &function{returns: map[string]string{}}
		for _, a := range signature["input_arg"] {
			f.args = append(f.args, a.Message.Text("name"))
		}
		for _, a := range signature["output_arg"] {
			f.outputs = append(f.outputs, a.Message.Text("name"))
		}
		for _, r := range v.Message["ret"] {
			f.returns[r.Message.Text("key")] = r.Message.Text("value")
		}
		if f.nodes, _, err = nodesOf(v.Message["node"]); err != nil {
			return nil, err
		}
		l.functions[signature.Text("name")] = f
	}
	return l, nil
}

func nodesOf(list []proto.Value) (nodes map[string]*node, order []*node, err error) {
	nodes = map[string]*node{}
	for _, v := range list {
		n := &node{name: v.Message.Text("name"), op: v.Message.Text("op"), attrs: map[string]proto.Message{}}
		for _, input := range v.Message.Texts("input") {
			if !strings.HasPrefix(input, "^") {
				n.inputs = append(n.inputs, input)
			}
		}
		for _, a := range v.Message["attr"] {
			n.attrs[a.Message.Text("key")] = a.Message.Message("value")
		}
		for _, n := range n.unfused() {
			if nodes[n.name] != nil {
				return nil, nil, format.Fail(0, "two nodes are called %q", format.Clip(n.name))
			}
			nodes[n.name] = n
			order = append(order, n)
		}
	}
	return nodes, order, nil
}

// unfused are the nodes that one stands for which TensorFlow's optimiser has put together (grappler/optimizers,
// remapper.cc): a convolution or a product, then its bias, then its activation. Of more, and of one whose other inputs
// none of these reads, it is the node itself, which no layer computes.
func (n *node) unfused() []*node {
	op, fused := strings.CutPrefix(n.op, "_Fused")
	ops := n.attr("fused_ops").Message("list").Texts("s")
	if !fused || len(n.inputs) < 2 || len(ops) > 2 {
		return []*node{n}
	}
	last, rest := &node{n.name, op, n.inputs[:2:2], n.attrs}, n.inputs[2:]
	list := []*node{last}
	for _, op := range ops {
		last.name += "/" + last.op
		last = &node{n.name, op, []string{last.name}, n.attrs}
		if op == "BiasAdd" && len(rest) > 0 {
			last.inputs, rest = append(last.inputs, rest[0]), rest[1:]
		}
		list = append(list, last)
	}
	if len(rest) > 0 {
		return []*node{n}
	}
	return list
}

// handsOn are the operations whose outputs are their inputs.
var handsOn = map[string]bool{"Identity": true, "IdentityN": true, "StopGradient": true, "PreventGradient": true,
	"CheckNumerics": true, "Snapshot": true, "EnsureShape": true, "ReadVariableOp": true, "PlaceholderWithDefault": true,
	"NoOp": true}

// place is a node that computes, where it is called, and which of its outputs is meant.
type place struct {
	in    *scope
	node  *node
	index int
}

// resolve finds the node that makes a value.
func (t *translation) resolve(v value) (p place, err error) {
	for {
		if t.steps++; t.steps > maxSteps {
			return p, fmt.Errorf("the graph has more than %d nodes on the way, or goes in a circle", maxSteps)
		}
		if of, ok := v.in.args[v.ref]; ok {
			v = of
			continue
		}
		parts := strings.Split(v.ref, ":")
		n := v.in.nodes[parts[0]]
		if n == nil {
			return p, fmt.Errorf("it reads %s, which nothing makes", format.Clip(v.ref))
		}
		index := 0
		if len(parts) > 1 {
			if index, err = strconv.Atoi(parts[len(parts)-1]); err != nil || index < 0 || index > 1<<16 {
				return p, fmt.Errorf("it reads %s, which is no output", format.Clip(v.ref))
			}
		}
		if len(parts) == 3 && strings.HasPrefix(n.op, "FusedBatchNorm") && parts[1] != "y" {
			index++
		}
		name := n.attr("f").Message("func").Text("name")
		if t.library.functions[n.op] != nil {
			name = n.op
		}
		switch {
		case strings.HasSuffix(n.op, "PartitionedCall") || name == n.op:
			s, err := t.call(v.in, n, name)
			if err != nil {
				return p, err
			}
			if index >= len(s.of.outputs) {
				return p, fmt.Errorf("it reads %s, which is no output", format.Clip(v.ref))
			}
			v = value{s, s.of.returns[s.of.outputs[index]]}
		case (handsOn[n.op] || n.isPlainCast()) && n.input(index) != "":
			v = value{v.in, n.input(index)}
		default:
			return place{v.in, n, index}, nil
		}
	}
}

// isPlainCast knows a Cast that changes nothing: networks compute in float32.
func (n *node) isPlainCast() bool {
	return n.op == "Cast" && dtypes[n.attr("SrcT").Number("type", 0)].HoldsWeights() &&
		dtypes[n.attr("DstT").Number("type", 0)].HoldsWeights()
}

// call enters a function, which must not be one that is being called already.
func (t *translation) call(in *scope, n *node, name string) (*scope, error) {
	if s := in.calls[n]; s != nil {
		return s, nil
	}
	f := t.library.functions[name]
	if f == nil {
		return nil, fmt.Errorf("%s: it calls %q, which is no function of the file", n.label(), format.Clip(name))
	}
	for s := in; s != nil; s = s.caller {
		if s.of == f {
			return nil, fmt.Errorf("%s: function %q calls itself", n.label(), format.Clip(name))
		}
	}
	if in.depth == maxCalls || len(n.inputs) < len(f.args) {
		return nil, fmt.Errorf("%s: it calls %q with %d values of %d, %d functions deep", n.label(), format.Clip(name),
			len(n.inputs), len(f.args), in.depth)
	}
	s := &scope{nodes: f.nodes, of: f, args: map[string]value{}, caller: in, calls: map[*node]*scope{},
		depth: in.depth + 1}
	for i, arg := range f.args {
		s.args[arg] = value{in, n.inputs[i]}
	}
	in.calls[n] = s
	return s, nil
}
