package weights

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vggo/vggo/internal/pickle"
	"github.com/vggo/vggo/internal/printable"
)

// A training script's checkpoint is a dict of many things: the weights under some key, at times averaged ones under
// another, the optimiser's state, numbers and settings. What is a network's weights is told by what a dict holds, names
// only break ties.

// node is what of a pickled value holds tensors: a tensor or an array itself, or a dict, a list or an object of such.
type node struct {
	key     string // under which its holder has it
	entry   *entry
	nodes   []*node
	class   string // of an object that holds them as its attributes: they are not read
	weights int    // arrays of floats and two axes or more, in and below it
	dotted  bool   // a key of its own has a dot, as a module's names have
}

// Limits of a walk: values may be held from many places, or hold themselves.
const (
	maxWalk    = 1 << 22
	maxHolders = 4 * maxTensors
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
	if len(key) > maxName {
		return nil, checkName(key)
	}
	switch v := v.(type) {
	case *torchTensor:
		e := v.entry("")
		n.entry = &e
	case *pickle.Array:
		if v.Type == "O" {
			return w.items(n, v.Objects.Items, depth)
		}
		e, err := arrayEntry(v)
		if err != nil {
			return nil, err
		}
		n.entry = &e
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
	if n.entry == nil {
		return nil, nil
	}
	if isWeight(*n.entry) {
		n.weights = 1
	}
	return n, nil
}

// isWeight knows what may be a layer's weights, and is no count, bias or statistic.
func isWeight(e entry) bool { return len(e.shape) >= 2 && holdsWeights(e.dtype) }

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

// object is a dict of somebody's own class, or one whose attributes hold tensors.
func (w *walker) object(n *node, o *pickle.Object, depth int) (*node, error) {
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

// arrayEntry is an array of NumPy's as the file lists it.
func arrayEntry(a *pickle.Array) (entry, error) {
	dtype, ok := npyTypes[a.Type]
	if !ok {
		dtype, ok = "U8", strings.HasPrefix(a.Type, "S") || strings.HasPrefix(a.Type, "U") ||
			strings.HasPrefix(a.Type, "V") || a.Type == "c16" || a.Type == "M8"
		if !ok {
			return entry{}, fmt.Errorf("an array of type %q", clipText(a.Type))
		}
		// text, and what else is no number: no weights
		return entry{shape: []int{len(a.Values)}, dtype: dtype, raw: a.Values}, nil
	}
	n := npyArray{dtype: dtype, bigEndian: a.BigEndian, fortran: a.Fortran}
	size := int64(sizes[dtype])
	for _, side := range a.Shape {
		if len(n.shape) == maxRank || side > 0 && size > int64(len(a.Values))/side {
			return entry{}, errors.New("an array whose shape is not that of its values")
		}
		size *= side
		n.shape = append(n.shape, int(side))
	}
	if size != int64(len(a.Values)) {
		return entry{}, fmt.Errorf("an array of shape %s with %d bytes", printable.Shape(n.shape), len(a.Values))
	}
	n.size = len(a.Values)
	return n.entry("", func() ([]byte, error) { return a.Values, nil }, a.Values), nil
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
	networkKeys   = []string{"state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights",
		"params", "generator", "online", "student"}
	averagedKeys = regexp.MustCompile(`(?i)(^|[^a-z])(ema|avg|averaged?|swa|shadow|polyak|teacher|target|slow|moving)([^a-z]|$)|EMA`)
)

// parts lists the weights of networks in a value, where path leads.
func (n *node) parts(path string) []found {
	if n.class != "" {
		return []found{{path, n}}
	}
	var holders []*node
	direct := 0
	for _, c := range n.nodes {
		switch {
		case c.weights == 0 || c.entry == nil && auxiliaryKeys.MatchString(c.key):
		case c.entry != nil:
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
				list = append(list, found{join(path, h.key), h})
			}
		}
		return list
	}
	var list []found
	for _, h := range holders {
		list = append(list, h.parts(join(path, h.key))...)
	}
	for _, c := range n.nodes {
		if c.entry != nil && c.weights > 0 {
			list = append(list, found{join(path, c.key), c})
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
		wholes = wholes || slices.Contains(networkKeys, h.key) || averagedKeys.MatchString(h.key)
	}
	if direct > 0 {
		return layers || !slices.ContainsFunc(holders, func(h *node) bool { return h.class == "" && h.weights >= direct })
	}
	return layers && !wholes && slices.ContainsFunc(holders, func(h *node) bool { return h.class == "" }) ||
		modules && !wholes
}

// isLayer knows a dict or list of one layer's tensors, such as weights and biases.
func (n *node) isLayer() bool {
	return n.weights == 1 && !n.dotted && !slices.ContainsFunc(n.nodes, func(c *node) bool { return c.entry == nil })
}

func isNumber(key string) bool {
	_, err := strconv.Atoi(key)
	return err == nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// flatten lists a node's tensors under their names from it, what auxiliary keys and objects hold left out.
// Names too long are cut, and refused where they are listed.
func (n *node) flatten(path string, list []entry) []entry {
	if len(path) > maxName {
		path = path[:maxName+1]
	}
	if n.entry != nil {
		e := *n.entry
		if e.name = path; path == "" {
			e.name = "tensor"
		}
		return append(list, e)
	}
	for _, c := range n.nodes {
		if c.class == "" && (c.entry != nil || !auxiliaryKeys.MatchString(c.key)) {
			list = c.flatten(join(path, c.key), list)
		}
	}
	return list
}

// addPickled lists a pickled value's tensors: those of the network's weights in it under their keys, with dots between
// those of dicts in dicts.
func (f *File) addPickled(value any) error {
	w := walker{barren: map[any]bool{}}
	root, err := w.node("", value, 0)
	if err != nil {
		return &FormatError{f.Path, 0, err.Error()}
	}
	if root == nil {
		return nil
	}
	return f.addRoot(root)
}

// addRoot is addPickled of what of a value holds tensors.
func (f *File) addRoot(root *node) error {
	if root.weights == 0 { // of nothing but vectors and whole numbers, it may be anything
		for len(root.nodes) == 1 && root.nodes[0].entry == nil && root.nodes[0].class == "" &&
			slices.Contains(networkKeys, root.nodes[0].key) {
			root = root.nodes[0]
		}
		return f.addAll(root.flatten("", nil))
	}
	list := root.parts("")
	if !slices.ContainsFunc(list, func(p found) bool {
		return p.node.class == "" &&
			(p.node.entry == nil || p.path == "")
	}) {
		for _, p := range list {
			if p.node.class != "" {
				return &FormatError{f.Path, 0, (&pickle.RefusedError{Name: p.node.class}).Error() + stateDict}
			}
		}
	}
	for _, p := range list {
		if p.node.class != "" {
			f.Others = append(f.Others, Part{Name: p.path, Tensors: p.node.count(), Unread: "an object of class " +
				clipText(p.node.class)})
			continue
		}
		f.parts = append(f.parts, part{name: p.path, entries: p.node.flatten("", nil), single: p.node.entry != nil &&
			p.path != ""})
	}
	if f.Part != "" && !slices.ContainsFunc(f.parts, func(p part) bool {
		return f.Part == p.name ||
			strings.HasPrefix(f.Part, join(p.name, ""))
	}) {
		f.parts = []part{{entries: root.flatten("", nil)}} // it may be any dict's
	}
	return nil
}

// count is the number of tensors in and below a node.
func (n *node) count() int {
	if n.entry != nil {
		return 1
	}
	total := 0
	for _, c := range n.nodes {
		total += c.count()
	}
	return total
}
