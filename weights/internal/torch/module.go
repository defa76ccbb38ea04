package torch

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/pickle"
	"github.com/vggo/vggo/weights/internal/chain"
	"github.com/vggo/vggo/weights/internal/checkpoint"
	"github.com/vggo/vggo/weights/internal/format"
)

// A whole module (torch.save of a model, torch.jit.save) is objects of PyTorch's classes with their settings. What a
// class computes is known of PyTorch's own and of torchvision's VGG and AlexNet; of others only where the file has
// their program, as TorchScript does.

// describer makes a network of modules.
type describer struct {
	chain    chain.Chain
	script   script // nil where the file has no program
	held     map[string]bool
	channels int // of the pictures
	vector   bool
	modules  int
}

// unknownError is a module of which nobody but its program knows what it computes: its weights are no less weights.
type unknownError struct{ class string }

func (e *unknownError) Error() string {
	return "what " + format.Clip(e.class) + " computes is not known"
}

const (
	maxNested  = 16
	maxModules = 1 << 10
)

// describe adds the network that a module is to what was found. tensors are the module's, by their names in it.
func describe(c *format.Contents, root *pickle.Object, script script, tensors []format.Tensor) {
	d := &describer{script: script, held: map[string]bool{}}
	d.chain.Naming = format.Naming{Family: "PyTorch", Bookkeeping: func(name string) bool {
		return strings.HasSuffix(name, "num_batches_tracked")
	}}
	for _, t := range tensors {
		d.held[t.Name] = true
	}
	err := d.module(root, "", 0)
	if _, unknown := err.(*unknownError); unknown {
		c.Unknown, c.Unrunnable = suspect(root, script)
		return
	}
	if err == nil && d.channels == 0 {
		return
	}
	c.Tensors, c.Parts = tensors, nil
	if c.Unrunnable = err; err == nil {
		d.chain.Describe(c, "read from a module of PyTorch's", arch.Shape{C: d.channels})
	}
}

// className is a class without the marks that TorchScript gives it.
func className(class string) string {
	words := strings.Split(strings.TrimPrefix(class, "__torch__."), ".")
	kept := words[:0]
	for _, w := range words {
		if !strings.HasPrefix(w, "___torch_mangle_") {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, ".")
}

// partsOf are the modules that a module holds, by name and in their order.
func partsOf(o *pickle.Object) (order []string, parts map[string]*pickle.Object) {
	parts = map[string]*pickle.Object{}
	for _, e := range checkpoint.Members(o) {
		name, _ := e.Key.(string)
		if part, ok := e.Value.(*pickle.Object); ok && checkpoint.IsModule(part) {
			parts[name] = part
			order = append(order, name)
		}
	}
	return order, parts
}

// ownClass takes apart a class of PyTorch's own: "torch.nn.modules.conv.Conv2d" is Conv2d of conv. group is empty for
// any other.
func ownClass(class string) (name, group string) {
	rest, own := strings.CutPrefix(class, "torch.nn.modules.")
	if !own {
		return class, ""
	}
	group, name, _ = strings.Cut(rest, ".")
	return name[strings.LastIndexByte(name, '.')+1:], group
}

// settings are those of a module.
func (d *describer) settings(o *pickle.Object) *settings {
	return &settings{get: func(name string) (any, bool) {
		state, _ := o.State.(*pickle.Dict)
		if d.script != nil {
			if v, ok := d.script.constant(o.Class, name); ok {
				return v, true
			}
		}
		if state == nil {
			return nil, false
		}
		return state.Get(name)
	}}
}

// module adds what a module computes.
func (d *describer) module(o *pickle.Object, path string, depth int) error {
	if d.modules++; depth > maxNested || d.modules > maxModules {
		return fmt.Errorf("more than %d modules, or deeper than %d", maxModules, maxNested)
	}
	order, children := partsOf(o)
	inner := func(name string) error {
		child := children[name]
		if child == nil {
			return fmt.Errorf("module %s has no part %s", path, format.Clip(name))
		}
		return d.module(child, format.Join(path, name), depth+1)
	}
	class := className(o.Class)
	switch class {
	case "torch.nn.modules.container.Sequential":
		for _, name := range order {
			if err := inner(name); err != nil {
				return err
			}
		}
		return nil
	case "torch.nn.parallel.data_parallel.DataParallel", "torch.nn.parallel.distributed.DistributedDataParallel":
		return inner("module")
	case "torchvision.models.vgg.VGG", "torchvision.models.alexnet.AlexNet":
		for _, name := range []string{"features", "avgpool", "", "classifier"} {
			if name == "" {
				d.flatten(path)
			} else if err := inner(name); err != nil && (name != "avgpool" || children[name] != nil) { // older ones have none
				return err
			}
		}
		return nil
	}
	name, group := ownClass(class)
	if group == "" {
		if d.script == nil {
			return &unknownError{class}
		}
		return d.script.forward(o.Class, inner, func(op arch.Op) {
			if _, ok := op.(arch.Flatten); ok {
				d.flatten(path)
				return
			}
			d.chain.Add(op.Kind(), op, nil)
		})
	}
	s := d.settings(o)
	op, err := d.operation(name, s, path)
	if err == nil {
		err = s.err
	}
	if err != nil {
		if _, unknown := err.(*unknownError); unknown {
			return err
		}
		return fmt.Errorf("module %s (%s): %w", path, format.Clip(class), err)
	}
	if op == nil {
		return nil
	}
	params := map[string]format.Source{}
	for role, suffix := range map[string]string{"w": "weight", "b": "bias", "gamma": "weight", "beta": "bias",
		"mean": "running_mean", "var": "running_var"} {
		_, norm := op.(arch.BatchNorm)
		if name := format.Join(path, suffix); d.held[name] && norm == (len(role) > 1) {
			params[role] = format.Source{Name: name}
		} else if norm && role == "gamma" {
			params[role] = format.Source{Fill: 1}
		} else if norm && role == "beta" {
			params[role] = format.Source{}
		}
	}
	d.chain.Add(strings.NewReplacer(".", "_").Replace(path), op, params)
	return nil
}

func (d *describer) flatten(path string) {
	d.vector = true
	d.chain.Add(format.Join(path, "flatten"), arch.Flatten{}, nil)
}

// operation is what a module of PyTorch's own computes at inference; nil where it changes nothing.
func (d *describer) operation(class string, s *settings, path string) (arch.Op, error) {
	noBias := !d.held[format.Join(path, "bias")]
	switch class {
	case "Conv2d":
		ins := s.int("in_channels")
		d.channels = cmp.Or(d.channels, ins)
		w := s.window(true)
		switch mode := s.text("padding_mode", "zeros"); {
		case mode == "zeros" || w.Pad == (arch.Padding{}):
		case mode == "reflect" && w.Pad.Mode == arch.Explicit:
			pad := arch.ReflectPad{Top: w.Pad.Top, Left: w.Pad.Left, Bottom: w.Pad.Bottom, Right: w.Pad.Right}
			d.chain.Add(format.Join(path, "pad"), pad, nil)
			w.Pad = arch.Padding{}
		default:
			return nil, fmt.Errorf("it pads by %q: zeros and reflection alone are understood", format.Clip(mode))
		}
		return arch.Conv{Out: s.int("out_channels"), Groups: s.int("groups"), NoBias: noBias, Window: w}, nil
	case "Linear":
		if !d.vector {
			return nil, fmt.Errorf("it reads a map, row by row: is a Flatten missing?")
		}
		d.chain.Reads(s.int("in_features"))
		return arch.Linear{Out: s.int("out_features"), NoBias: noBias}, nil
	case "BatchNorm2d", "BatchNorm1d":
		if !d.held[format.Join(path, "running_mean")] {
			return nil, fmt.Errorf("it keeps no statistics")
		}
		return arch.BatchNorm{Eps: s.number("eps")}, nil
	case "MaxPool2d":
		op := arch.MaxPool{Window: s.window(true)}
		op.Ceil = s.truth("ceil_mode")
		return op, nil
	case "AvgPool2d":
		op := arch.AvgPool{Window: s.window(false), CountPad: s.truth("count_include_pad")}
		op.Ceil = s.truth("ceil_mode")
		if v, ok := s.get("divisor_override"); ok && v != nil {
			return nil, fmt.Errorf("it divides by a number of its own")
		}
		return op, nil
	case "AdaptiveAvgPool2d":
		size := s.pair("output_size")
		if size == arch.Square(1) {
			return arch.GlobalAvgPool{}, nil
		}
		return arch.AdaptiveAvgPool{Out: size}, nil
	case "ReflectionPad2d": // left, right, top, bottom
		p, ok := s.value("padding").(pickle.Tuple)
		var sides [4]int64
		for i := range sides {
			if ok = ok && len(p) == len(sides); ok {
				sides[i], ok = p[i].(int64)
			}
			if !ok || sides[i] < 0 || sides[i] > arch.MaxElements {
				s.fail("padding")
				return nil, nil
			}
		}
		return arch.ReflectPad{Top: int(sides[2]), Left: int(sides[0]), Bottom: int(sides[3]), Right: int(sides[1])}, nil
	case "LocalResponseNorm":
		return arch.LRN{Size: s.int("size"), Alpha: s.number("alpha"), Beta: s.number("beta"), K: s.number("k")}, nil
	case "Flatten":
		if s.int("start_dim") != 1 || s.whole("end_dim", -1) != -1 {
			return nil, fmt.Errorf("it flattens other axes than an image's")
		}
		d.vector = true
		return arch.Flatten{}, nil
	case "Dropout", "Dropout2d":
		if p := s.number("p"); p > 0 && p < 1 {
			return arch.Dropout{Keep: 1 - p}, nil
		}
		return nil, nil
	case "ReLU":
		return arch.ReLU{}, nil
	case "Softmax", "LogSoftmax", "Softmax2d":
		if v, ok := s.get("dim"); ok && v != nil && v != int64(1) && !(d.vector && v == int64(-1)) {
			return nil, fmt.Errorf("it is over other axes than the channels")
		}
		return arch.Softmax{}, nil
	case "Sigmoid":
		return arch.Sigmoid{}, nil
	case "Identity":
		return nil, nil
	}
	return nil, fmt.Errorf("no layer of vggo's computes it")
}

// settings are a module's, and the first thing that is wrong with them.
type settings struct {
	get func(name string) (any, bool)
	err error
}

// value is a setting; a module without it is traced by TorchScript, whose program alone has it.
func (s *settings) value(name string) any {
	v, ok := s.get(name)
	if !ok && s.err == nil {
		s.err = &unknownError{"a module without " + name}
	}
	return v
}

func (s *settings) fail(name string) {
	if s.err == nil {
		s.err = fmt.Errorf("its %s is of another kind than is known", name)
	}
}

func (s *settings) whole(name string, least int64) int {
	n, ok := s.value(name).(int64)
	if !ok || n < least || n > arch.MaxElements {
		s.fail(name)
	}
	return int(n)
}

func (s *settings) int(name string) int { return s.whole(name, 1) }

func (s *settings) number(name string) float64 {
	switch v := s.value(name).(type) {
	case float64:
		return v
	case int64:
		return float64(v)
	}
	s.fail(name)
	return 0
}

func (s *settings) truth(name string) bool {
	v, ok := s.value(name).(bool)
	if !ok {
		s.fail(name)
	}
	return v
}

func (s *settings) text(name, otherwise string) string {
	v, ok := s.get(name)
	if !ok { // before PyTorch 1.1
		return otherwise
	}
	if t, ok := text(v); ok {
		return t
	}
	s.fail(name)
	return ""
}

// pair is two numbers, or one for both.
func (s *settings) pair(name string) arch.Size {
	both := [2]any{}
	switch v := s.value(name).(type) {
	case int64:
		both = [2]any{v, v}
	case pickle.Tuple:
		if len(v) == 2 {
			both = [2]any{v[0], v[1]}
		}
	}
	h, ok1 := both[0].(int64)
	w, ok2 := both[1].(int64)
	if !ok1 || !ok2 || min(h, w) < 0 || max(h, w) > arch.MaxElements {
		s.fail(name)
		return arch.Size{}
	}
	return arch.Size{H: int(h), W: int(w)}
}

// window is how a kernel slides. Average pooling has no dilation.
func (s *settings) window(dilated bool) arch.Window {
	w := arch.Window{Kernel: s.pair("kernel_size"), Stride: s.pair("stride"), Dilation: arch.Square(1)}
	if dilated {
		w.Dilation = s.pair("dilation")
	}
	const padding = "padding"
	if mode, ok := text(s.value(padding)); ok {
		switch mode {
		case "same":
			w.Pad.Mode = arch.Same
		case "valid":
		default:
			s.fail(padding)
		}
		return w
	}
	p := s.pair(padding)
	w.Pad = arch.Padding{Top: p.H, Bottom: p.H, Left: p.W, Right: p.W}
	return w
}
