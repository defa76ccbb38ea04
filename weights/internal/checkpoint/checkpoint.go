// Package checkpoint finds networks' weights in a pickled value: PyTorch's files and NumPy's pickles are such. A
// training script's checkpoint is a dict of many things: the weights under some key, at times averaged ones under
// another, the optimiser's state, numbers and settings. What is a network's weights is told by what a dict holds, names
// only break ties.
package checkpoint

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/internal/pickle"
	"github.com/vggo/vggo/weights/internal/format"
)

// Leaf is what a loader's own functions make of a tensor.
type Leaf interface {
	// Entry is the tensor, without a name.
	Entry() format.Tensor
}

// node is what of a pickled value holds tensors: a tensor or an array itself, or a dict, a list or an object of such.
type node struct {
	key     string // under which its holder has it
	tensor  *format.Tensor
	nodes   []*node
	class   string         // of an object that holds them as its attributes: they are not read
	weights int            // arrays of floats and two axes or more, in and below it
	dotted  bool           // a key of its own has a dot, as a module's names have
	module  *pickle.Object // of PyTorch's, one network or a part of one; nil for anything else
}

// Limits of a walk: values may be held from many places, or hold themselves.
const (
	maxWalk    = 1 << 22
	maxHolders = 4 * format.MaxTensors
	maxDepth   = 64
)

// walker makes nodes of a pickled value.
type walker struct {
	steps  int
	nodes  int
	barren map[any]bool // lists, dicts and objects that hold none, or are being walked
}

func (w *walker) node(key string, v any, depth int) (*node, error) {
	if w.steps++; w.steps > maxWalk || depth > maxDepth {
		return nil, fmt.Errorf("more than %d values, or deeper than %d: it may hold itself", maxWalk, maxDepth)
	}
	n := &node{key: key}
	if len(key) > format.MaxName {
		return nil, format.CheckName(key)
	}
	switch v := v.(type) {
	case Leaf:
		t := v.Entry()
		n.tensor = &t
	case *pickle.Array:
		if v.Type == "O" {
			return w.items(n, v.Objects.Items, depth)
		}
		t, err := arrayTensor(v)
		if err != nil {
			return nil, err
		}
		n.tensor = &t
	case *pickle.Dict:
		return w.once(v, func() (*node, error) { return w.dict(n, v, depth) })
	case *pickle.List:
		return w.once(v, func() (*node, error) { return w.items(n, v.Items, depth) })
	case pickle.Tuple:
		return w.items(n, v, depth)
	case *pickle.Object:
		if w.barren[v] {
			return nil, nil
		}
		w.barren[v] = true // modules know each other
		defer delete(w.barren, v)
		return w.object(n, v, depth)
	}
	if n.tensor == nil {
		return nil, nil
	}
	if n.tensor.IsWeight() {
		n.weights = 1
	}
	return n, nil
}

// once remembers lists and dicts that hold no tensor: one may be held from many places.
func (w *walker) once(v any, walk func() (*node, error)) (*node, error) {
	if w.barren[v] {
		return nil, nil
	}
	n, err := walk()
	if n == nil && err == nil {
		w.barren[v] = true
	}
	return n, err
}

func (w *walker) dict(n *node, d *pickle.Dict, depth int) (*node, error) {
	_, state := d.Get("state")
	if _, groups := d.Get("param_groups"); state && groups { // an optimiser's, by torch.optim.Optimizer.state_dict
		return nil, nil
	}
	for _, e := range d.Entries {
		key := ""
		switch k := e.Key.(type) {
		case string:
			key = k
		case int64:
			key = strconv.FormatInt(k, 10)
		default:
			continue
		}
		if err := w.add(n, key, e.Value, depth); err != nil {
			return nil, err
		}
	}
	return n.orNil(), nil
}

func (w *walker) items(n *node, items []any, depth int) (*node, error) {
	if len(items) == 1 && depth == 0 { // an array that is one object: numpy.save of a dict
		return w.node(n.key, items[0], depth+1)
	}
	for i, item := range items {
		if err := w.add(n, strconv.Itoa(i), item, depth); err != nil {
			return nil, err
		}
	}
	return n.orNil(), nil
}

// IsModule knows a module of PyTorch's, in a pickle of its own or in TorchScript's.
func IsModule(o *pickle.Object) bool {
	state, ok := o.State.(*pickle.Dict)
	if !ok {
		return false
	}
	_, parameters := state.Get("_parameters")
	_, modules := state.Get("_modules")
	return parameters && modules || strings.HasPrefix(o.Class, "__torch__.")
}

// Members are a module's parameters, buffers and modules, in the order of its state_dict.
func Members(o *pickle.Object) []pickle.Entry {
	state, _ := o.State.(*pickle.Dict)
	if state == nil || strings.HasPrefix(o.Class, "__torch__.") {
		if state == nil {
			return nil
		}
		return state.Entries
	}
	var list []pickle.Entry
	for _, of := range []string{"_parameters", "_buffers", "_modules"} {
		held, _ := state.Get(of)
		switch held := held.(type) {
		case *pickle.Dict:
			list = append(list, held.Entries...)
		case *pickle.Object:
			list = append(list, held.Dict.Entries...)
		}
	}
	return list
}

// object is a module, a dict of somebody's own class, or one whose attributes hold tensors.
func (w *walker) object(n *node, o *pickle.Object, depth int) (*node, error) {
	if IsModule(o) {
		n.module = o
		return w.dict(n, &pickle.Dict{Entries: Members(o)}, depth)
	}
	for i, held := range []any{o.State, o.Args, &o.List} {
		if err := w.add(n, strconv.Itoa(i), held, depth); err != nil {
			return nil, err
		}
	}
	if n.nodes != nil {
		n.class = o.Class
		return n, nil
	}
	return w.dict(n, &o.Dict, depth)
}

func (w *walker) add(n *node, key string, v any, depth int) error {
	child, err := w.node(key, v, depth+1)
	if err != nil || child == nil {
		return err
	}
	if w.nodes++; w.nodes > maxHolders {
		return fmt.Errorf("more than %d tensors and what holds them", maxHolders)
	}
	n.nodes = append(n.nodes, child)
	n.weights += child.weights
	n.dotted = n.dotted || strings.Contains(key, ".")
	return nil
}

func (n *node) orNil() *node {
	if n.nodes == nil {
		return nil
	}
	return n
}

// found is a network's weights in a pickled value.
type found struct {
	path string // the keys to it, with dots between them
	node *node
}

// Keys that break ties. Those of parts of one network, in dicts of dicts; of what a script keeps with the weights and
// is none; of whole networks' weights, the usual first; and of averaged ones, which come last.
var (
	moduleKeys    = regexp.MustCompile(`(?i)^(features?|classif\w*|heads?|fc\w*|pre_?logits|avgpool|(conv|block|layers?|stage|linear|norm|bn)[\w-]*|stem|\d+)$`)
	auxiliaryKeys = regexp.MustCompile(`(?i)optim|sched|scaler|^amp$|^loops$|rng`)
	NetworkKeys   = []string{"state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights",
		"params", "generator", "online", "student"}
	AveragedKeys = regexp.MustCompile(`(?i)(^|[^a-z])(ema|avg|averaged?|swa|shadow|polyak|teacher|target|slow|` +
		`moving|momentum)([^a-z]|$)|EMA`)
)

// parts lists the weights of networks in a value, where path leads.
func (n *node) parts(path string) []found {
	if n.class != "" || n.module != nil {
		return []found{{path, n}}
	}
	var holders []*node
	direct := 0
	for _, c := range n.nodes {
		switch {
		case c.weights == 0 || c.tensor == nil && auxiliaryKeys.MatchString(c.key):
		case c.tensor != nil:
			direct++
		default:
			holders = append(holders, c)
		}
	}
	if len(holders) == 0 && direct == 0 {
		return nil
	}
	if n.isNetwork(holders, direct) {
		list := []found{{path, n}}
		for _, h := range holders {
			if h.class != "" {
				list = append(list, found{format.Join(path, h.key), h})
			}
		}
		return list
	}
	var list []found
	for _, h := range holders {
		list = append(list, h.parts(format.Join(path, h.key))...)
	}
	for _, c := range n.nodes {
		if c.tensor != nil && c.weights > 0 {
			list = append(list, found{format.Join(path, c.key), c})
		}
	}
	return list
}

// isNetwork reports whether a dict is one network's weights: its tensors are its own, or its dicts are layers or
// modules. It is none where whole networks' dicts are in it, beside which a tensor of its own is a figure of the
// training.
func (n *node) isNetwork(holders []*node, direct int) bool {
	layers, modules, wholes := true, false, false
	for _, h := range holders {
		if h.class != "" {
			continue
		}
		module := moduleKeys.MatchString(h.key) && !(h.dotted && isNumber(h.key))
		modules = modules || module
		layers = layers && (module || h.isLayer())
		wholes = wholes || slices.Contains(NetworkKeys, h.key) || AveragedKeys.MatchString(h.key)
	}
	if direct > 0 {
		return layers || !slices.ContainsFunc(holders, func(h *node) bool { return h.class == "" && h.weights >= direct })
	}
	return layers && !wholes && slices.ContainsFunc(holders, func(h *node) bool { return h.class == "" }) ||
		modules && !wholes
}

// isLayer knows a dict or list of one layer's tensors, such as weights and biases.
func (n *node) isLayer() bool {
	return n.weights == 1 && !n.dotted && !slices.ContainsFunc(n.nodes, func(c *node) bool { return c.tensor == nil })
}

func isNumber(key string) bool {
	_, err := strconv.Atoi(key)
	return err == nil
}

// flatten lists a node's tensors under their names from it, what auxiliary keys and objects hold left out.
// Names too long are cut, and refused where they are listed.
func (n *node) flatten(path string, list []format.Tensor) []format.Tensor {
	if len(path) > format.MaxName {
		path = path[:format.MaxName+1]
	}
	if n.tensor != nil {
		t := *n.tensor
		if t.Name = path; path == "" {
			t.Name = "tensor"
		}
		return append(list, t)
	}
	for _, c := range n.nodes {
		if c.class == "" && (c.tensor != nil || !auxiliaryKeys.MatchString(c.key)) {
			list = c.flatten(format.Join(path, c.key), list)
		}
	}
	return list
}

// StateDict is what to do about a file that holds more than tensors.
const StateDict = "; tensors alone come from torch.save(model.state_dict(), path) in Python"

// Value is what of a pickled value holds tensors; nil where nothing does.
type Value struct{ root *node }

// Read walks a value.
func Read(value any) (*Value, error) {
	w := walker{barren: map[any]bool{}}
	root, err := w.node("", value, 0)
	if err != nil || root == nil {
		return nil, err
	}
	return &Value{root}, nil
}

// Tensors lists all of the value's tensors, under a name before their keys.
func (v *Value) Tensors(name string) []format.Tensor { return v.root.flatten(name, nil) }

// Networks lists the weights of each network in the value, under their keys with dots between those of dicts in dicts.
// asked is the part that was asked for: where it is none of them, it may be any dict's.
func (v *Value) Networks(asked string) ([]format.Part, error) {
	root := v.root
	if root.weights == 0 { // of nothing but vectors and whole numbers, it may be anything
		for len(root.nodes) == 1 && root.nodes[0].tensor == nil && root.nodes[0].class == "" &&
			slices.Contains(NetworkKeys, root.nodes[0].key) {
			root = root.nodes[0]
		}
		return []format.Part{{Tensors: root.flatten("", nil)}}, nil
	}
	list := root.parts("")
	if !slices.ContainsFunc(list, func(p found) bool {
		return p.node.class == "" && (p.node.tensor == nil ||
			p.path == "")
	}) {
		for _, p := range list {
			if p.node.class != "" {
				return nil, format.Fail(0, "%v%s", &pickle.RefusedError{Name: p.node.class}, StateDict)
			}
		}
	}
	var parts, unread []format.Part
	met := asked == ""
	for _, p := range list {
		if p.node.class != "" {
			unread = append(unread, format.Part{Name: p.path, Count: p.node.count(),
				Unread: "an object of class " + format.Clip(p.node.class)})
			continue
		}
		parts = append(parts, format.Part{Name: p.path, Tensors: p.node.flatten("", nil),
			Single: p.node.tensor != nil && p.path != ""})
		met = met || asked == p.path || strings.HasPrefix(asked, format.Join(p.path, ""))
	}
	if !met {
		parts = []format.Part{{Tensors: root.flatten("", nil)}}
	}
	return append(parts, unread...), nil
}

// Module is the module that a part of Networks is; nil where it is none.
func (v *Value) Module(part string) *pickle.Object {
	for _, p := range v.root.parts("") {
		if p.path == part {
			return p.node.module
		}
	}
	return nil
}

// count is the number of tensors in and below a node.
func (n *node) count() int {
	if n.tensor != nil {
		return 1
	}
	total := 0
	for _, c := range n.nodes {
		total += c.count()
	}
	return total
}
