package torch7

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/weights/internal/chain"
	"github.com/vggo/vggo/weights/internal/format"
)

const (
	maxHolders = 8       // tables around a network
	maxModules = 1 << 10 // in one Sequential
)

// Reader reads them. The first nn.Sequential of a file is its network; tensors of any other file go by the keys that
// lead to them.
var Reader = format.Reader{
	Name:  "Torch7",
	Knows: func(in *format.Input) bool { return is(in.Data) },
	Read:  read,
}

func read(in *format.Input) (*format.Contents, error) {
	value, err := parse(in.Data)
	if err != nil {
		return nil, err
	}
	n := &network{contents: &format.Contents{}, seen: map[any]bool{}}
	n.chain.Naming = format.Naming{Family: "Torch7", Bookkeeping: func(string) bool { return false }}
	if s := sequential(value, map[*Table]bool{}, 0); s != nil {
		if err := n.module(s, ""); err != nil {
			return nil, err
		}
		if n.contents.Unrunnable == nil {
			n.chain.Describe(n.contents, "read from a file of Torch7's", arch.Shape{C: n.channels})
		}
	} else if err := n.walk(value, ""); err != nil {
		return nil, err
	}
	n.contents.Tensors = n.tensors.Tensors
	return n.contents, nil
}

// network is a file as it becomes one.
type network struct {
	contents *format.Contents
	tensors  format.List
	chain    chain.Chain
	channels int          // of the pictures
	seen     map[any]bool // tables and objects that are being looked at, or have been
}

// sequential is the first nn.Sequential in a value, which tables may hold.
func sequential(v any, seen map[*Table]bool, depth int) *Object {
	switch v := v.(type) {
	case *Object:
		if v.Class == "nn.Sequential" {
			return v
		}
	case *Table:
		if depth > maxHolders || seen[v] {
			return nil
		}
		seen[v] = true
		for _, held := range v.Values {
			if s := sequential(held, seen, depth+1); s != nil {
				return s
			}
		}
	}
	return nil
}

// walk lists every tensor in a value, each table and object once.
func (n *network) walk(v any, path string) error {
	if len(path) > format.MaxName {
		return nil
	}
	switch v.(type) {
	case *Object, *Table:
		if n.seen[v] {
			return nil
		}
		n.seen[v] = true
	}
	switch v := v.(type) {
	case *Tensor:
		path = cmp.Or(path, "tensor")
		return n.tensors.Add(v.entry(path))
	case *Object:
		return n.walk(v.Fields, path)
	case *Table:
		for i, held := range v.Values {
			var key string
			switch k := v.Keys[i].(type) {
			case string:
				key = k
			case float64:
				key = strconv.FormatFloat(k, 'g', -1, 64)
			default:
				continue
			}
			if err := n.walk(held, format.Join(path, key)); err != nil {
				return err
			}
		}
	}
	return nil
}

// module appends the layers of a module, which is called by its place in those that hold it.
func (n *network) module(o *Object, path string) error {
	m := fields{o.Fields}
	class := strings.TrimPrefix(strings.TrimPrefix(o.Class, "nn."), "cudnn.")
	if class == "Sequential" {
		if n.seen[o] {
			return fmt.Errorf("module %q occurs twice, or holds itself", path)
		}
		n.seen[o] = true
		modules, _ := m.get("modules").(*Table)
		if modules != nil && len(modules.Keys) > maxModules {
			return fmt.Errorf("more than %d modules", maxModules)
		}
		for i := 1; modules != nil && i <= len(modules.Keys); i++ {
			inner, ok := modules.Get(float64(i)).(*Object)
			if !ok {
				continue
			}
			if err := n.module(inner, format.Join(path, strconv.Itoa(i))); err != nil {
				return err
			}
		}
		return nil
	}
	params := map[string]format.Source{}
	op, err := n.operation(m, class, path, params)
	if err != nil {
		return fmt.Errorf("module %s of class %q: %w", path, format.Clip(o.Class), err)
	}
	if op == nil && class != "Identity" && n.contents.Unrunnable == nil {
		n.contents.Unrunnable = fmt.Errorf("module %s of class %q, as it is set, is none that vggo computes", path,
			format.Clip(o.Class))
	}
	if op != nil {
		name, _ := m.get("name").(string)
		name = cmp.Or(name, strings.ToLower(op.Kind())+strings.ReplaceAll(path, ".", "_"))
		n.chain.Add(name, op, params)
	}
	return nil
}

// operation is what a module computes; nil where vggo does not.
func (n *network) operation(m fields, class, path string, params map[string]format.Source) (arch.Op, error) {
	switch class {
	case "SpatialConvolution", "SpatialConvolutionMM", "SpatialDilatedConvolution":
		w, ok := m.get("weight").(*Tensor)
		window := m.window()
		ins, outs, groups := m.int("nInputPlane", 0), m.int("nOutputPlane", 0), m.int("groups", 1)
		if !ok || ins < 1 || outs < 1 || groups < 1 {
			return nil, fmt.Errorf("a convolution without weights")
		}
		e := w.entry(path + ".weight")
		// as a matrix, which SpatialConvolutionMM has them as
		if shape := []int{outs, ins / groups, window.Kernel.H, window.Kernel.W}; len(e.Shape) == 2 && e.Shape[0] == outs &&
			format.Product(shape[1:]) == e.Shape[1] {
			e.Shape = shape
		}
		if n.chain.Len() == 0 {
			n.channels = ins
		}
		op := arch.Conv{Out: outs, Groups: groups, Window: window}
		var err error
		op.NoBias, err = n.weights(m, e, params)
		return op, err
	case "Linear":
		w, ok := m.get("weight").(*Tensor)
		if !ok || len(w.Size) != 2 {
			return nil, fmt.Errorf("a fully connected layer without weights")
		}
		n.chain.Reads(w.Size[1])
		op := arch.Linear{Out: w.Size[0]}
		var err error
		op.NoBias, err = n.weights(m, w.entry(path+".weight"), params)
		return op, err
	case "SpatialBatchNormalization", "BatchNormalization":
		for _, of := range [][2]string{{"gamma", "weight"}, {"beta", "bias"}, {"mean", "running_mean"},
			{"var", "running_var"}} {
			role, field := of[0], of[1]
			t, ok := m.get(field).(*Tensor)
			switch {
			case ok:
				if err := n.tensors.Add(t.entry(path + "." + field)); err != nil {
					return nil, err
				}
				params[role] = format.Source{Name: path + "." + field}
			case role == "gamma":
				params[role] = format.Source{Fill: 1}
			case role == "beta":
				params[role] = format.Source{}
			default: // until 2015 one over the deviation, running_std
				return nil, nil
			}
		}
		return arch.BatchNorm{Eps: m.number("eps", 1e-5)}, nil
	case "SpatialMaxPooling":
		return arch.MaxPool{Window: m.window()}, nil
	case "SpatialAveragePooling":
		if divide, ok := m.get("divide").(bool); ok && !divide {
			return nil, nil
		}
		counts, told := m.get("count_include_pad").(bool)
		return arch.AvgPool{Window: m.window(), CountPad: counts || !told}, nil
	case "SpatialReflectionPadding":
		return arch.ReflectPad{Top: m.int("pad_t", 0), Left: m.int("pad_l", 0), Bottom: m.int("pad_b", 0),
			Right: m.int("pad_r", 0)}, nil
	case "SpatialCrossMapLRN":
		return arch.LRN{Size: m.int("size", 5), Alpha: m.number("alpha", 1e-4), Beta: m.number("beta", 0.75),
			K: m.number("k", 1)}, nil
	case "ReLU", "Threshold":
		if m.number("threshold", 0) == 0 && m.number("val", 0) == 0 {
			return arch.ReLU{}, nil
		}
	case "View", "Reshape":
		size, _ := m.get("size").(*Storage)
		if len(size.longs()) == 1 {
			return arch.Flatten{}, nil
		}
	case "Dropout", "SpatialDropout": // which scales when it is run, and not when it is trained, but for Dropout's v2
		p := m.number("p", 0.5)
		if v2, _ := m.get("v2").(bool); p != 0 && (!v2 || class != "Dropout") {
			return nil, nil
		}
		return arch.Dropout{Keep: 1 - p}, nil
	case "SoftMax", "LogSoftMax":
		return arch.Softmax{}, nil
	case "Sigmoid":
		return arch.Sigmoid{}, nil
	}
	return nil, nil
}

// weights lists a layer's, with its bias if it has one.
func (n *network) weights(m fields, w format.Tensor, params map[string]format.Source) (noBias bool, err error) {
	params["w"] = format.Source{Name: w.Name}
	if err := n.tensors.Add(w); err != nil {
		return false, err
	}
	b, ok := m.get("bias").(*Tensor)
	if !ok {
		return true, nil
	}
	e := b.entry(strings.TrimSuffix(w.Name, "weight") + "bias")
	params["b"] = format.Source{Name: e.Name}
	return false, n.tensors.Add(e)
}

// fields are a module's.
type fields struct{ of any }

func (f fields) get(name string) any {
	t, _ := f.of.(*Table)
	return t.Get(name)
}

func (f fields) number(name string, otherwise float64) float64 {
	if v, ok := f.get(name).(float64); ok {
		return v
	}
	return otherwise
}

func (f fields) int(name string, otherwise int) int { return int(f.number(name, float64(otherwise))) }

// window is kW, kH, dW, dH and their likes.
func (f fields) window() arch.Window {
	both := f.int("padding", 0)
	h, w := f.int("padH", both), f.int("padW", both)
	ceil, _ := f.get("ceil_mode").(bool)
	return arch.Window{
		Kernel:   arch.Size{H: f.int("kH", 0), W: f.int("kW", 0)},
		Stride:   arch.Size{H: f.int("dH", 1), W: f.int("dW", 1)},
		Dilation: arch.Size{H: f.int("dilationH", 1), W: f.int("dilationW", 1)},
		Pad:      arch.Padding{Top: h, Bottom: h, Left: w, Right: w},
		Ceil:     ceil,
	}
}
